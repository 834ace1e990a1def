"""Calldata of deliveries, which stands on the path of every sale.

A delivery is packed once, kept as bytes, and joined with others when a batch is sent; all other
calls go through `dam.market.abi.encode`. Format: Solidity's contract ABI specification.
"""

from __future__ import annotations

from collections.abc import Sequence

from dam.crypto.abi_words import WORD_BYTES, encode_struct, uint_word
from dam.types import FRAGMENT_BYTES, Delivery

DELIVERY_HEAD_BYTES = WORD_BYTES * (1 + 10 + 5 + 2)
"""copyId, sale, five words, and the places of proof and fragment."""
FRAGMENT_SIZE_WORD = uint_word(FRAGMENT_BYTES)
FRAGMENT_PADDING = bytes(-FRAGMENT_BYTES % WORD_BYTES)


def pack_delivery(delivery: Delivery) -> bytes:
    """``abi.encode`` of a `Delivery` without the leading offset: what a batch is joined from.

    Raises:
        ValueError, TypeError: A field does not fit its type.
    """
    if len(delivery.fragment) != FRAGMENT_BYTES:
        raise ValueError(f"a fragment is {FRAGMENT_BYTES} bytes")
    if any(len(step) != WORD_BYTES for step in delivery.proof):
        raise ValueError("a step of a proof is 32 bytes")
    proof = b"".join(delivery.proof)
    return b"".join(
        (
            encode_struct(delivery),
            uint_word(DELIVERY_HEAD_BYTES),
            uint_word(DELIVERY_HEAD_BYTES + WORD_BYTES + len(proof)),
            uint_word(len(delivery.proof)),
            proof,
            FRAGMENT_SIZE_WORD,
            delivery.fragment,
            FRAGMENT_PADDING,
        )
    )


def pack_one(delivery: Delivery | bytes) -> bytes:
    """The argument of ``deliverFragment``; the delivery may be packed already."""
    return uint_word(WORD_BYTES) + _packed(delivery)


def pack_many(deliveries: Sequence[Delivery | bytes]) -> bytes:
    """The argument of ``deliverFragments``; the deliveries may be packed already."""
    bodies = [_packed(delivery) for delivery in deliveries]
    offset = WORD_BYTES * len(bodies)
    offsets: list[bytes] = []
    for body in bodies:
        offsets.append(uint_word(offset))
        offset += len(body)
    return b"".join((uint_word(WORD_BYTES), uint_word(len(bodies)), *offsets, *bodies))


def _packed(delivery: Delivery | bytes) -> bytes:
    return delivery if isinstance(delivery, bytes) else pack_delivery(delivery)
