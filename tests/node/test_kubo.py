"""Against a real Kubo node: same CIDs, same links, pins that hold."""

import asyncio
import http.client
import json
import os
from urllib.parse import urlsplit

import pytest

from dam.errors import BlockRefused, IpfsError
from dam.ipfs import dag_json
from dam.ipfs.blocks import MAX_BLOCK_BYTES, BlockStore, PinLimits, PinSize, links
from dam.ipfs.cid import Cid
from dam.ipfs.directory import DirectoryStore
from dam.ipfs.kubo import KuboStore
from dam.ipfs.open import open_store
from dam.testing.nodes import KuboNode

pytestmark = pytest.mark.kubo


@pytest.fixture
async def store(kubo: KuboNode):
    store = open_store(kubo.url)
    assert isinstance(store, KuboStore)
    yield store
    await store.close()


def command(kubo: KuboNode, path: str, body: bytes = b"") -> tuple[int, bytes]:
    """The node's RPC API without our wrapper."""
    connection = http.client.HTTPConnection(urlsplit(kubo.url).netloc, timeout=30)
    boundary = "X" * 40
    part = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n'.encode()
        + body
        + f"\r\n--{boundary}--\r\n".encode()
    )
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    connection.request("POST", f"/api/v0/{path}", part if body else b"", headers if body else {})
    response = connection.getresponse()
    data = response.read()
    connection.close()
    return response.status, data


def document(*children: Cid, salt: str = "") -> bytes:
    return dag_json.dumps({"links": [{"/": str(cid)} for cid in children], "salt": salt})


async def test_same_cids_everywhere(store: KuboStore, kubo: KuboNode, tmp_path) -> None:
    folder = DirectoryStore(tmp_path)
    blocks: list[tuple[str, bytes]] = [
        ("raw", os.urandom(n)) for n in (0, 1, 1000, MAX_BLOCK_BYTES)
    ]
    blocks += [("dag-json", b"{}"), ("dag-json", b'{ "b" : 1,\n"a":"\xc3\xa9" }')]
    blocks += [("dag-json", document(Cid.of("raw", b"x")))]
    for codec, data in blocks:
        cid = await store.put(codec, data)
        assert cid == await folder.put(codec, data) == Cid.of(codec, data)
        assert await store.get(cid) == data
        status, answer = command(kubo, f"block/put?cid-codec={codec}&mhtype=sha2-256", data)
        if data:
            assert (status, json.loads(answer)["Key"]) == (200, str(cid))


async def test_many_at_once(store: KuboStore) -> None:
    datas = [os.urandom(200) for _ in range(200)]
    cids = await asyncio.gather(*(store.put("raw", data) for data in datas))
    assert await asyncio.gather(*(store.get(cid) for cid in cids)) == datas


async def test_absent(store: KuboStore) -> None:
    with pytest.raises(IpfsError):
        await store.get(Cid.of("raw", os.urandom(32)), deadline=5)


async def test_oversize_is_refused(store: KuboStore, kubo: KuboNode) -> None:
    data = os.urandom(MAX_BLOCK_BYTES + 1)
    status, answer = command(
        kubo, "block/put?cid-codec=raw&mhtype=sha2-256&allow-big-block=true", data
    )
    assert status == 200
    cid = Cid.of("raw", data)
    assert json.loads(answer)["Key"] == str(cid)
    with pytest.raises(BlockRefused):
        await store.get(cid)
    assert await store.get(cid, max_bytes=len(data)) == data
    with pytest.raises(BlockRefused):
        await store.put("raw", data)
    root = await store.put("dag-json", document(cid))
    with pytest.raises(BlockRefused):
        await store.pin(root)


