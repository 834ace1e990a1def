"""Reputation from the market's logs: ratings, arbitrators' records, bound stake, slashes.

Pure functions of the logs: everybody who replays the same logs gets the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from dam.market.sale_history import SaleHistory, SaleRecord
from dam.types import Address, CopyId, MarketLog, OtherLog, Status, Wei, Windows


@dataclass(frozen=True, slots=True)
class Rating:
    """How buyers rated a seller's settled sales."""

    count: int
    stars: int
    """Sum of all."""

    def __str__(self) -> str:
        if not self.count:
            return "not rated"
        tenths = (self.stars * 20 + self.count) // (2 * self.count)
        return f"{tenths // 10}.{tenths % 10} of 5 ({self.count} rated)"


@dataclass(frozen=True, slots=True)
class ArbiterRecord:
    """What an arbitrator did with the disputes brought before it."""

    cases: int
    rulings: int
    silences: int
    """Disputes that it let pass without a ruling."""
    waiting: int
    """Disputes that still wait for it; the rest was conceded by a side."""

    def __str__(self) -> str:
        return f"{self.cases} cases, {self.rulings} ruled, {self.silences} silent"


@dataclass(frozen=True, slots=True)
class PostedTerms:
    """What a deliverer asks for (`DelivererTermsPosted`)."""

    min_fee: Wei
    open: bool


@dataclass(frozen=True, slots=True)
class ProposedSlash:
    """A slash that is neither executed nor cancelled."""

    number: int
    operator: Address
    beneficiary: Address
    amount: Wei
    reason: bytes
    first: int
    last: int
    """Seconds in which it can be executed; until ``last`` the stake is frozen."""


def _others(logs: Iterable[MarketLog], name: str) -> Iterator[OtherLog]:
    return (log for log in logs if isinstance(log, OtherLog) and log.name == name)


def ratings(logs: Iterable[MarketLog]) -> dict[Address, Rating]:
    """Ratings of each seller that has any."""
    found: dict[Address, Rating] = {}
    for log in _others(logs, "SaleRated"):
        old = found.get(log.args["seller"], Rating(0, 0))
        found[log.args["seller"]] = Rating(old.count + 1, old.stars + log.args["stars"])
    return found


def stars_of(logs: Iterable[MarketLog]) -> dict[CopyId, int]:
    """Stars of each rated sale."""
    return {log.args["copyId"]: log.args["stars"] for log in _others(logs, "SaleRated")}


def evidence_of(logs: Iterable[MarketLog], copy: CopyId) -> list[tuple[Address, str]]:
    """Who gave which evidence (a URI; anybody's text) in a dispute, in order."""
    group = int.from_bytes(copy, "big")
    return [
        (log.args["_party"], log.args["_evidence"])
        for log in _others(logs, "Evidence")
        if log.args["_evidenceGroupID"] == group
    ]


def unruled(history: SaleHistory, arbitrator: Address) -> list[SaleRecord]:
    """Disputes before an arbitrator that wait for a ruling, or ended without one and with no
    concession of the seller's or agreement: the times of their events tell which.
    """
    return [
        sale
        for sale in history.sales.values()
        if sale.dispute is not None
        and sale.dispute.arbitrator == arbitrator
        and sale.status in (Status.SETTLED, Status.DISPUTED)
    ]


def arbiter_record(
    history: SaleHistory,
    arbitrator: Address,
    windows: Windows,
    time: int,
    times: Mapping[int, int],
) -> ArbiterRecord:
    """The record of an arbitrator up to a second ``time``.

    Args:
        history: All sales.
        arbitrator: Whose.
        windows: The deployment's.
        time: Now, as the contract sees it.
        times: Seconds of the blocks of the disputes and ends of `unruled`.
    """
    silences = waiting = 0
    cases = [s for s in history.sales.values() if s.dispute and s.dispute.arbitrator == arbitrator]
    for sale in unruled(history, arbitrator):
        assert sale.dispute is not None
        last = times[sale.dispute.at.block.number] + windows.arbitration_seconds
        ended = time + 1 if sale.closed is None else times[sale.closed.at.block.number]
        if ended > last:
            silences += 1
        elif sale.closed is None:
            waiting += 1
    rulings = sum(sale.status == Status.RESOLVED for sale in cases)
    return ArbiterRecord(len(cases), rulings, silences, waiting)


def stake_bound_by(sale: SaleRecord) -> Wei:
    """What an open sale holds of the seller's stake: R without the fees paid so far."""
    terms = sale.purchase.terms
    if sale.status.final:
        return Wei(0)
    return Wei(terms.reserve - terms.fee * sale.paid)


def bound_stake(history: SaleHistory, seller: Address) -> Wei:
    """What all open sales of a seller hold of their stake."""
    return Wei(
        sum(stake_bound_by(s) for s in history.sales.values() if s.purchase.seller == seller)
    )


def posted_terms(logs: Iterable[MarketLog]) -> dict[Address, PostedTerms]:
    """The terms of each deliverer that posted any; the last ones count."""
    return {
        log.args["operator"]: PostedTerms(Wei(log.args["minFee"]), log.args["open"])
        for log in _others(logs, "DelivererTermsPosted")
    }


def proposed_slashes(logs: Iterable[MarketLog], time: int) -> list[ProposedSlash]:
    """Slashes that can be executed after this second, in the order of their numbers."""
    found: dict[int, ProposedSlash] = {}
    for log in logs:
        if not isinstance(log, OtherLog):
            continue
        a = log.args
        if log.name == "SlashProposed":
            found[a["id"]] = ProposedSlash(
                a["id"],
                a["operator"],
                a["beneficiary"],
                Wei(a["amount"]),
                a["reason"],
                a["firstTime"],
                a["lastTime"],
            )
        elif log.name in ("SlashExecuted", "SlashCancelled"):
            found.pop(a["id"], None)
    return [slash for _, slash in sorted(found.items()) if time < slash.last]
