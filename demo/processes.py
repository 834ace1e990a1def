"""Child processes that are always ended: by the demo, or by a reaper if the demo itself is killed.

Each is a session of its own, so that Ctrl-C reaches the demo alone and the demo ends them in
order; each is ended by its own id, and never by name.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol


class Child(Protocol):
    """What is used of a `subprocess.Popen`."""

    @property
    def pid(self) -> int: ...
    @property
    def returncode(self) -> int | None: ...
    def poll(self) -> int | None: ...
    def send_signal(self, sig: int) -> None: ...


Start = Callable[..., Child]
"""`subprocess.Popen`, or what takes the same arguments."""

_REAPER = """
import os, shutil, signal, sys, time
alive, folders = set(), []
for line in sys.stdin:
    word = line.rstrip("\\n")
    if word.startswith("/"): folders.append(word)
    elif word.startswith("-"): alive.discard(int(word[1:]))
    else: alive.add(int(word))
for pid in alive:
    try: os.killpg(pid, signal.SIGKILL)
    except OSError: pass
if alive: time.sleep(0.5)
for folder in folders: shutil.rmtree(folder, ignore_errors=True)
"""


class Reaper:
    """A tiny process that waits for our end, then kills and removes what we left behind."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-ISc", _REAPER], stdin=subprocess.PIPE, start_new_session=True
        )

    def watch(self, pid: int) -> None:
        """A process group that must not outlive us."""
        self._tell(str(pid))

    def forget(self, pid: int) -> None:
        """It has ended, or is about to be: its id may be another's soon."""
        self._tell(f"-{pid}")

    def remove(self, folder: Path) -> None:
        """A temporary folder that must not outlive us."""
        self._tell(str(folder.absolute()))

    def close(self) -> None:
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait(60)

    def _tell(self, word: str) -> None:
        if self._process.stdin:
            self._process.stdin.write(f"{word}\n".encode())
            self._process.stdin.flush()


class Daemon:
    """One of DAM's daemons as a process of its own, with its log in a file.

    Args:
        name: For messages, such as ``deliverer 1``.
        role: ``deliverer`` or ``watchdog``.
        command: Program and arguments.
        env: Its whole environment.
        log: Where its stderr goes; JSON lines, as it is no terminal.
        reaper: Told of every start and end.
        start: Starts the process.
    """

    def __init__(
        self,
        name: str,
        role: str,
        command: Sequence[str],
        env: Mapping[str, str],
        log: Path,
        reaper: Reaper,
        start: Start = subprocess.Popen,
    ) -> None:
        self.name = name
        self.role = role
        self.command = list(command)
        self.env = dict(env)
        self.log = log
        self._reaper = reaper
        self._start = start
        self._process: Child | None = None
        self._watched = False
        self._began_at = 0

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self.code is None

    @property
    def code(self) -> int | None:
        """Exit code of the last run: negative for a signal, None while it runs."""
        if self._process is None or self._process.poll() is None:
            return None
        if self._watched:
            # Its id may soon be another's: nobody must end that in its place.
            self._watched = False
            self._reaper.forget(self._process.pid)
        return self._process.returncode

    def start(self) -> None:
        assert not self.running
        with self.log.open("ab") as log:
            self._began_at = log.tell()
            self._process = self._start(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.env,
                cwd=self.log.parent,
                start_new_session=True,
            )
        self._watched = True
        self._reaper.watch(self._process.pid)

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to exactly this process."""
        if self._process is not None:
            self._process.send_signal(number)

    async def kill(self) -> None:
        """SIGKILL: no last word, no clean-up."""
        self.send(signal.SIGKILL)
        await self.wait(10)

    async def stop(self, seconds: float = 12) -> int:
        """SIGTERM, which drains; returns the exit code. SIGKILL if it does not end in time."""
        if self.running:
            self.send(signal.SIGTERM)
        try:
            return await self.wait(seconds)
        except TimeoutError:
            self.send(signal.SIGKILL)
            return await self.wait(10)

    async def wait(self, seconds: float) -> int:
        """Waits for the end and returns the exit code.

        Raises:
            TimeoutError: It still runs.
        """
        assert self._process is not None
        deadline = time.monotonic() + seconds
        while (code := self.code) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name} still runs after {seconds} s")
            await asyncio.sleep(0.02)
        return code

    def lines(self, *, since_start: bool = False) -> Iterator[dict[str, Any]]:
        """The log lines that are JSON objects, oldest first; of all runs, or of the last one."""
        if not self.log.exists():
            return
        data = self.log.read_bytes()[self._began_at if since_start else 0 :]
        yield from json_lines(data.decode("utf-8", "replace"))

    async def event(self, name: str, seconds: float = 60) -> dict[str, Any]:
        """Waits for a log line of this run by its event.

        Raises:
            TimeoutError: None came, or the process ended; says how its log ends.
        """
        deadline = time.monotonic() + seconds
        while True:
            running = self.running
            for line in self.lines(since_start=True):
                if line.get("event") == name:
                    return line
            if not running or time.monotonic() > deadline:
                state = "runs" if running else f"ended with code {self.code}"
                raise TimeoutError(f"{self.name} ({state}) never logged {name!r}; {self.tail()}")
            await asyncio.sleep(0.05)

    def tail(self, characters: int = 1200) -> str:
        """How the log ends."""
        text = self.log.read_text("utf-8", "replace") if self.log.exists() else ""
        return f"its log ends:\n{text[-characters:]}"


async def ended(process: Child) -> int:
    """Waits for the end of a process; its exit code, negative for a signal."""
    while (code := process.poll()) is None:  # noqa: ASYNC110 # it tells nobody that it ended
        await asyncio.sleep(0.01)
    return code


def json_lines(text: str) -> Iterator[dict[str, Any]]:
    """The lines of a log that are JSON objects, the oldest first."""
    for line in text.splitlines():
        with contextlib.suppress(ValueError):
            value = json.loads(line)
            if isinstance(value, dict):
                yield value


def base_env() -> dict[str, str]:
    """What every child needs of our environment, and nothing else of it."""
    keep = ("PATH", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR")
    return {name: os.environ[name] for name in keep if name in os.environ}
