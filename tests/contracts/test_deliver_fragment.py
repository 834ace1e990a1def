"""deliverFragment: see test_deliver_fragment.tree."""

from dataclasses import replace

import pytest
from eth_abi.abi import encode

from dam.crypto.hashing import keccak, part_leaf
from dam.crypto.merkle import MerkleTree
from dam.types import ZERO_ADDRESS, PartLeaf, Status
from tests.contracts.sales import (
    DELIVERY,
    ETHER,
    EXIT,
    POSSESSION,
    REFUND,
    entry_of,
    key_of,
    send_one,
    signed,
    state,
)

FEE = 10**16


WORDS = ["uint8", "address", *["bytes32"] * 4, "bytes16", "bytes32"]
EVENT = f"FragmentDelivered(bytes32,address,{','.join(WORDS)})".encode()


# ------------------------------------------------------------------------------ when all is well


def test_pays_and_counts_and_completes(create_sale, market, alice, bob, carol, buyer):
    order = create_sale()
    order.reach(4)
    order.deliver(2)
    assert state(order) == (Status.PURCHASED, 0b100, 0)
    order.reach(9)
    order.deliver(0)
    assert state(order) == (Status.COMPLETE, 0b101, 9)
    order.reach(20)
    order.deliver(1)
    assert state(order) == (Status.COMPLETE, 0b111, 20)
    for deliverer in (alice, bob, carol):
        account = market.deliverers(deliverer)
        assert (account.earned, account.delivered) == (FEE, 1)
    assert market.credits(buyer, ZERO_ADDRESS) == 0


def test_events_are_what_emit_would_write(create_sale, market, bob, buyer):
    order = create_sale()
    delivery = order.delivery(1, fragment=bytes(range(1, 81)))
    r, vs = signed(market, bob, [delivery])
    list_, part = send_one(market, delivery, bob, sender=buyer).logs
    assert [bytes(topic) for topic in list_["topics"]] == [
        keccak(b"FragmentsSigned(address,bytes32,bytes32,bytes32[])"),
        bytes(12) + bytes.fromhex(bob.address[2:]),
    ]
    words = ["bytes32", "bytes32", "bytes32[]"]
    assert bytes(list_["data"]) == encode(words, [r, vs, [entry_of(delivery)]])
    assert [bytes(topic) for topic in part["topics"]] == [
        keccak(EVENT),
        order.copy_id,
        bytes(12) + bytes.fromhex(bob.address[2:]),
    ]
    assert bytes(part["data"]) == encode(
        WORDS,
        [
            *(1, delivery.deliverer, delivery.commitment, delivery.secret_hash, delivery.salt),
            *(bytes(range(1, 33)), bytes(range(33, 49)), bytes(range(49, 81))),
        ],
    )


def test_earnings_add_up(create_item, create_sale, market, alice):
    item = create_item()
    for copy in range(3):
        create_sale(item, copy=copy).deliver(0)
    account = market.deliverers(alice)
    assert (account.earned, account.delivered) == (3 * FEE, 3)


def test_last_of_32_parts(create_sale, market, alice, bob):
    order = create_sale(parts=32, threshold=32, deliverers=(alice, bob), commission=64)
    order.deliver(31, *range(31))
    assert state(order)[:2] == (Status.COMPLETE, 2**32 - 1)
    assert market.deliverers(alice).earned == 32


def test_a_fee_of_nothing_is_a_delivery_too(create_sale, market, alice):
    order = create_sale(commission=2)
    order.deliver(0)
    assert market.deliverers(alice).earned == 0
    assert market.deliverers(alice).delivered == 1
    assert state(order) == (Status.PURCHASED, 1, 0)


def test_continues_during_a_dispute(create_sale, market, carol):
    order = create_sale()
    order.deliver(0, 1)
    order.reach(101)
    order.dispute()
    order.wait(DELIVERY)
    order.deliver(2)
    assert state(order) == (Status.DISPUTED, 0b111, 101)
    assert market.deliverers(carol).earned == FEE


