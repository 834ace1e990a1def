"""confirm: see test_confirm.tree."""

from dataclasses import astuple, replace

import pytest

from dam.crypto.hashing import keccak
from dam.types import ZERO_ADDRESS, Status
from tests.contracts.sales import DISPUTE, ETHER, REFUND

FEE = 10**16


def test_settles(create_complete_sale, market, buyer, seller, holdings, logged, event):
    order = create_complete_sale()
    receipt = market.confirm(*order.args, sender=buyer)
    assert order.status == Status.SETTLED
    assert order.state.since == receipt.timestamp - order.time
    assert logged(receipt) == [event("SaleSettled", copyId=order.copy_id, by=buyer)]
    # The fees that the stake laid out come back to it out of the price.
    assert holdings(seller).stake == 100 * ETHER
    assert holdings(seller).credit == ETHER - 3 * FEE
    assert holdings(buyer).credit == 0


def test_attack_confirming_early_to_rob_the_slowest(create_sale, market, buyer, carol, reverts):
    order = create_sale()
    order.deliver(0, 1)
    for offset in (99, 100):
        order.reach(offset)
        with reverts("BeforeGate", copyId=order.copy_id, gateBlock=order.block + 101):
            market.confirm(*order.args, sender=buyer)
    market.confirm(*order.args, sender=buyer)
    assert order.state.since == 101
    with reverts("WrongStatus", copyId=order.copy_id, status=Status.SETTLED):
        order.deliver(2)


def test_last_part_opens_the_gate(create_sale, market, buyer, carol):
    order = create_sale()
    order.deliver(0, 1)
    order.reach(50)
    order.deliver(2)
    market.confirm(*order.args, sender=buyer)
    assert order.state.since == 51
    assert market.deliverers(carol).earned == FEE


def test_no_deadline_but_settlement(create_sale, market, buyer):
    order = create_sale()
    order.deliver(0, 1)
    order.wait_long(REFUND + DISPUTE)
    market.confirm(*order.args, sender=buyer)


@pytest.mark.parametrize("name", ["seller", "watchdog", "stranger", "alice", "arbitrator"])
def test_by_the_buyer_alone(create_complete_sale, market, request, reverts, name):
    order = create_complete_sale()
    caller = request.getfixturevalue(name)
    with reverts("NotAllowed", caller=caller):
        market.confirm(*order.args, sender=caller)


def test_not_before_it_is_complete(create_sale, market, buyer, reverts):
    order = create_sale()
    order.deliver(0)
    order.reach(101)
    with reverts("WrongStatus", copyId=order.copy_id, status=Status.PURCHASED):
        market.confirm(*order.args, sender=buyer)


def test_not_during_a_dispute(create_disputed_sale, market, buyer, reverts):
    order = create_disputed_sale()
    with reverts("WrongStatus", copyId=order.copy_id, status=Status.DISPUTED):
        market.confirm(*order.args, sender=buyer)


def test_attack_a_closed_sale_credits_no_more(create_complete_sale, market, buyer, seller, reverts):
    order = create_complete_sale()
    market.confirm(*order.args, sender=buyer)
    closed = {"copyId": order.copy_id, "status": Status.SETTLED}
    with reverts("WrongStatus", **closed):
        market.confirm(*order.args, sender=buyer)
    order.wait_long(REFUND + DISPUTE)
    with reverts("WrongStatus", **closed):
        market.settle(*order.args, sender=buyer)
    with reverts("WrongStatus", **closed):
        market.refund(*order.args, sender=buyer)
    for caller in (seller, buyer):
        with reverts("WrongStatus", **closed):
            market.concede(*order.args, sender=caller)
    with reverts("WrongStatus", **closed):
        order.dispute()
    with reverts("WrongStatus", **closed):
        market.resolveDispute(
            *order.args, ETHER, True, sender=order.people[order.escrow.arbitrator]
        )


def test_wrong_sale(create_complete_sale, market, buyer, stranger, reverts):
    order = create_complete_sale()
    copy_id, sale, escrow = order.args
    wrong = astuple(replace(order.sale, buyer=stranger.address))
    with reverts("WrongSale", copyId=copy_id):
        market.confirm(copy_id, wrong, escrow, sender=stranger)
    with reverts("WrongSale", copyId=keccak(b"none")):
        market.confirm(keccak(b"none"), sale, escrow, sender=buyer)


@pytest.mark.parametrize(
    "change",
    [
        {"store_digest": keccak(b"?")},
        {"keys_hash": keccak(b"?")},
        {"token": "0x" + "11" * 20},
        {"price": 2 * ETHER},
        {"price": ETHER - 1},
        {"penalty": ETHER},
        {"bond": ETHER},
        {"arbitrator": ZERO_ADDRESS},
    ],
    ids=str,
)
def test_wrong_escrow(create_complete_sale, market, buyer, reverts, change):
    order = create_complete_sale()
    wrong = astuple(replace(order.escrow, **change))
    with reverts("WrongEscrow", copyId=order.copy_id):
        market.confirm(*order.args[:2], wrong, sender=buyer)
