"""The contract's ABI: calldata, event logs, results and custom errors.

The ABI ships as package data (``abi/Marketplace.json``, written by ``make abi``). What stands on
the path of every sale (`Delivery` calldata, ``ItemPurchased``, ``FragmentDelivered``) is packed by
hand; so is everything made of static words alone, which is most of the rest. Only what is left
goes through eth_abi. Format: Solidity's contract ABI specification.

Decoding is strict: the contract emits one encoding of a value, so anything else is a forgery.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from dam.crypto.hashing import checksum, keccak
from dam.errors import ContractReverted, Malformed
from dam.market.calldata import BY_HAND, FRAGMENT_PAD, FRAGMENT_TAIL, encode_word
from dam.types import FRAGMENT_BYTES, MAX_PARTS, Status, Terms

_WORD = 32
_ERROR_STRING = bytes.fromhex("08c379a0")  # Error(string)
_PANIC = bytes.fromhex("4e487b71")  # Panic(uint256)

# An address turns up in many logs, and its checksum costs a hash.
_checksum = lru_cache(maxsize=65536)(checksum)


@dataclass(frozen=True, slots=True)
class Param:
    """One input or output of the ABI."""

    name: str
    type: str
    """With structs spelled out: ``(bytes32,address)``."""
    indexed: bool = False

    @property
    def static(self) -> bool:
        """One word, by itself."""
        return _STATIC.fullmatch(self.type) is not None


@dataclass(frozen=True, slots=True)
class Entry:
    """A function, event or error."""

    name: str
    inputs: tuple[Param, ...]
    outputs: tuple[Param, ...]
    id: bytes
    """The selector (4 bytes), or an event's first topic (32 bytes)."""


_STATIC = re.compile(r"address|bool|u?int\d+|bytes\d+")


class Abi:
    """Every function, event and error of the contract, by name and by id."""

    def __init__(self, entries: Sequence[dict[str, Any]]) -> None:
        self.functions: dict[str, Entry] = {}
        self.events: dict[bytes, Entry] = {}
        self.errors: dict[bytes, Entry] = {}
        for raw in entries:
            kind = raw["type"]
            if kind not in ("function", "event", "error"):
                continue
            inputs = tuple(map(_param, raw["inputs"]))
            digest = keccak(f"{raw['name']}({','.join(p.type for p in inputs)})".encode())
            if kind == "event":
                self.events[digest] = Entry(raw["name"], inputs, (), digest)
            elif kind == "error":
                self.errors[digest[:4]] = Entry(raw["name"], inputs, (), digest[:4])
            else:
                if raw["name"] in self.functions:
                    raise ValueError(f"{raw['name']}: overloaded functions are not supported")
                outputs = tuple(map(_param, raw["outputs"]))
                self.functions[raw["name"]] = Entry(raw["name"], inputs, outputs, digest[:4])

    def topic(self, event: str) -> bytes:
        """The first topic of an event, by name."""
        return next(topic for topic, entry in self.events.items() if entry.name == event)


@lru_cache(maxsize=1)
def market_abi() -> Abi:
    """The ABI in the package."""
    return Abi(json.loads(files("dam").joinpath("abi", "Marketplace.json").read_bytes()))


def encode(function: str, *args: Any) -> bytes:
    """Calldata of a call.

    Args:
        function: Its name, such as ``deliverFragment``.
        args: In the contract's order; `Terms`, `Sale`, `Escrow` and `Delivery` as they are,
            the latter also as `abi_packing.pack_delivery` made it.

    Raises:
        Malformed: an argument does not fit its type, or there are too few or too many.
    """
    entry = market_abi().functions.get(function)
    if entry is None:
        raise Malformed(f"the contract has no function {ascii(function)[:60]}")
    if len(args) != len(entry.inputs):
        raise Malformed(f"{function} takes {len(entry.inputs)} arguments, not {len(args)}")
    try:
        packed = BY_HAND.get(function)
        if packed is not None:
            return entry.id + packed(*args)
        if all(p.static for p in entry.inputs):
            return entry.id + b"".join(
                encode_word(p.type, value) for p, value in zip(entry.inputs, args, strict=True)
            )
        from eth_abi.abi import encode as encode_any

        types = [p.type for p in entry.inputs]
        return entry.id + encode_any(types, [_plain(value) for value in args])
    except (ValueError, TypeError, OverflowError, AttributeError) as error:
        raise Malformed(f"{function}: {type(error).__name__}: {str(error)[:120]}") from None
    except Exception as error:  # noqa: BLE001 - eth_abi's errors have no base of their own
        raise Malformed(f"{function}: {type(error).__name__}") from None


