"""Scene a: a coupon code, 2-of-3; all deliver, the buyer confirms, everybody withdraws."""

from __future__ import annotations

from demo import trade
from demo.balances import BalanceChanges, BalanceTracker
from demo.participants import Participants
from demo.report import Report, Scene, coins


async def run(people: Participants, report: Report, scene: Scene) -> None:
    """Plays the scene."""
    deal = people.goods.coupon_deal
    stake = await people.world.market.seller_stake(people.seller.address)
    tracker = BalanceTracker(people.world.rpc, people.accounts())
    first = await tracker.open()
    report.step("balances are taken", first)

    sale = await people.buy(people.buyer, people.seller, deal.item)
    report.step(
        f"the buyer pays {coins(deal.price)} for '{deal.title}', copy {sale.copy + 1}",
        sale.at.block.number,
    )
    report.require(sale.terms.price == deal.price, "the price is the announced one")
    bound = await _bound_at(people, sale.at.block.number)
    report.equal(bound, deal.reserve, f"the sale binds {coins(deal.reserve)} of the seller's stake")

    parts = await trade.deliveries(people.world, sale.copy_id, deal.parts, seconds=15)
    for part in sorted(parts, key=lambda part: part.at.block.number):
        report.step(
            f"{people.name_of(part.by)} delivers part {part.index + 1}", part.at.block.number
        )
    report.require(
        {part.by for part in parts} == {actor.address for actor in people.deliverers}
        and len(parts) == deal.parts,
        f"all {deal.parts} deliverers delivered, one part each",
        f"only {len(parts)} of {deal.parts} parts came: from "
        + (", ".join(people.name_of(part.by) for part in parts) or "nobody"),
    )
    await people.before_opening()
    good = await people.open(people.buyer, sale)
    report.require(good == people.coupon(sale.copy), "the code is the one that the seller listed")
    report.step(f"the buyer reads the code: {good.decode()}")
    report.step("the buyer confirms", await people.confirm(people.buyer, sale))

    for actor, block in await people.withdraw(people.seller, *people.deliverers):
        report.step(f"{actor.name} withdraws", block)
    count = await tracker.count()
    _table(people, report, count, bound)
    report.equal(
        await people.world.market.seller_stake(people.seller.address),
        stake,
        "the seller's stake is what it was before the sale",
    )
    scene.outcome = f"{len(parts)} parts, {coins(deal.price)} paid"


async def _bound_at(people: Participants, block: int) -> int:
    """What the purchase in this block moved out of the seller's free stake."""
    free = [
        (await people.world.market.calls([("sellerStakes", (people.seller.address,))], block=at))[
            0
        ][0]
        for at in (block - 1, block)
    ]
    return int(free[0] - free[1])


def _table(people: Participants, report: Report, count: BalanceChanges, bound: int) -> None:
    """Who earned what, beside what the rules say, to the wei."""
    deal = people.goods.coupon_deal
    fees = deal.parts * deal.fee
    # With all parts delivered F = n x fee; that much of the price goes back to the stake.
    rules = {people.buyer.name: -deal.price, people.seller.name: deal.price - fees}
    rules |= {actor.name: deal.fee for actor in people.deliverers}
    rules |= {"block producer": count.tips}
    report.step(f"who earned what from block {count.first} to {count.last}, in coins")
    rows = [
        (
            row.name,
            coins(row.change),
            coins(row.gas),
            coins(row.earned),
            coins(rules.get(row.name, 0)),
            coins(bound if row.name == people.seller.name else 0),
        )
        for row in count.rows
    ]
    gas = sum(row.gas for row in count.rows)
    sums = (count.total, gas, count.total + gas, count.tips, bound)
    head = ("", "balance", "gas paid", "earned", "by the rules", "bound meanwhile")
    report.table(head, [*rows, ("sum", *map(coins, sums))])
    for row in count.rows:
        expected = rules.get(row.name, 0)
        report.check(
            row.earned == expected,
            f"{row.name} earned what the rules say",
            f"{row.earned} wei, by the rules {expected} wei",
        )
    report.check(not count.strangers, "nobody else sent a transaction", str(count.strangers))
    report.equal(
        count.total,
        -count.burnt,
        f"the balances add up: only {count.burnt} wei of base fee is gone",
    )
