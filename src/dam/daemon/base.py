"""What every daemon needs, opened in order: checked node, locks, ledger, service."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from dam.config.settings import Settings
from dam.daemon import locks
from dam.daemon.chain_reader import ChainReader
from dam.daemon.monitoring import Monitoring
from dam.daemon.service import AnySender, Role, Service, Stop, log_node_behind
from dam.errors import LedgerUnusableError, Retryable
from dam.ethereum.node import balance_of
from dam.ledger import recovery
from dam.ledger.ledger import Binding, Ledger
from dam.log import Log, with_alerts
from dam.market.client import BlockUnknownError, Market
from dam.market.connect import open_nodes
from dam.roles.deliverer.deliverer import Deliverer
from dam.sending.sender import DrySender, Sender, SendPolicy, WholeSigner
from dam.sending.transactions import Signer
from dam.types import FALLBACK_BLOCKS, Address

Checkpoint = Callable[[str], None]
Work = Callable[[Stop, Market, Ledger, Log], Coroutine[Any, Any, None]]


class DaemonBase:
    """One per daemon.

    Args:
        settings: From `Settings.load`.
        role: ``deliverer`` or ``watchdog``.
        signer: The operator, who signs lists of parts; an address alone for a dry run.
        monitoring: What watches it.
        checkpoint: Called at the named places of `docs/operating.md`.
        seller: Whose watchdog it is.
        sender: The account that sends and pays; None: the operator's.
    """

    def __init__(
        self,
        settings: Settings,
        role: str,
        signer: WholeSigner | Address,
        monitoring: Monitoring,
        checkpoint: Checkpoint,
        seller: Address | None = None,
        *,
        sender: Signer | None = None,
    ) -> None:
        self.settings = settings
        self._role = role
        self._signer = None if isinstance(signer, str) else signer
        self.account = signer if isinstance(signer, str) else signer.address
        """The operator's."""
        self._sender_account = sender or self._signer
        self.monitoring = monitoring
        self.checkpoint = checkpoint
        self._seller = seller

    @property
    def dry(self) -> bool:
        """Nothing is signed."""
        return self._signer is None

    async def run(self, work: Work, log: Log, stop: Stop | None) -> None:
        """Runs ``work`` once everything is there."""
        settings, deployment = self.settings, self.settings.deployment
        log = with_alerts(log, self.monitoring.alert).bind(account=self.account)
        binding = f"watchdog of {self._seller}" if self._seller else self._role
        if self._seller:
            log = log.bind(seller=self._seller)
        if self.dry:
            binding = f"dry run of {binding}"
        # A dry run has decided what it never sent: no real run may take that for done.
        path = settings.ledger(f"{self._role}-dry-run" if self.dry else self._role)
        on_signals = stop is None
        stop = stop or Stop()
        with stop.on_signals() if on_signals else contextlib.nullcontext():
            rpc = open_nodes(settings, log=log)
            async with self.monitoring.running(), rpc:
                self.monitoring.sources.endpoints = rpc
                market = Market(rpc, deployment, progress=self.monitoring.beats.round_ended)
                genesis = await _reach(market, stop, log, self.monitoring)
                if genesis is None:
                    return
                with (
                    self._account_locks(genesis),
                    locks.exclusive(path.with_name(path.name + ".lock"), f"ledger {path}"),
                    contextlib.closing(
                        self._ledger(
                            path,
                            Binding(deployment.chain_id, deployment.market, self.account, binding),
                        )
                    ) as ledger,
                ):
                    self.monitoring.sources.ledger = path
                    if self._seller is None:
                        # The fallback alone counts blocks.
                        self.monitoring.sources.fallback_blocks = FALLBACK_BLOCKS
                    self.monitoring.sources.rollbacks = lambda: ledger.rollbacks
                    log.info(
                        "starting",
                        chain_id=deployment.chain_id,
                        market=deployment.market,
                        market_name=settings.market_name or None,
                        ledger=str(path),
                        confirmations=settings.confirmations,
                        dry_run=self.dry,
                        sender=self._payer,
                    )
                    await work(stop, market, ledger, log)

    def _ledger(self, path: Path, binding: Binding) -> Ledger:
        """The ledger, made if there was never one; the caller holds its lock.

        Raises:
            LedgerUnusableError: It cannot be used, or is gone while older files of it are there.
        """
        old = [] if path.exists() else recovery.older(path)
        if old:
            # Only they know to whom parts were sealed already.
            raise LedgerUnusableError(
                f"the ledger {path} is gone, and {old[0].name} is there: put it back, or "
                f"`dam {self._role} recover`, which reads what the older files know"
            )
        return Ledger.open(path, binding, documents=self._role == "deliverer")

    @contextlib.contextmanager
    def _account_locks(self, genesis: bytes) -> Iterator[None]:
        """Nobody else sends from the account, or signs with the operator's; a dry run does
        neither.
        """
        chain_id, folder = self.settings.deployment.chain_id, locks.lock_folder()
        with contextlib.ExitStack() as stack:
            if self._signer is not None and self._sender_account is not None:
                for address in dict.fromkeys((self.account, self._sender_account.address)):
                    name = locks.account_lock(folder, chain_id, genesis, address)
                    stack.enter_context(locks.exclusive(name, f"account {address}"))
            yield

    def service(
        self,
        market: Market,
        ledger: Ledger,
        role: Role,
        log: Log,
        *,
        new_logs: Callable[[], None] = lambda: None,
        keep: Callable[[], Coroutine[Any, Any, None]] | None = None,
        idle: Callable[[], bool] = lambda: True,
    ) -> Service:
        """The service around a role."""
        funds = partial(
            self.monitoring.watch_funds,
            lambda: balance_of(market.rpc, self._payer),
            (lambda: market.deliverer(self.account)) if isinstance(role, Deliverer) else None,
            self.settings.deployment.windows,
        )
        service = Service(
            ledger,
            self._reader(market, ledger, log),
            role,
            self._sender(market, ledger, log),
            log=log,
            check=market.check_deployment,
            new_logs=new_logs,
            background=[funds] if keep is None else [keep, funds],
            poll=self.settings.poll_seconds,
            idle=idle,
            beats=self.monitoring.beats,
        )
        self.monitoring.sources.pulse = service.pulse
        return service

    def _reader(self, market: Market, ledger: Ledger, log: Log) -> ChainReader:
        return ChainReader(
            market,
            ledger,
            log=log,
            confirmations=self.settings.confirmations,
            halt_depth=self.settings.halt_depth,
            stats=market.rpc.stats,
            checkpoint=self.checkpoint,
        )

    @property
    def _payer(self) -> Address:
        """Who pays for gas."""
        return self.account if self._sender_account is None else self._sender_account.address

    def _sender(self, market: Market, ledger: Ledger, log: Log) -> AnySender:
        if self._signer is None or self._sender_account is None:
            return DrySender(market.rpc, market, self.account, ledger, log=log)
        policy = SendPolicy(
            max_fee=self.settings.max_fee,
            confirmations=self.settings.confirmation_blocks,
            byte_price=self.settings.data_fee,
            # A watchdog saves the sale and the penalty; the fee is not what it works for.
            unprofitable=self.settings.unprofitable if self._role == "deliverer" else "send",
        )
        sender = Sender(
            market.rpc,
            market,
            self._sender_account,
            ledger,
            operator=self._signer,
            log=log,
            policy=policy,
            checkpoint=self.checkpoint,
        )
        self.monitoring.sources.sender = sender.stats
        return sender


async def _reach(market: Market, stop: Stop, log: Log, monitoring: Monitoring) -> bytes | None:
    """Hash of the genesis block, once the right node answers; None: stopped before."""
    pause, tries = 0.5, 0
    while not stop.draining.is_set():
        tries += 1
        try:
            await market.check_deployment()
            return (await market.block(0)).hash
        except BlockUnknownError as error:
            log_node_behind(log, error, tries)
            pause = 0.5
        except Retryable as error:
            tries = 0
            log.warning("node_unreachable", error=str(error), retry_seconds=pause)
        monitoring.beats.round_ended()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.draining.wait(), pause)
        pause = min(2 * pause, 30.0)
    return None
