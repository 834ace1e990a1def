"""Which fault is injected when: the kind that came least often is next."""

from __future__ import annotations

import asyncio
import random
import traceback
from collections import Counter

from dam.errors import RpcError
from soak.injectors import FaultKind, Targets, kinds


class FaultScheduler:
    """Injects faults at an even pace until its time is over.

    Args:
        targets: What they act on.
        chance: Decides among kinds that came equally often.
        per_hour: How often each kind is to be injected in an hour.
    """

    def __init__(self, targets: Targets, chance: random.Random, *, per_hour: float) -> None:
        self._per_hour = per_hour
        self._theatre = targets
        self._chance = chance
        self._running: dict[asyncio.Task[bool], FaultKind] = {}
        self.kinds = kinds()
        self.injected: Counter[str] = Counter()
        self.missed: Counter[str] = Counter()
        """Tried, and found nothing to act on."""
        self.failures: list[str] = []
        """Injectors that failed themselves."""

    async def run(self, seconds: float) -> None:
        """Injects for so long, and then waits for the last fault to be over."""
        gap = 3600 / self._per_hour / len(self.kinds)
        clock = self._theatre.world.seconds
        end = clock() + seconds
        following = clock()
        while clock() < end:
            if clock() >= following:
                following += gap
                self._start()
            await self._collect(0.2)
        while self._running:
            await self._collect(0.5)

    def _start(self) -> None:
        running = Counter(kind.name for kind in self._running.values())
        # What is under way counts as done, and what often finds nothing has to wait a little.
        free = [kind for kind in self.kinds if not running[kind.name]]
        weight = {k.name: self.injected[k.name] + self.missed[k.name] / 4 for k in free}
        least = min(weight.values(), default=0.0)
        ripe = [kind for kind in free if weight[kind.name] < least + 1]
        if ripe:
            kind = self._chance.choice(ripe)
            self._running[asyncio.create_task(kind.act(self._theatre))] = kind

    async def _collect(self, seconds: float) -> None:
        if not self._running:
            await asyncio.sleep(seconds)
            return
        done, _ = await asyncio.wait(
            self._running, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
        )
        for task in done:
            kind = self._running.pop(task)
            try:
                injected = task.result()
            except (RpcError, TimeoutError, OSError) as error:
                self.failures.append(f"{kind.name}: {type(error).__name__}: {error}")
                injected = False
            except Exception:  # noqa: BLE001 - the others go on; the run fails for it at the end
                self.failures.append(f"{kind.name}: {traceback.format_exc()}")
                injected = False
            (self.injected if injected else self.missed)[kind.name] += 1
