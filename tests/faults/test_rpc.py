"""F17 to F34: a node that hangs, lies, lags and breaks off."""

from __future__ import annotations

from typing import Any

from dam.market.abi import market_abi
from tests.faults import rpc_faults
from tests.faults.daemons import Deliverer
from tests.faults.oracle import oracle
from tests.faults.rpc_proxy import RpcProxy
from tests.faults.table import Injected, fault
from tests.faults.world import FaultWorld

SOLD = "0x" + market_abi().topic("ItemPurchased").hex()


async def delivered_all_the_same(world: FaultWorld, daemon: Deliverer) -> None:
    """The end of most tests here: one purchase more, everything delivered, a clean exit."""
    await world.buy()
    await world.until_delivered()
    await world.settle_down()
    assert set(await oracle(world)) == {"delivered"}
    assert await daemon.stop() == 0
    await oracle(world)


@fault(
    17,
    "node hangs",
    by="P",
    breaks="src/dam/ethereum/exchange.py:async with asyncio.timeout(seconds):",
    instead="async with asyncio.timeout(None):",
)
async def test_f17_a_node_that_hangs(
    world: FaultWorld, proxy: RpcProxy, injected: Injected
) -> None:
    daemon = await world.deliverer(rpc=proxy.url).start()
    proxy.inject(rpc_faults.Hang(), "eth_getLogs", times=1)
    await delivered_all_the_same(world, daemon)


@fault(
    18,
    "429 Too Many Requests",
    by="P",
    breaks="src/dam/ethereum/exchange.py:"
    "if status == 200 or (status >= 400 and not its_own and _is_answer(data)):",
    instead="if True:",
)
async def test_f18_too_many_requests(
    world: FaultWorld, proxy: RpcProxy, injected: Injected
) -> None:
    daemon = await world.deliverer(rpc=proxy.url).start()
    proxy.inject(rpc_faults.TooMany(retry_after=1), times=3)
    await delivered_all_the_same(world, daemon)
    assert any("429" in str(line) for line in daemon.logged("tick_failed"))


@fault(
    19,
    "5xx with a page of HTML",
    by="P",
    breaks="src/dam/errors.py:class RpcError(Retryable):",
    instead="class RpcError(Permanent):",
)
async def test_f19_html_instead_of_json(
    world: FaultWorld, proxy: RpcProxy, injected: Injected
) -> None:
    daemon = await world.deliverer(rpc=proxy.url).start()
    for status in (500, 502, 503):
        proxy.inject(rpc_faults.BadGateway(status), times=1)
    await delivered_all_the_same(world, daemon)


@fault(
    20,
    "cut JSON, cut connection",
    by="P",
    breaks="src/dam/ethereum/exchange.py:"
    'raise RpcBadReplyError(f"{label}: {self.host} gave no JSON") from None',
    instead="raise",
)
async def test_f20_half_an_answer(world: FaultWorld, proxy: RpcProxy, injected: Injected) -> None:
    daemon = await world.deliverer(rpc=proxy.url).start()
    proxy.inject(rpc_faults.CutJson(), times=2)
    proxy.inject(rpc_faults.Dropped(), "eth_getLogs", times=1)
    proxy.inject(rpc_faults.CutJson(), "eth_sendRawTransaction", times=1)
    await delivered_all_the_same(world, daemon)


@fault(
    21,
    "stale node, empty logs",
    by="P",
    breaks="src/dam/daemon/chain_reader.py:"
    "first = max(self._first, cursor.number + 1 - self._overlap)",
    instead="first = max(self._first, cursor.number + 1)",
)
async def test_f21_a_node_that_stopped_and_one_without_logs(
    world: FaultWorld, proxy: RpcProxy, injected: Injected
) -> None:
    daemon = await world.deliverer(rpc=proxy.url).start()
    stale = proxy.inject(rpc_faults.Stale(await world.block()))
    await world.buy()
    await world.mine(3)
    await world.looks(proxy, 20)
    assert not daemon.logged("serving")
    stale.stop()
    await world.until_delivered()
    # Now one that has the blocks, and says that they hold nothing.
    proxy.inject(rpc_faults.empty_logs(of=rpc_faults.topic(SOLD)), times=4)
    await delivered_all_the_same(world, daemon)
    assert not daemon.logged("reorganisation")


