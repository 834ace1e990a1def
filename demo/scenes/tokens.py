"""Scene f: a stock of three codes for a token: three buyers, each gets his own code."""

from __future__ import annotations

import asyncio
import json

from dam.types import Purchase
from dam.units import format_units
from demo import trade
from demo.actors import Actor
from demo.cast import Cast
from demo.money import Till
from demo.report import Report, Scene, coins
from demo.token import DECIMALS, TestToken, deploy_token

_PEOPLE = ("ticket seller", "buyer A", "buyer B", "buyer C")


async def play(cast: Cast, report: Report, scene: Scene) -> None:
    """Plays the scene."""
    world, deal = cast.world, cast.goods.stock_deal
    await cast.daemons_up(report)
    token = await deploy_token(world)
    seller, *buyers = await asyncio.gather(*(world.actor(name) for name in _PEOPLE))
    await asyncio.gather(_open(cast, seller, token), *(_enter(cast, b, token) for b in buyers))
    report.step(f"a seller lists {deal.supply} tickets for tokens", await world.block())

    till = Till(world.rpc, cast.accounts() | {a.name: a.address for a in (seller, *buyers)})
    stake = await world.market.seller_stake(seller.address)
    earned = await _earned(cast)
    await till.open()
    ways = ((), ("--permit",), ())
    sales = await asyncio.gather(
        *(_buy(cast, b, seller, way) for b, way in zip(buyers, ways, strict=True))
    )
    for buyer, sale, way in zip(buyers, sales, ways, strict=True):
        how = "by a signed permit" if way else "by an approval"
        report.step(f"{buyer.name} pays {_text(deal.price)} {how}, copy {sale.copy}", sale.block)
    bound = stake - await world.market.seller_stake(seller.address)
    held = await token.balance(world.deployment.market)
    report.equal(held, 3 * deal.price, "the market holds three prices, to the unit")
    parts = await asyncio.gather(
        *(trade.deliveries(world, sale.copy_id, deal.parts) for sale in sales)
    )
    report.require(
        all(len(found) == deal.parts for found in parts),
        "all parts of all three sales came",
        f"only {[len(found) for found in parts]}",
    )
    report.equal(bound, 3 * deal.reserve, f"the sales bound {coins(bound)} of the seller's stake")
    goods = await asyncio.gather(
        *(cast.open(b, sale) for b, sale in zip(buyers, sales, strict=True))
    )
    for buyer, sale, good in zip(buyers, sales, goods, strict=True):
        own = cast.goods.stock_codes[sale.copy].encode()
        report.check(good == own, f"{buyer.name} reads the code of his own copy, and no other's")
    report.equal(len(set(goods)), 3, "three buyers, three codes")
    await asyncio.gather(*(cast.confirm(b, sale) for b, sale in zip(buyers, sales, strict=True)))
    [(_, block)] = await cast.withdraw(seller)
    report.step("all confirm, and the seller withdraws his tokens", block)
    await _count(cast, report, till, token, (seller, *buyers))
    fees = 3 * deal.parts * deal.fee
    report.equal(
        stake - await world.market.seller_stake(seller.address),
        fees,
        "of the native coin the fees alone left the seller's stake",
    )
    report.equal(await _earned(cast) - earned, fees, "and the deliverers earned just that")
    scene.outcome = f"3 codes for {_text(3 * deal.price)}"


async def _buy(cast: Cast, buyer: Actor, seller: Actor, way: tuple[str, ...]) -> Purchase:
    """Each names a copy of his own: two clients at once could pick the same one at random."""
    copy = str(_PEOPLE.index(buyer.name) - 1)
    item = cast.goods.stock_deal.item
    return await cast.buy(buyer, seller, item, "--copy", copy, *way)


async def _count(
    cast: Cast, report: Report, till: Till, token: TestToken, people: tuple[Actor, ...]
) -> None:
    """Who holds what at the end, in both coins."""
    price = cast.goods.stock_deal.price
    count = await till.count()
    rows = []
    market = cast.world.deployment.market
    for name, address in [*((a.name, a.address) for a in people), ("market", market)]:
        held, earned = await token.balance(address), count.row(name).earned
        wanted = 3 * price if name == people[0].name else 0
        rows.append((name, _text(held), coins(earned)))
        report.check(
            (held, earned) == (wanted, 0),
            f"{name} has what the rules say in both coins",
            f"{held} of the token (by the rules {wanted}), {earned} wei",
        )
    report.table(("", "tokens", "coins earned"), rows)
    report.check(not count.strangers, "nobody else sent a transaction", str(count.strangers))
    report.equal(count.total, -count.burnt, "the native balances add up to the base fees burnt")


async def _earned(cast: Cast) -> int:
    """Earnings of all deliverers in the market."""
    found = await cast.world.market.deliverers([d.address for d in cast.deliverers])
    return sum(info.earned for info in found)


async def _enter(cast: Cast, buyer: Actor, token: TestToken) -> None:
    await cast.world.dam(buyer, "keys", "new", "buyer")
    await token.mint(buyer, cast.goods.stock_deal.price)


async def _open(cast: Cast, seller: Actor, token: TestToken) -> None:
    world, deal = cast.world, cast.goods.stock_deal
    path = seller.home / "store.toml"
    lines = (
        '[store]\nname = "Tickets"\n[[items]]',
        f"id = {json.dumps(deal.item)}\ntitle = {json.dumps(deal.title)}",
        f'token = "{token.address}"\nprice = "{format_units(deal.price, DECIMALS)}"',
        f"commission = {deal.commission}\npenalty = {deal.penalty}\nbond = {deal.bond}",
        f"parts = {deal.parts}\nthreshold = {deal.threshold}",
        f'arbitrator = "{cast.arbitrator.address}"',
        f"deliverers = {json.dumps([actor.address for actor in cast.deliverers])}",
        f"codes = {json.dumps(cast.goods.stock_codes)}",
    )
    path.write_text("\n".join(lines) + "\n", "utf-8")
    await world.dam(seller, "keys", "new", "seller")
    await world.dam(seller, "seller", "stake", "5 ether", "--yes")
    await world.dam(seller, "seller", "publish", path, "--yes", "--json")


def _text(amount: int) -> str:
    return f"{format_units(amount, DECIMALS)} PLN"
