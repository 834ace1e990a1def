"""Daemons under test: in this process, where a checkpoint can kill them, or as processes.

`Deliverer` runs the daemon's own code here (`dam.daemon.run.run_deliverer`), which is quick to
start. `Process` is the daemon as it is delivered, for signals, limits and real kills. Both are made
by `tests.faults.world.FaultWorld`.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dam.config.settings import Settings
from dam.daemon.exit import report_exit
from dam.daemon.run import run_deliverer
from dam.daemon.service import Stop
from dam.keystore.ape_accounts import Signer
from dam.keystore.key_files import KeyRing
from dam.log import get_logger
from demo import ledgers
from demo.actors import Actor
from demo.processes import Daemon, json_lines

SECONDS = float(os.environ.get("DAM_FAULT_SECONDS", "60"))
"""How long a test waits for something before it fails."""


class Killed(BaseException):
    """A daemon in this process died at a checkpoint; no code of ours catches it."""


class LogCapture(io.StringIO):
    """Takes all that is logged in this process, as it would stand in a file."""

    def isatty(self) -> bool:
        return False


@dataclass(eq=False)
class Runner:
    """What daemons in this process and those in their own have in common."""

    actor: Actor
    number: int

    def __str__(self) -> str:
        return f"deliverer {self.number + 1}"

    @property
    def home(self) -> Path:
        """Its ``DAM_HOME``."""
        raise NotImplementedError

    @property
    def running(self) -> bool:
        raise NotImplementedError

    @property
    def code(self) -> int | None:
        raise NotImplementedError

    def text(self) -> str:
        """Its whole log."""
        raise NotImplementedError

    def lines(self) -> Iterator[dict[str, Any]]:
        """The lines of its log that are JSON objects, the oldest first."""
        return json_lines(self.text())

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Its log lines of one event."""
        return [line for line in self.lines() if line.get("event") == event]

    async def event(self, name: str, times: int = 1, seconds: float = SECONDS) -> dict[str, Any]:
        """Waits until an event was logged so often; its last line. Mines nothing."""
        deadline = time.monotonic() + seconds
        while len(found := self.logged(name)) < times:
            if time.monotonic() > deadline or (not self.running and not self.logged(name)):
                raise AssertionError(f"{self} logged {name} {len(found)} times; {self.tail()}")
            await asyncio.sleep(0.02)
        return found[-1]

    def tail(self, characters: int = 1500) -> str:
        """How its log ends."""
        jobs = self.query(
            "SELECT kind, part_index, state, reason, retry_block, tries, nonce_slot FROM jobs"
        )
        slots = self.query("SELECT id, nonce, state FROM nonce_slots")
        state = f"running: {self.running}, code {self.code}, jobs {jobs[-5:]}, slots {slots[-5:]}"
        return f"{state}, log: ...{self.text()[-characters:]}"

    @property
    def ledger(self) -> Path:
        """Its ledger file; it may not be there yet."""
        return ledgers.ledger_of(self.home, "deliverer")

    def query(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of its ledger, read-only; none while it has none."""
        return ledgers.rows(self.ledger, sql, *values)

    def cursor(self) -> int:
        """The last block that it has read; -1 before the first."""
        rows = self.query("SELECT number FROM cursor")
        return int(rows[0][0]) if rows else -1

    def journal(self, *events: str) -> list[tuple[str, dict[str, Any]]]:
        """What it wrote down for its operator."""
        rows = self.query("SELECT event, detail FROM journal ORDER BY id")
        return [(row[0], json.loads(row[1])) for row in rows if not events or row[0] in events]


class Deliverer(Runner):
    """The daemon in this process. Make one with `FaultWorld.deliverer`."""

    def __init__(
        self,
        actor: Actor,
        number: int,
        env: Mapping[str, str],
        signer: Signer,
        ring: KeyRing,
        log: LogCapture,
        *,
        run: int,
    ) -> None:
        super().__init__(actor, number)
        self._log = log
        self.env = dict(env)
        self.signer, self.ring = signer, ring
        self.hits: Counter[str] = Counter()
        """How often it came by each checkpoint."""
        self.kill_at: tuple[str, int] | None = None
        """Where the next run dies: a place, and which visit of it."""
        self._task: asyncio.Task[None] | None = None
        self._stop = Stop()
        self._code: int | None = None
        # Two of one name in one test would mix their lines.
        self._name = f"{self}#{run}"

    @property
    def home(self) -> Path:
        return Path(self.env["DAM_HOME"])

    @property
    def running(self) -> bool:
        return self._task is not None and not self._task.done()

    @property
    def code(self) -> int | None:
        """As a process would exit: None while it runs, -9 after a kill."""
        return self._code

    async def start(self, *, ready: bool = True) -> Deliverer:
        """Starts it, and waits until it has caught up unless told not to."""
        assert not self.running
        before = len(self.logged("ready"))
        self._stop, self._code = Stop(), None
        self.hits.clear()
        self._task = asyncio.create_task(self._run())
        if ready:
            await self.event("ready", before + 1)
        return self

    async def _run(self) -> None:
        log = get_logger("deliverer").bind(daemon=self._name)
        try:
            with report_exit(log) as result:
                await run_deliverer(
                    Settings.load(self.env),
                    self.signer,
                    self.ring,
                    log=log,
                    checkpoint=self._checkpoint,
                    stop=self._stop,
                )
            self._code = result.code
        except Killed as death:
            self._code = -signal.SIGKILL
            log.critical("crash", place=str(death))

    def _checkpoint(self, place: str) -> None:
        self.hits[place] += 1
        if self.kill_at == (place, self.hits[place]):
            self.kill_at = None
            raise Killed(place)

    async def stop(self, seconds: float = 30) -> int:
        """Has it drain; its exit code."""
        self._stop.request()
        return await self.wait(seconds)

    async def wait(self, seconds: float = SECONDS) -> int:
        """Waits for its end; its exit code."""
        assert self._task is not None
        await asyncio.wait_for(asyncio.shield(self._task), seconds)
        assert self._code is not None
        return self._code

    async def kill(self) -> None:
        """Ends it wherever it is; what was not committed is gone."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def text(self) -> str:
        mark = json.dumps(self._name)
        return "\n".join(line for line in self._log.getvalue().splitlines() if mark in line)


@dataclass(eq=False)
class Process(Runner):
    """The daemon as a process. Make one with `FaultWorld.process`."""

    inner: Daemon

    @property
    def home(self) -> Path:
        return Path(self.inner.env["DAM_HOME"])

    @property
    def running(self) -> bool:
        return self.inner.running

    @property
    def code(self) -> int | None:
        return self.inner.code

    async def start(self, *, ready: bool = True) -> Process:
        """Starts it, and waits until it has caught up unless told not to."""
        before = len(self.logged("ready"))
        self.inner.start()
        if ready:
            await self.event("ready", before + 1)
        return self

    async def stop(self, seconds: float = 20) -> int:
        """SIGTERM; its exit code."""
        return await self.inner.stop(seconds)

    async def wait(self, seconds: float = SECONDS) -> int:
        """Waits for its end; its exit code."""
        return await self.inner.wait(seconds)

    async def kill(self) -> None:
        """SIGKILL."""
        if self.inner.running:
            await self.inner.kill()

    def signal(self, number: signal.Signals) -> None:
        """Sends exactly this process a signal."""
        self.inner.send(number)

    def peak_bytes(self) -> int:
        """The most memory that it ever had resident."""
        status = Path(f"/proc/{self.inner.pid}/status").read_text("ascii")
        [line] = [line for line in status.splitlines() if line.startswith("VmHWM")]
        return int(line.split()[1]) * 1024

    def text(self) -> str:
        return self.inner.log.read_text("utf-8", "replace") if self.inner.log.exists() else ""
