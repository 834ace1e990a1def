"""From the purchase to the good in the buyer's hands, through every way a daemon can end."""

import asyncio
import signal

import pytest

from dam.types import Status
from demo import ledgers, trade
from demo.shop import ITEM, open_shop

pytestmark = [pytest.mark.kubo, pytest.mark.asyncio(loop_scope="session")]


async def test_everybody_delivers_once_and_the_buyer_has_the_good(world):
    shop = await open_shop(world)
    daemons = await shop.daemons()
    bought = await shop.buy()
    parts = await trade.deliveries(world, bought.sale.copy_id, 3)
    assert sorted(part.index for part in parts) == [0, 1, 2]
    assert {part.by for part in parts} == {actor.address for actor in shop.deliverers}
    assert await shop.recover(bought) == shop.good_of(bought)
    assert [await daemon.stop() for daemon in daemons] == [0, 0, 0]


async def test_each_copy_of_a_stock_gives_its_own_good(world):
    shop = await open_shop(world, stock=True, parts=2, threshold=2)
    await shop.daemons()
    first, second = await shop.buy(copy=2), await shop.buy(copy=0)
    for bought in (first, second):
        await trade.deliveries(world, bought.sale.copy_id, 2)
    assert await shop.recover(first) == shop.goods[2]
    assert await shop.recover(second) == shop.goods[0]


async def test_sales_made_while_the_daemon_was_down_are_served_after_its_start(world):
    shop = await open_shop(world, parts=1, threshold=1)
    bought = [await shop.buy() for _ in range(3)]
    await world.mine(40)
    await shop.daemons()
    for one in bought:
        await trade.deliveries(world, one.sale.copy_id, 1)
        assert await shop.recover(one) == shop.good_of(one)


async def test_sigterm_drains_within_ten_seconds_and_loses_nothing(world):
    """F9: the signal comes while sales are being served."""
    shop = await open_shop(world, parts=1, threshold=1)
    [daemon] = await shop.daemons()
    bought = [await shop.buy() for _ in range(4)]
    await ledgers.decided(daemon, bought[0].sale)
    assert await daemon.stop(seconds=10) == 0
    assert [line for line in daemon.lines() if line["event"] == "stopped"]
    daemon.start()
    for one in bought:
        parts = await trade.deliveries(world, one.sale.copy_id, 1)
        assert len(parts) == 1
    await world.mine(4)
    await asyncio.sleep(1)
    for one in bought:
        assert len(await trade.delivered(world, one.sale.copy_id)) == 1


async def test_two_daemons_with_one_key_the_second_refuses(world):
    """F43."""
    shop = await open_shop(world, parts=1, threshold=1)
    [first] = await shop.daemons()
    second = shop.deliverer(0)
    second.log = second.log.with_name("second.log")
    second.start()
    assert await second.wait(20) == 2
    [line] = [line for line in second.lines() if line["level"] == "critical"]
    assert str(first.pid) in line["reason"]
    assert first.running


async def test_a_stopped_process_goes_on_after_150_blocks(world):
    """F10: SIGSTOP; other deliverers and the deadline do not wait."""
    shop = await open_shop(world, parts=1, threshold=1)
    [daemon] = await shop.daemons()
    daemon.send(signal.SIGSTOP)
    bought = await shop.buy()
    await world.mine(150)
    assert await trade.delivered(world, bought.sale.copy_id) == []
    daemon.send(signal.SIGCONT)
    [part] = await trade.deliveries(world, bought.sale.copy_id, 1)
    assert part.at.block.number > bought.sale.purchase_block + 150
    assert await shop.recover(bought) == shop.good_of(bought)


async def test_the_deliverer_pins_the_store_that_it_serves(world):
    shop = await open_shop(world, parts=1, threshold=1)
    [daemon] = await shop.daemons()
    pinned = await daemon.event("pinned")
    assert pinned["blocks"] >= 2
    assert pinned["seller"] == shop.seller.address
    assert ITEM not in daemon.log.read_text(), "the log tells no names of goods"


async def test_a_sale_is_complete_on_chain_when_k_parts_are_there(world):
    shop = await open_shop(world)
    daemons = [shop.deliverer(number) for number in (0, 1)]
    for daemon in daemons:
        daemon.start()
    bought = await shop.buy()
    await trade.deliveries(world, bought.sale.copy_id, 2)
    state = await world.market.sale_state(bought.sale.copy_id)
    assert (state.status, state.count, state.marked) == (Status.COMPLETE, 2, False)
    assert await shop.recover(bought) == shop.good_of(bought)
