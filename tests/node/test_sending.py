"""The sender's rules against the real contract on Anvil."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dam.crypto.hashing import keccak
from dam.daemon.service import Stop
from dam.sending.fee_policy import SendPolicy, gas_of
from tests.node.local_market import LocalMarket


@pytest.fixture
async def local() -> AsyncIterator[LocalMarket]:
    async with LocalMarket(3) as made:
        await made.by_hand()
        yield made


async def gas_used(local: LocalMarket) -> list[tuple[int, int]]:
    """Parts and gas of each transaction in the newest block."""
    block = await local.rpc.call("eth_getBlockByNumber", "latest", True)
    found = []
    for tx in block["transactions"]:
        receipt = await local.rpc.call("eth_getTransactionReceipt", tx["hash"])
        assert receipt["status"] == "0x1"
        assert int(tx["gas"], 16) < 21 * int(receipt["gasUsed"], 16) // 20 + 60_000
        # Beside its parts a call logs the list that was signed.
        found.append((len(receipt["logs"]) - 1, int(receipt["gasUsed"], 16)))
    return found


async def forget(local: LocalMarket, copy: int) -> None:
    """Empties a sale's storage word: a mapping's, keccak256(key, slot of the mapping)."""
    sold = local.purchase(copy, 0, 0, [b""]).copy_id
    market = local.deployment.market
    for slot in range(32):
        place = "0x" + keccak(sold + slot.to_bytes(32, "big")).hex()
        if int(await local.rpc.call("eth_getStorageAt", market, place, "latest"), 16):
            await local.rpc.call("anvil_setStorageAt", market, place, "0x" + bytes(32).hex())
            return
    raise AssertionError("the sale has no storage word")


class Running:
    """One deliverer of the market, at work."""

    def __init__(self, local: LocalMarket, path: Path, policy: SendPolicy) -> None:
        self.local, self.path, self.policy = local, path, policy

    async def __aenter__(self) -> Running:
        self.stop, ready = Stop(), asyncio.Event()
        self.task = asyncio.create_task(
            self.local.daemons[0].run(
                self.path, self.stop, poll=0.05, confirmations=0, ready=ready, policy=self.policy
            )
        )
        await ready.wait()
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.stop.request()
        await self.task

    async def pool(self, count: int) -> None:
        """Waits for so many transactions in the pool."""
        async with asyncio.timeout(60):
            while int((await self.local.rpc.call("txpool_status"))["pending"], 16) < count:
                assert not self.task.done()
                await asyncio.sleep(0.02)


async def test_the_gas_that_profit_counts_with_is_what_the_chain_takes(
    local: LocalMarket, tmp_path: Path
) -> None:
    """Within 5 %, alone and in batches; and a batch is cheaper from two parts on."""
    steps = len(local.daemons[0].kept.proof) // 32
    copy = 0
    for size in (1, 2, 10, 24):
        policy = SendPolicy(batch=size, confirmations=0)
        # A new ledger each time, and each time only these sales are left to do.
        async with Running(local, tmp_path / f"{size}.sqlite", policy) as running:
            await local.buy(copy, size)
            copy += size
            await running.pool(1)
            await local.mine()
            [(parts, used)] = await gas_used(local)
            assert parts == size
            assert used == pytest.approx(gas_of(size, size * steps), rel=0.05)
            assert size == 1 or used < size * gas_of(1, steps)


async def test_what_others_do_to_a_batch_meanwhile(local: LocalMarket, tmp_path: Path) -> None:
    """One sale of the batch is gone before it is mined: the others arrive all the same."""
    policy = SendPolicy(confirmations=0)
    async with Running(local, tmp_path / "ledger.sqlite", policy) as running:
        await local.buy(0, 5)
        block = await local.height()
        await running.pool(1)
        # The sale's word, as if another branch had never seen the purchase.
        await forget(local, 2)
        await local.mine()
        assert await local.delivered(block + 1) == 4
        for _ in range(8):
            await local.mine()
            await asyncio.sleep(0.1)
        assert await local.delivered(block + 1) == 4
