"""What the contract or a node says of a duty, and what becomes of the others."""

from __future__ import annotations

from typing import Any

import pytest

from dam.errors import ContractReverted
from dam.ethereum.node_errors import RpcRejectedError
from dam.roles.seller.store_builder import BuiltStore
from dam.testing.memory import GWEI, MemoryChain
from dam.types import FALLBACK_BLOCKS
from tests.unit.helpers.transactions import all_transactions, no_transactions, now, parts_of
from tests.unit.helpers.world import WatchdogDaemon, World, assert_delivered_once


def revert_when_mined(chain: MemoryChain) -> None:
    """Calls of the market succeed when they are simulated, and revert in a block."""
    execute, mine = chain._execute, chain.mine
    mining = [False]

    def reverts(sender: Any, to: Any, data: bytes, block: int) -> Any:
        if mining[0] and to == chain.address:
            raise ContractReverted("")
        return execute(sender, to, data, block)

    def honest(count: int = 1) -> None:
        mining[0] = True
        mine(count)
        mining[0] = False

    chain._execute = reverts  # type: ignore[method-assign]
    chain.mine = honest  # type: ignore[method-assign]


def sizes(chain: MemoryChain) -> list[int]:
    """Parts in each mined transaction."""
    found = (tx for block in chain._blocks for tx, _ in block.receipts.values())
    return [parts_of(tx.data) for tx in found]


async def test_what_reverted_together_goes_alone_if_that_pays(
    world: World, dear: BuiltStore
) -> None:
    world.chain.base_fee = GWEI // 2
    revert_when_mined(world.chain)
    for copy in range(12):
        world.buy(dear, "dear", copy)
    await world.ticks(world.daemon, blocks=20)
    assert sizes(world.chain)[0] == 12
    assert len(sizes(world.chain)) > 12
    assert set(sizes(world.chain)[1:]) == {1}


async def test_what_pays_only_together_shares_again_after_ever_longer(
    world: World, dear: BuiltStore
) -> None:
    """Innocents of a batch that reverted are not lost for what one of it may have done."""
    # It pays among ten, not alone.
    world.chain.base_fee = 3 * GWEI
    revert_when_mined(world.chain)
    for copy in range(12):
        world.buy(dear, "dear", copy)
    await world.ticks(world.daemon, blocks=60)
    assert 2 <= len(sizes(world.chain)) <= 6
    assert set(sizes(world.chain)) == {12}


async def test_alone_stays_alone(world: World, built: BuiltStore) -> None:
    """Whatever is said of it, but that its fee does not pay that."""
    daemon = world.daemon
    world.chain.accepts = no_transactions
    world.buy(built, "coupon")
    await world.ticks(daemon, blocks=3)
    outbox = daemon.outbox
    [slot] = outbox.live()
    with daemon.ledger.transaction():
        outbox.unbatch(slot.id)
        outbox.close_slot(slot, "lost")
        [job] = outbox.due(now(world)._replace(head=10**6))
        assert job.alone
        outbox.postpone(job, 1, "NotEligible()")
        [job] = outbox.due(now(world)._replace(head=10**6))
        assert (job.alone, job.unprofitable) == (True, False)
        outbox.postpone(job, 1, job.reason)
        [job] = outbox.due(now(world)._replace(head=10**6))
        assert job.reason == "alone, NotEligible()"
        again = outbox.open_slot(7)
        outbox.carry([(again, [job])])
        [job] = outbox.of_slot(again)
        assert (job.alone, job.unprofitable) == (True, False)
        outbox.wait_for_profit([job], 1)
        [job] = outbox.of_slot(again)
        assert (job.alone, job.unprofitable) == (False, True)


async def test_what_reverts_again_and_again_is_tried_ever_less(
    world: World, built: BuiltStore
) -> None:
    revert_when_mined(world.chain)
    world.buy(built, "coupon")
    await world.ticks(world.daemon, blocks=100)
    mined = len(world.chain.mined(world.daemon.address))
    # Waiting 1, 2, 4, 8, 16 and 32 blocks, but more often in the last ten.
    assert 4 <= mined <= 12


