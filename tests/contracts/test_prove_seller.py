"""proveSellerJunk, proveBadShares, proveBadLeaves: see test_prove_seller.tree."""

from dataclasses import astuple, replace

import pytest

from dam.crypto.hashing import keccak, part_leaf
from dam.crypto.sealing import public_key
from dam.crypto.shamir import PRIME
from dam.types import Leaf, PartLeaf, Status
from tests.contracts.sales import ARBITRATION, ETHER, REFUND, WORKED, key_of, secret_of

FEE = 10**16
FRESH_SECRET = secret_of(1)
FRESH = public_key(FRESH_SECRET)


@pytest.fixture
def with_junk(create_sale, watchdog):
    """A sale of which the seller's side delivered part 2, which is junk; and that part."""

    def create(**terms):
        order = create_sale(**terms)
        order.deliver(0, 1)
        order.reach(101)
        junk = order.delivery(2)
        order.send(junk, by=watchdog)
        return order, junk

    return create


def prove_shares(market, order, indexes, sender=None, **changes):
    leaves = [astuple(order.open_leaf(index)) for index in indexes]
    shares = [changes.get(f"share{index}", order.share(index)) for index in indexes]
    return market.proveBadShares(*order.args, leaves, shares, sender=sender or order.buyer)


def prove_leaves(market, order, one, other, sender=None):
    leaves = (astuple(one), astuple(other))
    return market.proveBadLeaves(*order.args, *leaves, sender=sender or order.buyer)


def odd_leaves(people, shares, secrets=(b"s", b"s", b"s"), indexes=(0, 1, 2)):
    """Leaves of 3 parts that commit to these shares, and to these secrets."""
    return tuple(
        PartLeaf(0, index, people.address, keccak(share), keccak(secret), keccak(b"t%d" % n))
        for n, (index, share, secret) in enumerate(zip(indexes, shares, secrets, strict=True))
    )


# ------------------------------------------------------------------------------- proveSellerJunk


def test_ends_as_a_concession(with_junk, market, buyer, seller, holdings, logged, event):
    order, junk = with_junk()
    receipt = order.prove_seller(junk)
    penalty = order.escrow.penalty
    assert order.status == Status.REFUNDED
    assert logged(receipt) == [
        event("SellerFaultProved", copyId=order.copy_id, seller=seller),
        event("SaleRefunded", copyId=order.copy_id, by=buyer, penalty=penalty),
    ]
    assert holdings(buyer).credit == ETHER + penalty + FEE
    assert holdings(seller).stake == 100 * ETHER - penalty - 3 * FEE


@pytest.mark.parametrize("when", ["early", "late", "over"])
def test_in_a_dispute(with_junk, market, buyer, seller, arbitrator, holdings, when):
    """Both bonds to the buyer; from a third on the seller's to the arbitrator; until settled."""
    order, junk = with_junk()
    order.dispute()
    wait = {"early": WORKED - 1, "late": WORKED, "over": ARBITRATION + 9}[when]
    order.clock.wait(wait)
    order.prove_seller(junk)
    penalty, bond = order.escrow.penalty, order.escrow.bond
    bonds = 2 * bond if when == "early" else bond
    assert holdings(buyer).credit == ETHER + penalty + FEE + bonds
    assert holdings(arbitrator).credit == (0 if when == "early" else bond)
    assert holdings(seller).stake == 100 * ETHER - penalty - 3 * FEE - bond


def test_of_a_sale_that_is_purchased(create_sale, watchdog):
    order = create_sale()
    order.reach(101)
    junk = order.delivery(2)
    order.send(junk, by=watchdog)
    order.wait(REFUND + 99)
    order.prove_seller(junk)
    assert order.status == Status.REFUNDED


def test_a_replacement_by_the_key_that_it_names(create_sale, watchdog, reverts):
    order = create_sale()
    order.deliver_all()
    order.prove(order.delivery(0), order.delivery(1), fresh_key=FRESH)
    order.reach(101)
    good, junk = order.good(0, FRESH), replace(order.good(1), fresh_key=FRESH)
    order.send(good, by=watchdog)
    order.send(junk, by=watchdog)
    with reverts("NothingProved", copyId=order.copy_id):
        order.prove_seller(good, FRESH_SECRET)
    # It opens with the first key, and names the fresh one.
    order.prove_seller(junk, FRESH_SECRET)
    assert order.status == Status.REFUNDED


