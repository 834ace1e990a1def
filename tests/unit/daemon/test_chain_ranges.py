"""In which ranges the chain is read: no gap, and late logs are found; depth may be a tag."""

from __future__ import annotations

import os
from typing import Any

import pytest

from dam.errors import RpcError
from dam.market.log_reader import BlockPage
from dam.roles.seller.store_builder import BuiltStore
from dam.testing.pages import LogPage
from dam.types import BlockRef, Purchase, StoreVersion
from tests.unit.helpers.chain_reader import purchases, read
from tests.unit.helpers.world import OTHER_BUYER, Daemon, World


class Pages:
    """Between the reader and the chain: what was asked for, and logs that are left out."""

    def __init__(self, world: World) -> None:
        self._whole = world.chain.page
        self.asked: list[tuple[int, int]] = []
        self.hidden: list[type] = []
        self.most = 10**9
        """Blocks that the node gives at once."""
        world.chain.page = self  # type: ignore[assignment]

    async def __call__(self, first: int, last: int, *, canonical: bool = False) -> LogPage:
        self.asked.append((first, last))
        page = await self._whole(first, min(last, first + self.most - 1), canonical=canonical)
        logs = [log for log in page.logs if not isinstance(log, tuple(self.hidden))]
        return LogPage(logs, page.end)


async def test_a_log_that_comes_late_is_told(world: World, built: BuiltStore) -> None:
    """F26."""
    daemon = world.daemon
    await read(daemon)
    pages = Pages(world)
    pages.hidden = [Purchase]
    world.buy(built, "coupon")
    world.chain.mine(3)
    await read(daemon)
    assert not daemon.events("log_was_missing")
    pages.hidden = []
    world.chain.mine()
    await read(daemon)
    [line] = daemon.events("log_was_missing")
    [purchase] = purchases(daemon)
    assert (line["level"], line["kind"]) == ("error", "purchases")
    assert (line["block"], line["log_index"]) == (purchase.at.block.number, purchase.at.log_index)
    assert line["logs"] == 1
    assert daemon.journal("log_was_missing")
    world.chain.mine()
    await read(daemon)
    assert len(daemon.events("log_was_missing")) == 1


@pytest.mark.parametrize("busy", [False, True])
async def test_what_is_new_does_not_wait_until_the_last_blocks_are_read_once_more(
    world: World, built: BuiltStore, busy: bool
) -> None:
    """R1: a flood among them takes as long as it took the first time; but no flood puts it off."""
    daemon = world.daemon
    pages = Pages(world)
    world.chain.mine(60)
    world.buy(built, "coupon")
    world.chain.mine()
    while not purchases(daemon):
        if busy:
            world.chain.publish(OTHER_BUYER, os.urandom(32), bytes(32))
        world.chain.mine()
        await daemon.reader.advance()
    back = [first for first, last in pages.asked if last - first > 16]
    assert not back
    for _ in range(9):
        if busy:
            world.chain.publish(OTHER_BUYER, os.urandom(32), bytes(32))
        world.chain.mine()
        await daemon.reader.advance()
    assert sum(first == 1 and last > 60 for first, last in pages.asked) == 1


async def test_a_flooded_block_is_told_of_once(world: World) -> None:
    daemon = world.daemon
    await read(daemon)
    world.chain.publish(OTHER_BUYER, bytes(32), bytes(32))
    world.chain.mine()
    flooded, whole = world.chain.height, world.chain.page

    async def large(first: int, last: int, *, canonical: bool = False) -> Any:
        """As `market.log_reader` ends a page before a large block, and gives that one alone."""
        if first == flooded:
            page = await whole(first, first, canonical=canonical)
            return BlockPage(page.rows, page.end)
        stop = flooded - 1 if first < flooded <= last else last
        return await whole(first, stop, canonical=canonical)

    world.chain.page = large  # type: ignore[method-assign]
    for _ in range(40):
        world.chain.mine()
        await read(daemon)
    [line] = daemon.events("large_block")
    assert (line["level"], line["block"], line["logs"]) == ("warning", flooded, 1)


