"""What is to be sent, and what was: jobs, nonce slots and signed attempts, in the ledger's file.

A *job* is one duty towards a sale: deliver, replace or supply a part, or close it. A *slot* is one
nonce of the account that sends; its *attempts* are the transactions signed for that nonce, of which
at most one is mined. A job is ``due``, then ``live`` in exactly one slot, and ``done`` only when
the chain's own events say so: a slot that is mined without them puts its jobs back to ``due``.
Units: wei, and seconds of the chain.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from dam.ethereum.eip1559 import calldata_of
from dam.ledger.ledger import Ledger
from dam.ledger.pruning import add_totals, mined_costs
from dam.ledger.sql_params import plain_rows, value_lists
from dam.market.calldata import FEE_AT, FRESH_KEY_AT, PROOF_LENGTH_AT, PURCHASE_BLOCK_AT
from dam.market.wallet import Receipt
from dam.types import FALLBACK_BLOCKS, Address, Clock, CopyId

Kind = Literal["deliver", "replace", "supply", "close"]
PART_KINDS: tuple[Kind, ...] = ("deliver", "replace", "supply")
"""Of one part, with a packed delivery each."""
NO_DEADLINE = 2**62
NO_INDEX = -1
"""Of a job that closes a sale, which concerns no part."""
ALONE = "alone"
"""Prefix of the reason of a job that shares no transaction, because a batch with it reverted, for
example. If its fee does not pay for that, it may be batched again."""
UNPROFITABLE = "unprofitable"
"""Reason of a job that waits for cheaper gas, or for others to share a transaction with."""
BLOCK_SECONDS = 12
"""In which time left is measured, beside blocks: those of Ethereum. Where blocks are faster, it
makes what hurries hurry as early by the clock."""
_WORD = 32


class Now(NamedTuple):
    """The newest block of the node, which waits and ages are counted in, and the market's clock."""

    head: int
    clock: Clock


def seconds_until(last_time: int, now: Now) -> int | None:
    """How many seconds are left, for the log; None: there is no deadline."""
    return None if last_time >= NO_DEADLINE else last_time - now.clock.time


class NewJob(NamedTuple):
    """A job to be."""

    purchase: int
    copy_id: CopyId
    kind: Kind
    index: int  # type: ignore[assignment] # as in `Job`
    """Or `NO_INDEX`."""
    packed: bytes
    """The `Delivery`; empty to close."""
    first_block: int = 0
    """First block, as the contract counts them, that may hold it; 0: no matter."""
    first_time: int = 0
    """First second in which it may be mined."""
    last_time: int = NO_DEADLINE
    """Last second in which it may be mined."""


