"""Keeps a ledger small for years: what is long over is deleted, and counted in a sum.

What may go is below the *floor*, the lowest block whose hash is kept, or some way behind the
cursor: no reorganisation that the daemon survives reaches below it, nor does a second reading.
A sale under the floor that has ended, in which for a day nothing can be delivered any more and of
which nothing is under way, leaves with its duties, transactions and events; a store version that
was replaced under the floor leaves with its parts. What always stays: for each part that was ever
sealed, to which key (`archived_seals`: the one-buyer rule), and the sums that a status shows.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from dam.market.log_rows import load_terms

ENDED = ("done", "late", "refused", "not-mine")
MARGIN_BLOCKS = 256
"""Blocks behind the cursor that may be read once more: what they hold would come back."""
MARGIN_SECONDS = 86_400
"""After a sale's last delivery: far longer than the blocks above the floor take."""
UNREAD_SECONDS = 7 * 86_400
"""So long after its last delivery a sale waits for a document that nobody gives."""


def names_of(account: str, role: str) -> tuple[str, str]:
    """Whom the events of a daemon's deliveries name: its account, or the seller it stands in for.

    Args:
        account: As the ledger's binding has it.
        role: Likewise.
    """
    return account, role.rpartition("watchdog of ")[2] if "watchdog of " in role else account


def prune(db: sqlite3.Connection, names: tuple[str, str], limit: int) -> int:
    """Deletes at most ``limit`` sales and rows of each kind; inside the caller's transaction.

    Args:
        db: The ledger's connection.
        names: Whose deliveries are counted, from `names_of`.
        limit: Bounds the work of one call.

    Returns:
        How many rows went, so that the caller knows whether to go on.
    """
    lowest = db.execute("SELECT min(number) FROM blocks").fetchone()[0]
    cursor = db.execute("SELECT number, time FROM cursor").fetchone()
    if lowest is None or cursor is None:
        return 0
    newest, now = cursor
    floor = min(lowest, newest - MARGIN_BLOCKS)
    gone = _sales(db, names, floor, now, limit)
    gone += _events(db, floor, limit)
    gone += _transactions(db, floor, limit)
    gone += _versions(db, floor, limit)
    return gone


def totals(db: sqlite3.Connection) -> dict[str, int]:
    """Sums over what was pruned: ``delivered``, ``earned``, ``gas_paid`` and, of that,
    ``data_paid`` (wei), ``transactions``, and ``purchases.<state>``.
    """
    return {row[0]: int(row[1]) for row in db.execute("SELECT name, value FROM archived_totals")}


def mined_costs(db: sqlite3.Connection) -> dict[str, int]:
    """What the mined transactions that are still here have cost, by the names of `totals`."""
    rows = db.execute("SELECT cost_wei, data_cost_wei FROM nonce_slots WHERE mined_block >= 0")
    return _costs(rows.fetchall())


def _costs(rows: Sequence[sqlite3.Row]) -> dict[str, int]:
    return {
        "transactions": len(rows),
        "gas_paid": sum(int(row["cost_wei"]) for row in rows),
        "data_paid": sum(int(row["data_cost_wei"]) for row in rows),
    }


def _sales(db: sqlite3.Connection, names: tuple[str, str], floor: int, now: int, limit: int) -> int:
    marks = ", ".join("?" * len(ENDED))
    # The newest row stays, so that SQLite never gives its number again.
    rows = db.execute(
        "SELECT id, state, terms, block, copy_id, seller FROM purchases "  # noqa: S608
        "WHERE block < ? AND id < (SELECT max(id) FROM purchases) AND CASE orphaned WHEN 0 THEN "
        f"(state IN ({marks}) AND last_time < ?) OR (state = 'waiting' AND last_time < ?) "
        "ELSE NOT EXISTS (SELECT 1 FROM seals WHERE seals.purchase = purchases.id) END "
        "AND NOT EXISTS (SELECT 1 FROM jobs LEFT JOIN nonce_slots AS s ON s.id = jobs.nonce_slot "
        "WHERE jobs.purchase = purchases.id AND (jobs.state IN ('due', 'live') "
        "OR s.state = 'live')) ORDER BY block LIMIT ?",
        (floor, *ENDED, now - MARGIN_SECONDS, now - UNREAD_SECONDS, limit),
    ).fetchall()
    sums: dict[str, int] = {}
    for row in rows:
        one = (row["id"],)
        orphaned = db.execute("SELECT orphaned FROM purchases WHERE id = ?", one).fetchone()[0]
        name = "purchases.orphaned" if orphaned else f"purchases.{row['state']}"
        sums[name] = sums.get(name, 0) + 1
        if not orphaned:
            # What the seller's side delivers is a fallback: its fee is the buyer's.
            ours, paid = db.execute(
                "SELECT count(*), coalesce(sum(delivered_by <> ?), 0) FROM deliveries "
                "WHERE copy_id = ? AND delivered_by IN (?, ?) AND supplied = 0 AND block >= ?",
                (row["seller"], row["copy_id"], *names, row["block"]),
            ).fetchone()
            if ours:
                sums["delivered"] = sums.get("delivered", 0) + ours
                fee = load_terms(row["terms"]).fee
                sums["earned"] = sums.get("earned", 0) + paid * fee
        db.execute(
            "INSERT INTO archived_seals SELECT ?, part_index, buyer_key, x'' FROM seals "
            "WHERE purchase = ? AND orphaned = 0 "
            "ON CONFLICT DO UPDATE SET buyer_key = excluded.buyer_key, fragment = x''",
            (row["copy_id"], *one),
        )
        for table, key in (("seals", "purchase"), ("jobs", "purchase"), ("purchases", "id")):
            db.execute(f"DELETE FROM {table} WHERE {key} = ?", one)  # noqa: S608
    add_totals(db, sums)
    return len(rows)


