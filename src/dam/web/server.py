"""The storefront's server: the page, blocks, the node's answers and the index, on loopback.

It holds no key and signs nothing, and nobody on another machine reaches it: from elsewhere there is
an SSH tunnel. `guard` says who may ask.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from dam.errors import BlockRefused, ConfigError, DamError, IpfsError, Malformed
from dam.ipfs.blocks import BlockStore
from dam.ipfs.cid import Cid
from dam.market.client import Market
from dam.market.deployment import Record, record_json
from dam.market.log_reader import Rpc
from dam.web.bundle import PAGE, WORKER, StaticFile
from dam.web.guard import PAGE_CSP, Guard, add_headers
from dam.web.hints import IndexHints
from dam.web.rpc_proxy import MAX_REQUEST_BYTES, RpcProxy

_ADDRESSES = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
_BLOCK_SECONDS = 30.0
_BODY_SECONDS = 10.0
_KEEPALIVE_SECONDS = 15.0
_LINGER_SECONDS = 1.0
"""For the rest of a request that was answered before its end."""
_CONCURRENT_BLOCKS = 16
BLOCK_TYPE = "application/vnd.ipld.raw"
"""Of every block, whatever is in it: nothing that a browser runs or shows."""


@dataclass(frozen=True, slots=True)
class ServedMarket:
    """A market that the page shows."""

    name: str
    """In the settings; may be empty."""
    record: Record
    node: Rpc
    blocks: BlockStore
    index: Path
    """Folder of its index."""

    @property
    def key(self) -> str:
        """How the page names it in its requests."""
        deployment = self.record.deployment
        return f"{deployment.chain_id}-{deployment.market.lower()}"


def take_port(port: int) -> list[socket.socket]:
    """The port on both loopback addresses: a browser goes to either for ``localhost``.

    Raises:
        ConfigError: One of them is taken. Another port is no way out: the page's address is where
            its library is.
    """
    taken: list[socket.socket] = []
    try:
        for family, address in _ADDRESSES:
            try:
                taken.append(_listen(family, address, port))
            except OSError as error:
                # Without IPv6 nobody else can have it there, either.
                if family == socket.AF_INET6 and error.errno in (
                    errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL
                ):  # fmt: skip
                    continue
                raise ConfigError(
                    f"web_port {port} on {address} cannot be had ({error.strerror}): is `dam web` "
                    f"running already? `ss -ltnp 'sport = {port}'` says who has it. A purchase "
                    "library belongs to its port: set another web_port only for a new one"
                ) from None
    except BaseException:
        for one in taken:
            one.close()
        raise
    return taken


def _listen(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((address, port))
        made.listen(64)
    except BaseException:
        made.close()
        raise
    return made


class WebServer:
    """The server of one start.

    Args:
        port: As in the settings.
        bundle: The page's files, of `bundle.load_bundle`.
        markets: What it shows, the first one first.
        token: Of this start; None: a new one.
    """

    def __init__(
        self,
        port: int,
        bundle: Mapping[str, StaticFile],
        markets: Sequence[ServedMarket],
        *,
        token: str | None = None,
    ) -> None:
        self._port = port
        self._bundle = bundle
        self._markets = {market.key: market for market in markets}
        self._token = token or secrets.token_urlsafe(32)
        self._proxies = {key: RpcProxy(one.node) for key, one in self._markets.items()}
        self._hints = {
            key: IndexHints(
                one.index,
                one.record.deployment,
                Market(one.node, one.record.deployment),
                one.blocks,
            )
            for key, one in self._markets.items()
        }
        self._block_slots = asyncio.Semaphore(_CONCURRENT_BLOCKS)

    @property
    def url(self) -> str:
        """The page's address, with the token where no server sees it: in the fragment."""
        return f"http://localhost:{self._port}/#t={self._token}"

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Answers while inside.

        Raises:
            ConfigError: The port is taken.
        """
        sockets = take_port(self._port)
        runner = web.AppRunner(
            self._app(),
            access_log=None,
            handle_signals=False,
            keepalive_timeout=_KEEPALIVE_SECONDS,
            lingering_time=_LINGER_SECONDS,
            shutdown_timeout=1.0,
        )
        try:
            await runner.setup()
            for one in sockets:
                await web.SockSite(runner, one).start()
            yield
        finally:
            await runner.cleanup()
            for one in sockets:
                one.close()
            for hints in self._hints.values():
                await hints.close()

    def _app(self) -> web.Application:
        paths = {"/", *(f"/{name}" for name in self._bundle if name != PAGE)}
        guard = Guard(self._port, self._token, paths)
        app = web.Application(client_max_size=MAX_REQUEST_BYTES, middlewares=[guard.middleware])
        app.on_response_prepare.append(add_headers)
        for path in paths:
            app.router.add_get(path, self._file, allow_head=False)
        app.router.add_get("/market.json", self._market_json, allow_head=False)
        app.router.add_get("/block/{cid}", self._block, allow_head=False)
        app.router.add_get("/index", self._index, allow_head=False)
        app.router.add_post("/rpc", self._rpc)
        return app

    async def _file(self, request: web.Request) -> web.Response:
        name = request.path[1:] or PAGE
        found = self._bundle[name]
        headers = {"Content-Type": found.content_type, "Content-Security-Policy": PAGE_CSP}
        if name == WORKER:
            headers["Cache-Control"] = "no-cache"
        return web.Response(body=found.body, headers=headers)

    async def _market_json(self, _: web.Request) -> web.Response:
        return web.json_response(
            {
                "markets": [
                    {"key": key, "name": one.name, "record": record_json(one.record)}
                    for key, one in self._markets.items()
                ]
            }
        )

    async def _block(self, request: web.Request) -> web.Response:
        try:
            cid = Cid.parse(request.match_info["cid"])
            data = await self._find(cid)
        except BlockRefused as error:
            return _failed(400, error)
        except IpfsError as error:
            return _failed(404, error)
        headers = {"Content-Type": BLOCK_TYPE, "Content-Disposition": "attachment"}
        return web.Response(body=data, headers=headers)

    async def _find(self, cid: Cid) -> bytes:
        """A block from the first of the markets' stores that has it, checked against its CID."""
        failed: list[IpfsError] = []
        async with self._block_slots:
            for blocks in dict.fromkeys(one.blocks for one in self._markets.values()):
                try:
                    return cid.check(await blocks.get(cid, deadline=_BLOCK_SECONDS))
                except IpfsError as error:
                    failed.append(error)
        raise failed[0]

    async def _index(self, request: web.Request) -> web.Response:
        asked = dict(request.query)
        if len(asked) != len(request.query):
            return _failed(400, Malformed("something is asked for twice"))
        key = asked.pop("market", next(iter(self._markets)))
        if key not in self._hints:
            return _failed(404, Malformed("no market of the settings"))
        return await _answered(self._hints[key].answer(asked))

    async def _rpc(self, request: web.Request) -> web.Response:
        if request.headers.getall("Content-Type", []) != ["application/json"]:
            return _failed(415, Malformed("JSON alone: Content-Type: application/json"))
        key = request.query.get("market", next(iter(self._markets)))
        if key not in self._proxies:
            return _failed(404, Malformed("no market of the settings"))
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                body = await request.read()
        except TimeoutError:
            return _failed(408, Malformed("the request did not come to an end"))
        return await _answered(self._proxies[key].answer(body))


async def _answered(work: Awaitable[Any]) -> web.Response:
    try:
        return web.json_response(await work)
    except Malformed as error:
        return _failed(400, error)
    except DamError as error:
        return _failed(503, error)


def _failed(status: int, error: DamError) -> web.Response:
    return web.json_response({"error": str(error)}, status=status)
