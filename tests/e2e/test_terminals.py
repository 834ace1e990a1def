"""One Ctrl-C at any question ends at once, and leaves nothing half begun; on real terminals."""

from __future__ import annotations

import asyncio
import json

import pytest

from dam.console import columns
from demo.actors import Actor
from demo.world import DAM, CommandFailed, World
from tests.e2e.manual_market import ManualMarket
from tests.terminal import CTRL_C, Terminal

pytestmark = [pytest.mark.kubo, pytest.mark.asyncio(loop_scope="session")]
CODE = '[[items]]\nid = "code"\nprice = "0.01 ether"\ncodes = ["ALPHA-1", "BETA-2"]\n'


async def interrupted(world: World, actor: Actor, question: str, *words: str, **env: str) -> str:
    """What was shown until one Ctrl-C at a question."""

    def play() -> str:
        with Terminal([*DAM, *map(str, words)], {**world.env(actor), **env}) as person:
            person.expect(question)
            person.type(CTRL_C)
            assert person.end(15) == 130, person.text
            assert "Traceback" not in person.text
            return person.text

    return await asyncio.to_thread(play)


async def test_one_ctrl_c_at_any_question_leaves_nothing_half_begun(world: World) -> None:
    market = await ManualMarket(world).open()
    seller, buyer = market.seller, market.buyer
    store = seller.home / "store.toml"
    store.write_text(f'[store]\nname = "Here"\n[defaults]\n{market.named}\n{CODE}', "utf-8")
    told = await interrupted(world, seller, "Publish it", "seller", "publish", store)
    assert "Sending" not in told
    await market.publish(CODE)

    buying = ("buyer", "buy", seller.address, "code", "--no-arbitrator")
    told = await interrupted(world, buyer, "Buy it?", *buying)
    assert told.rstrip().endswith("Error: stopped")
    listed = (await world.dam(buyer, "buyer", "purchases", "--json")).json
    assert (listed["purchases"], listed["unpaid"]) == ([], [])

    # Nothing asks for --again; the sale's id and the hash are said before the money moves.
    done = await world.dam(buyer, *buying, "--yes", "--json")
    lines = done.stderr.splitlines()
    assert f"Sale        {done.json['id']}" in lines
    assert f"Sending transaction {done.json['tx']}" in lines

    sale = done.json["id"]
    for index in range(3):
        await market.deliver(done.json, index)
    env = {name: text for name, text in world.env(buyer).items() if name != "DAM_KEY_PASSPHRASE"}

    def asked() -> None:
        with Terminal([*DAM, "buyer", "open", sale], env) as person:
            person.expect("Passphrase of the key file")
            person.type(CTRL_C)
            assert person.end(15) == 130

    await asyncio.to_thread(asked)
    assert not list(buyer.home.glob("code*"))
    assert (await world.dam(buyer, "buyer", "confirm", sale, "--yes")).stdout
    told = await interrupted(world, seller, "Withdraw", "withdraw")
    assert "Sending" not in told
    fresh = await world.actor("newcomer at a terminal")
    await interrupted(world, fresh, "Ape account that signs", "deliverer", "init", DAM_ACCOUNT="")
    assert not (fresh.dam_home / "config.toml").exists()


async def test_ipfs_that_is_down_is_an_error_of_its_own(world: World) -> None:
    market = await ManualMarket(world).open()
    await market.publish(CODE)
    down = {"DAM_IPFS": "http://127.0.0.1:1"}
    for words in (("browse",), ("buy", market.seller.address, "code", "--no-arbitrator", "--yes")):
        with pytest.raises(CommandFailed) as caught:
            await world.dam(market.buyer, "buyer", *words, "--json", env=down)
        assert caught.value.code == 4
        error = json.loads(caught.value.stdout)["error"]
        assert error["kind"] == "ipfs"
        assert error["message"].startswith("no connection to http://127.0.0.1:1: ")
        assert "`dam doctor` looks at it" in error["message"]
    with pytest.raises(CommandFailed) as caught:
        await world.dam(market.buyer, "doctor", env=down)
    assert (caught.value.code, "FAIL  ipfs" in caught.value.stdout) == (1, True)
    assert "has 1" in (await world.dam(market.buyer, "doctor")).stdout


READERS = [
    ("deliverers",), ("buyer", "browse"), ("buyer", "purchases"), ("seller", "sales"),
    ("balance",), ("doctor",), ("deliverer", "doctor"), ("deliverer", "status"),
    ("deliverer", "config"), ("arbiter", "cases"), ("keys", "new", "buyer"), ("--help",),
    ("buyer", "buy", "--help"), ("seller", "publish", "--help"), ("balance", "--json"),
]  # fmt: skip


async def test_everything_that_is_said_fits_80_columns(world: World) -> None:
    market = await ManualMarket(world).open()
    store = market.seller.home / "store.toml"
    title = 'id = "code"\ntitle = "A title as long as people write them, or longer"'
    item = CODE.replace("ALPHA", "LONG-CODE-" * 3).replace('id = "code"', title)
    sale = await _sale(market, item)
    one, buys = market.deliverers[0], ("buy", market.seller.address, "code", "--no-arbitrator")
    played = [
        *((market.buyer, words) for words in READERS),
        (market.buyer, ("buyer", *buys, "--yes")),
        (market.buyer, ("buyer", "wait", sale["id"], "--timeout", "0")),
        (market.seller, ("seller", "sales")),
        (market.seller, ("seller", "publish", store, "--yes")),
        (one, ("deliverer", "status")),
        (one, ("deliverer", "doctor")),
    ]
    for actor, words in played:
        wide = [line for line in await _lines(world, actor, *words) if not _fits(line)]
        assert not wide, (words, wide)


async def _sale(market: ManualMarket, item: str) -> dict:
    await market.publish(item)
    return await market.buy("code", "--no-arbitrator")


def _fits(line: str) -> bool:
    """A word that is longer than a line is not cut; what stands before it is its label."""
    return columns(line) <= 80 or (columns(line.split()[-1]) > 60 and len(line.split()) <= 3)


async def _lines(world: World, actor: Actor, *words: object) -> list[str]:
    def play() -> list[str]:
        with Terminal([*DAM, *map(str, words)], world.env(actor)) as person:
            person.end(60)
            assert "Traceback" not in person.text, person.text
            print(f"$ dam {' '.join(map(str, words))}\n{person.text}")
            return person.lines

    return await asyncio.to_thread(play)
