"""What a transaction that waits may come to cost: never a loss unasked, never for no reason."""

from __future__ import annotations

import pytest

from dam.crypto.hashing import keccak
from dam.ledger.outbox import Now
from dam.roles.seller.store_builder import BuiltStore
from dam.sending.fee_policy import gas_of, initial_fees
from dam.sending.transactions import Price
from dam.testing.memory import GWEI
from tests.unit.helpers.transactions import (
    all_transactions,
    no_transactions,
    now,
    policy_of,
    refuse,
    sent_one,
)
from tests.unit.helpers.world import DEAR_FEE, Daemon, World, assert_delivered_once


def paid(daemon: Daemon) -> list[int]:
    rows = daemon.ledger.db.execute("SELECT cost_wei FROM nonce_slots WHERE state = 'mined'")
    return [int(row["cost_wei"]) for row in rows]


async def fill_the_pool(world: World, dear: BuiltStore) -> None:
    """Two places, both taken by what no longer pays."""
    policy_of(world.daemon, max_live=2, unprofitable="skip")
    world.chain.accepts = no_transactions
    for copy in range(2):
        world.buy(dear, "dear", copy)
        await world.ticks(world.daemon, blocks=4)
    assert len(world.daemon.outbox.live()) == 2
    world.chain.base_fee = 50 * GWEI


