"""Scene h: an honest mistake. Buyer and seller end the sale together, half the price each."""

from __future__ import annotations

from dam.types import Status
from demo import trade
from demo.balances import BalanceTracker
from demo.participants import Participants
from demo.report import Report, Scene, coins


async def run(people: Participants, report: Report, scene: Scene) -> None:
    """Plays the scene."""
    world, deal = people.world, people.goods.coupon_deal
    await people.daemons_up(report)
    stake = await world.market.seller_stake(people.seller.address)
    parties = (people.buyer, people.seller)
    earlier = [await world.market.credits(party.address) for party in parties]
    tracker = BalanceTracker(world.rpc, people.accounts())
    await tracker.open()
    sale = await people.buy(people.buyer, people.seller, deal.item)
    report.step(
        f"the buyer pays {coins(deal.price)} for '{deal.title}', copy {sale.copy + 1}",
        sale.at.block.number,
    )
    parts = await trade.deliveries(world, sale.copy_id, deal.parts)
    report.require(len(parts) == deal.parts, "all parts came", f"only {len(parts)}")
    good = await people.open(people.buyer, sale)
    report.step(f"the buyer reads {good.decode()}, which the shop takes for half of its worth")

    half = deal.price // 2
    path = people.buyer.home / "offer.json"
    copy = "0x" + sale.copy_id.hex()
    terms = ("--as", "buyer", "--to-buyer", f"{half} wei", "--out", path)
    await world.dam(people.buyer, "sale", "agree", "offer", copy, *terms, "--yes", "--json")
    report.step(f"the buyer signs an offer: {coins(half)} back, and no penalty")
    done = await world.dam(people.seller, "sale", "agree", "accept", path, "--yes", "--json")
    report.step("the seller accepts it", int(done.json["block"]))
    state = await world.market.sale_state(sale.copy_id)
    report.equal(state.status, Status.AGREED, "the sale is ended as agreed")
    await world.dam(people.buyer, "buyer", "rate", copy, 4, "--json")
    report.step("the buyer rates it, as every sale that ended", await world.block())

    for actor, block in await people.withdraw(*parties):
        report.step(f"{actor.name} withdraws", block)
    count = await tracker.count()
    # What is left of the price pays the fees back to the stake first.
    rest = deal.price - half
    rules = (half - deal.price, rest - min(rest, deal.parts * deal.fee))
    for actor, before, wei in zip(parties, earlier, rules, strict=True):
        earned = count.row(actor.name).earned - before
        report.check(
            earned == wei,
            f"the {actor.name} has {coins(wei)} of this sale, to the wei",
            f"{earned} wei, by the rules {wei} wei",
        )
    report.equal(
        await world.market.seller_stake(people.seller.address),
        stake,
        "no penalty: the seller's stake is what it was",
    )
    report.equal(count.total, -count.burnt, "the balances add up to the base fees burnt")
    scene.outcome = f"{coins(half)} back"
