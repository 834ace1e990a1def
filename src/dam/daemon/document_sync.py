"""Keeps up with store documents: reads each version once, finds what is ours, pins what we serve.

A slow store delays no other: documents that failed before take at most half of the places, those of
one seller three eighths; a first attempt has a short deadline, and every further one a longer one.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from dam.catalog.reader import LargeStoreTurn, Limits, read_store
from dam.catalog.store import Store
from dam.errors import BlockRefused, IpfsError, IpfsUnreachable, Malformed, is_host_failure
from dam.ipfs.blocks import BlockStore, PinLimits
from dam.ipfs.cid import Cid
from dam.ledger.documents import LOGGED_REFUSALS, NO_COPY, Document, Documents, PartRefusal, Scan
from dam.ledger.ledger import Ledger
from dam.log import Log
from dam.types import ZERO32

_DOWN_TRIES = 5
"""Failures in a row to reach the IPFS node before an alert."""
_MAX_REFUSALS = 8
"""So often in a row a block must be over the limit: that is the node's word, no hash proves it."""


@dataclass(frozen=True, slots=True)
class SyncPolicy:
    """How much work and space the stores of others may take."""

    limits: Limits = field(default_factory=Limits)
    places: int = 8
    """Documents read at once."""
    first_seconds: float = 15.0
    """For the first attempt; doubled with each further one up to ``limits.seconds``."""
    retry_seconds: float = 2.0
    """Pause after the first failure; doubled with each further one."""
    longest_retry: float = 600.0
    urgent_retry: float = 5.0
    """Longest pause while a purchase waits for the document: some chains make a block a second."""
    pin: bool = True
    """False: only read."""
    pin_bytes: int = 4 << 30
    """For all pins together; a single store may take a quarter of it."""
    first_pin_seconds: float = 20.0
    """For the first attempt; doubled with each further one up to ``pin_seconds``."""
    pin_seconds: float = 600.0


