"""The index of a market: synced with the chain and the store documents, then read.

It is a hint. Whoever moves money by it asks the chain again for what counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

from dam.catalog.reader import read_store
from dam.errors import (
    BlockMismatch,
    BlockRefused,
    IndexUnusableError,
    IpfsError,
    IpfsUnreachable,
    Malformed,
    RpcError,
)
from dam.gc_pause import paused
from dam.index.index_file import FILE_NAME, Binding, IndexFile, is_damage
from dam.index.store_rows import store_rows
from dam.index.stores import (
    Wanted,
    dirty_sellers,
    refresh,
    save_document,
    save_failure,
    wanted_documents,
)
from dam.index.writer import Writer
from dam.ipfs.blocks import BlockStore
from dam.market.client import Market
from dam.market.deliverer_pool import POOL_EVENTS
from dam.market.log_history import SALES
from dam.types import Address, BlockRef, Clock, Deployment, MarketLog, Wei

EVENTS = SALES | POOL_EVENTS | {"SellerStaked", "SellerStakeWithdrawn"}
"""Events that the index is made of."""
_FINE_BLOCKS = 64
"""So close to the head the blocks of logs are compared with the chain's, one by one."""
_MOST_ROLLBACKS = 16
"""Of one sync."""
_STAKES = 500
"""Sellers whose stakes are asked for at once."""
_CONCURRENT_DOCUMENTS = 8
_FIRST_PAUSE_SECONDS, _MAX_PAUSE_SECONDS = 10.0, 3600.0
_REORGANISED = "the chain changed below every block whose hash it keeps"
Notice = Callable[[str], None]
Progress = Callable[[int, int], None]
"""Takes how far something is, and how far it has to come."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Synced:
    """What the index knows after a sync."""

    head: BlockRef
    """The node's newest block: all logs up to there are in the index."""
    clock: Clock
    """The contract's, in that block."""
    logs: int
    """How many came in."""
    rolled_back: int
    """How many blocks a reorganisation took away."""


@dataclass(frozen=True, slots=True)
class Documents:
    """What a round of reading store documents did."""

    read: int
    failed: int
    left: int
    """How many were not read for lack of time."""
    unreachable: IpfsUnreachable | None = None
    """Why none could be read: the block store is away."""


@dataclass
class _Round:
    """What came of some documents so far."""

    wanted: int
    read: int = 0
    failed: int = 0
    unreachable: IpfsUnreachable | None = None


def _quiet(done: int, of: int) -> None:
    """Shows no progress."""


