"""The contract's structs: any of their values, and how an independent codec takes them."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

from hypothesis import strategies as st

from dam.crypto.abi_words import abi_fields, abi_type
from dam.crypto.hashing import checksum
from dam.types import (
    Closure,
    Delivery,
    Escrow,
    Hint,
    JunkEvidence,
    Leaf,
    PartLeaf,
    Sale,
    Signature,
    SignedList,
    Split,
    Terms,
)

bytes32 = st.binary(min_size=32, max_size=32)
addresses = st.binary(min_size=20, max_size=20).map(checksum)
uint8, uint64, uint128, uint256 = (st.integers(0, 2**bits - 1) for bits in (8, 64, 128, 256))
hashes = st.lists(bytes32, max_size=20).map(tuple)
_OF_KIND: dict[str, st.SearchStrategy[Any]] = {
    "bytes32": bytes32,
    "address": addresses,
    "uint8": uint8,
    "uint64": uint64,
    "uint128": uint128,
    "uint256": uint256,
    "bool": st.booleans(),
    "bytes32[]": hashes,
    "bytes": st.binary(min_size=80, max_size=80),
}


def structs(struct: type) -> st.SearchStrategy[Any]:
    """Any record of a struct."""
    return st.builds(struct, *(_OF_KIND[kind] for kind in abi_fields(struct).values()))


def _inner(struct: type) -> st.SearchStrategy[Any]:
    """As `structs`, for what others hold."""
    return _OF_KIND.setdefault(abi_type(struct), structs(struct))


sales, escrows, signatures, _ = map(_inner, (Sale, Escrow, Signature, Hint))
terms, leaves, deliveries, splits = map(structs, (Terms, PartLeaf, Delivery, Split))
closures, junk_evidence, signed_lists, proved_leaves = map(
    structs, (Closure, JunkEvidence, SignedList, Leaf)
)


def plain(value: Any) -> Any:
    """A record as eth_abi takes it: nested tuples in the order of the fields."""
    if isinstance(value, list):
        return list(map(plain, value))
    if not is_dataclass(value):
        return value
    return tuple(plain(getattr(value, field.name)) for field in fields(value))
