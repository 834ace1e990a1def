"""Nonces: gaps below ours, and counts that a node gets wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dam.crypto.hashing import keccak
from dam.ethereum.node_errors import RpcRejectedError, unavailable
from dam.ledger.outbox import Attempt
from dam.roles.seller.store_builder import BuiltStore
from dam.sending.transactions import Fees
from dam.testing.memory import MemoryChain
from dam.types import FALLBACK_BLOCKS
from tests.unit.helpers.transactions import all_transactions, no_receipt, no_transactions, sent_one
from tests.unit.helpers.world import Daemon, Killed, World, assert_delivered_once


def move_to(daemon: Daemon, first: Attempt, nonce: int) -> None:
    """As if the only transaction that is out had been signed for this nonce."""
    daemon.world.chain.pool.clear()
    raw = daemon.signer.sign(
        {
            "type": 2,
            "chainId": 31337,
            "nonce": nonce,
            "to": first.to,
            "data": "0x" + first.data.hex(),
            "value": 0,
            "gas": first.gas,
            "maxFeePerGas": first.max_fee,
            "maxPriorityFeePerGas": first.tip,
        }
    )
    with daemon.ledger.transaction() as db:
        db.execute("UPDATE nonce_slots SET nonce = ?", (nonce,))
        db.execute("UPDATE attempts SET raw = ?, hash = ?", (raw, keccak(raw)))


def miscount(chain: MemoryChain, more: int, times: int = 1) -> None:
    """Has the node count so many transactions too many when it is asked at "latest" next."""
    count = chain._eth_getTransactionCount
    left = {"latest": times, "pending": times}

    def liar(address: Any, tag: str) -> str:
        found = int(count(address, tag), 16)
        if left.get(tag, 0) > 0:
            left[tag] -= 1
            return hex(found + more)
        return hex(found)

    chain._eth_getTransactionCount = liar  # type: ignore[method-assign]


async def test_fills_a_gap_below_its_own_nonces(world: World, built: BuiltStore) -> None:
    """F35: a nonce below ours is free again, and would hold up everything above it."""
    daemon, first, sold = await sent_one(world, built)
    move_to(daemon, first, 1)
    world.chain.accepts = all_transactions
    await world.ticks(daemon, blocks=12)
    assert_delivered_once(world, sold, by=[daemon])
    assert len(world.chain.mined(daemon.address)) == 2
    assert daemon.events("nonce_gap")


async def test_fills_all_of_a_gap_at_once(world: World, built: BuiltStore) -> None:
    daemon, first, sold = await sent_one(world, built)
    move_to(daemon, first, 20)
    world.chain.accepts = all_transactions
    await world.ticks(daemon, blocks=10)
    assert_delivered_once(world, sold, by=[daemon])
    assert [nonce for nonce, _ in world.chain.mined(daemon.address)] == list(range(21))
    assert [line["count"] for line in daemon.events("nonce_gap")] == [20]


async def test_sees_a_gap_above_what_is_not_final(tmp_path: Path) -> None:
    """A nonce of ours that is mined, but not deep enough yet, does not hide it."""
    world = World(tmp_path, confirmations=12)
    await world.shop.add("coupon")
    built = await world.shop.publish()
    daemon = world.daemon
    world.chain.accepts = no_transactions
    sold = world.buy(built, "coupon")
    await world.ticks(daemon, blocks=14)
    [slot] = daemon.outbox.live()
    move_to(daemon, slot.last, 3)
    with daemon.ledger.transaction():
        fees = Fees(slot.last.max_fee, slot.last.tip, 1)
        lowest = daemon.outbox.open_slot(0)
        daemon.sender._account.sign_and_save(lowest, 0, 1, daemon.address, b"", 21_000, fees)
    world.chain.accepts = all_transactions
    await world.ticks(daemon, blocks=10)
    assert [nonce for nonce, _ in world.chain.mined(daemon.address)] == [0, 1, 2, 3]
    assert_delivered_once(world, sold, by=[daemon])
    daemon.ledger.close()


async def test_does_not_pay_for_thousands_of_empty_transactions(
    world: World, built: BuiltStore
) -> None:
    """What was signed far above the truth is signed again, at a nonce that is next."""
    daemon, first, sold = await sent_one(world, built)
    move_to(daemon, first, 5000)
    world.chain.accepts = all_transactions
    await world.ticks(daemon, blocks=14)
    assert_delivered_once(world, sold, by=[daemon])
    assert len(world.chain.mined(daemon.address)) == 1
    assert daemon.events("nonces_too_high")
    # And what was said then is no measure of what is said next.
    assert daemon.outbox.highest_nonce() == 0
    again = world.buy(built, "code", 1)
    await world.ticks(daemon, blocks=2)
    miscount(world.chain, 30)
    await world.ticks(daemon, blocks=10)
    assert_delivered_once(world, again, by=[daemon])
    assert len(world.chain.mined(daemon.address)) == 2


@pytest.mark.parametrize("place", ["F6", "save"])
async def test_a_kill_while_a_gap_is_filled(world: World, built: BuiltStore, place: str) -> None:
    """Nonce and transaction are saved together: no restart finds one without the other."""
    daemon, first, sold = await sent_one(world, built)
    move_to(daemon, first, 2)
    if place == "F6":
        daemon.checkpoints.kill_at = ("F6", daemon.checkpoints.hits["F6"] + 1)
    else:
        account = daemon.sender._account

        def die(*_: Any) -> Any:
            raise Killed(place)

        account.sign_and_save = die  # type: ignore[method-assign]
    died = []
    for _ in range(8):
        world.chain.mine()
        died.append(await daemon.tick_to_death())
    assert any(died)
    world.chain.accepts = all_transactions
    await world.ticks(daemon, blocks=12)
    assert_delivered_once(world, sold, by=[daemon])
    assert not daemon.outbox.live()


@pytest.mark.parametrize("more", [2, 30, 63, 5000])
@pytest.mark.parametrize("fresh", [False, True])
async def test_a_count_too_high_is_asked_for_again(
    world: World, built: BuiltStore, more: int, fresh: bool
) -> None:
    """F35: one wrong answer costs neither gas nor blocks."""
    daemon = world.daemon
    if not fresh:
        world.buy(built, "code", 0)
        await world.ticks(daemon, blocks=6)
    before = len(world.chain.mined(daemon.address))
    sold = world.buy(built, "coupon")
    await world.ticks(daemon, blocks=2)
    miscount(world.chain, more)
    await world.ticks(daemon, blocks=10)
    assert_delivered_once(world, sold, by=[daemon])
    assert len(world.chain.mined(daemon.address)) == before + 1
    assert not daemon.events("nonce_gap")


async def test_a_count_too_high_for_long_does_not_lose_the_part(
    world: World, built: BuiltStore
) -> None:
    daemon = world.daemon
    world.buy(built, "code", 0)
    await world.ticks(daemon, blocks=6)
    sold = world.buy(built, "coupon")
    bought = world.chain.height + 1
    miscount(world.chain, 5000, times=20)
    await world.ticks(daemon, blocks=40)
    assert_delivered_once(world, sold, by=[daemon])
    [block] = [log.at.block.number for log in world.chain.delivered(sold)]
    assert block <= bought + FALLBACK_BLOCKS


async def test_what_was_given_up_is_taken_up_again(world: World, built: BuiltStore) -> None:
    """A node that counted too few for a while: the transaction is in the pool, at its old price."""
    daemon, chain = world.daemon, world.chain
    count = chain._eth_getTransactionCount
    low = [False]

    def of_an_old_account(address: Any, tag: str) -> str:
        if low[0]:
            return "0x0"
        found = int(count(address, "latest" if tag == "pending" else tag), 16) + 100
        while tag == "pending" and any(tx.nonce == found for tx in chain.pool.values()):
            found += 1
        return hex(found)

    chain._eth_getTransactionCount = of_an_old_account  # type: ignore[method-assign]
    chain.accepts = no_transactions
    sold = world.buy(built, "coupon")
    await world.ticks(daemon, blocks=3)
    low[0] = True
    await world.ticks(daemon, blocks=6)
    assert daemon.events("nonces_too_high")
    low[0] = False
    chain.base_fee *= 20
    chain.accepts = all_transactions
    await world.ticks(daemon, blocks=20)
    assert chain.delivered(sold)


async def test_a_node_that_counts_too_few_opens_no_gap(world: World, built: BuiltStore) -> None:
    """What is settled is used up, whatever a node says."""
    daemon, chain = world.daemon, world.chain
    world.buy(built, "code", 0)
    await world.ticks(daemon, blocks=8)
    chain.accepts = no_transactions
    world.buy(built, "coupon")
    await world.ticks(daemon, blocks=3)
    chain._eth_getTransactionCount = lambda *_: "0x0"  # type: ignore[method-assign]
    await world.ticks(daemon, blocks=10)
    assert not daemon.events("nonce_gap")
    assert [slot.nonce for slot in daemon.outbox.live()] == [1]


async def test_our_own_empty_transaction_is_not_a_strangers(
    world: World, built: BuiltStore
) -> None:
    """Receipts and old state are gone; what used the nonce up was in the place of a delivery."""
    daemon, _, _ = await sent_one(world, built)
    world.chain.reorganise(4)
    world.chain.queued = []
    await world.ticks(daemon, blocks=1)
    [slot] = daemon.outbox.live()
    assert slot.last.data == b""
    # A rollup charges for its data, too: one of 21,000 would never free the nonce.
    assert slot.last.gas >= 2 * 21_000
    world.chain._eth_getTransactionReceipt = no_receipt  # type: ignore[method-assign]
    count = world.chain._eth_getTransactionCount

    def young(address: Any, tag: str) -> str:
        if tag.startswith("0x") and int(tag, 16) < world.chain.height - 4:
            lost = RpcRejectedError("eth_getTransactionCount", -32000, "missing trie node")
            raise unavailable(lost, "node")
        return count(address, tag)

    world.chain._eth_getTransactionCount = young  # type: ignore[method-assign]
    world.chain.accepts = all_transactions
    await world.ticks(daemon, blocks=10)
    assert daemon.events("receipt_missing")
    assert not daemon.events("foreign_transaction")
    assert not daemon.outbox.live()
