"""New work: what is due, checked one by one, put into transactions, signed, saved and sent."""

from __future__ import annotations

from collections.abc import Sequence

from dam.errors import ContractReverted
from dam.ethereum.hex import quantity
from dam.ethereum.node_errors import RpcBadReplyError, RpcRejectedError
from dam.ledger.outbox import ALONE, NO_DEADLINE, UNPROFITABLE, Attempt, Job, blocks_until
from dam.sending import fee_policy
from dam.sending.account import MANY, Account, about
from dam.sending.batching import encode_job, encode_jobs, group, halves
from dam.sending.fee_policy import Price, initial_fees

_WAIT = {"NotEligible": 10, "WrongSale": 3, "WrongStatus": 3, "NotDelivered": 3, "": 5}
"""Reverts that the next blocks may cure: after how many blocks to look again."""
_LOOK_AGAIN = 10
"""After so many blocks, at most, if it has a deadline."""
_MOST_BLOCKS = 2**20
"""No window of the contract is longer."""
_TRIES = {"NotEligible": 2**62, "WrongSale": 5, "WrongStatus": 5, "NotDelivered": 5, "": 5}
"""After so many it is told, and what has no deadline is given up."""
_DOUBTS = 2
"""So often a refusal for good is not believed: the contract never changes its mind, nodes do."""
_DOUBT_BLOCKS = 3
_MOST_HEARD = 10_000
"""Duties whose refusals are counted."""
_LEAST_PART_GAS = 12_000
"""Storage and event of a part take more than this."""
_JUMP = 64
"""So many transactions were mined that the ledger knows nothing of, and the node is doubted."""
_MOST_WAITING = 10_000
"""Transactions of one account in a node's pool: geth keeps a few hundred."""
_STRANGERS = 5
"""Blocks to wait for transactions of ours that the ledger does not know."""
_TOLD = 8
"""So many parts are named in one line about many."""


