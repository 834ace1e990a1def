"""Keeping up with store documents: slow and hostile ones, new keys, pins within a budget."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dam.catalog.store import Store
from dam.errors import BlockRefused, IpfsError, IpfsUnreachable
from dam.ipfs.blocks import MAX_BLOCK_BYTES, PinLimits, PinSize
from dam.ipfs.cid import Cid
from dam.ledger.documents import Scan
from dam.roles.seller.store_builder import BuiltStore
from dam.testing.blocks import MemoryStore
from dam.types import ZERO32
from tests.unit.helpers.document_sync import running, sync_of, until
from tests.unit.helpers.world import THIEF, Shop, World, address, assert_delivered_once


class SlowStore(MemoryStore):
    """Some blocks never come."""

    def __init__(self) -> None:
        super().__init__()
        self.hanging: set[Cid] = set()
        self.asked: list[Cid] = []

    async def get(
        self, cid: Cid, *, max_bytes: int = MAX_BLOCK_BYTES, deadline: float | None = None
    ) -> bytes:
        self.asked.append(cid)
        if cid in self.hanging:
            await asyncio.sleep(3600)
        return await super().get(cid, max_bytes=max_bytes, deadline=deadline)


async def test_slow_stores_hold_up_nobody(world: World) -> None:
    """F56, F57: more slow stores than places, and the honest one is still read at once."""
    world.blocks = slow = SlowStore()
    daemon = world.daemon
    daemon.restart()
    await world.shop.add("coupon")
    honest = await world.shop.publish()
    for number in range(12):
        cid = Cid.of("dag-json", b"slow %d" % number)
        slow.hanging.add(cid)
        world.chain.publish(address(f"thief {number}"), cid.digest, b"\1" * 32)
    # The slow ones are older, so they come first.
    world.chain.queued.append(world.chain.queued.pop(0))
    world.chain.mine(3)
    await daemon.reader.advance()
    sync = sync_of(daemon, places=4, first_seconds=0.05, retry_seconds=0.01)

    def read() -> bool:
        found = daemon.document(honest.seller, honest.digest, honest.root)
        return found is not None and found.state == "read"

    await running(sync, lambda: until(read))
    assert daemon.events("store_unavailable")


async def test_a_closed_store_is_no_fault(world: World) -> None:
    """It is told as it is, and nobody is asked for a document that cannot be right."""
    daemon, shop = world.daemon, world.shop
    await shop.add("coupon")
    built = await shop.publish()
    world.chain.mine(3)
    await daemon.tick()
    before = world.buy(built, "coupon")
    world.chain.publish(built.seller, built.digest, ZERO32)
    world.blocks.blocks.clear()
    await world.ticks(daemon)
    [line] = daemon.events("store_closed")
    assert (line["level"], line["seller"], line["digest"]) == ("info", built.seller, built.digest)
    assert not daemon.events("store_refused") + daemon.events("store_unavailable")
    assert not daemon.journal("store_refused")
    assert daemon.sync.idle
    assert_delivered_once(world, before, by=[daemon])
    # Opened again, it sells again.
    built = await shop.publish()
    again = world.buy(built, "coupon", 1)
    await world.ticks(daemon)
    assert_delivered_once(world, again, by=[daemon])


class AwayStore(MemoryStore):
    """Its node does not run."""

    away = False

    async def get(
        self, cid: Cid, *, max_bytes: int = MAX_BLOCK_BYTES, deadline: float | None = None
    ) -> bytes:
        if self.away:
            raise IpfsUnreachable(f"{cid}: block/get: no connection")
        return await super().get(cid, max_bytes=max_bytes, deadline=deadline)


async def test_a_node_that_is_away_is_told_once(world: World) -> None:
    """One store that nobody has is its seller's matter; an IPFS node that is away is ours."""
    world.blocks = blocks = AwayStore()
    daemon = world.daemon
    daemon.restart()
    await world.shop.add("coupon")
    honest = await world.shop.publish()
    blocks.away = True
    world.chain.mine(3)
    await daemon.reader.advance()
    sync = sync_of(daemon, first_seconds=0.05, retry_seconds=0.001)

    async def act() -> None:
        # It looks once a second.
        await until(lambda: len(daemon.events("store_unavailable")) >= 6, 60)
        assert not daemon.events("ipfs_back")
        blocks.away = False
        await until(lambda: bool(daemon.events("ipfs_back")), 60)

    await running(sync, act)
    [told] = daemon.events("ipfs_down")
    assert (told["level"], len(daemon.events("ipfs_back"))) == ("error", 1)
    found = daemon.document(honest.seller, honest.digest, honest.root)
    assert found is not None


