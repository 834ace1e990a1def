"""Seeds: the same again every time, another value for every other input, below p where needed."""

import hashlib
from dataclasses import replace
from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dam.crypto import derivation, hashing, shamir
from dam.crypto.curve25519 import half_size_pair
from dam.crypto.derivation import BuyerSeed, Place, SellerSeed
from dam.errors import Malformed
from dam.types import CopyId

MARKET, OTHER = (hashing.checksum(bytes([i]) * 20) for i in (1, 2))
PLACE = Place(31337, MARKET, hashing.item_id("x"), 4, 99)
OTHER_PLACES = [
    replace(PLACE, chain_id=1),
    replace(PLACE, market=OTHER),
    replace(PLACE, item_id=hashing.item_id("y")),
    replace(PLACE, copy=5),
    replace(PLACE, generation=100),
]
SEED = SellerSeed(b"\x07" * 32)


def everything(seed: SellerSeed, place: Place) -> list[bytes]:
    shares = seed.shares(place, 3, 5)
    return [seed.content_key(place), *seed.coefficients(place, 3, 5), seed.salt(place, 0), *shares]


def test_the_same_seed_gives_the_same_again() -> None:
    assert everything(SEED, PLACE) == everything(SellerSeed(b"\x07" * 32), PLACE)


@pytest.mark.parametrize("place", OTHER_PLACES)
def test_every_input_matters(place: Place) -> None:
    assert not set(everything(SEED, PLACE)) & set(everything(SEED, place))


def test_the_seed_matters() -> None:
    assert not set(everything(SEED, PLACE)) & set(everything(SellerSeed(b"\x08" * 32), PLACE))


def test_another_threshold_is_another_polynomial() -> None:
    """Two shares of one polynomial must never meet: k and n are inputs of the coefficients."""
    lists = [SEED.coefficients(PLACE, k, n) for k, n in ((3, 5), (3, 6), (4, 5), (2, 5))]
    values = [value for one in lists for value in one]
    assert len(set(values)) == len(values)


def test_derivation_is_the_documented_one() -> None:
    message = (
        (31337).to_bytes(32, "big")
        + bytes([1]) * 20
        + hashing.item_id("x")
        + (4).to_bytes(8, "big")
        + (99).to_bytes(8, "big")
    )

    def blake(person: bytes, tail: bytes) -> bytes:
        return hashlib.blake2b(
            message + tail, key=b"\x07" * 32, person=person, digest_size=32
        ).digest()

    assert SEED.content_key(PLACE) == blake(b"dam.content", bytes(4))
    assert SEED.coefficients(PLACE, 3, 5)[1] == blake(b"dam.share", bytes([5, 3, 2]) + bytes(4))
    assert SEED.salt(PLACE, 7) == blake(b"dam.salt", b"\x07")


def test_values_of_p_and_above_are_thrown_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one in 2^248 case, with the field made small so that it happens."""
    monkeypatch.setattr(shamir, "PRIME", 2**248)
    key = SEED.content_key(PLACE)
    assert key[0] == 0
    plain = hashlib.blake2b(
        PLACE.encode() + bytes(4), key=b"\x07" * 32, person=b"dam.content", digest_size=32
    ).digest()
    assert plain[0] != 0
    assert key[1:] != plain[1:], "reduced, which would not be uniform"


@given(st.binary(min_size=32, max_size=32), st.integers(0, 2**63 - 1), st.integers(1, 32))
def test_shares_join_to_the_content_key(seed: bytes, generation: int, k: int) -> None:
    place = replace(PLACE, generation=generation)
    own = SellerSeed(seed)
    shares = own.shares(place, k, 32)
    assert shamir.join(dict(enumerate(shares)), k) == own.content_key(place)
    assert all(shamir.is_element(value) for value in (own.content_key(place), *shares))


def test_purchase_keys() -> None:
    buyer = BuyerSeed(b"\x09" * 32)
    copy, other = CopyId(b"c" * 32), CopyId(b"d" * 32)
    keys = [
        buyer.part_secret(chain, market, cid, attempt, index)
        for chain in (1, 31337)
        for market in (MARKET, OTHER)
        for cid in (copy, other)
        for attempt in (0, 1, 256)
        for index in (0, 1, 31)
    ]
    assert len(set(keys)) == len(keys)
    assert buyer.purchase_secret(1, MARKET, copy, 0) not in keys
    fresh = [
        buyer.fresh_secret(chain, market, cid, attempt)
        for chain in (1, 31337)
        for market in (MARKET, OTHER)
        for cid in (copy, other)
        for attempt in (0, 1, 256)
    ]
    assert len({*fresh, *keys}) == len(fresh) + len(keys)


def test_a_buyers_keys_are_cheap_to_prove_with() -> None:
    """Without the counter one in 40 would have no half-size pair."""
    buyer = BuyerSeed(b"\x0a" * 32)
    for copy in range(5):
        place = 1, MARKET, CopyId(bytes([copy]) * 32), 0
        found = [buyer.part_secret(*place, index) for index in range(32)]
        assert all(map(half_size_pair, [*found, buyer.fresh_secret(*place)]))
        purchase = buyer.purchase_secret(*place)
        first = [
            blake2b(bytes([i, 0, 0, 0, 0]), digest_size=32, key=purchase, person=b"dam.part-key")
            for i in range(32)
        ]
        for secret, hashed in zip(found, first, strict=True):
            assert (secret == hashed.digest()) == (half_size_pair(hashed.digest()) is not None)


def test_seeds_do_not_print() -> None:
    assert "07" not in repr(SEED)
    assert repr(BuyerSeed(b"A" * 32)) == "BuyerSeed()"


@pytest.mark.parametrize("kind", [SellerSeed, BuyerSeed])
@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_a_seed_is_32_bytes(kind: type, size: int) -> None:
    with pytest.raises(Malformed):
        kind(bytes(size))


def test_generations_do_not_repeat() -> None:
    drawn = {derivation.new_generation() for _ in range(1000)}
    assert len(drawn) == 1000
    assert all(0 <= g < 2**63 for g in drawn)
    assert len(derivation.new_seed()) == 32
