"""The ledger file over the years: new schemas, copies, old files put back, and what may go."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from dam.errors import LedgerError
from dam.ledger import migrations, pruning
from dam.ledger.ledger import Binding, Ledger
from dam.ledger.status import read_status
from dam.roles.seller.store_builder import BuiltStore
from dam.testing.rules import NOWHERE
from dam.types import Address, DelivererKeyRotated
from tests.unit.helpers.ledger import journal_of, root_in_force
from tests.unit.helpers.old_ledger import FIRST_SCHEMA, make_old, tables
from tests.unit.helpers.world import OTHER_BUYER, Daemon, World, assert_delivered_once

BINDING = Binding(31337, Address("0x" + "11" * 20), Address("0x" + "22" * 20), "deliverer")
KEPT = 40
NEW_TABLES = {"spent", "totals", "bodies"}


def rows(path: Path, table: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as db:
        return sorted(db.execute(f"SELECT * FROM {table}").fetchall(), key=repr)


def shape(path: Path) -> dict[str, Any]:
    """Columns, keys, indexes and triggers of a file, however its tables came to be."""
    with closing(sqlite3.connect(path)) as db:
        found: dict[str, Any] = {}
        for table in tables(db):
            columns = [row[1:] for row in db.execute(f"PRAGMA table_xinfo({table})")]
            indexes = {}
            for _, name, unique, origin, partial in db.execute(f"PRAGMA index_list({table})"):
                keys = [row[2:] for row in db.execute(f"PRAGMA index_xinfo({name})")]
                indexes[name] = (unique, origin, partial, keys)
            foreign = [row[2:] for row in db.execute(f"PRAGMA foreign_key_list({table})")]
            strict = db.execute("SELECT strict, wr FROM pragma_table_list(?)", (table,)).fetchone()
            found[table] = (columns, indexes, foreign, strict)
        triggers = db.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'")
        found["triggers"] = triggers.fetchall()
        checks = db.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'table'").fetchall()
        found["checks"] = {name: sql.count("CHECK") for name, sql in checks}
        return found


# ------------------------------------------------------------------------------------ migrations


async def test_a_file_of_version_1_goes_on_as_version_2(world: World, built: BuiltStore) -> None:
    """In the middle of its work: nothing lost, nothing doubled, nothing signed anew."""
    done = world.buy(built, "code", 0)
    await world.ticks()
    late = world.buy(built, "code", 1)
    daemon = world.daemon
    world.chain.accepts = lambda _: False
    await world.ticks(blocks=4)
    [waiting] = daemon.outbox.live()
    daemon.ledger.close()
    make_old(daemon.path)
    kept = {table: rows(daemon.path, table) for table in tables(sqlite3.connect(daemon.path))}
    assert len(kept["purchases"]) == 2
    assert kept["attempts"]

    daemon.build()
    [note] = daemon.journal("ledger_migrated")
    assert (note["before"], note["version"]) == (1, migrations.VERSION)
    for table, before in kept.items():
        if table != "journal":
            assert rows(daemon.path, table) == before, table
    assert daemon.outbox.live() == [waiting]
    world.chain.accepts = lambda _: True
    await world.ticks(blocks=8)
    assert_delivered_once(world, done, late)


def test_migrated_and_new_files_have_the_same_schema(tmp_path: Path) -> None:
    old, new = tmp_path / "old.sqlite", tmp_path / "new.sqlite"
    Ledger.open(new, BINDING).close()
    with closing(sqlite3.connect(old)) as db:
        db.executescript(FIRST_SCHEMA.read_text("utf-8"))
        db.execute("PRAGMA user_version = 1")
    Ledger.open(old, BINDING).close()
    assert shape(old) == shape(new)
    assert set(tables(sqlite3.connect(new))) >= NEW_TABLES


def test_the_backup_is_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger.open(path, BINDING)
    ledger.note("something", number=7)
    ledger.close()
    make_old(path)
    before = {table: rows(path, table) for table in ("meta", "journal")}
    Ledger.open(path, BINDING).close()
    [backup] = migrations.backups(path)
    assert backup.name.startswith("ledger.sqlite.v1-")
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert {table: rows(backup, table) for table in before} == before
    with closing(sqlite3.connect(backup)) as db:
        assert migrations.version_of(db) == 1
    # Opened again, it needs no further copy.
    Ledger.open(path, BINDING).close()
    assert migrations.backups(path) == [backup]
    # It is a ledger in its own right.
    shutil.copy(backup, path)
    Ledger.open(path, BINDING).close()


def test_only_the_newest_backups_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    for day in range(1, 6):
        (tmp_path / f"ledger.sqlite.v1-202501{day:02}T000000Z.backup").write_bytes(b"old")
    other = tmp_path / "other.sqlite.v1-20250101T000000Z.backup"
    other.write_bytes(b"of another ledger")
    Ledger.open(path, BINDING).close()
    make_old(path)
    Ledger.open(path, BINDING).close()
    kept = migrations.backups(path)
    assert len(kept) == migrations.KEPT_BACKUPS
    assert [copy.read_bytes() for copy in kept[1:]] == [b"old", b"old"]
    assert ["0105" in kept[1].name, "0104" in kept[2].name] == [True, True]
    assert other.exists()


@pytest.mark.parametrize(
    "script",
    [
        "DROP TABLE parts; INSERT INTO nowhere VALUES (1);",
        # Keys that name no row: what a careless step would leave.
        "INSERT INTO sealed VALUES ('s', x'00', 0, 0, 12345, x'00', x'00', 0);",
    ],
)
def test_a_step_that_fails_leaves_the_old_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    path = tmp_path / "ledger.sqlite"
    Ledger.open(path, BINDING).close()
    make_old(path)
    before = shape(path)
    read = migrations._text

    def broken(name: str) -> str:
        return read(name) + script if name == "ledger-2.sql" else read(name)

    monkeypatch.setattr(migrations, "_text", broken)
    with pytest.raises(LedgerError, match="cannot be used"):
        Ledger.open(path, BINDING)
    assert shape(path) == before
    with closing(sqlite3.connect(path)) as db:
        assert migrations.version_of(db) == 1
    monkeypatch.undo()
    Ledger.open(path, BINDING).close()


def test_no_step_without_a_backup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is too full for the copy: nothing is touched, and the message says the disk."""
    path = tmp_path / "ledger.sqlite"
    Ledger.open(path, BINDING).close()
    make_old(path)
    before = shape(path)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LedgerError, match=r"No space left.*look at the disk"):
        Ledger.open(path, BINDING)
    assert shape(path) == before
    assert migrations.backups(path) == []
    assert not list(tmp_path.glob("*.part"))


