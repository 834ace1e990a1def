"""A store as its seller wants it: what a store file or a folder comes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dam.catalog.about import About
from dam.types import ZERO_ADDRESS, Address


@dataclass(frozen=True, slots=True)
class ItemDraft:
    """An item as the seller wants it. Amounts in wei, but the price in units of its token."""

    name: str
    title: str
    price: int
    commission: int
    penalty: int
    bond: int
    parts: int
    threshold: int
    arbitrator: Address
    supply: int
    """Of a stock item the number of its codes."""
    codes: tuple[str, ...] | None = field(repr=False)
    """Stock: one good per copy."""
    file: Path | None
    """Shared by all copies, as `text` is."""
    text: bytes | None = field(repr=False)
    deliverers: tuple[Address, ...]
    """As named; empty: picked at random."""
    metadata: Mapping[str, Any]
    where: str
    """For messages: file and line."""
    token: Address = ZERO_ADDRESS
    """Currency of the price; zero: the native coin."""
    about: About = field(default_factory=About)
    said: frozenset[str] = frozenset()
    """Keys that the seller wrote, in the item, as defaults or as options."""

    @property
    def stock(self) -> bool:
        """Whether each copy is a good of its own."""
        return self.codes is not None


@dataclass(frozen=True, slots=True)
class StoreDraft:
    """A store as the seller wants it."""

    name: str
    items: tuple[ItemDraft, ...]
    notes: tuple[str, ...] = ()
    """What the seller should know before they publish: files that were left out, say."""
