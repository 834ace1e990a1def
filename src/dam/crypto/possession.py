"""A deliverer's key, announced with a proof that whoever announces it has it.

The 32 secret bytes of a deliverer's key file are an Ed25519 seed (RFC 8032). Announced are the
Ed25519 public key and a signature over ``"DAM deliverer key 2" || chainId (32 bytes, big-endian) ||
market (20) || operator (20)``; parts are sealed to the X25519 key that follows from it, as in
libsodium (``crypto_sign_ed25519_pk_to_curve25519``, ``crypto_sign_ed25519_sk_to_curve25519``). The
contract checks none of it: a key without a valid signature counts for nobody.
"""

from __future__ import annotations

from nacl import bindings as sodium
from nacl.exceptions import CryptoError

from dam.crypto.hashing import address_bytes
from dam.crypto.sealing import check_public_key
from dam.errors import Malformed
from dam.types import Address

SIGNATURE_BYTES = 64
_PREFIX = b"DAM deliverer key 2"


def possession_message(chain_id: int, market: Address, operator: Address) -> bytes:
    """What the key signs."""
    place = chain_id.to_bytes(32, "big") + address_bytes(market) + address_bytes(operator)
    return _PREFIX + place


def announced_key(seed: bytes) -> bytes:
    """The Ed25519 public key of a deliverer's 32 secret bytes."""
    return sodium.crypto_sign_seed_keypair(seed)[0]


def prove_possession(seed: bytes, chain_id: int, market: Address, operator: Address) -> bytes:
    """The signature that goes with `announced_key`, 64 bytes; always the same."""
    secret = sodium.crypto_sign_seed_keypair(seed)[1]
    signed = sodium.crypto_sign(possession_message(chain_id, market, operator), secret)
    return signed[:SIGNATURE_BYTES]


def sealing_secret(seed: bytes) -> bytes:
    """The X25519 secret key with which the deliverer opens its parts, 32 bytes."""
    return sodium.crypto_sign_ed25519_sk_to_curve25519(sodium.crypto_sign_seed_keypair(seed)[1])


def sealing_key(
    key: bytes, possession: bytes, chain_id: int, market: Address, operator: Address
) -> bytes:
    """The X25519 public key that parts of this operator are sealed to, 32 bytes.

    Args:
        key: The announced Ed25519 key.
        possession: The signature that was announced with it.
        chain_id: The market's.
        market: Its address.
        operator: Who announced the key.

    Raises:
        Malformed: The operator did not show that it has the key, or it is no proper key.
    """
    if len(key) != 32 or len(possession) != SIGNATURE_BYTES:
        raise Malformed("an Ed25519 key is 32 bytes, and its signature 64")
    message = possession_message(chain_id, market, operator)
    try:
        if sodium.crypto_sign_open(possession + message, key) != message:
            raise Malformed("the signature of the deliverer's key is of something else")
        found = sodium.crypto_sign_ed25519_pk_to_curve25519(key)
    except (CryptoError, RuntimeError):
        raise Malformed("the deliverer did not show that it has the key") from None
    check_public_key(found)
    return found
