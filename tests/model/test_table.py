"""The money table of the protocol's section 5, from the contract, to the wei.

`table` is written straight from the protocol, row by row; terms, deliveries and ends are drawn at
random, native and token. The worked example of docs/money.md is computed the same way, and must be
what is committed: DAM_WRITE=1 writes it anew.
"""

from __future__ import annotations

import os
import random
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from reference import Item, Sale
from world import ETHER, GOOD_KEY, RULES, Bought, World

from dam.crypto.hashing import keccak, terms_leaf
from dam.crypto.merkle import MerkleTree

PAGE = Path(__file__).resolve().parents[2] / "docs" / "money.md"
ENDS = (
    *("confirmed", "settled", "silence", "refund by timeout", "seller concedes, Complete"),
    *("seller concedes, Disputed", "buyer concedes", "ruling"),
)
NATIVE_AND_TOKEN = ("", "usd")


@dataclass(frozen=True)
class Case:
    """Terms, who delivered how much, and how the sale ends."""

    end: str
    token: str
    price: int
    commission: int
    penalty: int
    bond: int
    n: int
    k: int
    d: int
    f: int
    b: int = 0
    awarded: bool = False

    @property
    def disputed(self) -> bool:
        return self.end in ("silence", "seller concedes, Disputed", "buyer concedes", "ruling")


@dataclass(frozen=True)
class Split:
    """What a sale leaves to each: `price` in the price's currency, the rest in the native coin."""

    buyer_price: int
    buyer_coins: int
    seller_price: int
    seller_coins: int
    stake: int
    arbitrator: int
    deliverers: int


def table(c: Case) -> Split:
    """Section 5's table."""
    fee = c.commission // c.n
    r, fees = c.n * fee + c.penalty + c.bond, (c.d + c.f) * fee
    w = c.penalty if c.awarded else 0
    q = c.penalty * (c.k - min(c.d, c.k)) // c.k
    won = c.b > 0 or w > 0

    def back(what_the_seller_gets: int) -> int:
        return min(what_the_seller_gets, fees) if c.token == "" else 0

    p, full = c.price, back(c.price)
    half = back(p - c.b)
    rows = {
        # end: buyer (price, coins), seller (price, coins), stake, arbitrator
        "confirmed": (0, 0, p - full, 0, r - fees + full, 0),
        "settled": (0, 0, p - full, 0, r - fees + full, 0),
        "silence": (0, c.bond, p - full, 0, r - fees + full, 0),
        "refund by timeout": (p, q, 0, 0, r - fees - q, 0),
        "seller concedes, Complete": (p, q, 0, 0, r - fees - q, 0),
        "seller concedes, Disputed": (
            *(p, c.penalty + 2 * c.bond, 0, 0),
            *(r - fees - c.penalty - c.bond, 0),
        ),
        "buyer concedes": (0, 0, p - full, c.bond, r - fees + full, 0),
        "ruling": (
            *(c.b, w + (c.bond if won else 0), p - c.b - half, 0),
            *(r - fees - w + half - (c.bond if won else 0), c.bond),
        ),
    }
    buyer_price, buyer_coins, seller_price, seller_coins, stake, arbitrator = rows[c.end]
    # Whatever the end: a part by the seller pays the buyer, one by a deliverer pays the deliverer.
    buyer_coins, deliverers = buyer_coins + c.f * fee, c.d * fee
    return Split(
        buyer_price, buyer_coins, seller_price, seller_coins, stake, arbitrator, deliverers
    )


