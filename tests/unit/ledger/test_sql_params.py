"""Statements over many values: complete, in order, and of few shapes."""

from __future__ import annotations

import sqlite3

import pytest

from dam.ledger.sql_params import in_list, value_lists


@pytest.mark.parametrize("count", [0, 1, 2, 3, 24, 127, 128, 129, 300, 1000])
def test_every_row_once_and_in_order(count: int) -> None:
    rows = [(i, -i) for i in range(count)]
    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a INT, b INT)")
    for marks, values in value_lists(rows):
        db.execute(f"INSERT INTO t (a, b) VALUES {marks}", values)
    assert db.execute("SELECT a, b FROM t ORDER BY id").fetchall() == rows


def test_a_handful_of_statements_for_all_numbers_of_rows() -> None:
    shapes = {marks for count in range(500) for marks, _ in value_lists([(1, 2)] * count)}
    assert len(shapes) == 8
    calls = [sum(1 for _ in value_lists([(1, 2)] * count)) for count in range(1, 500)]
    assert max(calls) <= 3 + 7


@pytest.mark.parametrize("count", [1, 2, 3, 5, 24, 100])
def test_a_list_finds_what_it_names_and_nothing_else(count: int) -> None:
    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE t (a INT)")
    db.executemany("INSERT INTO t VALUES (?)", [(i,) for i in range(300)])
    wanted = list(range(7, 7 + count))
    marks, values = in_list(wanted)
    found = db.execute(f"SELECT a FROM t WHERE a IN ({marks}) ORDER BY a", values).fetchall()
    assert [a for (a,) in found] == wanted
    assert len(values).bit_count() == 1
    assert len(values) < 2 * count
