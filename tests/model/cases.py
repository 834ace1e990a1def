"""One sale on the real chain, and calls to it tried in any block, for tests of single rules."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Any

from reference import FALLBACK, Item, Sale
from world import ETHER, GOOD_KEY, Bought, World

from dam.crypto.hashing import keccak, terms_leaf
from dam.crypto.merkle import MerkleTree

BOND = 5
PRICE = 100


@dataclass
class Case:
    """One sale of two parts, of which one is enough, by dan and dee; blocks are absolute."""

    world: World
    one: Bought

    @property
    def bought_at(self) -> int:
        return self.one.sale.purchase_block

    @property
    def gate(self) -> int:
        return self.bought_at + FALLBACK + 1

    def call(self, function: str, *more: Any) -> bytes:
        closing = (self.one.copy_id, astuple(self.one.sale), astuple(self.one.escrow))
        return self.world.contract.call(function, *closing, *more)

    def part(self, index: int) -> bytes:
        return self.world.contract.call("deliverFragment", astuple(self.one.delivery(index)))

    def do(self, who: str, data: bytes, *, value: int = 0, block: int = 0) -> int:
        if block:
            self.world.chain.reach(block)
        self.world.send(who, self.world.market, data, value)
        return self.world.chain.head

    def said(self, who: str, data: bytes, block: int, *, value: int = 0) -> str | None:
        """The error with which a call would be refused in a block; None: it would succeed."""
        self.world.chain.reach(block)
        return self.world.attempt(who, self.world.market, data, value)


def sell(world: World, arbitrator: str = "art", leaves: tuple[str, ...] = ("dan", "dee")) -> Case:
    world.reset()
    item = Item("a code", "", PRICE, 10, 6, BOND, 1, 2, 1, arbitrator)
    goods = world.goods(item, False, [leaves])
    tree, digest = MerkleTree([terms_leaf(goods.terms)]), keccak(b"document")

    def do(who: str, function: str, *args: Any, value: int = 0) -> None:
        world.send(who, world.market, world.contract.call(function, *args), value)

    for who in ("dan", "dee"):
        do(who, "stakeAsDeliverer", GOOD_KEY, value=ETHER // 10)
    do("sam", "stakeAsSeller", value=3 * ETHER)
    do("sam", "createStore", digest, tree.root)
    args = (world.at["sam"], astuple(goods.terms), [], digest, 0, [GOOD_KEY] * 2)
    do("bea", "buyItem", *args, value=PRICE)
    sale = Sale(item, "sam", "bea", ("dan", "dee"), world.chain.head)
    return Case(world, world.bought(sale, goods, 0, digest))
