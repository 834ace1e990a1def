"""A small world on a chain that is not Anvil: coins come from an account that the node unlocks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from dam.sending.wallet import wait_receipt
from dam.testing.nodes import LocalNode
from dam.types import Address, Deployment
from demo.world import World

DEPLOYER = Address("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266")
"""Ape's TEST::0, and Anvil's and Hardhat's first account."""


class OtherWorld(World):
    """Use it as ``async with``.

    Args:
        make_chain: The chain, not started yet, with its log in the folder that is given.
        deploy: Arguments for the deploy script.
    """

    def __init__(
        self, make_chain: Callable[[Path], LocalNode], deploy: tuple[str, ...] = ()
    ) -> None:
        super().__init__(kubo=False, deploy=deploy)
        self._make = make_chain
        self._bank = asyncio.Lock()

    def _make_chain(self, *options: str) -> LocalNode:  # type: ignore[override]
        return self._make(self.folder / "chain")

    async def _deploy(self) -> Deployment:
        await self.fund(DEPLOYER, 10**19)
        return await super()._deploy()

    async def fund(self, address: Address, wei: int) -> None:
        """Coins from the node's own account."""
        # One at a time: some nodes take the nonce for it from the newest block.
        async with self._bank:
            bank = (await self.rpc.call("eth_accounts"))[-1]
            sent = {"from": bank, "to": address, "value": hex(wei)}
            tx = await self.rpc.call("eth_sendTransaction", sent)
            await wait_receipt(self.rpc, bytes.fromhex(tx[2:]), poll_seconds=0.1)
