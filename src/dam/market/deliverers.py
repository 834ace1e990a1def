"""Registered deliverers: keys, stakes, records and posted terms.

Anybody can register any X25519 key, even another deliverer's, so a key counts for its first
registrant alone: whoever registered it later cannot open what is sealed to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from dam.crypto.sealing import check_public_key
from dam.errors import Malformed
from dam.market.reputation import PostedTerms
from dam.types import (
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
MAX_COUNTED_DELIVERIES = 90
"""Nor do deliveries beyond this number."""


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
    """X25519 public key in force."""
    since: int
    """Block of the registration."""
    key_since: int
    """Block since which ``key`` is in force."""
    key_reused: bool
    """Somebody else registered this key before: nothing should be sealed to it."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A deliverer with what the contract says of it now."""

    registration: Registration
    stake: Wei
    delivered: int
    earned: Wei
    exit_block: int
    terms: PostedTerms | None = None
    """What it posted, if anything."""

    @property
    def operator(self) -> Address:
        """The address in the leaves."""
        return self.registration.operator

    def obstacle(self, windows: Windows) -> str:
        """Why nothing should be sealed to this deliverer; empty if it may deliver."""
        if self.exit_block:
            return "asked to exit"
        if self.stake < windows.min_deliverer_stake:
            return "stake below the minimum"
        if self.registration.key_reused:
            return "registered another deliverer's key"
        try:
            check_public_key(self.registration.key)
        except Malformed:
            return "registered an improper key"
        return ""

    def asks(self, fee: int) -> str:
        """Why it declines a new item whose parts earn ``fee`` wei; empty if it accepts."""
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
        return min(self.stake // minimum, MAX_STAKE_MINIMUMS) * (
            10 + min(self.delivered, MAX_COUNTED_DELIVERIES)
        )


def registrations(logs: Iterable[MarketLog]) -> dict[Address, Registration]:
    """All deliverers that ever registered, by operator, in the order in which they did."""
    found: dict[Address, Registration] = {}
    first: dict[bytes, Address] = {}
    for log in logs:
        if isinstance(log, DelivererRegistered):
            owner = first.setdefault(log.key, log.operator)
            block = log.at.block.number
            found[log.operator] = Registration(
                log.operator, log.owner, log.key, block, block, owner != log.operator
            )
        elif isinstance(log, DelivererKeyRotated) and log.operator in found:
            owner = first.setdefault(log.key, log.operator)
            found[log.operator] = replace(
                found[log.operator],
                key=log.key,
                key_since=log.at.block.number,
                key_reused=owner != log.operator,
            )
    return found