class TestProfit:
    async def test_gas_rises_while_it_waits(self, world: World, dear: BuiltStore) -> None:
        """It is not replaced by one at a loss: it waits, and is told of once."""
        daemon = world.daemon
        world.chain.accepts = no_transactions
        sold = world.buy(dear, "dear")
        await world.ticks(daemon, blocks=3)
        assert len(world.chain.pool) == 1
        world.chain.base_fee = 100 * GWEI
        await world.ticks(daemon, blocks=20)
        [slot] = daemon.outbox.live()
        assert slot.last.max_fee * 50_000 <= DEAR_FEE * 11 // 10
        assert len(daemon.events("unprofitable")) == 1
        world.chain.base_fee = GWEI
        world.chain.accepts = all_transactions
        await world.ticks(daemon)
        assert_delivered_once(world, sold, by=[daemon])
        assert all(cost <= DEAR_FEE for cost in paid(daemon))

    async def test_what_waits_behind_it_and_pays_is_not_held_up(
        self, world: World, dear: BuiltStore
    ) -> None:
        """An empty transaction takes its nonce; it waits for cheaper gas without one."""
        daemon = world.daemon
        world.chain.accepts = no_transactions
        poor = world.buy(dear, "dear")
        await world.ticks(daemon, blocks=3)
        world.chain.base_fee = 100 * GWEI
        rich = world.buy(dear, "dearer")
        await world.ticks(daemon, blocks=8)
        world.chain.accepts = all_transactions
        await world.ticks(daemon, blocks=8)
        assert [log.by for log in world.chain.delivered(rich)] == [daemon.address]
        assert not world.chain.delivered(poor)
        world.chain.base_fee = GWEI
        await world.ticks(daemon, blocks=8)
        assert_delivered_once(world, poor, by=[daemon])

    async def test_no_nonce_is_paid_for_when_nothing_behind_it_pays(
        self, world: World, dear: BuiltStore
    ) -> None:
        daemon = world.daemon
        world.chain.accepts = no_transactions
        for copy in range(3):
            world.buy(dear, "dear", copy)
            await world.ticks(daemon, blocks=3)
        assert len(world.chain.pool) == 3
        world.chain.base_fee = 100 * GWEI
        await world.ticks(daemon, blocks=20)
        assert all(tx.data for tx in world.chain.pool.values())

    async def test_urgency_is_not_paid_at_a_loss(self, world: World, dear: BuiltStore) -> None:
        """Near the target a tip is five times as high, but the fee has to bear it, too."""
        daemon = world.daemon
        await daemon.tick()
        world.buy(dear, "dear")
        world.chain.mine(97)
        world.chain.accepts = no_transactions
        await world.ticks(daemon, blocks=1)
        [slot] = daemon.outbox.live()
        [job] = daemon.outbox.of_slot(slot.id)
        assert slot.last.tip > GWEI
        assert slot.last.max_fee * gas_of(1, job.proof_steps) <= job.fee

    async def test_at_a_loss_if_the_operator_says_so(self, world: World, dear: BuiltStore) -> None:
        daemon = world.daemon
        policy_of(daemon)
        world.chain.accepts = no_transactions
        sold = world.buy(dear, "dear")
        await world.ticks(daemon, blocks=3)
        world.chain.base_fee = 100 * GWEI
        await world.ticks(daemon, blocks=4)
        world.chain.accepts = all_transactions
        await world.ticks(daemon, blocks=4)
        assert_delivered_once(world, sold, by=[daemon])

    async def test_a_price_between_two_steps(self, world: World, dear: BuiltStore) -> None:
        """It cannot be mined, no step fits under what it earns, and a rich one waits behind it."""
        daemon = world.daemon
        world.chain._eth_maxPriorityFeePerGas = lambda: hex(10**7)  # type: ignore[method-assign]
        world.chain.base_fee = 2 * GWEI
        world.chain.accepts = no_transactions
        world.buy(dear, "dear")
        await world.ticks(daemon, blocks=3)
        # As if it had been worth more then: of several parts that shared it, the others are done.
        [pooled] = world.chain.pool.values()
        pooled.max_fee = 201 * 10**7
        with daemon.ledger.transaction() as db:
            db.execute("UPDATE attempts SET max_fee_wei = ?", (str(pooled.max_fee),))
        world.chain.base_fee = 205 * 10**7
        world.chain.accepts = all_transactions
        await world.ticks(daemon, blocks=3)
        rich = world.buy(dear, "dearer")
        await world.ticks(daemon, blocks=20)
        assert world.chain.delivered(rich)

    async def test_a_full_pool_of_what_no_longer_pays(self, world: World, dear: BuiltStore) -> None:
        """They make room for what does."""
        daemon = world.daemon
        await fill_the_pool(world, dear)
        world.chain.accepts = all_transactions
        rich = world.buy(dear, "dearer")
        await world.ticks(daemon, blocks=40)
        assert world.chain.delivered(rich)

    async def test_a_full_pool_and_nothing_better_due(self, world: World, dear: BuiltStore) -> None:
        """No nonce is paid for that only more of the same wait for."""
        daemon = world.daemon
        await fill_the_pool(world, dear)
        world.buy(dear, "dear", 2)
        await world.ticks(daemon, blocks=20)
        assert all(tx.data for tx in world.chain.pool.values())

    @pytest.mark.parametrize("over", [8, 100])
    async def test_the_cheaper_way_out(self, world: World, dear: BuiltStore, over: int) -> None:
        """A little over what it earns, to deliver costs less than an empty transaction."""
        daemon = world.daemon
        world.chain._eth_maxPriorityFeePerGas = lambda: hex(10**7)  # type: ignore[method-assign]
        world.chain.accepts = no_transactions
        poor = world.buy(dear, "dear")
        await world.ticks(daemon, blocks=3)
        [slot] = daemon.outbox.live()
        [job] = daemon.outbox.of_slot(slot.id)
        world.chain.base_fee = job.fee // gas_of(1, job.proof_steps) * (100 + over) // 100
        rich = world.buy(dear, "dearer")
        await world.ticks(daemon, blocks=6)
        world.chain.accepts = all_transactions
        await world.ticks(daemon, blocks=8)
        assert world.chain.delivered(rich)
        assert bool(world.chain.delivered(poor)) == (over == 8)


