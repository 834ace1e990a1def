"""A faulty IPFS RPC, by rules, in front of a real Kubo node or of a directory of blocks.

    async with IpfsProxy("dir:/path/to/blocks", counted=injected, seed=7) as proxy:
        proxy.inject(Hang(), "block/get", cids=[bad])
        proxy.inject(BadGateway(), chance=0.05)
        await proxy.refuse()         # nobody listens any more
        daemon.run(ipfs=proxy.url)

A rule is a `Fault` (see `ipfs_faults`), the commands that it concerns (``block/get``; all, unless
named), the CIDs (all, unless named), how often it may strike, and with what chance; its
``injected`` counts how often it did. Before a Kubo node whatever no rule strikes goes through as it
is; before a directory the proxy itself speaks what DAM uses of Kubo's RPC
(https://docs.ipfs.tech/reference/kubo/rpc): ``block/get``, ``block/put``, ``block/stat``,
``pin/add``, ``pin/rm``, ``version`` and ``id``.

Nothing here knows DAM beyond that: it serves any test that wants a bad node.
"""

from __future__ import annotations

import asyncio
import json
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
from tests.faults.proxy_rules import FaultyProxy, Rule

_BYTES = 64 << 20
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


IpfsRule = Rule[Fault, Asked]


class IpfsProxy(FaultyProxy[Fault, Asked]):
    """Use it as ``async with``; see the module.

    Its upstream is ``http://...`` of a Kubo node's RPC API, or ``dir:/path`` of block files.
    """

    def __init__(
        self, upstream: str, *, counted: Counter[str] | None = None, seed: int = 0
    ) -> None:
        super().__init__(upstream, counted=counted, seed=seed)
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

    def inject(
        self,
        fault: Fault,
        *commands: str,
        cids: Collection[object] = (),
        times: int | None = None,
        chance: float = 1.0,
        after: int = 0,
        when: Callable[[Asked], bool] = lambda _: True,
    ) -> IpfsRule:
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
        names, blocks = frozenset(commands), frozenset(map(str, cids))

        def concerns(asked: Asked) -> bool:
            return (
                (not names or asked.command in names)
                and (not blocks or asked.arg in blocks)
                and when(asked)
            )

        return self.add(Rule(fault, concerns, times, chance, after=after))

    def clear(self) -> None:
        """Takes all rules back, and releases what hangs: an honest node from here on."""
        super().clear()
        self.release()

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
        self.release()
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
        self.release()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def hold(self, seconds: float | None = None) -> bool:
        """Waits so long, or until `release`, the end, or the client's; True if the time ran out."""
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
        rules = self._striking([asked])
        for rule in rules:
            # Counted before it begins, where it may never end; given back if it does nothing.
            self._count(rule)
            response = await rule.fault.instead(asked, request, self)
            if response is not None:
                return response
            self._count(rule, -1)
        answer = await self._ask(asked, request, body)
        for rule in rules:
            before = (answer.status, answer.body, dict(answer.headers))
            self._count(rule)
            response = await rule.fault.send(asked, answer, request, self)
            if response is not None:
                return response
            if (answer.status, answer.body, answer.headers) == before:
                self._count(rule, -1)
        return web.Response(status=answer.status, body=answer.body, headers=answer.headers)

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
            return missing_block(asked)
        except DamError as error:
            return error_answer(str(error))
        return Answer(404, b"404 page not found")


def _json(value: Mapping[str, Any], status: int = 200) -> Answer:
    return Answer(status, json.dumps(value).encode() + b"\n", {"Content-Type": "application/json"})


def error_answer(message: str) -> Answer:
    """An error as Kubo's RPC reports it."""
    return _json({"Message": message, "Code": 0, "Type": "error"}, 500)


def missing_block(asked: Asked) -> Answer:
    """What an offline Kubo node says of a block that it has not."""
    return error_answer(f"block was not found locally (offline): ipld: could not find {asked.arg}")


def _file_of(request: web.Request, body: bytes) -> bytes:
    """The one file of a multipart form."""
    boundary = b"--" + request.headers["Content-Type"].partition("boundary=")[2].strip('"').encode()
    part = body.split(boundary)[1]
    return part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")
