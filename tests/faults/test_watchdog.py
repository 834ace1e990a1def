"""F77 to F80: the watchdog at its one hour, the blocks around purchase + 100.

The contract takes a fallback from block purchase + 101 on, and not a block sooner.
"""

from __future__ import annotations

from dam.types import FALLBACK_BLOCKS
from tests.faults.oracle import oracle
from tests.faults.table import Injected, fault
from tests.faults.watchdog import (
    make_watchdog,
    parts_in_pool,
    until_read,
    until_sent,
    watchdog_oracle,
)
from tests.faults.world import FaultWorld


@fault(
    77,
    "blocks 99, 100, 101",
    by="A",
    breaks="src/dam/roles/watchdog.py:if not missing or clock.block + 1 < first:",
    instead="if not missing or clock.block - 1 < first:",
)
async def test_f77_the_blocks_around_the_hundredth(world: FaultWorld, injected: Injected) -> None:
    daemon = await make_watchdog(world).start()
    operator = world.shop.operator.address
    # Three purchases, a block apart: in one block they are 101, 100 and 99 blocks old.
    sales = [(await world.buy())[0] for _ in range(3)]
    assert [one.sale.purchase_block - sales[0].sale.purchase_block for one in sales] == [0, 1, 2]
    await world.mine(sales[0].sale.purchase_block + FALLBACK_BLOCKS - 1 - await world.block())
    await until_read(world, daemon)
    assert await parts_in_pool(world, operator) == [], "sent while the next block is the hundredth"
    injected.add("block 99")
    for number in range(3):
        head = await world.mine()
        # Now the next block is the first that counts for one sale more, and that one alone.
        assert head == sales[number].sale.purchase_block + FALLBACK_BLOCKS
        await world.wait(
            lambda n=number: len(daemon.logged("falling_back")) == n + 1, "it falls back"
        )
        injected.add(f"block {FALLBACK_BLOCKS + number}")
        await until_sent(world, operator, 3)
        parts = await parts_in_pool(world, operator)
        assert {part for _, part in parts} == {
            (sales[number].sale.copy_id, index) for index in range(3)
        }
    await world.mine()
    await world.settle_down()
    assert set((await watchdog_oracle(world, daemon)).values()) == {FALLBACK_BLOCKS + 1}
    assert not daemon.logged("purchase_late")


@fault(
    78,
    "races a delivery in one block",
    by="A",
    breaks="src/dam/daemon/service.py:ended = self._outbox.finish_by_events()",
    instead="ended = 0",
)
async def test_f78_a_delivery_in_the_same_block(world: FaultWorld, injected: Injected) -> None:
    dog, operator = await make_watchdog(world).start(), world.shop.operator.address
    sales = await world.buy(2)
    head = await world.mine(sales[0].sale.purchase_block + FALLBACK_BLOCKS - await world.block())
    assert head == sales[0].sale.purchase_block + FALLBACK_BLOCKS
    # Two of three deliverers wake up with the very block in which the watchdog steps in. It asks
    # what the block to come would say, pool and all, and they what the last one says: it is first.
    await until_sent(world, operator, 6)
    late = [await world.deliverer(number).start() for number in (0, 1)]
    addresses = [one.actor.address for one in late]
    await until_sent(world, addresses[0], 2)
    await until_sent(world, addresses[1], 2)
    pool = await parts_in_pool(world, operator, *addresses)
    raced = [part for _, part in pool]
    injected.add("race", len(raced) - len(set(raced)))
    assert injected["race"] == 4
    await world.mine()
    await world.settle_down(8)
    # Whoever came second has nothing left to do, and does not try again.
    assert set((await watchdog_oracle(world, dog, reverted=6)).values()) == {FALLBACK_BLOCKS + 1}
    await oracle(world, daemons=late, reverted=4)
    for daemon in (dog, *late):
        left = "kind = 'deliver' AND state IN ('due', 'live')"
        assert daemon.query(f"SELECT count(*) FROM jobs WHERE {left}") == [(0,)]
        assert daemon.query("SELECT count(*) FROM nonce_slots WHERE state = 'live'") == [(0,)]
    assert await parts_in_pool(world, operator, *addresses) == []


