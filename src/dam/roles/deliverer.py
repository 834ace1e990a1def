"""The deliverer: for each sale of an item in which it holds a part, seals that part to the buyer.

Protocol, section 7. This role decides; `stores` has read the documents, `sending` sends. Whatever
a seller or a buyer could have forged is checked here once more, against the sale itself: the terms
against the document in force, the domain inside the plaintext, the leaf, the buyer's key, and our
own ledger, so that a part is sealed to one buyer and never to a second.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from dam.catalog import Store
from dam.errors import Malformed, NotForMe, Refused
from dam.finding import FoundPart, find_parts, open_found, reopen
from dam.hashing import domain, keccak, part_leaf, sale_of
from dam.keys import KeyRing
from dam.ledger import Ledger, SaleRow
from dam.logs import Log
from dam.merkle import verify
from dam.outbox import Outbox
from dam.sealing import seal_fragment
from dam.shelf import NO_COPY, KeptPart, PartRefusal, Scan, Shelf
from dam.types import Address, BlockRef, Delivery, Deployment, PartLeaf, Wei

_BATCH = 256
"""Sales looked at in one go."""
_STATUS_BLOCKS = 20
"""How often our own stake is looked up, in blocks."""


class OwnStatus(Protocol):
    """What the contract knows of a deliverer (`market.DelivererInfo`)."""

    @property
    def stake(self) -> Wei:
        """In wei."""
        ...

    @property
    def exit_block(self) -> int:
        """0 without a request to exit."""
        ...


class Chain(Protocol):
    """What the role asks of the market."""

    deployment: Deployment

    async def deliverer(self, operator: Address) -> OwnStatus:
        """A deliverer's status."""
        ...


@dataclass(frozen=True, slots=True)
class _Sealed:
    delivery: Delivery
    buyer_key: bytes


