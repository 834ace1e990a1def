"""Outbox to chain: one owner of the nonce, every transaction saved before a node sees it.

The rule of every pass (`Sender.step`): first settle what the chain has decided about our nonces, at
the depth that the reader confirmed; then look after what is not mined yet (send again, re-price,
or take back what became pointless); then simulate, sign, save and send what is due. A duty is
simulated before it is signed, so a duplicate is not mined; its end comes from the market's events,
not from a receipt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dam.errors import ContractReverted
from dam.hashing import keccak
from dam.ledger import Ledger
from dam.logs import Log
from dam.market import revert_of
from dam.outbox import Attempt, Job, Outbox, Slot
from dam.rpc import RpcRejectedError, quantity
from dam.transactions import (
    Calls,
    Fees,
    Node,
    Signer,
    broadcast,
    encode_job,
    encode_jobs,
    estimate_gas,
    simulate,
    suggest_fees,
    transaction,
)
from dam.types import Address, BlockRef, Wei


@dataclass(frozen=True, slots=True)
class SendPolicy:
    """How to send. Fees are wei per gas, ages are blocks."""

    max_fee: int = 500 * 10**9
    """Never more than this per gas, whatever the node says."""
    max_tip: int = 20 * 10**9
    stuck_blocks: int = 3
    """Re-price a transaction that is next in line and not mined for so long."""
    max_live: int = 16
    batch: int = 32
    """Most parts of one transaction: it stays cheap as evidence."""
    part_gas: int = 400_000
    """More gas for a part than this is never granted, whatever the node estimates."""
    confirmations: int = 2


_WAIT = {"NotEligible": 10, "WrongSale": 3, "WrongStatus": 3, "NotDelivered": 3, "": 5}
"""Reverts that the next blocks may cure: after how many blocks to look again."""
_TRIES = {"WrongSale": 5, "WrongStatus": 5, "NotDelivered": 5, "": 5}


class Sender:
    """The only one that signs with the daemon's account.

    Args:
        rpc: The node.
        calls: Encodes the market's calls and reads its reverts.
        signer: The account.
        ledger: Where everything is saved first.
        log: Where to tell.
        policy: Fees, patience and batch size.
        checkpoint: Called at F6 (saved, not sent), F7 (sent, mark unsaved) and F8 (mined,
            unrecorded).
    """

    def __init__(
        self,
        rpc: Node,
        calls: Calls,
        signer: Signer,
        ledger: Ledger,
        *,
        log: Log,
        policy: SendPolicy | None = None,
        checkpoint: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._rpc = rpc
        self._calls = calls
        self._signer = signer
        self._ledger = ledger
        self._outbox = Outbox(ledger)
        self._log = log
        self._policy = policy or SendPolicy()
        self._checkpoint = checkpoint
        self._seen: tuple[int, int] | None = None
        self._rollbacks = ledger.rollbacks
        self._missing: dict[int, int] = {}
        self._held_until = 0
        self._gap: tuple[int, int] | None = None
        self._refused_ids: set[int] = set()
        """Attempts that a node would not take."""

    async def step(self, head: int, cursor: BlockRef) -> None:
        """One pass. ``head`` is the newest block, ``cursor`` the newest that the reader saved.

        Raises:
            RpcError: The node did not answer; what was begun is saved, call again.
        """
        live = self._outbox.live()
        moved = self._seen != (head, cursor.number)
        if live and moved:
            await self._look_after(live, head, cursor)
        self._seen = (head, cursor.number)
        if head >= self._held_until:
            await self._send_due(head)

    # ------------------------------------------------------------------ what the chain has decided

    async def _look_after(self, live: list[Slot], head: int, cursor: BlockRef) -> None:
        # After a start or a reorganisation, everything that is out is looked at again.
        anew = self._seen is None or self._ledger.rollbacks != self._rollbacks
        self._rollbacks = self._ledger.rollbacks
        final, latest, pending = await self._counts(cursor.number)
        for slot in live:
            if slot.nonce < final:
                await self._settle(slot, cursor)
            elif slot.nonce >= latest and (anew or head >= slot.last.block + 2):
                highest = slot.nonce == live[-1].nonce
                await self._nurse(slot, head, is_next=slot.nonce == latest, highest=highest)
        await self._fill_gap(live, head, max(latest, pending))

    async def _counts(self, cursor: int) -> tuple[int, int, int]:
        tags = (hex(cursor), "latest", "pending")
        method = "eth_getTransactionCount"
        counts = await self._rpc.batch([(method, (self._signer.address, tag)) for tag in tags])
        final, latest, pending = (quantity(count, method) for count in counts)
        return final, latest, pending

    async def _settle(self, slot: Slot, cursor: BlockRef) -> None:
        """The nonce is used up at the chosen depth: by which transaction?"""
        hashes = self._outbox.hashes(slot.nonce)
        method = "eth_getTransactionReceipt"
        found = await self._rpc.batch([(method, ("0x" + h.hex(),)) for h in hashes])
        receipt = next((r for r in found if isinstance(r, dict)), None)
        if receipt is not None:
            self._record(slot, receipt, cursor)
            return
        if slot.attempts and not self._outbox.of_slot(slot.id):
            # Its duties are done by the events: it was ours, only the receipt is not to be had.
            with self._ledger.transaction():
                self._outbox.close_slot(slot, "mined", block=cursor.number)
            return
        self._missing[slot.id] = self._missing.get(slot.id, 0) + 1
        if self._missing[slot.id] < 3:
            return
        with self._ledger.transaction():
            self._outbox.close_slot(slot, "lost")
            self._alert("foreign_transaction", nonce=slot.nonce, next_step="is the key elsewhere?")

    def _record(self, slot: Slot, receipt: dict[str, Any], cursor: BlockRef) -> None:
        block = quantity(receipt.get("blockNumber"), "receipt block")
        if block > cursor.number:
            return
        status = quantity(receipt.get("status"), "receipt status")
        used = quantity(receipt.get("gasUsed"), "receipt gas")
        cost = Wei(used * quantity(receipt.get("effectiveGasPrice", "0x0"), "receipt price"))
        tx_hash = bytes.fromhex(str(receipt["transactionHash"])[2:])
        self._checkpoint("F8")
        with self._ledger.transaction():
            self._outbox.close_slot(
                slot, "mined", block=block, status=status, tx_hash=tx_hash, cost=cost
            )
            if status == 0:
                self._alert("transaction_reverted", tx=tx_hash, nonce=slot.nonce, block=block)
        self._missing.pop(slot.id, None)
        self._log.info("transaction_final", tx=tx_hash, nonce=slot.nonce, block=block, gas=used)

    # ------------------------------------------------------------------------- not mined as yet

    async def _nurse(self, slot: Slot, head: int, *, is_next: bool, highest: bool) -> None:
        last = slot.last
        cancels = last.to == self._signer.address
        if not cancels:
            error = await simulate(self._rpc, self._signer.address, last.to, last.data)
            if error is not None:
                await self._take_back(slot, head, error, highest=highest)
                return
        # What no node has seen yet is sent as it is; what one has refused takes a better price.
        shown = last.sent or len(slot.attempts) > 1 or last.id in self._refused_ids
        if is_next and shown and head - last.block >= self._policy.stuck_blocks:
            await self._reprice(slot, head, last.to, last.data, last.gas)
        else:
            await self._broadcast(last, head)

    async def _take_back(
        self, slot: Slot, head: int, error: ContractReverted, *, highest: bool
    ) -> None:
        """What the slot carries would revert by now; do not pay for that."""
        method = "eth_getTransactionByHash"
        hashes = [attempt.hash for attempt in slot.attempts]
        known = await self._rpc.batch([(method, ("0x" + h.hex(),)) for h in hashes])
        self._log.info("transaction_pointless", nonce=slot.nonce, error=str(error))
        if highest and not any(isinstance(tx, dict) for tx in known):
            with self._ledger.transaction():
                self._outbox.close_slot(slot, "abandoned")
            return
        await self._reprice(slot, head, self._signer.address, b"", 21_000)

    async def _reprice(self, slot: Slot, head: int, to: Address, data: bytes, gas: int) -> None:
        """Signs another transaction for the same nonce, with fees at least an eighth higher."""
        fees = await suggest_fees(self._rpc, self._policy.max_tip)
        max_fee = max(fees.max_fee, *(a.max_fee * 9 // 8 + 1 for a in slot.attempts))
        tip = max(fees.tip, *(a.tip * 9 // 8 + 1 for a in slot.attempts))
        if max_fee > self._policy.max_fee:
            self._log.warning("fee_over_cap", nonce=slot.nonce, wanted=max_fee)
            if data == slot.last.data:
                await self._broadcast(slot.last, head)
            return
        await self._sign_and_send(
            slot.id, slot.nonce, head, to, data, gas, Fees(max_fee, min(tip, max_fee))
        )

    async def _fill_gap(self, live: list[Slot], head: int, free: int) -> None:
        """A nonce below ours that nobody uses would hold up everything above it."""
        nonces = {slot.nonce for slot in self._outbox.live()}
        if not nonces or free >= min(nonces) or not live:
            self._gap = None
            return
        if self._gap is None or self._gap[0] != free:
            self._gap = (free, head)
        elif head - self._gap[1] >= self._policy.stuck_blocks:
            self._log.warning("nonce_gap", nonce=free)
            fees = await self._affordable(head)
            if fees is not None:
                with self._ledger.transaction():
                    slot = self._outbox.open_slot(free, ())
                to = self._signer.address
                await self._sign_and_send(slot, free, head, to, b"", 21_000, fees)

    # ------------------------------------------------------------------------------------ new work

    async def _send_due(self, head: int) -> None:
        jobs = self._drop_late(self._outbox.due(head + 1), head)
        room = self._policy.max_live - len(self._outbox.live())
        if not jobs or room <= 0:
            return
        jobs = jobs[: room * self._policy.batch]
        fees = await self._affordable(head)
        if fees is None:
            return
        ready = await self._simulated(jobs, head)
        for group in self._groups(ready)[:room]:
            if not await self._send_group(group, head, fees):
                return

    def _drop_late(self, jobs: list[Job], head: int) -> list[Job]:
        for job in jobs:
            if job.deadline <= head:
                with self._ledger.transaction():
                    self._outbox.finish(job, "failed", "too-late")
                    self._alert("too_late", **_about(job))
        return [job for job in jobs if job.deadline > head]

    async def _affordable(self, head: int) -> Fees | None:
        fees = await suggest_fees(self._rpc, self._policy.max_tip)
        if fees.base + fees.tip > self._policy.max_fee:
            self._hold(head, 1)
            self._log.error("fee_over_cap", wanted=fees.base + fees.tip, cap=self._policy.max_fee)
            return None
        return Fees(min(fees.max_fee, self._policy.max_fee), fees.tip, fees.base)

    async def _simulated(self, jobs: Sequence[Job], head: int) -> list[Job]:
        """The jobs that would succeed now; the others are postponed or ended by rule."""
        errors = await self._calls_of(jobs)
        ready = []
        for job, error in zip(jobs, errors, strict=True):
            if error is None:
                ready.append(job)
                continue
            with self._ledger.transaction():
                self._answer(job, error, head)
        return ready

    async def _calls_of(self, jobs: Sequence[Job]) -> list[ContractReverted | None]:
        asked = [
            (
                "eth_call",
                (
                    {
                        "from": self._signer.address,
                        "to": self._calls.address,
                        "data": "0x" + encode_job(self._calls, self._ledger, job).hex(),
                    },
                    "pending",
                ),
            )
            for job in jobs
        ]
        answers = await self._rpc.batch(asked, errors=True)
        return [_reverted(a) if isinstance(a, RpcRejectedError) else None for a in answers]

    def _answer(self, job: Job, error: ContractReverted, head: int) -> None:
        """What to do about a duty that the contract would refuse now."""
        name = error.error
        first_block = error.arguments.get("firstBlock")
        if name == "AlreadyDelivered":
            # Perhaps only in the pool: the event ends the job, once it is deep enough.
            self._outbox.postpone(job, head + self._policy.confirmations + 2, "already there")
        elif name in ("FallbackTooEarly", "TooEarly") and isinstance(first_block, int):
            self._outbox.postpone(job, max(first_block, head + 2), name)
        elif name in _WAIT and job.tries < _TRIES.get(name, job.tries + 1):
            if name == "NotEligible":
                self._alert("not_eligible", next_step="stake up, or cancel the exit", **_about(job))
            self._outbox.postpone(job, head + 1 + _WAIT[name], str(error))
        else:
            self._outbox.finish(job, "failed", str(error))
            self._alert("refused_by_contract", error=str(error), **_about(job))

    def _groups(self, jobs: Sequence[Job]) -> list[list[Job]]:
        """Jobs that share a transaction: parts of one kind, settlements one by one."""
        groups: list[list[Job]] = []
        for kind in ("deliver", "supply"):
            same = [job for job in jobs if job.kind == kind]
            size = self._policy.batch
            groups += [same[i : i + size] for i in range(0, len(same), size)]
        return groups + [[job] for job in jobs if job.kind == "settle"]

    async def _send_group(self, jobs: list[Job], head: int, fees: Fees) -> bool:
        """Signs, saves and sends one transaction; False: send nothing more for now."""
        data = encode_jobs(self._calls, self._ledger, jobs)
        try:
            cap = 100_000 + self._policy.part_gas * len(jobs)
            gas = await estimate_gas(
                self._rpc, self._signer.address, self._calls.address, data, cap=cap
            )
        except ContractReverted as error:
            # Each passed alone a moment ago: the chain moved, so look again with the next block.
            with self._ledger.transaction():
                for job in jobs:
                    self._outbox.postpone(job, head + 2, str(error))
            return True
        except RpcRejectedError as error:
            return self._refused(error, head)
        nonce = await self._next_nonce()
        with self._ledger.transaction():
            slot = self._outbox.open_slot(nonce, jobs)
            self._save(slot, nonce, head, self._calls.address, data, gas, fees)
        for job in jobs:
            self._log.info("sending", nonce=nonce, blocks_left=job.deadline - head, **_about(job))
        return await self._send_saved(slot, head)

    async def _next_nonce(self) -> int:
        _, latest, pending = await self._counts_now()
        taken = {slot.nonce for slot in self._outbox.live()}
        nonce = max(latest, pending)
        while nonce in taken:
            nonce += 1
        return nonce

    async def _counts_now(self) -> tuple[int, int, int]:
        method = "eth_getTransactionCount"
        tags = ("latest", "pending")
        counts = await self._rpc.batch([(method, (self._signer.address, tag)) for tag in tags])
        latest, pending = (quantity(count, method) for count in counts)
        return latest, latest, pending

    # ------------------------------------------------------------------------ sign, save, send

    async def _sign_and_send(
        self, slot: int, nonce: int, head: int, to: Address, data: bytes, gas: int, fees: Fees
    ) -> None:
        with self._ledger.transaction():
            self._save(slot, nonce, head, to, data, gas, fees)
        await self._send_saved(slot, head)

    def _save(
        self, slot: int, nonce: int, head: int, to: Address, data: bytes, gas: int, fees: Fees
    ) -> None:
        tx = transaction(self._ledger.binding.chain_id, nonce, to, data, gas, fees)
        raw = self._signer.sign(tx)
        self._outbox.add_attempt(
            slot,
            tx_hash=keccak(raw),
            raw=raw,
            to=to,
            data=data,
            gas=gas,
            max_fee=fees.max_fee,
            tip=fees.tip,
            block=head,
        )

    async def _send_saved(self, slot_id: int, head: int) -> bool:
        slot = next(slot for slot in self._outbox.live() if slot.id == slot_id)
        self._checkpoint("F6")
        return await self._broadcast(slot.last, head)

    async def _broadcast(self, attempt: Attempt, head: int) -> bool:
        try:
            await broadcast(self._rpc, attempt.raw)
        except RpcRejectedError as error:
            return self._refused(error, head, attempt)
        self._checkpoint("F7")
        if not attempt.sent:
            with self._ledger.transaction():
                self._outbox.mark_sent(attempt)
            self._log.info("sent", tx=attempt.hash, nonce=attempt.nonce)
        return True

    def _refused(self, error: RpcRejectedError, head: int, attempt: Attempt | None = None) -> bool:
        """A node would not take it: say so, and leave the rest to the next pass."""
        text = error.message.lower()
        tx = b""
        if attempt is not None:
            tx = attempt.hash
            self._refused_ids.add(attempt.id)
        if "insufficient funds" in text:
            self._hold(head, 3)
            with self._ledger.transaction():
                self._alert("no_balance", account=self._signer.address, next_step="top it up")
            return False
        if "nonce too low" in text:
            # Mined, or another's: the next pass tells which, at depth.
            return True
        self._hold(head, 1)
        self._log.warning("node_refused", tx=tx, error=error.message)
        return True

    def _hold(self, head: int, blocks: int) -> None:
        self._held_until = head + blocks

    def _alert(self, event: str, **detail: Any) -> None:
        self._ledger.note(event, **detail)
        self._log.error(event, **detail)


def _reverted(error: RpcRejectedError) -> ContractReverted:
    reverted = revert_of(error)
    if reverted is None:
        raise error
    return reverted


def _about(job: Job) -> dict[str, Any]:
    return {"kind": job.kind, "sale": "0x" + job.copy_id.hex(), "index": job.index}
