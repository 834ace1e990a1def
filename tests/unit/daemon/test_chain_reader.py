"""The reader: every log once, through restarts, reorganisations and nodes that lag."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dam.daemon.chain_reader import ChainReader
from dam.errors import RpcError
from dam.ledger.ledger import KEPT_BLOCKS, DeepReorganisation
from dam.market.client import BlockUnknownError
from dam.roles.seller.store_builder import BuiltStore
from dam.testing.pages import LogPage
from dam.types import BlockRef, Clock
from tests.unit.helpers.chain_reader import purchases, read
from tests.unit.helpers.world import BUYER, OTHER_BUYER, World


async def test_reads_in_ranges_from_the_first_block(world: World, built: BuiltStore) -> None:
    for copy in range(5):
        world.buy(built, "coupon", copy)
        world.chain.mine(40)
    daemon = world.daemon
    daemon.reader._range = 30
    await read(daemon)
    assert [p.copy for p in purchases(daemon)] == [0, 1, 2, 3, 4]
    assert daemon.ledger.cursor() == await world.chain.block(world.chain.height - 2)


async def test_takes_each_log_once(world: World, built: BuiltStore) -> None:
    world.buy(built, "coupon")
    world.chain.mine(3)
    daemon = world.daemon
    for _ in range(5):
        await read(daemon)
        world.chain.mine()  # each read overlaps the last one
    daemon.restart()
    await read(daemon)
    assert len(purchases(daemon)) == 1
    [count] = daemon.ledger.db.execute("SELECT count(*) FROM store_versions").fetchone()
    assert count == 1


async def test_catches_a_log_that_the_node_left_out_once(world: World, built: BuiltStore) -> None:
    """F26: the overlap brings it."""
    daemon = world.daemon
    whole = world.chain.page

    async def lossy(first: int, last: int, *, canonical: bool = False) -> LogPage:
        page = await whole(first, last, canonical=canonical)
        return LogPage([], page.end)

    world.buy(built, "coupon")
    world.chain.mine(3)
    world.chain.page = lossy  # type: ignore[method-assign]
    await read(daemon)
    assert not purchases(daemon)
    world.chain.page = whole  # type: ignore[method-assign]
    world.chain.mine()
    await read(daemon)
    assert len(purchases(daemon)) == 1


@pytest.mark.parametrize("depth", [1, 2, 3, 8, 20])
async def test_rolls_back_to_the_common_ancestor(
    world: World, built: BuiltStore, depth: int
) -> None:
    """F11: the purchase falls out, and comes back in another block."""
    daemon = world.daemon
    world.chain.mine(20)
    await read(daemon)
    world.buy(built, "coupon")
    world.chain.mine()
    for _ in range(20):
        world.chain.mine()
        await read(daemon)
    lost = world.chain.reorganise(depth + 0)
    world.chain.queued += lost
    world.chain.mine(4)
    await read(daemon)
    [now] = purchases(daemon)
    assert now.at.block.hash == (await world.chain.block(now.at.block.number)).hash
    cursor = daemon.ledger.cursor()
    assert cursor is not None
    assert cursor.hash == (await world.chain.block(cursor.number)).hash


async def test_the_clock_is_that_of_the_newest_block(world: World) -> None:
    """Asked once a block, and the contract's: on some rollups it counts other blocks."""
    daemon, chain = world.daemon, world.chain
    chain.block_offset = 5000
    chain.mine(5)
    asked: list[int] = []
    clock = chain.clock

    async def counted(head: BlockRef) -> Clock:
        asked.append(head.number)
        return await clock(head)

    chain.clock = counted  # type: ignore[method-assign]
    for _ in range(3):
        step = await daemon.reader.advance()
        assert step.head.number == chain.height
        assert step.clock == Clock(chain.height + 5000, step.head.timestamp)
    assert asked == [5]
    chain.pass_time(1000)
    chain.mine()
    assert (await daemon.reader.advance()).clock.time > step.clock.time + 1000
    assert asked == [5, 6]


