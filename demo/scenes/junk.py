"""Scene g: a deliverer sends junk. The buyer proves it on chain, and the watchdog replaces it."""

from __future__ import annotations

from dataclasses import dataclass

from dam.types import FALLBACK_BLOCKS, JunkProved, Purchase, Status
from demo import by_hand, trade
from demo.actors import Actor
from demo.balances import BalanceTracker
from demo.participants import Participants
from demo.report import Report, Scene, coins
from demo.world import CommandFailed

BOUNTY_DIVISOR = 5


@dataclass(frozen=True)
class _Books:
    """What the contract holds of those whom the scene is about, in wei."""

    stake: int
    earned: int
    burnt: int
    credit: int
    """Of the buyer."""
    seller: int
    """Stake of the seller."""
    sold: int
    """Credit of the seller."""


async def run(people: Participants, report: Report, scene: Scene) -> None:
    """Plays the scene."""
    world, deal = people.world, people.goods.pass_deal
    [*_, daemon] = await people.daemons_up(report)
    cheat = people.deliverers[-1]
    await daemon.stop()
    report.step(f"{cheat.name} stops its honest daemon", await world.block())

    tracker = BalanceTracker(world.rpc, people.accounts())
    await tracker.open()
    before = await _books(people, cheat)
    sale = await people.buy(people.buyer, people.seller, deal.item)
    report.step(f"the buyer pays {coins(deal.price)} for '{deal.title}'", sale.at.block.number)
    index = by_hand.index_of(people.seller, sale, cheat)
    sent = await by_hand.deliver(world, people.seller, cheat, sale, index, junk=True)
    report.step(f"{cheat.name} signs and delivers noise for part {index + 1}", sent.block)
    parts = await trade.deliveries(world, sale.copy_id, deal.parts)
    state = await world.market.sale_state(sale.copy_id)
    report.require(
        state.status == Status.COMPLETE and len(parts) == deal.parts,
        f"all {deal.parts} parts are there, and the sale is complete",
        f"{len(parts)} parts, {state.status.name}",
    )
    await _cannot_open(people, report, sale)
    fine = await _prove(people, report, sale, cheat, before)
    await _replace(people, report, sale, index)

    good = await people.open(people.buyer, sale)
    report.require(
        good == people.goods.pass_code.encode(), "the buyer reads the code that was listed"
    )
    report.step("the buyer confirms", await people.confirm(people.buyer, sale))
    await _count(people, report, cheat, before, tracker, fine)
    daemon.start()
    await people.ready(daemon)
    scene.outcome = f"fined {coins(fine)}"


async def _cannot_open(people: Participants, report: Report, sale: Purchase) -> None:
    """The buyer's tool finds the junk by itself, and names what to do."""
    try:
        await people.open(people.buyer, sale)
    except CommandFailed as error:
        report.check(
            "junk" in error.stderr and "dam buyer prove" in error.stderr,
            "`dam buyer open` says which part is junk, and names `dam buyer prove`",
            error.stderr[-300:],
        )
        return
    raise report.fail("the good opened although one of its parts is junk")


async def _prove(
    people: Participants, report: Report, sale: Purchase, cheat: Actor, before: _Books
) -> int:
    """The proof, and what it takes; returns the fine."""
    world, deal = people.world, people.goods.pass_deal
    fine = deal.fine(world.deployment.windows.junk_fine)
    bounty = fine // BOUNTY_DIVISOR
    copy = "0x" + sale.copy_id.hex()
    done = await world.dam(people.buyer, "buyer", "prove", copy, "--yes", "--json")
    report.step("the buyer proves it: the contract opens the box", await world.block())
    proved = [
        log
        for log in await world.logs()
        if isinstance(log, JunkProved) and log.copy_id == sale.copy_id
    ]
    report.require(len(proved) == 1, "one part is proved to be junk", str(done.stdout)[-300:])
    report.equal(proved[0].deliverer, cheat.address, f"it is that of {cheat.name}")
    after = await _books(people, cheat)
    report.equal(before.stake - after.stake, fine, f"its stake falls by {coins(fine)}")
    report.equal(
        after.credit - before.credit, bounty, f"a fifth of it, {coins(bounty)}, is the buyer's"
    )
    report.equal(
        after.burnt - before.burnt, fine - bounty, f"the rest, {coins(fine - bounty)}, is burnt"
    )
    report.equal(after.earned - before.earned, deal.fee, "the fee of the part stays paid")
    state = await world.market.sale_state(sale.copy_id)
    report.check(
        proved[0].cleared and state.status == Status.PURCHASED and state.count == deal.parts - 1,
        "the part is missing again, and the sale is not complete any more",
        f"{state.count} parts, {state.status.name}",
    )
    return fine


async def _replace(people: Participants, report: Report, sale: Purchase, index: int) -> None:
    """The watchdog delivers the part anew, from block P + 101 on."""
    world, deal = people.world, people.goods.pass_deal
    gate = sale.purchase_block + FALLBACK_BLOCKS + 1
    report.step(f"blocks are mined up to {gate}", await world.mine_to(gate))
    parts = await trade.deliveries(world, sale.copy_id, deal.parts + 1)
    late = [part for part in parts if part.by == people.seller.address]
    report.require(
        len(late) == 1 and late[0].index == index,
        "the watchdog replaced exactly that part",
        f"{len(late)} parts by the watchdog",
    )
    report.step(
        f"the watchdog delivers part {index + 1} anew, to a fresh key", late[0].at.block.number
    )
    state = await world.market.sale_state(sale.copy_id)
    report.equal(state.status, Status.COMPLETE, "the sale is complete again")


async def _count(
    people: Participants,
    report: Report,
    cheat: Actor,
    before: _Books,
    tracker: BalanceTracker,
    fine: int,
) -> None:
    """What the whole scene did to everybody, in the contract and outside of it."""
    deal = people.goods.pass_deal
    after = await _books(people, cheat)
    fees = deal.parts * deal.fee
    report.equal(
        after.credit - before.credit,
        fine // BOUNTY_DIVISOR,
        "the replacement earned nobody a second fee",
    )
    report.equal(after.seller, before.seller, "the seller's stake is what it was")
    for actor, block in await people.withdraw(people.buyer, people.seller):
        report.step(f"the {actor.name} withdraws", block)
    count = await tracker.count()
    bounty = fine // BOUNTY_DIVISOR
    for actor, held, wei, rule in (
        (people.buyer, before.credit, bounty - deal.price, "paid the price, less the bounty"),
        (people.seller, before.sold, deal.price - fees, f"has the price less {deal.parts} fees"),
    ):
        report.equal(
            count.row(actor.name).earned - held, wei, f"the {actor.name} {rule}, to the wei"
        )
    report.equal(
        count.total, -count.burnt, "the balances add up to the base fees burnt; nothing is lost"
    )


async def _books(people: Participants, cheat: Actor) -> _Books:
    market = people.world.market
    info = await market.deliverer(cheat.address)
    return _Books(
        info.stake,
        info.earned,
        int((await market.call("burnt"))[0]),
        await market.credits(people.buyer.address),
        await market.seller_stake(people.seller.address),
        await market.credits(people.seller.address),
    )
