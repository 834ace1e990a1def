"""A supervisor that plays systemd, and what it can ask of a daemon.

It does as systemd does for ``Type=notify`` with ``WatchdogSec=``.
"""

from __future__ import annotations

import asyncio
import re
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.faults.daemons import Process

WATCHDOG_SECONDS = 3.0


class Supervisor:
    """systemd's side of the protocol for one service."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)
        self.env = {
            "NOTIFY_SOCKET": str(path),
            "WATCHDOG_USEC": str(round(WATCHDOG_SECONDS * 1e6)),
        }
        self.heard: list[str] = []
        self.alive_at = 0.0

    def hear(self) -> list[str]:
        """What came since the last call."""
        new: list[str] = []
        with suppress(BlockingIOError):
            while True:
                new += self._socket.recv(4096).decode().splitlines()
        if {"READY=1", "WATCHDOG=1"} & set(new):
            self.alive_at = time.monotonic()
        self.heard += new
        return new

    async def until(self, what: str, seconds: float = 90) -> None:
        """Waits for a line."""
        deadline = time.monotonic() + seconds
        while what not in self.hear():
            assert time.monotonic() < deadline, f"no {what}: {self.heard[-5:]}"
            await asyncio.sleep(0.02)

    async def missed(self, seconds: float = 90) -> None:
        """Waits until the daemon has said nothing for as long as systemd would wait."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < self.alive_at + WATCHDOG_SECONDS:
            assert time.monotonic() < deadline, "it never fell silent"
            self.hear()
            await asyncio.sleep(0.05)

    def close(self) -> None:
        self._socket.close()


def ask(port: int, page: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


async def until(true: Callable[[], object], what: str, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not await asyncio.to_thread(true):
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.1)


async def port_of(daemon: Process) -> int:
    line = await daemon.event("health", len(daemon.logged("health")))
    return int(re.findall(r":(\d+)/metrics", line["url"])[0])
