"""What is to be sent, and what was: jobs, nonce slots and signed attempts, in the ledger's file.

A *job* is one duty towards a sale: deliver or supply a part, or settle. A *slot* is one nonce of
ours; its *attempts* are the transactions signed for that nonce, of which at most one is mined. A
job is ``due``, then ``live`` in exactly one slot, and ``done`` only when the chain's own events say
so: a slot that is mined without them puts its jobs back to ``due``.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from dam.ledger import Ledger
from dam.records import dump_delivery, load_delivery
from dam.types import Address, CopyId, Delivery

Kind = Literal["deliver", "supply", "settle"]
NO_DEADLINE = 2**62


@dataclass(frozen=True, slots=True)
class Job:
    """One duty. ``delivery`` holds the sealed bytes; None for a settlement."""

    id: int
    purchase: int
    copy_id: CopyId
    kind: Kind
    index: int
    delivery: Delivery | None
    state: str
    reason: str
    not_before: int
    """First block that may hold it."""
    deadline: int
    """Last block that may hold it."""
    tries: int
    slot: int | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One signed transaction; ``sent`` once a node took it."""

    id: int
    slot: int
    nonce: int
    hash: bytes
    raw: bytes
    to: Address
    data: bytes
    gas: int
    max_fee: int
    tip: int
    block: int
    """Head when it was signed."""
    sent: bool


@dataclass(frozen=True, slots=True)
class Slot:
    """A nonce in use, with its attempts in the order of their signing."""

    id: int
    nonce: int
    attempts: tuple[Attempt, ...]

    @property
    def last(self) -> Attempt:
        return self.attempts[-1]