@fault(
    22,
    "fresh and stale in turn",
    by="P",
    breaks="src/dam/daemon/chain_reader.py:if target < cursor.number or head == self._idle_at:",
    instead="if head == self._idle_at:",
)
async def test_f22_a_fresh_node_and_a_stale_one_in_turn(
    world: FaultWorld, proxy: RpcProxy, injected: Injected
) -> None:
    daemon = await world.deliverer(rpc=proxy.url).start()
    for lag in (1, 3, 30):
        behind = rpc_faults.Stale(max(1, await world.block() - lag))
        turns = proxy.inject(behind, chance=0.3)
        await world.buy()
        await world.until_delivered()
        turns.stop()
    # Strictly in turn, which a daemon that asks in an even rhythm might meet at the same foot.
    turns = proxy.inject(behind, "eth_getBlockByNumber", "eth_getLogs", every=2)
    await world.buy()
    await world.until_delivered()
    turns.stop()
    await delivered_all_the_same(world, daemon)
    # Blocks that come and go with the node's mood are no reorganisation.
    assert not daemon.logged("reorganisation")


@fault(
    23,
    "range limit: bisect",
    by="P",
    breaks="src/dam/market/log_reader.py:self._size.refused(stop - first + 1, unknown=unknown)",
    instead="raise",
)
async def test_f23_a_node_that_gives_ten_blocks_at_a_time(
    world: FaultWorld, proxy: RpcProxy, injected: Injected
) -> None:
    await world.buy()
    await world.mine(150)
    proxy.inject(rpc_faults.RangeLimit(10))
    daemon = await world.deliverer(rpc=proxy.url).start()
    await delivered_all_the_same(world, daemon)


@fault(
    24,
    "duplicate logs",
    by="P",
    breaks='src/dam/ledger/ledger.py:f"INSERT INTO {target} ON CONFLICT DO NOTHING"',
    instead='f"INSERT INTO {target}"',
)
async def test_f24_every_log_twice(world: FaultWorld, proxy: RpcProxy, injected: Injected) -> None:
    daemon = await world.deliverer(rpc=proxy.url).start()
    proxy.inject(rpc_faults.duplicates())
    await world.buy(3)
    await delivered_all_the_same(world, daemon)
    assert len(daemon.query("SELECT 1 FROM purchases")) == 4


@fault(
    25,
    "logs and batches out of order",
    by="P",
    breaks='src/dam/ethereum/rpc.py:self._result(request, by_id[request["id"]])',
    instead="self._result(request, replies[requests.index(request)])",
)
async def test_f25_answers_in_another_order(
    world: FaultWorld, proxy: RpcProxy, injected: Injected
) -> None:
    proxy.inject(rpc_faults.ShuffledBatch())
    proxy.inject(rpc_faults.out_of_order())
    daemon = await world.deliverer(rpc=proxy.url).start()
    await world.buy(3)
    await delivered_all_the_same(world, daemon)
    assert injected["out of order"]
    assert injected["batch out of order"]


@fault(
    26,
    "omitted log",
    by="P",
    breaks="src/dam/daemon/chain_reader.py:late = self._late(rows, cursor)",
    instead="late = []",
)
async def test_f26_a_log_is_left_out(
    world: FaultWorld, proxy: RpcProxy, injected: Injected
) -> None:
    daemon = await world.deliverer(rpc=proxy.url).start()
    proxy.inject(rpc_faults.omit(of=rpc_faults.topic(SOLD)), times=3)
    await world.buy(4)
    await delivered_all_the_same(world, daemon)
    assert {line["kind"] for line in daemon.logged("log_was_missing")} == {"purchases"}


