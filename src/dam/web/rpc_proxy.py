"""The page's questions to the node: JSON-RPC calls of a list of reading methods, and no others.

The node's address may hold a key, and a node could sign: so the page sends what it asks through
here, within caps, and never learns the address.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dam.errors import Malformed, RpcError
from dam.ethereum.node import Node
from dam.ethereum.node_errors import RpcRangeError, RpcRejectedError, RpcTooLargeError
from dam.ipfs import dag_json

MAX_REQUEST_BYTES = 256 << 10
MAX_CALLS = 100
"""Of one request."""
_MAX_ID_CHARS = 64
_CONCURRENT = 16
METHODS: Mapping[str, int] = {
    "eth_blockNumber": 0,
    "eth_call": 2,
    "eth_chainId": 0,
    "eth_estimateGas": 2,
    "eth_feeHistory": 3,
    "eth_gasPrice": 0,
    "eth_getBalance": 2,
    "eth_getBlockByHash": 2,
    "eth_getBlockByNumber": 2,
    "eth_getCode": 2,
    "eth_getLogs": 1,
    "eth_getTransactionByHash": 1,
    "eth_getTransactionCount": 2,
    "eth_getTransactionReceipt": 1,
    "eth_maxPriorityFeePerGas": 0,
}
"""Each with the most parameters that it takes here: no overrides of state or block."""
_INVALID, _NO_METHOD, _BAD_PARAMS, _INTERNAL, _LIMIT = -32600, -32601, -32602, -32603, -32005


@dataclass(frozen=True, slots=True)
class _Call:
    id: int | str
    method: str
    params: list[Any]


class RpcProxy:
    """Answers the page's requests about one chain.

    Args:
        node: The node, or several as one.
        seconds: For one request, however many calls it has.
    """

    def __init__(self, node: Node, *, seconds: float = 60.0) -> None:
        self._node = node
        self._seconds = seconds
        self._slots = asyncio.Semaphore(_CONCURRENT)

    async def answer(self, body: bytes) -> Any:
        """The JSON value that answers a request of at most `MAX_REQUEST_BYTES`.

        Raises:
            Malformed: It is no JSON-RPC request, or has too many calls.
        """
        asked = dag_json.loads(body)
        many = isinstance(asked, list)
        if many and not 1 <= len(asked) <= MAX_CALLS:
            raise Malformed(f"a batch has 1 to {MAX_CALLS} calls")
        checked = [_check(one) for one in (asked if many else [asked])]
        calls = [one for one in checked if isinstance(one, _Call)]
        answers = iter(await self._ask(calls))
        replies = [next(answers) if isinstance(one, _Call) else one for one in checked]
        return replies if many else replies[0]

    async def _ask(self, calls: list[_Call]) -> list[dict[str, Any]]:
        results: list[Any]
        try:
            async with asyncio.timeout(self._seconds), self._slots:
                if len(calls) == 1:
                    results = [await self._node.call(calls[0].method, *calls[0].params)]
                else:
                    pairs = [(call.method, call.params) for call in calls]
                    results = await self._node.batch(pairs, errors=True) if pairs else []
        except TimeoutError:
            error: RpcError = RpcError(f"the node took over {self._seconds:g} s")
            results = [error] * len(calls)
        except RpcError as refusal:
            results = [refusal] * len(calls)
        return [_reply(call.id, result) for call, result in zip(calls, results, strict=True)]


def _check(one: Any) -> _Call | dict[str, Any]:
    """A call that may be made, or the answer to one that may not."""
    if not isinstance(one, dict):
        return _error(None, _INVALID, "no JSON-RPC call")
    name, method, params = one.get("id"), one.get("method"), one.get("params", [])
    if type(name) is not int and not (isinstance(name, str) and len(name) <= _MAX_ID_CHARS):
        return _error(None, _INVALID, "a call has an id")
    if not isinstance(method, str) or method not in METHODS:
        return _error(name, _NO_METHOD, "this page asks the node for nothing of that kind")
    if not isinstance(params, list) or len(params) > METHODS[method]:
        return _error(name, _BAD_PARAMS, f"{method} takes at most {METHODS[method]} parameters")
    return _Call(name, method, params)


def _reply(name: int | str, result: Any) -> dict[str, Any]:
    if not isinstance(result, RpcError):
        return {"jsonrpc": "2.0", "id": name, "result": result}
    if isinstance(result, RpcRangeError | RpcTooLargeError):
        return _error(name, _LIMIT, str(result))
    if isinstance(result, RpcRejectedError):
        return _error(name, result.code, result.message, result.data)
    return _error(name, _INTERNAL, str(result))


def _error(name: object, code: int, message: str, data: Any = None) -> dict[str, Any]:
    error = {"code": code, "message": message}
    if data is not None:
        error["data"] = data
    return {"jsonrpc": "2.0", "id": name, "error": error}
