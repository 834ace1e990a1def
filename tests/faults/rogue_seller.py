"""Another seller, who publishes anything: honest documents, and those of the fault table.

    rogue = await RogueSeller.enter(world)
    document = await rogue.document()              # honest, all of it in one block
    document["items"][0]["price"] = True
    offer = await rogue.publish(document, [replace(rogue.terms(document), price=1)])
    bought = await rogue.buy(offer)                # the chain takes it; the deliverers need not

The parts of a rogue's items are sealed to the shop's own deliverers. What a sale is worth is
decided by the terms committed to on chain, whatever the document says: the tests choose both, so
that a document is refused for its own fault, and not because a root does not match.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dam.catalog.about import DETAIL_KEYS
from dam.crypto import hashing
from dam.crypto.derivation import SellerSeed, new_seed
from dam.crypto.merkle import MerkleTree
from dam.ipfs import dag_json
from dam.ipfs.blocks import BlockStore
from dam.ipfs.cid import Cid
from dam.market.deliverers import Deliverer
from dam.roles.seller.goods import add_goods
from dam.roles.seller.listings import Catalogue, Listing
from dam.roles.seller.store_builder import build_store
from dam.types import Purchase, Terms, Wei
from demo import documents
from demo.actors import Actor
from demo.documents import Document, terms_of
from demo.trade import Bought
from tests.faults.world import FaultWorld

WARE = "ware"
_STAKE = 2 * 10**18
_DETAILS = (*DETAIL_KEYS, "otherMetadata")
_GOODS = ("encryptedParts", "partLeaves", "payloads", "sections")


@dataclass(frozen=True)
class Offer:
    """A version of a rogue's store, as the chain has it."""

    digest: bytes
    terms: tuple[Terms, ...]
    """All that the catalogue root commits to, in order."""

    @property
    def cid(self) -> Cid:
        """Of the root document."""
        return Cid("dag-json", self.digest)

    @property
    def tree(self) -> MerkleTree:
        """The catalogue."""
        return MerkleTree([hashing.terms_leaf(terms) for terms in self.terms])


async def put_page(blocks: BlockStore, entry: Document, **goods: Any) -> dict[str, str]:
    """Puts one item of a document of one block as a page, with its details and goods.

    Args:
        blocks: Takes the three blocks.
        entry: The item, with all its keys.
        goods: More keys for the block of goods.
    """

    async def put(value: Any) -> dict[str, str]:
        return {"/": str(await blocks.put("dag-json", dag_json.dumps(value)))}

    details, own = (
        {key: entry[key] for key in keys if key in entry} for keys in (_DETAILS, _GOODS)
    )
    item = {key: entry[key] for key in entry if key not in details and key not in own}
    return await put(
        {
            "items": [item],
            "details": await put({"items": [details]}),
            "goods": await put({"items": [own], **goods}),
        }
    )


