"""The contract's ABI: calldata, event logs, results and custom errors.

The ABI ships as package data (``abi/Marketplace.json``, written by ``make abi``). Static words and
structs, which is most of it, are packed by `dam.crypto.abi_words`, the rest by eth_abi. What stands
on the path of every sale is specialised: deliveries in `dam.market.calldata`, the logs of purchases
and fragments in `dam.market.log_decoder`. Format: Solidity's contract ABI specification.

Decoding is strict: the contract emits one encoding of a value, so anything else is a forgery.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, is_dataclass
from functools import lru_cache
from importlib.resources import files
from itertools import accumulate
from typing import Any

from dam.crypto.abi_words import WORD_BYTES, abi_fields, abi_type, encode_struct, word_encoder
from dam.crypto.hashing import checksum, keccak
from dam.errors import ContractReverted, Malformed
from dam.market.calldata import pack_many, pack_one
from dam.market.log_rows import split_words
from dam.types import Delivery, Escrow, Sale, Signature, Split, Status, Terms

_DELIVERY, _SIGNATURE = abi_type(Delivery), abi_type(Signature)
_STATIC_STRUCTS = {abi_type(struct): struct for struct in (Terms, Sale, Escrow, Signature, Split)}
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
        """Whether it is words in place: one, or two of ``bytes32[2]``."""
        return _STATIC.fullmatch(self.type) is not None

    @property
    def words(self) -> int:
        """How many, of a static one."""
        return _words(self.type)


@dataclass(frozen=True, slots=True)
class Entry:
    """A function, event or error."""

    name: str
    inputs: tuple[Param, ...]
    outputs: tuple[Param, ...]
    id: bytes
    """The selector (4 bytes), or an event's first topic (32 bytes)."""


_STATIC = re.compile(r"address|bool|u?int\d+|bytes\d+|bytes32\[2\]")


