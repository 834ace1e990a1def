"""The ledger file: made with the schema of ``schema/ledger.sql``, opened, checked.

A file is known by SQLite's ``application_id`` and ``user_version``. Ledgers of version 1 of DAM,
which knew other sales, have no such id and are refused by name.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from urllib.parse import quote

from dam.errors import LedgerError, LedgerUnusableError

VERSION = 2
_APPLICATION_ID = 0x44414D32  # "DAM2"
_FIRST_DAM = "version 1 of DAM made it"
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


class OtherVersionError(sqlite3.DatabaseError):
    """Another version of the program made the file."""


def open_file(path: Path, command: str) -> sqlite3.Connection:
    """Opens or makes a ledger file, and looks through it.

    Args:
        path: The file.
        command: What to run if it is damaged, or of another version.

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
        if not db.execute("PRAGMA schema_version").fetchone()[0]:
            _make(db)
        if foreign := other_version(db):
            raise OtherVersionError(foreign)
        return db
    except (sqlite3.DatabaseError, OSError) as error:
        db.close()
        raise _unusable(path, command, error) from None


@contextlib.contextmanager
def look_into(path: Path) -> Iterator[sqlite3.Connection]:
    """A file to look at, which is not changed by that, and whose daemon is not disturbed.

    Raises:
        sqlite3.DatabaseError: It cannot be opened.
    """
    uri = f"file:{quote(str(path.absolute()))}?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=5.0)) as db:
        db.row_factory = sqlite3.Row
        yield db


def _unusable(path: Path, command: str, error: Exception) -> LedgerError:
    kind: type[LedgerError] = LedgerUnusableError
    if isinstance(error, OtherVersionError):
        step = (
            f"run the program that made it, or `{command}`: it puts the file aside and makes one "
            "for this program, which the daemon fills from the chain"
        )
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


def other_version(db: sqlite3.Connection) -> str:
    """Which other version of the program made a file that is not empty; empty text: this one."""
    [[version]] = db.execute("PRAGMA user_version").fetchall()
    if not of_this_market(db):
        return _FIRST_DAM if version else "it is no ledger"
    return "" if version == VERSION else f"it has schema version {version}, not {VERSION}"


def of_this_market(db: sqlite3.Connection) -> bool:
    """Whether a file is a ledger of version 2 of the market, whatever its schema."""
    [[made_by]] = db.execute("PRAGMA application_id").fetchall()
    return bool(made_by == _APPLICATION_ID)


def _make(db: sqlite3.Connection) -> None:
    text = resources.files("dam.ledger").joinpath("schema", "ledger.sql").read_text("utf-8")
    try:
        db.executescript(
            f"BEGIN IMMEDIATE; {text} PRAGMA application_id = {_APPLICATION_ID}; "
            f"PRAGMA user_version = {VERSION}; COMMIT"
        )
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
