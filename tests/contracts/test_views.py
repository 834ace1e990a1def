"""The views: see test_views.tree."""

import base64
import hashlib
from dataclasses import astuple, replace

import pytest
from ape.exceptions import ContractLogicError

from dam.crypto.hashing import keccak, sale_hash
from dam.types import ZERO_ADDRESS
from tests.contracts.sales import (
    ARBITRATION,
    DELIVERY,
    DISPUTE,
    PROOF,
    REFUND,
    WORKED,
    entry_of,
    key_of,
    separator,
)


def test_a_copy_never_sold(market):
    assert tuple(market.sales(keccak(b"none"))) == (0, 0, 0, False, False, bytes(24))


def test_a_sale_through_its_states(create_sale, market, arbitrator):
    order = create_sale()
    commitment = sale_hash(order.sale)[:24]
    assert tuple(market.sales(order.copy_id)) == (1, 0, 0, False, False, commitment)
    order.reach(7)
    order.deliver(2)
    assert tuple(market.sales(order.copy_id)) == (1, 0b100, 0, False, False, commitment)
    order.deliver(0)
    assert tuple(market.sales(order.copy_id)) == (2, 0b101, 8, False, False, commitment)
    order.reach(101)
    order.deliver(1, by=order.item.seller)
    assert tuple(market.sales(order.copy_id)) == (2, 0b111, 101, False, False, commitment)
    order.reach(150)
    order.dispute()
    assert tuple(market.sales(order.copy_id)) == (3, 0b111, 150, False, False, commitment)
    order.reach(160)
    market.resolveDispute(*order.args, 1, False, sender=arbitrator)
    assert tuple(market.sales(order.copy_id)) == (6, 0b111, 160, False, False, commitment)
    market.rateSale(*order.args[:2], 4, sender=order.buyer)
    assert tuple(market.sales(order.copy_id)) == (6, 0b111, 160, True, False, commitment)


def test_marks_and_entries(create_sale, market, seller):
    order = create_sale()
    assert tuple(market.marks(order.copy_id)) == (0, 0, bytes(24))
    assert market.sellerEntries(order.copy_id, 1) == bytes(32)
    order.deliver(0, 1, 2)
    order.prove(order.delivery(1), order.delivery(2), fresh_key=key_of(7))
    key = keccak(key_of(7))[:24]
    assert tuple(market.marks(order.copy_id)) == (0b110, 0b110, key)
    assert order.state.marked
    order.reach(101)
    part = order.good(1, key_of(7))
    order.send(part, by=seller)
    assert market.sellerEntries(order.copy_id, 1) == entry_of(part)
    assert tuple(market.marks(order.copy_id)) == (0b110, 0b110, key)


def test_clock(market, clock):
    clock.mine(3)
    assert tuple(market.clock()) == (clock.head, clock.now)


def test_domain_separator(market):
    assert market.DOMAIN_SEPARATOR() == separator(market)


def test_deadlines_through_the_states(create_sale, market, seller):
    order = create_sale()
    start, block = order.time, order.block
    always = (block + 101, start + DELIVERY)

    def now():
        return tuple(market.deadlines(*order.args[:2]))

    purchased = (*always, start + PROOF, start + REFUND, start + REFUND + 1, 0, 0, 0, 0)
    assert now() == purchased
    order.deliver(0, 1)
    last = start + 2 + DISPUTE
    assert now() == (*always, start + PROOF, start + REFUND, 0, last, 0, 0, last + 1)
    order.reach(101)
    order.dispute()
    ruling = start + 101 + ARBITRATION
    paid = start + 101 + WORKED
    assert now() == (*always, 0, start + REFUND, 0, 0, ruling, paid, ruling + 1)
    market.concede(*order.args, sender=seller)
    assert now() == (0,) * 9


def test_deadlines_need_the_sale(create_sale, market):
    order = create_sale()
    wrong = astuple(replace(order.sale, fee=1))
    with pytest.raises(ContractLogicError):
        market.deadlines(order.copy_id, wrong)


def test_strangers_have_nothing(market, stranger):
    assert market.sellerStakes(stranger) == 0
    assert market.sellerOperator(stranger) == ZERO_ADDRESS
    assert market.sellerStoreCID(stranger) == ""
    assert tuple(market.stores(stranger)) == (bytes(32), bytes(32))
    assert market.delivererStakes(stranger) == 0
    assert tuple(market.deliverers(stranger)) == (ZERO_ADDRESS, 0, 0, 0, 0)
    assert market.credits(stranger, ZERO_ADDRESS) == 0


@pytest.mark.parametrize("content", [b"{}", b"store", b"\xff" * 99])
def test_cid_of_the_store(market, seller, content):
    digest = hashlib.sha256(content).digest()
    market.createStore(digest, bytes(32), sender=seller)
    # CIDv1, DAG-JSON (0x0129 as a varint), SHA2-256, 32 bytes: RFC 4648 base32, multibase "b".
    binary = bytes([0x01, 0xA9, 0x02, 0x12, 0x20]) + digest
    expected = "b" + base64.b32encode(binary).decode().lower().rstrip("=")
    assert market.sellerStoreCID(seller) == expected


def test_cid_that_kubo_prints(market, seller):
    """`ipfs block put --cid-codec=dag-json` of the two bytes {}."""
    market.createStore(hashlib.sha256(b"{}").digest(), bytes(32), sender=seller)
    assert market.sellerStoreCID(seller) == (
        "baguqeeraiqjw7i2vwntyuekgvulpp2det2kpwt6cd7tx5ayqybqpmhfk76fa"
    )


def test_cid_of_digests_at_the_edges(market, seller):
    for digest in (bytes(31) + b"\1", b"\xff" * 32, b"\x80" + bytes(31)):
        exists = market.sellerStoreCID(seller)
        (market.updateStore if exists else market.createStore)(digest, bytes(32), sender=seller)
        binary = bytes([0x01, 0xA9, 0x02, 0x12, 0x20]) + digest
        text = base64.b32encode(binary).decode().lower().rstrip("=")
        assert market.sellerStoreCID(seller) == "b" + text
