"""An IPFS RPC that fails in every way of the fault table (F55 to F64)."""

import asyncio
import json
import socket

import pytest

from dam.errors import BlockMismatch, BlockRefused, IpfsError, IpfsUnreachable
from dam.ipfs.cid import Cid
from dam.ipfs.kubo import KuboStore

DATA = b"the block"
CID = Cid.of("raw", DATA)


def http(status: str, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@pytest.fixture
async def store_at():
    stores: list[KuboStore] = []

    def make(url: str, timeout: float = 1.0) -> KuboStore:
        stores.append(KuboStore(url, timeout=timeout))
        return stores[-1]

    yield make
    for store in stores:
        await store.close()


@pytest.mark.parametrize(
    "answer",
    [
        http("502 Bad Gateway", DATA),
        http("503 Service Unavailable", DATA),
        http("429 Too Many Requests", DATA),
        http("206 Partial Content", DATA),
        http("500 Internal Server Error", json.dumps({"Message": "\x1b[2J" * 99}).encode()),
        http("200 OK", DATA, "X-Stream-Error: context deadline exceeded"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nthe block\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nthe block",
        b"not http\r\n\r\n",
    ],
)
async def test_failures_are_no_content(serve, store_at, answer: bytes) -> None:
    store = store_at((await serve(answer)).url)
    with pytest.raises(IpfsError) as caught:
        await store.get(CID)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_nobody_listens(store_at, host: str) -> None:
    """Bound, so that nobody else takes the port, and deaf."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        with pytest.raises(IpfsUnreachable):
            await store_at(f"http://{host}:{deaf.getsockname()[1]}").get(CID)


async def test_other_bytes(serve, store_at) -> None:
    store = store_at((await serve(http("200 OK", b"other"))).url)
    with pytest.raises(BlockMismatch):
        await store.get(CID)


async def test_stream_error_in_a_trailer(serve, store_at) -> None:
    cut = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Stream-Error\r\n\r\n"
        b"4\r\nthe \r\n0\r\nX-Stream-Error: unexpected EOF\r\n\r\n"
    )
    store = store_at((await serve(cut)).url)
    with pytest.raises(BlockMismatch):
        await store.get(CID)


async def test_redirect_is_not_followed(serve, store_at) -> None:
    other = await serve(http("200 OK", DATA))
    for status in ("301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"):
        away = await serve(http(status, DATA, f"Location: {other.url}/api/v0/block/get"))
        with pytest.raises(IpfsError, match="HTTP 30"):
            await store_at(away.url).get(CID)
    assert other.requests == []


async def test_hang_and_drip_end_at_one_deadline_and_others_proceed(serve, store_at) -> None:
    slow = Cid.of("raw", b"slow")

    async def handler(path, body, writer) -> None:
        if str(CID) in path:
            writer.write(http("200 OK", DATA))
            return
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b"s")
            await writer.drain()
            await asyncio.sleep(0.1)

    store = store_at((await serve(handler)).url, timeout=30)
    waiting = [asyncio.ensure_future(store.get(slow)) for _ in range(5)]
    await asyncio.sleep(0.1)
    for _ in range(20):
        assert await store.get(CID) == DATA
    assert not any(task.done() for task in waiting)
    with pytest.raises(IpfsError, match=r"took over 0\.5 s"):
        await store.get(slow, deadline=0.5)
    for task in waiting:
        task.cancel()


async def test_ten_gigabytes_are_cut_at_the_cap(serve, store_at) -> None:
    sent = 0

    async def flood(path, body, writer) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n")
        while True:
            writer.write(bytes(65536))
            await writer.drain()
            sent += 65536

    store = store_at((await serve(flood)).url, timeout=10)
    with pytest.raises(BlockRefused):
        await store.get(CID)
    assert sent < 16 << 20


@pytest.mark.parametrize(
    "answer", [b"", b"[]", b"{", b'{"Key":"other","Size":9}', b'{"Size":9}', b"[" * 60_000]
)
async def test_put_and_pin_need_their_own_cid_back(serve, store_at, answer: bytes) -> None:
    store = store_at((await serve(http("200 OK", answer))).url)
    with pytest.raises(IpfsError):
        await store.put("raw", DATA)
    with pytest.raises(IpfsError):
        await store.pin(CID)


async def test_only_checked_names_are_sent(serve, store_at) -> None:
    server = await serve(http("200 OK", DATA))
    store = store_at(server.url)
    assert await store.get(CID) == DATA
    for text in (f"{CID}&arg=x", f"../{CID}", "/ipns/x", "http://x/", f"{CID}/.."):
        with pytest.raises(BlockRefused):
            await store.get(Cid.parse(text))
    (line, _), *rest = server.requests
    assert rest == []
    assert line == f"POST /api/v0/block/get?arg={CID} HTTP/1.1"
