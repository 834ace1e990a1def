"""resolveDispute: see test_resolve_dispute.tree."""

from dataclasses import astuple, replace

import pytest

from dam.types import ZERO_ADDRESS, Status
from tests.contracts.sales import ARBITRATION, ETHER

FEE = 10**16


def rule(market, order, arbitrator, to_buyer, penalty):
    return market.resolveDispute(*order.args, to_buyer, penalty, sender=arbitrator)


@pytest.mark.parametrize("penalty_awarded", [False, True])
@pytest.mark.parametrize("to_buyer", [0, 1, ETHER // 3, ETHER - 3 * FEE + 1, ETHER])
def test_splits(
    create_disputed_sale,
    market,
    buyer,
    seller,
    arbitrator,
    holdings,
    logged,
    event,
    to_buyer,
    penalty_awarded,
):
    order = create_disputed_sale()
    bond, paid = order.escrow.bond, 3 * FEE
    w = order.escrow.penalty if penalty_awarded else 0
    lost = to_buyer or w
    receipt = rule(market, order, arbitrator, to_buyer, penalty_awarded)
    assert order.status == Status.RESOLVED
    assert logged(receipt) == [
        event(
            "DisputeResolved",
            copyId=order.copy_id,
            arbitrator=arbitrator,
            toBuyer=to_buyer,
            penalty=w,
        )
    ]
    back = min(ETHER - to_buyer, paid)
    assert holdings(arbitrator).credit == bond
    assert holdings(buyer).credit == to_buyer + w + (bond if lost else 0)
    assert holdings(seller).credit == ETHER - to_buyer - back
    assert holdings(seller).stake == 100 * ETHER - paid - w + back - (bond if lost else 0)


def test_a_penalty_of_nothing_is_no_win(create_disputed_sale, market, buyer, arbitrator, holdings):
    """Else a buyer could be declared the winner of nothing, at the seller's cost."""
    order = create_disputed_sale(penalty=0)
    rule(market, order, arbitrator, 0, True)
    assert holdings(buyer).credit == 0
    assert holdings(arbitrator).credit == order.escrow.bond


def test_attack_frivolous_dispute(
    create_disputed_sale, market, buyer, seller, arbitrator, holdings
):
    order = create_disputed_sale()
    rule(market, order, arbitrator, 0, False)
    assert holdings(buyer).credit == 0
    assert holdings(seller).stake == 100 * ETHER
    assert holdings(seller).credit == ETHER - 3 * FEE


@pytest.mark.parametrize("ruling", [(0, False), (ETHER, True), (1, False)])
def test_attack_arbitrator_who_earns_by_one_outcome(
    create_disputed_sale, market, arbitrator, holdings, ruling
):
    order = create_disputed_sale()
    rule(market, order, arbitrator, *ruling)
    assert holdings(arbitrator).credit == order.escrow.bond


@pytest.mark.parametrize("name", ["seller", "buyer", "stranger", "watchdog", "deployer"])
def test_by_the_arbitrator_alone(create_disputed_sale, market, request, reverts, name):
    order = create_disputed_sale()
    caller = request.getfixturevalue(name)
    with reverts("NotAllowed", caller=caller):
        rule(market, order, caller, 0, False)


def test_attack_judge_of_ones_own_naming(create_disputed_sale, market, buyer, reverts):
    order = create_disputed_sale()
    mine = astuple(replace(order.escrow, arbitrator=buyer.address))
    with reverts("WrongEscrow", copyId=order.copy_id):
        market.resolveDispute(*order.args[:2], mine, ETHER, True, sender=buyer)


def test_in_the_last_second(create_disputed_sale, market, arbitrator):
    order = create_disputed_sale()
    order.wait(order.state.since + ARBITRATION)
    rule(market, order, arbitrator, 1, False)
    assert order.status == Status.RESOLVED


def test_not_in_the_next(create_disputed_sale, market, arbitrator, reverts):
    order = create_disputed_sale()
    last = order.time + order.state.since + ARBITRATION
    order.clock.at(last + 1)
    with reverts("TooLate", copyId=order.copy_id, lastTime=last):
        rule(market, order, arbitrator, 1, False)


def test_no_more_than_the_price(create_disputed_sale, market, arbitrator, reverts):
    order = create_disputed_sale()
    with reverts("RulingTooHigh", toBuyer=ETHER + 1, price=ETHER):
        rule(market, order, arbitrator, ETHER + 1, False)
    most = 2**256 - 1
    with reverts("RulingTooHigh", toBuyer=most, price=ETHER):
        rule(market, order, arbitrator, most, True)


@pytest.mark.parametrize("status", [Status.PURCHASED, Status.COMPLETE, Status.RESOLVED])
def test_only_of_a_dispute(create_sale, market, arbitrator, reverts, status):
    order = create_sale()
    if status != Status.PURCHASED:
        order.deliver_all()
    if status == Status.RESOLVED:
        order.dispute()
        rule(market, order, arbitrator, 1, False)
    with reverts("WrongStatus", copyId=order.copy_id, status=status):
        rule(market, order, arbitrator, 1, False)


def test_wrong_sale(create_disputed_sale, market, arbitrator, stranger, reverts):
    order = create_disputed_sale()
    copy_id, _, escrow = order.args
    wrong = astuple(replace(order.sale, buyer=stranger.address))
    with reverts("WrongSale", copyId=copy_id):
        market.resolveDispute(copy_id, wrong, escrow, 1, False, sender=arbitrator)


def test_wrong_escrow(create_disputed_sale, market, arbitrator, reverts):
    order = create_disputed_sale()
    for change in ({"price": 50 * ETHER}, {"penalty": 50 * ETHER}, {"bond": 50 * ETHER}):
        wrong = astuple(replace(order.escrow, **change))
        with reverts("WrongEscrow", copyId=order.copy_id):
            market.resolveDispute(*order.args[:2], wrong, ETHER, True, sender=arbitrator)


def test_parts_may_arrive_until_the_ruling(
    create_sale, market, buyer, seller, arbitrator, holdings
):
    """F counts what is there when the sale closes."""
    order = create_sale()
    order.deliver(0, 1)
    order.reach(101)
    order.dispute()
    order.deliver(2, by=seller)
    rule(market, order, arbitrator, 0, False)
    assert holdings(buyer).credit == FEE
    assert holdings(seller).stake == 100 * ETHER
    assert holdings(seller).credit == ETHER - 3 * FEE
    assert market.credits(arbitrator, ZERO_ADDRESS) == order.escrow.bond
