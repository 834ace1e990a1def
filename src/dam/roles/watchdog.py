"""The watchdog: looks after a seller's sales while the seller is away.

It follows the seller's own sales. From block purchase + 101 on it delivers the parts that are still
missing (their fee goes to the buyer; the sale and the penalty are saved), and those that a proof of
junk cleared, sealed to the key that the proof names. When a dispute opens it supplies every part
once more, so that one junk fragment does not lose it; before that it only asks the buyer for a
proof, for a supply would spare the deliverer the fine. It settles and refunds what can be closed,
in batches. It works from the seller's seed and catalogue folder, as the seller or their operator,
and needs no document from IPFS. Credits stay where they are: withdrawing is the seller's.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Collection, Iterable
from functools import partial
from typing import NamedTuple

from dam.crypto.derivation import SellerSeed
from dam.errors import Refused, Retryable, is_host_failure
from dam.ledger.ledger import Ledger
from dam.ledger.outbox import NO_DEADLINE, NO_INDEX, Job, Kind, NewJob, Outbox
from dam.ledger.sales import SaleEvents, Sales, SealedRow
from dam.log import Log
from dam.market.calldata import pack_delivery
from dam.market.client import Market
from dam.market.log_rows import SaleRow, load_terms
from dam.roles.seller.listings import Catalogue
from dam.roles.seller.own_parts import OwnParts, parts_to_supply
from dam.types import (
    FALLBACK_BLOCKS,
    ZERO32,
    Address,
    BlockRef,
    Clock,
    Deadlines,
    Delivery,
    Purchase,
    Windows,
)
from dam.units import format_time

_SLICE_SALES = 64
"""Sales after which something else may run: some ten milliseconds."""
_CLOSE_STEP_SECONDS = 3600
"""Sales are closed at full hours, so that they share transactions; and at 24 moments of the time to
dispute where that is shorter."""


class _State(NamedTuple):
    """What the first second of a sale's end follows from."""

    disputed: bool
    delivered: tuple[int, ...]
    """Blocks of the parts that are there."""
    proofs: int


def longest_absence_seconds(windows: Windows) -> int:
    """How long a watchdog may be away, in seconds: a proof of junk in the last second that clears
    a part leaves this long to replace it.
    """
    return windows.refund_seconds - windows.proof_seconds


