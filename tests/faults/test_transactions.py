"""F35 to F45: nonces, fees, balances, and what the contract says."""

from __future__ import annotations

from typing import Any

from eth_account.typed_transactions import TypedTransaction
from hexbytes import HexBytes

from dam.ledger.outbox import BLOCK_SECONDS
from dam.market.abi import market_abi
from tests.faults import rpc_faults
from tests.faults.daemons import Deliverer
from tests.faults.oracle import oracle
from tests.faults.rpc_proxy import Call, Fault, Reply, RpcProxy
from tests.faults.table import Injected, fault
from tests.faults.transactions import hash_of
from tests.faults.world import FaultWorld

GWEI = 10**9
# What is shown here is that a part comes, not that it pays.
AT_A_LOSS = {"DAM_UNPROFITABLE": "send"}
DELIVER = "0x" + market_abi().functions["deliverFragment"].id.hex()


def fields(raw: str) -> dict[str, Any]:
    """The fields of a signed transaction of type 2."""
    return dict(TypedTransaction.from_bytes(HexBytes(raw)).as_dict())


async def sent(world: FaultWorld, proxy: RpcProxy, times: int = 1) -> list[str]:
    """Waits, without a block, until so many transactions reached the node."""
    await world.wait(lambda: len(proxy.sent) >= times, f"{times} transactions were sent")
    return [one.raw for one in proxy.sent]


async def seen_and_sent(world: FaultWorld, proxy: RpcProxy) -> str:
    """A purchase, and the transaction that delivers it: in the pool, in no block yet."""
    before = len(proxy.sent)
    await world.buy()
    await world.mine()
    return (await sent(world, proxy, before + 1))[before]


async def everything_delivered(world: FaultWorld, daemon: Deliverer, **more: Any) -> None:
    """The end of most tests here."""
    await world.until_delivered()
    await world.settle_down()
    assert set(await oracle(world, **more)) == {"delivered"}
    assert daemon.query("SELECT count(*) FROM jobs WHERE state IN ('due', 'live')") == [(0,)]
    assert await daemon.stop() == 0


@fault(
    35,
    "nonce gap",
    by="P",
    breaks="src/dam/sending/in_flight.py:await self._fill_gap(now.head, max(latest, pending))",
)
async def test_f35_a_nonce_too_high(world: FaultWorld, proxy: RpcProxy, injected: Injected) -> None:
    daemon = await world.deliverer(rpc=proxy.url).start()
    ahead = rpc_faults.Answer("count too high", lambda count: hex(int(count, 16) + 2))
    # The node counts two transactions that it forgets a moment later.
    high = proxy.inject(ahead, "eth_getTransactionCount")
    raw = await seen_and_sent(world, proxy)
    high.stop()
    assert fields(raw)["nonce"] == 3
    await everything_delivered(world, daemon)


@fault(
    36,
    "foreign transaction with our key",
    breaks='src/dam/sending/in_flight.py:self._outbox.close_slot(slot, "lost")',
)
async def test_f36_somebody_else_uses_the_nonce(
    world: FaultWorld, proxy: RpcProxy, injected: Injected
) -> None:
    daemon = await world.deliverer(rpc=proxy.url).start()
    raw = await seen_and_sent(world, proxy)
    await world.rpc.call("anvil_dropTransaction", hash_of(raw))
    nonce = fields(raw)["nonce"]
    thief = await world.signed(daemon.actor, b"", to=daemon.actor.address, nonce=nonce)
    await world.rpc.call("eth_sendRawTransaction", thief)
    injected.add("foreign transaction")
    await world.mine()
    await everything_delivered(world, daemon)
    # It tells its operators, who know whether they sent it.
    assert daemon.logged("foreign_transaction")
    assert daemon.journal("foreign_transaction")


@fault(
    37,
    "base fee x10",
    breaks="src/dam/sending/in_flight.py:"
    "replaced = await self._raise_fees(slot, now, price, left, behind)",
)
async def test_f37_the_base_fee_jumps(
    world: FaultWorld, proxy: RpcProxy, injected: Injected
) -> None:
    world.base_fee = 2 * GWEI
    daemon = await world.deliverer(rpc=proxy.url, env=AT_A_LOSS).start()
    await seen_and_sent(world, proxy)
    world.base_fee *= 10
    injected.add("base fee x10")
    await everything_delivered(world, daemon)
    first, last = fields(proxy.sent[0].raw), fields(proxy.sent[-1].raw)
    assert first["nonce"] == last["nonce"], "replaced, and not sent beside it"
    assert first["maxFeePerGas"] < world.base_fee <= last["maxFeePerGas"] <= 500 * GWEI