def decode_result(function: str, data: bytes) -> tuple[Any, ...]:
    """What a view returned, as a tuple of its outputs.

    Raises:
        Malformed: the bytes are not an encoding of the outputs (no contract there, say).
    """
    outputs = market_abi().functions[function].outputs
    if all(p.static for p in outputs):
        return tuple(_decode_words(outputs, data).values())
    from eth_abi.abi import decode as decode_any

    try:
        return tuple(decode_any([p.type for p in outputs], data))
    except Exception as error:  # noqa: BLE001 - eth_abi's errors have no base of their own
        raise Malformed(f"{function} returned {type(error).__name__}") from None


def decode_event(topics: Sequence[bytes], data: bytes) -> tuple[str, dict[str, Any]]:
    """Name and arguments of a log of the market.

    ``terms`` is a `Terms`, ``keys`` a tuple of bytes; other values are integers, booleans, bytes
    and checksummed addresses.

    Raises:
        Malformed: no event of the contract, or not as the contract encodes it.
    """
    if not topics or topics[0] not in market_abi().events:
        raise Malformed("no event of this contract")
    entry = market_abi().events[topics[0]]
    indexed = [p for p in entry.inputs if p.indexed]
    if len(topics) != 1 + len(indexed):
        raise Malformed(f"{entry.name} has {len(indexed)} indexed arguments")
    args = _decode_words(indexed, b"".join(topics[1:]))
    rest = [p for p in entry.inputs if not p.indexed]
    if entry.name == "ItemPurchased":
        args |= _decode_purchase(data)
    elif entry.name in ("FragmentDelivered", "FragmentSupplied"):
        args |= _decode_fragment(rest, data)
    elif [p.type for p in rest] == ["string"]:
        args[rest[0].name] = _decode_string(data)
    elif all(p.static for p in rest):
        args |= _decode_words(rest, data)
    else:
        raise Malformed(f"{entry.name}: no decoder")
    return entry.name, args


def decode_terms(data: bytes) -> Terms:
    """The twelve words of a `Terms` in the log of a purchase.

    Raises:
        Malformed: they are not such.
    """
    return Terms(**_decode_words(_TERMS_PARAMS, data))


def decode_revert(data: bytes) -> ContractReverted:
    """What a revert's data says: a custom error of the contract with its arguments by name.

    Arguments that are bytes come as ``0x`` hex, for they are there to be read. Unknown data gives
    the error ``unknown`` with its first bytes; no data, an error without a name.
    """
    if not data:
        return ContractReverted("")
    selector, body = data[:4], data[4:]
    entry = market_abi().errors.get(selector)
    try:
        if entry is not None:
            args = {k: _readable(k, v) for k, v in _decode_words(entry.inputs, body).items()}
            return ContractReverted(entry.name, args)
        if selector == _PANIC:
            return ContractReverted("Panic", {"code": int.from_bytes(body[:32], "big")})
        if selector == _ERROR_STRING:
            size = int.from_bytes(body[32:64], "big")
            text = body[64 : 64 + min(size, 200)].decode("utf-8", "replace")
            return ContractReverted("Error", {"message": ascii(text)[1:-1]})
    except Malformed:
        pass
    return ContractReverted("unknown", {"data": "0x" + data[:36].hex()})


def _param(raw: dict[str, Any]) -> Param:
    def canonical(item: dict[str, Any]) -> str:
        kind: str = item["type"]
        if kind.startswith("tuple"):
            inner = ",".join(canonical(component) for component in item["components"])
            return f"({inner}){kind.removeprefix('tuple')}"
        return kind

    return Param(raw["name"], canonical(raw), raw.get("indexed", False))


# ------------------------------------------------------------------------------------ single words