class Watchdog:
    """Decides what to do for the seller's sales.

    Args:
        chain: The market.
        ledger: Sales and the outbox.
        seed: The seller's seed.
        catalogue: The seller's folder.
        seller: Whose sales.
        me: The account that signs: the seller, or their operator.
        log: Logger.
    """

    def __init__(
        self,
        chain: Market,
        ledger: Ledger,
        seed: SellerSeed,
        catalogue: Catalogue,
        seller: Address,
        me: Address,
        *,
        log: Log,
    ) -> None:
        self._chain = chain
        self._windows = chain.deployment.windows
        self._ledger = ledger
        self._sales = Sales(ledger)
        self._outbox = Outbox(ledger)
        self._parts = OwnParts(seed, catalogue)
        self._seller = seller
        self._me = me
        self._log = log
        self._planned: dict[int, _State] = {}
        """By purchase: the state that its end was planned in."""
        self._close_step = max(1, min(_CLOSE_STEP_SECONDS, self._windows.dispute_seconds // 24))
        self._seen: tuple[int, int] | None = None

    async def check(self) -> None:
        """Warns if the contract would not take our calls."""
        if self._me != self._seller:
            operator = await self._chain.seller_operator(self._seller)
            if operator != self._me:
                self._log.error(
                    "not_operator",
                    account=self._me,
                    operator=operator,
                    next_step=f"from the seller's account: dam seller operator {self._me}",
                )

    async def decide(self, head: BlockRef, clock: Clock) -> None:
        """Looks at every open sale of the seller.

        Args:
            head: The newest block.
            clock: The market's, in it.
        """
        [events] = self._ledger.db.execute("SELECT total_changes()").fetchone()
        if (head.number, events) == self._seen:
            return
        with self._ledger.transaction():
            self._outbox.drop_orphaned_seals()
            # Most of a market's purchases are others', and nothing to make a record of.
            self._sales.claim_new(self._seller)
        # A sale is watched for weeks, and there may be thousands: what they want is saved together.
        after = 0
        while group := self._sales.in_state("serving", after=after, limit=_SLICE_SALES):
            after = group[-1].id
            known = SaleEvents(self._ledger, group)
            for sale in group:
                await self._watch_safely(sale, known, clock)
            await self._plan_ends([sale for sale in group if not known.closed(sale)], known)
            await asyncio.sleep(0)
        [events] = self._ledger.db.execute("SELECT total_changes()").fetchone()
        self._seen = (head.number, events)

    async def _watch_safely(self, sale: SaleRow, known: SaleEvents, clock: Clock) -> None:
        try:
            await self._watch(sale, known, clock)
        except (sqlite3.OperationalError, Retryable):
            raise
        except Exception as error:  # one sale must never stop all the others
            if is_host_failure(error):
                raise
            if sale.reason != "internal-error":
                self._log.exception("internal_error", sale=sale.copy_id)
            self._alert(sale, "internal-error", type(error).__name__)

    async def _watch(self, sale: SaleRow, known: SaleEvents, clock: Clock) -> None:
        if known.closed(sale):
            with self._ledger.transaction():
                self._sales.mark([sale.id], "done", "closed")
            self._planned.pop(sale.id, None)
            return
        try:
            await self._supply(sale, known)
            await self._fill(sale, known, clock)
        except Refused as error:
            # Closing needs none of our parts, so a sale that is complete is watched on.
            self._alert(sale, error.reason, str(error))

    async def _fill(self, sale: SaleRow, known: SaleEvents, clock: Clock) -> None:
        """Delivers what is missing, from block purchase + 101 on."""
        there, proofs = known.delivered(sale), known.proofs(sale)
        first = sale.purchase_block + FALLBACK_BLOCKS + 1
        missing = [i for i in range(load_terms(sale.terms).parts) if i not in there]
        if not missing or clock.block + 1 < first:
            return
        jobs = self._outbox.of_purchase(sale.id)
        delivering = _indexes(jobs, "deliver", ("due", "live"))
        known_jobs = {kind: _indexes(jobs, kind) for kind in ("deliver", "replace")}
        # What is under way to the first key is taken for a punished index, too.
        replaced = [i for i in missing if i in proofs and i not in delivering]
        replaced = [i for i in replaced if i not in known_jobs["replace"]]
        filled = [i for i in missing if i not in proofs and i not in known_jobs["deliver"]]
        if not replaced and not filled:
            return
        if clock.time >= sale.last_time:
            lost = ", ".join(str(index + 1) for index in sorted(filled + replaced))
            raise Refused("deadline-passed", f"parts {lost} were never delivered")
        fresh = {index: proofs[index].fresh_key for index in replaced}
        deliveries = await self._seal(sale, known, filled + replaced, fresh)
        with self._ledger.transaction():
            self._sales.keep_sealed(_sealed_row(sale, delivery) for delivery in deliveries)
            self._outbox.add(
                [
                    _new_job(sale, "replace" if d.index in fresh else "deliver", d, first)
                    for d in deliveries
                ]
            )
        left = sale.last_time - clock.time
        if filled:
            self._log.info(
                "falling_back",
                sale=sale.copy_id,
                parts=filled,
                purchase_block=sale.purchase_block,
                seconds_left=left,
            )
        if replaced:
            self._log.info("replacing_junk", sale=sale.copy_id, parts=replaced, seconds_left=left)

    async def _supply(self, sale: SaleRow, known: SaleEvents) -> None:
        """Publishes parts once more that the buyer may not have; see `parts_to_supply`."""
        there, proofs = known.delivered(sale), known.proofs(sale)
        cleared = {index for index, proof in proofs.items() if proof.cleared}
        disputed = "disputed" in known.events(sale)
        wanted = parts_to_supply(there, proofs, cleared, disputed=disputed)
        if wanted:
            supplied = _indexes(self._outbox.of_purchase(sale.id), "supply")
            wanted = [i for i in wanted if i not in supplied]
        if not wanted:
            return
        fresh = {index: proofs[index].fresh_key for index in wanted if index in proofs}
        deliveries = await self._seal(sale, known, wanted, fresh)
        with self._ledger.transaction():
            self._outbox.add([_new_job(sale, "supply", d) for d in deliveries])
        self._log.info(
            "supplying",
            sale=sale.copy_id,
            parts=wanted,
            ask_buyer=f"dam buyer prove 0x{sale.copy_id.hex()} fines who delivered junk",
        )

    # ------------------------------------------------------------------------------------- ends

    async def _plan_ends(self, group: Iterable[SaleRow], known: SaleEvents) -> None:
        """Plans when sales are settled or refunded, as the contract says, at full hours."""
        states = {sale.id: _state(sale, known) for sale in group}
        changed = [sale for sale in group if self._planned.get(sale.id) != states[sale.id]]
        if not changed:
            return
        purchases: list[Purchase] = [sale.purchase for sale in changed]
        times = await self._chain.deadlines(purchases)
        # What has ended is asked about until the ledger hears of it: its end may be taken back.
        firsts = {
            sale: first
            for sale, deadlines in zip(changed, times, strict=True)
            if (first := self._closing_time(deadlines))
        }
        new = []
        with self._ledger.transaction():
            for sale, first in firsts.items():
                if self._outbox.add([_closing_job(sale, first)]):
                    new.append((sale.copy_id, first))
                else:
                    # A dispute moves it; the contract's own answer has the last word.
                    self._outbox.move_close(sale.id, first)
        self._planned |= {sale.id: states[sale.id] for sale in firsts}
        for copy_id, first in new:
            self._log.info("closes_from", sale=copy_id, time=format_time(first))

    def _closing_time(self, deadlines: Deadlines) -> int:
        """When a sale is closed, in seconds; 0: it has ended, which the ledger will hear of."""
        first = deadlines.settle_from or deadlines.refund_from
        return -(-first // self._close_step) * self._close_step

    # ------------------------------------------------------------------------------------ parts

    async def _seal(
        self, sale: SaleRow, known: SaleEvents, indexes: list[int], fresh: dict[int, bytes]
    ) -> list[Delivery]:
        before = partial(known.sealed_before, sale)
        return await self._parts.seal(sale.purchase, indexes, fresh, before)

    def _alert(self, sale: SaleRow, reason: str, detail: str) -> None:
        """Says once why parts of a sale cannot be delivered; the sale is watched on."""
        if sale.reason == reason:
            return
        event = "purchase_late" if reason == "deadline-passed" else "purchase_refused"
        about = {"sale": sale.copy_id, "block": sale.purchase_block, "reason": reason}
        with self._ledger.transaction():
            self._sales.mark([sale.id], sale.state, reason)
            self._ledger.note(event, **about)
        self._log.error(event, **about, detail=detail)

    def finished(self) -> None:
        """Nothing to do: `decide` ends a sale once the chain shows it closed."""


def _state(sale: SaleRow, known: SaleEvents) -> _State:
    there = tuple(block for _, block in sorted(known.delivered(sale).items()))
    return _State("disputed" in known.events(sale), there, len(known.proofs(sale)))


def _indexes(jobs: Iterable[Job], kind: Kind, states: Collection[str] = ()) -> set[int]:
    """Parts that there are jobs for."""
    return {job.index for job in jobs if job.kind == kind and (not states or job.state in states)}


def _new_job(sale: SaleRow, kind: Kind, delivery: Delivery, first_block: int = 0) -> NewJob:
    last = NO_DEADLINE if kind == "supply" else sale.last_time
    packed = pack_delivery(delivery)
    return NewJob(sale.id, sale.copy_id, kind, delivery.index, packed, first_block, last_time=last)


def _closing_job(sale: SaleRow, first: int) -> NewJob:
    return NewJob(sale.id, sale.copy_id, "close", NO_INDEX, b"", first_time=first)


def _sealed_row(sale: SaleRow, delivery: Delivery) -> SealedRow:
    index = delivery.index
    key = delivery.fresh_key
    if key == ZERO32:
        key = sale.keys[32 * index : 32 * index + 32]
    item_id = load_terms(sale.terms).item_id
    return sale.seller, item_id, sale.copy, index, sale.id, key, delivery.fragment
