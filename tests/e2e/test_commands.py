"""The commands of `dam` on a real chain, as people type them, where no daemon helps or hides."""

from __future__ import annotations

import hashlib
import json
import secrets

import pytest

from dam.errors import ContractReverted
from dam.types import ZERO_ADDRESS, CopyId
from demo import trade
from demo.world import CommandFailed, World
from tests.e2e.manual_market import ManualMarket

pytestmark = [pytest.mark.kubo, pytest.mark.asyncio(loop_scope="session")]
CODE = 'id = "code"\nprice = "0.01 ether"\ncodes = ["ALPHA-1", "BETA-2"]\n'


async def test_init_checks_and_writes_settings_once(world: World) -> None:
    actor = await world.actor(f"newcomer {secrets.token_hex(3)}")
    blank = dict.fromkeys(("DAM_RPC_URL", "DAM_DEPLOYMENT", "DAM_IPFS", "DAM_CONFIRMATIONS"), "")
    options = ("--rpc", world.chain.url, "--deployment", world.record, "--ipfs", world.ipfs)
    done = await world.dam(actor, "init", *options, "--account", actor.alias, env=blank)
    assert "dam keys new buyer" in done.stdout
    assert ((actor.dam_home / "config.toml").stat().st_mode & 0o777) == 0o600
    shown = await world.dam(actor, "balance", "--json", env=blank | {"DAM_ACCOUNT": ""})
    assert shown.json["account"] == actor.address
    with pytest.raises(CommandFailed, match="is there already"):
        await world.dam(actor, "init", *options, env=blank)
    wrong = json.loads(world.record.read_text()) | {"codeHash": "0x" + "11" * 32}
    other = actor.home / "other.json"
    other.write_text(json.dumps(wrong))
    with pytest.raises(CommandFailed, match="other code than"):
        await world.dam(
            actor, "init", "--force", "--rpc", world.chain.url, "--deployment", other, env=blank
        )


