"""settle: see test_settle.tree."""

from dataclasses import astuple, replace

import pytest

from dam.crypto.hashing import keccak
from dam.types import Status
from tests.contracts.sales import ARBITRATION, DISPUTE, ETHER, REFUND, key_of

FEE = 10**16


def settle_at(order, first, market, caller, reverts):
    """Too early in the second before `first`, an offset; done in it."""
    order.clock.mine(110)
    order.wait(first - 1)
    with reverts("TooEarly", copyId=order.copy_id, firstTime=order.time + first):
        market.settle(*order.args, sender=caller)
    return market.settle(*order.args, sender=caller)


def test_after_all_parts(create_sale, market, stranger, seller, holdings, reverts, logged, event):
    order = create_sale()
    order.deliver(0, 1)
    order.reach(60)
    order.deliver(2)
    receipt = settle_at(order, 60 + DISPUTE + 1, market, stranger, reverts)
    assert order.status == Status.SETTLED
    assert logged(receipt) == [event("SaleSettled", copyId=order.copy_id, by=stranger)]
    assert holdings(seller).stake == 100 * ETHER
    assert holdings(seller).credit == ETHER - 3 * FEE


def test_with_parts_missing(create_sale, market, watchdog, seller, holdings, reverts):
    order = create_sale()
    order.deliver(0, 1)
    settle_at(order, 2 + DISPUTE + 1, market, watchdog, reverts)
    # What nobody delivered costs nothing.
    assert holdings(seller).stake == 100 * ETHER
    assert holdings(seller).credit == ETHER - 2 * FEE


def test_last_part_after_the_gate(create_sale, market, stranger, reverts):
    order = create_sale()
    order.deliver(0, 1)
    order.reach(150)
    order.deliver(2)
    settle_at(order, 150 + DISPUTE + 1, market, stranger, reverts)


@pytest.mark.parametrize("offset", [100, 101, 102, 300])
def test_completed_late(create_sale, market, stranger, reverts, offset):
    order = create_sale()
    order.deliver(0)
    order.reach(offset)
    order.deliver(1)
    settle_at(order, offset + DISPUTE + 1, market, stranger, reverts)


def test_not_before_the_gate_though_the_time_is_over(create_sale, market, stranger, reverts):
    """On a chain that stood still parts are missing while seconds pass."""
    order = create_sale()
    order.deliver(0, 1)
    order.wait(2 + DISPUTE + 1)
    with reverts("BeforeGate", copyId=order.copy_id, gateBlock=order.block + 101):
        market.settle(*order.args, sender=stranger)
    order.reach(101)
    market.settle(*order.args, sender=stranger)


def test_every_later_part_of_all_begins_the_time_anew(create_sale, market, buyer, seller, reverts):
    """A replacement, too: the buyer has all their time to look at it."""
    order = create_sale(threshold=2)
    order.deliver_all()
    order.prove(order.delivery(1), fresh_key=key_of(1))
    assert (order.status, order.state.since) == (Status.COMPLETE, 3)
    order.reach(101)
    order.send(order.good(1, key_of(1)), by=seller)
    assert order.state.since == 101
    settle_at(order, 101 + DISPUTE + 1, market, buyer, reverts)


def test_attack_silent_arbitrator(create_disputed_sale, market, buyer, seller, holdings, reverts):
    """Nobody won: each keeps their bond, the seller has the price, and nothing is stuck."""
    order = create_disputed_sale()
    since = order.state.since
    settle_at(order, since + ARBITRATION + 1, market, seller, reverts)
    assert order.status == Status.SETTLED
    assert holdings(buyer).credit == order.escrow.bond
    assert holdings(seller).stake == 100 * ETHER
    assert holdings(seller).credit == ETHER - 3 * FEE


def test_not_before_it_is_complete(create_sale, market, stranger, reverts):
    order = create_sale()
    order.deliver(0)
    order.wait(REFUND + DISPUTE)
    with reverts("WrongStatus", copyId=order.copy_id, status=Status.PURCHASED):
        market.settle(*order.args, sender=stranger)


@pytest.mark.parametrize("end", ["settled", "refunded", "resolved"])
def test_once(create_disputed_sale, market, buyer, seller, arbitrator, stranger, reverts, end):
    order = create_disputed_sale()
    if end == "resolved":
        market.resolveDispute(*order.args, 1, False, sender=arbitrator)
    else:
        market.concede(*order.args, sender=buyer if end == "settled" else seller)
    order.wait(REFUND + ARBITRATION)
    with reverts("WrongStatus", copyId=order.copy_id, status=Status[end.upper()]):
        market.settle(*order.args, sender=stranger)


def test_wrong_sale_or_escrow(create_disputed_sale, market, stranger, reverts):
    order = create_disputed_sale()
    order.wait(REFUND + ARBITRATION)
    copy_id, sale, escrow = order.args
    wrong = astuple(replace(order.sale, seller=stranger.address))
    with reverts("WrongSale", copyId=copy_id):
        market.settle(copy_id, wrong, escrow, sender=stranger)
    # The bond is read before the escrow is checked: it must be checked all the same.
    for change in ({"bond": 50 * ETHER}, {"price": 1}, {"keys_hash": keccak(b"?")}):
        wrong = astuple(replace(order.escrow, **change))
        with reverts("WrongEscrow", copyId=copy_id):
            market.settle(copy_id, sale, wrong, sender=stranger)
    market.settle(*order.args, sender=stranger)
