"""Batches, profit and urgency on a market in memory, with real ledgers and signatures."""

from __future__ import annotations

from typing import Any

from dam.crypto.hashing import keccak
from dam.errors import ContractReverted
from dam.ethereum.node_errors import RpcRejectedError
from dam.roles.seller.store_builder import BuiltStore
from dam.sending.sender import SendPolicy
from dam.testing.memory import GWEI
from dam.types import FALLBACK_BLOCKS, CopyId
from tests.unit.helpers.transactions import all_transactions, no_transactions, parts_of, sent_one
from tests.unit.helpers.world import Daemon, World, assert_delivered_once


def batches(world: World) -> list[int]:
    return sorted(parts_of(tx.data) for tx in world.chain.pool.values())


def buy(world: World, built: BuiltStore, count: int, name: str = "coupon") -> list[CopyId]:
    return [world.buy(built, name, copy) for copy in range(count)]


def estimates(world: World, bad: Any) -> list[int]:
    """Has gas estimates fail where ``bad(data)``; lists the sizes that were asked about."""
    asked: list[int] = []
    estimate = world.chain._eth_estimateGas

    def picky(call: dict[str, Any], tag: str) -> str:
        data = bytes.fromhex(call["data"][2:])
        asked.append(parts_of(data))
        if bad(data):
            raise world.chain._rejected(
                "eth_estimateGas", ContractReverted("NotEligible", {"operator": call["from"]})
            )
        return estimate(call, tag)

    world.chain._eth_estimateGas = picky  # type: ignore[method-assign]
    return asked


