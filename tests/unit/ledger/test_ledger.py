"""The ledger's transactions, and what a reorganisation or an old file does to it."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from dam.ledger.ledger import Ledger
from dam.roles.seller.store_builder import BuiltStore
from tests.unit.helpers.ledger import BINDING, journal_of
from tests.unit.helpers.world import World


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
            "INSERT INTO purchases SELECT 99, 1, x'99', 0, tx_hash, copy_id, seller, buyer, "
            "store_digest, copy, purchase_block, purchase_time, terms, keys, last_time, 'done', "
            "'', 1 "
            "FROM purchases WHERE id = ?",
            (first.id,),
        )
        db.execute(
            "INSERT INTO nonce_slots (id, nonce, state, mined_block) VALUES (98, 98, 'mined', 9)"
        )
        db.execute("INSERT INTO nonce_slots (id, nonce, state) VALUES (99, 99, 'live')")
        # Of the lost purchase, in a transaction that was mined and is out again now.
        db.execute("UPDATE jobs SET state = 'cancelled', purchase = 99, nonce_slot = 98")
        db.execute(
            "INSERT INTO jobs (id, purchase, copy_id, kind, part_index, state, first_block, "
            "first_time, last_time, nonce_slot) "
            "SELECT 99, ?, copy_id, kind, part_index, ?, 0, 0, last_time, ? FROM jobs",
            (first.id, state, 99 if state == "live" else None),
        )
    ancestor = next(block for block in daemon.ledger.known_blocks() if block.number < 9)
    daemon.ledger.rollback(ancestor)
    states = dict(daemon.ledger.db.execute("SELECT id, state FROM jobs").fetchall())
    [lost] = set(states) - {99}
    assert states == {lost: "cancelled" if state == "live" else "live", 99: kept}


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
