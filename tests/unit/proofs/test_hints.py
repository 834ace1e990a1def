"""Hints and verdicts, by the equations that the contract checks (tests/model has the contract)."""

from __future__ import annotations

import secrets

import pytest

from dam.crypto import curve25519
from dam.crypto.curve25519 import L, P
from dam.crypto.hashing import keccak
from dam.crypto.sealing import LOW_ORDER_KEYS, public_key, seal_fragment
from dam.errors import Malformed
from dam.proofs.hints import HALF_SIZE, LADDER, OFF_CURVE, make_hint
from dam.proofs.judging import is_junk, open_share
from dam.types import Hint

SHARE = b"s" * 32


def provable_secret() -> bytes:
    while True:
        secret = secrets.token_bytes(32)
        if curve25519.half_size_pair(secret):
            return secret


def test_the_scalars_of_a_hint_are_those_of_the_secret() -> None:
    secret = provable_secret()
    fragment = seal_fragment(SHARE, public_key(secret))
    hint = make_hint(fragment, secret)
    assert hint.kind == HALF_SIZE
    pairs = [hint.w >> shift & 3 for shift in range(0, 256, 2)]
    a, b = (sum(digit << 2 * i for i, digit in enumerate(pairs[start::2])) for start in (0, 1))
    k = curve25519.clamp(secret) >> 3
    assert b % 2 == 1
    assert (a - b * k) % L == 0 or (a + b * k) % L == 0
    u = curve25519.decode(fragment[:32])
    for coordinate, v in ((u, hint.v_e), (hint.u_q, hint.v_q)):
        assert v * v % P == curve25519.right_side(coordinate)


def test_a_key_off_the_curve_has_a_witness() -> None:
    u = next(u for u in range(2, 99) if not curve25519.is_on_curve(u))
    hint = make_hint(u.to_bytes(32, "little") + bytes(48), secrets.token_bytes(32))
    assert hint.kind == OFF_CURVE
    assert 2 * hint.v_e**2 % P == curve25519.right_side(u)


@pytest.mark.parametrize("key", [*LOW_ORDER_KEYS, P.to_bytes(32, "little"), b"\xff" * 32])
def test_what_is_junk_by_its_key_needs_no_hint(key: bytes) -> None:
    fragment = key + bytes(48)
    assert make_hint(fragment, bytes(32)) == Hint(LADDER, 0, 0, 0, 0)
    assert is_junk(fragment, bytes(32), keccak(SHARE))


@pytest.mark.parametrize("size", [0, 31, 79, 81])
def test_another_length_needs_no_hint(size: int) -> None:
    assert make_hint(bytes(size), bytes(32)) == Hint(LADDER, 0, 0, 0, 0)
    assert is_junk(bytes(size), bytes(32), keccak(SHARE))


def test_a_secret_without_a_half_size_pair_takes_the_ladder() -> None:
    secret = secrets.token_bytes(32)
    while curve25519.half_size_pair(secret):
        secret = secrets.token_bytes(32)
    assert make_hint(seal_fragment(SHARE, public_key(secret)), secret).kind == LADDER


def test_what_a_good_fragment_is() -> None:
    secret = provable_secret()
    fragment = seal_fragment(SHARE, public_key(secret))
    assert open_share(fragment, secret, keccak(SHARE)) == SHARE
    assert not is_junk(fragment, secret, keccak(SHARE))
    for junk, opener, commitment in (
        (fragment, secret, keccak(b"another")),
        (fragment, provable_secret(), keccak(SHARE)),
        (fragment[:-1] + bytes([fragment[-1] ^ 1]), secret, keccak(SHARE)),
    ):
        assert is_junk(junk, opener, commitment)
        with pytest.raises(Malformed, match=r"^it"):
            open_share(junk, opener, commitment)


def test_a_hint_does_not_print_what_gives_the_secret() -> None:
    secret = provable_secret()
    hint = make_hint(seal_fragment(SHARE, public_key(secret)), secret)
    assert str(hint.w) not in repr(hint)
    assert str(hint.u_q) not in repr(hint)