@dataclass
class RogueSeller:
    """Make one with `enter`; it ends with the test."""

    world: FaultWorld
    actor: Actor
    seed: SellerSeed = field(default_factory=lambda: SellerSeed(new_seed()), repr=False)
    versions: list[Offer] = field(default_factory=list)
    _copies: dict[bytes, int] = field(default_factory=dict)

    @classmethod
    async def enter(cls, world: FaultWorld) -> RogueSeller:
        """Turns one of the spare buyers into a seller with a stake."""
        rogue = cls(world, world.people.pop())
        await world.send_data(rogue.actor, world.market.encode("stakeAsSeller"), value=_STAKE)
        world.remember("seed of a rogue", rogue.seed.seed)
        return rogue

    def listing(self, name: str = WARE, **changes: Any) -> Listing:
        """An item of three parts without its good."""
        values: dict[str, Any] = {
            "chain_id": self.world.deployment.chain_id,
            "market": self.world.deployment.market,
            "seller": self.actor.address,
            "name": name,
            "title": f"A {name}",
            "price": 10**16,
            "commission": Wei(3 * 10**15 + 1),
            "penalty": Wei(10**15),
            "parts": 3,
            "threshold": 2,
            "stock": False,
            "supply": 100,
        }
        return Listing(**{**values, **changes})

    async def document(self, *listings: Listing, keys: Sequence[bytes] = ()) -> Document:
        """An honest store, all in one block.

        Args:
            listings: Its items; one of its own unless given.
            keys: X25519 keys that the deliverers' parts are sealed to; their own unless given.
        """
        operators = [actor.address for actor in self.world.shop.deliverers]
        keys = keys or [await self.world.deliverer_key(one) for one in operators]
        known = [Deliverer(one, key) for one, key in zip(operators, keys, strict=True)]
        with tempfile.TemporaryDirectory(dir=self.world.scratch) as folder:
            catalogue = Catalogue(Path(folder))
            for listing in listings or [self.listing()]:
                goods = [b"good %d" % n for n in range(3 if listing.stock else 1)]
                catalogue.save(await add_goods(self.world.blocks, self.seed, listing, goods, known))
            built = build_store(
                self.seed,
                catalogue,
                name="A rogue's",
                chain_id=self.world.deployment.chain_id,
                market=self.world.deployment.market,
                seller=self.actor.address,
            )
        for _, data in built.blocks:
            await self.world.blocks.put("dag-json", data)
        return await documents.read_document(self.world.blocks, built.digest)

    def terms(self, document: Document, number: int = 0) -> Terms:
        """What an honest document sells an item for."""
        return terms_of(document["items"][number])

    async def publish(self, document: Document | bytes, terms: Sequence[Terms] = ()) -> Offer:
        """Puts a document of one block, and has the chain point to it.

        Args:
            document: Written down as it is, or bytes that need not be JSON at all.
            terms: What the chain shall take for the document's terms; its own unless given.
        """
        if isinstance(document, bytes):
            data = document
        else:
            data = dag_json.dumps(document)
            terms = terms or [terms_of(entry) for entry in document["items"]]
        cid = await self.world.blocks.put("dag-json", data)
        return await self.point_to(cid, terms)

    async def point_to(self, cid: Cid, terms: Sequence[Terms]) -> Offer:
        """Has the chain name a document, wherever that is; mines a block."""
        offer = Offer(cid.digest, tuple(terms))
        function = "updateStore" if self.versions else "createStore"
        data = self.world.market.encode(function, offer.digest, offer.tree.root)
        await self.world.send_data(self.actor, data)
        self.versions.append(offer)
        return offer

    async def buy(self, offer: Offer | None = None, number: int = 0) -> Bought:
        """Sells a copy to the next buyer, and puts it among ``world.sold``.

        Args:
            offer: The version in force; the newest unless given.
            number: Which of its terms.
        """
        world, offer = self.world, offer or self.versions[-1]
        terms = offer.terms[number]
        copy_number = self._copies.get(terms.item_id, 0)
        self._copies[terms.item_id] = copy_number + 1
        secrets, keys = documents.one_time_keys(terms.parts)
        data = world.market.encode(
            "buyItem",
            self.actor.address,
            terms,
            offer.tree.proof(hashing.terms_leaf(terms)),
            offer.digest,
            copy_number,
            keys,
        )
        buyer = world.people[len(world.sold) % len(world.people)]
        receipt = await world.send_data(buyer, data, value=terms.price)
        [sale] = [
            log
            for log in await world.market.logs(receipt.block, receipt.block)
            if isinstance(log, Purchase) and log.seller == self.actor.address
        ]
        bought = Bought(sale, tuple(secrets))
        world.sold.append(bought)
        for index, secret in enumerate(secrets):
            world.remember(f"one-time key {index} of a rogue's buyer", secret)
        return bought


def bent(document: Document, number: int = 0, **changes: Any) -> Document:
    """The document with fields of one item changed."""
    result = copy.deepcopy(document)
    result["items"][number] |= changes
    return result
