"""Nodes that a test plays, and a pools that asks them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import structlog

from dam.ethereum.node_pool import NodePool
from tests.node.servers import Server, http

ADDRESS = "0x" + "da" * 20
REJECTION = {"code": -32000, "message": "nonce too low"}


@dataclass
class Node:
    """A node that a test plays: ten blocks, a log in each, and faults as the test says."""

    name: str
    head: int = 10
    chain_id: int = 1
    fork: str = "a"
    mode: str = "well"
    """``well``, ``down`` (503), ``busy`` (429), ``hang`` or ``cut``."""
    delay: float = 0.0
    """Seconds before each answer."""
    retry_after: str = "7"
    logs: Callable[[list[Any]], Any] = field(default=lambda logs: logs)
    answers: dict[str, Any] = field(default_factory=dict)
    """Method to result, or to an error (an object with a code)."""
    asked: list[str] = field(default_factory=list)

    def hash(self, number: int) -> str:
        return f"0x{self.fork.encode().hex():>02}{number:062x}"

    def result(self, method: str, params: list[Any]) -> Any:
        if method in self.answers:
            return self.answers[method]
        if method == "eth_chainId":
            return hex(self.chain_id)
        if method == "eth_getBlockByNumber":
            number = int(params[0], 16) if params[0].startswith("0x") else self.head
            if number > self.head:
                return None
            return {"number": hex(number), "hash": self.hash(number), "timestamp": "0x1"}
        if method == "eth_getLogs":
            first, last = (int(params[0][key], 16) for key in ("fromBlock", "toBlock"))
            return self.logs([self.log(n) for n in range(first, min(last, self.head) + 1)])
        return self.name

    def log(self, number: int) -> dict[str, Any]:
        return {
            "address": ADDRESS,
            "topics": ["0x" + "11" * 32],
            "data": "0x",
            "blockNumber": hex(number),
            "blockHash": self.hash(number),
            "transactionHash": "0x" + "22" * 32,
            "logIndex": "0x0",
        }

    async def handle(self, path: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        calls = json.loads(body)
        batch = isinstance(calls, list)
        calls = calls if batch else [calls]
        self.asked += [call["method"] for call in calls]
        if self.mode == "hang":
            await asyncio.sleep(60)
        await asyncio.sleep(self.delay)
        if self.mode == "down":
            writer.write(http("503 Service Unavailable", b"<html>"))
        elif self.mode == "busy":
            wish = f"Retry-After: {self.retry_after}"
            writer.write(http("429 Too Many Requests", b"slow down", wish))
        elif self.mode == "cut":
            writer.write(http("200 OK", b'{"jsonrpc":"2.0","id":'))
        else:
            replies = []
            for call in calls:
                result = self.result(call["method"], call["params"])
                key = "error" if isinstance(result, dict) and "code" in result else "result"
                replies.append({"jsonrpc": "2.0", "id": call["id"], key: result})
            writer.write(http("200 OK", json.dumps(replies if batch else replies[0]).encode()))


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Pools:
    """Makes pools of played nodes, and notes what they log."""

    def __init__(self, serve: Callable[..., Awaitable[Server]]) -> None:
        self._serve = serve
        self.clock = Clock()
        self.events: list[dict[str, Any]] = []
        self.opened: list[NodePool] = []
        self.log = structlog.wrap_logger(None, processors=[self._note])

    async def open(self, *nodes: Node, **options: Any) -> NodePool:
        urls = [(await self._serve(node.handle)).url + "/v3/SECRETKEY" for node in nodes]
        options = {"timeout": 5.0, **options}
        made = NodePool(urls, log=self.log, clock=self.clock, **options)
        self.opened.append(made)
        return made

    def told(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.events if line["event"] == event]

    def _note(self, _: Any, level: str, event: dict[str, Any]) -> str:
        self.events.append({**event, "level": level})
        raise structlog.DropEvent


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it never came")


def without_one(logs: list[Any]) -> list[Any]:
    return logs[:-1]


def with_one(logs: list[Any]) -> list[Any]:
    return [*logs, {**logs[-1], "logIndex": "0x1"}]


def changed(**fields: Any) -> Callable[[list[Any]], list[Any]]:
    return lambda logs: [*logs[:-1], {**logs[-1], **fields}]
