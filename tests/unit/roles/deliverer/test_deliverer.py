"""The deliverer: every check has a test that fails without it; every crash point one that kills."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from typing import Any

import pytest

from dam.crypto.hashing import domain, item_id, keccak, terms_leaf
from dam.crypto.merkle import MerkleTree
from dam.crypto.sealing import open_fragment, part_tag, shared_key
from dam.errors import RpcError
from dam.ipfs import dag_json
from dam.ipfs.cid import Cid
from dam.keystore.key_files import KeyPair
from dam.ledger.sales import Versions
from dam.roles.seller.store_builder import BuiltStore
from dam.testing.rules import NOWHERE
from dam.types import Address, DelivererKeyRotated, DelivererRegistered, JunkProved, Wei
from demo.documents import read_document
from tests.unit.helpers.ledger import buyer_of
from tests.unit.helpers.world import (
    OTHER_BUYER,
    PLACES,
    THIEF,
    Daemon,
    Shop,
    World,
    assert_delivered_once,
)


async def test_delivers_shared_and_stock_items(world: World, built: BuiltStore) -> None:
    first, second = world.buy(built, "coupon", 7), world.buy(built, "code", 1)
    await world.ticks()
    assert_delivered_once(world, first, second)
    for daemon in world.deliverers:
        assert {sale.state for sale in daemon.sales.in_state("new", "done", "serving")} == {"done"}


async def test_waits_for_the_confirmations(world: World, built: BuiltStore) -> None:
    await world.ticks(blocks=2)
    world.buy(built, "coupon")
    await world.ticks(blocks=2)
    assert not world.daemon.outbox.live()
    await world.ticks(blocks=1)
    assert world.daemon.outbox.live()


async def test_one_block_with_a_hundred_purchases(world: World, built: BuiltStore) -> None:
    sold = [world.buy(built, "coupon", copy) for copy in range(100)]
    await world.ticks(blocks=8)
    assert_delivered_once(world, *sold)
    # In batches of 24: five transactions, not a hundred.
    assert len(world.chain.mined(world.daemon.address)) == 5


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("hit", [1, 2])
async def test_survives_a_kill(world: World, built: BuiltStore, place: str, hit: int) -> None:
    """F1 to F8: killed at each place, restarted from the ledger, nothing is lost or doubled."""
    daemon = world.daemon
    daemon.checkpoints.kill_at = (place, hit)
    killed = False
    sold = []
    if place == "F3":
        # A second version of the store, so that there is a second document to fetch.
        await world.shop.add("another")
        built = await world.shop.publish()
    for copy in range(3):
        sold.append(world.buy(built, "code", copy))
        for _ in range(8):
            world.chain.mine()
            for one in world.deliverers:
                killed |= await one.tick_to_death()
    assert killed
    assert_delivered_once(world, *sold)


async def test_resends_the_same_bytes_after_a_kill(world: World, built: BuiltStore) -> None:
    daemon = world.daemon
    daemon.checkpoints.kill_at = ("F6", 1)
    world.buy(built, "coupon")
    world.chain.mine(3)
    assert await daemon.tick_to_death()
    [slot] = daemon.outbox.live()
    assert not world.chain.pool
    await daemon.tick()
    assert list(world.chain.pool) == [slot.last.hash]


async def test_seals_a_part_to_one_buyer_only(world: World, built: BuiltStore) -> None:
    """A second purchase of a copy, which only a lying node could show, is refused."""
    world.buy(built, "code", 1)
    await world.ticks()
    again = world.buy(built, "code", 1, buyer=OTHER_BUYER)
    await world.ticks()
    for daemon in world.deliverers:
        [note] = daemon.journal("purchase_refused")
        assert note["reason"] == "sealed-to-another"
    assert len(world.chain.delivered(again)) == 3


async def test_the_database_refuses_a_second_buyer(world: World, built: BuiltStore) -> None:
    """Should the check above it ever be forgotten."""
    world.buy(built, "code", 1)
    world.buy(built, "code", 2)
    await world.ticks()
    first, second = world.daemon.sales.in_state("done")
    place = (first.seller, first.purchase.terms.item_id, 1)
    free = next(i for i in range(3) if buyer_of(world.daemon.ledger, *place, i) is None)
    world.daemon.sales.keep_sealed([(*place, free, first.id, b"k" * 32, b"f" * 80)])
    with pytest.raises(sqlite3.IntegrityError):
        world.daemon.sales.keep_sealed([(*place, free, second.id, b"k" * 32, b"f" * 80)])


async def test_serves_the_next_buyer_after_an_orphaned_purchase(
    world: World, built: BuiltStore
) -> None:
    """F15: a reorganisation gives the copy to another buyer."""
    sold = world.buy(built, "code", 1)
    await world.ticks()
    world.chain.reorganise(8)
    world.chain.pool.clear()
    await world.ticks(blocks=2)
    built_again = await world.shop.publish()
    world.chain.mine()
    world.buy(built_again, "code", 1, buyer=OTHER_BUYER)
    await world.ticks(blocks=10)
    logs = world.chain.delivered(sold)
    assert len(logs) == 3
    for log in logs:
        open_fragment(log.fragment, world.secrets[sold][log.index])


async def test_refuses_terms_that_are_not_the_documents(world: World, built: BuiltStore) -> None:
    """Underpaid: the event names a price that the document in force never had."""
    terms = replace(built.terms["coupon"], price=1)
    sold = world.buy(built, "coupon", terms=terms)
    await world.ticks()
    assert not world.chain.delivered(sold)
    assert refusals(world.daemon) == ["terms-differ"]


async def test_refuses_a_document_that_was_not_in_force(world: World, built: BuiltStore) -> None:
    sold = world.buy(built, "coupon", store_digest=keccak(b"another document"))
    await world.ticks()
    assert not world.chain.delivered(sold)
    assert refusals(world.daemon) == ["store-not-in-force"]


async def test_serves_the_version_at_the_purchase(world: World, built: BuiltStore) -> None:
    """F71: the store changes right after the purchase, in the same block even."""
    sold = world.buy(built, "coupon")
    await world.shop.add("coupon", b"another good", price=5000)
    await world.shop.publish()
    await world.ticks()
    assert_delivered_once(world, sold)


async def test_waits_for_a_document_and_then_serves(world: World, built: BuiltStore) -> None:
    """A store that cannot be read yet delays its own sales, and nobody else's."""
    thief = Shop(world, THIEF, world.folder / "slow")
    await thief.add("slow")
    slow = await thief.publish()
    hidden = world.blocks.blocks.pop(Cid("dag-json", slow.digest))
    world.chain.mine()
    late, soon = world.buy(slow, "slow"), world.buy(built, "coupon")
    await world.ticks()
    assert_delivered_once(world, soon)
    assert not world.chain.delivered(late)
    assert world.daemon.sales.in_state("waiting")
    world.blocks.blocks[Cid("dag-json", slow.digest)] = hidden
    await world.ticks()
    assert_delivered_once(world, soon, late)