class TestBatches:
    async def test_parts_of_one_block_share_a_transaction(
        self, world: World, built: BuiltStore
    ) -> None:
        world.chain.accepts = no_transactions
        sold = buy(world, built, 40)
        await world.ticks(world.daemon, blocks=3)
        assert batches(world) == [16, 24]
        world.chain.accepts = all_transactions
        await world.ticks(world.daemon)
        assert_delivered_once(world, *sold, by=[world.daemon])
        assert world.daemon.sender.stats.sent == 2

    async def test_purchases_of_other_depths_do_not(self, world: World, built: BuiltStore) -> None:
        daemon = world.daemon
        await daemon.tick()
        buy(world, built, 3)
        world.chain.mine(12)
        for copy in range(10, 13):
            world.buy(built, "coupon", copy)
        world.chain.accepts = no_transactions
        await world.ticks(daemon, blocks=3)
        assert batches(world) == [3, 3]

    async def test_one_bad_part_is_left_out(self, world: World, built: BuiltStore) -> None:
        """Each is simulated alone; what fails joins no batch, and holds up no other."""
        daemon = world.daemon
        sold = buy(world, built, 6)
        call = world.chain._eth_call

        def picky(request: dict[str, Any], tag: str) -> str:
            if sold[2].hex() in request["data"]:
                error = ContractReverted("WrongSale", {"copyId": sold[2]})
                raise world.chain._rejected("eth_call", error)
            return call(request, tag)

        world.chain._eth_call = picky  # type: ignore[method-assign]
        world.chain.accepts = no_transactions
        await world.ticks(daemon, blocks=3)
        assert batches(world) == [5]
        [tx] = world.chain.pool.values()
        assert sold[2] not in tx.data
        world.chain._eth_call = call  # type: ignore[method-assign]
        world.chain.accepts = all_transactions
        await world.ticks(daemon, blocks=12)
        assert_delivered_once(world, *sold, by=[daemon])

    async def test_a_batch_without_an_estimate_falls_apart_into_halves(
        self, world: World, built: BuiltStore
    ) -> None:
        sold = buy(world, built, 8)
        asked = estimates(world, lambda data: sold[5] in data)
        world.chain.accepts = no_transactions
        await world.ticks(world.daemon, blocks=3)
        assert asked == [8, 4, 4, 2, 2, 1, 1]
        assert batches(world) == [1, 2, 4]
        assert not any(sold[5] in tx.data for tx in world.chain.pool.values())

    async def test_the_part_at_fault_spoils_one_batch_alone(
        self, world: World, dear: BuiltStore
    ) -> None:
        """The others pay only together: half a batch is not sent, and the next one is whole."""
        world.chain.base_fee = 33 * GWEI // 10
        sold = buy(world, dear, 10, "dear")
        estimate = world.chain._eth_estimateGas

        def picky(call: dict[str, Any], tag: str) -> str:
            if sold[5].hex() in call["data"]:
                raise RpcRejectedError("eth_estimateGas", -32000, "execution timeout")
            return estimate(call, tag)

        world.chain._eth_estimateGas = picky  # type: ignore[method-assign]
        await world.ticks(world.daemon, blocks=6)
        good = [copy for copy in sold if copy != sold[5]]
        assert_delivered_once(world, *good, by=[world.daemon])
        assert len(world.chain.mined(world.daemon.address)) == 1

    async def test_the_part_at_fault_is_tried_again(self, world: World, built: BuiltStore) -> None:
        sold = buy(world, built, 4)
        trouble = [True]
        estimates(world, lambda data: trouble[0] and sold[1] in data)
        await world.ticks(world.daemon, blocks=4)
        trouble[0] = False
        await world.ticks(world.daemon)
        assert_delivered_once(world, *sold, by=[world.daemon])

    async def test_after_a_reverted_batch_its_parts_go_alone(
        self, world: World, built: BuiltStore
    ) -> None:
        daemon = world.daemon
        sold = buy(world, built, 5)
        execute = world.chain._execute

        def out_of_gas(sender: Any, to: Any, data: bytes, block: int) -> Any:
            mining = block == world.chain.height and world.chain.pool is not None
            if mining and parts_of(data) > 1 and mined[0]:
                raise ContractReverted("")
            return execute(sender, to, data, block)

        mined = [False]
        world.chain._execute = out_of_gas  # type: ignore[method-assign]
        await world.ticks(daemon, blocks=2)
        world.chain.accepts = no_transactions
        await world.ticks(daemon, blocks=1)
        assert batches(world) == [5]
        mined[0] = True
        world.chain.accepts = all_transactions
        world.chain.mine()
        mined[0] = False
        world.chain.accepts = no_transactions
        await world.ticks(daemon, blocks=4)
        assert batches(world) == [1] * 5
        assert daemon.sender.stats.reverted == 1
        world.chain.accepts = all_transactions
        await world.ticks(daemon)
        for copy_id in sold:
            assert len(world.chain.delivered(copy_id)) == 1

    async def test_an_orphaned_purchase_does_not_take_the_others_along(
        self, world: World, built: BuiltStore
    ) -> None:
        """F11: one of a batch is gone after the reorganisation; the contract skips it."""
        daemon = world.daemon
        await daemon.tick()
        first = world.buy(built, "coupon", 0)
        world.chain.mine()
        second = world.buy(built, "coupon", 1)
        world.chain.accepts = no_transactions
        world.chain.mine(2)
        await world.ticks(daemon, blocks=1)
        assert batches(world) == [2]
        lost = world.chain.reorganise(3)
        assert {log.copy_id for log in lost} == {second}  # type: ignore[union-attr]
        world.chain.accepts = all_transactions
        await world.ticks(daemon, blocks=8)
        assert len(world.chain.delivered(first)) == 1
        assert not world.chain.delivered(second)
        assert len(world.chain.mined(daemon.address)) == 1
        assert not daemon.outbox.live()

    async def test_no_more_than_the_pool_should_hold(self, world: World, built: BuiltStore) -> None:
        daemon = world.daemon
        daemon.policy = SendPolicy(batch=4, max_live=3, unprofitable="send")
        daemon.restart()
        sold = buy(world, built, 30)
        world.chain.accepts = no_transactions
        await world.ticks(daemon, blocks=3)
        assert batches(world) == [4, 4, 4]
        world.chain.accepts = all_transactions
        # What is mined makes room at once, though it is not settled for some blocks.
        await world.ticks(daemon, blocks=3)
        assert_delivered_once(world, *sold, by=[daemon])