class Underpriced(Fault):
    """F38: geth's rule, and a first replacement that is refused however much it offers."""

    name = "replacement refused"

    def __init__(self) -> None:
        self.best: dict[int, tuple[int, int]] = {}
        self.asked = 0

    def rewrite(self, call: Call, proxy: RpcProxy) -> Reply | None:
        tx = fields(call.params[0])
        fee, tip = tx["maxFeePerGas"], tx["maxPriorityFeePerGas"]
        known = self.best.get(tx["nonce"])
        if known in (None, (fee, tip)):
            self.best[tx["nonce"]] = (fee, tip)
            return None
        self.asked += 1
        if self.asked > 1 and fee * 10 >= known[0] * 11 and tip * 10 >= known[1] * 11:
            self.best[tx["nonce"]] = (fee, tip)
            return None
        return {"error": {"code": -32000, "message": "replacement transaction underpriced"}}


@fault(
    38,
    "replacement under 10 % refused",
    by="PA",
    breaks="src/dam/sending/fee_policy.py:"
    "tip = max(fresh.tip, *(tip * step // (8 * RAMP_BLOCKS) + 1 for _, tip in before))",
    instead="tip = fresh.tip",
)
async def test_f38_a_replacement_is_refused(
    world: FaultWorld, proxy: RpcProxy, injected: Injected
) -> None:
    world.base_fee = 2 * GWEI
    daemon = await world.deliverer(rpc=proxy.url, env=AT_A_LOSS).start()
    rule = Underpriced()
    proxy.inject(rule, "eth_sendRawTransaction")
    await seen_and_sent(world, proxy)
    world.base_fee *= 10
    await everything_delivered(world, daemon)
    assert injected["replacement refused"] == 1, "the second offer is a tenth above the first"


@fault(
    39,
    "dropped from the pool",
    breaks="src/dam/sending/in_flight.py:await self._account.send([last], now.head)",
)
async def test_f39_the_pool_forgets(world: FaultWorld, proxy: RpcProxy, injected: Injected) -> None:
    daemon = await world.deliverer(rpc=proxy.url).start()
    for _ in range(3):
        raw = await seen_and_sent(world, proxy)
        assert await world.rpc.call("anvil_dropTransaction", hash_of(raw)) == hash_of(raw)
        injected.add("dropped")
        await world.until_delivered()
        log = (await world.delivered())[-1]
        assert "0x" + log.at.tx_hash.hex() == hash_of(raw), "the very bytes, sent again"
    await everything_delivered(world, daemon)


@fault(
    40,
    "no balance",
    breaks='src/dam/sending/account.py:self.alert_once("no_balance", account=self.address, '
    'next_step="top it up")',
)
async def test_f40_an_empty_account(world: FaultWorld, proxy: RpcProxy, injected: Injected) -> None:
    daemon = await world.deliverer(rpc=proxy.url).start()
    await world.rpc.call("anvil_setBalance", daemon.actor.address, "0x0")
    injected.add("balance taken")
    await world.buy(2)
    await world.until(lambda: bool(daemon.logged("no_balance")), "the operator is told")
    assert daemon.journal("no_balance")
    await world.settle_down(10)
    # Told once, not with every block.
    assert len(daemon.logged("no_balance")) == 1
    assert not await world.delivered()
    await world.rpc.call("anvil_setBalance", daemon.actor.address, hex(10**18))
    await everything_delivered(world, daemon)


@fault(
    41,
    "already delivered: success",
    breaks='src/dam/sending/dispatcher.py:if name == "AlreadyDelivered":',
    instead="if False:",
)
async def test_f41_the_part_is_there_already(
    world: FaultWorld, proxy: RpcProxy, injected: Injected
) -> None:
    first = await world.deliverer(rpc=proxy.url).start()
    raw = await seen_and_sent(world, proxy)
    await first.kill()
    # Another machine with the same key and no memory, one block behind the delivery; its event is
    # final only long after a refusal for good would have been believed.
    again = await world.deliverer(
        rpc=proxy.url, home=world.scratch / "new", env={"DAM_CONFIRMATIONS": "14"}
    ).start()
    await world.rpc.call("anvil_dropTransaction", hash_of(raw))
    await world.mine(13)
    await world.rpc.call("eth_sendRawTransaction", raw)
    injected.add("delivered by another run")
    await world.mine()
    await again.event("serving")
    await world.settle_down(20)
    assert not again.logged("refused_by_contract")
    assert again.query("SELECT state FROM jobs") == [("done",)]
    assert len({one.raw for one in proxy.sent}) == 1, "nothing was sent a second time"
    assert (await oracle(world, exits=(0, 1)))["delivered"] == 1


@fault(
    42,
    "permanent revert: no hot loop",
    by="P",
    breaks='src/dam/sending/dispatcher.py:self._outbox.finish(job, "failed", str(error))',
)
async def test_f42_refused_for_good(world: FaultWorld, proxy: RpcProxy, injected: Injected) -> None:
    daemon = await world.deliverer(rpc=proxy.url).start()
    [bought] = await world.buy()
    index = daemon.number.to_bytes(32, "big").hex()
    data = revert("PartNotInItem")
    proxy.inject(
        RevertedWith(data + bought.sale.copy_id.hex() + index),
        "eth_call",
        "eth_estimateGas",
        when=lambda call: str(call.params[0].get("data", "")).startswith(DELIVER),
    )
    await world.until(lambda: bool(daemon.logged("refused_by_contract")), "the operator is told")
    asked = injected["reverts"]
    await world.settle_down(20)
    assert injected["reverts"] == asked, "it is not asked again and again"
    assert len(daemon.logged("refused_by_contract")) == 1
    outcome = await oracle(world, reasons=("PartNotInItem",))
    assert sum(outcome.values()) == 1
    assert not proxy.sent
    proxy.clear()
    # The others are served as ever.
    later = await world.buy()
    await world.until_delivered(sales=later)
    await oracle(world, sales=later)
    assert await daemon.stop() == 0


