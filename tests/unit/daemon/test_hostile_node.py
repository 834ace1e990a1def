"""Answers of a node that can only be lies: the daemon says so, asks again, and lives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dam.ethereum.exchange import _seconds
from dam.ethereum.node_errors import RpcBadReplyError, RpcRejectedError
from dam.market.abi import market_abi
from dam.roles.seller.store_builder import BuiltStore
from dam.types import FALLBACK_BLOCKS
from tests.unit.helpers.world import SELLER, WatchdogDaemon, World, assert_delivered_once


class Liar:
    """Changes what the chain answers to one method, while ``lie`` is set."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.method = ""
        self.lie: Callable[[Any, Any], Any] | None = None
        self.lies = 0
        real = world.chain.batch

        async def batch(calls: Any, *, errors: bool = False) -> list[Any]:
            found = await real(calls, errors=errors)
            return [
                self._told(method, params, answer)
                for (method, params), answer in zip(calls, found, strict=True)
            ]

        monkeypatch.setattr(world.chain, "batch", batch)

    def _told(self, method: str, params: Any, answer: Any) -> Any:
        if method != self.method or self.lie is None:
            return answer
        self.lies += 1
        return self.lie(params, answer)


@pytest.fixture
def liar(world: World, monkeypatch: pytest.MonkeyPatch) -> Liar:
    return Liar(world, monkeypatch)


@pytest.mark.parametrize(
    "lie",
    [
        lambda params, answer: hex(2**255),
        lambda params, answer: hex(2**63) if params[1] == "latest" else answer,
        # Nobody may count them one by one.
        lambda params, answer: hex(2**22) if params[1] == "pending" else answer,
    ],
)
async def test_more_nonces_than_there_can_be(
    world: World, built: BuiltStore, liar: Liar, lie: Any
) -> None:
    sold = world.buy(built, "coupon")
    liar.method, liar.lie = "eth_getTransactionCount", lie
    world.chain.mine()
    with pytest.raises(RpcBadReplyError):
        await world.ticks(blocks=3)
    assert liar.lies
    liar.lie = None
    await world.ticks()
    assert_delivered_once(world, sold)


async def test_one_nonce_far_too_high_leaves_no_part_behind(
    world: World, built: BuiltStore, liar: Liar
) -> None:
    """What is signed for it can never be mined; the part would wait there until it is too late."""
    sold = [world.buy(built, "coupon")]
    await world.ticks()
    sold.append(world.buy(built, "coupon", 1))
    liar.method, liar.lie = "eth_getTransactionCount", lambda *_: hex(500)
    await world.ticks(blocks=3)
    assert liar.lies
    liar.lie = None
    await world.ticks()
    assert_delivered_once(world, *sold)


async def test_nonces_that_were_really_used_are_believed_after_a_while(
    world: World, built: BuiltStore, liar: Liar
) -> None:
    sold = world.buy(built, "coupon")
    await world.ticks()
    world.buy(built, "coupon", 1)
    liar.method, liar.lie = "eth_getTransactionCount", lambda *_: hex(500)
    await world.ticks(world.daemon, blocks=10)
    assert [slot.nonce for slot in world.daemon.outbox.live()] == [500]
    assert len(world.daemon.events("unknown_transactions")) == 1
    assert_delivered_once(world, sold)


@pytest.mark.parametrize(
    "change",
    [
        {"transactionHash": None},
        {"transactionHash": "0xzz"},
        {"transactionHash": "0x" + "00" * 32},
        {"status": hex(2**64)},
    ],
)
async def test_receipts_that_are_none(
    world: World, built: BuiltStore, liar: Liar, change: dict[str, Any]
) -> None:
    sold = world.buy(built, "coupon")
    liar.method = "eth_getTransactionReceipt"
    liar.lie = lambda _, answer: answer and {**answer, **change}
    await world.ticks(blocks=8)
    [line] = world.daemon.events("receipt_unknown")
    assert "receipt" in line["error"]
    # The block that used the nonce up says that it was ours.
    assert world.daemon.events("receipt_missing")
    assert not world.daemon.events("foreign_transaction")
    liar.lie = None
    await world.ticks()
    assert_delivered_once(world, sold)
    assert not world.daemon.outbox.live()


@pytest.mark.parametrize("block", [2**30, 2**63, 2**256 - 1])
async def test_a_first_block_that_never_comes(
    world: World, built: BuiltStore, liar: Liar, watchdog: WatchdogDaemon, block: int
) -> None:
    """One answer must not put a fallback off until it is too late."""
    sold = world.buy(built, "coupon")
    world.chain.mine(FALLBACK_BLOCKS - 2)
    liar.method = "eth_call"
    entry = next(e for e in market_abi().errors.values() if e.name == "FallbackTooEarly")
    data = "0x" + entry.id.hex() + sold.hex() + block.to_bytes(32, "big").hex()
    liar.lie = lambda *_: RpcRejectedError("eth_call", 3, "execution reverted", data)
    await world.ticks(watchdog, blocks=5)
    assert liar.lies
    liar.lie = None
    await world.ticks(watchdog, blocks=20)
    assert len(world.chain.delivered(sold)) == 3
    assert {log.by for log in world.chain.delivered(sold)} == {SELLER}


@pytest.mark.parametrize(
    "header",
    [
        "Mon, 01 Jan 99999999999999999999999999 00:00:00 GMT",
        "Mon, 01 Jan 2030 00:00:00 +99999999999999999999",
        "Mon, 01 Jan 99999 00:00:00 GMT",
        "9" * 5000,
    ],
)
def test_dates_to_wait_for_that_are_none(header: str) -> None:
    assert _seconds(header) is None
