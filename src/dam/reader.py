"""Follows the chain: from the saved cursor to the head less the confirmations, losing nothing.

Every step compares the hash of the cursor's block with the node's. If it differs, the reader walks
back over the kept hashes to the newest block that both know, has the ledger forget what stood
above, and reads again. A range is read with an overlap, so that a log which a lagging node left out
comes with one of the next reads; the ledger takes each log once, by (block hash, log index).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from dam.errors import RpcError
from dam.ledger import DeepReorganisation, Ledger, Rollback
from dam.logs import Log
from dam.types import BlockRef, MarketLog

_FINE_BLOCKS = 64
"""So close to the head, ranges are short, so that a reorganisation finds a near ancestor."""
_FINE_RANGE = 16


class Page(Protocol):
    """Logs of a range, and the block that ends it (`market.LogPage`)."""

    @property
    def logs(self) -> Sequence[MarketLog]:
        """In order."""
        ...

    @property
    def end(self) -> BlockRef:
        """The last block of the range."""
        ...


class ChainSource(Protocol):
    """What the reader asks of `market.Market` (or of the in-memory one)."""

    async def head(self) -> BlockRef:
        """The newest block."""
        ...

    async def block(self, number: int) -> BlockRef:
        """A canonical block; `RpcError` if the node has none of this number."""
        ...

    async def page(self, first: int, last: int, *, canonical: bool = False) -> Page:
        """All logs of the market in these blocks; ``canonical`` compares their blocks' hashes."""
        ...


@dataclass(frozen=True, slots=True)
class Step:
    """What one `Reader.advance` did."""

    head: BlockRef
    """The newest block, unconfirmed."""
    cursor: BlockRef
    new_logs: int
    caught_up: bool
    rollback: Rollback | None = None


class Reader:
    """Moves the ledger's cursor.

    Args:
        source: The chain.
        ledger: Where cursor and logs are saved.
        first_block: The market's deployment: nothing stands before it.
        refund_blocks: The deployment's window, for the deadlines of purchases.
        log: Where to tell.
        confirmations: How far behind the newest block to stay.
        range_blocks: Most blocks of one request.
        overlap: Blocks behind the cursor that are read again.
        checkpoint: Called at F1 (logs read, cursor unsaved) and F2 (cursor saved).
    """

    def __init__(
        self,
        source: ChainSource,
        ledger: Ledger,
        *,
        first_block: int,
        refund_blocks: int,
        log: Log,
        confirmations: int = 2,
        range_blocks: int = 2_000,
        overlap: int = 16,
        checkpoint: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._source = source
        self._ledger = ledger
        self._first = first_block
        self._refund_blocks = refund_blocks
        self._log = log
        self._confirmations = confirmations
        self._range = range_blocks
        self._overlap = overlap
        self._checkpoint = checkpoint
        self._idle_at: BlockRef | None = None

    async def advance(self) -> Step:
        """Checks that the cursor is still on the chain, and reads at most one range.

        Raises:
            DeepReorganisation: The chain changed below everything that is kept.
            RpcError: The node did not answer as it should; nothing was saved.
        """
        head = await self._source.head()
        target = head.number - self._confirmations
        cursor = self._ledger.cursor() or await self._begin()
        # A node behind us, or a chain that got shorter: only a longer one decides.
        if target < cursor.number or head == self._idle_at:
            return Step(head, cursor, 0, caught_up=True)
        page = None
        if target > cursor.number:
            span = min(self._range, max(_FINE_RANGE, target - _FINE_BLOCKS - cursor.number))
            last = min(cursor.number + span, target)
            first = max(self._first, cursor.number + 1 - self._overlap)
            page = await self._source.page(
                min(first, last), last, canonical=last > target - _FINE_BLOCKS
            )
        # Asked after the logs: if the cursor still stands, all of them stand on the same branch.
        here = await self._source.block(cursor.number)
        if here.hash != cursor.hash:
            rollback = await self._roll_back()
            return Step(head, rollback.to, 0, caught_up=False, rollback=rollback)
        if page is None:
            self._idle_at = head
            return Step(head, cursor, 0, caught_up=True)
        new = self._save(page)
        return Step(head, page.end, new, caught_up=page.end.number >= target)

    async def _begin(self) -> BlockRef:
        block = await self._source.block(max(0, self._first - 1))
        with self._ledger.transaction():
            self._ledger.save_range((), block, refund_blocks=self._refund_blocks)
        return block

    def _save(self, page: Page) -> int:
        known = {block.number: block.hash for block in self._ledger.known_blocks()}
        for log in page.logs:
            block = log.at.block
            if known.setdefault(block.number, block.hash) != block.hash:
                raise RpcError(f"a log stands in a block {block.number} of another branch")
        self._checkpoint("F1")
        with self._ledger.transaction():
            new = self._ledger.save_range(page.logs, page.end, refund_blocks=self._refund_blocks)
        self._checkpoint("F2")
        return new

    async def _roll_back(self) -> Rollback:
        self._idle_at = None
        for block in self._ledger.known_blocks():
            here = await self._source.block(block.number)
            if here.hash == block.hash:
                done = self._ledger.rollback(block)
                self._log.warning(
                    "reorganisation",
                    depth=done.depth,
                    ancestor=block.number,
                    purchases_orphaned=done.purchases,
                    jobs_cancelled=done.cancelled,
                )
                return done
        raise DeepReorganisation(
            "the chain changed below all kept block hashes: check the node; if it is right, move "
            "the ledger away, and the daemon rebuilds it from the chain"
        )
