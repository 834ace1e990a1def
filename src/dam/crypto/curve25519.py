"""Arithmetic on Curve25519, v^2 = u^3 + A u^2 + u, for those who prove that a fragment is junk.

Points are multiplied on the Edwards form -x^2 + y^2 = 1 + d x^2 y^2 (RFC 7748, section 4.1;
addition as in RFC 8032, section 5.1.4), with x = c u / v and y = (u - 1) / (u + 1). Whole numbers,
not in constant time: for one-time keys whose secret is about to be published. Nothing else belongs
here; libsodium does the rest.
"""

from __future__ import annotations

from typing import NamedTuple

P = 2**255 - 19
"""Prime of the field."""
L = 2**252 + 27742317777372353535851937790883648493
"""Prime order of the base point; the whole group has 8 L elements."""
A = 486662
HALF_BITS = 128
"""Size of the two scalars of a half-size pair."""
_D = -121665 * pow(121666, -1, P) % P
_ROOT_OF_MINUS_1 = pow(2, (P - 1) // 4, P)


def square_root(value: int) -> int | None:
    """A square root modulo P, or None if there is none."""
    root = pow(value, (P + 3) // 8, P)
    for candidate in (root, root * _ROOT_OF_MINUS_1 % P):
        if (candidate * candidate - value) % P == 0:
            return candidate
    return None


_root_of_a_plus_2 = square_root(-(A + 2) % P)
assert _root_of_a_plus_2 is not None
_C = _root_of_a_plus_2


def right_side(u: int) -> int:
    """u^3 + A u^2 + u modulo P: v^2, where u is on the curve."""
    return u * (u * (u + A) + 1) % P


def is_on_curve(u: int) -> bool:
    """Whether a point of the curve has this u coordinate (else its twist has one)."""
    return pow(right_side(u), (P - 1) // 2, P) != P - 1


def decode(key: bytes) -> int:
    """The u coordinate of a canonical key (RFC 7748, section 5)."""
    return int.from_bytes(key, "little")


def clamp(secret: bytes) -> int:
    """The scalar that X25519 makes of 32 bytes (RFC 7748, section 5): a multiple of 8."""
    return int.from_bytes(secret, "little") & (2**254 - 8) | 2**254


def half_size_pair(secret: bytes) -> tuple[int, int] | None:
    """Two short scalars in place of a long one: a and b with a = b k' modulo L, where 8 k' = k.

    Euclid's algorithm on L and k' passes through all pairs of this kind with a b < L.

    Args:
        secret: 32 bytes, clamped here to k.

    Returns:
        ``0 <= a < 2^128`` and ``b`` odd, ``|b| < 2^128``; None for one secret in 40, which has none
        on the way.
    """
    before, a = L, clamp(secret) >> 3
    b_before, b = 0, 1
    while abs(b) >> HALF_BITS == 0:
        if a >> HALF_BITS == 0 and b & 1:
            return a, b
        quotient = before // a
        before, a = a, before - quotient * a
        b_before, b = b, b_before - quotient * b
    return None


class Multiple(NamedTuple):
    """A point E and k E, as points with both coordinates."""

    v_e: int
    u_q: int
    v_q: int
    """Of k E or, if ``negative``, of -k E."""


def multiple(k: int, u: int, *, negative: bool) -> Multiple:
    """K times a point with the coordinate u, or its negative.

    Args:
        k: Clamped.
        u: On the curve and not of low order.
        negative: Whether to give v of -k E.
    """
    v_e = square_root(right_side(u))
    assert v_e, "the point is on the curve and not of order 2"
    x = _C * u * pow(v_e, -1, P) % P
    y = (u - 1) * pow(u + 1, -1, P) % P
    x, y = _affine(_times(k, (x, y, 1, x * y % P)))
    u_q = (1 + y) * pow(1 - y, -1, P) % P
    v_q = _C * u_q * pow(x, -1, P) % P
    return Multiple(v_e, u_q, -v_q % P if negative else v_q)


_Point = tuple[int, int, int, int]
"""Extended coordinates: x = X / Z, y = Y / Z, x y = T / Z."""


def _times(k: int, point: _Point) -> _Point:
    result = (0, 1, 1, 0)
    for bit in f"{k:b}":
        result = _add(result, result)
        if bit == "1":
            result = _add(result, point)
    return result


def _add(one: _Point, other: _Point) -> _Point:
    x1, y1, z1, t1 = one
    x2, y2, z2, t2 = other
    a = (y1 - x1) * (y2 - x2) % P
    b = (y1 + x1) * (y2 + x2) % P
    c = 2 * _D * t1 * t2 % P
    d = 2 * z1 * z2 % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def _affine(point: _Point) -> tuple[int, int]:
    x, y, z, _ = point
    inverse = pow(z, -1, P)
    return x * inverse % P, y * inverse % P