@pytest.mark.parametrize("terms", ["[", "[7]", '["aa"]', '{"a": 1}'])
async def test_a_sale_that_cannot_be_read_stops_no_other(
    world: World, built: BuiltStore, terms: str
) -> None:
    """Its row is damaged, say: it is refused by name, and those on the same page are served."""
    name = Cid("dag-json", built.digest)
    hidden = world.blocks.blocks.pop(name)
    bad, good = world.buy(built, "coupon"), world.buy(built, "code", 1)
    await world.ticks(blocks=4)
    assert len(world.daemon.sales.in_state("waiting")) == 2
    for daemon in world.deliverers:
        daemon.ledger.db.execute("UPDATE purchases SET terms = ? WHERE copy_id = ?", (terms, bad))
    world.blocks.blocks[name] = hidden
    await world.ticks()
    assert_delivered_once(world, good)
    assert not world.chain.delivered(bad)
    for daemon in world.deliverers:
        assert refusals(daemon) == ["internal-error"]
        assert daemon.events("purchase_refused")[0]["sale"] == bad
        # Once: it is not looked at with every block.
        assert len(daemon.events("internal_error")) == 1


async def test_refuses_ciphertext_copied_with_its_page_key(world: World, built: BuiltStore) -> None:
    """The thief's page opens, but has no tag of its domain: refused aloud, and not served."""
    await world.ticks(blocks=3)
    stolen = await steal(world, built, "copied")
    sold = world.buy(stolen, "coupon")
    await world.ticks()
    assert not world.chain.delivered(sold)
    assert refusals(world.daemon) == ["copied-ciphertext"]
    assert world.daemon.events("part_refused")[0]["seller"] == THIEF


