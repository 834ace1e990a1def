"""Reads the market's logs, in ranges that the node takes, and a block that is too large in slices.

Anybody may write as many logs as they pay gas for, and a node gives so many at once, or so many
bytes. So only the events that the reader needs are asked for, a range that is refused is halved,
and a single block that is still too large is read event by event; the events that alone are too
many come out of the receipts of its transactions, a few at a time. A receipt is bounded by the gas
that a transaction may have, so a flood costs time and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from copy import copy
from functools import partial
from typing import Any, Protocol, TypeVar

import msgspec

from dam.ethereum.node import Node, ReadStats, hex_data, quantity
from dam.ethereum.node_errors import (
    NODE_STATUSES,
    RpcBadReplyError,
    RpcRangeError,
    RpcRejectedError,
    RpcTimeoutError,
    RpcTooLargeError,
    RpcUnavailableError,
    is_node_fault,
)
from dam.ethereum.rpc import RawBlock, RawLog, Topics
from dam.market.log_decoder import KEPT_TOPICS, TOPICS, LogDecoder, Placed, place
from dam.market.log_rows import Rows
from dam.types import Address, BlockRef, MarketLog

_MAX_RANGE_BLOCKS = 10_000
_GROW_AFTER_RANGES = 32
"""After this many ranges that fitted, a larger one is tried."""
_AFTER_FLOOD_BLOCKS = 16
_UNKNOWN_PAUSE_SECONDS = 0.5
_UNKNOWN_SHRINK = 4
_FAR_BLOCKS = 64
"""A node that is away for a while has smaller ranges than these made no smaller still."""
_FIRST_RECEIPTS, _MOST_RECEIPTS = 8, 64
_SLICE_LOGS = 10_000
"""About so many logs are taken out of receipts at once."""
_REMEMBERED_LARGE = 1024
_SLICE_PAUSES_SECONDS = (1.0, 2.0, 4.0, 8.0)
_MOST_SLICE_PAUSE_SECONDS = 30.0
_KEPT: Topics = [KEPT_TOPICS]
T = TypeVar("T")


class BlockUnknownError(RpcBadReplyError):
    """The node does not have this block: it lags, or the chain is shorter than thought."""


class Rpc(Node, Protocol):
    """What the market asks of a node (`JsonRpc`), or of several as one (`node_pool.NodePool`)."""

    @property
    def host(self) -> str:
        """For messages."""
        ...

    @property
    def stats(self) -> ReadStats:
        """Counters."""
        ...

    async def block(self, tag: str) -> Any:
        """See `JsonRpc.block`."""
        ...

    async def logs(
        self, address: str, first: int, last: int, *, topics: Topics | None = None
    ) -> tuple[list[RawLog], RawBlock | None]:
        """See `JsonRpc.logs`."""
        ...

    async def block_transactions(self, number: int) -> tuple[RawBlock, tuple[str, ...]] | None:
        """See `JsonRpc.block_transactions`."""
        ...

    async def receipt_logs(
        self, hashes: Sequence[str], address: str, events: Collection[str] | None
    ) -> list[RawLog] | None:
        """See `JsonRpc.receipt_logs`."""
        ...

    async def check_chain(self, chain_id: int) -> None:
        """See `JsonRpc.check_chain`."""
        ...


class Page(Protocol):
    """Logs of a range of blocks."""

    @property
    def end(self) -> BlockRef:
        """The block that ends the range."""
        ...

    @property
    def size(self) -> int:
        """How many logs."""
        ...

    @property
    def rows(self) -> Rows:
        """As the ledger keeps them; `RpcBadReplyError` if one is forged."""
        ...


class RawPage:
    """Logs of a range of blocks as a node gave them, decoded when they are asked for.

    Args:
        placed: The logs, in order.
        end: The last block of the range.
        decoder: Decodes them.
    """

    def __init__(self, placed: Sequence[Placed], end: BlockRef, decoder: LogDecoder) -> None:
        self._placed = placed
        self._decoder = decoder
        self.end = end

    @property
    def size(self) -> int:
        """How many logs."""
        return len(self._placed)

    @property
    def logs(self) -> list[MarketLog]:
        """As records; `RpcBadReplyError` if one is forged."""
        return self._decoder.records(self._placed)

    @property
    def rows(self) -> Rows:
        """As the ledger keeps them, without records on the way; `RpcBadReplyError` likewise."""
        return self._decoder.rows(self._placed)


class BlockPage:
    """The logs of one block that was too large for one answer, as rows: a tenth of its memory."""

    def __init__(self, rows: Rows, end: BlockRef) -> None:
        self.rows = rows
        self.end = end

    @property
    def size(self) -> int:
        """How many logs."""
        return self.rows.count


class RangeSize:
    """How many blocks to ask for at once: what the node took last, and from time to time more."""

    def __init__(self) -> None:
        self.blocks = _MAX_RANGE_BLOCKS
        self._fits = 0
        self._refused = _MAX_RANGE_BLOCKS + 1
        self._calm = 0
        self._patience = _GROW_AFTER_RANGES

    def refused(self, size: int, *, unknown: bool) -> None:
        """The node refused a range of ``size`` blocks; ``unknown``: in words that nobody knows.

        What those mean is a guess: fewer tries go down, and the next larger one comes sooner, but
        each that was in vain makes it wait longer.
        """
        if size <= self._fits:
            self._fits = 0  # not any more: the logs stand more densely here
        self._refused, self._calm = size, 0
        if unknown:
            first = self._patience == _GROW_AFTER_RANGES
            self._patience = 2 if first else min(_GROW_AFTER_RANGES - 1, 2 * self._patience)
        else:
            self._patience = _GROW_AFTER_RANGES
        self.blocks = max(1, size // (_UNKNOWN_SHRINK if unknown else 2), self._fits)

    def flooded(self) -> None:
        """A single block did not fit: that says nothing about others, nor does what led there."""
        self._fits, self._refused, self._calm = 0, _MAX_RANGE_BLOCKS + 1, 0
        self.blocks = _AFTER_FLOOD_BLOCKS

    def fitted(self, size: int) -> None:
        """The node answered a range of ``size`` blocks."""
        if size < self.blocks:
            return
        self._fits = size
        self._calm += 1
        if self._calm >= self._patience:
            self._refused, self._calm = min(_MAX_RANGE_BLOCKS + 1, 4 * self._refused), 0
        if self._refused - size > size // 8:
            self.blocks = min(_MAX_RANGE_BLOCKS, (size + self._refused) // 2, 2 * size)


class LogReader:
    """Reads a market's logs; remembers which ranges the node takes, and which blocks it does not.

    Args:
        rpc: The node.
        market: The contract's address.
        progress: Called when a slice of a large block is read: all of them may take long.
    """

    def __init__(
        self, rpc: Rpc, market: Address, progress: Callable[[], None] = lambda: None
    ) -> None:
        self._rpc = rpc
        self._progress = progress
        self._market = market.lower()
        self._size = RangeSize()
        self._unanswered = -1
        self._large: dict[int, tuple[str, ...]] = {}
        """Blocks that did not fit, the newest known last, and the events that were too many: they
        will be read once more."""
        self._decoder = LogDecoder()

    async def page(self, first: int, last: int, *, canonical: bool) -> Page:
        """See `client.Market.page`."""
        found = await self._range(first, last, _KEPT)
        if isinstance(found, RpcRejectedError | RpcTooLargeError):
            rows = Rows()
            end = BlockRef(-1, b"")
            async for end, raws in self._slices(first, _KEPT, found):
                placed = self._placed(raws, first, end)
                rows.extend(self._decoder.rows(placed))
            rows.sort()
            await self._check_hashes({}, end, canonical)
            return BlockPage(rows, end)
        raws, end = found
        placed = await self._checked(raws, first, end, canonical)
        return RawPage(placed, end, self._decoder)

    async def records(
        self, first: int, last: int, topics: Topics, *, canonical: bool
    ) -> tuple[list[MarketLog], BlockRef]:
        """Logs with such topics from ``first`` on, and the block up to which they were read."""
        found = await self._range(first, last, topics)
        if isinstance(found, RpcRejectedError | RpcTooLargeError):
            slices = [some async for some in self._slices(first, topics, found)]
            raws, end = [raw for _, raws in slices for raw in raws], slices[-1][0]
        else:
            raws, end = found
        placed = await self._checked(raws, first, end, canonical)
        return self._decoder.records(placed), end

    async def _range(
        self, first: int, last: int, topics: Topics
    ) -> tuple[list[RawLog], BlockRef] | RpcRejectedError | RpcTooLargeError:
        """Logs from ``first`` on, and the last of their blocks: the first few blocks that fit.

        If ``first`` alone does not fit, why: an error that may be about its size.
        """
        if first > last:
            raise ValueError(f"no blocks from {first} to {last}")
        if first in self._large:
            return RpcTooLargeError(f"block {first} did not fit before")
        before = min((n for n in self._large if first < n <= last), default=last + 1) - 1
        kept = copy(self._size)
        while True:
            stop = min(before, first + self._size.blocks - 1)
            try:
                raws, raw_end = await self._rpc.logs(self._market, first, stop, topics=topics)
            except (RpcTimeoutError, RpcUnavailableError) as error:
                self._failed(first, stop, error)
                raise
            except (RpcRejectedError, RpcTooLargeError) as error:
                if is_node_fault(error):
                    raise
                unknown = not isinstance(error, RpcRangeError | RpcTooLargeError)
                if first == stop:
                    # Words that nobody knows, even for one block: then size was not the reason.
                    self._size = kept
                    return error
                self._size.refused(stop - first + 1, unknown=unknown)
                if unknown:
                    await asyncio.sleep(_UNKNOWN_PAUSE_SECONDS)
            else:
                self._size.fitted(stop - first + 1)
                return raws, self._end(raw_end, stop)

    def _failed(self, first: int, stop: int, error: RpcTimeoutError | RpcUnavailableError) -> None:
        """A range had no answer: perhaps for its size, and in the next round less is asked for.

        A gateway that gives up says what a node says that is down: it is told by the second time.
        """
        again, self._unanswered = self._unanswered == first, first
        if isinstance(error, RpcUnavailableError):
            if not again or error.status in NODE_STATUSES or stop - first < _FAR_BLOCKS:
                return
        elif first == stop:
            self._large[first] = ()
            return
        self._size.refused(stop - first + 1, unknown=True)

    # ------------------------------------------------------------------------- one large block

    async def _slices(
        self, number: int, topics: Topics, why: RpcRejectedError | RpcTooLargeError
    ) -> AsyncIterator[tuple[BlockRef, list[RawLog]]]:
        """The block, and some of its logs, until it has given all.

        Raises:
            RpcError: As usual; ``why`` if the node had words that nobody knows, and fails again.
        """
        known = isinstance(why, RpcRangeError | RpcTooLargeError)
        end: BlockRef | None = None
        slow = False
        refused = [event for event in topics[0] if event in self._large.get(number, ())]
        rest = [event for event in topics[0] if event not in refused]
        # Where it is known which events are too many, the others are asked for together.
        groups = [rest][: len(rest)] if refused else [[event] for event in rest]
        if not known:
            groups, refused = [], list(topics[0])
        try:
            while groups:
                group = groups.pop(0)
                query = partial(
                    self._rpc.logs, self._market, number, number, topics=[group, *topics[1:]]
                )
                try:
                    raws, raw_end = await _patiently(query)
                except (RpcRejectedError, RpcTooLargeError, RpcTimeoutError) as error:
                    late = isinstance(error, RpcTimeoutError)
                    if (late and slow) or is_node_fault(error):
                        # Of two time-outs the second is the node's: it hangs. Or both are too
                        # many: then the next round begins with that.
                        self._large[number] = (*refused, *group)
                        raise
                    slow = slow or late
                    if len(group) > 1:
                        groups += [[event] for event in group]
                    else:
                        refused += group
                    continue
                end = self._same(end, self._end(raw_end, number))
                self._progress()
                yield end, raws
            if refused:
                found = await _patiently(partial(self._rpc.block_transactions, number))
                end = self._same(end, self._end(found[0] if found else None, number))
                yield end, []
                async for raws in self._out_of_receipts(number, found[1] if found else (), refused):
                    self._progress()
                    yield end, raws
        except (RpcRejectedError, RpcTooLargeError):
            if known:
                raise
            raise why from None
        if number not in self._large:
            self._size.flooded()
        self._large[number] = tuple(refused)
        if len(self._large) > _REMEMBERED_LARGE:
            del self._large[next(iter(self._large))]

    async def _out_of_receipts(
        self, number: int, hashes: Sequence[str], events: Collection[str]
    ) -> AsyncIterator[list[RawLog]]:
        start, count = 0, _FIRST_RECEIPTS
        wanted = frozenset(events)
        while start < len(hashes):
            part = hashes[start : start + count]
            query = partial(self._rpc.receipt_logs, part, self._market, wanted)
            try:
                raws = await _patiently(query)
            except (RpcRejectedError, RpcTooLargeError, RpcTimeoutError) as error:
                if is_node_fault(error):
                    raise
                if len(part) > 1:
                    count = len(part) // 2
                    continue
                if isinstance(error, RpcTooLargeError):
                    text = f"{error}: raise max_logs_mib (DAM_MAX_LOGS_MIB)"
                    raise RpcTooLargeError(text) from None
                raise
            if raws is None:
                raise BlockUnknownError(
                    f"{self._rpc.host} lacks a receipt of block {number}: it was replaced, or "
                    "the node is still busy with it"
                )
            start += len(part)
            count = min(_MOST_RECEIPTS, len(part) + 1)
            if len(raws) > _SLICE_LOGS:
                # A node that is asked for one at a time caps each answer, not all together.
                count = max(1, len(part) * _SLICE_LOGS // len(raws))
            yield raws

    def _same(self, before: BlockRef | None, here: BlockRef) -> BlockRef:
        if before is not None and before.hash != here.hash:
            raise BlockUnknownError(f"{self._rpc.host} has no block {here.number} that stays")
        return here

    async def _checked(
        self, raws: list[RawLog], first: int, end: BlockRef, canonical: bool
    ) -> list[Placed]:
        """Logs of blocks ``first`` to ``end``, in their places, of blocks that are on the chain."""
        placed = place(raws, self._market, first, end.number)
        hashes = {number: block_hash for number, block_hash, _, _ in placed}
        await self._check_hashes(hashes, end, canonical)
        return placed

    def _placed(self, raws: list[RawLog], number: int, end: BlockRef) -> list[Placed]:
        placed = place(raws, self._market, number, number)
        if any(block_hash != end.hash for _, block_hash, _, _ in placed):
            raise RpcBadReplyError(f"logs of two blocks {number}: one was replaced")
        return placed

    # ------------------------------------------------------------------------------- blocks

    def _end(self, raw: RawBlock | None, number: int) -> BlockRef:
        found = block_ref(self._rpc, raw and msgspec.structs.asdict(raw), str(number))
        if found.number != number:
            raise RpcBadReplyError(f"block {number}: {self._rpc.host} gave block {found.number}")
        return found

    async def _check_hashes(
        self, hashes: Mapping[int, bytes], end: BlockRef, canonical: bool
    ) -> None:
        expected = {**hashes, end.number: end.hash}
        if hashes.get(end.number, end.hash) != end.hash:
            raise RpcBadReplyError(f"logs of two blocks {end.number}: one was replaced")
        if not canonical:
            return
        for block in await read_blocks(self._rpc, sorted(expected)):
            if expected[block.number] != block.hash:
                raise RpcBadReplyError(f"block {block.number} was replaced while it was read")


async def _patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """Asks again, after a pause, where a node is away: else one failure in a hundred slices would
    have all of them read again, and so on.
    """
    for pause in _SLICE_PAUSES_SECONDS:
        try:
            return await ask()
        except RpcUnavailableError as error:
            wish = error.retry_after or 0.0
        await asyncio.sleep(min(_MOST_SLICE_PAUSE_SECONDS, max(pause, wish)))
    return await ask()


def topics_of(events: Collection[str] | None) -> list[str]:
    """First topics of the events of these names; None: of all."""
    return [topic for name, topic in TOPICS.items() if events is None or name in events]


def block_ref(rpc: Rpc, raw: object, tag: str) -> BlockRef:
    """A block's header as a node wrote it.

    Raises:
        BlockUnknownError: It is None.
        RpcBadReplyError: It is none.
    """
    if raw is None:
        raise BlockUnknownError(f"{rpc.host} has no block {tag}")
    if not isinstance(raw, dict):
        raise RpcBadReplyError(f"block {tag}: not an object")
    return BlockRef(
        quantity(raw.get("number"), f"block {tag}"),
        hex_data(raw.get("hash"), f"block {tag}", 32),
        quantity(raw.get("timestamp"), f"block {tag}"),
    )


async def read_blocks(rpc: Rpc, numbers: Sequence[int]) -> list[BlockRef]:
    """See `client.Market.blocks`."""
    asked = [("eth_getBlockByNumber", [hex(number), False]) for number in numbers]
    raws = await rpc.batch(asked)
    if None in raws:
        raws = await rpc.batch(asked)  # see `JsonRpc.block`
    found = [block_ref(rpc, raw, str(n)) for raw, n in zip(raws, numbers, strict=True)]
    if [block.number for block in found] != list(numbers):
        raise RpcBadReplyError(f"{rpc.host} gave other blocks than asked for")
    return found