A, B = Cid.of("raw", b"a"), Cid.of("dag-json", b"{}")
DOCUMENTS = [
    document(A, B, A).decode(),
    "[]",
    f'[[[{{"/":"{A}"}}]],{{"k":{{"k":{{"/":"{B}"}}}}}}]',
]
HOSTILE = [
    '{"x":{"/":{"bytes":"aGk"}}}',
    f'{{"x":{{"\\u002f":"{A}"}}}}',
    f'{{"a":"\\ud800","b":{{"/":"{A}"}}}}',
    '{"x":{"/":{"bytes":"aGk","y":1}}}',
    f'{{"/":"{A}","/":"{B}"}}',
    f'{{"x":{{"/":"{A}","y":1}}}}',
    f'{{"x":{{"y":1,"/":"{A}"}}}}',
    f'{{"a":1,"a":{{"/":"{A}"}}}}',
    f'[{{"/":"{A}"}}]\n{{"/":"{B}"}}',
    f'[{{"/":"{A}"}},]',
    f'\ufeff[{{"/":"{A}"}}]',
    f'{{"/":{{"/":"{A}"}}}}',
    f'{{"/":[{{"/":"{A}"}}]}}',
    f'[NaN,{{"/":"{A}"}}]',
    "[" * 2000 + "]" * 2000,
]


@pytest.mark.parametrize("text", DOCUMENTS + HOSTILE)
async def test_kubo_follows_no_link_that_we_do_not_see(
    store: KuboStore, kubo: KuboNode, text: str
) -> None:
    await store.put("raw", b"a")
    await store.put("dag-json", b"{}")
    cid = await store.put("dag-json", text.encode())
    status, answer = command(kubo, f"refs?arg={cid}&unique=true")
    assert status == 200
    found = {json.loads(line)["Ref"] for line in answer.splitlines()} - {""}
    if text in DOCUMENTS:
        assert found == {str(link) for link in links(text.encode())}
    else:
        with pytest.raises(BlockRefused):
            links(text.encode())


async def tree(store: BlockStore) -> tuple[Cid, list[Cid], int]:
    chunks = [await store.put("raw", os.urandom(5000)) for _ in range(4)]
    pages = [document(*chunks[:2]), document(*chunks[2:], chunks[0])]
    page_cids = [await store.put("dag-json", page) for page in pages]
    text = document(*page_cids, salt=os.urandom(8).hex())
    root = await store.put("dag-json", text)
    size = sum(map(len, pages)) + 4 * 5000 + len(text)
    return root, [root, *page_cids, *chunks], size


async def test_pin_keeps_the_whole_store(store: KuboStore, kubo: KuboNode, tmp_path) -> None:
    root, blocks, size = await tree(store)
    loose = await store.put("raw", os.urandom(100))
    assert await store.pin(root) == PinSize(7, size)
    assert await store.pin(root) == PinSize(7, size)
    assert command(kubo, "repo/gc")[0] == 200
    for cid in blocks:
        await store.get(cid)
    with pytest.raises(IpfsError):
        await store.get(loose, deadline=5)
    await store.unpin(root)
    await store.unpin(root)
    assert command(kubo, "repo/gc")[0] == 200
    with pytest.raises(IpfsError):
        await store.get(root, deadline=5)


async def test_pin_limits(store: KuboStore, kubo: KuboNode) -> None:
    root, _, size = await tree(store)
    with pytest.raises(BlockRefused):
        await store.pin(root, limits=PinLimits(max_bytes=size - 1))
    with pytest.raises(BlockRefused):
        await store.pin(root, limits=PinLimits(max_blocks=6))
    assert command(kubo, f"pin/ls?arg={root}")[0] == 500, "nothing was pinned"
    missing = await store.put("dag-json", document(Cid.of("raw", os.urandom(32))))
    with pytest.raises(IpfsError):
        await store.pin(missing)
    directory = json.dumps({"/": "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354"})
    foreign = await store.put("dag-json", f'{{"x":{directory}}}'.encode())
    with pytest.raises(BlockRefused):
        await store.pin(foreign)


async def test_node_gone() -> None:
    with KuboNode() as node:
        store = KuboStore(node.url)
        cid = await store.put("raw", b"here")
    for call in (store.get(cid), store.put("raw", b"x"), store.pin(cid), store.unpin(cid)):
        with pytest.raises(IpfsError):
            await call
    await store.close()


async def test_node_keeps_its_folder(tmp_path) -> None:
    with KuboNode(folder=tmp_path) as node:
        store = KuboStore(node.url)
        cid = await store.put("raw", b"kept")
        await store.close()
    async with KuboNode(folder=tmp_path) as node:
        store = KuboStore(node.url)
        assert await store.get(cid) == b"kept"
        await store.close()
