"""Readers of fields of untrusted documents: each returns a typed value or raises `Malformed`.

``what`` names the field in the message; the hostile value itself is never in it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection
from typing import Any, TypeVar

from dam.crypto.hashing import parse_address
from dam.errors import BlockRefused, Malformed
from dam.ipfs.cid import Cid, Codec
from dam.types import MAX_AMOUNT, Address

MAX_ID_BYTES = 128
MAX_TITLE_BYTES = 512
MAX_METADATA_DEPTH = 8
MARKET_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}", re.ASCII)
"""What a user, or a list of markets, calls a market."""
_AMOUNT = re.compile(r"0|[1-9][0-9]{0,38}", re.ASCII)
_HEX = re.compile(r"0x(?:[0-9a-f]{2})*", re.ASCII)
# Controls (ANSI escapes and newlines among them), invisible format marks (which turn the direction
# of text, too), surrogates, line and paragraph separators.
_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_JOINERS = frozenset("\u200c\u200d")
T = TypeVar("T")


def record(value: Any, what: str, required: Collection[str], optional: Collection[str] = ()) -> Any:
    """A JSON object with these keys and no others."""
    if not isinstance(value, dict):
        raise Malformed(f"{what} is not an object")
    missing = [key for key in required if key not in value]
    if missing:
        raise Malformed(f"{what} lacks {', '.join(missing)}")
    if len(value) > len(required) and any(k not in required and k not in optional for k in value):
        raise Malformed(f"{what} has a key that version 1 does not know")
    return value


def array(value: Any, what: str, limit: int, read: Callable[[Any, str], T]) -> tuple[T, ...]:
    """A JSON array of at most ``limit`` elements, each read by ``read``."""
    if not isinstance(value, list):
        raise Malformed(f"{what} is not an array")
    if len(value) > limit:
        raise Malformed(f"{what} has over {limit} elements")
    return tuple([read(element, what) for element in value])


def amount(value: Any, what: str, limit: int = MAX_AMOUNT) -> int:
    """A number of smallest units: a decimal string, or a JSON integer."""
    if isinstance(value, str) and _AMOUNT.fullmatch(value):
        value = int(value)
    if type(value) is not int or value < 0:
        raise Malformed(f"{what} is not a whole number")
    if value > limit:
        raise Malformed(f"{what} is over its limit of {limit}")
    return value


def integer(value: Any, what: str, low: int, high: int) -> int:
    """A JSON integer from ``low`` to ``high``."""
    if type(value) is not int or not low <= value <= high:
        raise Malformed(f"{what} is not an integer from {low} to {high}")
    return value


def boolean(value: Any, what: str) -> bool:
    """A JSON boolean."""
    if not isinstance(value, bool):
        raise Malformed(f"{what} is not true or false")
    return value


def hexadecimal(value: Any, what: str, low: int, high: int | None = None) -> bytes:
    """``0x`` and lower-case digits: ``low`` bytes, or from ``low`` to ``high``."""
    size = (len(value) - 2) // 2 if isinstance(value, str) else -1
    if not low <= size <= (low if high is None else high) or not _HEX.fullmatch(value):
        raise Malformed(f"{what} is not 0x and the lower-case hex digits of {low} bytes")
    return bytes.fromhex(value[2:])


def bytes32(value: Any, what: str) -> bytes:
    """``0x`` and 64 lower-case hex digits."""
    return hexadecimal(value, what, 32)


def address(value: Any, what: str) -> Address:
    """An address in lower case or with the right checksum."""
    if not isinstance(value, str):
        raise Malformed(f"{what} is not an address")
    try:
        return parse_address(value)
    except Malformed:
        raise Malformed(f"{what} is not an address (0x and 40 hex digits, EIP-55)") from None


def link(value: Any, what: str, codec: Codec) -> Cid:
    """An IPLD link: ``{"/": "<CIDv1>"}``."""
    text = record(value, what, ("/",))["/"]
    try:
        cid = Cid.parse(text)
    except BlockRefused:
        raise Malformed(f"{what} is not a link to a block that DAM reads") from None
    if cid.codec != codec:
        raise Malformed(f"{what} does not link to a {codec} block")
    return cid


def _printable(value: Any, what: str, limit: int, allowed: Collection[str] = ()) -> str:
    if not isinstance(value, str) or not value:
        raise Malformed(f"{what} is not a text")
    try:
        size = len(value.encode("utf-8"))
    except UnicodeEncodeError:
        raise Malformed(f"{what} holds a lone surrogate") from None
    if size > limit:
        raise Malformed(f"{what} is longer than {limit} bytes")
    if value.isascii() and value.isprintable():
        return value
    if any(unicodedata.category(c) in _UNPRINTABLE and c not in allowed for c in value):
        raise Malformed(f"{what} holds control or invisible characters")
    return value


def identifier(value: Any, what: str) -> str:
    """An id: one line of at most 128 bytes, in one spelling alone (NFC, no odd spaces)."""
    text = _printable(value, what, MAX_ID_BYTES)
    odd = any(unicodedata.category(c) == "Zs" and c != " " for c in text)
    if odd or text != text.strip() or not unicodedata.is_normalized("NFC", text):
        raise Malformed(f"{what} is not in normal form (NFC, without spaces around it)")
    return text


def title(value: Any, what: str) -> str:
    """One line for people to read, at most 512 bytes."""
    text = _printable(value, what, MAX_TITLE_BYTES, _JOINERS)
    if text != text.strip():
        raise Malformed(f"{what} has spaces around it")
    return text


def metadata(value: Any, what: str) -> dict[str, Any]:
    """Whatever the seller adds: an object without the reserved key ``/`` and control characters.

    Newlines may stand in values. Escape it before printing all the same.
    """
    if not isinstance(value, dict):
        raise Malformed(f"{what} is not an object")
    _check_metadata(value, what, MAX_METADATA_DEPTH)
    return value


def _check_metadata(value: Any, what: str, depth: int) -> None:
    if depth == 0:
        raise Malformed(f"{what} is nested deeper than {MAX_METADATA_DEPTH} levels")
    if isinstance(value, dict):
        for key, element in value.items():
            if key == "/":  # of DAG-JSON's links and bytes: a node would follow it
                raise Malformed(f"{what} uses the reserved key '/'")
            _printable(key, what, MAX_ID_BYTES)
            _check_metadata(element, what, depth - 1)
    elif isinstance(value, list):
        for element in value:
            _check_metadata(element, what, depth - 1)
    elif isinstance(value, str):
        if value:
            _printable(value, what, 1 << 20, _JOINERS | {"\n"})
    elif value is not None and not isinstance(value, bool):
        integer(value, what, 0, 2**63 - 1)  # what IPLD's integers hold
