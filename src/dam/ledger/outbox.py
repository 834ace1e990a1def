"""What is to be sent, and what was: jobs, nonce slots and signed attempts, in the ledger's file.

A *job* is one duty towards a sale: deliver or supply a part, or settle. A *slot* is one nonce of
ours; its *attempts* are the transactions signed for that nonce, of which at most one is mined. A
job is ``due``, then ``live`` in exactly one slot, and ``done`` only when the chain's own events say
so: a slot that is mined without them puts its jobs back to ``due``. Units: wei and blocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from dam.ethereum.eip1559 import calldata_of
from dam.ledger.ledger import Ledger
from dam.ledger.migrations import packed_delivery
from dam.ledger.sql_params import plain_rows, value_lists
from dam.types import FALLBACK_BLOCKS, Address, CopyId

Kind = Literal["deliver", "supply", "settle"]
NO_DEADLINE = 2**62
NO_INDEX = -1
"""Of a settlement, which concerns no part."""
ALONE = "alone"
"""Prefix of the reason of a job that shares no transaction, because a batch with it reverted, for
example. If its fee does not pay for that, it may be batched again."""
UNPROFITABLE = "unprofitable"
"""Reason of a job that waits for cheaper gas, or for others to share a transaction with."""
_WORD = 32
_PURCHASE_BLOCK, _FEE, _PROOF = 3 * _WORD, 8 * _WORD, 18 * _WORD
"""Where these words of a packed `Delivery` begin."""


def blocks_until(deadline: int, head: int) -> int | None:
    """How many blocks are left, for the log; None: there is no deadline."""
    return None if deadline >= NO_DEADLINE else deadline - head


NewJob = tuple[int, CopyId, Kind, int, bytes, int, int]
"""Purchase, copyId, kind, index (or `NO_INDEX`), the packed `Delivery` (empty for a settlement),
first and last block that may hold it."""


class Job(NamedTuple):
    """One duty; a named tuple, for thousands of them are made in one pass."""

    id: int
    purchase: int
    copy_id: CopyId
    kind: Kind
    index: int  # type: ignore[assignment] # as everywhere; nobody looks a value up in a job
    body: bytes
    """The `Delivery`, packed for calldata; empty for a settlement."""
    state: str
    reason: str
    not_before: int
    """First block that may hold it."""
    deadline: int
    """Last block that may hold it."""
    tries: int
    slot: int | None

    @property
    def purchase_block(self) -> int:
        """Block of the purchase; 0 for a settlement."""
        return int.from_bytes(self.body[_PURCHASE_BLOCK : _PURCHASE_BLOCK + _WORD], "big")

    @property
    def fee(self) -> int:
        """What the part earns, in wei."""
        return int.from_bytes(self.body[_FEE : _FEE + _WORD], "big")

    @property
    def proof_steps(self) -> int:
        """Length of the part's Merkle proof."""
        return int.from_bytes(self.body[_PROOF : _PROOF + _WORD], "big")

    @property
    def alone(self) -> bool:
        """Whether it may share no transaction."""
        return self.reason.startswith(ALONE)

    @property
    def unprofitable(self) -> bool:
        """Whether it waits for cheaper gas."""
        return self.reason == UNPROFITABLE

    def target(self, head: int) -> int:
        """Last block that should hold it: purchase + 100 while its fee is ours alone to take."""
        if self.kind == "deliver":
            exclusive = self.purchase_block + FALLBACK_BLOCKS
            if self.not_before <= exclusive and head < exclusive:
                return min(exclusive, self.deadline)
        return self.deadline