class Outbox:
    """Jobs, slots and attempts of one ledger. Callers open the transaction."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._db = ledger.db

    # -------------------------------------------------------------------------------------- jobs

    def add(
        self,
        purchase: int,
        copy_id: CopyId,
        kind: Kind,
        *,
        delivery: Delivery | None = None,
        not_before: int = 0,
        deadline: int = NO_DEADLINE,
    ) -> bool:
        """Writes a duty down; False if it was there already."""
        done = self._db.execute(
            "INSERT INTO jobs (purchase, copy_id, kind, idx, body, not_before, deadline) "
            "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (purchase, kind, idx) DO NOTHING",
            (
                purchase,
                copy_id,
                kind,
                -1 if delivery is None else delivery.index,
                "" if delivery is None else dump_delivery(delivery),
                not_before,
                deadline,
            ),
        )
        return done.rowcount == 1

    def due(self, block: int, *, limit: int = 512) -> list[Job]:
        """Jobs that may stand in ``block``, the most urgent first.

        A part that another live transaction of ours already carries (for a purchase since orphaned,
        say) waits for that one's end.
        """
        rows = self._db.execute(
            "SELECT * FROM jobs WHERE state = 'due' AND not_before <= ? AND NOT EXISTS "
            "(SELECT 1 FROM jobs AS other WHERE other.state = 'live' "
            "AND other.copy_id = jobs.copy_id AND other.kind = jobs.kind "
            "AND other.idx = jobs.idx) ORDER BY deadline, id LIMIT ?",
            (block, limit),
        )
        return [_job(row) for row in rows]

    def of_purchase(self, purchase: int) -> list[Job]:
        """All jobs of a purchase."""
        rows = self._db.execute("SELECT * FROM jobs WHERE purchase = ? ORDER BY id", (purchase,))
        return [_job(row) for row in rows]

    def of_slot(self, slot: int) -> list[Job]:
        """The live jobs that a slot carries."""
        rows = self._db.execute(
            "SELECT * FROM jobs WHERE slot = ? AND state = 'live' ORDER BY id", (slot,)
        )
        return [_job(row) for row in rows]

    def postpone(self, job: Job, block: int, reason: str) -> None:
        """Not now: look again when ``block`` may be next. Counts as a try."""
        self._db.execute(
            "UPDATE jobs SET not_before = ?, reason = ?, tries = tries + 1 WHERE id = ?",
            (block, reason, job.id),
        )

    def move_settlement(self, purchase: int, block: int) -> None:
        """The first block in which a settlement is possible has changed (by a dispute, say)."""
        self._db.execute(
            "UPDATE jobs SET not_before = ? WHERE purchase = ? AND kind = 'settle' "
            "AND state = 'due' AND (tries = 0 OR not_before < ?)",
            (block, purchase, block),
        )

    def finish(self, job: Job, state: Literal["done", "failed", "cancelled"], reason: str) -> None:
        """Ends a job."""
        self._db.execute(
            "UPDATE jobs SET state = ?, reason = ? WHERE id = ?", (state, reason, job.id)
        )

    def finish_by_events(self) -> int:
        """Ends all jobs that the chain's events show as done, whoever did them."""
        done = self._db.execute(
            "UPDATE jobs SET state = 'done', "
            "reason = CASE WHEN slot IS NULL THEN 'already there' ELSE '' END "
            "WHERE state IN ('due', 'live') AND purchase IN "
            "(SELECT id FROM purchases WHERE orphaned = 0) AND CASE kind WHEN 'settle' THEN "
            "EXISTS (SELECT 1 FROM turns, purchases WHERE purchases.id = jobs.purchase "
            "AND turns.copy_id = jobs.copy_id AND turns.kind <> 'disputed' "
            "AND turns.block >= purchases.block) ELSE "
            "EXISTS (SELECT 1 FROM delivered, purchases WHERE purchases.id = jobs.purchase "
            "AND delivered.copy_id = jobs.copy_id AND delivered.idx = jobs.idx "
            "AND delivered.supplied = (jobs.kind = 'supply') "
            "AND delivered.block >= purchases.block) END"
        )
        return done.rowcount

    # ------------------------------------------------------------------------------------- slots

    def live(self) -> list[Slot]:
        """Nonces in use, the lowest first."""
        slots = self._db.execute("SELECT id, nonce FROM slots WHERE state = 'live' ORDER BY nonce")
        return [Slot(r["id"], r["nonce"], self._attempts(r["id"])) for r in slots.fetchall()]

    def open_slot(self, nonce: int, jobs: Sequence[Job]) -> int:
        """Takes a nonce for these jobs, and returns the slot's row id."""
        slot = self._db.execute("INSERT INTO slots (nonce) VALUES (?)", (nonce,)).lastrowid
        assert slot is not None
        self._db.executemany(
            "UPDATE jobs SET state = 'live', slot = ?, reason = '' WHERE id = ?",
            [(slot, job.id) for job in jobs],
        )
        return slot

    def add_attempt(
        self,
        slot: int,
        *,
        tx_hash: bytes,
        raw: bytes,
        to: Address,
        data: bytes,
        gas: int,
        max_fee: int,
        tip: int,
        block: int,
    ) -> None:
        """Saves a signed transaction, before any node sees it."""
        self._db.execute(
            "INSERT INTO attempts (slot, hash, raw, receiver, data, gas, max_fee, tip, block) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (hash) DO NOTHING",
            (slot, tx_hash, raw, to, data, gas, str(max_fee), str(tip), block),
        )

    def mark_sent(self, attempt: Attempt) -> None:
        """A node took it, or has it already."""
        self._db.execute("UPDATE attempts SET sent = 1 WHERE id = ?", (attempt.id,))

    def hashes(self, nonce: int) -> list[bytes]:
        """Every transaction that was ever signed for this nonce, the newest first."""
        rows = self._db.execute(
            "SELECT attempts.hash FROM attempts JOIN slots ON slots.id = attempts.slot "
            "WHERE nonce = ? ORDER BY attempts.id DESC",
            (nonce,),
        )
        return [row["hash"] for row in rows]

    def close_slot(
        self,
        slot: Slot,
        state: Literal["mined", "lost", "abandoned"],
        *,
        block: int = -1,
        status: int = -1,
        tx_hash: bytes = b"",
        cost: int = 0,
    ) -> None:
        """The nonce is used up (by us or not), or given back; open jobs are due again.

        Those of orphaned purchases are cancelled.
        """
        self._db.execute(
            "UPDATE slots SET state = ?, block = ?, status = ?, hash = ?, cost = ? WHERE id = ?",
            (state, block, status, tx_hash, str(cost), slot.id),
        )
        self._db.execute(
            "UPDATE jobs SET tries = tries + 1, state = CASE WHEN purchase IN "
            "(SELECT id FROM purchases WHERE orphaned = 1) THEN 'cancelled' ELSE 'due' END "
            "WHERE slot = ? AND state = 'live'",
            (slot.id,),
        )

    def _attempts(self, slot: int) -> tuple[Attempt, ...]:
        rows = self._db.execute(
            "SELECT attempts.*, nonce FROM attempts JOIN slots ON slots.id = slot "
            "WHERE slot = ? ORDER BY attempts.id",
            (slot,),
        )
        return tuple(_attempt(row) for row in rows)


def _job(row: sqlite3.Row) -> Job:
    return Job(
        id=row["id"],
        purchase=row["purchase"],
        copy_id=CopyId(row["copy_id"]),
        kind=row["kind"],
        index=row["idx"],
        delivery=load_delivery(row["body"]) if row["body"] else None,
        state=row["state"],
        reason=row["reason"],
        not_before=row["not_before"],
        deadline=row["deadline"],
        tries=row["tries"],
        slot=row["slot"],
    )


def _attempt(row: sqlite3.Row) -> Attempt:
    return Attempt(
        id=row["id"],
        slot=row["slot"],
        nonce=row["nonce"],
        hash=row["hash"],
        raw=row["raw"],
        to=Address(row["receiver"]),
        data=row["data"],
        gas=row["gas"],
        max_fee=int(row["max_fee"]),
        tip=int(row["tip"]),
        block=row["block"],
        sent=bool(row["sent"]),
    )
