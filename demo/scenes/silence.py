"""Scene c: nobody delivers and the seller is silent; the refund, with the penalty, to the wei."""

from __future__ import annotations

import asyncio

from dam.crypto.hashing import closing_arguments
from dam.errors import ContractReverted
from dam.types import Purchase, Status
from demo import trade
from demo.balances import BalanceTracker
from demo.participants import Participants
from demo.report import Report, Scene, coins, said


async def run(people: Participants, report: Report, scene: Scene) -> None:
    """Plays the scene."""
    world, deal = people.world, people.goods.silent_deal
    daemons = [*await people.daemons_up(report), people.watchdog]
    codes = await asyncio.gather(*(daemon.stop() for daemon in daemons))
    report.step("all daemons stop (SIGTERM)", await world.block())
    report.equal(codes, [0] * len(daemons), "each of them drained and ended with code 0")

    stake = await world.market.seller_stake(people.seller.address)
    tracker = BalanceTracker(world.rpc, people.accounts())
    await tracker.open()
    sale = await people.buy(people.buyer, people.seller, deal.item)
    report.step(f"the buyer pays {coins(deal.price)} for '{deal.title}'", sale.at.block.number)
    bound = stake - await world.market.seller_stake(people.seller.address)
    report.equal(bound, deal.reserve, f"the sale bound {coins(deal.reserve)} of the seller's stake")

    window = world.deployment.windows.refund_seconds
    opens = sale.purchase_time + window + 1
    refused = await _refusal(people, sale)
    report.check(
        refused.error == "TooEarly" and refused.arguments.get("firstTime") == opens,
        f"a refund now is refused: {said(refused)}",
        f"expected TooEarly until second {opens}",
    )
    block = await world.pass_to(opens)
    report.step(f"{window // 3600} hours pass; not one part came", block)
    report.equal(len(await trade.delivered(world, sale.copy_id)), 0, "nobody delivered")
    report.step("the buyer takes the refund", await people.refund(people.buyer, sale))
    state = await world.market.sale_state(sale.copy_id)
    report.equal(state.status, Status.REFUNDED, "the sale is refunded")
    [(_, block)] = await people.withdraw(people.buyer)
    report.step("the buyer withdraws", block)

    count = await tracker.count()
    penalty = deal.penalty
    row = count.row(people.buyer.name)
    report.check(
        row.earned == penalty,
        f"beside gas the buyer has the price back and {coins(penalty)} more, to the wei",
        f"{row.earned} wei, by the rules {penalty} wei",
    )
    report.equal(
        stake - await world.market.seller_stake(people.seller.address),
        penalty,
        "the seller's stake is short by the same",
    )
    report.equal(count.total, -count.burnt, "the balances add up to the base fees burnt")
    scene.outcome = f"refunded with {coins(penalty)}"


async def _refusal(people: Participants, sale: Purchase) -> ContractReverted:
    market = people.world.market
    data = market.encode("refund", *closing_arguments(sale))
    try:
        await market.simulate(data, sender=people.buyer.address)
    except ContractReverted as error:
        return error
    return ContractReverted("nothing")
