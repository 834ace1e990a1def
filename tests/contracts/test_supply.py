"""supplyFragments: see test_supply.tree."""

from dataclasses import astuple, replace

import pytest

from dam.crypto.hashing import keccak
from dam.types import ZERO32
from tests.contracts.sales import DISPUTE, REFUND, boxed, entry_of, key_of, signed


@pytest.fixture
def supply(market, watchdog, stranger):
    def call(*deliveries, by=watchdog):
        signature = signed(market, by, list(deliveries))
        batch = [astuple(one) for one in deliveries]
        return market.supplyFragments(batch, signature, sender=stranger)

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
    delivery = order.delivery(0, fragment=bytes(range(80)))
    expected = event(
        "FragmentSupplied",
        copyId=order.copy_id,
        seller=seller,
        index=0,
        deliverer=delivery.deliverer,
        commitment=delivery.commitment,
        secretHash=delivery.secret_hash,
        salt=delivery.salt,
        **boxed(delivery.fragment),
    )
    signer = request.getfixturevalue(name)
    r, vs = signed(market, signer, [delivery, delivery])
    entries = [entry_of(delivery)] * 2
    log = event("FragmentsSigned", signer=signer, r=r, vs=vs, entries=entries)
    receipt = supply(delivery, delivery, by=signer)
    assert logged(receipt) == [log, expected, expected]
    assert market.sellerEntries(order.copy_id, 0) == ZERO32
    assert (order.state, books.owed(), market.sellerStakes(seller)) == (before, owed, stake)


def test_after_the_last_delivery_as_well(create_sale, supply, logged):
    order = create_sale()
    order.deliver(0, 1)
    order.reach(101)
    order.dispute()
    order.wait(REFUND + DISPUTE)
    assert len(logged(supply(order.delivery(0)))) == 2


def test_skips_what_is_not_there(create_sale, supply, reverts, logged):
    order = create_sale()
    order.deliver(0)
    with reverts("NothingDelivered"):
        supply(order.delivery(1))
    assert len(logged(supply(order.delivery(0), order.delivery(1)))) == 2


@pytest.mark.parametrize("name", ["alice", "buyer", "stranger", "bob"])
def test_only_for_the_seller(create_sale, supply, request, reverts, name):
    order = create_sale()
    order.deliver(0)
    with reverts("NothingDelivered"):
        supply(order.delivery(0), by=request.getfixturevalue(name))


def test_attack_a_list_too_long(create_sale, supply, reverts):
    order = create_sale()
    order.deliver(0)
    with reverts("ListTooLong", entries=51, most=50):
        supply(*[order.delivery(0)] * 51)
    supply(*[order.delivery(0)] * 50)


def test_only_the_items_parts(create_sale, supply, reverts):
    order = create_sale()
    order.deliver(0)
    for size in (0, 79, 81):
        with reverts("InvalidFragmentLength", length=size):
            supply(order.delivery(0, fragment=bytes(size)))
    order.deliver(1)
    for change in ({"commitment": keccak(b"?")}, {"index": 1}, {"proof": ()}):
        wrong = replace(order.delivery(0), **change)
        with reverts("PartNotInItem", copyId=order.copy_id, index=wrong.index):
            supply(wrong)


def test_only_of_this_sale(create_sale, supply, reverts):
    order = create_sale()
    order.deliver(0)
    with reverts("NothingDelivered"):
        supply(order.delivery(0, sale=replace(order.sale, fee=1)))
    with reverts("NothingDelivered"):
        supply(order.delivery(0, copy_id=bytes(32)))


def test_to_the_fresh_key_where_an_index_was_punished(create_sale, supply, reverts, logged):
    order = create_sale()
    order.deliver(0, 1)
    with reverts("NothingDelivered"):
        supply(order.good(0, key_of(5)))
    order.reach(101)
    order.dispute()
    order.prove(order.delivery(0), fresh_key=key_of(5))
    for wrong in (order.good(0, key_of(6)), order.good(1, key_of(5))):
        with reverts("NothingDelivered"):
            supply(wrong)
    assert len(logged(supply(order.good(0, key_of(5))))) == 2


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
    with reverts("NothingDelivered"):
        supply(order.delivery(0))
