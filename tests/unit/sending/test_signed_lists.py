"""Signed lists: of what is persisted, by the operator's key, whoever sends; many closed at once."""

from __future__ import annotations

from typing import Any

import pytest

from dam.crypto.hashing import domain_separator, fragments_digest
from dam.ethereum.compact_signature import recover
from dam.ledger.outbox import NO_INDEX, NewJob
from dam.market.abi import market_abi
from dam.market.calldata import entry_of
from dam.roles.seller.store_builder import BuiltStore
from dam.sending.sender import Sender
from dam.testing.rules import NOWHERE
from dam.types import FragmentsSigned, SaleClosed, Status, Wei
from tests.unit.helpers.transactions import all_transactions, no_transactions, sent_one
from tests.unit.helpers.world import Daemon, World, account, assert_delivered_once

CLOSE_MANY = market_abi().functions["closeMany"].id


def signed_lists(world: World) -> list[FragmentsSigned]:
    """What the chain logged of signed lists, in order."""
    return [log for log in world.chain._logs() if isinstance(log, FragmentsSigned)]


def relay(daemon: Daemon, name: str) -> None:
    """Another account sends for the daemon from now on."""
    daemon.sender = Sender(
        daemon.world.chain,
        daemon.world.chain,
        account(name),
        daemon.ledger,
        operator=daemon.signer,
        log=daemon.sender._account.log,
        policy=daemon.policy,
        checkpoint=daemon.checkpoints,
    )
    assert daemon.service is not None
    daemon.service._sender = daemon.sender


class TestLists:
    async def test_what_is_signed_is_what_the_outbox_keeps(
        self, world: World, built: BuiltStore
    ) -> None:
        daemon = world.daemon
        world.chain.accepts = no_transactions
        sold = [world.buy(built, "coupon", copy) for copy in range(5)]
        await world.ticks(daemon, blocks=3)
        [slot] = daemon.outbox.live()
        jobs = daemon.outbox.of_slot(slot.id)
        entries = tuple(entry_of(job.body) for job in jobs)
        world.chain.accepts = all_transactions
        await world.ticks(daemon)
        [signed] = signed_lists(world)
        assert (signed.signer, signed.entries) == (daemon.address, entries)
        digest = fragments_digest(domain_separator(31337, world.chain.address), entries)
        assert recover(digest, signed) == daemon.address  # type: ignore[arg-type]
        assert_delivered_once(world, *sold, by=[daemon])

    async def test_a_replacement_sends_the_very_list(self, world: World, built: BuiltStore) -> None:
        daemon, first, _ = await sent_one(world, built)
        await world.ticks(daemon, blocks=8)
        [slot] = daemon.outbox.live()
        assert len(slot.attempts) > 1
        assert {attempt.data for attempt in slot.attempts} == {first.data}

    async def test_a_part_in_several_lists_is_taken_once(
        self, world: World, built: BuiltStore
    ) -> None:
        """Somebody mines an earlier list of ours: the later one does without its part."""
        daemon, first, sold = await sent_one(world, built)
        [slot] = daemon.outbox.live()
        with daemon.ledger.transaction():
            daemon.outbox.close_slot(slot, "abandoned")
        world.chain.pool.clear()
        other = world.buy(built, "coupon", 1)
        await world.ticks(daemon, blocks=3)
        stranger = account("stranger")
        raw = stranger.sign({
            "type": 2, "chainId": 31337, "nonce": 0, "to": first.to, "data": first.data,
            "value": 0, "gas": first.gas, "maxFeePerGas": 10**11, "maxPriorityFeePerGas": 10**10,
        })  # fmt: skip
        await world.chain.call("eth_sendRawTransaction", "0x" + raw.hex())
        world.chain.accepts = lambda tx: tx.sender == stranger.address
        world.chain.mine()
        world.chain.accepts = all_transactions
        await world.ticks(daemon, blocks=6)
        assert [len(world.chain.delivered(copy)) for copy in (sold, other)] == [1, 1]
        assert {log.by for log in world.chain.delivered(sold)} == {daemon.address}
        assert {job.state for job in daemon.outbox.of_purchase(1)} == {"done"}
        assert not daemon.outbox.live()


