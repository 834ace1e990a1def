"""The modules of this folder find each other, whatever started pytest; each has its own chain."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from anvil_market import QUICK_BLOCKS
from world import PEOPLE, World

from dam.testing.nodes import AnvilNode


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with AnvilNode(accounts=len(PEOPLE), args=QUICK_BLOCKS) as node:
        yield World(node)
