"""A seller's traps on a real chain: a folder lost or old, an item that came back by itself."""

from __future__ import annotations

import shutil

import pytest

from dam.ipfs.cid import Cid
from demo.world import World
from tests.e2e.manual_market import ManualMarket

pytestmark = [pytest.mark.kubo, pytest.mark.asyncio(loop_scope="session")]
CODE = '[[items]]\nid = "code"\nprice = "0.01 ether"\ncodes = ["ALPHA-1", "BETA-2"]\n'
NOTE = '[[items]]\nid = "note"\nprice = "0.01 ether"\ntext = "hello"\n'


async def refusal(market: ManualMarket, items: str, *more: str, command: str = "publish") -> str:
    path = market.seller.home / "store.toml"
    path.write_text(f'[store]\nname = "Here"\n[defaults]\n{market.named}\n{items}', "utf-8")
    return await market.fails(market.seller, "seller", command, str(path), "--yes", *more)


async def test_a_seller_without_the_folder_sells_nothing_twice(world: World) -> None:
    market = await ManualMarket(world).open()
    first = await market.publish(CODE)
    [folder] = market.seller.dam_home.glob("markets/*/catalogue")
    kept = market.seller.home / "backup"
    shutil.copytree(folder, kept)
    await market.buy("code", "--no-arbitrator", "--copy", "1")

    # Seed and account came back on a new machine, the folder did not.
    shutil.rmtree(folder)
    for command in ("publish", "update"):
        told = await refusal(market, CODE, command=command)
        assert str(folder) in told
        assert str(Cid("dag-json", bytes.fromhex(first["digest"][2:]))) in told
        assert "put the whole folder back" in told
        assert "--start-over" in told
    assert (await world.market.store(market.seller.address))[0].hex() == first["digest"][2:]
    # Even who starts over does not sell the codes of an id that has sold some.
    assert "under another id" in await refusal(market, CODE, "--start-over")

    # The folder came back: all goes on. A copy of it from before the next version does not.
    shutil.rmtree(folder)
    shutil.copytree(kept, folder)
    more = CODE.replace('"BETA-2"', '"BETA-2", "GAMMA-3"')
    done = await market.publish(more, command="update")
    assert done["items"][0]["what"] == "more codes"
    await market.buy("code", "--no-arbitrator", "--copy", "3")
    newest = market.seller.home / "newest"
    shutil.move(folder, newest)
    shutil.copytree(kept, folder)
    assert "older than the store" in await refusal(market, more)
    assert "older than the store" in await market.fails(
        market.seller, "seller", "close-item", "code", "--yes"
    )
    assert "copy 3 is sold" in await refusal(market, more, "--start-over")
    rest = CODE.replace('"code"', '"rest"')
    assert "its code 1 was sold already" in await refusal(market, rest, "--start-over")
    rest = rest.replace('"ALPHA-1", ', "")
    done = await market.publish(rest, "--start-over")
    assert [item["id"] for item in done["items"]] == ["rest"]
    assert (await market.publish(rest))["tx"] is None


async def test_what_is_closed_stays_closed_and_changes_are_shown(world: World) -> None:
    market = await ManualMarket(world).open()
    await market.publish(CODE + NOTE)
    done = await world.dam(market.seller, "seller", "close-item", "code", "--yes")
    assert "--open code" in done.stdout
    path = market.seller.home / "store.toml"
    dearer = (CODE + NOTE).replace("0.01", "0.02")
    path.write_text(f'[store]\nname = "There"\n[defaults]\n{market.named}\n{dearer}', "utf-8")
    done = await world.dam(market.seller, "seller", "update", str(path), "--yes")
    for line in (
        "Store: name: 'Here' -> 'There'",
        "code: stays off sale; --open code lists it again",
        "note: price: 0.01 ether -> 0.02 ether",
    ):
        assert line in done.stderr, done.stderr
    assert await _for_sale(market) == {"note"}
    opened = await world.dam(
        market.seller, "seller", "update", str(path), "--open", "code", "--yes"
    )
    assert "code: is for sale again" in opened.stderr
    assert await _for_sale(market) == {"note", "code"}
    # The store as a whole, likewise: an update does not open it.
    await world.dam(market.seller, "seller", "close", "--yes")
    closed = await market.fails(market.seller, "seller", "update", str(path), "--yes")
    assert "the store is closed" in closed
    opened = await world.dam(market.seller, "seller", "publish", str(path), "--yes")
    assert "is closed, and opens again" in opened.stderr
    assert await _for_sale(market) == {"note", "code"}


async def _for_sale(market: ManualMarket) -> set[str]:
    shown = await market.world.dam(market.buyer, "buyer", "browse", "--json")
    found = [s for s in shown.json["stores"] if s["seller"] == market.seller.address]
    return {item["id"] for store in found for item in store["items"]}


async def test_single_codes_go_off_sale_and_stay_so(world: World) -> None:
    market = await ManualMarket(world).open()
    await market.publish(CODE)
    seller = market.seller
    told = await market.fails(seller, "seller", "withdraw-codes", "code", "3", "--yes")
    assert "withdrawn" in told
    done = await world.dam(seller, "seller", "withdraw-codes", "code", "1", "--json")
    assert done.json["copies"] == 1
    assert done.json["tx"]
    refused = await market.fails(
        market.buyer,
        "buyer",
        "buy",
        seller.address,
        "code",
        "--copy",
        "1",
        "--no-arbitrator",
        "--yes",
    )
    assert "has withdrawn copy 1" in refused
    shown = await world.dam(market.buyer, "buyer", "browse", "--json")
    [item] = [i for s in shown.json["stores"] if s["seller"] == seller.address for i in s["items"]]
    assert item["free"] == 1
    # The store file still has the code, and a publish leaves it where it is.
    again = await market.publish(CODE, command="update")
    assert again["items"][0]["what"] == "unchanged"
    assert again["tx"] is None


async def test_options_of_assign_touch_their_item_alone(world: World) -> None:
    market = await ManualMarket(world).open()
    await market.publish(CODE + NOTE)
    path = market.seller.home / "store.toml"
    path.write_text(f'[store]\nname = "Here"\n{CODE}{NOTE}', "utf-8")
    two = [actor.address for actor in market.deliverers[:2]]
    named = [word for address in two for word in ("--deliverer", address)]
    options = ("--assign", "note", "--parts", "2", "--threshold", "2", *named, "--json")
    done = await world.dam(market.seller, "seller", "update", path, *options)
    items = {item["id"]: item for item in done.json["items"]}
    assert items["code"]["what"] == "unchanged"
    assert items["note"]["lots"][0]["deliverers"] == two
    # What an option said stays without it.
    done = await world.dam(market.seller, "seller", "update", path, "--json")
    assert done.json["tx"] is None
    risky = await market.fails(
        market.seller, "seller", "update", str(path), "--parts", "1", "--yes"
    )
    assert risky.count("--one-part-is-enough") == 2
    path.write_text(f'[store]\nname = "Here"\n{CODE}{NOTE}{market.named}\n', "utf-8")
    assert "the file says deliverers for it" in await market.fails(
        market.seller, "seller", "update", str(path), *options
    )
