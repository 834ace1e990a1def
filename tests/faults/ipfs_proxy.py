"""A faulty IPFS RPC, by rules, in front of a real Kubo node or of a directory of blocks.

    async with IpfsProxy("dir:/path/to/blocks", counted=injected, seed=7) as proxy:
        proxy.inject(Hang(), "block/get", cids=[bad])
        proxy.inject(BadGateway(), chance=0.05)
        await proxy.refuse()         # nobody listens any more
        daemon.run(ipfs=proxy.url)

A rule is a `Fault`, the commands that it concerns (``block/get``; all, unless named), the CIDs
(all, unless named), how often it may strike, and with what chance; its ``injected`` counts how
often it did. Before a Kubo node whatever no rule strikes goes through as it is; before a directory
the proxy itself speaks what DAM uses of Kubo's RPC (https://docs.ipfs.tech/reference/kubo/rpc):
``block/get``, ``block/put``, ``block/stat``, ``pin/add``, ``pin/rm``, ``version`` and ``id``.

Nothing here knows DAM beyond that: it serves any test that wants a bad node.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import aiohttp
from aiohttp import web

from dam.errors import DamError, IpfsError
from dam.ipfs.blocks import BlockStore
from dam.ipfs.cid import Cid, Codec
from dam.ipfs.open import open_store

_BYTES = 64 << 20
_MISSING = "block was not found locally (offline): ipld: could not find "
_HOP = {"transfer-encoding", "content-length", "connection", "trailer", "date", "server"}


@dataclass(frozen=True)
class Asked:
    """One request, as the client made it."""

    command: str
    """Such as ``block/get``."""
    arg: str
    """Its ``arg``: a CID, if the client is honest; empty if there is none."""
    query: Mapping[str, str] = field(compare=False)


@dataclass
class Answer:
    """What the node says; a fault may change or replace it."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


class Fault:
    """Base of all faults: each overrides the step of an exchange at which it strikes."""

    name = "fault"

    async def instead(
        self, asked: Asked, request: web.Request, proxy: IpfsProxy
    ) -> web.StreamResponse | None:
        """Answers in the node's place; the node is not asked."""
        return None

    async def send(
        self, asked: Asked, answer: Answer, request: web.Request, proxy: IpfsProxy
    ) -> web.StreamResponse | None:
        """Sends the node's answer in its own way, or changes it in place and returns None."""
        return None


@dataclass
class Rule:
    """When a fault strikes."""

    fault: Fault
    commands: frozenset[str]
    """Empty: all."""
    cids: frozenset[str]
    """Empty: all."""
    times: int | None
    chance: float
    after: int
    when: Callable[[Asked], bool]
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

    def concerns(self, asked: Asked) -> bool:
        """Whether the request is of its commands and CIDs, and passes its condition."""
        return (
            (not self.commands or asked.command in self.commands)
            and (not self.cids or asked.arg in self.cids)
            and self.when(asked)
        )


