"""Sealed parts, which only their deliverer opens, and fragments, which only the buyer does.

Formats (protocol, section 3); X25519 keys are 32 bytes little-endian as in RFC 7748:

- sealed part: ``tag(16) || nonce(24) || secretbox_K(plaintext)``, 186 bytes, with
  K = ``crypto_box_beforenm`` of the page's sealing key and the deliverer's key, and
  tag = BLAKE2b-128 keyed with K over the part's domain;
- its plaintext, 130 bytes: ``version(1) = 1 || domain(32) || index(1) || share(32) ||
  secretHash(32) || salt(32)``;
- plain sealed part, 178 bytes: the same plaintext in a libsodium sealed box (``crypto_box_seal``);
- fragment, 80 bytes: the share in a libsodium sealed box to the part's one-time key.

The tag says where a deliverer's part is, and nothing more: whoever knows K makes tags for any
domain. What binds a part to its item is the domain inside the plaintext.
"""

from __future__ import annotations

import hashlib

from nacl import bindings as sodium
from nacl.exceptions import CryptoError
from nacl.utils import random

from dam.crypto import curve25519
from dam.errors import Malformed, NotForMe
from dam.types import FRAGMENT_BYTES, Part

PART_VERSION = 1
PLAINTEXT_BYTES = 130
TAG_BYTES = 16
NONCE_BYTES = 24
SEALED_BYTES = TAG_BYTES + NONCE_BYTES + 16 + PLAINTEXT_BYTES
PLAIN_SEALED_BYTES = 48 + PLAINTEXT_BYTES

LOW_ORDER_KEYS = tuple(
    u.to_bytes(32, "little")
    for u in (
        0,
        1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
        curve25519.P - 1,
    )
)
"""Every canonical u-coordinate of order 1, 2, 4 or 8, on the curve or its twist (RFC 7748, section
6.1; the list is libsodium's, without the non-canonical spellings)."""
_LOW_ORDER = frozenset(LOW_ORDER_KEYS)


def check_public_key(key: bytes) -> None:
    """Refuses improper X25519 public keys, as the contract does.

    Raises:
        Malformed: Not 32 bytes, not below 2^255 - 19 (so the top bit, too), or of low order.
    """
    if len(key) != 32:
        raise Malformed(f"an X25519 key is 32 bytes, not {len(key)}")
    if int.from_bytes(key, "little") >= curve25519.P:
        raise Malformed(f"the X25519 key 0x{key.hex()} is not canonical")
    if key in _LOW_ORDER:
        raise Malformed(f"the X25519 key 0x{key.hex()} is of low order")


def new_secret_key() -> bytes:
    """A random X25519 secret key, 32 bytes."""
    return random(32)


def public_key(secret: bytes) -> bytes:
    """The X25519 public key of a secret one, 32 bytes."""
    return sodium.crypto_scalarmult_base(secret)


def shared_key(secret: bytes, public: bytes) -> bytes:
    """K, 32 bytes: ``crypto_box_beforenm``, which is HSalsa20 over the X25519 result.

    Raises:
        Malformed: The public key is not canonical or of low order.
    """
    check_public_key(public)
    return sodium.crypto_box_beforenm(public, secret)


def part_tag(shared: bytes, domain: bytes) -> bytes:
    """What a deliverer looks its part up by: BLAKE2b keyed with K over the domain, 16 bytes."""
    return hashlib.blake2b(domain, digest_size=TAG_BYTES, key=shared).digest()


def _encode(part: Part) -> bytes:
    if not 0 <= part.index < 256:
        raise Malformed(f"the index {part.index} does not fit one byte")
    encoded = b"".join(
        (
            bytes((PART_VERSION,)),
            part.domain,
            bytes((part.index,)),
            part.share,
            part.secret_hash,
            part.salt,
        )
    )
    if len(encoded) != PLAINTEXT_BYTES:
        raise Malformed("domain, share, secret hash and salt of a part are 32 bytes each")
    return encoded


def _decode(plaintext: bytes) -> Part:
    if len(plaintext) != PLAINTEXT_BYTES or plaintext[0] != PART_VERSION:
        raise Malformed("the plaintext of the part is not of version 1")
    return Part(
        domain=plaintext[1:33],
        index=plaintext[33],
        share=plaintext[34:66],
        secret_hash=plaintext[66:98],
        salt=plaintext[98:130],
    )


