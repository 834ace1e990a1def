"""``dam web``: the storefront, on this machine alone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import webbrowser
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import click

from dam.atomic_file import write_atomic
from dam.cli.session import asynchronous, print_note
from dam.cli.terminal import write_result
from dam.config.settings import MARKET_VARIABLE, Settings, unchosen_markets
from dam.errors import ConfigError
from dam.ipfs.open import open_store
from dam.market.connect import open_nodes
from dam.market.deployment import load_record
from dam.web.bundle import load_bundle
from dam.web.server import ServedMarket, WebServer


@click.command()
@click.option("--no-browser", is_flag=True, help="Open no browser, only print the address.")
@click.option(
    "--reset",
    is_flag=True,
    help="Have browsers throw the page's cache away. Purchases and keys stay.",
)
@asynchronous
async def web(no_browser: bool, reset: bool) -> None:
    """Serves the storefront to browsers of this machine, until Ctrl-C.

    It shows every market of the settings, or the one of `dam --market NAME web`. It holds no key
    and signs nothing: a wallet in the browser does. The address that it prints holds a token of
    this start; a bookmark without it asks for a new one.
    """
    bundle = load_bundle(reset=reset)
    chosen = _settings()
    async with _opened(chosen) as markets:
        server = WebServer(chosen[0].web_port, bundle, markets)
        async with server.serving():
            write_result(f"The storefront: {server.url}")
            print_note("Ctrl-C ends it. Its address is for you alone: it holds a token.")
            with contextlib.nullcontext() if no_browser else _shown(chosen[0].home, server.url):
                await asyncio.Event().wait()


def _settings() -> list[Settings]:
    """Of the market that was named, or of each."""
    names = unchosen_markets(os.environ)
    if not names:
        return [Settings.load()]
    found = [Settings.load({**os.environ, MARKET_VARIABLE: name}) for name in names]
    if len({one.web_port for one in found}) > 1:
        raise ConfigError(
            "web_port is set differently for several markets: set it once, above their tables, or "
            "name one market, `dam --market NAME web`"
        )
    return found


@contextlib.asynccontextmanager
async def _opened(chosen: list[Settings]) -> AsyncIterator[list[ServedMarket]]:
    """Node and block store of each market; those of the same address are opened once."""
    async with contextlib.AsyncExitStack() as stack:
        stores, markets = {}, []
        for one in chosen:
            place = (one.ipfs, one.ipfs_auth)
            if place not in stores:
                stores[place] = open_store(one.ipfs, auth=one.ipfs_auth)
                stack.push_async_callback(stores[place].close)
            node = await stack.enter_async_context(open_nodes(one))
            record = load_record(one.deployment_path)
            name = one.market_name
            markets.append(ServedMarket(name, record, node, stores[place], one.index))
        yield markets


@contextlib.contextmanager
def _shown(home: Path, url: str) -> Iterator[None]:
    """Opens a browser by a file that only we can read: its arguments anybody here can."""
    if not (sys.platform == "darwin" or os.environ.keys() & {"DISPLAY", "WAYLAND_DISPLAY"}):
        yield  # a browser in the terminal would take it away
        return
    home.mkdir(parents=True, exist_ok=True)
    path = home / "storefront.html"
    page = f'<!doctype html><meta http-equiv="refresh" content="0; url={url}"><title>DAM</title>'
    write_atomic(path, page.encode(), mode=0o600)
    try:
        if not webbrowser.open(path.absolute().as_uri()):
            print_note("No browser could be opened: open the address yourself.")
        yield
    finally:
        path.unlink(missing_ok=True)