class TestProfit:
    async def test_a_fee_that_pays_is_earned(self, world: World, dear: BuiltStore) -> None:
        sold = world.buy(dear, "dear")
        await world.ticks(world.daemon)
        assert_delivered_once(world, sold, by=[world.daemon])
        assert not world.daemon.journal("unprofitable")

    async def test_one_that_does_not_waits_for_cheaper_gas(
        self, world: World, dear: BuiltStore
    ) -> None:
        daemon = world.daemon
        world.chain.base_fee = 100 * GWEI
        sold = world.buy(dear, "dear")
        await world.ticks(daemon, blocks=20)
        assert not world.chain.pool
        assert not world.chain.mined(daemon.address)
        [note] = daemon.journal("unprofitable")
        assert note["sales"] == ["0x" + sold.hex()]
        world.chain.base_fee = GWEI
        await world.ticks(daemon)
        assert_delivered_once(world, sold, by=[daemon])

    async def test_its_last_block_is_told_with_the_reason(
        self, world: World, dear: BuiltStore
    ) -> None:
        daemon = world.daemon
        world.chain.base_fee = 100 * GWEI
        world.buy(dear, "dear")
        await world.ticks(daemon, blocks=3)
        world.chain.pass_time(1200)
        await world.ticks(daemon, blocks=3)
        [note] = daemon.journal("too_late")
        assert note["reason"] == "unprofitable"
        assert len(daemon.events("unprofitable")) == 1
        assert not world.chain.mined(daemon.address)

    async def test_the_operator_may_deliver_at_a_loss(self, world: World, dear: BuiltStore) -> None:
        daemon = world.daemon
        daemon.policy = SendPolicy(confirmations=2, unprofitable="send")
        daemon.restart()
        world.chain.base_fee = 100 * GWEI
        sold = world.buy(dear, "dear")
        await world.ticks(daemon)
        assert_delivered_once(world, sold, by=[daemon])

    async def test_what_pays_only_together_waits_for_company(
        self, world: World, dear: BuiltStore
    ) -> None:
        """At four gwei a part alone is at a loss, and one of ten is not."""
        daemon = world.daemon
        world.chain.base_fee = 3 * GWEI
        sold = [world.buy(dear, "dear", 0)]
        await world.ticks(daemon, blocks=4)
        assert not world.chain.mined(daemon.address)
        sold += [world.buy(dear, "dear", copy) for copy in range(1, 12)]
        await world.ticks(daemon, blocks=4)
        assert len(world.chain.mined(daemon.address)) == 1

    async def test_the_poor_do_not_crowd_out_the_rich(self, world: World, dear: BuiltStore) -> None:
        """However many parts wait for cheaper gas, one that pays goes out at once."""
        daemon = world.daemon
        daemon.policy = SendPolicy(confirmations=2, batch=2, max_live=1)
        daemon.restart()
        for copy in range(20):
            world.buy(dear, "cheap", copy)
        sold = world.buy(dear, "dear")
        await world.ticks(daemon, blocks=4)
        assert_delivered_once(world, sold, by=[daemon])