@dataclass(frozen=True, slots=True)
class Attempt:
    """One signed transaction; ``sent`` once a node took it."""

    id: int
    """0 as long as it is not saved."""
    slot: int
    nonce: int
    hash: bytes
    raw: bytes
    to: Address
    gas: int
    max_fee: int
    tip: int
    block: int
    """Head when it was signed."""
    sent: bool

    @property
    def data(self) -> bytes:
        """Its calldata."""
        return calldata_of(self.raw)


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
        self._db = ledger.db

    def add(self, jobs: Sequence[NewJob]) -> int:
        """Saves jobs; returns how many are new."""
        bodies = [
            (purchase * 64 + index * 2 + (kind == "supply"), packed)
            for purchase, _, kind, index, packed, *_ in jobs
            if packed
        ]
        self._db.executemany("INSERT OR IGNORE INTO bodies VALUES (?, ?)", bodies)
        rows = [(*job[:4], "", *job[5:]) for job in jobs]
        return sum(
            self._db.execute(
                "INSERT INTO jobs (purchase, copy_id, kind, idx, body, not_before, deadline) "  # noqa: S608
                f"VALUES {marks} ON CONFLICT (purchase, kind, idx) DO NOTHING",
                values,
            ).rowcount
            for marks, values in value_lists(rows)
        )

    def due(self, block: int, *, limit: int = 512) -> list[Job]:
        """Jobs that may stand in ``block``, the most urgent first, those without profit last.

        A part that another live transaction of ours carries already (for a purchase since orphaned,
        for example) waits until that one has ended.
        """
        found = self._jobs(
            "jobs.id IN (SELECT id FROM jobs WHERE state = 'due' AND not_before <= ? "
            "AND NOT EXISTS (SELECT 1 FROM jobs AS other WHERE other.state = 'live' "
            "AND other.copy_id = jobs.copy_id AND other.kind = jobs.kind "
            "AND other.idx = jobs.idx) ORDER BY reason = 'unprofitable', deadline, id LIMIT ?)",
            (block, limit),
        )
        # Here, for SQLite would carry whole rows through its sorter.
        return sorted(found, key=lambda job: (job.unprofitable, job.deadline, job.id))

    def of_purchase(self, purchase: int) -> list[Job]:
        """All jobs of a purchase."""
        return self._jobs("purchase = ? ORDER BY jobs.id", (purchase,))

    def of_slot(self, slot: int) -> list[Job]:
        """The live jobs that a slot carries."""
        return self._jobs("slot = ? AND state = 'live' ORDER BY jobs.id", (slot,))

    def _jobs(self, condition: str, values: tuple[object, ...]) -> list[Job]:
        return [
            _job(row) for row in plain_rows(self._db, f"SELECT {_JOB} WHERE {condition}", values)
        ]

    def postpone(self, job: Job, block: int, reason: str) -> None:
        """Tries a job again when ``block`` may be next. Counts as a try."""
        self._db.execute(
            "UPDATE jobs SET not_before = ?, reason = ?, tries = tries + 1 WHERE id = ?",
            (block, _alone(reason) if job.alone else reason, job.id),
        )

    def put_off(self, jobs: Sequence[Job], block: int) -> None:
        """Tries jobs again when ``block`` may be next; it was no fault of theirs."""
        self._db.executemany(
            "UPDATE jobs SET not_before = ? WHERE id = ?", [(block, job.id) for job in jobs]
        )

    def wait_for_profit(self, jobs: Sequence[Job], block: int) -> None:
        """Tries jobs that do not pay their gas again when ``block`` may be next."""
        self._db.executemany(
            "UPDATE jobs SET not_before = ?, reason = 'unprofitable' WHERE id = ?",
            [(block, job.id) for job in jobs],
        )

    def unbatch(self, slot: int) -> None:
        """From now on, the jobs of a slot share no transaction."""
        self._db.execute(
            "UPDATE jobs SET reason = 'alone' WHERE slot = ? AND state = 'live'", (slot,)
        )

    def back_off(self, slot: int, block: int, spare: int) -> None:
        """Postpones a slot's jobs, whose transaction reverted in ``block``, twice as long each
        time, but to no later than ``spare`` blocks before their targets.
        """
        waits = [
            (min(block + (1 << min(job.tries, 5)), job.target(block) - spare), job.id)
            for job in self.of_slot(slot)
        ]
        self._db.executemany("UPDATE jobs SET not_before = max(not_before, ?) WHERE id = ?", waits)

    def move_settlement(self, purchase: int, block: int) -> None:
        """A dispute, for example, changed the first block in which a settlement is possible."""
        self._db.execute(
            "UPDATE jobs SET not_before = :block WHERE purchase = :purchase AND kind = 'settle' "
            "AND state = 'due' AND (tries = 0 OR not_before < :block) AND not_before <> :block",
            {"block": block, "purchase": purchase},
        )

    def finish(self, job: Job, state: Literal["done", "failed", "cancelled"], reason: str) -> None:
        """Ends a job."""
        self._db.execute(
            "UPDATE jobs SET state = ?, reason = ? WHERE id = ?", (state, reason, job.id)
        )

    def finish_by_events(self) -> int:
        """Ends all jobs that the chain's events show as done, no matter by whom."""
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

    def live(self) -> list[Slot]:
        """Nonces in use, the lowest first."""
        return self._slots("id, nonce FROM slots WHERE state = 'live' ORDER BY nonce")

    def slot(self, slot: int) -> Slot:
        """One slot by its row id."""
        [found] = self._slots("id, nonce FROM slots WHERE id = ?", slot)
        return found

    def nonces(self) -> list[int]:
        """Nonces in use, the lowest first."""
        rows = self._db.execute("SELECT nonce FROM slots WHERE state = 'live' ORDER BY nonce")
        return [row["nonce"] for row in rows]

    def highest_nonce(self) -> int | None:
        """The highest that was ever taken and not given back, or None."""
        return self._max_nonce("state <> 'abandoned'")

    def settled_nonces(self) -> int:
        """How many nonces are used up as far as we know: one more than the highest such."""
        highest = self._max_nonce("state IN ('mined', 'lost')")
        return 0 if highest is None else highest + 1

    def _max_nonce(self, condition: str) -> int | None:
        sql = f"SELECT max(nonce) FROM slots WHERE {condition}"  # noqa: S608
        [[highest]] = plain_rows(self._db, sql, ())
        return highest  # type: ignore[no-any-return]

    def given_back(self, first: int, end: int) -> list[Slot]:
        """Slots of nonces from ``first`` to before ``end``, given back and not used since."""
        slots = self._slots(
            "max(id), nonce FROM slots AS s WHERE nonce >= ? AND nonce < ? "
            "AND state = 'abandoned' AND NOT EXISTS (SELECT 1 FROM slots AS o "
            "WHERE o.nonce = s.nonce AND o.state <> 'abandoned') GROUP BY nonce",
            first,
            end,
        )
        return [slot for slot in slots if slot.attempts]

    def reopen(self, slots: Iterable[Slot]) -> None:
        """Makes abandoned slots live again: they were given back too soon."""
        self._db.executemany(
            "UPDATE slots SET state = 'live' WHERE id = ?", [(slot.id,) for slot in slots]
        )

    def open_slot(self, nonce: int) -> int:
        """Takes a nonce, and returns the slot's row id; `carry` puts jobs into it."""
        slot = self._db.execute("INSERT INTO slots (nonce) VALUES (?)", (nonce,)).lastrowid
        assert slot is not None
        return slot

    def carry(self, loads: Iterable[tuple[int, Sequence[Job]]]) -> None:
        """Makes jobs live, each in its slot. ``loads``: a slot's row id, and its jobs."""
        # In the order of the rows: the indexes are then written from one end to the other.
        pairs = sorted((job.id, slot) for slot, jobs in loads for job in jobs)
        for marks, values in value_lists(pairs):
            self._db.execute(
                "UPDATE jobs SET state = 'live', slot = load.column2, "  # noqa: S608
                "reason = CASE WHEN reason LIKE 'alone%' THEN 'alone' ELSE '' END "
                f"FROM (VALUES {marks}) AS load WHERE jobs.id = load.column1",
                values,
            )

    def add_attempt(self, attempt: Attempt) -> Attempt:
        """Saves a signed transaction before any node sees it; returns it with its row id."""
        one, fees = attempt, (str(attempt.max_fee), str(attempt.tip))
        [[key]] = self._db.execute(
            "INSERT INTO attempts (slot, hash, raw, receiver, data, gas, max_fee, tip, block) "
            "VALUES (?, ?, ?, ?, x'', ?, ?, ?, ?) "
            # The very bytes of a nonce that was given back and taken again.
            "ON CONFLICT (hash) DO UPDATE SET slot = excluded.slot, block = excluded.block, "
            "sent = 0 RETURNING id",
            (one.slot, one.hash, one.raw, one.to, one.gas, *fees, one.block),
        ).fetchall()
        return replace(attempt, id=key)

    def mark_sent(self, attempts: Sequence[Attempt]) -> None:
        """A node took them, or has them already."""
        self._db.executemany(
            "UPDATE attempts SET sent = 1 WHERE id = ?", [(attempt.id,) for attempt in attempts]
        )

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
        """The nonce is used up (by us or not), or given back; open jobs are due again, or cancelled
        if their purchases are orphaned.
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

    def _slots(self, query: str, *values: object) -> list[Slot]:
        found = plain_rows(self._db, f"SELECT {query}", values)
        return [Slot(slot, nonce, self._attempts(slot, nonce)) for slot, nonce in found]

    def _attempts(self, slot: int, nonce: int) -> tuple[Attempt, ...]:
        sql = (
            "SELECT id, hash, raw, receiver, gas, max_fee, tip, block, sent FROM attempts "
            "WHERE slot = ? ORDER BY id"
        )
        return tuple(
            Attempt(key, slot, nonce, tx, raw, to, gas, int(fee), int(tip), block, bool(sent))
            for key, tx, raw, to, gas, fee, tip, block, sent in plain_rows(self._db, sql, (slot,))
        )


_JOB = (
    "jobs.id, purchase, copy_id, kind, idx, coalesce(packed, body), state, reason, not_before, "
    "deadline, tries, slot FROM jobs LEFT JOIN bodies "
    "ON bodies.id = jobs.purchase * 64 + jobs.idx * 2 + (jobs.kind = 'supply')"
)
_BODY = 5


def _alone(reason: str) -> str:
    return reason if reason.startswith(ALONE) else f"{ALONE}, {reason}"


def _job(row: tuple[Any, ...]) -> Job:
    body = row[_BODY]
    if isinstance(body, str):
        # A settlement, which has none; or a ledger of the first version, as JSON.
        return Job._make((*row[:_BODY], packed_delivery(body), *row[_BODY + 1 :]))
    return Job._make(row)
