"""Golden vectors of the market's calls, events and refusals: one of each, filled by its ABI.

eth_abi encodes them, which none of our decoders uses; the arguments stand beside the bytes, structs
as objects, in the contract's order.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from eth_abi.abi import encode
from eth_utils.crypto import keccak
from vector_inputs import MARKET, SELLER, a_key, an_address, fixed

from dam.crypto import hashing

ROOT = Path(__file__).resolve().parents[1]
ABI = json.loads((ROOT / "src" / "dam" / "abi" / "Marketplace.json").read_bytes())
_ITEM = hashing.item_id("coupon-2026")


def canonical(parameter: dict[str, Any]) -> str:
    """The type of a parameter, with structs spelled out."""
    kind: str = parameter["type"]
    if not kind.startswith("tuple"):
        return kind
    inner = ",".join(map(canonical, parameter["components"]))
    return f"({inner}){kind.removeprefix('tuple')}"


def sample(parameter: dict[str, Any], label: str) -> Any:
    """A value of a parameter: all bits of small numbers in use, two elements in a list."""
    kind, name = parameter["type"], parameter["name"]
    label = f"{label}.{name}"
    if kind.endswith("[]"):
        one = {**parameter, "type": kind[:-2]}
        return [sample(one, f"{label} {i}") for i in range(2)]
    if kind == "tuple":
        return {part["name"]: sample(part, label) for part in parameter["components"]}
    if kind == "address":
        return an_address(label)
    if kind == "bool":
        return True
    if kind == "string":
        return "évidence: ipfs://bafy"
    if kind == "bytes32[2]":
        return fixed(label, 64)
    if kind.startswith("bytes"):
        return fixed(label, int(kind[5:] or 65))
    return int.from_bytes(fixed(label, int(kind[4:]) // 8), "big")


def plain_value(parameter: dict[str, Any], value: Any) -> Any:
    """A value as eth_abi takes it."""
    kind = parameter["type"]
    if kind.endswith("[]"):
        return [plain_value({**parameter, "type": kind[:-2]}, one) for one in value]
    if kind == "tuple":
        return tuple(plain_value(part, value[part["name"]]) for part in parameter["components"])
    return (value[:32], value[32:]) if kind == "bytes32[2]" else value


def encoded(parameters: list[dict[str, Any]], args: dict[str, Any]) -> bytes:
    """`abi.encode` of the arguments."""
    kinds = [canonical(one) for one in parameters]
    return bytes(encode(kinds, [plain_value(one, args[one["name"]]) for one in parameters]))


def identity(entry: dict[str, Any]) -> bytes:
    """keccak of its canonical form."""
    kinds = ",".join(map(canonical, entry["inputs"]))
    return bytes(keccak(f"{entry['name']}({kinds})".encode()))


def entries(kind: str) -> list[dict[str, Any]]:
    """All of a kind, by name."""
    return sorted((e for e in ABI if e["type"] == kind), key=lambda e: str(e["name"]))


def calls() -> list[dict[str, Any]]:
    """Calldata of every function."""
    rows = []
    for entry in entries("function"):
        args = {one["name"]: sample(one, entry["name"]) for one in entry["inputs"]}
        if "delivery" in args:
            args["delivery"]["fragment"] = fixed("fragment", 80)
        for delivery in args.get("deliveries", []):
            delivery["fragment"] = fixed("fragment", 80)
        calldata = identity(entry)[:4] + encoded(entry["inputs"], args)
        rows.append({"function": entry["name"], "args": args, "calldata": calldata})
    return rows


def reverts() -> list[dict[str, Any]]:
    """What the contract refuses with, and what else a revert may hold."""
    rows = []
    for entry in entries("error"):
        args = {one["name"]: sample(one, entry["name"]) for one in entry["inputs"]}
        if "status" in args:
            args["status"] = 3
        data = identity(entry)[:4] + encoded(entry["inputs"], args)
        rows.append({"error": entry["name"], "args": args, "data": data})
    too_long = rows[0]["data"] + bytes(1)
    rows.append({"error": "unknown", "args": None, "data": too_long})
    rows.append({"error": "unknown", "args": None, "data": b"\xde\xad\xbe\xef"})
    rows.append({"error": "", "args": {}, "data": b""})
    panic = bytes.fromhex("4e487b71") + (17).to_bytes(32, "big")
    rows.append({"error": "Panic", "args": {"code": 17}, "data": panic})
    text = bytes.fromhex("08c379a0") + bytes(encode(["string"], ["no"]))
    return [*rows, {"error": "Error", "args": {"message": "no"}, "data": text}]


def a_log(entry: dict[str, Any], args: dict[str, Any]) -> dict[str, Any]:
    """A log as the contract writes it."""
    indexed = [one for one in entry["inputs"] if one.get("indexed")]
    rest = [one for one in entry["inputs"] if not one.get("indexed")]
    topics = [identity(entry), *(encoded([one], args) for one in indexed)]
    return {"address": MARKET, "topics": topics, "data": encoded(rest, args)}


def event_args(entry: dict[str, Any]) -> dict[str, Any]:
    """Arguments of an event; those of a purchase fit each other."""
    args = {one["name"]: sample(one, entry["name"]) for one in entry["inputs"]}
    if entry["name"] == "ItemPurchased":
        args["seller"] = SELLER
        args["terms"] |= {"itemId": _ITEM, "parts": 3, "threshold": 2}
        args["keys"] = [a_key(f"buyer key {i}")[1] for i in range(3)]
        args |= {"copy": 2**64 - 1, "purchaseBlock": 2**47 + 5, "purchaseTime": 2**48 - 1}
        args["copyId"] = hashing.copy_id(SELLER, _ITEM, args["copy"])
    return args


def events() -> list[dict[str, Any]]:
    """A log of every event."""
    rows = []
    for entry in entries("event"):
        args = event_args(entry)
        rows.append({"event": entry["name"], "args": args, **a_log(entry, args)})
    return rows


def refused_logs() -> list[dict[str, Any]]:
    """Logs that the contract cannot have written, each made from one that it can."""
    good = {row["event"]: row for row in events()}
    rows: list[dict[str, Any]] = []

    def refuse(why: str, event: str, **change: Any) -> None:
        row = good[event]
        rows.append(
            {"why": why, "event": event}
            | {key: change.get(key, row[key]) for key in ("address", "topics", "data")}
        )

    def flip(data: bytes, at: int) -> bytes:
        return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]

    for event in ("ItemPurchased", "FragmentDelivered", "FragmentsSigned", "Evidence", "SaleRated"):
        topics, data = good[event]["topics"], good[event]["data"]
        refuse("a word more", event, data=data + bytes(32))
        refuse("a byte more", event, data=data + bytes(1))
        refuse("a word less", event, data=data[:-32])
        refuse("a topic less", event, topics=topics[:-1])
        refuse("a topic more", event, topics=[*topics, bytes(32)])
        refuse(
            "an address word with dirty padding", event, topics=[*topics[:-1], flip(topics[-1], 0)]
        )
    purchase, part = good["ItemPurchased"]["data"], good["FragmentDelivered"]["data"]
    refuse("dirty padding of a uint64", "ItemPurchased", data=flip(purchase, 32))
    refuse("another copy than copyId has", "ItemPurchased", data=flip(purchase, 63))
    refuse("another place of the keys", "ItemPurchased", data=flip(purchase, 17 * 32 + 31))
    refuse(
        "another number of keys than of parts", "ItemPurchased", data=flip(purchase, 12 * 32 + 31)
    )
    refuse("a boolean over 1", "ItemPurchased", data=flip(purchase, 11 * 32 + 30))
    refuse("a time over 48 bits", "ItemPurchased", data=flip(purchase, 3 * 32 + 25))
    refuse("an index over 8 bits", "FragmentDelivered", data=flip(part, 30))
    refuse("dirty padding of a bytes16", "FragmentDelivered", data=flip(part, 6 * 32 + 16))
    text, signed = good["Evidence"]["data"], good["FragmentsSigned"]["data"]
    refuse("dirty padding of a text", "Evidence", data=flip(text, len(text) - 1))
    refuse("another place of the text", "Evidence", data=flip(text, 31))
    refuse("another number of entries", "FragmentsSigned", data=flip(signed, 3 * 32 + 31))
    refuse("stars over 8 bits", "SaleRated", data=flip(good["SaleRated"]["data"], 30))
    refuse("another contract", "SaleSettled", address=an_address("another market"))
    refuse("no topic", "SaleSettled", topics=[])
    refuse("another event's topic", "SaleSettled", topics=good["SaleRefunded"]["topics"])
    return rows
