"""A store as its seller wrote it, file or folder, with the tokens that its prices name."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from dam import validation
from dam.errors import Malformed, Permanent
from dam.ethereum.erc20 import Tokens, check_payable, read_tokens
from dam.ethereum.node import Node
from dam.roles.seller.drafted import StoreDraft
from dam.roles.seller.store_file import Faults, read_folder, read_store_file
from dam.roles.seller.toml_file import load
from dam.types import ZERO_ADDRESS, Address

_OF_PARTS = ("parts", "threshold", "deliverers")


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
    path: Path,
    *,
    overrides: Mapping[str, Any],
    tokens: Tokens,
    name: str | None = None,
    assign: Collection[str] = (),
) -> StoreDraft:
    """Reads a store file, or a folder in which each file is an item.

    Args:
        path: The file or folder.
        overrides: Terms for all items that do not say otherwise (a folder's need a price).
            Where items are to be assigned, they are for those alone, and the file must not say
            anything on them: the next update, without the options, would undo it. A folder has no
            other place for its terms, so only what is about parts is for those alone.
        tokens: Those of `named_tokens`, from `read_prices`.
        name: Of a folder's store; None: the folder's.
        assign: Ids of items whose parts go to other deliverers.

    Raises:
        Permanent: With every mistake that was found (`Faults`).
    """
    about_all = path.is_dir() or not assign
    wide = {k: v for k, v in overrides.items() if about_all and not (assign and k in _OF_PARTS)}
    draft = _read(path, wide, tokens, name)
    options = overrides.keys() - wide.keys()
    if not options:
        return draft
    faults = [
        f"{item.where}: the file says {key} for it: write there what you want, and leave the "
        "option away"
        for item in draft.items
        if item.name in assign
        for key in sorted(options & item.said)
    ]
    if faults:
        raise Faults(path, faults)
    chosen = {item.name: item for item in _read(path, overrides, tokens, name).items}
    items = tuple(chosen[item.name] if item.name in assign else item for item in draft.items)
    return replace(draft, items=items)


def _read(path: Path, overrides: Mapping[str, Any], tokens: Tokens, name: str | None) -> StoreDraft:
    if path.is_dir():
        name = name or path.resolve().name
        return read_folder(path, name=name, overrides=overrides, tokens=tokens)
    return read_store_file(path, overrides=overrides, tokens=tokens)
