"""Logs and the block that ends them, in one request: odd answers are taken or refused by name."""

import asyncio
import json
from typing import Any

import pytest

from dam.ethereum.node_errors import (
    RpcBadReplyError,
    RpcRangeError,
    RpcTooLargeError,
)
from dam.ethereum.rpc import JsonRpc
from tests.node.servers import answering, http, reply

BLOCK = {"number": "0x7", "hash": "0x" + "07" * 32, "timestamp": "0x1", "miner": "0x00"}
LOG = {
    "address": "0xDA",
    "topics": ["0x01"],
    "data": "0x",
    "blockNumber": "0x7",
    "blockHash": "0x" + "07" * 32,
    "transactionHash": "0x22",
    "logIndex": "0x0",
    "transactionIndex": "0x0",
    "removed": False,
}


async def test_logs_and_their_last_block(serve) -> None:
    server = await answering(serve, [{"result": BLOCK}, {"result": [LOG, LOG]}])
    async with JsonRpc(server.url) as rpc:
        logs, block = await rpc.logs("0xda", 3, 7)
    assert block is not None
    assert (block.number, block.hash) == (BLOCK["number"], BLOCK["hash"])
    assert [(log.address, log.topics, log.removed) for log in logs] == [
        ("0xDA", ["0x01"], False)
    ] * 2
    [(_, body)] = server.requests
    asked = json.loads(body)
    # The block first: a node that has it is asked for the logs after.
    assert [(r["method"], r["params"]) for r in asked] == [
        ("eth_getBlockByNumber", ["0x7", False]),
        ("eth_getLogs", [{"address": "0xda", "fromBlock": "0x3", "toBlock": "0x7"}]),
    ]


async def test_logs_of_a_node_that_lacks_the_block(serve) -> None:
    """It is asked once more: several nodes may stand behind one address."""
    lacking: list[dict[str, Any]] = [{"result": None}, {"result": []}]
    server = await answering(serve, lacking, [{"result": BLOCK}, {"result": [LOG]}])
    async with JsonRpc(server.url) as rpc:
        assert len((await rpc.logs("0xda", 3, 7))[0]) == 1
    server = await answering(serve, lacking)
    async with JsonRpc(server.url) as rpc:
        assert await rpc.logs("0xda", 3, 7) == ([], None)
    assert len(server.requests) == 2


BEYOND = [
    {"code": -32602, "message": "block range extends beyond current head block"},
    {"code": -32000, "message": "requested block range [3, 7] is beyond latest executed block 5"},
    {"code": -32005, "message": "query exceeds max block range 3"},
    {"code": 429, "message": "too many requests"},
]


@pytest.mark.parametrize("error", BEYOND)
async def test_no_block_goes_before_any_error_of_its_logs(serve, error) -> None:
    """Nodes of 2026 refuse a range beyond their head; older ones give what logs they have."""
    server = await answering(serve, [{"result": None}, {"error": error}])
    async with JsonRpc(server.url) as rpc:
        assert await rpc.logs("0xda", 3, 7) == ([], None)
    assert len(server.requests) == 2


@pytest.mark.parametrize("error", BEYOND[:2])
async def test_logs_beyond_the_head_of_another_node_behind_the_address(serve, error) -> None:
    server = await answering(serve, [{"result": BLOCK}, {"error": error}])
    async with JsonRpc(server.url) as rpc:
        assert await rpc.logs("0xda", 3, 7) == ([], None)


async def test_a_block_that_is_unknown_in_words(serve) -> None:
    error = {"code": -32001, "message": "Unknown block"}
    server = await answering(serve, [{"error": error}, {"result": [LOG]}])
    async with JsonRpc(server.url) as rpc:
        assert await rpc.logs("0xda", 3, 7) == ([], None)

    async def one(path: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(id=json.loads(body)["id"], error=error))

    server = await serve(one)
    async with JsonRpc(server.url) as rpc:
        assert await rpc.block("0x7") is None


async def test_logs_in_the_other_order(serve) -> None:
    async def shuffled(path: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        first, second = json.loads(body)
        replies = [{"id": second["id"], "result": [LOG]}, {"id": first["id"], "result": BLOCK}]
        writer.write(http("200 OK", json.dumps(replies).encode()))

    server = await serve(shuffled)
    async with JsonRpc(server.url) as rpc:
        logs, block = await rpc.logs("0xda", 3, 7)
    assert len(logs) == 1
    assert block is not None


BAD_LOGS = [
    [],
    [{"result": BLOCK}],
    [{"result": [LOG]}, {"result": BLOCK}],
    [{"result": BLOCK}, {"result": None}],
    [{"result": BLOCK}, {}],
    [{"result": BLOCK}, {"result": {"0": LOG}}],
    [{"result": BLOCK}, {"result": [None]}],
    [{"result": BLOCK}, {"result": [{**LOG, "data": None}]}],
    [{"result": BLOCK}, {"result": [{**LOG, "logIndex": 0}]}],
    [{"result": BLOCK}, {"result": [{**LOG, "removed": "yes"}]}],
    [{"result": BLOCK}, {"result": [{k: v for k, v in LOG.items() if k != "blockHash"}]}],
    [{"result": {**BLOCK, "hash": None}}, {"result": [LOG]}],
    [{"result": BLOCK}, {"result": [LOG], "id": 99}],
    [{"result": BLOCK}, {"result": [LOG], "id": "2"}],
    [{"result": BLOCK}, {"result": [LOG]}, {"result": [LOG]}],
]


@pytest.mark.parametrize("answers", BAD_LOGS)
async def test_logs_that_are_none(serve, answers: list[dict[str, Any]]) -> None:
    async def handler(path: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        ids = [request["id"] for request in json.loads(body)] + [77]
        replies = [{"id": i, **answer} for i, answer in zip(ids, answers, strict=False)]
        writer.write(http("200 OK", json.dumps(replies).encode()))

    server = await serve(handler)
    async with JsonRpc(server.url) as rpc:
        with pytest.raises(RpcBadReplyError):
            await rpc.logs("0xda", 3, 7)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[" * 100_000,
        b'[{"id":1,"result":{}},{"id":2,"resu',
        b"5",
        b"null",
        b'"ab"',
    ],
)
async def test_logs_that_are_no_answer(serve, body: bytes) -> None:
    server = await serve(http("200 OK", body))
    async with JsonRpc(server.url) as rpc:
        with pytest.raises(RpcBadReplyError):
            await rpc.logs("0xda", 3, 7)


@pytest.mark.parametrize("whole", [False, True])
async def test_logs_that_are_too_many(serve, whole: bool) -> None:
    """Said of the call, or of the whole batch."""
    error = {"error": {"code": -32000, "message": "query exceeds max block range 50"}}
    if whole:
        server = await serve(http("200 OK", json.dumps({"id": None, **error}).encode()))
    else:
        server = await answering(serve, [{"result": BLOCK}, error])
    async with JsonRpc(server.url) as rpc:
        with pytest.raises(RpcRangeError):
            await rpc.logs("0xda", 3, 7)


async def test_logs_over_the_cap(serve) -> None:
    async def flood(path: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b" " * 65536)
            await writer.drain()

    server = await serve(flood)
    async with JsonRpc(server.url) as rpc:
        with pytest.raises(RpcTooLargeError):
            await rpc.logs("0xda", 3, 7)
