"""End to end: a real chain, a real IPFS node, daemons and commands as processes of their own.

One world serves the whole session; every test brings its own people, so that tests do not meet.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from dam.testing.nodes import NodeMissingError  # noqa: E402
from demo.world import World  # noqa: E402

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