class TestReasons:
    """A price rises when a better one helps, and for no other reason."""

    async def test_an_empty_account(self, world: World, built: BuiltStore) -> None:
        """F40: after a long while without a balance, the first price is that of the market."""
        daemon = world.daemon
        # geth, asked without a price, asks for no balance.
        world.chain._eth_estimateGas = lambda *_: hex(90_000)  # type: ignore[method-assign]
        world.chain.poor.add(daemon.address)
        world.buy(built, "coupon")
        await world.ticks(daemon, blocks=80)
        [slot] = daemon.outbox.live()
        assert len(slot.attempts) == 1
        world.chain.poor.clear()
        world.chain.accepts = no_transactions
        await world.ticks(daemon, blocks=1)
        [pooled] = world.chain.pool.values()
        assert pooled.tip <= 2 * GWEI

    async def test_a_replacement_that_cannot_be_paid(self, world: World, built: BuiltStore) -> None:
        daemon, _, _ = await sent_one(world, built)
        world.chain.poor.add(daemon.address)
        await world.ticks(daemon, blocks=20)
        [slot] = daemon.outbox.live()
        assert len(slot.attempts) == 2
        world.chain.poor.clear()
        await world.ticks(daemon, blocks=6)
        [slot] = daemon.outbox.live()
        assert len(slot.attempts) > 2

    async def test_a_node_that_keeps_it_to_itself(self, world: World, built: BuiltStore) -> None:
        """Once it pays all that a tip may be, more would not be a reason to mine it."""
        daemon, _, _ = await sent_one(world, built)
        world.chain.mine(60)
        for _ in range(35):
            world.chain.mine()
            await daemon.tick()
        [slot] = daemon.outbox.live()
        assert len(slot.attempts) > 5
        # The last step may end above the cap, by less than itself.
        assert daemon.policy.max_tip <= slot.last.tip <= daemon.policy.max_tip * 3 // 2
        assert slot.last.max_fee < daemon.policy.max_fee

    async def test_balance_comes_and_the_price_has_risen(
        self, world: World, built: BuiltStore
    ) -> None:
        """It is no longer for the balance that nodes refuse it."""
        daemon = world.daemon
        world.chain._eth_estimateGas = lambda *_: hex(90_000)  # type: ignore[method-assign]
        world.chain.poor.add(daemon.address)
        sold = world.buy(built, "coupon")
        await world.ticks(daemon, blocks=4)
        [slot] = daemon.outbox.live()
        world.chain.poor.clear()
        world.chain.base_fee = slot.last.max_fee * 3
        send = world.chain._eth_sendRawTransaction

        def strict(text: str) -> str:
            if keccak(bytes.fromhex(text[2:])) == slot.last.hash:
                refuse(text)
            return send(text)

        world.chain._eth_sendRawTransaction = strict  # type: ignore[method-assign]
        await world.ticks(daemon, blocks=20)
        assert_delivered_once(world, sold, by=[daemon])

    async def test_an_empty_one_whose_duty_may_come_back(
        self, world: World, built: BuiltStore
    ) -> None:
        """Without stake for a moment: the part waits for the empty transaction's end."""
        daemon, _, sold = await sent_one(world, built)
        world.chain.eligible.discard(daemon.address)
        await world.ticks(daemon, blocks=3)
        assert not daemon.outbox.live()[0].last.data
        world.chain.eligible.add(daemon.address)
        tips = 5 * GWEI
        world.chain._eth_maxPriorityFeePerGas = lambda: hex(tips)  # type: ignore[method-assign]
        world.chain.accepts = lambda tx: tx.tip >= 4 * GWEI
        await world.ticks(daemon, blocks=60)
        assert_delivered_once(world, sold, by=[daemon])

    async def test_an_empty_one_with_nothing_behind_it(
        self, world: World, built: BuiltStore
    ) -> None:
        """Past the last block there is no hurry."""
        daemon, _, _ = await sent_one(world, built)
        world.chain.pass_time(1200)
        world.chain.mine(300)
        for _ in range(30):
            world.chain.mine()
            await daemon.tick()
        [slot] = daemon.outbox.live()
        assert not slot.last.data
        assert len(slot.attempts) <= 3

    async def test_an_empty_one_that_cannot_be_mined(self, world: World, built: BuiltStore) -> None:
        """The very sale may come back, and its part waits for the nonce to be used."""
        daemon, _, _ = await sent_one(world, built)
        world.chain.reorganise(4)
        world.chain.queued = []
        await world.ticks(daemon, blocks=2)
        world.chain.base_fee = 100 * GWEI
        await world.ticks(daemon, blocks=6)
        [pooled] = world.chain.pool.values()
        assert not pooled.data
        assert pooled.max_fee > world.chain.base_fee

    async def test_an_empty_one_has_no_urgency_of_its_own(
        self, world: World, built: BuiltStore
    ) -> None:
        """What it was for is too late; what waits behind it has time."""
        daemon, _, _ = await sent_one(world, built)
        world.chain.pass_time(1200)
        world.chain.mine(300)
        world.buy(built, "code", 1)
        await world.ticks(daemon, blocks=15)
        lowest, _ = daemon.outbox.live()
        assert not lowest.last.data
        assert len(lowest.attempts) <= 7

    async def test_an_empty_one_that_others_wait_for(self, world: World, built: BuiltStore) -> None:
        daemon, _, _ = await sent_one(world, built)
        world.chain.reorganise(4)
        world.chain.queued = []
        await world.ticks(daemon, blocks=3)
        assert [len(slot.attempts) for slot in daemon.outbox.live()] == [2]
        world.buy(built, "code", 1)
        await world.ticks(daemon, blocks=12)
        lowest, second = daemon.outbox.live()
        assert not lowest.last.data
        assert len(lowest.attempts) > 3
        assert second.last.data

    async def test_urgency_of_what_waits_behind(self, world: World, built: BuiltStore) -> None:
        """The lowest nonce has time, but holds up one that has not."""
        daemon = world.daemon
        await daemon.tick()
        world.chain.base_fee = 10**15
        urgent = world.buy(built, "coupon", 0)
        world.chain.mine(84)
        world.chain.accepts = no_transactions
        await world.ticks(daemon, blocks=1)
        # The calm one is sent first, while the other is put off for a block.
        calm = world.buy(built, "coupon", 1)
        world.chain.mine()
        [job] = daemon.outbox.due(now(world))
        with daemon.ledger.transaction():
            daemon.outbox.put_off([job], world.chain.height + 5)
        world.chain.base_fee = GWEI
        await world.ticks(daemon, blocks=6)
        first, second = daemon.outbox.live()
        assert [job.copy_id for job in daemon.outbox.of_slot(first.id)] == [calm]
        assert [job.copy_id for job in daemon.outbox.of_slot(second.id)] == [urgent]
        before = len(first.attempts)
        await world.ticks(daemon, blocks=3)
        assert len(daemon.outbox.live()[0].attempts) >= before + 2

    async def test_urgency_of_a_batch_is_that_of_its_most_urgent(
        self, world: World, built: BuiltStore
    ) -> None:
        """What is past block 100 has more time than one that is just before it."""
        daemon = world.daemon
        await daemon.tick()
        world.chain.base_fee = 10**15
        for copy, blocks in ((0, 62), (1, 50), (2, 31)):
            world.buy(built, "coupon", copy)
            world.chain.mine(blocks)
        await world.ticks(daemon, blocks=3)
        world.chain.base_fee = GWEI
        world.chain.accepts = no_transactions
        await world.ticks(daemon, blocks=2)
        slots = daemon.outbox.live()
        assert slots
        for slot in slots:
            [first, *_] = slot.attempts
            jobs = daemon.outbox.of_slot(slot.id)
            then = Now(first.head, await world.chain.clock(await world.chain.block(first.head)))
            left = min(job.left(then) for job in jobs)
            want = initial_fees(Price(GWEI, GWEI), left, daemon.policy)
            assert want is not None
            assert first.tip >= want.tip


