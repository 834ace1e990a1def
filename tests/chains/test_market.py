"""The whole market on chains other than Anvil, by the commands that people type."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from dam.testing.nodes import NodeMissingError
from demo.world import CommandFailed
from tests.chains.nodes import KINDS
from tests.chains.world import OtherWorld
from tests.fork_server import ForkServer

WINDOWS = ("--refund-seconds", "3600", "--dispute-seconds", "2400")
STORE = """[store]
name = "Codes"
[[items]]
id = "code"
price = "0.05 ether"
parts = 2
commission = "6%"
codes = ["ALPHA-1", "BETA-2"]
"""
pytestmark = pytest.mark.slow


@pytest.fixture(params=KINDS, ids=lambda make: make.__name__)
async def world(request: pytest.FixtureRequest, forks: ForkServer) -> AsyncIterator[OtherWorld]:
    try:
        async with OtherWorld(request.param, WINDOWS, forks.start) as world:
            yield world
    except NodeMissingError as error:
        pytest.skip(str(error))


async def test_a_sale_from_the_deployment_to_the_last_withdrawal(world: OtherWorld) -> None:
    deliverers = [await world.actor(f"deliverer {number}") for number in (1, 2)]
    seller, buyer = await world.actor("seller"), await world.actor("buyer")
    daemons = []
    for deliverer in deliverers:
        await world.dam(deliverer, "keys", "new", "deliverer")
        await world.dam(deliverer, "deliverer", "stake", "0.05 ether", "--yes")
        daemon = world.daemon(deliverer, "deliverer")
        daemon.start()
        daemons.append(daemon)
    for daemon in daemons:
        await daemon.event("ready")

    await world.dam(seller, "keys", "new", "seller")
    await world.dam(seller, "seller", "stake", "1 ether", "--yes")
    store = seller.home / "store.toml"
    store.write_text(STORE, "utf-8")
    await world.dam(seller, "seller", "publish", store, "--yes", "--one-part-is-enough")

    await world.dam(buyer, "keys", "new", "buyer")
    buy = ("buyer", "buy", seller.address, "code", "--no-arbitrator", "--yes", "--json")
    sale = (await world.dam(buyer, *buy)).json["id"]
    await world.dam(buyer, "buyer", "wait", sale, "--timeout", "120")
    opened = await world.dam(buyer, "buyer", "open", sale, "--json")
    assert opened.json["text"] in ("ALPHA-1", "BETA-2")
    await world.dam(buyer, "buyer", "confirm", sale, "--yes")
    for earner in (seller, *deliverers):
        took = await world.dam(earner, "withdraw", "--yes", "--json")
        assert int(took.json["total"]) > 0

    poor = await world.actor("poor", 1000)
    for value in ("0.1 ether", "0.000000000000000001 ether"):
        with pytest.raises(CommandFailed, match=r"too little for .*: send it some coins"):
            await world.dam(poor, "seller", "stake", value, "--yes")

    for deliverer in deliverers:
        await world.dam(deliverer, "deliverer", "doctor")
    for daemon in daemons:
        assert await daemon.stop() == 0
        assert not [line for line in daemon.lines() if line["level"] in ("warning", "error")]
