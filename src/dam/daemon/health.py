"""``/metrics``, ``/healthz`` and ``/readyz`` on the loopback address.

Served from a thread with a loop of its own, so that it can say "unhealthy" while the daemon's loop
is blocked. There is no password, so no other address is taken; and since any web page can have a
browser ask 127.0.0.1 under a name of its own (DNS rebinding), a foreign ``Host`` is refused.

* ``/healthz``: 200 while the event loop turns and rounds end, well or not; 503 otherwise: restart.
* ``/readyz``: 200 while the daemon is at work; 503 with the reasons otherwise: look, and let it
  run.
* ``/metrics``: see `metrics`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from aiohttp import web
from aiohttp.typedefs import Handler

from dam.daemon.metrics import CONTENT_TYPE
from dam.errors import ConfigError

HOST = "127.0.0.1"
_TIMEOUT_SECONDS = 10.0
_MAX_CONNECTIONS = 16
"""More at once could use up the daemon's file descriptors."""
_NAMES = {"127.0.0.1", "localhost", "[::1]"}
_PORT = re.compile(r":[0-9]+\Z")


@dataclass(frozen=True, slots=True)
class Answers:
    """What to answer; each is called in the server's thread."""

    healthy: Callable[[], bool]
    obstacles: Callable[[], list[str]]
    """Why the daemon is not at work; none if it is."""
    metrics: Callable[[], bytes]
    notes: Callable[[], list[str]] = list
    """What is amiss without keeping the daemon from its work."""


class HealthServer:
    """Serves while inside ``with``; the port is taken at once.

    Args:
        port: 0 takes a free one.
        answers: What to answer.
        host: A loopback address.

    Raises:
        ConfigError: The port cannot be had, or the address is none of this machine alone.
    """

    def __init__(self, port: int, answers: Answers, *, host: str = HOST) -> None:
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            raise ConfigError(f"the health server's address {host!a} is none") from None
        if not address.is_loopback:
            raise ConfigError(
                f"the health server has no password: it listens on 127.0.0.1, never on {address}"
            )
        family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind((host, port))
            self._socket.listen(16)
        except OSError as error:
            self._socket.close()
            raise ConfigError(
                f"health_port {port} on {host} cannot be had ({error.strerror}): set another one, "
                "or 0 for any"
            ) from None
        self.port: int = self._socket.getsockname()[1]
        self._answers = answers

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """The thread runs while inside."""
        ended = threading.Event()
        thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(ended)), name="health", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join(_TIMEOUT_SECONDS)

    async def _serve(self, ended: threading.Event) -> None:
        app = web.Application(client_max_size=1024, middlewares=[_own_names_only])
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            keepalive_timeout=_TIMEOUT_SECONDS,
            shutdown_timeout=1.0,
        )
        await runner.setup()
        listening: asyncio.Server | None = None
        try:
            assert runner.server is not None
            admit = partial(_admit, runner.server, deque())
            loop = asyncio.get_running_loop()
            listening = await loop.create_server(admit, sock=self._socket, backlog=_MAX_CONNECTIONS)
            await asyncio.to_thread(ended.wait)
        finally:
            if listening is not None:
                listening.close()
            await runner.cleanup()

    async def _healthz(self, _: web.Request) -> web.Response:
        if self._answers.healthy():
            return _text(200, "ok")
        return _text(503, "the event loop is blocked, or rounds do not end")

    async def _readyz(self, _: web.Request) -> web.Response:
        obstacles = self._answers.obstacles()
        notes = self._answers.notes()
        return _text(503, *obstacles, *notes) if obstacles else _text(200, "ready", *notes)

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(
            body=self._answers.metrics(), headers={"Content-Type": CONTENT_TYPE} | _NO_STORE
        )


def _admit(server: web.Server, newest: deque[web.RequestHandler]) -> asyncio.Protocol:
    """A new connection; the one that has been here longest makes room for it."""
    if len(newest) >= _MAX_CONNECTIONS:
        newest.popleft().force_close()
    newest.append(server())
    return newest[-1]


_NO_STORE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def _text(status: int, *lines: str) -> web.Response:
    return web.Response(status=status, text="\n".join(lines) + "\n", headers=_NO_STORE)


@web.middleware
async def _own_names_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    if _PORT.sub("", request.headers.get("Host", "")).lower() not in _NAMES:
        return _text(403, "ask 127.0.0.1 by its own name")
    return await handler(request)
