"""proveJunk: see test_prove_junk.tree."""

from dataclasses import astuple, replace

import pytest

from dam.crypto.hashing import keccak, part_leaf
from dam.crypto.sealing import public_key
from dam.types import ZERO_ADDRESS, PartLeaf, Status
from tests.contracts.sales import (
    ARBITRATION,
    DISPUTE,
    ETHER,
    JUNK_FINE,
    MIN_DELIVERER_STAKE,
    POSSESSION,
    PROOF,
    REFUND,
    key_of,
    listed,
    secret_of,
)

FEE = 10**16
FINE = 10 * FEE
FRESH = public_key(secret_of(1))


def stake_of(market, who):
    return market.delivererStakes(who)


# ------------------------------------------------------------------------------- what it does


def test_fines_and_clears(create_sale, market, buyer, alice, logged, event):
    order = create_sale()
    order.deliver_all()
    receipt = order.prove(order.delivery(0), fresh_key=FRESH)
    assert logged(receipt) == [
        event(
            "JunkProved",
            copyId=order.copy_id,
            deliverer=alice,
            index=0,
            freshKey=FRESH,
            taken=FINE,
            bounty=FINE // 5,
            cleared=True,
        )
    ]
    assert (order.status, order.state.delivered, order.state.since) == (Status.COMPLETE, 0b110, 3)
    assert order.state.marked
    assert (order.marks.punished, order.marks.cleared) == (1, 1)
    assert order.marks.fresh_key == keccak(FRESH)[:24]
    assert stake_of(market, alice) == MIN_DELIVERER_STAKE - FINE
    # Its fee stays paid: nothing flows back into the sale.
    assert market.deliverers(alice).earned == FEE
    assert market.credits(buyer, ZERO_ADDRESS) == FINE // 5
    assert market.burnt() == FINE - FINE // 5


def test_several_at_once_and_purchased_again(create_sale, market, alice, bob, logged):
    order = create_sale()
    order.deliver_all()
    order.reach(20)
    receipt = order.prove(order.delivery(1), order.delivery(0), fresh_key=FRESH)
    assert [values["index"] for _, values in logged(receipt)] == [1, 0]
    state = order.state
    assert (state.status, state.delivered, state.since) == (Status.PURCHASED, 0b100, 20)
    assert stake_of(market, alice) == stake_of(market, bob) == MIN_DELIVERER_STAKE - FINE


