"""Junk on a real chain: the buyer proves it, the seller's watchdog replaces it."""

import json

import pytest

from dam.types import FALLBACK_BLOCKS, CopyId, JunkProved, Status
from demo import trade
from demo.world import ROOT, python
from tests.e2e.manual_market import ManualMarket

pytestmark = [pytest.mark.kubo, pytest.mark.asyncio(loop_scope="session")]

ITEM = """
[[items]]
id = "code"
price = "0.01 ether"
commission = "0.0003 ether"
penalty = "0.002 ether"
codes = ["THE-CODE-0001"]
"""


async def watchdog_of(market):
    world, seller = market.world, market.seller
    operator = await world.actor("watchdog")
    await world.send(seller, "setSellerOperator", operator.address)
    home = {"DAM_HOME": str(seller.dam_home), "DAM_KEY_PASSPHRASE": seller.passphrase}
    script = python(ROOT / "daemons" / "watchdog.py")
    return world.daemon(operator, "watchdog", command=script, env=home), operator


async def test_two_parts_are_proved_and_replaced_through_a_kill(world, check_nonces):
    """Too few good parts are left, so that the sale waits again; one fresh key serves both."""
    market = await ManualMarket(world).open()
    await market.publish(ITEM, "--yes")
    bought = await market.buy("code", "--no-arbitrator")
    sale = await trade.purchase(world, CopyId(bytes.fromhex(bought["id"][2:])))
    for index in range(3):
        await market.deliver(bought, index, junk=index < 2)
    state = await world.market.sale_state(sale.copy_id)
    assert (state.status, state.count) == (Status.COMPLETE, 3)
    told = await market.fails(market.buyer, "buyer", "open", bought["id"])
    assert "dam buyer prove" in told

    watchdog, operator = await watchdog_of(market)
    watchdog.start()
    await watchdog.event("ready")
    await world.dam(market.buyer, "buyer", "prove", bought["id"], "--yes", "--json")
    proofs = [x for x in await world.logs() if isinstance(x, JunkProved)]
    proofs = [log for log in proofs if log.copy_id == sale.copy_id]
    assert [(log.index, log.cleared) for log in proofs] == [(0, True), (1, True)]
    assert len({log.fresh_key for log in proofs}) == 1
    # As the proof left it: on a slow machine the fallback may be here already.
    state = await world.market.sale_state(sale.copy_id, block=proofs[0].at.block.number)
    assert (state.status, state.count, state.marked) == (Status.PURCHASED, 1, True)

    await watchdog.kill()
    await world.mine_to(sale.purchase_block + FALLBACK_BLOCKS + 1)
    watchdog.start()
    parts = await trade.deliveries(world, sale.copy_id, 5)
    late = [part for part in parts if part.by == market.seller.address]
    assert sorted(part.index for part in late) == [0, 1]
    state = await world.market.sale_state(sale.copy_id)
    assert (state.status, state.count) == (Status.COMPLETE, 3)
    good = market.buyer.home / "good"
    await world.dam(market.buyer, "buyer", "open", bought["id"], "--output", good, "--json")
    assert good.read_text().strip() == "THE-CODE-0001"
    assert await check_nonces(operator.address) in (1, 2)
    # Neither deliverer's daemon has signed anything: it tells that somebody else has its key.
    [found] = [x for x in market.deliverers if x.address == proofs[0].deliverer]
    as_it = ("--once", "--dry-run", "--address", found.address)
    said = (await world.dam(found, "deliverer", "run", *as_it)).stderr
    [told] = [line for line in said.splitlines() if '"own_part_junk"' in line]
    assert json.loads(told)["sale"] == bought["id"]
    # Nobody was paid twice: the fees of the two stay with who sent junk, the fine is taken.
    fee = sale.terms.fee
    for deliverer in market.deliverers:
        assert (await world.market.deliverer(deliverer.address)).earned == fee
