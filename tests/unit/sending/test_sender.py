"""The sender: nonces, fees, replacements, and what a node may answer."""

from __future__ import annotations

from typing import Any

import pytest

from dam.errors import ContractReverted
from dam.ethereum.node_errors import RpcRejectedError, RpcTimeoutError, unavailable
from dam.roles.seller.store_builder import BuiltStore
from dam.sending.sender import SendPolicy
from dam.testing.memory import GWEI
from tests.unit.helpers.transactions import (
    all_transactions,
    no_receipt,
    no_transactions,
    refuse,
    sent_one,
)
from tests.unit.helpers.world import OTHER_BUYER, World, assert_delivered_once


def always_reverts(sender: Any, to: Any, data: bytes, block: int) -> Any:
    raise ContractReverted("DeliveryClosed")


async def test_reprices_a_stuck_transaction(world: World, built: BuiltStore) -> None:
    """F37, F38: the same call under the same nonce, both fees at least an eighth higher."""
    daemon, first, sold = await sent_one(world, built)
    await world.ticks(daemon, blocks=3)
    [slot] = daemon.outbox.live()
    second = slot.last
    assert (second.nonce, second.data, second.gas) == (first.nonce, first.data, first.gas)
    assert second.max_fee * 8 >= first.max_fee * 9
    assert second.tip * 8 >= first.tip * 9
    assert list(world.chain.pool) == [second.hash]
    world.chain.accepts = all_transactions
    await world.ticks(daemon)
    assert_delivered_once(world, sold, by=[daemon])


async def test_offers_more_until_a_node_takes_the_replacement(
    world: World, built: BuiltStore
) -> None:
    """F38: this node wants 30 % more."""
    world.chain.bump = 30
    daemon, first, sold = await sent_one(world, built)
    await world.ticks(daemon, blocks=12)
    [pooled] = world.chain.pool.values()
    assert pooled.max_fee * 10 >= first.max_fee * 13
    world.chain.accepts = all_transactions
    await world.ticks(daemon)
    assert_delivered_once(world, sold, by=[daemon])
    assert len(world.chain.mined(daemon.address)) == 1


async def test_a_first_price_that_no_node_takes_is_raised(world: World, built: BuiltStore) -> None:
    """F37: the base fee rose tenfold between the estimate and the broadcast."""
    daemon = world.daemon
    send = world.chain._eth_sendRawTransaction
    world.chain._eth_sendRawTransaction = refuse  # type: ignore[method-assign]
    sold = world.buy(built, "coupon")
    await world.ticks(daemon, blocks=3)
    world.chain.base_fee *= 10
    world.chain._eth_sendRawTransaction = send  # type: ignore[method-assign]
    world.chain.accepts = all_transactions
    await world.ticks(daemon, blocks=8)
    assert_delivered_once(world, sold, by=[daemon])


async def test_never_pays_more_than_the_cap(world: World, built: BuiltStore) -> None:
    """F34: whatever the node says; the transaction that is out stays out."""
    daemon, first, _ = await sent_one(world, built)
    daemon.policy = SendPolicy(max_fee=first.max_fee + 1, unprofitable="send")
    daemon.restart()
    world.chain.base_fee = 10**15
    await world.ticks(daemon, blocks=8)
    [slot] = daemon.outbox.live()
    assert slot.attempts == (slot.last,)
    assert daemon.events("fee_over_cap")


async def test_tells_of_each_nonce_at_the_cap_once(world: World, built: BuiltStore) -> None:
    """Though new work, under the cap, goes out all the time."""
    daemon, first, _ = await sent_one(world, built)
    daemon.policy = SendPolicy(max_fee=first.max_fee, unprofitable="send")
    daemon.restart()
    for copy in range(8):
        world.buy(built, "code", copy)
        await world.ticks(daemon, blocks=1)
    assert len(world.chain.pool) >= 4
    told = [line["nonce"] for line in daemon.events("fee_over_cap")]
    assert told
    assert len(told) == len(set(told))


@pytest.mark.parametrize("kept", [False, True])
async def test_no_nonce_is_blocked_by_an_attempt_at_the_cap(
    world: World, built: BuiltStore, kept: bool
) -> None:
    """Its sale fell out of the chain, no replacement fits under the cap, and the next one waits."""
    daemon, first, _ = await sent_one(world, built)
    daemon.policy = SendPolicy(max_fee=first.max_fee, unprofitable="send")
    daemon.restart()
    second = world.buy(built, "code", 1)
    await world.ticks(daemon, blocks=3)
    assert len(world.chain.pool) == 2
    lost = world.chain.reorganise(8)
    if not kept:
        del world.chain.pool[first.hash]
    world.chain.queued = [log for log in lost if getattr(log, "copy_id", None) == second]
    await world.ticks(daemon, blocks=6)
    world.chain.accepts = all_transactions
    await world.ticks(daemon, blocks=6)
    assert [log.by for log in world.chain.delivered(second)].count(daemon.address) == 1  # type: ignore[arg-type]
    nonces = [nonce for nonce, _ in world.chain.mined(daemon.address)]
    assert nonces == list(range(len(nonces)))


