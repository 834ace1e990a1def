"""80 columns: tables fit, addresses shorten, no word is cut; a pipe gets everything whole."""

from __future__ import annotations

import io
import os
import re

import click
import pytest

from dam.cli import tables
from dam.cli.tables import table
from dam.console import columns, fit, is_plain, shorten, width_of

ADDRESS, HASH = "0x" + "aB" * 20, "0x" + "cd" * 32
HEAD = ("item", "title", "price", "if it never comes", "arbitrator")
ROW = ("summer-pass", "A pass for the whole of a long summer", "0.05 ether", "0.01 ether", ADDRESS)


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch):
    """What a table looks like on a terminal that is so wide."""

    def draw(width: int | None, head, rows) -> str:
        monkeypatch.setattr(tables, "width_of", lambda _: width)
        return click.unstyle(table(head, rows))

    return draw


def test_a_pipe_and_a_wide_terminal_get_whole_cells(at) -> None:
    whole = at(None, HEAD, [ROW])
    assert at(200, HEAD, [ROW]) == whole
    assert whole.splitlines()[1].endswith(ADDRESS)
    assert len(whole.splitlines()) == 2


@pytest.mark.parametrize("width", [60, 70, 80, 100])
def test_a_table_fits_and_cuts_no_word(at, width: int) -> None:
    shown = at(width, HEAD, [ROW, ("b", "B", "1 wei", "2 wei", "none")])
    assert max(map(columns, shown.splitlines())) <= width
    words = set(shown.replace("\n", " ").split())
    for cell in (*ROW[:4], *HEAD):
        assert set(cell.split()) <= words
    assert "0xaBaBaBaB..aBaB" in words
    assert "--json has them whole" in shown


def test_where_no_table_fits_rows_stack_and_keep_their_addresses(at) -> None:
    shown = at(80, ("deliverer", "key", "since", "state"), [(ADDRESS, HASH, "block 5", "x " * 60)])
    assert f"deliverer  {ADDRESS}" in shown.splitlines() or "0xaBaB" in shown
    many = at(40, HEAD, [ROW, ROW])
    assert many.splitlines()[0].startswith("item ")
    assert many.count("arbitrator") == 2
    assert max(map(columns, many.replace(ADDRESS, "").splitlines())) <= 40


def test_wide_letters_count_twice_and_colours_not_at_all() -> None:
    assert [columns(text) for text in ("ab", "文字", "e\u0301", "\x1b[31mab\x1b[0m")] == [
        2,
        4,
        1,
        2,
    ]


def test_lines_hang_under_their_text() -> None:
    text = "Otherwise   " + "your money back from block 301 on " * 4
    lines = fit(text, 80).splitlines()
    assert max(map(len, lines)) <= 80
    assert all(re.match(" {12}[a-z0-9]", line) for line in lines[1:])
    assert " ".join(line.strip() for line in lines).split() == text.split()
    assert fit(f"Key        {HASH} since block 5", 80).splitlines() == [
        f"Key        {HASH}",
        "           since block 5",
    ]
    found = fit("ok    settings             complete: " + "/a/long/path/home " * 5, 80).splitlines()
    assert [line[:27].strip() for line in found[1:]] == [""] * (len(found) - 1)
    assert found[1][27] != " "
    # A colour takes no room.
    green = fit("\x1b[32mok\x1b[0m    rpc 127.0.0.1:33333  " + "gives logs " * 9, 80).splitlines()
    assert [len(line) - len(line.lstrip()) for line in green[1:]] == [27]
    assert fit(text, None) == text
    assert fit("x" * 200, 80) == "x" * 200


def test_shortening_keeps_both_ends() -> None:
    assert shorten(f"({ADDRESS}, {HASH[:18]}, {HASH})") == (
        f"(0xaBaBaBaB..aBaB, {HASH[:18]}, 0xcdcdcdcd..cdcd)"
    )


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_no_colour_where_none_is_wanted(monkeypatch, name: str, value: str) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert not is_plain()
    monkeypatch.setenv(name, value)
    assert is_plain()


def test_the_width_is_the_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert width_of(io.StringIO()) is None
    main, side = os.openpty()
    with os.fdopen(side, "w") as terminal:
        assert width_of(terminal) == 80  # of a terminal that says 0
        monkeypatch.setenv("COLUMNS", "132")
        assert width_of(terminal) == 132
        monkeypatch.setenv("COLUMNS", "wide")
        assert width_of(terminal) == 80
    os.close(main)
