"""Real nodes, and servers that misbehave on purpose."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from dam.crypto.hashing import parse_address
from dam.ethereum.rpc import JsonRpc
from dam.market.client import Market
from dam.testing.market import MarketCode, deploy_market, market_code
from dam.testing.nodes import AnvilNode, KuboNode, NodeMissingError
from tests.node.live_market import LiveMarket
from tests.node.node_pool.nodes import Pools
from tests.node.servers import Handler, Server, http


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[Handler | bytes], Awaitable[Server]]]:
    """Starts servers; given bytes, they always answer so."""
    servers: list[Server] = []

    async def start(handler: Handler | bytes) -> Server:
        if isinstance(handler, bytes):
            answer = handler

            async def always(path: str, body: bytes, writer: asyncio.StreamWriter) -> None:
                writer.write(answer)

            handler = always
        servers.append(await Server(handler).start())
        return servers[-1]

    yield start
    for server in servers:
        await server.stop()


@pytest.fixture
async def pools(serve: Callable[..., Awaitable[Server]]) -> AsyncIterator[Pools]:
    """A maker of node pools, whose logs must never name a secret."""
    made = Pools(serve)
    yield made
    for endpoints in made.opened:
        await endpoints.close()
    assert "SECRETKEY" not in repr(made.events)


@pytest.fixture(scope="session")
def kubo() -> Iterator[KuboNode]:
    try:
        node = KuboNode().start()
    except NodeMissingError as error:
        pytest.skip(f"NO IPFS NODE, so nothing is compared with the real one: {error}")
    yield node
    node.stop()


@pytest.fixture(scope="session")
def code() -> MarketCode:
    return market_code()


@pytest.fixture
def anvil() -> Iterator[AnvilNode]:
    with AnvilNode() as node:
        yield node


@pytest.fixture
def proxy(proxy_to, anvil: AnvilNode) -> Callable[..., Awaitable[Server]]:
    """A server before the chain: `change(method, params, result)` gives what it answers instead."""

    async def start(change: Callable[[str, list[Any], Any], Any]) -> Server:
        return await proxy_to(anvil, change)

    return start


@pytest.fixture
def proxy_to(serve) -> Callable[..., Awaitable[Server]]:
    """A server before a chain; ``busy`` names a method that is answered with HTTP 429.

    ``most`` is how many calls it takes in one request.
    """

    async def start(
        node: AnvilNode,
        change: Callable[[str, list[Any], Any], Any],
        *,
        busy: str = "",
        most: int = 1000,
    ) -> Server:
        def answer(request: dict[str, Any]) -> dict[str, Any]:
            result = node.request(request["method"], *request["params"])
            changed = change(request["method"], request["params"], result)
            key = "error" if isinstance(changed, dict) and "code" in changed else "result"
            return {"jsonrpc": "2.0", "id": request["id"], key: changed}

        async def handler(path: str, body: bytes, writer: asyncio.StreamWriter) -> None:
            request = json.loads(body)
            if isinstance(request, dict) and request["method"] == busy:
                writer.write(http("429 Too Many Requests", b"slow down"))
                return
            if isinstance(request, list) and len(request) > most:
                writer.write(http("413 Payload Too Large", b"too many"))
                return
            if isinstance(request, list):
                reply: Any = [await asyncio.to_thread(answer, one) for one in request]
            else:
                reply = await asyncio.to_thread(answer, request)
            writer.write(http("200 OK", json.dumps(reply).encode()))

        return await serve(handler)

    return start


@pytest.fixture
def live(anvil: AnvilNode, code: MarketCode) -> LiveMarket:
    deployment = deploy_market(anvil, code=code)
    accounts = [parse_address(a) for a in anvil.request("eth_accounts")]
    return LiveMarket(anvil, deployment, accounts)


@pytest.fixture
async def market(live: LiveMarket) -> AsyncIterator[Market]:
    async with JsonRpc(live.anvil.url, timeout=10) as rpc:
        yield Market(rpc, live.deployment)
