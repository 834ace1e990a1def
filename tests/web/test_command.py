"""``dam web`` as people type it: a process with an address, a browser, and an end."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import stat
import sys
from pathlib import Path
from urllib.parse import unquote

import aiohttp
import pytest
import pytest_asyncio

from tests.web.asking import free_port
from tests.web.shop import ShopWindow

pytestmark = pytest.mark.asyncio(loop_scope="session")
_SECONDS = 60


async def start(env: dict[str, str], *options: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "dam", "web", *options, env=env,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def address_of(running: asyncio.subprocess.Process) -> str:
    assert running.stdout
    async with asyncio.timeout(_SECONDS):
        line = (await running.stdout.readline()).decode()
    found = re.search(r"(http://localhost:[0-9]+)/#t=[\w-]{40,}", line)
    assert found, line
    return found[0]


@pytest_asyncio.fixture(loop_scope="session")
async def env(shop_window: ShopWindow) -> dict[str, str]:
    actor = await shop_window.world.actor("window shopper")
    return shop_window.world.env(actor) | {"DAM_WEB_PORT": str(free_port())}


async def test_it_serves_until_it_is_stopped_and_never_twice(env: dict[str, str]) -> None:
    running = await start(env, "--no-browser")
    try:
        url = await address_of(running)
        origin, token = url.split("/#t=")
        headers = {"X-Dam-Token": token, "Sec-Fetch-Site": "same-origin"}
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{origin}/") as page:
                assert "<dam-app>" in await page.text()
            async with session.get(f"{origin}/market.json", headers=headers) as market:
                assert len((await market.json())["markets"]) == 1
        second = await start(env, "--no-browser")
        _, said = await second.communicate()
        assert second.returncode == 2  # settings
        assert f"web_port {env['DAM_WEB_PORT']} on 127.0.0.1 cannot be had" in said.decode()
    finally:
        running.send_signal(signal.SIGINT)
        assert await running.wait() == 130
    again = await start(env, "--no-browser")  # the port is free at once
    await address_of(again)
    again.terminate()
    await again.wait()


def make_browser(folder: Path) -> str:
    """A program that writes down its arguments."""
    script = folder / "browser"
    script.write_text(f'#!/bin/sh\necho "$@" > {folder}/new && mv {folder}/new {folder}/told\n')
    script.chmod(0o700)
    return f"{script} %s"


def told(folder: Path) -> str:
    """What that program was given; empty: nothing yet."""
    file = folder / "told"
    return file.read_text().strip() if file.exists() else ""


def check_file(path: Path, url: str) -> None:
    """Only we can read it, and it leads to the page; without one it is gone."""
    if not url:
        assert not path.exists()
        return
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.stat().st_uid == os.getuid()
    assert url in path.read_text()


async def test_the_browser_gets_the_token_by_a_file_of_ours_and_never_as_an_argument(
    env: dict[str, str], tmp_path: Path
) -> None:
    running = await start(env | {"DISPLAY": ":0", "BROWSER": make_browser(tmp_path)})
    try:
        url = await address_of(running)
        async with asyncio.timeout(_SECONDS):
            while True:
                if given := told(tmp_path):
                    break
                await asyncio.sleep(0.05)
        assert given.startswith("file://")
        assert url.split("#t=")[1] not in given
        path = Path(unquote(given.removeprefix("file://")))
        check_file(path, url)
    finally:
        running.send_signal(signal.SIGINT)
        await running.wait()
    check_file(path, "")