async def test_refuses_tags_made_over_stolen_ciphertext(world: World, built: BuiltStore) -> None:
    """Whoever knows K makes tags for any domain; the one inside the plaintext gives that away."""
    stolen = await steal(world, built, "tagged")
    sold = world.buy(stolen, "coupon")
    await world.ticks()
    assert not world.chain.delivered(sold)
    assert refusals(world.daemon) == ["domain-mismatch"]


async def test_refuses_at_the_sale_a_part_of_another_domain(
    world: World, built: BuiltStore
) -> None:
    """The check at the purchase itself, had the scan been fooled."""
    await world.ticks(blocks=4)
    for daemon in world.deliverers:
        daemon.ledger.db.execute(
            "UPDATE parts SET sealed = (SELECT sealed FROM parts AS other "
            "WHERE other.item_id = parts.item_id AND other.copy = 2) WHERE copy = 1"
        )
    sold = world.buy(built, "code", 1)
    await world.ticks()
    assert not world.chain.delivered(sold)
    assert refusals(world.daemon) == ["domain-mismatch"]


async def test_refuses_at_the_sale_a_leaf_that_the_terms_do_not_have(
    world: World, built: BuiltStore
) -> None:
    await world.ticks(blocks=4)
    for daemon in world.deliverers:
        daemon.ledger.db.execute("UPDATE parts SET proof = x'' WHERE copy = 1")
    sold = world.buy(built, "code", 1)
    await world.ticks()
    assert not world.chain.delivered(sold)
    assert refusals(world.daemon) == ["leaf-not-in-item"]


async def test_refuses_a_bad_buyer_key(world: World, built: BuiltStore) -> None:
    """F75: the contract refuses such keys; the daemon does not lean on that."""
    sold = world.buy(built, "coupon", keys=(bytes(32),) * 3)
    await world.ticks()
    assert not world.chain.delivered(sold)
    assert refusals(world.daemon) == ["bad-buyer-key"]


async def test_refuses_a_fee_below_the_operators_minimum(world: World, built: BuiltStore) -> None:
    daemon = world.daemon
    daemon.min_fee = 11
    daemon.restart()
    sold = world.buy(built, "coupon")
    await world.ticks()
    assert len(world.chain.delivered(sold)) == 2
    assert refusals(daemon) == ["fee-too-low"]


async def test_delivers_nothing_without_stake(world: World, built: BuiltStore) -> None:
    daemon = world.daemon
    world.chain.eligible.discard(daemon.address)
    sold = world.buy(built, "coupon")
    await world.ticks()
    assert daemon.events("not_eligible")
    assert not daemon.outbox.live()
    assert not daemon.ledger.db.execute("SELECT 1 FROM seals").fetchall()
    world.chain.eligible.add(daemon.address)
    await world.ticks(blocks=25)
    assert_delivered_once(world, sold)


