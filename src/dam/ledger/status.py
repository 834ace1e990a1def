"""A daemon's state, as its ledger has it; read while the daemon runs, or afterwards.

Opens the file read-only, so that looking never disturbs the daemon.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dam.errors import LedgerError
from dam.ledger.ledger_file import look_into, other_version
from dam.ledger.pruning import mined_costs, names_of, totals
from dam.market.log_rows import load_terms


@dataclass(frozen=True, slots=True)
class NextDeadline:
    """The sale in progress whose time runs out first."""

    copy_id: bytes
    last_time: int
    """Last second in which a delivery of ours counts."""
    purchase_block: int
    """As the contract counts."""


@dataclass(frozen=True, slots=True)
class DaemonStatus:
    """A daemon at a glance. Amounts in wei."""

    role: str
    account: str
    cursor: int
    """Number of the last block that it has read; -1 before the first."""
    cursor_time: int
    """Its time, in seconds; 0 before the first."""
    purchases: dict[str, int]
    """Number of purchases by state, pruned ones too; orphaned ones under ``orphaned``."""
    jobs: dict[str, int]
    """Number of duties by state: due, live, done, failed, cancelled."""
    stores: dict[str, int]
    """Number of store documents by state: wanted, read, refused."""
    parts: int
    """Parts of ours that are kept, those of old versions too."""
    pinned_bytes: int
    delivered: int
    """Parts that this account delivered, or a watchdog for its seller, as far as the chain is
    read."""
    earned: int
    """Their fees, without those of fallbacks: they are the buyers'."""
    gas_paid: int
    """With what rollups took for the data."""
    transactions: int
    next_deadline: NextDeadline | None
    refused: list[dict[str, Any]]
    """The newest refusals: when, what and why."""
    alerts: list[dict[str, Any]]
    """The newest other entries of the journal."""
    data_paid: int = 0
    """How much of ``gas_paid`` was for the data of transactions."""


def highest_fee(path: Path) -> int:
    """The highest fee of a part that a ledger holds, in wei; 0: it holds none, or cannot be read.

    Looks through all of them: for a person who asks, not for a scrape.
    """
    try:
        with look_into(path) as db:
            rows = db.execute("SELECT DISTINCT terms FROM parts").fetchall()
    except sqlite3.DatabaseError:
        return 0
    return max((_fee(terms) for (terms,) in rows), default=0)


_REFUSALS = ("part_refused", "purchase_refused", "store_refused")


def read_status(path: Path, *, newest: int = 10) -> DaemonStatus:
    """Reads a ledger file.

    Args:
        path: The file.
        newest: How many journal entries of each kind to give.

    Raises:
        LedgerError: There is none yet, or it is not one that this program can read.
    """
    if not path.exists():
        raise LedgerError(f"there is no ledger {path} yet: the daemon has not run here")
    try:
        with look_into(path) as db:
            if foreign := other_version(db):
                raise LedgerError(
                    f"the ledger {path} is not this program's ({foreign}): look at it with that "
                    "one, or start the daemon, which says how to go on"
                )
            return _read(db, newest)
    except sqlite3.DatabaseError as error:
        raise LedgerError(f"the ledger {path} cannot be read: {error}") from None


def _read(db: sqlite3.Connection, newest: int) -> DaemonStatus:
    meta = {row["key"]: row["value"] for row in db.execute("SELECT * FROM meta")}
    cursor = db.execute("SELECT number, time FROM cursor").fetchone()
    purchases = _counts(db, "purchases WHERE orphaned = 0")
    [orphaned] = db.execute("SELECT count(*) FROM purchases WHERE orphaned = 1").fetchone()
    if orphaned:
        purchases["orphaned"] = orphaned
    [parts] = db.execute("SELECT count(*) FROM parts").fetchone()
    [pinned] = db.execute("SELECT coalesce(sum(pin_bytes), 0) FROM documents").fetchone()
    sums = totals(db)
    for name, number in sums.items():
        kind, _, state = name.partition(".")
        if kind == "purchases":
            purchases[state] = purchases.get(state, 0) + number
    names = names_of(meta.get("account", ""), meta.get("role", ""))
    fees = [_fee(row["terms"]) * row["paid"] for row in db.execute(_OURS, names)]
    costs = mined_costs(db)
    first = db.execute(
        "SELECT copy_id, last_time, purchase_block FROM purchases WHERE orphaned = 0 "
        "AND state IN ('new', 'waiting', 'serving') "
        "AND last_time > (SELECT coalesce(max(time), 0) FROM cursor) AND NOT EXISTS "
        "(SELECT 1 FROM jobs WHERE purchase = purchases.id AND kind = 'close') "
        "ORDER BY last_time LIMIT 1"
    ).fetchone()
    return DaemonStatus(
        role=meta.get("role", ""),
        account=meta.get("account", ""),
        cursor=-1 if cursor is None else cursor["number"],
        cursor_time=0 if cursor is None else cursor["time"],
        purchases=purchases,
        jobs=_counts(db, "jobs WHERE 1"),
        stores=_counts(db, "documents WHERE 1"),
        parts=parts,
        pinned_bytes=pinned,
        delivered=len(fees) + sums.get("delivered", 0),
        earned=sum(fees) + sums.get("earned", 0),
        gas_paid=costs["gas_paid"] + sums.get("gas_paid", 0),
        transactions=costs["transactions"] + sums.get("transactions", 0),
        next_deadline=None if first is None else NextDeadline(*first),
        refused=_journal(db, "IN", newest),
        alerts=_journal(db, "NOT IN", newest),
        data_paid=costs["data_paid"] + sums.get("data_paid", 0),
    )


_OURS = (
    "SELECT purchases.terms, d.delivered_by <> purchases.seller AS paid FROM deliveries AS d "
    "JOIN purchases ON purchases.copy_id = d.copy_id "
    "AND purchases.orphaned = 0 AND d.block >= purchases.block "
    "WHERE d.delivered_by IN (?, ?) AND d.supplied = 0"
)


def _journal(db: sqlite3.Connection, which: str, newest: int) -> list[dict[str, Any]]:
    marks = ", ".join("?" * len(_REFUSALS))
    rows = db.execute(
        f"SELECT * FROM journal WHERE event {which} ({marks}) ORDER BY id DESC LIMIT ?",  # noqa: S608
        (*_REFUSALS, newest),
    )
    return [{"at": row["at"], "event": row["event"], **json.loads(row["detail"])} for row in rows]


def _counts(db: sqlite3.Connection, source: str) -> dict[str, int]:
    rows = db.execute(f"SELECT state, count(*) AS n FROM {source} GROUP BY state")  # noqa: S608
    return {row["state"]: row["n"] for row in rows}


def _fee(terms: str) -> int:
    return load_terms(terms).fee
