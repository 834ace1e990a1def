"""Tables that fit a terminal: addresses shorten, then cells break, then rows stack."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from dam.console import break_words, columns, shorten, width_of

_GAP = "  "
_SHORTENED = "(addresses are shortened to fit; --json has them whole)"


def table(head: Sequence[str], rows: Sequence[Sequence[object]], *, err: bool = False) -> str:
    """Aligned columns.

    Args:
        head: Titles of the columns.
        rows: As many cells each.
        err: For standard error, not for standard output. In a file or a pipe every cell stays
            whole, so that it can be copied.
    """
    cells = [[str(cell) for cell in row] for row in (head, *rows)]
    width = width_of(sys.stderr if err else sys.stdout)
    if width is None or _total(_natural(cells)) <= width:
        return _aligned(cells, _natural(cells))
    short = [[shorten(cell) for cell in row] for row in cells]
    note = f"\n{_SHORTENED}" if short != cells else ""
    widths = _natural(short)
    least = [max(columns(word) for row in short for word in row[i].split(" ") or [""])
             for i in range(len(head))]  # fmt: skip
    if _total(least) > width:
        return _stacked(cells, width)
    while _total(widths) > width:
        # The column that has most to give gives.
        widest = max(range(len(widths)), key=lambda i: widths[i] - least[i])
        widths[widest] -= 1
    return _aligned(short, widths) + note


def _natural(cells: Sequence[Sequence[str]]) -> list[int]:
    return [max(columns(row[i]) for row in cells) for i in range(len(cells[0]))]


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _aligned(cells: Sequence[Sequence[str]], widths: Sequence[int]) -> str:
    lines: list[str] = []
    for number, row in enumerate(cells):
        broken = [break_words(cell, width) for cell, width in zip(row, widths, strict=True)]
        for height in range(max(map(len, broken))):
            pieces = [one[height] if height < len(one) else "" for one in broken]
            line = _GAP.join(
                piece + " " * (width - columns(piece))
                for piece, width in zip(pieces, widths, strict=True)
            ).rstrip()
            lines.append(click.style(line, bold=True) if number == 0 else line)
    return "\n".join(lines)


def _stacked(cells: Sequence[Sequence[str]], width: int) -> str:
    """A line for each cell, with its title; a row after the other."""
    label = max(map(columns, cells[0])) + len(_GAP)
    blocks = []
    for row in cells[1:]:
        lines = []
        for title, cell in zip(cells[0], row, strict=True):
            first, *rest = break_words(cell, width - label) or [""]
            name = title + " " * (label - columns(title))
            lines.append((click.style(name, bold=True) + first).rstrip())
            lines += [" " * label + one for one in rest]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)
