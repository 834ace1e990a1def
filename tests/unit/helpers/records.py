"""Records of a small market, made by hand: a windowed deployment, sales, deliverers."""

from __future__ import annotations

from dam.crypto.hashing import checksum, copy_id, keccak
from dam.types import (
    ZERO_ADDRESS,
    Address,
    BlockRef,
    FragmentDelivered,
    JunkProved,
    LogRef,
    Purchase,
    Terms,
    Wei,
)


def person(number: int) -> Address:
    return checksum(number.to_bytes(20, "big"))


SELLER, BUYER, ARBITER = person(0xA1), person(0xB1), person(0xC1)


BLOCK_SECONDS = 12


def time_of(block: int) -> int:
    """The second of a block."""
    return 1_700_000_000 + BLOCK_SECONDS * block


def at(block: int, index: int = 0) -> LogRef:
    ref = BlockRef(block, keccak(block.to_bytes(8, "big")), time_of(block))
    return LogRef(ref, keccak(b"tx"), index)


def make_terms(**changes: object) -> Terms:
    values: dict[str, object] = {
        "item_id": keccak(b"thing"),
        "token": ZERO_ADDRESS,
        "price": 1000,
        "commission": Wei(30),
        "penalty": Wei(100),
        "bond": Wei(50),
        "supply": 10,
        "stock": True,
        "parts": 3,
        "threshold": 2,
        "arbitrator": ARBITER,
        "parts_root": keccak(b"parts"),
    }
    return Terms(**(values | changes))  # type: ignore[arg-type]


def make_purchase(
    block: int = 1000, *, copy: int = 0, keys: tuple[bytes, ...] = (), **changes: object
) -> Purchase:
    terms = make_terms(**changes)
    return Purchase(
        copy_id(SELLER, terms.item_id, copy),
        SELLER,
        BUYER,
        keccak(b"document"),
        copy,
        block,
        time_of(block),
        terms,
        keys or tuple(keccak(bytes([i])) for i in range(terms.parts)),
        at(block),
    )


def delivery(
    purchase: Purchase, index: int, block: int, *, by: Address | None = None, **changes: object
) -> FragmentDelivered:
    values: dict[str, object] = {
        "copy_id": purchase.copy_id,
        "by": by or person(0xD0 + index),
        "index": index,
        "deliverer": person(0xD0 + index),
        "commitment": bytes(32),
        "secret_hash": bytes(32),
        "salt": bytes(32),
        "fragment": bytes(80),
        "supplied": False,
        "at": at(block, index + 1),
    }
    return FragmentDelivered(**(values | changes))  # type: ignore[arg-type]


def junk(purchase: Purchase, index: int, block: int, **changes: object) -> JunkProved:
    values: dict[str, object] = {
        "copy_id": purchase.copy_id,
        "deliverer": person(0xD0 + index),
        "index": index,
        "fresh_key": keccak(b"fresh key"),
        "taken": Wei(50),
        "bounty": Wei(10),
        "cleared": True,
        "at": at(block, index + 1),
    }
    return JunkProved(**(values | changes))  # type: ignore[arg-type]


class Make:
    """The factories, for tests that cannot import this file."""

    person = staticmethod(person)
    at = staticmethod(at)
    terms = staticmethod(make_terms)
    purchase = staticmethod(make_purchase)
    delivery = staticmethod(delivery)
    junk = staticmethod(junk)
    time_of = staticmethod(time_of)
    seller, buyer, arbiter = SELLER, BUYER, ARBITER
