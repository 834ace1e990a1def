"""A small world on a chain that is not Anvil: coins come from an account that the node unlocks."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import cast

from dam.market.client import Market
from dam.sending.wallet import wait_receipt
from dam.testing.nodes import AnvilNode
from dam.types import Address, Deployment
from demo.processes import Start
from demo.world import World
from tests.chains.nodes import GethNode, HardhatNode

DEPLOYER = Address("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266")
"""Ape's TEST::0, and Anvil's and Hardhat's first account."""
_BY_THEMSELVES = 5
"""Blocks that are waited for, not skipped."""


class OtherWorld(World):
    """Use it as ``async with``.

    Args:
        make_chain: The chain, not started yet, with its log in the folder that is given.
        deploy: Arguments for the deploy script.
        start: Starts commands and daemons.
    """

    def __init__(
        self,
        make_chain: Callable[[Path], GethNode | HardhatNode],
        deploy: tuple[str, ...] = (),
        start: Start = subprocess.Popen,
    ) -> None:
        super().__init__(kubo=False, deploy=deploy, start=start)
        self._make = make_chain
        self._bank = asyncio.Lock()
        self.chain: GethNode | HardhatNode  # type: ignore[assignment]

    @property
    def can_set_head(self) -> bool:
        """Whether the node can be put back to any block, and not to a snapshot alone."""
        return isinstance(self.chain, GethNode)

    def _make_chain(self, *options: str) -> AnvilNode:
        return cast(AnvilNode, self._make(self.folder / "chain"))

    async def _deploy(self) -> Deployment:
        await self.fund(DEPLOYER, 10**19)
        return await super()._deploy()

    async def deploy_again(self) -> None:
        """As at the start, on a chain that has forgotten the market."""
        self.record.unlink()
        self.deployment = await self._deploy()
        self.market = Market(self.rpc, self.deployment)

    async def fund(self, address: Address, wei: int) -> None:
        """Coins from the node's own account."""
        # One at a time: some nodes take the nonce for it from the newest block.
        async with self._bank:
            bank = (await self.rpc.call("eth_accounts"))[-1]
            sent = {"from": bank, "to": address, "value": hex(wei)}
            tx = await self.rpc.call("eth_sendTransaction", sent)
            await wait_receipt(self.rpc, bytes.fromhex(tx[2:]), poll_seconds=0.1)

    # ----------------------------------------------------------------------------- the chain

    async def pass_time(self, seconds: int) -> int:
        """Moves the chain's clock on, in one block; returns that block's number."""
        return await self._skip(1, seconds)

    async def mine(self, blocks: int) -> int:
        """Makes empty blocks; returns the newest block's number.

        Only the last few come by themselves, so that whoever looks then sees no later block.
        """
        target = await self.block() + blocks
        if blocks > _BY_THEMSELVES:
            await self._skip(blocks - _BY_THEMSELVES)
        return await self._reached(target)

    async def _reached(self, target: int) -> int:
        while True:
            if (head := await self.block()) >= target:
                return head
            await asyncio.sleep(0.05)

    async def _skip(self, blocks: int, seconds: int = 0) -> int:
        await self.change(lambda: self.chain.skip(blocks, seconds))
        return await self.block()

    async def change(self, work: Callable[[], None]) -> None:
        """Does something to the node, which may be another process afterwards."""
        self.reaper.forget(self.chain.pid)
        try:
            await asyncio.to_thread(work)
        finally:
            self._guard(self.chain.pid)
