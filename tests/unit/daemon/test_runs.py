"""Single runs, dry runs, and a host that fails: transient errors are waited out, others end it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import sqlite3
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from dam.daemon import service as services
from dam.daemon.service import MAX_FAILURES, Polling, Service, Stop
from dam.errors import IpfsError, Permanent, RpcError
from dam.ethereum.node_errors import RpcRejectedError
from dam.ledger.ledger import Binding, Ledger
from dam.roles.seller.store_builder import BuiltStore
from dam.sending.sender import DrySender
from dam.types import CopyId, FragmentDelivered
from tests.unit.helpers.service import live, logger, until, within
from tests.unit.helpers.world import Daemon, World


@contextlib.asynccontextmanager
async def mining(world: World) -> AsyncIterator[None]:
    async def mine() -> None:
        while True:
            await asyncio.sleep(0.02)
            world.chain.mine()

    task = asyncio.create_task(mine())
    try:
        yield
    finally:
        task.cancel()


async def delivered(world: World, sold: CopyId) -> int:
    page = await world.chain.page(1, world.chain.height)
    logs = [log for log in page.logs if isinstance(log, FragmentDelivered)]
    return sum(log.copy_id == sold for log in logs)


# ------------------------------------------------------------------------------------ single runs


async def test_a_single_run_delivers_confirms_and_ends(world: World, built: BuiltStore) -> None:
    sold = world.buy(built, "coupon")
    world.chain.mine(3)
    service = live(world.daemon)
    async with mining(world):
        await within(service.run(Stop(), once=True))
    assert await delivered(world, sold) == 1
    assert world.daemon.outbox.live() == []
    [done] = world.daemon.events("once_done")
    assert (done["live"], done["due"]) == (0, 0)
    assert world.daemon.events("transaction_final")


async def test_a_single_run_with_nothing_to_do_needs_no_new_block(
    world: World, built: BuiltStore
) -> None:
    await within(live(world.daemon).run(Stop(), once=True))
    assert world.daemon.events("store_read")
    assert world.daemon.events("pinned")
    assert world.daemon.events("once_done")


async def test_a_single_run_reports_what_does_not_move_and_ends(
    world: World, built: BuiltStore
) -> None:
    world.chain.accepts = lambda _: False
    sold = world.buy(built, "coupon")
    world.chain.mine(3)
    service = live(world.daemon)
    async with mining(world):
        await within(service.run(Stop(), once=True))
    assert await delivered(world, sold) == 0
    [done] = world.daemon.events("once_done")
    assert done["live"] + done["due"] == 1


async def test_a_single_run_does_not_wait_for_a_chain_that_stands_still(
    world: World, built: BuiltStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "_ONCE_SECONDS", 0.3)
    world.buy(built, "coupon")
    world.chain.mine(3)
    await within(live(world.daemon).run(Stop(), once=True))
    [done] = world.daemon.events("once_done")
    assert done["live"] == 1


async def test_a_single_run_tries_a_store_that_is_away_and_ends(
    world: World, built: BuiltStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any, **__: Any) -> bytes:
        raise IpfsError("nobody has it")

    monkeypatch.setattr(world.blocks, "get", away)
    world.buy(built, "coupon")
    world.chain.mine(3)
    await within(live(world.daemon).run(Stop(), once=True))
    assert world.daemon.events("store_unavailable")
    assert len(world.daemon.sales.in_state("waiting")) == 1


async def test_a_background_that_wakes_the_service_and_dies_ends_the_daemon(
    world: World, built: BuiltStore
) -> None:
    """The wake must not swallow the cancel that follows it, or nothing would be read any more."""
    daemon = world.daemon

    async def work() -> None:
        await asyncio.sleep(1)  # by then the service has caught up, and sleeps
        assert service.pulse.ready
        service.wake()
        raise Permanent("no disk any more")

    service = Service(
        daemon.ledger,
        daemon.reader,
        daemon.role,
        daemon.sender,
        log=logger(daemon),
        check=world.chain.check_deployment,
        background=[work],
        poll=5.0,
    )
    task = asyncio.create_task(service.run(Stop()))
    done, _ = await asyncio.wait({task}, timeout=30)
    assert done, "the daemon goes on without its background"
    with pytest.raises(Permanent):
        task.result()


# --------------------------------------------------------------------------------------- dry runs


@pytest.fixture
def dry(world: World, built: BuiltStore) -> Iterator[Daemon]:
    """A dry run of the first deliverer, with a ledger of its own beside the real one's."""
    made = Daemon(world, "deliverer 0", world.folder / "dry.sqlite")
    made.ledger.close()
    made.path.unlink()
    made.role_name = "dry run of deliverer"
    made.ring = world.daemon.ring
    made.build()
    yield made
    made.ledger.close()


async def step(daemon: Daemon, service: Service) -> None:
    for _ in range(2):
        while not await service.tick():
            pass
        await daemon.drain()
    while not await service.tick():
        pass


