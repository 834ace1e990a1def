"""New work: what is due, checked one by one, put into transactions, signed, saved and sent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from dam.errors import ContractReverted
from dam.ethereum.data_fee import ENVELOPE_BYTES
from dam.ethereum.node import quantity
from dam.ethereum.node_errors import RpcBadReplyError, RpcRejectedError
from dam.ledger.outbox import ALONE, UNPROFITABLE, Attempt, Job, Now, seconds_until
from dam.sending import fee_policy
from dam.sending.account import MAX_LINES, Account, log_fields
from dam.sending.batching import group, halves
from dam.sending.transactions import MAX_GAS, Price, call_many, look_up

_CURABLE = {
    "NotEligible": (10, 2**62), "WrongSale": (3, 5), "WrongStatus": (3, 5), "WrongFreshKey": (3, 5),
    "NotYourPart": (10, 2), "FallbackTooEarly": (1, 2**62), "NothingClosed": (5, 5),
    "NothingDelivered": (10, 2), "": (5, 5),
}  # fmt: skip
"""Reverts that the next blocks may cure, or the seller, who names another operator: after how many
blocks to look again, and after how many looks it is an alert. It is tried on until there is no time
left, or the sale ends."""
_MAX_DOUBTS = 2
"""So often a permanent revert is not believed: the contract never changes its mind, nodes do."""
_DOUBT_BLOCKS = 3
_MAX_REVERT_COUNTS = 10_000
"""Jobs whose reverts are counted."""
_MIN_PART_GAS = 12_000
"""Storage and event of a part take more than this."""
_MAX_NONCE_JUMP = 64
"""If more transactions were mined that the ledger knows nothing of, the node is doubted."""
_MAX_PENDING = 10_000
"""Transactions of one account in a node's pool: geth keeps a few hundred."""
_UNKNOWN_NONCE_BLOCKS = 5
"""How long to wait for transactions of ours that the ledger does not know."""
_MAX_SALES_LOGGED = 8
"""In one line about many parts."""


class _Batch(NamedTuple):
    """One transaction to be; ``gas`` is its limit."""

    jobs: list[Job]
    data: bytes
    gas: int