class IpfsProxy:
    """Use it as ``async with``; see the module.

    Args:
        upstream: ``http://...`` of a Kubo node's RPC API, or ``dir:/path`` of block files.
        counted: Where every injected event is counted, by the fault's name.
        seed: Of the chances, so that a run can be repeated.
    """

    def __init__(
        self, upstream: str, *, counted: Counter[str] | None = None, seed: int = 0
    ) -> None:
        self.upstream = upstream
        """May be set anew while it runs: a node that was started again has another port."""
        self.counted: Counter[str] = Counter() if counted is None else counted
        self.random = random.Random(seed)
        self.url = ""
        self.rules: list[Rule] = []
        self.asked: list[Asked] = []
        """Every request, in order."""
        self.sent_bytes = 0
        """Of bodies that a fault made up, so far."""
        self.held = 0
        """Requests that hang or drip just now."""
        self.most_held = 0
        self._store: BlockStore | None = None
        self._runner: web.AppRunner | None = None
        self._site: web.SockSite | None = None
        self._port = 0
        self._guard: socket.socket | None = None
        self._session: aiohttp.ClientSession | None = None
        self._closing = asyncio.Event()

    def inject(
        self,
        fault: Fault,
        *commands: str,
        cids: Collection[object] = (),
        times: int | None = None,
        chance: float = 1.0,
        after: int = 0,
        when: Callable[[Asked], bool] = lambda _: True,
    ) -> Rule:
        """Adds a rule.

        Args:
            fault: What to do.
            commands: Of the RPC, such as ``block/get``; none: all.
            cids: Which blocks it concerns; none: all.
            times: How often at most; None: for ever.
            chance: Of each request that it concerns.
            after: So many requests that it concerns pass first.
            when: Looks at a request; False: not this one.
        """
        names = frozenset(str(cid) for cid in cids)
        rule = Rule(fault, frozenset(commands), names, times, chance, after, when)
        self.rules.append(rule)
        return rule

    def clear(self) -> None:
        """Takes all rules back, and lets go of what hangs: an honest node from here on."""
        for rule in self.rules:
            rule.stop()
        self.rules.clear()
        self.let_go()

    def let_go(self) -> None:
        """Ends what hangs or drips at this moment."""
        closing, self._closing = self._closing, asyncio.Event()
        closing.set()

    async def refuse(self) -> None:
        """Connections are refused from here on, and those that stand are closed."""
        if self._guard is not None:
            return
        # Bound, and not listening: the kernel refuses, and nobody else gets the port.
        guard = socket.socket()
        guard.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        await self._close_server()
        guard.bind(("127.0.0.1", self._port))
        self._guard = guard
        self.counted["refused"] += 1

    async def accept(self) -> None:
        """Undoes `refuse`, at the same address."""
        if self._guard is not None:
            self._guard.close()
            self._guard = None
            await self._open_server()

    def asked_for(self, cid: object, command: str = "block/get") -> int:
        """How often a block was asked for."""
        return sum(one.command == command and one.arg == str(cid) for one in self.asked)

    # ------------------------------------------------------------------------------ start and end

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(auto_decompress=False)
        await self._open_server()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.let_go()
        if self._guard is not None:
            self._guard.close()
        await self._close_server()
        if self._store is not None:
            await self._store.close()
        if self._session is not None:
            await self._session.close()

    async def _open_server(self) -> None:
        app = web.Application(client_max_size=_BYTES)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.05, handler_cancellation=True)
        await self._runner.setup()
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self._port))
        self._port = listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        self._site = web.SockSite(self._runner, listener)
        await self._site.start()

    async def _close_server(self) -> None:
        self.let_go()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def hold(self, seconds: float | None = None) -> bool:
        """Waits so long, or until `let_go`, the end, or the client's; True if the time ran out."""
        self.held += 1
        self.most_held = max(self.most_held, self.held)
        try:
            await asyncio.wait_for(self._closing.wait(), seconds)
        except TimeoutError:
            return True
        finally:
            self.held -= 1
        return False

    # -------------------------------------------------------------------------------- an exchange

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"]
        asked = Asked(
            path.removeprefix("api/v0/"), request.query.get("arg", ""), dict(request.query)
        )
        self.asked.append(asked)
        body = await request.read()
        rules = self._striking(asked)
        for rule in rules:
            # Counted before it begins, where it may never end; given back if it does nothing.
            self._count(rule, 1)
            response = await rule.fault.instead(asked, request, self)
            if response is not None:
                return response
            self._count(rule, -1)
        answer = await self._ask(asked, request, body)
        for rule in rules:
            before = (answer.status, answer.body, dict(answer.headers))
            self._count(rule, 1)
            response = await rule.fault.send(asked, answer, request, self)
            if response is not None:
                return response
            if (answer.status, answer.body, answer.headers) == before:
                self._count(rule, -1)
        return web.Response(status=answer.status, body=answer.body, headers=answer.headers)

    def _striking(self, asked: Asked) -> list[Rule]:
        striking = []
        for rule in self.rules:
            if rule.spent or not rule.concerns(asked):
                continue
            rule.met += 1
            if rule.met > rule.after and self.random.random() < rule.chance:
                striking.append(rule)
        return striking

    def _count(self, rule: Rule, by: int) -> None:
        rule.injected += by
        self.counted[rule.fault.name] += by
        if not self.counted[rule.fault.name]:
            del self.counted[rule.fault.name]

    async def _ask(self, asked: Asked, request: web.Request, body: bytes) -> Answer:
        if self.upstream.startswith("dir:"):
            return await self._answer(asked, request, body)
        assert self._session is not None
        headers = {"Content-Type": request.headers.get("Content-Type", "")} if body else {}
        url = f"{self.upstream}{request.raw_path}"
        try:
            async with self._session.request(
                request.method, url, data=body or None, headers=headers, allow_redirects=False
            ) as response:
                passed = {k: v for k, v in response.headers.items() if k.lower() not in _HOP}
                return Answer(response.status, await response.read(), passed)
        except aiohttp.ClientError:
            return Answer(502, b"no node behind the proxy")

    # ------------------------------------------------------------------- a node over a directory

    async def _answer(self, asked: Asked, request: web.Request, body: bytes) -> Answer:
        if self._store is None:
            self._store = open_store(self.upstream)
        store, command = self._store, asked.command
        if request.method != "POST":
            return Answer(405, b"405 - Method Not Allowed")
        if command == "version":
            return _json({"Version": "0.43.0", "Commit": "", "Repo": "18"})
        if command == "id":
            return _json({"ID": "12D3KooWDirectory", "AgentVersion": "kubo/0.43.0/"})
        try:
            if command == "block/put":
                codec: Codec = "raw" if request.query["cid-codec"] == "raw" else "dag-json"
                data = _file_of(request, body)
                return _json({"Key": str(await store.put(codec, data)), "Size": len(data)})
            cid = Cid.parse(asked.arg)
            if command == "block/get":
                return Answer(200, await store.get(cid), {"Content-Type": "text/plain"})
            if command == "block/stat":
                return _json({"Key": str(cid), "Size": len(await store.get(cid))})
            if command == "pin/add":
                await store.pin(cid)
                return _json({"Pins": [str(cid)]})
            if command == "pin/rm":
                await store.unpin(cid)
                return _json({"Pins": [str(cid)]})
        except IpfsError:
            return _error(
                "block was not found locally (offline): ipld: could not find " + asked.arg
            )
        except DamError as error:
            return _error(str(error))
        return Answer(404, b"404 page not found")


