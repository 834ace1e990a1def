"""A JSON-RPC proxy that lies, stalls and breaks off, by rules, in front of a real node.

    async with RpcProxy(anvil.url, counted=injected, seed=7) as proxy:
        proxy.inject(Hang(), "eth_getLogs", times=2)
        proxy.inject(TooMany(retry_after=1), chance=0.05)
        daemon.run(proxy.url)

A rule is a `Fault` (see `rpc_faults`), the methods that it concerns (all, unless named), how often
it may strike, and with what chance; its ``injected`` counts how often it did. A batch is struck as
a whole by what concerns HTTP (`Hang`, `TooMany`, `BadGateway`, `CutJson`, `Dropped`, `LostReply`),
and call by call by the rest. Faults that change an answer count only where there was something to
change: a log left out is one that the node had. The proxy's address holds a secret, as a provider's
API key would.

Nothing here knows DAM: it serves any test that wants a bad node.
"""

from __future__ import annotations

import copy
import json
import secrets
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Self

import aiohttp
from aiohttp import web

from tests.faults.proxy_rules import FaultyProxy, Rule

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

    def reorder(self, replies: list[Reply]) -> bool:
        """Changes the order of a batch's answers in place; True if it did."""
        return False

    async def after(
        self, request: web.Request, body: bytes, proxy: RpcProxy
    ) -> web.StreamResponse | None:
        """Sends the answer in its own way."""
        return None


@dataclass(frozen=True)
class Sent:
    """A signed transaction that reached the node, as it was sent."""

    raw: str
    """0x-hex."""
    reply: Reply = field(compare=False)
    """The node's own answer, before any fault."""


RpcRule = Rule[Fault, Call]


class RpcProxy(FaultyProxy[Fault, Call]):
    """Use it as ``async with``; see the module."""

    def __init__(
        self, upstream: str, *, counted: Counter[str] | None = None, seed: int = 0
    ) -> None:
        super().__init__(upstream, counted=counted, seed=seed)
        self.secret = secrets.token_hex(16)
        """The part of the address that must never stand in a log."""
        self.asked: Counter[str] = Counter()
        """Calls by method."""
        self.requests = 0
        """HTTP requests."""
        self.batch = 0
        """How many calls the present request has; 0: it is no batch."""
        self.sent: list[Sent] = []
        """Every ``eth_sendRawTransaction`` that the node saw, in order."""
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None

    def inject(
        self,
        fault: Fault,
        *methods: str,
        times: int | None = None,
        chance: float = 1.0,
        every: int = 1,
        when: Callable[[Call], bool] = lambda _: True,
    ) -> RpcRule:
        """Adds a rule.

        Args:
            fault: What to do.
            methods: JSON-RPC methods that it concerns; none: all.
            times: How often at most; None: for ever.
            chance: Of each request that it concerns.
            every: Only each n-th request that it concerns, beginning with the n-th.
            when: Looks at a call; False: not this one.
        """
        names = frozenset(methods)

        def concerns(call: Call) -> bool:
            return (not names or call.method in names) and when(call)

        return self.add(Rule(fault, concerns, times, chance, every))

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
        self.release()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    async def hang(self) -> None:
        """Returns when the proxy closes, or `release` is called."""
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
        self.batch = len(calls) if isinstance(body, list) else 0
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

    async def _before(self, rule: RpcRule) -> web.StreamResponse | None:
        # Counted before it begins, since it may never return; given back if it does nothing.
        self._count(rule)
        response = await rule.fault.before(self)
        if response is None:
            self._count(rule, -1)
        return response

    async def _forward(
        self, calls: list[Call], rules: list[RpcRule], *, batch: bool
    ) -> list[Reply]:
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
            if rule.fault.reorder(replies):
                self._count(rule)
        return replies

    def _rewritten(self, calls: list[Call], rules: list[RpcRule]) -> dict[int, Reply]:
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
