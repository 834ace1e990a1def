"""A seller with a catalogue folder, three deliverers with key rings, and blocks in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import settings

from dam.catalog import reader
from dam.catalog.reader import Limits
from dam.catalog.store import Item, Store
from dam.crypto.derivation import SellerSeed, new_seed
from dam.crypto.hashing import checksum
from dam.keystore.key_files import KeyRing
from dam.market.deliverers import Deliverer
from dam.roles.deliverer import part_scan
from dam.roles.seller.goods import Good, add_goods
from dam.roles.seller.listings import Catalogue, Listing
from dam.roles.seller.store_builder import BuiltStore, build_store, publish_store
from dam.testing.blocks import MemoryStore
from dam.types import Address, Wei

# Examples are timed by nobody: two cores serve all tests at once.
settings.register_profile("crypto", deadline=None)
settings.load_profile("crypto")

CHAIN = 31337
MARKET, SELLER, THIEF = (checksum(bytes([i]) * 20) for i in (0xAA, 0xBB, 0xCC))


@dataclass
class Daemon:
    """A deliverer: its operator address and keys."""

    operator: Address
    ring: KeyRing = field(default_factory=KeyRing.generate)

    @property
    def known(self) -> Deliverer:
        return Deliverer(self.operator, self.ring.current.public)

    def find(self, item: Item, seller: Address, **where: Any) -> list[part_scan.FoundPart]:
        origin = part_scan.Origin(CHAIN, MARKET, seller)._replace(**where)
        return list(part_scan.find_parts(item, self.ring, origin))

    def open(
        self, found: part_scan.FoundPart, seller: Address, **where: Any
    ) -> part_scan.OpenedPart:
        me = where.pop("me", self.operator)
        origin = part_scan.Origin(CHAIN, MARKET, seller)._replace(**where)
        return part_scan.open_found(found, origin, me)


@dataclass
class Shop:
    """One seller's side of everything."""

    folder: Path
    address: Address = SELLER
    blocks: MemoryStore = field(default_factory=MemoryStore)
    seed: SellerSeed = field(default_factory=lambda: SellerSeed(new_seed()))
    daemons: list[Daemon] = field(
        default_factory=lambda: [Daemon(checksum(bytes([i + 1]) * 20)) for i in range(5)]
    )

    def __post_init__(self) -> None:
        self.catalogue = Catalogue(self.folder)

    def draft(self, name: str = "coupon", **changes: Any) -> Listing:
        values: dict[str, Any] = {
            "chain_id": CHAIN,
            "market": MARKET,
            "seller": self.address,
            "name": name,
            "title": f"The {name}",
            "price": 1000,
            "commission": Wei(30),
            "penalty": Wei(500),
            "parts": 3,
            "threshold": 2,
            "stock": False,
            "supply": 10,
        }
        return Listing(**{**values, **changes})

    async def add(self, listing: Listing, *goods: Good) -> Listing:
        known = [daemon.known for daemon in self.daemons[: listing.parts]]
        full = await add_goods(self.blocks, self.seed, listing, goods, known)
        self.catalogue.save(full)
        return full

    async def stock(self, name: str, goods: list[bytes], **changes: Any) -> Listing:
        return await self.add(self.draft(name, stock=True, supply=0, **changes), *goods)

    def build(self) -> BuiltStore:
        return build_store(
            self.seed,
            self.catalogue,
            name="Shop",
            chain_id=CHAIN,
            market=MARKET,
            seller=self.address,
        )

    async def publish(self) -> tuple[BuiltStore, Store]:
        built = self.build()
        await publish_store(self.blocks, built)
        return built, await self.read(built.digest, built.root)

    async def read(
        self, digest: bytes, root: bytes, limits: Limits | None = None, **other: Any
    ) -> Store:
        place = {"chain_id": CHAIN, "market": MARKET, "seller": self.address, **other}
        return await reader.read_store(self.blocks, digest, root=root, limits=limits, **place)
