"""Hints: what a prover computes so that the contract opens a box cheaply (``IMarketplace.Hint``).

The contract believes none of it, and reverts if it is wrong. Opening a box with a hint of two
half-size scalars costs about 110,000 gas, by the plain ladder 100,000 more.
"""

from __future__ import annotations

from dam.crypto import curve25519
from dam.crypto.curve25519 import P, half_size_pair, right_side, square_root
from dam.crypto.sealing import check_public_key
from dam.errors import Malformed
from dam.types import FRAGMENT_BYTES, Hint

HALF_SIZE, OFF_CURVE, LADDER = range(3)
"""Kinds of hints, as in ``Hint.kind``."""
_NONE = Hint(LADDER, 0, 0, 0, 0)
_DIGITS = curve25519.HALF_BITS // 2


def make_hint(fragment: bytes, secret: bytes) -> Hint:
    """The cheapest hint with which a fragment is opened, or shown to be junk, on chain.

    Args:
        fragment: Any bytes that somebody signed.
        secret: X25519 secret of the key that the fragment should be sealed to, 32 bytes.
    """
    if len(fragment) != FRAGMENT_BYTES or not _is_proper(fragment[:32]):
        return _NONE  # junk whatever the hint is
    u = curve25519.decode(fragment[:32])
    if not curve25519.is_on_curve(u):
        # 2 is no square modulo P, and neither is the right side: half of it is one.
        witness = square_root(right_side(u) * pow(2, -1, P) % P)
        assert witness is not None
        return Hint(OFF_CURVE, witness, 0, 0, 0)
    pair = half_size_pair(secret)
    if pair is None:
        return _NONE
    a, b = pair
    # a 8E + |b| Q = 0, where 8E k' = kE and a = b k': so Q = -kE, or kE if b is negative.
    point = curve25519.multiple(curve25519.clamp(secret), u, negative=b > 0)
    return Hint(HALF_SIZE, point.v_e, point.u_q, point.v_q, _interleaved(a, abs(b)))


def _is_proper(key: bytes) -> bool:
    try:
        check_public_key(key)
    except Malformed:
        return False
    return True


def _interleaved(a: int, b: int) -> int:
    """64 digits of 4 bits: two bits of b over two bits of a."""
    return sum(((b >> 2 * i & 3) << 2 | a >> 2 * i & 3) << 4 * i for i in range(_DIGITS))
