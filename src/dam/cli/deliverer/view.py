"""Deliverers in words and as JSON, for every command that shows them."""

from __future__ import annotations

from typing import Any

from dam.ipfs.cid import Cid
from dam.market.deliverers import Candidate
from dam.market.reputation import PostedTerms, ProposedSlash
from dam.types import Windows
from dam.units import format_amount, format_time


def asks_text(terms: PostedTerms | None) -> str:
    """What a deliverer posted, in words."""
    if terms is None:
        return ""
    return f"{format_amount(terms.min_fee)} a part" + ("" if terms.open else ", closed")


def slash_text(slash: ProposedSlash) -> str:
    """A proposed slash, in words."""
    return (
        f"slash {slash.number} of {format_amount(slash.amount)} is proposed, for "
        f"{Cid('dag-json', slash.reason)}; it can be executed from {format_time(slash.first)} to "
        f"{format_time(slash.last)}, and the stake is frozen until then"
    )


def slash_json(slash: ProposedSlash) -> dict[str, Any]:
    """A proposed slash for programs."""
    return {
        "id": slash.number,
        "operator": slash.operator,
        "beneficiary": slash.beneficiary,
        "amount": str(slash.amount),
        "reason": slash.reason,
        "firstTime": slash.first,
        "lastTime": slash.last,
    }


def state_text(candidate: Candidate, windows: Windows, slash: ProposedSlash | None) -> str:
    """Whether it delivers, in words."""
    state = candidate.obstacle(windows) or "delivers"
    return f"{state}; frozen until {format_time(slash.last)}" if slash else state


def deliverer_json(
    candidate: Candidate, windows: Windows, slash: ProposedSlash | None = None
) -> dict[str, Any]:
    """A deliverer for programs; amounts in wei, as decimal text."""
    registration = candidate.registration
    return {
        "operator": candidate.operator,
        "owner": registration.owner,
        "stake": str(candidate.stake),
        "earned": str(candidate.earned),
        "delivered": candidate.delivered,
        "key": registration.key,
        "since": registration.since,
        "keySince": registration.key_since,
        "exitTime": candidate.exit_time,
        "eligible": not candidate.obstacle(windows),
        "obstacle": candidate.obstacle(windows),
        "minFee": str(candidate.terms.min_fee) if candidate.terms else None,
        "open": candidate.terms.open if candidate.terms else None,
        "frozenUntil": slash.last if slash else 0,
    }
