"""What tokens do that are not as the standard wants them, met by the commands."""

from __future__ import annotations

import asyncio

import pytest

from demo.token import TestToken, deploy_token
from demo.world import World
from tests.e2e.manual_market import ManualMarket

pytestmark = [pytest.mark.kubo, pytest.mark.asyncio(loop_scope="session")]
UNIT = 10**6


def words(*values: int | str | bool) -> bytes:
    """Static arguments of a call."""
    numbers = (int(v, 16) if isinstance(v, str) else int(v) for v in values)
    return b"".join(number.to_bytes(32, "big") for number in numbers)


async def impersonated(
    world: World, token: TestToken, who: str, signature: str, data: bytes
) -> None:
    await world.rpc.call("anvil_impersonateAccount", who)
    try:
        await token.tell(signature, data, sender=who)
    finally:
        await world.rpc.call("anvil_stopImpersonatingAccount", who)


async def test_a_token_that_wants_zero_first_and_blocks_who_withdraws(world: World) -> None:
    market, token = await asyncio.gather(
        ManualMarket(world).open(), deploy_token(world, "OddTokens", "StubbornToken")
    )
    await market.publish(
        f'[[items]]\nid = "code"\ntoken = "{token.address}"\nprice = "5.25"\n'
        'commission = 0\npenalty = 0\ncodes = ["ALPHA-1"]\n'
    )
    await token.mint(market.buyer, 6 * UNIT)
    # A small allowance is left from before: this token wants it back to zero first.
    left = words(world.deployment.market, 1)
    await impersonated(world, token, market.buyer.address, "approve(address,uint256)", left)
    done = await world.dam(
        market.buyer,
        *("buyer", "buy", market.seller.address, "code"),
        *("--permit", "--no-arbitrator", "--yes", "--json"),
    )
    assert "No permit for this token" in done.stderr
    assert done.stderr.count("Approved") == 2
    assert await token.balance(world.deployment.market) == 525 * UNIT // 100
    await asyncio.gather(*(market.deliver(done.json, index) for index in range(3)))
    await world.dam(market.buyer, "buyer", "confirm", done.json["id"][:18], "--yes")

    block = "block_(address,bool)"
    await token.tell(block, words(market.seller.address, True))
    said = await market.fails(market.seller, "withdraw", "--yes")
    assert f"5.25 STUB ({token.address[:10]}..) stays in the market" in said
    assert "1 of 1 stayed in the market, and nothing of it is lost" in said
    [held] = (await world.dam(market.seller, "balance", "--json")).json["tokens"]
    assert held["credit"] == str(525 * UNIT // 100)
    await token.tell(block, words(market.seller.address, False))
    await world.dam(market.seller, "withdraw", "--yes")
    assert await token.balance(market.seller.address) == 525 * UNIT // 100


async def test_a_deed_is_no_price(world: World) -> None:
    market, deed = await asyncio.gather(
        ManualMarket(world).open(), deploy_token(world, "OddTokens", "UniqueToken")
    )
    path = market.seller.home / "store.toml"
    path.write_text(
        f'[store]\nname = "Here"\n[defaults]\n{market.named}\n[[items]]\nid = "code"\n'
        f'token = "{deed.address}"\nprice = "1"\ndecimals = 0\ncommission = 0\npenalty = 0\n'
        'text = "x"\n',
        "utf-8",
    )
    said = await market.fails(market.seller, "seller", "publish", str(path), "--json")
    assert "does not answer as an ERC-20 token does: nothing can be sold for" in said
