"""A block's transactions, and logs out of their receipts: what a block too large is read from."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from typing import Any

import pytest

from dam.crypto.hashing import checksum
from dam.ethereum.node import NodeLimits
from dam.ethereum.node_errors import RpcBadReplyError, RpcRejectedError, RpcTooLargeError
from dam.ethereum.node_pool import DisagreementError
from dam.ethereum.rpc import JsonRpc
from dam.market.client import Market
from dam.market.log_decoder import TOPICS
from dam.types import ZERO_ADDRESS, Deployment, Wei, Windows
from tests.node.node_pool.nodes import ADDRESS, Node, Pools
from tests.node.servers import http

KEPT, OTHER = "0x" + "11" * 32, "0x" + "12" * 32
HASHES = ("0x" + "a1" * 32, "0x" + "a2" * 32)


def log(topic: str = KEPT, address: str = ADDRESS, **fields: Any) -> dict[str, Any]:
    log = Node("a").log(3)
    return {**log, "address": address, "topics": [topic] if topic else [], **fields}


def receipt(number: int, *logs: dict[str, Any]) -> dict[str, Any]:
    return {"transactionHash": HASHES[number], "status": "0x1", "logs": list(logs)}


def answering(serve, *answers: dict[str, Any], padding: int = 0):
    async def handler(path: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        ids = [request["id"] for request in json.loads(body)]
        replies = [{"id": i, **answer} for i, answer in zip(ids, answers, strict=True)]
        writer.write(http("200 OK", json.dumps(replies).encode() + b" " * padding))

    return serve(handler)


async def test_what_is_asked_for_is_taken_out_of_the_receipts(serve) -> None:
    one = receipt(0, log(), log(OTHER), log(address="0x" + "bb" * 20), log(""))
    two = receipt(1, log(KEPT.upper().replace("X", "x"), ADDRESS.upper().replace("X", "x")))
    server = await answering(serve, {"result": one}, {"result": two})
    async with JsonRpc(server.url) as rpc:
        found = await rpc.receipt_logs(HASHES, ADDRESS, {KEPT})
        everything = await rpc.receipt_logs(HASHES, ADDRESS, None)
    assert found is not None
    assert [one.topics[0].lower() for one in found] == [KEPT, KEPT]
    assert everything is not None
    assert len(everything) == 4
    assert [r["method"] for r in json.loads(server.requests[0][1])] == [
        "eth_getTransactionReceipt"
    ] * 2


async def test_what_is_not_asked_for_may_look_like_anything(serve) -> None:
    odd = {**log(OTHER), "data": 7, "logIndex": None}
    server = await answering(serve, {"result": receipt(0, log(), odd)}, {"result": receipt(1)})
    async with JsonRpc(server.url) as rpc:
        assert len(await rpc.receipt_logs(HASHES, ADDRESS, {KEPT}) or ()) == 1
        with pytest.raises(RpcBadReplyError):
            await rpc.receipt_logs(HASHES, ADDRESS, None)


async def test_a_receipt_that_is_not_there_yet(serve) -> None:
    server = await answering(serve, {"result": receipt(0, log())}, {"result": None})
    async with JsonRpc(server.url) as rpc:
        assert await rpc.receipt_logs(HASHES, ADDRESS, None) is None


@pytest.mark.parametrize(
    "answer",
    [
        receipt(1),
        {**receipt(0), "logs": None},
        {**receipt(0), "logs": [None]},
        {**receipt(0), "logs": [{"address": ADDRESS}]},
        {**receipt(0), "transactionHash": None},
        [],
        7,
    ],
)
async def test_a_receipt_that_is_none(serve, answer: Any) -> None:
    server = await answering(serve, {"result": answer}, {"result": receipt(1)})
    async with JsonRpc(server.url) as rpc:
        with pytest.raises(RpcBadReplyError):
            await rpc.receipt_logs(HASHES, ADDRESS, None)


async def test_a_refused_receipt_is_told(serve) -> None:
    error = {"code": -32000, "message": "indexing is in progress"}
    server = await answering(serve, {"result": receipt(0)}, {"error": error})
    async with JsonRpc(server.url) as rpc:
        with pytest.raises(RpcRejectedError, match="indexing"):
            await rpc.receipt_logs(HASHES, ADDRESS, None)


async def test_receipts_over_the_cap_that_is_set(serve) -> None:
    answers = {"result": receipt(0)}, {"result": receipt(1)}
    server = await answering(serve, *answers, padding=2 << 20)
    async with JsonRpc(server.url, limits=NodeLimits(logs_bytes=1 << 20)) as rpc:
        with pytest.raises(RpcTooLargeError, match="1048576 bytes"):
            await rpc.receipt_logs(HASHES, ADDRESS, None)
    async with JsonRpc(server.url, limits=NodeLimits(logs_bytes=4 << 20)) as rpc:
        assert await rpc.receipt_logs(HASHES, ADDRESS, None) == []


def block(node: Node, *hashes: str, number: int = 3) -> dict[str, Any]:
    block = {"number": hex(number), "hash": node.hash(number), "timestamp": "0x1"}
    return {**block, "transactions": list(hashes)}


async def test_several_nodes_must_tell_the_same(pools: Pools) -> None:
    a, b = Node("a"), Node("b")
    for node in (a, b):
        node.answers["eth_getBlockByNumber"] = block(node, *HASHES)
        node.answers["eth_getTransactionReceipt"] = receipt(0, log())
    rpc = await pools.open(a, b)
    found = await rpc.block_transactions(3)
    assert found is not None
    assert (found[0].hash, found[1]) == (a.hash(3), HASHES)
    assert len(await rpc.receipt_logs(HASHES[:1], ADDRESS, None) or ()) == 1
    b.answers["eth_getTransactionReceipt"] = receipt(0)
    with pytest.raises(DisagreementError):
        await rpc.receipt_logs(HASHES[:1], ADDRESS, None)
    b.answers["eth_getBlockByNumber"] = block(b, HASHES[0])
    with pytest.raises(DisagreementError):
        await rpc.block_transactions(3)


@pytest.mark.parametrize("field", ["hash", "transactions", "number"])
async def test_a_block_that_is_none(pools: Pools, field: str) -> None:
    node = Node("a")
    node.answers["eth_getBlockByNumber"] = {**block(node, *HASHES), field: None}
    rpc = await pools.open(node)
    with pytest.raises(RpcBadReplyError):
        await rpc.block_transactions(3)


async def test_nothing_else_of_a_receipt_stays_in_memory(serve) -> None:
    """A node that takes one call at a time caps each answer, and not all of them together."""
    others = [log(OTHER, data="0x" + "00" * 1000) for _ in range(1000)]

    async def handler(path: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        call = json.loads(body)
        if isinstance(call, list):
            error = {"code": -32600, "message": "batch requests are not supported"}
            writer.write(http("200 OK", json.dumps({"id": None, "error": error}).encode()))
            return
        answer = {**receipt(0, log(), *others), "transactionHash": call["params"][0]}
        writer.write(http("200 OK", json.dumps({"id": call["id"], "result": answer}).encode()))

    server = await serve(handler)
    async with JsonRpc(server.url) as rpc:
        await rpc.receipt_logs(HASHES, ADDRESS, {KEPT})
        tracemalloc.start()
        try:
            found = await rpc.receipt_logs(HASHES * 8, ADDRESS, {KEPT})
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert len(found or ()) == 16
    # One of them has 2.4 MB.
    assert peak < 16 << 20


@pytest.mark.parametrize("agree", [1, 2])
@pytest.mark.parametrize("capped", [(True, False), (False, True), (True, True)])
async def test_a_block_that_one_node_finds_too_large_stops_no_pool(
    pools: Pools, capped: tuple[bool, bool], agree: int
) -> None:
    """R1: the other may give it; where they have to agree, both give its receipts."""
    topic = TOPICS["SaleSettled"]
    words = [topic, "0x" + "44" * 32, "0x" + "00" * 12 + "55" * 20]
    logs = [log(topic, topics=words, logIndex=hex(n)) for n in range(50)]
    nodes = Node("a"), Node("b")
    for node, few in zip(nodes, capped, strict=True):
        node.logs = lambda _: logs
        if few:
            error = {"code": -32005, "message": "query returned more than 10 results"}
            node.answers["eth_getLogs"] = error
        node.answers["eth_getBlockByNumber"] = block(node, HASHES[0])
        node.answers["eth_getTransactionReceipt"] = receipt(0, *logs)
    rpc = await pools.open(*nodes, agree=agree)
    windows = Windows(3600, 2400, 3600, 20_000, 3600, 3600, Wei(10), Wei(10), Wei(5))
    address = checksum(bytes.fromhex(ADDRESS[2:]))
    market = Market(
        rpc, Deployment(1, address, 1, bytes(32), address, address, windows, ZERO_ADDRESS)
    )
    page = await market.page(3, 3, canonical=True)
    assert [row[2] for row in page.rows.sale_events] == list(range(50))
