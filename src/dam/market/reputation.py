"""Reputation from the market's logs: ratings, arbitrators' records, bound stake, slashes.

Pure functions of the logs: everybody who replays the same logs gets the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from dam.market.sale_history import SaleHistory, SaleRecord
from dam.types import (
    Address,
    CopyId,
    DelivererRegistered,
    MarketLog,
    OtherLog,
    Status,
    Wei,
    Windows,
)
from dam.units import format_about

_NOTHING = Wei(0)


@dataclass(frozen=True, slots=True)
class Rating:
    """How buyers rated a seller's sales, each weighed by the fees that it paid to others."""

    count: int = 0
    """Of all ratings."""
    weight: Wei = _NOTHING
    """Fees of the rated sales that went to others than the seller, as far as can be told."""
    stars: int = 0
    """Sum of the stars, each times its weight."""

    @property
    def tenths(self) -> int | None:
        """The mean in tenths of a star, 10 to 50; None where no rating weighs anything."""
        if not self.weight:
            return None
        return (self.stars * 20 + self.weight) // (2 * self.weight)

    def __str__(self) -> str:
        if not self.count:
            return "not rated"
        if self.tenths is None:
            return f"{self.count} rated, none of which paid fees to others"
        return (
            f"{self.tenths // 10}.{self.tenths % 10} of 5 ({self.count} rated, weighed by "
            f"{format_about(self.weight)} of fees paid to others)"
        )


@dataclass(frozen=True, slots=True)
class SellerRecord:
    """How a seller's sales ended, beside what buyers said of them."""

    rating: Rating = field(default_factory=Rating)
    ended: int = 0
    """All sales that have ended; what the counts below leave were settled."""
    refunds: int = 0
    """By time: the good never arrived."""
    conceded: int = 0
    """The seller gave in."""
    faults: int = 0
    """Junk of the seller's side, or shares that do not add up, were proved."""
    lost: int = 0
    """Rulings that gave the buyer something."""
    agreed: int = 0
    """Ended by both together."""

    def __str__(self) -> str:
        words = (
            (self.refunds, "refunded by time"),
            (self.conceded, "conceded"),
            (self.faults, "proved to be the seller's fault"),
            (self.lost, "lost before an arbitrator"),
            (self.agreed, "ended by agreement"),
        )
        bad = ", ".join(f"{count} {word}" for count, word in words if count)
        sales = "1 sale" if self.ended == 1 else f"{self.ended} sales"
        return f"{self.rating}; {sales} ended" + (f": {bad}" if bad else "")


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


def seller_records(history: SaleHistory, logs: Iterable[MarketLog]) -> dict[Address, SellerRecord]:
    """The record of each seller of a sale that has ended.

    Args:
        history: All sales.
        logs: Of ratings and, for whom a fee went to, registrations of deliverers.
    """
    logs = list(logs)
    stars = stars_of(logs)
    owners = {log.operator: log.owner for log in logs if isinstance(log, DelivererRegistered)}
    found: dict[Address, SellerRecord] = {}
    for sale in history.sales.values():
        if sale.closed is None:
            continue
        seller = sale.purchase.seller
        record = found.get(seller, SellerRecord())
        counted = outcome_of(sale)
        changes = {counted: getattr(record, counted) + 1} if counted else {}
        rating = record.rating
        if sale.copy_id in stars:
            weight = fees_to_others(sale, owners)
            rating = Rating(
                rating.count + 1,
                Wei(rating.weight + weight),
                rating.stars + weight * stars[sale.copy_id],
            )
        found[seller] = replace(record, ended=record.ended + 1, rating=rating, **changes)
    return found


def outcome_of(sale: SaleRecord) -> str:
    """Which count of `SellerRecord` its end belongs to; empty: it is open, was settled, or won."""
    closed = sale.closed
    if closed is None:
        return ""
    if closed.status == Status.AGREED:
        return "agreed"
    if closed.status == Status.RESOLVED:
        return "lost" if closed.to_buyer or closed.penalty else ""
    if closed.status != Status.REFUNDED:
        return ""
    if sale.fault_proved:
        return "faults"
    was_complete = sale.dispute is not None or (
        len(sale.delivered) >= sale.purchase.terms.threshold
    )
    return "conceded" if was_complete else "refunds"


def fees_to_others(sale: SaleRecord, owners: Mapping[Address, Address]) -> Wei:
    """What a sale paid to deliverers that are not the seller's, by owner."""
    seller, paid = sale.purchase.seller, set()
    for fragment in sale.fragments:
        by = fragment.by
        if not fragment.supplied and seller not in (by, owners.get(by)):
            paid.add(fragment.index)
    return Wei(sale.purchase.terms.fee * len(paid))


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
