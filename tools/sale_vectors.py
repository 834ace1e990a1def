"""Golden vectors of sales: their words and clocks, and one whole purchase as its logs tell it."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from abi_vectors import ABI, a_log
from market_vectors import some_terms
from vector_inputs import (
    ARBITRATOR,
    BUYER,
    CHAIN_ID,
    MARKET,
    SELLER,
    an_address,
    camel,
    fixed,
    inline_box,
    sealed_box,
)

from dam.catalog import payload
from dam.crypto import derivation, hashing, sealing
from dam.market.sale_history import SaleRecord
from dam.testing.rules import deadlines
from dam.types import (
    ZERO_ADDRESS,
    BlockRef,
    Clock,
    FragmentDelivered,
    JunkProved,
    LogRef,
    Purchase,
    Status,
    Wei,
    Windows,
)

_WINDOWS = Windows(
    86_400, 259_200, 604_801, 2_246_400, 604_800, 604_800, Wei(10**16), Wei(10**16), Wei(5 * 10**15)
)
_P, _T = 1234, 1_800_000_000
_NOWHERE = LogRef(BlockRef(77, fixed("block")), fixed("transaction"), 0)


def words() -> list[dict[str, Any]]:
    """Storage words of sales, and of their marks."""
    rows = []
    for status in Status:
        if status == Status.NONE:
            rows.append(_word(0, 0, 0, False, False, bytes(24)))
            continue
        bits = (1 << (status * 4)) - 1
        since = 2**27 - 1 if status == Status.AGREED else status * 3600
        rated, marked = status % 2 == 1, status > Status.COMPLETE
        rows.append(_word(status, bits, since, rated, marked, fixed(f"sale {status}", 24)))
    rows.append(_word(1, 2**32 - 1, 0, False, False, fixed("sale", 24)))
    return rows


def _word(
    status: int, delivered: int, since: int, rated: bool, marked: bool, commitment: bytes
) -> dict[str, Any]:
    low = delivered << 32 | since << 5 | status << 2 | rated << 1 | marked
    return {
        "word": commitment + low.to_bytes(8, "big"),
        "status": status,
        "delivered": delivered,
        "since": since,
        "rated": rated,
        "marked": marked,
        "commitment": commitment,
    }


def marks() -> list[dict[str, Any]]:
    """Second words, of sales with junk."""
    rows = []
    for punished, cleared in ((0, 0), (1, 1), (0x80000001, 1), (2**32 - 1, 2**32 - 1)):
        key = hashing.keccak(fixed("fresh"))[:24] if punished else bytes(24)
        word = key + (punished << 32 | cleared).to_bytes(8, "big")
        rows.append({"word": word, "punished": punished, "cleared": cleared, "fresh_key": key})
    return rows


def a_purchase(arbitrator: bool = True) -> Purchase:
    terms = replace(some_terms()[0], arbitrator=ARBITRATOR if arbitrator else ZERO_ADDRESS)
    copy_id = hashing.copy_id(SELLER, terms.item_id, 3)
    digest, keys = fixed("store digest"), tuple(fixed(f"key {i}") for i in range(3))
    return Purchase(copy_id, SELLER, BUYER, digest, 3, _P, _T, terms, keys, _NOWHERE)


def clocks() -> list[dict[str, Any]]:
    """What can be done with a sale in each state, before and after each of its moments."""
    rows = []
    cases = [
        (Status.PURCHASED, 0, 0b000, 0, 0),
        (Status.PURCHASED, 0, 0b001, 0, 0),
        (Status.PURCHASED, 900, 0b001, 0b010, 0b010),
        (Status.PURCHASED, 900, 0b001, 0b110, 0b110),
        (Status.COMPLETE, 500, 0b011, 0, 0),
        (Status.COMPLETE, 500, 0b111, 0, 0),
        (Status.COMPLETE, 500, 0b011, 0b100, 0b100),
        (Status.COMPLETE, 500, 0b111, 0b100, 0b100),
        (Status.DISPUTED, 90_000, 0b011, 0, 0),
        (Status.DISPUTED, 90_000, 0b111, 0b001, 0),
        (Status.SETTLED, 90_000, 0b111, 0, 0),
    ]
    for arbitrator in (True, False):
        for status, since, delivered, punished, cleared in cases:
            if arbitrator or status in (Status.COMPLETE, Status.PURCHASED):
                state = (status, since, delivered, punished, cleared)
                rows.append(_clocks(a_purchase(arbitrator), *state))
    return rows


def _clocks(
    bought: Purchase, status: Status, since: int, delivered: int, punished: int, cleared: int
) -> dict[str, Any]:
    record = SaleRecord(bought)
    for index in range(3):
        fragment = FragmentDelivered(
            bought.copy_id, SELLER, index, SELLER, b"", b"", b"", b"", False, _NOWHERE
        )
        if delivered >> index & 1:
            record.delivered[index] = fragment
        if punished >> index & 1:
            was_cleared = bool(cleared >> index & 1)
            record.junk.append(
                JunkProved(
                    bought.copy_id, SELLER, index, b"", Wei(0), Wei(0), was_cleared, _NOWHERE
                )
            )
    record.status = status
    times = deadlines(bought, status, since, _WINDOWS)
    actions = record.actions(times)
    moments = {t for a in actions for t in (a.first, a.last) if t} | {_T}
    asked = [Clock(b, t + d) for b in (_P + 99, _P + 100) for t in sorted(moments) for d in (-1, 0)]
    escrow = hashing.escrow_of(bought)
    return {
        "sale": asdict(hashing.sale_of(bought)),
        "escrow": asdict(escrow),
        "windows": {
            "refund_seconds": _WINDOWS.refund_seconds,
            "dispute_seconds": _WINDOWS.dispute_seconds,
            "arbitration_seconds": _WINDOWS.arbitration_seconds,
        },
        "status": status,
        "since": since,
        "delivered": delivered,
        "punished": punished,
        "cleared": cleared,
        "deadlines": asdict(times),
        "actions": [asdict(action) for action in actions],
        "at": [
            {
                "block": clock.block,
                "time": clock.time,
                "doable": [f"{a.who} {a.name}" for a in actions if a.open_at(clock)],
            }
            for clock in asked
        ],
    }


# ------------------------------------------------------------------------------- a whole purchase


def whole_purchase() -> dict[str, Any]:
    """2 of 3: a good part, junk, its proof, and the seller's replacement; then the good."""
    seller, buyer = (
        kind(fixed(f"{kind.__name__} of all"))
        for kind in (derivation.SellerSeed, derivation.BuyerSeed)
    )
    item_id, copy, attempt = hashing.item_id("codes"), 9, 4_000_000_000
    copy_id = hashing.copy_id(SELLER, item_id, copy)
    place = derivation.Place(CHAIN_ID, MARKET, item_id, copy, 2**63 - 1)
    key, shares = seller.content_key(place), seller.shares(place, 2, 3)
    secrets = [buyer.part_secret(CHAIN_ID, MARKET, copy_id, attempt, i) for i in range(3)]
    keys = tuple(map(sealing.public_key, secrets))
    fresh = sealing.public_key(buyer.fresh_secret(CHAIN_ID, MARKET, copy_id, attempt))
    terms = replace(some_terms()[0], item_id=item_id, stock=True, supply=10)
    bought = Purchase(
        copy_id, SELLER, BUYER, fixed("store digest"), copy, _P, _T, terms, keys, _NOWHERE
    )

    def part(index: int, to: bytes, *, supplied: bool = False) -> dict[str, Any]:
        box = sealed_box(shares[index], to, fixed(f"whole {index} {to.hex()}"))
        return _log(
            "FragmentSupplied" if supplied else "FragmentDelivered",
            {
                "copyId": copy_id,
                "seller" if supplied else "by": SELLER if to == fresh else an_address(f"d {index}"),
                "index": index,
                "deliverer": an_address(f"d {index}"),
                "commitment": hashing.keccak(shares[index]),
                "secretHash": hashing.keccak(key),
                "salt": seller.salt(place, index),
                "ephemeralKey": box[:32],
                "tag": box[32:48],
                "ciphertext": box[48:],
            },
        )

    junk = {
        "copyId": copy_id, "deliverer": an_address("d 1"), "index": 1, "freshKey": fresh,
        "taken": 10**16, "bounty": 2 * 10**15, "cleared": True,
    }  # fmt: skip
    domain = hashing.domain(CHAIN_ID, MARKET, SELLER, item_id, True, copy)
    good = b"CODE-2026-0009"
    padded = (good + b"\x80").ljust(256, b"\0")
    box = inline_box(padded, key, domain, fixed("whole nonce", 24))
    purchase_args = {
        "copyId": copy_id, "seller": SELLER, "buyer": BUYER, "storeDigest": bought.store_digest,
        "copy": copy, "purchaseBlock": _P, "purchaseTime": _T, "keys": list(keys),
        "terms": _camel(asdict(terms)),
    }  # fmt: skip
    return {
        "buyer_seed": buyer.seed,
        "chain_id": CHAIN_ID,
        "market": MARKET,
        "attempt": attempt,
        "logs": [
            _log("ItemPurchased", purchase_args),
            part(0, keys[0]),
            # Sealed to another key of this very buyer: it does not open with its own.
            part(1, keys[2]),
            _log("JunkProved", junk),
            part(1, fresh),
            part(0, keys[0], supplied=True),
        ],
        "junk": [2],
        "payload": payload.payload_to_json(payload.InlinePayload(box)),
        "sale_hash": hashing.sale_hash(hashing.sale_of(bought)),
        "content_key": key,
        "good": good,
    }


def _camel(record: dict[str, Any]) -> dict[str, Any]:
    return {camel(name): value for name, value in record.items()}


def _log(event: str, args: dict[str, Any]) -> dict[str, Any]:
    entry = next(e for e in ABI if e["type"] == "event" and e["name"] == event)
    return {"event": event, **a_log(entry, args)}
