"""A daemon's main loop: catch up, then act on each block; first signal drains, second stops.

Before it starts, `base.DaemonBase` has checked the node and taken the locks. Then background work
(store documents) begins, the chain is read up to the head, ``ready`` is logged, and from then on
each tick reads, decides and sends. A node that fails is asked again, ever more seldom, and so is a
disk that is full; what can never succeed, or fails in a way that only a new start may mend, ends
the process with a non-zero code.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import math
import signal
import sqlite3
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from dam.daemon.chain_reader import ChainReader
from dam.daemon.heartbeat import Heartbeat
from dam.errors import IpfsError, Retryable, is_host_failure
from dam.ledger.ledger import Ledger
from dam.ledger.ledger_file import shrink_cache
from dam.ledger.outbox import Now, Outbox
from dam.log import Log
from dam.market.client import BlockUnknownError
from dam.roles.deliverer.deliverer import Deliverer
from dam.roles.watchdog import Watchdog
from dam.sending.sender import DrySender, Sender
from dam.types import BlockRef, Clock

DRAIN_SECONDS = 8.0
MAX_FAILURES = 5
"""In a row, of a kind that a restart may mend: then the process ends."""
BEHIND_LOOKS = 15
"""So many looks at a node that is behind make an alert."""
_MAX_PAUSE_SECONDS = 30.0
_CHECK_SECONDS = 60.0
_DUE_SECONDS = 1.0
"""Before and after the time at which a block is due: then we look often."""
_DUE_LOOKS = 8
"""So many looks then, in the time of one otherwise."""
_MIN_PAUSE_SECONDS = 0.05
_ONCE_BLOCKS = 10
_ONCE_SECONDS = 300.0
_TRANSIENT_CODES = {
    sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_NOMEM,
}  # fmt: skip
"""Transient: no room, no file descriptor, no memory just now, a backup that reads."""
_RESTART_CODES = {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PROTOCOL}
"""Perhaps only a slip of the disk, but the open file is not to be trusted any more."""
_TRANSIENT_ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE}


Role = Deliverer | Watchdog
AnySender = Sender | DrySender


class Stop:
    """Stops in two steps: the first signal sets ``draining``, the second one cancels."""

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


class Polling:
    """When to look at the chain again: after ``poll`` seconds, or sooner if a block is due.

    A look costs the node one small request; but the sooner a block is seen, the surer our answer is
    in the next one. The rhythm of the blocks is learnt from their timestamps. If none comes when it
    is due (an empty slot, an idle chain), we wait ``poll`` seconds again until the next is.
    """

    def __init__(self, poll: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._poll = poll
        self._clock = clock
        self._head: BlockRef | None = None
        self._came = 0.0
        self.interval: float | None = None
        """Seconds between two blocks, or None as long as that is unknown."""
        self.fast = min(poll, max(_MIN_PAUSE_SECONDS, poll / _DUE_LOOKS))
        """Seconds between two looks while a block is due."""

    def saw(self, head: BlockRef) -> None:
        """The newest block, as the node has just answered."""
        before, self._head = self._head, head
        if head == before:
            return
        self._came = self._clock()
        if before is not None and head.number > before.number:
            found = (head.timestamp - before.timestamp) / (head.number - before.number)
            if found > 0:
                # The newest pair counts half: an empty slot or a burst is soon forgotten.
                self.interval = found if self.interval is None else (self.interval + found) / 2

    def pause(self) -> float:
        """Seconds to wait before the next look."""
        if self.interval is None:
            return self._poll
        waited = self._clock() - self._came
        if self.interval <= 2 * _DUE_SECONDS:
            # One is always due; but if none has come for long, the chain is idle.
            return self.fast if waited < 10 * _DUE_SECONDS else self._poll
        since = waited % self.interval
        if waited >= self.interval and since < _DUE_SECONDS:
            return self.fast
        # Up to the due time, and in small steps through it.
        return min(self._poll, max(self.fast, self.interval - since - _DUE_SECONDS))


@dataclass(slots=True)
class Pulse:
    """How a service is; every field may be read by any thread at any time."""

    head: int = -1
    """Newest block of the node, -1 as long as it is unknown."""
    cursor: int = -1
    """Last block that was read."""
    clock: Clock | None = None
    """The market's, in the newest block; None as long as it is unknown."""
    ready: bool = False
    draining: bool = False
    rounds: int = 0
    failures: int = 0
    failing: str = ""
    """Why the last round failed; empty if it did not."""

    def obstacles(self) -> list[str]:
        """Why it is not at work, in words; none if it is."""
        if self.draining:
            return ["stopping"]
        found = []
        if not self.ready:
            where = f"block {self.cursor} of {self.head}" if self.head >= 0 else "no node yet"
            found.append(f"catching up: {where}")
        if self.failing:
            found.append(f"the last round failed: {self.failing}")
        return found