async def test_waits_while_gas_is_over_the_cap(world: World, built: BuiltStore) -> None:
    world.chain.base_fee = 10**15
    sold = world.buy(built, "coupon")
    await world.ticks(world.daemon, blocks=5)
    assert not world.daemon.outbox.live()
    assert world.daemon.events("fee_over_cap")
    world.chain.base_fee = GWEI
    await world.ticks(world.daemon)
    assert_delivered_once(world, sold, by=[world.daemon])


async def test_sends_a_dropped_transaction_again(world: World, built: BuiltStore) -> None:
    """F39."""
    daemon, first, sold = await sent_one(world, built)
    world.chain.pool.clear()
    world.chain.mine()
    await daemon.tick()
    world.chain.mine()
    await daemon.tick()
    assert list(world.chain.pool) == [first.hash]
    world.chain.accepts = all_transactions
    await world.ticks(daemon)
    assert_delivered_once(world, sold, by=[daemon])


@pytest.mark.parametrize("arrives", [True, False])
async def test_a_lost_reply(world: World, built: BuiltStore, arrives: bool) -> None:
    """F31, F32: no answer to the broadcast; it may have arrived all the same."""
    daemon = world.daemon
    send = world.chain._eth_sendRawTransaction

    def deaf(text: str) -> str:
        if arrives:
            send(text)
        world.chain._eth_sendRawTransaction = send  # type: ignore[method-assign]
        raise RpcTimeoutError("no answer")

    sold = world.buy(built, "coupon")
    await world.ticks(daemon, blocks=2)
    world.chain._eth_sendRawTransaction = deaf  # type: ignore[method-assign]
    world.chain.mine()
    with pytest.raises(RpcTimeoutError):
        await daemon.tick()
    await world.ticks(daemon)
    assert_delivered_once(world, sold, by=[daemon])
    assert len(world.chain.mined(daemon.address)) == 1
    assert not daemon.events("node_refused")


async def test_already_known_is_as_good_as_sent(world: World, built: BuiltStore) -> None:
    """F31: the second broadcast of the same bytes."""
    daemon, first, _ = await sent_one(world, built)
    daemon.restart()
    await daemon.tick()
    assert list(world.chain.pool) == [first.hash]
    assert not daemon.events("node_refused")


async def test_a_receipt_above_the_cursor_is_not_final(world: World, built: BuiltStore) -> None:
    """A node that answers for its newest block where it was asked for an older one."""
    daemon = world.daemon
    count = world.chain._eth_getTransactionCount

    def careless(address: Any, tag: str) -> str:
        return count(address, "latest" if tag.startswith("0x") else tag)

    world.chain._eth_getTransactionCount = careless  # type: ignore[method-assign]
    world.buy(built, "coupon")
    await world.ticks(daemon, blocks=4)
    assert world.chain.mined(daemon.address)
    assert daemon.outbox.live()
    await world.ticks(daemon, blocks=2)
    assert not daemon.outbox.live()


async def test_a_foreign_transaction_takes_the_nonce(world: World, built: BuiltStore) -> None:
    """F36: alerted and survived: the part goes out with the next nonce."""
    daemon, first, sold = await sent_one(world, built)
    world.chain.pool.clear()
    foreign = daemon.signer.sign(
        {
            "type": 2,
            "chainId": 31337,
            "nonce": first.nonce,
            "to": OTHER_BUYER,
            "value": 1,
            "gas": 21_000,
            "maxFeePerGas": 10 * GWEI,
            "maxPriorityFeePerGas": GWEI,
        }
    )
    await world.chain.call("eth_sendRawTransaction", "0x" + foreign.hex())
    world.chain.accepts = all_transactions
    await world.ticks(daemon, blocks=14)
    assert daemon.events("foreign_transaction")
    assert_delivered_once(world, sold, by=[daemon])


async def test_a_receipt_that_never_comes(world: World, built: BuiltStore) -> None:
    """F30: the block that used the nonce up says that it was ours."""
    world.chain._eth_getTransactionReceipt = no_receipt  # type: ignore[method-assign]
    sold = world.buy(built, "coupon")
    await world.ticks(blocks=14)
    assert_delivered_once(world, sold)
    assert not world.daemon.outbox.live()
    assert not world.daemon.events("foreign_transaction")
    assert world.daemon.events("receipt_missing")