async def test_many_logs_that_come_late_are_told_in_one_line(world: World) -> None:
    """R1: a node left a whole flood out; a line for each would fill the journal, and the disk."""
    daemon = world.daemon
    await read(daemon)
    pages = Pages(world)
    pages.hidden = [StoreVersion]
    for number in range(2000):
        world.chain.publish(OTHER_BUYER, number.to_bytes(32, "big"), bytes(32))
    world.chain.mine(3)
    await read(daemon)
    pages.hidden = []
    world.chain.mine()
    await read(daemon)
    [line] = daemon.events("log_was_missing")
    assert (line["kind"], line["log_index"], line["logs"]) == ("store_versions", 0, 2000)
    assert len(daemon.journal("log_was_missing")) == 1


@pytest.mark.parametrize("quick", [False, True])
async def test_the_last_blocks_are_read_once_more(
    world: World, built: BuiltStore, quick: bool
) -> None:
    """F26: left out for longer than the overlap; also where a block comes with every look."""
    daemon = world.daemon
    await read(daemon)
    pages = Pages(world)
    pages.hidden = [Purchase]
    world.buy(built, "coupon")
    for _ in range(20):
        world.chain.mine()
        await read(daemon)
    pages.hidden = []
    assert not purchases(daemon)
    for _ in range(32):
        world.chain.mine()
        await read(daemon)
        if not quick:
            await read(daemon)
    assert len(purchases(daemon)) == 1
    assert len(daemon.events("log_was_missing")) == 1


async def test_a_look_back_that_fails_holds_nothing_up(world: World, built: BuiltStore) -> None:
    daemon = world.daemon
    world.chain.mine(60)
    await read(daemon)
    whole = world.chain.page

    async def forgetful(first: int, last: int, *, canonical: bool = False) -> LogPage:
        if last - first > 30:
            raise RpcError("no such old blocks")
        return await whole(first, last, canonical=canonical)

    world.chain.page = forgetful  # type: ignore[method-assign]
    world.buy(built, "coupon")
    for _ in range(34):
        world.chain.mine()
        await read(daemon)
    assert len(purchases(daemon)) == 1
    assert daemon.events("recheck_failed")


@pytest.mark.parametrize("most", [1, 3, 1000])
async def test_ranges_leave_no_gap(world: World, built: BuiltStore, most: int) -> None:
    """Whatever the node gives at once, and whatever is on its way meanwhile."""
    for copy in range(12):
        world.buy(built, "coupon", copy)
        world.chain.mine(7)
    daemon = world.daemon
    pages = Pages(world)
    pages.most = most
    await read(daemon)
    world.chain.mine(5)
    await read(daemon)
    assert [p.copy for p in purchases(daemon)] == list(range(12))
    reached = 0
    for first, last in pages.asked:
        assert first <= reached + 1
        reached = max(reached, min(last, first + most - 1))
    assert not daemon.events("log_was_missing")


async def test_a_node_without_progress_is_an_error(world: World, built: BuiltStore) -> None:
    daemon = world.daemon
    await read(daemon)
    start = daemon.ledger.cursor()
    assert start is not None
    whole = world.chain.page

    async def stuck(first: int, last: int, *, canonical: bool = False) -> LogPage:
        return await whole(min(first, start.number), start.number, canonical=canonical)

    world.chain.page = stuck  # type: ignore[method-assign]
    world.chain.mine(5)
    with pytest.raises(RpcError):
        await daemon.reader.advance()


