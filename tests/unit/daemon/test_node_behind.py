"""A node behind what was read before is waited for, aloud; it never passes for caught up."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from dam.daemon import service as services
from dam.daemon.base import _reach
from dam.daemon.service import BEHIND_LOOKS, Polling, Service, Stop
from dam.errors import ConfigError, RpcError
from dam.market.client import BlockUnknownError
from dam.roles.seller.store_builder import BuiltStore
from dam.types import BlockRef
from tests.unit.helpers.chain_reader import read
from tests.unit.helpers.service import live, until, within
from tests.unit.helpers.transactions import now
from tests.unit.helpers.world import World, assert_delivered_once


@pytest.fixture
def service(world: World, monkeypatch: pytest.MonkeyPatch) -> Service:
    monkeypatch.setattr(services, "_MAX_PAUSE_SECONDS", 0.01)
    made = live(world.daemon)
    made._polling = Polling(0.01)
    return made


def levels(world: World) -> list[str]:
    return [line["level"] for line in world.daemon.events("node_behind")]


async def test_a_chain_put_back_is_not_caught_up(
    world: World, built: BuiltStore, service: Service
) -> None:
    """Not ready, told once and once more as an alert; then it goes on, on whatever branch."""
    world.chain.mine(20)
    stop = Stop()
    task = asyncio.create_task(service.run(stop))
    await until(lambda: world.daemon.events("ready") and not service.pulse.obstacles(), task)
    before = world.daemon.ledger.cursor()
    world.chain.reorganise(10, keep_length=False)
    await until(lambda: service.pulse.obstacles(), task)
    assert "was read before" in service.pulse.obstacles()[0]
    rounds = service.pulse.rounds
    await until(lambda: service.pulse.rounds > rounds + 2 * BEHIND_LOOKS, task)
    assert levels(world) == ["warning", "error"]
    assert world.daemon.ledger.cursor() == before
    assert not world.daemon.events("tick_failed")
    world.chain.mine(2)
    await asyncio.sleep(0.1)
    assert service.pulse.obstacles(), "it is longer, and still behind"
    world.chain.mine(10)
    await until(lambda: not service.pulse.obstacles(), task)
    assert len(world.daemon.events("tick_recovered")) == 1
    assert len(world.daemon.events("reorganisation")) == 1
    stop.request()
    await within(task)


async def test_a_node_that_is_late_by_a_look_costs_no_more_than_a_look(
    world: World, built: BuiltStore, service: Service
) -> None:
    """Several nodes behind one address: after a failure of another kind it is waited longer."""
    late = service._failed("tick_failed", BlockUnknownError("behind"), 4)
    assert late == service._poll
    assert service._failed("tick_failed", RpcError("down"), 5) >= 0.01
    service._failed("tick_failed", BlockUnknownError("behind"), 6)
    assert levels(world) == ["warning", "warning"], "told again, after something else"


async def test_nothing_is_decided_by_a_node_that_is_behind(world: World, built: BuiltStore) -> None:
    daemon = world.daemon
    await world.ticks(daemon, blocks=4)
    sold = world.buy(built, "coupon")
    world.chain.mine(3)
    await read(daemon)
    kept, world.chain._blocks = world.chain._blocks, world.chain._blocks[:-4]
    assert daemon.service is not None
    with pytest.raises(BlockUnknownError):
        await daemon.service.tick()
    assert not daemon.outbox.due(now(world))
    world.chain._blocks = kept
    await world.ticks()
    assert_delivered_once(world, sold)


async def test_a_node_that_falls_back_within_the_confirmations_is_no_news(
    world: World, built: BuiltStore
) -> None:
    """Of several nodes behind one address, one is a block behind: that is no fault."""
    daemon = world.daemon
    world.chain.mine(10)
    await daemon.tick()
    world.chain.reorganise(1, keep_length=False)
    await daemon.tick()
    assert not daemon.events("node_behind")


async def test_a_block_that_is_missing_is_waited_for(
    world: World, built: BuiltStore, service: Service
) -> None:
    stop = Stop()
    task = asyncio.create_task(service.run(stop))
    await until(lambda: world.daemon.events("ready"), task)
    known = world.chain.block

    async def forgetful(number: int) -> BlockRef:
        raise BlockUnknownError(f"no block {number}")

    world.chain.block = forgetful  # type: ignore[method-assign]
    world.chain.mine()
    await until(lambda: len(levels(world)) == 2, task)
    assert service.pulse.obstacles()
    world.chain.block = known  # type: ignore[method-assign]
    await until(lambda: not service.pulse.obstacles(), task)
    stop.request()
    await within(task)


async def test_other_code_still_ends_it(world: World, built: BuiltStore, service: Service) -> None:
    """A node that comes back is looked at before anything else is believed of it."""
    stop = Stop()
    task = asyncio.create_task(service.run(stop))
    await until(lambda: world.daemon.events("ready"), task)

    async def other() -> None:
        raise ConfigError("other code")

    service._check = other
    world.chain.mine(5)
    await asyncio.sleep(0.1)
    world.chain.reorganise(8, keep_length=False)
    with pytest.raises(ConfigError):
        await within(task)


async def test_at_the_start_a_node_before_the_deployment_is_waited_for() -> None:
    lines: list[dict[str, Any]] = []

    def keep(_: Any, method: str, event: dict[str, Any]) -> str:
        lines.append({**event, "level": method})
        raise structlog.DropEvent

    class Slow:
        looks = 0

        async def check_deployment(self) -> None:
            self.looks += 1
            if self.looks <= 2:
                raise BlockUnknownError("the node is at block 0")

        async def block(self, number: int) -> BlockRef:
            return BlockRef(number, bytes(32), 0)

    beats = SimpleNamespace(beats=SimpleNamespace(round_ended=lambda: None))
    log = structlog.wrap_logger(None, processors=[keep])
    slow: Any = Slow()
    monitoring: Any = beats
    assert await _reach(slow, Stop(), log, monitoring) == bytes(32)
    assert [(line["event"], line["level"]) for line in lines] == [("node_behind", "warning")]
