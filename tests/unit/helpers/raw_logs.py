"""Logs of every event of the market, as a node gives them."""

from __future__ import annotations

import os
from typing import Any

from eth_abi.abi import encode as abi_encode

from dam.crypto.hashing import checksum, copy_id
from dam.ethereum.rpc import RawLog
from dam.market.abi import Entry, market_abi

MARKET = "0x" + "da" * 20
SELLER = checksum(b"\xab" * 20)
ITEM = b"i" * 32
EVENTS = {entry.name: entry for entry in market_abi().events.values()}


def value(kind: str) -> Any:
    """Some value of an ABI type, with all bits of a small one in use."""
    if kind.startswith("("):
        return tuple(value(one) for one in kind[1:-1].split(","))
    if kind == "bytes32[2]":
        return [os.urandom(32) for _ in range(2)]
    if kind.endswith("[]"):
        return [os.urandom(32) for _ in range(3)]
    if kind == "address":
        return "0x" + os.urandom(20).hex()
    if kind == "bool":
        return True
    if kind == "string":
        return "évidence"
    if kind.startswith("bytes"):
        return os.urandom(int(kind[5:]))
    return int.from_bytes(os.urandom(int(kind[4:]) // 8), "big")


def log(name: str, index: int = 0, block: int = 5, **fixed: Any) -> RawLog:
    """A log of the event, as the contract writes it."""
    entry: Entry = EVENTS[name]
    args = {p.name: fixed.get(p.name, value(p.type)) for p in entry.inputs}
    if name == "ItemPurchased":
        terms = list(args["terms"])
        terms[0], terms[8], terms[9] = ITEM, len(args["keys"]), 2
        args |= {"terms": tuple(terms), "seller": SELLER}
        args |= {"purchaseBlock": 2**47 + 5, "purchaseTime": 2**48 - 1}
        args["copyId"] = copy_id(SELLER, ITEM, args["copy"])
        args |= fixed
    indexed = [p for p in entry.inputs if p.indexed]
    rest = [p for p in entry.inputs if not p.indexed]
    topics = [abi_encode([p.type], [args[p.name]]) for p in indexed]
    data = abi_encode([p.type for p in rest], [args[p.name] for p in rest])
    return RawLog(
        address=MARKET,
        topics=["0x" + topic.hex() for topic in (entry.id, *topics)],
        data="0x" + data.hex(),
        block_number=hex(block),
        block_hash="0x" + bytes([block % 251]).hex() * 32,
        transaction_hash="0x" + "77" * 32,
        log_index=hex(index),
    )