class TestHaste:
    async def test_the_closer_the_deadline_the_bolder_the_first_offer(
        self, world: World, built: BuiltStore
    ) -> None:
        daemon = world.daemon
        await daemon.tick()
        late = world.buy(built, "coupon", 0)
        world.chain.mine(96)
        world.chain.accepts = no_transactions
        await world.ticks(daemon, blocks=1)
        [hasty] = daemon.outbox.live()
        world.buy(built, "coupon", 1)
        await world.ticks(daemon, blocks=3)
        calm = daemon.outbox.live()[-1]
        assert calm.nonce == hasty.nonce + 1
        assert hasty.attempts[0].tip > 4 * calm.attempts[0].tip
        assert hasty.attempts[0].max_fee > calm.attempts[0].max_fee
        assert late in hasty.last.data

    async def test_three_blocks_left(self, world: World, built: BuiltStore) -> None:
        """F45: the daemon comes up late, and the first blocks do not take it."""
        daemon = world.daemon
        await daemon.tick()
        sold = buy(world, built, 20)
        world.chain.mine(FALLBACK_BLOCKS - 3)
        bought = world.chain.height - (FALLBACK_BLOCKS - 4)
        world.chain.accepts = no_transactions
        await world.ticks(daemon, blocks=1)
        before = {slot.nonce: slot.last.max_fee for slot in daemon.outbox.live()}
        assert len(before) == 20, "each alone: none waits for another"
        await world.ticks(daemon, blocks=1)
        after = {slot.nonce: slot.last.max_fee for slot in daemon.outbox.live()}
        assert after[0] > before[0], "replaced after a single block"
        world.chain.accepts = all_transactions
        world.chain.mine()
        for copy_id in sold:
            [log] = world.chain.delivered(copy_id)
            assert log.at.block.number <= bought + FALLBACK_BLOCKS

    async def test_all_that_cannot_pay_the_base_fee_is_repriced_at_once(
        self, world: World, built: BuiltStore
    ) -> None:
        """F37: not one after the other, each three blocks later."""
        daemon = world.daemon
        daemon.policy = SendPolicy(confirmations=2, batch=2, unprofitable="send")
        daemon.restart()
        sold = buy(world, built, 8)
        world.chain.accepts = no_transactions
        await world.ticks(daemon, blocks=3)
        world.chain.base_fee *= 10
        world.chain.accepts = all_transactions
        await world.ticks(daemon, blocks=4)
        assert_delivered_once(world, *sold, by=[daemon])
        assert daemon.sender.stats.replaced == 4