class TestRelay:
    async def test_another_account_sends_and_pays(self, world: World, built: BuiltStore) -> None:
        """The operator's key signs the lists alone; the nonces are the sender's."""
        daemon, gas = world.daemon, account("gas")
        relay(daemon, "gas")
        world.chain.poor.add(daemon.address)
        sold = [world.buy(built, "coupon", copy) for copy in range(3)]
        await world.ticks(daemon)
        for copy in sold:
            [log] = world.chain.delivered(copy)
            assert log.by == daemon.address
        assert world.chain.mined(gas.address) == [(0, 1)]
        assert not world.chain.mined(daemon.address)
        assert [log.signer for log in signed_lists(world)] == [daemon.address]

    @pytest.mark.parametrize("mined", [False, True])
    async def test_a_changed_sender_begins_with_nonces_of_its_own(
        self, world: World, built: BuiltStore, mined: bool
    ) -> None:
        """What the other one sent is left to itself; its parts are sent again, and taken once."""
        daemon = world.daemon
        done = world.buy(built, "coupon", 1)
        await world.ticks(daemon)
        gas_paid = daemon.ledger.db.execute("SELECT sum(cost_wei) FROM nonce_slots").fetchone()[0]
        _, first, sold = await sent_one(world, built)
        relay(daemon, "gas")
        assert daemon.events("sender_changed")
        assert not daemon.outbox.live()
        world.chain.accepts = lambda tx: mined or tx.hash != first.hash
        await world.ticks(daemon, blocks=8)
        for copy in (done, sold):
            assert len(world.chain.delivered(copy)) == 1
        totals = dict(daemon.ledger.db.execute("SELECT name, value FROM archived_totals"))
        assert int(totals["gas_paid"]) == gas_paid
        # Started again with the same sender, nothing changes.
        events = len(daemon.events("sender_changed"))
        relay(daemon, "gas")
        assert len(daemon.events("sender_changed")) == events


class TestClosing:
    async def sold(self, world: World, built: BuiltStore, count: int) -> list[Any]:
        """Complete sales, with jobs to close them from ten seconds ago on."""
        copies = [world.buy(built, "coupon", copy) for copy in range(count)]
        await world.ticks(blocks=8)
        daemon = world.daemon
        now = (await world.chain.head()).timestamp
        with daemon.ledger.transaction():
            daemon.outbox.add(
                [
                    NewJob(sale.id, sale.copy_id, "close", NO_INDEX, b"", first_time=now + 3000)
                    for sale in daemon.sales.in_state("done")
                ]
            )
        return copies

    async def test_many_sales_are_closed_by_one_transaction(
        self, world: World, built: BuiltStore
    ) -> None:
        daemon = world.daemon
        copies = await self.sold(world, built, 60)
        await world.ticks(daemon, blocks=3)
        before = len(world.chain.mined(daemon.address))
        assert not daemon.outbox.live(), "not before their time"
        world.chain.pass_time(3000)
        await world.ticks(daemon, blocks=6)
        closed = [log for log in world.chain._logs() if isinstance(log, SaleClosed)]
        assert {log.copy_id for log in closed} == set(copies)
        assert {log.status for log in closed} == {Status.SETTLED}
        assert len(world.chain.mined(daemon.address)) - before == 2
        states = daemon.ledger.db.execute("SELECT DISTINCT state FROM jobs WHERE kind = 'close'")
        assert [row["state"] for row in states] == ["done"]

    async def test_one_that_cannot_be_closed_takes_no_other_along(
        self, world: World, built: BuiltStore
    ) -> None:
        """Somebody else closed it, in a block that is not confirmed yet."""
        daemon = world.daemon
        copies = await self.sold(world, built, 3)
        world.chain.pass_time(3000)
        world.chain.queued.append(
            SaleClosed(copies[1], Status.SETTLED, daemon.address, 0, Wei(0), NOWHERE)
        )
        await world.ticks(daemon, blocks=10)
        closed = [log for log in world.chain._logs() if isinstance(log, SaleClosed)]
        assert sorted(log.copy_id for log in closed) == sorted(copies)
        states = daemon.ledger.db.execute("SELECT DISTINCT state FROM jobs WHERE kind = 'close'")
        assert [row["state"] for row in states] == ["done"]