def test_a_newer_file_is_refused_with_the_next_step(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    Ledger.open(path, BINDING).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {migrations.VERSION + 1}")
    with pytest.raises(LedgerError, match=r"run the newer program, or `dam deliverer recover`"):
        Ledger.open(path, BINDING)
    with pytest.raises(LedgerError, match="newer program"):
        read_status(path)


# ---------------------------------------------------------------------------------- transactions


def test_transactions_nest(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "ledger.sqlite", BINDING)
    with ledger.transaction():
        ledger.note("one")
        with suppress(RuntimeError), ledger.transaction():
            ledger.note("two")
            raise RuntimeError
        with ledger.transaction():
            ledger.note("three")
    assert [note["event"] for note in journal_of(ledger)] == ["one", "three"]

    def fails() -> None:
        with ledger.transaction():
            with ledger.transaction():
                ledger.note("four")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    assert len(journal_of(ledger)) == 2
    ledger.close()


def test_what_must_last_is_synced(tmp_path: Path) -> None:
    """Also after a transaction that did not ask for it."""
    ledger = Ledger.open(tmp_path / "ledger.sqlite", BINDING)
    seen = []
    for durable in (True, False, True):
        with ledger.transaction(durable=durable):
            seen.append(ledger.db.execute("PRAGMA synchronous").fetchone()[0])
    full, normal = 2, 1
    assert seen == [full, normal, full]
    with ledger.transaction(), ledger.transaction(durable=False):
        assert ledger.db.execute("PRAGMA synchronous").fetchone()[0] == full
    ledger.close()


# ---------------------------------------------------------------------------------------- pruning


@pytest.fixture
def few_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer kept hashes, so that fewer blocks make a long time."""
    monkeypatch.setattr("dam.ledger.ledger.KEPT_BLOCKS", KEPT)


async def age(
    world: World, *daemons: Daemon, blocks: int = 300 + pruning.MARGIN_BLOCKS + 60
) -> None:
    """Lets so many empty blocks go by, a few at a time, so that the kept hashes move on."""
    for _ in range(blocks // 2):
        world.chain.mine(2)
        for daemon in daemons:
            await daemon.tick()


def sizes(daemon: Daemon) -> dict[str, int]:
    names = ("purchases", "delivered", "jobs", "slots", "attempts", "sealed", "parts", "versions")
    count = daemon.ledger.db.execute
    return {name: count(f"SELECT count(*) FROM {name}").fetchone()[0] for name in names}


@pytest.mark.usefixtures("few_hashes")
async def test_a_year_leaves_little(world: World, built: BuiltStore) -> None:
    """What is over goes; what a status shows, and who got which part, stay."""
    daemon = world.daemon
    foreign = [world.buy(built, "coupon", copy, keys=(bytes(32),) * 3) for copy in range(20, 25)]
    sold = []
    for copy in range(3):
        sold.append(world.buy(built, "code", copy))
        await world.ticks()
    assert sizes(daemon)["slots"] == 3
    before = read_status(daemon.path)
    assert sizes(daemon)["sealed"] == 3
    kept = {
        (row["copy_id"], row["idx"]): row["buyer_key"]
        for row in daemon.ledger.db.execute(
            "SELECT copy_id, idx, buyer_key FROM sealed JOIN purchases ON id = purchase"
        )
    }
    await age(world, daemon)
    left = sizes(daemon)
    # The newest row of each stays, so that its number is never given again.
    assert left["purchases"] <= 1
    assert left["jobs"] == left["sealed"] <= 1
    assert left["slots"] <= 1
    assert left["delivered"] <= 3
    after = read_status(daemon.path)
    assert (after.purchases, after.delivered) == (before.purchases, before.delivered)
    assert (after.earned, after.gas_paid) == (before.earned, before.gas_paid)
    assert (after.transactions, before.delivered) == (before.transactions, 3)
    assert sum(before.purchases.values()) == len(foreign) + len(sold)
    still = {
        (row["copy_id"], row["idx"]): row["buyer_key"]
        for row in daemon.ledger.db.execute(
            "SELECT copy_id, idx, buyer_key FROM spent UNION SELECT copy_id, idx, buyer_key "
            "FROM sealed JOIN purchases ON id = purchase"
        )
    }
    assert still == kept


@pytest.mark.usefixtures("few_hashes")
async def test_one_buyer_for_good(world: World, built: BuiltStore) -> None:
    """A part of a pruned sale is never sealed to a second buyer, who only a lying node shows."""
    daemon = world.daemon
    world.buy(built, "code", 1)
    world.buy(built, "code", 2)
    await world.ticks()
    await age(world, daemon)
    assert {sale.purchase.copy for sale in daemon.sales.in_state("done")} == {2}
    again = world.buy(built, "code", 1, buyer=OTHER_BUYER)
    await world.ticks(daemon)
    [note] = daemon.journal("purchase_refused")
    assert note["reason"] == "sealed-to-another"
    assert len(world.chain.delivered(again)) == 3
    # Should that check ever be forgotten, the database itself refuses.
    [sale] = daemon.sales.in_state("refused")
    place = (sale.purchase.seller, sale.purchase.terms.item_id, 1)
    index = daemon.ledger.db.execute(
        "SELECT idx FROM spent WHERE copy_id = ?", (again,)
    ).fetchone()[0]
    with pytest.raises(sqlite3.IntegrityError, match="another buyer"):
        daemon.sales.keep_sealed([(*place, index, sale.id, b"k" * 32, b"f" * 80)])


async def test_remembers_the_last_key_that_we_announced(world: World) -> None:
    """Whatever is read twice or in another order; a rollback forgets what it takes away."""
    daemon, chain = world.daemon, world.chain
    for number in (1, 2):
        chain.queued.append(DelivererKeyRotated(daemon.address, bytes([number]) * 32, NOWHERE))
        chain.queued.append(DelivererKeyRotated(OTHER_BUYER, b"\x03" * 32, NOWHERE))
        chain.mine()
    await world.ticks(daemon)
    assert daemon.ledger.announced() == b"\x02" * 32
    cursor = daemon.ledger.cursor()
    assert cursor is not None
    first = await chain.page(1, 1)
    with daemon.ledger.transaction():
        daemon.ledger.save_range(first.rows, cursor, refund_blocks=300)
    assert daemon.ledger.announced() == b"\x02" * 32
    daemon.ledger.rollback(await chain.block(2))
    assert daemon.ledger.announced() == b"\x02" * 32
    daemon.ledger.rollback(await chain.block(1))
    assert daemon.ledger.announced() is None


@pytest.mark.usefixtures("few_hashes")
async def test_nothing_goes_that_a_reorganisation_could_reach(
    world: World, built: BuiltStore
) -> None:
    """Until no kept hash is below the last block of its deliveries, everything stays."""
    daemon = world.daemon
    world.buy(built, "code", 0)
    world.buy(built, "code", 1)
    await world.ticks()
    full = sizes(daemon)
    deadline = daemon.sales.in_state("done")[0].deadline
    while world.chain.height - 2 - pruning.MARGIN_BLOCKS <= deadline:
        assert {**sizes(daemon), "versions": 1} == {**full, "versions": 1}
        world.chain.mine()
        await daemon.tick()
    assert daemon.ledger.known_blocks()[0].number > deadline + pruning.MARGIN_BLOCKS - 8
    await age(world, daemon, blocks=40)
    assert sizes(daemon)["purchases"] == 1


@pytest.mark.usefixtures("few_hashes")
async def test_what_is_under_way_stays(world: World, built: BuiltStore) -> None:
    """A transaction that may yet be mined keeps its sale, however old."""
    daemon = world.daemon
    world.chain.accepts = lambda _: False
    world.buy(built, "code", 0)
    await world.ticks(daemon)
    assert daemon.outbox.live()
    world.buy(built, "code", 1)
    await world.ticks(daemon)
    with daemon.ledger.transaction() as db:
        db.execute("UPDATE purchases SET state = 'late', deadline = 1")
    await age(world, daemon)
    assert {sale.purchase.copy for sale in daemon.sales.in_state("late")} == {0, 1}
    assert len(daemon.outbox.live()) == 2


@pytest.mark.usefixtures("few_hashes")
async def test_replaced_store_versions_go(world: World, built: BuiltStore) -> None:
    """With their parts, unless they are pinned or a sale was made under them."""
    daemon = world.daemon
    for number in range(3):
        await world.shop.add(f"more {number}")
        built = await world.shop.publish()
        await world.ticks(daemon, blocks=4)
    assert sizes(daemon)["versions"] == 4
    parts = sizes(daemon)["parts"]
    with daemon.ledger.transaction() as db:
        db.execute("UPDATE documents SET pin = '', pin_bytes = 0 WHERE id <= 2")
    await age(world, daemon)
    assert sizes(daemon)["versions"] == 1
    ids = [row["id"] for row in daemon.ledger.db.execute("SELECT id FROM documents ORDER BY id")]
    assert ids == [3, 4]
    assert 0 < sizes(daemon)["parts"] < parts
    # The one in force serves as before.
    sold = world.buy(built, "code", 0)
    await world.ticks()
    assert_delivered_once(world, sold)


@pytest.mark.usefixtures("few_hashes")
async def test_a_version_with_a_sale_stays(world: World, built: BuiltStore) -> None:
    """As long as the sale does: it is decided by the document that it was made under."""
    daemon = world.daemon
    world.buy(built, "code", 0)
    await world.ticks(daemon)
    await world.shop.add("more")
    await world.shop.publish()
    await world.ticks(daemon, blocks=4)
    with daemon.ledger.transaction() as db:
        db.execute("UPDATE documents SET pin = ''")
        db.execute("UPDATE purchases SET deadline = 1000000")
    await age(world, daemon)
    [sale] = daemon.sales.in_state("done")
    assert sizes(daemon)["versions"] == 2
    root = root_in_force(daemon.ledger, sale.purchase)
    assert root == built.root
    assert daemon.document(built.seller, built.digest, built.root) is not None


@pytest.mark.usefixtures("few_hashes")
async def test_a_version_that_comes_back_is_read_again(world: World, built: BuiltStore) -> None:
    """A seller who returns to an old document, long after it was let go."""
    daemon = world.daemon
    first = built
    await world.shop.add("more")
    await world.shop.publish()
    await world.ticks()
    with daemon.ledger.transaction() as db:
        db.execute("UPDATE documents SET pin = ''")
    await age(world, *world.deliverers)
    assert daemon.document(first.seller, first.digest, first.root) is None
    world.chain.publish(first.seller, first.digest, first.root)
    await world.ticks(blocks=4)
    sold = world.buy(first, "code", 2)
    await world.ticks()
    assert_delivered_once(world, sold)


@pytest.mark.usefixtures("few_hashes")
async def test_others_sales_go_too(world: World, built: BuiltStore) -> None:
    """A market's other sales, and those whose document nobody gives, do not pile up."""
    stranger = world.deliverers[0]
    stranger.ring = type(stranger.ring).generate()
    stranger.restart()
    for copy in range(10):
        world.buy(built, "coupon", copy)
    await world.ticks()
    assert len(stranger.sales.in_state("not-mine")) == 10
    await age(world, stranger)
    assert sizes(stranger)["purchases"] == 1
    assert sizes(stranger)["delivered"] <= 3
    assert read_status(stranger.path).purchases["not-mine"] == 10


@pytest.mark.usefixtures("few_hashes")
async def test_an_archived_number_is_never_given_again(world: World, built: BuiltStore) -> None:
    """Row ids name sales in memory and in `sealed`: the newest row stays, and counts on."""
    daemon = world.daemon
    world.buy(built, "code", 0)
    await world.ticks()
    await age(world, daemon)
    [first] = daemon.sales.in_state("done")
    world.buy(built, "code", 1)
    await world.ticks()
    assert daemon.sales.in_state("done")[-1].id == first.id + 1


async def test_what_is_over_is_no_deadline(world: World, built: BuiltStore) -> None:
    """After a rebuild old sales are undecided for a while: nobody is woken for them."""
    daemon = world.daemon
    world.buy(built, "code", 0)
    await world.ticks()
    world.buy(built, "code", 1)
    await world.ticks(blocks=3)
    with daemon.ledger.transaction() as db:
        db.execute("UPDATE purchases SET state = 'new'")
        db.execute("UPDATE purchases SET deadline = 5 WHERE copy = 0")
    found = read_status(daemon.path).next_deadline
    assert found is not None
    [_, second] = daemon.sales.in_state("new")
    assert found.block == second.deadline


# ------------------------------------------------------------------------------ reorganisations


@pytest.mark.parametrize(("state", "kept"), [("live", "live"), ("due", "due")])
async def test_two_slots_of_one_part(
    world: World, built: BuiltStore, state: str, kept: str
) -> None:
    """A purchase was lost, another took its place, and both were sent for: one job is live."""
    daemon = world.daemon
    world.buy(built, "code", 0)
    world.buy(built, "code", 1)
    await world.ticks()
    [first, second] = daemon.sales.in_state("done")
    with daemon.ledger.transaction() as db:
        db.execute("DELETE FROM jobs WHERE purchase = ?", (second.id,))
        db.execute(
            "INSERT INTO purchases SELECT 99, 1, x'99', 0, tx_hash, timestamp, copy_id, seller, "
            "buyer, store_digest, copy, terms, keys, deadline, 'done', '', 1 "
            "FROM purchases WHERE id = ?",
            (first.id,),
        )
        db.execute("INSERT INTO slots (id, nonce, state, block) VALUES (98, 98, 'mined', 9)")
        db.execute("INSERT INTO slots (id, nonce, state) VALUES (99, 99, 'live')")
        # Of the lost purchase, in a transaction that was mined and is out again now.
        db.execute("UPDATE jobs SET state = 'cancelled', purchase = 99, slot = 98")
        db.execute(
            "INSERT INTO jobs (id, purchase, copy_id, kind, idx, body, state, not_before, deadline,"
            " slot) SELECT 99, ?, copy_id, kind, idx, body, ?, 0, deadline, ? FROM jobs",
            (first.id, state, 99 if state == "live" else None),
        )
    ancestor = next(block for block in daemon.ledger.known_blocks() if block.number < 9)
    daemon.ledger.rollback(ancestor)
    states = dict(daemon.ledger.db.execute("SELECT id, state FROM jobs").fetchall())
    [lost] = set(states) - {99}
    assert states == {lost: "cancelled" if state == "live" else "live", 99: kept}


# ------------------------------------------------------------------------- an old file put back


async def test_an_old_ledger_put_back_is_safe(world: World, built: BuiltStore) -> None:
    """F49: the chain wins. What was done since is seen to be done; what was not is done once."""
    daemon = world.daemon
    sold = [world.buy(built, "code", 0)]
    await world.ticks()
    daemon.ledger.close()
    old = daemon.path.with_suffix(".old")
    shutil.copy(daemon.path, old)
    daemon.build()
    sold.append(world.buy(built, "code", 1))
    await world.ticks()
    world.chain.accepts = lambda tx: tx.sender != daemon.address
    sold.append(world.buy(built, "code", 2))
    await world.ticks(blocks=4)
    assert daemon.outbox.live()
    # The old file again, while a transaction that it does not know of waits in the pool.
    daemon.ledger.close()
    for suffix in ("-wal", "-shm"):
        daemon.path.with_name(daemon.path.name + suffix).unlink(missing_ok=True)
    shutil.copy(old, daemon.path)
    daemon.build()
    await world.ticks(blocks=3)
    world.chain.accepts = lambda _: True
    await world.ticks(blocks=10)
    for copy_id in sold:
        by = sorted(log.by for log in world.chain.delivered(copy_id))
        assert by == sorted(one.address for one in world.deliverers)
    nonces = [nonce for nonce, _ in world.chain.mined(daemon.address)]
    assert nonces == list(range(len(nonces)))
    assert not daemon.outbox.live()
    assert not daemon.events("foreign_transaction")
