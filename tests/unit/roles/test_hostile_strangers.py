"""What strangers can do to a daemon by the market's own rules: each test is one attack."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from dam.crypto.hashing import copy_id
from dam.ledger.outbox import Now
from dam.market.log_rows import unsigned
from dam.testing.pages import rows_of
from dam.testing.rules import deadlines
from dam.types import (
    Clock,
    Deadlines,
    FragmentDelivered,
    LogRef,
    MarketLog,
    Purchase,
    Status,
)
from tests.unit.helpers.ledger import buyer_of
from tests.unit.helpers.world import BUYER, SELLER, Shop, WatchdogDaemon, World

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
    rows = watchdog.ledger.db.execute("SELECT copy FROM seals ORDER BY copy").fetchall()
    assert {unsigned(row["copy"]) for row in rows} == {2**63 - 1, 2**63, MOST - 1}
    terms = built.terms["coupon"]
    found = buyer_of(watchdog.ledger, built.seller, terms.item_id, MOST - 1, 0)
    assert found is not None
    assert watchdog.sales.get(found).purchase.copy == MOST - 1


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
        assert not daemon.sales.in_state("new", "waiting")


async def test_thousands_of_sales_in_dispute_hold_up_no_watchdog(
    world: World, watchdog: WatchdogDaemon
) -> None:
    """Each was a transaction of its own with every block: ten seconds of syncs for 3,000 sales."""
    await world.shop.add("coupon")
    built = await world.shop.publish()
    world.chain.mine(3)
    await watchdog.tick()
    terms, head = built.terms["coupon"], await world.chain.block(world.chain.height)
    logs: list[MarketLog] = []
    for copy in range(300):
        sold = copy_id(SELLER, terms.item_id, copy)
        at = [LogRef(head, sold, 4 * copy + place) for place in range(4)]
        keys = (bytes(32),) * 3
        when = (head.number, head.timestamp)
        logs.append(Purchase(sold, SELLER, BUYER, built.digest, copy, *when, terms, keys, at.pop()))
        for index, place in enumerate(at):
            part = (index, BUYER, *[bytes(32)] * 3, bytes(80), False)
            logs.append(FragmentDelivered(sold, BUYER, *part, place))
    with watchdog.ledger.transaction() as db:
        watchdog.ledger.save_range(rows_of(logs), head, delivery_seconds=3600)
    asked: list[int] = []

    async def times(bought: Sequence[Purchase]) -> list[Deadlines]:
        asked.append(len(bought))
        windows = world.chain.deployment.windows
        return [deadlines(one, Status.COMPLETE, 0, windows) for one in bought]

    world.chain.deadlines = times  # type: ignore[method-assign]
    commits: list[str] = []
    db.set_trace_callback(lambda text: commits.append(text) if text == "COMMIT" else None)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    other = asyncio.create_task(others())
    for number in range(2):
        world.chain.mine()
        commits.clear()
        before, turns = db.total_changes, 0
        await watchdog.role.decide(*await world.chain.head_and_clock())
        assert len(commits) <= 6
        # In few requests, and only once for each state of a sale.
        assert (sum(asked), len(asked)) == (300, 5)
        assert turns >= 3
        assert number == 0 or db.total_changes == before
    other.cancel()
    due = watchdog.outbox.due(Now(10**9, Clock(10**9, 2 * 10**9)))
    assert len(due) == 300
    assert {job.kind for job in due} == {"close"}
