"""A ledger that is corrupt, lost or of another program: put aside, made anew, none served twice."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from dam.errors import LedgerError
from dam.ledger import recovery
from dam.ledger.ledger import Binding, Ledger
from dam.roles.seller.store_builder import BuiltStore
from tests.unit.helpers.world import OTHER_BUYER, Daemon, World, assert_delivered_once


def spoil(path: Path, *, first: int, last: int | None = None) -> None:
    """Overwrites pages, as a dying disk does."""
    data = bytearray(path.read_bytes())
    end = len(data) if last is None else last
    data[first:end] = b"\xa5" * (end - first)
    path.write_bytes(data)


def spoil_table(path: Path, table: str) -> None:
    """Overwrites the first page of a table."""
    with closing(sqlite3.connect(path)) as db:
        query = "SELECT rootpage FROM sqlite_schema WHERE name = ?"
        [[root]] = db.execute(query, (table,))
    spoil(path, first=(root - 1) * 4096, last=root * 4096)


def recovered(daemon: Daemon) -> recovery.Recovery:
    """Recovers the daemon's ledger, which is closed, and starts it again."""
    done = recovery.recover(daemon.path, daemon.ledger.binding)
    daemon.build()
    return done


async def half_done(world: World, built: BuiltStore) -> tuple[bytes, bytes]:
    """One sale that is delivered, and one that is sealed and signed but not mined."""
    sold = world.buy(built, "code", 0)
    await world.ticks()
    world.chain.accepts = lambda tx: tx.sender != world.daemon.address
    waits = world.buy(built, "code", 1)
    await world.ticks(blocks=4)
    assert world.daemon.outbox.live()
    world.daemon.ledger.close()
    return sold, waits


async def test_a_corrupt_ledger_is_rebuilt(world: World, built: BuiltStore) -> None:
    """F48: what was delivered is known from the chain, what was sealed from the old file."""
    daemon = world.daemon
    sold, waits = await half_done(world, built)
    with closing(sqlite3.connect(daemon.path)) as db:
        [[fragment]] = db.execute(
            "SELECT fragment FROM seals JOIN purchases ON id = purchase WHERE seals.copy = 1"
        )
    spoil_table(daemon.path, "parts")
    with pytest.raises(LedgerError, match="dam deliverer recover"):
        daemon.build()
    assert recovery.examine(daemon.path, daemon.ledger.binding)

    world.chain.pool.clear()
    done = recovered(daemon)
    assert done.aside is not None
    assert done.parts == 2
    assert [source.fault for source in done.sources] == [""]
    [note] = daemon.journal("ledger_recovered")
    assert note["parts"] == 2
    world.chain.accepts = lambda _: True
    await world.ticks(blocks=10)
    assert_delivered_once(world, sold, waits)
    # The very bytes that were sealed before: no second fragment of one part is about.
    mine = [log for log in world.chain.delivered(waits) if log.by == daemon.address]  # type: ignore[arg-type]
    assert [log.fragment for log in mine] == [fragment]


async def test_nothing_is_deleted(world: World, built: BuiltStore) -> None:
    """What had not reached the file itself goes aside with it, and is read from there."""
    daemon = world.daemon
    world.buy(built, "code", 0)
    await world.ticks()
    # A kill, not a close: the newest changes are in the log of changes beside the file.
    kept = {p.name: p.read_bytes() for p in daemon.path.parent.glob(f"{daemon.path.name}*")}
    assert kept[daemon.path.name + "-wal"]
    daemon.ledger.close()
    for path in daemon.path.parent.glob(f"{daemon.path.name}*"):
        path.unlink()
    for name, data in kept.items():
        daemon.path.with_name(name).write_bytes(data)
    done = recovery.recover(daemon.path, daemon.ledger.binding)
    assert done.aside is not None
    assert done.parts == 1
    assert done.aside.read_bytes() == kept[daemon.path.name]
    assert (
        done.aside.with_name(done.aside.name + "-wal").read_bytes()
        == kept[daemon.path.name + "-wal"]
    )
    left = {p.name for p in daemon.path.parent.glob(f"{daemon.path.name}*")}
    assert daemon.path.name + "-wal" not in left
    assert daemon.path.name + ".new" not in left
    daemon.build()


