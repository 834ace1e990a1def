"""What the market's logs show of deliverers' past: age, paid work, and who may be one person.

Pure functions of the logs and of what a node says of their transactions. Fees count, never the
number of parts: free sales cost nothing to make.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from dam.types import (
    Address,
    CopyId,
    DelivererRegistered,
    FragmentDelivered,
    JunkProved,
    LogRef,
    MarketLog,
    OtherLog,
    Purchase,
    StoreVersion,
    Wei,
)

ESTABLISHED_SECONDS = 30 * 24 * 3600
ESTABLISHED_SELLERS = 3
_NOTHING = Wei(0)
MAX_FUNDED = 10
"""A funder of more registrations than this is an exchange, say, and tells nothing."""
RECORD_EVENTS = frozenset(
    {
        "DelivererStaked", "DelivererStakeAdded", "DelivererExitRequested",
        "DelivererExitCancelled", "DelivererStakeWithdrawn", "SlashExecuted", "JunkProved",
    }
)  # fmt: skip
"""Events that records are made of, beside those of sales and stores."""


@dataclass(frozen=True, slots=True)
class DelivererRecord:
    """What is known of one deliverer's past."""

    established: bool = False
    """Its stake is unbroken for `ESTABLISHED_SECONDS`, and it was paid by `ESTABLISHED_SELLERS`
    sellers whose stores are as old."""
    fees: Wei = _NOTHING
    """All that it earned since its stake was last broken, in wei."""
    marks: frozenset[object] = frozenset()
    """Its operator, owner, funder and the transaction that registered it."""


@dataclass(frozen=True, slots=True)
class Tenure:
    """Since when a deliverer's work counts."""

    began: LogRef
    """Where its stake was broken or began last: what it earned up to there does not count."""
    unbroken: bool
    """Whether the stake is there since then."""


@dataclass
class Payments:
    """What a deliverer earned from others in its tenure."""

    fees: int = 0
    payers: set[Address] = field(default_factory=set)

    def add(self, seller: Address, fees: int) -> None:
        """Fees that a seller paid; none is no payment."""
        if fees:
            self.fees += fees
            self.payers.add(seller)


@dataclass(frozen=True, slots=True)
class Past:
    """What the logs of deliverers, sales and stores add up to."""

    held: Mapping[Address, Tenure]
    """Of every deliverer that ever registered."""
    paid: Mapping[Address, Payments]
    """What each of them earned in its tenure."""
    stores: Mapping[Address, int]
    """Block of the first version of each store."""


def past_of(logs: Sequence[MarketLog], min_stake: int) -> Past:
    """Adds up logs; see `tenures`, `payments` and `store_ages`.

    Args:
        logs: Of sales, stores and `RECORD_EVENTS`, in their order.
        min_stake: The least stake of a deliverer, in wei.
    """
    held = tenures(logs, min_stake)
    return Past(held, payments(logs, held), store_ages(logs))


def deliverer_records(
    logs: Iterable[MarketLog],
    past: Past,
    *,
    old_block: int,
    funders: Mapping[Address, Address],
) -> dict[Address, DelivererRecord]:
    """The record of every deliverer that ever registered.

    A stake is broken by an exit, by a slash, by a proof of junk, and where it was below the least
    one: what was earned before does not count any more.

    Args:
        logs: With the registrations.
        past: What all logs add up to.
        old_block: The newest block that is `ESTABLISHED_SECONDS` old.
        funders: Who sent the transaction of a registration, where that was not the operator.
    """
    registered = {log.operator: log for log in logs if isinstance(log, DelivererRegistered)}
    marks = _marks(registered.values(), funders)
    return {
        operator: DelivererRecord(
            tenure.unbroken
            and tenure.began.block.number <= old_block
            and _old_payers(past.paid[operator], past.stores, old_block, marks[operator])
            >= ESTABLISHED_SELLERS,
            Wei(past.paid[operator].fees),
            marks[operator],
        )
        for operator, tenure in past.held.items()
    }


def tenures(logs: Iterable[MarketLog], min_stake: int) -> dict[Address, Tenure]:
    """Since when the work of each deliverer counts that ever registered.

    Args:
        logs: Of `RECORD_EVENTS`, in their order.
        min_stake: The least stake of a deliverer, in wei.
    """
    found: dict[Address, Tenure] = {}
    for log in logs:
        if isinstance(log, DelivererRegistered):
            found[log.operator] = Tenure(log.at, True)
        elif isinstance(log, JunkProved):
            if log.deliverer in found:
                found[log.deliverer] = Tenure(log.at, True)
        elif isinstance(log, OtherLog) and (one := found.get(log.args.get("operator", ""))):
            found[log.args["operator"]] = _after(one, log, min_stake)
    return found


def _after(tenure: Tenure, log: OtherLog, min_stake: int) -> Tenure:
    if log.name in ("DelivererExitRequested", "DelivererStakeWithdrawn"):
        return Tenure(log.at, False)
    if log.name in ("DelivererExitCancelled", "SlashExecuted"):
        return Tenure(log.at, True)
    if log.name == "DelivererStakeAdded":
        before = log.args["stake"] - log.args["amount"]
        if not tenure.unbroken or before < min_stake:
            return Tenure(log.at, True)
    return tenure


def store_ages(logs: Iterable[MarketLog]) -> dict[Address, int]:
    """Block of the first version of each store."""
    found: dict[Address, int] = {}
    for log in logs:
        if isinstance(log, StoreVersion):
            found.setdefault(log.seller, log.at.block.number)
    return found


def payments(logs: Iterable[MarketLog], held: Mapping[Address, Tenure]) -> dict[Address, Payments]:
    """What each deliverer earned from others in its tenure.

    Args:
        logs: Of sales, in their order.
        held: From `tenures`.
    """
    sold: dict[CopyId, Purchase] = {}
    seen: set[tuple[CopyId, int]] = set()
    found = {operator: Payments() for operator in held}
    for log in logs:
        if isinstance(log, Purchase):
            sold[log.copy_id] = log
        elif isinstance(log, FragmentDelivered) and not log.supplied:
            sale = sold.get(log.copy_id)
            if sale is None or (log.copy_id, log.index) in seen:
                continue
            seen.add((log.copy_id, log.index))
            one = held.get(log.by)
            if one is not None and log.by != sale.seller and _place(log.at) > _place(one.began):
                found[log.by].add(sale.seller, sale.terms.fee)
    return found


def _place(at: LogRef) -> tuple[int, int]:
    return at.block.number, at.log_index


def _old_payers(
    one: Payments, stores: Mapping[Address, int], old_block: int, marks: Collection[object]
) -> int:
    """How many sellers paid it that are old, and not itself by another name."""
    return sum(
        stores.get(seller, old_block + 1) <= old_block and seller not in marks
        for seller in one.payers
    )


def _marks(
    registered: Iterable[DelivererRegistered], funders: Mapping[Address, Address]
) -> dict[Address, frozenset[object]]:
    """Marks of each deliverer: accounts, and the transaction that registered it.

    Anybody can name another's owner or pay for another's registration, so that marks are compared
    pair by pair, and never joined to groups: that would tie honest deliverers together.
    """
    many = {who for who, count in Counter(funders.values()).items() if count > MAX_FUNDED}
    found = {}
    for log in registered:
        marks: set[object] = {log.operator, log.owner, ("tx", log.at.tx_hash)}
        funder = funders.get(log.operator)
        if funder is not None and funder not in many:
            marks.add(funder)
        found[log.operator] = frozenset(marks)
    return found
