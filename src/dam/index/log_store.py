"""Logs as the index keeps them, and back: what lists and records need, a tenth of their bytes.

Of a delivery it keeps who delivered which part; fragments, leaves and the hashes of old blocks stay
on the chain, and are empty in what comes back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import IntEnum
from typing import Any

from dam.index.places import place_of, ref_of
from dam.types import (
    ZERO_ADDRESS,
    Address,
    CopyId,
    DelivererKeyRotated,
    DelivererRegistered,
    DisputeOpened,
    FragmentDelivered,
    JunkProved,
    MarketLog,
    OtherLog,
    SaleClosed,
    Status,
    Wei,
)


class Kind(IntEnum):
    """What happened to a sale."""

    DELIVERED = 1
    SUPPLIED = 2
    JUNK = 3
    DISPUTED = 4
    CLOSED = 5
    FAULT = 6
    RATED = 7


SaleEvent = FragmentDelivered | JunkProved | DisputeOpened | SaleClosed | OtherLog
_OF_SALES = {"SaleRated": Kind.RATED, "SellerFaultProved": Kind.FAULT}


def sale_of_event(log: MarketLog) -> CopyId | None:
    """The sale that a log tells something of; None: of none (a purchase begins one)."""
    if isinstance(log, FragmentDelivered | JunkProved | DisputeOpened | SaleClosed):
        return log.copy_id
    if isinstance(log, OtherLog) and log.name in _OF_SALES:
        return CopyId(log.args["copyId"])
    return None


def event_columns(log: MarketLog) -> tuple[int, int, Address, str | None]:
    """Kind, part, who and data of an event of a sale; see `event_of`."""
    if isinstance(log, FragmentDelivered):
        kind = Kind.SUPPLIED if log.supplied else Kind.DELIVERED
        return kind, log.index, log.by, None
    if isinstance(log, JunkProved):
        data = [log.fresh_key.hex(), log.taken, log.bounty, log.cleared]
        return Kind.JUNK, log.index, log.deliverer, json.dumps(data)
    if isinstance(log, DisputeOpened):
        data = [log.buyer, log.evidence.hex()]
        return Kind.DISPUTED, 0, log.arbitrator, json.dumps(data)
    if isinstance(log, SaleClosed):
        data = [log.to_buyer, log.penalty] if log.to_buyer or log.penalty else []
        return Kind.CLOSED, int(log.status), log.by, json.dumps(data) if data else None
    assert isinstance(log, OtherLog)
    return _OF_SALES[log.name], int(log.args.get("stars", 0)), ZERO_ADDRESS, None


def event_of(
    copy_id: CopyId, place: int, kind: int, part: int, who: Address, data: str | None
) -> SaleEvent:
    """An event of a sale as a record.

    Raises:
        ValueError, TypeError: It is none.
    """
    at = ref_of(place)
    if kind in (Kind.DELIVERED, Kind.SUPPLIED):
        return FragmentDelivered(
            copy_id, who, part, ZERO_ADDRESS, b"", b"", b"", b"", kind == Kind.SUPPLIED, at
        )
    values: list[Any] = json.loads(data) if data else []
    if kind == Kind.JUNK:
        fresh_key, taken, bounty, cleared = values
        return JunkProved(
            copy_id, who, part, bytes.fromhex(fresh_key), Wei(taken), Wei(bounty), cleared, at
        )
    if kind == Kind.DISPUTED:
        buyer, evidence = values
        return DisputeOpened(copy_id, buyer, who, bytes.fromhex(evidence), at)
    if kind == Kind.CLOSED:
        to_buyer, penalty = values or (0, 0)
        return SaleClosed(copy_id, Status(part), who, to_buyer, Wei(penalty), at)
    if kind == Kind.RATED:
        return OtherLog("SaleRated", {"copyId": copy_id, "stars": part}, at)
    if kind == Kind.FAULT:
        return OtherLog("SellerFaultProved", {"copyId": copy_id}, at)
    raise ValueError(f"no kind of event: {kind}")


# ------------------------------------------------------------------------------- whole logs


def keeps_whole(log: MarketLog) -> bool:
    """Whether a log is one of deliverers, which is kept with all its arguments."""
    if isinstance(log, OtherLog):
        return log.name.startswith(("Deliverer", "Slash"))
    return isinstance(log, DelivererRegistered | DelivererKeyRotated | JunkProved)


def whole_columns(log: MarketLog) -> tuple[int, str, bytes, str]:
    """Place, name, transaction and arguments of such a log; see `whole_log`."""
    values: Mapping[str, Any]
    if isinstance(log, OtherLog):
        name, values = log.name, log.args
    else:
        name = type(log).__name__
        values = {key: getattr(log, key) for key in log.__slots__ if key != "at"}
    text = json.dumps(values, default=_hex)
    return place_of(log.at), name, log.at.tx_hash, text


def whole_log(place: int, name: str, tx_hash: bytes, data: str) -> MarketLog:
    """A log of deliverers as a record.

    Raises:
        ValueError, TypeError, KeyError: It is none.
    """
    at, values = ref_of(place, tx_hash), _unhex(json.loads(data))
    kinds: dict[str, Any] = {
        kind.__name__: kind for kind in (DelivererRegistered, DelivererKeyRotated, JunkProved)
    }
    log: MarketLog = kinds[name](**values, at=at) if name in kinds else OtherLog(name, values, at)
    return log


def _hex(value: object) -> dict[str, str]:
    if not isinstance(value, bytes):
        raise TypeError(f"no value of a log: {type(value).__name__}")
    return {"hex": value.hex()}


def _unhex(values: dict[str, Any]) -> dict[str, Any]:
    return {
        key: bytes.fromhex(value["hex"]) if isinstance(value, dict) else value
        for key, value in values.items()
    }
