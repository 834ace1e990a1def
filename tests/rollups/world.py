"""A small world on a chain like a rollup: all of it talks to the chain through a proxy."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from dam.ethereum.rpc import JsonRpc
from dam.market.client import Market
from dam.market.deployment import save_deployment
from dam.testing.market import deploy_market, market_code
from dam.testing.nodes import AnvilNode
from dam.types import ZERO_ADDRESS, Wei, Windows
from demo.actors import Actor
from demo.world import World
from tests.faults.rpc_proxy import RpcProxy
from tests.rollups.counting import LARGE, Counter, counting_code
from tests.rollups.proxies import DataFees, Renumbered

HOUR, DAY = 3600, 86_400
HALT_SECONDS = 2 * HOUR
WINDOWS = Windows(
    DAY, 3 * DAY, 7 * DAY, 26 * DAY, 7 * DAY, 7 * DAY, Wei(10**16), Wei(10**16), Wei(5 * 10**15)
)
"""Those of the deploy script: long beside any halt."""
_MIXED = ("--mixed-mining", "--block-time", "1")
_TICK_SECONDS = 3.0
_BURST_BLOCKS, _BURST_SECONDS = 30, 2
"""Blocks of a second after a halt, and by how many seconds each is later than the last."""


@dataclass(frozen=True)
class Kind:
    """What is unlike Ethereum on a chain."""

    name: str
    mining: Sequence[str] = _MIXED
    offset: int = 0
    """What the RPC's block numbers are more than the contract's."""
    counted: int = 0
    """The first block of another chain that the contract counts; 0: its own chain's."""
    fees: Callable[[AnvilNode], DataFees] | None = None
    halts: bool = False


class RollupWorld(World):
    """Use it as ``async with``."""

    def __init__(self, kind: Kind) -> None:
        super().__init__(kubo=False)
        self.kind = kind
        self.proxy: RpcProxy
        self.fees: DataFees | None = None
        self._counter: Counter | None = None
        self._burst: asyncio.Task[None] | None = None

    async def _start(self) -> None:
        kind, stack = self.kind, self._stack
        options = [*kind.mining, *(LARGE if kind.counted else ())]
        if kind.halts:
            # Where the chain is after the halt that is to come.
            options += ["--timestamp", str(int(time.time()) - HALT_SECONDS)]
        await self._start_nodes(*options)
        stack.push_async_callback(self.kill_daemons)
        self.proxy = await stack.enter_async_context(RpcProxy(self.chain.url))
        if kind.counted:
            self._counter = Counter(self.chain, kind.counted)
            await self._in_background(self._count())
        code = await asyncio.to_thread(counting_code if kind.counted else market_code)
        told = await asyncio.to_thread(deploy_market, self.chain, WINDOWS, code=code)
        if kind.fees is not None:
            self.fees = kind.fees(self.chain)
            self.proxy.inject(self.fees)
        if kind.offset:
            self.proxy.inject(Renumbered(kind.offset))
        self.deployment = replace(told, first_block=told.first_block + kind.offset)
        save_deployment(self.deployment, self.record)
        self.rpc = await stack.enter_async_context(JsonRpc(self.proxy.url))
        self.market = Market(self.rpc, self.deployment)
        await self.market.check_deployment()
        assert self.deployment.governor == ZERO_ADDRESS

    async def _in_background(self, work: object) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.ensure_future(work)  # type: ignore[arg-type]

        async def end() -> None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

        self._stack.push_async_callback(end)
        return task

    def env(self, actor: Actor) -> dict[str, str]:
        return super().env(actor) | {"DAM_RPC_URL": self.proxy.url}

    # ------------------------------------------------------------------------------------- blocks

    async def _count(self) -> None:
        """Many blocks a value."""
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            assert self._counter is not None
            await asyncio.to_thread(self._counter.add, 1)

    async def clock_block(self) -> int:
        """The block as the contract counts."""
        _, clock = await self.market.head_and_clock()
        return clock.block

    async def count_to(self, block: int) -> None:
        """Lets blocks pass until the contract counts this one."""
        missing = block - await self.clock_block()
        if missing <= 0:
            return
        if self._counter is None:
            await asyncio.to_thread(self.chain.request, "anvil_mine", hex(missing), hex(1))
        else:
            await asyncio.to_thread(self._counter.add, missing)
            await asyncio.to_thread(self.chain.mine)

    async def halt(self, seconds: float = 3) -> None:
        """No block for a while; then thirty a second, until the chain's time is the machine's."""
        request = self.chain.request
        await asyncio.to_thread(request, "evm_setAutomine", False)
        await asyncio.to_thread(request, "evm_setIntervalMining", 0)
        await asyncio.sleep(seconds)
        self._burst = await self._in_background(self._catch_up())

    async def _catch_up(self) -> None:
        request = self.chain.request
        while True:
            block = await asyncio.to_thread(request, "eth_getBlockByNumber", "latest", False)
            behind = time.time() - int(block["timestamp"], 16)
            seconds = _BURST_SECONDS if behind > _BURST_SECONDS else 0
            await asyncio.to_thread(
                request, "evm_setNextBlockTimestamp", hex(int(block["timestamp"], 16) + seconds)
            )
            await asyncio.to_thread(request, "evm_mine")
            await asyncio.sleep(1 / _BURST_BLOCKS)

    async def pass_time(self, seconds: int) -> int:
        """As `World.pass_time`."""
        await asyncio.to_thread(self.chain.request, "evm_increaseTime", hex(seconds))
        await asyncio.to_thread(self.chain.mine)
        return await self.block()
