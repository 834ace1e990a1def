"""Puts a ledger aside that is corrupt, of another version, or gone, and makes a new one.

Nothing is deleted: the old file stays next to the new one. All but one thing comes back from the
chain: to whom a part was sealed whose delivery was never mined. So these rows are salvaged from
every older file of this ledger that can still be read, row by row, and the new ledger seals none of
those parts to another buyer.
"""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from dam.atomic_file import keep_as, sync_folder
from dam.crypto.hashing import copy_id
from dam.errors import LedgerError
from dam.ledger import ledger_file
from dam.ledger.ledger import Binding, Ledger
from dam.ledger.sales import Sales
from dam.market.log_rows import unsigned
from dam.types import Address

_COMPANIONS = ("-wal", "-shm")
Key = tuple[bytes, int]
"""CopyId and index of a part."""


@dataclass(frozen=True, slots=True)
class Salvage:
    """What one old file gave."""

    path: Path
    parts: int
    """How many sealed parts were found in it."""
    fault: str = ""
    """Why it could not be read to its end; empty if it could."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """What `recover` did."""

    aside: Path | None
    """Where the old ledger is now; None: there was none."""
    sources: list[Salvage]
    parts: int
    """How many sealed parts the new ledger knows."""
    at_odds: int
    """Parts of which two files name different buyers; the newer file is believed."""


@dataclass(slots=True)
class _Found:
    parts: dict[Key, tuple[bytes, bytes]] = field(default_factory=dict)
    """Buyer's one-time key, and the fragment where it is known."""
    at_odds: set[Key] = field(default_factory=set)


def examine(path: Path, binding: Binding) -> str:
    """Why a ledger needs to be recovered; empty if it is sound. Reads the whole file.

    Raises:
        LedgerError: It is sound, and belongs to another chain, market, account or role.
    """
    if not path.exists():
        return "there is no ledger"
    try:
        with ledger_file.look_into(path) as db:
            if foreign := ledger_file.other_version(db):
                return foreign
            for (answer,) in db.execute("PRAGMA integrity_check(1)"):
                if answer != "ok":
                    return ledger_file.one_line(answer)
            found = dict(db.execute("SELECT key, value FROM meta"))
    except sqlite3.DatabaseError as error:
        return str(error)
    wrong = _not_ours(found, binding)
    if wrong:
        raise LedgerError(f"the ledger {path} belongs to {wrong}: name that account, or leave it")
    return ""


def recover(path: Path, binding: Binding) -> Recovery:
    """Puts the ledger aside and makes a new one in its place; the caller holds its lock.

    A kill on the way leaves the old file in its place or the new one, never half of one, and
    nothing is lost: called again, it goes on.

    Args:
        path: The ledger.
        binding: What the new one is bound to.

    Raises:
        OSError, LedgerError: The disk would not take it; the old file is where it was.
    """
    new = path.with_name(path.name + ".new")
    for suffix in ("", *_COMPANIONS):
        Path(f"{new}{suffix}").unlink(missing_ok=True)
    found = _Found()
    olds = [old for old in (path, *older(path)) if old.exists()]
    sources = [_salvage(old, binding, found) for old in olds]
    ledger = Ledger.open(new, binding)
    with contextlib.closing(ledger), ledger.transaction() as db:
        db.executemany(
            "INSERT INTO archived_seals VALUES (?, ?, ?, ?)",
            [(*place, *sealed) for place, sealed in found.parts.items()],
        )
        ledger.note("ledger_recovered", parts=len(found.parts), at_odds=len(found.at_odds))
    aside = _put_aside(path) if path.exists() else None
    new.replace(path)
    sync_folder(path.parent)
    return Recovery(aside, sources, len(found.parts), len(found.at_odds))


