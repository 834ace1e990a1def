"""The deliverer: for each sale of an item in which it holds a part, seals that part to the buyer.

Protocol, section 7. This role decides; `daemon.document_sync` has read the documents, `sending`
sends. Whatever a seller or a buyer could have forged is checked here once more, against the sale
itself: the terms against the document in force, the domain inside the plaintext, the leaf, the
buyer's key, and our own ledger, so that a part is sealed to one buyer and never to a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from functools import lru_cache, partial
from typing import NamedTuple

from dam.catalog.store import Store
from dam.crypto.hashing import keccak
from dam.crypto.merkle import ProofVerifier
from dam.crypto.sealing import seal_fragment, shared_key
from dam.errors import Malformed, NotForMe, Refused, Retryable, is_host_failure
from dam.gc_pause import paused
from dam.keystore.key_files import KeyRing
from dam.ledger.documents import Documents, Scan
from dam.ledger.ledger import KEPT_BLOCKS, Ledger
from dam.ledger.outbox import NewJob
from dam.ledger.sales import (
    Decisions,
    KeptPart,
    Place,
    SaleEvents,
    Sales,
    SealedRow,
    VersionInForce,
    Versions,
)
from dam.log import Log
from dam.market.calldata import DeliveryEncoder
from dam.market.client import Market
from dam.market.log_rows import SaleRow, load_terms
from dam.roles.deliverer.part_scan import reopen, scan_store
from dam.types import STAKED_FEES, Address, BlockRef, Clock, Wei

_GROUP_SALES = 512
"""Sales decided on together, and saved in one transaction."""
_SLICE_SALES = 64
"""Sales after which something else may run: some ten milliseconds."""
_MAX_LINES = 8
"""A group that serves more sales than this is logged in one line."""
_SERVING = ("serving", "")
_CACHED_PAGES = 64
_CACHED_TREES = 16
_STATUS_BLOCKS = 20
"""How often our own stake is looked up."""
_FEE_OVER_STAKE = "fee-over-stake"
_KEY_RANGES = 8
"""Of blocks, at most, in which our announcements are looked for at once."""


class Deliverer:
    """Decides what to deliver.

    Args:
        ring: Our keys.
        me: Our operator address, which leaves name.
        min_fee: Least fee of a part that is worth delivering, in wei.
        checkpoint: Called at F4 (part opened) and F5 (fragment sealed, nothing saved).
    """

    def __init__(
        self,
        chain: Market,
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
        self._sales = Sales(ledger)
        self._documents = Documents(ledger)
        self._ring = ring
        self._me = me
        self._log = log
        self._min_fee = min_fee
        self._checkpoint = checkpoint
        # One multiplication serves the parts of a page, one hash the proofs that share it.
        self._shared = lru_cache(maxsize=_CACHED_PAGES)(shared_key)
        self._proofs = lru_cache(maxsize=_CACHED_TREES)(ProofVerifier)
        self._encoder = lru_cache(maxsize=_CACHED_PAGES)(self._new_encoder)
        self._checked_at = -_STATUS_BLOCKS
        self._key_looked_at = -_STATUS_BLOCKS
        self._eligible = False
        self._stake = Wei(0)
        self._documents_changed = True
        if self._documents.note_keys([key.public for key in ring.keys]):
            log.info("new_key", keys=len(ring.keys), effect="store documents are read again")

    def documents_changed(self) -> None:
        """A document was read: sales that wait for one are looked at again."""
        self._documents_changed = True

    def scan(self, store: Store) -> Scan:
        """Finds our parts in a store. Touches no ledger: it runs in a thread of its own."""
        return scan_store(store, self._ring, self._me)

    def finished(self) -> None:
        """Closes the sales whose duties have all ended; inside the caller's transaction."""
        self._sales.finish_served()

    async def decide(self, head: BlockRef, clock: Clock) -> None:
        """Looks at every sale that is not decided yet.

        Args:
            head: The newest block.
            clock: The market's, in it.
        """
        fresh, self._documents_changed = self._documents_changed, False
        states = ("new", "waiting") if fresh else ("new",)
        if head.number >= self._checked_at + _STATUS_BLOCKS:
            await self._check_status(head.number)
        after = 0
        while group := self._sales.in_state(*states, after=after, limit=_GROUP_SALES):
            after = group[-1].id
            if not self._eligible:
                await self._check_status(head.number)
            with paused(len(group) > _SLICE_SALES):
                await self._decide_group(group, clock.time)
        if head.number >= self._key_looked_at + _STATUS_BLOCKS:
            await self._check_key(head.number)

    async def _check_status(self, head: int) -> None:
        info = await self._chain.deliverer(self._me)
        minimum = self._chain.deployment.windows.min_deliverer_stake
        if info.stake > self._stake:
            # It may cover the fees of sales that were refused for it.
            self._sales.reopen_refused(_FEE_OVER_STAKE)
        self._stake = info.stake
        was, self._eligible = self._eligible, info.stake >= minimum and info.exit_time == 0
        if self._eligible:
            self._checked_at = head
        elif was or head >= self._checked_at + _STATUS_BLOCKS:
            self._log.error(
                "not_eligible",
                stake=info.stake,
                minimum=minimum,
                exit_time=info.exit_time,
                next_step="stake up, or cancel the exit: until then nothing is delivered",
            )
            self._checked_at = head

    async def _check_key(self, head: int) -> None:
        """Reports that parts are sealed to a key that we do not have: none would be found.

        Our announcements alone are asked for, never everybody's: what others announce, and how
        often, must not matter. What is older than a reorganisation reaches is asked for once.
        """
        key, last = self._ledger.announced()
        last = max(last, self._chain.deployment.first_block - 1)
        settled = head - KEPT_BLOCKS
        try:
            for _ in range(_KEY_RANGES):
                if last >= settled:
                    break
                found, last = await self._chain.announced_key(self._me, last + 1, settled)
                key = found or key
                self._ledger.save_announced(key, last)
            else:
                return  # a long history: the rest in the next round
            found, _ = await self._chain.announced_key(self._me, min(last + 1, head), head)
        except Retryable as error:
            # No duty waits for this.
            self._log.warning("key_check_failed", error=str(error))
        else:
            key = found or key
            if key is not None and not self._ring.has(key):
                self._log.error("announced_key_missing", announced="0x" + key.hex())
        self._key_looked_at = head

    async def _decide_group(self, group: list[SaleRow], time: int) -> None:
        """Decides on some sales, and saves all of it together."""
        decisions = Decisions()
        cases = self._prepare(group, decisions)
        parts = self._sales.parts(case.place for case in cases)
        known = _Known(time, parts, SaleEvents(self._ledger, [c.sale for c in cases]), decisions)
        for number, case in enumerate(cases):
            if number % _SLICE_SALES == 0:
                await asyncio.sleep(0)
            try:
                self._decide(case, known)
            except Exception as error:  # noqa: BLE001 - logged and ended there, or raised again
                self._fail_sale(case.sale, error, decisions)
        self._log_served(group, decisions, time)
        try:
            decisions.save(self._ledger)
        except sqlite3.IntegrityError as error:
            # Two sales of one copy, for example: the first gets it, and the second is refused.
            if len(group) > 1:
                for sale in group:
                    await self._decide_group([sale], time)
                return
            self._log.exception("internal_error", sale=group[0].copy_id)
            refusal = Decisions()
            self._end(refusal, group[0], "refused", "internal-error", type(error).__name__)
            refusal.save(self._ledger)

    def _prepare(self, group: list[SaleRow], decisions: Decisions) -> list[_Case]:
        """Each sale with its encoder, its store's version, and where our parts of it would be."""
        cases = []
        versions = Versions(self._ledger)
        for sale in group:
            version = versions.of(sale)  # a ledger that is damaged is no fault of the sale
            try:
                encoder = self._encoder(sale.seller, sale.terms)
                document = version.document if version else None
                copy = sale.copy if encoder.terms.stock else 0
                place = (document or 0, encoder.terms.item_id, copy)
                cases.append(_Case(sale, encoder, version, place))
            except Exception as error:  # noqa: BLE001 - logged and ended there, or raised again
                self._fail_sale(sale, error, decisions)
        return cases

    def _new_encoder(self, seller: Address, terms: str) -> DeliveryEncoder:
        binding = self._ledger.binding
        return DeliveryEncoder(
            binding.chain_id, binding.market, seller, load_terms(terms), self._me
        )

    def _fail_sale(self, sale: SaleRow, error: Exception, decisions: Decisions) -> None:
        """Ends a sale that made us fail: one must never stop all the others.

        Raises:
            Exception: The error itself, if it is the machine's and not the sale's.
        """
        if isinstance(error, sqlite3.OperationalError) or is_host_failure(error):
            raise error
        self._log.exception("internal_error", sale=sale.copy_id)
        self._end(decisions, sale, "refused", "internal-error", type(error).__name__)

    def _decide(self, case: _Case, known: _Known) -> None:
        sale, version, decisions = case.sale, case.version, known.decisions
        # The contract let the purchase pass only under the version in force.
        if version is None or version.digest != sale.store_digest:
            self._end(decisions, sale, "refused", "store-not-in-force")
        elif version.document is None or version.state == "wanted":
            # Even where it is too late: whether a part of ours was missed is worth knowing.
            if sale.state != "waiting":
                decisions.wanted.append((sale, version.root, known.time < sale.last_time))
                decisions.mark(sale, "waiting", "document not read yet")
        elif version.state == "refused":
            self._end(decisions, sale, "refused", "document-refused", version.reason or "")
        elif parts := known.parts.get(case.place):
            self._serve(case, parts, known)
        elif refusals := self._documents.refusals(*case.place):
            self._end(decisions, sale, "refused", refusals[0].reason, refusals[0].detail)
        else:
            decisions.mark(sale, "not-mine")

    def _serve(self, case: _Case, parts: list[KeptPart], known: _Known) -> None:
        sale, decisions = case.sale, known.decisions
        # What was proved to be junk is the seller's side's alone to deliver.
        there = {**known.events.delivered(sale), **known.events.proofs(sale)}
        parts = [part for part in parts if part.index not in there]
        if not parts:
            decisions.mark(sale, "done", "already there")
        elif known.events.closed(sale):
            self._end(decisions, sale, "late", "sale-closed")
        elif known.time >= sale.last_time:
            self._end(decisions, sale, "late", "deadline-passed")
        elif self._eligible:
            try:
                made = [self._seal(sale, case.encoder, part, known.events) for part in parts]
            except Refused as error:
                self._end(decisions, sale, "refused", error.reason, str(error))
                return
            self._checkpoint("F5")
            for sealed, job in made:
                decisions.sealed.append(sealed)
                decisions.jobs.append(job)
            decisions.mark(sale, *_SERVING)

    def _seal(
        self, sale: SaleRow, encoder: DeliveryEncoder, kept: KeptPart, events: SaleEvents
    ) -> tuple[SealedRow, NewJob]:
        """Opens one of our parts, checks it against the sale, and seals it to the buyer.

        Raises:
            Refused: The part must not be delivered to this sale; its reason is for the journal.
        """
        terms = encoder.terms
        if terms.fee < self._min_fee:
            raise Refused("fee-too-low", f"{terms.fee} wei a part, under {self._min_fee}")
        if terms.fee * STAKED_FEES > self._stake:
            # The contract asks for it: that is what junk would cost us.
            text = f"{terms.fee} wei a part, over a tenth of the stake of {self._stake}: stake up"
            raise Refused(_FEE_OVER_STAKE, text)
        if kept.terms != sale.terms:
            raise Refused("terms-differ", "the event's terms are not the document's")
        try:
            part = reopen(kept.sealed, kept.page_key or None, self._ring, self._shared)
        except (NotForMe, Malformed) as error:
            raise Refused("part-unreadable", str(error)) from None
        self._checkpoint("F4")
        if part.domain != encoder.domain(sale.copy):
            raise Refused("domain-mismatch", "the part was sealed for another sale")
        index, commitment = part.index, keccak(part.share)
        leaf = encoder.leaf(sale.copy, part, commitment)
        if not self._proofs(terms.parts_root).verify(leaf, kept.proof):
            raise Refused("leaf-not-in-item", "the terms do not commit to this part")
        buyer_key = sale.keys[32 * index : 32 * index + 32]
        if not buyer_key:
            raise Refused("index-beyond-parts", f"there is no part {index + 1}")
        if events.sealed_to_another(sale, index, buyer_key):
            raise Refused("sealed-to-another", "this copy's part went to another purchase")
        fragment = events.sealed_before(sale, index, buyer_key)
        if fragment is None:
            try:
                fragment = seal_fragment(part.share, buyer_key)
            except Malformed as error:
                raise Refused("bad-buyer-key", str(error)) from None
        packed = encoder.delivery(sale, part, commitment, kept.proof, fragment)
        return (
            (sale.seller, terms.item_id, sale.copy, index, sale.id, buyer_key, fragment),
            NewJob(sale.id, sale.copy_id, "deliver", index, packed, last_time=sale.last_time),
        )

    def _log_served(self, group: list[SaleRow], decisions: Decisions, time: int) -> None:
        """A line for each sale; of many sales, one for all."""
        ids = decisions.states.get(_SERVING, ())
        if len(ids) > _MAX_LINES:
            parts = len(decisions.jobs)
            nearest = min(job.last_time for job in decisions.jobs) - time
            about = {"sales": len(ids), "parts": parts, "seconds_left": nearest}
            decisions.lines.append(partial(self._log.info, "serving", **about))
            return
        served: dict[int, list[int]] = {}
        for job in decisions.jobs:
            served.setdefault(job.purchase, []).append(job.index)
        for sale in (sale for sale in group if sale.id in served):
            line = partial(
                self._log.info,
                "serving",
                sale=sale.copy_id,
                seller=sale.seller,
                parts=served[sale.id],
                block=sale.block,
                seconds_left=sale.last_time - time,
                fee=load_terms(sale.terms).fee,
            )
            decisions.lines.append(line)

    def _end(
        self, decisions: Decisions, sale: SaleRow, state: str, reason: str, detail: str = ""
    ) -> None:
        """Decides against serving a sale, and records why, once."""
        event = "purchase_late" if state == "late" else "purchase_refused"
        item: bytes | None = None
        # It may be its terms that cannot be read.
        with contextlib.suppress(ValueError, TypeError, LookupError):
            item = load_terms(sale.terms).item_id
        about = {
            "sale": sale.copy_id,
            "seller": sale.seller,
            "item": item,
            "block": sale.block,
            "reason": reason,
        }
        decisions.mark(sale, state, reason)
        decisions.notes.append((event, about))
        decisions.lines.append(partial(self._log.warning, event, **about, detail=detail))


class _Case(NamedTuple):
    """A sale to decide on."""

    sale: SaleRow
    encoder: DeliveryEncoder
    version: VersionInForce | None
    place: Place


class _Known(NamedTuple):
    """What is known about a group of sales, and what was decided on it so far."""

    time: int
    """The market's clock, in seconds."""
    parts: dict[Place, list[KeptPart]]
    events: SaleEvents
    decisions: Decisions
