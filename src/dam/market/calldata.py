"""Calldata packed by hand: single words, the records of a sale, and the calls made of them.

Part of `abi_codec`. Format: Solidity's contract ABI specification.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from dam.types import FRAGMENT_BYTES, Address, Delivery, Escrow, Sale, Terms

_WORD = 32


def _uint(value: int, bits: int) -> bytes:
    if type(value) is not int or value < 0 or value >> bits:
        raise ValueError(f"not a uint{bits}")
    return value.to_bytes(_WORD, "big")


def _bytes32(value: bytes) -> bytes:
    if not isinstance(value, bytes) or len(value) != _WORD:
        raise ValueError("not 32 bytes")
    return value


@lru_cache(maxsize=512)
def _address(value: Address) -> bytes:
    raw = bytes.fromhex(value[2:])
    if len(raw) != 20 or len(value) != 42 or not value.startswith("0x"):
        raise ValueError("not an address")
    return bytes(12) + raw


def _bool(value: bool) -> bytes:
    if not isinstance(value, bool):
        raise TypeError("not a boolean")
    return int(value).to_bytes(_WORD, "big")


def encode_word(kind: str, value: Any) -> bytes:
    """A value of a static type as its one word."""
    if kind == "address":
        return _address(value)
    if kind == "bool":
        return _bool(value)
    if kind.startswith("uint"):
        return _uint(value, int(kind[4:]))
    size = int(kind.removeprefix("bytes"))
    if not isinstance(value, bytes) or len(value) != size:
        raise ValueError(f"not {size} bytes")
    return value.ljust(_WORD, b"\0")


def _terms(terms: Terms) -> bytes:
    return b"".join(
        (
            _bytes32(terms.item_id),
            _address(terms.token),
            _uint(terms.price, 128),
            _uint(terms.commission, 128),
            _uint(terms.penalty, 128),
            _uint(terms.bond, 128),
            _uint(terms.supply, 64),
            _bool(terms.stock),
            _uint(terms.parts, 8),
            _uint(terms.threshold, 8),
            _address(terms.arbitrator),
            _bytes32(terms.parts_root),
        )
    )


def _sale(sale: Sale) -> bytes:
    return b"".join(
        (
            _address(sale.seller),
            _address(sale.buyer),
            _uint(sale.purchase_block, 64),
            _uint(sale.copy, 64),
            _bool(sale.stock),
            _uint(sale.parts, 8),
            _uint(sale.threshold, 8),
            _uint(sale.fee, 128),
            _bytes32(sale.parts_root),
            _bytes32(sale.escrow_hash),
        )
    )


def _escrow(escrow: Escrow) -> bytes:
    return b"".join(
        (
            _bytes32(escrow.store_digest),
            _bytes32(escrow.keys_hash),
            _address(escrow.token),
            _uint(escrow.price, 128),
            _uint(escrow.penalty, 128),
            _uint(escrow.bond, 128),
            _address(escrow.arbitrator),
        )
    )


_DELIVERY_HEAD = _WORD * (1 + 10 + 5 + 2)
FRAGMENT_TAIL = FRAGMENT_BYTES.to_bytes(_WORD, "big")
FRAGMENT_PAD = bytes(-FRAGMENT_BYTES % _WORD)


def pack_delivery(delivery: Delivery) -> bytes:
    """``abi.encode`` of a `Delivery` without the leading offset: what a batch is joined from."""
    if len(delivery.fragment) != FRAGMENT_BYTES:
        raise ValueError(f"a fragment is {FRAGMENT_BYTES} bytes")
    proof = delivery.proof
    return b"".join(
        (
            _bytes32(delivery.copy_id),
            _sale(delivery.sale),
            _uint(delivery.index, 8),
            _address(delivery.deliverer),
            _bytes32(delivery.commitment),
            _bytes32(delivery.secret_hash),
            _bytes32(delivery.salt),
            _DELIVERY_HEAD.to_bytes(_WORD, "big"),
            (_DELIVERY_HEAD + _WORD * (1 + len(proof))).to_bytes(_WORD, "big"),
            _array(proof),
            FRAGMENT_TAIL,
            delivery.fragment,
            FRAGMENT_PAD,
        )
    )


def _array(items: Sequence[bytes]) -> bytes:
    return len(items).to_bytes(_WORD, "big") + b"".join(map(_bytes32, items))


def _packed(delivery: Delivery | bytes) -> bytes:
    return delivery if isinstance(delivery, bytes) else pack_delivery(delivery)


def _deliver_fragment(delivery: Delivery | bytes) -> bytes:
    return _WORD.to_bytes(_WORD, "big") + _packed(delivery)


def _deliver_fragments(deliveries: Sequence[Delivery | bytes]) -> bytes:
    bodies = [_packed(delivery) for delivery in deliveries]
    offset = _WORD * len(bodies)
    offsets: list[bytes] = []
    for body in bodies:
        offsets.append(offset.to_bytes(_WORD, "big"))
        offset += len(body)
    count = len(bodies).to_bytes(_WORD, "big")
    return b"".join((_WORD.to_bytes(_WORD, "big"), count, *offsets, *bodies))


def _buy_item(
    seller: Address,
    terms: Terms,
    proof: Sequence[bytes],
    store_digest: bytes,
    copy: int,
    keys: Sequence[bytes],
) -> bytes:
    head = _WORD * (1 + 12 + 4)
    return b"".join(
        (
            _address(seller),
            _terms(terms),
            _uint(head, 256),
            _bytes32(store_digest),
            _uint(copy, 64),
            _uint(head + _WORD * (1 + len(proof)), 256),
            _array(proof),
            _array(keys),
        )
    )


def _buy_item_by_permit(
    seller: Address,
    terms: Terms,
    proof: Sequence[bytes],
    store_digest: bytes,
    copy: int,
    keys: Sequence[bytes],
    permit: tuple[int, int, int, bytes, bytes],
) -> bytes:
    value, deadline, v, r, s = permit
    head = _WORD * (1 + 12 + 4 + 5)
    return b"".join(
        (
            _address(seller),
            _terms(terms),
            _uint(head, 256),
            _bytes32(store_digest),
            _uint(copy, 64),
            _uint(head + _WORD * (1 + len(proof)), 256),
            _uint(value, 256),
            _uint(deadline, 256),
            _uint(v, 8),
            _bytes32(r),
            _bytes32(s),
            _array(proof),
            _array(keys),
        )
    )


def _submit_evidence(copy: bytes, sale: Sale, escrow: Escrow, uri: str) -> bytes:
    text = uri.encode("utf-8")
    head = _WORD * (1 + 10 + 7 + 1)
    return b"".join(
        (
            _bytes32(copy),
            _sale(sale),
            _escrow(escrow),
            _uint(head, 256),
            _uint(len(text), 256),
            text,
            bytes(-len(text) % _WORD),
        )
    )


def _with_records(*kinds: Callable[[Any], bytes]) -> Callable[..., bytes]:
    def packed(*args: Any) -> bytes:
        return b"".join(kind(value) for kind, value in zip(kinds, args, strict=True))

    return packed


BY_HAND: dict[str, Callable[..., bytes]] = {
    "deliverFragment": _deliver_fragment,
    "deliverFragments": _deliver_fragments,
    "supplyFragments": _deliver_fragments,
    "buyItem": _buy_item,
    "buyItemByPermit": _buy_item_by_permit,
    "submitEvidence": _submit_evidence,
    "rateSale": _with_records(_bytes32, _sale, lambda stars: _uint(stars, 8)),
    **dict.fromkeys(
        ("confirm", "settle", "refund", "concede"), _with_records(_bytes32, _sale, _escrow)
    ),
    "openDispute": _with_records(_bytes32, _sale, _escrow, _bytes32),
    "resolveDispute": _with_records(
        _bytes32, _sale, _escrow, lambda amount: _uint(amount, 256), _bool
    ),
}
