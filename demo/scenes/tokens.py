"""Scene f: a stock of three codes for a token: three buyers, each gets their own code."""

from __future__ import annotations

import asyncio
import json

from dam.types import Purchase
from dam.units import format_units
from demo import trade
from demo.actors import Actor
from demo.balances import BalanceTracker
from demo.participants import Participants
from demo.report import Report, Scene, coins
from demo.token import DECIMALS, TestToken, deploy_token

_PEOPLE = ("ticket seller", "buyer A", "buyer B", "buyer C")


async def run(people: Participants, report: Report, scene: Scene) -> None:
    """Plays the scene."""
    world, deal = people.world, people.goods.stock_deal
    await people.daemons_up(report)
    token = await deploy_token(world)
    seller, *buyers = await asyncio.gather(*(world.actor(name) for name in _PEOPLE))
    await asyncio.gather(_open(people, seller, token), *(_enter(people, b, token) for b in buyers))
    report.step(f"a seller lists {deal.supply} tickets for tokens", await world.block())

    tracker = BalanceTracker(
        world.rpc, people.accounts() | {a.name: a.address for a in (seller, *buyers)}
    )
    stake = await world.market.seller_stake(seller.address)
    earned = await _earned(people)
    await tracker.open()
    ways = ((), ("--permit",), ())
    sales = await asyncio.gather(
        *(_buy(people, b, seller, way) for b, way in zip(buyers, ways, strict=True))
    )
    for buyer, sale, way in zip(buyers, sales, ways, strict=True):
        how = "by a signed permit" if way else "by an approval"
        report.step(
            f"{buyer.name} pays {_text(deal.price)} {how}, copy {sale.copy + 1}",
            sale.at.block.number,
        )
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
        *(people.open(b, sale) for b, sale in zip(buyers, sales, strict=True))
    )
    for buyer, sale, good in zip(buyers, sales, goods, strict=True):
        own = people.goods.stock_codes[sale.copy].encode()
        report.check(good == own, f"{buyer.name} reads the code of their own copy, and no other's")
    report.equal(len(set(goods)), 3, "three buyers, three codes")
    await asyncio.gather(*(people.confirm(b, sale) for b, sale in zip(buyers, sales, strict=True)))
    [(_, block)] = await people.withdraw(seller)
    report.step("all confirm, and the seller withdraws the tokens", block)
    await _count(people, report, tracker, token, (seller, *buyers))
    fees = 3 * deal.parts * deal.fee
    report.equal(
        stake - await world.market.seller_stake(seller.address),
        fees,
        "of the native coin the fees alone left the seller's stake",
    )
    report.equal(await _earned(people) - earned, fees, "and the deliverers earned just that")
    scene.outcome = f"3 codes for {_text(3 * deal.price)}"


async def _buy(people: Participants, buyer: Actor, seller: Actor, way: tuple[str, ...]) -> Purchase:
    """Each names a copy: two clients at once could pick the same one at random."""
    copy = str(_PEOPLE.index(buyer.name))
    item = people.goods.stock_deal.item
    return await people.buy(buyer, seller, item, "--copy", copy, *way)


async def _count(
    people: Participants,
    report: Report,
    tracker: BalanceTracker,
    token: TestToken,
    holders: tuple[Actor, ...],
) -> None:
    """Who holds what at the end, in both coins."""
    price = people.goods.stock_deal.price
    count = await tracker.count()
    rows = []
    market = people.world.deployment.market
    for name, address in [*((a.name, a.address) for a in holders), ("market", market)]:
        held, earned = await token.balance(address), count.row(name).earned
        wanted = 3 * price if name == holders[0].name else 0
        rows.append((name, _text(held), coins(earned)))
        report.check(
            (held, earned) == (wanted, 0),
            f"{name} has what the rules say in both coins",
            f"{held} of the token (by the rules {wanted}), {earned} wei",
        )
    report.table(("", "tokens", "coins earned"), rows)
    report.check(not count.strangers, "nobody else sent a transaction", str(count.strangers))
    report.equal(count.total, -count.burnt, "the native balances add up to the base fees burnt")


async def _earned(people: Participants) -> int:
    """Earnings of all deliverers in the market."""
    found = await people.world.market.deliverers([d.address for d in people.deliverers])
    return sum(info.earned for info in found)


async def _enter(people: Participants, buyer: Actor, token: TestToken) -> None:
    await people.world.dam(buyer, "keys", "new", "buyer")
    await token.mint(buyer, people.goods.stock_deal.price)


async def _open(people: Participants, seller: Actor, token: TestToken) -> None:
    world, deal = people.world, people.goods.stock_deal
    path = seller.home / "store.toml"
    lines = (
        '[store]\nname = "Tickets"\n[[items]]',
        f"id = {json.dumps(deal.item)}\ntitle = {json.dumps(deal.title)}",
        f'token = "{token.address}"\nprice = "{format_units(deal.price, DECIMALS)}"',
        f"commission = {deal.commission}\npenalty = {deal.penalty}\nbond = {deal.bond}",
        f"parts = {deal.parts}\nthreshold = {deal.threshold}",
        f'arbitrator = "{people.arbitrator.address}"',
        f"deliverers = {json.dumps([actor.address for actor in people.deliverers])}",
        f"codes = {json.dumps(people.goods.stock_codes)}",
    )
    path.write_text("\n".join(lines) + "\n", "utf-8")
    await world.dam(seller, "keys", "new", "seller")
    await world.dam(seller, "seller", "stake", "5 ether", "--yes")
    await world.dam(seller, "seller", "publish", path, "--yes", "--json")


def _text(amount: int) -> str:
    return f"{format_units(amount, DECIMALS)} PLN"
