"""What can go wrong with an IPFS node: faults for `ipfs_proxy`, F55 to F62 of the table."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from tests.faults.ipfs_proxy import Answer, Asked, Fault, IpfsProxy, missing_block


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
        told = missing_block(asked)
        return web.Response(status=told.status, body=told.body, headers=told.headers)


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
