"""Keeps one daemon running as a supervisor would, and knows why it was down."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from demo.actors import Actor
from demo.processes import Daemon
from demo.world import DAM
from tests.faults.crash_launcher import LAUNCHER
from tests.faults.ipfs_proxy import IpfsProxy
from tests.faults.rpc_proxy import RpcProxy

_READY_SECONDS = 120.0
WRONG_SETTINGS = 2
"""Exit code of a daemon whose node is on another chain, among other settings."""


@dataclass
class Life:
    """One run of the process. Times are seconds since the start of the soak."""

    pid: int
    began: float
    ended: float | None = None
    code: int | None = None
    why: str = ""
    """What ended it; empty while it runs."""
    over: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class Outage:
    """A time in which the daemon could not do its work as usual, and because of what."""

    began: float
    ended: float | None
    cause: str

    @property
    def until(self) -> float:
        """Its end, and the pause that a daemon makes after it: as long again, 30 s at most."""
        if self.ended is None:
            return float("inf")
        return self.ended + min(30.0, 1.0 + self.ended - self.began)


class Supervisor:
    """Starts a daemon again after each of its deaths.

    Args:
        daemon: Not started yet.
        actor: Whose.
        proxy: Its node.
        ipfs: Its IPFS node.
        clock: Seconds since the start of the soak.
        killable: False: this one is never killed, so that its memory can be watched for the whole
            time. All other faults are injected.
    """

    def __init__(
        self,
        daemon: Daemon,
        actor: Actor,
        proxy: RpcProxy,
        ipfs: IpfsProxy,
        clock: Callable[[], float],
        *,
        killable: bool,
    ) -> None:
        self.daemon = daemon
        self.actor = actor
        self.proxy = proxy
        self.ipfs = ipfs
        self.killable = killable
        self.lives: list[Life] = []
        self.outages: list[Outage] = []
        self.deaths: Counter[str] = Counter()
        """By cause."""
        self.failures: list[str] = []
        """What should never have happened."""
        self.lock = asyncio.Lock()
        """Whoever signals the process or takes its money holds it: one at a time."""
        self.may_exit = False
        """Whether exit code 2 is right now: its node says that it is on another chain."""
        self.drained = False
        """Whether its coins were taken."""
        self._clock = clock
        self._places: deque[str] = deque()
        self._wanted: str | None = None
        self._ending = False
        self._task: asyncio.Task[None] | None = None
        self._up = asyncio.Event()

    @property
    def name(self) -> str:
        return self.daemon.name

    def __repr__(self) -> str:
        return self.name

    def begin(self) -> None:
        """Starts the daemon, and watches over it from now on."""
        self._task = asyncio.create_task(self._watch())

    async def ready(self) -> None:
        """Returns once the daemon runs and has caught up."""
        await asyncio.wait_for(self._up.wait(), _READY_SECONDS)

    async def end(self) -> None:
        """Has it drain, for good."""
        self._ending = True
        if self.daemon.running:
            self.daemon.send(signal.SIGCONT)
            self._wanted = "end"
            self.daemon.send(signal.SIGTERM)
        if self._task is not None:
            await self._task

    def now(self) -> float:
        """Seconds since the start of the soak."""
        return self._clock()

    # ---------------------------------------------------------------------------------- injuries

    async def kill(self) -> bool:
        """SIGKILL, wherever it is."""
        return await self._end_by("SIGKILL", signal.SIGKILL)

    async def terminate(self) -> bool:
        """SIGTERM: it drains, and leaves with 0."""
        return await self._end_by("SIGTERM", signal.SIGTERM)

    async def _end_by(self, why: str, number: signal.Signals) -> bool:
        if not self.daemon.running:
            return False
        life = self.lives[-1]
        self._wanted = why
        self.daemon.send(number)
        await life.over.wait()
        await self.ready()
        return True

    async def crash_at(self, place: str, seconds: float) -> bool:
        """Starts it anew so that it dies at a named place; False: it never came by.

        Args:
            place: Such as ``F5:2``, the second visit of F5.
            seconds: How long to wait for the death.
        """
        before = self.deaths["SIGKILL at " + place[:2]]
        self._places.append(place)
        if not await self.kill():
            return False
        deadline = self._clock() + seconds
        while self.deaths["SIGKILL at " + place[:2]] == before:
            if self._clock() > deadline:
                # It lives on with its order to die: take that back.
                await self.kill()
                return self.deaths["SIGKILL at " + place[:2]] > before
            await asyncio.sleep(0.1)
        await self.ready()
        return True

    async def pause(self, seconds: float) -> bool:
        """SIGSTOP, and SIGCONT after so many seconds."""
        if not self.daemon.running:
            return False
        outage = self.begin_outage(f"SIGSTOP for {seconds:.0f} s")
        self.daemon.send(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            self.daemon.send(signal.SIGCONT)
            outage.ended = self._clock()
        return True

    def begin_outage(self, cause: str) -> Outage:
        """Notes that the daemon is held up from now on; set ``ended`` when it is over."""
        outage = Outage(self._clock(), None, cause)
        self.outages.append(outage)
        return outage

    # ------------------------------------------------------------------------------------ its life

    async def _watch(self) -> None:
        outage: Outage | None = None
        while not self._ending:
            place = self._places.popleft() if self._places else ""
            self.daemon.env.pop("DAM_CRASH_AT", None)
            self.daemon.command = [*DAM, self.daemon.role, "run"]
            if place:
                # The same daemon, but for a place to die at.
                self.daemon.command = [*LAUNCHER, self.daemon.role]
                self.daemon.env["DAM_CRASH_AT"] = place
            self.daemon.start()
            self.lives.append(Life(self.daemon.pid, self._clock()))
            await self._run(place, outage)
            outage = self.begin_outage(f"down after {self.lives[-1].why}")
            await asyncio.sleep(0.2)

    async def _run(self, place: str, outage: Outage | None) -> None:
        life = self.lives[-1]
        mark = b'"event": "ready"'
        offset = self.daemon.log.stat().st_size
        while self.daemon.running:
            if not self._up.is_set():
                with self.daemon.log.open("rb") as log:
                    log.seek(offset)
                    if mark in log.read():
                        self._up.set()
                        if outage is not None:
                            outage.ended = self._clock()
            await asyncio.sleep(0.1)
        self._up.clear()
        life.ended, life.code = self._clock(), self.daemon.code
        if outage is not None and outage.ended is None:
            outage.ended = life.ended
        life.why = self._cause(life.code, place)
        self.deaths[life.why] += 1
        self._wanted = None
        life.over.set()

    def _cause(self, code: int | None, place: str) -> str:
        if place and code == -signal.SIGKILL and b'"event": "crash"' in self._tail():
            return f"SIGKILL at {place[:2]}"
        if self._wanted == "SIGKILL" and code == -signal.SIGKILL:
            return "SIGKILL"
        if self._wanted in ("SIGTERM", "end") and code == 0:
            return self._wanted
        if code == WRONG_SETTINGS and self.may_exit:
            return "wrong chain"
        self.failures.append(
            f"{self.name} ended with {code} at {self._clock():.0f} s; {self.daemon.tail()}"
        )
        return f"code {code}"

    def _tail(self) -> bytes:
        return self.daemon.log.read_bytes()[-2000:]
