"""Registered deliverers: keys, stakes, records and posted terms.

Anybody can announce any key, so a key counts only with a signature made with it for this very
operator (`dam.crypto.possession`): nobody spoils another's key by announcing it first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from dam.crypto.possession import sealing_key
from dam.errors import Malformed
from dam.market.deliverer_records import DelivererRecord
from dam.market.reputation import PostedTerms
from dam.types import (
    STAKED_FEES,
    Address,
    DelivererKeyRotated,
    DelivererRegistered,
    MarketLog,
    Wei,
    Windows,
)
from dam.units import format_amount

MAX_STAKE_MINIMUMS = 20
"""Stake beyond this many times the minimum does not count: money buys no monopoly."""
MAX_RECORD_POINTS = 90
"""A record counts in full once its fees are as much as the least stake."""


@dataclass(frozen=True, slots=True)
class Deliverer:
    """Who gets a part: the operator's address, and the X25519 key that it is sealed to."""

    operator: Address
    key: bytes


@dataclass(frozen=True, slots=True)
class Registration:
    """A deliverer as the logs tell of it."""

    operator: Address
    owner: Address
    key: bytes
    """X25519 public key in force; empty: the operator showed of none that it has it."""
    since: int
    """Block of the registration."""
    key_since: int
    """Block since which ``key`` is in force."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A deliverer with what the contract says of it now."""

    registration: Registration
    stake: Wei
    delivered: int
    earned: Wei
    exit_time: int
    terms: PostedTerms | None = None
    """What it posted, if anything."""
    record: DelivererRecord = field(default_factory=DelivererRecord)

    @property
    def operator(self) -> Address:
        """The address in the leaves."""
        return self.registration.operator

    @property
    def marks(self) -> frozenset[object]:
        """Who shares one of these may be the same person."""
        return self.record.marks | {self.operator, self.registration.owner, self.registration.key}

    def obstacle(self, windows: Windows) -> str:
        """Why nothing should be sealed to this deliverer; empty if it may deliver."""
        if self.exit_time:
            return "asked to exit"
        if self.stake < windows.min_deliverer_stake:
            return "stake below the minimum"
        if not self.registration.key:
            return "never showed that it has the key it announced"
        return ""

    def asks(self, fee: int) -> str:
        """Why it declines a new item whose parts earn ``fee`` wei; empty if it accepts."""
        if self.stake < STAKED_FEES * fee:
            return (
                f"its stake of {format_amount(self.stake)} is below ten times the fee of "
                f"{format_amount(fee)}"
            )
        if self.terms is None:
            return ""
        if not self.terms.open:
            return "takes no new items"
        if self.terms.min_fee > fee:
            return (
                f"asks for {format_amount(self.terms.min_fee)} a part, and the item pays "
                f"{format_amount(fee)}"
            )
        return ""

    def weight(self, windows: Windows) -> int:
        """How likely it is picked: stake (in minimums, capped) times record (capped).

        A newcomer with the minimum has weight 10, and so can earn a record.
        """
        minimum = max(1, windows.min_deliverer_stake)
        points = MAX_RECORD_POINTS * self.record.fees // minimum
        stakes = max(1, min(self.stake // minimum, MAX_STAKE_MINIMUMS))
        return stakes * (10 + min(points, MAX_RECORD_POINTS))


def registrations(
    logs: Iterable[MarketLog], chain_id: int, market: Address, *, of: Address | None = None
) -> dict[Address, Registration]:
    """All deliverers that ever registered, by operator, in the order in which they did.

    Args:
        logs: With those of their stakes and keys.
        chain_id: The market's.
        market: Its address.
        of: This operator alone: each key costs the check of a signature. None: all.
    """
    found: dict[Address, Registration] = {}
    for log in logs:
        if not isinstance(log, DelivererRegistered | DelivererKeyRotated):
            continue
        operator, block = log.operator, log.at.block.number
        if of not in (None, operator):
            continue
        key = proven_key(log, chain_id, market)
        if isinstance(log, DelivererRegistered):
            found[operator] = Registration(operator, log.owner, key, block, block)
        elif key and operator in found:
            found[operator] = replace(found[operator], key=key, key_since=block)
    return found


def proven_key(
    log: DelivererRegistered | DelivererKeyRotated, chain_id: int, market: Address
) -> bytes:
    """The X25519 key that follows from an announcement; empty where nothing shows who has it."""
    try:
        return sealing_key(log.key, log.possession, chain_id, market, log.operator)
    except Malformed:
        return b""
