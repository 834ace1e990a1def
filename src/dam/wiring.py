"""Builds the daemons from settings and keys, and runs them to their end.

Exit codes: 0 stopped when told to; 1 something that needs a person, said in the last log line;
2 wrong settings, keys or node, likewise.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dam import locks, logs
from dam.accounts import load_account
from dam.config import Settings
from dam.errors import ConfigError, DamError, KeyFileError, Retryable
from dam.ipfs import open_store
from dam.keys import KeyRing, find_passphrase, load_ring, load_seed
from dam.ledger import Binding, Ledger
from dam.listing import Catalogue
from dam.market import Market
from dam.reader import Reader
from dam.roles.deliverer import Deliverer
from dam.roles.watchdog import Watchdog
from dam.rpc import JsonRpc
from dam.seeds import SellerSeed
from dam.sending import Sender, SendPolicy
from dam.service import Service, Stop
from dam.stores import StoreKeeper, StorePolicy
from dam.transactions import Signer
from dam.types import Address

Checkpoint = Callable[[str], None]
Prompt = Callable[[str], str]


def _pass(_: str) -> None:
    """The checkpoint of production: nothing happens."""


def deliverer(
    settings: Settings, *, prompt: Prompt | None = None, checkpoint: Checkpoint = _pass
) -> int:
    """Opens the deliverer's keys and runs it until it is told to stop; returns the exit code.

    Args:
        settings: From `Settings.load`.
        prompt: Asks a person for a passphrase; None: environment and credentials only.
        checkpoint: Called at the named places of `docs/operating.md`; tests stop there.
    """
    log = logs.get("deliverer")
    with _reported(log) as result:
        signer = _account(settings, "deliverer", prompt)
        passphrase = find_passphrase(os.environ, prompt)
        ring = load_ring(settings.keys.deliverer, passphrase)
        asyncio.run(run_deliverer(settings, signer, ring, log=log, checkpoint=checkpoint))
    return result.code


def watchdog(
    settings: Settings, *, prompt: Prompt | None = None, checkpoint: Checkpoint = _pass
) -> int:
    """Opens the seller's seed and folder and runs the watchdog; see `deliverer`."""
    log = logs.get("watchdog")
    with _reported(log) as result:
        signer = _account(settings, "watchdog", prompt)
        passphrase = find_passphrase(os.environ, prompt)
        seed = SellerSeed(load_seed(settings.keys.seller, "seller-seed", passphrase))
        catalogue = Catalogue(settings.catalogue)
        seller = seller_of(catalogue)
        asyncio.run(
            run_watchdog(settings, signer, seed, catalogue, seller, log=log, checkpoint=checkpoint)
        )
    return result.code


def seller_of(catalogue: Catalogue) -> Address:
    """Whose store the folder is.

    Raises:
        ConfigError: It is empty, or holds the items of several sellers.
    """
    sellers = {listing.seller for listing in catalogue.all()}
    if len(sellers) > 1:
        raise ConfigError(
            f"{catalogue.folder} holds items of {len(sellers)} sellers: give each a DAM_HOME"
        )
    if not sellers:
        # An operator's own address has no sales: it would watch nobody, and never say so.
        raise ConfigError(
            f"{catalogue.folder} holds no items to watch: publish first (`dam seller publish`)"
        )
    return sellers.pop()


async def run_deliverer(
    settings: Settings,
    signer: Signer,
    ring: KeyRing,
    *,
    log: logs.Log,
    checkpoint: Checkpoint = _pass,
    stop: Stop | None = None,
) -> None:
    """Runs the deliverer with keys that are open already; returns when told to stop.

    Args:
        settings: As `deliverer`, like ``checkpoint``.
        signer: Signs its transactions.
        ring: Its X25519 keys.
        log: Where it tells.
        checkpoint: See `deliverer`.
        stop: How it is told, where several run in one process; None: by signals.

    Raises:
        DamError: What cannot be mended by waiting.
    """
    log = log.bind(account=signer.address)

    async def work(stop: Stop, market: Market, ledger: Ledger) -> None:
        blocks = open_store(settings.ipfs)
        role = Deliverer(
            market,
            ledger,
            ring,
            signer.address,
            log=log,
            min_fee=settings.min_fee,
            checkpoint=checkpoint,
        )

        def changed() -> None:
            role.documents_changed()
            service.wake()

        keeper = StoreKeeper(
            blocks,
            ledger,
            role.scan,
            log=log,
            changed=changed,
            policy=StorePolicy(pin_bytes=settings.pin_bytes),
            checkpoint=checkpoint,
        )
        service = Service(
            ledger,
            _reader(settings, market, ledger, log, checkpoint),
            role,
            _sender(settings, market, signer, ledger, log, checkpoint),
            log=log,
            check=market.check_deployment,
            new_logs=keeper.wake,
            background=[keeper.run],
            poll=settings.poll_seconds,
        )
        try:
            await service.run(stop)
        finally:
            await blocks.close()

    path = settings.ledger("deliverer")
    await _on_ground(settings, signer.address, "deliverer", path, log, work, stop)


