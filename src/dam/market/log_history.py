"""The market's whole history, read once per command: all logs, and what they add up to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dam.market.client import Market
from dam.market.deliverers import Candidate, registrations
from dam.market.reputation import posted_terms
from dam.market.sale_history import SaleHistory
from dam.types import Address, MarketLog


@dataclass(frozen=True)
class History:
    """All logs from the deployment to ``head``."""

    logs: Sequence[MarketLog]
    head: int
    """Newest block in it."""
    state: SaleHistory
    """Sales and stores, replayed from the logs."""


async def read_history(market: Market, *, first: int | None = None) -> History:
    """Reads all logs up to the newest block.

    Args:
        market: The market.
        first: First block of interest; None: the deployment's.
    """
    head = await market.head()
    start = market.deployment.first_block if first is None else first
    logs = await market.logs(start, head.number) if start <= head.number else []
    return History(logs, head.number, SaleHistory(logs))


async def candidates(market: Market, logs: Sequence[MarketLog]) -> dict[Address, Candidate]:
    """All deliverers that ever registered, with what the contract says of them now."""
    found = registrations(logs)
    terms = posted_terms(logs)
    infos = await market.deliverers(list(found))
    return {
        operator: Candidate(
            registration,
            info.stake,
            info.delivered,
            info.earned,
            info.exit_block,
            terms.get(operator),
        )
        for (operator, registration), info in zip(found.items(), infos, strict=True)
    }
