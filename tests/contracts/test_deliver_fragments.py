"""deliverFragments: see test_deliver_fragments.tree."""

from dataclasses import astuple, replace

import pytest

from dam.crypto.hashing import keccak
from dam.types import ZERO_ADDRESS, Status

FEE = 10**16


@pytest.fixture
def send(market):
    def call(deliveries, sender):
        return market.deliverFragments([astuple(one) for one in deliveries], sender=sender)

    return call


def test_pays_every_part_once(create_sale, send, market, alice, logged, event):
    one = create_sale(deliverers=(alice,))
    two = create_sale(deliverers=(alice,), commission=7 * FEE, parts=7)
    three = create_sale(deliverers=(alice,), commission=30)
    batch = [one.delivery(0), one.delivery(2), two.delivery(6), three.delivery(1)]
    receipt = send(batch, alice)
    assert tuple(market.deliverers(alice))[2:4] == (3 * FEE + 10, 4)
    assert logged(receipt) == [
        event(
            "FragmentDelivered",
            copyId=delivery.copy_id,
            by=alice,
            index=delivery.index,
            commitment=delivery.commitment,
            secretHash=delivery.secret_hash,
            fragment=delivery.fragment,
        )
        for delivery in batch
    ]
    assert one.status == Status.COMPLETE
    assert (one.state.delivered, two.state.delivered, three.state.delivered) == (5, 64, 2)


def test_a_batch_of_one(create_sale, send, market, alice):
    order = create_sale()
    send([order.delivery(0)], alice)
    assert market.deliverers(alice).earned == FEE


def test_nothing_in_nothing(send, alice, reverts):
    with reverts("NothingDelivered"):
        send([], alice)


def test_skips_what_is_there(create_sale, send, market, alice, reverts):
    order = create_sale(deliverers=(alice,))
    order.deliver(0)
    with reverts("NothingDelivered"):
        send([order.delivery(0)], alice)
    send([order.delivery(0), order.delivery(1)], alice)
    assert market.deliverers(alice).earned == 2 * FEE


def test_attack_one_part_twice_in_a_batch(create_sale, send, market, alice):
    order = create_sale(deliverers=(alice,))
    send([order.delivery(0), order.delivery(0, fragment=b"\x02" * 80)], alice)
    assert tuple(market.deliverers(alice))[2:4] == (FEE, 1)
    assert order.state.by_deliverers == 1


@pytest.mark.parametrize("end", ["settled", "refunded", "resolved", "late", "none", "replaced"])
def test_skips_what_changed(
    create_sale, send, market, seller, buyer, alice, arbitrator, reverts, end
):
    good = create_sale()
    gone = create_sale()
    stale = gone.delivery(0)
    if end == "none":
        stale = replace(stale, copy_id=keccak(b"never mined"))
    elif end == "replaced":
        # As after a reorganisation: the same copy, bought by somebody else.
        stale = replace(stale, sale=replace(gone.sale, buyer=arbitrator.address))
    elif end == "late":
        gone.reach(299)
        good = create_sale()
        assert good.block > gone.block
        gone.reach(301)
    else:
        gone.deliver(1, 2)
        gone.reach(101)
        if end == "settled":
            market.confirm(*gone.args, sender=buyer)
        elif end == "refunded":
            market.concede(*gone.args, sender=seller)
        else:
            gone.dispute()
            market.resolveDispute(*gone.args, 0, False, sender=arbitrator)
    delivered = gone.state.delivered
    send([stale, good.delivery(0)], alice)
    assert market.deliverers(alice).earned == FEE
    assert gone.state.delivered == delivered
    with reverts("NothingDelivered"):
        send([stale], alice)


def test_last_block_of_deliveries(create_sale, send, alice):
    order = create_sale()
    order.reach(300)
    send([order.delivery(0)], alice)
    assert order.state.delivered == 1


def test_malformed_reverts_the_whole(create_item, create_sale, send, market, alice, bob, reverts):
    item = create_item()
    order = create_sale(item, copy=0)
    other = create_sale(item, copy=1)
    good = other.delivery(0)
    with reverts("InvalidFragmentLength", length=81):
        send([good, order.delivery(0, fragment=bytes(81))], alice)
    with reverts("PartNotInItem", copyId=order.copy_id, index=0):
        send([good, order.delivery(0, salt=keccak(b"?"))], alice)
    with reverts("PartNotInItem", copyId=order.copy_id, index=3):
        send([good, replace(order.delivery(0), index=3)], alice)
    with reverts("NotYourPart", deliverer=bob, caller=alice):
        send([good, order.delivery(1)], alice)
    assert other.state.delivered == 0
    assert market.deliverers(alice).earned == 0


def test_needs_standing(create_sale, send, market, alice, bob, owner, dave, reverts):
    order = create_sale(deliverers=(dave, bob))
    with reverts("NotEligible", operator=dave):
        send([order.delivery(0)], dave)
    market.requestExit(bob, sender=owner)
    with reverts("NotEligible", operator=bob):
        send([order.delivery(1)], bob)


def test_needs_a_plain_account(create_sale, send, market, alice, clock, reverts):
    order = create_sale()
    clock.rpc("anvil_setCode", alice.address, "0xef0100" + market.address[2:].lower())
    with reverts("NotPlainAccount", caller=alice):
        send([order.delivery(0)], alice)
    clock.rpc("anvil_setCode", alice.address, "0x")


@pytest.mark.parametrize("name", ["seller", "watchdog"])
def test_fallbacks(create_sale, send, market, request, buyer, seller, reverts, name):
    sender = request.getfixturevalue(name)
    old = create_sale()
    old.reach(60)
    young = create_sale()
    batch = [old.delivery(0), young.delivery(0), old.delivery(2)]
    old.reach(100)
    with reverts("NothingDelivered"):
        send(batch, sender)
    send(batch, sender)
    assert (old.state.delivered, old.state.by_deliverers) == (0b101, 0)
    assert young.state.delivered == 0
    assert market.credits(buyer, ZERO_ADDRESS) == 2 * FEE
    assert market.deliverers(sender).earned == 0


def test_a_watchdog_that_also_delivers(create_sale, send, market, watchdog, alice, buyer):
    """One account in both roles: its own parts pay it, the others pay the buyer."""
    market.stakeAsDeliverer(keccak(b"w")[:31] + b"\x01", sender=watchdog, value=10**17)
    order = create_sale(deliverers=(watchdog, alice))
    order.reach(101)
    send([order.delivery(0), order.delivery(1), order.delivery(2)], watchdog)
    assert market.deliverers(watchdog).earned == 2 * FEE
    assert market.credits(buyer, ZERO_ADDRESS) == FEE
    assert (order.state.delivered, order.state.by_deliverers) == (0b111, 2)