class Dispatcher:
    """Sends duties that are due.

    Args:
        account: Signs and sends.
    """

    def __init__(self, account: Account) -> None:
        self._account = account
        self._policy = account.policy
        self._outbox = account.outbox
        self._ledger = account.ledger
        self._strangers: tuple[int, int] | None = None
        """Highest nonce in the pool that is not in the ledger, and the head when it was seen."""
        self._heard: dict[int, int] = {}
        """How often the contract has refused a duty since the start, but for the first time."""

    async def send_due(self, head: int) -> None:
        """One pass over what may stand in the next block."""
        most = self._policy.max_live * self._policy.batch
        jobs = self._drop_late(self._outbox.due(head + 1, limit=most), head)
        if not jobs:
            self._account.crowded = False
            return
        known = self._outbox.highest_nonce()
        latest, pending = await self._counts(known)
        if pending - latest > _MOST_WAITING:
            raise RpcBadReplyError("eth_getTransactionCount: more waits than any pool holds")
        taken = set(self._outbox.nonces())
        room = self._policy.max_live - sum(nonce >= latest for nonce in taken)
        strangers = [nonce for nonce in range(latest, pending) if nonce not in taken]
        if strangers and await self._taken_up(latest, pending):
            # The next pass looks after them.
            self._account.hold(head, 1)
            return
        if known is not None and latest > known + _JUMP:
            # If a node just said so, what is signed for its nonce waits there for ever.
            strangers.insert(0, known + 1)
        price = await self._account.price()
        self._account.crowded = room <= 0 and bool(self._paying(jobs, self._paid(price)))
        if room <= 0 or self._wait_for(strangers, jobs, head):
            return
        if initial_fees(price, blocks_left(jobs[0], head), self._policy) is None:
            self._account.hold(head, 1)
            self._account.alert_once("fee_over_cap", base=price.base, cap=self._policy.max_fee)
            return
        self._account.resolve_alert("fee_over_cap")
        while jobs:
            good = self._worth_a_look(jobs[: room * self._policy.batch], price, head)
            if good:
                break
            # Nothing of all this pays, and it is put off: what comes behind it may.
            jobs = self._drop_late(self._outbox.due(head + 1, limit=most), head)
        else:
            return
        groups = self._grouped(await self._simulated(good, head), head, room, price)
        estimated = await self._estimated(groups, head)
        await self._send(estimated[:room], head, price, max(latest, pending), taken)

    async def _counts(self, known: int | None) -> list[int]:
        """Transactions of the account, mined and waiting.

        What is signed for a nonce that is too high waits there until all below it are used, so
        more than the ledger knows of (up to ``known``) is asked for twice.
        """
        found = await self._account.counts("latest", "pending")
        if max(found) > (0 if known is None else known + 1):
            found = list(map(min, found, await self._account.counts("latest", "pending")))
        return found

    async def _taken_up(self, latest: int, pending: int) -> bool:
        """Whether a node has transactions of ours whose nonces were given back too soon."""
        slots = self._outbox.given_back(latest, pending)
        asked = [(slot, attempt.hash) for slot in slots for attempt in slot.attempts]
        if not asked:
            return False
        method = "eth_getTransactionByHash"
        answers = await self._account.rpc.batch([(method, ("0x" + h.hex(),)) for _, h in asked])
        known = [
            slot
            for (slot, _), tx in zip(asked, answers, strict=True)
            if isinstance(tx, dict) and tx.get("blockNumber") is None
        ]
        with self._ledger.transaction():
            self._outbox.reopen(known)
        return bool(known)

    def _wait_for(self, strangers: list[int], jobs: list[Job], head: int) -> bool:
        """Whether to wait for transactions of ours that the ledger knows nothing of.

        An older ledger, or one made anew, may have forgotten them; they may deliver the very parts
        that are due here. What has little time left is not held up, and nothing for long.
        """
        if not strangers:
            self._strangers = None
            return False
        if self._strangers is None or self._strangers[0] != strangers[-1]:
            self._strangers = (strangers[-1], head)
            self._account.log.warning(
                "unknown_transactions", first_nonce=strangers[0], count=len(strangers)
            )
        left = min(blocks_left(job, head) for job in jobs)
        return head - self._strangers[1] < _STRANGERS and left > self._policy.alone_blocks

    def _drop_late(self, jobs: list[Job], head: int) -> list[Job]:
        late = [job for job in jobs if job.deadline <= head]
        if late:
            with self._ledger.transaction():
                for job in late:
                    reason = UNPROFITABLE if job.unprofitable else "too-late"
                    self._outbox.finish(job, "failed", reason)
                    self._account.alert("too_late", reason=reason, **about(job))
        return [job for job in jobs if job.deadline > head]

    # ------------------------------------------------------------------------------------- profit

    def _worth_a_look(self, jobs: list[Job], price: Price, head: int) -> list[Job]:
        """Without those that would not pay in the largest batch; saves simulating them."""
        paid = self._paid(price)
        good = self._paying(jobs, paid)
        self._shelve(jobs, good, paid, head)
        return good

    def _paying(self, jobs: list[Job], paid: int) -> list[Job]:
        if self._policy.unprofitable == "send":
            return jobs
        return fee_policy.profitable(jobs, paid, self._policy.batch)

    def _paid(self, price: Price) -> int:
        """What a unit of gas costs, as far as we pay it: a node may name any tip."""
        return price.base + min(price.tip, self._policy.max_tip)

    def _grouped(self, jobs: list[Job], head: int, room: int, price: Price) -> list[list[Job]]:
        paid = self._paid(price)
        if self._policy.unprofitable == "send":
            return group(jobs, head, room, self._policy)
        groups = group(
            jobs, head, room, self._policy, lambda job: fee_policy.is_profitable(job, paid, 1)
        )
        # Full batches were judged as such before.
        full = self._policy.batch
        worth = [g if len(g) == full else fee_policy.profitable_batch(g, paid) for g in groups]
        left = [job for group in worth for job in group]
        self._shelve([job for group in groups for job in group], left, paid, head)
        return [group for group in worth if group]

    def _shelve(self, jobs: list[Job], good: list[Job], paid: int, head: int) -> None:
        if len(good) == len(jobs):
            return
        kept = {job.id for job in good}
        poor = [job for job in jobs if job.id not in kept]
        fresh = [job for job in poor if not job.unprofitable]
        with self._ledger.transaction():
            self._outbox.wait_for_profit(poor, head + 2)
            if fresh:
                self._account.alert(
                    UNPROFITABLE,
                    parts=len(fresh),
                    gas_price=paid,
                    least_fee=min(job.fee for job in fresh),
                    nearest_deadline=min(job.deadline for job in fresh),
                    sales=["0x" + job.copy_id.hex() for job in fresh[:_TOLD]],
                    next_step="cheaper gas, or unprofitable = 'send', before the deadline",
                )

    # -------------------------------------------------------------------------------- simulation

    async def _simulated(self, jobs: Sequence[Job], head: int) -> list[Job]:
        """The jobs that would succeed now; the others are postponed or ended by rule."""
        calls = self._account.calls
        # One after the other: the calldata of a whole backlog is megabytes, and twice that as text.
        asked = (
            (
                calls.address,
                encode_job(calls, self._ledger, job),
                # Some nodes play their whole pool before they answer at "pending".
                "pending" if self._strangers or job.not_before > head else "latest",
            )
            for job in jobs
        )
        ready, failed = [], []
        unheard: list[tuple[Job, RpcRejectedError]] = []
        for job, answer in zip(jobs, await self._account.ask("eth_call", asked), strict=True):
            if isinstance(answer, ContractReverted):
                failed.append((job, answer))
            elif isinstance(answer, RpcRejectedError):
                unheard.append((job, answer))
            else:
                ready.append(job)
        if unheard:
            if len(unheard) > 1 and not (ready or failed):
                raise unheard[0][1]
            # What a node will not even try must not hold up the others, now or with the next tick.
            self._account.log.warning(
                "node_refused", parts=len(unheard), error=unheard[0][1].message
            )
            with self._ledger.transaction():
                self._outbox.put_off([job for job, _ in unheard], head + 2)
        if failed:
            with self._ledger.transaction():
                for job, error in failed:
                    self._answer(job, error, head)
        self._tell_of_stake([job for job, error in failed if error.error == "NotEligible"], ready)
        return ready

    def _tell_of_stake(self, poor: list[Job], ready: list[Job]) -> None:
        if poor:
            self._account.alert_once(
                "not_eligible",
                parts=len(poor),
                next_step="stake up, or cancel the exit",
                **about(poor[0]),
            )
        elif ready:
            self._account.resolve_alert("not_eligible")

    def _answer(self, job: Job, error: ContractReverted, head: int) -> None:
        """What to do about a duty that the contract would refuse now."""
        name = error.error
        if len(self._heard) >= _MOST_HEARD:
            self._heard.clear()
        heard = self._heard[job.id] = self._heard.get(job.id, -1) + 1
        first_block = error.arguments.get("firstBlock")
        if name == "AlreadyDelivered":
            # The event ends the job, once it is deep enough.
            self._outbox.postpone(job, head + self._policy.confirmations + 2, "already there")
        elif name in ("FallbackTooEarly", "TooEarly") and isinstance(first_block, int):
            # Only to look again: a node may name any block, and what is late is lost.
            latest = head + (_LOOK_AGAIN if job.deadline < NO_DEADLINE else _MOST_BLOCKS)
            self._outbox.postpone(job, min(max(first_block, head + 2), latest), name)
        elif name in _WAIT and (job.deadline < NO_DEADLINE or heard < _TRIES[name]):
            if heard == _TRIES[name]:
                # A node may lag for long: told once, and tried until there is no time left.
                self._account.alert("refused_by_contract", error=str(error), **about(job))
            self._outbox.postpone(job, head + 1 + _WAIT[name], str(error))
        elif heard < _DOUBTS and job.deadline > head + 1 + _DOUBT_BLOCKS:
            # For good, says one node: it, or another one, is asked again before that is believed.
            self._outbox.postpone(job, head + 1 + _DOUBT_BLOCKS, str(error))
        else:
            self._outbox.finish(job, "failed", str(error))
            self._account.alert("refused_by_contract", error=str(error), **about(job))

    async def _estimated(
        self, groups: list[list[Job]], head: int
    ) -> list[tuple[list[Job], bytes, int]]:
        """Calldata and gas limit of each transaction; a batch that would revert is halved."""
        done: dict[int, tuple[list[Job], bytes, int]] = {}
        faults: list[tuple[Job, str]] = []
        open_groups = groups
        while open_groups:
            coded = [(g, encode_jobs(self._account.calls, self._ledger, g)) for g in open_groups]
            to = self._account.calls.address
            asked = [
                (to, data, "pending" if any(job.not_before > head for job in g) else "latest")
                for g, data in coded
            ]
            answers = await self._account.ask("eth_estimateGas", asked)
            open_groups = []
            for (jobs, data), answer in zip(coded, answers, strict=True):
                if not isinstance(answer, ContractReverted | RpcRejectedError):
                    gas = quantity(answer, "eth_estimateGas")
                    done[jobs[0].id] = (jobs, data, self._limit(gas, len(jobs), data))
                elif isinstance(answer, RpcRejectedError) and not self._account.refused(
                    answer, head
                ):
                    # No gas for any of them.
                    open_groups = []
                    break
                elif len(jobs) > 1:
                    open_groups += halves(jobs)
                else:
                    faults.append((jobs[0], str(answer)))
        if faults:
            with self._ledger.transaction():
                for job, why in faults:
                    # It passed alone a moment ago: the chain moved, so look again with the next
                    # block. But where others have an estimate, it spoils no batch of theirs again.
                    self._outbox.postpone(job, head + 2, f"{ALONE}, {why}" if done else why)
        order = {job.id: place for place, job in enumerate(j for g in groups for j in g)}
        return sorted(done.values(), key=lambda one: order[one[0][0].id])

    def _limit(self, estimate: int, parts: int, data: bytes) -> int:
        """The node's estimate and a sixteenth, for state that changes before it is mined.

        Never more than the policy's cap; and never less than no call of this size could do with,
        or one bad answer would make a transaction that no node takes.
        """
        least = 21_000 + 16 * len(data) - 12 * data.count(0) + _LEAST_PART_GAS * parts
        most = 100_000 + self._policy.part_gas * parts
        return min(max(estimate * 17 // 16, least) + 20_000, most)

    # ----------------------------------------------------------------------------------- sending

    async def _send(
        self,
        groups: list[tuple[list[Job], bytes, int]],
        head: int,
        price: Price,
        nonce: int,
        taken: set[int],
    ) -> None:
        """All are signed and saved in one transaction of the ledger, then sent in order."""
        offered = []
        for jobs, data, gas in groups:
            left = min(job.target(head) for job in jobs) - head
            fees = initial_fees(price, left, fee_policy.cap_to_earnings(self._policy, jobs))
            if fees is not None:
                offered.append((jobs, data, gas, fees))
        if len(offered) < len(groups):
            # What is left of a batch without an estimate may not pay.
            good = [job for jobs, *_ in offered for job in jobs]
            every = [job for jobs, *_ in groups for job in jobs]
            self._shelve(every, good, self._paid(price), head)
        if not offered:
            return
        to = self._account.calls.address
        saved: list[Attempt] = []
        loads: list[tuple[int, list[Job]]] = []
        with self._ledger.transaction():
            for jobs, data, gas, fees in offered:
                while nonce in taken:
                    nonce += 1
                slot = self._outbox.open_slot(nonce)
                loads.append((slot, jobs))
                saved.append(self._account.save(slot, nonce, head, to, data, gas, fees))
                nonce += 1
            self._outbox.carry(loads)
        self._tell([jobs for _, jobs in loads], saved, head)
        self._account.checkpoint("F6")
        await self._account.send(saved, head)

    def _tell(self, groups: list[list[Job]], saved: list[Attempt], head: int) -> None:
        """A line for each transaction; of a whole backlog, one for all."""
        if len(saved) > MANY:
            self._account.log.info(
                "sending",
                transactions=len(saved),
                first_nonce=saved[0].nonce,
                parts=sum(map(len, groups)),
                blocks_left=blocks_until(min(job.deadline for g in groups for job in g), head),
            )
            return
        for jobs, attempt in zip(groups, saved, strict=True):
            self._account.log.info(
                "sending",
                nonce=attempt.nonce,
                parts=len(jobs),
                blocks_left=blocks_until(min(job.deadline for job in jobs), head),
                **about(jobs[0]),
            )


def blocks_left(job: Job, head: int) -> int:
    """Blocks until a job's target."""
    return job.target(head) - head
