"""Daemons killed with SIGKILL at every named place, again and again, while sales go on."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from demo import trade
from demo.processes import Daemon
from demo.shop import ETHER, Shop, open_shop
from demo.trade import Bought
from demo.world import World, python

pytestmark = [pytest.mark.kubo, pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

PLACES = [f"F{number}" for number in range(1, 9)]
PURCHASES = 50
ROUNDS = 5
LAUNCHER = Path(__file__).resolve().parents[1] / "faults" / "crashing.py"
_CRASH_SECONDS = 60.0


async def test_fifty_sales_survive_kills_at_every_place(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """Acceptance: nothing lost, nothing doubled, nothing reverted, no nonce skipped."""
    shop = await open_shop(world, parts=3, threshold=2)
    daemons = [shop.deliverer(n, command=[*python(LAUNCHER), "deliverer"]) for n in range(3)]
    update = updater(shop)
    killers = asyncio.gather(*(kill_everywhere(daemon, update) for daemon in daemons))
    buyer = await world.actor("buyer", 100 * ETHER)
    bought: list[Bought] = []
    while len(bought) < PURCHASES or not killers.done():
        bought.append(await shop.buy(buyer))
        await asyncio.sleep(random.uniform(0.2, 3.0) if len(bought) < PURCHASES else 3.0)
    await killers
    for daemon in daemons:
        daemon.env.pop("DAM_CRASH_AT")
        daemon.start()
    for one in bought:
        await trade.deliveries(world, one.sale.copy_id, 3, seconds=60)
    await world.mine(4)
    await asyncio.sleep(2)

    for one in bought:
        parts = await trade.delivered(world, one.sale.copy_id)
        assert sorted(part.index for part in parts) == [0, 1, 2]
        assert await shop.recover(one) == shop.good_of(one)
    transactions = [await check_nonces(world, actor.address) for actor in shop.deliverers]
    kills = [kills_of(daemon) for daemon in daemons]
    with capsys.disabled():
        print(f"\n{len(bought)} purchases; transactions {transactions}; kills:")
        for daemon, counted in zip(daemons, kills, strict=True):
            print(f"  {daemon.name}: {dict(sorted(counted.items()))}")
    for counted in kills:
        assert all(counted[place] >= ROUNDS for place in PLACES)


async def kill_everywhere(daemon: Daemon, update: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Runs the daemon into each place, in every round in another order."""
    for _ in range(ROUNDS):
        for place in random.sample(PLACES, len(PLACES)):
            # Logs are read all the time; the other places come with a sale or a store alone.
            visit = random.randint(1, 4) if place in ("F1", "F2") else 1
            daemon.env["DAM_CRASH_AT"] = f"{place}:{visit}"
            daemon.start()
            if place == "F3":
                await update()
            assert await daemon.wait(_CRASH_SECONDS) == -9, daemon.tail()


def updater(shop: Shop) -> Callable[[], Coroutine[Any, Any, None]]:
    """Publishes the store anew, so that there is a document that nobody has read."""
    lock, versions = asyncio.Lock(), itertools.count(2)

    async def update() -> None:
        async with lock:
            listing = replace(shop.listing, title=f"A thing, edition {next(versions)}")
            shop.catalogue.save(listing)
            await shop.publish()

    return update


def kills_of(daemon: Daemon) -> Counter[str]:
    return Counter(line["place"] for line in daemon.lines() if line.get("event") == "crash")


async def check_nonces(world: World, address: str) -> int:
    """Every transaction of an account in order, none reverted; returns how many there are."""
    nonces = []
    for number in range(await world.block() + 1):
        block = await world.rpc.call("eth_getBlockByNumber", hex(number), True)
        for tx in block["transactions"]:
            if tx["from"].lower() == address.lower():
                receipt = await world.rpc.call("eth_getTransactionReceipt", tx["hash"])
                assert receipt["status"] == "0x1", f"reverted: {tx['hash']}"
                nonces.append(int(tx["nonce"], 16))
    assert nonces == list(range(len(nonces)))
    return len(nonces)


async def test_a_watchdog_killed_at_every_place_delivers_once(world: World) -> None:
    shop = await open_shop(world, parts=2, threshold=2)
    watchdog = shop.watchdog(command=[*python(LAUNCHER), "watchdog"])
    bought = await shop.buy()
    await world.mine_to(bought.sale.block + 100)
    for place in ("F1", "F2", "F6", "F7", "F8"):
        watchdog.env["DAM_CRASH_AT"] = f"{place}:1"
        watchdog.start()
        assert await watchdog.wait(_CRASH_SECONDS) == -9, watchdog.tail()
    watchdog.env.pop("DAM_CRASH_AT")
    watchdog.start()
    await trade.deliveries(world, bought.sale.copy_id, 2)
    await world.mine(4)
    await asyncio.sleep(1.5)
    parts = await trade.delivered(world, bought.sale.copy_id)
    assert sorted(part.index for part in parts) == [0, 1]
    assert await shop.recover(bought) == shop.good_of(bought)
    await check_nonces(world, shop.operator.address)
