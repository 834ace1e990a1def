"""Shows the service manager that loop and work go on; ends the process if they do not.

Two halves watch each other. A coroutine beats about once a second: no beat, the loop is blocked. A
thread counts the seconds without a beat, so it can say so while the loop cannot, and end the
process where no manager would. It counts its own seconds and reads no clock: a process that was
stopped for an hour (SIGSTOP, a sleeping laptop) has missed no beat.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from dam.daemon.systemd import Notifier
from dam.log import Log

BEAT_SECONDS = 1.0
UNHEALTHY_SECONDS = 15.0
"""Without a beat, until ``/healthz`` answers 503."""
BLOCKED_SECONDS = 45.0
"""Without a beat, until the process is ended."""
STALLED_SECONDS = 900.0
"""Without the end of a round, good or bad, until it is ended, too; all calls have deadlines far
below."""
_START_SECONDS = 60.0


class Heartbeat:
    """One per process.

    Args:
        notifier: The manager.
        log: Logger.
        end: Called from the thread when the loop has been blocked for `BLOCKED_SECONDS`, or the
            work for `STALLED_SECONDS`; ends the process. None: just log.
        lag: Called with the seconds by which a beat was late.
    """

    def __init__(
        self,
        notifier: Notifier,
        *,
        log: Log,
        end: Callable[[], None] | None = None,
        lag: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._notifier = notifier
        self._log = log
        self._end = end
        self._lag = lag
        self._stop = threading.Event()
        self._silent = 0.0
        self._idle = 0.0
        self._settling = True
        """The start or the stop is going on: the manager wants to hear that it takes longer."""

    @property
    def silent(self) -> float:
        """Seconds without a beat, by the thread's count. For any thread."""
        return self._silent

    @property
    def healthy(self) -> bool:
        """The loop turns and rounds end. For any thread."""
        return self._silent < UNHEALTHY_SECONDS and self._idle < STALLED_SECONDS

    def round_ended(self) -> None:
        """A round of work has ended, well or not."""
        self._idle = 0.0

    def settled(self) -> None:
        """The start is over: the manager's watchdog runs from now on."""
        self._settling = False
        self._notifier.ready()
        self._notifier.alive()

    def stopping(self, seconds: float) -> None:
        """The stop has begun, and takes at most so long."""
        self._settling = False
        self._notifier.stopping()
        self._notifier.extend(seconds + 10.0)

    async def beat(self) -> None:
        """Beats until cancelled."""
        period = min(BEAT_SECONDS, (self._notifier.watchdog or 4.0) / 4)
        while True:
            self._silent = 0.0
            if self._settling:
                self._notifier.extend(_START_SECONDS)
            elif self._idle < STALLED_SECONDS:
                self._notifier.alive()
            due = time.monotonic() + period
            await asyncio.sleep(period)
            self._lag(max(0.0, time.monotonic() - due))

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """The thread runs while inside."""
        thread = threading.Thread(target=self._watch, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join(5.0)

    def _watch(self) -> None:
        logged = 0.0
        while not self._stop.wait(BEAT_SECONDS):
            self._silent += BEAT_SECONDS
            self._idle += BEAT_SECONDS
            if self._silent < UNHEALTHY_SECONDS:
                logged = 0.0
            elif self._silent - logged >= UNHEALTHY_SECONDS:
                logged = self._silent
                self._log.error("loop_blocked", seconds=self._silent)
            if self._end is not None and self._over():
                self._log.critical("stuck", loop_seconds=self._silent, round_seconds=self._idle)
                self._end()
                return

    def _over(self) -> bool:
        return self._silent >= BLOCKED_SECONDS or self._idle >= STALLED_SECONDS
