"""A hash that a node answers with an error is not known yet, and nothing else stops for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dam.errors import ContractReverted
from dam.ethereum.node_errors import RpcBadReplyError, RpcRejectedError, RpcUnavailableError
from dam.roles.seller.store_builder import BuiltStore
from dam.sending.transactions import look_up, read_receipt
from tests.unit.helpers.transactions import all_transactions, no_transactions, sent_one
from tests.unit.helpers.world import World, assert_delivered_once

TX = b"\x11" * 32


def indexing(_: str) -> Any:
    """geth 1.13 and later, while it indexes, of every hash that it does not know."""
    raise RpcRejectedError("batch", -32000, "transaction indexing is in progress")


def gateway(_: str) -> Any:
    raise RpcUnavailableError("batch: 127.0.0.1 gave HTTP 502", status=502)


ANSWERS: dict[str, Callable[[str], Any]] = {
    "indexing": indexing,
    "internal": lambda _: (_ for _ in ()).throw(RpcRejectedError("x", -32603, "internal error")),
    "502": gateway,
    "of another": lambda _: sound(transactionHash="0x" + "22" * 32),
    "no status": lambda text: sound(transactionHash=text, status=None),
    "a list": lambda _: [],
    "a text": lambda _: "pending",
}


def sound(**changes: Any) -> dict[str, Any]:
    values = {
        "blockNumber": "0x2",
        "status": "0x1",
        "gasUsed": "0x5208",
        "effectiveGasPrice": "0x3",
    }
    return {"transactionHash": "0x" + TX.hex(), **values, **changes}


def test_a_receipt_is_taken_or_refused_by_name() -> None:
    found = read_receipt(TX, sound(transactionHash="0x" + TX.hex().upper(), odd={"l1Fee": 1}))
    assert found is not None
    assert (found.block, found.status, found.gas_used, found.price) == (2, 1, 21000, 3)
    assert read_receipt(TX, None) is None
    assert read_receipt(TX, sound(blockNumber=None)) is None, "it waits, say some nodes"
    free = read_receipt(TX, sound(effectiveGasPrice=None))
    assert free is not None
    assert free.price == 0
    for wrong in (
        [], "0x1", 1, {}, sound(status="0x2"), sound(status=1), sound(gasUsed="a lot"),
        sound(transactionHash=None), sound(transactionHash="0x11"), sound(blockNumber="two"),
    ):  # fmt: skip
        with pytest.raises(RpcBadReplyError, match="receipt"):
            read_receipt(TX, wrong)
    with pytest.raises(RpcRejectedError, match="indexing"):
        read_receipt(TX, RpcRejectedError("batch", -32000, "transaction indexing is in progress"))


async def test_an_error_stands_for_its_hash_alone(world: World) -> None:
    receipt = world.chain._eth_getTransactionReceipt

    def picky(text: str) -> Any:
        return indexing(text) if text.endswith("11") else receipt(text)

    world.chain._eth_getTransactionReceipt = picky  # type: ignore[method-assign]
    method = "eth_getTransactionReceipt"
    first, second = await look_up(world.chain, method, [TX, b"\x22" * 32])
    assert isinstance(first, RpcRejectedError)
    assert second is None
    world.chain._eth_getTransactionReceipt = gateway  # type: ignore[method-assign]
    found = await look_up(world.chain, method, [TX, b"\x22" * 32])
    assert all(isinstance(one, RpcUnavailableError) for one in found)


async def test_a_replaced_transaction_that_geth_still_indexes_stops_nothing(
    world: World, built: BuiltStore
) -> None:
    """The one that was mined has its receipt; the one that it replaced has an error."""
    daemon, first, sold = await sent_one(world, built)
    await world.ticks(daemon, blocks=3)
    [slot] = daemon.outbox.live()
    assert slot.last.hash != first.hash
    receipt = world.chain._eth_getTransactionReceipt
    world.chain._eth_getTransactionReceipt = (  # type: ignore[method-assign]
        lambda text: receipt(text) or indexing(text)
    )
    world.chain.accepts = all_transactions
    await world.ticks(daemon)
    assert daemon.outbox.live() == []
    assert len(daemon.events("transaction_final")) == 1
    assert not daemon.events("receipt_unknown")
    again = world.buy(built, "code", 1)
    await world.ticks(daemon)
    assert_delivered_once(world, sold, again, by=[daemon])


@pytest.mark.parametrize("kind", ANSWERS)
async def test_receipts_that_a_node_cannot_give_stop_nothing(
    world: World, built: BuiltStore, kind: str
) -> None:
    receipt = world.chain._eth_getTransactionReceipt
    daemon = world.daemon
    sold = [world.buy(built, "code", 0)]
    await world.ticks(daemon, blocks=2)
    world.chain._eth_getTransactionReceipt = ANSWERS[kind]  # type: ignore[method-assign]
    for copy in (1, 2, 3):
        sold.append(world.buy(built, "coupon", copy))
        await world.ticks(daemon, blocks=3)
    assert_delivered_once(world, *sold[:3], by=[daemon])
    told = daemon.events("receipt_unknown")
    assert {line["nonce"] for line in told} >= {0}
    assert len(told) == len({line["nonce"] for line in told}), "once for each"
    world.chain._eth_getTransactionReceipt = receipt  # type: ignore[method-assign]
    await world.ticks(daemon)
    assert_delivered_once(world, *sold, by=[daemon])
    assert daemon.outbox.live() == []
    assert not daemon.events("foreign_transaction")


@pytest.mark.parametrize("error", ["indexing", "502"])
async def test_what_a_node_cannot_tell_is_nobody_elses(
    world: World, built: BuiltStore, error: str
) -> None:
    """No receipt, and no past: it is not known, and so it is not taken for a stranger's."""
    daemon, first, sold = await sent_one(world, built)
    execute, receipt = world.chain._execute, world.chain._eth_getTransactionReceipt
    block = world.chain._eth_getBlockByNumber

    def reverts(*_: Any) -> Any:
        raise ContractReverted("NotEligible")

    world.chain._execute = reverts  # type: ignore[method-assign]
    world.chain.accepts = lambda tx: tx.hash == first.hash
    world.chain._eth_getTransactionReceipt = ANSWERS[error]  # type: ignore[method-assign]
    world.chain._eth_getBlockByNumber = (  # type: ignore[method-assign]
        lambda *_: ANSWERS[error]("")
    )
    await world.ticks(daemon, blocks=12)
    assert world.chain.mined(daemon.address) == [(0, 0)]
    assert not daemon.events("foreign_transaction")
    assert [slot.nonce for slot in daemon.outbox.live()] == [0]
    world.chain._execute, world.chain.accepts = execute, all_transactions  # type: ignore[method-assign]
    world.chain._eth_getTransactionReceipt = receipt  # type: ignore[method-assign]
    world.chain._eth_getBlockByNumber = block  # type: ignore[method-assign]
    await world.ticks(daemon, blocks=16)
    assert [log.by for log in world.chain.delivered(sold)] == [daemon.address]  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["indexing", "internal", "502"])
