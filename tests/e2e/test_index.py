"""The index on a real chain, with real documents, by the commands that people type."""

from __future__ import annotations

import pytest

from demo.world import World
from tests.e2e.manual_market import ManualMarket

pytestmark = [pytest.mark.kubo, pytest.mark.asyncio(loop_scope="session")]
ITEMS = 'id = "code"\nprice = "0.01 ether"\ncodes = ["ALPHA-1", "BETA-2"]\n'


async def test_it_is_synced_and_rebuilt(world: World) -> None:
    market = await ManualMarket(world).open()
    empty = await world.dam(market.buyer, "index", "status", "--json")
    assert empty.json["cursor"] is None
    await market.publish(f'arbitrator = "{market.arbitrator.address}"\n[[items]]\n{ITEMS}')
    sale = await market.buy("code")
    synced = (await world.dam(market.buyer, "index", "sync", "--json")).json
    assert synced["block"] == synced["cursor"]["block"]
    assert synced["items"] >= 1
    assert synced["sales"] >= 1
    again = (await world.dam(market.buyer, "index", "sync", "--json")).json
    assert (again["logs"], again["read"]) == (0, 0)
    await market.deliver(sale, 0)
    more = (await world.dam(market.buyer, "index", "sync", "--json")).json
    assert more["logs"] == 1
    # A file that is none is made anew, and says so; so it is when asked for.
    [path] = market.buyer.dam_home.glob("markets/*/index-3.sqlite")
    path.write_bytes(b"this is no index, nor anything else" * 1000)
    mended = await world.dam(market.buyer, "index", "sync", "--json")
    assert "is built anew from the chain" in mended.stderr
    assert mended.json["sales"] == more["sales"]
    anew = await world.dam(market.buyer, "index", "sync", "--anew")
    assert "as you asked" in anew.stderr
    assert f"{more['sales']} sales" in anew.stdout