async def test_a_call_that_a_node_does_not_answer_holds_nothing_up(
    world: World, built: BuiltStore
) -> None:
    """An error that is no revert, for one part only."""
    daemon = world.daemon
    bad = world.buy(built, "coupon", 0)
    call = world.chain._eth_call

    asked: list[int] = []

    def picky(request: dict[str, Any], tag: str) -> str:
        if bad.hex() in request["data"] and request["to"] == world.chain.address:
            asked.append(world.chain.height)
            raise RpcRejectedError("eth_call", -32000, "execution aborted (timeout = 5s)")
        return call(request, tag)

    world.chain._eth_call = picky  # type: ignore[method-assign]
    good = world.buy(built, "coupon", 1)
    await world.ticks(daemon, blocks=6)
    assert_delivered_once(world, good, by=[daemon])
    await daemon.tick()
    assert len(asked) == len(set(asked)) > 1, "once for each block"
    world.chain._eth_call = call  # type: ignore[method-assign]
    await world.ticks(daemon, blocks=6)
    assert_delivered_once(world, bad, by=[daemon])


async def test_a_node_that_answers_no_call_is_a_failure(world: World, built: BuiltStore) -> None:
    world.buy(built, "coupon", 0)
    world.buy(built, "coupon", 1)
    call = world.chain._eth_call

    def refuse(request: dict[str, Any], tag: str) -> str:
        raise RpcRejectedError("eth_call", -32000, "daily quota exceeded")

    world.chain._eth_call = refuse  # type: ignore[method-assign]
    with pytest.raises(RpcRejectedError, match="quota"):
        await world.ticks(world.daemon, blocks=6)
    world.chain._eth_call = call  # type: ignore[method-assign]


async def test_a_refused_simulation_does_not_take_back_what_is_out(
    world: World, built: BuiltStore
) -> None:
    daemon = world.daemon
    world.chain.accepts = no_transactions
    sold = world.buy(built, "coupon", 0)
    await world.ticks(daemon, blocks=3)

    def refuse(request: dict[str, Any], tag: str) -> str:
        raise RpcRejectedError("eth_call", -32000, "execution aborted (timeout = 5s)")

    world.chain._eth_call = refuse  # type: ignore[method-assign]
    await world.ticks(daemon, blocks=4)
    world.chain.accepts = all_transactions
    await world.ticks(daemon, blocks=1)
    assert_delivered_once(world, sold, by=[daemon])


async def test_one_stale_answer_takes_nothing_back(world: World, built: BuiltStore) -> None:
    """That what is out would revert is heard twice before it is believed."""
    daemon = world.daemon
    world.chain.accepts = no_transactions
    for copy in range(10):
        world.buy(built, "coupon", copy)
    await world.ticks(daemon, blocks=4)
    call = world.chain._eth_call
    lies = [ContractReverted("NothingDelivered", {})]

    def stale(request: dict[str, Any], tag: str) -> str:
        if lies:
            raise world.chain._rejected("eth_call", lies.pop())
        return call(request, tag)

    world.chain._eth_call = stale  # type: ignore[method-assign]
    await world.ticks(daemon, blocks=1)
    assert not lies
    world.chain.accepts = all_transactions
    await world.ticks(daemon, blocks=8)
    assert sizes(world.chain) == [10]


async def test_refusals_for_good_are_counted_apart(world: World, built: BuiltStore) -> None:
    """A duty that was tried twice before is not ended by the first lie."""
    daemon = world.daemon
    sold = world.buy(built, "coupon")
    world.chain.base_fee = 10**15
    await world.ticks(daemon, blocks=4)
    with daemon.ledger.transaction() as db:
        db.execute("UPDATE jobs SET tries = 2")
    world.chain.base_fee = GWEI
    call = world.chain._eth_call
    lies = [ContractReverted("PartNotInItem", {"copyId": bytes(32), "index": 0})]

    def liar(request: dict[str, Any], tag: str) -> str:
        if lies and request["from"] == daemon.address:
            raise world.chain._rejected("eth_call", lies.pop())
        return call(request, tag)

    world.chain._eth_call = liar  # type: ignore[method-assign]
    await world.ticks(daemon, blocks=14)
    assert not lies
    assert_delivered_once(world, sold, by=[daemon])


async def test_a_refusal_that_may_pass_is_told_once_and_tried_on(
    world: World, built: BuiltStore
) -> None:
    """A node that lags for long: nothing is given up before the deadline."""
    daemon = world.daemon
    sold = world.buy(built, "coupon")
    call = world.chain._eth_call

    def lags(request: dict[str, Any], tag: str) -> str:
        if request["from"] == daemon.address:
            raise world.chain._rejected("eth_call", ContractReverted("WrongSale", {"copyId": sold}))
        return call(request, tag)

    world.chain._eth_call = lags  # type: ignore[method-assign]
    await world.ticks(daemon, blocks=60)
    assert len(daemon.events("refused_by_contract")) == 1
    world.chain._eth_call = call  # type: ignore[method-assign]
    await world.ticks(daemon, blocks=6)
    assert_delivered_once(world, sold, by=[daemon])


