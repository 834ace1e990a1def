"""The ledger file's schema: made, checked and brought up to date, with a copy kept from before.

``schema/ledger.sql`` is the schema as it is now; ``schema/ledger-N.sql`` leads from version N - 1
to N. Each step is one transaction: a kill leaves the old version or the new one. Before the first
step the whole file is copied with SQLite's backup API and synced to the disk; the newest
`KEPT_BACKUPS` copies stay next to the ledger.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

from dam.atomic_file import sync_folder
from dam.crypto.abi_words import abi_fields, abi_type
from dam.errors import LedgerError, LedgerUnusableError
from dam.market.calldata import pack_delivery
from dam.market.log_rows import split_words
from dam.types import Delivery, Sale

VERSION = 2
KEPT_BACKUPS = 3
_BACKUP_PAGES = 4096


_WAL_BYTES = 64 << 20
_PRAGMAS = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "foreign_keys = ON",
    f"journal_size_limit = {_WAL_BYTES}",
    # For catching up: its indexes by hash are written all over, again and again.
    "cache_size = -32000",
    f"wal_autocheckpoint = {_WAL_BYTES // 4096}",
)
_SMALL_CACHE = ("cache_size = -1000", "shrink_memory")
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}


class TooNewError(sqlite3.DatabaseError):
    """The file was written by a newer program."""


def open_file(path: Path, command: str) -> tuple[sqlite3.Connection, int, Path | None]:
    """Opens or makes a ledger file, looks through it, and brings it up to date.

    Args:
        path: The file.
        command: What to run if it is damaged.

    Returns:
        The connection, the schema version that was found, and the copy from before, if it was
        brought up to date.

    Raises:
        LedgerError: It cannot be used; the message has the next step.
    """
    try:
        # It shows which parts are whose, which nobody else should know.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        # The file has one writer: a lock that lasts is a mistake to report.
        db = sqlite3.connect(path, isolation_level=None, timeout=1.0)
    except (sqlite3.DatabaseError, OSError) as error:
        raise _unusable(path, command, error) from None
    try:
        db.row_factory = sqlite3.Row
        for pragma in _PRAGMAS:
            db.execute(f"PRAGMA {pragma}")
        check(db)
        return db, version_of(db), bring_up(db, path)
    except (sqlite3.DatabaseError, OSError) as error:
        db.close()
        raise _unusable(path, command, error) from None


def _unusable(path: Path, command: str, error: Exception) -> LedgerError:
    kind: type[LedgerError] = LedgerUnusableError
    if isinstance(error, TooNewError):
        step = f"run the newer program, or `{command}` to make a ledger for this one"
    elif isinstance(error, OSError) or _kind(error) not in _DAMAGED:
        # Nothing is wrong with what is in it, as far as we know.
        kind = LedgerError
        step = "look at the disk of the state folder (df, dmesg), then start again"
    else:
        step = (
            f"run `{command}`: it puts the file aside and makes a new one, which the daemon "
            "fills from the chain; nothing is deleted"
        )
    return kind(f"the ledger {path} cannot be used ({error}): {step}")


def _kind(error: Exception) -> int:
    """SQLite's code without its extension (https://sqlite.org/rescode.html), in the lowest byte;
    what we found ourselves has none, and is damage.
    """
    return int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)) & 0xFF


def check(db: sqlite3.Connection) -> None:
    """Looks through the whole file.

    Raises:
        sqlite3.DatabaseError: It is damaged.
    """
    [[answer]] = db.execute("PRAGMA quick_check(1)").fetchall()
    if answer != "ok":
        raise sqlite3.DatabaseError(one_line(answer))


def one_line(answer: object) -> str:
    """What SQLite's check found, on one line, without its heading."""
    return str(answer).strip().splitlines()[-1]


def shrink_cache(db: sqlite3.Connection) -> None:
    """Gives most of the page cache back: catching up is over, and memory should not grow for it."""
    for pragma in _SMALL_CACHE:
        db.execute(f"PRAGMA {pragma}")


def version_of(db: sqlite3.Connection) -> int:
    """The schema version of a file; 0: it is empty."""
    [[version]] = db.execute("PRAGMA user_version").fetchall()
    return int(version)


def bring_up(db: sqlite3.Connection, path: Path) -> Path | None:
    """Makes the schema, or brings an older one up to date.

    Args:
        db: A connection in autocommit mode, whose file has been checked.
        path: Its file.

    Returns:
        The copy from before, if there was something to bring up.

    Raises:
        TooNewError: A newer program wrote it.
        sqlite3.DatabaseError: A step failed; the file is as it was before that step.
    """
    version = version_of(db)
    if version > VERSION:
        raise TooNewError(
            f"it has schema version {version}, this program knows {VERSION}: a newer one wrote it"
        )
    if version == VERSION:
        return None
    if version == 0:
        _run(db, _text("ledger.sql"), VERSION)
        return None
    copy = back_up(db, path, version)
    for number in range(version + 1, VERSION + 1):
        _run(db, _text(f"ledger-{number}.sql"), number)
    return copy


def back_up(db: sqlite3.Connection, path: Path, version: int) -> Path:
    """Copies the ledger next to itself, synced, and deletes the oldest copies.

    The name is ``<ledger>.v<version>-<UTC time>.backup``.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    target = path.with_name(f"{path.name}.v{version}-{stamp}.backup")
    part = target.with_suffix(".part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with contextlib.closing(sqlite3.connect(part, isolation_level=None)) as copy:
            db.backup(copy, pages=_BACKUP_PAGES)
            # A single file, complete wherever it is moved.
            copy.execute("PRAGMA journal_mode = DELETE")
        os.fsync(descriptor)
        part.replace(target)
        sync_folder(path.parent)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    for old in backups(path)[KEPT_BACKUPS:]:
        old.unlink(missing_ok=True)
    return target


def backups(path: Path) -> list[Path]:
    """The copies of a ledger that `back_up` made, the newest first."""
    found = path.parent.glob(f"{path.name}.v*-*.backup")
    return sorted(found, key=lambda copy: copy.name.rpartition("-")[2], reverse=True)


def _run(db: sqlite3.Connection, script: str, version: int) -> None:
    # Tables are made anew under their old names, which foreign keys would not let pass on the way.
    db.execute("PRAGMA foreign_keys = OFF")
    try:
        db.executescript(f"BEGIN IMMEDIATE; {script}")
        broken = db.execute("PRAGMA foreign_key_check").fetchone()
        if broken is not None:
            raise sqlite3.DatabaseError(f"a row of {broken[0]} names one that is not there")
        db.execute(f"PRAGMA user_version = {version}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    finally:
        db.execute("PRAGMA foreign_keys = ON")


def _text(name: str) -> str:
    return resources.files("dam.ledger").joinpath("schema", name).read_text("utf-8")


def packed_delivery(body: str) -> bytes:
    """A job's body in a ledger of version 1: a delivery as JSON, in the order of its fields."""
    return pack_delivery(Delivery(*_load_fields(Delivery, json.loads(body)))) if body else b""


def _load_fields(struct: type, values: list[Any]) -> list[Any]:
    return list(map(_load, abi_fields(struct).values(), values))


def _load(kind: str, value: Any) -> Any:
    if kind == abi_type(Sale):
        return Sale(*_load_fields(Sale, value))
    if kind == "bytes32[]":  # the steps of the proof, joined
        return split_words(bytes.fromhex(value))
    return bytes.fromhex(value) if kind.startswith("bytes") else value
