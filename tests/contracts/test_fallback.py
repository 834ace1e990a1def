"""deliverFragment by the seller's side, and of punished indices: see test_fallback.tree."""

import pytest

from dam.types import ZERO_ADDRESS, Status
from tests.contracts.sales import (
    DELIVERY,
    ETHER,
    POSSESSION,
    REFUND,
    boxed,
    entry_of,
    key_of,
    send_one,
    signed,
    state,
)

FEE = 10**16

# --------------------------------------------------------------------------------- the fallback


@pytest.mark.parametrize("name", ["seller", "watchdog"])
@pytest.mark.parametrize("offset", [1, 99, 100])
def test_fallback_too_early(create_sale, market, request, reverts, name, offset):
    order = create_sale()
    order.reach(offset)
    with reverts("FallbackTooEarly", copyId=order.copy_id, firstBlock=order.block + 101):
        order.deliver(0, by=request.getfixturevalue(name))


@pytest.mark.parametrize("name", ["seller", "watchdog"])
@pytest.mark.parametrize("offset", [101, 102, DELIVERY + 1, REFUND])
def test_fallback_pays_the_buyer(
    create_sale, market, request, seller, buyer, alice, watchdog, logged, event, name, offset
):
    order = create_sale()
    order.reach(101)
    if offset > 101:
        order.wait(offset)
    delivery = order.delivery(0)
    signer = request.getfixturevalue(name)
    r, vs = signed(market, signer, [delivery])
    receipt = send_one(market, delivery, signer)
    assert state(order) == (Status.PURCHASED, 0b1, 0)
    assert market.credits(buyer, ZERO_ADDRESS) == FEE
    for nobody in (alice, seller, watchdog):
        assert market.deliverers(nobody).earned == 0
        assert market.credits(nobody, ZERO_ADDRESS) == 0
    assert logged(receipt) == [
        event(
            "FragmentsSigned",
            signer=signer,
            r=r,
            vs=vs,
            entries=[entry_of(delivery)],
        ),
        event(
            "FragmentDelivered",
            copyId=order.copy_id,
            by=seller,
            index=0,
            deliverer=alice,
            commitment=delivery.commitment,
            secretHash=delivery.secret_hash,
            salt=delivery.salt,
            **boxed(delivery.fragment),
        ),
    ]
    assert market.sellerEntries(order.copy_id, 0) == entry_of(delivery)


def test_fallback_alone_completes(create_sale, market, seller, watchdog, buyer):
    order = create_sale()
    order.reach(101)
    order.deliver(2, by=watchdog)
    order.deliver(0, by=seller)
    assert state(order) == (Status.COMPLETE, 0b101, 102)
    assert market.credits(buyer, ZERO_ADDRESS) == 2 * FEE


def test_deliverers_still_deliver_after_block_100(create_sale, market, alice):
    order = create_sale()
    order.reach(101)
    order.deliver(0)
    assert market.deliverers(alice).earned == FEE


def test_attack_seller_gains_nothing_by_delivering(create_sale, market, seller, buyer, reverts):
    """Staked, and named in the leaf: still a fallback, late and paid to the buyer."""
    market.stakeAsDeliverer(key_of(9), POSSESSION, sender=seller, value=ETHER)
    order = create_sale(deliverers=(seller,))
    with reverts("FallbackTooEarly", copyId=order.copy_id, firstBlock=order.block + 101):
        order.deliver(0)
    order.reach(101)
    order.deliver(0)
    assert market.deliverers(seller).earned == 0
    assert market.credits(buyer, ZERO_ADDRESS) == FEE


def test_operator_of_another_seller_is_a_stranger(create_sale, market, newcomer, alice, reverts):
    market.setSellerOperator(newcomer, sender=newcomer)
    order = create_sale()
    order.reach(101)
    with reverts("NotYourPart", deliverer=alice, signer=newcomer):
        order.deliver(0, by=newcomer)


def test_former_operator_is_a_stranger(create_sale, market, seller, watchdog, alice, reverts):
    order = create_sale()
    order.reach(101)
    market.setSellerOperator(ZERO_ADDRESS, sender=seller)
    with reverts("NotYourPart", deliverer=alice, signer=watchdog):
        order.deliver(0, by=watchdog)


# ---------------------------------------------------------------------- indices that are punished


def test_a_punished_index_is_the_sellers(create_sale, market, alice, seller, buyer, reverts):
    """A cleared part is not relayed or signed again; a replacement earns nothing."""
    order = create_sale()
    order.deliver(0, 1)
    order.prove(order.delivery(0), fresh_key=key_of(5))
    bounty = market.credits(buyer, ZERO_ADDRESS)
    assert state(order)[:2] == (Status.PURCHASED, 0b10)
    market.addDelivererStake(alice, sender=buyer, value=ETHER)
    for again in (order.delivery(0), order.good(0), order.good(0, key_of(5))):
        with reverts("IndexPunished", copyId=order.copy_id, index=0):
            send_one(market, again, alice)
    early = {"copyId": order.copy_id, "firstBlock": order.block + 101}
    with reverts("FallbackTooEarly", **early):
        send_one(market, order.good(0, key_of(5)), seller)
    order.reach(101)
    send_one(market, order.good(0, key_of(5)), seller)
    assert state(order) == (Status.COMPLETE, 0b11, 101)
    assert market.credits(buyer, ZERO_ADDRESS) == bounty
    assert market.deliverers(alice).earned == FEE


def test_attack_proof_that_knocks_out_a_fallback(create_sale, market, seller, buyer):
    """Sealed to the first key, signed before the proof: taken all the same."""
    order = create_sale()
    order.deliver(0, 1)
    part = order.good(2)
    order.reach(101)
    order.prove(order.delivery(2), fresh_key=key_of(5))
    send_one(market, part, seller)
    assert state(order)[:2] == (Status.COMPLETE, 0b111)
    # It was missing, so nobody had its fee yet.
    assert market.credits(buyer, ZERO_ADDRESS) >= FEE


@pytest.mark.parametrize("punished", [False, True])
def test_a_fresh_key_is_the_sales_and_for_what_is_punished(
    create_sale, market, seller, alice, reverts, punished
):
    order = create_sale()
    order.deliver(0, 1)
    order.prove(order.delivery(0), fresh_key=key_of(5))
    order.reach(101)
    index, key = (0, key_of(6)) if punished else (2, key_of(5))
    wrong = order.good(index, key)
    with reverts("WrongFreshKey", copyId=order.copy_id, freshKey=key):
        send_one(market, wrong, seller)
