"""Follows the chain: from the saved cursor to the head less the confirmations, losing nothing.

Every step compares the hash of the cursor's block with the node's. If it differs, the reader walks
back over the kept hashes to the newest block that both know, has the ledger forget what stood
above, and reads again. Ranges follow one another without a gap; near the head each is read with an
overlap, and the last blocks are read once more now and then, so that a log which a node left out
is found late rather than never, and reported. The ledger takes each log once, by block and place.

Far from the head, where a daemon catches up, the next range is on its way while the last is saved.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from dam.errors import Retryable, RpcError
from dam.ethereum.node import ReadStats
from dam.gc_pause import paused
from dam.ledger.ledger import DeepReorganisation, Ledger, Rollback
from dam.log import Log
from dam.market.client import BlockUnknownError, Market, Page
from dam.market.log_reader import BlockPage
from dam.market.log_rows import Rows
from dam.types import BlockRef, Clock

_FINE_BLOCKS = 64
"""So close to the head, ranges are short, so that a reorganisation finds a near ancestor."""
_FINE_RANGE_BLOCKS = 16
_FIRST_RANGE_BLOCKS = 16
_GROWTH = 4
_PAGE_LOGS = 10_000
"""About so many logs are asked for at once: 12 MB of a node's answer."""
_MAX_RANGES = 8
"""Ranges of one `ChainReader.advance`: a stop, and the chain's head, are looked at in between."""
_RECHECK_BLOCKS = 128
"""Blocks behind the cursor that are read once more: the time in which deliverers deliver."""
_RECHECK_EVERY_BLOCKS = 32
_POSTPONE_READS = 8
"""So often in a row what is new may go before that."""

_REOPEN_REFUSED = (
    "UPDATE purchases SET state = 'new', reason = '' "
    "WHERE state = 'refused' AND reason = 'store-not-in-force' AND orphaned = 0"
)
Finality = Literal["safe", "finalized"]


@dataclass(frozen=True, slots=True)
class Step:
    """What one `ChainReader.advance` did; ``head`` is the newest block, unconfirmed, and ``clock``
    the contract's in it.
    """

    head: BlockRef
    clock: Clock
    cursor: BlockRef
    new_logs: int
    caught_up: bool
    rollback: Rollback | None = None


