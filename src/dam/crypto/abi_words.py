"""Solidity's ABI for values of one word, and for the structs that `dam.types` describes.

A static value is one word of 32 bytes, and a struct of static values is its words in order
(Solidity's contract ABI specification, "Formal Specification of the Encoding"). Packing them here
takes a twentieth of a general codec's time, and these words stand on the path of every delivery.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import cache, lru_cache
from operator import attrgetter
from typing import Any, get_args, get_type_hints

from dam.types import Address, CopyId

WORD_BYTES = 32
_KINDS = {Address: "address", CopyId: "bytes32", bool: "bool"}


def _hints(struct: type) -> list[Any]:
    hints = get_type_hints(struct, include_extras=True)
    return [hints[field.name] for field in fields(struct)]


@cache
def abi_fields(struct: type) -> dict[str, str]:
    """Names and ABI types of the fields of a record, in the contract's order."""
    names = [field.name for field in fields(struct)]
    return dict(zip(names, map(_kind, _hints(struct)), strict=True))


@cache
def abi_type(struct: type) -> str:
    """A record's ABI type with its fields spelled out: ``(bytes32,address)``."""
    return f"({','.join(abi_fields(struct).values())})"


def _kind(hint: Any) -> str:
    if is_dataclass(hint):
        return abi_type(hint) if isinstance(hint, type) else ""
    if hasattr(hint, "__metadata__"):
        return str(hint.__metadata__[0])
    return _KINDS[hint] if hint in _KINDS else _kind(get_args(hint)[0]) + "[]"


def uint_word(value: int) -> bytes:
    """A whole number as a word.

    Raises:
        OverflowError: It is negative or over 256 bits.
    """
    return value.to_bytes(WORD_BYTES, "big")


def _uint_encoder(bits: int) -> Callable[[int], bytes]:
    limit = 1 << bits

    def encode(value: int) -> bytes:
        if type(value) is not int or not 0 <= value < limit:
            raise ValueError(f"not a uint{bits}")
        return value.to_bytes(WORD_BYTES, "big")

    return encode


@lru_cache(maxsize=512)
def address_word(value: Address) -> bytes:
    """An address as a word.

    Raises:
        ValueError: It is not ``0x`` and 40 hex digits.
    """
    raw = bytes.fromhex(value[2:])
    if len(raw) != 20 or len(value) != 42 or not value.startswith("0x"):
        raise ValueError("not an address")
    return bytes(12) + raw


def _bool_word(value: bool) -> bytes:
    if not isinstance(value, bool):
        raise TypeError("not a boolean")
    return int(value).to_bytes(WORD_BYTES, "big")


def _bytes32_word(value: bytes) -> bytes:
    if not isinstance(value, bytes) or len(value) != WORD_BYTES:
        raise ValueError("not 32 bytes")
    return value


def _two_words(value: bytes) -> bytes:
    if not isinstance(value, bytes) or len(value) != 2 * WORD_BYTES:
        raise ValueError("not 64 bytes")
    return value


_ENCODERS: dict[str, Callable[[Any], bytes]] = {
    "address": address_word,
    "bool": _bool_word,
    "bytes32": _bytes32_word,
    "bytes32[2]": _two_words,
}


@cache
def word_encoder(kind: str) -> Callable[[Any], bytes]:
    """The function that makes words of a value of this static type: one of each, two of
    ``bytes32[2]``, whose value is 64 bytes.
    """
    if kind.startswith("uint"):
        return _uint_encoder(int(kind[4:]))
    return _ENCODERS[kind]


@cache
def _encoder(struct: type) -> Callable[[object], bytes]:
    words = _static_words(struct)
    encoders = [word_encoder(kind) for kind in words.values()]
    values = attrgetter(*words)
    return lambda record: b"".join([encode(v) for encode, v in zip(encoders, values(record))])  # noqa: B905 - one each


def _static_words(struct: type) -> dict[str, str]:
    """Dotted name and ABI type of each static field, those of structs within it included."""
    found: dict[str, str] = {}
    for (name, kind), hint in zip(abi_fields(struct).items(), _hints(struct), strict=True):
        if is_dataclass(hint) and isinstance(hint, type):
            found |= {f"{name}.{inner}": k for inner, k in _static_words(hint).items()}
        elif kind != "bytes" and not kind.endswith("[]"):
            found[name] = kind
    return found


def encode_struct(record: object) -> bytes:
    """``abi.encode`` of the static fields of a record; only `Delivery` has others.

    Raises:
        ValueError, TypeError: A field does not fit its type.
    """
    struct: type = type(record)
    return _encoder(struct)(record)
