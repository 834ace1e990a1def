"""F46, F47, F50 to F54: what a host has too little of, and what it does to a daemon."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from dam.ipfs import dag_json
from demo.world import ROOT, python
from tests.faults import rpc_faults
from tests.faults.daemons import Process
from tests.faults.oracle import oracle
from tests.faults.rogue_seller import RogueSeller, put_page
from tests.faults.rpc_proxy import RpcProxy
from tests.faults.supervision import Supervisor, ask, port_of, until
from tests.faults.table import Injected, fault
from tests.faults.world import FaultWorld

pytestmark = pytest.mark.asyncio(loop_scope="session")
STORES = 8
DAY = 86_400
DELIVERER = python(ROOT / "daemons" / "deliverer.py")
HOSTED = (*python(ROOT / "tests" / "faults" / "host_launcher.py"), "deliverer")
# A disk of its own under the state folder, which nobody needs to be root for.
SMALL_DISK = ("unshare", "-Urm", "sh", "-ec")
MOUNT = 'mkdir "$DAM_HOME/markets"; mount -t tmpfs -o size=4m dam "$DAM_HOME/markets"; exec "$@"'


class OnItsOwnDisk(Process):
    """A daemon whose ledger is on a file system that only it has mounted."""

    @property
    def home(self) -> Path:
        return Path(f"/proc/{self.inner.pid}/root{self.inner.env['DAM_HOME']}")

    def query(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        # SQLite looks up what links of /proc say, and that is no path of ours: ask a copy.
        copy = self.inner.log.with_suffix(".sqlite")
        if not self.ledger.exists():
            return []
        for suffix in ("", "-wal"):
            shutil.copy(f"{self.ledger}{suffix}", f"{copy}{suffix}")
        with closing(sqlite3.connect(copy)) as db:
            return db.execute(sql, values).fetchall()


@fault(
    46,
    "disk full",
    by="H",
    breaks="src/dam/daemon/service.py:sqlite3.SQLITE_FULL, ",
    instead="",
)
async def test_f46_a_full_disk_is_waited_out(world: FaultWorld, injected: Injected) -> None:
    """Not a byte is left on the ledger's disk while there are sales; later there is room again."""
    if run(*SMALL_DISK, ":"):
        pytest.skip("a disk of our own takes user namespaces (unshare -Urm)")
    plain = world.process(command=[*SMALL_DISK, MOUNT, "sh", *DELIVERER])
    daemon = OnItsOwnDisk(plain.actor, plain.number, plain.inner)
    world.daemons[:] = [daemon]
    await daemon.start()
    await daemon.event("pinned")
    filler = daemon.home / "markets" / "filler"
    fill(filler)
    await world.buy(2)
    await world.mine(2)
    await daemon.event("tick_failed", 3)
    assert daemon.running
    assert not await world.delivered()
    for line in daemon.logged("tick_failed"):
        assert "full" in line["error"]
        assert "df" in line["next_step"]
        injected.add("write without room")
    filler.unlink()
    await world.until_delivered()
    await world.settle_down()
    assert await oracle(world) == {"delivered": 2}
    assert await daemon.stop() == 0