class ChainReader:
    """Moves the ledger's cursor.

    Args:
        confirmations: How many blocks behind the newest to stay, or the tag to stay at.
        halt_depth: A reorganisation that takes more blocks from under the cursor than this, and
            with them a purchase that was acted on, halts the daemon. At ``finalized``: any such.
        range_blocks: Most blocks of one request.
        overlap: Blocks behind the cursor that are read again, near the head.
        checkpoint: Called at F1 (logs read, cursor unsaved) and F2 (cursor saved).
    """

    def __init__(
        self,
        source: Market,
        ledger: Ledger,
        *,
        log: Log,
        confirmations: int | Finality = 2,
        halt_depth: int = 64,
        range_blocks: int = 10_000,
        overlap: int = 16,
        stats: ReadStats | None = None,
        checkpoint: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._source = source
        self._ledger = ledger
        self._first = source.deployment.first_block
        self._delivery_seconds = ledger.delivery_seconds(source.deployment.windows)
        self._log = log
        self._confirmations = confirmations
        self._halt_depth = 0 if confirmations == "finalized" else halt_depth
        self._range = range_blocks
        self._overlap = overlap
        self._checkpoint = checkpoint
        self.stats = ReadStats() if stats is None else stats
        """Logs and rollbacks are counted here."""
        self._span = _FIRST_RANGE_BLOCKS
        self._idle_at: BlockRef | None = None
        self._newest: tuple[BlockRef, Clock] | None = None
        self._rechecked: int | None = None
        self._postponed = 0
        """How often the chain was read since the last blocks were, once more."""
        self._at_head = False
        """Whether the last blocks were read as they came: not just now, in catching up."""
        self._bulk_loading = False

    async def advance(self) -> Step:
        """Checks that the cursor is still on the chain, and reads a few ranges at most.

        Raises:
            DeepReorganisation: The chain changed below everything that is kept, or deeper than
                may be where something was acted on.
            RpcError: The node did not answer as it should; nothing more was saved.
            DisagreementError: Nodes answer differently; nothing of it was saved.
            BlockUnknownError: The node is behind the cursor, or was put back to an older state.
        """
        head, target = await self._ends()
        cursor = self._ledger.cursor() or await self._begin()
        if head.number < cursor.number:
            raise BlockUnknownError(
                f"the node is at block {head.number}, and block {cursor.number} was read before: "
                "it lags, or was put back to an older state"
            )
        now = await self._clocked(head)
        # A chain that got shorter by less than the confirmations: only a longer one decides.
        if target < cursor.number or head == self._idle_at:
            if self._newest is not None and self._newest[0].number > head.number:
                now = self._newest
            return Step(*now, cursor, 0, caught_up=True)
        self._newest = now
        if target == cursor.number:
            return await self._idle(now, cursor)
        with paused(target - cursor.number > _FINE_BLOCKS):
            return await self._read(now, target, cursor)

    async def _clocked(self, head: BlockRef) -> tuple[BlockRef, Clock]:
        """A block, on which all nodes asked agree, with the contract's clock in it."""
        if self._newest is not None and self._newest[0] == head:
            return self._newest
        return head, await self._source.clock(head)

    async def _ends(self) -> tuple[BlockRef, int]:
        """The newest block, and the number of the last one to read."""
        if isinstance(self._confirmations, int):
            head = await self._source.head()
            return head, head.number - self._confirmations
        # In this order: what is final now is not above the head of a moment later.
        final = await self._source.head(self._confirmations)
        head = await self._source.head()
        if final.number > head.number:
            raise RpcError(f"block '{self._confirmations}' is newer than the newest: a node lags")
        return head, final.number

    async def _begin(self) -> BlockRef:
        block = await self._source.block(max(0, self._first - 1))
        with self._ledger.transaction(durable=False):
            self._ledger.save_range(Rows(), block, delivery_seconds=self._delivery_seconds)
        self._ledger.begin_bulk_load()
        self._bulk_loading = True
        return block

    async def _idle(self, now: tuple[BlockRef, Clock], cursor: BlockRef) -> Step:
        rollback = await self._checked(cursor)
        if rollback is not None:
            return Step(*now, rollback.to, 0, caught_up=False, rollback=rollback)
        late = await self._look_back(cursor)
        self._idle_at = now[0]
        return Step(*now, cursor, late, caught_up=True)

    async def _read(self, now: tuple[BlockRef, Clock], target: int, cursor: BlockRef) -> Step:
        new = 0
        ahead: asyncio.Task[Page] | None = None
        try:
            for left in reversed(range(_MAX_RANGES)):
                page = await (ahead or self._fetch(cursor, target))
                ahead = None
                if page.end.number <= cursor.number:
                    raise RpcError(f"a node gave no block after {cursor.number}")
                self._choose_span(page.size, page.end.number - cursor.number)
                if left and page.end.number < target and not self._at_head:
                    ahead = asyncio.create_task(self._fetch(page.end, target))
                # Asked after the logs: if the cursor still stands, they are of the same branch.
                rollback = await self._checked(cursor)
                if rollback is not None:
                    return Step(*now, rollback.to, new, caught_up=False, rollback=rollback)
                new += self._save(page.rows, cursor, page.end)
                cursor = page.end
                if ahead is None:
                    break
        finally:
            if ahead is not None:
                ahead.cancel()
                await asyncio.gather(ahead, return_exceptions=True)
        self._at_head = cursor.number >= target
        if self._at_head and self._bulk_loading:
            self._ledger.end_bulk_load()
            self._bulk_loading = False
        self._postponed += 1
        # What is new is decided on first: to read a flood once more takes as long as it took once.
        if self._at_head and (not new or self._postponed >= _POSTPONE_READS):
            new += await self._look_back(cursor)
        return Step(*now, cursor, new, caught_up=self._at_head)

    async def _fetch(self, cursor: BlockRef, target: int) -> Page:
        """The page after ``cursor``; near the head short, and compared by hashes."""
        far = max(_FINE_RANGE_BLOCKS, target - _FINE_BLOCKS - cursor.number)
        span = min(self._range, self._span, far)
        last = min(cursor.number + span, target)
        fine = last > target - _FINE_BLOCKS
        first = cursor.number + 1
        if self._at_head:
            first = max(self._first, cursor.number + 1 - self._overlap)
        page = await self._source.page(min(first, last), last, canonical=fine)
        if page.end.number <= cursor.number:
            # The node takes fewer blocks at once than the overlap has: then without it.
            page = await self._source.page(cursor.number + 1, last, canonical=fine)
        if isinstance(page, BlockPage):
            self._log.warning("large_block", block=page.end.number, logs=page.size)
        return page

    def _choose_span(self, logs: int, blocks: int) -> None:
        """Chooses the next range: as many blocks as should hold about `_PAGE_LOGS`."""
        wanted = blocks * _PAGE_LOGS // max(1, logs)
        # A few logs say little about the density; many, enough to go there at once.
        most = wanted if logs > _PAGE_LOGS // 10 else _GROWTH * max(blocks, self._span)
        self._span = max(1, min(most, wanted))

    def _save(self, rows: Rows, cursor: BlockRef, end: BlockRef) -> int:
        known = {block.number: block.hash for block in self._ledger.known_blocks()}
        for number, block_hash in rows.blocks.items():
            if known.get(number, block_hash) != block_hash:
                raise RpcError(f"a log stands in a block {number} of another branch")
        late = self._late(rows, cursor)
        self._checkpoint("F1")
        # If a power cut takes it back, it is read again.
        with self._ledger.transaction(durable=False):
            new = self._ledger.save_range(rows, end, delivery_seconds=self._delivery_seconds)
            for table, number, index, logs in late:
                self._ledger.note(
                    "log_was_missing", table=table, block=number, log_index=index, logs=logs
                )
            if late:
                # Perhaps a store's version was the one that these purchases were refused for.
                self._ledger.db.execute(_REOPEN_REFUSED)
        self._checkpoint("F2")
        for table, number, index, logs in late:
            self._log.error(
                "log_was_missing",
                kind=table,
                block=number,
                log_index=index,
                logs=logs,
                behind=cursor.number - number,
                next_step="a node left this log out when its block was read; it is taken up now. "
                "If it happens again, use another node, or two",
            )
        self.stats.logs += new
        return new

    def _late(self, rows: Rows, cursor: BlockRef) -> list[tuple[str, int, int, int]]:
        """Logs of blocks that were read before, and that were not there then: the table and the
        block, the first one's place in it, and how many they are; a block may have thousands.
        """
        if not rows.blocks or min(rows.blocks) > cursor.number:
            return []
        found: dict[tuple[str, int], list[int]] = {}
        for table, number, index in self._ledger.missing(rows.until(cursor.number)):
            found.setdefault((table, number), []).append(index)
        return [(*where, min(indexes), len(indexes)) for where, indexes in found.items()]

    async def _look_back(self, cursor: BlockRef) -> int:
        """Reads the last blocks once more, every few blocks; returns how many logs were new."""
        if self._rechecked is not None and cursor.number < self._rechecked + _RECHECK_EVERY_BLOCKS:
            return 0
        self._postponed = 0
        new, first = 0, max(self._first, cursor.number + 1 - _RECHECK_BLOCKS)
        try:
            while first <= cursor.number:
                last = min(cursor.number, first + min(self._range, self._span) - 1)
                page = await self._source.page(first, last, canonical=True)
                new += self._save(page.rows, cursor, cursor)
                first = page.end.number + 1
        except Retryable as error:
            # What was read before is saved, and a duty: it does not wait for this.
            self._log.warning("recheck_failed", error=str(error))
            return 0
        self._rechecked = cursor.number
        return new

    async def _checked(self, cursor: BlockRef) -> Rollback | None:
        """Compares the cursor with the chain, and rolls back if it is not on it."""
        here = await self._source.block(cursor.number)
        return None if here.hash == cursor.hash else await self._roll_back(cursor)

    async def _roll_back(self, cursor: BlockRef) -> Rollback:
        self._idle_at = None
        self._newest = None
        self._rechecked = None
        self._at_head = False
        for block in self._ledger.known_blocks():
            here = await self._source.block(block.number)
            if here.hash != block.hash:
                continue
            depth = cursor.number - block.number
            acted = self._ledger.acted_above(block.number)
            if depth > self._halt_depth and acted:
                self._log.critical(
                    "deep_reorganisation",
                    depth=depth,
                    ancestor=block.number,
                    parts_acted_on=acted,
                    halt_depth=self._halt_depth,
                    next_step=_NEXT_STEP,
                )
                raise DeepReorganisation(
                    f"the chain lost {depth} blocks that had passed as final, and with them "
                    f"purchases for which {acted} parts were sealed (halt_depth is "
                    f"{self._halt_depth}): {_NEXT_STEP}"
                )
            done = self._ledger.rollback(block)
            self.stats.rollbacks += 1
            self._log.warning(
                "reorganisation",
                depth=done.depth,
                ancestor=block.number,
                purchases_orphaned=done.purchases,
                jobs_cancelled=done.cancelled,
            )
            return done
        self._log.critical("deep_reorganisation", cursor=cursor.number, next_step=_NEXT_STEP)
        raise DeepReorganisation(f"the chain changed below all kept block hashes: {_NEXT_STEP}")


_NEXT_STEP = (
    "ask another node, or an explorer, which branch is right. If this node is wrong, set another "
    "one; if it is right, run `dam deliverer recover --force` (or `dam watchdog`), and start again"
)
