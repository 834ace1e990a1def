"""The whole market on chains like rollups, by daemons and by the commands that people type.

The first kind of chain alone, unless DAM_ROLLUPS is set, as `make nodes NODES=rollups` does.
"""

from __future__ import annotations

import os

import pytest

from tests.fork_server import ForkServer
from tests.rollups.plays import Plays
from tests.rollups.world import Kind, RollupWorld

pytestmark = pytest.mark.slow
OFFSET = 250_000_000
KINDS = [
    Kind("renumbered", offset=OFFSET),
    Kind("blocks of 250 ms", mining=("--block-time", "0.25")),
]
PLAYED = KINDS if os.environ.get("DAM_ROLLUPS") else KINDS[:1]


@pytest.mark.parametrize("kind", PLAYED, ids=lambda kind: kind.name.replace(" ", "-"))
async def test_five_sales(kind: Kind, forks: ForkServer) -> None:
    async with RollupWorld(kind, forks.start) as world:
        plays = Plays(world)
        await plays.open()
        await plays.all()
