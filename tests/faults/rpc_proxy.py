"""A JSON-RPC proxy that lies, stalls and breaks off, by rules, in front of a real node.

    async with RpcProxy(anvil.url, counted=injected, seed=7) as proxy:
        proxy.inject(Hang(), "eth_getLogs", times=2)
        proxy.inject(TooMany(retry_after=1), chance=0.05)
        daemon.run(proxy.url)

A rule is a `Fault`, the methods that it concerns (all, unless named), how often it may strike, and
with what chance; its ``injected`` counts how often it did. A batch is struck as a whole by what
concerns HTTP (`Hang`, `TooMany`, `BadGateway`, `CutJson`, `Dropped`, `LostReply`), and call by call
by the rest. Faults that change an answer count only where there was something to change: a log left
out is one that the node had. The proxy's address holds a secret, as a provider's API key would.

Nothing here knows DAM: it serves any test that wants a bad node.
"""

from __future__ import annotations

import asyncio
import copy
import json
import random
import secrets
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Self

import aiohttp
from aiohttp import web

Reply = dict[str, Any]
_BYTES = 64 << 20


@dataclass
class Call:
    """One call of a request, as the client made it; a fault may rewrite it."""

    method: str
    params: list[Any]
    id: Any


class Fault:
    """Base of all faults: each overrides the step of an exchange at which it strikes."""

    name = "fault"

    async def before(self, proxy: RpcProxy) -> web.StreamResponse | None:
        """Answers the request in the node's place."""
        return None

    def rewrite(self, call: Call, proxy: RpcProxy) -> Reply | None:
        """Changes a call before the node sees it, or answers it (``{"result": ...}``)."""
        return None

    def change(self, call: Call, reply: Reply, proxy: RpcProxy) -> bool:
        """Changes the node's answer to a call; True if it did."""
        return False

    async def after(
        self, request: web.Request, body: bytes, proxy: RpcProxy
    ) -> web.StreamResponse | None:
        """Sends the answer in its own way."""
        return None


@dataclass
class Rule:
    """When a fault strikes."""

    fault: Fault
    methods: frozenset[str]
    """Empty: all."""
    times: int | None
    chance: float
    every: int
    when: Callable[[Call], bool]
    injected: int = 0
    met: int = 0
    on: bool = True

    def stop(self) -> None:
        """Strikes no more."""
        self.on = False

    @property
    def spent(self) -> bool:
        """Whether it has struck as often as it may."""
        return not self.on or (self.times is not None and self.injected >= self.times)

    def concerns(self, call: Call) -> bool:
        """Whether the call is one of its methods, and passes its condition."""
        return (not self.methods or call.method in self.methods) and self.when(call)


@dataclass(frozen=True)
class Sent:
    """A signed transaction that reached the node, as it was sent."""

    raw: str
    """0x-hex."""
    reply: Reply = field(compare=False)
    """The node's own answer, before any fault."""