@fault(
    79,
    "reorganisation across block 100",
    by="A",
    breaks='src/dam/ledger/reorgs.py:"UPDATE jobs SET state = CASE WHEN id = (SELECT o.id '
    'FROM jobs AS o JOIN nonce_slots AS s "',
    instead='"UPDATE jobs SET state = CASE WHEN 0 * id = (SELECT o.id '
    'FROM jobs AS o JOIN nonce_slots AS s "',
)
async def test_f79_a_reorganisation_across_the_hundredth_block(
    world: FaultWorld, injected: Injected
) -> None:
    daemon = await make_watchdog(world).start()
    operator = world.shop.operator.address
    [bought] = await world.buy()
    await world.mine(bought.sale.purchase_block + FALLBACK_BLOCKS - await world.block())
    await until_sent(world, operator, 3)
    head = await world.mine()
    assert head == bought.sale.purchase_block + FALLBACK_BLOCKS + 1
    assert len(await world.delivered()) == 3
    await world.settle_down(2)
    # The blocks from 98 on are others now, and without what was in them.
    await world.reorganise(await world.block() - (bought.sale.purchase_block + 97))
    injected.add("fallback lost")
    assert await world.delivered() == []
    await world.settle_down(2)
    assert set(await watchdog_oracle(world, daemon)) == {(bought.sale.copy, n) for n in range(3)}
    # A chain that is shorter for a while: the next block is the 99th once more.
    [second] = await world.buy()
    await world.mine(second.sale.purchase_block + FALLBACK_BLOCKS - await world.block())
    await until_sent(world, operator, 3)
    await world.mine(2)
    await until_read(world, daemon)
    await world.rpc.call("anvil_rollback", await world.block() - (second.sale.purchase_block + 98))
    injected.add("head before the hundredth")
    assert await world.block() == second.sale.purchase_block + 98
    for _ in range(8):
        await world.settle_down(1)
    found = await watchdog_oracle(world, daemon)
    assert all(FALLBACK_BLOCKS < after <= FALLBACK_BLOCKS + 8 for after in found.values())
    assert len(daemon.logged("reorganisation")) == 2


@fault(
    80,
    "down for 500 blocks",
    by="A",
    breaks="src/dam/roles/watchdog.py:"
    'raise Refused("deadline-passed", f"parts {lost} were never delivered")',
)
async def test_f80_down_for_five_hundred_blocks(world: FaultWorld, injected: Injected) -> None:
    daemon = await make_watchdog(world).start()
    windows = world.deployment.windows
    [served] = await world.buy()
    deliverers = [await world.deliverer(number).start() for number in range(3)]
    await world.until_delivered(*deliverers)
    for one in deliverers:
        await one.stop()
    await world.settle_down()
    assert await daemon.stop() == 0
    began = await world.block()
    injected.add("block without it", 500)
    [lost] = await world.buy()
    await world.mine(250)
    await world.pass_time(windows.refund_seconds - 600)
    [saved] = await world.buy()
    await world.mine(200)
    await world.pass_time(700)
    [young] = await world.buy()
    await world.mine(began + 500 - await world.block())
    await daemon.start()
    operator = world.shop.operator.address
    await until_sent(world, operator, 3)
    await world.settle_down(4)
    # Late is late, once and aloud; what can be saved is saved at once; what is young waits.
    told = [line for line in daemon.logged("purchase_late") if line["reason"] == "deadline-passed"]
    assert [line["sale"] for line in told] == ["0x" + lost.sale.copy_id.hex()]
    assert told[0]["level"] == "error"
    assert [detail["reason"] for _, detail in daemon.journal("purchase_late")] == [
        "deadline-passed"
    ]
    found = await watchdog_oracle(world, daemon, sales=[saved])
    assert len(set(found.values())) == 1
    head = await world.mine(young.sale.purchase_block + FALLBACK_BLOCKS - await world.block())
    assert head == young.sale.purchase_block + FALLBACK_BLOCKS
    await until_sent(world, operator, 3)
    await world.settle_down(4)
    found = await watchdog_oracle(world, daemon, sales=[young])
    assert set(found.values()) == {FALLBACK_BLOCKS + 1}
    # What was complete before it went is settled, if nobody did that meanwhile.
    await world.until(
        lambda: bool(
            daemon.query(
                "SELECT 1 FROM jobs WHERE kind = 'close' AND state = 'done' AND copy_id = ?",
                served.sale.copy_id,
            )
        ),
        "the sale from before is settled",
    )
    assert lost.sale.copy_id not in {log.copy_id for log in await world.delivered()}
