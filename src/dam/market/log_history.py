"""The market's history, read once per command: logs of the events that it needs, and their sum.

Events that a command does not need it does not ask for, for anybody may write any number of them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from dam.market.client import Market
from dam.market.deliverers import Candidate, registrations
from dam.market.reputation import posted_terms
from dam.market.sale_history import SaleHistory
from dam.types import Address, MarketLog

SALES = frozenset(
    {
        "ItemPurchased", "FragmentDelivered", "FragmentSupplied", "StoreCreated", "StoreUpdated",
        "JunkProved", "DisputeOpened", "SaleSettled", "SaleRefunded", "DisputeResolved",
        "SaleAgreed", "SaleRated",
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
    head = await market.head()
    start = market.deployment.first_block if first is None else first
    events = SALES.union(also)
    logs = await market.logs(start, head.number, events=events) if start <= head.number else []
    return History(logs, head.number, SaleHistory(logs))


async def candidates(market: Market, logs: Sequence[MarketLog]) -> dict[Address, Candidate]:
    """All deliverers that ever registered, with what the contract says of them now.

    ``logs`` must hold those of `DELIVERERS`.
    """
    found = registrations(logs, market.deployment.chain_id, market.address)
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
