"""Start, drain, stop; ledger and locks; what the ledger says of itself."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from dam.crypto.hashing import keccak
from dam.daemon import locks
from dam.daemon.service import Polling, Stop
from dam.errors import ConfigError, LedgerError, RpcError
from dam.ledger.ledger import Binding, Ledger
from dam.ledger.status import NextDeadline, read_status
from dam.log import configure_logging, get_logger
from dam.roles.seller.store_builder import BuiltStore
from dam.types import BlockRef, Clock
from tests.unit.helpers.ledger import journal_of
from tests.unit.helpers.service import until, within
from tests.unit.helpers.world import BUYER, SELLER, World

BINDING = Binding(31337, SELLER, BUYER, "deliverer")


async def running(world: World, stop: Stop) -> asyncio.Task[None]:
    daemon = world.daemon
    assert daemon.service is not None
    daemon.service._polling = Polling(0.01)
    task = asyncio.create_task(daemon.service.run(stop))
    for _ in range(200):
        await asyncio.sleep(0.01)
        if daemon.events("ready"):
            return task
    raise AssertionError("never ready")


async def test_acts_only_once_it_has_caught_up(world: World, built: BuiltStore) -> None:
    daemon = world.daemon
    daemon.reader._range = 5
    decided: list[int] = []
    decide = daemon.role.decide

    async def watched(head: BlockRef, clock: Clock) -> None:
        cursor = daemon.ledger.cursor()
        assert cursor is not None
        decided.append(cursor.number)
        await decide(head, clock)

    daemon.role.decide = watched
    world.chain.mine(500)
    stop = Stop()
    task = await running(world, stop)
    stop.request()
    await task
    assert decided[0] == world.chain.height - 2


async def test_drains_and_keeps_what_it_began(world: World, built: BuiltStore) -> None:
    """F9."""
    stop = Stop()
    task = await running(world, stop)
    stop.request()
    await within(task)
    assert world.daemon.events("draining")
    assert world.daemon.events("stopped")


async def test_a_drain_that_hangs_is_cut(
    world: World, built: BuiltStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dam.daemon.service.DRAIN_SECONDS", 0.1)
    stop = Stop()
    task = await running(world, stop)

    async def hang() -> BlockRef:
        await asyncio.sleep(60)
        raise AssertionError

    world.chain.head = hang  # type: ignore[method-assign]
    await asyncio.sleep(0.05)
    stop.request()
    await within(task)
    assert world.daemon.events("drain_timeout")


async def test_the_second_signal_stops_at_once(world: World, built: BuiltStore) -> None:
    """Real signals, and their handlers are given back."""
    stop = Stop()
    service = world.daemon.service
    assert service is not None

    async def hang() -> BlockRef:
        await asyncio.sleep(60)
        raise AssertionError

    async def live() -> None:
        with stop.on_signals():
            await service.run(stop)

    before = signal.getsignal(signal.SIGTERM)
    world.chain.head = hang  # type: ignore[method-assign]
    task = asyncio.create_task(live())
    await asyncio.sleep(0.05)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.sleep(0.05)
    assert not task.done()
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(asyncio.CancelledError):
        await within(task)
    assert signal.getsignal(signal.SIGTERM) in (before, signal.SIG_DFL)


async def test_a_failing_node_is_asked_again(world: World, built: BuiltStore) -> None:
    stop = Stop()
    task = await running(world, stop)
    head = world.chain.head

    async def down() -> BlockRef:
        raise RpcError("the node is down")

    world.chain.head = down  # type: ignore[method-assign]
    await until(lambda: world.daemon.events("tick_failed"), task)
    world.chain.head = head  # type: ignore[method-assign]
    stop.request()
    await task


async def test_another_chain_behind_the_address_ends_it(world: World, built: BuiltStore) -> None:
    """F28: found at the next look after any failure."""
    stop = Stop()
    task = await running(world, stop)

    async def down() -> BlockRef:
        raise RpcError("restarting")

    async def wrong() -> None:
        raise ConfigError("the node is on chain 1")

    assert world.daemon.service is not None
    world.daemon.service._check = wrong
    world.chain.head = down  # type: ignore[method-assign]
    with pytest.raises(ConfigError):
        await within(task)


async def test_a_failure_that_others_got_over_has_the_chain_looked_at_too(
    world: World, built: BuiltStore
) -> None:
    """F28: a question asked twice, or in the background, fails no round."""
    stop = Stop()
    task = await running(world, stop)

    async def wrong() -> None:
        raise ConfigError("the node is on chain 1")

    assert world.daemon.service is not None
    world.daemon.service._check = wrong
    await asyncio.sleep(0.1)
    assert not task.done()
    world.daemon.service._reader.stats.failures += 1
    with pytest.raises(ConfigError):
        await within(task)


async def test_background_work_that_fails_ends_it(world: World, built: BuiltStore) -> None:
    async def broken() -> None:
        raise LedgerError("gone")

    assert world.daemon.service is not None
    world.daemon.service._background = [broken]
    with pytest.raises(LedgerError):
        await within(world.daemon.service.run(Stop()))


def test_one_process_per_account(tmp_path: Path) -> None:
    """F43."""
    path = locks.account_lock(tmp_path, 1, bytes(32), SELLER)
    with (
        locks.exclusive(path, "account A"),
        pytest.raises(ConfigError, match="already runs with account A"),
        locks.exclusive(path, "account A"),
    ):
        pass
    with locks.exclusive(path, "account A"):
        pass


def test_locks_of_two_chains_differ(tmp_path: Path) -> None:
    names = {
        locks.account_lock(tmp_path, chain, genesis, SELLER)
        for chain in (1, 2)
        for genesis in (keccak(b"a"), keccak(b"b"))
    }
    assert len(names) == 4


@pytest.mark.parametrize(
    "other",
    [
        Binding(1, SELLER, BUYER, "deliverer"),
        Binding(31337, BUYER, BUYER, "deliverer"),
        Binding(31337, SELLER, SELLER, "deliverer"),
        Binding(31337, SELLER, BUYER, "watchdog"),
    ],
)
def test_a_ledger_belongs_to_one_chain_market_account_and_role(
    tmp_path: Path, other: Binding
) -> None:
    path = tmp_path / "ledger.sqlite"
    Ledger.open(path, BINDING).close()
    Ledger.open(path, BINDING).close()
    with pytest.raises(LedgerError, match="belongs to"):
        Ledger.open(path, other)


def test_a_corrupt_ledger_is_refused(tmp_path: Path) -> None:
    """F48."""
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger.open(path, BINDING)
    with ledger.transaction():
        for _ in range(200):
            ledger.note("something", detail="x" * 200)
    ledger.close()
    data = bytearray(path.read_bytes())
    data[8192 : 8192 + 8192] = b"\xff" * 8192
    path.write_bytes(data)
    with pytest.raises(LedgerError, match="dam deliverer recover"):
        Ledger.open(path, BINDING)


def test_a_ledger_of_another_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    Ledger.open(path, BINDING).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(LedgerError, match="schema version 99"):
        Ledger.open(path, BINDING)


def test_a_transaction_is_all_or_nothing(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "ledger.sqlite", BINDING)

    def fail() -> None:
        with ledger.transaction():
            ledger.note("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not journal_of(ledger)
    ledger.close()


def test_the_journal_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dam.ledger.ledger._JOURNAL_ROWS", 5)
    ledger = Ledger.open(tmp_path / "ledger.sqlite", BINDING)
    for number in range(12):
        ledger.note("event", number=number, key=b"\x01")
    assert [note["number"] for note in journal_of(ledger)] == [7, 8, 9, 10, 11]
    ledger.close()


async def test_status_adds_up(world: World, built: BuiltStore) -> None:
    for copy in range(3):
        world.buy(built, "code", copy)
    await world.ticks()
    world.buy(built, "coupon", keys=(bytes(32),) * 3)
    await world.ticks()
    found = read_status(world.daemon.path)
    assert found.account == world.daemon.address
    assert found.purchases == {"done": 3, "refused": 1}
    assert found.jobs == {"done": 3}
    assert found.stores == {"read": 1}
    assert (found.delivered, found.earned, found.transactions) == (3, 30, 1)
    assert found.gas_paid == 60_000 * 10**9
    assert found.next_deadline is None
    assert [note["reason"] for note in found.refused] == ["bad-buyer-key"]
    assert found.cursor == world.chain.height - 2


async def test_status_names_the_next_deadline(world: World, built: BuiltStore) -> None:
    world.chain.accepts = lambda _: False
    sold = world.buy(built, "coupon")
    await world.ticks()
    found = read_status(world.daemon.path).next_deadline
    assert found is not None
    [sale] = world.daemon.sales.in_state("serving")
    assert found == NextDeadline(sold, sale.last_time, sale.purchase_block)


def test_status_without_a_ledger(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="has not run"):
        read_status(tmp_path / "none.sqlite")


def test_no_secret_reaches_the_ledger_file(world: World) -> None:
    """What is kept is sealed: neither shares nor content keys nor key files' secrets."""

    async def play() -> None:
        await world.shop.add("coupon")
        built = await world.shop.publish()
        world.chain.mine()
        world.buy(built, "coupon")
        await world.ticks()

    asyncio.run(play())
    from dam.roles.seller.listings import copy_parts

    listing = world.shop.catalogue.get("coupon")
    assert listing is not None
    secrets = [share for _, share in copy_parts(world.shop.seed, listing, 0)]
    secrets += [world.shop.seed.content_key(listing.place(0)), world.daemon.ring.current.secret]
    world.daemon.ledger.close()
    data = b"".join(p.read_bytes() for p in world.folder.glob("deliverer0.sqlite*"))
    for secret in secrets:
        assert secret not in data
        assert secret.hex().encode() not in data


def test_logs_are_json_lines_off_a_terminal() -> None:
    stream = io.StringIO()
    configure_logging(stream=stream)
    get_logger("test").info("ready", digest=b"\x01\x02")
    line = json.loads(stream.getvalue())
    assert line["event"] == "ready"
    assert line["digest"] == "0x0102"
    assert line["timestamp"].endswith("Z")
