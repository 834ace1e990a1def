"""Announced keys: who has one shows it, for one operator of one market."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from dam.crypto import possession, sealing
from dam.crypto.hashing import checksum
from dam.errors import Malformed
from tests.unit.helpers.structs import addresses, bytes32, uint256

MARKET, OPERATOR = checksum(b"\xaa" * 20), checksum(b"\xbb" * 20)


@given(bytes32, uint256, addresses, addresses)
def test_what_is_signed_and_how(seed: bytes, chain: int, market: str, operator: str) -> None:
    message = b"DAM deliverer key 2" + chain.to_bytes(32, "big")
    message += bytes.fromhex(market[2:]) + bytes.fromhex(operator[2:])
    key = SigningKey(seed)
    signature = possession.prove_possession(seed, chain, market, operator)
    assert signature == key.sign(message).signature
    assert possession.announced_key(seed) == bytes(key.verify_key)
    found = possession.sealing_key(bytes(key.verify_key), signature, chain, market, operator)
    assert found == bytes(key.verify_key.to_curve25519_public_key())
    assert found == sealing.public_key(possession.sealing_secret(seed))


def test_the_sealing_secret_is_what_signs() -> None:
    """RFC 8032, section 5.1.5: the clamped first half of SHA-512 of the seed."""
    scalar = bytearray(hashlib.sha512(bytes(32)).digest()[:32])
    scalar[0] &= 248
    scalar[31] = scalar[31] & 127 | 64
    assert possession.sealing_secret(bytes(32)) == bytes(scalar)


@pytest.mark.parametrize("change", ["chain", "market", "operator", "key", "signature", "short"])
def test_another_place_key_or_signature(change: str) -> None:
    seed = b"\x05" * 32
    key = possession.announced_key(b"\x06" * 32 if change == "key" else seed)
    signature = possession.prove_possession(seed, 1, MARKET, OPERATOR)
    if change == "signature":
        signature = bytes([signature[0] ^ 1]) + signature[1:]
    place = (
        2 if change == "chain" else 1,
        OPERATOR if change == "market" else MARKET,
        MARKET if change == "operator" else OPERATOR,
    )
    with pytest.raises(Malformed):
        possession.sealing_key(key, signature[: 63 if change == "short" else 64], *place)


LOW_ORDER = [
    bytes(32),
    b"\x01" + bytes(31),
    (2**255 - 20).to_bytes(32, "little"),
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
]
"""Of Ed25519; a signature under such a key can be made without any secret."""


@given(st.sampled_from(LOW_ORDER), st.sampled_from([bytes(64), b"\x01" + bytes(63)]))
def test_keys_of_low_order_count_for_nobody(key: bytes, signature: bytes) -> None:
    with pytest.raises(Malformed):
        possession.sealing_key(key, signature, 1, MARKET, OPERATOR)
