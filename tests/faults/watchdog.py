"""The shop's watchdog as a daemon in this process, and what must hold after it did its work."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence
from pathlib import Path

from eth_account import Account

from dam.config.settings import Settings
from dam.crypto.hashing import keccak
from dam.crypto.sealing import open_fragment
from dam.daemon.exit import report_exit
from dam.daemon.run import run_watchdog
from dam.keystore.ape_accounts import Signer
from dam.keystore.key_files import KeyRing
from dam.log import get_logger
from dam.types import FALLBACK_BLOCKS
from demo import ledgers
from demo.shop import Shop
from demo.trade import Bought
from tests.faults.daemons import Deliverer, Killed
from tests.faults.oracle import check_secrets
from tests.faults.transactions import parts_in, pool_transactions
from tests.faults.world import FaultWorld


class Watchdog(Deliverer):
    """The seller's watchdog, signing as the seller's operator. Make one with `make_watchdog`."""

    shop: Shop

    def __str__(self) -> str:
        return "watchdog"

    @property
    def ledger(self) -> Path:
        return ledgers.ledger_of(self.home, "watchdog")

    async def _run(self) -> None:
        shop = self.shop
        log = get_logger("watchdog").bind(daemon=self._name)
        try:
            with report_exit(log) as result:
                await run_watchdog(
                    Settings.load(self.env),
                    self.signer,
                    shop.seed,
                    shop.catalogue,
                    shop.seller.address,
                    log=log,
                    checkpoint=self._checkpoint,
                    stop=self._stop,
                )
            self._code = result.code
        except Killed:
            self._code = -9


def make_watchdog(world: FaultWorld, *, rpc: str | None = None) -> Watchdog:
    """The shop's watchdog, not started yet; it ends with the test."""
    actor = world.shop.operator
    env = world.env(actor) | {
        "DAM_RPC_URL": rpc or world.chain.url,
        "DAM_HOME": str(world.scratch / "home of the watchdog"),
    }
    signer = Signer(actor.address, Account.from_key(actor.private_key))
    # It opens nobody's parts: its number is none of theirs.
    run = len(world.daemons)
    daemon = Watchdog(actor, -1, env, signer, KeyRing(()), world.log, run=run)
    daemon.shop = world.shop
    world.daemons.append(daemon)
    return daemon


async def until_read(world: FaultWorld, *daemons: Deliverer) -> None:
    """Waits until the daemons have read the newest block that is deep enough, and acted on it."""
    wanted = await world.block() - world.confirmations
    for daemon in daemons:
        await world.wait(lambda one=daemon: one.cursor() >= wanted, f"{daemon} reads on")


async def parts_in_pool(world: FaultWorld, *actors: str) -> list[tuple[str, tuple[bytes, int]]]:
    """Parts in the pool's transactions of these accounts, each with who sent it."""
    ours = {address.lower(): address for address in actors}
    pool = await world.rpc.call("txpool_content")
    return [
        (ours[tx["from"].lower()], (bytes(part[0]), part[1]))
        for tx in pool_transactions(pool, ours)
        for part in parts_in(tx["input"])
    ]


async def until_sent(world: FaultWorld, actor: str, parts: int, seconds: float = 60) -> None:
    """Waits, without a new block, until so many parts of an account stand in the pool."""
    deadline = time.monotonic() + seconds
    while len(found := await parts_in_pool(world, actor)) < parts:
        tails = "\n".join(f"{daemon}: {daemon.tail()}" for daemon in world.daemons)
        assert time.monotonic() < deadline, f"{len(found)} of {parts} parts are sent\n{tails}"
        await asyncio.sleep(0.02)


async def watchdog_oracle(
    world: FaultWorld,
    daemon: Watchdog,
    *,
    sales: Sequence[Bought] | None = None,
    reverted: int = 0,
    exits: Collection[int] = (),
) -> dict[tuple[int, int], int]:
    """The oracle for a watchdog: every part of these sales (all) is there once, and in time.

    Args:
        world: Chain, shop and log.
        daemon: The watchdog.
        sales: Which; all that were bought unless given.
        reverted: How many of its transactions may be mined and have failed.
        exits: Exit codes that it may have ended with; empty: it runs.

    Returns:
        By copy and part: how many blocks after the purchase it came.
    """
    found: dict[tuple[int, int], int] = {}
    delivered = await world.delivered()
    for bought in world.sold if sales is None else sales:
        sale = bought.sale
        for index in range(sale.terms.parts):
            there = [
                log
                for log in delivered
                if (log.copy_id, log.index) == (sale.copy_id, index)
                and log.at.block.number >= sale.purchase_block
            ]
            assert len(there) == 1, f"part {index} of copy {sale.copy}: {len(there)} times"
            [log] = there
            share = open_fragment(log.fragment, bought.secrets[index])
            assert keccak(share) == log.commitment, "what was delivered is not the share"
            after = log.at.block.number - sale.purchase_block
            if log.by not in {actor.address for actor in world.shop.deliverers}:
                assert after > FALLBACK_BLOCKS, "before the fallback begins"
            found[sale.copy, index] = after
    await world.look_for_doubles()
    assert not world.doubles, f"parts in two waiting transactions: {world.doubles}"
    failed = [
        tx["hash"]
        for number in range(world.first, await world.block() + 1)
        for tx in (await world.rpc.call("eth_getBlockByNumber", hex(number), True))["transactions"]
        if tx["from"].lower() == daemon.actor.address.lower()
        and (await world.rpc.call("eth_getTransactionReceipt", tx["hash"]))["status"] != "0x1"
    ]
    assert len(failed) <= reverted, f"mined and reverted: {failed}"
    check_secrets(world, [daemon])
    assert daemon.running or daemon.code in exits, f"{daemon} ended: {daemon.tail()}"
    assert not daemon.logged("internal_error")
    return found
