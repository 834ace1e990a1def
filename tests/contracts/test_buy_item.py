"""buyItem: see test_buy_item.tree."""

from dataclasses import astuple, replace

import pytest
from eth_abi.abi import encode

from dam.crypto.hashing import copy_id, keccak, sale_hash
from dam.types import ZERO_ADDRESS, Status
from tests.contracts.sales import ETHER, REFUND

GOOD_KEY = keccak(b"good")[:31] + b"\x01"
TERMS = (
    "(bytes32,address,uint128,uint128,uint128,uint128,uint64,bool,uint8,uint8,address,bytes32,"
    "bytes32)"
)
EVENT = f"ItemPurchased(bytes32,address,address,bytes32,uint64,uint64,uint64,{TERMS},bytes32[])"


@pytest.fixture
def buy(market, buyer):
    """`buyItem` of an item, with any argument changed."""

    def call(item, *, terms=None, proof=None, digest=None, copy=0, keys=None, value=None, by=buyer):
        terms = terms or item.terms
        return market.buyItem(
            item.seller,
            astuple(terms),
            item.proof if proof is None else proof,
            item.digest if digest is None else digest,
            copy,
            [GOOD_KEY] * terms.parts if keys is None else keys,
            sender=by,
            value=terms.price if value is None else value,
        )

    return call


# ------------------------------------------------------------------------------ when all is well


def test_commits_to_the_sale_in_one_word(create_sale):
    order = create_sale()
    state = order.state
    assert (state.status, state.delivered, state.since) == (Status.PURCHASED, 0, 0)
    assert (state.rated, state.marked) == (False, False)
    assert state.commitment == sale_hash(order.sale)[:24]


@pytest.mark.parametrize("stock", [False, True])
def test_event_is_what_emit_would_write(create_sale, market, seller, buyer, stock):
    order = create_sale(stock=stock, copy=3)
    terms = order.item.terms
    (log,) = order.receipt.logs
    assert [bytes(topic) for topic in log["topics"]] == [
        keccak(EVENT.encode()),
        order.copy_id,
        bytes(12) + bytes.fromhex(seller.address[2:]),
        bytes(12) + bytes.fromhex(buyer.address[2:]),
    ]
    assert bytes(log["data"]) == encode(
        ["bytes32", "uint64", "uint64", "uint64", TERMS, "bytes32[]"],
        [order.item.digest, 3, order.block, order.time, astuple(terms), order.keys],
    )


def test_copy_id(create_sale, seller):
    order = create_sale(copy=7)
    encoded = encode(
        ["address", "bytes32", "uint64"], [seller.address, order.item.terms.item_id, 7]
    )
    assert order.copy_id == keccak(encoded) == copy_id(seller.address, encoded[32:64], 7)