async def run_watchdog(
    settings: Settings,
    signer: Signer,
    seed: SellerSeed,
    catalogue: Catalogue,
    seller: Address,
    *,
    log: logs.Log,
    checkpoint: Checkpoint = _pass,
    stop: Stop | None = None,
) -> None:
    """Runs the watchdog of ``seller`` with keys that are open already; see `run_deliverer`."""
    log = log.bind(account=signer.address, seller=seller)

    async def work(stop: Stop, market: Market, ledger: Ledger) -> None:
        role = Watchdog(market, ledger, seed, catalogue, seller, signer.address, log=log)
        await role.check()
        service = Service(
            ledger,
            _reader(settings, market, ledger, log, checkpoint),
            role,
            _sender(settings, market, signer, ledger, log, checkpoint),
            log=log,
            check=market.check_deployment,
            poll=settings.poll_seconds,
        )
        await service.run(stop)

    name = f"watchdog of {seller}"
    await _on_ground(settings, signer.address, name, settings.ledger("watchdog"), log, work, stop)


async def _on_ground(
    settings: Settings,
    account: Address,
    role: str,
    path: Path,
    log: logs.Log,
    work: Callable[[Stop, Market, Ledger], Coroutine[Any, Any, None]],
    told: Stop | None,
) -> None:
    """Runs ``work`` on what every daemon stands on: a checked node, the locks, the ledger."""
    deployment = settings.deployment
    stop = told or Stop()
    with stop.on_signals() if told is None else contextlib.nullcontext():
        async with JsonRpc(settings.rpc_url) as rpc:
            market = Market(rpc, deployment)
            genesis = await _reach(market, stop, log)
            if genesis is None:
                return
            account_lock = locks.account_lock(
                locks.lock_folder(), deployment.chain_id, genesis, account
            )
            with (
                locks.exclusive(account_lock, f"account {account}"),
                locks.exclusive(path.with_name(path.name + ".lock"), f"ledger {path}"),
                contextlib.closing(
                    Ledger.open(
                        path,
                        Binding(deployment.chain_id, deployment.market, account, role),
                        documents=role == "deliverer",
                    )
                ) as ledger,
            ):
                log.info(
                    "starting",
                    chain_id=deployment.chain_id,
                    market=deployment.market,
                    ledger=str(path),
                    confirmations=settings.confirmations,
                )
                await work(stop, market, ledger)


async def _reach(market: Market, stop: Stop, log: logs.Log) -> bytes | None:
    """Hash of the genesis block, once the node answers and is the right one; None: told to stop."""
    pause = 0.5
    while not stop.draining.is_set():
        try:
            await market.check_deployment()
            return (await market.block(0)).hash
        except Retryable as error:
            log.warning("node_unreachable", error=str(error), retry_seconds=pause)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.draining.wait(), pause)
        pause = min(2 * pause, 30.0)
    return None


def _reader(
    settings: Settings, market: Market, ledger: Ledger, log: logs.Log, checkpoint: Checkpoint
) -> Reader:
    deployment = settings.deployment
    return Reader(
        market,
        ledger,
        first_block=deployment.first_block,
        refund_blocks=deployment.windows.refund_blocks,
        log=log,
        confirmations=settings.confirmation_blocks,
        checkpoint=checkpoint,
    )


def _sender(
    settings: Settings,
    market: Market,
    signer: Signer,
    ledger: Ledger,
    log: logs.Log,
    checkpoint: Checkpoint,
) -> Sender:
    policy = SendPolicy(max_fee=settings.max_fee, confirmations=settings.confirmation_blocks)
    return Sender(market.rpc, market, signer, ledger, log=log, policy=policy, checkpoint=checkpoint)


def _account(settings: Settings, role: str, prompt: Prompt | None) -> Signer:
    alias = settings.account(role)
    if alias is None:
        raise ConfigError(
            f"no account is set for the {role}: set DAM_ACCOUNT, or [accounts] in config.toml"
        )
    return load_account(alias, environ=os.environ, prompt=prompt)


@dataclass
class _Result:
    code: int = 0


@contextlib.contextmanager
def _reported(log: logs.Log) -> Iterator[_Result]:
    """Turns how a daemon ended into its exit code, and says why in one line."""
    result = _Result()
    try:
        yield result
    except (ConfigError, KeyFileError) as error:
        log.critical("cannot_run", reason=str(error))
        result.code = 2
    except (DamError, sqlite3.DatabaseError, OSError) as error:
        log.critical("stopped_by_fault", reason=str(error), kind=type(error).__name__)
        result.code = 1
    except (asyncio.CancelledError, KeyboardInterrupt):
        log.warning("stopped_at_once")
        result.code = 1
