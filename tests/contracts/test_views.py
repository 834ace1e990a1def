"""The views: see test_views.tree."""

import base64
import hashlib

import pytest

from dam.crypto.hashing import keccak, sale_hash
from dam.types import ZERO_ADDRESS

ETHER = 10**18


def test_a_copy_never_sold(market):
    assert tuple(market.sales(keccak(b"none"))) == (0, 0, 0, 0, bytes(24))


def test_a_sale_through_its_states(create_sale, market, arbitrator):
    order = create_sale()
    commitment = sale_hash(order.sale)[:24]
    assert tuple(market.sales(order.copy_id)) == (1, 0, 0, 0, commitment)
    order.reach(7)
    order.deliver(2)
    assert tuple(market.sales(order.copy_id)) == (1, 0b100, 1, 0, commitment)
    order.deliver(0)
    assert tuple(market.sales(order.copy_id)) == (2, 0b101, 2, 8, commitment)
    order.reach(101)
    order.deliver(1, sender=order.item.seller)
    assert tuple(market.sales(order.copy_id)) == (2, 0b111, 2, 101, commitment)
    order.reach(150)
    order.dispute()
    assert tuple(market.sales(order.copy_id)) == (3, 0b111, 2, 150, commitment)
    order.reach(160)
    market.resolveDispute(*order.args, 1, False, sender=arbitrator)
    assert tuple(market.sales(order.copy_id)) == (6, 0b111, 2, 160, commitment)


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