def fill(path: Path) -> None:
    """Writes until there is no room."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass
    assert shutil.disk_usage(path).free == 0


def run(*command: str) -> int:
    """Its exit code."""
    return subprocess.run(command, check=False).returncode


@fault(
    47,
    "I/O error",
    by="H",
    breaks="src/dam/daemon/service.py:MAX_FAILURES if kind in _RESTART_CODES else 1",
    instead="math.inf",
)
async def test_f47_a_disk_that_fails(world: FaultWorld, injected: Injected) -> None:
    """A slip is outlived; a disk that goes on failing ends it, and a new start does the rest."""
    daemon = await world.process().start()
    await daemon.event("pinned")
    deny_writes(daemon)
    await world.buy()
    await world.mine(2)
    await daemon.event("tick_failed")
    allow_writes(daemon)
    await world.until_delivered()
    slips = len(daemon.logged("tick_failed"))

    deny_writes(daemon)
    await world.buy()
    await world.mine(2)
    await world.wait(lambda: not daemon.running, "it gives up")
    assert daemon.code == 1
    # Not at the first error of a disk, either.
    failed = daemon.logged("tick_failed")
    assert len(failed) >= slips + 4
    [end] = daemon.logged("stopped_by_fault")
    for line in (*failed, end):
        assert "disk I/O error" in str(line.get("error") or line.get("reason"))
        injected.add("SQLITE_IOERR")
    await daemon.start()
    await world.until_delivered()
    await world.settle_down()
    assert await oracle(world) == {"delivered": 2}
    assert await daemon.stop() == 0


def deny_writes(daemon: Process) -> None:
    """No file may grow over the length that the log of changes has, which has grown so far."""
    length = Path(f"{daemon.ledger}-wal").stat().st_size
    assert length > 2 * len(daemon.text()), "the daemon's own log would be cut, too"
    resource.prlimit(daemon.inner.pid, resource.RLIMIT_FSIZE, (length, resource.RLIM_INFINITY))


def allow_writes(daemon: Process) -> None:
    """As long as anybody likes."""
    whole = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    resource.prlimit(daemon.inner.pid, resource.RLIMIT_FSIZE, whole)


class ComeBack(rpc_faults.TooMany):
    """429, with a date in Retry-After."""

    name = "429 with a date"

    def __init__(self, seconds: float) -> None:
        super().__init__()
        when = datetime.now(UTC) + timedelta(seconds=seconds)
        self.headers = {"Retry-After": format_datetime(when, usegmt=True)}


@fault(
    50,
    "clock moved a day",
    by="HP",
    breaks="src/dam/ethereum/endpoint.py:pause = min(_MAX_RETRY_AFTER_SECONDS, max(wish, 0.0))",
    instead="pause = max(wish, 0.0)",
)
async def test_f50_the_clock_is_moved_a_day(
    world: FaultWorld, proxy: RpcProxy, injected: Injected
) -> None:
    """On and back while it works, then at a start; the node says when to come back, by its own."""
    clock = world.scratch / "clock"
    set_clock(clock, 0)
    env = {"DAM_TEST_CLOCK": str(clock), "DAM_TEST_WISH": "2"}
    daemon = await world.process(rpc=proxy.url, command=HOSTED, env=env).start()
    await daemon.event("store_read")
    for days in (1, -1):
        set_clock(clock, days * DAY)
        injected.add("clock moved")
        proxy.inject(ComeBack(1.0), times=1)
        await world.buy()
        await world.until_delivered()
        last = [*daemon.lines()][-1]
        wrong = datetime.fromisoformat(last["timestamp"]) - datetime.now(UTC)
        assert round(wrong / timedelta(days=1)) == days, "the daemon has the true time"
    assert await daemon.stop() == 0
    await daemon.start()
    await world.buy()
    await world.until_delivered()
    await world.settle_down()
    assert await oracle(world) == {"delivered": 3}
    assert await daemon.stop() == 0


def set_clock(path: Path, wrong_by: float) -> None:
    """At once: whoever reads it meanwhile has the old time or the new one."""
    new = path.with_suffix(".new")
    new.write_text(str(wrong_by), "ascii")
    new.replace(path)


@fault(
    51,
    "no file descriptors",
    by="HP",
    breaks='src/dam/ipfs/directory.py:raise IpfsError(f"{cid}: {error.strerror}") from None\n'
    "        with os.fdopen",
    instead="raise\n        with os.fdopen",
)
async def test_f51_no_file_descriptors(
    world: FaultWorld, proxy: RpcProxy, injected: Injected
) -> None:
    """From the moment at which a store was read on: no block, no new connection to the node."""
    stop = world.scratch / "stop"
    stop.touch()
    env = {"DAM_TEST_BLOCK": f"F3:{stop}"}
    daemon = await world.process(rpc=proxy.url, command=HOSTED, env=env).start(ready=False)
    await daemon.event("standing_still")
    pid = daemon.inner.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, before[1]))
    stop.unlink()
    refused = await daemon.event("pin_unavailable")
    assert "Too many open files" in refused["reason"]
    # The connections that it had still serve, until they break.
    proxy.inject(rpc_faults.Dropped(), "eth_getLogs", times=1)
    await world.buy(2)
    await world.mine(2)
    await daemon.event("tick_failed", 3)
    assert daemon.running
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    injected.add("EMFILE", len(daemon.logged("pin_unavailable")))
    await world.until_delivered()
    await daemon.event("pinned")
    await world.settle_down()
    assert await oracle(world) == {"delivered": 2}
    # One block that cannot be read ends neither the reading of stores nor anything else.
    assert not daemon.logged("background_failed")
    assert await daemon.stop() == 0


@fault(
    52,
    "memory cap: large hostile stores at once",
    breaks="src/dam/catalog/reader.py:await turn.take()",
)
async def test_f52_memory_is_capped(world: FaultWorld, injected: Injected) -> None:
    """Eight stores of sixty megabytes each, from one block; the oracle looks at the peak."""
    daemon = await world.process().start()
    for _ in range(STORES // 2):
        # Two each: of one seller no more are read at once.
        rogue = await RogueSeller.enter(world)
        document = await rogue.document()
        terms = rogue.terms(document)
        item = {**document["items"][0], "otherMetadata": {"a": "x" * 1_000_000}}
        key = document["sealingKey"]
        pages = [
            await put_page(world.blocks, {**item, "title": f"Page {page}"}, sealingKey=key)
            for page in range(62)
        ]
        head = {key: document[key] for key in document if key not in ("items", "sealingKey")}
        for number in range(2):
            store = {**head, "storeName": f"Large {number}", "pages": pages}
            await rogue.publish(dag_json.dumps(store), [terms])
            injected.add("large store")
    shop = await world.buy(2)
    await world.until_delivered(sales=shop)
    await world.until(lambda: len(daemon.logged("store_refused")) == STORES, "all are refused")
    assert await oracle(world) == {"delivered": 2}


@fault(
    53,
    "key file 0644, a symlink, or another owner's",
    by="H",
    breaks="src/dam/keystore/key_files.py:if not tighten:",
    instead="if False:",
)
async def test_f53_unsafe_key_files(world: FaultWorld, injected: Injected) -> None:
    """Refused with the way to mend it, which mends it; Ape's own file is just tightened."""
    daemon = world.process()
    [keys] = [one for one in (daemon.home / "keys").iterdir() if "deliverer" in one.name]
    [sold] = await world.buy()

    keys.chmod(0o644)
    injected.add("mode 0644")
    said = await refused(daemon)
    assert f"{keys} is open to other users (mode 0644)" in said
    assert run("sh", "-ec", after("run: ", said)) == 0

    kept = keys.with_name("elsewhere.json")
    keys.rename(kept)
    keys.symlink_to(kept)
    injected.add("symlink")
    assert f"{keys} is a symbolic link; name the file itself" in await refused(daemon)
    kept.replace(keys)

    starting = given_away(world, daemon, keys)
    said = await refused(starting)
    injected.add("another owner")
    assert "belongs to user" in said
    if starting is daemon:
        assert str(keys) in said
        assert run("sh", "-ec", after("run: sudo ", said)) == 0

    [account] = (daemon.actor.home / ".ape" / "accounts").iterdir()
    account.chmod(0o644)
    injected.add("Ape keyfile 0644")
    await daemon.start()
    assert account.stat().st_mode & 0o777 == 0o600
    [line] = daemon.logged("keyfile-tightened")
    assert line["path"] == str(account)
    await world.until_delivered(sales=[sold])
    await world.settle_down()
    assert await oracle(world, daemons=[daemon]) == {"delivered": 1}
    assert await daemon.stop() == 0


