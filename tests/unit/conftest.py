"""Fixtures that the tests of several packages share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from dam.crypto.hashing import keccak
from dam.roles.seller.store_builder import BuiltStore
from dam.sending.sender import SendPolicy
from dam.types import ZERO_ADDRESS, Deployment, Wei, Windows
from tests.unit.helpers.records import Make, person
from tests.unit.helpers.shop import THIEF, Shop
from tests.unit.helpers.world import DEAR_FEE, SELLER, WatchdogDaemon, World


@pytest.fixture
def windows() -> Windows:
    """300 blocks of `helpers.records` to refund, 200 to dispute, 150 to rule."""
    stake = Wei(10**16)
    return Windows(3600, 2400, 1800, 9600, 1200, 1200, stake, stake, Wei(5 * 10**15))


@pytest.fixture
def deployment(windows: Windows) -> Deployment:
    code = keccak(b"code")
    market, proofs, closing = map(person, (0xDA, 0xDB, 0xDC))
    return Deployment(31337, market, 1, code, proofs, closing, windows, ZERO_ADDRESS)


@pytest.fixture
def make() -> type[Make]:
    return Make


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "catalogue")


@pytest.fixture
def thief(tmp_path: Path, shop: Shop) -> Shop:
    """Another seller, on the same block store, who knows the same deliverers."""
    return Shop(tmp_path / "thief", THIEF, shop.blocks, daemons=shop.daemons)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    for daemon in made.deliverers:
        with suppress(Exception):
            daemon.ledger.close()


@pytest.fixture
async def built(world: World) -> BuiltStore:
    """The shop's store on the chain, with one shared item and one of stock."""
    await world.shop.add("coupon")
    codes = [b"code one", b"code two", b"code three"]
    await world.shop.add("code", *codes, stock=True, supply=0)
    store = await world.shop.publish()
    world.chain.mine(3)
    return store


@pytest.fixture
async def dear(world: World) -> BuiltStore:
    """Parts that earn what 50,000 gas cost at two gwei ("dear"), a thousand times as much
    ("dearer") or next to nothing ("cheap"), for deliverers that skip what does not pay."""
    await world.shop.add("dear", price=10**18, commission=Wei(3 * DEAR_FEE))
    await world.shop.add("dearer", price=10**18, commission=Wei(3000 * DEAR_FEE))
    await world.shop.add("cheap")
    built = await world.shop.publish()
    world.chain.mine(3)
    for daemon in world.deliverers:
        daemon.policy = SendPolicy(confirmations=2)
        daemon.restart()
    return built


@pytest.fixture
def watchdog(world: World) -> Iterator[WatchdogDaemon]:
    made = WatchdogDaemon(world, world.shop, "operator", world.folder / "watchdog.sqlite")
    world.chain.operators[SELLER] = made.address
    yield made
    made.ledger.close()