class TestTheLedgerAndTheNode:
    async def test_the_same_bytes_of_a_nonce_that_was_given_back(
        self, world: World, built: BuiltStore
    ) -> None:
        """Abandoned and taken again, with the same fees: the very same transaction."""
        daemon, first, sold = await sent_one(world, built)
        [slot] = daemon.outbox.live()
        with daemon.ledger.transaction():
            daemon.outbox.close_slot(slot, "abandoned")
        world.chain.pool.clear()
        await world.ticks(daemon, blocks=1)
        [again] = daemon.outbox.live()
        assert (again.last.hash, again.id) == (first.hash, slot.id + 1)
        assert list(world.chain.pool) == [first.hash]
        world.chain.accepts = all_transactions
        await world.ticks(daemon)
        assert_delivered_once(world, sold, by=[daemon])

    async def test_what_the_ledger_forgot_is_mined_first(
        self, world: World, built: BuiltStore
    ) -> None:
        """F49: the pool has a delivery of ours that this ledger never heard of."""
        daemon, _, sold = await sent_one(world, built)
        for table in ("attempts", "jobs", "nonce_slots"):
            daemon.ledger.db.execute(f"DELETE FROM {table}")
        daemon.ledger.db.execute("DELETE FROM seals")
        daemon.ledger.db.execute("UPDATE purchases SET state = 'new'")
        daemon.restart()
        await world.ticks(daemon, blocks=3)
        assert len(world.chain.pool) == 1
        assert len(daemon.events("unknown_transactions")) == 1
        world.chain.accepts = all_transactions
        await world.ticks(daemon, blocks=8)
        assert_delivered_once(world, sold, by=[daemon])
        assert len(world.chain.mined(daemon.address)) == 1

    async def test_strangers_do_not_hold_it_up_for_long(
        self, world: World, built: BuiltStore
    ) -> None:
        """A foreign transaction that is never mined: after five blocks it goes on behind it."""
        daemon = world.daemon
        world.chain.accepts = no_transactions
        foreign = daemon.signer.sign({
            "type": 2, "chainId": 31337, "nonce": 0, "to": daemon.address, "data": b"",
            "value": 0, "gas": 21_000, "maxFeePerGas": 10 * GWEI, "maxPriorityFeePerGas": GWEI,
        })  # fmt: skip
        await world.chain.call("eth_sendRawTransaction", "0x" + foreign.hex())
        world.buy(built, "coupon")
        await world.ticks(daemon, blocks=6)
        assert not daemon.outbox.live()
        await world.ticks(daemon, blocks=4)
        assert [slot.nonce for slot in daemon.outbox.live()] == [1]

    async def test_what_is_mined_while_we_look_is_not_taken_back(
        self, world: World, built: BuiltStore
    ) -> None:
        """A block comes between the count of our nonces and the simulation."""
        daemon, _, sold = await sent_one(world, built)
        world.chain.mine()
        call = world.chain._eth_call

        def late(request: dict[str, Any], tag: str) -> str:
            if world.chain.pool:
                world.chain.accepts = all_transactions
                world.chain.mine()
            return call(request, tag)

        world.chain._eth_call = late  # type: ignore[method-assign]
        await world.ticks(daemon, blocks=1)
        assert world.chain.mined(daemon.address) == [(0, 1)]
        assert not daemon.events("transaction_pointless")
        [slot] = daemon.outbox.live()
        assert slot.attempts == (slot.last,)
        await world.ticks(daemon)
        assert_delivered_once(world, sold, by=[daemon])

    async def test_a_cap_in_the_way_is_told_once(self, world: World, built: BuiltStore) -> None:
        daemon = world.daemon
        world.chain.base_fee = 10**15
        sold = world.buy(built, "coupon")
        await world.ticks(daemon, blocks=12)
        assert len(daemon.events("fee_over_cap")) == 1
        assert len(daemon.journal("fee_over_cap")) == 1
        world.chain.base_fee = GWEI
        await world.ticks(daemon)
        assert [line["what"] for line in daemon.events("alert_resolved")] == ["fee_over_cap"]
        assert_delivered_once(world, sold, by=[daemon])

    async def test_a_request_of_a_bounded_size(self, world: World, built: BuiltStore) -> None:
        """A node refuses megabytes; estimates of many batches go in several requests."""
        daemon = world.daemon
        sizes: list[int] = []
        batch = world.chain.batch

        async def weighed(calls: Any, *, errors: bool = False) -> Any:
            sizes.append(sum(len(repr(call)) for call in calls))
            return await batch(calls, errors=errors)

        world.chain.batch = weighed  # type: ignore[method-assign]
        sold = buy(world, built, 300)
        await world.ticks(daemon, blocks=3)
        assert max(sizes) < 700_000
        assert sum(sizes) > 700_000
        await world.ticks(daemon, blocks=3)
        assert_delivered_once(world, *sold, by=[daemon])

    async def test_a_node_that_stops_half_way(self, world: World, built: BuiltStore) -> None:
        """Of several transactions two are taken: those are marked, the rest is sent again."""
        daemon: Daemon = world.daemon
        daemon.policy = SendPolicy(confirmations=2, batch=2, unprofitable="send")
        daemon.restart()
        sold = buy(world, built, 8)
        send = world.chain._eth_sendRawTransaction
        taken = []

        def two(text: str) -> str:
            taken.append(text)
            if len(taken) > 2:
                raise RpcRejectedError("eth_sendRawTransaction", -32003, "insufficient funds")
            return send(text)

        world.chain._eth_sendRawTransaction = two  # type: ignore[method-assign]
        world.chain.accepts = no_transactions
        await world.ticks(daemon, blocks=3)
        assert [slot.last.sent for slot in daemon.outbox.live()] == [True, True, False, False]
        world.chain._eth_sendRawTransaction = send  # type: ignore[method-assign]
        world.chain.accepts = all_transactions
        await world.ticks(daemon, blocks=8)
        assert_delivered_once(world, *sold, by=[daemon])
        assert len({keccak(bytes.fromhex(text[2:])) for text in taken}) == 3
