"""The watchdog: looks after a seller's sales while the seller is away.

It follows the seller's own sales. From block purchase + 101 on it delivers the parts that are still
missing (their fee goes to the buyer; the sale and the penalty are saved); when a dispute opens it
supplies every part once more, so that one junk fragment does not lose it; and it settles what can
be settled. It works from the seller's seed and catalogue folder, as the seller or their operator,
and needs no document from IPFS. Credits stay where they are: withdrawing is the seller's.
"""

from __future__ import annotations

import asyncio
import sqlite3

from dam.crypto.derivation import SellerSeed
from dam.crypto.hashing import part_leaf, sale_of
from dam.crypto.merkle import MerkleTree
from dam.crypto.sealing import seal_fragment
from dam.errors import Malformed, Permanent, Refused, Retryable, is_host_failure
from dam.ledger.ledger import Ledger
from dam.ledger.outbox import NO_DEADLINE, NO_INDEX, Kind, NewJob, Outbox
from dam.ledger.sales import SaleEvents, Sales, SealedRow
from dam.log import Log
from dam.market.calldata import pack_delivery
from dam.market.client import Market
from dam.market.log_rows import SaleRow, load_terms
from dam.market.sale_history import last_dispute_block
from dam.roles.seller.listings import Catalogue, Listing, copy_parts, parts_tree
from dam.types import FALLBACK_BLOCKS, Address, BlockRef, CopyId, Delivery

