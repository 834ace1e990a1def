"""What a ledger forgets: what is final and nobody needs, and nothing else."""

from __future__ import annotations

import sqlite3

import pytest

from dam.ledger import pruning
from dam.ledger.status import read_status
from dam.roles.seller.store_builder import BuiltStore
from tests.unit.helpers.ledger import root_in_force
from tests.unit.helpers.world import (
    OTHER_BUYER,
    SELLER,
    Daemon,
    WatchdogDaemon,
    World,
    assert_delivered_once,
)

KEPT = 40


@pytest.fixture
def few_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer kept hashes, so that fewer blocks make a long time."""
    monkeypatch.setattr("dam.ledger.ledger.KEPT_BLOCKS", KEPT)


async def age(
    world: World,
    *daemons: Daemon,
    blocks: int = pruning.MARGIN_BLOCKS + 80,
    seconds: int = 3600 + pruning.MARGIN_SECONDS,
) -> None:
    """Lets so much time and so many empty blocks go by, a few at a time, so that the kept hashes
    move on.
    """
    world.chain.pass_time(seconds)
    for _ in range(blocks // 2):
        world.chain.mine(2)
        for daemon in daemons:
            await daemon.tick()


def sizes(daemon: Daemon) -> dict[str, int]:
    names = ("purchases", "deliveries", "jobs", "nonce_slots", "attempts", "seals", "parts")
    names = (*names, "store_versions")
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
    assert sizes(daemon)["nonce_slots"] == 3
    before = read_status(daemon.path)
    assert sizes(daemon)["seals"] == 3
    kept = {
        (row["copy_id"], row["part_index"]): row["buyer_key"]
        for row in daemon.ledger.db.execute(
            "SELECT copy_id, part_index, buyer_key FROM seals JOIN purchases ON id = purchase"
        )
    }
    await age(world, daemon)
    left = sizes(daemon)
    # The newest row of each stays, so that its number is never given again.
    assert left["purchases"] <= 1
    assert left["jobs"] == left["seals"] <= 1
    assert left["nonce_slots"] <= 1
    assert left["deliveries"] <= 3
    after = read_status(daemon.path)
    assert (after.purchases, after.delivered) == (before.purchases, before.delivered)
    assert (after.earned, after.gas_paid) == (before.earned, before.gas_paid)
    assert (after.transactions, before.delivered) == (before.transactions, 3)
    assert sum(before.purchases.values()) == len(foreign) + len(sold)
    still = {
        (row["copy_id"], row["part_index"]): row["buyer_key"]
        for row in daemon.ledger.db.execute(
            "SELECT copy_id, part_index, buyer_key FROM archived_seals UNION "
            "SELECT copy_id, part_index, buyer_key FROM seals JOIN purchases ON id = purchase"
        )
    }
    assert still == kept


@pytest.mark.usefixtures("few_hashes")
@pytest.mark.parametrize("name", ["operator", "seller"])
async def test_a_watchdog_earns_no_fee_of_the_buyers(
    world: World, built: BuiltStore, name: str
) -> None:
    """What the seller's side delivers pays the buyer: the watchdog's account has the cost alone."""
    daemon = WatchdogDaemon(world, world.shop, name, world.folder / "status.sqlite")
    world.chain.operators[SELLER] = daemon.address
    world.buy(built, "code", 2)
    await world.ticks(world.daemon)
    world.chain.mine(100)
    await world.ticks(daemon)
    world.buy(built, "coupon")
    await age(world, daemon, blocks=120, seconds=0)
    found = read_status(daemon.path)
    assert (found.delivered, found.earned) == (5, 0)
    # It is not closed yet.
    assert (found.transactions, found.gas_paid) == (2, 2 * 60_000 * 10**9)
    await age(world, daemon)
    world.buy(built, "coupon", 1)
    await age(world, daemon, blocks=400)
    assert sizes(daemon)["purchases"] == 1
    pruned = read_status(daemon.path)
    assert (pruned.delivered, pruned.earned) == (8, 0)
    daemon.ledger.close()


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
        "SELECT part_index FROM archived_seals WHERE copy_id = ?", (again,)
    ).fetchone()[0]
    with pytest.raises(sqlite3.IntegrityError, match="another buyer"):
        daemon.sales.keep_sealed([(*place, index, sale.id, b"k" * 32, b"f" * 80)])


@pytest.mark.usefixtures("few_hashes")
@pytest.mark.parametrize("early", ["blocks", "seconds"])
async def test_nothing_goes_that_a_reorganisation_could_reach(
    world: World, built: BuiltStore, early: str
) -> None:
    """Until its block is final, and for a day after the last second of its deliveries."""
    daemon = world.daemon
    world.buy(built, "code", 0)
    world.buy(built, "code", 1)
    await world.ticks()
    full = {**sizes(daemon), "store_versions": 1}
    last = daemon.sales.in_state("done")[0].last_time
    if early == "blocks":
        # The time is over, and the block of the purchase is not final.
        await age(world, daemon, blocks=pruning.MARGIN_BLOCKS - 20)
    else:
        await age(world, daemon, seconds=0)
        now = (await world.chain.head()).timestamp
        await age(world, daemon, blocks=40, seconds=last + pruning.MARGIN_SECONDS - now - 50)
    assert {**sizes(daemon), "store_versions": 1} == full
    await age(world, daemon, blocks=120)
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
        db.execute("UPDATE purchases SET state = 'late', last_time = 1")
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
    assert sizes(daemon)["store_versions"] == 4
    parts = sizes(daemon)["parts"]
    with daemon.ledger.transaction() as db:
        db.execute("UPDATE documents SET pin = '', pin_bytes = 0 WHERE id <= 2")
    await age(world, daemon)
    assert sizes(daemon)["store_versions"] == 1
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
        db.execute("UPDATE purchases SET last_time = 2000000000")
    await age(world, daemon)
    [sale] = daemon.sales.in_state("done")
    assert sizes(daemon)["store_versions"] == 2
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
    assert sizes(stranger)["deliveries"] <= 3
    assert read_status(stranger.path).purchases["not-mine"] == 10


@pytest.mark.usefixtures("few_hashes")
async def test_an_archived_number_is_never_given_again(world: World, built: BuiltStore) -> None:
    """Row ids name sales in memory and in `seals`: the newest row stays, and counts on."""
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
        db.execute("UPDATE purchases SET last_time = 5 WHERE copy = 0")
    found = read_status(daemon.path).next_deadline
    assert found is not None
    [_, second] = daemon.sales.in_state("new")
    assert (found.last_time, found.purchase_block) == (second.last_time, second.purchase_block)