class TestCaps:
    async def test_a_cap_that_was_lowered(self, world: World, built: BuiltStore) -> None:
        """What was saved under a higher one is not sent any more."""
        daemon = world.daemon
        world.chain.base_fee = 100 * GWEI
        daemon.checkpoints.kill_at = ("F6", 1)
        sold = world.buy(built, "coupon")
        for _ in range(5):
            world.chain.mine()
            if await daemon.tick_to_death():
                break
        assert not world.chain.pool
        policy_of(daemon, max_fee=50 * GWEI)
        await world.ticks(daemon, blocks=3)
        assert not world.chain.pool
        assert daemon.events("fee_over_cap")
        world.chain.base_fee = GWEI
        world.chain.accepts = no_transactions
        await world.ticks(daemon, blocks=3)
        [pooled] = world.chain.pool.values()
        assert pooled.max_fee <= 50 * GWEI
        world.chain.accepts = all_transactions
        await world.ticks(daemon)
        assert_delivered_once(world, sold, by=[daemon])

    async def test_what_stands_above_a_lowered_cap_is_left_there(
        self, world: World, built: BuiltStore
    ) -> None:
        daemon, first, sold = await sent_one(world, built)
        policy_of(daemon, max_fee=first.max_fee - 1)
        await world.ticks(daemon, blocks=20)
        assert list(world.chain.pool) == [first.hash]
        assert len(daemon.events("node_refused")) <= 3
        world.chain.accepts = all_transactions
        await world.ticks(daemon)
        assert_delivered_once(world, sold, by=[daemon])

    async def test_what_was_signed_above_a_lowered_cap_is_no_measure(
        self, world: World, built: BuiltStore
    ) -> None:
        """No pool has it any more, and prices rise again."""
        daemon = world.daemon
        world.chain.base_fee = 100 * GWEI
        daemon, _, sold = await sent_one(world, built)
        world.chain.pool.clear()
        policy_of(daemon, max_fee=150 * GWEI)
        world.chain.base_fee = 10 * GWEI
        await world.ticks(daemon, blocks=5)
        world.chain.base_fee = 60 * GWEI
        world.chain.accepts = all_transactions
        await world.ticks(daemon, blocks=12)
        assert_delivered_once(world, sold, by=[daemon])

    async def test_a_last_step_of_a_tenth(self, world: World, built: BuiltStore) -> None:
        """An eighth does not fit under the cap; a tenth does, and nodes take it."""
        daemon, first, _ = await sent_one(world, built)
        policy_of(daemon, max_fee=first.max_fee * 111 // 100)
        world.chain.reorganise(4)
        world.chain.queued = []
        await world.ticks(daemon, blocks=6)
        world.chain.accepts = all_transactions
        await world.ticks(daemon, blocks=6)
        assert [status for _, status in world.chain.mined(daemon.address)] == [1]
        assert not daemon.events("node_refused")

    async def test_a_first_offer_leaves_room_for_one_more(
        self, world: World, built: BuiltStore
    ) -> None:
        """Gas is dear, near half of the cap: what is sent can still be taken back."""
        daemon = world.daemon
        policy_of(daemon, max_fee=40 * GWEI)
        world.chain.base_fee = 25 * GWEI
        await sent_one(world, built)
        world.chain.reorganise(4)
        world.chain.queued = []
        await world.ticks(daemon, blocks=2)
        [pooled] = world.chain.pool.values()
        assert pooled.data == b""

    async def test_a_pool_that_keeps_the_old_one_holds_nothing_up(
        self, world: World, built: BuiltStore
    ) -> None:
        """At the cap no replacement is taken. That is told once, and new work goes out."""
        daemon, first, _ = await sent_one(world, built)
        policy_of(daemon, max_fee=first.max_fee)
        world.chain.reorganise(4)
        world.chain.queued = []
        await world.ticks(daemon, blocks=4)
        world.buy(built, "code", 1)
        await world.ticks(daemon, blocks=20)
        assert len(world.chain.pool) == 2
        assert len(daemon.events("node_refused")) <= 2
