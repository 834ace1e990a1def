"""The watchdog: block 101, disputes, settling, and being away for a long time."""

from __future__ import annotations

import pytest

from dam.crypto.derivation import SellerSeed
from dam.crypto.hashing import keccak
from dam.crypto.sealing import open_fragment
from dam.roles.seller.store_builder import BuiltStore
from dam.testing.rules import NOWHERE
from dam.types import CopyId, DisputeOpened, FragmentDelivered, Status
from tests.unit.helpers.world import BUYER, SELLER, THIEF, Shop, WatchdogDaemon, World


async def deliverers_only(world: World, count: int, blocks: int = 6) -> None:
    await world.ticks(*world.deliverers[:count], blocks=blocks)


def by_seller(world: World, sold: CopyId, *, supplied: bool = False) -> list[FragmentDelivered]:
    return [
        log for log in world.chain.delivered(sold) if log.by == SELLER and log.supplied == supplied
    ]


async def to_block(world: World, watchdog: WatchdogDaemon, number: int) -> None:
    """Mines up to a block; the watchdog looks before it and at it."""
    world.chain.mine(number - 1 - world.chain.height)
    await watchdog.tick()
    world.chain.mine()
    await watchdog.tick()


async def test_delivers_what_is_missing_in_block_101(
    world: World, built: BuiltStore, watchdog: WatchdogDaemon
) -> None:
    """F77: nothing before, and not a block later than possible."""
    sold = world.buy(built, "code", 2)
    await deliverers_only(world, 1)
    bought = world.chain.height - 5
    await to_block(world, watchdog, bought + 99)
    assert not watchdog.ledger.db.execute("SELECT 1 FROM jobs").fetchall()
    world.chain.mine()
    await watchdog.tick()
    assert watchdog.outbox.live()
    world.chain.mine()
    late = by_seller(world, sold)
    assert {log.at.block.number for log in late} == {bought + 101}
    assert len(late) == 2
    for log in late:
        share = open_fragment(log.fragment, world.secrets[sold][log.index])
        assert keccak(share) == log.commitment
    # Both in one transaction.
    assert world.chain.mined(watchdog.address) == [(0, 1)]
    await world.ticks(watchdog, blocks=10)
    assert len(by_seller(world, sold)) == 2


async def test_leaves_alone_what_is_delivered(
    world: World, built: BuiltStore, watchdog: WatchdogDaemon
) -> None:
    sold = world.buy(built, "coupon")
    await world.ticks()
    await to_block(world, watchdog, world.chain.height + 101)
    assert not by_seller(world, sold)
    [sale] = watchdog.sales.in_state("serving")
    assert [job.kind for job in watchdog.outbox.of_purchase(sale.id)] == ["settle"]


async def test_a_deliverer_comes_first_in_the_same_block(
    world: World, built: BuiltStore, watchdog: WatchdogDaemon
) -> None:
    """F78: of two races for one part one is mined; the other one costs nothing more."""
    sold = world.buy(built, "coupon")
    world.chain.mine(3)
    bought = world.chain.height - 2
    late = world.deliverers[0]
    world.chain.accepts = lambda tx: tx.sender != watchdog.address
    await to_block(world, watchdog, bought + 101)
    assert watchdog.outbox.live()
    await world.ticks(late, watchdog, blocks=4)
    world.chain.accepts = lambda _: True
    await world.ticks(late, watchdog, blocks=12)
    indexes = sorted(log.index for log in world.chain.delivered(sold))
    assert indexes == [0, 1, 2]
    assert len(by_seller(world, sold)) == 2
    assert all(status == 1 for _, status in world.chain.mined(watchdog.address))


async def test_ignores_the_sales_of_others(
    world: World, built: BuiltStore, watchdog: WatchdogDaemon
) -> None:
    other = Shop(world, THIEF, world.folder / "other")
    await other.add("theirs")
    theirs = await other.publish()
    world.chain.mine()
    world.buy(theirs, "theirs")
    world.chain.mine(3)
    await to_block(world, watchdog, world.chain.height + 102)
    assert not watchdog.outbox.live()
    assert [sale.state for sale in watchdog.sales.in_state("not-mine")] == ["not-mine"]


