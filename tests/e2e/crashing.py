"""Runs a daemon that SIGKILLs itself at a named place: for tests, not part of the package.

    CRASH_AT=F5 CRASH_JOURNAL=/path python crashing.py deliverer|watchdog

Before it dies it adds a line to the journal, so that a test can count what happened.
"""

import os
import signal
import sys

from dam import logs, wiring
from dam.config import Settings


def checkpoint(place: str) -> None:
    if place != os.environ["CRASH_AT"]:
        return
    journal = os.open(os.environ["CRASH_JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(journal, f"{place} {os.getpid()}\n".encode())
    os.close(journal)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    logs.configure()
    role = {"deliverer": wiring.deliverer, "watchdog": wiring.watchdog}[sys.argv[1]]
    sys.exit(role(Settings.load(), checkpoint=checkpoint))