async def test_stores_that_failed_before_leave_places_free(world: World) -> None:
    """Each of them may hang for two minutes by now; a new store is read at once all the same."""
    world.blocks = slow = SlowStore()
    daemon = world.daemon
    daemon.restart()
    for number in range(12):
        cid = Cid.of("dag-json", b"slow %d" % number)
        slow.hanging.add(cid)
        world.chain.publish(address(f"thief {number}"), cid.digest, b"\1" * 32)
    world.chain.mine(3)
    await daemon.reader.advance()
    daemon.ledger.db.execute("UPDATE documents SET attempts = 10")
    sync = sync_of(daemon, places=4)

    async def play() -> None:
        await until(lambda: len(slow.asked) >= 2)
        await world.shop.add("coupon")
        honest = await world.shop.publish()
        world.chain.mine(3)
        await daemon.reader.advance()
        sync.wake()

        def read() -> bool:
            found = daemon.document(honest.seller, honest.digest, honest.root)
            return found is not None and found.state == "read"

        await until(read)

    await running(sync, play)


async def test_each_attempt_is_more_patient_and_later(world: World, built: BuiltStore) -> None:
    daemon = world.daemon
    hidden = world.blocks.blocks.pop(Cid("dag-json", built.digest))
    world.chain.mine(3)
    await daemon.reader.advance()
    sync = sync_of(daemon, retry_seconds=0.05)
    for expected in (0.05, 0.1, 0.2):
        [document] = daemon.documents.wanted(())
        clock = asyncio.get_running_loop().time
        before = clock()
        await sync._read(document)
        due = sync._not_before[document.id]
        # However long the reading took, the pause begins within it.
        assert due - clock() <= expected <= due - before
        assert not sync._choose() or clock() >= due
        await asyncio.sleep(due - before)
        assert [one.id for one in sync._choose()] == [document.id]
    world.blocks.blocks[Cid("dag-json", built.digest)] = hidden
    await daemon.drain()
    assert not daemon.documents.wanted(())


async def test_urgent_only_while_a_purchase_can_wait(world: World, built: BuiltStore) -> None:
    daemon = world.daemon
    world.blocks.blocks.pop(Cid("dag-json", built.digest))
    world.buy(built, "coupon")
    await world.ticks(daemon, blocks=4)
    [document] = daemon.documents.wanted(())
    assert document.urgent
    world.chain.pass_time(daemon.delivery_seconds)
    await world.ticks(daemon, blocks=4)
    [document] = daemon.documents.wanted(())
    assert not document.urgent


async def test_a_scan_that_breaks_refuses_one_store_alone(world: World, built: BuiltStore) -> None:
    thief = Shop(world, THIEF, world.folder / "thief")
    await thief.add("strange")
    strange = await thief.publish()
    world.chain.mine()
    daemon = world.daemon
    scan = daemon.role.scan

    def broken(store: Store) -> Scan:
        if store.seller == THIEF:
            raise RecursionError
        return scan(store)  # type: ignore[no-any-return]

    daemon.sync._scan = broken
    world.buy(strange, "strange")
    sold = world.buy(built, "coupon")
    await world.ticks()
    assert_delivered_once(world, sold)
    assert [n["seller"] for n in daemon.journal("store_refused")] == [THIEF]


@pytest.mark.parametrize("times", [7, 8])
async def test_too_many_bytes_are_the_nodes_word(
    world: World, built: BuiltStore, times: int
) -> None:
    """No hash proves that a block is over the limit: eight times is believed, seven are not."""
    get = world.blocks.get
    left = [times]

    async def flood(cid: Cid, **more: Any) -> bytes:
        if cid.digest == built.digest and left[0]:
            left[0] -= 1
            raise BlockRefused(f"{cid}: gave more than 1048576 bytes")
        return await get(cid, **more)

    world.blocks.get = flood  # type: ignore[method-assign]
    sold = world.buy(built, "coupon")
    await world.ticks(world.daemon, blocks=12)
    assert bool(world.chain.delivered(sold)) == (times < 8)
    assert bool(world.daemon.events("store_refused")) == (times == 8)


