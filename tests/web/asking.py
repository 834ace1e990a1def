"""Asks the storefront's server byte by byte."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dam.ipfs.cid import Cid
from dam.testing.nodes import AnvilNode
from dam.web.rpc_proxy import RpcProxy
from dam.web.server import ServedMarket

TOKEN = "a-token-of-this-start"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Asking:
    """Asks the server as a browser, or as somebody else."""

    port: int
    anvil: AnvilNode
    known: Cid
    """Of a block of the store."""
    blocks: Path
    """Folder of the store."""
    proxy: RpcProxy
    served: ServedMarket

    @property
    def browser(self) -> dict[str, str | None]:
        """The headers of the page's own requests."""
        return {
            "Host": f"localhost:{self.port}",
            "Sec-Fetch-Site": "same-origin",
            "X-Dam-Token": TOKEN,
        }

    async def __call__(
        self,
        path: str,
        body: bytes | None = None,
        *,
        method: str = "",
        address: str = "127.0.0.1",
        **changed: str | None,
    ) -> Answer:
        """Asks with the page's headers; those ``changed`` are others, or (None) left out."""
        headers = self.browser
        if body is not None:
            headers |= {
                "Origin": f"http://localhost:{self.port}",
                "Content-Type": "application/json",
                "Content-Length": str(len(body)),
            }
        headers |= {name.replace("_", "-"): value for name, value in changed.items()}
        lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
        verb = method or ("GET" if body is None else "POST")
        head = "\r\n".join([f"{verb} {path} HTTP/1.1", *lines, "Connection: close", "", ""])
        reader, writer = await asyncio.open_connection(address, self.port)
        try:
            writer.write(head.encode() + (body or b""))
            async with asyncio.timeout(30):
                return _read(await reader.read())
        finally:
            writer.close()

    async def forge(self, real: bytes, other: bytes) -> Cid:
        """Puts bytes into the store under the CID of others."""
        cid = Cid.of("raw", real)
        path = self.blocks / "blocks" / str(cid)[-2:] / str(cid)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(other)
        return cid

    async def rpc(self, value: Any) -> Any:
        answer = await self("/rpc", json.dumps(value).encode())
        assert answer.status == 200, answer
        return answer.json


def _read(data: bytes) -> Answer:
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return Answer(int(first.split()[1]), headers, body)


def free_port() -> int:
    """A port that nobody has, on either address."""
    with socket.socket(socket.AF_INET6) as probe:
        probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        probe.bind(("::", 0))
        return int(probe.getsockname()[1])
