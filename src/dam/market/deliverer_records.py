"""What the market's logs show of deliverers' past: age, paid work, and who may be one person.

Pure functions of the logs and of what a node says of their transactions. Fees count, never the
number of parts: free sales cost nothing to make.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from dam.types import (
    Address,
    CopyId,
    DelivererRegistered,
    FragmentDelivered,
    JunkProved,
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


@dataclass
class _Past:
    since: int | None = None
    """Block since which the stake is unbroken; None: it is broken now."""
    fees: int = 0
    payers: set[Address] = field(default_factory=set)

    def begin(self, block: int | None) -> None:
        self.since, self.fees, self.payers = block, 0, set()


def deliverer_records(
    logs: Iterable[MarketLog],
    *,
    old_block: int,
    min_stake: int,
    funders: Mapping[Address, Address],
) -> dict[Address, DelivererRecord]:
    """The record of every deliverer that ever registered.

    A stake is broken by an exit, by a slash, by a proof of junk, and where it was below the least
    one: what was earned before does not count any more.

    Args:
        logs: Of sales, stores and `RECORD_EVENTS`, in their order.
        old_block: The newest block that is `ESTABLISHED_SECONDS` old.
        min_stake: The least stake of a deliverer, in wei.
        funders: Who sent the transaction of a registration, where that was not the operator.
    """
    past: dict[Address, _Past] = {}
    sold: dict[CopyId, Purchase] = {}
    paid: set[tuple[CopyId, int]] = set()
    stores: dict[Address, int] = {}
    registered: dict[Address, DelivererRegistered] = {}
    for log in logs:
        if isinstance(log, StoreVersion):
            stores.setdefault(log.seller, log.at.block.number)
        elif isinstance(log, Purchase):
            sold[log.copy_id] = log
        elif isinstance(log, FragmentDelivered):
            sale = sold.get(log.copy_id)
            if sale is None or log.supplied or (log.copy_id, log.index) in paid:
                continue
            paid.add((log.copy_id, log.index))
            one = past.get(log.by)
            if one is not None and log.by != sale.seller and sale.terms.fee:
                one.fees += sale.terms.fee
                one.payers.add(sale.seller)
        elif isinstance(log, DelivererRegistered):
            registered[log.operator] = log
            past.setdefault(log.operator, _Past()).begin(log.at.block.number)
        elif isinstance(log, JunkProved | OtherLog):
            _follow_stake(past, log, min_stake)
    marks = _marks(registered.values(), funders)
    return {
        operator: DelivererRecord(
            one.since is not None
            and one.since <= old_block
            and _old_payers(one, stores, old_block, marks[operator]) >= ESTABLISHED_SELLERS,
            Wei(one.fees),
            marks[operator],
        )
        for operator, one in past.items()
    }


def _follow_stake(past: dict[Address, _Past], log: JunkProved | OtherLog, min_stake: int) -> None:
    block = log.at.block.number
    if isinstance(log, JunkProved):
        if log.deliverer in past:
            past[log.deliverer].begin(block)
        return
    one = past.get(log.args.get("operator", ""))
    if one is None:
        return
    if log.name in ("DelivererExitRequested", "DelivererStakeWithdrawn"):
        one.begin(None)
    elif log.name in ("DelivererExitCancelled", "SlashExecuted"):
        one.begin(block)
    elif log.name == "DelivererStakeAdded":
        before = log.args["stake"] - log.args["amount"]
        if one.since is None or before < min_stake:
            one.begin(block)


def _old_payers(
    one: _Past, stores: Mapping[Address, int], old_block: int, marks: Collection[object]
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
