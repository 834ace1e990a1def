"""Ledger files: made whole or not at all, and refused where another program made them."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from dam.errors import LedgerError
from dam.ledger import ledger_file, recovery
from dam.ledger.ledger import Ledger
from dam.ledger.status import read_status
from dam.market.log_rows import TABLES
from dam.types import Windows
from tests.unit.helpers.ledger import BINDING


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


def make_first(path: Path) -> None:
    """A ledger as version 1 of DAM left it: its tables, and a schema version alone."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
        db.execute("CREATE TABLE sealed (seller TEXT, item_id BLOB, orphaned INTEGER)")
        db.executemany("INSERT INTO meta VALUES (?, ?)", BINDING.meta().items())
        db.execute("PRAGMA user_version = 2")
        db.commit()


def test_a_new_file_is_ours_alone_and_has_the_rows_tables(path: Path) -> None:
    Ledger.open(path, BINDING).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with closing(sqlite3.connect(path)) as db:
        assert ledger_file.other_version(db) == ""
        tables = {row[0] for row in db.execute("SELECT name FROM sqlite_schema")}
    assert set(TABLES) < tables
    Ledger.open(path, BINDING).close()


def test_a_watchdog_delivers_until_refunds_open(path: Path, windows: Windows) -> None:
    """Whoever opens its ledger: the daemon, or `dam watchdog recover`, which fills it."""
    for role, seconds in (
        ("deliverer", windows.delivery_seconds),
        ("dry run of deliverer", windows.delivery_seconds),
        ("watchdog of 0xAA", windows.refund_seconds),
        ("dry run of watchdog of 0xAA", windows.refund_seconds),
    ):
        with closing(Ledger.open(path, replace(BINDING, role=role))) as ledger:
            assert ledger.delivery_seconds(windows) == seconds
        path.unlink()


@pytest.mark.parametrize("version", [1, 2])
def test_a_ledger_of_version_1_is_refused_by_name(path: Path, version: int) -> None:
    make_first(path)
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {version}")
    before = path.read_bytes()
    with pytest.raises(LedgerError, match=r"version 1 of DAM made it\): .*`dam deliverer recover`"):
        Ledger.open(path, BINDING)
    with pytest.raises(LedgerError, match="version 1 of DAM made it"):
        read_status(path)
    assert path.read_bytes() == before
    assert recovery.examine(path, BINDING) == "version 1 of DAM made it"


def test_recover_puts_a_ledger_of_version_1_aside(path: Path) -> None:
    """Its parts are of another market: none is taken over."""
    make_first(path)
    before = path.read_bytes()
    done = recovery.recover(path, BINDING)
    assert done.aside is not None
    assert done.aside.read_bytes() == before
    assert [(one.parts, one.fault) for one in done.sources] == [(0, "version 1 of DAM made it")]
    Ledger.open(path, BINDING).close()


def test_a_newer_file_is_refused_with_the_next_step(path: Path) -> None:
    Ledger.open(path, BINDING).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {ledger_file.VERSION + 1}")
    with pytest.raises(LedgerError, match=r"run the program that made it, or `dam deliverer rec"):
        Ledger.open(path, BINDING)
    with pytest.raises(LedgerError, match="schema version 3, not 2"):
        read_status(path)


def test_another_programs_database_is_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE recipes (name TEXT)")
    with pytest.raises(LedgerError, match="it is no ledger"):
        Ledger.open(path, BINDING)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (1,)


def test_a_file_is_made_whole_or_not_at_all(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def joinpath(self, *_: str) -> Broken:
            return self

        def read_text(self, _: str) -> str:
            return "CREATE TABLE meta (key TEXT); CREATE TABLE meta (key TEXT);"

    with monkeypatch.context() as patch:
        patch.setattr(ledger_file.resources, "files", lambda _: Broken())
        with pytest.raises(LedgerError):
            Ledger.open(path, BINDING)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,)
    Ledger.open(path, BINDING).close()
