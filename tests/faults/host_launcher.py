"""Starts a daemon on a machine that misbehaves as files say: for tests alone.

    DAM_TEST_CLOCK=seconds DAM_TEST_BLOCK=F4:stop python tests/faults/host_launcher.py deliverer

* ``DAM_TEST_CLOCK``: a file with the seconds by which the wall clock is wrong, which may change
  while the daemon runs. The monotonic clock goes on, as it does when somebody sets a machine's
  time.
* ``DAM_TEST_BLOCK``: a place (see `crash_launcher`) and a file: as long as the file is there, the
  event loop stands still at that place.
* ``DAM_TEST_UID``: who runs it, for a test that may not give files away.
* ``DAM_TEST_WISH``: how long a node's wish to be left alone counts at most, in seconds: a test has
  no five minutes.

Production code knows neither this file nor the variables.
"""

from __future__ import annotations

import datetime
import json
import os
import sys
import time
from pathlib import Path

_TIME = time.time
_DATETIME = datetime.datetime


def _wrong_by(path: Path) -> float:
    return float(path.read_text("ascii"))


def move_clock(path: Path) -> None:
    """Every wall clock that Python code reads is wrong by what the file says."""

    class Moved(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:  # type: ignore[override]
            return _DATETIME.now(tz) + datetime.timedelta(seconds=_wrong_by(path))

        @classmethod
        def utcnow(cls) -> datetime.datetime:  # type: ignore[override]
            return cls.now(datetime.UTC).replace(tzinfo=None)

    time.time = lambda: _TIME() + _wrong_by(path)
    datetime.datetime = Moved  # type: ignore[misc]


def stand_still(place: str, stop: Path) -> None:
    """Returns when the file is gone, and lets nothing else run on this thread until then."""
    line = {"event": "standing_still", "place": place, "level": "critical"}
    os.write(2, json.dumps(line).encode() + b"\n")
    while stop.exists():
        time.sleep(0.02)


def main() -> int:
    if clock := os.environ.get("DAM_TEST_CLOCK"):
        move_clock(Path(clock))
    if uid := os.environ.get("DAM_TEST_UID"):
        os.geteuid = lambda: int(uid)
    # Only now: what they import of the clock is the moved one.
    from dam.config.settings import Settings
    from dam.daemon.run import deliverer_main, watchdog_main
    from dam.ethereum import endpoint
    from dam.log import configure_logging

    if wish := os.environ.get("DAM_TEST_WISH"):
        endpoint._MAX_RETRY_AFTER_SECONDS = float(wish)
    where, _, stop = os.environ.get("DAM_TEST_BLOCK", "").partition(":")

    def checkpoint(place: str) -> None:
        if place == where and Path(stop).exists():
            stand_still(place, Path(stop))

    configure_logging()
    run = {"deliverer": deliverer_main, "watchdog": watchdog_main}[sys.argv[1]]
    return run(Settings.load(), checkpoint=checkpoint)


if __name__ == "__main__":
    sys.exit(main())
