"""A small world on a chain like a rollup: all of it talks to the chain through a proxy."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dam.ethereum.rpc import JsonRpc
from dam.market.client import Market
from dam.market.deployment import save_deployment
from dam.testing.market import deploy_market
from dam.types import ZERO_ADDRESS, Wei, Windows
from demo.actors import Actor
from demo.processes import Start
from demo.world import World
from tests.faults.rpc_proxy import RpcProxy
from tests.rollups.proxies import Renumbered

DAY = 86_400
WINDOWS = Windows(
    DAY, 3 * DAY, 7 * DAY, 26 * DAY, 7 * DAY, 7 * DAY, Wei(10**16), Wei(10**16), Wei(5 * 10**15)
)
"""Those of the deploy script: long beside any halt."""
_MIXED = ("--mixed-mining", "--block-time", "1")


@dataclass(frozen=True)
class Kind:
    """What is unlike Ethereum on a chain."""

    name: str
    mining: Sequence[str] = _MIXED
    offset: int = 0
    """What the RPC's block numbers are more than the contract's."""


class RollupWorld(World):
    """Use it as ``async with``."""

    def __init__(self, kind: Kind, start: Start = subprocess.Popen) -> None:
        super().__init__(kubo=False, start=start)
        self.kind = kind
        self.proxy: RpcProxy

    async def _start(self) -> None:
        kind, stack = self.kind, self._stack
        await self._start_nodes(*kind.mining)
        stack.push_async_callback(self.kill_daemons)
        self.proxy = await stack.enter_async_context(RpcProxy(self.chain.url))
        told = await asyncio.to_thread(deploy_market, self.chain, WINDOWS)
        if kind.offset:
            self.proxy.inject(Renumbered(kind.offset))
        self.deployment = replace(told, first_block=told.first_block + kind.offset)
        save_deployment(self.deployment, self.record)
        self.rpc = await stack.enter_async_context(JsonRpc(self.proxy.url))
        self.market = Market(self.rpc, self.deployment)
        await self.market.check_deployment()
        assert self.deployment.governor == ZERO_ADDRESS

    def env(self, actor: Actor) -> dict[str, str]:
        return super().env(actor) | {"DAM_RPC_URL": self.proxy.url}

    # ------------------------------------------------------------------------------------- blocks

    async def clock_block(self) -> int:
        """The block as the contract counts."""
        _, clock = await self.market.head_and_clock()
        return clock.block

    async def count_to(self, block: int) -> None:
        """Lets blocks pass until the contract counts this one."""
        missing = block - await self.clock_block()
        if missing > 0:
            await asyncio.to_thread(self.chain.request, "anvil_mine", hex(missing), hex(1))
