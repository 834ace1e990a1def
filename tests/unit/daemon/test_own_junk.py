"""A deliverer hears that a part which it signed was proved to be junk."""

from __future__ import annotations

from typing import Any

import structlog

from dam.crypto.sealing import new_secret_key, public_key
from dam.daemon.run import report_own_junk
from dam.roles.seller.store_builder import BuiltStore
from dam.types import CopyId
from tests.unit.helpers.world import Daemon, World


def told(daemon: Daemon) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []

    def keep(_: Any, level: str, event: dict[str, Any]) -> str:
        lines.append({**event, "level": level})
        raise structlog.DropEvent

    report_own_junk(daemon.ledger, structlog.wrap_logger(None, processors=[keep]))
    return lines


async def proved(world: World, sold: CopyId, index: int) -> None:
    world.chain.prove_junk(sold, index, public_key(new_secret_key()))
    await world.ticks(blocks=4)


async def test_each_proof_against_us_is_told_once(world: World, built: BuiltStore) -> None:
    sold = [world.buy(built, "coupon", copy=copy) for copy in range(2)]
    await world.ticks()
    assert not told(world.daemon)
    [index] = {x.index for x in world.chain.delivered(sold[0]) if x.by == world.daemon.address}
    await proved(world, sold[0], index)
    [line] = told(world.daemon)
    assert (line["event"], line["level"]) == ("own_part_junk", "error")
    assert (line["sale"], line["index"], line["sealed_here"]) == (sold[0], index, True)
    assert not told(world.daemon)
    # Another's is none of ours, and neither a restart nor a range read twice tells it again.
    assert not [line for daemon in world.deliverers[1:] for line in told(daemon)]
    world.daemon.restart()
    assert not told(world.daemon)
    await proved(world, sold[1], index)
    [line] = told(world.daemon)
    assert line["sale"] == sold[1]


async def test_a_part_that_somebody_else_signed_with_our_key(
    world: World, built: BuiltStore
) -> None:
    """The daemon was down meanwhile, and has sealed nothing for the sale."""
    sold = world.buy(built, "coupon")
    await world.ticks()
    [index] = {x.index for x in world.chain.delivered(sold) if x.by == world.daemon.address}
    world.daemon.ledger.close()
    world.daemon.path.unlink()
    world.daemon.build()
    world.chain.prove_junk(sold, index, public_key(new_secret_key()))
    await world.ticks(blocks=4)
    [line] = told(world.daemon)
    assert not line["sealed_here"]
