"""Before a file is paid for, blocks of it that nobody can foresee are fetched."""

from __future__ import annotations

from collections import Counter

import pytest

from dam.catalog.payload import StreamPayload
from dam.errors import Permanent
from dam.ipfs.cid import Cid
from dam.roles.buyer.buying import SAMPLED_CHUNKS, check_payload
from dam.testing.blocks import MemoryStore


async def film(chunks: int) -> tuple[MemoryStore, StreamPayload]:
    blocks = MemoryStore()
    cids = [await blocks.put("raw", b"%d" % number) for number in range(chunks)]
    return blocks, StreamPayload(bytes(24), chunks, tuple(cids))


async def test_a_file_of_which_only_the_ends_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The old check fetched exactly these two."""
    blocks, payload = await film(1000)
    for cid in payload.chunks[1:-1]:
        del blocks.blocks[cid]
    with pytest.raises(Permanent, match="nothing was paid"):
        await check_payload(blocks, payload)


async def test_as_many_as_promised_and_each_alike() -> None:
    blocks, payload = await film(64)
    asked: Counter[Cid] = Counter()
    for _ in range(200):
        blocks.reads.clear()
        await check_payload(blocks, payload)
        assert len(blocks.reads) == SAMPLED_CHUNKS
        assert set(blocks.reads.values()) == {1}
        asked.update(blocks.reads)
    # 50 times each on average: a chunk that is never asked for is one to leave out.
    assert len(asked) == 64
    assert max(asked.values()) < 100


async def test_a_quarter_held_back_is_found_out() -> None:
    """The probability that is written at the constant; 3,000 tries, five deviations."""
    blocks, payload = await film(400)
    for cid in payload.chunks[::4]:
        del blocks.blocks[cid]
    missed = 0
    for _ in range(3000):
        try:
            await check_payload(blocks, payload)
            missed += 1
        except Permanent:
            pass
    assert 3 < missed < 58


@pytest.mark.parametrize("chunks", [1, 2, SAMPLED_CHUNKS])
async def test_of_a_small_file_all(chunks: int) -> None:
    blocks, payload = await film(chunks)
    await check_payload(blocks, payload)
    assert set(blocks.reads) == set(payload.chunks)


async def test_a_block_named_twice_is_fetched_once() -> None:
    blocks, payload = await film(2)
    await check_payload(blocks, StreamPayload(bytes(24), 4, payload.chunks * 2))
    assert set(blocks.reads.values()) == {1}
