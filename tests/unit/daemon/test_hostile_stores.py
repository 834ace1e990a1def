"""What hostile sellers can do by their store documents alone: each test is one attack."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from dataclasses import replace
from typing import Any

import pytest

from dam.daemon.service import Service
from dam.errors import IpfsError
from dam.ipfs.blocks import MAX_BLOCK_BYTES, PinSize
from dam.ipfs.cid import Cid
from dam.ledger.documents import LOGGED_REFUSALS, PartRefusal, Scan
from dam.roles.seller.store_builder import BuiltStore
from dam.testing.blocks import MemoryStore
from dam.testing.pages import rows_of
from dam.types import Address, LogRef, StoreVersion
from tests.unit.helpers.document_sync import running, sync_of, until
from tests.unit.helpers.world import SELLER, THIEF, Daemon, Shop, World, address


class Gated(MemoryStore):
    """Some blocks come when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.gates: dict[Cid, asyncio.Event] = {}
        self.held: set[Cid] = set()

    def shut(self, digest: bytes) -> asyncio.Event:
        """Holds a document back until the event is set."""
        gate = self.gates[Cid("dag-json", digest)] = asyncio.Event()
        return gate

    async def get(
        self, cid: Cid, *, max_bytes: int = MAX_BLOCK_BYTES, deadline: float | None = None
    ) -> bytes:
        if cid in self.gates:
            self.held.add(cid)
            await self.gates[cid].wait()
        return await super().get(cid, max_bytes=max_bytes, deadline=deadline)


@pytest.fixture
def gated(world: World) -> Gated:
    world.blocks = blocks = Gated()
    world.daemon.restart()
    return blocks


async def look(daemon: Daemon) -> None:
    assert daemon.service is not None
    while not await daemon.service.tick():
        pass


async def replaced(world: World) -> BuiltStore:
    """A version of a thief's store, between two of another: the newest document of all."""
    thief = Shop(world, THIEF, world.folder / "thief")
    await thief.add("coupon")
    before = await thief.publish()
    world.chain.mine(2)
    await thief.add("coupon", title="for a moment")
    version = await thief.publish()
    world.chain.mine(2)
    world.chain.publish(THIEF, before.digest, before.root)
    world.chain.mine(4)
    return version


async def let_it_be_archived(world: World) -> None:
    for _ in range(300):
        world.chain.mine(3)
        await look(world.daemon)


async def test_parts_of_an_archived_version_are_not_filed_under_another_sellers(
    world: World, gated: Gated
) -> None:
    """A seller keeps a read going until its document is gone and its row's number another's."""
    daemon = world.daemon
    gate = gated.shut((await replaced(world)).digest)
    await look(daemon)

    async def play() -> None:
        await until(lambda: len(daemon.sync._busy) == 1)
        await let_it_be_archived(world)
        await world.shop.add("coupon")  # of the very name that the other item has
        honest = await world.shop.publish()
        world.chain.mine(4)
        await look(daemon)
        gate.set()
        await until(lambda: not daemon.sync._busy)
        daemon.sync.wake()

        def read() -> bool:
            found = daemon.document(honest.seller, honest.digest, honest.root)
            return found is not None and found.state == "read"

        await until(read)
        sold = world.buy(honest, "coupon")
        for _ in range(6):
            world.chain.mine()
            await look(daemon)
        assert world.chain.delivered(sold)

    await running(daemon.sync, play)


async def test_a_document_that_is_archived_while_it_is_read_stops_nothing(
    world: World, gated: Gated
) -> None:
    daemon = world.daemon
    version = await replaced(world)
    gate = gated.shut(version.digest)
    await world.shop.add("coupon")
    await world.shop.publish()  # so that the row that goes is not the newest
    world.chain.mine(4)
    await look(daemon)
    keeping = asyncio.create_task(daemon.sync.run())
    await until(lambda: [d.seller for d in daemon.sync._busy.values()] == [THIEF])
    await let_it_be_archived(world)
    assert daemon.document(THIEF, version.digest, version.root) is None
    gate.set()
    await until(lambda: not daemon.sync._busy)
    await asyncio.sleep(0)
    assert not keeping.done()
    assert daemon.events("store_pruned")
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)