def retry(ledger: Ledger) -> int:
    """Looks again at what a fault of the program made us refuse; returns how much that is.

    Sales whose time is over stay refused. The watchdog looks again by itself.
    """
    with ledger.transaction() as db:
        sales = Sales(ledger).reopen_refused("internal-error")
        documents = db.execute(
            "UPDATE documents SET state = 'wanted', reason = '', attempts = 0 "
            "WHERE state = 'refused' AND reason LIKE 'internal error%'"
        ).rowcount
        if documents:
            sales += db.execute(
                "UPDATE purchases SET state = 'new', reason = '' WHERE state = 'refused' "
                "AND reason = 'document-refused' AND orphaned = 0 AND last_time > "
                "(SELECT coalesce(max(time), 0) FROM cursor) AND EXISTS (SELECT 1 FROM documents "
                "WHERE documents.seller = purchases.seller "
                "AND documents.digest = purchases.store_digest AND documents.state = 'wanted')"
            ).rowcount
        if sales or documents:
            ledger.note("refusals_retried", sales=sales, documents=documents)
    return sales + documents


def older(path: Path) -> list[Path]:
    """Ledgers that were put aside, the newest first."""
    aside = [
        p for p in path.parent.glob(f"{path.name}.aside-*") if not p.name.endswith(_COMPANIONS)
    ]
    return sorted(aside, key=lambda old: old.name.rpartition("-")[2], reverse=True)


def _put_aside(path: Path) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    aside = path.with_name(f"{path.name}.aside-{stamp}")
    # The file keeps its name until the new one takes it. What SQLite keeps next to it must be gone
    # by then: it would write an old log of changes into the new file.
    keep_as(path, aside)
    for suffix in _COMPANIONS:
        companion = Path(f"{path}{suffix}")
        if companion.exists():
            companion.rename(f"{aside}{suffix}")
    sync_folder(path.parent)
    return aside


def _salvage(path: Path, binding: Binding, found: _Found) -> Salvage:
    """Takes over what a file knows of sealed parts, as far as it can be read."""
    fault = ""
    rows: dict[Key, tuple[bytes, bytes]] = {}
    try:
        with ledger_file.look_into(path) as db:
            if not ledger_file.of_this_market(db):
                return Salvage(path, 0, ledger_file.other_version(db))
            with contextlib.suppress(sqlite3.DatabaseError):
                wrong = _not_ours(dict(db.execute("SELECT key, value FROM meta")), binding)
                if wrong:
                    return Salvage(path, 0, f"it belongs to {wrong}")
            fault = _read(db, rows)
    except sqlite3.DatabaseError as error:
        fault = str(error)
    for place, sealed in rows.items():
        known = found.parts.setdefault(place, sealed)
        if known[0] != sealed[0]:
            found.at_odds.add(place)
        elif not known[1] and sealed[1]:
            found.parts[place] = sealed
    return Salvage(path, len(rows), fault)


def _read(db: sqlite3.Connection, rows: dict[Key, tuple[bytes, bytes]]) -> str:
    """Reads what is there from both ends: a broken page in the middle hides itself alone."""
    fault = ""
    place = "seller, item_id, copy, part_index"
    for order in ("purchase, part_index", "purchase DESC, part_index DESC", place):
        try:
            query = f"SELECT * FROM seals WHERE orphaned = 0 ORDER BY {order}"  # noqa: S608
            for row in db.execute(query):
                copy = copy_id(Address(row["seller"]), row["item_id"], unsigned(row["copy"]))
                rows[copy, row["part_index"]] = (row["buyer_key"], row["fragment"])
        except (sqlite3.DatabaseError, ValueError, TypeError) as error:
            fault = str(error)
    for order in ("copy_id, part_index", "copy_id DESC, part_index DESC"):
        try:
            for row in db.execute(f"SELECT * FROM archived_seals ORDER BY {order}"):  # noqa: S608
                key = (row["copy_id"], row["part_index"])
                rows.setdefault(key, (row["buyer_key"], row["fragment"]))
        except sqlite3.DatabaseError as error:
            fault = str(error)
    return fault


def _not_ours(found: dict[str, str], binding: Binding) -> str:
    """What a file belongs to, if that is not ``binding``; empty if it is, or does not say."""
    wanted = binding.meta()
    wrong = [f"{key} {found[key]}" for key in wanted if key in found and found[key] != wanted[key]]
    return ", ".join(wrong)