@fault(
    27,
    "removed: true",
    by="P",
    breaks="src/dam/market/log_decoder.py:if raw.removed:",
    instead="if False:",
)
async def test_f27_a_removed_log_is_no_purchase(
    world: FaultWorld, proxy: RpcProxy, injected: Injected
) -> None:
    daemon = await world.deliverer(rpc=proxy.url).start()
    gone = proxy.inject(rpc_faults.removed(of=rpc_faults.topic(SOLD)))
    await world.buy()
    await world.mine(3)
    await daemon.event("tick_failed", 2)
    assert not daemon.logged("serving")
    gone.stop()
    await delivered_all_the_same(world, daemon)


@fault(
    28,
    "wrong chain id: exit",
    by="P",
    breaks="src/dam/ethereum/node_pool.py:"
    "if node.chain_id is not None and node.chain_id != chain_id:",
    instead="if False:",
)
async def test_f28_a_node_of_another_chain(
    world: FaultWorld, proxy: RpcProxy, injected: Injected
) -> None:
    daemon = await world.deliverer(rpc=proxy.url).start()
    # Another node answers at the address after a failure: that is looked at before all else.
    proxy.inject(rpc_faults.BadGateway(), times=1)
    proxy.inject(rpc_faults.wrong_chain(), "eth_chainId")
    await world.buy()
    assert await daemon.wait() == 2
    again = await world.deliverer(rpc=proxy.url).start(ready=False)
    assert await again.wait() == 2
    assert "on chain 1" in str(again.logged("cannot_run"))
    assert not proxy.sent
    assert not await world.delivered()
    await oracle(world, sales=(), exits=(2,))


@fault(
    29,
    "forged address or topic",
    by="P",
    breaks="src/dam/market/log_decoder.py:"
    "if raw.address != address and raw.address.lower() != address:",
    instead="if False:",
)
async def test_f29_logs_that_are_not_the_markets(
    world: FaultWorld, proxy: RpcProxy, injected: Injected
) -> None:
    daemon = await world.deliverer(rpc=proxy.url).start()
    forged = proxy.inject(rpc_faults.forged_address(of=rpc_faults.topic(SOLD)))
    await world.buy()
    await world.mine(3)
    await daemon.event("tick_failed", 2)
    forged.stop()
    forged = proxy.inject(rpc_faults.forged_topic(of=rpc_faults.topic(SOLD)), times=2)
    failures = len(daemon.logged("tick_failed"))
    await daemon.event("tick_failed", failures + 1)
    assert not daemon.query("SELECT 1 FROM purchases")
    forged.stop()
    await delivered_all_the_same(world, daemon)


@fault(
    30,
    "receipt null for ever",
    by="P",
    breaks="src/dam/sending/in_flight.py:return high, not ours.isdisjoint(",
    instead="return high, ours is None and bool(",
)
async def test_f30_no_receipt_ever(world: FaultWorld, proxy: RpcProxy, injected: Injected) -> None:
    daemon = await world.deliverer(rpc=proxy.url).start()
    proxy.inject(rpc_faults.no_receipt(), "eth_getTransactionReceipt")
    await world.buy()
    await world.until_delivered()
    await world.settle_down(8)
    await delivered_all_the_same(world, daemon)
    # It was ours: no receipt is no reason to alarm anybody about a stolen key.
    assert not daemon.logged("foreign_transaction")
    assert daemon.query("SELECT count(*) FROM nonce_slots WHERE state = 'live'") == [(0,)]


@fault(
    31,
    'reply lost, then "already known"',
    by="P",
    breaks="src/dam/sending/transactions.py:if not node_errors.is_already_known(error):",
    instead="if True:",
)
async def test_f31_the_reply_is_lost(
    world: FaultWorld, proxy: RpcProxy, injected: Injected
) -> None:
    daemon = await world.deliverer(rpc=proxy.url).start()
    lost = proxy.inject(rpc_faults.LostReply(), "eth_sendRawTransaction", times=1)
    await world.buy()
    await world.mine()
    await world.wait(lambda: lost.spent, "the part was sent")
    # Started again before the next block, it does not know that the node has it.
    await daemon.kill()
    await daemon.start()
    await world.wait(lambda: len(proxy.sent) == 2, "it was sent again")
    assert proxy.sent[0].raw == proxy.sent[1].raw, "the same bytes, and no other transaction"
    assert "already" in str(proxy.sent[1].reply["error"])
    await delivered_all_the_same(world, daemon)
    assert not daemon.logged("node_refused")