def _decode_word(kind: str, word: bytes) -> Any:
    if kind == "bytes32":
        return word
    if kind == "address":
        if word[:12] != bytes(12):
            raise Malformed("not an address word")
        return _checksum(word[12:])
    if kind.startswith("bytes"):
        size = int(kind.removeprefix("bytes"))
        if any(word[size:]):
            raise Malformed(f"not a {kind} word")
        return word[:size]
    number = int.from_bytes(word, "big")
    if kind == "bool":
        if number > 1:
            raise Malformed("not a boolean word")
        return number == 1
    if number >> int(kind.removeprefix("uint")):
        raise Malformed(f"not a {kind} word")
    return number


def _decode_words(params: Sequence[Param], data: bytes) -> dict[str, Any]:
    if len(data) != _WORD * len(params):
        raise Malformed(f"{len(data)} bytes for {len(params)} words")
    return {
        p.name or str(i): _decode_word(p.type, data[_WORD * i : _WORD * i + _WORD])
        for i, p in enumerate(params)
    }


def _readable(name: str, value: Any) -> Any:
    if name == "status" and value < len(Status):
        return Status(value).name
    return "0x" + value.hex() if isinstance(value, bytes) else value


# ---------------------------------------------------------------------------------------- records


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


_TERMS_PARAMS = tuple(
    Param(name, kind)
    for name, kind in (
        ("item_id", "bytes32"),
        ("token", "address"),
        ("price", "uint128"),
        ("commission", "uint128"),
        ("penalty", "uint128"),
        ("bond", "uint128"),
        ("supply", "uint64"),
        ("stock", "bool"),
        ("parts", "uint8"),
        ("threshold", "uint8"),
        ("arbitrator", "address"),
        ("parts_root", "bytes32"),
    )
)
_PURCHASE_HEAD = _WORD * (2 + len(_TERMS_PARAMS) + 1)


def _decode_purchase(data: bytes) -> dict[str, Any]:
    head, tail = data[:_PURCHASE_HEAD], data[_PURCHASE_HEAD + _WORD :]
    count = int.from_bytes(data[_PURCHASE_HEAD : _PURCHASE_HEAD + _WORD], "big")
    if int.from_bytes(head[-_WORD:], "big") != _PURCHASE_HEAD or count > MAX_PARTS:
        raise Malformed("ItemPurchased: keys are not where they belong")
    if len(data) != _PURCHASE_HEAD + _WORD * (1 + count):
        raise Malformed("ItemPurchased: wrong length")
    terms = decode_terms(head[2 * _WORD : -_WORD])
    if terms.parts != count:
        raise Malformed("ItemPurchased: one key per part")
    return {
        "storeDigest": head[:_WORD],
        "copy": _decode_word("uint64", head[_WORD : 2 * _WORD]),
        "terms": terms,
        "keys": tuple(tail[i : i + _WORD] for i in range(0, len(tail), _WORD)),
    }


def _decode_string(data: bytes) -> str:
    """A text that somebody gave the contract: any bytes, so what is no UTF-8 is replaced."""
    size = int.from_bytes(data[_WORD : 2 * _WORD], "big")
    end = 2 * _WORD + size
    if int.from_bytes(data[:_WORD], "big") != _WORD or len(data) != end + -size % _WORD:
        raise Malformed("a text is not where it belongs")
    if any(data[end:]):
        raise Malformed("a text with something behind it")
    return data[2 * _WORD : end].decode("utf-8", "replace")


_FRAGMENT_HEAD = _WORD * 4
_FRAGMENT_MIDDLE = _FRAGMENT_HEAD.to_bytes(_WORD, "big") + FRAGMENT_TAIL


def _decode_fragment(params: Sequence[Param], data: bytes) -> dict[str, Any]:
    start = _FRAGMENT_HEAD + _WORD
    end = start + FRAGMENT_BYTES
    if (
        len(data) != end + len(FRAGMENT_PAD)
        or data[_FRAGMENT_HEAD - _WORD : start] != _FRAGMENT_MIDDLE
        or data[end:] != FRAGMENT_PAD
    ):
        raise Malformed("a fragment of the wrong length")
    args = _decode_words(params[:3], data[: 3 * _WORD])
    args["fragment"] = data[start:end]
    return args