async def test_a_reverted_one_without_receipt_is_nobody_elses(
    world: World, built: BuiltStore
) -> None:
    """No event tells of it, and no receipt: the block does."""
    daemon, first, sold = await sent_one(world, built)
    world.chain._eth_getTransactionReceipt = no_receipt  # type: ignore[method-assign]
    execute = world.chain._execute
    world.chain._execute = always_reverts  # type: ignore[method-assign]
    world.chain.accepts = all_transactions
    await world.ticks(daemon, blocks=1)
    assert first.hash in [tx for b in world.chain._blocks for tx in b.receipts]
    world.chain._execute = execute  # type: ignore[method-assign]
    await world.ticks(daemon, blocks=16)
    assert [log.by for log in world.chain.delivered(sold)] == [daemon.address]  # type: ignore[arg-type]
    assert [status for _, status in world.chain.mined(daemon.address)] == [0, 1]
    assert not daemon.events("foreign_transaction")


@pytest.mark.parametrize("forgetful", ["eth_getTransactionCount", "eth_getBlockByNumber"])
async def test_a_node_without_old_state(world: World, built: BuiltStore, forgetful: str) -> None:
    """Then the events alone say that it was ours."""
    answer = getattr(world.chain, "_" + forgetful)

    def young(*params: Any) -> Any:
        old = params[-1] if forgetful == "eth_getTransactionCount" else params[0]
        if old.startswith("0x") and int(old, 16) < world.chain.height - 4:
            raise unavailable(RpcRejectedError(forgetful, -32000, "missing trie node"), "node")
        return answer(*params)

    setattr(world.chain, "_" + forgetful, young)
    world.chain._eth_getTransactionReceipt = no_receipt  # type: ignore[method-assign]
    sold = world.buy(built, "coupon")
    await world.ticks(blocks=16)
    assert_delivered_once(world, sold)
    assert not world.daemon.outbox.live()
    assert not world.daemon.events("foreign_transaction")


async def test_already_delivered_is_success(world: World, built: BuiltStore) -> None:
    """F41: somebody (an older ledger of ours) has delivered it: nothing is sent."""
    from dataclasses import replace

    from dam.testing.rules import NOWHERE
    from dam.types import FragmentDelivered

    daemon = world.daemon
    sold = world.buy(built, "coupon")
    world.chain.accepts = no_transactions
    await world.ticks(daemon, blocks=2)
    # The purchase is decided on while the delivery is newer than the confirmed blocks.
    index = next(
        row["part_index"]
        for row in daemon.ledger.db.execute("SELECT part_index FROM parts WHERE copy = 0")
    )
    delivered = FragmentDelivered(
        sold, daemon.address, index, daemon.address, *[bytes(32)] * 3, bytes(80), False, NOWHERE
    )
    world.chain.queued.append(replace(delivered))
    await world.ticks(daemon, blocks=8)
    assert not world.chain.pool
    assert not world.daemon.outbox.live()
    assert [sale.state for sale in daemon.sales.in_state("done")] == ["done"]


async def test_a_permanent_revert_is_reported_once(world: World, built: BuiltStore) -> None:
    """F42: no hot loop."""
    daemon = world.daemon
    sold = world.buy(built, "coupon")
    await world.ticks(daemon, blocks=2)
    # A part that the contract will not take: its proof is damaged after our own check.
    daemon.ledger.db.execute("UPDATE parts SET proof = CAST(proof || zeroblob(32) AS BLOB)")
    daemon.role._proofs = lambda _: Credulous()
    await world.ticks(daemon, blocks=10)
    assert not world.chain.delivered(sold)
    [note] = daemon.journal("refused_by_contract")
    assert note["error"].startswith("PartNotInItem")
    assert not world.chain.mined(daemon.address)


@pytest.mark.parametrize("lies", [1, 2])
async def test_a_refusal_for_good_is_heard_thrice(
    world: World, built: BuiltStore, lies: int
) -> None:
    """One answer of one node gives no part up."""
    daemon = world.daemon
    call = world.chain._eth_call
    said: list[str] = []

    def liar(request: dict[str, Any], tag: str) -> str:
        if len(said) < lies and request["from"] == daemon.address:
            said.append(tag)
            raise world.chain._rejected(
                "eth_call", ContractReverted("PartNotInItem", {"copyId": bytes(32), "index": 0})
            )
        return call(request, tag)

    world.chain._eth_call = liar  # type: ignore[method-assign]
    sold = world.buy(built, "coupon")
    await world.ticks(daemon, blocks=14)
    assert len(said) == lies
    assert_delivered_once(world, sold, by=[daemon])
    assert not daemon.events("refused_by_contract")


