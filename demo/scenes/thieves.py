"""Scene d: three thieves, each with a store of his own for 1 wei. No deliverer serves them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from dam.crypto import sealing
from dam.keystore.key_files import load_ring
from dam.types import Purchase
from demo import byhand, ledgers, trade
from demo.actors import Actor
from demo.byhand import Document
from demo.cast import Cast
from demo.processes import Daemon
from demo.report import Report, Scene, coins, short
from demo.trade import Bought

_PATIENCE_BLOCKS = 12
"""How long the thieves wait: honest parts arrive within three."""


@dataclass
class Theft:
    """One thief, his store, and what his helper bought in it."""

    thief: Actor
    how: str
    bought: Bought | None = None

    @property
    def sale(self) -> Purchase:
        assert self.bought is not None
        return self.bought.sale


async def play(cast: Cast, report: Report, scene: Scene) -> None:
    """Plays the scene."""
    world, deal = cast.world, cast.goods.loot_deal
    daemons = await cast.daemons_up(report)
    old_seller = await _open_plain_store(cast, report)
    await _honest_sales(cast, report, old_seller)

    document = await byhand.read_document(world.blocks, await _digest(cast, cast.seller))
    plain = await byhand.read_document(world.blocks, await _digest(cast, old_seller))
    thieves = await asyncio.gather(
        *(world.actor(f"thief {number}", 2 * 10**18) for number in (1, 2, 3))
    )
    loot = [
        byhand.stolen(document, deal.item, thieves[0].address, "Cheap vouchers"),
        byhand.stolen(plain, deal.item, thieves[1].address, "Cheaper vouchers"),
        byhand.stolen(document, deal.item, thieves[2].address, "Cheapest vouchers"),
    ]
    page_key = bytes.fromhex(document["sealingKey"][2:])
    byhand.retagged(
        loot[2], cast.seller.address, await _helper_keys(cast, page_key), world.deployment
    )
    thefts = [
        Theft(thieves[0], "copies the sealed parts with their page key"),
        Theft(thieves[1], "re-lists plain sealed boxes"),
        Theft(thieves[2], "puts tags for his own domain over stolen ciphertext"),
    ]
    await asyncio.gather(
        *(_steal(cast, theft, paper) for theft, paper in zip(thefts, loot, strict=True))
    )
    for theft in thefts:
        report.step(f"{theft.thief.name} {theft.how}; his helper pays 1 wei", theft.sale.block)
    last = max(theft.sale.block for theft in thefts)
    decided = [ledgers.decided(daemon, theft.sale) for daemon in daemons for theft in thefts]
    await asyncio.gather(*decided)
    await world.mine(_PATIENCE_BLOCKS)
    await ledgers.passed(daemons, last + _PATIENCE_BLOCKS)
    for theft in thefts:
        await _judge(cast, report, theft, daemons)
    scene.outcome = "nobody served them"


async def _digest(cast: Cast, seller: Actor) -> bytes:
    return (await cast.world.store_version(seller.address)).digest


async def _open_plain_store(cast: Cast, report: Report) -> Actor:
    """An honest seller who still seals the old way: what the second thief copies."""
    world = cast.world
    seller = await world.actor("old seller")
    holders = [
        byhand.Keyed(deliverer.address, await cast.world.deliverer_key(deliverer.address))
        for deliverer in cast.deliverers
    ]
    document = byhand.plain_document(
        cast.goods.loot_deal, cast.goods.loot.encode(), world.deployment, seller.address, holders
    )
    receipt = await _publish(cast, seller, document)
    report.step("an honest seller opens a store in the old form: plain sealed boxes", receipt)
    return seller


async def _publish(cast: Cast, seller: Actor, document: Document) -> int:
    """Stakes and opens a store by hand; returns the block."""
    world = cast.world
    digest, root = await byhand.put_document(world.blocks, document)
    # His document is well-formed, or it would prove nothing that it is not served.
    await byhand.checked(world.blocks, world.deployment, seller.address, digest, root)
    await world.send(seller, "stakeAsSeller", value=10**18)
    return (await world.send(seller, "createStore", digest, root)).block


async def _honest_sales(cast: Cast, report: Report, old_seller: Actor) -> None:
    """The same parts, sold by those whose they are: each deliverer serves them."""
    customer = await cast.world.actor("customer")
    for seller, form in ((cast.seller, "with a page key"), (old_seller, "plain")):
        item = cast.goods.loot_deal.item
        bought = await trade.buy(cast.world, customer, seller, item)
        purchase = bought.sale
        parts = await trade.deliveries(cast.world, purchase.copy_id, purchase.terms.parts)
        report.step(f"a customer buys the voucher of {seller.name} ({form})", purchase.block)
        good = trade.content_key(parts, bought.secrets, purchase.terms.threshold)
        report.check(
            good is not None and len(parts) == purchase.terms.parts,
            f"all {len(parts)} deliverers serve the honest sale, last in block "
            f"{max(part.at.block.number for part in parts)}",
        )


async def _helper_keys(cast: Cast, page_key: bytes) -> list[bytes]:
    """K of the page and each deliverer, from one who knows: their own key files, here."""
    rings = [
        load_ring(deliverer.dam_home / cast.KEY_FILE, deliverer.passphrase)
        for deliverer in cast.deliverers
    ]
    return [sealing.shared_key(ring.current.secret, page_key) for ring in rings]


async def _steal(cast: Cast, theft: Theft, document: Document) -> None:
    await _publish(cast, theft.thief, document)
    helper = await cast.world.actor(f"helper of {theft.thief.name}", 10**18)
    item = cast.goods.loot_deal.item
    theft.bought = await trade.buy(cast.world, helper, theft.thief, item)


async def _judge(cast: Cast, report: Report, theft: Theft, daemons: list[Daemon]) -> None:
    sale = theft.sale
    parts = await trade.delivered(cast.world, sale.copy_id)
    assert theft.bought is not None
    good = trade.content_key(parts, theft.bought.secrets, sale.terms.threshold)
    got = f"{len(parts)} parts came" + ("; he holds the key to the good" if good else "")
    report.check(
        not parts, f"{theft.thief.name} got nothing for his {coins(sale.terms.price)} coins", got
    )
    for daemon in daemons:
        reason = ledgers.refusal(daemon, sale)
        report.check(
            bool(reason),
            f"{daemon.name} refused {theft.thief.name}" + (f": {reason}" if reason else ""),
            f"nothing of sale {short(sale.copy_id)} in its ledger and log",
        )