class DocumentSync:
    """Reads wanted documents and pins those with parts of ours.

    Args:
        blocks: Where the blocks are.
        ledger: Which documents are wanted, and where findings go.
        scan: What a store holds for us; runs in a thread of its own.
        log: Logger.
        changed: Called when a document was read or refused: a purchase may have waited for it.
        policy: Limits.
        checkpoint: Called at F3 (document fetched, nothing saved).
    """

    def __init__(
        self,
        blocks: BlockStore,
        ledger: Ledger,
        scan: Callable[[Store], Scan],
        *,
        log: Log,
        changed: Callable[[], None],
        policy: SyncPolicy | None = None,
        checkpoint: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._blocks = blocks
        self._ledger = ledger
        self._documents = Documents(ledger)
        self._scan = scan
        self._log = log
        self._changed = changed
        self._policy = policy or SyncPolicy()
        self._checkpoint = checkpoint
        self._wake = asyncio.Event()
        self._busy: dict[asyncio.Task[None], Document] = {}
        self._not_before: dict[int, float] = {}
        self._large = asyncio.Lock()
        self._over: dict[int, int] = {}
        """By document: how often a block was over the limit."""
        self._pin_after: dict[int, tuple[int, float]] = {}
        """By document: how often pinning failed, and when to try again."""
        self._unreached = 0
        """How often in a row the IPFS node was away."""
        self._tried: set[int] = set()
        """Documents that this process has tried to read."""

    def wake(self) -> None:
        """There may be new documents to read."""
        self._wake.set()

    @property
    def idle(self) -> bool:
        """Nothing is going on, and whatever is wanted was tried at least once by this process."""
        if self._busy or any(d.id not in self._tried for d in self._documents.wanted(())):
            return False
        pins = self._documents.to_pin() if self._policy.pin else []
        return all(document.id in self._pin_after for document in pins)

    async def run(self) -> None:
        """Works until cancelled."""
        loops = [asyncio.create_task(self._read_all())]
        if self._policy.pin:
            loops.append(asyncio.create_task(self._pin_all()))
        try:
            await asyncio.gather(*loops)
        finally:
            for task in (*loops, *self._busy):
                task.cancel()
            await asyncio.gather(*loops, *self._busy, return_exceptions=True)
            # It may be run again, after a transient error.
            self._busy.clear()

    # ------------------------------------------------------------------------------------ reading

    async def _read_all(self) -> None:
        while True:
            self._wake.clear()
            for document in self._choose():
                self._busy[asyncio.create_task(self._read(document))] = document
            wake = asyncio.create_task(self._wake.wait())
            try:
                done, _ = await asyncio.wait(
                    {wake, *self._busy}, timeout=1.0, return_when=asyncio.FIRST_COMPLETED
                )
            finally:
                wake.cancel()
            for task in [task for task in self._busy if task in done]:
                self._tried.add(self._busy.pop(task).id)
                task.result()

    def _choose(self) -> list[Document]:
        now = time.monotonic()
        busy = list(self._busy.values())
        again = sum(document.attempts > 0 for document in busy)
        free = self._policy.places - len(busy)
        chosen: list[Document] = []
        if free <= 0:
            return chosen
        # However many versions a seller has, they take a quarter of the places, and those that
        # failed before an eighth more: they do not hold up the new ones.
        taken = Counter((document.seller, document.attempts > 0) for document in busy)
        for document in self._documents.wanted({document.id for document in busy}):
            if len(chosen) == free:
                break
            wait = self._not_before.get(document.id, 0.0)
            if document.urgent:
                wait = min(wait, now + self._policy.urgent_retry)
                self._not_before[document.id] = wait
            if wait > now or (document.attempts and again >= self._policy.places // 2):
                continue
            whose = document.seller, document.attempts > 0
            if taken[whose] >= max(1, self._policy.places // (8 if document.attempts else 4)):
                continue
            taken[whose] += 1
            again += document.attempts > 0
            chosen.append(document)
        return chosen

    async def _read(self, document: Document) -> None:
        log = self._log.bind(seller=document.seller, digest=document.digest)
        if document.root == ZERO32:
            # No document has this root: it is how a seller closes the store.
            if self._documents.save_scan(document, Scan()):
                log.info("store_closed")
                self._changed()
            return
        binding = self._ledger.binding
        patience = self._policy.first_seconds * 2 ** min(document.attempts, 10)
        limits = replace(self._policy.limits, seconds=min(patience, self._policy.limits.seconds))
        try:
            async with LargeStoreTurn(self._large) as turn:
                store = await read_store(
                    self._blocks,
                    document.digest,
                    chain_id=binding.chain_id,
                    market=binding.market,
                    seller=document.seller,
                    root=document.root,
                    limits=limits,
                    turn=turn,
                )
                scan = await asyncio.to_thread(self._scan, store)
        except IpfsError as error:
            self._reached(error)
            self._unavailable(document, error, log)
        except (Malformed, BlockRefused) as error:
            self._over[document.id] = self._over.get(document.id, 0) + 1
            if isinstance(error, BlockRefused) and self._over[document.id] < _MAX_REFUSALS:
                # Too many bytes may as well be a fault of the node: it has more than one try.
                self._unavailable(document, error, log)
                return
            self._over.pop(document.id, None)
            self._refuse(document, str(error))
            log.warning("store_refused", reason=str(error))
        except sqlite3.OperationalError:
            raise
        except Exception as error:  # one store must never stop all the others
            if is_host_failure(error):
                self._later(document, f"host: {error or type(error).__name__}")
                log.error("store_unavailable", attempt=document.attempts + 1, reason=str(error))
                return
            log.exception("internal_error")
            self._refuse(document, f"internal error: {type(error).__name__}")
        else:
            self._reached()
            await self._save(document, store, scan, log)

    async def _save(self, document: Document, store: Store, scan: Scan, log: Log) -> None:
        copied = await self._copied(store, {part.sealed for part in scan.parts})
        scan = replace(scan, refusals=[*scan.refusals, *copied])
        self._checkpoint("F3")
        self._not_before.pop(document.id, None)
        self._over.pop(document.id, None)
        if not self._documents.save_scan(document, scan):
            log.info("store_pruned", reason="its version is long replaced")
            return
        for refusal in scan.refusals[:LOGGED_REFUSALS]:
            log.warning(
                "part_refused",
                reason=refusal.reason,
                item=refusal.item_id,
                detail=refusal.detail,
                of_this_store=len(scan.refusals),
            )
        log.info("store_read", items=len(store.items), parts=len(scan.parts))
        self._changed()

    def _refuse(self, document: Document, reason: str) -> None:
        self._documents.refuse(document, reason)
        self._changed()

    def _unavailable(self, document: Document, error: Exception, log: Log) -> None:
        self._later(document, str(error))
        log.warning("store_unavailable", attempt=document.attempts + 1, reason=str(error))

    async def _copied(self, store: Store, ours: set[bytes]) -> list[PartRefusal]:
        """Our ciphertext out of another seller's store, listed here: no harm, but worth a word.

        Its tag is for another domain, so `find_parts` does not see it, and it is never served.
        """
        refusals = []
        looked = 0
        for item in store.items:
            for sealed in (s for section in item.sections for s in section.encrypted_parts):
                looked += 1
                if looked % 500 == 0:
                    await asyncio.sleep(0)
                if sealed not in ours and self._documents.copied(store.seller, sealed):
                    detail = "a part of ours, copied from another seller's store"
                    refusals.append(
                        PartRefusal(item.terms.item_id, NO_COPY, "copied-ciphertext", detail)
                    )
                    break
        return refusals

    def _later(self, document: Document, reason: str) -> None:
        self._documents.count_attempt(document, reason)
        pause = self._policy.retry_seconds * 2 ** min(document.attempts, 20)
        longest = self._policy.urgent_retry if document.urgent else self._policy.longest_retry
        self._not_before[document.id] = time.monotonic() + min(pause, longest)

    # ------------------------------------------------------------------------------------ pinning

    async def _pin_all(self) -> None:
        """One pin at a time, so that the budget holds; those that failed least come first."""
        while True:
            now = time.monotonic()
            waiting = sorted(
                (self._pin_after.get(document.id, (0, 0.0)), document.id, document)
                for document in self._documents.to_pin()
            )
            ready = [document for (_, after), _, document in waiting if after <= now]
            if ready:
                await self._pin(ready[0])
            await asyncio.sleep(0 if ready else 1.0)

    def _reached(self, error: IpfsError | None = None) -> None:
        """Logs, once, that the IPFS node itself is away, which is no fault of a store's seller."""
        if isinstance(error, IpfsUnreachable):
            self._unreached += 1
            if self._unreached == _DOWN_TRIES:
                self._log.error("ipfs_down", reason=str(error))
        else:
            if self._unreached >= _DOWN_TRIES:
                self._log.info("ipfs_back", tries=self._unreached)
            self._unreached = 0

    async def _pin(self, document: Document) -> None:
        log = self._log.bind(seller=document.seller, digest=document.digest)
        await self._make_room()
        left = max(0, self._policy.pin_bytes - self._documents.pinned_bytes())
        failures, _ = self._pin_after.get(document.id, (0, 0.0))
        patience = self._policy.first_pin_seconds * 2 ** min(failures, 10)
        try:
            size = await self._blocks.pin(
                Cid("dag-json", document.digest),
                limits=PinLimits(max_bytes=min(left, self._policy.pin_bytes // 4)),
                deadline=min(patience, self._policy.pin_seconds),
            )
        except IpfsError as error:
            self._reached(error)
            pause = min(self._policy.retry_seconds * 2 ** min(failures, 20), 600.0)
            self._pin_after[document.id] = (failures + 1, time.monotonic() + pause)
            log.warning("pin_unavailable", reason=str(error), retry_seconds=pause)
            return
        except BlockRefused as error:
            self._documents.mark_pin(document, "refused")
            log.warning("pin_refused", reason=str(error), budget_left=left)
            return
        self._reached()
        self._pin_after.pop(document.id, None)
        if not self._documents.mark_pin(document, "held", size.bytes):
            await self._blocks.unpin(Cid("dag-json", document.digest))
            return
        log.info("pinned", blocks=size.blocks, bytes=size.bytes)

    async def _make_room(self) -> None:
        """Above nine tenths of the budget, lets go of store versions that were replaced."""
        while self._documents.pinned_bytes() > self._policy.pin_bytes * 9 // 10:
            old = self._documents.superseded_pin()
            if old is None:
                return
            await self._blocks.unpin(Cid("dag-json", old.digest))
            self._documents.mark_pin(old, "")
            self._log.info("unpinned", seller=old.seller, digest=old.digest)
