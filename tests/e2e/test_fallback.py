"""The seller's watchdog: blocks 99 to 101 after the purchase, and after a long sleep."""

import asyncio

import pytest

from dam.types import FALLBACK_BLOCKS, Status
from demo import trade
from demo.shop import open_shop

pytestmark = [pytest.mark.kubo, pytest.mark.asyncio(loop_scope="session")]


async def test_nothing_at_block_100_and_the_missing_parts_from_101_on(world):
    """F77."""
    shop = await open_shop(world, threshold=3)
    only, watchdog = shop.deliverer(0), shop.watchdog()
    only.start()
    watchdog.start()
    await watchdog.event("ready")
    buyer = await world.actor("buyer")
    bought = await shop.buy(buyer)
    sale = bought.sale
    await trade.deliveries(world, sale.copy_id, 1)
    await world.mine_to(sale.purchase_block + FALLBACK_BLOCKS - 5)
    assert len(await trade.delivered(world, sale.copy_id)) == 1
    await world.mine_to(sale.purchase_block + FALLBACK_BLOCKS + 1)
    parts = await trade.deliveries(world, sale.copy_id, 3)
    late = [part for part in parts if part.by == shop.seller.address]
    assert len(parts) == 3
    assert len(late) == 2
    assert min(part.at.block.number for part in late) >= sale.purchase_block + FALLBACK_BLOCKS + 1
    assert await world.market.credits(buyer.address) == 2 * sale.terms.fee
    assert await shop.recover(bought) == shop.good_of(bought)


async def test_a_watchdog_that_slept_for_200_blocks_still_saves_the_sale(world):
    """F80: down while the fallback opened."""
    shop = await open_shop(world)
    bought = await shop.buy()
    await world.mine_to(bought.sale.purchase_block + 200)
    watchdog = shop.watchdog()
    watchdog.start()
    parts = await trade.deliveries(world, bought.sale.copy_id, 3)
    assert {part.by for part in parts} == {shop.seller.address}
    assert (await world.market.sale_state(bought.sale.copy_id)).status == Status.COMPLETE


async def test_the_watchdog_settles_when_the_time_to_dispute_is_over(world):
    shop = await open_shop(world)
    *_, watchdog = await shop.daemons(watchdog=True)
    bought = await shop.buy()
    await trade.deliveries(world, bought.sale.copy_id, 3)
    # And the next of the moments at which it closes sales.
    windows = world.deployment.windows
    await world.pass_time(windows.dispute_seconds + windows.dispute_seconds // 24 + 2)
    for _ in range(100):
        state = await world.market.sale_state(bought.sale.copy_id)
        if state.status == Status.SETTLED:
            break
        await asyncio.sleep(0.2)
    assert state.status == Status.SETTLED, watchdog.tail()
    price, fees = bought.sale.terms.price, 3 * bought.sale.terms.fee
    assert await world.market.credits(shop.seller.address) == price - fees