def test_moves_the_reserve_out_of_the_free_stake(create_sale, market, seller):
    terms = create_sale().item.terms
    # The commission's rest of 2 wei, on three parts, is taken from nobody.
    reserve = 3 * (terms.commission // 3) + terms.penalty + terms.bond
    assert reserve == terms.reserve == terms.commission - 2 + terms.penalty + terms.bond
    assert market.sellerStakes(seller) == 100 * ETHER - reserve


def test_bond_counts_as_nothing_without_an_arbitrator(create_sale, market, seller):
    terms = create_sale(arbitrator=ZERO_ADDRESS).item.terms
    assert terms.bond > 0
    assert market.sellerStakes(seller) == 100 * ETHER - terms.commission + 2 - terms.penalty


def test_change_is_credited_to_the_buyer(create_sale, market, buyer):
    create_sale(value=ETHER + 9)
    assert market.credits(buyer, ZERO_ADDRESS) == 9


def test_exact_price_leaves_no_credit(create_sale, market, buyer):
    create_sale()
    assert market.credits(buyer, ZERO_ADDRESS) == 0


@pytest.mark.parametrize(
    "terms",
    [
        {"parts": 1, "threshold": 1},
        {"parts": 32, "threshold": 32},
        {"parts": 32, "threshold": 1},
        {"commission": ETHER},
        {"price": 0, "commission": 0},
        {"price": 0, "commission": 0, "penalty": 0, "bond": 0},
        {"commission": 2},
        {"supply": 1},
    ],
    ids=str,
)
def test_takes_terms_at_their_bounds(create_sale, market, deployer, alice, bob, carol, terms):
    for deliverer in (alice, bob, carol):
        market.addDelivererStake(deliverer, sender=deployer, value=10 * ETHER)
    order = create_sale(**terms)
    assert order.status == Status.PURCHASED
    order.deliver_all()
    assert order.status == Status.COMPLETE


def test_copies_are_sold_apart(create_item, create_sale, market, stranger):
    item = create_item()
    one, two = create_sale(item, copy=0), create_sale(item, copy=99, by=stranger)
    assert one.copy_id != two.copy_id
    assert one.status == two.status == Status.PURCHASED


def test_two_sellers_may_sell_the_same_item(create_item, create_sale, market, newcomer):
    market.stakeAsSeller(sender=newcomer, value=10 * ETHER)
    one = create_sale()
    other = create_item(by=newcomer, item_id=one.item.terms.item_id)
    two = create_sale(other)
    assert one.copy_id != two.copy_id
    assert one.status == two.status == Status.PURCHASED
    assert market.sellerStakes(newcomer) == 10 * ETHER - two.item.terms.reserve


# ------------------------------------------------------------------------------------ the terms


def test_attack_document_swapped_before_the_purchase(buy, create_item, market, seller, reverts):
    item = create_item()
    swapped = keccak(b"another document")
    root = bytes(32)
    market.updateStore(swapped, root, sender=seller)
    with reverts("StoreChanged", seller=seller, read=item.digest, current=swapped):
        buy(item)


def test_attack_document_swapped_under_the_same_catalogue(
    buy, create_item, market, seller, reverts
):
    """The terms are still proved by the root: what else the document promises is not."""
    item = create_item()
    swapped = keccak(b"another document")
    market.updateStore(swapped, item.root, sender=seller)
    with reverts("StoreChanged", seller=seller, read=item.digest, current=swapped):
        buy(item)
    buy(item, digest=swapped)


def test_attack_price_swapped_before_the_purchase(buy, create_item, seller, reverts):
    """The seller raises the price in the same document's place: neither old nor new terms pass."""
    old = create_item()
    new = create_item(item_id=old.terms.item_id, price=2 * ETHER)
    with reverts("StoreChanged", seller=seller, read=old.digest, current=new.digest):
        buy(old)
    with reverts("TermsNotInCatalogue", seller=seller, itemId=old.terms.item_id):
        buy(old, digest=new.digest)


@pytest.mark.parametrize(
    "change",
    [
        {"item_id": keccak(b"?")},
        {"price": ETHER - 1},
        {"commission": 0},
        {"penalty": 10 * ETHER},
        {"bond": 0},
        {"supply": 101},
        {"stock": True},
        {"parts": 4},
        {"threshold": 1},
        {"arbitrator": ZERO_ADDRESS},
        {"parts_root": keccak(b"?")},
        {"salt": keccak(b"?")[:24] + bytes(8)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_attack_terms_of_the_buyers_own_making(buy, create_item, seller, reverts, change):
    item = create_item()
    terms = replace(item.terms, **change)
    with reverts("TermsNotInCatalogue", seller=seller, itemId=terms.item_id):
        buy(item, terms=terms)


def test_proof_must_lead_to_the_root(buy, create_item, seller, reverts):
    item = create_item()
    refused = {"seller": seller, "itemId": item.terms.item_id}
    for proof in ((), item.proof[:-1], (*item.proof, bytes(32)), item.proof[::-1]):
        with reverts("TermsNotInCatalogue", **refused):
            buy(item, proof=proof)


def test_a_store_with_root_zero_sells_nothing(buy, create_item, market, seller, reverts):
    item = create_item()
    market.updateStore(item.digest, bytes(32), sender=seller)
    with reverts("StoreClosed", seller=seller):
        buy(item)


def test_one_without_a_store_sells_nothing(buy, create_item, market, stranger, reverts):
    item = replace(create_item(), seller=stranger)
    with reverts("StoreChanged", seller=stranger, read=item.digest, current=bytes(32)):
        buy(item)
    with reverts("TermsNotInCatalogue", seller=stranger, itemId=item.terms.item_id):
        buy(item, digest=bytes(32))
    with reverts("TermsNotInCatalogue", seller=stranger, itemId=item.terms.item_id):
        buy(item, digest=bytes(32), proof=())


@pytest.mark.parametrize(
    "terms",
    [
        {"threshold": 0},
        {"threshold": 4},
        {"parts": 0, "threshold": 0},
        {"parts": 0, "threshold": 1},
        {"parts": 33, "threshold": 33},
        {"parts": 33, "threshold": 1},
        {"parts": 255, "threshold": 2},
        {"commission": ETHER + 1},
        {"price": 0, "commission": 1},
    ],
    ids=str,
)
def test_attack_terms_that_would_lock_the_escrow(buy, create_item, reverts, terms):
    """k > n, more parts than there are bits, a fee above the price."""
    item = create_item(**terms)
    with reverts("InvalidTerms", itemId=item.terms.item_id):
        buy(item)


def test_a_token_without_code(buy, create_item, stranger, reverts):
    # In a token the commission, in wei, has nothing to do with the price.
    item = create_item(token=stranger.address, price=1)
    with reverts("TokenTransferFailed", token=stranger):
        buy(item, value=0)


def test_no_coins_beside_a_token(buy, create_item, stranger, reverts):
    item = create_item(token=stranger.address, price=5)
    with reverts("CoinsWithToken", value=5):
        buy(item, value=5)


@pytest.mark.parametrize("name", ["seller", "buyer"])
def test_attack_judge_in_his_own_cause(buy, create_item, request, reverts, name):
    judge = request.getfixturevalue(name)
    item = create_item(arbitrator=judge.address)
    with reverts("InvalidArbitrator", arbitrator=judge):
        buy(item)


def test_copy_below_the_supply(buy, create_item, reverts):
    item = create_item(supply=3)
    for copy in (3, 4, 2**64 - 1):
        with reverts("CopyBeyondSupply", copy=copy, supply=3):
            buy(item, copy=copy)
    buy(item, copy=2)


@pytest.mark.parametrize("random_part", [bytes(24), keccak(b"salt")[:24]])
def test_a_sealed_offer_is_for_one_copy(buy, create_item, reverts, random_part):
    item = create_item(salt=random_part + (7).to_bytes(8, "big"), supply=99)
    for copy in (0, 6, 8):
        with reverts("SealedForAnotherCopy", copy=copy, sealedFor=7):
            buy(item, copy=copy)
    buy(item, copy=7)


def test_a_sealed_offer_for_the_first_copy(buy, create_item, reverts):
    item = create_item(salt=keccak(b"salt")[:24] + bytes(8))
    with reverts("SealedForAnotherCopy", copy=1, sealedFor=0):
        buy(item, copy=1)
    buy(item, copy=0)


def test_nothing_for_sale(buy, create_item, reverts):
    item = create_item(supply=0)
    with reverts("CopyBeyondSupply", copy=0, supply=0):
        buy(item)


def test_a_copy_is_sold_once(buy, create_sale, stranger, reverts):
    order = create_sale(copy=5)
    with reverts("CopyTaken", itemId=order.item.terms.item_id, copy=5):
        buy(order.item, copy=5, by=stranger)


@pytest.mark.parametrize("end", ["settled", "refunded", "resolved"])
def test_a_copy_is_burned(buy, create_sale, market, buyer, arbitrator, reverts, end):
    order = create_sale()
    if end == "refunded":
        order.wait(REFUND + 1)
        market.refund(*order.args, sender=buyer)
    else:
        order.deliver_all()
        if end == "resolved":
            order.dispute()
            market.resolveDispute(*order.args, ETHER, True, sender=arbitrator)
        else:
            market.confirm(*order.args, sender=buyer)
    with reverts("CopyTaken", itemId=order.item.terms.item_id, copy=0):
        buy(order.item)


# ------------------------------------------------------------------------ what the buyer brings


@pytest.mark.parametrize("paid", [0, ETHER - 1])
def test_attack_underpayment(buy, create_item, reverts, paid):
    item = create_item()
    with reverts("Underpaid", paid=paid, price=ETHER):
        buy(item, value=paid)


@pytest.mark.parametrize("count", [0, 2, 4])
def test_one_key_per_part(buy, create_item, reverts, count):
    item = create_item()
    with reverts("WrongKeyCount", keys=count, parts=3):
        buy(item, keys=[GOOD_KEY] * count)


LOW_ORDER_OR_NOT_CANONICAL = {
    "zero": bytes(32),
    "one": bytes([1]) + bytes(31),
    "p-1": bytes([0xEC]) + b"\xff" * 30 + b"\x7f",
    "p": bytes([0xED]) + b"\xff" * 30 + b"\x7f",
    "p+1": bytes([0xEE]) + b"\xff" * 30 + b"\x7f",
    "top-bit": GOOD_KEY[:31] + b"\x80",
    "order-8": bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    "order-8-too": bytes.fromhex(
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"
    ),
}


@pytest.mark.parametrize("place", [0, 2])
@pytest.mark.parametrize(
    "key", LOW_ORDER_OR_NOT_CANONICAL.values(), ids=LOW_ORDER_OR_NOT_CANONICAL.keys()
)
def test_attack_low_order_buyer_key(buy, create_item, reverts, key, place):
    item = create_item()
    keys = [GOOD_KEY] * 3
    keys[place] = key
    with reverts("InvalidKey", key=key):
        buy(item, keys=keys)


# ------------------------------------------------------------------------------------ the stake


def test_attack_one_stake_behind_many_sales(buy, create_item, market, seller, reverts):
    """Each sale binds its own R; the one that is not covered is refused, to the wei."""
    item = create_item()
    reserve = item.terms.reserve
    market.withdrawSellerStake(100 * ETHER - 2 * reserve - 1, seller, sender=seller)
    buy(item, copy=0)
    buy(item, copy=1)
    with reverts("SellerStakeTooLow", seller=seller, free=1, needed=reserve):
        buy(item, copy=2)
    market.stakeAsSeller(sender=seller, value=reserve - 2)
    with reverts("SellerStakeTooLow", seller=seller, free=reserve - 1, needed=reserve):
        buy(item, copy=2)
    market.stakeAsSeller(sender=seller, value=1)
    buy(item, copy=2)
    assert market.sellerStakes(seller) == 0


def test_amounts_at_their_widest(buy, create_item, market, buyer, seller, reverts, fund):
    """A reserve beyond any stake reverts by the rule, not by arithmetic."""
    most = 2**128 - 1
    price = 2**100
    item = create_item(price=price, commission=price, penalty=most, bond=most, parts=32)
    fund(buyer, 2 * price)
    free = market.sellerStakes(seller)
    needed = 32 * (price // 32) + 2 * most
    with reverts("SellerStakeTooLow", seller=seller, free=free, needed=needed):
        buy(item)