def test_attack_framing_a_good_fallback(create_sale, watchdog, reverts):
    order = create_sale()
    order.reach(101)
    good = order.good(0)
    order.send(good, by=watchdog)
    with reverts("NothingProved", copyId=order.copy_id):
        order.prove_seller(good)


@pytest.mark.parametrize("odd", ["other", "deliverers", "missing", "fresh"])
def test_attack_framing_by_what_the_contract_does_not_keep(
    create_sale, watchdog, seller, reverts, odd
):
    """Whatever a stolen operator's key signs: only what was delivered is evidence."""
    order = create_sale()
    order.deliver(0)
    order.reach(101)
    good = order.good(1)
    order.send(good, by=watchdog)
    framed = {
        "other": order.delivery(1),
        "deliverers": order.delivery(0),
        "missing": order.delivery(2),
        "fresh": replace(good, fresh_key=key_of(3)),
    }[odd]
    with reverts("EntryNotFound", copyId=order.copy_id, index=framed.index):
        order.prove_seller(framed)


def test_attack_stolen_operator_key_that_signs_junk(
    create_sale, market, watchdog, stranger, reverts
):
    """It reaches only parts that are still missing from block 101 on."""
    order = create_sale()
    order.deliver(0, 1)
    with reverts("FallbackTooEarly", copyId=order.copy_id, firstBlock=order.block + 101):
        order.send(order.delivery(2), by=watchdog, sender=stranger)
    order.deliver(2)
    order.reach(101)
    with reverts("AlreadyDelivered", copyId=order.copy_id, index=2):
        order.send(order.delivery(2), by=watchdog, sender=stranger)
    with reverts("EntryNotFound", copyId=order.copy_id, index=2):
        order.prove_seller(order.delivery(2))


@pytest.mark.parametrize("name", ["seller", "watchdog", "stranger", "alice", "arbitrator"])
def test_by_the_buyer_alone(with_junk, request, reverts, name):
    order, junk = with_junk()
    caller = request.getfixturevalue(name)
    with reverts("NotAllowed", caller=caller):
        order.prove_seller(junk, sender=caller)


@pytest.mark.parametrize("end", ["settled", "refunded", "resolved"])
def test_only_of_an_open_sale(with_junk, market, buyer, seller, arbitrator, reverts, end):
    order, junk = with_junk()
    if end == "settled":
        market.confirm(*order.args, sender=buyer)
    elif end == "refunded":
        market.concede(*order.args, sender=seller)
    else:
        order.dispute()
        market.resolveDispute(*order.args, 0, False, sender=arbitrator)
    with reverts("WrongStatus", copyId=order.copy_id, status=Status[end.upper()]):
        order.prove_seller(junk)


def test_all_the_keys_of_the_purchase(with_junk, market, buyer, reverts):
    order, junk = with_junk()
    keys = [order.keys[0], key_of(4), order.keys[2]]
    with reverts("WrongKeys", copyId=order.copy_id):
        market.proveSellerJunk(*order.args, keys, astuple(order.evidence(junk)), sender=buyer)


def test_wrong_sale_or_escrow(with_junk, market, buyer, stranger, reverts):
    order, junk = with_junk()
    copy_id, sale, escrow = order.args
    rest = (order.keys, astuple(order.evidence(junk)))
    wrong = astuple(replace(order.sale, buyer=stranger.address))
    with reverts("WrongSale", copyId=copy_id):
        market.proveSellerJunk(copy_id, wrong, escrow, *rest, sender=stranger)
    wrong = astuple(replace(order.escrow, penalty=50 * ETHER))
    with reverts("WrongEscrow", copyId=copy_id):
        market.proveSellerJunk(copy_id, sale, wrong, *rest, sender=buyer)


# --------------------------------------------------------------------------------- proveBadShares


