"""A seller who commits to shares that give no key, or to leaves that contradict each other: the
buyer's commands find it, wait for the gate, and get price and penalty back.
"""

from dataclasses import replace

import pytest
import pytest_asyncio

from dam.crypto.hashing import keccak, part_leaf, sale_of
from dam.crypto.merkle import MerkleTree
from dam.crypto.sealing import seal_fragment
from dam.types import FALLBACK_BLOCKS, ZERO32, CopyId, Delivery, Status
from demo import by_hand, documents, trade
from tests.e2e.manual_market import ManualMarket

pytestmark = [pytest.mark.kubo, pytest.mark.asyncio(loop_scope="session")]

ITEM = """
[[items]]
id = "words {number}"
price = "0.1 ether"
penalty = "0.02 ether"
text = "the words that were sold"
parts = 3
threshold = 2
"""
OTHERS = [keccak(b"another key %d" % number) for number in range(3)]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def market(whole_world):
    """One for all tests: each bends an item of its own."""
    found = await ManualMarket(whole_world).open()
    await found.publish("".join(ITEM.format(number=number) for number in range(3)), "--yes")
    return found


class Sold:
    """A copy of an item whose leaves the seller bent: leaf and share of each part."""

    def __init__(self, market, item, parts):
        self.market, self.world, self.item, self.parts = market, market.world, item, parts
        self.tree = MerkleTree([part_leaf(leaf) for leaf, _ in parts])

    async def buy(self):
        """Publishes a store that is right in all that a reader can see, and sells a copy of it."""
        seller = self.market.seller
        version = await self.world.store_version(seller.address)
        document = await documents.read_document(self.world.blocks, version.digest)
        [entry] = [entry for entry in document["items"] if entry["itemId"] == self.item]
        entry["partLeaves"] = ["0x" + part_leaf(leaf).hex() for leaf, _ in self.parts]
        entry["partsRoot"] = "0x" + self.tree.root.hex()
        digest, root = await documents.put_document(self.world.blocks, document)
        await self.world.send(seller, "updateStore", digest, root)
        sale = await self.market.buy(self.item, "--no-arbitrator")
        self.name, copy_id = sale["id"], CopyId(bytes.fromhex(sale["id"][2:]))
        self.purchase = await trade.purchase(self.world, copy_id)
        return self

    def delivery(self, number):
        leaf, share = self.parts[number]
        return Delivery(
            self.purchase.copy_id, sale_of(self.purchase), leaf.index, leaf.deliverer,
            leaf.commitment, leaf.secret_hash, leaf.salt, ZERO32,
            self.tree.proof(part_leaf(leaf)), seal_fragment(share, self.purchase.keys[leaf.index]),
        )  # fmt: skip

    async def deliver(self, number):
        delivery = self.delivery(number)
        [deliverer] = [a for a in self.market.deliverers if a.address == delivery.deliverer]
        signature = by_hand.signed(self.world, deliverer, delivery)
        await self.world.send(deliverer, "deliverFragment", delivery, signature)

    async def supply(self, number):
        delivery = self.delivery(number)
        signature = by_hand.signed(self.world, self.market.seller, delivery)
        await self.world.send(self.market.seller, "supplyFragments", [delivery], signature)

    async def prove(self, call):
        """By the command; the buyer has price and penalty after it, and the fees' rest is free."""
        world, buyer = self.world, self.market.buyer
        said = await self.market.fails(buyer, "buyer", "open", self.name)
        assert "the seller made them so. Next: `dam buyer prove`" in " ".join(said.split())
        before = await world.market.credits(buyer.address)
        done = await world.dam(buyer, "buyer", "prove", self.name, "--yes", "--json")
        assert done.json["call"] == call
        assert (await world.market.sale_state(self.purchase.copy_id)).status == Status.REFUNDED
        terms = self.purchase.terms
        after = await world.market.credits(buyer.address)
        assert after - before == terms.price + terms.penalty
        return done.json


async def test_shares_that_give_another_key(market):
    """Each is what its leaf commits to; the key that they give is not what the leaves promise."""
    parts = by_hand.parts_of(market.seller, "words 0")
    bent = [(replace(leaf, secret_hash=OTHERS[0]), share) for leaf, share in parts]
    sold = await Sold(market, "words 0", bent).buy()
    for number in range(2):
        await sold.deliver(number)
    # The third might still come, and the gate is closed until it does.
    said = await market.fails(market.buyer, "buyer", "prove", sold.name, "--yes")
    gate = sold.purchase.purchase_block + FALLBACK_BLOCKS + 1
    assert f"can be proved from block {gate} on" in " ".join(said.split())
    await sold.deliver(2)
    proved = await sold.prove("proveBadShares")
    assert [part["index"] for part in proved["parts"]] == [0, 1]


async def test_leaves_that_promise_different_keys(market):
    parts = by_hand.parts_of(market.seller, "words 1")
    bent = [
        (replace(leaf, secret_hash=other), share)
        for (leaf, share), other in zip(parts, OTHERS, strict=True)
    ]
    sold = await Sold(market, "words 1", bent).buy()
    for number in range(3):
        await sold.deliver(number)
    proved = await sold.prove("proveBadLeaves")
    assert [part["index"] for part in proved["parts"]] == [0, 1]


async def test_two_leaves_of_one_index(market):
    """The second shows when the seller supplies it; its proof is in no record, but in the store."""
    (first, share), (second, other), _ = by_hand.parts_of(market.seller, "words 2")
    first, second = (replace(leaf, secret_hash=OTHERS[0]) for leaf in (first, second))
    twin = replace(first, salt=OTHERS[1])
    bent = [(first, share), (second, other), (twin, share)]
    sold = await Sold(market, "words 2", bent).buy()
    await sold.deliver(0)
    await sold.deliver(1)
    await sold.supply(2)
    await sold.world.mine_to(sold.purchase.purchase_block + FALLBACK_BLOCKS)
    proved = await sold.prove("proveBadLeaves")
    assert [part["index"] for part in proved["parts"]] == [0, 0]
