"""A store as its readers have it: items, the sections of their parts, and proofs of both.

`dam.catalog.reader` makes it from blocks, and has checked every rule of the document.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from dam.catalog.about import About
from dam.catalog.payload import Payload
from dam.crypto import hashing
from dam.crypto.merkle import MerkleTree, section_roots
from dam.errors import Malformed
from dam.ipfs import dag_json
from dam.types import Address, Terms


@dataclass(frozen=True)
class Section:
    """The parts of consecutive copies, under one sealing key."""

    first_copy: int
    copies: int
    root: bytes
    """Of the tree over its leaves, as the item has it."""
    sealing_key: bytes | None = None
    """X25519, 32 bytes; None: each part is a sealed box of its own."""
    encrypted_parts: tuple[bytes, ...] = ()
    """Sealed parts in no order, as many as there are leaves."""
    part_leaves: tuple[bytes, ...] = ()
    """Leaf hashes, copy by copy, n each, by index."""
    payloads: tuple[Payload, ...] = ()
    """One per copy."""
    fault: str = ""
    """Why it cannot be used; then it has neither parts, leaves nor payloads."""

    @property
    def page_key(self) -> bytes:
        """The sealing key; empty where each part is a box of its own."""
        return self.sealing_key or b""

    def __contains__(self, copy: object) -> bool:
        return isinstance(copy, int) and 0 <= copy - self.first_copy < self.copies

    @cached_property
    def tree(self) -> MerkleTree:
        """Over its leaves."""
        return MerkleTree(self.part_leaves)


@dataclass(frozen=True)
class Item:
    """What a store sells under one id."""

    name: str
    """The id, as the document has it."""
    title: str
    terms: Terms
    metadata_json: bytes = b"{}"
    """Canonical JSON: hostile metadata takes ten times the memory once it is parsed."""
    sections: tuple[Section, ...] = ()
    about: About = field(default_factory=About)
    """What the seller says of it: escape it before printing."""
    withdrawn: tuple[range, ...] = ()
    """Copies that are not offered any more; their parts are served all the same."""

    @property
    def metadata(self) -> dict[str, Any]:
        """The seller's ``otherMetadata``: escape it before printing."""
        value: dict[str, Any] = dag_json.loads(self.metadata_json)
        return value

    @cached_property
    def _roots(self) -> MerkleTree:
        return section_roots([section.root for section in self.sections])

    def proof(self, leaf: bytes, section: Section | None = None) -> tuple[bytes, ...]:
        """Proof of a leaf under ``terms.parts_root``.

        Args:
            leaf: 32 bytes.
            section: The only one that it may be in; None: any, as far as they can be read.

        Raises:
            Malformed: It is not there.
        """
        for one in self.sections if section is None else (section,):
            if leaf in one.tree:
                return (*one.tree.proof(leaf), *self._roots.proof(one.root))
        raise Malformed("the leaf is in no section of the item")

    def is_withdrawn(self, copy: int) -> bool:
        """Whether a copy is not offered any more."""
        at = bisect_right(self.withdrawn, copy, key=lambda one: one.start) - 1
        return at >= 0 and copy in self.withdrawn[at]

    def leaf_copy(self, copy: int) -> int:
        """The copy whose parts serve ``copy``: copy 0 where all copies share them."""
        return copy if self.terms.stock else 0

    def section(self, copy: int) -> Section:
        """The section that serves a copy.

        Raises:
            Malformed: The item has no such copy, or the section is broken.
        """
        if not 0 <= copy < self.terms.supply:
            raise Malformed(f"item {self.name!r} has no copy {copy + 1}")
        wanted = self.leaf_copy(copy)
        section = next(s for s in self.sections if wanted in s)
        if section.fault:
            raise Malformed(f"the parts of copy {copy + 1} of {self.name!r}: {section.fault}")
        return section

    def payload(self, copy: int) -> Payload:
        """The encrypted good of a copy.

        Raises:
            Malformed: The item has no such copy, or its section is broken.
        """
        section = self.section(copy)
        return section.payloads[self.leaf_copy(copy) - section.first_copy]


@dataclass(frozen=True)
class Store:
    """A store, every byte of it checked against its CID, and its terms against the chain's root."""

    name: str
    chain_id: int
    market: Address
    seller: Address
    digest: bytes
    """SHA-256 in the CID of the document."""
    root: bytes
    """Catalogue root."""
    items: tuple[Item, ...]

    @cached_property
    def _by_id(self) -> dict[bytes, Item]:
        return {item.terms.item_id: item for item in self.items}

    @cached_property
    def _tree(self) -> MerkleTree:
        return MerkleTree([hashing.terms_leaf(item.terms) for item in self.items])

    def item(self, item_id: bytes) -> Item | None:
        """The item whose id hashes to ``item_id`` (32 bytes), or None."""
        return self._by_id.get(item_id)

    def terms_proof(self, item: Item) -> tuple[bytes, ...]:
        """Merkle proof of the item's terms under the catalogue root, as ``buyItem`` takes it."""
        return self._tree.proof(hashing.terms_leaf(item.terms))
