"""A TOML file of a person's, whatever stands in its place; and where in it things are."""

from __future__ import annotations

import codecs
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dam.atomic_file import open_regular
from dam.errors import Malformed, Permanent

MAX_BYTES = 16 << 20
_MAX_DEPTH = 64
_TEXT = re.compile(
    r'#[^\n]*|"""(?:\\.|[^\\])*?"{3,5}|\'{3}.*?\'{3,5}|"(?:\\.|[^"\\\n])*+"|\'[^\'\n]*+\'',
    re.DOTALL,
)
"""A comment or a string of TOML, those of several lines among them."""


def load(path: Path) -> tuple[str, dict[str, Any]]:
    """The text of a file and its tables.

    Raises:
        Permanent: It cannot be opened, or is no file.
        Malformed: What is in it is no TOML that DAM reads; the message says why.
    """
    try:
        with open_regular(path) as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise Permanent(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise Malformed(f"it is over {MAX_BYTES} bytes")
    if data.startswith(codecs.BOM_UTF8):
        raise Malformed("it begins with a byte order mark (BOM): save it as UTF-8 without one")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in data[:4]:
        raise Malformed("it is UTF-16 or UTF-32: save it as UTF-8")
    try:
        text = data.decode("utf-8")
        document = tomllib.loads(text)
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        raise Malformed(f"line {number} is not UTF-8: save the file as UTF-8") from None
    except ValueError as error:
        raise Malformed(f"it is not valid TOML: {error}") from None
    except RecursionError:
        raise Malformed(_DEEP) from None
    _check_depth(document)
    return text, document


_DEEP = f"its tables and lists are nested deeper than {_MAX_DEPTH} levels"


def _check_depth(document: dict[str, Any]) -> None:
    """Dotted keys nest without any recursion of tomllib's."""
    level: list[Any] = [document]
    for _ in range(_MAX_DEPTH):
        inner: list[Any] = []
        for value in level:
            inner += value.values() if isinstance(value, dict) else value
        level = [value for value in inner if isinstance(value, dict | list)]
        if not level:
            return
    raise Malformed(_DEEP)


class Lines:
    """Where in a store file things are: tomllib does not tell."""

    def __init__(self, text: str, document: Mapping[str, Any]) -> None:
        # TOML's own line ends alone, as editors and tomllib count them; no texts of several lines.
        self._lines = _TEXT.sub(_flattened, text).split("\n")
        heads = [
            number
            for number, line in enumerate(self._lines)
            if re.match(r"\s*\[\[\s*(items|\"items\"|'items')\s*\]\]", line)
        ]
        items = document.get("items")
        # Written in some other way: no lines rather than wrong ones.
        self._heads = heads if isinstance(items, list) and len(items) == len(heads) else []

    def item(self, index: int, key: str) -> str:
        """``line 12, `` for a key of an item, or of the item itself; empty if it is not known."""
        if index >= len(self._heads):
            return ""
        start = self._heads[index]
        own = rf"\s*[\"']?{re.escape(key)}[\"']?\s*[.=]"
        table = rf"\s*\[\s*items\s*\.\s*{re.escape(key)}\s*[\].]"
        for number in range(start + 1, len(self._lines) if key else 0):
            line = self._lines[number]
            if re.match(own, line) or re.match(table, line):
                return f"line {number + 1}, "
            if re.match(r"\s*\[[^\]]*\]+\s*(#.*)?$", line):  # the next table
                break
        return f"line {start + 1}, "


def _flattened(match: re.Match[str]) -> str:
    newlines = match[0].count("\n")
    return '""' + "\n" * newlines if newlines else match[0]
