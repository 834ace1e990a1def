"""F1 to F8: a daemon is killed at each named place, and its next run finishes the work once."""

import asyncio

import pytest

from demo import trade
from demo.shop import open_shop
from tests.faults.crash_launcher import LAUNCHER

pytestmark = [pytest.mark.kubo, pytest.mark.asyncio(loop_scope="session")]


@pytest.mark.parametrize("place", [f"F{number}" for number in range(1, 9)])
async def test_killed_and_started_again_it_delivers_exactly_once(world, check_nonces, place):
    shop = await open_shop(world, parts=1, threshold=1)
    crash = {"DAM_CRASH_AT": f"{place}:1"}
    dying = shop.deliverer(0, command=[*LAUNCHER, "deliverer"], env=crash)
    dying.start()
    bought = await shop.buy()
    assert await dying.wait(30) == -9, dying.tail()

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


async def test_a_watchdog_killed_at_every_place_delivers_once(world, check_nonces):
    shop = await open_shop(world, parts=2, threshold=2)
    watchdog = shop.watchdog(command=[*LAUNCHER, "watchdog"])
    bought = await shop.buy()
    await world.mine_to(bought.sale.purchase_block + 100)
    for place in ("F1", "F2", "F6", "F7", "F8"):
        watchdog.env["DAM_CRASH_AT"] = f"{place}:1"
        watchdog.start()
        assert await watchdog.wait(60) == -9, watchdog.tail()
    del watchdog.env["DAM_CRASH_AT"]
    watchdog.start()
    await trade.deliveries(world, bought.sale.copy_id, 2)
    await world.mine(4)
    await asyncio.sleep(1.5)
    parts = await trade.delivered(world, bought.sale.copy_id)
    assert sorted(part.index for part in parts) == [0, 1]
    assert await shop.recover(bought) == shop.good_of(bought)
    await check_nonces(shop.operator.address)
