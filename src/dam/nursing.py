"""What becomes of transactions that are out: settled, sent again, replaced or taken back."""

from __future__ import annotations

from typing import Any

from dam.errors import ContractReverted
from dam.fees import Price, offer, patience, raised
from dam.outbox import NO_DEADLINE, Slot
from dam.rpc import RpcBadReplyError, RpcRejectedError, quantity
from dam.submitting import Submitter
from dam.transactions import Fees
from dam.types import Address, BlockRef, Wei

_LOOKS = 3
"""So often a used nonce is looked up before it counts as somebody else's."""
_REACH = 64
"""Blocks below the first attempt, in which a reorganisation may have moved it."""
_CANCEL_GAS = 21_000


class Nurse:
    """Looks after the nonces in use.

    Args:
        hand: Signs and sends.
    """

    def __init__(self, hand: Submitter) -> None:
        self._hand = hand
        self._outbox = hand.outbox
        self._ledger = hand.ledger
        self._rollbacks: int | None = None
        self._missing: dict[int, int] = {}
        self._gap: tuple[int, int] | None = None

    async def look_after(self, live: list[Slot], head: int, cursor: BlockRef) -> None:
        """One round over all nonces in use, the lowest first."""
        # After a start or a reorganisation, everything that is out is looked at again.
        anew = self._ledger.rollbacks != self._rollbacks
        final, latest, pending = await self._hand.counts(hex(cursor.number), "latest", "pending")
        await self._settle([slot for slot in live if slot.nonce < final], cursor)
        waiting = [
            slot
            for slot in live
            if slot.nonce >= max(final, latest) and (anew or self._is_late(slot, head))
        ]
        if waiting:
            price = await self._hand.price()
            for slot, error in zip(waiting, await self._simulated(waiting), strict=True):
                highest = slot.nonce == live[-1].nonce
                if error is None and self._hopeless(slot, head):
                    error = ContractReverted("DeliveryClosed")
                if error is not None:
                    await self._take_back(slot, head, price, error, highest=highest)
                else:
                    await self._nurse(slot, head, price, is_next=slot.nonce == latest)
        await self._fill_gap(head, max(latest, pending))
        # Only now: what failed half-way is looked at again.
        self._rollbacks = self._ledger.rollbacks

    def _is_late(self, slot: Slot, head: int) -> bool:
        return head >= slot.last.block + min(2, patience(self._left(slot, head), self._hand.policy))

    def _hopeless(self, slot: Slot, head: int) -> bool:
        """Whether the next block is too late for all that it carries, though this one was not."""
        jobs = self._outbox.of_slot(slot.id)
        return bool(jobs) and all(job.deadline <= head for job in jobs)

    def _left(self, slot: Slot, head: int) -> int:
        targets = [job.target(head) for job in self._outbox.of_slot(slot.id)]
        return min(targets, default=NO_DEADLINE) - head

    # ---------------------------------------------------------------------------- used-up nonces

    async def _settle(self, slots: list[Slot], cursor: BlockRef) -> None:
        """These nonces are used up at the chosen depth: by which transactions?"""
        if not slots:
            return
        hashes = [(slot, tx) for slot in slots for tx in self._outbox.hashes(slot.nonce)]
        method = "eth_getTransactionReceipt"
        found = await self._hand.rpc.batch([(method, ("0x" + tx.hex(),)) for _, tx in hashes])
        receipts: dict[int, dict[str, Any]] = {}
        for (slot, tx), receipt in zip(hashes, found, strict=True):
            if isinstance(receipt, dict):
                if str(receipt.get("transactionHash")).lower() != "0x" + tx.hex():
                    raise RpcBadReplyError(f"{method}: of another transaction")
                receipts.setdefault(slot.id, receipt)
        if receipts:
            self._hand.checkpoint("F8")
        whose = {}
        for slot in slots:
            if slot.id not in receipts:
                self._missing[slot.id] = self._missing.get(slot.id, 0) + 1
                if self._missing[slot.id] >= _LOOKS:
                    whose[slot.id] = await self._used_in(slot, cursor)
        with self._ledger.transaction():
            for slot in slots:
                receipt = receipts.get(slot.id)
                if receipt is not None:
                    self._record(slot, receipt, cursor)
                elif slot.id in whose:
                    self._without_receipt(slot, cursor, *whose[slot.id])

    async def _used_in(self, slot: Slot, cursor: BlockRef) -> tuple[int, bool | None]:
        """The block that used a nonce up, and whether by a transaction of ours; -1, None: unknown.

        A receipt that a node does not give proves nothing. The account's count at earlier blocks
        does, if the node still has them.
        """
        high = cursor.number
        low = max(0, min((one.block for one in slot.attempts), default=high) - _REACH)
        try:
            if (await self._hand.counts(hex(low)))[0] > slot.nonce:
                return -1, None
            while high - low > 1:
                middle = (low + high) // 2
                if (await self._hand.counts(hex(middle)))[0] > slot.nonce:
                    high = middle
                else:
                    low = middle
            before, after = await self._hand.counts(hex(max(high - 1, 0)), hex(high))
            block = await self._hand.rpc.call("eth_getBlockByNumber", hex(high), False)
        except RpcRejectedError:
            return -1, None
        hashes = block.get("transactions") if isinstance(block, dict) else None
        if not isinstance(hashes, list) or not before <= slot.nonce < after:
            return -1, None
        ours = {"0x" + tx.hex() for tx in self._outbox.hashes(slot.nonce)}
        return high, not ours.isdisjoint(one for one in hashes if isinstance(one, str))

    def _record(self, slot: Slot, receipt: dict[str, Any], cursor: BlockRef) -> None:
        block = quantity(receipt.get("blockNumber"), "receipt block")
        if block > cursor.number:
            return
        status = quantity(receipt.get("status"), "receipt status")
        if status > 1:
            raise RpcBadReplyError("receipt status: neither 0 nor 1")
        used = quantity(receipt.get("gasUsed"), "receipt gas")
        cost = Wei(used * quantity(receipt.get("effectiveGasPrice", "0x0"), "receipt price"))
        tx_hash = bytes.fromhex(str(receipt["transactionHash"])[2:])
        if status == 0:
            self._outbox.part_company(slot.id)
            self._hand.stats.reverted += 1
            self._hand.alert("transaction_reverted", tx=tx_hash, nonce=slot.nonce, block=block)
        self._outbox.close_slot(
            slot, "mined", block=block, status=status, tx_hash=tx_hash, cost=cost
        )
        self._hand.stats.gas_used += used
        self._hand.stats.fees_paid += cost
        self._missing.pop(slot.id, None)
        self._hand.log.info(
            "transaction_final", tx=tx_hash, nonce=slot.nonce, block=block, gas=used
        )

    def _without_receipt(self, slot: Slot, cursor: BlockRef, block: int, ours: bool | None) -> None:
        del self._missing[slot.id]
        if ours is None:
            # Done by the events, its duties were ours, too.
            ours = bool(slot.attempts) and not self._outbox.of_slot(slot.id)
            block = cursor.number if ours else block
        if ours:
            self._hand.log.info("receipt_missing", nonce=slot.nonce, block=block)
            # Without its event, a duty was in a batch that reverted: each alone, next time.
            self._outbox.part_company(slot.id)
            self._outbox.close_slot(slot, "mined", block=block)
            return
        self._outbox.close_slot(slot, "lost")
        self._hand.alert(
            "foreign_transaction",
            nonce=slot.nonce,
            block=block if block >= 0 else "unknown",
            next_step="is the key elsewhere?",
        )

    # ------------------------------------------------------------------------- not mined as yet

    async def _simulated(self, slots: list[Slot]) -> list[ContractReverted | None]:
        """What the contract would say by now; None too for what cannot revert."""
        calls = [(slot.last.to, slot.last.data, "latest") for slot in slots]
        errors: list[ContractReverted | None] = []
        for answer in await self._hand.ask("eth_call", calls):
            if isinstance(answer, RpcRejectedError):
                raise answer
            errors.append(answer if isinstance(answer, ContractReverted) else None)
        return errors

    async def _nurse(self, slot: Slot, head: int, price: Price, *, is_next: bool) -> None:
        last = slot.last
        left = self._left(slot, head)
        # What no node has seen yet is sent as it is; what one has refused takes a better price.
        shown = last.sent or len(slot.attempts) > 1 or last.id in self._hand.refused_ids
        # One that cannot pay the base fee would hold up all above it as soon as it is next.
        counts = is_next or last.max_fee <= price.base
        if counts and shown and head - last.block >= patience(left, self._hand.policy):
            await self._reprice(slot, head, price, left, last.to, last.data, last.gas)
        else:
            await self._hand.send([last], head)

    async def _take_back(
        self, slot: Slot, head: int, price: Price, error: ContractReverted, *, highest: bool
    ) -> None:
        """What the slot carries would revert by now; do not pay for that."""
        method = "eth_getTransactionByHash"
        hashes = [attempt.hash for attempt in slot.attempts]
        known = await self._hand.rpc.batch([(method, ("0x" + h.hex(),)) for h in hashes])
        if any(isinstance(tx, dict) and tx.get("blockNumber") is not None for tx in known):
            # It is mined, since the nonces were counted: nothing is pointless, it is done.
            return
        self._hand.log.info("transaction_pointless", nonce=slot.nonce, error=str(error))
        with self._ledger.transaction():
            if error.error != "NothingDelivered":
                self._outbox.part_company(slot.id)
            if highest and not any(isinstance(tx, dict) for tx in known):
                self._outbox.close_slot(slot, "abandoned")
                return
        left = self._left(slot, head)
        await self._reprice(slot, head, price, left, self._hand.address, b"", _CANCEL_GAS)

    async def _reprice(
        self, slot: Slot, head: int, price: Price, left: int, to: Address, data: bytes, gas: int
    ) -> None:
        """Signs another transaction for the same nonce; see `fees` for by how much more."""
        attempts = [(attempt.max_fee, attempt.tip) for attempt in slot.attempts]
        fees = raised(price, attempts, left, self._hand.policy)
        if fees is None:
            self._hand.alert_once(
                "fee_over_cap", nonce=slot.nonce, base=price.base, cap=self._hand.policy.max_fee
            )
            if data == slot.last.data:
                await self._hand.send([slot.last], head)
                return
            fresh = offer(price, left, self._hand.policy)
            if fresh is None:
                return
            # If a reorganisation dropped what was sent, this is no replacement, and needs no more
            # than any other; else nodes refuse it, and what they have is mined all the same.
            fees = Fees(self._hand.policy.max_fee, fresh.tip, price.base)
        self._hand.stats.replaced += 1
        self._hand.log.info(
            "replacing", nonce=slot.nonce, blocks_left=min(left, 9999), max_fee=fees.max_fee
        )
        await self._sign_and_send(slot.id, slot.nonce, head, to, data, gas, fees)

    async def _fill_gap(self, head: int, free: int) -> None:
        """A nonce below ours that nobody uses would hold up everything above it."""
        nonces = {slot.nonce for slot in self._outbox.live()}
        if not nonces or free >= min(nonces):
            self._gap = None
            return
        if self._gap is None or self._gap[0] != free:
            self._gap = (free, head)
        elif head - self._gap[1] >= self._hand.policy.stuck_blocks:
            fees = offer(await self._hand.price(), NO_DEADLINE, self._hand.policy)
            if fees is not None:
                self._hand.log.warning("nonce_gap", nonce=free)
                with self._ledger.transaction():
                    slot = self._outbox.open_slot(free)
                to = self._hand.address
                await self._sign_and_send(slot, free, head, to, b"", _CANCEL_GAS, fees)

    async def _sign_and_send(
        self, slot: int, nonce: int, head: int, to: Address, data: bytes, gas: int, fees: Fees
    ) -> None:
        with self._ledger.transaction():
            attempt = self._hand.save(slot, nonce, head, to, data, gas, fees)
        self._hand.checkpoint("F6")
        await self._hand.send([attempt], head)