async def test_never_to_another_buyer(world: World, built: BuiltStore) -> None:
    """A part that only the lost ledger knew to be sealed stays with its buyer."""
    daemon = world.daemon
    await half_done(world, built)
    spoil_table(daemon.path, "jobs")
    assert recovered(daemon).parts == 2
    # The chain forgets that purchase, and shows another one of the same copy.
    world.chain.pool.clear()
    world.chain.reorganise(4)
    world.chain.queued.clear()
    world.chain.accepts = lambda _: True
    again = world.buy(built, "code", 1, buyer=OTHER_BUYER)
    await world.ticks(blocks=8)
    by = {log.by for log in world.chain.delivered(again)}  # type: ignore[arg-type]
    assert daemon.address not in by
    [note] = daemon.journal("purchase_refused")
    assert note["reason"] == "sealed-to-another"


async def test_a_file_that_is_no_ledger_at_all(world: World, built: BuiltStore) -> None:
    """Nothing to salvage: said, and everything that the chain knows comes back."""
    daemon = world.daemon
    sold, waits = await half_done(world, built)
    spoil(daemon.path, first=0)
    done = recovered(daemon)
    assert done.parts == 0
    assert "not a database" in done.sources[0].fault
    assert done.aside is not None
    assert done.aside.read_bytes().startswith(b"\xa5")
    world.chain.pool.clear()
    world.chain.accepts = lambda _: True
    await world.ticks(blocks=10)
    assert_delivered_once(world, sold, waits)


