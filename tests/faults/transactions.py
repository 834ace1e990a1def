"""What raw transactions say: the parts that they carry, and their hash."""

from __future__ import annotations

from eth_abi.abi import decode as abi_decode

from dam.crypto.hashing import keccak
from dam.market.abi import market_abi
from dam.types import CopyId

Part = tuple[CopyId, int]
"""A part of a sale: copy and index."""


def parts_in(data: str) -> list[Part]:
    """Which parts a transaction delivers or supplies, by its calldata (0x-hex)."""
    raw = bytes.fromhex(data[2:])
    names = ("deliverFragment", "deliverFragments", "supplyFragments")
    for entry in market_abi().functions.values():
        if entry.id == raw[:4] and entry.name in names:
            [given] = abi_decode([p.type for p in entry.inputs], raw[4:])
            deliveries = [given] if entry.name == "deliverFragment" else given
            return [(CopyId(one[0]), int(one[2])) for one in deliveries]
    return []


def hash_of(raw: str) -> str:
    """Hash of a raw transaction, both 0x-hex."""
    return "0x" + keccak(bytes.fromhex(raw[2:])).hex()
