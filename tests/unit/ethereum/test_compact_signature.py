"""Two-word signatures: eth_account's, with one form for each."""

from __future__ import annotations

import pytest
from coincurve import PrivateKey
from eth_account import Account
from hypothesis import given

from dam.crypto.hashing import keccak
from dam.errors import Malformed
from dam.ethereum.compact_signature import _ORDER, compact, recover, sign_digest
from dam.types import Signature
from tests.unit.helpers.structs import bytes32

KEY = keccak(b"some account")
ACCOUNT = Account.from_key(KEY)


@given(bytes32)
def test_they_are_eth_accounts(digest: bytes) -> None:
    found = sign_digest(PrivateKey(KEY), digest)
    other = Account.unsafe_sign_hash(digest, KEY)
    vs = int.from_bytes(found.vs, "big")
    assert int.from_bytes(found.r, "big") == other.r
    assert (vs & (2**255 - 1), vs >> 255) == (other.s, other.v - 27)
    assert recover(digest, found) == ACCOUNT.address


@pytest.mark.parametrize("parity", [0, 1])
def test_a_high_s_is_refused(parity: int) -> None:
    """Else each signature had a second form."""
    r = sign_digest(PrivateKey(KEY), bytes(32)).r
    low, high = (
        Signature(r, (_ORDER // 2 + n | parity << 255).to_bytes(32, "big")) for n in (0, 1)
    )
    assert recover(bytes(32), low)
    with pytest.raises(Malformed, match="low s"):
        recover(bytes(32), high)


@pytest.mark.parametrize(
    ("r", "vs"),
    [
        (bytes(32), bytes(32)),
        (bytes(32), b"\x01" * 32),
        (b"\xff" * 32, b"\x01" * 32),
        (b"\x01" * 32, bytes(32)),
        (b"\x01" * 31, b"\x01" * 32),
        (b"\x01" * 32, b"\x01" * 33),
    ],
)
def test_what_is_nobodys(r: bytes, vs: bytes) -> None:
    with pytest.raises(Malformed):
        recover(bytes(32), Signature(r, vs))


def test_another_digest_is_somebody_elses() -> None:
    found = sign_digest(PrivateKey(KEY), bytes(32))
    assert recover(b"\x01" * 32, found) != ACCOUNT.address


def test_two_words_are_made_of_three() -> None:
    key = PrivateKey(b"\x07" * 32)
    for digest in (keccak(b"%d" % number) for number in range(8)):
        signed = key.sign_recoverable(digest, hasher=None)
        assert compact(27 + signed[64], signed[:32], signed[32:64]) == sign_digest(key, digest)
    good = (27, signed[:32], signed[32:64])
    for changes in ({0: 26}, {0: 29}, {1: b"r"}, {2: b"s"}, {2: b"\x80" + bytes(31)}):
        with pytest.raises(Malformed, match="a signature is r, a low s, and v of 27 or 28"):
            compact(*(changes.get(place, value) for place, value in enumerate(good)))