async def test_a_stake_too_low_is_told_once(world: World, built: BuiltStore) -> None:
    daemon = world.daemon
    world.chain.base_fee = 10**15
    for copy in range(40):
        world.buy(built, "coupon", copy)
    await world.ticks(daemon, blocks=4)
    world.chain.base_fee = GWEI
    world.chain.eligible.discard(daemon.address)
    await world.ticks(daemon, blocks=40)
    told = [line for line in daemon.events("not_eligible") if "parts" in line]
    assert [line["parts"] for line in told] == [40]
    world.chain.eligible.add(daemon.address)
    await world.ticks(daemon, blocks=12)
    assert "not_eligible" in [line["what"] for line in daemon.events("alert_resolved")]
    assert all(len(world.chain.delivered(job)) for job in world.secrets)


async def test_a_restart_in_the_block_before_the_first_takes_nothing_back(
    world: World, built: BuiltStore, watchdog: WatchdogDaemon
) -> None:
    """A fallback that waits for block P + 101 would be too early in the newest one."""
    sold = world.buy(built, "coupon")
    await world.ticks(watchdog, blocks=1)
    world.chain.mine(99)
    await watchdog.tick()
    world.chain.mine(1)
    await watchdog.tick()
    assert world.chain.pool
    watchdog.restart()
    await watchdog.tick()
    assert not watchdog.events("transaction_pointless")
    await world.ticks(watchdog, blocks=6)
    assert len(world.chain.delivered(sold)) == 3
    assert [status for _, status in world.chain.mined(watchdog.address)] == [1]


@pytest.mark.parametrize("base", [15 * 10**8, 5 * 10**8])
async def test_a_passing_refusal_of_all_splits_no_batch(
    world: World, dear: BuiltStore, base: int
) -> None:
    """Without stake for a moment: what was together still goes together."""
    daemon = world.daemon
    world.chain.base_fee = base
    world.chain.accepts = no_transactions
    sold = [world.buy(dear, "dear", copy) for copy in range(2)]
    await world.ticks(daemon, blocks=3)
    world.chain.eligible.discard(daemon.address)
    await world.ticks(daemon, blocks=4)
    world.chain.eligible.add(daemon.address)
    world.chain.accepts = all_transactions
    await world.ticks(daemon, blocks=40)
    assert all(world.chain.delivered(copy) for copy in sold)
    assert sizes(world.chain)[-1] == 2


async def test_a_revert_is_tried_again_while_the_fee_is_ours_alone(
    world: World, built: BuiltStore
) -> None:
    """However often it was put off before."""
    daemon = world.daemon
    await daemon.tick()
    sold = world.buy(built, "coupon")
    bought = world.chain.height + 1
    world.chain.accepts = no_transactions
    await world.ticks(daemon, blocks=3)
    with daemon.ledger.transaction() as db:
        db.execute("UPDATE jobs SET tries = 5")
    world.chain.mine(75)
    await daemon.tick()
    world.chain.eligible.discard(daemon.address)
    world.chain.accepts = all_transactions
    world.chain.mine()
    assert [status for _, status in world.chain.mined(daemon.address)] == [0]
    world.chain.eligible.add(daemon.address)
    await world.ticks(daemon, blocks=40)
    [log] = world.chain.delivered(sold)
    assert log.at.block.number <= bought + FALLBACK_BLOCKS


async def test_what_is_left_of_a_batch_and_does_not_pay_is_told(
    world: World, dear: BuiltStore
) -> None:
    """A node estimates no batch; the halves are not sent at a loss, and not in silence."""
    world.chain.base_fee = 15 * 10**8
    estimate = world.chain._eth_estimateGas

    def limited(call: dict[str, Any], tag: str) -> str:
        if parts_of(bytes.fromhex(call["data"][2:])) > 1:
            raise RpcRejectedError("eth_estimateGas", -32000, "call data too large")
        return estimate(call, tag)

    world.chain._eth_estimateGas = limited  # type: ignore[method-assign]
    for copy in range(2):
        world.buy(dear, "dear", copy)
    await world.ticks(world.daemon, blocks=12)
    assert [line["parts"] for line in world.daemon.events("unprofitable")] == [2]
    assert not world.chain.mined(world.daemon.address)
