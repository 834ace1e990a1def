"""The service manager's protocol over a real socket, and the heartbeat that feeds it."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import structlog

from dam.daemon import heartbeat
from dam.daemon.heartbeat import Heartbeat
from dam.daemon.systemd import Notifier


class Manager:
    """The other end of the socket."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + name[1:] if name.startswith("@") else name)
        self._socket.setblocking(False)
        self.heard: list[str] = []

    def hear(self) -> list[str]:
        """All that was said so far."""
        with suppress(BlockingIOError):
            while True:
                self.heard.append(self._socket.recv(4096).decode())
        return self.heard

    def environ(self, **more: str) -> dict[str, str]:
        return {"NOTIFY_SOCKET": self.name, **more}

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    name = (
        f"{tmp_path}/notify" if request.param == "path" else f"@dam-{tmp_path.name}-{os.getpid()}"
    )
    made = Manager(name)
    yield made
    made.close()


def lines() -> tuple[Any, list[dict[str, Any]]]:
    found: list[dict[str, Any]] = []

    def keep(_: Any, method: str, event: dict[str, Any]) -> str:
        found.append({**event, "level": method})
        raise structlog.DropEvent

    return structlog.wrap_logger(None, processors=[keep]), found


async def until(true: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


def test_says_what_systemd_reads(manager: Manager) -> None:
    notifier = Notifier(manager.environ(WATCHDOG_USEC="30000000", WATCHDOG_PID=str(os.getpid())))
    assert notifier.watchdog == 30
    notifier.ready()
    notifier.status("at work\nblock 7")
    notifier.alive()
    notifier.extend(12.5)
    notifier.stopping()
    assert manager.hear() == [
        "READY=1",
        "STATUS=at work block 7",
        "WATCHDOG=1",
        "EXTEND_TIMEOUT_USEC=12500000",
        "STOPPING=1",
    ]
    notifier.close()
    notifier.ready()
    assert len(manager.hear()) == 5


@pytest.mark.parametrize(
    "environ",
    [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "relative"}, {"NOTIFY_SOCKET": "vsock:2:9"}],
)
def test_nobody_to_tell(environ: dict[str, str]) -> None:
    notifier = Notifier({**environ, "WATCHDOG_USEC": "1000000"})
    notifier.ready()
    assert notifier.watchdog is None


def test_a_manager_that_is_gone_stops_nobody(tmp_path: Path) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": f"{tmp_path}/nobody"})
    notifier.ready()
    notifier.close()


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"},
    ],
)
def test_no_watchdog_or_anothers(manager: Manager, more: dict[str, str]) -> None:
    assert Notifier(manager.environ(**more)).watchdog is None


# ------------------------------------------------------------------------------------- heartbeat


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same rules, with seconds of a hundredth."""
    for name in ("BEAT_SECONDS", "UNHEALTHY_SECONDS", "BLOCKED_SECONDS", "STALLED_SECONDS"):
        monkeypatch.setattr(heartbeat, name, getattr(heartbeat, name) / 100)


async def test_asks_for_time_until_the_start_is_over_then_beats(manager: Manager) -> None:
    log, _ = lines()
    notifier = Notifier(manager.environ(WATCHDOG_USEC="40000"))
    beats = Heartbeat(notifier, log=log)
    task = asyncio.create_task(beats.beat())
    await until(lambda: len(manager.hear()) > 3)
    # The manager's watchdog runs from READY on: before, only the start can be extended.
    assert set(manager.hear()) == {"EXTEND_TIMEOUT_USEC=60000000"}
    beats.settled()
    before = len(manager.hear())
    await until(lambda: len(manager.hear()) > before + 3)
    assert manager.heard[before - 2 : before] == ["READY=1", "WATCHDOG=1"]
    assert set(manager.heard[before:]) == {"WATCHDOG=1"}
    beats.stopping(8.0)
    assert "STOPPING=1" in manager.hear()
    assert "EXTEND_TIMEOUT_USEC=18000000" in manager.heard
    task.cancel()
    notifier.close()


@pytest.mark.usefixtures("quick")
async def test_a_blocked_loop_falls_silent_and_is_ended(manager: Manager) -> None:
    """F54: the thread sees it while the loop cannot; the manager hears nothing."""
    log, told = lines()
    ended: list[bool] = []
    late: list[float] = []
    notifier = Notifier(manager.environ(WATCHDOG_USEC="40000"))

    def end() -> None:
        ended.append(beats.healthy)

    beats = Heartbeat(notifier, log=log, end=end, lag=late.append)
    beats.settled()
    with beats.watched():
        task = asyncio.create_task(beats.beat())
        await until(lambda: manager.hear().count("WATCHDOG=1") > 3)
        assert beats.healthy
        assert not told
        heard = len(manager.hear())
        deadline = time.monotonic() + 30
        while not ended and time.monotonic() < deadline:
            time.sleep(0.01)  # noqa: ASYNC251 - this is the fault
        assert len(manager.hear()) == heard
        await asyncio.sleep(0.02)
        task.cancel()
    assert ended == [False]
    assert [line["event"] for line in told] == [
        "loop_blocked",
        "loop_blocked",
        "loop_blocked",
        "stuck",
    ]
    assert max(late) >= 0.3
    notifier.close()


@pytest.mark.usefixtures("quick")
async def test_a_loop_that_turns_again_is_healthy_again() -> None:
    log, told = lines()
    beats = Heartbeat(Notifier({}), log=log)
    with beats.watched():
        task = asyncio.create_task(beats.beat())
        await asyncio.sleep(0)
        deadline = time.monotonic() + 30
        while beats.healthy and time.monotonic() < deadline:
            time.sleep(0.005)  # noqa: ASYNC251 - this is the fault
        assert not beats.healthy
        await until(lambda: beats.healthy)
        task.cancel()
    assert {line["event"] for line in told} == {"loop_blocked"}


@pytest.mark.usefixtures("quick")
async def test_rounds_that_never_end_silence_the_beat(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop turns, but the daemon hangs in an await: no less a zombie."""
    monkeypatch.setattr(heartbeat, "STALLED_SECONDS", 0.2)
    log, told = lines()
    ended: list[bool] = []
    notifier = Notifier(manager.environ(WATCHDOG_USEC="40000"))
    beats = Heartbeat(notifier, log=log, end=lambda: ended.append(True))
    beats.settled()
    with beats.watched():
        task = asyncio.create_task(beats.beat())
        for _ in range(60):
            beats.round_ended()
            await asyncio.sleep(0.01)
        assert not ended
        await until(lambda: bool(ended))
        assert not beats.healthy
        heard = len(manager.hear())
        await asyncio.sleep(0.1)
        assert len(manager.hear()) == heard
        task.cancel()
    assert told[-1]["event"] == "stuck"
    notifier.close()