class Service:
    """Ticks until stopped.

    Args:
        check: Raises `ConfigError` once the node is not on our chain any more.
        new_logs: Called when the chain had something new (a store to read, perhaps).
        background: Concurrent work; it runs until cancelled.
        poll: Most seconds between ticks; see `Polling`.
        idle: Whether the background has done all that it can; asked in a single run.
        beats: Is told of every round.
    """

    def __init__(
        self,
        ledger: Ledger,
        reader: ChainReader,
        role: Role,
        sender: AnySender,
        *,
        log: Log,
        check: Callable[[], Coroutine[Any, Any, None]],
        new_logs: Callable[[], None] = lambda: None,
        background: Sequence[Callable[[], Coroutine[Any, Any, None]]] = (),
        poll: float = 1.0,
        idle: Callable[[], bool] = lambda: True,
        beats: Heartbeat | None = None,
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
        self._polling = Polling(poll)
        self._idle = idle
        self._beats = beats
        self._behind = 0
        """For how many looks in a row the node has been behind."""
        self._wake = asyncio.Event()
        self._checked = time.monotonic()
        self._failures = 0
        """Of questions to nodes, when the chain was last looked at; -1: look again."""
        self._now = Now(-1, Clock(0, 0))
        self.pulse = Pulse()

    def wake(self) -> None:
        """Ticks now instead of after the pause."""
        self._wake.set()

    async def run(self, stop: Stop, *, once: bool = False) -> None:
        """Runs until ``stop`` drains; raises what cannot be mended.

        Args:
            stop: Ends it.
            once: End by itself, too, once all is read, decided, sent and confirmed; what cannot be
                sent now is reported and left.

        Raises:
            Permanent: See `ledger.DeepReorganisation`, `errors.ConfigError`.
            sqlite3.DatabaseError, OSError: The disk fails, time and again.
        """
        ticking = asyncio.create_task(self._tick_until(stop, once))
        others = [asyncio.create_task(self._keep_up(work)) for work in self._background]
        draining = asyncio.create_task(stop.draining.wait())
        draining.add_done_callback(lambda _: self.wake())
        try:
            # Background work never ends by itself: the first to end has failed.
            await asyncio.wait({ticking, draining, *others}, return_when=asyncio.FIRST_COMPLETED)
            if stop.draining.is_set():
                self.pulse.draining = True
                self._log.info("draining")
                if self._beats is not None:
                    self._beats.stopping(DRAIN_SECONDS)
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
        failures = self._reader.stats.failures
        # Whatever failed, and whoever asked: perhaps another node answers at this address by now.
        if failures != self._failures or time.monotonic() - self._checked > _CHECK_SECONDS:
            await self._check()
            self._checked, self._failures = time.monotonic(), failures
        step = await self._reader.advance()
        self._polling.saw(step.head)
        self.pulse.head, self.pulse.cursor = step.head.number, step.cursor.number
        self.pulse.clock = step.clock
        self._now = Now(step.head.number, step.clock)
        if step.new_logs or step.rollback:
            self._new_logs()
        if not step.caught_up:
            return False
        if not self.pulse.ready:
            self._new_logs()
            shrink_cache(self._ledger.db)
            self._log.info("ready", block=step.cursor.number, head=step.head.number)
        self._finish()
        await self._role.decide(step.head, step.clock)
        await self._sender.step(step.head.number, step.cursor, step.clock)
        if not self.pulse.ready:
            self.pulse.ready = True
            if self._beats is not None:
                self._beats.settled()
        return True

    def _finish(self) -> None:
        with self._ledger.transaction():
            ended = self._outbox.finish_by_events()
            self._role.finished()
            self._ledger.prune()
        if ended:
            self._log.info("done", jobs=ended)

    async def _tick_until(self, stop: Stop, once: bool) -> None:
        failures = 0
        single = _SinglePass(self._outbox) if once else None
        while not stop.draining.is_set():
            self._wake.clear()
            idle = self._idle()
            try:
                whole = await self.tick()
                if failures >= MAX_FAILURES:
                    self._log.info("tick_recovered", failures=failures)
                failures = self._behind = 0
                self.pulse.failing = ""
                pause = self._polling.pause() if whole else 0.0
                # What the background found has been decided in this round, and the round found
                # nothing more for it.
                calm = whole and idle and self._idle()
                if single is not None and calm and single.over(self._now):
                    self._log.info("once_done", head=self.pulse.head, **single.left)
                    return
            except Exception as error:  # noqa: BLE001 - `_failed` raises all but transient errors
                failures += 1
                pause = self._failed("tick_failed", error, failures)
                self._failures = -1
            self.pulse.rounds += 1
            if self._beats is not None:
                self._beats.round_ended()
            await self._sleep(pause)

    async def _keep_up(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Background work, begun again after a transient error."""
        failures, began = 0, time.monotonic()
        while True:
            try:
                await work()
                return
            except Exception as error:  # noqa: BLE001 - as above
                failures = 1 if time.monotonic() - began > 10 * _MAX_PAUSE_SECONDS else failures + 1
                pause = self._failed("background_failed", error, failures)
            await asyncio.sleep(pause)
            began = time.monotonic()

    def _failed(self, event: str, error: Exception, failures: int) -> float:
        """Logs what failed, and returns the seconds to wait; raises what waiting does not mend."""
        what, patience = _judge(error)
        if failures >= patience:
            raise error
        pause = min(_MAX_PAUSE_SECONDS, max(self._poll, 0.5) * 2.0 ** min(failures - 1, 10))
        self.pulse.failures += 1
        text = str(error) or type(error).__name__
        self.pulse.failing = f"{what}: {text}"
        if isinstance(error, BlockUnknownError):
            self._behind += 1
            log_node_behind(self._log, error, self._behind)
            # It may be there with the next look: one of several behind one address is late.
            return self._poll
        self._behind = 0
        level = self._log.error if failures >= MAX_FAILURES else self._log.warning
        level(event, error=text, failures=failures, retry_seconds=pause, next_step=_NEXT_STEP[what])
        return pause

    async def _sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        with contextlib.suppress(TimeoutError):
            # Not wait_for: in Python 3.11 it swallows a cancel that comes just after the wake.
            async with asyncio.timeout(seconds):
                await self._wake.wait()


_NEXT_STEP = {
    "node": "look at the node: does it run, is it in sync, is its address right?",
    "ipfs": "look at the IPFS node: does it run, is its address right?",
    "disk": "look at the disk of the state folder: room, mount, health (df, dmesg)",
    "host": "look at the machine: free memory, open files (LimitNOFILE), disk",
}


def log_node_behind(log: Log, error: BlockUnknownError, looks: int) -> None:
    """Says that the node is behind: at the first look, and as an alert when that lasts."""
    if looks == 1:
        log.warning("node_behind", error=str(error))
    elif looks == BEHIND_LOOKS:
        log.error("node_behind", error=str(error), looks=looks)


def _judge(error: Exception) -> tuple[str, float]:
    """What failed, and after how many failures in a row to give up: 1 is at once."""
    if isinstance(error, Retryable):
        return "ipfs" if isinstance(error, IpfsError) else "node", math.inf
    if isinstance(error, sqlite3.OperationalError):
        # Extended codes have the kind in their low byte: https://sqlite.org/rescode.html
        kind = int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)) & 0xFF
        if kind in _TRANSIENT_CODES:
            return "disk", math.inf
        return "disk", MAX_FAILURES if kind in _RESTART_CODES else 1
    if is_host_failure(error):
        passing = isinstance(error, OSError) and error.errno in _TRANSIENT_ERRNOS
        return "host", math.inf if passing else MAX_FAILURES
    return "", 1


class _SinglePass:
    """Knows when a single run is over: nothing is due, or what is due does not move."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._head, self._head_since = -1, time.monotonic()
        self._work: tuple[object, ...] = ()
        self._work_since = -1
        """Head when something of ours last changed."""
        self.left = {"live": 0, "due": 0}
        """How much is waiting still."""

    def over(self, now: Now) -> bool:
        head = now.head
        live, due = self._outbox.live(), self._outbox.due(now)
        self.left = {"live": len(live), "due": len(due)}
        slots = [(slot.id, len(slot.attempts), slot.last.sent) for slot in live]
        work = (*slots, *(job.id for job in due))
        if head != self._head:
            self._head, self._head_since = head, time.monotonic()
        if work != self._work:
            self._work, self._work_since = work, head
        still = head - self._work_since >= _ONCE_BLOCKS
        return not work or still or time.monotonic() - self._head_since >= _ONCE_SECONDS
