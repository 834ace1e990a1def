"""Tracks in-flight transactions: settles, broadcasts again, replaces or cancels them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from dam.errors import ContractReverted, RpcError
from dam.ethereum.data_fee import ENVELOPE_BYTES
from dam.ethereum.node_errors import RpcPrunedError, RpcRejectedError
from dam.ledger.outbox import NO_DEADLINE, UNPROFITABLE, Attempt, Now, Slot, seconds_until
from dam.market.wallet import Receipt
from dam.sending import fee_policy
from dam.sending.account import Account
from dam.sending.transactions import MAX_GAS, Fees, Price, call_many, look_up, read_receipt
from dam.types import BlockRef

_RECEIPT_LOOKUPS = 3
"""So often a receipt is missing before a used nonce counts as somebody else's."""
_REORG_BLOCKS = 64
"""How far below the first attempt a reorganisation may have moved it."""
_EMPTY_GAS = 21_000
_EMPTY_GAS_LIMIT = 60_000
"""Where gas is dearer an empty one takes more; what is left over is not paid."""
_MAX_GAP = 64
"""So many empty transactions are paid for to reach what is signed above them, and no more."""


class InFlight:
    """Tracks the nonces in use: settles, broadcasts again, replaces or cancels.

    Args:
        account: Signs and sends.
    """

    def __init__(self, account: Account) -> None:
        self._account = account
        self._policy = account.policy
        self._log = account.log
        self._outbox = account.outbox
        self._ledger = account.ledger
        self._rollbacks: int | None = None
        self._missing: dict[int, int] = {}
        """How often no receipt was there for a used nonce, by slot."""
        self._gap: tuple[int, int] | None = None
        """The lowest unused nonce below ours, and the head when it was seen."""

    async def track(self, live: list[Slot], now: Now, cursor: BlockRef) -> None:
        """One pass over all nonces in use, the lowest first.

        Raises:
            RpcError: The node did not answer; call again.
        """
        # After a start or a reorganisation, everything in flight is looked at again.
        anew = self._ledger.rollbacks != self._rollbacks
        tags = hex(cursor.number), "latest", "pending"
        final, latest, pending = await self._account.counts(*tags)
        await self._settle([slot for slot in live if slot.nonce < final], now, cursor)
        open_slots = [slot for slot in live if slot.nonce >= max(final, latest)]
        waiting = [slot for slot in open_slots if anew or self._is_late(slot, now)]
        if waiting:
            price = await self._account.price(waiting[0].last.data)
            for slot, error in zip(waiting, await self._pointless(waiting, now), strict=True):
                behind = [other for other in open_slots if other.nonce > slot.nonce]
                if error is not None:
                    await self._withdraw(slot, now, price, error, behind)
                else:
                    await self._renew(slot, now, price, behind, is_next=slot.nonce == latest)
        await self._fill_gap(now.head, max(latest, pending))
        # Only now: what failed half-way is looked at again.
        self._rollbacks = self._ledger.rollbacks

    def _is_late(self, slot: Slot, now: Now) -> bool:
        wait = fee_policy.replace_after(self._blocks_left(slot, now), self._policy)
        return now.head >= slot.last.head + min(2, wait)

    def _blocks_left(self, slot: Slot, now: Now, behind: Iterable[Slot] = ()) -> int:
        """Blocks in which what it does should be mined, or what waits behind it."""
        # What does nothing, in the place of what became pointless, has time.
        jobs = self._outbox.of_slot(slot.id) if slot.last.data else []
        own = min((job.left(now) for job in jobs), default=NO_DEADLINE)
        return min(own, *(self._blocks_left(other, now) for other in behind), NO_DEADLINE)

    # ---------------------------------------------------------------------------- used-up nonces

    async def _settle(self, slots: list[Slot], now: Now, cursor: BlockRef) -> None:
        """These nonces are used up at the chosen depth: by which transactions?"""
        if not slots:
            return
        receipts, errors = await self._receipts(slots)
        if receipts:
            self._account.checkpoint("F8")
        uses = {}
        for slot in slots:
            if slot.id not in receipts:
                looks = self._missing[slot.id] = self._missing.get(slot.id, 0) + 1
                error = errors.get(slot.id)
                if error is not None and looks == 1:
                    self._log.warning("receipt_unknown", nonce=slot.nonce, error=str(error))
                use = await self._find_use(slot, cursor) if looks >= _RECEIPT_LOOKUPS else None
                # What the node cannot tell now may be ours, unless the chain's counts say no.
                if use is not None and (error is None or use[1] is not None):
                    uses[slot.id] = use
        with self._ledger.transaction():
            for slot in slots:
                if slot.id in receipts:
                    self._record(slot, receipts[slot.id], now, cursor)
                elif slot.id in uses:
                    self._record_without_receipt(slot, cursor, *uses[slot.id])

    async def _receipts(self, slots: list[Slot]) -> tuple[dict[int, Receipt], dict[int, RpcError]]:
        """Receipts by slot, and why there may be others: an error concerns that hash alone."""
        hashes = [(slot, tx) for slot in slots for tx in self._outbox.hashes(slot.nonce)]
        method = "eth_getTransactionReceipt"
        found = await look_up(self._account.rpc, method, [tx for _, tx in hashes])
        receipts: dict[int, Receipt] = {}
        errors: dict[int, RpcError] = {}
        for (slot, tx), answer in zip(hashes, found, strict=True):
            try:
                receipt = read_receipt(tx, answer)
            except RpcError as error:
                errors[slot.id] = error
            else:
                if receipt is not None:
                    receipts.setdefault(slot.id, receipt)
        return receipts, errors

    async def _find_use(self, slot: Slot, cursor: BlockRef) -> tuple[int, bool | None] | None:
        """The block that used a nonce up, and whether by a transaction of ours; -1, None: the
        chain's past does not tell; None: the node did not answer.

        A receipt that a node does not give proves nothing. The account's count at earlier blocks
        does, if the node still has them.
        """
        high = cursor.number
        low = max(0, min((one.head for one in slot.attempts), default=high) - _REORG_BLOCKS)
        try:
            if (await self._account.counts(hex(low)))[0] > slot.nonce:
                return -1, None
            while high - low > 1:
                middle = (low + high) // 2
                if (await self._account.counts(hex(middle)))[0] > slot.nonce:
                    high = middle
                else:
                    low = middle
            before, after = await self._account.counts(hex(max(high - 1, 0)), hex(high))
            block = await self._account.rpc.call("eth_getBlockByNumber", hex(high), False)
        except (RpcRejectedError, RpcPrunedError):
            return -1, None
        except RpcError:
            return None
        hashes = block.get("transactions") if isinstance(block, dict) else None
        if not isinstance(hashes, list) or not before <= slot.nonce < after:
            return -1, None
        ours = {"0x" + tx.hex() for tx in self._outbox.hashes(slot.nonce)}
        return high, not ours.isdisjoint(one for one in hashes if isinstance(one, str))

    def _record(self, slot: Slot, receipt: Receipt, now: Now, cursor: BlockRef) -> None:
        tx, block, status, used = receipt.tx_hash, receipt.block, receipt.status, receipt.gas_used
        if block > cursor.number:
            return
        if status == 0:
            self._outbox.unbatch(slot.id)
            self._outbox.back_off(slot.id, now, self._policy.alone_blocks)
            self._account.stats.reverted += 1
            self._account.alert("transaction_reverted", tx=tx, nonce=slot.nonce, block=block)
        self._outbox.close_slot(slot, "mined", block, receipt)
        self._account.data_fees.note(receipt.data.wei, len(slot.last.raw))
        self._account.stats.gas_used += used
        self._missing.pop(slot.id, None)
        self._log.info("transaction_final", tx=tx, nonce=slot.nonce, block=block, gas=used)

    def _record_without_receipt(
        self, slot: Slot, cursor: BlockRef, block: int, ours: bool | None
    ) -> None:
        del self._missing[slot.id]
        if ours is None:
            # Done by the events, its duties were ours; an empty one of ours does none.
            ours = not slot.last.data or not self._outbox.of_slot(slot.id)
            block = cursor.number if ours else block
        if ours:
            self._log.info("receipt_missing", nonce=slot.nonce, block=block)
            # Without its event, a duty was in a batch that reverted: each alone, next time.
            self._outbox.unbatch(slot.id)
            self._outbox.close_slot(slot, "mined", block)
            return
        self._outbox.close_slot(slot, "lost")
        self._account.alert(
            "foreign_transaction",
            nonce=slot.nonce,
            block=block if block >= 0 else "unknown",
            next_step="is the key elsewhere?",
        )

    # ------------------------------------------------------------------------- not mined as yet

    async def _pointless(self, slots: list[Slot], now: Now) -> list[ContractReverted | None]:
        """Why what they carry would revert by now, or come too late; None: it is still of use."""
        jobs = {slot.id: self._outbox.of_slot(slot.id) for slot in slots}
        found: dict[int, ContractReverted] = {}
        # Of one whose first block is the next one, the newest says nothing.
        doubted = [
            slot
            for slot in slots
            if slot.last.data
            and not any(job.first_block > now.clock.block for job in jobs[slot.id])
        ]
        # A node may lag for a moment: that it would revert is heard twice before it is believed.
        for _ in range(2):
            found = await self._reverting(doubted)
            doubted = [slot for slot in doubted if slot.id in found]
        for slot in slots:
            # The next block is too late for all that it carries, though this one was not.
            late = jobs[slot.id] and all(job.late(now) for job in jobs[slot.id])
            if slot.last.data and late:
                found.setdefault(slot.id, ContractReverted("DeliveryClosed"))
        return [found.get(slot.id) for slot in slots]

    async def _reverting(self, slots: list[Slot]) -> dict[int, ContractReverted]:
        """What the contract would say by now of each that would revert, by the slot's id."""
        calls = [(slot.last.to, slot.last.data, "latest") for slot in slots]
        answers = await call_many(self._account.rpc, "eth_call", self._account.address, calls)
        # A node's own refusal says nothing of the contract.
        return {
            slot.id: answer
            for slot, answer in zip(slots, answers, strict=True)
            if isinstance(answer, ContractReverted)
        }

    async def _renew(
        self, slot: Slot, now: Now, price: Price, behind: list[Slot], *, is_next: bool
    ) -> None:
        """Replaces it if it waits too long and higher fees help; else broadcasts it again."""
        policy, last = self._policy, slot.last
        left = self._blocks_left(slot, now, behind if is_next else ())
        if last.max_fee > policy.max_fee:
            # Signed under a cap that was higher. Who has it keeps it; nobody is sent it again.
            fees = fee_policy.initial_fees(price, left, policy)
            if fees is None:
                self._alert_over_cap(slot, price)
            else:
                await self._replace(slot, now, fees)
            return
        # What no node has seen yet is sent as it is; what one has refused takes higher fees.
        shown = last.sent or len(slot.attempts) > 1 or last.id in self._account.refused_ids
        # One that cannot pay the base fee would hold up all above it as soon as it is next.
        counts = is_next or last.max_fee <= price.base
        late = now.head - last.head >= fee_policy.replace_after(left, policy)
        # More is no help to what cannot be paid, or does nothing that anything waits for.
        idle = last.max_fee > price.base and self._is_idle(slot, now, price, behind)
        maxed = fee_policy.offers_max_tip(price, last.max_fee, last.tip, policy)
        enough = maxed or last.id in self._account.unpaid_ids
        replaced = False
        if counts and shown and late and not idle and not enough:
            replaced = await self._raise_fees(slot, now, price, left, behind)
        if not replaced:
            await self._account.send([last], now.head)

    async def _withdraw(
        self, slot: Slot, now: Now, price: Price, error: ContractReverted, behind: list[Slot]
    ) -> None:
        """What the slot carries would revert by now; do not pay for that."""
        hashes = [attempt.hash for attempt in slot.attempts]
        found = await look_up(self._account.rpc, "eth_getTransactionByHash", hashes)
        # One that the node cannot tell of may be in its pool.
        known = [tx for tx in found if tx is not None]
        if any(isinstance(tx, dict) and tx.get("blockNumber") is not None for tx in known):
            # It is mined, since the nonces were counted: nothing is pointless, it is done.
            return
        self._log.info("transaction_pointless", nonce=slot.nonce, error=str(error))
        with self._ledger.transaction():
            if error.error not in ("NothingDelivered", "NotEligible"):
                self._outbox.unbatch(slot.id)
            if not behind and not known:
                self._outbox.close_slot(slot, "abandoned")
                return
        await self._cancel(slot, now, price, self._blocks_left(slot, now, behind))

    async def _raise_fees(
        self, slot: Slot, now: Now, price: Price, left: int, behind: list[Slot]
    ) -> bool:
        """Signs a replacement; `fee_policy` has by how much more.

        Returns:
            False: not at this price.
        """
        policy, before = self._policy, self._fees_before(slot)
        jobs = self._outbox.of_slot(slot.id) if slot.last.data else []
        awaited = self._is_awaited(behind, price)
        # What a cancellation would burn may as well go into the delivery.
        spared, limit = _EMPTY_GAS if awaited else 0, slot.last.gas
        earned = fee_policy.cap_to_earnings(policy, jobs, price.byte, limit, spared)
        fees = fee_policy.replacement_fees(price, before, left, earned)
        if fees is not None:
            await self._replace(slot, now, fees)
            return True
        if fee_policy.replacement_fees(price, before, left, policy) is None:
            self._alert_over_cap(slot, price)
            return False
        if self._is_profitable([slot], price):
            # At this price it pays; it may not cost more.
            return False
        if awaited:
            # A dearer transaction would be at a loss; what waits behind it is worth an empty one.
            await self._cancel(slot, now, price, left)
            return True
        self._account.alert_once(
            UNPROFITABLE,
            nonce=slot.nonce,
            parts=len(jobs),
            gas_price=policy.gas_price(price),
            next_step="sent, and waits for cheaper gas",
        )
        return False

    def _fees_before(self, slot: Slot) -> list[tuple[int, int]]:
        """Fees of its attempts; those signed under a cap that was higher are nobody's measure."""
        low = [one for one in slot.attempts if one.max_fee <= self._policy.max_fee]
        return [(attempt.max_fee, attempt.tip) for attempt in low or slot.attempts]

    def _is_awaited(self, behind: list[Slot], price: Price) -> bool:
        """Whether something that pays its gas now waits for a nonce, or for a place."""
        return self._account.crowded or self._is_profitable(behind, price)

    def _is_idle(self, slot: Slot, now: Now, price: Price, behind: list[Slot]) -> bool:
        """Whether it does nothing, and nothing waits for it, not even what it should have done."""
        if slot.last.data or self._is_awaited(behind, price):
            return False
        return all(job.late(now) for job in self._outbox.of_slot(slot.id))

    def _is_profitable(self, slots: Iterable[Slot], price: Price) -> bool:
        """Whether one of them does something that pays its gas now."""
        loads = ((self._outbox.of_slot(one.id), one.last.gas) for one in slots if one.last.data)
        cap = partial(fee_policy.cap_to_earnings, self._policy)
        caps = (cap(jobs, price.byte, limit) for jobs, limit in loads if jobs)
        return any(fee_policy.initial_fees(price, NO_DEADLINE, cap) is not None for cap in caps)

    async def _cancel(self, slot: Slot, now: Now, price: Price, left: int) -> None:
        """An empty transaction in its place."""
        policy = self._policy
        fees = fee_policy.replacement_fees(price, self._fees_before(slot), left, policy)
        if fees is None:
            self._alert_over_cap(slot, price)
            fresh = fee_policy.initial_fees(price, left, policy)
            if fresh is None:
                return
            # If a reorganisation dropped what was sent, this is no replacement, and needs no more
            # than any other; else nodes refuse it, and what they have is mined all the same.
            fees = Fees(policy.max_fee, fresh.tip, price.base)
        await self._replace(slot, now, fees, empty_at=price)

    def _alert_over_cap(self, slot: Slot, price: Price) -> None:
        cap = self._policy.max_fee
        self._account.alert_once("fee_over_cap", nonce=slot.nonce, base=price.base, cap=cap)

    async def _replace(
        self, slot: Slot, now: Now, fees: Fees, *, empty_at: Price | None = None
    ) -> None:
        """The same call once more under the same nonce, or an empty one in its place."""
        account, last = self._account, slot.last
        account.stats.replaced += 1
        last_times = [job.last_time for job in self._outbox.of_slot(slot.id)]
        left = seconds_until(min(last_times, default=NO_DEADLINE), now)
        self._log.info("replacing", nonce=slot.nonce, seconds_left=left, max_fee=fees.max_fee)
        with self._ledger.transaction():
            if empty_at:
                attempt = self._save_empty(slot.id, slot.nonce, now.head, fees, empty_at)
            else:
                attempt = account.sign_and_save(
                    slot.id, slot.nonce, now.head, last.to, last.data, last.gas, fees
                )
        account.checkpoint("F6")
        await account.send([attempt], now.head)

    def _save_empty(self, slot: int, nonce: int, head: int, fees: Fees, price: Price) -> Attempt:
        gas = min(_EMPTY_GAS_LIMIT + 2 * price.byte * ENVELOPE_BYTES, MAX_GAS)
        return self._account.sign_and_save(slot, nonce, head, self._account.address, b"", gas, fees)

    # ---------------------------------------------------------------------------- unused nonces

    async def _fill_gap(self, head: int, free: int) -> None:
        """Nonces below ours that nobody uses would hold up everything above them."""
        # A node may lag; what is settled is used.
        free = max(free, self._outbox.settled_nonces())
        above = [nonce for nonce in self._outbox.nonces() if nonce >= free]
        if not above or above[0] == free:
            self._gap = None
            return
        if self._gap is None or self._gap[0] != free:
            self._gap = (free, head)
        if head - self._gap[1] < self._policy.stuck_blocks:
            return
        missing = range(free, above[0])
        if len(missing) > _MAX_GAP:
            # A node had said an absurd count; what was signed for it is signed again.
            with self._ledger.transaction():
                for slot in self._outbox.live():
                    if slot.nonce > free:
                        self._outbox.close_slot(slot, "abandoned")
                self._account.alert("nonces_too_high", nonce=free)
            return
        price = await self._account.price(b"")
        fees = fee_policy.initial_fees(price, NO_DEADLINE, self._policy)
        if fees is None:
            return
        self._log.warning("nonce_gap", nonce=free, count=len(missing))
        with self._ledger.transaction():
            attempts = [
                self._save_empty(self._outbox.open_slot(nonce), nonce, head, fees, price)
                for nonce in missing
            ]
        self._account.checkpoint("F6")
        await self._account.send(attempts, head)
