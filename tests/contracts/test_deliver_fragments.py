"""deliverFragments: see test_deliver_fragments.tree."""

from dataclasses import astuple, replace

import pytest

from dam.crypto.hashing import keccak
from dam.types import ZERO_ADDRESS, Status
from tests.contracts.sales import DELIVERY, POSSESSION, boxed, entry_of, key_of, signed

FEE = 10**16


@pytest.fixture
def send(market):
    def call(deliveries, by, sender=None):
        batch = [astuple(one) for one in deliveries]
        signature = signed(market, by, deliveries)
        return market.deliverFragments(batch, signature, sender=sender or by)

    return call


def test_pays_every_part_once(create_sale, send, market, alice, logged, event):
    one = create_sale(deliverers=(alice,))
    two = create_sale(deliverers=(alice,), commission=7 * FEE, parts=7)
    three = create_sale(deliverers=(alice,), commission=30)
    batch = [one.delivery(0), one.delivery(2), two.delivery(6), three.delivery(1)]
    r, vs = signed(market, alice, batch)
    entries = [entry_of(delivery) for delivery in batch]
    receipt = send(batch, alice)
    assert tuple(market.deliverers(alice))[2:4] == (3 * FEE + 10, 4)
    assert logged(receipt) == [
        event("FragmentsSigned", signer=alice, r=r, vs=vs, entries=entries),
        *(
            event(
                "FragmentDelivered",
                copyId=delivery.copy_id,
                by=alice,
                index=delivery.index,
                deliverer=alice,
                commitment=delivery.commitment,
                secretHash=delivery.secret_hash,
                salt=delivery.salt,
                **boxed(delivery.fragment),
            )
            for delivery in batch
        ),
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


def test_attack_a_list_too_long_to_be_evidence(create_sale, send, market, alice, reverts):
    """Whoever proves junk brings the whole list along; its entries may be one part's."""
    order = create_sale()
    with reverts("ListTooLong", entries=51, most=50):
        send([order.delivery(0)] * 51, alice)
    send([order.delivery(0)] * 50, alice)
    assert market.deliverers(alice).earned == FEE


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
        gone.wait(DELIVERY - 1)
        good = create_sale()
        gone.wait(DELIVERY + 1)
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


def test_last_second_of_deliverers(create_sale, send, alice):
    order = create_sale()
    order.wait(DELIVERY)
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
    assert other.state.delivered == 0
    assert market.deliverers(alice).earned == 0


@pytest.mark.parametrize("why", ["stranger", "unstaked", "poor", "exiting", "punished", "key"])
def test_skips_what_its_signer_may_not_deliver(
    create_sale, send, market, alice, bob, owner, dave, stranger, reverts, why
):
    """All of it can change between signing and mining, so none of it stops the others."""
    order = create_sale(deliverers=(dave, bob, alice))
    rich = create_sale(commission=30 * FEE, deliverers=(alice,))
    signer, bad = alice, order.delivery(1)
    good = create_sale(deliverers=(alice,)).delivery(0)
    if why == "unstaked":
        bad = order.delivery(0)
    elif why == "poor":
        bad = rich.delivery(0)
    elif why == "exiting":
        signer = bob
        market.requestExit(bob, sender=owner)
        market.setSellerOperator(bob, sender=order.item.seller)
        order.reach(101)
        good = order.delivery(2)
    elif why == "punished":
        bad = order.good(2)
        # Before the fine: it may take all of a record that is nothing but stake.
        market.addDelivererStake(alice, sender=owner, value=10**18)
        order.prove(order.delivery(2), fresh_key=key_of(5))
    elif why == "key":
        bad = order.good(2, key_of(5))
    if why == "exiting":
        # What it may no longer deliver for itself an operator delivers for the seller.
        send([bad, good], signer)
        assert order.state.delivered == 0b110
        return
    with reverts("NothingDelivered"):
        send([bad], signer)
    send([bad, good], signer)
    assert order.state.delivered == rich.state.delivered == 0
    assert market.deliverers(signer).earned == FEE


def test_attack_operator_revoked_in_a_batch_for_two_sellers(
    create_item, create_sale, send, market, newcomer, watchdog, seller
):
    """What was the seller's side at signing and is not now is skipped: the other's is not lost."""
    market.stakeAsSeller(sender=newcomer, value=10 * 10**18)
    market.setSellerOperator(watchdog, sender=newcomer)
    other = create_sale(create_item(by=newcomer))
    order = create_sale()
    order.reach(101)
    other.reach(120)
    market.setSellerOperator(ZERO_ADDRESS, sender=seller)
    send([order.delivery(0), other.delivery(0)], watchdog)
    assert (order.state.delivered, other.state.delivered) == (0, 1)


def test_logs_what_is_skipped_as_well(create_sale, send, market, alice, stranger, logged):
    """The list is the evidence against who signed it, delivered or not."""
    order = create_sale(deliverers=(alice,))
    batch = [order.delivery(0), order.delivery(0, fragment=b"\x05" * 80)]
    (name, values), *parts = logged(send(batch, alice, sender=stranger))
    assert name == "FragmentsSigned"
    assert values["signer"] == alice.address.lower()
    assert values["entries"] == tuple(entry_of(one) for one in batch)
    assert len(parts) == 1


def test_takes_a_first_key_for_a_punished_index(create_sale, send, market, seller):
    order = create_sale()
    order.deliver(0, 1)
    order.prove(order.delivery(2), fresh_key=key_of(5))
    order.reach(101)
    send([order.good(2)], seller)
    assert order.state.delivered == 0b111


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
    assert old.state.delivered == 0b101
    assert young.state.delivered == 0
    assert market.credits(buyer, ZERO_ADDRESS) == 2 * FEE
    assert market.deliverers(sender).earned == 0


def test_a_watchdog_that_also_delivers(create_sale, send, market, watchdog, alice, buyer):
    """One account in both roles: its own parts pay it, the others pay the buyer."""
    market.stakeAsDeliverer(key_of(9), POSSESSION, sender=watchdog, value=10**17)
    order = create_sale(deliverers=(watchdog, alice))
    order.reach(101)
    send([order.delivery(0), order.delivery(1), order.delivery(2)], watchdog)
    assert market.deliverers(watchdog).earned == 2 * FEE
    assert market.credits(buyer, ZERO_ADDRESS) == FEE
    assert order.state.delivered == 0b111