def seal_part(shared: bytes, part: Part, *, nonce: bytes | None = None) -> bytes:
    """Seals a part to the deliverer with whom K is shared.

    Args:
        shared: K, from `shared_key`.
        part: Goes in whole; the tag is made over its domain.
        nonce: 24 bytes; random unless given, which only test vectors need.
    """
    nonce = random(NONCE_BYTES) if nonce is None else nonce
    box = sodium.crypto_secretbox(_encode(part), nonce, shared)
    return part_tag(shared, part.domain) + nonce + box


def open_part(shared: bytes, sealed: bytes) -> Part:
    """Opens a sealed part. The caller compares ``.domain`` with the item's before it believes it.

    Raises:
        Malformed: It is not of a sealed part's length, or opens to something else.
        NotForMe: It was sealed with another key, or changed since.
    """
    if len(sealed) != SEALED_BYTES:
        raise Malformed(f"a sealed part is {SEALED_BYTES} bytes, not {len(sealed)}")
    nonce = sealed[TAG_BYTES : TAG_BYTES + NONCE_BYTES]
    try:
        plaintext = sodium.crypto_secretbox_open(sealed[TAG_BYTES + NONCE_BYTES :], nonce, shared)
    except CryptoError:
        raise NotForMe("the part is sealed with another key") from None
    return _decode(plaintext)


def seal_plain(public: bytes, part: Part) -> bytes:
    """Seals a part as a libsodium sealed box: the form without a page key and tag."""
    check_public_key(public)
    return sodium.crypto_box_seal(_encode(part), public)


def open_plain(secret: bytes, sealed: bytes, *, public: bytes | None = None) -> Part:
    """Opens a plain sealed part. The caller compares ``.domain`` with the item's.

    Args:
        secret: The deliverer's X25519 secret key.
        sealed: 178 bytes.
        public: The key of ``secret``, where it is known: saves one multiplication per part.

    Raises:
        Malformed: It is not of a plain sealed part's length, or opens to something else.
        NotForMe: It was sealed to another key, or changed since.
    """
    if len(sealed) != PLAIN_SEALED_BYTES:
        raise Malformed(f"a plain sealed part is {PLAIN_SEALED_BYTES} bytes, not {len(sealed)}")
    plaintext = _open_box(sealed, secret, public or public_key(secret))
    if plaintext is None:
        raise NotForMe("the part is sealed to another key")
    return _decode(plaintext)


def seal_fragment(share: bytes, buyer_key: bytes) -> bytes:
    """Seals a 32-byte share to the buyer's one-time key of its index: 80 bytes, random.

    Raises:
        Malformed: The key is not canonical or of low order, or the share is not 32 bytes.
    """
    check_public_key(buyer_key)
    if len(share) != 32:
        raise Malformed("a share is 32 bytes")
    return sodium.crypto_box_seal(share, buyer_key)


def check_ephemeral_key(fragment: bytes) -> None:
    """Refuses a fragment whose ephemeral key makes it junk, whoever opens it.

    libsodium opens some of these, other libraries others: so the contract opens none.

    Raises:
        Malformed: The key is not canonical, of low order or off the curve.
    """
    key = fragment[:32]
    try:
        check_public_key(key)
    except Malformed:
        raise Malformed("its ephemeral key is not canonical, or of low order") from None
    if not curve25519.is_on_curve(curve25519.decode(key)):
        raise Malformed("its ephemeral key is off the curve")


def open_fragment(fragment: bytes, secret: bytes) -> bytes:
    """Opens a fragment with the one-time secret key that it is sealed to: the 32-byte share.

    The share is not believed until its keccak256 is the commitment that the chain recorded.

    Raises:
        Malformed: Not 80 bytes, or junk: its ephemeral key is improper, or it does not open.
    """
    if len(fragment) != FRAGMENT_BYTES:
        raise Malformed(f"a fragment is {FRAGMENT_BYTES} bytes, not {len(fragment)}")
    check_ephemeral_key(fragment)
    share = _open_box(fragment, secret, public_key(secret))
    if share is None:
        raise Malformed("it does not open with this sale's key")
    return share


def _open_box(sealed: bytes, secret: bytes, public: bytes) -> bytes | None:
    """The content of a libsodium sealed box, or None; an ephemeral key of low order fails, too."""
    try:
        return sodium.crypto_box_seal_open(sealed, public, secret)
    except (CryptoError, RuntimeError):
        return None
