"""What a node says of the market, changed by a proxy: every lie is refused."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from dam.errors import ContractReverted, RpcError
from dam.ethereum.node_errors import RpcBadReplyError
from dam.ethereum.rpc import JsonRpc
from dam.market import log_reader
from dam.market.abi import encode, market_abi
from dam.market.client import Market
from tests.node.live_market import LiveMarket, head


@pytest.fixture
def through(proxy, live: LiveMarket):
    """Logs as read through a proxy that changes what eth_getLogs gives."""
    rpcs: list[JsonRpc] = []

    async def read(change, *, canonical: bool = False, last: int | None = None) -> Any:
        def only_logs(method: str, params: list[Any], result: Any) -> Any:
            return change(params, result) if method == "eth_getLogs" else result

        server = await proxy(only_logs)
        rpc = JsonRpc(server.url, timeout=10)
        try:
            market = Market(rpc, live.deployment)
            return await market.logs(0, head(live) if last is None else last, canonical=canonical)
        finally:
            await rpc.close()
            rpcs.append(rpc)

    return read


def log_change(**fields: Any):
    """Changes the last log, which is a purchase."""

    def change(params: list[Any], logs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [*logs[:-1], {**logs[-1], **fields}]

    return change


TOPICS = [market_abi().topic("ItemPurchased"), bytes(32), bytes(32), bytes(32)]


@pytest.mark.parametrize(
    "change",
    [
        log_change(address="0x" + "11" * 20),
        log_change(address=None),
        log_change(topics=["0x" + "22" * 32]),
        log_change(topics=["0x" + topic.hex() for topic in TOPICS]),
        log_change(topics=[]),
        log_change(topics=None),
        log_change(topics=["0x12"]),
        log_change(data="0x"),
        log_change(data="0x1"),
        log_change(data=None),
        log_change(removed=True),
        log_change(removed="yes"),
        log_change(blockNumber="0xffff"),
        log_change(blockNumber=None),
        log_change(blockNumber="-0x1"),
        log_change(blockNumber="0x1"),
        log_change(blockHash="0x" + "33" * 32),
        log_change(blockHash=None),
        log_change(logIndex=None),
        log_change(transactionHash="0x00"),
        lambda params, logs: [*logs, None],
        lambda params, logs: {"logs": logs},
        lambda params, logs: None,
        lambda params, logs: [*logs, {**logs[-1], "transactionHash": "0x" + "44" * 32}],
    ],
)
async def test_forged_logs(through, live: LiveMarket, change) -> None:
    live.open()
    live.buy()
    with pytest.raises(RpcBadReplyError):
        await through(change, canonical=True)


async def test_copy_id_must_be_its_hash(through, live: LiveMarket) -> None:
    live.open()
    live.buy()

    def change(params: list[Any], logs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        topics = logs[-1]["topics"]
        return [*logs[:-1], {**logs[-1], "topics": [topics[0], "0x" + "55" * 32, *topics[2:]]}]

    with pytest.raises(RpcBadReplyError, match="forged log"):
        await through(change)


async def test_duplicates_and_disorder(through, market: Market, live: LiveMarket) -> None:
    live.open()
    live.buy(0)
    live.buy(1)
    honest = await market.logs(0, head(live))
    assert len(honest) == 7
    assert await through(lambda params, logs: logs[::-1] + logs) == honest


async def test_range_limit_is_bisected(through, market: Market, live: LiveMarket) -> None:
    live.open()
    live.anvil.mine(300)
    live.buy()
    asked: list[tuple[int, int]] = []

    def limited(params: list[Any], logs: list[Any]) -> Any:
        first, last = int(params[0]["fromBlock"], 16), int(params[0]["toBlock"], 16)
        if last - first >= 50:
            return {"code": -32005, "message": "query exceeds max block range 50"}
        asked.append((first, last))
        return logs

    assert await through(limited) == await market.logs(0, head(live))
    assert asked[0][0] == 0
    assert all(b[0] == a[1] + 1 for a, b in itertools.pairwise(asked))
    assert asked[-1][1] == head(live)
    assert len(asked) < 20


@pytest.mark.parametrize(
    "error",
    [{"code": -32005, "message": "limit exceeded"}, {"code": -32000, "message": "no such luck"}],
)
async def test_a_node_that_gives_no_logs_is_read_by_its_receipts(
    through, market: Market, live: LiveMarket, error: dict[str, Any], monkeypatch
) -> None:
    monkeypatch.setattr(log_reader, "_UNKNOWN_PAUSE_SECONDS", 0.0)
    live.open()
    live.buy()
    assert await through(lambda params, logs: error) == await market.logs(0, head(live))


async def test_other_errors_are_not_bisected(through, live: LiveMarket) -> None:
    asked = 0

    def refuse(params: list[Any], logs: list[Any]) -> Any:
        nonlocal asked
        asked += 1
        return {"code": -32000, "message": "header not found"}

    with pytest.raises(RpcError):
        await through(refuse)
    assert asked == 2, "the same once more: another node may stand behind the address"


async def test_views_that_lie(proxy, live: LiveMarket) -> None:
    for answer in ("0x", "0x00", None, "0x" + "ff" * 192, {"x": 1}):
        server = await proxy(
            lambda method, params, result, a=answer: a if method == "eth_call" else result
        )
        async with JsonRpc(server.url) as rpc:
            market = Market(rpc, live.deployment)
            with pytest.raises(RpcBadReplyError):
                await market.sale_state(bytes(32))
            with pytest.raises(RpcBadReplyError):
                await market.deliverer(live.seller)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"code": 3, "message": "execution reverted", "data": "0xd92e233d"}, "ZeroAddress"),
        ({"code": -32015, "message": "VM error", "data": "Reverted 0xd92e233d"}, "ZeroAddress"),
        ({"code": -32603, "message": "x", "data": {"data": "0xd92e233d"}}, "ZeroAddress"),
        ({"code": 3, "message": "execution reverted"}, ""),
        ({"code": -32000, "message": "execution reverted"}, ""),
        ({"code": 3, "message": "execution reverted", "data": "0x12345678"}, "unknown"),
    ],
)
async def test_reverts_as_nodes_tell_them(proxy, live: LiveMarket, error, expected: str) -> None:
    server = await proxy(lambda method, params, result: error)
    async with JsonRpc(server.url) as rpc:
        with pytest.raises(ContractReverted) as caught:
            await Market(rpc, live.deployment).simulate(encode("stakeAsSeller"), sender=live.seller)
    assert caught.value.error == expected


async def test_a_node_s_own_refusal_is_no_revert(proxy, live: LiveMarket) -> None:
    error = {"code": -32000, "message": "insufficient funds for gas * price + value"}
    server = await proxy(lambda method, params, result: error)
    async with JsonRpc(server.url) as rpc:
        with pytest.raises(RpcError):
            await Market(rpc, live.deployment).simulate(encode("stakeAsSeller"), sender=live.seller)
