"""Canonical DAG-JSON for blocks, and strict JSON for files that people write.

`decode` reads a block: the one canonical form (https://ipld.io/specs, codec dag-json; protocol,
section 4.1) and nothing else, so that the same content has the same CID and every reader, in every
language, comes to the same verdict. `dumps` writes that form. `loads` reads a file: white space,
escapes and the order of keys are free there, but no key twice, no float, NaN, negative or huge
number, no deep nesting, no lone surrogate, UTF-8 alone. Everything refused is `Malformed`, in time
linear in the size.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, NoReturn

from dam.errors import Malformed
from dam.ipfs.cid import codec_of

MAX_DEPTH = 32
"""Levels of arrays and objects within each other."""
MAX_INTEGER = 2**53 - 1
"""The largest that JavaScript reads as it stands. Larger numbers are written as texts."""

# A string is matched whole, even one that never ends: no byte is looked at twice.
_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[{]|[\]}]', re.DOTALL)


def _check_depth(text: str, limit: int) -> None:
    if text.count("[") + text.count("{") <= limit:
        return
    depth = 0
    for match in _TOKEN.finditer(text):
        first = text[match.start()]
        if first in "[{":
            depth += 1
            if depth > limit:
                raise Malformed(f"JSON nested deeper than {limit} levels")
        elif first in "]}":
            depth -= 1


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise Malformed("JSON object with a key twice")
    return result


def _integer(digits: str) -> int:
    if digits.startswith("-"):
        raise Malformed("JSON with a negative number")
    # 16 digits are those of 2^53; beyond, int() would only burn time.
    if len(digits) > 16 or int(digits) > MAX_INTEGER:
        raise Malformed("JSON with a number over 2^53 - 1")
    return int(digits)


def _no_number(_: str) -> NoReturn:
    raise Malformed("JSON with a number that is not an integer")


def _check_strings(value: Any) -> None:
    """Refuses lone surrogates, which an escape can smuggle past the UTF-8 decoder."""
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise Malformed("JSON string with a lone surrogate") from None
    elif isinstance(value, list):
        for element in value:
            _check_strings(element)
    elif isinstance(value, dict):
        for key, element in value.items():
            _check_strings(key)
            _check_strings(element)


def _linked(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of a block: the key ``/`` makes it a link, and then it is nothing else."""
    result = _object(pairs)
    if "/" in result:
        if codec_of(result["/"]) is None:
            raise Malformed("DAG-JSON with a key '/' that is no link that DAM reads")
        if len(result) > 1:
            raise Malformed("DAG-JSON with a link that has a second key")
    return result


def _parse(data: bytes, max_depth: int, read: Callable[[list[tuple[str, Any]]], Any]) -> Any:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed("JSON that is not UTF-8") from None
    _check_depth(text, max_depth)
    try:
        return json.loads(
            text,
            object_pairs_hook=read,
            parse_int=_integer,
            parse_float=_no_number,
            parse_constant=_no_number,
        )
    except json.JSONDecodeError as error:
        raise Malformed(f"not JSON: {error.msg} at character {error.pos}") from None
    except (ValueError, RecursionError) as error:
        raise Malformed(f"not JSON: {type(error).__name__}") from None


def loads(data: bytes, *, max_depth: int = MAX_DEPTH) -> Any:
    """Parses strict JSON; the caller has capped the size.

    Raises:
        Malformed: The bytes break a rule; the message says which.
    """
    value = _parse(data, max_depth, _object)
    if b"\\u" in data:
        _check_strings(value)
    return value


def decode(data: bytes) -> Any:
    """The value of a DAG-JSON block; the caller has capped the size and checked the CID.

    Raises:
        Malformed: It is not the canonical form of anything, escapes more than quotes, backslashes
            and newlines, or has a key ``/`` that is not a link and nothing else.
    """
    # Escapes are taken out pair by pair from the left: what is left begins another one.
    if b"\\" in data.replace(rb"\\", b"").replace(rb"\"", b"").replace(rb"\n", b""):
        raise Malformed("DAG-JSON with an escape other than those of quote, backslash and newline")
    value = _parse(data, MAX_DEPTH, _linked)
    if _write(value) != data:
        raise Malformed("DAG-JSON that is not canonical: keys out of order, or white space")
    return value


def _check_integers(value: Any) -> None:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for element in value:
            _check_integers(element)
    elif isinstance(value, int) and not 0 <= value <= MAX_INTEGER:
        raise Malformed("an integer in JSON is from 0 to 2^53 - 1: write a larger one as a text")


def dumps(value: Any) -> bytes:
    """The canonical bytes of a value made of dicts, lists, strings, integers, booleans and None.

    Raises:
        Malformed: It holds something else, or an integer that `loads` refuses.
    """
    try:
        _check_integers(value)
        return _write(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise Malformed(f"cannot be written as JSON: {type(error).__name__}") from None


def _write(value: Any) -> bytes:
    return json.dumps(
        value,
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
        allow_nan=False,
    ).encode("utf-8")