def play(world: World, case: Case) -> Split:
    """The same sale on the chain, from the purchase to its end."""
    world.reset()
    chain, at = world.chain, world.at

    def call(who: str, function: str, *args: Any, value: int = 0) -> None:
        data = world.contract.call(function, *args)
        refused = world.attempt(who, world.market, data, value)
        assert refused is None, f"{case}: {function} by {who}: {refused}"
        world.send(who, world.market, data, value)

    stake = case.n * (case.commission // case.n) + case.penalty + case.bond + 2 * ETHER
    call("sam", "stakeAsSeller", value=stake)
    call("dan", "stakeAsDeliverer", GOOD_KEY, value=RULES.min_deliverer)
    item = Item(
        *("item", case.token, case.price, case.commission, case.penalty, case.bond),
        *(1, case.n, case.k, "art"),
    )
    goods = world.goods(item, stock=False, leaves=[["dan"] * case.n])
    tree, digest = MerkleTree([terms_leaf(goods.terms)]), keccak(b"document")
    call("sam", "createStore", digest, tree.root)
    value = 0 if case.token else case.price
    buy = (at["sam"], astuple(goods.terms), [], digest, 0, [GOOD_KEY] * case.n)
    call("bea", "buyItem", *buy, value=value)
    sale = Sale(item, "sam", "bea", (), chain.head)
    one = world.bought(sale, goods, 0, digest)
    args = (one.copy_id, astuple(one.sale), astuple(one.escrow))
    assert read(world, "sellerStakes", at["sam"]) == 2 * ETHER

    for index in range(case.d + case.f):
        if index == case.d:
            chain.reach(sale.born + 101)
        by = "dan" if index < case.d else "sam"
        call(by, "deliverFragment", astuple(one.delivery(index)))
    finish(case, one, chain, call, args)

    stake = read(world, "sellerStakes", at["sam"]) - 2 * ETHER
    native = {who: read(world, "credits", at[who], at[""]) for who in ("bea", "sam", "art")}
    usd = {
        who: read(world, "credits", at[who], world.token_at["usd"]) for who in ("bea", "sam", "art")
    }
    earned = read(world, "deliverers", at["dan"])[2]
    if case.token:
        assert usd["art"] == 0
        prices = usd["bea"], native["bea"], usd["sam"], native["sam"]
        return Split(*prices, stake, native["art"], earned)
    assert not any(usd.values())
    # One currency: what of a credit is price and what is coins cannot be told apart.
    return Split(0, native["bea"], 0, native["sam"], stake, native["art"], earned)


def finish(case: Case, one: Bought, chain: Any, call: Any, args: tuple[Any, ...]) -> None:
    """From the last delivery to the end that the case wants."""
    born = one.sale.purchase_block
    if case.end == "refund by timeout":
        chain.reach(born + RULES.refund + 1)
        call("ben", "refund", *args)
        return
    chain.reach(max(born + 101, chain.head + 1))
    if case.disputed:
        call("bea", "openDispute", *args, bytes(32), value=case.bond)
    if case.end == "confirmed":
        call("bea", "confirm", *args)
    elif case.end == "settled":
        chain.mine(RULES.dispute + 1)
        call("ben", "settle", *args)
    elif case.end == "silence":
        chain.mine(RULES.arbitration)
        call("ben", "settle", *args)
    elif case.end == "buyer concedes":
        call("bea", "concede", *args)
    elif case.end == "ruling":
        call("art", "resolveDispute", *args, case.b, case.awarded)
    else:
        call("sam", "concede", *args)


def read(world: World, function: str, *args: Any) -> Any:
    data = world.contract.call(function, *args)
    _, results = world.chain.read(world.market, [(world.market, data)])
    return world.contract.result(function, results[0])


def merged(split: Split, token: str) -> Split:
    """In one currency, as `play` can see it."""
    if token:
        return split
    return replace(
        split,
        buyer_price=0,
        buyer_coins=split.buyer_price + split.buyer_coins,
        seller_price=0,
        seller_coins=split.seller_price + split.seller_coins,
    )


def draw(rng: random.Random, end: str, token: str) -> Case:
    """Terms at random, edges more often than chance would have them."""

    def amount() -> int:
        return rng.randrange(rng.choice((1, 2, 9, ETHER, 3 * ETHER)))

    early = end == "refund by timeout"
    n = rng.choice((2, 3, 3, 4, 5) if early else (1, 2, 3, 3, 4, 5))
    k = rng.randint(2 if early else 1, n)
    parts = rng.randint(0, k - 1) if early else rng.randint(k, n)
    d = rng.randint(0, parts)
    price = amount()
    commission = rng.randint(0, price) if not token else amount()
    b = rng.choice((0, 0, price, min(price, 1), rng.randint(0, price))) if end == "ruling" else 0
    return Case(
        end=end,
        token=token,
        price=price,
        commission=commission,
        penalty=amount(),
        bond=amount(),
        n=n,
        k=k,
        d=d,
        f=parts - d,
        b=b,
        awarded=end == "ruling" and rng.random() < 0.5,
    )


@pytest.mark.parametrize("token", NATIVE_AND_TOKEN, ids=("native", "token"))
@pytest.mark.parametrize("end", ENDS)
def test_every_row_of_the_table(world: World, end: str, token: str) -> None:
    rng = random.Random(f"{end} {token}")
    for number in range(int(os.environ.get("DAM_TABLE_CASES", "6"))):
        case = draw(rng, end, token)
        while number % 2 and not case.f:
            case = draw(rng, end, token)
        expected = merged(table(case), token)
        assert play(world, case) == expected, case


def test_nothing_is_made_or_lost() -> None:
    """What goes in comes out: the table itself, over more terms than a chain can play."""
    rng = random.Random(5)
    for _ in range(20_000):
        case = draw(rng, rng.choice(ENDS), rng.choice(NATIVE_AND_TOKEN))
        split = table(case)
        fee = case.commission // case.n
        bonds = case.bond + (case.bond if case.disputed else 0)
        coins = case.n * fee + case.penalty + bonds
        out = split.buyer_coins + split.seller_coins + split.stake
        out += split.arbitrator + split.deliverers
        prices = split.buyer_price + split.seller_price
        if case.token:
            assert (out, prices) == (coins, case.price), case
        else:
            assert out + prices == coins + case.price, case
        assert min(astuple(split)) >= 0, case


EXAMPLE = Case(
    end="",
    token="",
    price=ETHER,
    commission=ETHER // 10,
    penalty=ETHER // 2,
    bond=ETHER // 5,
    n=3,
    k=3,
    d=2,
    f=1,
)


def example(world: World) -> str:
    """The worked example, from the chain: one row per end, the columns' sum beside it."""
    lines = [
        "| end | buyer | seller | stake | deliverers | arbitrator | sum |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for end in ENDS:
        case = replace(EXAMPLE, end=end)
        if end == "refund by timeout":
            case = replace(case, d=1)
        rulings = [("ruling", case)]
        if end == "ruling":
            rulings = [
                ("ruling: nothing to the buyer", case),
                ("ruling: half the price", replace(case, b=ETHER // 2)),
                ("ruling: half and the penalty", replace(case, b=ETHER // 2, awarded=True)),
            ]
        for name, one in rulings if end == "ruling" else [(end, case)]:
            split = play(world, one)
            assert split == merged(table(one), ""), one
            row = [
                *(split.buyer_coins, split.seller_coins, split.stake),
                *(split.deliverers, split.arbitrator),
            ]
            cells = " | ".join(f"{amount:,}" for amount in [*row, sum(row)])
            lines.append(f"| {name} | {cells} |")
    return "\n".join(lines)


def test_the_worked_example_is_what_the_contract_does(world: World) -> None:
    start, end = "<!-- example: computed by tests/model/test_table.py -->\n", "\n<!-- /example -->"
    text = PAGE.read_text("utf-8")
    before, rest = text.split(start)
    committed, after = rest.split(end)
    fresh = example(world)
    if os.environ.get("DAM_WRITE") == "1":
        PAGE.write_text(before + start + fresh + end + after, "utf-8")
        committed = fresh
    assert committed == fresh, "docs/money.md is out of date: DAM_WRITE=1 writes it anew"