class RpcProxy:
    """Use it as ``async with``; see the module.

    Args:
        upstream: The node's address.
        counted: Where every injected event is counted, by the fault's name.
        seed: Of the chances, so that a run can be repeated.
    """

    def __init__(
        self, upstream: str, *, counted: Counter[str] | None = None, seed: int = 0
    ) -> None:
        self.upstream = upstream
        self.counted: Counter[str] = Counter() if counted is None else counted
        self.random = random.Random(seed)
        self.secret = secrets.token_hex(16)
        """The part of the address that must never stand in a log."""
        self.url = ""
        self.rules: list[Rule] = []
        self.asked: Counter[str] = Counter()
        """Calls by method."""
        self.requests = 0
        """HTTP requests."""
        self.sent: list[Sent] = []
        """Every ``eth_sendRawTransaction`` that the node saw, in order."""
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None
        self._closing = asyncio.Event()

    def inject(
        self,
        fault: Fault,
        *methods: str,
        times: int | None = None,
        chance: float = 1.0,
        every: int = 1,
        when: Callable[[Call], bool] = lambda _: True,
    ) -> Rule:
        """Adds a rule.

        Args:
            fault: What to do.
            methods: JSON-RPC methods that it concerns; none: all.
            times: How often at most; None: for ever.
            chance: Of each request that it concerns.
            every: Only each n-th request that it concerns, beginning with the n-th.
            when: Looks at a call; False: not this one.
        """
        rule = Rule(fault, frozenset(methods), times, chance, every, when)
        self.rules.append(rule)
        return rule

    def clear(self) -> None:
        """Takes all rules back: an honest node from here on."""
        for rule in self.rules:
            rule.stop()
        self.rules.clear()

    async def stop_hanging(self) -> None:
        """Lets go of what hangs (its clients have given up, or should)."""
        self._closing.set()
        await asyncio.sleep(0)
        self._closing = asyncio.Event()

    # ------------------------------------------------------------------------------ start and end

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession()
        app = web.Application(client_max_size=_BYTES)
        app.router.add_post("/v3/{secret}", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        [address] = self._runner.addresses
        self.url = f"http://127.0.0.1:{address[1]}/v3/{self.secret}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing.set()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    async def hang(self) -> None:
        """Returns when the proxy closes, or `stop_hanging` is called."""
        await self._closing.wait()

    # -------------------------------------------------------------------------------- an exchange

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.match_info["secret"] != self.secret:
            return web.Response(status=401, text="wrong key")
        body = json.loads(await request.read())
        calls = [
            Call(one["method"], list(one.get("params") or ()), one.get("id"))
            for one in (body if isinstance(body, list) else [body])
        ]
        self.requests += 1
        self.asked.update(call.method for call in calls)
        rules = self._striking(calls)
        for rule in rules:
            response = await self._before(rule)
            if response is not None:
                return response
        replies = await self._forward(calls, rules, batch=isinstance(body, list))
        answer: Any = replies if isinstance(body, list) else replies[0]
        data = json.dumps(answer).encode()
        for rule in rules:
            response = await rule.fault.after(request, data, self)
            if response is not None:
                self._count(rule)
                return response
        return web.Response(body=data, content_type="application/json")

    def _striking(self, calls: list[Call]) -> list[Rule]:
        striking = []
        for rule in self.rules:
            if rule.spent or not any(rule.concerns(call) for call in calls):
                continue
            rule.met += 1
            if rule.met % rule.every == 0 and self.random.random() < rule.chance:
                striking.append(rule)
        return striking

    async def _before(self, rule: Rule) -> web.StreamResponse | None:
        if not isinstance(rule.fault, Hang):
            response = await rule.fault.before(self)
            if response is not None:
                self._count(rule)
            return response
        # Counted at once: it may never return.
        self._count(rule)
        return await rule.fault.before(self)

    async def _forward(self, calls: list[Call], rules: list[Rule], *, batch: bool) -> list[Reply]:
        done = self._rewritten(calls, rules)
        asked = [(place, call) for place, call in enumerate(calls) if place not in done]
        for (place, call), reply in zip(asked, await self._ask(asked, batch), strict=True):
            if call.method == "eth_sendRawTransaction":
                self.sent.append(Sent(str(call.params[0]), copy.deepcopy(reply)))
            done[place] = reply
        for place, call in enumerate(calls):
            for rule in rules:
                active = not rule.spent and rule.concerns(call)
                if active and rule.fault.change(call, done[place], self):
                    self._count(rule)
        replies = [
            {"jsonrpc": "2.0", "id": call.id, **done[place]} for place, call in enumerate(calls)
        ]
        for rule in rules:
            if isinstance(rule.fault, ShuffledBatch) and len(replies) > 1:
                replies.reverse()
                self._count(rule)
        return replies

    def _rewritten(self, calls: list[Call], rules: list[Rule]) -> dict[int, Reply]:
        """Lets the rules change the calls; what they answered themselves, by place."""
        done: dict[int, Reply] = {}
        for place, call in enumerate(calls):
            for rule in rules:
                if place in done or rule.spent or not rule.concerns(call):
                    continue
                before = copy.deepcopy(call.params)
                reply = rule.fault.rewrite(call, self)
                if reply is not None:
                    done[place] = reply
                if reply is not None or call.params != before:
                    self._count(rule)
        return done

    async def _ask(self, asked: Iterable[tuple[int, Call]], batch: bool) -> list[Reply]:
        requests = [
            {"jsonrpc": "2.0", "id": place, "method": call.method, "params": call.params}
            for place, call in asked
        ]
        if not requests:
            return []
        assert self._session is not None
        async with self._session.post(
            self.upstream, json=requests if batch else requests[0]
        ) as response:
            answer = await response.json(content_type=None)
        replies = {one["id"]: one for one in (answer if isinstance(answer, list) else [answer])}
        return [
            {key: value for key, value in replies[one["id"]].items() if key in ("result", "error")}
            for one in requests
        ]

    def _count(self, rule: Rule) -> None:
        rule.injected += 1
        self.counted[rule.fault.name] += 1


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

    def __init__(self, code: int, message: str) -> None:
        self.error = {"code": code, "message": message}

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
    """

    name = "stale"

    def __init__(self, head: int) -> None:
        self.head = head

    def rewrite(self, call: Call, proxy: RpcProxy) -> Reply | None:
        if call.method == "eth_blockNumber":
            return {"result": hex(self.head)}
        wanted = str(call.params[0]) if call.params else ""
        if call.method == "eth_getBlockByNumber" and wanted.startswith("0x"):
            return {"result": None} if _number(wanted) > self.head else None
        if call.method == "eth_getLogs":
            query = call.params[0]
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


def _number(value: Any) -> int:
    """A block's number; a tag counts as beyond all."""
    text = str(value)
    return int(text, 16) if text.startswith("0x") else 1 << 62
