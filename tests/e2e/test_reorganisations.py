"""Daemons on a real chain that changes its mind (the node's own ``anvil_reorg``)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio

from dam.types import Purchase
from demo import ledgers, trade
from demo.processes import Daemon
from demo.shop import Shop, open_shop
from demo.world import World
from tests.fork_server import ForkServer

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def own_world(forks: ForkServer) -> AsyncIterator[World]:
    """A chain of its own: a reorganisation would take other tests' sales back."""
    async with World(kubo=False, start=forks.start) as world:
        yield world


@pytest_asyncio.fixture(loop_scope="module")
async def shop(own_world: World) -> AsyncIterator[Shop]:
    shop = await open_shop(own_world, parts=2, threshold=2)
    await own_world.mine(12)
    yield shop


async def reorganise(
    world: World, first: int, gone: Callable[[], Awaitable[bool]], tries: int = 5
) -> None:
    """Replaces block ``first`` and all after it by empty ones; Anvil forgets their transactions.

    Anvil is told how many of the newest blocks to replace, and may mine one more in between: then
    the oldest stays, and it is asked again until what must fall out is ``gone``.
    """
    for _ in range(tries):
        await world.rpc.call("anvil_reorg", await world.block() - first + 1, [])
        if await gone():
            return
    raise AssertionError(f"block {first} is still there")


async def stop_all(daemons: list[Daemon]) -> None:
    assert await asyncio.gather(*(daemon.stop() for daemon in daemons)) == [0] * len(daemons)


async def test_a_delivery_that_falls_out_is_put_back(own_world: World, shop: Shop) -> None:
    """F12: the deliveries are gone, the purchase is not."""
    daemons = await shop.daemons()
    bought = await shop.buy()
    first = await trade.deliveries(own_world, bought.sale.copy_id, 2)
    assert len(first) == 2
    await ledgers.passed(daemons, max(part.at.block.number for part in first))

    async def undelivered() -> bool:
        return await trade.delivered(own_world, bought.sale.copy_id) == []

    await reorganise(own_world, bought.sale.at.block.number + 1, undelivered)
    again = await trade.deliveries(own_world, bought.sale.copy_id, 2, seconds=40)
    assert sorted(part.index for part in again) == [0, 1]
    # The very bytes that were sealed the first time.
    assert {part.fragment for part in again} == {part.fragment for part in first}
    assert await shop.recover(bought) == shop.good_of(bought)
    for daemon in daemons:
        assert any(line["event"] == "reorganisation" for line in daemon.lines())
    await stop_all(daemons)


async def test_another_buyer_after_the_purchase_fell_out(own_world: World, shop: Shop) -> None:
    """F15: the copy goes to somebody else, and so do its parts."""
    daemons = await shop.daemons()
    lost = await shop.buy(copy=7)
    await trade.deliveries(own_world, lost.sale.copy_id, 2)

    async def unsold() -> bool:
        return (await own_world.market.sale_state(lost.sale.copy_id)).count == 0

    await reorganise(own_world, lost.sale.at.block.number, unsold)
    bought = await shop.buy(copy=7)
    assert bought.sale.copy_id == lost.sale.copy_id
    assert bought.sale.buyer != lost.sale.buyer
    await trade.deliveries(own_world, bought.sale.copy_id, 2, seconds=40)
    assert await shop.recover(bought) == shop.good_of(bought)
    orphans: list[Any] = []
    for daemon in daemons:
        rows = ledgers.query(
            daemon, "SELECT buyer FROM purchases WHERE copy_id = ? ORDER BY id", lost.sale.copy_id
        )
        orphans.append([row[0] for row in rows])
    assert orphans == [[lost.sale.buyer, bought.sale.buyer]] * 2
    await stop_all(daemons)


async def test_a_purchase_that_comes_back_is_delivered_once(own_world: World, shop: Shop) -> None:
    """F14: the same purchase, signed once, in a later block."""
    daemons = await shop.daemons()
    buyer = await own_world.actor("buyer")
    ready = await trade.order(own_world, shop.seller, "thing")
    receipt = await own_world.send_data(buyer, ready.data, value=ready.terms.price)
    raw = await own_world.rpc.call("eth_getRawTransactionByHash", "0x" + receipt.tx_hash.hex())
    for daemon in daemons:
        await ledgers.passed([daemon], receipt.block)

    async def unmined() -> bool:
        tx_hash = "0x" + receipt.tx_hash.hex()
        return await own_world.rpc.call("eth_getTransactionReceipt", tx_hash) is None

    await reorganise(own_world, receipt.block, unmined)
    await own_world.mine(2)
    await own_world.rpc.call("eth_sendRawTransaction", raw)
    await own_world.mine(1)
    [sale] = [
        log
        for log in await own_world.logs()
        if isinstance(log, Purchase) and log.buyer == buyer.address
    ]
    parts = await trade.deliveries(own_world, sale.copy_id, 2, seconds=40)
    assert sorted(part.index for part in parts) == [0, 1]
    bought = trade.Bought(sale, ready.secrets)
    assert await shop.recover(bought) == shop.good_of(bought)
    await own_world.mine(4)
    await asyncio.sleep(1)
    assert len(await trade.delivered(own_world, sale.copy_id)) == 2
    await stop_all(daemons)