def _json(value: Mapping[str, Any], status: int = 200) -> Answer:
    return Answer(status, json.dumps(value).encode() + b"\n", {"Content-Type": "application/json"})


def _error(message: str) -> Answer:
    return _json({"Message": message, "Code": 0, "Type": "error"}, 500)


def _file_of(request: web.Request, body: bytes) -> bytes:
    """The one file of a multipart form."""
    boundary = b"--" + request.headers["Content-Type"].partition("boundary=")[2].strip('"').encode()
    part = body.split(boundary)[1]
    return part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")


# --------------------------------------------------------------------------------- the faults


class Hang(Fault):
    """F56: no answer, ever."""

    name = "hang"

    async def instead(
        self, asked: Asked, request: web.Request, proxy: IpfsProxy
    ) -> web.StreamResponse:
        await proxy.hold()
        return web.Response(status=503)


class Late(Fault):
    """The right answer, so many seconds late."""

    name = "late"

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    async def send(
        self, asked: Asked, answer: Answer, request: web.Request, proxy: IpfsProxy
    ) -> web.StreamResponse:
        await proxy.hold(self.seconds)
        return web.Response(status=answer.status, body=answer.body, headers=answer.headers)


class Drip(Fault):
    """F57: the right bytes, one at a time."""

    name = "1 byte/s"

    def __init__(self, seconds: float = 1.0) -> None:
        self.seconds = seconds

    async def send(
        self, asked: Asked, answer: Answer, request: web.Request, proxy: IpfsProxy
    ) -> web.StreamResponse:
        headers = {**answer.headers, "Content-Length": str(len(answer.body))}
        response = web.StreamResponse(status=answer.status, headers=headers)
        await response.prepare(request)
        for place in range(len(answer.body)):
            await response.write(answer.body[place : place + 1])
            if not await proxy.hold(self.seconds):
                break
        _abort(request)
        return response


