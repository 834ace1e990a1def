"""A purchase through a node that cannot tell of it: waited for, named, and never paid twice."""

from __future__ import annotations

import asyncio
import re
import signal

import pytest

from demo.world import DAM, World
from tests.e2e.manual_market import ManualMarket
from tests.faults import rpc_faults
from tests.faults.rpc_proxy import RpcProxy

pytestmark = [pytest.mark.kubo, pytest.mark.asyncio(loop_scope="session")]

ITEM = (
    'parts = 3\npenalty = "0.001 ether"\n[[items]]\nid = "note"\nprice = "0.01 ether"\ntext = "x"\n'
)
RECEIPT = "eth_getTransactionReceipt"


async def market_of(world: World) -> tuple[ManualMarket, list[str]]:
    market = await ManualMarket(world).open()
    await market.publish(ITEM)
    options = ["--no-arbitrator", "--yes", "--json"]
    return market, ["buyer", "buy", market.seller.address, "note", *options]


async def sold(market: ManualMarket) -> int:
    listed = await market.world.dam(market.buyer, "buyer", "purchases", "--json")
    return len(listed.json["purchases"])


async def test_a_node_that_indexes_is_asked_until_it_tells(world: World) -> None:
    market, buy = await market_of(world)
    async with RpcProxy(world.chain.url) as proxy:
        indexes = rpc_faults.Refusal(-32000, "transaction indexing is in progress")
        proxy.inject(indexes, RECEIPT, times=3)
        proxy.inject(rpc_faults.BadGateway(), RECEIPT, times=3)
        proxy.inject(rpc_faults.CutJson(), RECEIPT, times=1)
        done = await world.dam(market.buyer, *buy, env={"DAM_RPC_URL": proxy.url})
        assert sum(proxy.counted.values()) == 7
        assert len(proxy.sent) == 1
    assert done.json["tx"] in done.stderr
    assert proxy.secret not in done.stderr
    assert await sold(market) == 1
    # It was told: one more is one more.
    await world.dam(market.buyer, *buy)
    assert await sold(market) == 2


async def test_ctrl_c_after_sending_is_paid_once(world: World) -> None:
    market, buy = await market_of(world)
    async with RpcProxy(world.chain.url) as proxy:
        proxy.inject(rpc_faults.Refusal(-32000, "transaction indexing is in progress"), RECEIPT)
        process = await asyncio.create_subprocess_exec(
            *DAM,
            *buy,
            env={**world.env(market.buyer), "DAM_RPC_URL": proxy.url},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        async with asyncio.timeout(60):
            while not proxy.asked[RECEIPT] > 1:
                assert process.returncode is None
                await asyncio.sleep(0.05)
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(30):
            _, told = await process.communicate()
    said = told.decode()
    assert process.returncode
    assert "Traceback" not in said
    [sent] = proxy.sent
    assert f"Transaction {sent.reply['result']} may still be mined" in said
    [sale] = re.findall(r"this is the sale (0x[0-9a-f]{16})", said)
    # Mined it was; to buy again is refused until its buyer knows of it.
    refused = await market.fails(market.buyer, *buy)
    assert f"the sale {sale} is paid for. Next: dam buyer wait {sale}" in refused
    assert await sold(market) == 1
    for index in range(3):
        [listed] = (await world.dam(market.buyer, "buyer", "purchases", "--json")).json["purchases"]
        await market.deliver(listed, index)
    await world.dam(market.buyer, "buyer", "wait", sale)
    await world.dam(market.buyer, *buy)
    assert await sold(market) == 2
