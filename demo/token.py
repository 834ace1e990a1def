"""Tokens of tests/forge/tokens on the demo's chain: an honest one with permits, and odd ones."""

from __future__ import annotations

import asyncio
import json
import subprocess
from dataclasses import dataclass

from dam.crypto.hashing import parse_address
from dam.ethereum.erc20 import balances, selector
from dam.testing.market import transact
from dam.testing.nodes import NodeFailedError, find_program
from dam.types import Address
from demo.actors import Actor
from demo.world import ROOT, World

DECIMALS = 18
_SOURCES = "tests/forge/tokens"
_BUILD_SECONDS = 120


@dataclass(frozen=True)
class TestToken:
    """The token. Amounts are in its smallest unit."""

    __test__ = False
    """No test, whatever its name."""

    world: World
    address: Address

    async def mint(self, to: Actor, amount: int) -> None:
        """Makes tokens out of nothing."""
        data = bytes(12) + bytes.fromhex(to.address[2:]) + amount.to_bytes(32, "big")
        await self.tell("mint(address,uint256)", data)

    async def tell(self, signature: str, words: bytes, *, sender: str = "") -> None:
        """Calls a function of it, from an account that the node knows; by default the first."""
        sender = sender or (await self.world.rpc.call("eth_accounts"))[0]
        data = selector(signature) + words
        await asyncio.to_thread(transact, self.world.chain, sender, self.address, data)

    async def balance(self, owner: Address) -> int:
        """What an account has."""
        return (await balances(self.world.rpc, [self.address], owner))[self.address]


async def deploy_token(
    world: World, file: str = "PlainToken", name: str = "PlainToken"
) -> TestToken:
    """Deploys a token from the chain's first account: the contract ``name`` of a file."""
    code = await asyncio.to_thread(_code, file, name)
    sender = (await world.rpc.call("eth_accounts"))[0]
    receipt = await asyncio.to_thread(transact, world.chain, sender, None, code)
    return TestToken(world, parse_address(receipt["contractAddress"]))


def _code(file: str, name: str) -> bytes:
    """Creation code, built by forge if the source changed since."""
    forge = find_program("forge", "run `make setup` in the checkout")
    done = subprocess.run(
        [forge, "build", f"{_SOURCES}/{file}.sol"],
        cwd=ROOT,
        capture_output=True,
        timeout=_BUILD_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise NodeFailedError("forge build: " + done.stderr.decode("utf-8", "replace")[-800:])
    artifact = ROOT / ".build" / "forge" / f"{file}.sol" / f"{name}.json"
    code: str = json.loads(artifact.read_bytes())["bytecode"]["object"]
    return bytes.fromhex(code.removeprefix("0x"))
