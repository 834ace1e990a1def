"""openDispute: see test_open_dispute.tree."""

from dataclasses import astuple, replace

import pytest

from dam.crypto.hashing import keccak
from dam.types import ZERO_ADDRESS, Status
from tests.contracts.sales import DISPUTE, ETHER


def test_disputes(create_complete_sale, market, buyer, arbitrator, books, logged, event):
    order = create_complete_sale()
    order.reach(40)
    before, evidence = books.balance, keccak(b"evidence")
    receipt = order.dispute(evidence)
    state = order.state
    assert (state.status, state.since) == (Status.DISPUTED, 40)
    assert state.delivered == 0b111
    assert books.balance == before + order.escrow.bond
    assert logged(receipt) == [
        event(
            "DisputeOpened",
            copyId=order.copy_id,
            buyer=buyer,
            arbitrator=arbitrator,
            evidence=evidence,
        )
    ]


def test_a_bond_of_nothing(create_complete_sale):
    order = create_complete_sale(bond=0)
    order.dispute()
    assert order.status == Status.DISPUTED


@pytest.mark.parametrize("name", ["seller", "stranger", "arbitrator", "alice"])
def test_by_the_buyer_alone(create_complete_sale, request, reverts, name):
    order = create_complete_sale()
    caller = request.getfixturevalue(name)
    with reverts("NotAllowed", caller=caller):
        order.dispute(sender=caller)


def test_attack_dispute_before_the_gate(create_sale, reverts):
    order = create_sale()
    order.deliver(0, 1)
    for offset in (99, 100):
        order.reach(offset)
        with reverts("BeforeGate", copyId=order.copy_id, gateBlock=order.block + 101):
            order.dispute()
    order.dispute()
    assert order.state.since == 101


def test_not_before_it_is_complete(create_sale, reverts):
    order = create_sale()
    order.deliver(0)
    order.reach(101)
    with reverts("WrongStatus", copyId=order.copy_id, status=Status.PURCHASED):
        order.dispute()


def test_once(create_disputed_sale, reverts):
    order = create_disputed_sale()
    with reverts("WrongStatus", copyId=order.copy_id, status=Status.DISPUTED):
        order.dispute()


def test_nobody_to_rule(create_complete_sale, market, buyer, reverts):
    order = create_complete_sale(arbitrator=ZERO_ADDRESS)
    with reverts("NoArbitrator", copyId=order.copy_id):
        order.dispute()


@pytest.mark.parametrize("difference", [-1, 1])
def test_exactly_the_bond(create_complete_sale, market, buyer, reverts, difference):
    order = create_complete_sale()
    bond = order.escrow.bond
    with reverts("WrongBond", paid=bond + difference, bond=bond):
        market.openDispute(*order.args, bytes(32), sender=buyer, value=bond + difference)


@pytest.mark.parametrize(
    ("delivered", "start"),
    [
        ({0: 20, 1: 30, 2: 60}, 60),
        ({0: 20, 1: 30}, 30),
        ({0: 20, 1: 30, 2: 101}, 101),
        ({0: 20, 1: 30, 2: 150}, 150),
        ({0: 20, 1: 150}, 150),
        ({0: 20, 1: 2400}, 2400),
        ({0: 20, 1: 150, 2: 200}, 200),
    ],
    ids=str,
)
@pytest.mark.parametrize("late", [False, True])
def test_last_second(create_sale, reverts, delivered, start, late):
    order = create_sale()
    for index, offset in delivered.items():
        order.wait(offset)
        order.deliver(index)
    order.clock.mine(101)
    order.wait(start + DISPUTE + late)
    if late:
        with reverts("TooLate", copyId=order.copy_id, lastTime=order.time + start + DISPUTE):
            order.dispute()
    else:
        order.dispute()
        assert order.state.since == start + DISPUTE


def test_wrong_sale_or_escrow(create_complete_sale, market, buyer, stranger, reverts):
    order = create_complete_sale(bond=ETHER)
    copy_id, sale, escrow = order.args
    wrong = astuple(replace(order.sale, buyer=stranger.address))
    with reverts("WrongSale", copyId=copy_id):
        market.openDispute(copy_id, wrong, escrow, bytes(32), sender=stranger, value=ETHER)
    # A smaller bond, and a judge of the buyer's own.
    for change in ({"bond": 0}, {"arbitrator": stranger.address}):
        wrong = replace(order.escrow, **change)
        with reverts("WrongEscrow", copyId=copy_id):
            market.openDispute(
                copy_id, sale, astuple(wrong), bytes(32), sender=buyer, value=wrong.bond
            )