class Dispatcher:
    """Sends duties that are due.

    Args:
        account: Signs and sends.
    """

    def __init__(self, account: Account) -> None:
        self._account = account
        self._policy = account.policy
        self._log = account.log
        self._outbox = account.outbox
        self._ledger = account.ledger
        self._unknown_nonces: tuple[int, int] | None = None
        """Highest nonce in the pool that is not in the ledger, and the head when it was seen."""
        self._reverts: dict[int, int] = {}
        """How often a job's simulation has reverted since the start, less one, by the job's id."""

    async def send_due(self, now: Now) -> None:
        """One pass over what may stand in the next block.

        Raises:
            RpcError: The node did not answer; what was begun is saved, call again.
        """
        head, most = now.head, self._policy.max_live * self._policy.batch
        jobs = self._fail_expired(self._outbox.due(now, limit=most), now)
        if not jobs:
            self._account.crowded = False
            return
        known = self._outbox.highest_nonce()
        latest, pending = await self._counts(known)
        if pending - latest > _MAX_PENDING:
            raise RpcBadReplyError("eth_getTransactionCount: more waits than any pool holds")
        taken = set(self._outbox.nonces())
        room = self._policy.max_live - sum(nonce >= latest for nonce in taken)
        unknown = [nonce for nonce in range(latest, pending) if nonce not in taken]
        if unknown and await self._reopen_pending(latest, pending):
            # The next pass looks after them.
            self._account.hold(head, 1)
            return
        if known is not None and latest > known + _MAX_NONCE_JUMP:
            # If a node just said so, what is signed for its nonce waits there for ever.
            unknown.insert(0, known + 1)
        price = await self._account.price(self._account.encoder.encode(jobs[:1]))
        self._account.crowded = room <= 0 and bool(self._profitable(jobs, price))
        if room <= 0 or self._wait_for(unknown, jobs, now):
            return
        if fee_policy.initial_fees(price, jobs[0].left(now), self._policy) is None:
            self._account.hold(head, 1)
            self._account.alert_once("fee_over_cap", base=price.base, cap=self._policy.max_fee)
            return
        self._account.resolve_alert("fee_over_cap")
        while jobs:
            looked_at = jobs[: room * self._policy.batch]
            good = self._profitable(looked_at, price)
            self._postpone_unprofitable(looked_at, good, price, now)
            if good:
                break
            # Nothing of all this pays, and it is put off: what comes behind it may.
            jobs = self._fail_expired(self._outbox.due(now, limit=most), now)
        else:
            return
        groups = self._grouped(await self._simulated(good, now), now, room, price)
        batches = await self._estimated(groups, now, price.byte)
        await self._send(batches[:room], now, price, max(latest, pending), taken)

    async def _counts(self, known: int | None) -> list[int]:
        """Transactions of the account, mined and pending.

        What is signed for a nonce that is too high waits there until all below it are used, so
        more than the ledger knows of (up to ``known``) is asked for twice.
        """
        found = await self._account.counts("latest", "pending")
        if max(found) > (0 if known is None else known + 1):
            found = list(map(min, found, await self._account.counts("latest", "pending")))
        return found

    async def _reopen_pending(self, latest: int, pending: int) -> bool:
        """Whether a node has transactions of ours whose nonces were given back too soon."""
        slots = self._outbox.given_back(latest, pending)
        asked = [(slot, attempt.hash) for slot in slots for attempt in slot.attempts]
        if not asked:
            return False
        method = "eth_getTransactionByHash"
        answers = await look_up(self._account.rpc, method, [tx_hash for _, tx_hash in asked])
        known = [
            slot
            for (slot, _), tx in zip(asked, answers, strict=True)
            if isinstance(tx, dict) and tx.get("blockNumber") is None
        ]
        with self._ledger.transaction():
            self._outbox.reopen(known)
        return bool(known)

    def _wait_for(self, unknown: list[int], jobs: list[Job], now: Now) -> bool:
        """Whether to wait for transactions of ours that the ledger does not know.

        An older ledger, or one made anew, may have forgotten them; they may deliver the very parts
        that are due here. What has little time left is not held up, and nothing for long.
        """
        if not unknown:
            self._unknown_nonces = None
            return False
        if self._unknown_nonces is None or self._unknown_nonces[0] != unknown[-1]:
            self._unknown_nonces = (unknown[-1], now.head)
            self._log.warning("unknown_transactions", first_nonce=unknown[0], count=len(unknown))
        left = min(job.left(now) for job in jobs)
        waited = now.head - self._unknown_nonces[1]
        return waited < _UNKNOWN_NONCE_BLOCKS and left > self._policy.alone_blocks

    def _fail_expired(self, jobs: list[Job], now: Now) -> list[Job]:
        """Those that still have time; the others have failed."""
        late = [job for job in jobs if job.late(now)]
        if late:
            with self._ledger.transaction():
                for job in late:
                    reason = UNPROFITABLE if job.unprofitable else "too-late"
                    self._outbox.finish(job, "failed", reason)
                    self._account.alert("too_late", reason=reason, **log_fields(job))
        return [job for job in jobs if not job.late(now)]

    # ------------------------------------------------------------------------------------- profit

    def _profitable(self, jobs: list[Job], price: Price) -> list[Job]:
        """Those that would pay in the largest batch; saves simulating the others."""
        if self._policy.unprofitable == "send":
            return jobs
        policy = self._policy
        return fee_policy.profitable(jobs, policy.gas_price(price), policy.batch, price.byte)

    def _grouped(self, jobs: list[Job], now: Now, room: int, price: Price) -> list[list[Job]]:
        policy, paid, byte = self._policy, self._policy.gas_price(price), price.byte
        if policy.unprofitable == "send":
            return group(jobs, now, room, policy)
        profitable = fee_policy.profitable
        groups = group(jobs, now, room, policy, lambda job: bool(profitable([job], paid, 1, byte)))
        # Full batches were judged as such before.
        worth = [
            jobs if len(jobs) == policy.batch else fee_policy.profitable_batch(jobs, paid, byte)
            for jobs in groups
        ]
        self._postpone_unprofitable(_flat(groups), _flat(worth), price, now)
        return [jobs for jobs in worth if jobs]

    def _postpone_unprofitable(
        self, jobs: list[Job], good: list[Job], price: Price, now: Now
    ) -> None:
        """Puts off those that are not ``good``, and says so the first time."""
        if len(good) == len(jobs):
            return
        kept = {job.id for job in good}
        poor = [job for job in jobs if job.id not in kept]
        fresh = [job for job in poor if not job.unprofitable]
        with self._ledger.transaction():
            self._outbox.wait_for_profit(poor, now.head + 2)
            if fresh:
                self._account.alert(
                    UNPROFITABLE,
                    parts=len(fresh),
                    gas_price=self._policy.gas_price(price),
                    byte_gas=price.byte,
                    least_fee=min(job.fee for job in fresh),
                    seconds_left=seconds_until(min(job.last_time for job in fresh), now),
                    sales=["0x" + job.copy_id.hex() for job in fresh[:_MAX_SALES_LOGGED]],
                    next_step="cheaper gas, or unprofitable = 'send', before the deadline",
                )

    # -------------------------------------------------------------------------------- simulation

    async def _simulated(self, jobs: Sequence[Job], now: Now) -> list[Job]:
        """The jobs that would succeed now; the others are postponed or ended by rule."""
        calls = self._account.calls
        # A generator: the calldata of many pending sales is megabytes, and twice that as text.
        asked = (
            (
                calls.address,
                self._account.encoder.encode([job]),
                # Some nodes play their whole pool before they answer at "pending".
                "pending"
                if self._unknown_nonces or job.first_block > now.clock.block
                else "latest",
            )
            for job in jobs
        )
        answers = await call_many(self._account.rpc, "eth_call", self._account.address, asked)
        ready: list[Job] = []
        reverted: list[tuple[Job, ContractReverted]] = []
        refused: list[tuple[Job, RpcRejectedError]] = []
        for job, answer in zip(jobs, answers, strict=True):
            if isinstance(answer, ContractReverted):
                reverted.append((job, answer))
            elif isinstance(answer, RpcRejectedError):
                refused.append((job, answer))
            else:
                ready.append(job)
        if refused:
            error = refused[0][1]
            if len(refused) > 1 and not (ready or reverted):
                raise error
            # What a node will not even try must not hold up the others, now or with the next tick.
            self._log.warning("node_refused", parts=len(refused), error=error.message)
            with self._ledger.transaction():
                self._outbox.put_off([job for job, _ in refused], now.head + 2)
        if reverted:
            with self._ledger.transaction():
                for job, revert in reverted:
                    self._handle_revert(job, revert, now)
        poor = [job for job, revert in reverted if revert.error == "NotEligible"]
        if poor:
            fields = {"next_step": "stake up, or cancel the exit", **log_fields(poor[0])}
            self._account.alert_once("not_eligible", parts=len(poor), **fields)
        elif ready:
            self._account.resolve_alert("not_eligible")
        return ready

    def _handle_revert(self, job: Job, error: ContractReverted, now: Now) -> None:
        """What to do about a duty that the contract would refuse now."""
        name, head = error.error, now.head
        if len(self._reverts) >= _MAX_REVERT_COUNTS:
            self._reverts.clear()
        before = self._reverts[job.id] = self._reverts.get(job.id, -1) + 1
        if name == "AlreadyDelivered":
            # The event ends the job, once it is deep enough.
            self._outbox.postpone(job, head + self._policy.confirmations + 2, "already there")
        elif name in _CURABLE:
            blocks, looks = _CURABLE[name]
            if before == looks:
                # A node may lag for long, and a seller sleep: told once, and tried on.
                self._account.alert("refused_by_contract", error=str(error), **log_fields(job))
            self._outbox.postpone(job, head + 1 + blocks, str(error))
        elif before < _MAX_DOUBTS and not job.late(now):
            # For good, says one node: it, or another one, is asked again before that is believed.
            self._outbox.postpone(job, head + 1 + _DOUBT_BLOCKS, str(error))
        else:
            self._outbox.finish(job, "failed", str(error))
            self._account.alert("refused_by_contract", error=str(error), **log_fields(job))

    async def _estimated(self, groups: list[list[Job]], now: Now, byte: int) -> list[_Batch]:
        """Calldata and gas limit of each transaction; a batch that would revert is halved."""
        account = self._account
        done: dict[int, _Batch] = {}
        faults: list[tuple[Job, str]] = []
        untried = groups
        head, block = now.head, now.clock.block
        while untried:
            coded = [(jobs, account.encoder.encode(jobs)) for jobs in untried]
            asked = [
                (
                    account.calls.address,
                    data,
                    "pending" if any(job.first_block > block for job in jobs) else "latest",
                )
                for jobs, data in coded
            ]
            answers = await call_many(account.rpc, "eth_estimateGas", account.address, asked)
            untried = []
            for (jobs, data), answer in zip(coded, answers, strict=True):
                if not isinstance(answer, ContractReverted | RpcRejectedError):
                    estimate = quantity(answer, "eth_estimateGas")
                    gas = self._gas_limit(estimate, len(jobs), data, byte)
                    done[jobs[0].id] = _Batch(jobs, data, gas)
                elif isinstance(answer, RpcRejectedError) and not account.handle_refusal(
                    answer, head
                ):
                    # No gas for any of them.
                    untried = []
                    break
                elif len(jobs) > 1:
                    untried += halves(jobs)
                else:
                    faults.append((jobs[0], str(answer)))
        if faults:
            with self._ledger.transaction():
                for job, why in faults:
                    # It passed alone a moment ago: the chain moved, so look again with the next
                    # block. But where others have an estimate, it spoils no batch of theirs again.
                    self._outbox.postpone(job, head + 2, f"{ALONE}, {why}" if done else why)
        return [done[job.id] for job in _flat(groups) if job.id in done]

    def _gas_limit(self, estimate: int, parts: int, data: bytes, byte: int) -> int:
        """The node's estimate and a sixteenth, for state that changes before it is mined.

        Never more than the policy's cap and twice what the data may take, or `MAX_GAS`; never less
        than no call of this size could do with, or one bad answer would make what no node takes.
        """
        least = 21_000 + 16 * len(data) - 12 * data.count(0) + _MIN_PART_GAS * parts
        most = 100_000 + self._policy.part_gas * parts + 2 * byte * (len(data) + ENVELOPE_BYTES)
        return min(max(estimate * 17 // 16, least) + fee_policy.ROOM_GAS, most, MAX_GAS)

    # ----------------------------------------------------------------------------------- sending

    async def _send(
        self, batches: list[_Batch], now: Now, price: Price, nonce: int, taken: set[int]
    ) -> None:
        """All are signed and saved in one transaction of the ledger, then sent in order."""
        priced = []
        for batch in batches:
            left = min(job.left(now) for job in batch.jobs)
            policy = fee_policy.cap_to_earnings(self._policy, batch.jobs, price.byte, batch.gas)
            fees = fee_policy.initial_fees(price, left, policy)
            if fees is not None:
                priced.append((batch, fees))
        if len(priced) < len(batches):
            # What is left of a batch without an estimate may not pay.
            good = _flat(batch.jobs for batch, _ in priced)
            self._postpone_unprofitable(_flat(batch.jobs for batch in batches), good, price, now)
        if not priced:
            return
        to = self._account.calls.address
        saved: list[Attempt] = []
        loads: list[tuple[int, list[Job]]] = []
        with self._ledger.transaction():
            for (jobs, data, gas), fees in priced:
                while nonce in taken:
                    nonce += 1
                slot = self._outbox.open_slot(nonce)
                loads.append((slot, jobs))
                saved.append(
                    self._account.sign_and_save(slot, nonce, now.head, to, data, gas, fees)
                )
                nonce += 1
            self._outbox.carry(loads)
        self._log_sending([jobs for _, jobs in loads], saved, now)
        self._account.checkpoint("F6")
        await self._account.send(saved, now.head)

    def _log_sending(self, groups: list[list[Job]], saved: list[Attempt], now: Now) -> None:
        """A line for each transaction; one for all if they are many."""
        if len(saved) > MAX_LINES:
            fields = {"transactions": len(saved), "first_nonce": saved[0].nonce}
            lines = [(fields, _flat(groups))]
        else:
            lines = [
                ({"nonce": attempt.nonce, **log_fields(jobs[0])}, jobs)
                for jobs, attempt in zip(groups, saved, strict=True)
            ]
        for fields, jobs in lines:
            left = seconds_until(min(job.last_time for job in jobs), now)
            self._log.info("sending", parts=len(jobs), seconds_left=left, **fields)


def _flat(groups: Iterable[list[Job]]) -> list[Job]:
    return [job for jobs in groups for job in jobs]
