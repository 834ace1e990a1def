"""Scene b: a 5 MB file, 3-of-3; a dead deliverer, and the seller's watchdog after block 100."""

from __future__ import annotations

import hashlib

from dam.types import FALLBACK_BLOCKS, Status
from demo import ledgers, trade
from demo.participants import Participants
from demo.report import Report, Scene, coins


async def run(people: Participants, report: Report, scene: Scene) -> None:
    """Plays the scene."""
    world, deal = people.world, people.goods.file_deal
    wanted = hashlib.sha256(people.goods.file).hexdigest()
    [*_, victim] = await people.daemons_up(report)
    await victim.kill()
    report.step(f"{victim.name} is killed (SIGKILL, exit code {victim.code})", await world.block())

    sale = await people.buy(people.buyer, people.seller, deal.item)
    report.step(f"the buyer pays {coins(deal.price)} for '{deal.title}'", sale.at.block.number)
    alive = deal.parts - 1
    parts = await trade.deliveries(world, sale.copy_id, alive)
    for part in parts:
        report.step(
            f"{people.name_of(part.by)} delivers part {part.index + 1}", part.at.block.number
        )
    state = await world.market.sale_state(sale.copy_id)
    report.require(
        state.status == Status.PURCHASED and state.count == alive,
        f"{alive} of 3 parts are there, and the sale is not complete",
        f"{state.count} parts, {state.status.name}",
    )
    credit = await world.market.credits(people.buyer.address)
    gate = sale.purchase_block + FALLBACK_BLOCKS + 1
    report.step(
        f"nothing more happens until block {gate}; blocks are mined", await world.mine_to(gate - 2)
    )
    report.equal(
        len(await trade.delivered(world, sale.copy_id)),
        alive,
        "the watchdog does not come early",
    )
    await world.mine_to(gate)

    parts = await trade.deliveries(world, sale.copy_id, deal.parts)
    late = [part for part in parts if part.by == people.seller.address]
    report.require(
        len(parts) == deal.parts and len(late) == 1,
        "the watchdog delivered exactly the missing part",
        f"{len(parts)} parts came, {len(late)} by the watchdog",
    )
    report.step(f"the watchdog delivers part {late[0].index + 1}", late[0].at.block.number)
    report.check(late[0].at.block.number >= gate, f"not before block {gate}")
    report.equal(
        await world.market.credits(people.buyer.address) - credit,
        deal.fee,
        f"the fee of that part, {coins(deal.fee)}, went to the buyer",
    )
    good = await people.open(people.buyer, sale)
    found = hashlib.sha256(good).hexdigest()
    report.require(
        found == wanted, f"{len(good)} bytes, sha256 {wanted[:16]}.. is the file's", found
    )
    report.step("the buyer confirms", await people.confirm(people.buyer, sale))
    [(_, block)] = await people.withdraw(people.buyer)
    report.step("the buyer withdraws that fee", block)

    victim.start()
    await people.ready(victim)
    report.step(f"{victim.name} is back (pid {victim.pid})", await world.block())
    await ledgers.decided(victim, sale)
    await world.mine(3)
    report.equal(
        len(await trade.delivered(world, sale.copy_id)),
        deal.parts,
        "it delivers nothing a second time",
    )
    scene.outcome = f"{len(good)} bytes, hash matches"
