"""What strangers can do to a daemon by the market's own rules: each test is one attack."""

from __future__ import annotations

from dataclasses import replace

from dam.rows import unsigned

from .conftest import Shop, WatchdogDaemon, World

MOST = 2**64 - 1


async def test_copies_with_numbers_over_2_to_the_63_are_served(
    world: World, watchdog: WatchdogDaemon
) -> None:
    """The contract sells any copy below the supply; SQLite's integers end at 2^63 - 1."""
    await world.shop.add("coupon", supply=MOST)
    built = await world.shop.publish()
    world.chain.mine(3)
    for copy in (2**63 - 1, 2**63, MOST - 1):
        world.buy(built, "coupon", copy=copy)
    await world.ticks(*world.deliverers[1:], watchdog, blocks=5)
    world.chain.mine(100)
    await world.ticks(watchdog, blocks=6)
    for sold in world.secrets:
        assert (await world.chain.sale_state(sold)).count == 3
    # The keys that a part went to are found again by the sale's own number.
    rows = watchdog.ledger.db.execute("SELECT copy FROM sealed ORDER BY copy").fetchall()
    assert {unsigned(row["copy"]) for row in rows} == {2**63 - 1, 2**63, MOST - 1}
    terms = built.terms["coupon"]
    found = watchdog.shelf.buyer_of(built.seller, terms.item_id, MOST - 1, 0)
    assert found is not None
    assert watchdog.ledger.sale(found).purchase.copy == MOST - 1


async def test_such_a_copy_of_a_store_that_breaks_a_rule_is_refused(world: World) -> None:
    """As nobody can list 2^63 copies with parts of their own, its document never holds."""
    thief = Shop(world, world.chain.address, world.folder / "thief")
    await thief.add("coupon", supply=MOST)
    built = await thief.publish()
    world.chain.mine(3)
    terms = built.terms["coupon"]
    world.buy(built, "coupon", copy=MOST - 1, terms=replace(terms, stock=True))
    await world.ticks(blocks=5)
    for daemon in world.deliverers:
        assert not daemon.ledger.sales("new", "waiting")