class Job(NamedTuple):
    """One duty; a named tuple, for thousands of them are made in one pass."""

    id: int
    purchase: int
    copy_id: CopyId
    kind: Kind
    index: int  # type: ignore[assignment] # as everywhere; nobody looks a value up in a job
    body: bytes
    """The `Delivery`, packed for calldata; empty to close."""
    state: str
    reason: str
    first_block: int
    """First block, as the contract counts them, that may hold it; 0: no matter."""
    first_time: int
    """First second in which it may be mined."""
    last_time: int
    """Last second in which it may be mined."""
    retry_block: int
    """Block of the node before which it is not tried again."""
    tries: int
    slot: int | None

    @property
    def purchase_block(self) -> int:
        """Block of the purchase, as the contract counts them; 0 of one that closes."""
        return int.from_bytes(self.body[PURCHASE_BLOCK_AT : PURCHASE_BLOCK_AT + _WORD], "big")

    @property
    def fee(self) -> int:
        """What the part earns, in wei."""
        return int.from_bytes(self.body[FEE_AT : FEE_AT + _WORD], "big")

    @property
    def proof_steps(self) -> int:
        """Length of the part's Merkle proof."""
        return int.from_bytes(self.body[PROOF_LENGTH_AT : PROOF_LENGTH_AT + _WORD], "big")

    @property
    def alone(self) -> bool:
        """Whether it may share no transaction."""
        return self.reason.startswith(ALONE)

    @property
    def unprofitable(self) -> bool:
        """Whether it waits for cheaper gas."""
        return self.reason == UNPROFITABLE

    def late(self, now: Now) -> bool:
        """Whether the next block is too late for it."""
        return self.last_time <= now.clock.time

    def left(self, now: Now) -> int:
        """Blocks in which it should be mined, or as many times `BLOCK_SECONDS` until its last time
        if that is less: until block purchase + 100, while its fee is ours alone to take.
        """
        left = (self.last_time - now.clock.time) // BLOCK_SECONDS
        if self.kind == "deliver" and not self.first_block:
            exclusive = self.purchase_block + FALLBACK_BLOCKS - now.clock.block
            if exclusive > 0:
                return min(left, exclusive)
        return left


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
    head: int
    """Newest block when it was signed."""
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
        packed = [
            (job.purchase * 128 + job.index * 4 + PART_KINDS.index(job.kind), job.packed)
            for job in jobs
            if job.packed
        ]
        self._db.executemany("INSERT OR IGNORE INTO packed_deliveries VALUES (?, ?)", packed)
        rows = [(*job[:4], *job[5:]) for job in jobs]
        return sum(
            self._db.execute(
                "INSERT INTO jobs (purchase, copy_id, kind, part_index, first_block, "  # noqa: S608
                f"first_time, last_time) VALUES {marks} "
                "ON CONFLICT (purchase, kind, part_index) DO NOTHING",
                values,
            ).rowcount
            for marks, values in value_lists(rows)
        )

    def due(self, now: Now, *, limit: int = 512) -> list[Job]:
        """Jobs that may stand in the next block, the most urgent first, those without profit last.

        A part that another live transaction of ours carries already (for a purchase since orphaned,
        for example) waits until that one has ended.
        """
        found = self._jobs(
            "jobs.id IN (SELECT id FROM jobs WHERE state = 'due' AND retry_block <= ? "
            "AND first_block <= ? AND first_time <= ? "
            "AND NOT EXISTS (SELECT 1 FROM jobs AS other WHERE other.state = 'live' "
            "AND other.copy_id = jobs.copy_id AND other.kind = jobs.kind "
            "AND other.part_index = jobs.part_index) "
            "ORDER BY reason = 'unprofitable', last_time, id LIMIT ?)",
            (now.head + 1, now.clock.block + 1, now.clock.time, limit),
        )
        # Here, for SQLite would carry whole rows through its sorter.
        return sorted(found, key=lambda job: (job.unprofitable, job.last_time, job.id))

    def of_purchase(self, purchase: int) -> list[Job]:
        """All jobs of a purchase."""
        return self._jobs("purchase = ? ORDER BY jobs.id", (purchase,))

    def of_slot(self, slot: int) -> list[Job]:
        """The live jobs that a slot carries."""
        return self._jobs("nonce_slot = ? AND state = 'live' ORDER BY jobs.id", (slot,))

    def _jobs(self, condition: str, values: tuple[object, ...]) -> list[Job]:
        sql = f"SELECT {_JOB} WHERE {condition}"
        return list(map(Job._make, plain_rows(self._db, sql, values)))

    def postpone(self, job: Job, block: int, reason: str) -> None:
        """Tries a job again when the node's ``block`` may be next. Counts as a try."""
        self._db.execute(
            "UPDATE jobs SET retry_block = ?, reason = ?, tries = tries + 1 WHERE id = ?",
            (block, _alone(reason) if job.alone else reason, job.id),
        )

    def wait_until(self, job: Job, time: int, reason: str) -> None:
        """Looks at a job again at ``time``, in seconds."""
        self._db.execute(
            "UPDATE jobs SET first_time = ?, reason = ? WHERE id = ?", (time, reason, job.id)
        )

    def put_off(self, jobs: Sequence[Job], block: int) -> None:
        """Tries jobs again when ``block`` may be next; it was no fault of theirs."""
        self._db.executemany(
            "UPDATE jobs SET retry_block = ? WHERE id = ?", [(block, job.id) for job in jobs]
        )

    def wait_for_profit(self, jobs: Sequence[Job], block: int) -> None:
        """Tries jobs that do not pay their gas again when ``block`` may be next."""
        self._db.executemany(
            "UPDATE jobs SET retry_block = ?, reason = 'unprofitable' WHERE id = ?",
            [(block, job.id) for job in jobs],
        )

    def unbatch(self, slot: int) -> None:
        """From now on, the jobs of a slot share no transaction."""
        self._db.execute(
            "UPDATE jobs SET reason = 'alone' WHERE nonce_slot = ? AND state = 'live'", (slot,)
        )

    def back_off(self, slot: int, now: Now, spare: int) -> None:
        """Postpones a slot's jobs, whose transaction reverted, twice as long each time, but to no
        later than ``spare`` blocks before they should be mined.
        """
        waits = [
            (now.head + min(1 << min(job.tries, 5), job.left(now) - spare), job.id)
            for job in self.of_slot(slot)
        ]
        self._db.executemany(
            "UPDATE jobs SET retry_block = max(retry_block, ?) WHERE id = ?", waits
        )

    def move_close(self, purchase: int, time: int) -> None:
        """A dispute, for example, changed the first second in which a sale can be closed."""
        self._db.execute(
            "UPDATE jobs SET first_time = :time WHERE purchase = :purchase AND kind = 'close' "
            "AND state = 'due' AND (tries = 0 OR first_time < :time) AND first_time <> :time",
            {"time": time, "purchase": purchase},
        )

    def finish(self, job: Job, state: Literal["done", "failed", "cancelled"], reason: str) -> None:
        """Ends a job."""
        self._db.execute(
            "UPDATE jobs SET state = ?, reason = ? WHERE id = ?", (state, reason, job.id)
        )

    def drop_orphaned_seals(self) -> None:
        """Forgets what was sealed to a fresh key that no proof of junk names any more: after a
        reorganisation there is none, or one with another key. What is live comes back first.
        """
        self._db.execute(
            "DELETE FROM jobs WHERE state IN ('due', 'failed') "  # noqa: S608
            "AND kind IN ('replace', 'supply') "
            "AND EXISTS (SELECT 1 FROM packed_deliveries AS packed WHERE packed.id = "
            f"{_PACKED} AND substr(delivery, {FRESH_KEY_AT + 1}, {_WORD}) NOT IN "
            f"(SELECT fresh_key FROM junk_proofs AS j WHERE j.copy_id = jobs.copy_id "
            f"AND j.part_index = jobs.part_index UNION ALL SELECT zeroblob({_WORD})))"
        )

    def finish_by_events(self) -> int:
        """Ends all jobs that the chain's events show as done, no matter by whom, and those of
        sales that have ended: nothing more can be delivered, supplied or closed in them.
        """
        done = self._db.execute(
            "UPDATE jobs SET state = 'done', "
            "reason = CASE WHEN nonce_slot IS NULL THEN 'already there' ELSE '' END "
            "FROM purchases AS p WHERE p.id = jobs.purchase AND p.orphaned = 0 "
            "AND jobs.state IN ('due', 'live') AND ("
            "EXISTS (SELECT 1 FROM sale_events AS e WHERE e.copy_id = jobs.copy_id "
            "AND e.kind <> 'disputed' AND e.block >= p.block) OR "
            "jobs.kind <> 'close' AND EXISTS (SELECT 1 FROM deliveries AS d "
            "WHERE d.copy_id = jobs.copy_id AND d.part_index = jobs.part_index "
            "AND d.supplied = (jobs.kind = 'supply') AND d.block >= p.block "
            # Only what came after the proof has replaced anything.
            "AND (jobs.kind <> 'replace' OR EXISTS (SELECT 1 FROM junk_proofs AS j "
            "WHERE j.copy_id = d.copy_id AND j.part_index = d.part_index "
            "AND (j.block, j.log_index) < (d.block, d.log_index)))))"
        )
        return done.rowcount

    def use_sender(self, sender: Address) -> bool:
        """Says whose nonces the slots are of; whether that was another account before.

        What the other one sent may still be mined, where nobody would look for it: its parts are
        due again, and the contract takes a part once.
        """
        key = "sender"
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        if row is not None and row["value"] == sender:
            return False
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, sender))
        add_totals(self._db, mined_costs(self._db))
        self._db.execute(
            "UPDATE jobs SET nonce_slot = NULL, state = CASE state WHEN 'live' THEN 'due' "
            "ELSE state END WHERE nonce_slot IS NOT NULL"
        )
        self._db.execute("DELETE FROM attempts")
        self._db.execute("DELETE FROM nonce_slots")
        return row is not None

    def live(self) -> list[Slot]:
        """Nonces in use, the lowest first."""
        return self._slots("id, nonce FROM nonce_slots WHERE state = 'live' ORDER BY nonce")

    def slot(self, slot: int) -> Slot:
        """One slot by its row id."""
        [found] = self._slots("id, nonce FROM nonce_slots WHERE id = ?", slot)
        return found

    def nonces(self) -> list[int]:
        """Nonces in use, the lowest first."""
        rows = self._db.execute("SELECT nonce FROM nonce_slots WHERE state = 'live' ORDER BY nonce")
        return [row["nonce"] for row in rows]

    def highest_nonce(self) -> int | None:
        """The highest that was ever taken and not given back, or None."""
        return self._max_nonce("state <> 'abandoned'")

    def settled_nonces(self) -> int:
        """How many nonces are used up as far as we know: one more than the highest such."""
        highest = self._max_nonce("state IN ('mined', 'lost')")
        return 0 if highest is None else highest + 1

    def _max_nonce(self, condition: str) -> int | None:
        sql = f"SELECT max(nonce) FROM nonce_slots WHERE {condition}"  # noqa: S608
        [[highest]] = plain_rows(self._db, sql, ())
        return highest  # type: ignore[no-any-return]

    def given_back(self, first: int, end: int) -> list[Slot]:
        """Slots of nonces from ``first`` to before ``end``, given back and not used since."""
        slots = self._slots(
            "max(id), nonce FROM nonce_slots AS s WHERE nonce >= ? AND nonce < ? "
            "AND state = 'abandoned' AND NOT EXISTS (SELECT 1 FROM nonce_slots AS o "
            "WHERE o.nonce = s.nonce AND o.state <> 'abandoned') GROUP BY nonce",
            first,
            end,
        )
        return [slot for slot in slots if slot.attempts]

    def reopen(self, slots: Iterable[Slot]) -> None:
        """Makes abandoned slots live again: they were given back too soon."""
        self._db.executemany(
            "UPDATE nonce_slots SET state = 'live' WHERE id = ?", [(slot.id,) for slot in slots]
        )

    def open_slot(self, nonce: int) -> int:
        """Takes a nonce, and returns the slot's row id; `carry` puts jobs into it."""
        slot = self._db.execute("INSERT INTO nonce_slots (nonce) VALUES (?)", (nonce,)).lastrowid
        assert slot is not None
        return slot

    def carry(self, loads: Iterable[tuple[int, Sequence[Job]]]) -> None:
        """Makes jobs live, each in its slot. ``loads``: a slot's row id, and its jobs."""
        # In the order of the rows: the indexes are then written from one end to the other.
        pairs = sorted((job.id, slot) for slot, jobs in loads for job in jobs)
        for marks, values in value_lists(pairs):
            self._db.execute(
                "UPDATE jobs SET state = 'live', nonce_slot = load.column2, "  # noqa: S608
                "reason = CASE WHEN reason LIKE 'alone%' THEN 'alone' ELSE '' END "
                f"FROM (VALUES {marks}) AS load WHERE jobs.id = load.column1",
                values,
            )

    def add_attempt(self, attempt: Attempt) -> Attempt:
        """Saves a signed transaction before any node sees it; returns it with its row id."""
        one, fees = attempt, (str(attempt.max_fee), str(attempt.tip))
        [[key]] = self._db.execute(
            "INSERT INTO attempts (nonce_slot, hash, raw, recipient, gas, max_fee_wei, tip_wei, "
            "head) VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
            # The very bytes of a nonce that was given back and taken again.
            "ON CONFLICT (hash) DO UPDATE SET nonce_slot = excluded.nonce_slot, "
            "head = excluded.head, sent = 0 RETURNING id",
            (one.slot, one.hash, one.raw, one.to, one.gas, *fees, one.head),
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
            "SELECT attempts.hash FROM attempts JOIN nonce_slots AS s ON s.id = nonce_slot "
            "WHERE nonce = ? ORDER BY attempts.id DESC",
            (nonce,),
        )
        return [row["hash"] for row in rows]

    def close_slot(
        self,
        slot: Slot,
        state: Literal["mined", "lost", "abandoned"],
        block: int = -1,
        receipt: Receipt | None = None,
    ) -> None:
        """The nonce is used up (by us or not), or given back; open jobs are due again, or cancelled
        if their purchases are orphaned.
        """
        told: tuple[Any, ...] = (-1, b"", "0", "0")
        if receipt is not None:
            told = receipt.status, receipt.tx_hash, str(receipt.cost), str(receipt.data.wei)
        self._db.execute(
            "UPDATE nonce_slots SET state = ?, mined_block = ?, receipt_status = ?, "
            "mined_hash = ?, cost_wei = ?, data_cost_wei = ? WHERE id = ?",
            (state, block, *told, slot.id),
        )
        self._db.execute(
            "UPDATE jobs SET tries = tries + 1, state = CASE WHEN purchase IN "
            "(SELECT id FROM purchases WHERE orphaned = 1) THEN 'cancelled' ELSE 'due' END "
            "WHERE nonce_slot = ? AND state = 'live'",
            (slot.id,),
        )

    def _slots(self, query: str, *values: object) -> list[Slot]:
        found = plain_rows(self._db, f"SELECT {query}", values)
        return [Slot(slot, nonce, self._attempts(slot, nonce)) for slot, nonce in found]

    def _attempts(self, slot: int, nonce: int) -> tuple[Attempt, ...]:
        sql = (
            "SELECT id, hash, raw, recipient, gas, max_fee_wei, tip_wei, head, sent FROM attempts "
            "WHERE nonce_slot = ? ORDER BY id"
        )
        return tuple(
            Attempt(key, slot, nonce, tx, raw, to, gas, int(fee), int(tip), head, bool(sent))
            for key, tx, raw, to, gas, fee, tip, head, sent in plain_rows(self._db, sql, (slot,))
        )


_PACKED = (
    "jobs.purchase * 128 + jobs.part_index * 4 + (jobs.kind = 'replace') "
    "+ 2 * (jobs.kind = 'supply')"
)
"""Row of a job's delivery."""
_JOB = (
    "jobs.id, purchase, copy_id, kind, part_index, coalesce(delivery, x''), state, reason, "
    "first_block, first_time, last_time, retry_block, tries, nonce_slot "
    f"FROM jobs LEFT JOIN packed_deliveries AS packed ON packed.id = {_PACKED}"
)


def _alone(reason: str) -> str:
    return reason if reason.startswith(ALONE) else f"{ALONE}, {reason}"
