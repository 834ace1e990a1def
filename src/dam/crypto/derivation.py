"""Keys and secrets that a seller and a buyer derive from one 32-byte seed each.

Every value is BLAKE2b-256 keyed with the seed, personalised by purpose, over fields of fixed width,
so that no two inputs coincide. All numbers are big-endian; ``counter`` starts at 0 and grows only
where a value has to be below p and is not (once in 2^248), or where a buyer's secret key has no
half-size pair (once in 40; `dam.crypto.curve25519`), so that a proof with it would be dear.

====================  ================  ===========================================================
value                 person            message
====================  ================  ===========================================================
content key (< p)     ``dam.content``   place || counter(4)
coefficient j (< p)   ``dam.share``     place || n(1) || k(1) || j(1) || counter(4), j from 1
salt of index i       ``dam.salt``      place || i(1)
purchase secret       ``dam.purchase``  chainId(32) || market(20) || copyId(32) || attempt(4)
key of index i        ``dam.part-key``  i(1) || counter(4), keyed with the purchase secret
fresh key             ``dam.fresh-key`` counter(4), keyed with the purchase secret
====================  ================  ===========================================================

where place = chainId(32) || market(20) || itemId(32) || copy(8) || generation(8), copy being 0 if
all copies share their parts. A generation is drawn at random whenever parts are made anew, so that
none is used twice for different goods, deliverers, n or k, even by a seller who restored an old
backup: two shares of one polynomial must never reach one deliverer.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from nacl.utils import random

from dam.crypto import shamir
from dam.crypto.curve25519 import half_size_pair
from dam.crypto.hashing import address_bytes
from dam.errors import Malformed
from dam.types import Address, CopyId


def new_seed() -> bytes:
    """A random seed, 32 bytes."""
    return random(32)


def new_generation() -> int:
    """A random 63-bit number for parts that are made anew."""
    return secrets.randbits(63)


def _derive(key: bytes, person: bytes, message: bytes) -> bytes:
    return hashlib.blake2b(message, digest_size=32, key=key, person=person).digest()


def _first(key: bytes, person: bytes, message: bytes, fits: Callable[[bytes], bool]) -> bytes:
    """The value of the lowest counter that fits; the others are thrown away, not reduced."""
    values = (_derive(key, person, message + number.to_bytes(4, "big")) for number in count())
    return next(filter(fits, values))


def _below_prime(key: bytes, person: bytes, message: bytes) -> bytes:
    """Uniform below p."""
    return _first(key, person, message, shamir.is_element)


def _check_seed(seed: bytes) -> None:
    if len(seed) != 32:
        raise Malformed("a seed is 32 bytes")


@dataclass(frozen=True, slots=True)
class Place:
    """Which copy's parts are meant: the inputs that every value of a seller's seed depends on.

    ``copy`` is 0 where all copies share their parts; ``generation`` is `new_generation`'s.
    """

    chain_id: int
    market: Address
    item_id: bytes
    copy: int
    generation: int

    def encode(self) -> bytes:
        return b"".join(
            (
                self.chain_id.to_bytes(32, "big"),
                address_bytes(self.market),
                self.item_id,
                self.copy.to_bytes(8, "big"),
                self.generation.to_bytes(8, "big"),
            )
        )


@dataclass(frozen=True, slots=True)
class SellerSeed:
    """Derives content keys, shares and salts: with the catalogue folder, all a seller needs."""

    seed: bytes = field(repr=False)

    def __post_init__(self) -> None:
        _check_seed(self.seed)

    def content_key(self, place: Place) -> bytes:
        """The key of the payload and secret of the sharing: 32 bytes, below p."""
        return _below_prime(self.seed, b"dam.content", place.encode())

    def coefficients(self, place: Place, k: int, n: int) -> list[bytes]:
        """The k - 1 coefficients of the polynomial, each 32 bytes and below p."""
        prefix = place.encode() + bytes((n, k))
        return [
            _below_prime(self.seed, b"dam.share", prefix + bytes((degree,)))
            for degree in range(1, k)
        ]

    def shares(self, place: Place, k: int, n: int) -> list[bytes]:
        """All n shares of the content key, by index."""
        return shamir.split(self.content_key(place), k, n, self.coefficients(place, k, n))

    def salt(self, place: Place, index: int) -> bytes:
        """What hides the assignment of a part until it is delivered, 32 bytes."""
        return _derive(self.seed, b"dam.salt", place.encode() + bytes((index,)))


@dataclass(frozen=True, slots=True)
class BuyerSeed:
    """Derives the one-time keys of purchases."""

    seed: bytes = field(repr=False)

    def __post_init__(self) -> None:
        _check_seed(self.seed)

    def purchase_secret(
        self, chain_id: int, market: Address, copy_id: CopyId, attempt: int
    ) -> bytes:
        """The secret of one purchase, 32 bytes. A purchase tried again takes a new attempt."""
        message = b"".join(
            (
                chain_id.to_bytes(32, "big"),
                address_bytes(market),
                copy_id,
                attempt.to_bytes(4, "big"),
            )
        )
        return _derive(self.seed, b"dam.purchase", message)

    def part_secret(
        self, chain_id: int, market: Address, copy_id: CopyId, attempt: int, index: int
    ) -> bytes:
        """The X25519 secret key that the fragment of ``index`` is sealed to, 32 bytes.

        Each tells nothing of the others, so one can be shown to prove that a fragment is junk.
        """
        secret = self.purchase_secret(chain_id, market, copy_id, attempt)
        return _provable_secret(secret, b"dam.part-key", bytes((index,)))

    def fresh_secret(self, chain_id: int, market: Address, copy_id: CopyId, attempt: int) -> bytes:
        """The X25519 secret of the sale's fresh key, which replacements of junk are sealed to.

        32 bytes. It is derived as the parts' are, so that seed and chain are all that a restored
        backup needs.
        """
        secret = self.purchase_secret(chain_id, market, copy_id, attempt)
        return _provable_secret(secret, b"dam.fresh-key", b"")


def _provable_secret(key: bytes, person: bytes, message: bytes) -> bytes:
    """A secret key with a half-size pair: what it opens is cheap to prove."""
    return _first(key, person, message, lambda secret: half_size_pair(secret) is not None)
