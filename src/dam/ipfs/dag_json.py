"""Strict parsing of untrusted JSON, and canonical DAG-JSON.

`loads` accepts less than the standard library does: no key twice, no float, NaN, negative or huge
number, no deep nesting, no lone surrogate, UTF-8 alone. Everything it refuses is `Malformed`, in
time linear in the size. `dumps` writes the canonical form of DAG-JSON (https://ipld.io/specs,
codec dag-json): sorted keys, no white space, so that the same content has the same CID.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from dam.errors import Malformed

MAX_DEPTH = 32
"""Levels of arrays and objects within each other."""
MAX_INTEGER = 2**63 - 1
"""What IPLD's integers hold: Kubo pins no document with a larger one, wherever it stands."""

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
    # 19 digits are those of 2^63; beyond, int() would only burn time.
    if len(digits) > 19 or int(digits) > MAX_INTEGER:
        raise Malformed("JSON with a number over 2^63 - 1")
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


def loads(data: bytes, *, max_depth: int = MAX_DEPTH) -> Any:
    """Parses strict JSON; the caller has capped the size.

    Raises:
        Malformed: The bytes break a rule; the message says which.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed("JSON that is not UTF-8") from None
    _check_depth(text, max_depth)
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_no_number,
            parse_constant=_no_number,
        )
    except json.JSONDecodeError as error:
        raise Malformed(f"not JSON: {error.msg} at character {error.pos}") from None
    except (ValueError, RecursionError) as error:
        raise Malformed(f"not JSON: {type(error).__name__}") from None
    if "\\u" in text:
        _check_strings(value)
    return value


def _check_integers(value: Any) -> None:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for element in value:
            _check_integers(element)
    elif isinstance(value, int) and not 0 <= value <= MAX_INTEGER:
        raise Malformed("an integer in JSON is from 0 to 2^63 - 1: write a larger one as a text")


def dumps(value: Any) -> bytes:
    """The canonical bytes of a value made of dicts, lists, strings, integers, booleans and None.

    Raises:
        Malformed: It holds something else, or an integer that `loads` refuses.
    """
    try:
        _check_integers(value)
        return json.dumps(
            value,
            sort_keys=True,
            separators=(",", ":"),
            ensure_ascii=False,
            allow_nan=False,
        ).encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise Malformed(f"cannot be written as JSON: {type(error).__name__}") from None