class Index:
    """An open index. Close it, or use it as ``with``.

    Args:
        folder: Where its file is, which is made if need be.
        deployment: The market.
        notice: Hears why it is made anew.

    Raises:
        IndexUnusableError: It cannot stand there; the message has the next step.
    """

    def __init__(self, folder: Path, deployment: Deployment, notice: Notice) -> None:
        self._file = IndexFile(folder / FILE_NAME, Binding.of(deployment), notice)
        self._deployment = deployment
        self._writer = Writer(self.db)

    @property
    def db(self) -> sqlite3.Connection:
        """The file, for the queries of this package."""
        return self._file.db

    @property
    def path(self) -> Path:
        """The file."""
        return self._file.path

    def close(self) -> None:
        """Gives the file free."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def rebuild(self, why: str) -> None:
        """Begins anew, with an empty index."""
        self._file.rebuild(why)
        self._writer = Writer(self.db)

    def cursor(self) -> BlockRef | None:
        """The last block that is in the index."""
        found = self.db.execute(
            "SELECT number, hash FROM blocks ORDER BY number DESC LIMIT 1"
        ).fetchone()
        return None if found is None else BlockRef(*found)

    # ---------------------------------------------------------------------------------- the chain

    async def sync(self, market: Market, *, progress: Progress = _quiet) -> Synced:
        """Reads the logs after the cursor, up to the newest block, and what follows from them.

        Args:
            market: The market, which is the index's.
            progress: Hears the last block read, and the newest, after each range.

        Raises:
            RpcError: The node could not be asked; what was read before is kept.
        """
        head, clock = await market.head_and_clock()
        count = undone = 0
        rollbacks = itertools.count(1)
        ahead: asyncio.Task[tuple[list[MarketLog], BlockRef]] | None = None
        try:
            while True:
                cursor = self.cursor()
                if cursor is None:  # new, or begun anew on the way
                    await self._begin(market)
                    continue
                if cursor.number >= head.number:
                    if cursor.hash == head.hash:
                        break
                    # Replaced, or the node lags: the index tells what this node does.
                    undone += await self._roll_back(market, head)
                    head, clock = await _head_again(market, next(rollbacks))
                    continue
                with paused():
                    logs, end = await (ahead or self._fetch(market, cursor.number + 1, head))
                    ahead = None
                    if end.number < head.number:
                        ahead = asyncio.create_task(self._fetch(market, end.number + 1, head))
                        await asyncio.sleep(0)
                    # Asked after the logs: if the cursor stands, they are of the same branch.
                    if not await self._stands(market, cursor, head):
                        await _dropped(ahead)
                        ahead = None
                        undone += await self._roll_back(market, head)
                        head, clock = await _head_again(market, next(rollbacks))
                        continue
                    if self._save(cursor, logs, end):
                        count += len(logs)
                        progress(end.number, head.number)
                    else:
                        await _dropped(ahead)
                        ahead = None
        finally:
            await _dropped(ahead)
        await self._settle(market)
        return Synced(head, clock, count, undone)

    async def _begin(self, market: Market) -> None:
        """The block before the market's first: what every branch has in common."""
        block = await market.block(max(0, self._deployment.first_block - 1))
        with self._writing():
            if self.cursor() is None:
                self._writer.save([], block)

    async def _fetch(
        self, market: Market, first: int, head: BlockRef
    ) -> tuple[list[MarketLog], BlockRef]:
        fine = first + _FINE_BLOCKS > head.number
        last = head.number if fine else head.number - _FINE_BLOCKS
        return await market.records(first, last, EVENTS, canonical=fine)

    async def _stands(self, market: Market, block: BlockRef, head: BlockRef) -> bool:
        """Whether a block, of the newest one or below it, is on the chain."""
        if block.number == head.number:
            return block.hash == head.hash
        return (await market.block(block.number)).hash == block.hash

    async def _roll_back(self, market: Market, head: BlockRef) -> int:
        """Forgets what stood above the newest block that both know; how many blocks that were."""
        cursor = self.cursor()
        rows = self.db.execute(
            "SELECT number, hash FROM blocks WHERE number <= ? ORDER BY number", (head.number,)
        )
        kept = [BlockRef(*row) for row in rows]
        low, high = 0, len(kept)  # blocks below `low` stand, those from `high` on do not
        while low < high:
            middle = (low + high) // 2
            if await self._stands(market, kept[middle], head):
                low = middle + 1
            else:
                high = middle
        if low == 0 or cursor is None:
            self.rebuild(_REORGANISED)
            return 0
        ancestor = kept[low - 1]
        with self._writing():
            if self.cursor() != cursor:
                return 0
            self._writer.roll_back(ancestor.number)
        return cursor.number - ancestor.number

    def _save(self, cursor: BlockRef, logs: Sequence[MarketLog], end: BlockRef) -> bool:
        """Takes logs, unless another process was quicker."""
        with self._writing():
            if self.cursor() != cursor:
                return False
            self._writer.save(logs, end)
        return True

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._file.write() as db:
                yield db
        except BaseException:
            self._writer.forget()
            raise

    async def _settle(self, market: Market) -> None:
        """Works out the rows of sellers of whom something changed, with their stakes now."""
        while some := dirty_sellers(self.db, _STAKES):
            calls = [("sellerStakes", (address,)) for _, address in some]
            stakes = await market.calls(calls)
            with self._file.write() as db:
                for (seller, _), (free,) in zip(some, stakes, strict=True):
                    refresh(db, seller, Wei(free))

    # ------------------------------------------------------------------------------- the documents

    async def read_documents(
        self,
        blocks: BlockStore,
        *,
        seconds: float,
        sellers: Sequence[Address] | None = None,
        patient: bool = True,
        progress: Progress = _quiet,
    ) -> Documents:
        """Reads documents of stores that were not read yet, several at once.

        Args:
            blocks: Has them.
            seconds: For all of them together; what is left is read the next time.
            sellers: Only theirs.
            patient: Whether one that failed waits for its time.
            progress: Hears how many are done, and of how many.
        """
        now = time.time() if patient else float("inf")
        wanted = wanted_documents(self.db, now, sellers)
        # Those that are as good as each other, in no order that anybody chose.
        random.shuffle(wanted)
        wanted.sort(key=lambda one: one.tries)
        found = _Round(len(wanted))
        queue = iter(wanted)

        async def work() -> None:
            for one in queue:
                await self._read_document(blocks, one, found)
                progress(found.read + found.failed, found.wanted)

        tasks = [asyncio.create_task(work()) for _ in range(_CONCURRENT_DOCUMENTS)]
        try:
            done, _ = await asyncio.wait(
                tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION
            )
            for task in done:
                if isinstance(error := task.exception(), IpfsUnreachable):
                    found.unreachable = error
                else:
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        left = found.wanted - found.read - found.failed
        return Documents(found.read, found.failed, left, found.unreachable)

    async def _read_document(self, blocks: BlockStore, one: Wanted, found: _Round) -> None:
        version = one.version
        try:
            store = await read_store(
                blocks,
                version.digest,
                chain_id=self._deployment.chain_id,
                market=self._deployment.market,
                seller=version.seller,
                root=version.root,
                whole=False,
            )
        except IpfsUnreachable:
            raise
        except (Malformed, IpfsError, BlockRefused) as error:
            again = isinstance(error, IpfsError) and not isinstance(error, BlockMismatch)
            pause = min(_MAX_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2 ** min(one.tries, 20))
            next_try = time.time() + pause if again else None
            with self._file.write() as db:
                save_failure(db, one.seller, version.digest, str(error), next_try)
            found.failed += 1
            return
        rows = store_rows(store)
        with self._writing() as db:
            save_document(db, self._writer, one.seller, version.digest, rows)
        found.read += 1


