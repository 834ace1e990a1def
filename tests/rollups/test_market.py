"""The whole market on chains like rollups, by daemons and by the commands that people type."""

from __future__ import annotations

import pytest

from tests.rollups.plays import Plays
from tests.rollups.proxies import Arbitrum, OpStack
from tests.rollups.world import Kind, RollupWorld

pytestmark = pytest.mark.slow
OFFSET = 250_000_000
KINDS = [
    Kind("renumbered", offset=OFFSET),
    Kind("counts the blocks below", counted=17_000_000),
    Kind("blocks of 250 ms", mining=("--block-time", "0.25")),
    Kind("halt, then 30 blocks a second", halts=True),
    Kind("data fees of the OP stack", fees=OpStack),
    Kind("data fees of Arbitrum", fees=Arbitrum),
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name.replace(" ", "-"))
async def test_five_sales(kind: Kind) -> None:
    async with RollupWorld(kind) as world:
        plays = Plays(world)
        await plays.open()
        await plays.all()
