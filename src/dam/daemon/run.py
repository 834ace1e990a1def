"""Builds the daemons from settings and keys, and runs them to their end.

Exit codes: 0 stopped when told to, or a single run done; 1 a fault that needs a person, named in
the last log line; 2 wrong settings, keys or node, likewise.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import os
import resource
from collections.abc import Callable
from functools import partial

from dam.config.settings import Settings
from dam.crypto.derivation import SellerSeed
from dam.daemon.base import Checkpoint, DaemonBase
from dam.daemon.document_sync import DocumentSync, SyncPolicy
from dam.daemon.exit import end_process, report_exit
from dam.daemon.metrics import CountedStore
from dam.daemon.monitoring import Monitoring
from dam.daemon.service import Stop
from dam.errors import ConfigError
from dam.ipfs.open import open_store
from dam.keystore.ape_accounts import load_account
from dam.keystore.key_files import KeyRing, find_passphrase, load_ring, load_seed
from dam.ledger import own_junk
from dam.ledger.ledger import Ledger
from dam.log import Log, get_logger
from dam.market.client import Market
from dam.roles.deliverer.deliverer import Deliverer
from dam.roles.seller.listings import Catalogue
from dam.roles.watchdog import Watchdog
from dam.sending.sender import WholeSigner as Signer
from dam.types import Address

Prompt = Callable[[str], str]


def _pass(_: str) -> None:
    """The checkpoint of production: nothing happens."""


def deliverer_main(
    settings: Settings,
    *,
    prompt: Prompt | None = None,
    checkpoint: Checkpoint = _pass,
    once: bool = False,
    dry_run: Address | None = None,
) -> int:
    """Opens the deliverer's keys and runs it until it is stopped; returns the exit code.

    Args:
        settings: From `Settings.load`.
        prompt: Asks a person for a passphrase; None: environment and credentials only.
        checkpoint: Called at the named places of `docs/operating.md`; tests stop there.
        once: End after one whole pass; see `service.Service.run`.
        dry_run: Whose daemon to simulate, without signing or sending; None: a real run.
    """
    log = get_logger("deliverer")
    with report_exit(log) as result:
        monitoring = _monitoring(settings, "deliverer", log)
        signer = dry_run or _account(settings, "deliverer", prompt)
        sender = None if dry_run else _sender(settings, prompt)
        passphrase = find_passphrase(os.environ, prompt)
        ring = load_ring(settings.keys.deliverer, passphrase)
        asyncio.run(
            run_deliverer(
                settings,
                signer,
                ring,
                sender=sender,
                log=log,
                checkpoint=checkpoint,
                once=once,
                monitoring=monitoring,
            )
        )
    return result.code


def watchdog_main(
    settings: Settings,
    *,
    prompt: Prompt | None = None,
    checkpoint: Checkpoint = _pass,
    once: bool = False,
    dry_run: Address | None = None,
) -> int:
    """Opens the seller's seed and folder and runs the watchdog; see `deliverer`."""
    log = get_logger("watchdog")
    with report_exit(log) as result:
        monitoring = _monitoring(settings, "watchdog", log)
        signer = dry_run or _account(settings, "watchdog", prompt)
        sender = None if dry_run else _sender(settings, prompt)
        passphrase = find_passphrase(os.environ, prompt)
        seed = SellerSeed(load_seed(settings.keys.seller, "seller-seed", passphrase))
        catalogue = Catalogue(settings.catalogue)
        seller = seller_of(catalogue)
        run = partial(run_watchdog, settings, signer, seed, catalogue, seller, sender=sender)
        asyncio.run(run(log=log, checkpoint=checkpoint, once=once, monitoring=monitoring))
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
        # An operator's own address has no sales: it would watch nobody, without a word.
        raise ConfigError(
            f"{catalogue.folder} holds no items to watch: publish first (`dam seller publish`), "
            "or put the folder back from a backup"
        )
    return sellers.pop()


