"""Scene d: three thieves, each with a store that sells for 1 wei. No deliverer serves them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from dam.crypto import sealing
from dam.keystore.key_files import load_ring
from dam.types import Purchase
from demo import documents, ledgers, trade
from demo.actors import Actor
from demo.documents import Document
from demo.participants import Participants
from demo.processes import Daemon
from demo.report import Report, Scene, coins, short
from demo.trade import Bought

_PATIENCE_BLOCKS = 12
"""How long the thieves wait: honest parts arrive within three."""


@dataclass
class Theft:
    """One thief, and what a helper bought in the thief's store."""

    thief: Actor
    how: str
    bought: Bought | None = None

    @property
    def sale(self) -> Purchase:
        assert self.bought is not None
        return self.bought.sale


async def run(people: Participants, report: Report, scene: Scene) -> None:
    """Plays the scene."""
    world, deal = people.world, people.goods.loot_deal
    daemons = await people.daemons_up(report)
    old_seller = await _open_plain_store(people, report)
    await _honest_sales(people, report, old_seller)

    document = await documents.read_document(world.blocks, await _digest(people, people.seller))
    plain = await documents.read_document(world.blocks, await _digest(people, old_seller))
    thieves = await asyncio.gather(
        *(world.actor(f"thief {number}", 2 * 10**18) for number in (1, 2, 3))
    )
    loot = [
        documents.stolen(document, deal.item, thieves[0].address, "Cheap vouchers"),
        documents.stolen(plain, deal.item, thieves[1].address, "Cheaper vouchers"),
        documents.stolen(document, deal.item, thieves[2].address, "Cheapest vouchers"),
    ]
    page_key = bytes.fromhex(document["sealingKey"][2:])
    documents.retagged(
        loot[2], people.seller.address, await _helper_keys(people, page_key), world.deployment
    )
    thefts = [
        Theft(thieves[0], "copies the sealed parts with their page key"),
        Theft(thieves[1], "re-lists plain sealed boxes"),
        Theft(thieves[2], "puts tags for the thief's own domain over stolen ciphertext"),
    ]
    await asyncio.gather(
        *(_steal(people, theft, paper) for theft, paper in zip(thefts, loot, strict=True))
    )
    for theft in thefts:
        report.step(
            f"{theft.thief.name} {theft.how}; a helper pays 1 wei", theft.sale.at.block.number
        )
    last = max(theft.sale.at.block.number for theft in thefts)
    decided = [ledgers.decided(daemon, theft.sale) for daemon in daemons for theft in thefts]
    await asyncio.gather(*decided)
    await world.mine(_PATIENCE_BLOCKS)
    await ledgers.passed(daemons, last + _PATIENCE_BLOCKS)
    for theft in thefts:
        await _judge(people, report, theft, daemons)
    scene.outcome = "nobody served them"


async def _digest(people: Participants, seller: Actor) -> bytes:
    return (await people.world.store_version(seller.address)).digest


async def _open_plain_store(people: Participants, report: Report) -> Actor:
    """An honest seller who still seals the old way: what the second thief copies."""
    world = people.world
    seller = await world.actor("old seller")
    holders = [
        documents.Keyed(deliverer.address, await people.world.deliverer_key(deliverer.address))
        for deliverer in people.deliverers
    ]
    document = documents.plain_document(
        people.goods.loot_deal,
        people.goods.loot.encode(),
        world.deployment,
        seller.address,
        holders,
    )
    receipt = await _publish(people, seller, document)
    report.step("an honest seller opens a store in the old form: plain sealed boxes", receipt)
    return seller


async def _publish(people: Participants, seller: Actor, document: Document) -> int:
    """Stakes and opens a store by hand; returns the block."""
    world = people.world
    digest, root = await documents.put_document(world.blocks, document)
    # The document is well-formed, or it would prove nothing that it is not served.
    await documents.checked(world.blocks, world.deployment, seller.address, digest, root)
    await world.send(seller, "stakeAsSeller", value=10**18)
    return (await world.send(seller, "createStore", digest, root)).block


async def _honest_sales(people: Participants, report: Report, old_seller: Actor) -> None:
    """The same parts, sold by those whose they are: each deliverer serves them."""
    customer = await people.world.actor("customer")
    for seller, form in ((people.seller, "with a page key"), (old_seller, "plain")):
        item = people.goods.loot_deal.item
        bought = await trade.buy(people.world, customer, seller, item)
        purchase = bought.sale
        parts = await trade.deliveries(people.world, purchase.copy_id, purchase.terms.parts)
        report.step(
            f"a customer buys the voucher of {seller.name} ({form})", purchase.at.block.number
        )
        good = trade.content_key(parts, bought.secrets, purchase.terms.threshold)
        report.check(
            good is not None and len(parts) == purchase.terms.parts,
            f"all {len(parts)} deliverers serve the honest sale, last in block "
            f"{max(part.at.block.number for part in parts)}",
        )


async def _helper_keys(people: Participants, page_key: bytes) -> list[bytes]:
    """K of the page and each deliverer, from one who knows: their own key files, here."""
    rings = [
        load_ring(deliverer.dam_home / people.KEY_FILE, deliverer.passphrase)
        for deliverer in people.deliverers
    ]
    return [sealing.shared_key(ring.current.secret, page_key) for ring in rings]


async def _steal(people: Participants, theft: Theft, document: Document) -> None:
    await _publish(people, theft.thief, document)
    helper = await people.world.actor(f"helper of {theft.thief.name}", 10**18)
    item = people.goods.loot_deal.item
    theft.bought = await trade.buy(people.world, helper, theft.thief, item)


async def _judge(people: Participants, report: Report, theft: Theft, daemons: list[Daemon]) -> None:
    sale = theft.sale
    parts = await trade.delivered(people.world, sale.copy_id)
    assert theft.bought is not None
    good = trade.content_key(parts, theft.bought.secrets, sale.terms.threshold)
    got = f"{len(parts)} parts came" + ("; the thief holds the key to the good" if good else "")
    report.check(
        not parts, f"{theft.thief.name} got nothing for {coins(sale.terms.price)} coins", got
    )
    for daemon in daemons:
        reason = ledgers.refusal(daemon, sale)
        report.check(
            bool(reason),
            f"{daemon.name} refused {theft.thief.name}" + (f": {reason}" if reason else ""),
            f"nothing of sale {short(sale.copy_id)} in its ledger and log",
        )