def _words(kind: str) -> int:
    return 2 if kind == "bytes32[2]" else 1


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
        args: In the contract's order; structs as the records of `dam.types`, a `Delivery` also as
            `calldata.pack_delivery` made it, ``bytes32[2]`` as 64 bytes.

    Raises:
        Malformed: an argument does not fit its type, or there are too few or too many.
    """
    entry = market_abi().functions.get(function)
    if entry is None:
        raise Malformed(f"the contract has no function {ascii(function)[:60]}")
    if len(args) != len(entry.inputs):
        raise Malformed(f"{function} takes {len(entry.inputs)} arguments, not {len(args)}")
    try:
        return entry.id + _encode([p.type for p in entry.inputs], args)
    except (ValueError, TypeError, OverflowError, AttributeError) as error:
        raise Malformed(f"{function}: {type(error).__name__}: {str(error)[:120]}") from None
    except Exception as error:  # noqa: BLE001 - eth_abi's errors have no base of their own
        raise Malformed(f"{function}: {type(error).__name__}") from None


def _encode(kinds: Sequence[str], values: Sequence[Any]) -> bytes:
    if kinds == [_DELIVERY, _SIGNATURE]:
        return pack_one(*values)
    if kinds == [_DELIVERY + "[]", _SIGNATURE]:
        return pack_many(*values)
    if all(kind in _STATIC_STRUCTS or _STATIC.fullmatch(kind) for kind in kinds):
        return b"".join(map(_encode_static, kinds, values))
    from eth_abi.abi import encode as encode_any

    return encode_any(kinds, list(map(_plain, kinds, values)))


def _encode_static(kind: str, value: Any) -> bytes:
    if kind not in _STATIC_STRUCTS:
        return word_encoder(kind)(value)
    if type(value) is not _STATIC_STRUCTS[kind]:
        raise TypeError(f"not a {_STATIC_STRUCTS[kind].__name__}")
    return encode_struct(value)


def _plain(kind: str, value: Any) -> Any:
    """A value as eth_abi takes it; refused where eth_abi would fill up what is too short."""
    if kind.endswith("[]"):
        return [_plain(kind[:-2], one) for one in value]
    if is_dataclass(value) and not isinstance(value, type):
        if abi_type(type(value)) != kind:
            raise TypeError(f"{type(value).__name__} is not {kind}")
        values = [getattr(value, name) for name in abi_fields(type(value))]
        return tuple(map(_plain, abi_fields(type(value)).values(), values))
    if kind.startswith("("):
        raise TypeError("a struct is a record of dam.types")
    if _STATIC.fullmatch(kind):
        _encode_static(kind, value)
    return (value[:WORD_BYTES], value[WORD_BYTES:]) if kind == "bytes32[2]" else value


def decode_result(function: str, data: bytes) -> tuple[Any, ...]:
    """The outputs of a view, decoded.

    Raises:
        Malformed: the bytes are not an encoding of the outputs (no contract there, say).
    """
    outputs = market_abi().functions[function].outputs
    kinds = [p.type for p in outputs]
    if all(p.static for p in outputs):
        return tuple(_decode_words(kinds, data))
    from eth_abi.abi import decode as decode_any

    try:
        return tuple(decode_any(kinds, data))
    except Exception as error:  # noqa: BLE001 - eth_abi's errors have no base of their own
        raise Malformed(f"{function} returned {type(error).__name__}") from None


def decode_event(topics: Sequence[bytes], data: bytes) -> tuple[str, dict[str, Any]]:
    """Name and arguments of a log of the market; not of those that `log_decoder` specialises in.

    Values are integers, booleans, bytes, texts and checksummed addresses.

    Raises:
        Malformed: no event of the contract, or not as the contract encodes it.
    """
    if not topics or topics[0] not in market_abi().events:
        raise Malformed("no event of this contract")
    entry = market_abi().events[topics[0]]
    indexed = [p for p in entry.inputs if p.indexed]
    if len(topics) != 1 + len(indexed):
        raise Malformed(f"{entry.name} has {len(indexed)} indexed arguments")
    args = _decode_params(indexed, b"".join(topics[1:]))
    rest = [p for p in entry.inputs if not p.indexed]
    if [p.type for p in rest] == ["string"]:
        args[rest[0].name] = _decode_string(data)
    elif [p.type for p in rest] == ["bytes32", "bytes32", "bytes32[]"]:
        args |= dict(zip([p.name for p in rest], _decode_list(data), strict=True))
    elif all(p.static for p in rest):
        args |= _decode_params(rest, data)
    else:
        raise Malformed(f"{entry.name}: no decoder")
    return entry.name, args


def decode_terms(data: bytes) -> Terms:
    """The words of a `Terms` in the log of a purchase.

    Raises:
        Malformed: they are not such.
    """
    return Terms(*_decode_words(list(abi_fields(Terms).values()), data))


def decode_revert(data: bytes) -> ContractReverted:
    """What a revert's data says: a custom error of the contract with its arguments by name.

    Arguments that are bytes are given as ``0x`` hex. Unknown data gives the error ``unknown`` with
    its first bytes; no data, an error without a name.
    """
    if not data:
        return ContractReverted("")
    selector, body = data[:4], data[4:]
    entry = market_abi().errors.get(selector)
    try:
        if entry is not None:
            args = {k: _readable(k, v) for k, v in _decode_params(entry.inputs, body).items()}
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
    if kind in ("bytes32", "bytes32[2]"):
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


def _decode_words(kinds: Sequence[str], data: bytes) -> list[Any]:
    sizes = [WORD_BYTES * _words(kind) for kind in kinds]
    if len(data) != sum(sizes):
        raise Malformed(f"{len(data)} bytes for {sum(sizes) // WORD_BYTES} words")
    ends = list(accumulate(sizes))
    places = zip(kinds, sizes, ends, strict=True)
    return [_decode_word(kind, data[end - size : end]) for kind, size, end in places]


def _decode_params(params: Sequence[Param], data: bytes) -> dict[str, Any]:
    values = _decode_words([p.type for p in params], data)
    return {
        p.name or str(i): value for i, (p, value) in enumerate(zip(params, values, strict=True))
    }


def _decode_list(data: bytes) -> tuple[bytes, bytes, tuple[bytes, ...]]:
    """Two words, and a list of words behind them."""
    words = split_words(data)
    place, size = (int.from_bytes(data[at : at + WORD_BYTES], "big") for at in (64, 96))
    if len(data) % WORD_BYTES or place != 3 * WORD_BYTES or size != len(words) - 4:
        raise Malformed("a list is not where it belongs")
    return words[0], words[1], words[4:]


def _decode_string(data: bytes) -> str:
    """A text that somebody gave the contract: any bytes, so what is no UTF-8 is replaced."""
    size = int.from_bytes(data[WORD_BYTES : 2 * WORD_BYTES], "big")
    end = 2 * WORD_BYTES + size
    if (
        int.from_bytes(data[:WORD_BYTES], "big") != WORD_BYTES
        or len(data) != end + -size % WORD_BYTES
    ):
        raise Malformed("a text is not where it belongs")
    if any(data[end:]):
        raise Malformed("a text with something behind it")
    return data[2 * WORD_BYTES : end].decode("utf-8", "replace")


def _readable(name: str, value: Any) -> Any:
    if name == "status" and value < len(Status):
        return Status(value).name
    return "0x" + value.hex() if isinstance(value, bytes) else value
