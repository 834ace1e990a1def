"""Ledger files of earlier versions: migrated once, with a backup, or refused."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from dam.errors import LedgerError
from dam.ledger import migrations
from dam.ledger.ledger import Ledger
from dam.ledger.status import read_status
from dam.roles.seller.store_builder import BuiltStore
from tests.unit.helpers.old_ledger import BINDING, FIRST_SCHEMA, make_old, tables
from tests.unit.helpers.world import World, assert_delivered_once

NEW_TABLES = {"spent", "totals", "bodies"}


def rows(path: Path, table: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as db:
        return sorted(db.execute(f"SELECT * FROM {table}").fetchall(), key=repr)


def shape(path: Path) -> dict[str, Any]:
    """Columns, keys, indexes and triggers of a file, however its tables came to be."""
    with closing(sqlite3.connect(path)) as db:
        found: dict[str, Any] = {}
        for table in tables(db):
            columns = [row[1:] for row in db.execute(f"PRAGMA table_xinfo({table})")]
            indexes = {}
            for _, name, unique, origin, partial in db.execute(f"PRAGMA index_list({table})"):
                keys = [row[2:] for row in db.execute(f"PRAGMA index_xinfo({name})")]
                indexes[name] = (unique, origin, partial, keys)
            foreign = [row[2:] for row in db.execute(f"PRAGMA foreign_key_list({table})")]
            strict = db.execute("SELECT strict, wr FROM pragma_table_list(?)", (table,)).fetchone()
            found[table] = (columns, indexes, foreign, strict)
        triggers = db.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'")
        found["triggers"] = triggers.fetchall()
        checks = db.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'table'").fetchall()
        found["checks"] = {name: sql.count("CHECK") for name, sql in checks}
        return found


async def test_a_file_of_version_1_goes_on_as_version_2(world: World, built: BuiltStore) -> None:
    """In the middle of its work: nothing lost, nothing doubled, nothing signed anew."""
    done = world.buy(built, "code", 0)
    await world.ticks()
    late = world.buy(built, "code", 1)
    daemon = world.daemon
    world.chain.accepts = lambda _: False
    await world.ticks(blocks=4)
    [waiting] = daemon.outbox.live()
    daemon.ledger.close()
    make_old(daemon.path)
    kept = {table: rows(daemon.path, table) for table in tables(sqlite3.connect(daemon.path))}
    assert len(kept["purchases"]) == 2
    assert kept["attempts"]

    daemon.build()
    [note] = daemon.journal("ledger_migrated")
    assert (note["before"], note["version"]) == (1, migrations.VERSION)
    for table, before in kept.items():
        if table != "journal":
            assert rows(daemon.path, table) == before, table
    assert daemon.outbox.live() == [waiting]
    world.chain.accepts = lambda _: True
    await world.ticks(blocks=8)
    assert_delivered_once(world, done, late)


def test_migrated_and_new_files_have_the_same_schema(tmp_path: Path) -> None:
    old, new = tmp_path / "old.sqlite", tmp_path / "new.sqlite"
    Ledger.open(new, BINDING).close()
    with closing(sqlite3.connect(old)) as db:
        db.executescript(FIRST_SCHEMA.read_text("utf-8"))
        db.execute("PRAGMA user_version = 1")
    Ledger.open(old, BINDING).close()
    assert shape(old) == shape(new)
    assert set(tables(sqlite3.connect(new))) >= NEW_TABLES


def test_the_backup_is_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger.open(path, BINDING)
    ledger.note("something", number=7)
    ledger.close()
    make_old(path)
    before = {table: rows(path, table) for table in ("meta", "journal")}
    Ledger.open(path, BINDING).close()
    [backup] = migrations.backups(path)
    assert backup.name.startswith("ledger.sqlite.v1-")
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert {table: rows(backup, table) for table in before} == before
    with closing(sqlite3.connect(backup)) as db:
        assert migrations.version_of(db) == 1
    # Opened again, it needs no further copy.
    Ledger.open(path, BINDING).close()
    assert migrations.backups(path) == [backup]
    # It is a ledger in its own right.
    shutil.copy(backup, path)
    Ledger.open(path, BINDING).close()


def test_only_the_newest_backups_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    for day in range(1, 6):
        (tmp_path / f"ledger.sqlite.v1-202501{day:02}T000000Z.backup").write_bytes(b"old")
    other = tmp_path / "other.sqlite.v1-20250101T000000Z.backup"
    other.write_bytes(b"of another ledger")
    Ledger.open(path, BINDING).close()
    make_old(path)
    Ledger.open(path, BINDING).close()
    kept = migrations.backups(path)
    assert len(kept) == migrations.KEPT_BACKUPS
    assert [copy.read_bytes() for copy in kept[1:]] == [b"old", b"old"]
    assert ["0105" in kept[1].name, "0104" in kept[2].name] == [True, True]
    assert other.exists()


@pytest.mark.parametrize(
    "script",
    [
        "DROP TABLE parts; INSERT INTO nowhere VALUES (1);",
        # Keys that name no row: what a careless step would leave.
        "INSERT INTO sealed VALUES ('s', x'00', 0, 0, 12345, x'00', x'00', 0);",
    ],
)
def test_a_step_that_fails_leaves_the_old_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    path = tmp_path / "ledger.sqlite"
    Ledger.open(path, BINDING).close()
    make_old(path)
    before = shape(path)
    read = migrations._text

    def broken(name: str) -> str:
        return read(name) + script if name == "ledger-2.sql" else read(name)

    monkeypatch.setattr(migrations, "_text", broken)
    with pytest.raises(LedgerError, match="cannot be used"):
        Ledger.open(path, BINDING)
    assert shape(path) == before
    with closing(sqlite3.connect(path)) as db:
        assert migrations.version_of(db) == 1
    monkeypatch.undo()
    Ledger.open(path, BINDING).close()


def test_no_step_without_a_backup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is too full for the copy: nothing is touched, and the message says the disk."""
    path = tmp_path / "ledger.sqlite"
    Ledger.open(path, BINDING).close()
    make_old(path)
    before = shape(path)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LedgerError, match=r"No space left.*look at the disk"):
        Ledger.open(path, BINDING)
    assert shape(path) == before
    assert migrations.backups(path) == []
    assert not list(tmp_path.glob("*.part"))


def test_a_newer_file_is_refused_with_the_next_step(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    Ledger.open(path, BINDING).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {migrations.VERSION + 1}")
    with pytest.raises(LedgerError, match=r"run the newer program, or `dam deliverer recover`"):
        Ledger.open(path, BINDING)
    with pytest.raises(LedgerError, match="newer program"):
        read_status(path)