async def test_a_range_fetched_ahead_of_a_reorganisation_is_not_saved(
    world: World, built: BuiltStore
) -> None:
    """The chain changes while the next range is on its way."""
    daemon = world.daemon
    for copy in range(30):
        world.buy(built, "coupon", copy)
        world.chain.mine(10)
    whole, turned = world.chain.page, False

    async def racing(first: int, last: int, *, canonical: bool = False) -> LogPage:
        nonlocal turned
        page = await whole(first, last, canonical=canonical)
        if last > 150 and not turned:
            turned = True
            world.chain.queued += world.chain.reorganise(world.chain.height - 100)
            world.chain.mine(5)
        return page

    world.chain.page = racing  # type: ignore[method-assign]
    await read(daemon)
    await read(daemon)
    for purchase in purchases(daemon):
        assert purchase.at.block.hash == (await world.chain.block(purchase.at.block.number)).hash
    assert sorted(p.copy for p in purchases(daemon)) == list(range(30))


@pytest.mark.parametrize(("tag", "behind"), [("safe", 32), ("finalized", 64)])
async def test_a_tag_as_depth(world: World, built: BuiltStore, tag: Any, behind: int) -> None:
    daemon = world.daemon
    daemon.reader._confirmations = tag
    world.chain.mine(100)
    await read(daemon)
    cursor = daemon.ledger.cursor()
    assert cursor is not None
    assert cursor.number == world.chain.height - behind


async def test_a_tag_above_the_head_is_a_node_that_lags(world: World, built: BuiltStore) -> None:
    daemon = world.daemon
    daemon.reader._confirmations = "safe"
    world.chain.mine(50)
    final = await world.chain.head("safe")
    behind = await world.chain.block(5)

    async def head(depth: int | str = 0) -> BlockRef:
        return final if depth == "safe" else behind

    world.chain.head = head  # type: ignore[method-assign]
    with pytest.raises(RpcError, match="lags"):
        await daemon.reader.advance()


async def test_a_stale_head_is_not_told_on(world: World, built: BuiltStore) -> None:
    """F22: what decides by the head is not sent back in time, by a block or two."""
    daemon = world.daemon
    world.chain.mine(10)
    await read(daemon)
    newest = await world.chain.head()
    stale = await world.chain.block(newest.number - 2)

    async def old_head(depth: int | str = 0) -> BlockRef:
        return stale

    world.chain.head = old_head  # type: ignore[method-assign]
    assert (await daemon.reader.advance()).head == newest


async def test_ranges_follow_the_density_of_the_logs(world: World, built: BuiltStore) -> None:
    reader = world.daemon.reader
    reader._span = 100
    reader._choose_span(20_000, 100)
    assert reader._span == 50
    reader._choose_span(0, 50)
    assert reader._span == 200
    reader._choose_span(5_000, 200)
    assert reader._span == 400
    reader._choose_span(10**9, 1)
    assert reader._span == 1


async def test_indexes_by_sale_are_there_once_it_has_caught_up(
    world: World, built: BuiltStore
) -> None:
    def indexes(daemon: Daemon) -> set[str]:
        rows = daemon.ledger.db.execute("SELECT name FROM sqlite_schema WHERE type = 'index'")
        return {row["name"] for row in rows if row["name"].endswith("_by_copy")}

    daemon = world.daemon
    whole = indexes(daemon)
    assert len(whole) == 4
    world.chain.mine(300)
    daemon.reader._range = 16
    await daemon.reader.advance()
    assert not indexes(daemon), "a new ledger gathers first"
    daemon.restart()
    assert indexes(daemon) == whole, "a kill in the middle is mended at the next start"
    daemon.restart()
    await read(daemon)
    assert indexes(daemon) == whole
    await read(world.deliverers[1])
    assert indexes(world.deliverers[1]) == whole


async def test_the_collector_runs_again_after_catching_up(world: World, built: BuiltStore) -> None:
    import gc

    world.chain.mine(200)
    await read(world.daemon)
    assert gc.isenabled()
    world.chain.page = None  # type: ignore[assignment]
    world.chain.mine(200)
    with pytest.raises(TypeError):
        await read(world.daemon)
    assert gc.isenabled()