_CACHED_TREES = 32
_SLICE_SALES = 64
"""Sales after which something else may run: some ten milliseconds."""


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
        self._seed = seed
        self._catalogue = catalogue
        self._seller = seller
        self._me = me
        self._log = log
        self._trees: dict[bytes, tuple[Listing, MerkleTree]] = {}
        self._settlements: list[tuple[int, CopyId, int]] = []
        """Purchase, copyId and first block of settlements that are not saved yet."""
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
                    next_step="the seller names this account with setSellerOperator",
                )

    async def decide(self, head: BlockRef) -> None:
        """Looks at every open sale of the seller. ``head`` is the newest block."""
        [events] = self._ledger.db.execute("SELECT total_changes()").fetchone()
        if (head.number, events) == self._seen:
            return
        # Most of a market's purchases are others', and nothing to make a record of.
        self._sales.claim_new(self._seller)
        # A sale is watched for weeks, and there may be thousands: what they want is saved together.
        after = 0
        while group := self._sales.in_state("serving", after=after, limit=_SLICE_SALES):
            after = group[-1].id
            self._settlements.clear()
            known = SaleEvents(self._ledger, group)
            for sale in group:
                await self._watch_safely(sale, known, head.number)
            self._save_settlements()
            await asyncio.sleep(0)
        [events] = self._ledger.db.execute("SELECT total_changes()").fetchone()
        self._seen = (head.number, events)

    async def _watch_safely(self, sale: SaleRow, known: SaleEvents, head: int) -> None:
        try:
            await self._watch(sale, known, head)
        except (sqlite3.OperationalError, Retryable):
            raise
        except Exception as error:  # one sale must never stop all the others
            if is_host_failure(error):
                raise
            if sale.reason != "internal-error":
                self._log.exception("internal_error", sale=sale.copy_id)
            self._alert(sale, "internal-error", type(error).__name__)

    async def _watch(self, sale: SaleRow, known: SaleEvents, head: int) -> None:
        turns, there = known.turns(sale), known.delivered(sale)
        if known.closed(sale):
            with self._ledger.transaction():
                self._sales.mark([sale.id], "done", "closed")
            return
        try:
            if "disputed" in turns:
                await self._supply(sale, known)
            await self._fill(sale, known, head)
        except Refused as error:
            # Settling needs none of our parts, so a sale that is complete is watched on.
            self._alert(sale, error.reason, str(error))
        terms = load_terms(sale.terms)
        if "disputed" in turns:
            self._settle(sale, turns["disputed"] + self._windows.arbitration_blocks + 1)
        elif len(there) >= terms.threshold:
            last = last_dispute_block(sale.block, terms, there.values(), self._windows)
            self._settle(sale, last + 1)

    async def _fill(self, sale: SaleRow, known: SaleEvents, head: int) -> None:
        """Delivers what is missing, from block purchase + 101 on."""
        there = known.delivered(sale)
        first = sale.block + FALLBACK_BLOCKS + 1
        missing = [i for i in range(load_terms(sale.terms).parts) if i not in there]
        missing = [i for i in missing if not self._known(sale, "deliver", i)]
        if not missing or head + 1 < first:
            return
        if head >= sale.deadline:
            lost = ", ".join(str(index + 1) for index in missing)
            raise Refused("deadline-passed", f"parts {lost} were never delivered")
        deliveries = await self._seal(sale, known, missing)
        with self._ledger.transaction():
            self._sales.keep_sealed(_sealed_row(sale, delivery) for delivery in deliveries)
            self._outbox.add(
                [_new_job(sale, "deliver", d, first, sale.deadline) for d in deliveries]
            )
        self._log.info(
            "falling_back",
            sale=sale.copy_id,
            parts=missing,
            purchase_block=sale.block,
            blocks_left=sale.deadline - head,
        )

    async def _supply(self, sale: SaleRow, known: SaleEvents) -> None:
        """Publishes every delivered part once more, while the dispute is open."""
        there = sorted(known.delivered(sale))
        again = [index for index in there if not self._known(sale, "supply", index)]
        if not again:
            return
        deliveries = await self._seal(sale, known, again)
        with self._ledger.transaction():
            self._outbox.add([_new_job(sale, "supply", d) for d in deliveries])
        self._log.info("supplying", sale=sale.copy_id, parts=again)

    def _settle(self, sale: SaleRow, first: int) -> None:
        self._settlements.append((sale.id, sale.copy_id, first))

    def _save_settlements(self) -> None:
        wanted, self._settlements = self._settlements, []
        new = []
        with self._ledger.transaction():
            for purchase, copy_id, first in wanted:
                if self._outbox.add(
                    [(purchase, copy_id, "settle", NO_INDEX, b"", first, NO_DEADLINE)]
                ):
                    new.append((copy_id, first))
                else:
                    # A dispute moves the block; the contract's own answer has the last word.
                    self._outbox.move_settlement(purchase, first)
        for copy_id, first in new:
            self._log.info("settles_from", sale=copy_id, block=first)

    def _known(self, sale: SaleRow, kind: str, index: int) -> bool:
        return any(
            job.kind == kind and job.index == index for job in self._outbox.of_purchase(sale.id)
        )

    async def _seal(self, sale: SaleRow, known: SaleEvents, indexes: list[int]) -> list[Delivery]:
        """Makes parts from the seed, checks them against the sale, seals them to the buyer."""
        purchase = sale.purchase
        listing, tree = await self._listing(purchase.terms.parts_root)
        try:
            parts = copy_parts(self._seed, listing, purchase.copy)
        except Malformed as error:
            raise Refused("not-in-catalogue", str(error)) from None
        if len(purchase.keys) != len(parts):
            raise Refused("wrong-key-count", f"{len(purchase.keys)} keys")
        deliveries = []
        for index in indexes:
            leaf, share = parts[index]
            key = purchase.keys[index]
            fragment = known.sealed_before(sale, index, key)
            if fragment is None:
                try:
                    fragment = seal_fragment(share, key)
                except Malformed as error:
                    raise Refused("bad-buyer-key", str(error)) from None
            deliveries.append(
                Delivery(
                    copy_id=purchase.copy_id,
                    sale=sale_of(purchase),
                    index=index,
                    deliverer=leaf.deliverer,
                    commitment=leaf.commitment,
                    secret_hash=leaf.secret_hash,
                    salt=leaf.salt,
                    proof=tree.proof(part_leaf(leaf)),
                    fragment=fragment,
                )
            )
        return deliveries

    async def _listing(self, parts_root: bytes) -> tuple[Listing, MerkleTree]:
        """The listing that was published under a root, and its tree, which costs some hashing."""
        found = self._trees.get(parts_root)
        if found is not None:
            return found
        try:
            listing = self._catalogue.recall(parts_root)
        except Permanent as error:
            raise Refused("catalogue-damaged", str(error)) from None
        if listing is None:
            raise Refused(
                "not-in-catalogue",
                f"no item was published under root 0x{parts_root.hex()}: put the catalogue folder "
                "back from a backup, and start again",
            )
        tree = await asyncio.to_thread(parts_tree, self._seed, listing)
        if tree.root != parts_root:
            raise Refused("seed-differs", "the seed is not the one that this item was made from")
        if len(self._trees) >= _CACHED_TREES:
            self._trees.pop(next(iter(self._trees)))
        self._trees[parts_root] = (listing, tree)
        return listing, tree

    def _alert(self, sale: SaleRow, reason: str, detail: str) -> None:
        """Says once why parts of a sale cannot be delivered; the sale is watched on."""
        if sale.reason == reason:
            return
        event = "purchase_late" if reason == "deadline-passed" else "purchase_refused"
        about = {"sale": sale.copy_id, "block": sale.block, "reason": reason}
        with self._ledger.transaction():
            self._sales.mark([sale.id], sale.state, reason)
            self._ledger.note(event, **about)
        self._log.error(event, **about, detail=detail)

    def finished(self) -> None:
        """Nothing to do: `decide` ends a sale once the chain shows it closed."""


def _new_job(
    sale: SaleRow, kind: Kind, delivery: Delivery, first: int = 0, last: int = NO_DEADLINE
) -> NewJob:
    return sale.id, sale.copy_id, kind, delivery.index, pack_delivery(delivery), first, last


def _sealed_row(sale: SaleRow, delivery: Delivery) -> SealedRow:
    index = delivery.index
    key = sale.keys[32 * index : 32 * index + 32]
    item_id = load_terms(sale.terms).item_id
    return sale.seller, item_id, sale.copy, index, sale.id, key, delivery.fragment
