"""A store as its seller wrote it, file or folder, with the tokens that its prices name."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dam import validation
from dam.errors import Malformed, Permanent
from dam.ethereum.erc20 import Tokens, check_payable, read_tokens
from dam.ethereum.node import Node
from dam.roles.seller.store_file import StoreDraft, read_folder, read_store_file
from dam.roles.seller.toml_file import load
from dam.types import ZERO_ADDRESS, Address


def named_tokens(path: Path, overrides: Mapping[str, Any]) -> set[Address]:
    """Tokens that a store file prices items in, so that they can be asked for their decimals.

    What is wrong with the file is left for `read_store_file` to say.
    """
    tables: list[Any] = [overrides]
    if not path.is_dir():
        document: dict[str, Any] = {}
        with contextlib.suppress(Permanent):
            _, document = load(path)
        items = document.get("items")
        tables += [document.get("defaults"), *(items if isinstance(items, list) else [])]
    found = set()
    for entry in tables:
        value = entry.get("token") if isinstance(entry, Mapping) else None
        with contextlib.suppress(Malformed):
            found.add(validation.address(value, "token"))
    return found - {ZERO_ADDRESS}


async def read_prices(node: Node, wanted: Iterable[Address]) -> Tokens:
    """Symbol and decimals of tokens that items are to be priced in.

    Raises:
        Permanent: One of them cannot pay: it is no ERC-20 token.
        RpcError: The node could not be asked.
    """
    addresses = set(wanted)
    tokens = await read_tokens(node, addresses)
    await check_payable(node, tokens, addresses)
    return tokens


def read_draft(
    path: Path, *, overrides: Mapping[str, Any], tokens: Tokens, name: str | None = None
) -> StoreDraft:
    """Reads a store file, or a folder in which each file is an item.

    Args:
        path: The file or folder.
        overrides: Terms for all items that do not say otherwise (a folder's need a price).
        tokens: Those of `named_tokens`, from `read_prices`.
        name: Of a folder's store; None: the folder's.

    Raises:
        Permanent: With every mistake that was found (`Faults`).
    """
    if path.is_dir():
        name = name or path.resolve().name
        return read_folder(path, name=name, overrides=overrides, tokens=tokens)
    return read_store_file(path, overrides=overrides, tokens=tokens)
