"""Random schedules: blocks, reorganisations, kills, drops and a faulty node, in any order.

Whatever happens, in the end each purchase on the canonical chain has exactly one delivery of each
part, no daemon has anything left to send, and no nonce was skipped.
"""

from __future__ import annotations

import os
import random
from typing import Any

import pytest

from dam.errors import RpcError
from dam.ethereum.node_errors import RpcTimeoutError
from dam.roles.seller.store_builder import BuiltStore
from dam.types import CopyId, Purchase
from tests.unit.helpers.world import (
    BUYER,
    OTHER_BUYER,
    PLACES,
    Daemon,
    Killed,
    World,
    assert_delivered_once,
)

SCHEDULES = int(os.environ.get("DAM_SCHEDULES", "8"))
STEPS = 70


class Schedule:
    """One random run."""

    def __init__(self, world: World, built: BuiltStore, seed: int, *, reorganise: bool) -> None:
        self.world = world
        self.built = built
        self.random = random.Random(seed)
        self.reorganise = reorganise
        self.faults = 0.0
        call = world.chain.call

        async def faulty(method: str, *params: Any) -> Any:
            if self.random.random() >= self.faults:
                return await call(method, *params)
            if self.random.random() < 0.5:
                await call(method, *params)  # it arrived; the answer did not
            raise RpcTimeoutError(f"{method}: no answer")

        world.chain.call = faulty  # type: ignore[method-assign]

    async def run(self) -> None:
        steps = [self.mine, self.mine, self.tick, self.tick, self.tick, self.buy, self.kill]
        steps += [self.drop, self.flicker, self.publish]
        if self.reorganise:
            steps += [self.fork]
        for _ in range(STEPS):
            await self.random.choice(steps)()
        self.faults = 0.0
        self.world.chain.accepts = lambda _: True
        for _ in range(45):
            self.world.chain.mine()
            for daemon in self.world.deliverers:
                daemon.checkpoints.kill_at = None
                await self.tick_one(daemon)

    async def mine(self) -> None:
        self.world.chain.mine(self.random.randint(1, 3))

    async def tick(self) -> None:
        await self.tick_one(self.random.choice(self.world.deliverers))

    async def tick_one(self, daemon: Daemon) -> None:
        try:
            await daemon.tick()
        except RpcError:
            pass  # the service asks again with its next tick
        except Killed:
            daemon.restart()

    async def buy(self) -> None:
        bought = {p.copy for p in self.purchases()}
        bought |= {log.copy for log in self.world.chain.queued if isinstance(log, Purchase)}
        copy = next(c for c in self.random.sample(range(200), 200) if c not in bought)
        self.world.buy(self.built, "coupon", copy, buyer=self.random.choice([BUYER, OTHER_BUYER]))

    async def kill(self) -> None:
        daemon = self.random.choice(self.world.deliverers)
        place = self.random.choice(PLACES)
        visit = daemon.checkpoints.hits.get(place, 0) + self.random.randint(1, 2)
        daemon.checkpoints.kill_at = (place, visit)

    async def drop(self) -> None:
        if self.world.chain.pool:
            del self.world.chain.pool[self.random.choice(list(self.world.chain.pool))]

    async def flicker(self) -> None:
        self.faults = self.random.choice([0.0, 0.0, 0.05, 0.2])
        self.world.chain.accepts = self.random.choice([lambda _: True, lambda _: False])

    async def publish(self) -> None:
        await self.world.shop.add(f"item {self.random.randint(0, 5)}")
        self.built = await self.world.shop.publish()
        self.world.chain.mine()

    async def fork(self) -> None:
        depth = min(self.random.randint(1, 6), self.world.chain.height - 1)
        if depth < 1:
            return
        lost = self.world.chain.reorganise(depth, keep_length=self.random.random() < 0.8)
        # Most purchases come back; some never do, and their copy is free for another buyer.
        self.world.chain.queued[:0] = [
            log for log in lost if not isinstance(log, Purchase) or self.random.random() < 0.8
        ]

    def purchases(self) -> list[Purchase]:
        logs = (log for block in self.world.chain._blocks for log in block.logs)
        return [log for log in logs if isinstance(log, Purchase)]

    def delivered_parts(self, sold: CopyId) -> list[tuple[str, int]]:
        return sorted((log.by, log.index) for log in self.world.chain.delivered(sold))


@pytest.mark.parametrize("seed", range(SCHEDULES))
@pytest.mark.parametrize("reorganise", [False, True])
async def test_random_schedules(
    world: World, built: BuiltStore, seed: int, reorganise: bool
) -> None:
    schedule = Schedule(world, built, seed, reorganise=reorganise)
    await schedule.run()
    purchases = schedule.purchases()
    assert purchases
    for purchase in purchases:
        parts = schedule.delivered_parts(purchase.copy_id)
        assert [index for _, index in sorted(parts, key=lambda p: p[1])] == [0, 1, 2], seed
        assert {by for by, _ in parts} == {daemon.address for daemon in world.deliverers}
    for daemon in world.deliverers:
        assert not daemon.outbox.live()
        nonces = [nonce for nonce, _ in world.chain.mined(daemon.address)]
        assert nonces == list(range(len(nonces)))
        assert not daemon.journal("foreign_transaction")
    if not reorganise:
        # Only a reorganisation can make a transaction of ours fail: it came too fast to take back.
        assert_delivered_once(world, *(p.copy_id for p in purchases))
