"""Ranges and blocks that a node finds too large: each is read, in a bounded number of requests."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from dam.crypto.hashing import checksum
from dam.errors import RpcError
from dam.ethereum.node_errors import (
    RpcBadReplyError,
    RpcRejectedError,
    RpcTimeoutError,
    RpcTooLargeError,
    RpcUnavailableError,
)
from dam.ethereum.rpc import RawBlock, RawLog, Topics
from dam.keystore.key_files import KeyRing
from dam.market import log_reader
from dam.market.client import BlockUnknownError, Market
from dam.market.log_decoder import KEPT_TOPICS, TOPICS
from dam.market.log_rows import TABLES, Rows
from dam.types import DelivererRegistered, OtherLog
from tests.unit.helpers.capped_node import CappedNode, many, market_of
from tests.unit.helpers.raw_logs import EVENTS, MARKET, log


async def read(market: Market, first: int, last: int) -> tuple[Rows, list[int]]:
    """All rows, and where each page ended."""
    rows, ends = Rows(), []
    while first <= last:
        page = await market.page(first, last, canonical=True)
        rows.extend(page.rows)
        ends.append(page.end.number)
        first = page.end.number + 1
    return rows, ends


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(log_reader.asyncio, "sleep", sleep)
    return slept


@pytest.mark.parametrize("event", sorted(set(EVENTS) - {"ItemPurchased"}))
async def test_a_block_full_of_any_event_is_read(event: str) -> None:
    """R1: whatever it is full of, kept or not, the purchase is found, and all that is kept."""
    raws = [*many(event, 1500), log("ItemPurchased", 1500), *many(event, 700, first=1501)]
    node = CappedNode(*raws, log("SaleSettled", 0, block=7), most=1000, most_receipts=1000)
    rows, ends = await read(market_of(node), 1, 9)
    assert len(rows.purchases) == 1
    kept = TOPICS[event] in KEPT_TOPICS
    assert rows.count == (2202 if kept else 2)
    if kept:
        tables = [name for name in TABLES if name != "purchases"]
        found = [row for name in tables for row in getattr(rows, name)]
        assert sorted(row[2] for row in found if row[0] == 5) == [
            *range(1500), *range(1501, 2201),
        ]  # fmt: skip
        assert all(
            getattr(rows, name) == sorted(getattr(rows, name), key=lambda row: (row[0], row[2]))
            for name in tables
        )
    else:
        assert node.receipts == []
        assert node.asked == [(1, 9)]
    assert ends[-1] == 9
    # In slices: never all of it at once.
    assert node.gave <= 1000


async def test_what_no_ledger_keeps_is_never_asked_for() -> None:
    node = CappedNode(*many("DelivererKeyRotated", 48_000), *many("Evidence", 2, 6), most=1)
    rows, _ = await read(market_of(node), 1, 9)
    assert (rows.count, node.asked, node.receipts, node.gave) == (0, [(1, 9)], [], 0)


async def test_a_large_block_costs_few_requests_and_is_remembered() -> None:
    """What stands around it is read in large ranges, before and after, and once more later."""
    node = CappedNode(*many("StoreUpdated", 5000, 5000), most=1000, most_receipts=1000)
    market = market_of(node)
    await read(market, 1, 60_000)
    assert len(node.asked) < 60
    assert node.receipts
    node.asked.clear()
    rows, ends = await read(market, 4900, 5100)
    assert (rows.count, ends) == (5000, [4999, 5000, 5100])
    assert len(node.asked) == 3, "what was too many is not asked for in vain again"


async def test_a_slice_has_few_logs_even_where_the_node_would_give_more() -> None:
    """One that takes a call at a time caps each receipt, and not all that are asked for at once."""
    node = CappedNode(*many("StoreUpdated", 60_000), most=100)
    node.per_transaction = 2000
    rows, _ = await read(market_of(node), 5, 5)
    assert rows.count == 60_000
    assert node.receipts[0] == 8
    assert max(node.receipts[1:]) <= 6


async def test_a_receipt_over_the_cap_is_asked_for_alone_and_told() -> None:
    node = CappedNode(*many("StoreUpdated", 2000), most=100, most_receipts=250)
    rows, _ = await read(market_of(node), 5, 5)
    assert rows.count == 2000
    assert node.receipts.count(1) >= 5
    node.most_receipts = 199
    with pytest.raises(RpcTooLargeError, match="max_logs_mib"):
        await read(market_of(node), 5, 5)


async def test_a_large_block_that_is_another_after_a_reorganisation_is_read_whole() -> None:
    """What was too many then says nothing of what is too many now."""
    node = CappedNode(*many("StoreUpdated", 2000), most=1000, most_receipts=1000)
    market = market_of(node)
    await read(market, 5, 5)
    node.blocks[5] = [*many("SaleSettled", 1500), *many("StoreUpdated", 3, first=1500)]
    rows, _ = await read(market, 5, 5)
    assert (len(rows.sale_events), len(rows.store_versions)) == (1500, 3)
    node.blocks[5] = many("SaleRefunded", 2)
    assert len((await read(market, 5, 5))[0].sale_events) == 2


async def test_a_node_that_is_away_now_and_then_does_not_have_all_slices_read_again(
    pauses: list[float],
) -> None:
    """One failure in three requests: a block of forty slices would never be read to its end."""
    node = CappedNode(*many("StoreUpdated", 8000), most=100, most_receipts=200)
    whole, asked = node.receipt_logs, 0

    async def busy(*arguments: Any) -> list[RawLog] | None:
        nonlocal asked
        asked += 1
        if asked % 3 == 0:
            raise RpcUnavailableError("HTTP 429", status=429, retry_after=1000.0 * (asked == 3))
        return await whole(*arguments)

    node.receipt_logs = busy  # type: ignore[method-assign]
    rows, _ = await read(market_of(node), 5, 5)
    assert rows.count == 8000
    assert asked < 130
    assert max(pauses) == 30.0

    async def gone(*_: Any) -> None:
        raise RpcUnavailableError("nothing answers")

    node.receipt_logs = gone  # type: ignore[method-assign]
    pauses.clear()
    with pytest.raises(RpcUnavailableError):
        await read(market_of(node), 5, 5)
    assert pauses == [1.0, 2.0, 4.0, 8.0]


async def test_receipts_that_take_too_long_are_asked_for_in_smaller_numbers() -> None:
    node = CappedNode(*many("StoreUpdated", 4000), most=100)
    whole = node.receipt_logs

    async def slow(hashes: Sequence[str], *rest: Any) -> list[RawLog] | None:
        if len(hashes) > 2:
            raise RpcTimeoutError("took over 20 s")
        return await whole(hashes, *rest)

    node.receipt_logs = slow  # type: ignore[method-assign]
    assert (await read(market_of(node), 5, 5))[0].count == 4000


async def test_a_block_that_takes_too_long_is_read_in_slices_the_next_time() -> None:
    """A slow line gives no answer of 24 MB within the deadline, ever."""
    node = CappedNode(*many("StoreUpdated", 4000), log("SaleSettled", 4000))
    whole = node.logs

    async def slow(
        address: str, first: int, last: int, *, topics: Topics | None = None
    ) -> tuple[list[RawLog], RawBlock | None]:
        found = await whole(address, first, last, topics=topics)
        if len(found[0]) > 1000:
            raise RpcTimeoutError("took over 20 s")
        return found

    node.logs = slow  # type: ignore[method-assign]
    market = market_of(node)
    tries = 0
    first, found = 1, 0
    while first <= 9 and tries < 12:
        tries += 1
        try:
            page = await market.page(first, 9, canonical=True)
        except RpcTimeoutError:
            continue
        found += page.rows.count
        first = page.end.number + 1
    assert (first, found) == (10, 4001)


async def test_two_events_that_each_take_too_long_are_read_in_the_end() -> None:
    node = CappedNode(*many("StoreUpdated", 2000), *many("SaleSettled", 2000, first=2000))
    node.refusal = lambda _: RpcTimeoutError("took over 20 s")
    node.most = 1000
    market = market_of(node)
    for _ in range(4):
        with contextlib.suppress(RpcTimeoutError):
            page = await market.page(5, 5)
            break
    assert (len(page.rows.store_versions), len(page.rows.sale_events)) == (2000, 2000)


async def test_no_filter_is_ever_empty() -> None:
    """That would be all events, to most nodes."""
    node = CappedNode(*many("StoreUpdated", 20))
    node.refusal = lambda _: RpcRejectedError("eth_getLogs", -32603, "internal error")
    filters: list[Topics | None] = []

    def refuses(_first: int, _last: int, topics: Topics | None) -> bool:
        filters.append(topics)
        return True

    node.refuses = refuses
    market = market_of(node)
    for _ in range(2):
        assert (await read(market, 5, 5))[0].count == 20
    assert filters
    assert all(topics and topics[0] for topics in filters)


@pytest.mark.parametrize(("status", "shrinks"), [(504, True), (None, True), (429, False)])
async def test_a_gateway_that_gives_up_is_asked_for_less_the_second_time(
    status: int | None, *, shrinks: bool
) -> None:
    """What a proxy says of a range that takes too long is what it says of a node that is down."""
    node = CappedNode(log("SaleSettled", 0, block=7))
    node.refusal = lambda _: RpcUnavailableError("HTTP 504 (Gateway Timeout)", status=status)
    node.refuses = lambda first, last, _: last - first >= 1000
    market = market_of(node)
    for _ in range(6):
        with contextlib.suppress(RpcUnavailableError):
            await market.page(1, 9999)
    assert (node.asked[0], node.asked[1]) == ((1, 9999), (1, 9999))
    assert (node.asked[-1][1] < 1001) == shrinks


async def test_each_slice_is_told_as_progress() -> None:
    """A watchdog that hears of rounds alone would end a daemon in the midst of a flood."""
    told: list[int] = []
    node = CappedNode(*many("StoreUpdated", 8000), most=100, most_receipts=200)
    market = market_of(node, progress=lambda: told.append(len(node.receipts)))
    await market.page(5, 5)
    assert len(told) > 40
    assert all(later - told[i] < 8 for i, later in enumerate(told[1:]))


async def test_a_node_that_hangs_is_not_asked_for_every_event() -> None:
    node = CappedNode(*many("StoreUpdated", 3))
    node.refusal, node.refuses = lambda _: RpcTimeoutError("took over 20 s"), lambda *_: True
    market = market_of(node)
    for _ in range(2):
        with pytest.raises(RpcTimeoutError):
            await market.page(5, 5)
    assert len(node.asked) <= 1 + 2


async def test_a_block_that_is_replaced_while_it_is_read_is_not_taken() -> None:
    node = CappedNode(*many("StoreUpdated", 2000), most=100)
    headers = iter(["0x" + "05" * 32, "0x" + "06" * 32])
    whole = node.block_transactions

    async def other(number: int) -> tuple[RawBlock, tuple[str, ...]] | None:
        _, hashes = await whole(number) or (None, ())
        return RawBlock(hex(number), next(headers), "0x1"), hashes

    node.block_transactions = other  # type: ignore[method-assign]
    market = market_of(node)
    assert (await read(market, 5, 5))[0].count == 2000
    with pytest.raises(BlockUnknownError):
        await read(market, 5, 5)

    async def missing(*_: Any) -> None:
        return None

    node.block_transactions = whole  # type: ignore[method-assign]
    node.receipt_logs = missing  # type: ignore[method-assign]
    with pytest.raises(BlockUnknownError, match="receipt"):
        await read(market, 5, 5)


async def test_a_forged_log_in_a_receipt_is_found() -> None:
    raws = many("StoreUpdated", 2000)
    for change in ({"block_hash": "0x" + "09" * 32}, {"address": "0x" + "bb" * 20}):
        raws[1234] = msgspec.structs.replace(raws[0], log_index="0x4d2", **change)
        node = CappedNode(*raws, most=100)
        with pytest.raises(RpcBadReplyError):
            await read(market_of(node), 5, 5)


async def test_receipts_of_another_block_are_not_taken() -> None:
    """All logs of a slice may agree with each other, and still be of a block that is gone."""
    raws = many("StoreUpdated", 2000)
    whole = [msgspec.structs.replace(raw, block_hash="0x" + "09" * 32) for raw in raws]
    node = CappedNode(*whole, most=100)
    with pytest.raises(RpcBadReplyError, match="replaced"):
        await read(market_of(node), 5, 5)


async def test_rows_that_come_event_by_event_stand_in_the_order_of_the_chain() -> None:
    events = ("StoreUpdated", "StoreCreated", "SaleSettled", "DisputeOpened", "SaleRefunded")
    raws = [log(events[index % 5], index) for index in range(1000)]
    node = CappedNode(*raws, most=300)
    rows, _ = await read(market_of(node), 5, 5)
    assert not node.receipts
    assert [row[2] for row in rows.store_versions] == [n for n in range(1000) if n % 5 < 2]
    assert [row[2] for row in rows.sale_events] == [n for n in range(1000) if n % 5 >= 2]


async def test_a_command_reads_all_events_of_a_large_block() -> None:
    raws = [log("DelivererOwnerSet", 0), log("DelivererStaked", 1)]
    raws += [*many("DelivererKeyRotated", 1500, first=2), *many("Evidence", 1500, first=1502)]
    node = CappedNode(*raws, most=1000)
    found = await market_of(node).logs(1, 9)
    assert [record.at.log_index for record in found] == list(range(3002))
    assert sum(isinstance(record, OtherLog) for record in found) == 1501
    assert isinstance(found[1], DelivererRegistered)


async def test_a_command_asks_for_the_events_that_it_needs() -> None:
    node = CappedNode(*many("DelivererKeyRotated", 48_000), *many("SaleRated", 2, 6), most=10)
    found = await market_of(node).logs(1, 9, events=("SaleRated", "StoreCreated"))
    assert [record.at.block.number for record in found] == [6, 6]
    assert node.asked == [(1, 9)]


async def test_one_deliverers_key_is_found_among_any_number_of_others() -> None:
    """The last one that shows that the operator has it; whatever else it announced."""
    operator, ring = checksum(b"\x0d" * 20), KeyRing.generate().rotated()
    place = 31337, checksum(bytes.fromhex(MARKET[2:])), operator
    new, old = ring.keys
    announced = [
        (old, old.prove_possession(*place)),
        (new, new.prove_possession(*place)),
        (old, new.prove_possession(*place)),
        (old, old.prove_possession(1, *place[1:])),
    ]
    ours = [
        log(
            "DelivererKeyRotated",
            index,
            6,
            operator=operator,
            key=pair.announced,
            possession=[possession[:32], possession[32:]],
        )
        for index, (pair, possession) in enumerate(announced)
    ]
    node = CappedNode(*many("DelivererKeyRotated", 3000), *ours, most=10)
    market = market_of(node)
    assert await market.announced_key(operator, 1, 9) == (new.public, 9)
    assert node.asked == [(1, 9)]
    node = CappedNode(*ours[2:], most=10)
    assert await market_of(node).announced_key(operator, 1, 9) == (None, 9)


# --------------------------------------------------------------------------- words nobody knows


def unknown(_: int) -> RpcError:
    return RpcRejectedError("eth_getLogs", -32000, "the moon is in the wrong house")


async def test_unknown_words_over_many_blocks_shrink_the_range_with_pauses(
    pauses: list[float],
) -> None:
    """R4: a node that takes a thousand blocks and says so in a language of its own."""
    node = CappedNode()
    node.refusal, node.refuses = unknown, lambda first, last, _: last - first >= 1000
    await read(market_of(node), 1, 100_000)
    refused = sum(last - first >= 1000 for first, last in node.asked)
    assert len(pauses) == refused
    assert min(pauses) >= 0.2
    assert refused <= 30
    assert len(node.asked) <= 100_000 // 1000 * 1.8


async def test_unknown_words_for_a_moment_cost_a_few_requests(pauses: list[float]) -> None:
    """R4: thirteen unpaused halvings, and then 177 requests where 5 do."""
    node = CappedNode()
    left = 3

    def moody(*_: Any) -> bool:
        nonlocal left
        left -= 1
        return left >= 0

    node.refusal, node.refuses = unknown, moody
    await read(market_of(node), 1, 50_000)
    assert len(pauses) == 3
    assert len(node.asked) <= 30


async def test_unknown_words_for_everything_end_soon_and_change_nothing(
    pauses: list[float],
) -> None:
    """Then size was not the reason: the next try asks for as much as before."""
    node = CappedNode(*many("StoreUpdated", 3))
    node.refusal, node.refuses = unknown, lambda *_: True

    async def receipts(*_: Any) -> None:
        raise unknown(0)

    whole, node.receipt_logs = node.receipt_logs, receipts  # type: ignore[method-assign]
    market = market_of(node)
    with pytest.raises(RpcRejectedError, match="wrong house"):
        await read(market, 5, 50_000)
    assert len(node.asked) <= 8
    assert len(pauses) == len(node.asked) - 1
    node.asked.clear()
    node.refuses = lambda *_: False
    node.receipt_logs = whole  # type: ignore[method-assign]
    await read(market, 5, 50_000)
    assert len(node.asked) == 5


async def test_unknown_words_about_one_block_do_not_stop_a_reader() -> None:
    node = CappedNode(*many("StoreUpdated", 3000), most=1000)
    node.refusal = unknown
    rows, ends = await read(market_of(node), 1, 9)
    assert (rows.count, ends[-1]) == (3000, 9)


async def test_a_fault_of_the_node_is_no_reason_to_ask_for_less(pauses: list[float]) -> None:
    node = CappedNode()
    node.refusal = lambda _: RpcRejectedError("eth_getLogs", -32000, "header not found")
    node.refuses = lambda *_: True
    with pytest.raises(RpcRejectedError):
        await read(market_of(node), 1, 5000)
    assert len(node.asked) == 1
    assert not pauses
