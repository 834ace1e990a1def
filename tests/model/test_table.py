"""The money table of the protocol, from the contract, to the wei.

`table` is written straight from `IMarketplace`, row by row; terms, deliveries, proofs and ends are
drawn at random, native and token. The worked example of docs/money.md is computed the same way, and
must be what is committed: DAM_WRITE=1 writes it anew.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from cases import Case as Played
from reference import Agreement, Item, Leaf, Sale
from reference import Split as Shares
from world import ETHER, KEY, NO_POSSESSION, RULES, World, catalogue

from dam.crypto.hashing import keccak

PAGE = Path(__file__).resolve().parents[2] / "docs" / "money.md"
LATE = ", from a third of the arbitration on"
ENDS = (
    *("confirmed", "settled", "silence", "refund by timeout", "seller concedes, Complete"),
    *("the seller's junk proved", "seller concedes, Disputed", "seller concedes" + LATE),
    *("the seller's junk proved" + LATE, "buyer concedes", "buyer concedes" + LATE),
    *("agreement, Complete", "agreement, Disputed", "ruling"),
)
UNDISPUTED = ENDS[:2] + ENDS[3:6] + ENDS[11:12]
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
    w: int = 0
    """Of the penalty, by an agreement."""
    a: int = 0
    """To the arbitrator, by an agreement."""
    cleared: int = 0
    """So many of the deliverers' parts were proved to be junk, and replaced by the seller."""

    @property
    def disputed(self) -> bool:
        return self.end not in UNDISPUTED

    @property
    def late(self) -> bool:
        return self.end.endswith(LATE)


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
    """The table, but for fines and bounties, which are no part of a sale's money."""
    fee = c.commission // c.n
    r, fees = c.n * fee + c.penalty + c.bond, (c.d + c.f) * fee
    w = c.penalty if c.awarded else 0
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
        "refund by timeout": (p, c.penalty, 0, 0, r - fees - c.penalty, 0),
        "seller concedes, Complete": (p, c.penalty, 0, 0, r - fees - c.penalty, 0),
        "the seller's junk proved": (p, c.penalty, 0, 0, r - fees - c.penalty, 0),
        "seller concedes, Disputed": (
            *(p, c.penalty + 2 * c.bond, 0, 0),
            *(r - fees - c.penalty - c.bond, 0),
        ),
        "seller concedes" + LATE: (
            *(p, c.penalty + c.bond, 0, 0),
            *(r - fees - c.penalty - c.bond, c.bond),
        ),
        "buyer concedes": (0, 0, p - full, c.bond, r - fees + full, 0),
        "buyer concedes" + LATE: (0, 0, p - full, 0, r - fees + full, c.bond),
        "agreement, Complete": (c.b, c.w, p - c.b - half, 0, r - fees - c.w + half, 0),
        "agreement, Disputed": (
            *(c.b, c.w + c.bond - c.a // 2, p - c.b - half, 0),
            *(r - fees - c.w + half - (c.a - c.a // 2), c.a),
        ),
        "ruling": (
            *(c.b, w + (c.bond if won else 0), p - c.b - half, 0),
            *(r - fees - w + half - (c.bond if won else 0), c.bond),
        ),
    }
    rows["the seller's junk proved" + LATE] = rows["seller concedes" + LATE]
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
    # Ten fees, and as many fines.
    rich = 10 * case.commission + 99 * RULES.min_deliverer
    call("dan", "stakeAsDeliverer", KEY, NO_POSSESSION, value=rich * 40)
    item = Item(
        *("item", case.token, case.price, case.commission, case.penalty, case.bond),
        *(1, case.n, case.k, "art"),
    )
    leaves = tuple(Leaf(i, "dan", "key", "key") for i in range(case.n))
    goods = world.goods(item, stock=False, rows=[leaves])
    tree, digest = catalogue([goods]), keccak(b"document")
    call("sam", "createStore", digest, tree.root)
    value = 0 if case.token else case.price
    keys = world.buyers_keys(item, 0)
    call("bea", "buyItem", at["sam"], astuple(goods.terms), [], digest, 0, keys, value=value)
    sale = Sale(item, "sam", "bea", leaves, chain.head, chain.now)
    one = Played(world, world.bought(sale, goods, 0, digest), leaves)
    assert read(world, "sellerStakes", at["sam"]) == 2 * ETHER

    def send(who: str, data: bytes, value: int = 0) -> None:
        refused = one.said(who, data, value=value)
        assert refused is None, f"{case}: by {who}: {refused}"
        one.do(who, data, value=value)

    for index in range(case.d):
        send("dan", one.part(index, good=False))
    if case.cleared:
        send("bea", one.proof(*range(case.cleared)))
    for index in (*range(case.cleared), *range(case.d, case.d + case.f)):
        chain.reach(max(one.gate, chain.head + 1))
        fresh = "fresh" if index < case.cleared else ""
        good = "junk" not in case.end
        send("ben", one.part(index, "sam", good=good, fresh=fresh))
    finish(case, one, send)

    bounties = fines(case)[1]
    stake = read(world, "sellerStakes", at["sam"]) - 2 * ETHER
    native = {who: read(world, "credits", at[who], at[""]) for who in ("bea", "sam", "art")}
    native["bea"] -= bounties
    usd = {
        who: read(world, "credits", at[who], world.token_at["usd"]) for who in ("bea", "sam", "art")
    }
    assert read(world, "burnt") == fines(case)[0] - bounties
    earned = read(world, "deliverers", at["dan"])[2]
    if case.token:
        assert usd["art"] == 0
        prices = usd["bea"], native["bea"], usd["sam"], native["sam"]
        return Split(*prices, stake, native["art"], earned)
    assert not any(usd.values())
    # One currency: what of a credit is price and what is coins cannot be told apart.
    return Split(0, native["bea"], 0, native["sam"], stake, native["art"], earned)


def fines(case: Case) -> tuple[int, int]:
    """What the fines took, and what of it is the buyer's."""
    fine = max(RULES.junk_fine, 10 * (case.commission // case.n))
    return case.cleared * fine, case.cleared * (fine // 5)


def finish(case: Case, one: Played, send: Any) -> None:
    """From the last delivery to the end that the case wants."""
    chain, end = one.world.chain, case.end
    if end == "refund by timeout":
        chain.reach_time(one.time + RULES.refund + 1)
        send("ben", one.call("refund"))
        return
    chain.reach(max(one.gate, chain.head + 1))
    if case.disputed:
        send("bea", one.call("openDispute", bytes(32)), value=case.bond)
    if case.late:
        chain.reach_time(chain.now + RULES.arbitration // 3)
    if end == "confirmed":
        send("bea", one.call("confirm"))
    elif end == "settled":
        chain.reach_time(chain.now + RULES.dispute + 1)
        send("ben", one.call("settle"))
    elif end == "silence":
        chain.reach_time(chain.now + RULES.arbitration + 1)
        send("ben", one.call("settle"))
    elif end.startswith("buyer concedes"):
        send("bea", one.call("concede"))
    elif end.startswith("agreement"):
        send("sam", agreement(case, one))
    elif "junk" in end:
        index = 0 if case.cleared else case.d
        fresh = "fresh" if case.cleared else ""
        evidence = one.one.evidence(one.entry(index, good=False, fresh=fresh))
        send("bea", one.call("proveSellerJunk", one.one.keys, astuple(evidence)))
    elif end == "ruling":
        send("art", one.call("resolveDispute", case.b, case.awarded))
    else:
        send("sam", one.call("concede"))


def agreement(case: Case, one: Played) -> bytes:
    """The buyer's signature of it; the seller calls."""
    status, _, since, *_ = read(one.world, "sales", one.one.copy_id)
    split = Shares(case.b, case.w, case.a, 2**40)
    words = Agreement(None, "Disputed" if status == 3 else "Complete", since, split)
    return one.call("agree", tuple(split), one.world.agreement("bea", one.one, words), b"")


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
    junk = "junk" in end
    parts = rng.randint(0, k - 1) if early else rng.randint(k, n)
    d = rng.randint(0, parts)
    cleared = rng.randint(0, d) if rng.random() < 0.4 else 0
    if junk and parts == d and not cleared:
        d, cleared = parts - 1, 0
    price = amount()
    commission = rng.randint(0, price) if not token else amount()
    split = end == "ruling" or end.startswith("agreement")
    b = rng.choice((0, 0, price, min(price, 1), rng.randint(0, price))) if split else 0
    penalty, bond = amount(), amount()
    agreed = end.startswith("agreement")
    return Case(
        end=end,
        token=token,
        price=price,
        commission=commission,
        penalty=penalty,
        bond=bond,
        n=n,
        k=k,
        d=d,
        f=parts - d,
        b=b,
        awarded=end == "ruling" and rng.random() < 0.5,
        w=rng.randint(0, penalty) if agreed else 0,
        a=rng.randint(0, 2 * bond) if end == "agreement, Disputed" else 0,
        cleared=cleared,
    )


@pytest.mark.parametrize("token", NATIVE_AND_TOKEN, ids=("native", "token"))
@pytest.mark.parametrize("end", ENDS)
def test_every_row_of_the_table(world: World, end: str, token: str) -> None:
    rng = random.Random(f"{end} {token}")
    for number in range(int(os.environ.get("DAM_TABLE_CASES", "6"))):
        case = draw(rng, end, token)
        while number % 2 and not (case.f and (case.cleared or number % 4 == 1)):
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
    for name, case in examples():
        split = play(world, case)
        assert split == merged(table(case), ""), case
        row = [
            *(split.buyer_coins, split.seller_coins, split.stake),
            *(split.deliverers, split.arbitrator),
        ]
        cells = " | ".join(f"{amount:,}" for amount in [*row, sum(row)])
        lines.append(f"| {name} | {cells} |")
    return "\n".join(lines)


def examples() -> Iterator[tuple[str, Case]]:
    half = replace(EXAMPLE, b=ETHER // 2)
    for end in ENDS:
        case = replace(EXAMPLE, end=end)
        if end == "refund by timeout":
            yield end, replace(case, d=1)
        elif end == "agreement, Complete":
            yield f"{end}: half the price", replace(half, end=end)
        elif end == "agreement, Disputed":
            bond = replace(half, end=end, a=EXAMPLE.bond)
            yield f"{end}: half the price, a bond to the arbitrator", bond
        elif end == "ruling":
            yield "ruling: nothing to the buyer", case
            yield "ruling: half the price", replace(half, end=end)
            yield "ruling: half and the penalty", replace(half, end=end, awarded=True)
        else:
            yield end, case


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
