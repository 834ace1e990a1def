"""The watchdog's second chances: proofs on a branch that is gone, an operator named late."""

from __future__ import annotations

from dam.crypto.hashing import keccak
from dam.crypto.sealing import new_secret_key, open_fragment, public_key
from dam.roles.seller.store_builder import BuiltStore
from dam.testing.rules import NOWHERE
from dam.types import CopyId, DisputeOpened, SaleClosed, Status, Wei
from tests.unit.helpers.watchdog_sales import by_seller, past_proofs
from tests.unit.helpers.world import BUYER, SELLER, THIEF, WatchdogDaemon, World


async def lose_a_proof(world: World, watchdog: WatchdogDaemon, sold: CopyId, blocks: int) -> None:
    """A proof leaves the chain with its last blocks, while what answers it is on its way."""
    world.chain.prove_junk(sold, 1, public_key(new_secret_key()))
    world.chain.accepts = lambda _: False
    await world.ticks(watchdog, blocks=4)
    assert watchdog.outbox.live()
    world.chain.reorganise(blocks)
    world.chain.pool.clear()
    world.chain.accepts = lambda _: True


async def test_a_proof_that_comes_again_with_another_key_is_replaced_by_that_key(
    world: World, built: BuiltStore, watchdog: WatchdogDaemon
) -> None:
    """A reorganisation takes a proof away, and the buyer's next one names another fresh key."""
    sold = world.buy(built, "coupon")
    await world.ticks(*world.deliverers, watchdog)
    world.chain.mine(101)
    await watchdog.tick()
    await lose_a_proof(world, watchdog, sold, 5)
    secret = new_secret_key()
    world.chain.prove_junk(sold, 1, public_key(secret))
    await world.ticks(watchdog, blocks=20)
    [replaced] = by_seller(world, sold)
    assert keccak(open_fragment(replaced.fragment, secret)) == replaced.commitment
    assert not watchdog.outbox.live()
    assert all(status == 1 for _, status in world.chain.mined(watchdog.address))


async def test_supplies_again_for_a_late_proof_that_came_again_with_another_key(
    world: World, built: BuiltStore, watchdog: WatchdogDaemon
) -> None:
    sold = await past_proofs(world, built, watchdog)
    await watchdog.tick()
    await lose_a_proof(world, watchdog, sold, 4)
    secret = new_secret_key()
    world.chain.prove_junk(sold, 1, public_key(secret))
    await world.ticks(watchdog, blocks=20)
    [supplied] = by_seller(world, sold, supplied=True)
    assert keccak(open_fragment(supplied.fragment, secret)) == supplied.commitment


async def test_an_operator_that_is_named_late_still_delivers(
    world: World, built: BuiltStore, watchdog: WatchdogDaemon
) -> None:
    """A seller wakes up to the alert hours later: the parts are due until the refund opens."""
    world.chain.operators.clear()
    sold = world.buy(built, "coupon")
    world.chain.mine(102)
    await world.ticks(watchdog, blocks=60)
    assert not by_seller(world, sold)
    assert len(watchdog.events("refused_by_contract")) == 3  # once for each part
    world.chain.operators[SELLER] = watchdog.address
    await world.ticks(watchdog, blocks=16)
    assert len(by_seller(world, sold)) == 3


async def test_an_operator_that_is_named_late_still_supplies(
    world: World, built: BuiltStore, watchdog: WatchdogDaemon
) -> None:
    sold = world.buy(built, "coupon")
    await world.ticks(*world.deliverers, watchdog)
    world.chain.operators.clear()
    world.chain.queued.append(DisputeOpened(sold, BUYER, THIEF, bytes(32), NOWHERE))
    await world.ticks(watchdog, blocks=60)
    assert not by_seller(world, sold, supplied=True)
    world.chain.operators[SELLER] = watchdog.address
    await world.ticks(watchdog, blocks=16)
    assert len(by_seller(world, sold, supplied=True)) == 3


async def test_a_proof_that_does_not_come_again_leaves_nothing_to_do(
    world: World, built: BuiltStore, watchdog: WatchdogDaemon
) -> None:
    sold = world.buy(built, "coupon")
    await world.ticks(*world.deliverers, watchdog)
    world.chain.mine(101)
    await watchdog.tick()
    await lose_a_proof(world, watchdog, sold, 5)
    await world.ticks(watchdog, blocks=20)
    [sale] = watchdog.sales.in_state("serving")
    assert [job.kind for job in watchdog.outbox.of_purchase(sale.id)] == ["close"]
    assert not by_seller(world, sold)


async def test_an_end_that_a_reorganisation_takes_back_is_planned(
    world: World, built: BuiltStore, watchdog: WatchdogDaemon
) -> None:
    """The node knows of an end before the watchdog reads its block, which is then replaced."""
    sold = world.buy(built, "coupon")
    world.chain.mine(world.confirmations)
    world.chain.queued.append(SaleClosed(sold, Status.AGREED, BUYER, 0, Wei(0), NOWHERE))
    world.chain.mine()
    await watchdog.tick()
    assert watchdog.sales.in_state("serving")
    assert not watchdog.events("closes_from")
    world.chain.reorganise(1)
    await world.ticks(watchdog, blocks=2)
    assert len(watchdog.events("closes_from")) == 1


async def test_what_is_due_ends_with_its_sale(
    world: World, built: BuiltStore, watchdog: WatchdogDaemon
) -> None:
    """A sale that both end by an agreement asks for nothing more, and nobody is alerted."""
    world.chain.operators.clear()
    sold = world.buy(built, "coupon")
    late = world.deliverers[0]
    world.chain.mine(102)
    await world.ticks(watchdog, blocks=4)
    world.chain.accepts = lambda _: False
    await world.ticks(late, watchdog, blocks=2)
    world.chain.queued.append(SaleClosed(sold, Status.AGREED, BUYER, 0, Wei(0), NOWHERE))
    await world.ticks(late, watchdog, blocks=40)
    world.chain.accepts = lambda _: True
    await world.ticks(late, watchdog, blocks=6)
    for daemon in (late, watchdog):
        states = daemon.ledger.db.execute("SELECT DISTINCT state FROM jobs").fetchall()
        assert [state for (state,) in states] == ["done"]
        assert not daemon.outbox.live()
        assert not daemon.events("too_late")
    assert not late.events("refused_by_contract")
