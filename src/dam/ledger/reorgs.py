"""What a ledger forgets when the chain has replaced blocks, and what it keeps."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from dam.types import BlockRef


@dataclass(frozen=True, slots=True)
class Rollback:
    """What a reorganisation took away."""

    to: BlockRef
    depth: int
    purchases: int
    cancelled: int


def roll_back(db: sqlite3.Connection, to: BlockRef, cursor: int) -> Rollback:
    """Forgets everything above the common ancestor ``to``, inside the caller's transaction.

    Args:
        db: The ledger's connection.
        to: The newest block that both branches have.
        cursor: Number of the last block that was read.
    """
    above = (to.number,)
    db.execute(
        "CREATE TEMP TABLE touched AS SELECT copy_id FROM deliveries WHERE block > ? "
        "UNION SELECT copy_id FROM sale_events WHERE block > ? "
        "UNION SELECT copy_id FROM junk_proofs WHERE block > ?",
        above * 3,
    )
    for table in ("store_versions", "deliveries", "sale_events", "junk_proofs"):
        db.execute(f"DELETE FROM {table} WHERE block > ?", above)  # noqa: S608
    db.execute("DELETE FROM blocks WHERE number > ?", above)
    orphaned = db.execute(
        "UPDATE purchases SET orphaned = 1 WHERE block > ? AND orphaned = 0", above
    ).rowcount
    db.execute(
        "UPDATE seals SET orphaned = 1 WHERE purchase IN "
        "(SELECT id FROM purchases WHERE orphaned = 1)"
    )
    db.execute(
        "UPDATE nonce_slots SET state = 'live', mined_block = -1, receipt_status = -1 "
        "WHERE mined_block > ? AND state = 'mined' AND NOT EXISTS (SELECT 1 FROM nonce_slots "
        "AS other WHERE other.nonce = nonce_slots.nonce AND other.state = 'live')",
        above,
    )
    # What the lost events had ended is open again, and a slot that is live again carries its jobs,
    # whatever became of them meanwhile. Where two slots carry one part, for a purchase that was
    # lost and for the one in its place, one job is live: the other's end is its slot's to find.
    db.execute(
        "UPDATE jobs SET state = CASE WHEN id = (SELECT o.id FROM jobs AS o JOIN nonce_slots AS s "
        "ON s.id = o.nonce_slot AND s.state = 'live' WHERE o.copy_id = jobs.copy_id "
        "AND o.kind = jobs.kind AND o.part_index = jobs.part_index "
        "ORDER BY o.state = 'live' DESC, o.id DESC LIMIT 1) THEN 'live' "
        "WHEN state = 'done' THEN 'due' ELSE state END "
        "WHERE (state = 'done' AND copy_id IN (SELECT copy_id FROM touched)) OR (state <> "
        "'done' AND nonce_slot IN (SELECT id FROM nonce_slots WHERE state = 'live'))"
    )
    db.execute(
        "UPDATE purchases SET state = 'new', reason = '' WHERE state IN ('done', 'late') "
        "AND copy_id IN (SELECT copy_id FROM touched)"
    )
    db.execute("DROP TABLE touched")
    cancelled = db.execute(
        "UPDATE jobs SET state = 'cancelled', reason = 'orphaned' WHERE state = 'due' "
        "AND purchase IN (SELECT id FROM purchases WHERE orphaned = 1)"
    ).rowcount
    db.execute("INSERT OR REPLACE INTO blocks VALUES (?, ?)", (to.number, to.hash))
    # Its time stays: the chain's next block is no earlier than a moment ago, whatever the branch.
    db.execute("UPDATE cursor SET number = ?, hash = ?", (to.number, to.hash))
    return Rollback(to, cursor - to.number, orphaned, cancelled)
