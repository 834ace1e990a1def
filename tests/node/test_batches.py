"""How many calls a node takes in one request: as many as it says, in whatever words."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from dam.ethereum.node import NodeLimits
from dam.ethereum.node_errors import (
    RpcRangeError,
    RpcRejectedError,
    RpcTooLargeError,
    RpcUnavailableError,
)
from dam.ethereum.rpc import JsonRpc
from tests.node.servers import http

BLOCK = {"number": "0x7", "hash": "0x" + "07" * 32, "timestamp": "0x1"}
TOO_MANY = {"code": -32600, "message": "batch too large"}


def error(about: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": None, "error": about}


def json_of(value: Any, status: str = "200 OK") -> bytes:
    return http(status, json.dumps(value).encode())


def geth(calls: list[Any]) -> bytes:
    return json_of([error(TOO_MANY)])


def one_error(calls: list[Any]) -> bytes:
    return json_of(error({"code": -32600, "message": "Invalid Request"}))


def no_such_method(calls: list[Any]) -> bytes:
    return json_of(error({"code": -32601, "message": "Method not found"}))


def payload(calls: list[Any]) -> bytes:
    return http("413 Payload Too Large", b"<html>")


def bad_request(calls: list[Any]) -> bytes:
    return http("400 Bad Request", b"bad request")


def bad_request_in_json(calls: list[Any]) -> bytes:
    words = {"code": 31, "message": "Batch of more than 3 requests are not allowed on free tier"}
    return json_of(error(words), "400 Bad Request")


def quota_in_words(calls: list[Any]) -> bytes:
    return json_of(error({"code": -32005, "message": "too many requests in one batch"}))


def each(calls: list[Any]) -> bytes:
    return json_of([{**error(TOO_MANY), "id": call["id"]} for call in calls])


REFUSALS = [
    geth, one_error, no_such_method, payload, bad_request, bad_request_in_json, quota_in_words,
    each,
]  # fmt: skip


@dataclass
class Node:
    """Takes some calls at once, and refuses more in its own words; echoes first parameters."""

    most: int
    refuse: Callable[[list[Any]], bytes] = geth
    sizes: list[int] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    async def handle(self, path: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        calls = json.loads(body)
        one = isinstance(calls, dict)
        calls = [calls] if one else calls
        self.sizes.append(0 if one else len(calls))
        if not one and len(calls) > self.most:
            writer.write(self.refuse(calls))
            return
        self.asked += [call["method"] for call in calls]
        replies = [{"id": call["id"], **self.answer(call)} for call in calls]
        writer.write(json_of(replies[0] if one else replies))

    def answer(self, call: dict[str, Any]) -> dict[str, Any]:
        if call["method"] == "eth_getBlockByNumber":
            return {"result": BLOCK}
        if call["method"] == "eth_getLogs":
            return {"result": []}
        return {"result": call["params"][0]}


ECHOES = [("echo", [i]) for i in range(120)]


@pytest.mark.parametrize("refuse", REFUSALS)
@pytest.mark.parametrize(("most", "taken"), [(50, 10), (10, 10), (9, 3), (2, 1), (0, 1)])
async def test_batches_shrink_to_what_a_node_takes(serve, refuse, most: int, taken: int) -> None:
    node = Node(most, refuse)
    server = await serve(node.handle)
    async with JsonRpc(server.url) as rpc:
        assert await rpc.batch(ECHOES) == list(range(120))
        assert rpc.batch_calls == taken
        node.sizes.clear()
        assert await rpc.batch(ECHOES[:20]) == list(range(20))
        assert max(node.sizes) == (taken if taken > 1 else 0), "and that is remembered"
        assert await rpc.logs("0xda", 3, 7) is not None


@pytest.mark.parametrize("refuse", REFUSALS)
async def test_logs_of_a_node_that_takes_no_batch(serve, refuse) -> None:
    """The block first, then the logs, one after the other."""
    node = Node(0, refuse)
    server = await serve(node.handle)
    async with JsonRpc(server.url) as rpc:
        for _ in range(2):
            logs, block = await rpc.logs("0xda", 3, 7)
            assert (logs, block and block.number) == ([], "0x7")
    assert node.asked == ["eth_getBlockByNumber", "eth_getLogs"] * 2
    assert node.sizes == [2, 0, 0, 0, 0]


async def test_a_larger_batch_is_tried_after_a_while(serve) -> None:
    node = Node(3)
    server = await serve(node.handle)
    async with JsonRpc(server.url) as rpc:
        await rpc.batch(ECHOES[:20])
        node.most = 100
        for _ in range(140):
            await rpc.batch(ECHOES[:100])
            if rpc.batch_calls == 100:
                break
        assert rpc.batch_calls == 100


async def test_a_broken_node_is_not_one_that_takes_no_batch(serve) -> None:
    server = await serve(http("404 Not Found", b"<html>"))
    async with JsonRpc(server.url) as rpc:
        with pytest.raises(RpcUnavailableError, match="HTTP 404"):
            await rpc.batch(ECHOES[:20])
        assert rpc.batch_calls == 100


async def test_answers_that_are_too_large_together_are_asked_in_pieces(serve) -> None:
    """What geth does over its limit for the answers: an error for each call that is left."""

    async def handle(path: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        calls = json.loads(body)
        if isinstance(calls, dict):
            writer.write(json_of({"id": calls["id"], "result": 1}))
            return
        left = {"error": {"code": -32003, "message": "response too large"}}
        writer.write(
            json_of(
                [{"id": c["id"], **({"result": 1} if n < 5 else left)} for n, c in enumerate(calls)]
            )
        )

    server = await serve(handle)
    async with JsonRpc(server.url) as rpc:
        assert await rpc.batch(ECHOES[:20]) == [1] * 20
        assert rpc.batch_calls == 100, "that was a matter of these answers"


async def test_answers_over_our_cap_are_asked_in_pieces(serve) -> None:
    async def handle(path: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        calls = json.loads(body)
        big = [{"id": c["id"], "result": "x" * 300_000} for c in calls]
        writer.write(json_of(big))

    server = await serve(handle)
    async with JsonRpc(server.url) as rpc:
        assert len(await rpc.batch(ECHOES[:20])) == 20


async def test_logs_over_the_cap_are_no_matter_of_batches(serve) -> None:
    async def handle(path: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        calls = json.loads(body)
        writer.write(json_of([{"id": c["id"], "result": "x" * 300_000} for c in calls]))

    server = await serve(handle)
    async with JsonRpc(server.url, limits=NodeLimits(logs_bytes=1000)) as rpc:
        with pytest.raises(RpcTooLargeError):
            await rpc.logs("0xda", 3, 7)
    assert len(server.requests) == 1


async def test_a_range_is_refused_for_both_calls_at_once(serve) -> None:
    words = {"code": -32005, "message": "query exceeds max block range 3"}
    server = await serve(json_of([error(words)]))
    async with JsonRpc(server.url) as rpc:
        with pytest.raises(RpcRangeError):
            await rpc.logs("0xda", 3, 7)
    assert len(server.requests) == 1


async def test_after_429_less_is_asked_at_once(serve) -> None:
    """A batch of a hundred calls may be over what is allowed in a second."""
    server = await serve(http("429 Too Many Requests", b"", "Retry-After: 1"))
    async with JsonRpc(server.url) as rpc:
        with pytest.raises(RpcUnavailableError):
            await rpc.batch(ECHOES)
        assert rpc.batch_calls == 10
    assert len(server.requests) == 1


@pytest.mark.parametrize("together", [False, True])
async def test_a_node_without_pending_is_asked_for_the_latest(serve, together: bool) -> None:
    asked = []

    async def handle(path: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        calls = json.loads(body)
        many = calls if isinstance(calls, list) else [calls]
        asked.extend(call["params"][1] for call in many)
        refusal = {"error": {"code": -32000, "message": "pending state is not available"}}
        replies = [
            {"id": c["id"], **(refusal if c["params"][1] == "pending" else {"result": "0x5"})}
            for c in many
        ]
        writer.write(json_of(replies if isinstance(calls, list) else replies[0]))

    server = await serve(handle)
    async with JsonRpc(server.url) as rpc:
        for _ in range(2):
            if together:
                calls = [("eth_getTransactionCount", ("0xda", t)) for t in ("latest", "pending")]
                assert await rpc.batch(calls) == ["0x5", "0x5"]
            else:
                assert await rpc.call("eth_getTransactionCount", "0xda", "pending") == "0x5"
    assert asked.count("pending") == 1, "once, and remembered"


async def test_a_revert_that_speaks_of_batches_is_a_revert(serve) -> None:
    words = {"code": 3, "message": "execution reverted: batch pending", "data": "0x"}

    async def handle(path: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        calls = json.loads(body)
        writer.write(json_of([{"id": c["id"], "error": words} for c in calls]))

    server = await serve(handle)
    async with JsonRpc(server.url) as rpc:
        found = await rpc.batch([("eth_call", ({}, "pending"))] * 2, errors=True)
    assert [type(one) for one in found] == [RpcRejectedError] * 2
    assert len(server.requests) == 1


async def test_no_more_calls_than_are_set(serve) -> None:
    """Not at first, and not when a larger batch is tried after a while."""
    asked: list[int] = []

    async def handler(path: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        calls = json.loads(body)
        asked.append(len(calls))
        writer.write(json_of([{"id": call["id"], "result": "0x1"} for call in calls]))

    server = await serve(handler)
    async with JsonRpc(server.url, limits=NodeLimits(calls=7)) as rpc:
        for _ in range(300):
            await rpc.batch([("eth_chainId", ())] * 7)
        await rpc.batch([("eth_chainId", ())] * 20)
    assert max(asked) == 7


async def test_no_more_blocks_than_are_set(serve) -> None:
    server = await serve(b"")
    async with JsonRpc(server.url, limits=NodeLimits(logs_blocks=50)) as rpc:
        with pytest.raises(RpcRangeError, match="max_logs_blocks allows 50 blocks"):
            await rpc.logs("0x" + "11" * 20, 100, 150)
        assert rpc.stats.requests == 0
