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
from functools import lru_cache, partial
from typing import Protocol

from dam.catalog.reader import Store
from dam.crypto.hashing import keccak
from dam.crypto.merkle import Proofs
from dam.crypto.sealing import seal_fragment, shared_key
from dam.errors import Malformed, NotForMe, Refused, of_the_host
from dam.gc_pause import paused
from dam.keystore.key_files import KeyRing
from dam.ledger.documents import NO_COPY, KeptPart, PartRefusal, Scan, Shelf
from dam.ledger.ledger import Ledger
from dam.ledger.outbox import NewJob, Outbox
from dam.log import Log
from dam.market.log_rows import load_terms
from dam.roles.deliverer.delivery_encoder import Mould
from dam.roles.deliverer.part_scan import FoundPart, find_parts, open_found, reopen
from dam.roles.deliverer.pending_sales import (
    Backlog,
    Candidate,
    Decisions,
    Kept,
    Place,
    SealedRow,
    candidates,
)
from dam.types import Address, BlockRef, Deployment, Wei

_GROUP = 512
"""Sales decided on together, and saved in one transaction."""
_SLICE = 64
"""Sales after which something else may run: some ten milliseconds."""
_TOLD = 8
"""More sales than this in a group are told in one line."""
_SERVING = ("serving", "")
_PAGES = 64
_TREES = 16
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
        # One multiplication serves the parts of a page, one hash the proofs that share it.
        self._shared = lru_cache(maxsize=_PAGES)(shared_key)
        self._proofs = lru_cache(maxsize=_TREES)(Proofs)
        self._mould = lru_cache(maxsize=_PAGES)(self._new_mould)
        self._checked_at = -_STATUS_BLOCKS
        self._key_looked_at = -_STATUS_BLOCKS
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
        if head.number >= self._key_looked_at + _STATUS_BLOCKS:
            self._check_key(head.number)
        fresh, self._documents_changed = self._documents_changed, False
        states = ("new", "waiting") if fresh else ("new",)
        after = 0
        while group := candidates(self._ledger, states, after=after, limit=_GROUP):
            after = group[-1].id
            if not self._eligible or head.number >= self._checked_at + _STATUS_BLOCKS:
                await self._check_status(head.number)
            with paused(len(group) > _SLICE):
                await self._decide_group(group, head.number)

    async def _decide_group(self, group: list[Candidate], head: int) -> None:
        """Decides on some sales, and saves all of it together."""
        decisions = Decisions()
        ready = self._laid_out(group, decisions)
        sales, places = [sale for sale, _, _ in ready], [place for _, _, place in ready]
        backlog = Backlog(self._ledger, sales, places)
        for number, (sale, mould, place) in enumerate(ready):
            if number % _SLICE == 0:
                await asyncio.sleep(0)
            try:
                self._decide(sale, mould, place, head, backlog, decisions)
            except Exception as error:  # noqa: BLE001 - told and ended there, or raised again
                self._stumbled(sale, error, decisions)
        self._tell_served(group, decisions, head)
        try:
            decisions.save(self._ledger, self._outbox)
        except sqlite3.IntegrityError as error:
            # Two sales of one copy, say: the first gets it, and the second is refused by name.
            if len(group) > 1:
                for sale in group:
                    await self._decide_group([sale], head)
                return
            self._log.exception("internal_error", sale=group[0].copy_id)
            refusal = Decisions()
            self._end(refusal, group[0], "refused", "internal-error", type(error).__name__)
            refusal.save(self._ledger, self._outbox)

    def _laid_out(
        self, group: list[Candidate], decisions: Decisions
    ) -> list[tuple[Candidate, Mould, Place]]:
        """Each sale with its mould, and where our parts of it would be."""
        ready = []
        for sale in group:
            try:
                mould = self._mould(sale.seller, sale.terms)
                document = sale.version.document if sale.version else None
                copy = sale.copy if mould.terms.stock else 0
                ready.append((sale, mould, (document or 0, mould.terms.item_id, copy)))
            except Exception as error:  # noqa: BLE001 - told and ended there, or raised again
                self._stumbled(sale, error, decisions)
        return ready

    def _stumbled(self, sale: Candidate, error: Exception, decisions: Decisions) -> None:
        """Ends a sale that we fail at: one must never stop all the others.

        Raises:
            Exception: The error itself, if it is the machine's and not the sale's.
        """
        if isinstance(error, sqlite3.OperationalError) or of_the_host(error):
            raise error
        self._log.exception("internal_error", sale=sale.copy_id)
        self._end(decisions, sale, "refused", "internal-error", type(error).__name__)

    def _new_mould(self, seller: Address, terms: str) -> Mould:
        binding = self._ledger.binding
        return Mould(binding.chain_id, binding.market, seller, load_terms(terms), self._me)

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

    def _check_key(self, head: int) -> None:
        """Says so if parts are sealed to a key that we do not have: no part would be found."""
        self._key_looked_at = head
        announced = self._ledger.announced()
        if announced is None or self._ring.has(announced):
            return
        self._log.error("announced_key_missing", announced="0x" + announced.hex())

    def _decide(
        self,
        sale: Candidate,
        mould: Mould,
        place: Place,
        head: int,
        backlog: Backlog,
        decisions: Decisions,
    ) -> None:
        version = sale.version
        # The contract let the purchase pass only under the version in force.
        if version is None or version.digest != sale.store_digest:
            self._end(decisions, sale, "refused", "store-not-in-force")
        elif version.document is None or version.state == "wanted":
            # Even where it is too late: whether a part of ours was missed is worth knowing.
            if sale.state != "waiting":
                decisions.wanted.append((sale, version.root, head < sale.deadline))
                decisions.mark(sale, "waiting", "document not read yet")
        elif version.state == "refused":
            self._end(decisions, sale, "refused", "document-refused", version.reason or "")
        elif parts := backlog.parts(place):
            self._serve(sale, mould, parts, head, backlog, decisions)
        elif refusals := self._shelf.refusals(*place):
            self._end(decisions, sale, "refused", refusals[0].reason, refusals[0].detail)
        else:
            decisions.mark(sale, "not-mine")

    def _serve(
        self,
        sale: Candidate,
        mould: Mould,
        parts: list[Kept],
        head: int,
        backlog: Backlog,
        decisions: Decisions,
    ) -> None:
        parts = backlog.missing(sale, parts)
        if not parts:
            decisions.mark(sale, "done", "already there")
            return
        closed = backlog.closed(sale)
        if closed or head >= sale.deadline:
            reason = "sale-closed" if closed else "deadline-passed"
            self._end(decisions, sale, "late", reason)
            return
        if not self._eligible:
            return
        try:
            made = [self._seal(sale, mould, part, backlog) for part in parts]
        except Refused as error:
            self._end(decisions, sale, "refused", error.reason, str(error))
            return
        self._checkpoint("F5")
        for sealed, job in made:
            decisions.sealed.append(sealed)
            decisions.jobs.append(job)
        decisions.mark(sale, *_SERVING)

    def _tell_served(self, group: list[Candidate], decisions: Decisions, head: int) -> None:
        """A line for each sale; of a whole backlog, one for all."""
        ids = decisions.states.get(_SERVING, ())
        if len(ids) > _TOLD:
            parts = len(decisions.jobs)
            nearest = min(deadline for *_, deadline in decisions.jobs) - head
            about = {"sales": len(ids), "parts": parts, "blocks_left": nearest}
            decisions.lines.append(partial(self._log.info, "serving", **about))
            return
        served: dict[int, list[int]] = {}
        for purchase, _, _, index, *_ in decisions.jobs:
            served.setdefault(purchase, []).append(index)
        sales = [sale for sale in group if sale.id in served]
        for sale in sales:
            line = partial(
                self._log.info,
                "serving",
                sale=sale.copy_id,
                seller=sale.seller,
                parts=served[sale.id],
                block=sale.block,
                blocks_left=sale.deadline - head,
                fee=load_terms(sale.terms).fee,
            )
            decisions.lines.append(line)

    def _seal(
        self, sale: Candidate, mould: Mould, kept: Kept, backlog: Backlog
    ) -> tuple[SealedRow, NewJob]:
        """Opens one of our parts, checks it against the sale, and seals it to the buyer."""
        terms = mould.terms
        if terms.fee < self._min_fee:
            raise Refused("fee-too-low", f"{terms.fee} wei a part, under {self._min_fee}")
        if kept.terms != sale.terms:
            raise Refused("terms-differ", "the event's terms are not the document's")
        try:
            part = reopen(kept.sealed, kept.page_key or None, self._ring, self._shared)
        except (NotForMe, Malformed) as error:
            raise Refused("part-unreadable", str(error)) from None
        self._checkpoint("F4")
        if part.domain != mould.domain(sale.copy):
            raise Refused("domain-mismatch", "the part was sealed for another sale")
        index, commitment = part.index, keccak(part.share)
        leaf = mould.leaf(sale.copy, part, commitment)
        if not self._proofs(terms.parts_root).verify(leaf, kept.proof):
            raise Refused("leaf-not-in-item", "the terms do not commit to this part")
        buyer_key = sale.keys[32 * index : 32 * index + 32]
        if not buyer_key:
            raise Refused("index-beyond-parts", f"index {index}")
        if backlog.sealed_to_another(sale, index, buyer_key):
            raise Refused("sealed-to-another", "this copy's part went to another purchase")
        fragment = backlog.sealed_before(sale.copy_id, index, buyer_key)
        if fragment is None:
            try:
                fragment = seal_fragment(part.share, buyer_key)
            except Malformed as error:
                raise Refused("bad-buyer-key", str(error)) from None
        sold = mould.sale(sale.buyer, sale.block, sale.copy, sale.store_digest, sale.keys)
        packed = mould.delivery(sale.copy_id, sold, part, commitment, kept.proof, fragment)
        return (
            (sale.seller, terms.item_id, sale.copy, index, sale.id, buyer_key, fragment),
            (sale.id, sale.copy_id, "deliver", index, packed, 0, sale.deadline),
        )

    def _end(
        self, decisions: Decisions, sale: Candidate, state: str, reason: str, detail: str = ""
    ) -> None:
        """Decides against serving a sale, and says why, once."""
        event = "purchase_late" if state == "late" else "purchase_refused"
        about = {
            "sale": sale.copy_id,
            "seller": sale.seller,
            "item": _item(sale),
            "block": sale.block,
            "reason": reason,
        }
        decisions.mark(sale, state, reason)
        decisions.notes.append((event, about))
        decisions.lines.append(partial(self._log.warning, event, **about, detail=detail))

    def finished(self) -> None:
        """Closes the sales whose duties have all ended; inside the caller's transaction."""
        self._ledger.db.execute(
            "UPDATE purchases SET state = 'done' WHERE state = 'serving' AND NOT EXISTS "
            "(SELECT 1 FROM jobs WHERE purchase = purchases.id AND jobs.state IN ('due', 'live'))"
        )


def _item(sale: Candidate) -> bytes | None:
    """The item, for log and journal; None: it may be its terms that cannot be read."""
    try:
        return load_terms(sale.terms).item_id
    except (ValueError, TypeError, LookupError):
        return None
