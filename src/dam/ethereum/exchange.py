"""One HTTP exchange with a node: a body there, an answer back, within a cap and a deadline.

The node is not trusted: its answer has a size cap and must be JSON. The URL often holds an API key,
so no error names more of it than the host.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from dam.errors import ConfigError, RpcError
from dam.ethereum.node import ReadStats
from dam.ethereum.node_errors import (
    NODE_STATUSES,
    RpcBadReplyError,
    RpcBatchError,
    RpcTimeoutError,
    RpcTooLargeError,
    RpcUnavailableError,
)

_MAX_CONNECTIONS = 16


class Exchange:
    """The HTTP side of a node's endpoint.

    Args:
        url: ``http://`` or ``https://``, with an API key in it if need be.
        timeout: Seconds for one exchange, connecting and reading included.

    Raises:
        ConfigError: It is no such URL.
    """

    def __init__(self, url: str, timeout: float) -> None:
        try:
            parts = urlsplit(url)
            valid = parts.scheme in ("http", "https") and bool(parts.hostname)
            port = f":{parts.port}" if parts.port else ""
        except ValueError:
            valid = False
        if not valid:
            raise ConfigError("the RPC address must be an http:// or https:// URL of a node")
        self._url = url
        self.host = f"{parts.hostname}{port}"
        """Host and port, for messages."""
        self.stats = ReadStats()
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None

    async def post(
        self,
        body: Any,
        label: str,
        cap: int,
        timeout: float | None = None,
        *,
        parse: Callable[[bytearray], Any] = json.loads,
    ) -> Any:
        """Sends one request, or several, and parses the answer of at most ``cap`` bytes.

        ``label`` stands in messages.
        """
        self.stats.requests += 1
        seconds = self._timeout if timeout is None else timeout
        many = isinstance(body, list) and len(body) > 1
        error: RpcError
        try:
            async with asyncio.timeout(seconds):
                data = await self._post(json.dumps(body).encode(), cap, label, many)
            try:
                return parse(data)
            except (ValueError, RecursionError):
                raise RpcBadReplyError(f"{label}: {self.host} gave no JSON") from None
        except TimeoutError:
            error = RpcTimeoutError(f"{label}: {self.host} took over {seconds:g} s")
        except (aiohttp.ClientError, OSError) as failure:
            # The error's own text can hold the URL, and with it a key.
            error = RpcUnavailableError(f"{label}: {_why(failure, self.host)}")
        except RpcError as failure:
            error = failure
        self.stats.failures += 1
        raise error from None

    async def close(self) -> None:
        """Closes the connections."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    async def _post(self, body: bytes, cap: int, label: str, many: bool) -> bytearray:
        session = self._open()
        headers = {"Content-Type": "application/json"}
        async with session.post(
            self._url, data=body, headers=headers, allow_redirects=False
        ) as response:
            # One buffer: joined at the end, chunks of an answer would be there twice.
            data = bytearray()
            async for chunk in response.content.iter_any():
                if len(data) + len(chunk) > cap:
                    response.close()
                    raise RpcTooLargeError(f"{label}: {self.host} gave over {cap} bytes")
                data += chunk
            self._check_status(label, many, response.status, response.headers, data)
            return data

    def _check_status(
        self, label: str, many: bool, status: int, headers: Mapping[str, str], data: bytearray
    ) -> None:
        """Raises what an HTTP status other than 200 means, whatever a node at fault says."""
        # Some nodes put a proper JSON-RPC error under status 400; under 429 or 5xx it is theirs.
        its_own = status in NODE_STATUSES or status >= 500
        if status == 200 or (status >= 400 and not its_own and _is_answer(data)):
            return
        text = f"{label}: {self.host} gave {_named(status)}"
        if status >= 400 and not its_own and many:
            raise RpcBatchError(text)  # it may take them one by one
        if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            raise RpcTooLargeError(text)
        wish = _seconds(headers.get("Retry-After", ""))
        asks = "" if wish is None else f", asks to wait {wish:.0f} s"
        raise RpcUnavailableError(text + asks, status=status, retry_after=wish)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=_MAX_CONNECTIONS),
                timeout=aiohttp.ClientTimeout(total=None),  # asyncio.timeout has the whole
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session


def _is_answer(data: bytearray) -> bool:
    """Whether a body is a JSON-RPC error, or several."""
    try:
        reply = json.loads(data)
    except (ValueError, RecursionError):
        return False
    errors = [
        one.get("error") if isinstance(one, dict) else None
        for one in (reply if isinstance(reply, list) else [reply])
    ]
    return bool(errors) and any(isinstance(e, dict) and type(e.get("code")) is int for e in errors)


def _why(failure: BaseException, host: str) -> str:
    """A failed exchange in words."""
    if isinstance(failure, aiohttp.ClientConnectorDNSError):
        return f"no address is known for the name in {host}"
    if isinstance(failure, aiohttp.ClientSSLError):
        return f"no TLS with {host} ({type(failure).__name__})"
    if isinstance(failure, aiohttp.ClientConnectorError):
        if isinstance(failure.os_error, ConnectionRefusedError):
            return f"nothing answers at {host}"
        return f"{host} cannot be reached ({os.strerror(failure.os_error.errno or 0)})"
    if isinstance(failure, aiohttp.ServerDisconnectedError | aiohttp.ClientPayloadError | OSError):
        return f"{host} broke the connection off"
    return f"{host} answers no HTTP ({type(failure).__name__})"


def _named(status: int) -> str:
    try:
        return f"HTTP {status} ({HTTPStatus(status).phrase})"
    except ValueError:
        return f"HTTP {status}"


def _seconds(header: str) -> float | None:
    """Seconds that a Retry-After asks for; it holds seconds or a date (RFC 9110, 10.2.3)."""
    if re.fullmatch(r"[0-9]{1,5}", header):
        return float(header)
    try:
        until = parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (until - datetime.now(UTC)).total_seconds()) if until.tzinfo else None