async def run_deliverer(
    settings: Settings,
    signer: Signer | Address,
    ring: KeyRing,
    *,
    sender: Signer | None = None,
    log: Log,
    checkpoint: Checkpoint = _pass,
    stop: Stop | None = None,
    once: bool = False,
    monitoring: Monitoring | None = None,
) -> None:
    """Runs the deliverer with keys that are open already; returns once it is stopped.

    Args:
        settings: As `deliverer_main`, like ``checkpoint`` and ``once``.
        signer: The operator; an address alone plays that one's daemon in a dry run.
        ring: Its keys.
        sender: Who sends and pays; None: the operator.
        log: Logger.
        checkpoint: See `deliverer_main`.
        stop: Stops it, where several run in one process; None: signals do.
        once: See `deliverer_main`.
        monitoring: What watches it; None: metrics alone, if the settings name a port.

    Raises:
        DamError: What cannot be mended by waiting.
    """
    monitoring = monitoring or Monitoring(settings, "deliverer", log)
    base = DaemonBase(settings, "deliverer", signer, monitoring, checkpoint, sender=sender)
    await base.run(partial(_deliver, base, ring, once), log, stop)


async def _deliver(
    base: DaemonBase,
    ring: KeyRing,
    once: bool,
    stop: Stop,
    market: Market,
    ledger: Ledger,
    log: Log,
) -> None:
    settings, checkpoint = base.settings, base.checkpoint
    blocks = CountedStore(open_store(settings.ipfs, auth=settings.ipfs_auth))
    base.monitoring.sources.blocks = blocks.stats
    role = Deliverer(
        market,
        ledger,
        ring,
        base.account,
        log=log,
        min_fee=settings.min_fee,
        checkpoint=checkpoint,
    )

    def changed() -> None:
        role.documents_changed()
        service.wake()

    sync = DocumentSync(
        blocks,
        ledger,
        role.scan,
        log=log,
        changed=changed,
        policy=SyncPolicy(pin=not base.dry, pin_bytes=settings.pin_bytes),
        checkpoint=checkpoint,
    )

    def new_logs() -> None:
        sync.wake()
        report_own_junk(ledger, log)

    service = base.service(
        market, ledger, role, log, new_logs=new_logs, keep=sync.run, idle=lambda: sync.idle
    )
    try:
        await service.run(stop, once=once)
    finally:
        await blocks.close()


def report_own_junk(ledger: Ledger, log: Log) -> None:
    """Says once that a part which the operator signed was proved to be junk: this daemon seals no
    junk, so that somebody else has the key.
    """
    proofs = own_junk.untold(ledger)
    for proof in proofs:
        log.error(
            "own_part_junk",
            sale=proof.copy_id,
            index=proof.part,
            block=proof.block,
            cleared=proof.cleared,
            sealed_here=proof.sealed_here,
        )
    if proofs:
        own_junk.mark_told(ledger, proofs[-1])


async def run_watchdog(
    settings: Settings,
    signer: Signer | Address,
    seed: SellerSeed,
    catalogue: Catalogue,
    seller: Address,
    *,
    sender: Signer | None = None,
    log: Log,
    checkpoint: Checkpoint = _pass,
    stop: Stop | None = None,
    once: bool = False,
    monitoring: Monitoring | None = None,
) -> None:
    """Runs the watchdog of ``seller`` with keys that are open already; see `run_deliverer`."""
    monitoring = monitoring or Monitoring(settings, "watchdog", log)
    base = DaemonBase(settings, "watchdog", signer, monitoring, checkpoint, seller, sender=sender)

    async def work(stop: Stop, market: Market, ledger: Ledger, log: Log) -> None:
        role = Watchdog(market, ledger, seed, catalogue, seller, base.account, log=log)
        await role.check()
        await base.service(market, ledger, role, log).run(stop, once=once)

    await base.run(work, log, stop)


def _monitoring(settings: Settings, role: str, log: Log) -> Monitoring:
    """For a daemon that has its process to itself."""
    # The manager's watchdog aborts us: then every thread's stack is printed, and no core file with
    # our keys is written.
    faulthandler.enable(all_threads=True)
    with contextlib.suppress(OSError, ValueError):  # a sandbox may have set it, and forbid the call
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return Monitoring(settings, role, log, environ=os.environ, end=end_process)


def _account(settings: Settings, role: str, prompt: Prompt | None) -> Signer:
    alias = settings.account(role)
    if alias is None:
        raise ConfigError(
            f"no account is set for the {role}: set DAM_ACCOUNT, or [accounts] in config.toml"
        )
    return load_account(alias, environ=os.environ, prompt=prompt)


def _sender(settings: Settings, prompt: Prompt | None) -> Signer | None:
    """The account that sends, if it is another than the operator's."""
    if not settings.relay or settings.sender_account is None:
        return None
    return load_account(settings.sender_account, environ=os.environ, prompt=prompt)
