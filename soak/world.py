"""Where the soak runs: a chain of one-second blocks, a real IPFS node, a shop, four daemons."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from demo.actors import Actor
from demo.shop import ETHER, Shop, open_shop
from demo.world import ROOT, World
from soak.supervisor import Supervisor
from tests.faults.ipfs_proxy import IpfsProxy
from tests.faults.rpc_proxy import RpcProxy

KEPT_STATES = 128
"""Blocks that Anvil can go back: more than any reorganisation here, and more than daemons ask."""
BLOCK_SECONDS = 1
_MINING_SECONDS = 0.1
_CACHES = shutil.ignore_patterns("__pycache__")
COINS = 10_000 * ETHER
FEE = 10**16
"""Wei a part: it pays for gas of a hundred gwei, so that only a jump of the base fee is above."""


class SoakWorld(World):
    """A `demo.world.World` for an hour. ``shop`` is open and ``supervisors`` are made once entered.

    Args:
        seed: Of the proxies' chances.
        folder: Where everything is kept, also afterwards; None for a temporary folder.
        poll: Seconds between two looks of a daemon at the chain.
        confirmations: How deep a block is before a daemon acts on it.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        folder: Path | None = None,
        poll: float = 0.5,
        confirmations: int = 1,
    ) -> None:
        super().__init__(folder=folder, kubo=True, confirmations=confirmations)
        self._seed = seed
        self._poll = poll
        self.began = time.monotonic()
        self.opened = 0
        """Block in which all was set up."""
        self.shop: Shop
        self.supervisors: list[Supervisor] = []
        """Three deliverers, then the watchdog. The first deliverer is never killed."""
        self._paid: list[str] = []
        """Everybody who got coins by the node's own call, which a reorganisation takes back."""
        self._mining = asyncio.Lock()
        self.rpc_injected: Counter[str] = Counter()
        """Every single event that an RPC proxy injected, by its own name."""
        self.ipfs_injected: Counter[str] = Counter()
        """The same of the IPFS proxies."""

    async def _start(self) -> None:
        # Under Cancun, and with old states pruned, a block costs the same however many there are.
        await self._start_nodes("--hardfork", "cancun", "--prune-history", str(KEPT_STATES))
        # Daemons that start again in an hour run the same code, whatever is edited meanwhile.
        shutil.copytree(ROOT / "src", self.folder / "src", ignore=_CACHES, dirs_exist_ok=True)
        await self._deploy_directly()
        self.shop = await open_shop(
            self,
            stake=1000 * ETHER,
            deliverer_stake=100 * ETHER,
            supply=10**6,
            commission=3 * FEE,
            price=ETHER // 10,
        )
        await self._make_supervisors()
        self.opened = await self.block()
        await self.rpc.call("evm_setIntervalMining", BLOCK_SECONDS)
        self.began = time.monotonic()
        for supervisor in self.supervisors:
            supervisor.begin()
        self._stack.push_async_callback(self.end)
        await asyncio.gather(*(supervisor.ready() for supervisor in self.supervisors))

    async def _make_supervisors(self) -> None:
        for number in range(len(self.shop.deliverers) + 1):
            seed = self._seed * 100 + number
            proxy = await self._stack.enter_async_context(
                RpcProxy(self.chain.url, counted=self.rpc_injected, seed=seed)
            )
            ipfs = await self._stack.enter_async_context(
                IpfsProxy(self.ipfs, counted=self.ipfs_injected, seed=seed)
            )
            watchdog = number == len(self.shop.deliverers)
            actor = self.shop.operator if watchdog else self.shop.deliverers[number]
            env = {
                "PYTHONPATH": str(self.folder / "src"),
                "DAM_RPC_URL": proxy.url,
                "DAM_IPFS": ipfs.url,
                "DAM_POLL": str(self._poll),
                "DAM_CONFIRMATIONS": str(self.confirmations),
            }
            make = self.shop.watchdog(env=env) if watchdog else self.shop.deliverer(number, env=env)
            self.supervisors.append(
                Supervisor(make, actor, proxy, ipfs, self.seconds, killable=number > 0)
            )

    @asynccontextmanager
    async def no_mining(self) -> AsyncIterator[None]:
        """No block comes of itself: one mined during ``anvil_reorg`` leaves a hole below it."""
        async with self._mining:
            await self.rpc.call("evm_setIntervalMining", 0)
            try:
                # One that was begun has its time to end.
                await asyncio.sleep(_MINING_SECONDS)
                yield
            finally:
                await self.rpc.call("evm_setIntervalMining", BLOCK_SECONDS)

    def seconds(self) -> float:
        """Since the daemons were started."""
        return time.monotonic() - self.began

    async def actor(self, name: str, wei: int = COINS) -> Actor:
        """As in the demo, only richer: an hour of gas at any price."""
        actor = await super().actor(name, wei)
        self._paid.append(actor.address)
        return actor

    async def pay_all(self) -> None:
        """Gives everybody coins, but for daemons whose coins were taken on purpose."""
        drained = {
            supervisor.actor.address for supervisor in self.supervisors if supervisor.drained
        }
        for address in self._paid:
            if address not in drained:
                await self.rpc.call("anvil_setBalance", address, hex(COINS))

    async def end(self) -> None:
        """Stops all daemons in good order."""
        await asyncio.gather(*(supervisor.end() for supervisor in self.supervisors))
