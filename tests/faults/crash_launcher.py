"""Starts a daemon that kills itself with SIGKILL at a named place: for tests alone.

    DAM_CRASH_AT=F5:2 python tests/faults/crash_launcher.py deliverer

runs the deliverer until its second fragment is sealed and not yet saved. The places are those of
the fault table (F1 to F8); without the variable nothing is different from ``dam deliverer run``.
Production code knows neither this file nor the variable: it takes a function to call at each place.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections import Counter

from dam.config.settings import Settings
from dam.daemon.run import deliverer_main, watchdog_main
from dam.log import configure_logging

VARIABLE = "DAM_CRASH_AT"
LAUNCHER = (sys.executable, __file__)
"""The command that runs this file; behind it stands ``deliverer`` or ``watchdog``."""


class Crash:
    """A checkpoint that does not return from the n-th visit of one place."""

    def __init__(self, spec: str) -> None:
        found = re.fullmatch(r"(F[1-8]):([1-9][0-9]*)", spec)
        if found is None:
            raise SystemExit(f"{VARIABLE} is not like F5:2")
        self._place, self._visit = found[1], int(found[2])
        self._visits: Counter[str] = Counter()

    def __call__(self, place: str) -> None:
        self._visits[place] += 1
        if place == self._place and self._visits[place] == self._visit:
            line = {"event": "crash", "place": place, "visit": self._visit, "level": "critical"}
            os.write(2, json.dumps(line).encode() + b"\n")
            os.kill(os.getpid(), signal.SIGKILL)


def main() -> int:
    configure_logging()
    run = {"deliverer": deliverer_main, "watchdog": watchdog_main}[sys.argv[1]]
    spec = os.environ.get(VARIABLE)
    return run(Settings.load(), checkpoint=Crash(spec) if spec else lambda _: None)


if __name__ == "__main__":
    sys.exit(main())