async def test_versions_that_can_never_be_pinned_do_not_stay_for_good(world: World) -> None:
    """Each holds up to fifty thousand parts in the ledger, for the gas of one small transaction."""
    daemon = world.daemon

    class Unpinnable(MemoryStore):
        async def pin(self, *_: Any, **__: Any) -> PinSize:
            raise IpfsError("a payload is not here")

    daemon.sync._blocks = blocks = Unpinnable()
    blocks.blocks = world.blocks.blocks
    for number in range(4):
        await world.shop.add("coupon", title=f"edition {number}")
        await world.shop.publish()
        await world.ticks(daemon, blocks=4)
    assert len(daemon.documents.to_pin()) == 4
    await let_it_be_archived(world)
    assert len(daemon.documents.to_pin()) == 1
    [parts] = daemon.ledger.db.execute("SELECT count(*) FROM parts").fetchone()
    assert parts == 1


async def test_a_pin_of_what_was_archived_meanwhile_is_taken_off(
    world: World, built: BuiltStore
) -> None:
    daemon = world.daemon
    await world.ticks(daemon, blocks=4)
    found = daemon.document(SELLER, built.digest, built.root)
    assert found is not None
    await daemon.sync._pin(replace(found, id=found.id + 1000))
    assert Cid("dag-json", built.digest) not in world.blocks.pinned


async def test_fifty_thousand_refusals_are_told_in_a_few_lines(
    world: World, built: BuiltStore
) -> None:
    """They would fill the disk with logs, and push all else out of the journal."""
    daemon = world.daemon
    refusals = [PartRefusal(bytes(32), copy, "part-unreadable", "") for copy in range(200)]
    daemon.sync._scan = lambda _: Scan([], refusals)
    with daemon.ledger.transaction():
        daemon.ledger.note("transaction_reverted", block=1)
    await world.ticks(daemon, blocks=4)
    told = daemon.events("part_refused")
    assert len(told) == LOGGED_REFUSALS
    assert all(line["of_this_store"] == 200 for line in told)
    assert len(daemon.journal("part_refused")) == LOGGED_REFUSALS
    # Why a sale is not served is known all the same.
    document = daemon.document(SELLER, built.digest, built.root)
    assert document is not None
    assert daemon.documents.refusals(document.id, bytes(32), 199)


async def test_one_seller_cannot_take_all_the_places(world: World, gated: Gated) -> None:
    """Versions cost a seller little, and one purchase makes each of them urgent."""
    daemon = world.daemon
    for number in range(30):
        digest = Cid.of("dag-json", b"slow %d" % number).digest
        gated.shut(digest)
        world.chain.publish(THIEF, digest, b"\1" * 32)
    world.chain.mine()
    await world.shop.add("coupon")
    honest = await world.shop.publish()
    world.chain.mine(3)
    await look(daemon)
    daemon.ledger.db.execute("UPDATE documents SET urgent = 1 WHERE seller = ?", (THIEF,))
    daemon.ledger.db.execute("UPDATE documents SET attempts = 3 WHERE id % 2 = 0")
    sync_of(daemon, first_seconds=60.0)

    def read() -> bool:
        found = daemon.document(honest.seller, honest.digest, honest.root)
        return found is not None and found.state == "read"

    await running(daemon.sync, lambda: until(read))
    assert len(daemon.sync._choose()) == 3


async def test_nobodys_documents_are_too_many_to_be_looked_through(world: World) -> None:
    daemon = world.daemon
    with daemon.ledger.transaction():
        for number in range(6000):
            digest = number.to_bytes(32, "big")
            daemon.ledger.want_document(THIEF, digest, b"\1" * 32, urgent=True)
        daemon.ledger.want_document(SELLER, bytes(32), b"\1" * 32, urgent=True)
    assert SELLER in [document.seller for document in daemon.documents.wanted(())[:2]]
    # Nor is it work for every second: the next ones come when these were tried.
    assert len(daemon.documents.wanted(())) < 20
    # Of those that failed, who was tried least comes first, however old the others are.
    daemon.ledger.db.execute("UPDATE documents SET attempts = 2")
    daemon.ledger.db.execute("UPDATE documents SET attempts = 1 WHERE seller = ?", (SELLER,))
    assert daemon.documents.wanted(())[0].seller == SELLER


