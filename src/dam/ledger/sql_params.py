"""SQL over many values at once, in few shapes.

A statement with another number of marks is another statement: SQLite compiles it anew, and the
connection keeps 128 of them, of up to 35 KB each. So numbers of values come in powers of two, and
what a daemon keeps does not grow with every size that its batches ever had.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

_MAX_ROWS = 128
"""To a statement."""


def in_list(values: Sequence[object]) -> tuple[str, list[object]]:
    """Marks and values for ``IN (...)``: the last value again until there are a power of two."""
    size = 1 << (len(values) - 1).bit_length()
    padded = [*values, *[values[-1]] * (size - len(values))]
    return ", ".join("?" * size), padded


def value_lists(rows: Sequence[tuple[object, ...]]) -> Iterator[tuple[str, list[object]]]:
    """Marks and values for ``VALUES ...``, of one row or more to each statement.

    Where a row touches several indexes, a statement for each costs twice as much: SQLite looks for
    its place in all of them anew.
    """
    at = 0
    while at < len(rows):
        size = min(_MAX_ROWS, 1 << ((len(rows) - at).bit_length() - 1))
        some = rows[at : at + size]
        mark = f"({', '.join('?' * len(some[0]))})"
        yield ", ".join([mark] * size), list(chain.from_iterable(some))
        at += size


def plain_rows(db: sqlite3.Connection, sql: str, values: Sequence[object]) -> list[Any]:
    """The rows of a query as tuples, whatever the connection's rows are."""
    cursor = db.cursor()
    cursor.row_factory = None
    return cursor.execute(sql, values).fetchall()
