"""The watchdog: block 101, junk, disputes, closing, and being away for a long time."""

from __future__ import annotations

import pytest

from dam.crypto.derivation import SellerSeed
from dam.crypto.hashing import keccak
from dam.crypto.sealing import new_secret_key, open_fragment, public_key
from dam.roles.seller.store_builder import BuiltStore
from dam.roles.watchdog import longest_absence_seconds
from dam.testing.rules import NOWHERE
from dam.types import DisputeOpened, SaleClosed, Status, Wei, Windows
from tests.unit.helpers.watchdog_sales import by_seller, complete_late, past_proofs
from tests.unit.helpers.world import BUYER, THIEF, Shop, WatchdogDaemon, World


async def deliverers_only(world: World, count: int, blocks: int = 6) -> None:
    await world.ticks(*world.deliverers[:count], blocks=blocks)


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
    assert not watchdog.ledger.db.execute("SELECT 1 FROM jobs WHERE kind <> 'close'").fetchall()
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
    assert [job.kind for job in watchdog.outbox.of_purchase(sale.id)] == ["close"]


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


async def test_after_an_hour_away_it_says_what_is_lost(
    world: World, built: BuiltStore, watchdog: WatchdogDaemon
) -> None:
    """F80: one sale is beyond help and refunded, one is complete and settled, one is saved."""
    complete = world.buy(built, "coupon", 0)
    await deliverers_only(world, 2, blocks=8)
    lost = world.buy(built, "code", 0)
    world.chain.mine(100)
    world.chain.pass_time(1800)
    saved = world.buy(built, "code", 1)
    world.chain.mine(100)
    world.chain.pass_time(1800)
    world.chain.mine()
    await watchdog.tick()
    await world.ticks(watchdog, blocks=8)
    assert len(by_seller(world, saved)) == 3
    notes = watchdog.journal("purchase_late")
    assert "0x" + lost.hex() in [note["sale"] for note in notes]
    assert not by_seller(world, lost)
    world.chain.pass_time(200)
    await world.ticks(watchdog, blocks=8)
    assert (await world.chain.sale_state(complete)).status is Status.SETTLED
    assert (await world.chain.sale_state(lost)).status is Status.REFUNDED


async def test_supplies_every_part_in_a_dispute_and_settles_after_it(
    world: World, built: BuiltStore, watchdog: WatchdogDaemon
) -> None:
    sold = world.buy(built, "coupon")
    await world.ticks(*world.deliverers, watchdog)
    world.chain.queued.append(DisputeOpened(sold, BUYER, THIEF, bytes(32), NOWHERE))
    await world.ticks(watchdog, blocks=9)
    supplied = by_seller(world, sold, supplied=True)
    assert sorted(log.index for log in supplied) == [0, 1, 2]
    for log in supplied:
        share = open_fragment(log.fragment, world.secrets[sold][log.index])
        assert keccak(share) == log.commitment
    [line] = watchdog.events("supplying")
    assert f"dam buyer prove 0x{sold.hex()}" in line["ask_buyer"]
    windows = world.chain.deployment.windows
    world.chain.pass_time(windows.arbitration_seconds - 100)
    await world.ticks(watchdog, blocks=4)
    assert (await world.chain.sale_state(sold)).status is Status.DISPUTED
    world.chain.pass_time(200)
    await world.ticks(watchdog, blocks=4)
    assert (await world.chain.sale_state(sold)).status is Status.SETTLED
    # One for the supply, one for the settlement, and none in vain.
    assert world.chain.mined(watchdog.address) == [(0, 1), (1, 1)]


async def test_before_a_dispute_nothing_is_supplied(
    world: World, built: BuiltStore, watchdog: WatchdogDaemon
) -> None:
    """It would spare who delivered junk the fine: the buyer is asked for a proof instead."""
    sold = world.buy(built, "coupon")
    await world.ticks(*world.deliverers, watchdog)
    await to_block(world, watchdog, world.chain.height + 101)
    assert not by_seller(world, sold, supplied=True)


def closed(world: World) -> list[SaleClosed]:
    return [
        log for block in world.chain._blocks for log in block.logs if isinstance(log, SaleClosed)
    ]