async def large(world: World, seller: Address) -> BuiltStore:
    """A store of more than two megabytes, in several pages."""
    shop = Shop(world, seller, world.folder / f"shop of {seller}")
    for number in range(8):
        # No two of their blocks are the same: gates are by block.
        text = f"{seller} {number} ".ljust(60_000, "x")
        await shop.add(f"item {number}", metadata={"a": [text] * 12})
    return await shop.publish()


async def test_waiting_for_large_hostile_stores_costs_none_of_ones_own_time(
    world: World, gated: Gated
) -> None:
    """One large store is read at a time, and each that stalls has all its time for it."""
    daemon, stalls = world.daemon, set()
    for name in ("thief 1", "thief 2"):
        hostile = await large(world, address(name))
        pages = json.loads(gated.blocks[Cid("dag-json", hostile.digest)])["pages"]
        page = json.loads(gated.blocks[Cid.parse(pages[-1]["/"])])
        gated.gates[Cid.parse(page["details"]["/"])] = asyncio.Event()
        stalls.add(Cid.parse(page["details"]["/"]))
    honest = await large(world, SELLER)
    begin = gated.shut(honest.digest)
    world.chain.mine(3)
    await look(daemon)
    sync_of(daemon, first_seconds=1.5)

    def read() -> bool:
        found = daemon.document(honest.seller, honest.digest, honest.root)
        return found is not None and found.state == "read"

    async def play() -> None:
        await until(lambda: bool(stalls & gated.held), 15.0)
        begin.set()
        await until(read, 15.0)

    await running(daemon.sync, play)
    failed = {line["seller"] for line in daemon.events("store_unavailable")}
    assert failed == {address("thief 1"), address("thief 2")}


async def test_reading_goes_on_after_a_disk_that_was_full(
    world: World, gated: Gated, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever else was being read at that moment."""
    daemon = world.daemon
    assert daemon.service is not None
    gated.shut(Cid.of("dag-json", b"slow").digest)
    world.chain.publish(THIEF, Cid.of("dag-json", b"slow").digest, b"\1" * 32)
    world.chain.mine()
    await world.shop.add("coupon")
    honest = await world.shop.publish()
    world.chain.mine(3)
    await look(daemon)
    save, full = daemon.documents.save_scan, [True]

    def once_full(*args: Any) -> bool:
        if full.pop() if full else False:
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error
        return save(*args)

    monkeypatch.setattr(daemon.sync._documents, "save_scan", once_full)
    keeping = asyncio.create_task(Service._keep_up(daemon.service, daemon.sync.run))

    def read() -> bool:
        found = daemon.document(honest.seller, honest.digest, honest.root)
        return found is not None and found.state == "read"

    await until(lambda: read() or keeping.done())
    assert not keeping.done()
    assert daemon.events("background_failed")
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)


async def test_thousands_of_replaced_versions_are_archived_in_linear_time(world: World) -> None:
    """A loop of a contract makes them; sixteen thousand took longer than a heartbeat waits."""
    daemon = world.daemon
    world.chain.mine(3)
    await look(daemon)
    head = await world.chain.block(3)
    place = LogRef(head, bytes(32), 0)
    versions = [
        StoreVersion(THIEF, n.to_bytes(32, "big"), bytes(32), replace(place, log_index=n))
        for n in range(4000)
    ]
    with daemon.ledger.transaction() as db:
        daemon.ledger.save_range(rows_of(versions), head, delivery_seconds=300)
        # A loop leaves the last few of each block: as many as a day's blocks leave.
        assert db.execute("SELECT count(*) FROM documents").fetchone()[0] == 16
        for version in versions:
            daemon.ledger.want_document(THIEF, version.digest, version.root)
        db.execute("DELETE FROM blocks")
        db.execute("INSERT INTO blocks VALUES (900, ?)", (head.hash,))
        db.execute("UPDATE cursor SET number = 1000")
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    db.set_progress_handler(count, 10_000)
    gone = daemon.ledger.prune()
    db.set_progress_handler(None, 0)
    assert gone == 500
    assert db.execute("SELECT count(*) FROM documents").fetchone()[0] == 3500
    assert steps < 1000, "of ten thousand of SQLite's steps each"
