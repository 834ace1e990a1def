"""Text for a terminal: its width, whether colours are wanted, and lines broken between words."""

from __future__ import annotations

import os
import re
import unicodedata
from typing import Any

_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
_GAP = re.compile(r"(?:^ +| {2,})(?=\S)")
_MAX_HANG = 28
"""Columns; a longer label does not push the lines below it to the right."""
_LONG_HEX = re.compile(r"\b0x(?:[0-9a-fA-F]{64}|[0-9a-fA-F]{40})\b")
_USUAL_COLUMNS = 80


def is_plain() -> bool:
    """Whether no colours and no movements of the cursor are wanted (https://no-color.org)."""
    return bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"


def width_of(stream: Any) -> int | None:
    """Columns of a terminal; None for a file or a pipe, where nothing is broken or shortened."""
    try:
        if not stream.isatty():
            return None
        named = os.environ.get("COLUMNS", "")
        if re.fullmatch(r"[1-9][0-9]{0,3}", named):
            return max(20, int(named))
        return max(20, os.get_terminal_size(stream.fileno()).columns or _USUAL_COLUMNS)
    except (OSError, ValueError, AttributeError):
        return _USUAL_COLUMNS


def columns(text: str) -> int:
    """How many columns a text takes: colours none, wide letters two."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in _ESCAPE.sub("", text)
    )


def shorten(text: str) -> str:
    """Addresses and hashes by both ends, as in ``0x12345678..90ab``."""
    return _LONG_HEX.sub(lambda match: f"{match[0][:10]}..{match[0][-4:]}", text)


def printable(text: str) -> str:
    """Text of others as a terminal can show it: what does not print is escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def fit(text: str, width: int | None) -> str:
    """Breaks long lines between words; what follows a label hangs under its text."""
    if width is None:
        return text
    return "\n".join(_broken(line, width) for line in text.split("\n"))


def _broken(line: str, width: int) -> str:
    if columns(line) <= width:
        return line
    most = min(_MAX_HANG, width // 2)
    heads = [line[: gap.end()] for gap in _GAP.finditer(line)]
    head = max((one for one in heads if columns(one) <= most), key=len, default="")
    hang = columns(head) or 2
    first, *rest = break_words(line[len(head) :], width - hang) or [""]
    return "\n".join([head + first, *(" " * hang + one for one in rest)])


def break_words(text: str, width: int) -> list[str]:
    """Lines of whole words; a word that is longer than the width stands by itself."""
    lines: list[str] = []
    for word in text.split(" "):
        if lines and columns(lines[-1]) + 1 + columns(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return [line.rstrip() for line in lines]