async def test_a_sale_from_shelf_to_settlement_with_a_junk_part(world: World) -> None:
    market = await ManualMarket(world).open()
    published = await market.publish(
        f'arbitrator = "{market.arbitrator.address}"\n[[items]]\n{CODE}[[items]]\n'
        'id = "note"\nprice = 7\ntext = "hello"\n'
    )
    assert [item["what"] for item in published["items"]] == ["new", "new"]
    shown = await world.dam(market.buyer, "buyer", "browse", "--json")
    [store] = [s for s in shown.json["stores"] if s["seller"] == market.seller.address]
    assert {i["id"]: i["free"] for i in store["items"]} == {"code": 2, "note": 1000}

    sale = await market.buy("code", "--copy", "2")
    assert sale["copy"] == 1
    assert "time is up" in await market.fails(
        market.buyer, "buyer", "wait", sale["id"], "--timeout", "0"
    )
    await market.deliver(sale, 0, junk=True)
    await market.deliver(sale, 1)
    early = await market.fails(market.buyer, "buyer", "open", sale["id"])
    assert "Part 1 by" in early
    assert "1 good parts are there, 2 are needed" in early
    assert "parts are still missing" in await market.fails(
        market.buyer, "buyer", "confirm", sale["id"], "--yes"
    )
    await market.deliver(sale, 2)
    waited = await world.dam(market.buyer, "buyer", "wait", sale["id"], "--json")
    assert sorted(part["index"] for part in waited.json["valid"]) == [1, 2]
    assert [part["index"] for part in waited.json["junk"]] == [0]
    opened = await world.dam(market.buyer, "buyer", "open", sale["id"][:14], "--json")
    assert opened.json["text"] == "BETA-2"
    assert opened.json["sha256"] == hashlib.sha256(b"BETA-2").hexdigest()
    piped = await world.dam(market.buyer, "buyer", "open", sale["id"], "-o", "-")
    assert piped.stdout == "BETA-2"

    listed = await world.dam(market.buyer, "buyer", "purchases", "--json")
    [mine] = listed.json["purchases"]
    assert mine["status"] == "complete"
    bought = await trade.purchase(world, CopyId(bytes.fromhex(sale["id"][2:])))
    windows = world.deployment.windows
    assert (mine["purchaseBlock"], mine["purchaseTime"]) == (
        bought.purchase_block,
        bought.purchase_time,
    )
    assert mine["deadlines"]["deliver"] == bought.purchase_time + windows.delivery_seconds
    assert mine["deadlines"]["proof"] == bought.purchase_time + windows.proof_seconds
    assert {a["action"] for a in mine["actions"] if a["now"] and a["who"] == "buyer"} == {
        "confirm",
        "dispute",
        "prove",
    }
    await world.dam(market.buyer, "buyer", "confirm", sale["id"], "--yes")
    sold = await world.dam(market.seller, "seller", "sales", "--json")
    assert [s["status"] for s in sold.json["sales"]] == ["settled"]
    took = await world.dam(market.seller, "withdraw", "--json")
    fees = 3 * (sale_fee := 10**16 * 5 // 100 // 3)
    assert int(took.json["total"]) == 10**16 - fees
    earned = await world.dam(market.deliverers[0], "withdraw", "--json")
    assert int(earned.json["total"]) == sale_fee
    assert (await world.dam(market.seller, "withdraw", "--json")).json["transactions"] == []


async def test_a_dispute_is_ruled_on_conceded_or_settled(world: World) -> None:
    market = await ManualMarket(world).open()
    head = f'parts = 3\narbitrator = "{market.arbitrator.address}"\n'
    head += 'penalty = "0.001 ether"\n[[items]]\n'
    await market.publish(head + 'id = "note"\nprice = "0.01 ether"\ntext = "hello"\n')
    sales = [await market.buy("note") for _ in range(4)]
    for sale in sales:
        for index in range(3):
            await market.deliver(sale, index)
    for sale in sales:
        await world.dam(
            market.buyer, "buyer", "dispute", sale["id"], "--text", "It is blank.", "--json"
        )
    shown = await world.dam(market.arbitrator, "arbiter", "cases", "--json")
    assert [case["evidence"] for case in shown.json["cases"]] == ["It is blank."] * 4
    assert {case["item"] for case in shown.json["cases"]} == {"note"}

    ruled, given, taken, silent = sales
    options = ("--to-buyer", "25%", "--penalty", "--json")
    done = await world.dam(market.arbitrator, "arbiter", "rule", ruled["id"], *options)
    assert (done.json["toBuyer"], done.json["penalty"]) == (str(10**16 // 4), str(10**15))
    assert "is not disputed" in await market.fails(
        market.arbitrator,
        "arbiter",
        "rule",
        ruled["id"],
        "--to-buyer",
        "0",
        "--no-penalty",
        "--yes",
    )
    await world.dam(market.seller, "seller", "concede", given["id"], "--yes")
    await world.dam(market.buyer, "buyer", "concede", taken["id"], "--yes")
    assert "possible from" in await market.fails(market.arbitrator, "settle", silent["id"])
    await world.pass_time(7 * 86_400 + 1)
    await world.dam(market.arbitrator, "settle", silent["id"])
    listed = await world.dam(market.buyer, "buyer", "purchases", "--json")
    states = {p["id"]: p["status"] for p in listed.json["purchases"]}
    assert [states[sale["id"]] for sale in sales] == [
        "resolved",
        "refunded",
        "settled",
        "settled",
    ]
    # Price, penalty and bonds: a quarter; all; nothing; nothing but the buyer's own bond.
    price, penalty, bond = 10**16, 10**15, 10**15
    expected = (price // 4 + penalty + bond) + (price + penalty + 2 * bond) + 0 + bond
    took = await world.dam(market.buyer, "withdraw", "--json")
    assert int(took.json["total"]) == expected


async def test_a_refund_and_lost_records_come_back(world: World) -> None:
    market = await ManualMarket(world).open()
    await market.publish(f'penalty = "0.002 ether"\n[[items]]\n{CODE}')
    needs = await market.fails(
        market.buyer, "buyer", "buy", market.seller.address, "code", "--yes", "--json"
    )
    assert "--no-arbitrator" in needs
    sale = await market.buy("code", "--no-arbitrator")
    await market.deliver(sale, 0)
    assert "a refund is possible from" in await market.fails(
        market.buyer, "buyer", "refund", sale["id"]
    )
    await world.pass_time(86_401)
    assert "buyer refund" in await market.fails(market.buyer, "buyer", "wait", sale["id"])
    done = await world.dam(market.buyer, "buyer", "refund", sale["id"], "--json")
    # The whole penalty, although one of two needed parts came from a deliverer.
    assert done.json["penalty"] == str(2 * 10**15)
    [owed] = done.json["credits"]
    assert (owed["account"], owed["amount"]) == (market.buyer.address, str(12 * 10**15))
    # And wherever the buyer looks, with the command that takes it out.
    listed = await world.dam(market.buyer, "buyer", "purchases")
    assert "Waiting for you in the market: 0.012 ether. Take it out: dam withdraw" in listed.stdout
    took = await world.dam(market.buyer, "withdraw", "--json")
    assert int(took.json["total"]) == 12 * 10**15

    assert "Waiting" not in (await world.dam(market.buyer, "buyer", "purchases")).stdout
    again = await market.buy("code", "--no-arbitrator")
    assert again["copy"] != sale["copy"]
    for index in (0, 2):
        await market.deliver(again, index)
    [records] = market.buyer.dam_home.glob("markets/*/purchases")
    for record in records.iterdir():
        record.unlink()
    assert "record" in (await world.dam(market.buyer, "buyer", "purchases")).stdout
    await world.dam(market.buyer, "buyer", "purchases", "--rescan")
    assert len(list(records.iterdir())) == 2
    opened = await world.dam(market.buyer, "buyer", "open", again["id"], "--json")
    assert opened.json["text"] in ("ALPHA-1", "BETA-2")
    gone = await market.fails(
        market.buyer, "buyer", "buy", market.seller.address, "code", "--no-arbitrator", "--yes"
    )
    assert "sold out" in gone


async def test_buying_refuses_what_the_market_would(world: World) -> None:
    market = await ManualMarket(world).open()
    await market.publish(f"[[items]]\n{CODE}")
    buy = ("buyer", "buy", market.seller.address, "code", "--no-arbitrator", "--yes")
    await world.dam(market.seller, "seller", "unstake", "0.9999 ether", "--yes")
    assert "the seller's free stake is" in await market.fails(market.buyer, *buy)
    await world.dam(market.seller, "seller", "stake", "0.5 ether", "--yes")
    poor = await world.actor(f"poor {secrets.token_hex(3)}", wei=10**15)
    await world.dam(poor, "keys", "new", "buyer")
    assert "too little for 0.01 ether" in await market.fails(poor, *buy)
    assert list(poor.dam_home.glob("markets/*/purchases/*")) == []
    own = await market.fails(market.seller, "buyer", "buy", market.seller.address, "code")
    assert "keys new buyer" in own


async def test_an_update_adds_codes_and_takes_items_off_sale(world: World) -> None:
    market = await ManualMarket(world).open()
    assert "no store yet" in await market.fails(
        market.seller, "seller", "update", str(_write(market, f"[[items]]\n{CODE}"))
    )
    await market.publish(f"[[items]]\n{CODE}[[items]]\nid = 'note'\nprice = 1\ntext = 'x'\n")
    sale = await market.buy("code", "--no-arbitrator", "--copy", "1")
    more = CODE.replace('"BETA-2"', '"BETA-2", "GAMMA-3"')
    done = await market.publish(f"[[items]]\n{more}", command="update")
    assert [(i["id"], i["what"], i["copies"]) for i in done["items"]] == [("code", "more codes", 3)]
    fewer = CODE.replace('"ALPHA-1", ', "")
    refused = await market.fails(
        market.seller, "seller", "update", str(_write(market, f"[[items]]\n{fewer}")), "--yes"
    )
    assert "copy 1 (sold)" in refused
    assert "ALPHA" not in refused
    same = await market.publish(f"[[items]]\n{more}", command="update")
    assert same["tx"] is None
    # The copy sold before the update still opens, with the parts that it was sold with.
    for index in (1, 2):
        await market.deliver(sale, index)
    opened = await world.dam(market.buyer, "buyer", "open", sale["id"], "--json")
    assert opened.json["text"] == "ALPHA-1"


def _write(market: ManualMarket, items: str) -> str:
    path = market.seller.home / "other.toml"
    path.write_text(f'[store]\nname = "Here"\n[defaults]\n{market.named}\n{items}', "utf-8")
    return str(path)


async def test_a_deliverer_rotates_exits_and_stays(world: World) -> None:
    market = await ManualMarket(world).open()
    one = market.deliverers[0]
    announced = await market.fails(one, "deliverer", "rotate")
    assert "dam keys rotate" in announced
    made = await world.dam(one, "keys", "rotate", "--json")
    rotated = await world.dam(one, "deliverer", "rotate", "--json")
    assert rotated.json["publicKey"] == made.json["publicKey"]
    await world.dam(one, "deliverer", "stake", "0.01 ether", "--yes")
    status = (await world.dam(one, "deliverer", "status", "--json")).json
    assert (status["stake"], status["key"]) == (str(3 * 10**16), made.json["publicKey"])
    assert status["eligible"]

    await world.dam(one, "deliverer", "exit", "--yes")
    status = (await world.dam(one, "deliverer", "status", "--json")).json
    assert status["obstacle"] == "asked to exit"
    assert "leaves from" in await market.fails(one, "deliverer", "withdraw-stake")
    refused = await market.fails(
        market.seller, "seller", "publish", _write(market, f"[[items]]\n{CODE}"), "--yes"
    )
    assert f"{one.address}: asked to exit" in refused
    await world.dam(one, "deliverer", "exit", "--cancel", "--yes")
    listed = (await world.dam(one, "deliverers", "--json")).json["deliverers"]
    [mine] = [d for d in listed if d["operator"] == one.address]
    assert mine["eligible"]
    assert mine["owner"] == one.address

    two = await world.actor(f"hot {secrets.token_hex(3)}")
    await world.dam(two, "keys", "new", "deliverer")
    owner = market.buyer.address
    await world.dam(two, "deliverer", "stake", "0.01 ether", "--owner", owner, "--yes")
    shown = (await world.dam(market.buyer, "balance", "--json")).json
    assert [d["operator"] for d in shown["deliverers"]] == [two.address]


async def test_an_operator_is_named_and_removed(world: World) -> None:
    market = await ManualMarket(world).open()
    await world.dam(market.seller, "seller", "operator", market.arbitrator.address)
    assert await world.market.seller_operator(market.seller.address) == market.arbitrator.address
    await world.dam(market.seller, "seller", "operator", "none")
    assert await world.market.seller_operator(market.seller.address) == ZERO_ADDRESS
    with pytest.raises(ContractReverted):
        await world.send(market.arbitrator, "withdrawSellerStake", 1, market.arbitrator.address)