def test_stock_copies_have_parts_of_their_own(create_item, create_sale, market, bob, reverts):
    item = create_item(stock=True)
    order = create_sale(item, copy=3)
    other = item.leaf(2, 1)
    wrong = order.delivery(
        1,
        commitment=other.commitment,
        secret_hash=other.secret_hash,
        salt=other.salt,
        proof=item.parts.proof(part_leaf(other)),
    )
    with reverts("PartNotInItem", copyId=order.copy_id, index=1):
        send_one(market, wrong, bob)
    order.deliver(1)
    assert state(order)[1] == 0b10


def test_shared_copies_share_the_parts_of_copy_0(create_item, create_sale):
    item = create_item(stock=False)
    order = create_sale(item, copy=77)
    order.deliver_all()
    assert state(order)[0] == Status.COMPLETE


# --------------------------------------------------------------------------------------- gate


def test_gate_by_the_last_part(create_sale):
    order = create_sale()
    order.deliver(0, 1)
    assert state(order)[2] == 2
    order.reach(100)
    order.deliver(2)
    assert state(order)[2] == 100


@pytest.mark.parametrize("offset", [101, 102, 250])
def test_the_last_part_begins_the_buyers_time_after_the_gate_too(create_sale, offset):
    order = create_sale()
    order.deliver(0, 1)
    order.reach(offset)
    order.deliver(2)
    assert state(order)[2] == offset


def test_a_part_between_begins_nothing(create_sale, alice, bob):
    order = create_sale(parts=4, deliverers=(alice, bob))
    order.deliver(0, 1)
    order.reach(50)
    order.deliver(2)
    assert state(order)[2] == 2
    order.reach(60)
    order.deliver(3)
    assert state(order) == (Status.COMPLETE, 0b1111, 60)


# ------------------------------------------------------------------------------------- the sale


def test_needs_a_sale(create_sale, market, alice, reverts):
    order = create_sale()
    key = keccak(b"no sale")
    with reverts("WrongSale", copyId=key):
        send_one(market, order.delivery(0, copy_id=key), alice)


@pytest.mark.parametrize(
    "field",
    [
        "seller",
        "buyer",
        "purchase_block",
        "purchase_time",
        "copy",
        "stock",
        "parts",
        "threshold",
        "fee",
        "parts_root",
        "escrow_hash",
    ],
)
def test_attack_another_sale_than_the_slots(create_sale, market, alice, reverts, field):
    order = create_sale()
    value = getattr(order.sale, field)
    if isinstance(value, bool):
        changed = not value
    elif isinstance(value, int):
        changed = value + 1
    else:
        changed = keccak(b"?") if isinstance(value, bytes) else alice.address
    with reverts("WrongSale", copyId=order.copy_id):
        send_one(market, order.delivery(0, sale=replace(order.sale, **{field: changed})), alice)


def test_attack_sale_replayed_under_another_copy_id(
    create_item, create_sale, market, alice, reverts
):
    item = create_item()
    one, two = create_sale(item, copy=0), create_sale(item, copy=1)
    with reverts("WrongSale", copyId=two.copy_id):
        send_one(market, one.delivery(0, copy_id=two.copy_id), alice)
    one.deliver(0)
    two.deliver(0)


@pytest.mark.parametrize("end", ["settled", "refunded", "resolved"])
def test_a_closed_sale_takes_nothing(create_sale, market, buyer, alice, arbitrator, reverts, end):
    order = create_sale()
    order.deliver(1, 2)
    order.reach(101)
    if end == "settled":
        market.confirm(*order.args, sender=buyer)
    elif end == "refunded":
        market.concede(*order.args, sender=order.item.seller)
    else:
        order.dispute()
        market.resolveDispute(*order.args, 0, False, sender=arbitrator)
    with reverts("WrongStatus", copyId=order.copy_id, status=Status[end.upper()]):
        order.deliver(0)
    assert market.deliverers(alice).earned == 0


@pytest.mark.parametrize("complete", [False, True])
def test_last_second_of_deliverers(create_sale, reverts, complete):
    order = create_sale()
    if complete:
        order.deliver(0, 1)
    order.wait(DELIVERY)
    order.deliver(2)
    assert state(order)[1] & 4


