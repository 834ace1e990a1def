"""Signatures of 32-byte digests in two words (ERC-2098), as the market takes them.

The parity of R's y stands in the highest bit of the second word; s is low (EIP-2).
"""

from __future__ import annotations

from coincurve import PrivateKey, PublicKey

from dam.crypto.hashing import checksum, keccak
from dam.errors import Malformed
from dam.types import Address, Signature

_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Of secp256k1 (SEC 2, section 2.4.1)."""
_PARITY_BIT = 1 << 255


def sign_digest(key: PrivateKey, digest: bytes) -> Signature:
    """The account's signature of a digest, always the same (RFC 6979)."""
    signed = key.sign_recoverable(digest, hasher=None)
    return compact(27 + signed[64], signed[:32], signed[32:64])


def compact(v: int, r: bytes, s: bytes) -> Signature:
    """A signature in the form of ERC-2098, from the usual three.

    Args:
        v: 27 or 28.
        r: 32 bytes.
        s: 32 bytes, low.

    Raises:
        Malformed: It is no account's, or has a high s.
    """
    if v not in (27, 28) or len(r) != 32 or len(s) != 32 or s[0] >> 7:
        raise Malformed("a signature is r, a low s, and v of 27 or 28")
    return Signature(r, bytes((s[0] | (v - 27) << 7,)) + s[1:])


def recover(digest: bytes, signature: Signature) -> Address:
    """Who signed a digest.

    Raises:
        Malformed: Nobody: the signature is malformed or has a high s.
    """
    r, vs = signature.r, int.from_bytes(signature.vs, "big")
    s = vs & (_PARITY_BIT - 1)
    if len(r) != 32 or len(signature.vs) != 32 or s > _ORDER // 2:
        raise Malformed("a signature is two words with a low s")
    try:
        recoverable = r + s.to_bytes(32, "big") + bytes((vs >> 255,))
        public = PublicKey.from_signature_and_message(recoverable, digest, hasher=None)
    except ValueError:
        raise Malformed("the signature is nobody's") from None
    return checksum(keccak(public.format(compressed=False)[1:])[12:])


def recover_long(digest: bytes, signature: bytes) -> Address:
    """Who made a signature of 65 bytes (r, s, and v as 27 or 28), which wallets give.

    Raises:
        Malformed: As `recover`; or it is no such signature.
    """
    if len(signature) != 65:
        raise Malformed("a signature of an account is 65 bytes")
    return recover(digest, compact(signature[64], signature[:32], signature[32:64]))


def long_form(signature: Signature) -> bytes:
    """The 65 bytes that `recover_long` takes."""
    first = signature.vs[0]
    return signature.r + bytes([first & 127]) + signature.vs[1:] + bytes([27 + (first >> 7)])
