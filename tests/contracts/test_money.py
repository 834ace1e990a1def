"""The money table of the protocol's section 5, to the wei: see test_money.tree.

`table` is written from the protocol alone; the terms, who delivers how much, and how the sale ends
are drawn at random, edges more often than chance would have them.
"""

import random
from dataclasses import astuple, dataclass

import pytest

from dam.types import ZERO_ADDRESS, Status

ETHER = 10**18
DISPUTE, ARBITRATION, REFUND = 110, 120, 300


@dataclass
class Ends:
    """What a sale leaves behind, in wei: three credits, and what of R returns to the stake."""

    buyer: int
    seller: int
    stake: int
    arbitrator: int = 0


def table(end, *, price, fee, penalty, bond, n, k, d, f, b=0, awarded=False):
    """Section 5's table, row by row; bond is 0 where nobody arbitrates."""
    reserve = n * fee + penalty + bond
    fees = (d + f) * fee
    to_buyer = f * fee
    q = penalty * (k - min(d, k)) // k
    if end in ("confirmed", "settled", "silence"):
        back = min(price, fees)
        own_bond = bond if end == "silence" else 0
        return Ends(to_buyer + own_bond, price - back, reserve - fees + back)
    if end in ("refund", "concede complete"):
        return Ends(to_buyer + price + q, 0, reserve - fees - q)
    if end == "concede disputed":
        return Ends(to_buyer + price + penalty + 2 * bond, 0, reserve - fees - penalty - bond)
    if end == "buyer concedes":
        back = min(price, fees)
        return Ends(to_buyer, price - back + bond, reserve - fees + back)
    assert end == "ruling"
    w = penalty if awarded else 0
    back = min(price - b, fees)
    lost = b != 0 or w != 0
    return Ends(
        to_buyer + b + w + (bond if lost else 0),
        price - b - back,
        reserve - fees - w + back - (bond if lost else 0),
        bond,
    )


ENDS = (
    "confirmed",
    "settled",
    "silence",
    "refund",
    "concede complete",
    "concede disputed",
    "buyer concedes",
    "ruling",
)
DISPUTED = ("silence", "concede disputed", "buyer concedes", "ruling")
STATUS = {
    "confirmed": Status.SETTLED,
    "settled": Status.SETTLED,
    "silence": Status.SETTLED,
    "refund": Status.REFUNDED,
    "concede complete": Status.REFUNDED,
    "concede disputed": Status.REFUNDED,
    "buyer concedes": Status.SETTLED,
    "ruling": Status.RESOLVED,
}


def draw(rng, end):
    """Terms, and the numbers d and f of parts, with which a sale can come to this end."""
    n = rng.choice([1, 1, 2, 3, 3, 4, 5, 7, 32])
    k = rng.choice([1, n, rng.randint(1, n)])
    price = rng.choice([0, 1, n, rng.randrange(1000), rng.randrange(ETHER), ETHER])
    commission = rng.choice([0, price, rng.randint(0, price), min(price, n - 1)])
    arbitrated = end in DISPUTED or rng.random() < 0.5
    terms = {
        "price": price,
        "commission": commission,
        "penalty": rng.choice([0, 1, k - 1, rng.randrange(ETHER), ETHER + 1]),
        "bond": rng.choice([0, 1, rng.randrange(ETHER)]),
        "parts": n,
        "threshold": k,
        "stock": rng.random() < 0.5,
    }
    if not arbitrated:
        terms["arbitrator"] = ZERO_ADDRESS
    done = rng.randint(0, k - 1) if end == "refund" else rng.randint(k, n)
    d = rng.choice([0, done, rng.randint(0, done)])
    return terms, d, done - d


def deliver(order, market, rng, d, f, alice, watchdog):
    """d parts by deliverers, f by the seller's operator after block 100, the indexes at random."""
    indexes = rng.sample(range(order.sale.parts), d + f)
    for by, chosen in ((alice, indexes[:d]), (watchdog, indexes[d:])):
        if chosen:
            if by is watchdog:
                order.reach(101 + rng.choice([0, 1, 50]))
            market.deliverFragments([astuple(order.delivery(i)) for i in chosen], sender=by)
    if order.state.count < order.sale.parts and order.clock.head < order.block + 100:
        order.reach(101)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("seed", range(8))
def test_table(
    create_sale, market, alice, watchdog, seller, buyer, arbitrator, stranger, holdings, end, seed
):
    rng = random.Random(f"{end}-{seed}")
    terms, d, f = draw(rng, end)
    order = create_sale(deliverers=(alice,), copy=rng.randrange(4), **terms)
    free = 100 * ETHER - order.item.terms.reserve
    assert holdings(seller).stake == free
    deliver(order, market, rng, d, f, alice, watchdog)
    assert (order.state.by_deliverers, order.state.count) == (d, d + f)
    if end in DISPUTED:
        order.dispute()
    b = rng.choice([0, 0, 1, rng.randint(0, order.escrow.price), order.escrow.price])
    b = min(b, order.escrow.price)
    awarded = rng.random() < 0.5
    if end == "confirmed":
        market.confirm(*order.args, sender=buyer)
    elif end == "settled":
        order.clock.mine(REFUND + DISPUTE)
        market.settle(*order.args, sender=stranger)
    elif end == "silence":
        order.clock.mine(ARBITRATION)
        market.settle(*order.args, sender=stranger)
    elif end == "refund":
        order.reach(REFUND + 1)
        market.refund(*order.args, sender=stranger)
    elif end == "buyer concedes":
        market.concede(*order.args, sender=buyer)
    elif end == "ruling":
        market.resolveDispute(*order.args, b, awarded, sender=arbitrator)
    else:
        market.concede(*order.args, sender=seller)

    ends = table(
        end,
        price=terms["price"],
        fee=terms["commission"] // terms["parts"],
        penalty=terms["penalty"],
        bond=terms["bond"] if "arbitrator" not in terms else 0,
        n=terms["parts"],
        k=terms["threshold"],
        d=d,
        f=f,
        b=b,
        awarded=awarded,
    )
    assert order.status == STATUS[end]
    assert holdings(buyer).credit == ends.buyer
    assert holdings(seller).credit == ends.seller
    assert holdings(seller).stake == free + ends.stake
    assert holdings(arbitrator).credit == ends.arbitrator
    assert holdings(alice).earned == d * (terms["commission"] // terms["parts"])


def test_table_gives_away_what_came_in():
    """The table itself, over many more sales than a chain can run: it adds up, and never owes."""
    rng = random.Random("table")
    for _ in range(20_000):
        end = rng.choice(ENDS)
        terms, d, f = draw(rng, end)
        price, n, penalty = terms["price"], terms["parts"], terms["penalty"]
        bond = terms["bond"] if "arbitrator" not in terms else 0
        fee = terms["commission"] // n
        b = rng.randint(0, price)
        ends = table(
            end,
            price=price,
            fee=fee,
            penalty=penalty,
            bond=bond,
            n=n,
            k=terms["threshold"],
            d=d,
            f=f,
            b=b,
            awarded=rng.random() < 0.5,
        )
        came_in = price + n * fee + penalty + bond + (bond if end in DISPUTED else 0)
        assert ends.buyer + ends.seller + ends.stake + ends.arbitrator + d * fee == came_in
        assert min(ends.buyer, ends.seller, ends.stake, ends.arbitrator) >= 0