@pytest.mark.parametrize("disputed", [False, True])
def test_attack_junk_too_late_to_be_proved(create_sale, seller, reverts, disputed):
    """A third of the refund's time is the deliverers'; then it can be proved, and replaced."""
    order = create_sale(threshold=1)
    order.deliver(0)
    order.reach(101)
    if disputed:
        order.dispute()
    closed = {"copyId": order.copy_id, "lastTime": order.time + DELIVERY}
    order.wait(DELIVERY + 1)
    with reverts("DeliveryClosed", **closed):
        order.deliver(2)
    order.deliver(2, by=seller)


def test_last_second_of_the_sellers_side(create_sale, seller, watchdog, reverts):
    order = create_sale()
    order.reach(101)
    order.wait(REFUND)
    order.deliver(0, by=watchdog)
    closed = {"copyId": order.copy_id, "lastTime": order.time + REFUND}
    for by in (seller, watchdog):
        with reverts("DeliveryClosed", **closed):
            order.deliver(2, by=by)


def test_a_part_arrives_once(create_sale, market, seller, alice, reverts):
    order = create_sale()
    order.deliver(0)
    with reverts("AlreadyDelivered", copyId=order.copy_id, index=0):
        send_one(market, order.delivery(0, fragment=b"\x01" * 80), alice)
    order.reach(101)
    with reverts("AlreadyDelivered", copyId=order.copy_id, index=0):
        order.deliver(0, by=seller)
    assert market.deliverers(alice).earned == FEE


# ----------------------------------------------------------------------------------- the caller


def test_who_signed_is_paid_whoever_sends(create_sale, market, stranger, alice, logged):
    """Copied out of the mempool it is the same delivery; a relay is nobody special."""
    order = create_sale()
    receipt = send_one(market, order.delivery(0), alice, sender=stranger)
    assert dict(logged(receipt))["FragmentDelivered"]["by"] == alice.address.lower()
    assert market.deliverers(alice).earned == FEE
    assert market.deliverers(stranger).earned == 0


def test_attack_signature_of_anothers_part(create_sale, market, stranger, alice, reverts):
    order = create_sale()
    with reverts("NotYourPart", deliverer=alice, signer=stranger):
        order.deliver(0, by=stranger)
    market.stakeAsDeliverer(key_of(9), POSSESSION, sender=stranger, value=ETHER)
    with reverts("NotYourPart", deliverer=alice, signer=stranger):
        order.deliver(0, by=stranger)
    order.deliver(0)


def test_attack_thief_writes_another_name_into_the_leaf(create_sale, market, bob, reverts):
    order = create_sale()
    with reverts("PartNotInItem", copyId=order.copy_id, index=0):
        send_one(market, order.delivery(0, deliverer=bob.address), bob)


