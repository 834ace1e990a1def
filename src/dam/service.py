"""How a daemon lives: listen, catch up, only then act; first signal drains, second stops.

The start, in order: the node is asked which chain it is on and whether the market's code is the
deployment's; the account's lock and the ledger's lock are taken; the ledger is opened and checked;
background work (store documents) begins; the chain is read up to the head; ``ready`` is logged; and
from then on each tick reads, decides and sends. A node that fails is asked again, ever more seldom;
what can never succeed ends the process with a non-zero code.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sqlite3
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, Protocol

from dam.errors import Retryable
from dam.ledger import Ledger
from dam.logs import Log
from dam.outbox import Outbox
from dam.reader import Reader
from dam.types import BlockRef

DRAIN_SECONDS = 8.0
_LONGEST_PAUSE = 30.0
_CHECK_SECONDS = 60.0


class Role(Protocol):
    """What a daemon is for (`roles.deliverer.Deliverer`, `roles.watchdog.Watchdog`)."""

    async def decide(self, head: BlockRef) -> None:
        """Turns what the ledger knows into jobs."""
        ...

    def finished(self) -> None:
        """Closes sales whose jobs have ended; called inside a transaction."""
        ...


class Sending(Protocol):
    """`sending.Sender`, or nothing at all for a daemon that only watches."""

    async def step(self, head: int, cursor: BlockRef) -> None:
        """One pass."""
        ...


class Stop:
    """Two steps of stopping: ``draining`` is set by the first signal, the second one cancels."""

    def __init__(self) -> None:
        self.draining = asyncio.Event()
        self._task: asyncio.Task[Any] | None = None

    def request(self) -> None:
        """Drain; asked a second time, stop at once."""
        if self.draining.is_set() and self._task is not None:
            self._task.cancel()
        self.draining.set()

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        """Takes SIGTERM and SIGINT while inside, and gives them back afterwards."""
        loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        signals = (signal.SIGTERM, signal.SIGINT)
        for number in signals:
            loop.add_signal_handler(number, self.request)
        try:
            yield
        finally:
            for number in signals:
                loop.remove_signal_handler(number)


class Service:
    """Ticks until stopped.

    Args:
        ledger: The daemon's memory.
        reader: Follows the chain.
        role: Decides.
        sender: Sends.
        log: Where to tell.
        check: Raises `ConfigError` once the node is not on our chain any more.
        new_logs: Called when the chain had something new (a store to read, perhaps).
        background: Work beside the ticks; it runs until cancelled.
        poll: Seconds between ticks.
    """

    def __init__(
        self,
        ledger: Ledger,
        reader: Reader,
        role: Role,
        sender: Sending,
        *,
        log: Log,
        check: Callable[[], Coroutine[Any, Any, None]],
        new_logs: Callable[[], None] = lambda: None,
        background: Sequence[Callable[[], Coroutine[Any, Any, None]]] = (),
        poll: float = 1.0,
    ) -> None:
        self._ledger = ledger
        self._outbox = Outbox(ledger)
        self._reader = reader
        self._role = role
        self._sender = sender
        self._log = log
        self._check = check
        self._new_logs = new_logs
        self._background = background
        self._poll = poll
        self._wake = asyncio.Event()
        self._ready = False
        self._checked = time.monotonic()

    def wake(self) -> None:
        """Ticks now instead of after the pause."""
        self._wake.set()

    async def run(self, stop: Stop) -> None:
        """Runs until ``stop`` drains; raises what cannot be mended.

        Raises:
            Permanent: See `reader.DeepReorganisation`, `errors.ConfigError`.
        """
        ticking = asyncio.create_task(self._tick_until(stop))
        others = [asyncio.create_task(work()) for work in self._background]
        draining = asyncio.create_task(stop.draining.wait())
        try:
            # Background work never ends by itself: the first to end has failed.
            await asyncio.wait({ticking, draining, *others}, return_when=asyncio.FIRST_COMPLETED)
            if stop.draining.is_set():
                self._log.info("draining")
                done, _ = await asyncio.wait({ticking}, timeout=DRAIN_SECONDS)
                if not done:
                    self._log.warning("drain_timeout", seconds=DRAIN_SECONDS)
            for work in (ticking, *others):
                if work.done():
                    work.result()
        finally:
            for task in (ticking, draining, *others):
                task.cancel()
            await asyncio.gather(ticking, draining, *others, return_exceptions=True)
        self._log.info("stopped")

    async def tick(self) -> bool:
        """One round: read, decide, send. False: there is more to read before anything is done."""
        if time.monotonic() - self._checked > _CHECK_SECONDS:
            await self._check()
            self._checked = time.monotonic()
        step = await self._reader.advance()
        if step.new_logs or step.rollback:
            self._new_logs()
        if not step.caught_up:
            return False
        if not self._ready:
            self._ready = True
            self._new_logs()
            self._log.info("ready", block=step.cursor.number, head=step.head.number)
        self._finish()
        await self._role.decide(step.head)
        await self._sender.step(step.head.number, step.cursor)
        return True

    def _finish(self) -> None:
        with self._ledger.transaction():
            ended = self._outbox.finish_by_events()
            self._role.finished()
        if ended:
            self._log.info("done", jobs=ended)

    async def _tick_until(self, stop: Stop) -> None:
        failures = 0
        while not stop.draining.is_set():
            pause = self._poll
            self._wake.clear()
            try:
                if not await self.tick():
                    pause = 0.0
                failures = 0
            except (Retryable, sqlite3.OperationalError) as error:
                # A full disk is an OperationalError, too: say so, and go on once there is room.
                failures += 1
                pause = min(_LONGEST_PAUSE, max(self._poll, 0.5) * 2 ** min(failures - 1, 10))
                level = self._log.error if failures >= 5 else self._log.warning
                level("tick_failed", error=str(error), failures=failures, retry_seconds=pause)
                # Perhaps another node answers at this address by now.
                self._checked = 0.0
            await self._sleep(pause, stop)

    async def _sleep(self, seconds: float, stop: Stop) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        waits = {
            asyncio.create_task(self._wake.wait()),
            asyncio.create_task(stop.draining.wait()),
        }
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