def test_after_it_the_ordinary_rules(create_sale, market, seller, buyer, holdings):
    """The gate is open, the fees are paid; with too few parts it is refunded whole."""
    order = create_sale()
    order.deliver_all()
    order.prove(order.delivery(1), order.delivery(0), fresh_key=FRESH)
    bounties = 2 * (FINE // 5)
    order.wait(REFUND + 1)
    market.refund(*order.args, sender=buyer)
    penalty = order.escrow.penalty
    assert holdings(buyer).credit == ETHER + penalty + bounties
    assert holdings(seller).stake == 100 * ETHER - penalty - 3 * FEE


def test_completed_anew_by_the_sellers_side(create_sale, market, watchdog, seller, buyer, holdings):
    order = create_sale()
    order.deliver(0, 1)
    order.prove(order.delivery(0), fresh_key=FRESH)
    order.reach(101)
    order.send(order.good(0, FRESH), by=watchdog)
    assert (order.status, order.state.since) == (Status.COMPLETE, 101)
    market.confirm(*order.args, sender=buyer)
    assert holdings(seller).stake == 100 * ETHER
    assert holdings(seller).credit == ETHER - 2 * FEE


def test_the_fine_is_at_least_the_deployments(create_sale, market, alice):
    order = create_sale(commission=3)
    order.deliver(0)
    order.prove(order.delivery(0), fresh_key=FRESH)
    assert stake_of(market, alice) == MIN_DELIVERER_STAKE - JUNK_FINE


@pytest.mark.parametrize("more", [0, 1])
def test_ten_fees_where_that_is_more(create_sale, market, alice, more):
    fee = JUNK_FINE // 10 + more
    order = create_sale(commission=3 * fee)
    order.deliver(0)
    order.prove(order.delivery(0), fresh_key=FRESH)
    assert stake_of(market, alice) == MIN_DELIVERER_STAKE - JUNK_FINE - 10 * more


def test_stake_first_then_earnings_then_nothing(
    create_item, create_sale, market, alice, buyer, logged
):
    item = create_item(parts=5, threshold=5, deliverers=(alice,), commission=5 * FEE)
    order = create_sale(item)
    market.addDelivererStake(alice, sender=buyer, value=FINE // 2)
    order.deliver_all()
    taken = []
    for index in range(4):
        receipt = order.prove(order.delivery(index), fresh_key=FRESH)
        taken.append(logged(receipt)[0][1]["taken"])
    # 1.5 fines of stake, five fees of earnings, which is half a fine; then there is no more.
    assert taken == [FINE, FINE, 0, 0]
    account = market.deliverers(alice)
    assert (account.stake, account.earned) == (0, 0)
    assert order.marks.punished == 0b1111
    assert market.burnt() == 2 * (FINE - FINE // 5)


def test_a_fifth_is_rounded_down(create_sale, market, buyer, alice):
    order = create_sale(commission=3 * (FEE - 1) + 1)
    order.deliver(0)
    order.prove(order.delivery(0), fresh_key=FRESH)
    fine = 10 * (FEE - 1)
    assert market.credits(buyer, ZERO_ADDRESS) == fine // 5
    assert market.burnt() == fine - fine // 5


def test_of_one_who_never_registered(create_sale, market, dave, logged):
    """The proof stands where there is nothing to take."""
    order = create_sale(deliverers=(dave,))
    receipt = order.prove(order.delivery(0), fresh_key=FRESH)
    values = logged(receipt)[0][1]
    assert (values["taken"], values["bounty"], values["cleared"]) == (0, 0, False)
    assert order.marks.punished == 1


def test_attack_fine_moved_to_a_friend(create_sale, market, alice, buyer):
    """Stake cannot leave through a proof past the exit's delay: four fifths are gone."""
    order = create_sale()
    order.deliver(0)
    market.requestExit(alice, sender=alice)
    order.prove(order.delivery(0), fresh_key=FRESH)
    assert market.credits(buyer, ZERO_ADDRESS) * 5 == FINE
    assert market.burnt() * 5 == 4 * FINE


# --------------------------------------------------------------------------------- when it clears


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("complete", [False, True])
def test_clears_until_two_thirds(create_sale, late, complete):
    order = create_sale()
    order.deliver(*range(3 if complete else 1))
    before = order.state
    order.wait(PROOF + late)
    order.prove(order.delivery(0), fresh_key=FRESH)
    assert order.marks.punished == 1
    assert order.marks.cleared == (not late)
    assert order.state.delivered == (before.delivered if late else before.delivered & ~1)


def test_not_while_disputed(create_sale):
    order = create_sale()
    order.deliver_all()
    order.dispute()
    order.prove(order.delivery(0), fresh_key=FRESH)
    assert (order.status, order.state.delivered) == (Status.DISPUTED, 0b111)
    assert (order.marks.punished, order.marks.cleared) == (1, 0)


def test_not_what_the_sellers_side_delivered(create_sale, market, alice, watchdog):
    """The deliverer's junk was never mined, or skipped; what is there is another's."""
    order = create_sale()
    junk = order.delivery(0)
    order.reach(101)
    order.send(order.good(0), by=watchdog)
    order.prove(junk, fresh_key=FRESH)
    assert order.state.delivered == 1
    assert (order.marks.punished, order.marks.cleared) == (1, 0)
    assert stake_of(market, alice) == MIN_DELIVERER_STAKE - FINE


def test_not_what_is_missing(create_sale, market, buyer, watchdog):
    """Its fee was not paid, and is the buyer's when the seller's side delivers."""
    order = create_sale()
    order.prove(order.delivery(0), fresh_key=FRESH)
    assert (order.marks.punished, order.marks.cleared) == (1, 0)
    order.reach(101)
    order.send(order.good(0, FRESH), by=watchdog)
    assert market.credits(buyer, ZERO_ADDRESS) == FINE // 5 + FEE


@pytest.mark.parametrize("end", ["settled", "refunded", "resolved"])
def test_after_an_end_the_fine_alone(
    create_sale, market, buyer, seller, arbitrator, alice, logged, end
):
    order = create_sale()
    order.deliver_all()
    if end == "settled":
        market.confirm(*order.args, sender=buyer)
    elif end == "refunded":
        market.concede(*order.args, sender=seller)
    else:
        order.dispute()
        market.resolveDispute(*order.args, 0, False, sender=arbitrator)
    before = order.state
    receipt = order.prove(order.delivery(0), fresh_key=bytes(32))
    assert order.state == replace(before, marked=True)
    values = logged(receipt)[0][1]
    assert (values["freshKey"], values["cleared"]) == (bytes(32), False)
    assert (order.marks.punished, order.marks.cleared) == (1, 0)
    assert order.marks.fresh_key == bytes(24)
    assert stake_of(market, alice) == MIN_DELIVERER_STAKE - FINE


def test_long_after_the_end(create_sale, market, alice):
    order = create_sale()
    order.deliver_all()
    order.wait_long(REFUND + DISPUTE + ARBITRATION)
    market.settle(*order.args, sender=alice)
    order.clock.wait(400 * 86_400)
    order.prove(order.delivery(0), fresh_key=bytes(32))
    assert stake_of(market, alice) == MIN_DELIVERER_STAKE - FINE


# ------------------------------------------------------------------------------- the evidence


def test_attack_one_proof_twice(create_sale, market, alice, reverts):
    order = create_sale()
    order.deliver(0)
    again = {"copyId": order.copy_id, "index": 0}
    with reverts("AlreadyPunished", **again):
        order.prove(order.delivery(0), order.delivery(0), fresh_key=FRESH)
    order.prove(order.delivery(0), fresh_key=FRESH)
    other = order.delivery(0, fragment=b"\x05" * 80)
    for junk in (order.delivery(0), other):
        with reverts("AlreadyPunished", **again):
            order.prove(junk, fresh_key=FRESH)
    assert stake_of(market, alice) == MIN_DELIVERER_STAKE - FINE


def test_attack_framing_a_good_part(create_sale, reverts):
    order = create_sale()
    good = order.good(0)
    order.send(good)
    with reverts("NothingProved", copyId=order.copy_id):
        order.prove(good, fresh_key=FRESH)


def test_attack_one_good_part_among_junk(create_sale, market, alice, reverts):
    order = create_sale()
    with reverts("NothingProved", copyId=order.copy_id):
        order.prove(order.delivery(0), order.good(1), fresh_key=FRESH)
    assert stake_of(market, alice) == MIN_DELIVERER_STAKE


@pytest.mark.parametrize("place", [1, 2])
def test_attack_framing_by_another_leaf(create_sale, market, alice, reverts, place):
    """Two leaves of one index: the entry names the one that was delivered for."""
    leaves = tuple(
        PartLeaf(0, index, alice.address, keccak(b"%d" % n), keccak(b"s"), bytes(32))
        for n, index in enumerate((0, 0, 1))
    )
    order = create_sale(leaves=leaves, parts=2, threshold=1)
    made = order.delivery(0)
    list_ = listed(market, alice, [made])
    other = leaves[place]
    framed = replace(made, commitment=other.commitment, index=other.index)
    framed = replace(framed, proof=order.item.parts.proof(part_leaf(other)))
    with reverts("EntryNotFound", copyId=order.copy_id, index=other.index):
        order.prove_lists([framed], [list_], fresh_key=FRESH)


@pytest.mark.parametrize("position", [0, 2, 3, 2**256 - 1])
def test_the_entry_stands_where_it_is_said_to(create_sale, market, alice, reverts, position):
    order = create_sale(deliverers=(alice,))
    parts = [order.good(0), order.delivery(1), order.good(2)]
    with reverts("EntryNotFound", copyId=order.copy_id, index=1):
        order.prove_lists([parts[1]], [listed(market, alice, parts, position)], fresh_key=FRESH)
    order.prove_lists([parts[1]], [listed(market, alice, parts, 1)], fresh_key=FRESH)


@pytest.mark.parametrize("name", ["bob", "stranger", "seller", "buyer"])
def test_attack_list_signed_by_another(create_sale, market, request, alice, reverts, name):
    order, signer = create_sale(), request.getfixturevalue(name)
    junk = order.delivery(0)
    with reverts("NotTheDeliverers", deliverer=alice, signer=signer):
        order.prove_lists([junk], [listed(market, signer, [junk])], fresh_key=FRESH)


def test_the_seller_is_no_deliverer(create_sale, market, seller, reverts):
    """A part of theirs is evidence of another kind, whatever the leaf says."""
    market.stakeAsDeliverer(key_of(9), POSSESSION, sender=seller, value=ETHER)
    order = create_sale(deliverers=(seller,))
    with reverts("NotTheDeliverers", deliverer=seller, signer=seller):
        order.prove(order.delivery(0), fresh_key=FRESH)


def test_attack_entry_of_another_sale(create_item, create_sale, market, alice, reverts):
    """As after a reorganisation: what was signed for one sale proves nothing of another."""
    item = create_item()
    one, two = create_sale(item, copy=0), create_sale(item, copy=1)
    junk = one.delivery(0)
    list_ = listed(market, alice, [junk])
    with reverts("EntryNotFound", copyId=two.copy_id, index=0):
        two.prove_lists([two.delivery(0)], [list_], fresh_key=FRESH)


def test_no_deliverer_delivers_to_a_fresh_key(create_sale, reverts):
    order = create_sale()
    junk = order.delivery(0, fresh_key=FRESH)
    with reverts("WrongFreshKey", copyId=order.copy_id, freshKey=FRESH):
        order.prove(junk, fresh_key=FRESH)


@pytest.mark.parametrize("change", [{"salt": keccak(b"?")}, {"index": 7}, {"proof": ()}], ids=str)
def test_only_parts_of_the_item(create_sale, reverts, change):
    order = create_sale()
    junk = replace(order.delivery(0), **change)
    with reverts("PartNotInItem", copyId=order.copy_id, index=junk.index):
        order.prove(junk, fresh_key=FRESH)


@pytest.mark.parametrize("index", [3, 31, 32, 255])
def test_attack_leaf_with_an_index_beyond_n(create_sale, alice, reverts, index):
    leaves = tuple(
        PartLeaf(0, i, alice.address, keccak(b"c%d" % i), keccak(b"s"), keccak(b"t%d" % i))
        for i in (0, 1, 2, index)
    )
    order = create_sale(leaves=leaves)
    with reverts("PartNotInItem", copyId=order.copy_id, index=index):
        order.prove(order.delivery(index), fresh_key=FRESH)


@pytest.mark.parametrize("size", [0, 79, 81])
def test_a_fragment_has_its_size(create_sale, reverts, size):
    order = create_sale()
    with reverts("InvalidFragmentLength", length=size):
        order.prove(order.delivery(0, fragment=bytes(size)), fresh_key=FRESH)


def test_a_signature_is_somebodys(create_sale, market, alice, reverts):
    order = create_sale()
    list_ = listed(market, alice, [order.delivery(0)])
    nobody = replace(list_, signature=replace(list_.signature, r=bytes(32)))
    with reverts("InvalidSignature"):
        order.prove_lists([order.delivery(0)], [nobody], fresh_key=FRESH)


# ------------------------------------------------------------------------------- the fresh key


def test_attack_fresh_key_that_changes(create_sale, market, seller, reverts):
    """Else a buyer frames a seller who replaced a part to the key of before."""
    order = create_sale()
    order.deliver_all()
    order.prove(order.delivery(0), fresh_key=FRESH)
    other = key_of(8)
    with reverts("WrongFreshKey", copyId=order.copy_id, freshKey=other):
        order.prove(order.delivery(1), fresh_key=other)
    order.prove(order.delivery(1), fresh_key=FRESH)
    assert order.marks.fresh_key == keccak(FRESH)[:24]


@pytest.mark.parametrize(
    "key", [bytes(32), b"\x01" + bytes(31), b"\xff" * 32, FRESH[:31] + b"\xff"], ids=bytes.hex
)
def test_a_fresh_key_is_one(create_sale, reverts, key):
    order = create_sale()
    with reverts("InvalidKey", key=key):
        order.prove(order.delivery(0), fresh_key=key)


# ---------------------------------------------------------------------------------- who and what


@pytest.mark.parametrize("name", ["seller", "watchdog", "stranger", "alice", "arbitrator"])
def test_by_the_buyer_alone(create_sale, request, reverts, name):
    order, caller = create_sale(), request.getfixturevalue(name)
    with reverts("NotAllowed", caller=caller):
        order.prove(order.delivery(0), fresh_key=FRESH, sender=caller)


def test_all_the_keys_of_the_purchase(create_sale, market, alice, reverts):
    order = create_sale()
    junk, keys = order.good(0), order.keys
    list_ = listed(market, alice, [junk])
    for wrong in ([key_of(4), *keys[1:]], keys[:2], [*keys, key_of(4)], keys[::-1]):
        with reverts("WrongKeys", copyId=order.copy_id):
            order.prove_lists([junk], [list_], fresh_key=FRESH, keys=wrong)


@pytest.mark.parametrize(("parts", "lists"), [(0, 0), (1, 0), (0, 1), (1, 2)])
def test_a_list_for_each_part(create_sale, market, alice, reverts, parts, lists):
    order = create_sale()
    junk = order.delivery(0)
    one = listed(market, alice, [junk])
    with reverts("NothingProved", copyId=order.copy_id):
        order.prove_lists([junk] * parts, [one] * lists, fresh_key=FRESH)


def test_wrong_sale_or_escrow(create_sale, market, buyer, stranger, reverts):
    order = create_sale()
    junk = order.delivery(0)
    copy_id, sale, escrow = order.args
    list_ = astuple(listed(market, order.people[junk.deliverer], [junk]))
    rest = (order.keys, FRESH, [astuple(order.evidence(junk))], [list_])
    wrong = astuple(replace(order.sale, buyer=stranger.address))
    with reverts("WrongSale", copyId=copy_id):
        market.proveJunk(copy_id, wrong, escrow, *rest, sender=stranger)
    wrong = astuple(replace(order.escrow, penalty=0))
    with reverts("WrongEscrow", copyId=copy_id):
        market.proveJunk(copy_id, sale, wrong, *rest, sender=buyer)


def test_attack_junk_never_mined_frames_no_seller(create_sale, market, alice, seller, reverts):
    """It punishes who signed it, and leaves the index to a seller who has all the time."""
    order = create_sale()
    junk = order.delivery(0)
    order.prove(junk, fresh_key=FRESH)
    with reverts("EntryNotFound", copyId=order.copy_id, index=0):
        order.prove_seller(junk)
    assert market.sellerEntries(order.copy_id, 0) == bytes(32)