async def test_a_pointless_one_that_a_node_cannot_tell_of_is_taken_back(
    world: World, built: BuiltStore, kind: str
) -> None:
    """It may be in the pool: an empty one takes its place, and what waits behind it goes on."""
    daemon, first, _ = await sent_one(world, built)
    second = world.buy(built, "code", 1)
    await world.ticks(daemon, blocks=2)
    execute = world.chain._execute

    def closed(sender: Any, to: Any, data: bytes, block: int) -> Any:
        if data == first.data:
            raise ContractReverted("DeliveryClosed", {"copyId": bytes(32), "lastTime": 1})
        return execute(sender, to, data, block)

    world.chain._execute = closed  # type: ignore[method-assign]
    world.chain._eth_getTransactionByHash = ANSWERS[kind]  # type: ignore[method-assign]
    await world.ticks(daemon, blocks=4)
    assert daemon.events("transaction_pointless")
    world.chain.accepts = all_transactions
    await world.ticks(daemon, blocks=4)
    assert [log.by for log in world.chain.delivered(second)] == [daemon.address]
    assert [status for _, status in world.chain.mined(daemon.address)] == [1, 1]


@pytest.mark.parametrize("kind", ["indexing", "internal", "502"])
async def test_what_was_given_back_and_cannot_be_looked_up_stops_nothing(
    world: World, built: BuiltStore, kind: str
) -> None:
    daemon, _, sold = await sent_one(world, built)
    [slot] = daemon.outbox.live()
    with daemon.ledger.transaction():
        daemon.outbox.close_slot(slot, "abandoned")
    world.chain._eth_getTransactionByHash = ANSWERS[kind]  # type: ignore[method-assign]
    world.chain.accepts = no_transactions
    again = world.buy(built, "code", 1)
    await world.ticks(daemon, blocks=4)
    world.chain.accepts = all_transactions
    await world.ticks(daemon, blocks=20)
    assert [log.by for log in world.chain.delivered(sold)] == [daemon.address]  # type: ignore[arg-type]
    assert [log.by for log in world.chain.delivered(again)] == [daemon.address]
