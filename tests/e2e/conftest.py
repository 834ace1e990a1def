"""End to end: a real chain, a real IPFS node, daemons and commands as processes of their own.

One world serves the whole session; every test brings its own people, so that tests do not meet.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from dam.testing.nodes import NodeMissingError  # noqa: E402
from demo.world import World  # noqa: E402
from tests.fork_server import ForkServer  # noqa: E402


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def whole_world(forks: ForkServer) -> AsyncIterator[World]:
    """Anvil, Kubo and a market; without Kubo the tests are skipped, and CI refuses skips."""
    try:
        async with World(kubo=True, start=forks.start) as world:
            yield world
    except NodeMissingError as error:
        pytest.skip(str(error))


@pytest_asyncio.fixture(loop_scope="session")
async def world(whole_world: World) -> AsyncIterator[World]:
    """The world, and an end to the daemons that a test started: they would eat the others' time."""
    yield whole_world
    await whole_world.kill_daemons()


async def sent_by(world: World, address: str) -> list[tuple[int, int]]:
    """Nonce and receipt status of every transaction that an account ever sent, in block order."""
    newest = await world.block()
    count = int(await world.rpc.call("eth_getTransactionCount", address, "latest"), 16)
    found: list[tuple[int, int]] = []
    for start in range(newest, -1, -100):
        numbers = range(max(0, start - 99), start + 1)
        blocks = await world.rpc.batch(
            [("eth_getBlockByNumber", [hex(number), True]) for number in numbers]
        )
        for block in blocks:
            for transaction in block["transactions"]:
                if transaction["from"].lower() == address.lower():
                    receipt = await world.rpc.call("eth_getTransactionReceipt", transaction["hash"])
                    found.append((int(transaction["nonce"], 16), int(receipt["status"], 16)))
        if len(found) == count:
            break
    return sorted(found)


@pytest.fixture
def check_nonces(world: World) -> Callable[[str], Awaitable[int]]:
    """Checks that an account's nonces have no gap and none of its transactions reverted."""

    async def check(address: str) -> int:
        sent = await sent_by(world, address)
        assert [nonce for nonce, _ in sent] == list(range(len(sent)))
        assert all(status == 1 for _, status in sent), f"a transaction of {address} reverted"
        return len(sent)

    return check
