"""A seller, deliverers and their daemons, set up without commands: where tests start."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dam.config.settings import Settings
from dam.crypto.derivation import SellerSeed
from dam.keystore import key_files
from dam.market.deliverers import Deliverer
from dam.roles.seller.goods import add_goods
from dam.roles.seller.listings import Catalogue, Listing
from dam.roles.seller.store_builder import BuiltStore, build_store, publish_store
from dam.types import ZERO_ADDRESS, Wei
from demo import trade
from demo.actors import Actor
from demo.processes import Daemon
from demo.trade import Bought
from demo.world import ROOT, World, python

ETHER = 10**18
ITEM = "thing"


@dataclass
class Shop:
    """A store with one item, and who delivers it. Make one with `open_shop`."""

    world: World
    seller: Actor
    operator: Actor
    """Account of the seller's watchdog."""
    deliverers: list[Actor]
    seed: SellerSeed = field(repr=False)
    catalogue: Catalogue
    listing: Listing
    goods: list[bytes]

    def build(self) -> BuiltStore:
        """Builds the store from the catalogue."""
        deployment = self.world.deployment
        return build_store(
            self.seed,
            self.catalogue,
            name="A shop",
            chain_id=deployment.chain_id,
            market=deployment.market,
            seller=self.seller.address,
        )

    async def publish(self) -> BuiltStore:
        """Builds and publishes the store, and points the chain to it."""
        world, built = self.world, self.build()
        await publish_store(world.blocks, built)
        first = not await world.store_versions(self.seller.address)
        function = "createStore" if first else "updateStore"
        await world.send(self.seller, function, built.digest, built.root)
        return built

    async def buy(self, buyer: Actor | None = None, copy: int | None = None) -> Bought:
        """A purchase by hand, by a new buyer unless one is named."""
        buyer = buyer or await self.world.actor("buyer")
        return await trade.buy(self.world, buyer, self.seller, ITEM, copy)

    async def recover(self, bought: Bought) -> bytes:
        """The good, from what is on chain."""
        return await trade.recover(self.world, self.seller, bought)

    def good_of(self, bought: Bought) -> bytes:
        """The good as the seller has it."""
        return self.goods[bought.sale.leaf_copy]

    def deliverer(
        self, number: int, *, command: Sequence[str] = (), env: Mapping[str, str] | None = None
    ) -> Daemon:
        """The daemon of a deliverer, not started yet."""
        script = python(ROOT / "daemons" / "deliverer.py")
        return self.world.daemon(
            self.deliverers[number], "deliverer", command=command or script, env=env or {}
        )

    def watchdog(
        self, *, command: Sequence[str] = (), env: Mapping[str, str] | None = None
    ) -> Daemon:
        """The seller's watchdog, signing as the seller's operator; not started yet."""
        script = python(ROOT / "daemons" / "watchdog.py")
        home = {
            "DAM_HOME": str(self.seller.dam_home),
            "DAM_KEY_PASSPHRASE": self.seller.passphrase,
        }
        return self.world.daemon(
            self.operator, "watchdog", command=command or script, env={**home, **(env or {})}
        )

    async def daemons(self, *, watchdog: bool = False) -> list[Daemon]:
        """All deliverers' daemons, and the watchdog's last if it is wanted: running and ready."""
        found = [self.deliverer(number) for number in range(len(self.deliverers))]
        if watchdog:
            found.append(self.watchdog())
        for daemon in found:
            daemon.start()
        await asyncio.gather(*(daemon.event("ready") for daemon in found))
        return found


async def open_shop(
    world: World,
    *,
    parts: int = 3,
    threshold: int = 2,
    stock: bool = False,
    goods: Sequence[bytes] = (),
    supply: int = 1000,
    stake: int = 3 * ETHER,
    deliverers: Sequence[Actor] = (),
    deliverer_stake: int = ETHER // 20,
    **terms: Any,
) -> Shop:
    """Opens a shop with one item (`ITEM`) and as many new deliverers as it has parts.

    Args:
        world: Where.
        parts: n.
        threshold: k.
        stock: Whether each copy has parts of its own.
        goods: One, or for stock one per copy; random codes unless given.
        supply: Copies, where they share their parts.
        stake: The seller's, in wei.
        deliverers: Who delivers; new ones unless given.
        deliverer_stake: Of each new one, in wei: at least ten times the fee of a part.
        terms: Further fields of `dam.roles.seller.listings.Listing`, such as ``price``.
    """
    seller, operator = await asyncio.gather(world.actor("seller"), world.actor("watchdog"))
    deliverers = deliverers or await asyncio.gather(
        *(
            _new_deliverer(world, f"deliverer {number + 1}", deliverer_stake)
            for number in range(parts)
        )
    )
    settings = Settings.load(world.env(seller))
    seed = SellerSeed(
        key_files.new_seed_file(settings.keys.seller, "seller-seed", seller.passphrase)
    )
    catalogue = Catalogue(settings.catalogue)
    goods = list(goods) or [secrets.token_hex(8).encode() for _ in range(3 if stock else 1)]
    listing = Listing(
        chain_id=world.deployment.chain_id,
        market=world.deployment.market,
        seller=seller.address,
        name=ITEM,
        title="A thing",
        **{
            "price": ETHER // 100,
            "commission": Wei(3 * 10**15 + 1),
            "penalty": Wei(10**15),
            "arbitrator": ZERO_ADDRESS,
            **terms,
        },
        parts=parts,
        threshold=threshold,
        stock=stock,
        supply=0 if stock else supply,
    )
    holders = await known_deliverers(world, deliverers)
    listing = await add_goods(world.blocks, seed, listing, goods, holders)
    catalogue.save(listing)
    await world.send(seller, "stakeAsSeller", value=stake)
    await world.send(seller, "setSellerOperator", operator.address)
    shop = Shop(world, seller, operator, list(deliverers), seed, catalogue, listing, goods)
    await shop.publish()
    return shop


async def known_deliverers(world: World, actors: Sequence[Actor]) -> list[Deliverer]:
    """Deliverers as a seller knows them: operators with their X25519 keys."""
    return [Deliverer(actor.address, await world.deliverer_key(actor.address)) for actor in actors]


async def _new_deliverer(world: World, name: str, stake: int) -> Actor:
    actor = await world.actor(name)
    ring = key_files.new_ring(Settings.load(world.env(actor)).keys.deliverer, actor.passphrase)
    deployment = world.deployment
    pair = ring.current
    possession = pair.prove_possession(deployment.chain_id, deployment.market, actor.address)
    await world.send(actor, "stakeAsDeliverer", pair.announced, possession, value=stake)
    return actor
