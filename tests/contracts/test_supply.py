"""supplyFragments: see test_supply.tree."""

from dataclasses import astuple, replace

import pytest

from dam.crypto.hashing import keccak
from dam.types import Status


@pytest.fixture
def supply(market, watchdog):
    def call(*deliveries, sender=watchdog):
        return market.supplyFragments([astuple(one) for one in deliveries], sender=sender)

    return call


@pytest.mark.parametrize("name", ["seller", "watchdog"])
@pytest.mark.parametrize("state", ["purchased", "complete", "disputed"])
def test_attack_junk_that_ruins_an_honest_sale(
    create_sale, supply, market, request, seller, books, logged, event, name, state
):
    """The first fragment may have been junk: the seller publishes another beside it, unpaid."""
    order = create_sale(threshold=2 if state == "purchased" else 1)
    order.deliver(0)
    if state == "disputed":
        order.reach(101)
        order.dispute()
    before, owed, stake = order.state, books.owed(), market.sellerStakes(seller)
    delivery = order.delivery(0, fragment=b"\x07" * 80)
    expected = event(
        "FragmentSupplied",
        copyId=order.copy_id,
        seller=seller,
        index=0,
        commitment=delivery.commitment,
        secretHash=delivery.secret_hash,
        fragment=delivery.fragment,
    )
    receipt = supply(delivery, delivery, sender=request.getfixturevalue(name))
    assert logged(receipt) == [expected, expected]
    assert (order.state, books.owed(), market.sellerStakes(seller)) == (before, owed, stake)


def test_after_the_last_delivery_as_well(create_sale, supply, logged):
    order = create_sale()
    order.deliver(0, 1)
    order.reach(101)
    order.dispute()
    order.reach(301)
    assert len(logged(supply(order.delivery(0)))) == 1


def test_only_what_is_there(create_sale, supply, reverts):
    order = create_sale()
    order.deliver(0)
    with reverts("NotDelivered", copyId=order.copy_id, index=1):
        supply(order.delivery(0), order.delivery(1))


@pytest.mark.parametrize("name", ["alice", "buyer", "stranger", "bob"])
def test_only_for_the_seller(create_sale, supply, request, reverts, name):
    order = create_sale()
    order.deliver(0)
    caller = request.getfixturevalue(name)
    with reverts("NotAllowed", caller=caller):
        supply(order.delivery(0), sender=caller)


def test_only_the_items_parts(create_sale, supply, reverts):
    order = create_sale()
    order.deliver(0)
    for size in (0, 79, 81):
        with reverts("InvalidFragmentLength", length=size):
            supply(order.delivery(0, fragment=bytes(size)))
    for change in ({"commitment": keccak(b"?")}, {"index": 1}, {"proof": ()}):
        wrong = replace(order.delivery(0), **change)
        with reverts("PartNotInItem", copyId=order.copy_id, index=wrong.index):
            supply(wrong)


def test_only_of_this_sale(create_sale, supply, reverts):
    order = create_sale()
    order.deliver(0)
    with reverts("WrongSale", copyId=order.copy_id):
        supply(order.delivery(0, sale=replace(order.sale, fee=1)))
    with reverts("WrongSale", copyId=bytes(32)):
        supply(order.delivery(0, copy_id=bytes(32)))


@pytest.mark.parametrize("end", ["settled", "refunded", "resolved"])
def test_not_of_a_closed_sale(
    create_complete_sale, supply, market, buyer, seller, arbitrator, reverts, end
):
    order = create_complete_sale()
    if end == "settled":
        market.confirm(*order.args, sender=buyer)
    elif end == "refunded":
        market.concede(*order.args, sender=seller)
    else:
        order.dispute()
        market.resolveDispute(*order.args, 0, False, sender=arbitrator)
    with reverts("WrongStatus", copyId=order.copy_id, status=Status[end.upper()]):
        supply(order.delivery(0))


def test_needs_a_plain_account(create_sale, supply, market, watchdog, clock, reverts):
    order = create_sale()
    order.deliver(0)
    clock.rpc("anvil_setCode", watchdog.address, "0xef0100" + market.address[2:].lower())
    with reverts("NotPlainAccount", caller=watchdog):
        supply(order.delivery(0))
    clock.rpc("anvil_setCode", watchdog.address, "0x")