def test_attack_unstaked_name_in_a_leaf(create_sale, market, dave, reverts):
    order = create_sale(deliverers=(dave,))
    with reverts("NotEligible", operator=dave):
        order.deliver(0)
    market.stakeAsDeliverer(key_of(9), POSSESSION, sender=dave, value=ETHER // 10)
    order.deliver(0)


def test_attack_owner_is_not_the_operator(create_sale, market, bob, owner, reverts):
    order = create_sale()
    with reverts("NotYourPart", deliverer=bob, signer=owner):
        order.deliver(1, by=owner)


def test_attack_junk_on_the_way_out(create_sale, market, bob, owner, clock, reverts):
    """The request ends the right to deliver at once, not when the stake leaves."""
    order = create_sale()
    market.requestExit(bob, sender=owner)
    with reverts("NotEligible", operator=bob):
        order.deliver(1)
    market.cancelExit(bob, sender=owner)
    order.deliver(1)
    assert market.deliverers(bob).earned == FEE


def test_after_an_exit_fresh_stake_must_reach_the_minimum(
    create_item, create_sale, market, bob, owner, clock, reverts
):
    market.requestExit(bob, sender=owner)
    clock.wait(EXIT)
    market.withdrawDelivererStake(bob, owner, sender=owner)
    market.addDelivererStake(bob, sender=owner, value=ETHER // 10 - 1)
    order = create_sale()
    with reverts("NotEligible", operator=bob):
        order.deliver(1)
    market.addDelivererStake(bob, sender=owner, value=1)
    order.deliver(1)


def test_a_stake_stands_for_ten_fees(create_sale, market, alice, reverts):
    order = create_sale(commission=3 * FEE + 3)
    assert order.sale.fee == FEE + 1
    with reverts("NotEligible", operator=alice):
        order.deliver(0)
    market.addDelivererStake(alice, sender=alice, value=9)
    with reverts("NotEligible", operator=alice):
        order.deliver(0)
    market.addDelivererStake(alice, sender=alice, value=1)
    order.deliver(0)


def test_an_operator_whom_the_leaf_names_is_its_deliverer(
    create_sale, market, watchdog, buyer, reverts
):
    """Wherever that is possible: nobody takes a fee from a deliverer by naming it operator."""
    market.stakeAsDeliverer(key_of(9), POSSESSION, sender=watchdog, value=ETHER)
    order = create_sale(deliverers=(watchdog,))
    order.reach(101)
    order.deliver(0)
    assert market.deliverers(watchdog).earned == FEE
    assert market.sellerEntries(order.copy_id, 0) == bytes(32)
    order.wait(DELIVERY + 1)
    part = order.delivery(1)
    order.send(part)
    assert market.deliverers(watchdog).earned == FEE
    assert market.credits(buyer, ZERO_ADDRESS) == FEE
    assert market.sellerEntries(order.copy_id, 1) == entry_of(part)


def test_such_an_operator_falls_back_no_sooner_than_others(create_sale, watchdog, reverts):
    order = create_sale(deliverers=(watchdog,))
    with reverts("FallbackTooEarly", copyId=order.copy_id, firstBlock=order.block + 101):
        order.deliver(0)
    order.reach(101)
    order.deliver(0)


# ------------------------------------------------------------------------------------- the part


@pytest.mark.parametrize("size", [0, 48, 79, 81, 160])
def test_attack_fragment_of_another_size(create_sale, market, alice, reverts, size):
    order = create_sale()
    with reverts("InvalidFragmentLength", length=size):
        send_one(market, order.delivery(0, fragment=bytes(size)), alice)


@pytest.mark.parametrize("index", [3, 31, 32, 255])
def test_attack_leaf_with_an_index_beyond_n(create_sale, market, alice, reverts, index):
    """Such a part would complete a sale with fewer parts than n, or set another field's bits."""
    leaves = tuple(
        PartLeaf(0, i, alice.address, keccak(b"c%d" % i), keccak(b"s"), keccak(b"t%d" % i))
        for i in (0, 1, 2, index)
    )
    order = create_sale(leaves=leaves)
    tree = MerkleTree([part_leaf(leaf) for leaf in leaves])
    assert tree.root == order.sale.parts_root
    with reverts("PartNotInItem", copyId=order.copy_id, index=index):
        send_one(market, order.delivery(index), alice)


@pytest.mark.parametrize("field", ["index", "commitment", "secret_hash", "salt", "proof"])
def test_attack_part_of_the_callers_own_making(create_sale, market, alice, reverts, field):
    order = create_sale(deliverers=(alice,))
    changed = {"index": 1, "proof": ()}.get(field, keccak(b"?"))
    delivery = replace(order.delivery(0), **{field: changed})
    with reverts("PartNotInItem", copyId=order.copy_id, index=delivery.index):
        send_one(market, delivery, alice)


def test_attack_part_of_another_item(create_sale, market, alice, reverts):
    one, two = create_sale(), create_sale()
    foreign = two.delivery(0, copy_id=one.copy_id, sale=one.sale)
    with reverts("PartNotInItem", copyId=one.copy_id, index=0):
        send_one(market, foreign, alice)


def test_fallback_proves_its_part_too(create_sale, market, seller, reverts):
    order = create_sale()
    order.reach(101)
    with reverts("PartNotInItem", copyId=order.copy_id, index=0):
        send_one(market, order.delivery(0, commitment=keccak(b"?")), seller)
    with reverts("InvalidFragmentLength", length=79):
        send_one(market, order.delivery(0, fragment=bytes(79)), seller)