async def refused(daemon: Process) -> str:
    """Starts it; why it did not run."""
    times = len(daemon.logged("cannot_run"))
    await daemon.start(ready=False)
    assert await daemon.wait() == 2, daemon.tail()
    lines = daemon.logged("cannot_run")
    assert len(lines) == times + 1
    return str(lines[-1]["reason"])


def given_away(world: FaultWorld, daemon: Process, keys: Path) -> Process:
    """The daemon to start, with its keys in another user's hands."""
    other = os.geteuid() + 4321
    try:
        os.chown(keys, other, -1)
    except PermissionError:
        # Only root gives files away; then it is somebody else who starts it.
        return world.process(command=HOSTED, env={"DAM_TEST_UID": str(other)})
    return daemon


def after(mark: str, text: str) -> str:
    """What comes after a mark."""
    return text.partition(mark)[2]


@fault(
    54,
    "event loop blocked: heartbeat fails",
    by="H",
    breaks="src/dam/daemon/heartbeat.py:self._silent += BEAT_SECONDS",
)
async def test_f54_a_blocked_loop(world: FaultWorld, injected: Injected) -> None:
    """It stands still with a part open: unhealthy, silent to its manager, who starts it anew."""
    stop = world.scratch / "stop"
    with closing(Supervisor(world.scratch / "notify")) as supervisor:
        env = {**supervisor.env, "DAM_HEALTH_PORT": "0", "DAM_TEST_BLOCK": f"F4:{stop}"}
        daemon = world.process(command=HOSTED, env=env)
        await daemon.start(ready=False)
        await supervisor.until("READY=1")
        await supervisor.until("WATCHDOG=1")
        await daemon.event("store_read")
        port = await port_of(daemon)
        assert await asyncio.to_thread(ask, port, "healthz") == (200, "ok\n")

        stop.touch()
        await world.buy()
        await world.mine(2)
        await daemon.event("standing_still")
        supervisor.hear()
        await until(lambda: ask(port, "healthz")[0] == 503, "it still says that it is well")
        line = await daemon.event("loop_blocked")
        injected.add("second blocked", int(line["seconds"]))
        assert (await asyncio.to_thread(ask, port, "readyz"))[0] == 503
        assert not supervisor.hear(), "a manager would take it for alive"
        # As systemd ends what missed its beats.
        daemon.signal(signal.SIGABRT)
        assert await daemon.wait() == -signal.SIGABRT
        assert "stand_still" in daemon.text(), "it does not show where it stood"

        stop.unlink()
        await daemon.start(ready=False)
        await supervisor.until("READY=1")
        await world.until_delivered()
        await world.settle_down()
        assert await oracle(world) == {"delivered": 1}
        assert await daemon.stop() == 0
