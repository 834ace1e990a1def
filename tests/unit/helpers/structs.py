"""The contract's structs: any of their values, and how an independent codec takes them."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

from hypothesis import strategies as st

from dam.crypto.abi_words import abi_fields
from dam.crypto.hashing import checksum
from dam.types import Delivery, Escrow, PartLeaf, Sale, Terms

bytes32 = st.binary(min_size=32, max_size=32)
addresses = st.binary(min_size=20, max_size=20).map(checksum)
uint8, uint64, uint128 = (st.integers(0, 2**bits - 1) for bits in (8, 64, 128))
hashes = st.lists(bytes32, max_size=20).map(tuple)
_OF_KIND: dict[str, st.SearchStrategy[Any]] = {
    "bytes32": bytes32,
    "address": addresses,
    "uint8": uint8,
    "uint64": uint64,
    "uint128": uint128,
    "bool": st.booleans(),
    "bytes32[]": hashes,
    "bytes": st.binary(min_size=80, max_size=80),
}


def structs(struct: type) -> st.SearchStrategy[Any]:
    """Any record of a struct."""
    kinds = abi_fields(struct).values()
    return st.builds(struct, *(_OF_KIND.get(kind, sales) for kind in kinds))


sales = st.deferred(lambda: structs(Sale))
terms, escrows, leaves, deliveries = map(structs, (Terms, Escrow, PartLeaf, Delivery))


def plain(value: Any) -> Any:
    """A record as eth_abi takes it: nested tuples in the order of the fields."""
    if not is_dataclass(value):
        return value
    return tuple(plain(getattr(value, field.name)) for field in fields(value))
