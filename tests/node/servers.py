"""An HTTP server whose answers are a handler's raw bytes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

Handler = Callable[[str, bytes, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """Answers each HTTP request by a handler's raw bytes, and counts what came."""

    def __init__(self, handler: Handler) -> None:
        self.requests: list[tuple[str, bytes]] = []
        self._handler = handler
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def start(self) -> Server:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                body = b""
                for line in head.split("\r\n"):
                    if line.lower().startswith("content-length:"):
                        body = await reader.readexactly(int(line.split(":")[1]))
                if "transfer-encoding: chunked" in head.lower():
                    while size := int(await reader.readline(), 16):
                        body += await reader.readexactly(size + 2)
                    await reader.readline()
                self.requests.append((head.split("\r\n")[0], body))
                await self._handler(head.split(" ")[1], body, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()


def http(status: str, body: bytes, *headers: str) -> bytes:
    """A whole HTTP response."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def reply(**fields: object) -> bytes:
    """A response with one JSON-RPC answer."""
    return http("200 OK", json.dumps({"jsonrpc": "2.0", **fields}).encode())


def answering(serve, *rounds: list[dict[str, Any]]):
    """A node that answers each batch with the next of ``rounds``; ids are put in."""
    left = list(rounds)

    async def handler(path: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        answers = left.pop(0) if len(left) > 1 else left[0]
        ids = [request["id"] for request in json.loads(body)]
        replies = [{"id": i, **answer} for i, answer in zip(ids, answers, strict=False)]
        writer.write(http("200 OK", json.dumps(replies).encode()))

    return serve(handler)