class Deliverer:
    """Decides what to deliver.

    Args:
        chain: The market.
        ledger: Sales, parts and the outbox.
        ring: Our X25519 keys.
        me: Our operator address, which leaves name.
        log: Where to tell.
        min_fee: Least fee of a part that is worth delivering, in wei.
        checkpoint: Called at F4 (part opened) and F5 (fragment sealed, nothing saved).
    """

    def __init__(
        self,
        chain: Chain,
        ledger: Ledger,
        ring: KeyRing,
        me: Address,
        *,
        log: Log,
        min_fee: int = 0,
        checkpoint: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._chain = chain
        self._ledger = ledger
        self._shelf = Shelf(ledger)
        self._outbox = Outbox(ledger)
        self._ring = ring
        self._me = me
        self._log = log
        self._min_fee = min_fee
        self._checkpoint = checkpoint
        self._checked_at = -_STATUS_BLOCKS
        self._eligible = False
        self._documents_changed = True
        if self._shelf.note_keys([key.public for key in ring.keys]):
            log.info("new_key", keys=len(ring.keys), effect="store documents are read again")

    def documents_changed(self) -> None:
        """A document was read: sales that wait for one are looked at again."""
        self._documents_changed = True

    # ------------------------------------------------------------------------------- store → parts

    def scan(self, store: Store) -> Scan:
        """Finds our parts in a store. Touches no ledger: it runs in a thread of its own."""
        place = {"chain_id": store.chain_id, "market": store.market, "seller": store.seller}
        parts: list[KeptPart] = []
        refusals: list[PartRefusal] = []
        for item in store.items:
            for found in find_parts(item, self._ring, **place):  # type: ignore[arg-type]
                self._take(store, found, parts, refusals)
        return Scan(parts, refusals)

    def _take(
        self,
        store: Store,
        found: FoundPart,
        parts: list[KeptPart],
        refusals: list[PartRefusal],
    ) -> None:
        terms = found.item.terms
        try:
            opened = open_found(
                found,
                chain_id=store.chain_id,
                market=store.market,
                seller=store.seller,
                me=self._me,
            )
        except Refused as error:
            copy = NO_COPY if found.copy is None else found.copy
            refusals.append(PartRefusal(terms.item_id, copy, error.reason, str(error)))
            return
        parts.append(
            KeptPart(
                item_id=terms.item_id,
                copy=opened.leaf.copy,
                index=opened.leaf.index,
                terms=terms,
                page_key=found.sealing_key,
                sealed=found.sealed,
                proof=opened.proof,
            )
        )

    # --------------------------------------------------------------------------- purchase → outbox

    async def decide(self, head: BlockRef) -> None:
        """Looks at every sale that is not decided yet. ``head`` is the newest block."""
        fresh, self._documents_changed = self._documents_changed, False
        states = ("new", "waiting") if fresh else ("new",)
        after = 0
        while batch := self._ledger.sales(*states, after=after, limit=_BATCH):
            after = batch[-1].id
            if not self._eligible or head.number >= self._checked_at + _STATUS_BLOCKS:
                await self._check_status(head.number)
            others = []
            for sale in batch:
                if not self._decide_safely(sale, head.number):
                    others.append(sale.id)
                await asyncio.sleep(0)
            if others:
                self._ledger.mark_not_mine(others)

    def _decide_safely(self, sale: SaleRow, head: int) -> bool:
        try:
            return self._decide(sale, head)
        except sqlite3.OperationalError:
            raise
        except Exception as error:  # noqa: BLE001 - one sale must never stop all the others
            self._log.exception("internal_error", sale=sale.purchase.copy_id)
            self._end(sale, "refused", "internal-error", type(error).__name__)
            return True

    async def _check_status(self, head: int) -> None:
        info = await self._chain.deliverer(self._me)
        minimum = self._chain.deployment.windows.min_deliverer_stake
        was, self._eligible = self._eligible, info.stake >= minimum and info.exit_block == 0
        if not self._eligible and (was or head >= self._checked_at + _STATUS_BLOCKS):
            self._log.error(
                "not_eligible",
                stake=info.stake,
                minimum=minimum,
                exit_block=info.exit_block,
                next_step="stake up, or cancel the exit: until then nothing is delivered",
            )
            self._checked_at = head
        if self._eligible:
            self._checked_at = head

    def _decide(self, sale: SaleRow, head: int) -> bool:
        """Decides about one sale; False: it is none of ours."""
        purchase = sale.purchase
        root = self._ledger.root_in_force(purchase)
        if root is None:
            self._end(sale, "refused", "store-not-in-force")
            return True
        document = self._shelf.document(purchase.seller, purchase.store_digest, root)
        if document is None or document.state == "wanted":
            # Even where it is too late: whether a part of ours was missed is worth knowing.
            self._wait(sale, root, urgent=head < sale.deadline)
            return True
        if document.state == "refused":
            self._end(sale, "refused", "document-refused", document.reason)
            return True
        item_id, copy = purchase.terms.item_id, purchase.leaf_copy
        parts = self._shelf.parts(document, item_id, copy)
        if parts:
            self._serve(sale, parts, head)
            return True
        refusals = self._shelf.refusals(document, item_id, copy)
        if refusals:
            self._end(sale, "refused", refusals[0].reason, refusals[0].detail)
        return bool(refusals)

    def _wait(self, sale: SaleRow, root: bytes, *, urgent: bool) -> None:
        if sale.state == "waiting":
            return
        purchase = sale.purchase
        with self._ledger.transaction():
            self._ledger.want_document(purchase.seller, purchase.store_digest, root, urgent=urgent)
            self._ledger.mark_sale(sale.id, "waiting", "document not read yet")

    def _serve(self, sale: SaleRow, parts: list[KeptPart], head: int) -> None:
        purchase = sale.purchase
        there = self._ledger.delivered(purchase.copy_id, since=purchase.block)
        parts = [part for part in parts if part.index not in there]
        closed = set(self._ledger.turns(purchase.copy_id, since=purchase.block)) - {"disputed"}
        if not parts:
            with self._ledger.transaction():
                self._ledger.mark_sale(sale.id, "done", "already there")
            return
        if closed or head >= sale.deadline:
            self._end(sale, "late", "sale-closed" if closed else "deadline-passed")
            return
        if not self._eligible:
            return
        sealed = []
        for part in parts:
            try:
                sealed.append(self._seal(sale, part))
            except Refused as error:
                self._end(sale, "refused", error.reason, str(error))
                return
        self._checkpoint("F5")
        with self._ledger.transaction():
            for one in sealed:
                index = one.delivery.index
                place = (purchase.seller, purchase.terms.item_id, purchase.copy, index)
                self._shelf.keep_sealed(sale.id, place, one.buyer_key, one.delivery.fragment)
                self._outbox.add(
                    sale.id,
                    purchase.copy_id,
                    "deliver",
                    delivery=one.delivery,
                    deadline=sale.deadline,
                )
            self._ledger.mark_sale(sale.id, "serving")
        self._log.info(
            "serving",
            sale=purchase.copy_id,
            seller=purchase.seller,
            parts=[one.delivery.index for one in sealed],
            block=purchase.block,
            blocks_left=sale.deadline - head,
            fee=purchase.terms.fee,
        )

    def _seal(self, sale: SaleRow, kept: KeptPart) -> _Sealed:
        """Opens one of our parts, checks it against the sale, and seals it to the buyer."""
        purchase, terms = sale.purchase, sale.purchase.terms
        if terms.fee < self._min_fee:
            raise Refused("fee-too-low", f"{terms.fee} wei a part, under {self._min_fee}")
        if kept.terms != terms:
            raise Refused("terms-differ", "the event's terms are not the document's")
        try:
            part = reopen(kept.sealed, kept.page_key, self._ring)
        except (NotForMe, Malformed) as error:
            raise Refused("part-unreadable", str(error)) from None
        self._checkpoint("F4")
        binding = self._ledger.binding
        sold = domain(
            binding.chain_id,
            binding.market,
            purchase.seller,
            terms.item_id,
            terms.stock,
            purchase.copy,
        )
        if part.domain != sold:
            raise Refused("domain-mismatch", "the part was sealed for another sale")
        leaf = PartLeaf(
            purchase.leaf_copy,
            part.index,
            self._me,
            keccak(part.share),
            part.secret_hash,
            part.salt,
        )
        if not verify(terms.parts_root, part_leaf(leaf), kept.proof):
            raise Refused("leaf-not-in-item", "the terms do not commit to this part")
        if part.index >= len(purchase.keys):
            raise Refused("index-beyond-parts", f"index {part.index}")
        other = self._shelf.buyer_of(purchase.seller, terms.item_id, purchase.copy, part.index)
        if other not in (None, sale.id):
            raise Refused("sealed-to-another", "this copy's part went to another purchase")
        buyer_key = purchase.keys[part.index]
        fragment = self._shelf.sealed_before(purchase.copy_id, part.index, buyer_key)
        if fragment is None:
            try:
                fragment = seal_fragment(part.share, buyer_key)
            except Malformed as error:
                raise Refused("bad-buyer-key", str(error)) from None
        delivery = Delivery(
            copy_id=purchase.copy_id,
            sale=sale_of(purchase),
            index=part.index,
            deliverer=self._me,
            commitment=leaf.commitment,
            secret_hash=part.secret_hash,
            salt=part.salt,
            proof=kept.proof,
            fragment=fragment,
        )
        return _Sealed(delivery, buyer_key)

    def _end(self, sale: SaleRow, state: str, reason: str, detail: str = "") -> None:
        """Decides against serving a sale, and says why, once."""
        event = "purchase_late" if state == "late" else "purchase_refused"
        about = {
            "sale": sale.purchase.copy_id,
            "seller": sale.purchase.seller,
            "item": sale.purchase.terms.item_id,
            "block": sale.purchase.block,
            "reason": reason,
        }
        with self._ledger.transaction():
            self._ledger.mark_sale(sale.id, state, reason)
            self._ledger.note(event, **about)
        self._log.warning(event, **about, detail=detail)

    def finished(self) -> None:
        """Closes the sales whose duties have all ended; inside the caller's transaction."""
        self._ledger.db.execute(
            "UPDATE purchases SET state = 'done' WHERE state = 'serving' AND NOT EXISTS "
            "(SELECT 1 FROM jobs WHERE purchase = purchases.id AND jobs.state IN ('due', 'live'))"
        )
