"""One sale on the real chain, and calls to it tried in any block or second, for single rules."""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace
from typing import Any

from reference import FALLBACK, Entry, Fragment, Item, Leaf, Sale
from world import ETHER, KEY, NO_POSSESSION, Bought, World, catalogue, entry_of, key_of

from dam.crypto.hashing import keccak
from dam.types import Delivery

BOND = 5
PRICE = 100


@dataclass
class Case:
    """One sale of two parts, of which one is enough, by dan and dee; times are absolute."""

    world: World
    one: Bought
    leaves: tuple[Leaf, ...]

    @property
    def time(self) -> int:
        """Seconds, of the purchase."""
        return self.one.sale.purchase_time

    @property
    def gate(self) -> int:
        return self.one.sale.purchase_block + FALLBACK + 1

    def call(self, function: str, *more: Any) -> bytes:
        closing = (self.one.copy_id, astuple(self.one.sale), astuple(self.one.escrow))
        return self.world.contract.call(function, *closing, *more)

    def entry(self, index: int, *, good: bool = True, fresh: str = "") -> Entry:
        leaf = self.leaves[index]
        sale: Any = None
        return Entry(sale, leaf, fresh, Fragment(fresh, good, index))

    def delivery(self, index: int, *, good: bool = True, fresh: str = "") -> Delivery:
        return self.one.delivery(self.entry(index, good=good, fresh=fresh))

    def part(self, index: int, by: str = "", **how: Any) -> bytes:
        """The call that delivers a part, signed by its deliverer or by somebody else."""
        by = by or self.leaves[index].deliverer
        return self.world.parts(by, [self.delivery(index, **how)])

    def proof(
        self, *indexes: int, fresh: str = "fresh", signer: str = "", good: bool = False
    ) -> bytes:
        """The call that proves parts to be junk; or tries to, where they are good."""
        entries = [self.entry(index, good=good) for index in indexes]
        lists = [
            self.world.listed(signer or one.leaf.deliverer, [entry_of(self.one.delivery(one))], 0)
            for one in entries
        ]
        evidence = [astuple(self.one.evidence(one)) for one in entries]
        key = key_of(fresh)
        return self.call("proveJunk", self.one.keys, key, evidence, [astuple(x) for x in lists])

    def sellers_proof(self, index: int, *, good: bool = False) -> bytes:
        """The same of a part of the seller's side."""
        evidence = self.one.evidence(self.entry(index, good=good))
        return self.call("proveSellerJunk", list(self.one.keys), astuple(evidence))

    def do(self, who: str, data: bytes, *, value: int = 0, block: int = 0, time: int = 0) -> int:
        """Sends a call that must succeed; the second that has it."""
        self.until(block, time)
        self.world.send(who, self.world.market, data, value)
        return self.world.chain.now

    def said(
        self, who: str, data: bytes, *, value: int = 0, block: int = 0, time: int = 0
    ) -> str | None:
        """The error with which a call would be refused then; None: it would succeed."""
        self.until(block, time)
        return self.world.attempt(who, self.world.market, data, value)

    def until(self, block: int, time: int) -> None:
        if block:
            self.world.chain.reach(block)
        if time:
            self.world.chain.reach_time(time)


def sell(
    world: World,
    arbitrator: str = "art",
    deliverers: tuple[str, ...] = ("dan", "dee"),
    **changes: Any,
) -> Case:
    world.reset()
    item = Item("a code", "", PRICE, 10, 6, BOND, 1, 2, 1, arbitrator)._replace(**changes)
    leaves = tuple(Leaf(i, who, "key", "key") for i, who in enumerate(deliverers))
    goods = world.goods(item, False, [leaves])
    tree, digest = catalogue([goods]), keccak(b"document")

    def do(who: str, function: str, *args: Any, value: int = 0) -> None:
        world.send(who, world.market, world.contract.call(function, *args), value)

    for who in ("dan", "dee"):
        do(who, "stakeAsDeliverer", KEY, NO_POSSESSION, value=ETHER // 10)
    do("sam", "stakeAsSeller", value=3 * ETHER)
    do("sam", "createStore", digest, tree.root)
    keys = world.buyers_keys(item, 0)
    args = (world.at["sam"], astuple(goods.terms), [], digest, 0, keys)
    do("bea", "buyItem", *args, value=0 if item.token else PRICE)
    chain = world.chain
    sale = Sale(item, "sam", "bea", leaves, chain.head, chain.now)
    return Case(world, world.bought(sale, goods, 0, digest), leaves)


def altered(made: Delivery, **changes: Any) -> Delivery:
    return replace(made, **changes)
