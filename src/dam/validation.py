"""Readers of fields of untrusted documents: each returns a typed value or raises `Malformed`.

``what`` names the field in the message; the hostile value itself is never in it. Which characters
an id, a line or a text may hold stands in ``text_rules.json``, which other implementations read,
too (protocol, section 4.1).
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Collection, Iterator
from importlib.resources import files
from typing import Any, TypeVar

from dam.crypto.hashing import parse_address
from dam.errors import BlockRefused, Malformed
from dam.ipfs.cid import Cid, Codec
from dam.ipfs.dag_json import MAX_INTEGER
from dam.types import MAX_AMOUNT, Address

MAX_ID_BYTES = 128
MAX_TITLE_BYTES = 512
MAX_METADATA_DEPTH = 8
MARKET_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}", re.ASCII)
"""What a user, or a list of markets, calls a market."""
_AMOUNT = re.compile(r"0|[1-9][0-9]{0,38}", re.ASCII)
_HEX = re.compile(r"0x(?:[0-9a-f]{2})*", re.ASCII)

_IN_IDS, _IN_LINES, _IN_TEXTS, _NOWHERE = range(4)
"""Where a character may stand; in what comes later in this order as well."""


_RULES = json.loads(files("dam").joinpath("text_rules.json").read_bytes())


def _ranges(name: str) -> Iterator[range]:
    for pair in _RULES[name]:
        low, high = (int(end, 16) for end in pair.split("-"))
        yield range(low, high + 1)


def _spread(*lists: str) -> bytes:
    """For each code point the number, from 1, of the last of the lists that has it; else 0."""
    spread = bytearray(0x110000)
    for number, name in enumerate(lists, start=1):
        for one in _ranges(name):
            spread[one.start : one.stop] = bytes((number,)) * len(one)
    return bytes(spread)


_PLACES = _spread("not_in_ids", "texts_only", "nowhere")
_ENDS = frozenset(chr(point) for one in _ranges("not_at_ends") for point in one)
T = TypeVar("T")


def record(value: Any, what: str, required: Collection[str], optional: Collection[str] = ()) -> Any:
    """A JSON object with these keys and no others."""
    if not isinstance(value, dict):
        raise Malformed(f"{what} is not an object")
    missing = [key for key in required if key not in value]
    if missing:
        raise Malformed(f"{what} lacks {', '.join(missing)}")
    if len(value) > len(required) and any(k not in required and k not in optional for k in value):
        raise Malformed(f"{what} has a key that this version does not know")
    return value


def array(value: Any, what: str, limit: int, read: Callable[[Any, str], T]) -> tuple[T, ...]:
    """A JSON array of at most ``limit`` elements, each read by ``read``."""
    if not isinstance(value, list):
        raise Malformed(f"{what} is not an array")
    if len(value) > limit:
        raise Malformed(f"{what} has over {limit} elements")
    return tuple([read(element, what) for element in value])


def amount(value: Any, what: str, limit: int = MAX_AMOUNT) -> int:
    """A number of smallest units, as a decimal string without leading zeros."""
    if not isinstance(value, str) or not _AMOUNT.fullmatch(value):
        raise Malformed(f"{what} is not a whole number, written as a text")
    number = int(value)
    if number > limit:
        raise Malformed(f"{what} is over its limit of {limit}")
    return number


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


def _printable(value: Any, what: str, limit: int, place: int) -> str:
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
    if max(map(_PLACES.__getitem__, map(ord, value))) > place:
        raise Malformed(f"{what} holds control, invisible or unassigned characters")
    return value


def identifier(value: Any, what: str, limit: int = MAX_ID_BYTES) -> str:
    """An id: one line of at most 128 bytes, in one spelling alone (NFC, no odd spaces)."""
    text = _printable(value, what, limit, _IN_IDS)
    # Only now: what a runtime's Unicode does not know yet, it would normalise as it pleases.
    if not unicodedata.is_normalized("NFC", text):
        raise Malformed(f"{what} is not in normal form (NFC)")
    return _trimmed(text, what)


def title(value: Any, what: str, limit: int = MAX_TITLE_BYTES) -> str:
    """One line for people to read, at most 512 bytes."""
    return _trimmed(_printable(value, what, limit, _IN_LINES), what)


def _trimmed(text: str, what: str) -> str:
    if text[0] in _ENDS or text[-1] in _ENDS:
        raise Malformed(f"{what} has spaces around it")
    return text


def text(value: Any, what: str, limit: int) -> str:
    """Plain text of several lines, at most ``limit`` bytes; it may be empty."""
    return value if value == "" else _printable(value, what, limit, _IN_TEXTS)


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
            _printable(key, what, MAX_ID_BYTES, _IN_IDS)
            _check_metadata(element, what, depth - 1)
    elif isinstance(value, list):
        for element in value:
            _check_metadata(element, what, depth - 1)
    elif isinstance(value, str):
        text(value, what, 1 << 20)
    elif value is not None and not isinstance(value, bool):
        integer(value, what, 0, MAX_INTEGER)
