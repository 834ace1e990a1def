"""The directory of blocks: whole blocks or none, checked at every read, pins within limits."""

import asyncio
import os
from pathlib import Path

import pytest

from dam.errors import BlockMismatch, BlockRefused, ConfigError, IpfsError, IpfsUnreachable
from dam.ipfs import dag_json
from dam.ipfs.blocks import MAX_BLOCK_BYTES, PinLimits, PinSize
from dam.ipfs.cid import Cid
from dam.ipfs.directory import DirectoryStore
from dam.ipfs.open import open_store


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "blocks")


def path_of(store: DirectoryStore, cid: Cid) -> Path:
    return store.path / "blocks" / str(cid)[-2:] / str(cid)


def document(*links: Cid) -> bytes:
    return dag_json.dumps([{"/": str(link)} for link in links])


async def test_put_get(store: DirectoryStore) -> None:
    cid = await store.put("raw", b"block")
    assert cid == Cid.of("raw", b"block")
    assert await store.get(cid) == b"block"
    assert await store.put("raw", b"block") == cid
    assert list((store.path / "tmp").iterdir()) == []


async def test_codecs_are_different_blocks(store: DirectoryStore) -> None:
    await store.put("raw", b"{}")
    with pytest.raises(IpfsError):
        await store.get(Cid.of("dag-json", b"{}"))


async def test_absent_block_may_come(store: DirectoryStore) -> None:
    with pytest.raises(IpfsUnreachable, match="is not there"):
        await store.get(Cid.of("raw", b"later"))
    await store.put("raw", b"another")
    with pytest.raises(IpfsError, match="yet"):
        await store.get(Cid.of("raw", b"later"))


async def test_damaged_block_is_told_and_mended(store: DirectoryStore) -> None:
    cid = await store.put("raw", b"block")
    path_of(store, cid).write_bytes(b"blocc")
    with pytest.raises(BlockMismatch):
        await store.get(cid)
    await store.put("raw", b"block")
    assert await store.get(cid) == b"block"


async def test_oversize(store: DirectoryStore) -> None:
    with pytest.raises(BlockRefused):
        await store.put("raw", bytes(MAX_BLOCK_BYTES + 1))
    cid = await store.put("raw", bytes(MAX_BLOCK_BYTES))
    assert len(await store.get(cid)) == MAX_BLOCK_BYTES
    with pytest.raises(BlockRefused):
        await store.get(cid, max_bytes=MAX_BLOCK_BYTES - 1)


async def test_symlink_and_fifo_are_not_blocks(store: DirectoryStore, tmp_path: Path) -> None:
    cid = await store.put("raw", b"block")
    block = path_of(store, cid)
    (tmp_path / "elsewhere").write_bytes(b"block")
    block.unlink()
    block.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(IpfsError):
        await store.get(cid)
    block.unlink()
    os.mkfifo(block)
    with pytest.raises(IpfsError, match="regular"):
        await asyncio.wait_for(store.get(cid), 60)


async def test_a_link_in_place_of_the_folder_for_temporary_files(
    store: DirectoryStore, tmp_path: Path
) -> None:
    """Who shares the directory could have old files of ours removed through it."""
    keys = tmp_path / "keys"
    keys.mkdir()
    ring, left = keys / "deliverer.json", keys / ("0" * 32)
    for file in (ring, left):
        file.write_text("x")
        os.utime(file, (1, 1))
    store.path.mkdir(exist_ok=True)
    (store.path / "tmp").symlink_to(keys)
    await store.put("raw", b"block")
    assert ring.exists()
    assert not left.exists()  # as a process that was killed leaves it


async def test_pin_walks_all_links(store: DirectoryStore) -> None:
    chunk = await store.put("raw", b"chunk")
    page = await store.put("dag-json", document(chunk))
    root_bytes = document(page, page, chunk)
    root = await store.put("dag-json", root_bytes)
    size = await store.pin(root)
    assert size == PinSize(3, len(root_bytes) + len(document(chunk)) + 5)
    assert await store.pins() == [root]
    await store.unpin(root)
    await store.unpin(root)
    assert await store.pins() == []


async def test_pin_waits_for_every_block(store: DirectoryStore) -> None:
    missing = Cid.of("raw", b"missing")
    root = await store.put("dag-json", document(missing))
    with pytest.raises(IpfsError):
        await store.pin(root)
    assert await store.pins() == []
    await store.put("raw", b"missing")
    await store.pin(root)


async def test_pin_limits(store: DirectoryStore) -> None:
    chunks = [await store.put("raw", bytes([i]) * 100) for i in range(5)]
    root = await store.put("dag-json", document(*chunks))
    with pytest.raises(BlockRefused, match="blocks"):
        await store.pin(root, limits=PinLimits(max_blocks=5))
    with pytest.raises(BlockRefused, match="bytes"):
        await store.pin(root, limits=PinLimits(max_bytes=500))
    assert (await store.pin(root, limits=PinLimits(max_blocks=6))).blocks == 6


async def test_many_links_stop_at_the_limit_before_they_are_fetched(store: DirectoryStore) -> None:
    never_there = [Cid("raw", i.to_bytes(32, "big")) for i in range(10_000)]
    root = await store.put("dag-json", document(*never_there))
    with pytest.raises(BlockRefused, match="blocks"):
        await store.pin(root, limits=PinLimits(max_blocks=9_999))


async def test_processes_share_a_directory(store: DirectoryStore) -> None:
    others = [DirectoryStore(store.path) for _ in range(8)]
    data = os.urandom(MAX_BLOCK_BYTES)
    cids = await asyncio.gather(*(other.put("raw", data) for other in others))
    assert set(cids) == {Cid.of("raw", data)}
    assert await store.get(cids[0]) == data


def test_open_store(tmp_path: Path) -> None:
    opened = open_store(f"dir:{tmp_path}")
    assert isinstance(opened, DirectoryStore)
    assert opened.path == tmp_path


@pytest.mark.parametrize(
    "url", ["", "dir:", "/blocks", "ftp://127.0.0.1", "http://example.org:5001",
            "http://192.168.0.1:5001", "http://user@127.0.0.1:5001", "http://127.0.0.1:5001?x",
            "http://127.0.0.1:99999", "http://127.0.0.1.example.org:5001"],
)  # fmt: skip
def test_open_store_refuses(url: str) -> None:
    with pytest.raises(ConfigError):
        open_store(url)
