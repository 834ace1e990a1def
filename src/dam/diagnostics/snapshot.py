"""A daemon at a glance, from outside: what chain, ledger and lock say of it at one moment.

Nothing of it needs the daemon, and a node that does not answer leaves the rest. `Watcher` can be
asked again and again: the chain's history is read once, and only its newest part after that.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dam.config.settings import Settings
from dam.daemon import locks
from dam.errors import ConfigError, LedgerError, Retryable
from dam.ethereum.node import balance_of
from dam.ethereum.node_pool import NodePool
from dam.ledger.status import DaemonStatus, highest_fee, read_status
from dam.market.client import Market
from dam.market.deliverers import Candidate
from dam.market.log_history import DELIVERERS, candidates
from dam.market.reputation import ProposedSlash, proposed_slashes
from dam.types import (
    FALLBACK_BLOCKS,
    Address,
    BlockRef,
    Clock,
    JunkProved,
    MarketLog,
)

BLOCK_SECONDS = 12.0
"""Where it cannot be measured."""
_MEASURED = 100
_OVERLAP = 64
"""Blocks that are read again each time: they may have been replaced."""


@dataclass(frozen=True, slots=True)
class Chain:
    """What the node says. Amounts in wei."""

    head: BlockRef
    clock: Clock
    """The market's, in that block."""
    block_seconds: float
    """Mean time between the last hundred blocks."""
    balance: int
    """Of who pays for gas."""
    candidate: Candidate | None
    """None: not registered, or no deliverer."""
    slashes: list[ProposedSlash]
    proofs: list[JunkProved] = field(default_factory=list)
    """Parts of ours that were proved to be junk."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """The sale in progress whose time runs out first."""

    copy_id: bytes
    last_time: int
    """Last second in which a delivery of ours counts."""
    seconds: int | None
    """Until then, not below 0; None where the market's clock is not known."""
    alone_blocks: int | None
    """Blocks, as the contract counts them, in which nobody else delivers a part; likewise."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything at one moment."""

    role: str
    account: Address
    chain: Chain | None
    node_error: str
    """Why there is no ``chain``."""
    ledger: DaemonStatus | None
    ledger_error: str
    process: str | None
    """Number of the process that runs; None: none does."""
    confirmations: int
    payer: Address
    """Who sends and pays for gas; the account itself, unless another one relays."""
    highest_fee: int = 0
    """Of a part that is held, in wei."""

    @property
    def behind(self) -> int | None:
        """Blocks that the daemon should have read and has not."""
        if self.chain is None or self.ledger is None:
            return None
        return max(0, self.chain.head.number - self.confirmations - self.ledger.cursor)

    @property
    def deadline(self) -> Deadline | None:
        """The nearest, as far as the daemon has read."""
        found = self.ledger.next_deadline if self.ledger else None
        if found is None:
            return None
        if self.chain is None:
            return Deadline(found.copy_id, found.last_time, None, None)
        clock = self.chain.clock
        left = max(0, found.last_time - clock.time)
        alone = max(0, found.purchase_block + FALLBACK_BLOCKS - clock.block)
        return Deadline(found.copy_id, found.last_time, left, alone)


class Watcher:
    """Takes snapshots of one daemon.

    Args:
        settings: Of its home.
        role: ``deliverer`` or ``watchdog``.
        account: Its account.
        rpc: The nodes; the caller closes them.
        payer: Who sends and pays for gas; None: the account.
    """

    def __init__(
        self,
        settings: Settings,
        role: str,
        account: Address,
        rpc: NodePool,
        payer: Address | None = None,
    ) -> None:
        self._settings = settings
        self._role = role
        self._account = account
        self._payer = payer or account
        self._market = Market(rpc, settings.deployment)
        self._checked = False
        self._logs: list[MarketLog] = []
        self._next = settings.deployment.first_block

    async def look(self) -> Snapshot:
        """One snapshot. Raises nothing that a node or a ledger could be the reason of."""
        chain, node_error = None, ""
        try:
            if not self._checked:
                await self._market.check_deployment()
                self._checked = True
            chain = await self._chain()
        except (Retryable, ConfigError) as error:
            node_error = str(error)
        path = self._settings.ledger(self._role)
        ledger, ledger_error = None, ""
        try:
            ledger = read_status(path)
        except LedgerError as error:
            ledger_error = str(error)
        return Snapshot(
            role=self._role,
            account=self._account,
            chain=chain,
            node_error=node_error,
            ledger=ledger,
            ledger_error=ledger_error,
            process=locks.holder(path.with_name(path.name + ".lock")),
            confirmations=self._settings.confirmation_blocks,
            payer=self._payer,
            highest_fee=highest_fee(path) if self._role == "deliverer" else 0,
        )

    async def _chain(self) -> Chain:
        market, first = self._market, self._settings.deployment.first_block
        head, clock = await market.head_and_clock()
        then = await market.block(max(first, min(head.number, head.number - _MEASURED)))
        mean = BLOCK_SECONDS
        if head.number > then.number and head.timestamp > then.timestamp:
            mean = (head.timestamp - then.timestamp) / (head.number - then.number)
        balance = await balance_of(market.rpc, self._payer)
        if self._role != "deliverer":
            return Chain(head, clock, mean, balance, None, [])
        logs = await self._history(head.number)
        candidate = (await candidates(market, logs, of=self._account)).get(self._account)
        slashes = [s for s in proposed_slashes(logs, clock.time) if s.operator == self._account]
        proofs = [
            log for log in logs if isinstance(log, JunkProved) and log.deliverer == self._account
        ]
        return Chain(head, clock, mean, balance, candidate, slashes, proofs)

    async def _history(self, head: int) -> list[MarketLog]:
        """All logs that tell of deliverers; sales are left out, however many there are."""
        if head >= self._next:
            fresh = await self._market.logs(self._next, head, events=DELIVERERS | {"JunkProved"})
            kept = [log for log in self._logs if log.at.block.number < self._next]
            self._logs = kept + fresh
            self._next = max(self._settings.deployment.first_block, head - _OVERLAP)
        return self._logs
