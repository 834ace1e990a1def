"""The seller: a new edition of codes now and then, so that documents are fetched all the time."""

from __future__ import annotations

import asyncio
import random
import secrets
from dataclasses import dataclass, replace

from dam.catalog.store import Store
from dam.errors import DamError
from dam.roles.seller.goods import add_goods
from dam.roles.seller.listings import Listing
from dam.roles.seller.store_builder import BuiltStore, publish_store
from demo.documents import checked
from demo.shop import ITEM, known_deliverers
from soak.world import SoakWorld

LISTED = 3
"""Editions on sale at a time: documents do not grow with the hours."""
_FILE_BYTES = 9_000
"""A good this long is no part of the document: it has a block of its own."""


@dataclass(frozen=True)
class Version:
    """A store document that is or was in force."""

    store: Store
    items: tuple[str, ...]
    """Ids that are on sale, the newest edition last."""


class Publisher:
    """Publishes editions, and keeps the chain pointing at the newest document.

    Args:
        world: Where.
        chance: What decides about the goods.
        copies: Of each edition; each copy has parts of its own.
        every: Seconds between two editions.
    """

    def __init__(
        self, world: SoakWorld, chance: random.Random, *, copies: int, every: float
    ) -> None:
        self._world = world
        self._chance = chance
        self._copies = copies
        self._every = every
        self._editions: list[Listing] = []
        self._built: BuiltStore | None = None
        self.versions: dict[bytes, Version] = {}
        """By digest."""
        self.published = 0
        self.goods: dict[str, list[bytes]] = {ITEM: world.shop.goods}
        """What every buyer should get: by item id, then by copy of the leaf."""

    async def run(self) -> None:
        """Works until cancelled."""
        while True:
            await self.publish()
            pause = asyncio.get_running_loop().time() + self._every
            while asyncio.get_running_loop().time() < pause:
                await asyncio.sleep(1)
                await self._announce()

    async def publish(self) -> None:
        """One edition more, the oldest one out, and the chain told."""
        shop, world = self._world.shop, self._world
        goods = [self._good() for _ in range(self._copies)]
        holders = await known_deliverers(world, shop.deliverers)
        name = f"edition-{self.published:05}"
        listing = replace(
            shop.listing,
            name=name,
            title=f"Edition {self.published}",
            stock=True,
            supply=0,
            lots=(),
        )
        listing = await add_goods(world.blocks, shop.seed, listing, goods, holders)
        shop.catalogue.save(listing)
        self.goods[name] = goods
        self._editions.append(listing)
        while len(self._editions) > LISTED:
            shop.catalogue.save(self._editions.pop(0).withdrawn())
        built = await asyncio.to_thread(shop.build)
        await publish_store(world.blocks, built)
        store = await checked(
            world.blocks, world.deployment, shop.seller.address, built.digest, built.root
        )
        items = (ITEM, *(edition.name for edition in self._editions))
        self.versions[built.digest] = Version(store, items)
        self._built = built
        self.published += 1
        await self._announce()

    def _good(self) -> bytes:
        if self._chance.random() < 0.05:
            return self._chance.randbytes(_FILE_BYTES)
        return secrets.token_hex(8).encode()

    async def _announce(self) -> None:
        """Points the chain at the newest document, again where a reorganisation took that back."""
        built, world = self._built, self._world
        if built is None:
            return
        try:
            digest, _ = await world.market.store(world.shop.seller.address)
            if digest != built.digest:
                await asyncio.wait_for(
                    world.send(world.shop.seller, "updateStore", built.digest, built.root), 30
                )
        except (DamError, TimeoutError):
            # Dropped with its block, or priced out by a jump of the base fee: at the next look.
            return

    async def current(self) -> Version | None:
        """The version that the chain names now, if it is one of ours."""
        digest, _ = await self._world.market.store(self._world.shop.seller.address)
        return self.versions.get(digest)