async def test_a_clock_that_is_behind_is_as_a_head_that_is(world: World) -> None:
    """A chain that got shorter by less than the confirmations: time does not go back."""
    daemon, chain = world.daemon, world.chain
    chain.mine(9)
    chain.pass_time(500)
    chain.mine()
    before = await daemon.reader.advance()
    chain.reorganise(2, keep_length=False)
    after = await daemon.reader.advance()
    assert (after.head, after.clock) == (before.head, before.clock)
    chain.mine(3)
    assert (await daemon.reader.advance()).head.number == chain.height


async def test_orphaned_purchases_stay_marked(world: World, built: BuiltStore) -> None:
    daemon = world.daemon
    await read(daemon)
    world.buy(built, "coupon", buyer=BUYER)
    world.chain.mine(3)
    await read(daemon)
    world.chain.reorganise(3)
    world.buy(built, "coupon", buyer=OTHER_BUYER)
    world.chain.mine(3)
    await read(daemon)
    assert [p.buyer for p in purchases(daemon)] == [OTHER_BUYER]
    assert [p.buyer for p in purchases(daemon, orphaned=True)] == [BUYER]
    [note] = daemon.journal("reorganisation")
    assert note["orphaned"] == 1


async def test_a_purchase_comes_back_with_its_block(world: World, built: BuiltStore) -> None:
    """A reorganisation, and one back to the first branch."""
    daemon = world.daemon
    await read(daemon)
    world.buy(built, "coupon")
    world.chain.mine(3)
    await read(daemon)
    kept = list(world.chain._blocks)
    world.chain.reorganise(3)
    world.chain.mine(2)
    await read(daemon)
    assert not purchases(daemon)
    world.chain._blocks = kept
    world.chain._fork += 1
    world.chain.mine(4)
    await read(daemon)
    assert len(purchases(daemon)) == 1
    assert not purchases(daemon, orphaned=True)


async def test_a_store_version_falls_out_with_its_block(world: World, built: BuiltStore) -> None:
    daemon = world.daemon
    await read(daemon)
    await world.shop.add("coupon", price=4000)
    await world.shop.publish()
    world.chain.mine(3)
    await read(daemon)
    world.chain.reorganise(3)
    world.chain.mine(3)
    await read(daemon)
    rows = daemon.ledger.db.execute("SELECT digest FROM store_versions").fetchall()
    assert [row["digest"] for row in rows] == [built.digest]


async def test_halts_when_the_chain_changed_below_everything_kept(
    world: World, built: BuiltStore
) -> None:
    """F16."""
    daemon = world.daemon
    await read(daemon)
    world.chain.mine(20)
    await read(daemon)
    daemon.ledger.db.execute("DELETE FROM blocks WHERE number < 10")
    world.chain.reorganise(world.chain.height - 4)
    world.chain.mine(5)
    with pytest.raises(DeepReorganisation):
        await read(daemon)
    assert daemon.events("deep_reorganisation")[0]["level"] == "critical"


@pytest.mark.parametrize(
    ("depth", "halt_depth", "confirmations", "halts"),
    [(12, 9, 2, True), (12, 10, 2, False), (34, 64, "safe", False), (66, 64, "finalized", True)],
)
async def test_halts_at_a_depth_that_took_what_was_acted_on(
    world: World,
    built: BuiltStore,
    depth: int,
    halt_depth: int,
    confirmations: Any,
    halts: bool,
) -> None:
    """F16: ``depth`` blocks of the chain, so as many less those behind which the cursor stays."""
    daemon = world.daemon
    assert daemon.service is not None
    daemon.service._reader = daemon.reader = ChainReader(
        world.chain,
        daemon.ledger,
        log=daemon.reader._log,
        confirmations=confirmations,
        halt_depth=halt_depth,
    )
    world.chain.mine(70)
    await read(daemon)
    await daemon.tick()
    world.buy(built, "coupon")
    for _ in range(depth):
        world.chain.mine()
        await daemon.tick()
    [count] = daemon.ledger.db.execute("SELECT count(*) FROM seals").fetchone()
    assert count, "it was acted on"
    before = daemon.ledger.cursor()
    world.chain.reorganise(depth)
    world.chain.mine(3)
    if not halts:
        await read(daemon)
        assert daemon.events("reorganisation")
        return
    for _ in range(2):
        with pytest.raises(DeepReorganisation, match="halt_depth"):
            await daemon.reader.advance()
    assert daemon.ledger.cursor() == before, "a person must look"
    [first, _] = daemon.events("deep_reorganisation")
    assert (first["level"], first["parts_acted_on"]) == ("critical", 1)


