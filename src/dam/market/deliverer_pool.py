"""All deliverers with their records: what a seller picks from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from dam.errors import Malformed
from dam.ethereum.node_errors import RpcBadReplyError
from dam.market.client import Market
from dam.market.deliverer_records import (
    ESTABLISHED_SECONDS,
    RECORD_EVENTS,
    Past,
    deliverer_records,
    past_of,
)
from dam.market.deliverers import Candidate
from dam.market.log_history import DELIVERERS, History, candidates
from dam.types import Address, DelivererRegistered, MarketLog
from dam.validation import address

POOL_EVENTS = DELIVERERS | RECORD_EVENTS
"""Read a history with ``also=POOL_EVENTS`` for `read_pool`."""
_PROBES = 15
_BATCH = 100


async def read_pool(market: Market, history: History) -> dict[Address, Candidate]:
    """All deliverers that ever registered, with what the contract and their past say of them.

    Args:
        market: The market.
        history: Read with ``also=POOL_EVENTS``.

    Raises:
        RpcError: The node could not be asked.
    """
    past = past_of(history.logs, market.deployment.windows.min_deliverer_stake)
    return await pool_of(market, history.logs, history.head, past)


async def pool_of(
    market: Market, logs: Sequence[MarketLog], block: int, past: Past
) -> dict[Address, Candidate]:
    """As `read_pool`, from what was added up before.

    Args:
        market: The market.
        logs: Of deliverers and of proofs of junk.
        block: The newest one in them.
        past: What they, sales and stores add up to.
    """
    known = await candidates(market, logs)
    first = [log for log in logs if isinstance(log, DelivererRegistered)]
    head = await market.block(block)
    records = deliverer_records(
        logs,
        past,
        old_block=await last_block_before(
            market, head.timestamp - ESTABLISHED_SECONDS, head.number
        ),
        funders=await _funders(market, first),
    )
    return {
        operator: replace(one, record=records[operator])
        for operator, one in known.items()
        if operator in records
    }


async def last_block_before(market: Market, time: int, head: int) -> int:
    """The newest block of at most this timestamp (seconds), from the market's deployment on.

    Args:
        market: The market.
        time: In seconds UTC.
        head: The newest block that counts.

    Returns:
        Its number; the one before the deployment's where all are newer.
    """
    low, high = market.deployment.first_block - 1, head + 1
    while high - low > 1:
        step = max(1, (high - low) // (_PROBES + 1))
        probes = list(range(low + step, high, step))[: _PROBES + 1]
        for block in await market.blocks(probes):
            if block.timestamp > time:
                high = min(high, block.number)
            else:
                low = max(low, block.number)
    return low


async def _funders(market: Market, logs: Iterable[DelivererRegistered]) -> dict[Address, Address]:
    """Who sent the transaction in which an operator registered, where that was somebody else."""
    registered = {log.operator: log.at.tx_hash for log in logs}
    operators = list(registered)
    found = {}
    for start in range(0, len(operators), _BATCH):
        some = operators[start : start + _BATCH]
        answers = await market.rpc.batch(
            [("eth_getTransactionByHash", ["0x" + registered[one].hex()]) for one in some],
            errors=True,
        )
        for operator, answer in zip(some, answers, strict=True):
            sender = answer.get("from") if isinstance(answer, dict) else None
            if sender is None:
                continue  # The node has it no more: the other marks are in the logs.
            try:
                funder = address(sender, "from")
            except Malformed as error:
                raise RpcBadReplyError(f"eth_getTransactionByHash: {error}") from None
            if funder != operator:
                found[operator] = funder
    return found
