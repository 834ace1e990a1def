"""What a refusal is about: the node, the size of the request, or the request. In this order."""

from __future__ import annotations

from typing import Any

import pytest

from dam.ethereum.node_errors import (
    RpcMethodError,
    RpcPrunedError,
    RpcRangeError,
    RpcRejectedError,
    RpcUnavailableError,
    is_node_fault,
    rejection,
    unavailable,
)

NODE = """
-32005 too many requests for this key
-32005 daily request count exceeded, request rate limited
-32005 limit of requests per second for the block range plan exceeded
429 Your app has exceeded its compute units per second capacity
-32007 50/second request limit reached - reduce calls per second or upgrade your account
-32003 daily request limit reached - upgrade your account
-32090 Too many requests, reason: call rate limit exhausted, retry in 10s
15 Too many request, try again later
-32001 project ID is required
-32000 missing trie node 1234 (path ) state 0x12 is not available
4444 pruned history unavailable
-32000 required historical state unavailable (reexec=128)
-32000 old data not available due to pruning
-32000 header not found
-32602 block range extends beyond current head block
-32000 requested block range [1, 9] is beyond latest executed block 8 (node is still syncing)
-32046 Cannot fulfill request
503 any
"""
SIZE = """
-32005 query returned more than 10000 results. Try with this block range [0x1, 0x2].
-32005 query exceeds max block range 3
-32602 query exceeds max results 20000, retry with the range 1-2
-32600 Under the Free tier plan, you can make eth_getLogs requests with up to a 10 block range.
-32602 Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range
35 ranges over 10000 blocks are not supported on freetier
-32614 eth_getLogs is limited to a 10,000 range
-32000 exceed maximum block range: 50000
-32005 Requested range exceeds maximum RPC range limit
-32602 requested too many blocks from 1 to 9, maximum is set to 2048
-32000 block range greater than 10000 max
-32602 logs matched by query exceeds limit of 10000
-32000 query timeout exceeded
-32002 request timed out
-32008 Response is too big
-32000 too many logs
"""
REQUEST = """
-32602 invalid argument 0: hex string of odd length
-32701 Please specify an address in your request or order a dedicated full node
3 execution reverted: rate limit exceeded
-32000 execution reverted: too many requests, missing trie node
-32005 limit exceeded
-32603 internal error
"""
METHOD = """
-32601 the method eth_getLogs does not exist/is not available
-32004 Method eth_getLogs is not supported
"""


def lines(text: str) -> list[tuple[int, str]]:
    return [(int(code), words) for code, _, words in map(_parted, text.strip().splitlines())]


def _parted(line: str) -> tuple[str, str, str]:
    return line.partition(" ")


def judged(code: int, message: str, data: Any = None, method: str = "eth_getLogs") -> str:
    error = rejection(method, {"code": code, "message": message, "data": data})
    kinds = {RpcRangeError: "size", RpcMethodError: "method", RpcRejectedError: "request"}
    return "node" if is_node_fault(error) else kinds[type(error)]


@pytest.mark.parametrize(
    ("kind", "code", "message"),
    [
        (kind, *line)
        for kind, text in {"node": NODE, "size": SIZE, "request": REQUEST, "method": METHOD}.items()
        for line in lines(text)
    ],
)
def test_of_logs(kind: str, code: int, message: str) -> None:
    assert judged(code, message) == kind


@pytest.mark.parametrize(("code", "message"), lines(SIZE))
def test_only_logs_have_a_range(code: int, message: str) -> None:
    assert judged(code, message, method="eth_call") != "size"


@pytest.mark.parametrize(
    ("code", "message"), [(-32005, "limit exceeded"), (-32603, "Internal error")]
)
def test_of_any_other_call_the_node_is_to_blame(code: int, message: str) -> None:
    assert judged(code, message, method="eth_call") == "node"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ("query returned more than 10000 results", "size"),
        ({"reason": "too many requests"}, "node"),
        (["rate limit"], "node"),
        ("0x" + b"rate limit".hex(), "request"),
        (5, "request"),
        (None, "request"),
    ],
)
def test_the_reason_may_stand_in_the_data(data: Any, kind: str) -> None:
    assert judged(-32000, "server error", data) == kind


@pytest.mark.parametrize(
    ("message", "data"),
    [
        ("VM execution error.", "Reverted: too many requests"),
        ("VM execution error.", "revert: block not found"),
        ("VM Exception", {"message": "reverted with reason string 'rate limit'", "data": "0x"}),
    ],
)
def test_a_contract_chooses_no_nodes_by_data_either(message: str, data: Any) -> None:
    """Older Nethermind and OpenEthereum have a revert's reason in the data alone."""
    assert judged(-32015, message, data, method="eth_call") == "request"


def test_the_gas_of_a_block_is_no_block() -> None:
    """Of such a transaction the next node says the same: it is refused, and not sent for ever."""
    words = "Transaction gas limit exceeds current block gas limit"
    assert judged(-32010, words, method="eth_sendRawTransaction") == "request"


def test_an_old_state_that_is_not_kept_is_told_from_a_node_that_is_away() -> None:
    def kind(code: int, words: str) -> type[Exception]:
        error = rejection("eth_getTransactionCount", {"code": code, "message": words})
        return type(unavailable(error, "host"))

    assert kind(-32000, "missing trie node 12 (path )") is RpcPrunedError
    assert kind(4444, "pruned history unavailable") is RpcPrunedError
    assert kind(-32000, "header not found") is RpcUnavailableError
    assert kind(429, "daily quota; historical state is not available") is RpcUnavailableError


@pytest.mark.parametrize(
    ("message", "data", "pause"),
    [
        ("call rate limit exhausted, retry in 10s", None, 10.0),
        ("Too many requests. Try again in 3 seconds", None, 3.0),
        ("rate limited", {"rate": {"backoff_seconds": 30}}, 30.0),
        ("rate limited after 20 requests", None, None),
    ],
)
def test_how_long_to_wait(message: str, data: Any, pause: float | None) -> None:
    error = rejection("eth_call", {"code": -32005, "message": message, "data": data})
    assert unavailable(error, "host").retry_after == pause
    assert str(unavailable(error, "host")).startswith("host: eth_call: error -32005: ")


def test_hostile_errors_are_judged() -> None:
    deep: Any = "x"
    for _ in range(50_000):
        deep = [deep]
    for error in (None, 5, [], {}, {"code": "x", "message": 5}, {"code": 1, "data": deep}):
        assert isinstance(rejection("eth_getLogs", error), RpcRejectedError)
        is_node_fault(rejection("eth_getLogs", error))