def _events(db: sqlite3.Connection, floor: int, limit: int) -> int:
    """Deliveries, proofs and other events of sales that are no longer here."""
    gone = 0
    for table in ("deliveries", "sale_events", "junk_proofs"):
        gone += db.execute(
            f"DELETE FROM {table} WHERE (block, log_index, block_hash) IN "  # noqa: S608
            f"(SELECT block, log_index, block_hash FROM {table} WHERE block < ? AND NOT EXISTS "
            f"(SELECT 1 FROM purchases WHERE purchases.copy_id = {table}.copy_id) LIMIT ?)",
            (floor, limit),
        ).rowcount
    return gone


def _transactions(db: sqlite3.Connection, floor: int, limit: int) -> int:
    """Nonces below one of ours that is mined for good: no transaction for them can be mined."""
    rows = db.execute(
        "SELECT id, mined_block, cost_wei, data_cost_wei FROM nonce_slots WHERE state <> 'live' "
        "AND mined_block < ? AND nonce < (SELECT max(nonce) FROM nonce_slots WHERE state = 'mined' "
        "AND mined_block >= 0 AND mined_block < ?) AND id < (SELECT max(id) FROM nonce_slots) "
        "AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.nonce_slot = nonce_slots.id) LIMIT ?",
        (floor, floor, limit),
    ).fetchall()
    ids = [(row["id"],) for row in rows]
    db.executemany("DELETE FROM attempts WHERE nonce_slot = ?", ids)
    db.executemany("DELETE FROM nonce_slots WHERE id = ?", ids)
    add_totals(db, _costs([row for row in rows if row["mined_block"] >= 0]))
    return len(rows)


def _versions(db: sqlite3.Connection, floor: int, limit: int) -> int:
    """Store versions that no sale still here was made under, and none to come can be."""
    gone = db.execute(
        "DELETE FROM store_versions WHERE (block, log_index, block_hash) IN (SELECT old.block, "
        "old.log_index, old.block_hash FROM store_versions AS old WHERE EXISTS "
        "(SELECT 1 FROM store_versions AS new WHERE new.seller = old.seller AND new.block < ? "
        "AND (new.block, new.log_index) > (old.block, old.log_index)) "
        "AND (old.seller, old.digest) NOT IN (SELECT seller, store_digest FROM purchases) "
        "LIMIT ?)",
        (floor, limit),
    ).rowcount
    if gone:
        # What is pinned stays on the books until the pin is taken off. The newest row stays, too,
        # so that SQLite never gives its number again: it may be under way just now.
        documents = db.execute(
            # All at once: one that is missing would be looked for among all of its seller's, who
            # may have tens of thousands, by NOT EXISTS and by NOT IN alike.
            "SELECT id FROM (SELECT seller, digest, root FROM documents "
            "EXCEPT SELECT seller, digest, root FROM store_versions) "
            "JOIN documents USING (seller, digest, root) "
            "WHERE pin <> 'held' AND id < (SELECT max(id) FROM documents) "
            "AND (seller, digest) NOT IN (SELECT seller, store_digest FROM purchases)"
        ).fetchall()
        db.executemany("DELETE FROM documents WHERE id = ?", documents)
    return gone


def add_totals(db: sqlite3.Connection, sums: Mapping[str, int]) -> None:
    """Adds to `totals`."""
    kept = totals(db)
    db.executemany(
        "INSERT INTO archived_totals VALUES (?, ?) "
        "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        [(name, str(kept.get(name, 0) + number)) for name, number in sums.items() if number],
    )
