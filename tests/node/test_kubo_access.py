"""A Kubo node whose API asks for a secret, behind TLS, or under a path."""

from __future__ import annotations

import asyncio
import os
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp import web

from dam.errors import IpfsUnreachable
from dam.ipfs.cid import Cid
from dam.ipfs.open import open_store
from dam.testing.nodes import KuboNode, NodeMissingError

pytestmark = pytest.mark.kubo
TOKEN, PASSWORD = "bearer:t0k3n.of-ours", "basic:ada:pa55: word"
DATA = b"behind a lock"


@pytest.fixture(scope="module")
def locked() -> Iterator[KuboNode]:
    try:
        node = KuboNode(secrets=(TOKEN, PASSWORD)).start()
    except NodeMissingError as error:
        pytest.skip(f"NO IPFS NODE, so nothing is compared with the real one: {error}")
    yield node
    node.stop()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Of 127.0.0.1, with its key in ``key.pem`` beside it."""
    path = tmp_path / "cert.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", path.with_name("key.pem"), "-out", path),
        ],
        check=True,
        capture_output=True,
    )
    return path


@pytest.fixture
async def prefixed(locked: KuboNode, certificate: Path) -> AsyncIterator[str]:
    """A reverse proxy with TLS: /market/one/api/v0 is the node's /api/v0, and nothing else is."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))

    async def forward(request: web.Request) -> web.Response:
        headers = {name: request.headers[name] for name in ("Authorization", "Content-Type")
                   if name in request.headers}  # fmt: skip
        url = f"{locked.url}/api/v0/{request.match_info['command']}?{request.query_string}"
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, data=await request.read(), headers=headers) as answer,
        ):
            return web.Response(status=answer.status, body=await answer.read())

    app = web.Application()
    app.router.add_post("/market/one/api/v0/{command:.+}", forward)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    yield f"https://127.0.0.1:{runner.addresses[0][1]}/market/one"
    await runner.cleanup()


@pytest.mark.parametrize("auth", [TOKEN, PASSWORD])
@pytest.mark.parametrize("multiaddr", [False, True])
async def test_a_secret_opens_the_api(locked: KuboNode, auth: str, multiaddr: bool) -> None:
    port = urlsplit(locked.url).port
    address = f"/ip4/127.0.0.1/tcp/{port}" if multiaddr else locked.url
    store = open_store(address, auth=auth)
    cid = await store.put("raw", DATA)
    assert await store.get(cid) == DATA
    assert (await store.pin(cid)).blocks == 1
    await store.unpin(cid)
    await store.close()


@pytest.mark.parametrize("auth", ["", "bearer:wr0ng", "basic:ada:wr0ng"])
async def test_a_missing_or_wrong_secret_is_named_and_not_shown(
    locked: KuboNode, auth: str
) -> None:
    store = open_store(locked.url, auth=auth)
    with pytest.raises(IpfsUnreachable, match="DAM_IPFS_AUTH") as caught:
        await store.get(Cid.of("raw", DATA))
    assert ("asks for a secret" in str(caught.value)) == (not auth)
    assert "wr0ng" not in str(caught.value)
    await store.close()


async def test_a_path_before_the_api_and_tls(prefixed: str, certificate: Path) -> None:
    """In a process of its own, since Python reads SSL_CERT_FILE once."""
    code = """
import asyncio, sys
from dam.errors import IpfsUnreachable
from dam.ipfs.open import open_store

async def main():
    store = open_store(sys.argv[1], auth=sys.argv[2])
    try:
        cid = await store.put("raw", b"x" * 300_000)
        print(len(await store.get(cid)), (await store.pin(cid)).bytes)
    except IpfsUnreachable as error:
        print(error)
    await store.close()

asyncio.run(main())
"""

    async def run(trusted: bool) -> str:
        env = dict(os.environ)
        if trusted:
            env["SSL_CERT_FILE"] = str(certificate)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "ignore", "-c", code, prefixed, TOKEN),
            env=env,
            stdout=subprocess.PIPE,
        )
        return (await process.communicate())[0].decode().strip()

    assert await run(True) == "300000 300000"
    refused = await run(False)
    assert refused.startswith("no connection to https://127.0.0.1:")
    assert "/***" in refused
