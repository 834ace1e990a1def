"""Three nodes of which two must agree: one lags, one is over its quota, and what that delays."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.faults.daemons import Process
from tests.faults.rpc_faults import Refusal, Stale, Status
from tests.faults.rpc_proxy import RpcProxy
from tests.faults.table import Injected
from tests.faults.world import FaultWorld

THROTTLED_SECONDS = float(os.environ.get("DAM_THROTTLED_SECONDS", "12"))
"""In four forms, one after the other; a minute in `make nightly`."""
IN_TIME_BLOCKS = 20
"""Of the hundred in which nobody else may deliver; a block is mined each second."""
QUOTA = {"jsonrpc": "2.0", "id": None, "error": {"code": -32005, "message": "too many requests"}}
FORMS = (
    Status(429, "slow down", 5),
    Status(429, QUOTA),
    Refusal(-32005, "project ID request rate exceeded", {"rate": {"backoff_seconds": 3}}),
    Refusal(429, "exceeded its compute units per second capacity of the block range plan"),
)
_BACK_SECONDS = max(6.0, THROTTLED_SECONDS / len(FORMS) + 2)
"""A node is taken back within as long as it was away: before the next one fails."""


@asynccontextmanager
async def blocks_each_second(world: FaultWorld) -> AsyncIterator[None]:
    async def mine() -> None:
        while True:
            await asyncio.sleep(1)
            await world.mine()

    task = asyncio.create_task(mine())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def started(world: FaultWorld, proxies: list[RpcProxy]) -> list[Process]:
    urls = ",".join(proxy.url for proxy in proxies)
    daemons = [world.process(n, rpc=urls, env={"DAM_RPC_AGREE": "2"}) for n in range(3)]
    for daemon in daemons:
        await daemon.start()
    return daemons


async def late(world: FaultWorld, daemons: list[Process]) -> list[str]:
    """Parts of the sales so far that are not there, or not in time."""
    blocks = {(log.copy_id, log.by): log.at.block.number for log in await world.delivered()}
    found = []
    for one in world.sold:
        for daemon in daemons:
            block = blocks.get((one.sale.copy_id, daemon.actor.address))
            bought = one.sale.at.block.number
            if block is None or block > bought + IN_TIME_BLOCKS:
                found.append(f"{daemon}: bought in {bought}, delivered in {block}")
    return found


@pytest.mark.parametrize("bad", ["one lags", "one is over its quota", "one of each in turn"])
async def test_nothing_is_late_where_two_are_healthy(
    world: FaultWorld, injected: Injected, bad: str
) -> None:
    proxies = [await world.proxy(injected) for _ in range(3)]
    daemons = await started(world, proxies)
    async with blocks_each_second(world):
        for number in range(4):
            proxy = proxies[number % 3]
            if bad == "one lags" or (bad == "one of each in turn" and number % 2):
                rule = proxy.inject(Stale(await world.block(), refuses=True))
            else:
                rule = proxy.inject(FORMS[number])
            await asyncio.sleep(2)
            await world.buy()
            await asyncio.sleep(THROTTLED_SECONDS / len(FORMS))
            rule.stop()
            await asyncio.sleep(_BACK_SECONDS)
    await world.until_delivered(*daemons)
    assert await late(world, daemons) == []
    for daemon in daemons:
        assert not daemon.logged("endpoints_disagree")
        assert not daemon.logged("endpoints_too_few")


async def test_one_healthy_node_is_too_few_and_that_is_told(
    world: FaultWorld, injected: Injected
) -> None:
    """One lags, one is over its quota in four forms: no part is late once there are two again."""
    lagging, throttled, well = [await world.proxy(injected) for _ in range(3)]
    daemons = await started(world, [lagging, throttled, well])
    async with blocks_each_second(world):
        lagging.inject(Stale(await world.block(), refuses=True))
        await asyncio.sleep(2)
        await world.buy()
        for form in FORMS:
            rule = throttled.inject(form)
            await asyncio.sleep(THROTTLED_SECONDS / len(FORMS))
            assert await world.delivered() == [], "one node alone is not believed"
            rule.stop()
        for daemon in daemons:
            assert 1 <= len(daemon.logged("endpoints_too_few")) <= len(FORMS)
        await world.until_delivered(*daemons, seconds=90)
        # The next one is no later than with three.
        await world.buy()
        await world.until_delivered(*daemons, seconds=90)
    [*_, last] = world.sold
    world.sold = [last]
    assert await late(world, daemons) == []
