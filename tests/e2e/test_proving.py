"""Junk, found and proved by the buyer's commands, on a real chain and without daemons."""

import secrets
from dataclasses import replace

import pytest
import pytest_asyncio

from dam.crypto.sealing import seal_fragment
from dam.market.log_history import read_history
from dam.types import FALLBACK_BLOCKS, CopyId, Status
from demo import by_hand, trade
from tests.e2e.manual_market import ManualMarket

pytestmark = [pytest.mark.kubo, pytest.mark.asyncio(loop_scope="session")]

ITEM = """
[[items]]
id = "words"
price = "0.1 ether"
text = "the words that were sold"
parts = 3
threshold = 2
supply = 9
"""


@pytest_asyncio.fixture(loop_scope="session")
async def market(world):
    found = await ManualMarket(world).open()
    await found.publish(ITEM, "--yes")
    return found


async def purchase_of(market, sale):
    return await trade.purchase(market.world, CopyId(bytes.fromhex(sale["id"][2:])))


async def prove(market, sale):
    done = await market.world.dam(market.buyer, "buyer", "prove", sale["id"], "--yes", "--json")
    return done.json


async def state(market, sale):
    return await market.world.market.sale_state(CopyId(bytes.fromhex(sale["id"][2:])))


async def deliver_for_the_seller(market, purchase, index, *, junk=False, fresh_key=bytes(32)):
    delivery = by_hand.delivery_of(market.seller, purchase, index, junk=junk)
    if any(fresh_key):
        share = secrets.token_bytes(32)
        if not junk:
            share = by_hand.share_of(market.seller, purchase, index)
        sealed = seal_fragment(share, fresh_key)
        delivery = replace(delivery, fresh_key=fresh_key, fragment=sealed)
    signature = by_hand.signed(market.world, market.seller, delivery)
    await market.world.send(market.seller, "deliverFragment", delivery, signature)


async def test_junk_is_found_proved_and_replaced(market):
    world = market.world
    sale = await market.buy("words", "--no-arbitrator")
    name, purchase = sale["id"], await purchase_of(market, sale)
    await market.deliver(sale, 0)
    await market.deliver(sale, 1, junk=True)
    said = await market.fails(market.buyer, "buyer", "open", name)
    assert "Part 2" in said
    assert "dam buyer prove" in said
    stakes = await world.market.deliverers([actor.address for actor in market.deliverers])
    proved = await prove(market, sale)
    assert (proved["call"], [part["index"] for part in proved["parts"]]) == ("proveJunk", [1])
    after = await world.market.deliverers([actor.address for actor in market.deliverers])
    fine = max(world.deployment.windows.junk_fine, 10 * purchase.terms.fee)
    assert sum(one.stake for one in stakes) - sum(one.stake for one in after) == fine
    assert await world.market.credits(market.buyer.address) == fine // 5
    now = await state(market, sale)
    assert (now.status, now.delivered, now.marked) == (Status.PURCHASED, 1, True)
    said = await market.fails(market.buyer, "buyer", "prove", name, "--yes")
    assert "proved already: part 2" in said

    # The seller's side delivers the part anew, to the key that the proof named.
    await world.mine_to(purchase.purchase_block + FALLBACK_BLOCKS + 1)
    [record] = [one for one in (await read_history(world.market)).state.sales.values() if one.junk][
        -1:
    ]
    await deliver_for_the_seller(market, purchase, 1, fresh_key=record.fresh_key)
    done = await world.dam(market.buyer, "buyer", "open", name, "--json")
    assert done.json["text"] == "the words that were sold"
    assert [junk["index"] for junk in done.json["skipped"]] == [1]
    assert done.json["provable"] == []


@pytest.mark.parametrize("replaces", [False, True])
async def test_junk_of_the_sellers_side_gives_the_money_back(market, replaces):
    world = market.world
    sale = await market.buy("words", "--no-arbitrator")
    purchase = await purchase_of(market, sale)
    await market.deliver(sale, 0)
    fresh = bytes(32)
    if replaces:
        await market.deliver(sale, 1, junk=True)
        await prove(market, sale)
        record = (await read_history(world.market)).state.sales[purchase.copy_id]
        fresh = record.fresh_key
    await world.mine_to(purchase.purchase_block + FALLBACK_BLOCKS + 1)
    await deliver_for_the_seller(market, purchase, 1, junk=True, fresh_key=fresh)
    before = await world.market.credits(market.buyer.address)
    proved = await prove(market, sale)
    assert proved["call"] == "proveSellerJunk"
    assert (await state(market, sale)).status == Status.REFUNDED
    terms = purchase.terms
    after = await world.market.credits(market.buyer.address)
    # The fee of a fallback goes back to the buyer out of the price; a replacement earns nothing.
    assert after - before == terms.price + terms.penalty
    done = await world.dam(market.buyer, "buyer", "rate", sale["id"], "1", "--json")
    assert done.json["stars"] == 1


async def test_a_record_lost_and_restored_proves_as_well(market):
    """Seed and chain give keys and fresh key, the store the Merkle proofs."""
    sale = await market.buy("words", "--no-arbitrator")
    await market.deliver(sale, 2, junk=True)
    for path in market.buyer.dam_home.rglob(f"{sale['id']}-*.json"):
        path.unlink()
    proved = await prove(market, sale)
    assert proved["call"] == "proveJunk"