async def test_a_sale_that_breaks_stops_no_other(world: World, built: BuiltStore) -> None:
    daemon = world.daemon
    seal = daemon.role._seal

    def broken(sale: Any, *more: Any) -> Any:
        if sale.copy == 1:
            raise ValueError("a mistake of ours")
        return seal(sale, *more)

    daemon.role._seal = broken
    sold = [world.buy(built, "coupon", copy) for copy in range(3)]
    await world.ticks()
    assert_delivered_once(world, sold[0], sold[2])
    [note] = daemon.journal("purchase_refused")
    assert note["reason"] == "internal-error"


async def test_a_new_key_opens_what_was_read_without_it(world: World) -> None:
    """Rotated and announced, but the daemon ran on with the old key file."""
    daemon = world.daemon
    old, daemon.ring = daemon.ring, daemon.ring.rotated()
    await world.shop.add("coupon")  # sealed to the new key
    built = await world.shop.publish()
    world.chain.mine()
    new, daemon.ring = daemon.ring, old
    daemon.restart()
    sold = world.buy(built, "coupon")
    await world.ticks()
    assert len(world.chain.delivered(sold)) == 2
    daemon.ring = new
    daemon.restart()
    await world.ticks()
    assert_delivered_once(world, sold)


async def test_an_old_key_still_opens_after_a_rotation(world: World, built: BuiltStore) -> None:
    daemon = world.daemon
    await world.ticks()
    daemon.ring = daemon.ring.rotated()
    daemon.restart()
    sold = world.buy(built, "coupon")
    await world.ticks()
    assert_delivered_once(world, sold)


class Pins(MemoryStore):
    """Pins of a size that the test says."""

    size = 100

    async def pin(
        self, cid: Cid, *, limits: PinLimits | None = None, deadline: float | None = None
    ) -> PinSize:
        assert limits is not None
        if self.size > limits.max_bytes:
            raise BlockRefused("too large")
        self.pinned.add(cid)
        return PinSize(1, self.size)


@pytest.fixture
async def pins(world: World) -> Pins:
    """The first deliverer's own view of the blocks."""
    found = Pins()
    found.blocks = world.blocks.blocks
    world.daemon.sync._blocks = found
    await world.shop.add("coupon")
    return found


async def test_pins_stay_within_the_budget(world: World, pins: Pins) -> None:
    daemon = world.daemon
    sync_of(daemon, pin_bytes=399)  # a quarter is under one store's size
    await world.shop.publish()
    await world.ticks(daemon, blocks=4)
    assert not pins.pinned
    assert daemon.events("pin_refused")


async def test_replaced_versions_make_room(world: World, pins: Pins) -> None:
    daemon = world.daemon
    sync_of(daemon, pin_bytes=400)
    versions = []
    for number in range(6):
        await world.shop.add("coupon", title=f"edition {number}")
        versions.append(await world.shop.publish())
        await world.ticks(daemon, blocks=4)
    assert Cid("dag-json", versions[-1].digest) in pins.pinned
    assert Cid("dag-json", versions[0].digest) not in pins.pinned
    assert daemon.documents.pinned_bytes() <= 400


async def test_a_pin_that_is_not_to_be_had_waits_for_its_turn(world: World, pins: Pins) -> None:
    daemon = world.daemon

    async def nothing(*_: Any, **__: Any) -> PinSize:
        raise IpfsError("a payload is not here yet")

    pin, pins.pin = pins.pin, nothing  # type: ignore[method-assign]
    await world.shop.publish()
    await world.ticks(daemon, blocks=4)
    assert daemon.events("pin_unavailable")
    [document] = daemon.documents.to_pin()
    assert daemon.sync._pin_after[document.id][0] >= 1
    pins.pin = pin  # type: ignore[method-assign]
    await world.ticks(daemon, blocks=2)
    assert not daemon.documents.to_pin()