class Credulous:
    """Believes every proof."""

    def verify(self, *_: Any) -> bool:
        return True


async def test_no_balance_and_then_some(world: World, built: BuiltStore) -> None:
    """F40."""
    daemon = world.daemon
    world.chain.poor.add(daemon.address)
    sold = world.buy(built, "coupon")
    await world.ticks(daemon, blocks=8)
    assert len(daemon.events("no_balance")) == 1, "said, and not with every block"
    assert len(daemon.journal("no_balance")) == 1
    assert not world.chain.pool
    world.chain.poor.clear()
    await world.ticks(daemon, blocks=8)
    assert_delivered_once(world, sold, by=[daemon])
    assert [line["what"] for line in daemon.events("alert_resolved")] == ["no_balance"]


async def test_an_absurd_gas_estimate_is_capped(world: World, built: BuiltStore) -> None:
    """F33."""
    world.chain._eth_estimateGas = lambda *_: hex(10**9)  # type: ignore[method-assign]
    daemon, attempt, _ = await sent_one(world, built)
    assert attempt.gas == 100_000 + daemon.policy.part_gas


async def test_a_node_that_will_not_take_it_is_asked_again(world: World, built: BuiltStore) -> None:
    daemon = world.daemon
    send = world.chain._eth_sendRawTransaction
    refusals = iter(["txpool is full", "replacement transaction underpriced"])

    def moody(text: str) -> str:
        for reason in refusals:
            raise RpcRejectedError("eth_sendRawTransaction", -32000, reason)
        return send(text)

    world.chain._eth_sendRawTransaction = moody  # type: ignore[method-assign]
    sold = world.buy(built, "coupon")
    await world.ticks(daemon, blocks=12)
    assert len(daemon.events("node_refused")) == 2
    assert_delivered_once(world, sold, by=[daemon])


class TestReorganisations:
    async def test_before_the_delivery(self, world: World, built: BuiltStore) -> None:
        """F11: the purchase is orphaned while its delivery is signed: it is taken back."""
        daemon, _, sold = await sent_one(world, built)
        world.chain.reorganise(4)
        await world.ticks(daemon, blocks=1)
        world.chain.accepts = all_transactions
        await world.ticks(daemon, blocks=12)
        assert not world.chain.delivered(sold)  # type: ignore[arg-type]
        assert not daemon.outbox.live()
        assert all(status == 1 for _, status in world.chain.mined(daemon.address))

    async def test_same_purchase_same_block_number(self, world: World, built: BuiltStore) -> None:
        """F14: what was signed stays valid, and only that is ever out."""
        daemon, first, sold = await sent_one(world, built)
        height = world.chain.height
        world.chain.queued += world.chain.reorganise(3, keep_length=False)
        world.chain.mine()
        await world.ticks(daemon, blocks=height - world.chain.height + 1)
        assert set(world.chain.pool) <= {first.hash}
        world.chain.accepts = all_transactions
        await world.ticks(daemon, blocks=8)
        assert_delivered_once(world, sold, by=[daemon])
        assert len(world.chain.mined(daemon.address)) == 1

    async def test_same_purchase_other_block_number(self, world: World, built: BuiltStore) -> None:
        """F14: what was signed names the wrong block; it is taken back, then delivered anew."""
        daemon, _, sold = await sent_one(world, built)
        world.chain.queued += world.chain.reorganise(3)
        await world.ticks(daemon, blocks=1)
        world.chain.accepts = all_transactions
        await world.ticks(daemon, blocks=15)
        assert_delivered_once(world, sold, by=[daemon])

    @pytest.mark.parametrize("depth", [1, 3, 5])
    async def test_after_the_delivery(self, world: World, built: BuiltStore, depth: int) -> None:
        """F12: the delivery falls out of the chain, and is put back."""
        sold = world.buy(built, "coupon")
        await world.ticks(blocks=9)
        assert_delivered_once(world, sold)
        world.chain.reorganise(depth)
        world.chain.pool.clear()
        await world.ticks(blocks=14)
        assert_delivered_once(world, sold)
        assert not world.daemon.outbox.live()

    async def test_to_another_buyer_while_ours_is_in_the_pool(
        self, world: World, built: BuiltStore
    ) -> None:
        """F15: the old delivery would revert: it is replaced, and the new buyer is served."""
        daemon, _, sold = await sent_one(world, built)
        world.chain.reorganise(4)
        again = world.buy(built, "coupon", buyer=OTHER_BUYER)
        assert again == sold
        await world.ticks(daemon, blocks=1)
        world.chain.accepts = all_transactions
        await world.ticks(daemon, blocks=15)
        assert_delivered_once(world, sold, by=[daemon])