async def test_a_broken_page_hides_itself_alone(world: World, built: BuiltStore) -> None:
    daemon = world.daemon
    daemon.ledger.close()
    with closing(sqlite3.connect(daemon.path)) as db:
        db.execute("PRAGMA foreign_keys = OFF")
        db.executemany(
            "INSERT INTO seals VALUES (?, ?, ?, 0, ?, ?, ?, 0)",
            [(built.seller, bytes(32), n, n, bytes(32), bytes(80)) for n in range(2000)],
        )
        db.execute("DROP INDEX one_buyer")
        db.commit()
        [[root]] = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'seals'")
    data = daemon.path.read_bytes()
    # A leaf in the middle of the table: pages of a table without row ids, after its root.
    leaf = root + (len(data) // 4096 - root) // 2
    spoil(daemon.path, first=(leaf - 1) * 4096, last=leaf * 4096)
    done = recovery.recover(daemon.path, daemon.ledger.binding)
    assert done.sources[0].fault
    assert 1800 < done.parts < 2000
    daemon.build()


async def test_a_lost_ledger_finds_its_older_copies(world: World, built: BuiltStore) -> None:
    """One that was put aside still knows to whom parts were sealed."""
    daemon = world.daemon
    world.buy(built, "code", 0)
    await world.ticks()
    daemon.ledger.close()
    recovery.recover(daemon.path, daemon.ledger.binding)
    daemon.path.unlink()
    assert recovery.examine(daemon.path, daemon.ledger.binding) == "there is no ledger"
    done = recovery.recover(daemon.path, daemon.ledger.binding)
    assert done.aside is None
    assert done.parts == 1
    assert [source.path for source in done.sources] == recovery.older(daemon.path)
    # Once more, from the file that was made: nothing is forgotten on the way.
    again = recovery.recover(daemon.path, daemon.ledger.binding)
    assert again.parts == 1
    assert again.at_odds == 0
    daemon.build()


async def test_the_newer_file_is_believed(world: World, built: BuiltStore) -> None:
    daemon = world.daemon
    world.buy(built, "code", 0)
    await world.ticks()
    daemon.ledger.close()
    old = daemon.path.with_name(daemon.path.name + ".aside-20200101T000000Z")
    old.write_bytes(daemon.path.read_bytes())
    with closing(sqlite3.connect(old)) as db:
        db.execute("UPDATE seals SET buyer_key = ?", (b"o" * 32,))
        db.commit()
    done = recovery.recover(daemon.path, daemon.ledger.binding)
    assert (done.parts, done.at_odds) == (1, 1)
    with closing(sqlite3.connect(daemon.path)) as db:
        [[key]] = db.execute("SELECT buyer_key FROM archived_seals")
    assert key != b"o" * 32
    daemon.build()


async def test_a_kill_while_recovering_loses_nothing(
    world: World, built: BuiltStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = world.daemon
    world.buy(built, "code", 0)
    await world.ticks()
    daemon.ledger.close()

    class KilledError(BaseException):
        pass

    def die(*_: object) -> None:
        raise KilledError

    for place in ("hardlink_to", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(Path, place, die)
            with pytest.raises(KilledError):
                recovery.recover(daemon.path, daemon.ledger.binding)
        assert daemon.path.exists()
        assert recovery.examine(daemon.path, daemon.ledger.binding) == ""
    assert recovery.recover(daemon.path, daemon.ledger.binding).parts == 1
    daemon.build()


async def test_of_whom_a_ledger_is(world: World, built: BuiltStore) -> None:
    """Another account's parts are not ours to remember, nor its ledger ours to put aside."""
    daemon = world.daemon
    world.buy(built, "code", 0)
    await world.ticks()
    daemon.ledger.close()
    ours = daemon.ledger.binding
    other = Binding(ours.chain_id, ours.market, world.deliverers[1].address, ours.role)
    with pytest.raises(LedgerError, match=r"belongs to account 0x"):
        recovery.examine(daemon.path, other)
    done = recovery.recover(daemon.path, other)
    assert done.parts == 0
    assert "belongs to" in done.sources[0].fault
    Ledger.open(daemon.path, other).close()
    daemon.path.unlink()
    daemon.build()


async def test_a_newer_program_has_made_it(world: World, built: BuiltStore) -> None:
    daemon = world.daemon
    world.buy(built, "code", 0)
    await world.ticks()
    daemon.ledger.close()
    with closing(sqlite3.connect(daemon.path)) as db:
        db.execute("PRAGMA user_version = 77")
    assert "version 77" in recovery.examine(daemon.path, daemon.ledger.binding)
    assert recovered(daemon).parts == 1


async def test_looks_again_at_what_a_fault_of_ours_refused(
    world: World, built: BuiltStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = world.daemon

    def fail(*_: object, **__: object) -> bytes:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr("dam.roles.deliverer.deliverer.seal_fragment", fail)
        sold = world.buy(built, "code", 0)
        await world.ticks()
    [note] = daemon.journal("purchase_refused")
    assert note["reason"] == "internal-error"
    assert not world.chain.delivered(sold)
    for one in world.deliverers:
        assert recovery.retry(one.ledger) == 1
        assert recovery.retry(one.ledger) == 0
    await world.ticks()
    assert_delivered_once(world, sold)


async def test_looks_again_at_a_document_too(
    world: World, built: BuiltStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = world.daemon

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(daemon.role, "scan", fail)
        patch.setattr(daemon.sync, "_scan", fail)
        sold = world.buy(built, "code", 0)
        await world.ticks()
    assert daemon.journal("purchase_refused")[0]["reason"] == "document-refused"
    assert recovery.retry(daemon.ledger) == 2
    await world.ticks()
    assert_delivered_once(world, sold)


async def test_what_is_too_late_stays_refused(world: World, built: BuiltStore) -> None:
    daemon = world.daemon
    world.buy(built, "code", 0)
    await world.ticks()
    with daemon.ledger.transaction() as db:
        db.execute(
            "UPDATE purchases SET state = 'refused', reason = 'internal-error', last_time = 1"
        )
    assert recovery.retry(daemon.ledger) == 0
