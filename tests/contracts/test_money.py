"""The money table of the protocol's section 5, to the wei: see test_money.tree.

`table` is written from the protocol alone; the terms, who delivers how much, and how the sale ends
are drawn at random, edges more often than chance would have them.
"""

import random
from dataclasses import astuple, dataclass

import pytest

from dam.types import ZERO_ADDRESS, Split, Status
from tests.contracts.sales import ARBITRATION, DISPUTE, ETHER, REFUND, WORKED, signed


@dataclass
class Ends:
    """What a sale leaves behind, in wei: three credits, and what of R returns to the stake."""

    buyer: int
    seller: int
    stake: int
    arbitrator: int = 0


def table(end, *, price, fee, penalty, bond, n, d, f, b=0, awarded=False, a=0):
    """The protocol's table, row by row; bond is 0 where nobody arbitrates."""
    reserve = n * fee + penalty + bond
    fees = (d + f) * fee
    to_buyer = f * fee
    if end in ("confirmed", "settled", "silence"):
        back = min(price, fees)
        own_bond = bond if end == "silence" else 0
        return Ends(to_buyer + own_bond, price - back, reserve - fees + back)
    if end in ("refund", "concede complete"):
        return Ends(to_buyer + price + penalty, 0, reserve - fees - penalty)
    if end in ("concede disputed", "concede late"):
        late = end == "concede late"
        bonds = bond if late else 2 * bond
        stake = reserve - fees - penalty - bond
        return Ends(to_buyer + price + penalty + bonds, 0, stake, bond if late else 0)
    if end in ("buyer concedes", "buyer concedes late"):
        back, late = min(price, fees), end == "buyer concedes late"
        own = 0 if late else bond
        return Ends(to_buyer, price - back + own, reserve - fees + back, bond if late else 0)
    w = penalty if awarded else 0
    back = min(price - b, fees)
    if end == "agreement":
        mine = bond - a // 2
        return Ends(
            to_buyer + b + w + mine, price - b - back, reserve - fees - w + back - (a - a // 2), a
        )
    assert end == "ruling"
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
    "concede late",
    "buyer concedes",
    "buyer concedes late",
    "agreement",
    "ruling",
)
DISPUTED = ENDS[2:3] + ENDS[5:]
STATUS = {
    "confirmed": Status.SETTLED,
    "settled": Status.SETTLED,
    "silence": Status.SETTLED,
    "refund": Status.REFUNDED,
    "concede complete": Status.REFUNDED,
    "concede disputed": Status.REFUNDED,
    "concede late": Status.REFUNDED,
    "buyer concedes": Status.SETTLED,
    "buyer concedes late": Status.SETTLED,
    "agreement": Status.AGREED,
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
            parts = [order.delivery(i) for i in chosen]
            batch, signature = [astuple(one) for one in parts], signed(market, by, parts)
            market.deliverFragments(batch, signature, sender=by)
    if order.state.count < order.sale.parts and order.clock.head < order.block + 100:
        order.reach(101)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("seed", range(8))
def test_table(
    create_sale, market, alice, watchdog, seller, buyer, arbitrator, stranger, holdings, end, seed
):
    rng = random.Random(f"{end}-{seed}")
    terms, d, f = draw(rng, end)
    market.addDelivererStake(alice, sender=stranger, value=10 * ETHER)
    order = create_sale(deliverers=(alice,), copy=rng.randrange(4), **terms)
    free = 100 * ETHER - order.item.terms.reserve
    assert holdings(seller).stake == free
    deliver(order, market, rng, d, f, alice, watchdog)
    assert order.state.count == d + f
    if end in DISPUTED:
        order.dispute()
    b = rng.choice([0, 0, 1, rng.randint(0, order.escrow.price), order.escrow.price])
    b = min(b, order.escrow.price)
    awarded, a = rng.random() < 0.5, 0
    if end == "confirmed":
        market.confirm(*order.args, sender=buyer)
    elif end == "settled":
        order.clock.wait(REFUND + DISPUTE)
        market.settle(*order.args, sender=stranger)
    elif end == "silence":
        order.clock.wait(ARBITRATION + 1)
        market.settle(*order.args, sender=stranger)
    elif end == "refund":
        order.wait(REFUND + 1)
        market.refund(*order.args, sender=stranger)
    elif end == "agreement":
        a = rng.randint(0, 2 * order.escrow.bond)
        w = order.escrow.penalty if awarded else 0
        split = Split(b, w, a, 2**40)
        consent = order.consent(seller, split)
        market.agree(*order.args, astuple(split), b"", consent, sender=buyer)
    elif end.startswith("buyer concedes"):
        order.clock.wait(WORKED if end.endswith("late") else WORKED - 1)
        market.concede(*order.args, sender=buyer)
    elif end == "ruling":
        market.resolveDispute(*order.args, b, awarded, sender=arbitrator)
    else:
        if end == "concede late":
            order.clock.wait(WORKED)
        market.concede(*order.args, sender=seller)

    ends = table(
        end,
        price=terms["price"],
        fee=terms["commission"] // terms["parts"],
        penalty=terms["penalty"],
        bond=terms["bond"] if "arbitrator" not in terms else 0,
        n=terms["parts"],
        d=d,
        f=f,
        b=b,
        awarded=awarded,
        a=a,
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
            d=d,
            f=f,
            b=b,
            awarded=rng.random() < 0.5,
            a=rng.randint(0, 2 * bond),
        )
        came_in = price + n * fee + penalty + bond + (bond if end in DISPUTED else 0)
        assert ends.buyer + ends.seller + ends.stake + ends.arbitrator + d * fee == came_in
        assert min(ends.buyer, ends.seller, ends.stake, ends.arbitrator) >= 0
