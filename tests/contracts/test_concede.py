"""concede: see test_concede.tree."""

from dataclasses import astuple, replace

import pytest

from dam.types import ZERO_ADDRESS, Status
from tests.contracts.sales import ARBITRATION, DISPUTE, ETHER, REFUND, WORKED

FEE = 10**16


# ------------------------------------------------------------------------------------ Complete


def test_seller_of_a_complete_sale(
    create_complete_sale, market, seller, buyer, holdings, logged, event
):
    order = create_complete_sale()
    penalty = order.escrow.penalty
    receipt = market.concede(*order.args, sender=seller)
    assert order.status == Status.REFUNDED
    # Whoever delivered: a seller's own deliverers would make it cheap to call a sale off.
    assert logged(receipt) == [
        event("SaleRefunded", copyId=order.copy_id, by=seller, penalty=penalty)
    ]
    assert holdings(buyer).credit == ETHER + penalty
    assert holdings(seller).stake == 100 * ETHER - penalty - 3 * FEE
    assert holdings(seller).credit == 0


def test_attack_conceding_before_the_gate(create_sale, market, seller, reverts):
    """A seller must not cut the slowest deliverer off either."""
    order = create_sale()
    order.deliver(0, 1)
    for offset in (99, 100):
        order.reach(offset)
        with reverts("BeforeGate", copyId=order.copy_id, gateBlock=order.block + 101):
            market.concede(*order.args, sender=seller)
    market.concede(*order.args, sender=seller)
    assert order.state.since == 101


def test_seller_may_concede_late(create_sale, market, seller):
    order = create_sale()
    order.deliver(0, 1)
    order.wait_long(REFUND + DISPUTE)
    market.concede(*order.args, sender=seller)
    assert order.status == Status.REFUNDED


@pytest.mark.parametrize("name", ["watchdog", "buyer", "stranger", "arbitrator", "alice"])
def test_attack_stolen_watchdog_key_concedes_nothing(
    create_complete_sale, market, request, reverts, name
):
    order = create_complete_sale()
    caller = request.getfixturevalue(name)
    with reverts("NotAllowed", caller=caller):
        market.concede(*order.args, sender=caller)


def test_not_before_it_is_complete(create_sale, market, seller, buyer, reverts):
    order = create_sale()
    order.deliver(0)
    order.wait(REFUND + 1)
    for caller in (seller, buyer):
        with reverts("WrongStatus", copyId=order.copy_id, status=Status.PURCHASED):
            market.concede(*order.args, sender=caller)


# ------------------------------------------------------------------------------------ Disputed


def test_attack_conceding_late_to_dodge_the_penalty(
    create_disputed_sale, market, seller, buyer, holdings, logged, event
):
    """Once disputed, giving in costs the whole penalty, whoever delivered."""
    order = create_disputed_sale()
    penalty, bond = order.escrow.penalty, order.escrow.bond
    receipt = market.concede(*order.args, sender=seller)
    assert order.status == Status.REFUNDED
    assert logged(receipt) == [
        event("SaleRefunded", copyId=order.copy_id, by=seller, penalty=penalty)
    ]
    assert holdings(buyer).credit == ETHER + penalty + 2 * bond
    assert holdings(seller).stake == 100 * ETHER - 3 * FEE - penalty - bond
    assert holdings(seller).credit == 0


def test_attack_dispute_opened_only_to_stall(
    create_disputed_sale, market, seller, buyer, holdings, logged, event
):
    """Whoever takes a dispute back leaves the bond to the seller."""
    order = create_disputed_sale()
    receipt = market.concede(*order.args, sender=buyer)
    assert order.status == Status.SETTLED
    assert logged(receipt) == [event("SaleSettled", copyId=order.copy_id, by=buyer)]
    assert holdings(buyer).credit == 0
    assert holdings(seller).credit == ETHER - 3 * FEE + order.escrow.bond
    assert holdings(seller).stake == 100 * ETHER


@pytest.mark.parametrize("name", ["seller", "buyer"])
def test_until_the_rulings_last_second(create_disputed_sale, market, request, reverts, name):
    caller = request.getfixturevalue(name)
    order = create_disputed_sale()
    order.wait(order.state.since + ARBITRATION)
    market.concede(*order.args, sender=caller)
    assert order.status in (Status.SETTLED, Status.REFUNDED)


def test_not_after_the_rulings_last_second(create_disputed_sale, market, seller, buyer, reverts):
    order = create_disputed_sale()
    last = order.time + order.state.since + ARBITRATION
    order.clock.at(last + 1)
    for caller in (seller, buyer):
        with reverts("TooLate", copyId=order.copy_id, lastTime=last):
            market.concede(*order.args, sender=caller)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("name", ["seller", "buyer"])
def test_attack_conceding_in_front_of_the_ruling(
    create_disputed_sale, market, request, buyer, arbitrator, holdings, name, late
):
    """From a third of the time on the arbitrator has worked, and has the loser's bond."""
    caller = request.getfixturevalue(name)
    order = create_disputed_sale()
    bond = order.escrow.bond
    order.wait(order.state.since + WORKED - (not late))
    market.concede(*order.args, sender=caller)
    assert market.credits(arbitrator, ZERO_ADDRESS) == (bond if late else 0)
    if name == "seller":
        own = bond if late else 2 * bond
        assert holdings(buyer).credit == ETHER + order.escrow.penalty + own
    else:
        paid = 0 if late else bond
        assert holdings(order.item.seller).credit == ETHER - 3 * FEE + paid
        assert holdings(buyer).credit == 0


@pytest.mark.parametrize("name", ["watchdog", "stranger", "arbitrator", "bob"])
def test_by_nobody_else(create_disputed_sale, market, request, reverts, name):
    order = create_disputed_sale()
    caller = request.getfixturevalue(name)
    with reverts("NotAllowed", caller=caller):
        market.concede(*order.args, sender=caller)


@pytest.mark.parametrize("name", ["seller", "buyer"])
@pytest.mark.parametrize("disputed", [False, True])
def test_wrong_sale_or_escrow(create_complete_sale, market, request, reverts, name, disputed):
    order = create_complete_sale()
    caller = request.getfixturevalue("seller" if not disputed else name)
    if disputed:
        order.dispute()
    copy_id, sale, escrow = order.args
    wrong = replace(order.sale, seller=caller.address, buyer=caller.address)
    with reverts("WrongSale", copyId=copy_id):
        market.concede(copy_id, astuple(wrong), escrow, sender=caller)
    for change in ({"bond": 0}, {"bond": 50 * ETHER}, {"penalty": 0}, {"price": 0}):
        wrong = astuple(replace(order.escrow, **change))
        with reverts("WrongEscrow", copyId=copy_id):
            market.concede(copy_id, sale, wrong, sender=caller)
