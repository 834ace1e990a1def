"""refund: see test_refund.tree."""

from dataclasses import astuple, replace

import pytest

from dam.types import Status
from tests.contracts.sales import DELIVERY, ETHER, REFUND

FEE = 10**16


@pytest.mark.parametrize("name", ["buyer", "watchdog", "stranger"])
def test_nobody_delivered(
    create_sale, market, request, buyer, seller, holdings, reverts, logged, event, name
):
    caller = request.getfixturevalue(name)
    order = create_sale()
    penalty = order.escrow.penalty
    order.wait(REFUND)
    with reverts("TooEarly", copyId=order.copy_id, firstTime=order.time + REFUND + 1):
        market.refund(*order.args, sender=caller)
    receipt = market.refund(*order.args, sender=caller)
    assert order.status == Status.REFUNDED
    assert logged(receipt) == [
        event("SaleRefunded", copyId=order.copy_id, by=caller, penalty=penalty)
    ]
    assert holdings(buyer).credit == ETHER + penalty
    assert holdings(seller).stake == 100 * ETHER - penalty
    assert holdings(seller).credit == 0


def test_attack_refunding_first_to_dodge_the_penalty(create_sale, market, seller, reverts):
    order = create_sale()
    for offset in (1, 99, 100, 101, 102, DELIVERY + 1, REFUND - 1, REFUND):
        order.wait(offset)
        with reverts("TooEarly", copyId=order.copy_id, firstTime=order.time + REFUND + 1):
            market.refund(*order.args, sender=seller)


def test_attack_refund_race(create_sale, market, buyer, seller, reverts):
    """No second has both: a fragment seen in the mempool cannot be read for nothing."""
    order = create_sale()
    order.deliver(0)
    order.reach(101)
    order.wait(REFUND - 1)
    with reverts("TooEarly", copyId=order.copy_id, firstTime=order.time + REFUND + 1):
        market.refund(*order.args, sender=buyer)
    order.deliver(1, by=seller)
    assert order.status == Status.COMPLETE
    with reverts("WrongStatus", copyId=order.copy_id, status=Status.COMPLETE):
        market.refund(*order.args, sender=buyer)
    assert market.credits(buyer, "0x" + "00" * 20) == FEE


@pytest.mark.parametrize(
    ("k", "n", "by_deliverers", "by_seller"),
    [(3, 3, 0, 0), (3, 3, 2, 0), (3, 3, 0, 2), (3, 3, 1, 1), (4, 6, 3, 0), (7, 9, 2, 4)],
)
def test_attack_own_deliverers_who_take_the_penalty_down(
    create_sale, market, buyer, seller, holdings, k, n, by_deliverers, by_seller
):
    """The whole penalty, however many parts came: k - 1 of the seller's own would be cheap."""
    penalty = 10**15 + 1
    order = create_sale(parts=n, threshold=k, penalty=penalty, commission=n * FEE)
    order.deliver(*range(by_deliverers))
    order.reach(101)
    order.deliver(*range(by_deliverers, by_deliverers + by_seller), by=seller)
    order.wait(REFUND + 1)
    market.refund(*order.args, sender=buyer)
    assert holdings(buyer).credit == ETHER + penalty + by_seller * FEE
    assert holdings(seller).stake == 100 * ETHER - penalty - (by_deliverers + by_seller) * FEE


def test_not_of_a_complete_sale(create_sale, market, buyer, reverts):
    order = create_sale()
    order.deliver(0, 1)
    order.wait(REFUND + 1)
    with reverts("WrongStatus", copyId=order.copy_id, status=Status.COMPLETE):
        market.refund(*order.args, sender=buyer)


def test_not_of_a_disputed_sale(create_disputed_sale, market, buyer, reverts):
    order = create_disputed_sale()
    order.wait(REFUND + 1)
    with reverts("WrongStatus", copyId=order.copy_id, status=Status.DISPUTED):
        market.refund(*order.args, sender=buyer)


def test_attack_refunding_twice(create_sale, market, buyer, seller, reverts):
    order = create_sale()
    order.wait(REFUND + 1)
    market.refund(*order.args, sender=buyer)
    refunded = {"copyId": order.copy_id, "status": Status.REFUNDED}
    with reverts("WrongStatus", **refunded):
        market.refund(*order.args, sender=buyer)
    with reverts("WrongStatus", **refunded):
        market.settle(*order.args, sender=buyer)
    with reverts("WrongStatus", **refunded):
        market.concede(*order.args, sender=seller)


def test_wrong_sale_or_escrow(create_sale, market, stranger, reverts):
    order = create_sale()
    order.wait(REFUND + 1)
    copy_id, sale, escrow = order.args
    for change in ({"buyer": stranger.address}, {"purchase_block": 1}, {"threshold": 1}):
        with reverts("WrongSale", copyId=copy_id):
            market.refund(copy_id, astuple(replace(order.sale, **change)), escrow, sender=stranger)
    for change in ({"price": 50 * ETHER}, {"penalty": 50 * ETHER}, {"penalty": 0}):
        with reverts("WrongEscrow", copyId=copy_id):
            market.refund(copy_id, sale, astuple(replace(order.escrow, **change)), sender=stranger)