async def test_tells_that_parts_are_sealed_to_a_key_it_lacks(world: World) -> None:
    """A wrong key file must not look like a market without sales."""
    daemon, chain = world.daemon, world.chain
    me, other = daemon.address, KeyPair.generate()

    def announced(pair: KeyPair, operator: Address = me) -> tuple[bytes, bytes]:
        return pair.announced, pair.prove_possession(31337, chain.address, operator)

    ours = announced(daemon.ring.current)
    chain.queued.append(DelivererRegistered(me, me, *ours, Wei(1), NOWHERE))
    chain.queued.append(DelivererKeyRotated(OTHER_BUYER, *announced(other, OTHER_BUYER), NOWHERE))
    # Without possession it is nobody's announcement.
    chain.queued.append(DelivererKeyRotated(me, other.announced, bytes(64), NOWHERE))
    await world.ticks(daemon, blocks=25)
    assert not daemon.events("announced_key_missing")
    chain.queued.append(DelivererKeyRotated(me, *announced(other), NOWHERE))
    await world.ticks(daemon, blocks=50)
    told = daemon.events("announced_key_missing")
    assert [line["announced"] for line in told] == ["0x" + other.public.hex()] * len(told)
    assert 2 <= len(told) <= 3
    # What is too old for a reorganisation is kept, and not asked for again.
    chain.mine(300)
    await world.ticks(daemon, blocks=25)
    assert daemon.ledger.announced()[0] == other.public
    asked: list[tuple[int, int]] = []
    whole = chain.announced_key

    async def watched(operator: Address, first: int, last: int) -> tuple[bytes | None, int]:
        asked.append((first, last))
        return await whole(operator, first, min(last, first + 299))

    chain.announced_key = watched  # type: ignore[method-assign]
    daemon.restart()
    await world.ticks(daemon, blocks=25)
    told = daemon.events("announced_key_missing")
    assert asked
    assert min(first for first, _ in asked) > 25
    chain.queued.append(DelivererKeyRotated(me, *ours, NOWHERE))
    await world.ticks(daemon, blocks=25)
    assert len(daemon.events("announced_key_missing")) == len(told)


async def test_a_key_that_cannot_be_looked_up_holds_up_no_sale(
    world: World, built: BuiltStore
) -> None:
    daemon = world.daemon

    async def failing(operator: Address, first: int, last: int) -> tuple[bytes | None, int]:
        raise RpcError("no logs today")

    world.chain.announced_key = failing  # type: ignore[method-assign]
    sold = world.buy(built, "coupon")
    await world.ticks(blocks=25)
    assert_delivered_once(world, sold)
    assert 1 <= len(daemon.events("key_check_failed")) <= 3


async def test_does_nothing_after_the_deadline(world: World, built: BuiltStore) -> None:
    sold = world.buy(built, "coupon")
    world.chain.mine()
    world.chain.pass_time(world.daemon.delivery_seconds - 1)
    world.chain.mine(3)
    await world.ticks(world.daemon)
    assert not world.chain.delivered(sold)
    [note] = world.daemon.journal("purchase_late")
    assert note["reason"] == "deadline-passed"


async def test_the_clock_is_the_contracts(world: World, built: BuiltStore) -> None:
    """On some rollups it counts other blocks than the node, and sales bear those."""
    world.chain.block_offset = 9_000_000
    sold = world.buy(built, "coupon")
    await world.ticks()
    assert_delivered_once(world, sold)
    [sale] = world.daemon.sales.in_state("done")
    assert sale.purchase_block == sale.block + 9_000_000
    assert sale.last_time == sale.purchase_time + world.daemon.delivery_seconds
    [line] = world.daemon.events("serving")
    assert 1100 < line["seconds_left"] < 1200


async def test_a_fee_over_a_tenth_of_the_stake(world: World, built: BuiltStore) -> None:
    """The contract would not take it; with more stake, the sale is looked at again."""
    daemon, fee = world.daemon, built.terms["coupon"].fee
    world.chain.stake = Wei(10 * fee - 1)
    sold = world.buy(built, "coupon")
    await world.ticks()
    assert not world.chain.delivered(sold)
    [note] = daemon.journal("purchase_refused")
    assert note["reason"] == "fee-over-stake"
    world.chain.stake = Wei(10 * fee)
    await world.ticks(blocks=30)
    assert_delivered_once(world, sold)


async def test_a_punished_part_is_the_sellers_to_deliver(world: World, built: BuiltStore) -> None:
    """A proof by a list that was never mined: the part is not there, and not ours any more."""
    daemon = world.daemon
    sold = world.buy(built, "coupon")
    for index in range(3):
        by = world.deliverers[index].address
        proof = JunkProved(sold, by, index, b"f" * 32, Wei(1), Wei(0), False, NOWHERE)
        world.chain.queued.append(proof)
    await world.ticks(daemon)
    [sale] = daemon.sales.in_state("done")
    assert sale.reason == "already there"
    assert not daemon.outbox.of_purchase(sale.id)


async def test_a_broken_document_is_refused_and_the_daemon_lives(
    world: World, built: BuiltStore
) -> None:
    junk = await world.blocks.put("dag-json", b'{"version": 1e999}')
    world.chain.publish(THIEF, junk.digest, keccak(b"root"))
    sold = world.buy(built, "coupon")
    await world.ticks()
    assert_delivered_once(world, sold)
    [note] = world.daemon.journal("store_refused")
    assert note["seller"] == THIEF


