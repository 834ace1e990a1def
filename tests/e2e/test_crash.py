"""F1 to F8: a daemon is killed at each named place, and its next run finishes the work once."""

import asyncio

import pytest

from demo import trade
from demo.shop import open_shop

pytestmark = [pytest.mark.kubo, pytest.mark.asyncio(loop_scope="session")]


@pytest.mark.parametrize("place", [f"F{number}" for number in range(1, 9)])
async def test_killed_and_started_again_it_delivers_exactly_once(
    world, crashing, check_nonces, place
):
    shop = await open_shop(world, parts=1, threshold=1)
    daemon = shop.deliverer(0, command=crashing.command(), env=crashing.env(place))
    daemon.start()
    bought = await shop.buy()
    assert await daemon.wait(30) == -9, daemon.tail()
    assert crashing.deaths() == {place: 1}

    again = shop.deliverer(0)
    again.start()
    [part] = await trade.deliveries(world, bought.sale.copy_id, 1)
    assert part.by == shop.deliverers[0].address
    assert await shop.recover(bought) == shop.good_of(bought)
    await world.mine(4)
    await asyncio.sleep(0.5)
    assert len(await trade.delivered(world, bought.sale.copy_id)) == 1
    # Its stake, and one delivery.
    assert await check_nonces(shop.deliverers[0].address) == 2


@pytest.mark.parametrize("place", ["F1", "F6", "F7", "F8"])
async def test_a_watchdog_killed_and_started_again_saves_the_sale_once(
    world, crashing, check_nonces, place
):
    shop = await open_shop(world)
    bought = await shop.buy()
    await world.mine(101)
    dying = shop.watchdog(command=crashing.command("watchdog"), env=crashing.env(place))
    dying.start()
    assert await dying.wait(30) == -9, dying.tail()
    again = shop.watchdog()
    again.start()
    assert len(await trade.deliveries(world, bought.sale.copy_id, 3)) == 3
    assert await shop.recover(bought) == shop.good_of(bought)
    await check_nonces(shop.operator.address)
