"""The market's history, read once per command: logs of the events that it needs, and their sum.

Events that a command does not need it does not ask for, for anybody may write any number of them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from dam.market.client import Market
from dam.market.deliverers import Candidate, registrations
from dam.market.reputation import ArbiterRecord, arbiter_record, posted_terms, unruled
from dam.market.sale_history import SaleHistory, SaleRecord
from dam.types import Address, Clock, CopyId, Deadlines, MarketLog

SALES = frozenset(
    {
        "ItemPurchased", "FragmentDelivered", "FragmentSupplied", "StoreCreated", "StoreUpdated",
        "JunkProved", "DisputeOpened", "SaleSettled", "SaleRefunded", "DisputeResolved",
        "SaleAgreed", "SaleRated", "SellerFaultProved",
    }
)  # fmt: skip
"""Events that tell of sales and stores, and of their ratings."""
EVIDENCE = frozenset({"Evidence"})
OPERATORS = frozenset(
    {"DelivererStaked", "DelivererOwnerSet", "SlashProposed", "SlashExecuted", "SlashCancelled"}
)
"""Who delivers, to whom its earnings belong, and what is proposed to be taken of its stake."""
DELIVERERS = OPERATORS | {"DelivererKeyRotated", "DelivererTermsPosted"}
"""All that sellers want to know of deliverers; see `candidates`."""


@dataclass(frozen=True)
class History:
    """Logs from the deployment to ``head``, of the events that were asked for."""

    logs: Sequence[MarketLog]
    head: int
    """Newest block in it."""
    clock: Clock
    """Of the contract, in that block."""
    state: SaleHistory
    """Sales and stores, replayed from the logs."""


async def read_history(
    market: Market, *, first: int | None = None, also: Collection[str] = ()
) -> History:
    """Reads the logs of sales and stores (`SALES`) up to the newest block.

    Args:
        market: The market.
        first: First block of interest; None: the deployment's.
        also: Names of further events, such as `DELIVERERS`.
    """
    head, clock = await market.head_and_clock()
    start = market.deployment.first_block if first is None else first
    events = SALES.union(also)
    logs = await market.logs(start, head.number, events=events) if start <= head.number else []
    return History(logs, head.number, clock, SaleHistory(logs))


async def read_deadlines(
    market: Market, block: int, sales: Collection[SaleRecord]
) -> dict[CopyId, Deadlines]:
    """What the contract says of the sales that have not ended, in the block up to which they are
    told, in few requests. Those that have ended are left out.
    """
    is_open = [sale.purchase for sale in sales if not sale.status.final]
    told = await market.deadlines(is_open, block=block)
    return {bought.copy_id: one for bought, one in zip(is_open, told, strict=True)}


async def read_deadlines_of(market: Market, history: History, sale: SaleRecord) -> Deadlines | None:
    """As `read_deadlines`, of one sale; None where it has ended."""
    return (await read_deadlines(market, history.head, [sale])).get(sale.copy_id)


async def candidates(
    market: Market, logs: Sequence[MarketLog], *, of: Address | None = None
) -> dict[Address, Candidate]:
    """All deliverers that ever registered, with what the contract says of them now.

    Args:
        market: The market.
        logs: With those of `DELIVERERS`.
        of: This operator alone; None: all.
    """
    found = registrations(logs, market.deployment.chain_id, market.address, of=of)
    terms = posted_terms(logs)
    infos = await market.deliverers(list(found))
    return {
        operator: Candidate(
            registration,
            info.stake,
            info.delivered,
            info.earned,
            info.exit_time,
            terms.get(operator),
        )
        for (operator, registration), info in zip(found.items(), infos, strict=True)
    }


async def read_arbiter_record(
    market: Market, cases: SaleHistory, clock: Clock, arbitrator: Address
) -> ArbiterRecord:
    """The record of an arbitrator up to a moment.

    Args:
        market: The market.
        cases: Its disputes, among others.
        clock: The contract's, in the newest block of them.
        arbitrator: Whose.
    """
    logs = [log for sale in unruled(cases, arbitrator) for log in (sale.dispute, sale.closed)]
    numbers = sorted({log.at.block.number for log in logs if log is not None})
    blocks = await market.blocks(numbers) if numbers else []
    times = {block.number: block.timestamp for block in blocks}
    windows = market.deployment.windows
    return arbiter_record(cases, arbitrator, windows, clock.time, times)
