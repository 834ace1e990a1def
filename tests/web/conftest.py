"""The storefront's server on a real chain."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from dam.ipfs.directory import DirectoryStore
from dam.market.connect import open_node
from dam.market.deployment import UNKNOWN_ORIGIN, Record
from dam.testing.market import deploy_market
from dam.testing.nodes import AnvilNode
from dam.web.bundle import load_bundle
from dam.web.server import ServedMarket, WebServer
from tests.web.asking import TOKEN, Asking, free_port


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
    async with open_node(anvil.url) as node:
        record = Record(deployment, UNKNOWN_ORIGIN)
        markets = [ServedMarket("", record, node, blocks, home / "index")]
        port = free_port()
        server = WebServer(port, load_bundle(bundle_folder), markets, token=TOKEN)
        async with server.serving():
            assert server.url == f"http://localhost:{port}/#t={TOKEN}"
            [proxy] = server._proxies.values()
            yield Asking(port, anvil, known, home / "blocks", proxy)