@pytest.mark.parametrize("delivering", [2, 3])
async def test_settles_when_it_may_and_not_before(
    world: World, built: BuiltStore, watchdog: WatchdogDaemon, delivering: int
) -> None:
    """With every part early; and with the rest at 101, from which the time to dispute counts."""
    sold = world.buy(built, "coupon")
    world.chain.mine()
    await world.ticks(*world.deliverers[:delivering], watchdog)
    while world.chain.height < 120:
        world.chain.mine()
        await watchdog.tick()
    last = max(log.at.block.timestamp for log in world.chain.delivered(sold))
    windows = world.chain.deployment.windows
    first = last + windows.dispute_seconds + 1
    now = (await world.chain.head()).timestamp
    world.chain.pass_time(first - now - 4)
    await world.ticks(watchdog, blocks=2)
    assert not closed(world)
    # At the next of the 24 moments of the time to dispute, so that others are closed with it.
    step = windows.dispute_seconds // 24
    for _ in range(step + 4):
        if not closed(world):
            await world.ticks(watchdog, blocks=1)
    [settled] = closed(world)
    assert settled.status is Status.SETTLED
    assert 0 <= settled.at.block.timestamp - -(-first // step) * step <= 4
    await world.ticks(watchdog, blocks=3)
    assert [sale.state for sale in watchdog.sales.in_state("done")] == ["done"]


async def test_closes_many_sales_in_one_transaction(
    world: World, built: BuiltStore, watchdog: WatchdogDaemon
) -> None:
    """Some are settled and some refunded, and both kinds share it."""
    good = [world.buy(built, "coupon", copy) for copy in range(4)]
    await world.ticks(*world.deliverers, watchdog)
    watchdog.shop.seed = SellerSeed(bytes(32))
    watchdog.restart()
    bad = [world.buy(built, "coupon", copy) for copy in range(4, 7)]
    world.chain.mine()
    world.chain.pass_time(7200)
    world.chain.mine()
    await world.ticks(watchdog, blocks=6)
    ends = {log.copy_id: (log.status, log.at.tx_hash) for log in closed(world)}
    assert {ends[copy][0] for copy in good} == {Status.SETTLED}
    assert {ends[copy][0] for copy in bad} == {Status.REFUNDED}
    assert len({tx for _, tx in ends.values()}) <= 2
    assert all(status == 1 for _, status in world.chain.mined(watchdog.address))


# ------------------------------------------------------------------------------------------- junk


async def test_replaces_junk_sealed_to_the_key_that_the_proof_names(
    world: World, built: BuiltStore, watchdog: WatchdogDaemon
) -> None:
    sold = world.buy(built, "coupon")
    await world.ticks(*world.deliverers, watchdog)
    secret = new_secret_key()
    world.chain.prove_junk(sold, 1, public_key(secret))
    await world.ticks(watchdog, blocks=3)
    assert not by_seller(world, sold)  # Before block 101 the contract would refuse it.
    await to_block(world, watchdog, world.chain.height + 101)
    await world.ticks(watchdog, blocks=4)
    [replaced] = by_seller(world, sold)
    assert replaced.index == 1
    assert keccak(open_fragment(replaced.fragment, secret)) == replaced.commitment
    [line] = watchdog.events("replacing_junk")
    assert (line["parts"], not watchdog.events("falling_back")) == ([1], True)
    assert world.chain.mined(watchdog.address) == [(0, 1)]


async def test_two_proofs_are_replaced_by_one_key(
    world: World, built: BuiltStore, watchdog: WatchdogDaemon
) -> None:
    """One after the other, the second after the first was replaced."""
    sold = world.buy(built, "coupon")
    await world.ticks(*world.deliverers, watchdog)
    secret = new_secret_key()
    for index in (2, 0):
        world.chain.prove_junk(sold, index, public_key(secret))
        await to_block(world, watchdog, world.chain.height + 105)
        await world.ticks(watchdog, blocks=3)
    found = by_seller(world, sold)
    assert [log.index for log in found] == [2, 0]
    for log in found:
        assert keccak(open_fragment(log.fragment, secret)) == log.commitment


async def test_a_proof_and_a_missing_part_at_once(
    world: World, built: BuiltStore, watchdog: WatchdogDaemon
) -> None:
    """What is missing goes to the buyer's first key, what was junk to the fresh one."""
    sold = world.buy(built, "coupon")
    await deliverers_only(world, 2)
    secret = new_secret_key()
    world.chain.prove_junk(sold, 0, public_key(secret))
    await to_block(world, watchdog, world.chain.height + 101)
    await world.ticks(watchdog, blocks=4)
    keys = {0: secret, 2: world.secrets[sold][2]}
    found = by_seller(world, sold)
    assert sorted(log.index for log in found) == [0, 2]
    for log in found:
        assert keccak(open_fragment(log.fragment, keys[log.index])) == log.commitment


async def test_a_proof_in_the_last_second_is_replaced_after_the_longest_absence(
    world: World, built: BuiltStore, watchdog: WatchdogDaemon
) -> None:
    windows = world.chain.deployment.windows
    sold, bought = await complete_late(world, built, watchdog)
    now = (await world.chain.head()).timestamp
    world.chain.pass_time(bought + windows.proof_seconds - now - 1)
    key = public_key(new_secret_key())
    for index in (0, 1):
        world.chain.prove_junk(sold, index, key)
    world.chain.mine()
    assert (await world.chain.sale_state(sold)).status is Status.PURCHASED
    # It is back with a few blocks left.
    world.chain.pass_time(longest_absence_seconds(windows) - 5)
    await world.ticks(watchdog, blocks=4)
    assert sorted(log.index for log in by_seller(world, sold)) == [0, 1]
    assert (await world.chain.sale_state(sold)).status is Status.COMPLETE


def test_the_longest_absence_is_a_third_of_the_refund_window() -> None:
    day = 24 * 3600
    windows = Windows(day, 3 * day, 7 * day, 26 * day, day, day, Wei(1), Wei(1), Wei(1))
    assert longest_absence_seconds(windows) == 8 * 3600


async def test_a_part_proved_too_late_is_supplied(
    world: World, built: BuiltStore, watchdog: WatchdogDaemon
) -> None:
    """It stays where it is, as far as the contract counts, so that it cannot be replaced."""
    sold = await past_proofs(world, built, watchdog)
    secret = new_secret_key()
    world.chain.prove_junk(sold, 1, public_key(secret))
    await world.ticks(watchdog, blocks=5)
    assert not by_seller(world, sold)
    [supplied] = by_seller(world, sold, supplied=True)
    assert supplied.index == 1
    assert keccak(open_fragment(supplied.fragment, secret)) == supplied.commitment


async def test_a_kill_between_a_proof_and_its_replacement(
    world: World, built: BuiltStore, watchdog: WatchdogDaemon
) -> None:
    sold = world.buy(built, "coupon")
    await world.ticks(*world.deliverers, watchdog)
    world.chain.mine(101)
    world.chain.prove_junk(sold, 1, public_key(new_secret_key()))
    for place in ("F1", "F2", "F6", "F7", "F8"):
        watchdog.checkpoints.hits.clear()
        watchdog.checkpoints.kill_at = (place, 1)
        for _ in range(6):
            world.chain.mine()
            if await watchdog.tick_to_death():
                break
    await world.ticks(watchdog, blocks=8)
    assert [log.index for log in by_seller(world, sold)] == [1]
    assert all(status == 1 for _, status in world.chain.mined(watchdog.address))


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
    [told] = watchdog.events("not_operator")
    assert "dam seller operator 0x" in told["next_step"]


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
    world.chain.mine(101)
    world.chain.pass_time(world.chain.deployment.windows.refund_seconds)
    world.chain.queued.append(DisputeOpened(sold, BUYER, THIEF, bytes(32), NOWHERE))
    await world.ticks(watchdog, blocks=8)
    assert len(by_seller(world, sold, supplied=True)) == 2
    [note] = watchdog.journal("purchase_late")
    assert note["reason"] == "deadline-passed"
