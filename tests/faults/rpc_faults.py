"""What can go wrong with a node's JSON-RPC: faults for `rpc_proxy`, F17 to F37 of the table."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from typing import Any

from aiohttp import web

from tests.faults.rpc_proxy import Call, Fault, Reply, RpcProxy

# ---------------------------------------------------------------------------- what HTTP can do


class Hang(Fault):
    """F17: no answer, ever."""

    name = "hang"

    async def before(self, proxy: RpcProxy) -> web.StreamResponse:
        await proxy.hang()
        return web.Response(status=503)


class TooMany(Fault):
    """F18: 429, with a Retry-After in seconds."""

    name = "429"

    def __init__(self, retry_after: int = 1) -> None:
        self.headers = {"Retry-After": str(retry_after)}

    async def before(self, proxy: RpcProxy) -> web.StreamResponse:
        return web.Response(status=429, headers=self.headers, text="Too Many Requests")


class BadGateway(Fault):
    """F19: a 5xx with a page of HTML; the page repeats the address, as some do."""

    name = "html 5xx"

    def __init__(self, status: int = 502) -> None:
        self.status = status

    async def before(self, proxy: RpcProxy) -> web.StreamResponse:
        page = f"<html><body><h1>{self.status} Bad Gateway</h1>{proxy.url}</body></html>"
        return web.Response(status=self.status, text=page, content_type="text/html")


class Status(Fault):
    """Another HTTP status, with a body of its own: a page, or JSON-RPC all the same."""

    name = "http status"

    def __init__(self, status: int, body: Any, retry_after: int | None = None) -> None:
        self.status = status
        self.body = body if isinstance(body, str) else json.dumps(body)
        self.headers = {} if retry_after is None else {"Retry-After": str(retry_after)}

    async def before(self, proxy: RpcProxy) -> web.StreamResponse | None:
        return web.Response(status=self.status, headers=self.headers, text=self.body)


class BatchLimit(Status):
    """More than so many calls in one request are refused; 0: any batch is."""

    name = "batch limit"

    def __init__(self, most: int, body: Any, status: int = 200) -> None:
        super().__init__(status, body)
        self.most = most

    async def before(self, proxy: RpcProxy) -> web.StreamResponse | None:
        return await super().before(proxy) if proxy.batch > self.most else None


class CutJson(Fault):
    """F20: status 200, and only the first half of the answer."""

    name = "cut json"

    async def after(self, request: web.Request, body: bytes, proxy: RpcProxy) -> web.StreamResponse:
        return web.Response(body=body[: len(body) // 2], content_type="application/json")


class Dropped(Fault):
    """F20: the connection breaks in the middle of the answer."""

    name = "cut connection"

    async def after(self, request: web.Request, body: bytes, proxy: RpcProxy) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(body))})
        await response.prepare(request)
        await response.write(body[: len(body) // 2])
        assert request.transport is not None
        request.transport.abort()
        return response


class LostReply(Fault):
    """F31: the node has done it, and nobody hears."""

    name = "reply lost"

    async def after(self, request: web.Request, body: bytes, proxy: RpcProxy) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()


# ------------------------------------------------------------------------ what a node can say


class Refusal(Fault):
    """A JSON-RPC error instead of an answer; the node is not asked."""

    name = "error"

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        self.error = {"code": code, "message": message, **({"data": data} if data else {})}

    def rewrite(self, call: Call, proxy: RpcProxy) -> Reply | None:
        return {"error": dict(self.error)}


class ErrorThoughAccepted(Fault):
    """F32: the node does it, and reports an error."""

    name = "error though accepted"

    def __init__(self, code: int = -32000, message: str = "internal error") -> None:
        self.error = {"code": code, "message": message}

    def change(self, call: Call, reply: Reply, proxy: RpcProxy) -> bool:
        reply.pop("result", None)
        reply["error"] = dict(self.error)
        return True


class Answer(Fault):
    """Another result than the node's: F28, F30, F33, F34, F37 and what else one may think of.

    Args:
        name: How it is counted.
        result: The result, or what makes it of the node's own.
    """

    def __init__(self, name: str, result: Any) -> None:
        self.name = name
        self.result = result

    def change(self, call: Call, reply: Reply, proxy: RpcProxy) -> bool:
        if "result" not in reply:
            return False
        old = reply["result"]
        new = self.result(copy.deepcopy(old)) if callable(self.result) else self.result
        reply["result"] = new
        return bool(new != old)


def wrong_chain(chain_id: int = 1) -> Answer:
    """F28, for ``eth_chainId``."""
    return Answer("wrong chain id", hex(chain_id))


def no_receipt() -> Answer:
    """F30, for ``eth_getTransactionReceipt``."""
    return Answer("null receipt", None)


def base_fee_times(factor: int) -> Answer:
    """F37, for ``eth_feeHistory``."""

    def change(history: Any) -> Any:
        fees = [hex(int(fee, 16) * factor) for fee in history["baseFeePerGas"]]
        return {**history, "baseFeePerGas": fees}

    return Answer(f"base fee x{factor}", change)


class Stale(Fault):
    """F21, F22: a node that stopped at a block, and knows nothing newer. For all methods.

    Args:
        head: Its newest block.
        refuses: A range that ends beyond it is an error of parameters, as of 2026; else it ends
            there.
    """

    name = "stale"

    def __init__(self, head: int, *, refuses: bool = False) -> None:
        self.head = head
        self.refuses = refuses

    def rewrite(self, call: Call, proxy: RpcProxy) -> Reply | None:
        if call.method == "eth_blockNumber":
            return {"result": hex(self.head)}
        wanted = str(call.params[0]) if call.params else ""
        if call.method == "eth_getBlockByNumber" and wanted.startswith("0x"):
            return {"result": None} if _number(wanted) > self.head else None
        if call.method == "eth_getLogs":
            query = call.params[0]
            if self.refuses and _number(query["toBlock"]) > self.head:
                text = "block range extends beyond current head block"
                return {"error": {"code": -32602, "message": text}}
            if _number(query["fromBlock"]) > self.head:
                return {"result": []}
            if _number(query["toBlock"]) > self.head:
                call.params = [{**query, "toBlock": hex(self.head)}]
            return None
        if call.method in ("eth_sendRawTransaction", "eth_getTransactionReceipt"):
            return None
        call.params = [
            hex(self.head) if value in ("latest", "pending", "safe") else value
            for value in call.params
        ]
        return None

    def change(self, call: Call, reply: Reply, proxy: RpcProxy) -> bool:
        receipt = reply.get("result")
        if call.method != "eth_getTransactionReceipt" or not isinstance(receipt, dict):
            return False
        if _number(receipt["blockNumber"]) <= self.head:
            return False
        reply["result"] = None
        return True


class RangeLimit(Fault):
    """F23: ``eth_getLogs`` over more than so many blocks is refused."""

    name = "range limit"

    def __init__(self, blocks: int, message: str = "query exceeds max block range") -> None:
        self.blocks = blocks
        self.error = {"code": -32602, "message": f"{message} {blocks}"}

    def rewrite(self, call: Call, proxy: RpcProxy) -> Reply | None:
        if call.method != "eth_getLogs":
            return None
        query = call.params[0]
        span = _number(query["toBlock"]) - _number(query["fromBlock"]) + 1
        return {"error": dict(self.error)} if span > self.blocks else None


class AnswerCap(Fault):
    """R1: ``eth_getLogs`` is refused where it finds more than so many logs, or bytes of them."""

    name = "too many logs"

    def __init__(self, logs: int = 10**9, *, size: int = 10**12) -> None:
        self.logs, self.size = logs, size

    def change(self, call: Call, reply: Reply, proxy: RpcProxy) -> bool:
        found = reply.get("result")
        if call.method != "eth_getLogs" or not isinstance(found, list):
            return False
        if len(found) > self.logs:
            error = {"code": -32005, "message": f"query returned more than {self.logs} results"}
        elif len(json.dumps(found)) > self.size:
            error = {"code": -32008, "message": "Response is too big"}
        else:
            return False
        del reply["result"]
        reply["error"] = error
        return True


class Logs(Fault):
    """Changes the list of logs in an answer of ``eth_getLogs``: F21, F24 to F27, F29.

    Args:
        name: How it is counted.
        change: The new list of the node's own, which it may change as it likes.
        of: Only where one of the logs passes; `topic` makes such a condition.
    """

    def __init__(
        self,
        name: str,
        change: Callable[[list[Any], random.Random], list[Any]],
        of: Callable[[Any], bool] = lambda _: True,
    ) -> None:
        self.name = name
        self._change = change
        self._of = of

    def change(self, call: Call, reply: Reply, proxy: RpcProxy) -> bool:
        logs = reply.get("result")
        if call.method != "eth_getLogs" or not isinstance(logs, list):
            return False
        mine = [log for log in logs if self._of(log)]
        others = [log for log in logs if not self._of(log)]
        if not mine:
            return False
        changed = self._change(copy.deepcopy(mine), proxy.random)
        reply["result"] = changed if not others else _in_order(others, changed)
        return bool(reply["result"] != logs)


def _in_order(others: list[Any], changed: list[Any]) -> list[Any]:
    """Both together as a node would list them; duplicates stay next to each other."""
    return sorted(
        others + changed, key=lambda log: (_number(log["blockNumber"]), _number(log["logIndex"]))
    )


def topic(value: str) -> Callable[[Any], bool]:
    """Logs whose first topic is this one (0x-hex)."""
    return lambda log: bool(log["topics"] and log["topics"][0] == value)


def empty_logs(**more: Any) -> Logs:
    """F21: no logs at all."""
    return Logs("empty logs", lambda _logs, _random: [], **more)


def duplicates(**more: Any) -> Logs:
    """F24: every log twice."""
    return Logs("duplicates", lambda logs, _: [log for log in logs for _ in "12"], **more)


def out_of_order(**more: Any) -> Logs:
    """F25: the newest first."""
    return Logs("out of order", lambda logs, _: logs[::-1], **more)


def omit(**more: Any) -> Logs:
    """F26: one log is not there."""

    def change(logs: list[Any], chance: random.Random) -> list[Any]:
        logs.pop(chance.randrange(len(logs)))
        return logs

    return Logs("log left out", change, **more)


def each(name: str, change: Callable[[Any], Any], **more: Any) -> Logs:
    """Every log, changed."""
    return Logs(name, lambda logs, _: [change(log) for log in logs], **more)


def removed(**more: Any) -> Logs:
    """F27: logs of a branch that is gone."""
    return each("removed: true", lambda log: {**log, "removed": True}, **more)


def forged_address(address: str = "0x" + "66" * 20, **more: Any) -> Logs:
    """F29: logs of another contract."""
    return each("forged address", lambda log: {**log, "address": address}, **more)


def forged_topic(**more: Any) -> Logs:
    """F29: the event is another one's."""
    return each(
        "forged topic",
        lambda log: {**log, "topics": ["0x" + "77" * 32, *log["topics"][1:]]},
        **more,
    )


class ShuffledBatch(Fault):
    """F25: the answers of a batch, the last one first; JSON-RPC allows any order."""

    name = "batch out of order"

    def reorder(self, replies: list[Reply]) -> bool:
        replies.reverse()
        return len(replies) > 1


def _number(value: Any) -> int:
    """A block's number; a tag counts as beyond all."""
    text = str(value)
    return int(text, 16) if text.startswith("0x") else 1 << 62