async def test_pins_the_stores_that_it_serves(world: World, built: BuiltStore) -> None:
    other = Shop(world, THIEF, world.folder / "other")
    known, world.deliverers = world.deliverers, world.deliverers[1:]
    await other.add("not for the first", parts=2, threshold=2)
    world.deliverers = known
    foreign = await other.publish()
    world.blocks.pinned.clear()
    await world.ticks(world.daemon)
    assert Cid("dag-json", built.digest) in world.blocks.pinned
    assert Cid("dag-json", foreign.digest) not in world.blocks.pinned
    assert world.daemon.documents.pinned_bytes() > 0


async def test_rebuilds_from_the_chain(world: World, built: BuiltStore) -> None:
    """F48: the ledger is gone; what is delivered already is seen on the chain and left alone."""
    sold = world.buy(built, "coupon")
    await world.ticks()
    daemon = world.daemon
    daemon.ledger.close()
    for file in world.folder.glob("deliverer0.sqlite*"):
        file.unlink()
    daemon.build()
    await world.ticks()
    assert_delivered_once(world, sold)
    assert not daemon.outbox.live()
    [sale] = daemon.sales.in_state("done")
    assert sale.reason == "already there"


def refusals(daemon: Daemon) -> list[str]:
    logged = [line["reason"] for line in daemon.events("purchase_refused")]
    assert logged == [note["reason"] for note in daemon.journal("purchase_refused")]
    return logged


async def steal(world: World, built: BuiltStore, how: str) -> BuiltStore:
    """A thief's store for next to nothing, over another store's parts, leaves and page key.

    ``how``: "copied" as they are; "tagged" with tags for the thief's own domain.
    """
    page = await read_document(world.blocks, built.digest)
    [item] = [item for item in page["items"] if item["itemId"] == "coupon"]
    item |= {"price": "3", "commission": "3"}
    if how == "tagged":
        mine = domain(31337, world.chain.address, THIEF, item_id("coupon"), False, 0)
        sealing_key = bytes.fromhex(page["sealingKey"][2:])
        item["encryptedParts"] = [
            "0x" + part_tag(shared_key(d.ring.current.secret, sealing_key), mine).hex() + text[34:]
            for d, text in zip(world.deliverers, in_order(world, page, item), strict=True)
        ]
    document = {
        "version": 2,
        "storeName": "Bargains",
        "chainId": 31337,
        "market": world.chain.address,
        "seller": THIEF,
        "sealingKey": page["sealingKey"],
        "items": [item],
    }
    cid = await world.blocks.put("dag-json", dag_json.dumps(document))
    terms = replace(built.terms["coupon"], price=3, commission=Wei(3))
    root = MerkleTree([terms_leaf(terms)]).root
    world.chain.publish(THIEF, cid.digest, root)
    world.chain.mine(3)
    return replace(built, seller=THIEF, digest=cid.digest, root=root, terms={"coupon": terms})


def in_order(world: World, page: dict[str, Any], item: dict[str, Any]) -> list[str]:
    """The item's sealed parts, one per deliverer."""
    sealing_key = bytes.fromhex(page["sealingKey"][2:])
    theirs = domain(31337, world.chain.address, world.shop.seller, item_id("coupon"), False, 0)
    tags = [
        "0x" + part_tag(shared_key(d.ring.current.secret, sealing_key), theirs).hex()
        for d in world.deliverers
    ]
    return [next(text for text in item["encryptedParts"] if text.startswith(tag)) for tag in tags]


async def test_a_damaged_ledger_stops_the_daemon_and_refuses_no_sale(
    world: World, built: BuiltStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def malformed(*_: Any) -> Any:
        raise sqlite3.DatabaseError("database disk image is malformed")

    await world.ticks(blocks=3)
    world.buy(built, "coupon")
    monkeypatch.setattr(Versions, "_span", malformed)
    with pytest.raises(sqlite3.DatabaseError):
        await world.ticks(world.daemon, blocks=4)
    assert not world.daemon.sales.in_state("refused")
