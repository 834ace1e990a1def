"""Curve25519 in whole numbers, against libsodium and against its own equations."""

import secrets
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.bindings import crypto_scalarmult

from dam.crypto import curve25519
from dam.crypto.curve25519 import A, L, P, half_size_pair
from dam.crypto.sealing import public_key

word = st.binary(min_size=32, max_size=32)


@given(st.integers(0, P - 1))
def test_square_roots(value: int) -> None:
    root = curve25519.square_root(value)
    assert (root is None) == (pow(value, (P - 1) // 2, P) == P - 1)
    if root is not None:
        assert root * root % P == value


@given(st.integers(1, P - 1))
def test_on_the_curve_or_on_its_twist(u: int) -> None:
    right = (u**3 + A * u**2 + u) % P
    assert curve25519.right_side(u) == right
    assert curve25519.is_on_curve(u) == (curve25519.square_root(right) is not None)


def test_public_keys_are_on_the_curve() -> None:
    for _ in range(20):
        assert curve25519.is_on_curve(curve25519.decode(public_key(secrets.token_bytes(32))))
    # RFC 7748: 9 is the base point's. 2 is on the twist.
    assert curve25519.is_on_curve(9)
    assert not curve25519.is_on_curve(2)


@given(word)
def test_clamping(secret: bytes) -> None:
    k = curve25519.clamp(secret)
    assert k % 8 == 0
    assert k.bit_length() == 255
    assert public_key(k.to_bytes(32, "little")) == public_key(secret)


@given(word)
def test_half_size_pairs(secret: bytes) -> None:
    pair = half_size_pair(secret)
    if pair is None:
        return
    a, b = pair
    assert (a - b * (curve25519.clamp(secret) // 8)) % L == 0
    assert 0 <= a < 2**128
    assert abs(b) < 2**128
    assert b % 2 == 1


def test_about_one_secret_in_40_has_no_half_size_pair() -> None:
    pairs = [half_size_pair(sha256(i.to_bytes(2, "big")).digest()) for i in range(4000)]
    assert 60 < pairs.count(None) < 140


@pytest.mark.parametrize("negative", [False, True])
def test_multiples_are_libsodiums(negative: bool) -> None:
    for _ in range(10):
        secret, point = secrets.token_bytes(32), public_key(secrets.token_bytes(32))
        u = curve25519.decode(point)
        found = curve25519.multiple(curve25519.clamp(secret), u, negative=negative)
        assert found.u_q.to_bytes(32, "little") == crypto_scalarmult(secret, point)
        for coordinate, v in ((u, found.v_e), (found.u_q, found.v_q)):
            assert v * v % P == curve25519.right_side(coordinate)
    other = curve25519.multiple(curve25519.clamp(secret), u, negative=not negative)
    assert other.v_q == P - found.v_q
