"""The signature of a list: see test_signatures.tree."""

from dataclasses import astuple, replace

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data

from dam.crypto.hashing import domain_separator, fragments_digest, keccak
from dam.ethereum.compact_signature import recover, sign_digest
from dam.types import Address
from tests.contracts.sales import entry_of, key_of, key_of_account, separator, signed

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
TYPES = {
    "EIP712Domain": [
        {"name": "name", "type": "string"},
        {"name": "version", "type": "string"},
        {"name": "chainId", "type": "uint256"},
        {"name": "verifyingContract", "type": "address"},
    ],
    "Fragments": [{"name": "entries", "type": "bytes32[]"}],
}


@pytest.fixture
def send(market, stranger):
    """One part with any signature."""

    def call(delivery, signature):
        return market.deliverFragment(astuple(delivery), signature, sender=stranger)

    return call


def test_as_any_wallet_signs_typed_data(create_sale, market, send, alice):
    order = create_sale()
    part = order.delivery(0)
    message = {
        "types": TYPES,
        "primaryType": "Fragments",
        "domain": {
            "name": "DAM",
            "version": "2",
            "chainId": market.provider.chain_id,
            "verifyingContract": market.address,
        },
        "message": {"entries": [entry_of(part)]},
    }
    made = Account.sign_message(encode_typed_data(full_message=message), alice.private_key)
    vs = made.s | (made.v - 27) << 255
    send(part, (made.r.to_bytes(32, "big"), vs.to_bytes(32, "big")))
    assert order.state.delivered == 1


def test_attack_signature_turned(create_sale, market, send, alice, reverts):
    """Of two signatures of one key, the one with the high s is refused."""
    order = create_sale()
    part = order.delivery(0)
    r, vs = signed(market, alice, [part])
    number = int.from_bytes(vs, "big")
    s, parity = number & (2**255 - 1), number >> 255
    high = ORDER - s
    turned = (high | (1 - parity) << 255) & (2**256 - 1)
    # The highest s do not even fit beside the parity; those that do are refused.
    if high < 2**255:
        with reverts("InvalidSignature"):
            send(part, (r, turned.to_bytes(32, "big")))
    for wrong in (ORDER // 2 + 1, 2**255 - 1):
        with reverts("InvalidSignature"):
            send(part, (r, (wrong | parity << 255).to_bytes(32, "big")))


@pytest.mark.parametrize("zero", ["r", "s", "both"])
def test_attack_signature_of_nobody(create_sale, market, send, alice, reverts, zero):
    order = create_sale()
    part = order.delivery(0)
    r, vs = signed(market, alice, [part])
    bad = {"r": (bytes(32), vs), "s": (r, bytes(32)), "both": (bytes(32), bytes(32))}[zero]
    with reverts("InvalidSignature"):
        send(part, bad)


def other_signer(market, part, digest, account):
    """Who would have signed the part, by a signature of another digest."""
    signature = sign_digest(key_of_account(account), digest)
    entries = [entry_of(part)]
    return recover(fragments_digest(separator(market), entries), signature), astuple(signature)


@pytest.mark.parametrize("odd", ["chain", "market", "list", "twice", "nothing"])
def test_attack_signature_of_something_else(create_sale, market, send, alice, reverts, odd):
    order = create_sale()
    part = order.delivery(0)
    mine = entry_of(part)
    chain, here = int(market.provider.chain_id), Address(market.address)
    digest = {
        "chain": fragments_digest(domain_separator(chain + 1, here), [mine]),
        "market": fragments_digest(domain_separator(chain, Address(alice.address)), [mine]),
        "list": fragments_digest(separator(market), [mine, keccak(b"another")]),
        "twice": fragments_digest(separator(market), [mine, mine]),
        "nothing": fragments_digest(separator(market), []),
    }[odd]
    signer, signature = other_signer(market, part, digest, alice)
    with reverts("NotYourPart", deliverer=alice, signer=signer):
        send(part, signature)


@pytest.mark.parametrize("field", ["copy_id", "sale", "leaf", "fresh_key", "fragment"])
def test_attack_entry_that_differs_in_one_field(
    create_item, create_sale, market, send, alice, reverts, field
):
    """A seller or a buyer frames nobody with another leaf, another key, another sale."""
    item = create_item()
    order, other = create_sale(item, copy=0), create_sale(item, copy=1)
    part = order.delivery(0)
    changes = {
        "copy_id": {"copy_id": other.copy_id},
        "sale": {"sale": other.sale},
        "leaf": {"salt": keccak(b"another")},
        "fresh_key": {"fresh_key": key_of(3)},
        "fragment": {"fragment": b"\x09" * 80},
    }[field]
    digest = fragments_digest(separator(market), [entry_of(replace(part, **changes))])
    signer, signature = other_signer(market, part, digest, alice)
    with reverts("NotYourPart", deliverer=alice, signer=signer):
        send(part, signature)


@pytest.mark.parametrize("function", ["deliverFragments", "supplyFragments"])
def test_a_list_is_signed_in_its_order(create_sale, market, watchdog, stranger, reverts, function):
    order = create_sale()
    if function == "supplyFragments":
        order.deliver(0, 1)
    order.reach(101)
    parts = [order.delivery(0), order.delivery(1)]
    turned = signed(market, watchdog, parts[::-1])
    call = getattr(market, function)
    with reverts("NothingDelivered"):
        call([astuple(one) for one in parts], turned, sender=stranger)
    with reverts("InvalidSignature"):
        call([astuple(one) for one in parts], (bytes(32), bytes(32)), sender=stranger)
    call([astuple(one) for one in parts], signed(market, watchdog, parts), sender=stranger)
