"""What transactions say: the parts that they carry, their hash, and which of them wait."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

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
            given, _ = abi_decode([p.type for p in entry.inputs], raw[4:])
            deliveries = [given] if entry.name == "deliverFragment" else given
            return [(CopyId(one[0]), int(one[2])) for one in deliveries]
    return []


def pool_transactions(
    pool: Mapping[str, Any], accounts: Collection[str], kinds: Sequence[str] = ("pending", "queued")
) -> list[dict[str, Any]]:
    """Waiting transactions of these accounts (lower case), of what ``txpool_content`` says."""
    return [
        tx
        for kind in kinds
        for account, queue in sorted(pool.get(kind, {}).items())
        if account.lower() in accounts
        for tx in queue.values()
    ]


def hash_of(raw: str) -> str:
    """Hash of a raw transaction, both 0x-hex."""
    return "0x" + keccak(bytes.fromhex(raw[2:])).hex()