def play(dry: Daemon) -> Service:
    chain = dry.world.chain
    return live(dry, DrySender(chain, chain, dry.address, dry.ledger, log=logger(dry)))


async def test_a_dry_run_says_what_it_would_send_and_sends_nothing(
    world: World, built: BuiltStore, dry: Daemon
) -> None:
    service = play(dry)
    world.buy(built, "coupon")
    for _ in range(6):
        world.chain.mine()
        await step(dry, service)
    [told] = dry.events("would_send")
    [sale] = dry.sales.in_state("serving")
    assert (told["sale"], told["contract"]) == (sale.purchase.copy_id, "takes it")
    assert 1100 < told["seconds_left"] < 1200
    assert dry.ledger.db.execute("SELECT count(*) FROM attempts").fetchone()[0] == 0
    assert "eth_sendRawTransaction" not in world.chain.calls
    assert [note["event"] for note in dry.journal("would_send")] == ["would_send"]


async def test_a_dry_run_asks_call_by_call(
    world: World, built: BuiltStore, dry: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pool of nodes takes a refusal within a batch for the answer, and asks no other node."""

    async def batch(*_: Any, **__: Any) -> Any:
        raise RpcRejectedError("eth_call", -32005, "rate limit exceeded")

    service = play(dry)
    monkeypatch.setattr(world.chain, "batch", batch)
    world.buy(built, "coupon")
    for _ in range(6):
        world.chain.mine()
        await step(dry, service)
    assert dry.events("would_send")


async def test_what_a_dry_run_told_is_done_when_the_real_daemon_does_it(
    world: World, built: BuiltStore, dry: Daemon
) -> None:
    service = play(dry)
    sold = world.buy(built, "coupon")
    for _ in range(8):
        world.chain.mine()
        await step(dry, service)
        await world.daemon.tick()
    assert await delivered(world, sold) == 1
    assert len(dry.events("would_send")) == 1
    assert dry.sales.in_state("done")
    world.chain.pass_time(dry.delivery_seconds)
    world.chain.mine(3)
    await step(dry, service)
    assert not dry.events("nobody_sent")


async def test_a_dry_run_says_so_when_nobody_delivers(
    world: World, built: BuiltStore, dry: Daemon
) -> None:
    service = play(dry)
    world.buy(built, "coupon")
    for _ in range(4):
        world.chain.mine()
        await step(dry, service)
    world.chain.pass_time(dry.delivery_seconds)
    for _ in range(4):
        world.chain.mine()
        await step(dry, service)
    assert len(dry.events("would_send")) == 1
    [told] = dry.events("nobody_sent")
    assert told["level"] == "warning"


async def test_a_dry_run_asks_the_contract(world: World, built: BuiltStore, dry: Daemon) -> None:
    """The real one was quicker: in the newest block the part is there already."""
    service = play(dry)
    world.buy(built, "coupon")
    while not any(isinstance(log, FragmentDelivered) for log in (await newest(world))):
        world.chain.mine()
        await world.daemon.tick()
    await step(dry, service)
    [told] = dry.events("would_send")
    assert "AlreadyDelivered" in told["contract"]


async def newest(world: World) -> list[Any]:
    return list((await world.chain.page(world.chain.height, world.chain.height)).logs)


async def test_a_dry_run_pins_nothing(world: World, built: BuiltStore, dry: Daemon) -> None:
    service = play(dry)
    await within(service.run(Stop(), once=True))
    assert dry.events("store_read")
    assert not dry.events("pinned")
    assert not dry.documents.pinned_bytes()


async def test_a_real_run_never_takes_a_dry_runs_ledger(world: World, dry: Daemon) -> None:
    binding = Binding(31337, world.chain.address, dry.address, "deliverer")
    with pytest.raises(Exception, match="belongs to"):
        Ledger.open(dry.path, binding)


# --------------------------------------------------------------------------------- a failing host


def broken(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("as SQLite says it")
    error.sqlite_errorcode = code  # type: ignore[misc]
    return error


WAITS: list[Exception] = [
    RpcError("down"),
    broken(sqlite3.SQLITE_FULL),
    broken(sqlite3.SQLITE_CANTOPEN | (2 << 8)),
    OSError(errno.EMFILE, "Too many open files"),
    OSError(errno.ENOSPC, "No space left on device"),
]
ENDS: list[Exception] = [
    broken(sqlite3.SQLITE_IOERR | (3 << 8)),
    broken(sqlite3.SQLITE_READONLY),
    OSError(errno.EIO, "Input/output error"),
    MemoryError(),
    RuntimeError("can't start new thread"),
]
AT_ONCE: list[Exception] = [
    ValueError("a fault of ours"),
    RuntimeError("a fault of ours"),
    broken(sqlite3.SQLITE_ERROR),
    sqlite3.DatabaseError("malformed"),
]


def failing(daemon: Daemon, error: Exception, monkeypatch: pytest.MonkeyPatch) -> Service:
    monkeypatch.setattr(services, "_MAX_PAUSE_SECONDS", 0.01)
    service = live(daemon)

    async def advance() -> Any:
        raise error

    daemon.reader.advance = advance  # type: ignore[method-assign]
    return service


@pytest.mark.parametrize("error", WAITS, ids=repr)
async def test_what_goes_by_is_waited_out(
    world: World, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F46, F51."""
    advance = world.daemon.reader.advance
    service = failing(world.daemon, error, monkeypatch)
    stop = Stop()
    task = asyncio.create_task(service.run(stop))
    await until(lambda: len(world.daemon.events("tick_failed")) >= 3 * MAX_FAILURES, task)
    assert service.pulse.obstacles()
    assert world.daemon.events("tick_failed")[0]["level"] == "warning"
    assert world.daemon.events("tick_failed")[-1]["level"] == "error"
    assert all(line["next_step"] for line in world.daemon.events("tick_failed"))
    world.daemon.reader.advance = advance  # type: ignore[method-assign]
    await until(lambda: not service.pulse.obstacles(), task)
    stop.request()
    await within(task)
    assert len(world.daemon.events("tick_recovered")) == 1


@pytest.mark.parametrize("error", ENDS, ids=repr)
async def test_what_a_new_start_may_mend_ends_it_after_a_few(
    world: World, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F47, F52."""
    service = failing(world.daemon, error, monkeypatch)
    with pytest.raises(type(error)):
        await within(service.run(Stop()))
    assert len(world.daemon.events("tick_failed")) == MAX_FAILURES - 1


@pytest.mark.parametrize("error", AT_ONCE, ids=repr)
async def test_what_waiting_never_mends_ends_it_at_once(
    world: World, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = failing(world.daemon, error, monkeypatch)
    with pytest.raises(type(error)):
        await within(service.run(Stop()))
    assert not world.daemon.events("tick_failed")


async def test_a_full_disk_loses_nothing(world: World, built: BuiltStore) -> None:
    """F46, by SQLite's own limit; the store sync meets it as well as the round."""
    daemon = world.daemon
    sold = [world.buy(built, "coupon", copy) for copy in range(40)]
    world.chain.mine(3)
    [[pages]] = daemon.ledger.db.execute("PRAGMA page_count").fetchall()
    daemon.ledger.db.execute(f"PRAGMA max_page_count = {pages}")
    service = live(daemon)
    service._polling = Polling(0.01)
    stop = Stop()
    task = asyncio.create_task(service.run(stop))
    failed = ("tick_failed", "background_failed")
    await until(lambda: any(map(daemon.events, failed)), task)
    [line, *_] = daemon.events("tick_failed") or daemon.events("background_failed")
    assert "full" in line["error"]
    assert "disk" in line["next_step"]
    daemon.ledger.db.execute("PRAGMA max_page_count = 1000000")
    async with mining(world):
        await until(lambda: len(daemon.sales.in_state("done")) == 40, task)
    stop.request()
    await within(task)
    assert [await delivered(world, one) for one in sold] == 40 * [1]


async def test_background_work_begins_again(
    world: World, built: BuiltStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "_MAX_PAUSE_SECONDS", 0.01)
    begun = asyncio.Event()
    tries = 0

    async def work() -> None:
        nonlocal tries
        tries += 1
        if tries < 4:
            raise broken(sqlite3.SQLITE_FULL)
        begun.set()
        await asyncio.Event().wait()

    service = live(world.daemon)
    service._background = [work]
    stop = Stop()
    task = asyncio.create_task(service.run(stop))
    await within(begun.wait())
    assert len(world.daemon.events("background_failed")) == 3
    stop.request()
    await within(task)


@pytest.mark.parametrize(
    "error",
    [MemoryError(), OSError(errno.EMFILE, "full"), RuntimeError("can't start new thread")],
    ids=repr,
)
async def test_no_store_is_blamed_for_the_host(
    world: World, built: BuiltStore, error: Exception
) -> None:
    """F51, F52: its document is read later, and the sale is served."""
    daemon = world.daemon
    sold = world.buy(built, "coupon")
    live(daemon)
    scan = daemon.sync._scan
    failures = 0

    def short(store: Any) -> Any:
        nonlocal failures
        failures += 1
        if failures == 1:
            raise error
        return scan(store)

    daemon.sync._scan = short
    world.chain.mine(3)
    await daemon.tick()
    assert len(daemon.sales.in_state("waiting")) == 1
    assert daemon.events("store_unavailable")[0]["level"] == "error"
    for _ in range(4):
        await daemon.tick()
        world.chain.mine()
    assert await delivered(world, sold) == 1


@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.EMFILE, "full")], ids=repr)
async def test_no_sale_is_blamed_for_the_host(
    world: World, built: BuiltStore, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = world.daemon
    await world.ticks()
    sold = world.buy(built, "coupon")
    world.chain.mine(3)

    def short(*_: Any) -> bytes:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr("dam.roles.deliverer.deliverer.seal_fragment", short)
        with pytest.raises(type(error)):
            await daemon.tick()
    assert len(daemon.sales.in_state("new")) == 1
    await world.ticks(daemon)
    assert await delivered(world, sold) == 1