async def test_after_500_blocks_away_it_says_what_is_lost(
    world: World, built: BuiltStore, watchdog: WatchdogDaemon
) -> None:
    """F80: one sale is beyond help, another one is complete and settled, a third one is saved."""
    complete = world.buy(built, "coupon", 0)
    await deliverers_only(world, 2, blocks=8)
    lost = world.buy(built, "code", 0)
    world.chain.mine(350)
    saved = world.buy(built, "code", 1)
    world.chain.mine(150)
    await watchdog.tick()
    await world.ticks(watchdog, blocks=8)
    assert len(by_seller(world, saved)) == 3
    notes = watchdog.journal("purchase_late")
    assert "0x" + lost.hex() in [note["sale"] for note in notes]
    assert not by_seller(world, lost)
    state = await world.chain.sale_state(complete)
    assert state.status is Status.SETTLED


async def test_supplies_every_part_in_a_dispute_and_settles_after_it(
    world: World, built: BuiltStore, watchdog: WatchdogDaemon
) -> None:
    sold = world.buy(built, "coupon")
    await world.ticks(*world.deliverers, watchdog)
    world.chain.queued.append(DisputeOpened(sold, BUYER, THIEF, bytes(32), NOWHERE))
    world.chain.mine()
    opened = world.chain.height
    await world.ticks(watchdog, blocks=8)
    supplied = by_seller(world, sold, supplied=True)
    assert sorted(log.index for log in supplied) == [0, 1, 2]
    for log in supplied:
        share = open_fragment(log.fragment, world.secrets[sold][log.index])
        assert keccak(share) == log.commitment
    arbitration = world.chain.deployment.windows.arbitration_blocks
    await to_block(world, watchdog, opened + arbitration - 1)
    assert (await world.chain.sale_state(sold)).status is Status.DISPUTED
    await world.ticks(watchdog, blocks=4)
    assert (await world.chain.sale_state(sold)).status is Status.SETTLED
    # One for the supply, one for the settlement, and none in vain.
    assert world.chain.mined(watchdog.address) == [(0, 1), (1, 1)]


@pytest.mark.parametrize("delivering", [2, 3])
async def test_settles_in_the_first_possible_block(
    world: World, built: BuiltStore, watchdog: WatchdogDaemon, delivering: int
) -> None:
    """With every part early; and with the gate at 101, where the watchdog fills the rest."""
    sold = world.buy(built, "coupon")
    world.chain.mine()
    bought = world.chain.height
    await world.ticks(*world.deliverers[:delivering], watchdog)
    last = max(log.at.block.number for log in world.chain.delivered(sold))
    while world.chain.height < bought + 103:
        world.chain.mine()
        await watchdog.tick()
    gate = last if delivering == 3 else bought + 101
    first = gate + world.chain.deployment.windows.dispute_blocks + 1
    if world.chain.height < first:
        await to_block(world, watchdog, first - 2)
    for _ in range(5):
        world.chain.mine()
        await watchdog.tick()
    [settled] = [
        log
        for block in world.chain._blocks
        for log in block.logs
        if getattr(log, "status", None) is Status.SETTLED
    ]
    assert settled.at.block.number == first
    assert [sale.state for sale in watchdog.sales.in_state("done")] == ["done"]


async def test_a_reorganisation_across_block_101(
    world: World, built: BuiltStore, watchdog: WatchdogDaemon
) -> None:
    """F79: the fallback falls out of the chain, and is put back, once."""
    sold = world.buy(built, "code", 2)
    world.chain.mine()
    bought = world.chain.height
    await to_block(world, watchdog, bought + 100)
    await world.ticks(watchdog, blocks=5)
    assert len(by_seller(world, sold)) == 3
    world.chain.reorganise(6)
    world.chain.pool.clear()
    assert not by_seller(world, sold)
    await world.ticks(watchdog, blocks=12)
    assert sorted(log.index for log in by_seller(world, sold)) == [0, 1, 2]
    assert not watchdog.outbox.live()