async def test_a_deep_reorganisation_of_what_nobody_acted_on_is_followed(
    world: World, built: BuiltStore
) -> None:
    daemon = world.daemon
    daemon.reader._halt_depth = 5
    world.chain.mine(20)
    await read(daemon)
    world.chain.reorganise(12)
    world.chain.mine(3)
    await read(daemon)
    [line] = daemon.events("reorganisation")
    assert line["depth"] >= 10
    assert daemon.reader.stats.rollbacks == 1


async def test_a_node_behind_changes_nothing(world: World, built: BuiltStore) -> None:
    """F21, F22: a stale node says an older head."""
    daemon = world.daemon
    world.chain.mine(10)
    await read(daemon)
    before = daemon.ledger.cursor()
    assert before is not None
    stale = await world.chain.block(4)
    fresh = world.chain.head

    async def old_head() -> BlockRef:
        return stale

    async def old_block(number: int) -> BlockRef:
        if number > 4:
            raise BlockUnknownError(f"no block {number}")
        return await known(number)

    known, world.chain.block = world.chain.block, old_block  # type: ignore[method-assign]
    world.chain.head = old_head  # type: ignore[method-assign]
    with pytest.raises(BlockUnknownError, match=f"at block 4, and block {before.number} was read"):
        await daemon.reader.advance()
    assert daemon.ledger.cursor() == before
    world.chain.block = known  # type: ignore[method-assign]
    world.chain.head = fresh  # type: ignore[method-assign]
    await read(daemon)
    assert daemon.ledger.cursor() == before


async def test_a_chain_that_changes_while_it_is_read_saves_nothing(
    world: World, built: BuiltStore
) -> None:
    daemon = world.daemon
    await read(daemon)
    world.buy(built, "coupon")
    world.chain.mine(3)
    whole = world.chain.page

    async def racing(first: int, last: int, *, canonical: bool = False) -> LogPage:
        page = await whole(first, last, canonical=canonical)
        world.chain.reorganise(6)
        return page

    world.chain.page = racing  # type: ignore[method-assign]
    await daemon.reader.advance()
    world.chain.page = whole  # type: ignore[method-assign]
    assert not purchases(daemon)
    await read(daemon)
    assert not purchases(daemon)


async def test_a_log_of_another_branch_is_not_believed(world: World, built: BuiltStore) -> None:
    daemon = world.daemon
    await read(daemon)
    world.buy(built, "coupon")
    world.chain.mine(3)
    await read(daemon)
    whole = world.chain.page

    async def mixed(first: int, last: int, *, canonical: bool = False) -> LogPage:
        page = await whole(first, last, canonical=canonical)
        logs: list[Any] = []
        for log in page.logs:
            block = replace(log.at.block, hash=bytes(32))
            logs.append(replace(log, at=replace(log.at, block=block)))
        return LogPage(logs, page.end)

    world.chain.page = mixed  # type: ignore[method-assign]
    world.chain.mine()
    with pytest.raises(RpcError):
        await daemon.reader.advance()
    assert len(purchases(daemon)) == 1


async def test_a_node_without_our_block_is_asked_again(world: World, built: BuiltStore) -> None:
    daemon = world.daemon
    await read(daemon)
    world.chain.mine(2)

    async def forgetful(number: int) -> BlockRef:
        raise BlockUnknownError("no such block")

    known, world.chain.block = world.chain.block, forgetful  # type: ignore[method-assign]
    with pytest.raises(RpcError):
        await daemon.reader.advance()
    world.chain.block = known  # type: ignore[method-assign]
    await read(daemon)


async def test_keeps_a_bounded_number_of_hashes(world: World, built: BuiltStore) -> None:
    daemon = world.daemon
    for _ in range(KEPT_BLOCKS + 40):
        world.chain.mine()
        await read(daemon)
    assert len(daemon.ledger.known_blocks()) == KEPT_BLOCKS