@fault(
    32,
    "error although accepted",
    by="P",
    breaks="src/dam/daemon/service.py:ended = self._outbox.finish_by_events()",
    instead="ended = 0",
)
async def test_f32_an_error_although_it_was_taken(
    world: FaultWorld, proxy: RpcProxy, injected: Injected
) -> None:
    daemon = await world.deliverer(rpc=proxy.url).start()
    errors = proxy.inject(rpc_faults.ErrorThoughAccepted(), "eth_sendRawTransaction", times=2)
    await world.buy()
    await world.until_delivered()
    await world.buy()
    await world.until_delivered()
    await world.wait(lambda: errors.spent, "the second error")
    # After each it waits a little longer; the last part is to be confirmed, too.
    await world.settle_down(12)
    await delivered_all_the_same(world, daemon)
    assert daemon.query("SELECT count(*) FROM jobs WHERE state <> 'done'") == [(0,)]


@fault(
    33,
    "absurd gas estimate",
    by="P",
    breaks="src/dam/sending/dispatcher.py:least) + fee_policy.ROOM_GAS, most, MAX_GAS)",
    instead="0) + 20_000, 2**62)",
)
async def test_f33_an_absurd_gas_estimate(
    world: FaultWorld, proxy: RpcProxy, injected: Injected
) -> None:
    daemon = await world.deliverer(rpc=proxy.url).start()
    proxy.inject(rpc_faults.Answer("gas too high", hex(2**60)), "eth_estimateGas", times=1)
    await world.buy()
    await world.until_delivered()
    limits = [await gas_of(world, log.at.tx_hash) for log in await world.delivered()]
    assert max(limits) <= 500_000
    proxy.inject(rpc_faults.Answer("gas too low", hex(1)), "eth_estimateGas", times=1)
    await delivered_all_the_same(world, daemon)


@fault(
    34,
    "absurd fee",
    by="P",
    breaks="src/dam/sending/fee_policy.py:"
    "tip = min(price.tip * (RAMP_BLOCKS + 4 * urgency(left)) // RAMP_BLOCKS, policy.max_tip)",
    instead="tip = price.tip * (RAMP_BLOCKS + 4 * urgency(left)) // RAMP_BLOCKS",
)
async def test_f34_an_absurd_fee(world: FaultWorld, proxy: RpcProxy, injected: Injected) -> None:
    # By default it would wait for better times before it comes to the caps.
    env = {"DAM_UNPROFITABLE": "send"}
    daemon = await world.deliverer(rpc=proxy.url, env=env).start()
    proxy.inject(rpc_faults.Answer("tip", hex(10**18)), "eth_maxPriorityFeePerGas")
    base = proxy.inject(rpc_faults.base_fee_times(10**6), "eth_feeHistory")
    await world.buy()
    await world.until(lambda: bool(daemon.logged("fee_over_cap")), "the fee was found absurd")
    assert not proxy.sent
    base.stop()
    await world.until_delivered()
    for log in await world.delivered():
        tx = await transaction(world, log.at.tx_hash)
        assert int(tx["maxFeePerGas"], 16) <= 500 * 10**9
        assert int(tx["maxPriorityFeePerGas"], 16) <= 20 * 10**9
    await delivered_all_the_same(world, daemon)


async def transaction(world: FaultWorld, tx_hash: bytes) -> dict[str, Any]:
    """A transaction as the chain has it."""
    found: dict[str, Any] = await world.rpc.call("eth_getTransactionByHash", "0x" + tx_hash.hex())
    return found


async def gas_of(world: FaultWorld, tx_hash: bytes) -> int:
    """Its gas limit."""
    return int((await transaction(world, tx_hash))["gas"], 16)
