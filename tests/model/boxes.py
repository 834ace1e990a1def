"""Sealed boxes that somebody may sign, good and bad, and Curve25519 by its affine formulas."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, field

from nacl import bindings as sodium
from nacl.exceptions import CryptoError

from dam.crypto.hashing import keccak

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
A = 486662
D = -121665 * pow(121666, -1, P) % P
C = 0x0F26EDF460A006BBD27B08DC03FC4F7EC5A1D3D14B7D1A82CC6E04AAFF457E06
"""C^2 = -(A + 2): x = C u / v on the Edwards form."""
Point = tuple[int, int]
NEUTRAL: Point = (0, 1)
BASE: Point = (
    15112221349535400772501151409588531511454012693041857206046113283949847762202,
    46316835694926478169428394003475163141307993866256225615783033603165251855960,
)
"""Of edwards25519 (RFC 8032, section 5.1)."""


def on_curve(u: int) -> bool:
    return pow(u**3 + A * u**2 + u, (P - 1) // 2, P) != P - 1


def root(a: int) -> int:
    """A square root of a square."""
    for found in (pow(a, (P + 3) // 8, P), pow(a, (P + 3) // 8, P) * pow(2, (P - 1) // 4, P) % P):
        if found * found % P == a % P:
            return found
    raise ValueError("no square")


def add(one: Point, other: Point) -> Point:
    (x1, y1), (x2, y2) = one, other
    t = D * x1 * x2 * y1 * y2
    x = (x1 * y2 + x2 * y1) * pow(1 + t, -1, P) % P
    return x, (y1 * y2 + x1 * x2) * pow(1 - t, -1, P) % P


def times(k: int, point: Point) -> Point:
    result = NEUTRAL
    for bit in f"{k:b}":
        result = add(result, result)
        if bit == "1":
            result = add(result, point)
    return result


def to_edwards(u: int, v: int) -> Point:
    return C * u * pow(v, -1, P) % P, (u - 1) * pow(u + 1, -1, P) % P


def from_edwards(point: Point) -> tuple[int, int]:
    """u and v."""
    x, y = point
    u = (1 + y) * pow(1 - y, -1, P) % P
    return u, C * u * pow(x, -1, P) % P


def comb_table() -> bytes:
    """What `CombTable.sol` says of its entries, computed as it says it."""
    teeth = [times(8 << 36 * j, BASE) for j in range(7)]
    half, entries = pow(2, -1, P), []
    for i in range(128):
        x, y = NEUTRAL
        for j in range(7):
            if i >> j & 1:
                x, y = add((x, y), teeth[j])
        entries += [(y + x) * half % P, (y - x) * half % P, D * x * y % P]
    return b"".join(entry.to_bytes(32, "big") for entry in entries)


@dataclass(frozen=True)
class Case:
    """What a prover brings, and what libsodium makes of it."""

    key: bytes
    secret: bytes = field(repr=False)
    fragment: bytes
    commitment: bytes
    kind: str

    @property
    def junk(self) -> bool:
        """Whether libsodium opens it to something else, or not at all."""
        try:
            share = sodium.crypto_box_seal_open(self.fragment, self.key, self.secret)
        except (CryptoError, RuntimeError):
            return True
        return keccak(share) != self.commitment


def a_case(dice: random.Random, kind: str) -> Case:
    """A case of one of `KINDS`: libsodium's is the last word on all of them."""
    secret, share = dice.randbytes(32), dice.randbytes(32)
    key = sodium.crypto_scalarmult_base(secret)
    fragment, commitment = sodium.crypto_box_seal(share, key), keccak(share)
    if kind == "another share":
        commitment = keccak(dice.randbytes(32))
    elif kind == "another key's":
        fragment = sodium.crypto_box_seal(share, sodium.crypto_scalarmult_base(dice.randbytes(32)))
    elif kind == "a bit":
        fragment = flipped(fragment, dice.randrange(256, 640))
    elif kind == "bytes":
        fragment = fragment[:32] + dice.randbytes(48)
    elif kind == "any point":
        fragment = sealed_from(any_point(dice), key, secret, share)
    elif kind == "any point, a bit":
        fragment = flipped(
            sealed_from(any_point(dice), key, secret, share), dice.randrange(256, 640)
        )
    return Case(key, secret, fragment, commitment, kind)


KINDS = (
    "good",
    "another share",
    "another key's",
    "a bit",
    "bytes",
    "any point",
    "any point, a bit",
)


def flipped(fragment: bytes, bit: int) -> bytes:
    changed = bytearray(fragment)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def any_point(dice: random.Random) -> bytes:
    """A canonical key on the curve, mostly not in the subgroup of the base point."""
    while True:
        u = dice.randrange(2, P - 1)
        if on_curve(u):
            return u.to_bytes(32, "little")


def sealed_from(ephemeral: bytes, key: bytes, secret: bytes, share: bytes) -> bytes:
    """A box that opens with the secret, whatever the ephemeral key is: nobody needs to know its
    logarithm who knows the receiver's."""
    nonce = hashlib.blake2b(ephemeral + key, digest_size=24).digest()
    shared = sodium.crypto_box_beforenm(ephemeral, secret)
    return ephemeral + sodium.crypto_secretbox(share, nonce, shared)