@pytest.mark.parametrize("state", ["purchased", "complete", "disputed", "over"])
def test_shares_that_do_not_add_up(
    create_sale, market, alice, buyer, seller, holdings, logged, event, state
):
    shares = [keccak(b"x%d" % i) for i in range(3)]
    order = create_sale(leaves=odd_leaves(alice, shares))
    if state != "purchased":
        order.deliver(0, 1)
    order.reach(101)
    if state in ("disputed", "over"):
        order.dispute()
    if state == "over":
        order.clock.wait(ARBITRATION + 1)
    given = {f"share{i}": share for i, share in enumerate(shares)}
    order.item.shares.update({(0, i): share for i, share in enumerate(shares)})
    receipt = prove_shares(market, order, (2, 0), **given)
    assert order.status == Status.REFUNDED
    penalty = order.escrow.penalty
    assert logged(receipt) == [
        event("SellerFaultProved", copyId=order.copy_id, seller=seller),
        event("SaleRefunded", copyId=order.copy_id, by=buyer, penalty=penalty),
    ]
    bonds = {"disputed": 2, "over": 1}.get(state, 0) * order.escrow.bond
    assert holdings(buyer).credit == ETHER + penalty + bonds


@pytest.mark.parametrize("share", [PRIME, 2**256 - 1])
def test_a_share_beyond_the_field_never_adds_up(create_sale, market, alice, share):
    shares = [share.to_bytes(32, "big")] * 3
    order = create_sale(leaves=odd_leaves(alice, shares), threshold=1)
    order.item.shares.update({(0, i): one for i, one in enumerate(shares)})
    order.reach(101)
    prove_shares(market, order, (1,))
    assert order.status == Status.REFUNDED


@pytest.mark.parametrize("stock", [False, True])
@pytest.mark.parametrize("indexes", [(0, 1), (2, 0), (1, 2)])
def test_attack_framing_an_honest_seller(create_sale, market, reverts, indexes, stock):
    order = create_sale(stock=stock, copy=2)
    order.reach(101)
    with reverts("NothingProved", copyId=order.copy_id):
        prove_shares(market, order, indexes)


@pytest.mark.parametrize("indexes", [(), (0,), (0, 1, 2), (1, 1)])
def test_exactly_k_of_distinct_indices(create_sale, market, reverts, indexes):
    order = create_sale()
    order.reach(101)
    with reverts("WrongShares", copyId=order.copy_id):
        prove_shares(market, order, indexes)


def test_as_many_shares_as_leaves(create_sale, market, buyer, reverts):
    order = create_sale()
    order.reach(101)
    leaves = [astuple(order.open_leaf(index)) for index in (0, 1)]
    for shares in ([order.share(0)], [order.share(0)] * 3):
        with reverts("WrongShares", copyId=order.copy_id):
            market.proveBadShares(*order.args, leaves, shares, sender=buyer)


def test_shares_are_those_committed_to(create_sale, market, reverts):
    order = create_sale()
    order.reach(101)
    with reverts("WrongShares", copyId=order.copy_id):
        prove_shares(market, order, (0, 1), share1=keccak(b"?"))


def test_shares_are_of_one_secret(create_sale, market, alice, reverts):
    """Two hashes of the secret are a contradiction of the leaves."""
    shares = [keccak(b"x%d" % i) for i in range(3)]
    order = create_sale(leaves=odd_leaves(alice, shares, secrets=(b"s", b"t", b"s")))
    order.item.shares.update({(0, i): one for i, one in enumerate(shares)})
    order.reach(101)
    with reverts("WrongShares", copyId=order.copy_id):
        prove_shares(market, order, (0, 1))


def test_attack_shares_proved_wrong_before_the_gate(create_sale, market, alice, bob, reverts):
    """A seller who is the buyer, too, must not end a sale in front of slow deliverers."""
    shares = [keccak(b"x%d" % i) for i in range(3)]
    order = create_sale(leaves=odd_leaves(alice, shares))
    order.item.shares.update({(0, i): one for i, one in enumerate(shares)})
    order.deliver(0, 1)
    order.reach(99)
    gate = {"copyId": order.copy_id, "gateBlock": order.block + 101}
    with reverts("BeforeGate", **gate):
        prove_shares(market, order, (0, 1))
    with reverts("BeforeGate", **gate):
        prove_leaves(market, order, order.open_leaf(0), order.open_leaf(1))
    prove_shares(market, order, (0, 1))


