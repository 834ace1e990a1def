"""Proofs that parts which our own account signed were junk: each is told once."""

from __future__ import annotations

from typing import NamedTuple

from dam.ledger.ledger import Ledger

_TOLD = "own_junk_told"
"""Place of the last proof that was told, in the table ``meta``."""


class OwnJunk(NamedTuple):
    """A part that our account signed, and that was proved to be junk."""

    block: int
    log_index: int
    copy_id: bytes
    part: int
    cleared: bool
    """Whether the part is missing again."""
    sealed_here: bool
    """Whether this ledger has sealed the part; else somebody else signed with the account."""


def untold(ledger: Ledger) -> list[OwnJunk]:
    """Proofs that were not told yet, in the order of the chain."""
    row = ledger.db.execute("SELECT value FROM meta WHERE key = ?", (_TOLD,)).fetchone()
    block, log_index = map(int, row["value"].split()) if row is not None else (-1, -1)
    rows = ledger.db.execute(
        "SELECT block, log_index, copy_id, part_index, cleared, EXISTS (SELECT 1 FROM seals "
        "JOIN purchases AS p ON p.id = seals.purchase WHERE p.copy_id = j.copy_id "
        "AND seals.part_index = j.part_index) OR EXISTS (SELECT 1 FROM archived_seals AS a "
        "WHERE a.copy_id = j.copy_id AND a.part_index = j.part_index) "
        "FROM junk_proofs AS j WHERE deliverer = ? AND (block, log_index) > (?, ?) "
        "ORDER BY block, log_index",
        (ledger.binding.account, block, log_index),
    )
    return [
        OwnJunk(block, log_index, copy_id, part, bool(cleared), bool(sealed))
        for block, log_index, copy_id, part, cleared, sealed in rows
    ]


def mark_told(ledger: Ledger, last: OwnJunk) -> None:
    """Keeps in mind that the proofs up to this one were told."""
    with ledger.transaction(durable=False) as db:
        place = f"{last.block} {last.log_index}"
        db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_TOLD, place))