class Cut(Fault):
    """F58: the connection breaks in the middle of the body.

    Args:
        clean: The answer ends as if it were whole, with an error in Kubo's own trailer.
    """

    name = "cut stream"

    def __init__(self, *, clean: bool = False) -> None:
        self.clean = clean

    async def send(
        self, asked: Asked, answer: Answer, request: web.Request, proxy: IpfsProxy
    ) -> web.StreamResponse:
        half = answer.body[: len(answer.body) // 2]
        if self.clean:
            head = (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Stream-Error\r\n\r\n"
            )
            tail = "\r\n0\r\nX-Stream-Error: unexpected EOF\r\n\r\n"
            raw = head.encode() + f"{len(half):x}\r\n".encode() + half + tail.encode()
            assert request.transport is not None
            request.transport.write(raw)
            request.transport.close()
            return web.Response()
        response = web.StreamResponse(headers={"Content-Length": str(len(answer.body))})
        await response.prepare(request)
        await response.write(half)
        _abort(request)
        return response


class Reset(Fault):
    """F55: the connection is taken, and broken before a word."""

    name = "reset"

    async def instead(
        self, asked: Asked, request: web.Request, proxy: IpfsProxy
    ) -> web.StreamResponse:
        _abort(request)
        return web.Response()


class WrongBytes(Fault):
    """F59: status 200 and other bytes: those given, or the block's own with one bit turned."""

    name = "wrong bytes"

    def __init__(self, data: bytes | None = None) -> None:
        self.data = data

    async def send(
        self, asked: Asked, answer: Answer, request: web.Request, proxy: IpfsProxy
    ) -> web.StreamResponse | None:
        if self.data is not None:
            answer.body = self.data
        elif answer.body:
            answer.body = answer.body[:-1] + bytes([answer.body[-1] ^ 1])
        return None


class BadGateway(Fault):
    """F60: a 5xx, or a 429, with a body: a page, or what the node would have said.

    Args:
        status: Of HTTP.
        body: None: the node's own answer, which a careless client takes for good.
    """

    name = "502 with a body"

    def __init__(self, status: int = 502, body: bytes | None = b"<h1>Bad Gateway</h1>") -> None:
        self.status = status
        self.body = body

    async def instead(
        self, asked: Asked, request: web.Request, proxy: IpfsProxy
    ) -> web.StreamResponse | None:
        if self.body is None:
            return None
        return web.Response(status=self.status, body=self.body, content_type="text/html")

    async def send(
        self, asked: Asked, answer: Answer, request: web.Request, proxy: IpfsProxy
    ) -> web.StreamResponse | None:
        answer.status = self.status
        return None


class Says(Fault):
    """Another answer than the node's, which is not asked: a pin that is none, an error's text.

    Args:
        value: JSON, or made of the request.
        status: Of HTTP.
    """

    name = "made up answer"

    def __init__(self, value: Any, status: int = 200) -> None:
        self.value = value
        self.status = status

    async def instead(
        self, asked: Asked, request: web.Request, proxy: IpfsProxy
    ) -> web.StreamResponse:
        value = self.value(asked) if callable(self.value) else self.value
        return web.json_response(value, status=self.status)


class Flood(Fault):
    """F61: ten gigabytes, or what the client takes of them.

    Args:
        announced: As Content-Length; None: chunked, so that nobody can know.
        patience: Most bytes that are really sent. A client with a cap is long gone by then; one
            without would fill the machine's memory.
    """

    name = "10 GB"

    def __init__(self, announced: int | None = 10 * 10**9, patience: int = 256 << 20) -> None:
        self.announced = announced
        self.patience = patience

    async def instead(
        self, asked: Asked, request: web.Request, proxy: IpfsProxy
    ) -> web.StreamResponse:
        response = web.StreamResponse()
        if self.announced is not None:
            response.content_length = self.announced
        await response.prepare(request)
        chunk, sent = bytes(64 << 10), 0
        try:
            while sent < self.patience:
                await response.write(chunk)
                sent += len(chunk)
                proxy.sent_bytes += len(chunk)
                # The transport takes what fits its buffer without a pause of its own.
                await asyncio.sleep(0)
        except ConnectionError:
            return response
        _abort(request)
        return response


class Redirect(Fault):
    """F62: see another place.

    Args:
        to: Its address; the path and query of the request are put behind it.
    """

    name = "redirect"

    def __init__(self, to: str, status: int = 307) -> None:
        self.to = to
        self.status = status

    async def instead(
        self, asked: Asked, request: web.Request, proxy: IpfsProxy
    ) -> web.StreamResponse:
        where = f"{self.to}{request.raw_path}"
        return web.Response(status=self.status, headers={"Location": where}, body=b"moved")


class Missing(Fault):
    """The node does not have the block (yet)."""

    name = "missing block"

    async def instead(
        self, asked: Asked, request: web.Request, proxy: IpfsProxy
    ) -> web.StreamResponse:
        told = _error(_MISSING + asked.arg)
        return web.Response(status=told.status, body=told.body, headers=told.headers)


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
