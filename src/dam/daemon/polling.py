"""When to look at the chain again: seldom while nothing can have come, often when a block is due.

A look costs the node one small request (the newest block), so what matters is not to ask all the
time, and yet to see a block when it comes: the sooner, the surer our answer is in the next one.
Blocks come at a rhythm. The pace learns it from the blocks' own timestamps, waits at most ``poll``
seconds at any time, and looks eight times as often in the second in which the next block is due.
If none comes (an empty slot, an idle chain), it goes back to ``poll`` until the next is due.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from dam.types import BlockRef

_WINDOW = 1.0
"""Seconds before and after the due time in which to look often."""
_FAST = 8
_QUICKEST = 0.05


class Pace:
    """The rhythm of one chain.

    Args:
        poll: Longest pause, in seconds.
        clock: Seconds that only grow.
    """

    def __init__(self, poll: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._poll = poll
        self._clock = clock
        self._head: BlockRef | None = None
        self._came = 0.0
        self.interval: float | None = None
        """Seconds between two blocks, or None as long as that is unknown."""

    @property
    def fast(self) -> float:
        """Pause while a block is due, in seconds."""
        return min(self._poll, max(_QUICKEST, self._poll / _FAST))

    def saw(self, head: BlockRef) -> None:
        """The newest block, as it was just told."""
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
        if self.interval <= 2 * _WINDOW:
            # One is always due; but if none has come for long, the chain is idle.
            return self.fast if waited < 10 * _WINDOW else self._poll
        since = waited % self.interval
        if waited >= self.interval and since < _WINDOW:
            return self.fast
        # Up to the window, and in small steps through it.
        return min(self._poll, max(self.fast, self.interval - since - _WINDOW))
