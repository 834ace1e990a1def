"""End to end: a real chain, a real IPFS node, daemons and commands as processes of their own.

One world serves the whole session; every test brings its own people, so that tests do not meet.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from dam.testing.nodes import NodeMissingError  # noqa: E402
from demo.world import World, python  # noqa: E402

# The shortest windows that the contract takes: Anvil mines thousands of blocks slowly.
WINDOWS = ("--dispute-blocks", "100", "--arbitration-blocks", "100")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def world() -> AsyncIterator[World]:
    """Anvil, Kubo and a market; without Kubo the tests are skipped, and CI refuses skips."""
    try:
        async with World(kubo=True, deploy=WINDOWS) as world:
            yield world
    except NodeMissingError as error:
        pytest.skip(str(error))


PLACES = ("F1", "F2", "F3", "F4", "F5", "F6", "F7", "F8")
"""Where a daemon may be killed (house rule: save first, then send)."""


@dataclass(frozen=True)
class Crashing:
    """Makes daemons die at a named place, and says where they did."""

    journal: Path

    def command(self, role: str = "deliverer") -> list[str]:
        return [*python(Path(__file__).with_name("crashing.py")), role]

    def env(self, place: str) -> dict[str, str]:
        return {"CRASH_AT": place, "CRASH_JOURNAL": str(self.journal)}

    def deaths(self) -> Counter[str]:
        lines = self.journal.read_text().splitlines() if self.journal.exists() else []
        return Counter(line.split()[0] for line in lines)


@pytest.fixture
def crashing(tmp_path: Path) -> Crashing:
    return Crashing(tmp_path / "crashes")


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