class RevertedWith(Fault):
    """The contract's refusal, as nodes report it."""

    name = "reverts"

    def __init__(self, data: str) -> None:
        self.error = {"code": 3, "message": "execution reverted", "data": data}

    def rewrite(self, call: Call, proxy: RpcProxy) -> Reply | None:
        return {"error": dict(self.error)}


@fault(
    43,
    "two daemons, one key",
    by="H",
    breaks="src/dam/daemon/locks.py:fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)",
)
async def test_f43_the_second_of_one_key_refuses(
    world: FaultWorld, proxy: RpcProxy, injected: Injected
) -> None:
    daemon = await world.deliverer(rpc=proxy.url).start()
    # In the same state folder, and in another one; and as a process of its own.
    for home in (daemon.home, world.scratch / "elsewhere"):
        second = await world.deliverer(rpc=proxy.url, home=home).start(ready=False)
        assert await second.wait() == 2
        injected.add("second daemon")
        [line] = second.logged("cannot_run")
        assert "already runs with account" in line["reason"]
    other = world.process(env={"XDG_STATE_HOME": str(world.folder / "state")})
    await other.start(ready=False)
    assert await other.wait() == 2
    injected.add("second daemon")
    await world.buy()
    await world.until_delivered(daemon)
    await world.settle_down()
    assert (await oracle(world, exits=(2, 0)))["delivered"] == 1
    assert await daemon.stop() == 0
    # The first one's end is the lock's end.
    third = await world.deliverer(home=world.scratch / "elsewhere").start()
    assert await third.stop() == 0


@fault(
    44,
    "100 purchases in one block",
    breaks="src/dam/sending/fee_policy.py:    batch: int = ",
    instead="    batch: int = 1 or ",
)
async def test_f44_a_hundred_purchases_in_one_block(
    world: FaultWorld, proxy: RpcProxy, injected: Injected
) -> None:
    daemons = [await world.deliverer(number, rpc=proxy.url).start() for number in range(3)]
    bought = await world.buy(100)
    assert len({one.sale.purchase_block for one in bought}) == 1
    injected.add("purchases", len(bought))
    await world.until_delivered()
    await world.settle_down()
    assert (await oracle(world))["delivered"] == 300
    assert len(proxy.sent) <= 3 * 10, "in batches"
    for daemon in daemons:
        assert await daemon.stop() == 0


@fault(
    45,
    "three blocks left",
    breaks="src/dam/sending/fee_policy.py:return max(1, policy.stuck_blocks - "
    "policy.stuck_blocks * urgency(left) // RAMP_BLOCKS)",
    instead="return policy.stuck_blocks",
)
async def test_f45_three_blocks_left(
    world: FaultWorld, proxy: RpcProxy, injected: Injected
) -> None:
    world.base_fee = 2 * GWEI
    [lost] = await world.buy()
    await world.pass_time(2 * BLOCK_SECONDS)
    [bought] = await world.buy()
    last = bought.sale.purchase_time + world.deployment.windows.delivery_seconds
    await world.rpc.call("evm_setNextBlockTimestamp", last - 3 * BLOCK_SECONDS)
    await world.mine()
    left = 3
    injected.add("seconds missed", last - left * BLOCK_SECONDS - bought.sale.purchase_time)
    daemon = await world.deliverer(
        rpc=proxy.url, env={**AT_A_LOSS, "DAM_CONFIRMATIONS": "0"}
    ).start()
    await sent(world, proxy)
    # And the next block costs ten times as much: no time to wait three blocks for a better one.
    world.base_fee *= 10
    injected.add("base fee x10")
    for _ in range(left):
        count = len(proxy.sent)
        # Such blocks as Ethereum has.
        await world.rpc.call("evm_setNextBlockTimestamp", await world.time() + BLOCK_SECONDS)
        await world.mine()
        if await world.delivered():
            break
        await sent(world, proxy, count + 1)
    await world.settle_down()
    outcome = await oracle(world, reasons=("deadline-passed", "too-late"))
    assert outcome["delivered"] == 1
    assert sum(outcome.values()) == 2
    # The other one had a block left at most, which was dear: lost, and said so.
    assert (await world.delivered())[0].copy_id == bought.sale.copy_id
    assert lost.sale.copy_id != bought.sale.copy_id
    assert await daemon.stop() == 0


def revert(error: str) -> str:
    """The selector of one of the contract's errors, 0x-hex."""
    [digest] = [key for key, entry in market_abi().errors.items() if entry.name == error]
    return "0x" + digest.hex()
