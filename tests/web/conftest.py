"""The storefront's server on real chains: an empty market for it, a shop for the browser."""

from __future__ import annotations

import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from dam.ipfs.directory import DirectoryStore
from dam.market.connect import open_node
from dam.market.deployment import UNKNOWN_ORIGIN, Record, load_record
from dam.testing.market import deploy_market
from dam.testing.nodes import AnvilNode, NodeMissingError
from dam.web.bundle import load_bundle
from dam.web.server import ServedMarket, WebServer
from tests.web.asking import TOKEN, Asking, free_port

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from demo.world import World  # noqa: E402
from tests.e2e.manual_market import ManualMarket  # noqa: E402
from tests.web.shop import ITEMS, ShopWindow  # noqa: E402

CHROMIUM = ("chromium", "chromium-browser")


@pytest.fixture(scope="session")
def bundle_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of a few bytes: what serves it does not care."""
    folder = tmp_path_factory.mktemp("static")
    (folder / "index.html").write_text("<!doctype html><title>DAM</title>")
    (folder / "app.js").write_text("'use strict';")
    (folder / "sw.js").write_text("// the worker")
    (folder / "notes.txt").write_text("of no type that is served")
    return folder


@pytest.fixture(scope="session")
def anvil() -> Iterator[AnvilNode]:
    with AnvilNode() as node:
        yield node


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def ask(
    anvil: AnvilNode, bundle_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Asking]:
    deployment = deploy_market(anvil)
    home = tmp_path_factory.mktemp("home")
    blocks = DirectoryStore(str(home / "blocks"))
    known = await blocks.put("raw", b"<script>alert(1)</script>")
    async with open_node(anvil.url, timeout=20.0) as node:
        record = Record(deployment, UNKNOWN_ORIGIN)
        markets = [ServedMarket("", record, node, blocks, home / "index")]
        port = free_port()
        server = WebServer(port, load_bundle(bundle_folder), markets, token=TOKEN)
        async with server.serving():
            assert server.url == f"http://localhost:{port}/#t={TOKEN}"
            [proxy] = server._proxies.values()
            yield Asking(port, anvil, known, home / "blocks", proxy, markets[0])


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if program is None:
        pytest.skip("no Chromium: install Debian's, `apt-get install chromium`")
    async with async_playwright() as playwright:
        # Its sandbox wants a user namespace, which root in a container has not.
        opened = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        await opened.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shop_window() -> AsyncIterator[ShopWindow]:
    """A shop with three goods, and the page as it was built."""
    try:
        async with World(kubo=True) as world:
            market = await ManualMarket(world).open()
            await market.publish(ITEMS.format(arbitrator=market.arbitrator.address))
            async with open_node(world.chain.url, timeout=20.0) as node:
                folder, port = world.folder / "page-index", free_port()
                record = load_record(world.record)
                served = ServedMarket("demo", record, node, world.blocks, folder)
                server = WebServer(port, load_bundle(), [served], token=TOKEN)
                async with server.serving():
                    origin = f"http://localhost:{port}"
                    who = market.seller.address
                    yield ShopWindow(world, origin, server.url, who, server, market)
    except NodeMissingError as error:
        pytest.skip(str(error))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def empty_window(ask: Asking) -> AsyncIterator[WebServer]:
    """The page on a market in which nothing is for sale."""
    server = WebServer(free_port(), load_bundle(), [ask.served], token=TOKEN)
    async with server.serving():
        yield server