async def test_a_kill_between_decision_and_broadcast(
    world: World, built: BuiltStore, watchdog: WatchdogDaemon
) -> None:
    sold = world.buy(built, "code", 2)
    world.chain.mine()
    bought = world.chain.height
    for place in ("F1", "F2", "F6", "F7", "F8"):
        watchdog.checkpoints.hits.clear()
        watchdog.checkpoints.kill_at = (place, 1)
        for _ in range(40):
            world.chain.mine()
            if await watchdog.tick_to_death():
                break
        if world.chain.height < bought + 95:
            world.chain.mine(bought + 95 - world.chain.height)
    await world.ticks(watchdog, blocks=8)
    assert sorted(log.index for log in by_seller(world, sold)) == [0, 1, 2]
    assert all(status == 1 for _, status in world.chain.mined(watchdog.address))


async def test_the_wrong_seed_delivers_nothing(
    world: World, built: BuiltStore, watchdog: WatchdogDaemon
) -> None:
    world.shop.seed = SellerSeed(bytes(32))
    watchdog.restart()
    sold = world.buy(built, "coupon")
    world.chain.mine()
    await to_block(world, watchdog, world.chain.height + 103)
    assert not world.chain.pool
    assert not by_seller(world, sold)
    [note] = watchdog.journal("purchase_refused")
    assert note["reason"] == "seed-differs"


async def test_a_lost_catalogue_is_said_once_and_mended_by_a_restart(
    world: World, built: BuiltStore, watchdog: WatchdogDaemon
) -> None:
    past = world.shop.catalogue.folder / "past"
    moved = past.rename(world.folder / "backup")
    sold = world.buy(built, "coupon")
    world.chain.mine()
    await to_block(world, watchdog, world.chain.height + 103)
    await world.ticks(watchdog, blocks=3)
    [note] = watchdog.journal("purchase_refused")
    assert note["reason"] == "not-in-catalogue"
    moved.rename(past)
    await world.ticks(watchdog, blocks=3)
    assert len(by_seller(world, sold)) == 3


async def test_says_when_it_is_not_the_operator(
    world: World, built: BuiltStore, watchdog: WatchdogDaemon
) -> None:
    await watchdog.role.check()
    assert not watchdog.events("not_operator")
    world.chain.operators.clear()
    await watchdog.role.check()
    assert watchdog.events("not_operator")


async def test_a_bad_key_of_one_buyer_stops_no_other_sale(
    world: World, built: BuiltStore, watchdog: WatchdogDaemon
) -> None:
    bad = world.buy(built, "code", 0, keys=(bytes(32),) * 3)
    few = world.buy(built, "code", 1, keys=(b"\x09" + bytes(31),))
    good = world.buy(built, "code", 2)
    world.chain.mine()
    await to_block(world, watchdog, world.chain.height + 103)
    await world.ticks(watchdog, blocks=3)
    assert len(by_seller(world, good)) == 3
    assert not by_seller(world, bad)
    assert not by_seller(world, few)
    reasons = [note["reason"] for note in watchdog.journal("purchase_refused")]
    assert sorted(reasons) == ["bad-buyer-key", "wrong-key-count"]


async def test_supplies_what_is_there_when_the_rest_is_too_late(
    world: World, built: BuiltStore, watchdog: WatchdogDaemon
) -> None:
    """Two of three parts, the window for the third one missed, and then a dispute."""
    sold = world.buy(built, "coupon")
    await deliverers_only(world, 2, blocks=8)
    world.chain.mine(310)
    world.chain.queued.append(DisputeOpened(sold, BUYER, THIEF, bytes(32), NOWHERE))
    await world.ticks(watchdog, blocks=8)
    assert len(by_seller(world, sold, supplied=True)) == 2
    [note] = watchdog.journal("purchase_late")
    assert note["reason"] == "deadline-passed"
