"""Whether a fragment is junk: the same verdict off chain as `contracts/Proofs.sol` gives.

The contract calls a fragment junk if its ephemeral key is not canonical, of low order or off the
curve, if it does not open with the secret of the key that it should be sealed to, or if it opens to
something else than the share that its leaf commits to. A share out of range (p or above) is not
junk: what the leaf commits to is the seller's doing.
"""

from __future__ import annotations

from dam.crypto.hashing import keccak
from dam.crypto.sealing import open_fragment
from dam.errors import Malformed


def open_share(fragment: bytes, secret: bytes, commitment: bytes) -> bytes:
    """The share in a fragment that is not junk, 32 bytes.

    Args:
        fragment: As delivered.
        secret: X25519 secret of the key that it should be sealed to, 32 bytes.
        commitment: keccak256 of the share, from the leaf.

    Raises:
        Malformed: It is junk, and why.
    """
    share = open_fragment(fragment, secret)
    if keccak(share) != commitment:
        raise Malformed("it opens to something else than the part committed to")
    return share


def is_junk(fragment: bytes, secret: bytes, commitment: bytes) -> bool:
    """Whether a proof of junk with this secret would succeed; see `open_share`."""
    try:
        open_share(fragment, secret, commitment)
    except Malformed:
        return True
    return False
