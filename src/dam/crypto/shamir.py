"""Shamir's secret sharing over the prime field of p = 2^256 - 189.

A secret below p becomes n shares of 32 bytes, of which any k rebuild it and fewer tell nothing: the
share of index i is the value at x = i + 1 of a polynomial of degree k - 1 whose constant term is
the secret. p is the largest prime below 2^256, so that a share fills an EVM word and ``mulmod`` can
interpolate. Numbers are 32 bytes big-endian; values of p and above are refused, never reduced.

Why this is code of our own, and not a library's: docs/decisions/0003-shamir.md.

The coefficients come from the caller (`derivation.SellerSeed` derives them), because a seller's
watchdog has to compute the same shares again. Python's integers do not run in constant time, but
both ends that run this code hold the whole secret anyway, each on its own machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dam.errors import Malformed
from dam.types import MAX_PARTS

PRIME = 2**256 - 189


def is_element(value: bytes) -> bool:
    """Whether 32 big-endian bytes are a number below p: a possible secret, share or coefficient."""
    return len(value) == 32 and int.from_bytes(value, "big") < PRIME


def _element(value: bytes, what: str) -> int:
    if not is_element(value):
        raise Malformed(f"a {what} is 32 bytes and below 2^256 - 189")
    return int.from_bytes(value, "big")


def _check_counts(k: int, n: int) -> None:
    if not 1 <= k <= n <= MAX_PARTS:
        raise Malformed(f"{k}-of-{n} is not between 1-of-1 and {MAX_PARTS}-of-{MAX_PARTS}")


def split(secret: bytes, k: int, n: int, coefficients: Sequence[bytes]) -> list[bytes]:
    """Splits a secret into n shares, any k of which rebuild it.

    Args:
        secret: 32 bytes below p.
        k: Threshold, 1 to n.
        n: Number of shares, k to 32.
        coefficients: k - 1 of 32 bytes below p, of x^1, x^2 ...; uniform, secret, and never used
            for another secret or another k and n.

    Raises:
        Malformed: An argument is out of its range.
    """
    _check_counts(k, n)
    if len(coefficients) != k - 1:
        raise Malformed(f"{k}-of-{n} takes {k - 1} coefficients, not {len(coefficients)}")
    polynomial = [_element(secret, "secret"), *(_element(c, "coefficient") for c in coefficients)]
    shares = []
    for x in range(1, n + 1):
        value = 0
        for coefficient in reversed(polynomial):
            value = (value * x + coefficient) % PRIME
        shares.append(value.to_bytes(32, "big"))
    return shares


def join(shares: Mapping[int, bytes], k: int) -> bytes:
    """Rebuilds the secret from the k shares of lowest index, by Lagrange interpolation at x = 0.

    Whether the result is right is for the caller to check against the hash of the secret: any k
    numbers lie on some polynomial.

    Args:
        shares: Share by index (0 to 31).
        k: Threshold of the split.

    Raises:
        Malformed: Fewer than k shares, or one is out of its range.
    """
    _check_counts(k, MAX_PARTS)
    if len(shares) < k:
        raise Malformed(f"{k} shares are needed, {len(shares)} are there")
    if any(not 0 <= index < MAX_PARTS for index in shares):
        raise Malformed(f"the index of a share is 0 to {MAX_PARTS - 1}")
    points = [(index + 1, _element(shares[index], "share")) for index in sorted(shares)[:k]]
    secret = 0
    for x, value in points:
        numerator, denominator = 1, 1
        for other, _ in points:
            if other != x:
                numerator = numerator * other % PRIME
                denominator = denominator * (other - x) % PRIME
        secret = (secret + value * numerator * pow(denominator, -1, PRIME)) % PRIME
    return secret.to_bytes(32, "big")
