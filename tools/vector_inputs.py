"""What the golden vectors are made from: labels, not chance; see make_vectors.py."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from nacl import bindings as sodium

from dam.crypto import hashing, sealing, shamir
from dam.types import Address

CHAIN_ID = 31337


def fixed(label: str, size: int = 32) -> bytes:
    """Bytes that look random and follow from a label."""
    return hashlib.shake_256(f"DAM vectors 1: {label}".encode()).digest(size)


def an_address(label: str) -> Address:
    return hashing.checksum(fixed(label, 20))


MARKET, SELLER, BUYER = an_address("market"), an_address("seller"), an_address("buyer")
ARBITRATOR, TOKEN = an_address("arbitrator"), an_address("token")


def plain(value: Any) -> Any:
    """Records as JSON: bytes as 0x-hex, names in camel case, numbers as decimal strings."""
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return str(value)
    if isinstance(value, dict):
        return {camel(key): plain(element) for key, element in value.items()}
    return [plain(element) for element in value]


def camel(name: str) -> str:
    if name.startswith("0x") or "_" not in name[1:]:
        return name
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def sealed_box(message: bytes, public: bytes, ephemeral: bytes) -> bytes:
    """A libsodium sealed box with a given ephemeral secret key (crypto_box_seal draws one)."""
    ephemeral_public = sodium.crypto_scalarmult_base(ephemeral)
    nonce = hashlib.blake2b(ephemeral_public + public, digest_size=24).digest()
    return ephemeral_public + sodium.crypto_box(message, nonce, public, ephemeral)


def inline_box(padded: bytes, key: bytes, domain: bytes, nonce: bytes) -> bytes:
    """An inline payload: the nonce, and a padded good encrypted for one domain."""
    encrypt = sodium.crypto_aead_xchacha20poly1305_ietf_encrypt
    return nonce + encrypt(padded, b"DAM payload 1" + domain, nonce, key)


def stream_blocks(
    header: bytes, key: bytes, associated: bytes, chunks: Iterable[tuple[bytes, int]]
) -> list[bytes]:
    """Chunks with their tags as one secretstream from a given header (init_push draws one)."""
    # init_pull makes the same state as init_push.
    state = sodium.crypto_secretstream_xchacha20poly1305_state()
    sodium.crypto_secretstream_xchacha20poly1305_init_pull(state, header, key)
    push = sodium.crypto_secretstream_xchacha20poly1305_push
    return [push(state, chunk, associated, tag) for chunk, tag in chunks]


def a_sharing(k: int, n: int) -> dict[str, Any]:
    # The first byte is below 0xff: below p for certain.
    secret = b"\x0f" + fixed(f"secret {k} {n}", 31)
    coefficients = [b"\xf0" + fixed(f"coefficient {i} {k} {n}", 31) for i in range(1, k)]
    shares = shamir.split(secret, k, n, coefficients)
    return {
        "k": k,
        "n": n,
        "secret": secret,
        "coefficients": coefficients,
        "shares": shares,
        "commitments": [hashing.keccak(share) for share in shares],
        "secret_hash": hashing.keccak(secret),
    }


def a_key(label: str) -> tuple[bytes, bytes]:
    secret = fixed(label)
    return secret, sealing.public_key(secret)
