"""What named nodes and providers do to a reader of logs, and what the reader does then.

Each row is one way to limit, to word an error, or to answer oddly, played by a proxy in front of a
real chain: as the only node, and as one of three of which two must agree, where it may not show.
Codes and words are those of public error reports and of the clients' sources.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from dam.ethereum.node_errors import RpcBadReplyError, RpcUnavailableError
from dam.ethereum.node_pool import NodePool
from dam.ethereum.rpc import JsonRpc
from dam.market.client import BlockUnknownError, Market
from tests.faults.rpc_faults import Answer, BatchLimit, Refusal, Status, each
from tests.faults.rpc_proxy import Call, Fault, RpcProxy
from tests.faults.world import FaultWorld

LOGS = "eth_getLogs"
ANY_SPAN, WIDE = 0, 3


def error(code: int, message: str, data: Any = None) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": message, "data": data}}


def shouted(value: Any) -> Any:
    """Hex in upper case, wherever it stands."""
    if isinstance(value, list):
        return [shouted(one) for one in value]
    return "0x" + value[2:].upper() if isinstance(value, str) else value


@dataclass(frozen=True)
class Behaviour:
    """One row. What the reader does: one of the tests below says how that shows."""

    node: str
    fault: Fault
    does: str
    """``asks for less``, ``waits`` (for ``pause`` seconds, if the node says), ``sees that it
    lags``, ``asks for fewer calls at once`` (``calls``), or ``reads on``."""
    over: int = ANY_SPAN
    """Only ranges of more blocks."""
    methods: tuple[str, ...] = (LOGS,)
    pause: float | None = None
    calls: int = 100


def less(node: str, code: int, message: str, data: Any = None) -> Behaviour:
    return Behaviour(node, Refusal(code, message, data), "asks for less", over=WIDE)


def waits(node: str, fault: Fault, pause: float | None = None, *methods: str) -> Behaviour:
    return Behaviour(node, fault, "waits", pause=pause, methods=methods)


def lags(node: str, fault: Fault) -> Behaviour:
    return Behaviour(node, fault, "sees that it lags")


def fewer(node: str, calls: int, fault: Fault) -> Behaviour:
    return Behaviour(node, fault, "asks for fewer calls at once", methods=(), calls=calls)


RATE = {"rate": {"allowed_rps": 1, "backoff_seconds": 24, "current_rps": 4.2}}
BEHAVIOURS = [
    # -- the size of the range, or of its answer
    less("Infura", -32005, "query returned more than 10000 results. Try with this block range"),
    less(
        "Alchemy, free", -32600, "Under the Free tier plan, you can make eth_getLogs requests with "
        "up to a 10 block range. Based on your parameters, this block range should work: [0x1]",
    ),
    less(
        "Alchemy, size", -32602, "Log response size exceeded. You can make eth_getLogs requests "
        "with up to a 2K block range and no limit on the response size",
    ),
    less("QuickNode", -32614, "eth_getLogs is limited to a 10,000 range"),
    less("dRPC", 35, "ranges over 10000 blocks are not supported on freetier"),
    less("Reth, results", -32602, "query exceeds max results 20000, retry with the range 1-2"),
    less("Besu", -32005, "Requested range exceeds maximum RPC range limit"),
    less("Nethermind", -32016, "eth_getLogs request was canceled due to enabled timeout."),
    less("Arbitrum", -32000, "logs matched by query exceeds limit of 10000"),
    less("reason in data", -32000, "Server error", "query exceeds max block range 1000"),
    less("BSC, public", -32005, "limit exceeded"),
    less("words that no rule knows", -32000, "the cat sat on the database"),
    # -- the node: quota, keys, state
    waits("Infura, rate", Status(429, error(-32005, "project ID request rate exceeded"), 30), 30.0),
    waits("Infura, in JSON", Refusal(-32005, "request rate exceeded", RATE), 24.0, LOGS),
    waits("Infura, a day's", Status(402, error(-32005, "daily request count exceeded"))),
    waits(
        "Alchemy, units",
        Refusal(429, "Your app has exceeded its compute units per second capacity"),
        None,
        LOGS,
    ),
    waits("QuickNode, rate", Refusal(-32007, "50/second request limit reached"), None, LOGS),
    waits(
        "Ankr, rate",
        Refusal(-32090, "Too many requests, reason: call rate limit exhausted, retry in 10s"),
        10.0,
        LOGS,
    ),
    waits("range words under 429", Status(429, error(-32005, "block range limit"), 5), 5.0),
    waits("a gateway's 502 in JSON", Status(502, error(-32000, "query exceeds max block range"))),
    waits("a gateway's page", Status(503, "<html>no upstream</html>")),
    waits("a key that is wrong", Status(401, error(-32600, "invalid range"))),
    waits("Cloudflare", Refusal(-32046, "Cannot fulfill request"), None, LOGS),
    waits("geth, pruned", Refusal(4444, "pruned history unavailable"), None, LOGS),
    # -- a head that is behind
    lags("geth of 2026", Refusal(-32602, "block range extends beyond current head block")),
    lags("Erigon", Refusal(-32000, "requested range [1, 9] is beyond latest executed block 8")),
    lags("Reth, no header", Refusal(-32001, "block not found: 0x9")),
    # -- calls at once
    fewer("geth, batches", 3, BatchLimit(9, [error(-32600, "batch too large")])),
    fewer("dRPC, free", 3, BatchLimit(3, error(31, "Batch of more than 3 requests"), 400)),
    fewer("a gateway that takes no body so large", 10, BatchLimit(20, "<html>", 413)),
    fewer("none at all", 1, BatchLimit(0, error(-32600, "Invalid Request"))),
    fewer("none at all, in no words", 1, BatchLimit(0, "Bad Request", 400)),
    # -- odd answers
    Behaviour("hex in upper case", each("upper", lambda log: {
        **log, **{key: shouted(log[key]) for key in ("topics", "data", "blockHash", "address")},
    }), "reads on"),
    Behaviour("fields of a chain's own", each("more", lambda log: {
        **log, "l1BatchNumber": None, "blockTimestamp": "0x1", "removed": None,
    }), "reads on"),
    Behaviour("no logs at all", Answer("null", None), "does not believe it"),
]  # fmt: skip


def inject(row: Behaviour, proxy: RpcProxy) -> Any:
    def concerns(call: Call) -> bool:
        if call.method != LOGS or not row.over:
            return True
        query = call.params[0]
        return int(query["toBlock"], 16) - int(query["fromBlock"], 16) >= row.over

    return proxy.inject(row.fault, *row.methods, when=concerns)


def test_there_are_twenty() -> None:
    assert len({row.node for row in BEHAVIOURS}) == len(BEHAVIOURS) >= 20


@pytest.mark.parametrize("row", BEHAVIOURS, ids=lambda row: row.node)
async def test_as_the_only_node(world: FaultWorld, proxy: RpcProxy, row: Behaviour) -> None:
    first, head = world.deployment.first_block, await world.block()
    assert head - first > 2 * WIDE
    want = await world.market.logs(first, head)
    rule = inject(row, proxy)
    async with NodePool((proxy.url,)) as rpc:
        market = Market(rpc, world.deployment)
        if row.does == "asks for less":
            assert await market.logs(first, head) == want
        elif row.does == "waits":
            with pytest.raises(RpcUnavailableError) as caught:
                await market.logs(first, head)
            assert caught.value.retry_after == row.pause
            rule.stop()
            rpc._all[0].until = 0.0  # as if that time were over
            asked = proxy.asked[LOGS]
            assert await market.logs(first, head) == want
            assert proxy.asked[LOGS] == asked + 1, "no range was halved for it"
        elif row.does == "sees that it lags":
            with pytest.raises(BlockUnknownError):
                await market.logs(first, head)
        elif row.does == "asks for fewer calls at once":
            numbers = [first + number % (head - first) for number in range(30)]
            assert [block.number for block in await market.blocks(numbers)] == numbers
            assert await market.logs(first, head) == want
            assert rpc._all[0].rpc.batch_calls == row.calls
        elif row.does == "reads on":
            assert await market.logs(first, head) == want
        else:
            with pytest.raises(RpcBadReplyError):
                await market.logs(first, head)
    assert rule.injected


@pytest.mark.parametrize("row", BEHAVIOURS, ids=lambda row: row.node)
async def test_as_one_of_three(world: FaultWorld, proxy: RpcProxy, row: Behaviour) -> None:
    first, head = world.deployment.first_block, await world.block()
    want = await world.market.logs(first, head)
    rule = inject(row, proxy)
    async with NodePool((proxy.url, world.chain.url, world.chain.url), agree=2) as rpc:
        market = Market(rpc, world.deployment)
        async with asyncio.timeout(20):  # and so not as long as the one wants to be left alone
            assert await market.logs(first, head) == want
            assert await market.head() == (await world.market.head())
            assert len(await market.blocks([first, head] * 15)) == 30
        assert rpc.disagreement == ""
        assert market._logs._size.blocks > head - first, "nobody else is asked for less"
    assert rule.injected


async def test_the_cause_stands_in_what_is_said(world: FaultWorld, proxy: RpcProxy) -> None:
    async with JsonRpc("http://127.0.0.1:9") as rpc:
        with pytest.raises(RpcUnavailableError, match=r"nothing answers at 127\.0\.0\.1:9$"):
            await Market(rpc, world.deployment).head()
    proxy.inject(Status(429, "", 30))
    async with NodePool((proxy.url,)) as pool:
        for _ in range(2):
            with pytest.raises(RpcUnavailableError, match=r"HTTP 429.* 30 s"):
                await Market(pool, world.deployment).head()
