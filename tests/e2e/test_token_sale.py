"""A sale in an ERC-20 token, from publishing to withdrawing, by the commands alone."""

from __future__ import annotations

import asyncio
import secrets

import pytest

from dam.types import CopyId
from demo import trade
from demo.token import deploy_token
from demo.world import CommandFailed, World
from tests.e2e.manual_market import ManualMarket

pytestmark = [pytest.mark.kubo, pytest.mark.asyncio(loop_scope="session")]
UNIT = 10**18


async def test_a_token_sale_by_approval_and_by_permit(world: World) -> None:
    market, token = await asyncio.gather(ManualMarket(world).open(), deploy_token(world))
    await market.publish(
        f'[[items]]\nid = "code"\ntoken = "{token.address}"\nprice = "5.25"\n'
        f'commission = "0.003 ether"\npenalty = "0.002 ether"\nbond = "0.001 ether"\n'
        f'arbitrator = "{market.arbitrator.address}"\ncodes = ["ALPHA-1", "BETA-2"]\n'
    )
    shown = await world.dam(market.buyer, "buyer", "browse", "--seller", market.seller.address)
    assert "5.25 PLN (" in shown.stdout
    assert "2 of 2" in shown.stdout
    assert "not rated" in shown.stdout
    # Without tokens the purchase is refused before anything is sent.
    told = await market.fails(market.buyer, "buyer", "buy", market.seller.address, "code", "--yes")
    assert "has 0 PLN" in told
    await token.mint(market.buyer, 11 * UNIT)

    first = await market.buy("code")
    assert await token.balance(world.deployment.market) == 525 * UNIT // 100
    second = await market.buy("code", "--permit")
    assert await token.balance(market.buyer.address) == UNIT // 2
    assert {first["copy"], second["copy"]} == {0, 1}
    told = await market.fails(market.buyer, "buyer", "buy", market.seller.address, "code", "--yes")
    assert "sold out" in told

    sales = (await world.dam(market.seller, "seller", "sales", "--json")).json
    assert sales["bound"] == str(2 * (3 + 2 + 1) * 10**15)
    assert [(i["sold"], i["free"]) for i in sales["items"]] == [(2, 0)]

    await asyncio.gather(*(market.deliver(first, index) for index in range(3)))
    name = first["id"][:18]
    await world.dam(market.buyer, "buyer", "confirm", name, "--yes")
    await world.dam(market.buyer, "buyer", "rate", name, "4")
    told = await market.fails(market.buyer, "buyer", "rate", name, "5")
    assert "rated already" in told
    shown = await world.dam(market.buyer, "buyer", "browse", "--seller", market.seller.address)
    assert "4.0 of 5 (1 rated" in shown.stdout

    [held] = (await world.dam(market.seller, "balance", "--json")).json["tokens"]
    assert (held["symbol"], held["credit"]) == ("PLN", str(525 * UNIT // 100))
    await world.dam(market.seller, "withdraw", "--yes")
    assert await token.balance(market.seller.address) == 525 * UNIT // 100

    # The second sale never gets its parts: the tokens come back.
    purchase = await trade.purchase(world, CopyId(bytes.fromhex(second["id"][2:])))
    window = world.deployment.windows.refund_seconds
    await world.pass_to(purchase.purchase_time + window + 1)
    await world.dam(market.buyer, "buyer", "refund", second["id"][:18], "--json")
    await world.dam(market.buyer, "withdraw", "--yes")
    assert await token.balance(market.buyer.address) == UNIT // 2 + 525 * UNIT // 100
    assert await token.balance(world.deployment.market) == 0


async def test_closing_an_item_and_the_store_and_opening_it_again(world: World) -> None:
    market = await ManualMarket(world).open()
    items = (
        '[[items]]\nid = "one"\nprice = 1000\ntext = "a"\n'
        '[[items]]\nid = "two"\nprice = 1000\ntext = "b"\n'
    )
    await market.publish(items)
    await world.dam(market.seller, "seller", "close-item", "one", "--json")
    told = await market.fails(
        market.buyer, "buyer", "buy", market.seller.address, "one", "--yes", "--no-arbitrator"
    )
    assert "no item 'one'" in told
    await world.dam(market.seller, "seller", "close", "--json")
    told = await market.fails(
        market.buyer, "buyer", "buy", market.seller.address, "two", "--yes", "--no-arbitrator"
    )
    assert "has closed the store" in told
    assert "is closed" in await market.fails(market.seller, "seller", "close", "--json")
    # The store opens; an item that was closed does so by its name alone.
    await market.publish(items)
    assert (await market.buy("two", "--no-arbitrator"))["item"] == "two"
    told = await market.fails(
        market.buyer, "buyer", "buy", market.seller.address, "one", "--yes", "--no-arbitrator"
    )
    assert "no item 'one'" in told
    await market.publish(items, "--open", "one")
    assert (await market.buy("one", "--no-arbitrator"))["item"] == "one"


async def test_posted_terms_are_respected(world: World) -> None:
    market = await ManualMarket(world).open()
    first = market.deliverers[0]
    await world.dam(first, "deliverer", "terms", "--min-fee", "1 ether", "--closed", "--json")
    listed = (await world.dam(market.buyer, "deliverers", "--json")).json["deliverers"]
    [entry] = [e for e in listed if e["operator"] == first.address]
    assert (entry["minFee"], entry["open"]) == (str(10**18), False)
    with pytest.raises(CommandFailed, match="takes no new items"):
        await market.publish('[[items]]\nid = "one"\nprice = 1000\ntext = "a"\n')
    await world.dam(first, "deliverer", "terms", "--min-fee", "0", "--open", "--json")
    await market.publish('[[items]]\nid = "one"\nprice = 1000\ntext = "a"\n')


async def test_evidence_of_all_parties_reaches_the_arbiter(world: World) -> None:
    market = await ManualMarket(world).open()
    word = secrets.token_hex(4)
    await market.publish(
        f'arbitrator = "{market.arbitrator.address}"\n[[items]]\nid = "code"\n'
        'price = "0.01 ether"\ncodes = ["ALPHA-1"]\n'
    )
    sale = await market.buy("code")
    name = sale["id"][:18]
    await asyncio.gather(*(market.deliver(sale, index) for index in range(3)))
    await world.dam(market.buyer, "buyer", "dispute", name, "--text", "used", "--yes", "--json")
    await world.dam(market.seller, "seller", "evidence", name, "--text", word, "--yes", "--json")
    cases = (await world.dam(market.arbitrator, "arbiter", "cases", "--json")).json
    [case] = [c for c in cases["cases"] if c["id"] == sale["id"]]
    [more] = case["moreEvidence"]
    assert (more["who"], more["words"]) == (market.seller.address, word)
    assert cases["record"] == {"cases": 1, "rulings": 0, "silences": 0, "waiting": 1}
