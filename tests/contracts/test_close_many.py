"""closeMany: see test_close_many.tree."""

import pytest

from dam.crypto.hashing import keccak
from dam.types import Status
from tests.contracts.sales import ARBITRATION, DISPUTE, ETHER, REFUND

FEE = 10**16


def test_closes_each_by_its_state(
    create_sale, market, stranger, buyer, seller, holdings, logged, event
):
    silent, complete, disputed = create_sale(), create_sale(), create_sale()
    complete.deliver(0, 1)
    disputed.deliver_all()
    disputed.dispute()
    disputed.wait_long(ARBITRATION + REFUND)
    orders = (silent, complete, disputed)
    receipt = market.closeMany([order.args for order in orders], sender=stranger)
    assert [order.status for order in orders] == [
        Status.REFUNDED,
        Status.SETTLED,
        Status.SETTLED,
    ]
    penalty = silent.escrow.penalty
    assert logged(receipt) == [
        event("SaleRefunded", copyId=silent.copy_id, by=stranger, penalty=penalty),
        event("SaleSettled", copyId=complete.copy_id, by=stranger),
        event("SaleSettled", copyId=disputed.copy_id, by=stranger),
    ]
    assert holdings(buyer).credit == ETHER + penalty + disputed.escrow.bond
    assert holdings(seller).credit == 2 * ETHER - 5 * FEE
    assert holdings(seller).stake == 100 * ETHER - penalty


@pytest.mark.parametrize(
    "why", ["early", "gate", "dispute", "ended", "none", "sale", "escrow", "twice"]
)
def test_skips_what_cannot_be_closed(create_sale, market, stranger, buyer, reverts, why):
    good, odd = create_sale(), create_sale()
    closure = odd.args
    if why in ("gate", "dispute", "ended"):
        odd.deliver(0, 1)
    if why == "dispute":
        odd.reach(101)
        odd.dispute()
    if why == "ended":
        odd.reach(101)
        market.confirm(*odd.args, sender=buyer)
    if why == "none":
        closure = (keccak(b"none"), *odd.args[1:])
    elif why == "sale":
        closure = (odd.copy_id, good.args[1], odd.args[2])
    elif why == "escrow":
        closure = (*odd.args[:2], (*odd.args[2][:3], 50 * ETHER, *odd.args[2][4:]))
    elif why == "twice":
        closure = good.args
    if why == "gate":
        # Seconds passed, blocks did not.
        odd.wait(REFUND + DISPUTE)
    elif why == "early":
        good.wait_long(REFUND)
        odd = create_sale()
        closure = odd.args
        good.wait(REFUND + 9)
    else:
        good.wait_long(REFUND + 1)
    if why != "twice":
        with reverts("NothingClosed"):
            market.closeMany([closure], sender=stranger)
    before = odd.state
    market.closeMany([closure, good.args, closure], sender=stranger)
    assert good.status == Status.REFUNDED
    assert odd.state == before
    with reverts("NothingClosed"):
        market.closeMany([good.args], sender=stranger)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("state", ["purchased", "complete", "disputed"])
def test_from_the_second_of_each_call(create_sale, market, stranger, reverts, state, late):
    order = create_sale()
    order.reach(101)
    if state != "purchased":
        order.deliver(0, 1)
    if state == "disputed":
        order.dispute()
    since, window = order.state.since, {"purchased": REFUND, "complete": DISPUTE}
    order.wait(since + window.get(state, ARBITRATION) + late)
    if late:
        market.closeMany([order.args], sender=stranger)
        assert order.status == (Status.REFUNDED if state == "purchased" else Status.SETTLED)
    else:
        with reverts("NothingClosed"):
            market.closeMany([order.args], sender=stranger)


def test_nothing_in_nothing(market, stranger, reverts):
    with reverts("NothingClosed"):
        market.closeMany([], sender=stranger)


def test_pays_as_a_call_of_its_own(create_sale, market, stranger, seller, holdings, clock):
    """One by one or together: the same to the wei."""
    order = create_sale(penalty=7)
    order.deliver(0)
    order.wait_long(REFUND + 1)
    snapshot = clock.rpc("evm_snapshot")
    market.refund(*order.args, sender=stranger)
    alone = [holdings(who) for who in (seller, order.buyer)]
    clock.rpc("evm_revert", snapshot)
    order.wait(REFUND + 1)
    market.closeMany([order.args], sender=stranger)
    assert [holdings(who) for who in (seller, order.buyer)] == alone
