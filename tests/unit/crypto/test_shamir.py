"""Sharing: any k rebuild, fewer tell nothing, nothing of p or above passes."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dam.crypto.shamir import PRIME, is_element, join, split
from dam.errors import Malformed

elements = st.integers(0, PRIME - 1)
edges = st.sampled_from([0, 1, PRIME - 1, PRIME - 2, 2**255])


def word(value: int) -> bytes:
    return value.to_bytes(32, "big")


def is_probable_prime(n: int) -> bool:
    """Miller-Rabin to the first 40 prime bases; the bases are far more than 256 bits need."""
    bases = [b for b in range(2, 174) if all(b % q for q in range(2, b))]
    d, s = n - 1, 0
    while d % 2 == 0:
        d, s = d // 2, s + 1
    for base in bases:
        x = pow(base, d, n)
        if x in (1, n - 1):
            continue
        for _ in range(s - 1):
            x = x * x % n
            if x == n - 1:
                break
        else:
            return False
    return True


def test_p_is_the_largest_prime_below_2_256() -> None:
    assert is_probable_prime(PRIME)
    assert not any(is_probable_prime(n) for n in range(PRIME + 2, 2**256, 2))


@st.composite
def sharings(draw: st.DrawFn) -> tuple[int, int, int, list[int]]:
    n = draw(st.integers(1, 32))
    k = draw(st.integers(1, n))
    numbers = st.one_of(elements, edges)
    return k, n, draw(numbers), [draw(numbers) for _ in range(k - 1)]


@given(sharings())
def test_shares_are_points_of_the_polynomial(case: tuple[int, int, int, list[int]]) -> None:
    k, n, secret, coefficients = case
    shares = split(word(secret), k, n, [word(c) for c in coefficients])
    for index, share in enumerate(shares):
        x = index + 1
        expected = secret + sum(c * pow(x, j + 1, PRIME) for j, c in enumerate(coefficients))
        assert int.from_bytes(share, "big") == expected % PRIME


@given(sharings(), st.randoms())
def test_any_k_shares_rebuild(case: tuple[int, int, int, list[int]], rng) -> None:
    k, n, secret, coefficients = case
    shares = dict(enumerate(split(word(secret), k, n, [word(c) for c in coefficients])))
    assert join(shares, k) == word(secret)
    chosen = rng.sample(sorted(shares), k)
    assert join({index: shares[index] for index in chosen}, k) == word(secret)


def test_every_choice_of_3_of_6() -> None:
    shares = split(word(42), 3, 6, [word(PRIME - 1), word(7)])
    for chosen in itertools.combinations(range(6), 3):
        assert join({i: shares[i] for i in chosen}, 3) == word(42)


@settings(max_examples=30)
@given(sharings(), elements)
def test_fewer_than_k_shares_allow_every_secret(case, other: int) -> None:
    """For any k - 1 shares and any secret there is exactly one polynomial: nothing is told."""
    k, n, secret, coefficients = case
    if k == 1:
        return
    shares = split(word(secret), k, n, [word(c) for c in coefficients])
    known = {i + 1: int.from_bytes(shares[i], "big") for i in range(k - 1)}

    def through(points: dict[int, int], x: int) -> int:
        total = 0
        for xi, yi in points.items():
            term = yi
            for xj in points:
                if xj != xi:
                    term = term * (x - xj) * pow(xi - xj, -1, PRIME) % PRIME
            total += term
        return total % PRIME

    # The polynomial through the known shares whose value at 0 is another secret altogether:
    forged = {**known, 0: other}
    rebuilt = {x - 1: word(through(forged, x)) for x in range(1, k + 1)}
    assert all(rebuilt[i] == shares[i] for i in range(k - 1))
    assert join(rebuilt, k) == word(other)


def test_one_wrong_share_gives_another_secret() -> None:
    shares = dict(enumerate(split(word(5), 2, 3, [word(9)])))
    shares[0] = word((int.from_bytes(shares[0], "big") + 1) % PRIME)
    assert join(shares, 2) != word(5)


def test_only_the_k_shares_of_lowest_index_are_used() -> None:
    shares = dict(enumerate(split(word(5), 2, 3, [word(9)])))
    assert join({**shares, 2: word(1)}, 2) == word(5)


@pytest.mark.parametrize("value", [PRIME, PRIME + 1, 2**256 - 1])
def test_p_and_above_are_refused(value: int) -> None:
    assert not is_element(word(value))
    with pytest.raises(Malformed):
        split(word(value), 1, 1, [])
    with pytest.raises(Malformed):
        split(word(1), 2, 2, [word(value)])
    with pytest.raises(Malformed):
        join({0: word(value)}, 1)


@pytest.mark.parametrize(("k", "n"), [(0, 1), (2, 1), (1, 33), (33, 33), (-1, 3), (0, 0)])
def test_impossible_counts(k: int, n: int) -> None:
    with pytest.raises(Malformed):
        split(word(1), k, n, [word(1)] * max(k - 1, 0))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_coefficients_must_fit_the_threshold(count: int) -> None:
    with pytest.raises(Malformed):
        split(word(1), 3, 3, [word(1)] * count)


@pytest.mark.parametrize(
    ("shares", "k"),
    [
        ({}, 1),
        ({0: word(1)}, 2),
        ({0: bytes(31)}, 1),
        ({0: bytes(33)}, 1),
        ({-1: word(1)}, 1),
        ({32: word(1)}, 1),
        ({0: word(1)}, 0),
        ({0: word(1)}, 33),
    ],
)
def test_join_refuses(shares: dict[int, bytes], k: int) -> None:
    with pytest.raises(Malformed):
        join(shares, k)