async def _dropped(task: asyncio.Task[tuple[list[MarketLog], BlockRef]] | None) -> None:
    if task is not None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _head_again(market: Market, rollbacks: int) -> tuple[BlockRef, Clock]:
    if rollbacks > _MOST_ROLLBACKS:
        raise RpcError(
            f"the chain changed {rollbacks} times while it was read, or several nodes behind one "
            "address differ: try again, or set another node"
        )
    return await market.head_and_clock()


async def with_index(
    folder: Path, deployment: Deployment, work: Callable[[Index], Awaitable[T]], notice: Notice
) -> T:
    """Does something with an index, and once more with a new one if what is in it cannot be.

    Args:
        folder: Where its file is.
        deployment: The market.
        work: Syncs and reads it; it may run twice, and so does nothing that cannot be repeated.
        notice: Hears why it is made anew.

    Raises:
        IndexUnusableError: It cannot be used; the message has the next step.
    """
    with Index(folder, deployment, notice) as index:
        try:
            return await work(index)
        except sqlite3.DatabaseError as error:
            why = error
            if not is_damage(error):
                raise _unusable(folder, error) from None
        index.rebuild(str(why))
        try:
            return await work(index)
        except sqlite3.DatabaseError as error:
            raise _unusable(folder, error) from None


def _unusable(folder: Path, error: Exception) -> IndexUnusableError:
    return IndexUnusableError(
        f"the index in {folder} cannot be used ({error}): look at the disk (df, dmesg); "
        "`dam index sync --anew` makes it anew"
    )