@pytest.mark.parametrize("change", [{"salt": keccak(b"?")}, {"proof": ()}], ids=str)
def test_only_leaves_of_the_item(create_sale, market, buyer, reverts, change):
    order = create_sale()
    order.reach(101)
    wrong = order.open_leaf(1, **change)
    stranger = {"copyId": order.copy_id, "index": 1}
    with reverts("PartNotInItem", **stranger):
        leaves = [astuple(order.open_leaf(0)), astuple(wrong)]
        shares = [order.share(0), order.share(1)]
        market.proveBadShares(*order.args, leaves, shares, sender=buyer)
    for two in ((order.open_leaf(0), wrong), (wrong, order.open_leaf(0))):
        with reverts("PartNotInItem", **stranger):
            prove_leaves(market, order, *two)


def test_attack_leaf_beyond_n_as_a_contradiction(create_sale, market, alice, reverts):
    leaves = odd_leaves(alice, [b"a", b"b", b"c"], (b"s", b"s", b"t"), (0, 1, 3))
    order = create_sale(leaves=leaves, parts=3)
    order.reach(101)
    with reverts("PartNotInItem", copyId=order.copy_id, index=3):
        prove_leaves(market, order, order.open_leaf(0), order.open_leaf(3))


# --------------------------------------------------------------------------------- proveBadLeaves


@pytest.mark.parametrize("odd", ["index", "secret"])
@pytest.mark.parametrize("turned", [False, True])
def test_leaves_at_odds(create_sale, market, alice, odd, turned):
    secrets, indexes = ((b"s", b"s", b"s"), (0, 0, 1))
    if odd == "secret":
        secrets, indexes = ((b"s", b"t", b"s"), (0, 1, 2))
    leaves = odd_leaves(alice, [b"a", b"b", b"c"], secrets, indexes)
    order = create_sale(leaves=leaves)
    order.reach(101)
    two = [leaf_of(order, leaf) for leaf in leaves[:2]]
    prove_leaves(market, order, *(two[::-1] if turned else two))
    assert order.status == Status.REFUNDED


def leaf_of(order, leaf):
    words = (leaf.index, leaf.deliverer, leaf.commitment, leaf.secret_hash, leaf.salt)
    return Leaf(*words, order.item.parts.proof(part_leaf(leaf)))


def test_attack_leaves_that_say_the_same(create_sale, market, reverts):
    """Of two indices and one secret; or one leaf, twice."""
    order = create_sale()
    order.reach(101)
    one, other = order.open_leaf(0), order.open_leaf(1)
    for two in ((one, other), (one, one), (other, other)):
        with reverts("NothingProved", copyId=order.copy_id):
            prove_leaves(market, order, *two)


@pytest.mark.parametrize("name", ["seller", "stranger", "arbitrator"])
def test_faults_by_the_buyer_alone(create_sale, market, request, reverts, name):
    order, caller = create_sale(), request.getfixturevalue(name)
    order.reach(101)
    with reverts("NotAllowed", caller=caller):
        prove_shares(market, order, (0, 1), sender=caller)
    with reverts("NotAllowed", caller=caller):
        prove_leaves(market, order, order.open_leaf(0), order.open_leaf(1), sender=caller)


def test_faults_only_of_an_open_sale(create_complete_sale, market, buyer, reverts):
    order = create_complete_sale()
    market.confirm(*order.args, sender=buyer)
    ended = {"copyId": order.copy_id, "status": Status.SETTLED}
    with reverts("WrongStatus", **ended):
        prove_shares(market, order, (0, 1))
    with reverts("WrongStatus", **ended):
        prove_leaves(market, order, order.open_leaf(0), order.open_leaf(1))


def test_faults_of_another_escrow(create_sale, market, buyer, reverts):
    order = create_sale()
    order.reach(101)
    wrong = replace(order, escrow=replace(order.escrow, penalty=50 * ETHER))
    with reverts("WrongEscrow", copyId=order.copy_id):
        prove_shares(market, wrong, (0, 1))
    with reverts("WrongEscrow", copyId=order.copy_id):
        prove_leaves(market, wrong, order.open_leaf(0), order.open_leaf(1))
