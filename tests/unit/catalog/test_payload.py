"""Goods: what goes in comes out, and nothing else does."""

import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl import bindings

from dam.catalog import payload
from dam.catalog.payload import (
    CHUNK_BYTES,
    InlinePayload,
    StreamDecryptor,
    StreamEncryptor,
    StreamPayload,
)
from dam.crypto.shamir import PRIME
from dam.errors import IpfsError, Malformed
from dam.ipfs.cid import Cid
from dam.testing.blocks import MemoryStore

KEY, OTHER_KEY = b"\x01" * 32, b"\x02" * 32
DOMAIN, OTHER_DOMAIN = b"d" * 32, b"e" * 32


async def pieces_of(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def store(data: bytes, blocks: MemoryStore) -> StreamPayload:
    return await payload.store_stream(blocks, KEY, DOMAIN, pieces_of(data))


async def read(blocks: MemoryStore, stream: payload.Payload, key=KEY, domain=DOMAIN) -> bytes:
    return b"".join([piece async for piece in payload.open_payload(blocks, stream, key, domain)])


@given(st.binary(max_size=4095))
def test_inline_round_trip(data: bytes) -> None:
    sealed = payload.encrypt_inline(KEY, DOMAIN, data)
    assert payload.decrypt_inline(KEY, DOMAIN, sealed) == data
    padded = len(sealed.box) - 40
    assert padded >= 256
    assert padded.bit_count() == 1
    assert padded == 256 or padded < 2 * (len(data) + 1)


@pytest.mark.parametrize("data", [b"", b"\x80", b"\x80\0\0", b"\0" * 100, b"x" * 255 + b"\x80"])
def test_padding_marks_inside_the_good_survive(data: bytes) -> None:
    sealed = payload.encrypt_inline(KEY, DOMAIN, data)
    assert payload.decrypt_inline(KEY, DOMAIN, sealed) == data


def test_codes_of_all_lengths_look_alike() -> None:
    sizes = {len(payload.encrypt_inline(KEY, DOMAIN, b"x" * n).box) for n in range(256)}
    assert sizes == {40 + 256}


def test_a_good_too_long_for_the_document() -> None:
    assert payload.fits_inline(4095)
    assert not payload.fits_inline(4096)
    with pytest.raises(Malformed):
        payload.encrypt_inline(KEY, DOMAIN, bytes(4096))


@pytest.mark.parametrize(("key", "domain"), [(OTHER_KEY, DOMAIN), (KEY, OTHER_DOMAIN)])
def test_inline_is_bound_to_key_and_domain(key: bytes, domain: bytes) -> None:
    with pytest.raises(Malformed):
        payload.decrypt_inline(key, domain, payload.encrypt_inline(KEY, DOMAIN, b"code"))


@given(st.integers(0, 40 + 255), st.integers(1, 255))
def test_no_byte_of_an_inline_payload_can_change(position: int, change: int) -> None:
    box = bytearray(payload.encrypt_inline(KEY, DOMAIN, b"code").box)
    box[position] ^= change
    with pytest.raises(Malformed):
        payload.decrypt_inline(KEY, DOMAIN, InlinePayload(bytes(box)))


@pytest.mark.parametrize("size", [0, 10, 24, 39, 40])
def test_short_inline_boxes(size: int) -> None:
    with pytest.raises(Malformed):
        payload.decrypt_inline(KEY, DOMAIN, InlinePayload(bytes(size)))


@pytest.mark.parametrize(
    "padded", [bytes(256), b"x" * 256, b"x\x80" + bytes(300), b"x" * 300 + b"\x80" + bytes(723)]
)
def test_wrong_padding(padded: bytes) -> None:
    nonce = bytes(24)
    box = bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(
        padded, b"DAM payload 1" + DOMAIN, nonce, KEY
    )
    with pytest.raises(Malformed, match="padding"):
        payload.decrypt_inline(KEY, DOMAIN, InlinePayload(nonce + box))


@pytest.mark.parametrize("key", [b"", bytes(31), PRIME.to_bytes(32, "big"), b"\xff" * 32])
async def test_content_keys_are_elements(key: bytes) -> None:
    with pytest.raises(Malformed):
        payload.encrypt_inline(key, DOMAIN, b"")
    with pytest.raises(Malformed):
        StreamEncryptor(key, DOMAIN)
    with pytest.raises(Malformed):
        StreamDecryptor(key, DOMAIN, StreamPayload(bytes(24), 0, ()))


EDGES = [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, 3_000_000]


@pytest.mark.parametrize("size", EDGES)
async def test_stream_round_trip(size: int) -> None:
    blocks, data = MemoryStore(), bytes(i % 251 for i in range(1000)) * (size // 1000 + 1)
    data = data[:size]
    stream = await store(data, blocks)
    assert stream.size == size
    assert len(stream.chunks) == max(1, -(-size // CHUNK_BYTES))
    assert all(len(block) <= 1 << 20 for block in blocks.blocks.values())
    assert all(cid.codec == "raw" for cid in stream.chunks)
    assert await read(blocks, stream) == data


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 2_500_000), max_size=5))
def test_pieces_of_any_size(sizes: list[int]) -> None:
    encryptor = StreamEncryptor(KEY, DOMAIN)
    blocks = [block for size in sizes for block in encryptor.push(b"\x05" * size)]
    blocks.append(encryptor.finish())
    stream = StreamPayload(encryptor.header, encryptor.size, ())
    decryptor = StreamDecryptor(KEY, DOMAIN, stream)
    opened = [decryptor.push(block) for block in blocks]
    decryptor.finish()
    assert sum(map(len, opened)) == sum(sizes) == encryptor.size
    assert all(len(block) == 1 << 20 for block in blocks[:-1])


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def three_chunks() -> tuple[MemoryStore, StreamPayload]:
    blocks = MemoryStore()
    return blocks, await store(b"\x07" * (2 * CHUNK_BYTES + 10), blocks)


async def test_streams_cannot_be_cut_reordered_or_extended() -> None:
    blocks, stream = await three_chunks()
    a, b, c = stream.chunks
    again = await store(b"other", blocks)
    for chunks in (
        (a, b),
        (a,),
        (),
        (b, a, c),
        (a, c, b),
        (a, b, c, c),
        (a, b, c, a),
        (a, a, b, c),
    ):
        with pytest.raises(Malformed):
            await read(blocks, StreamPayload(stream.header, stream.size, chunks))
    with pytest.raises(Malformed):
        await read(blocks, StreamPayload(stream.header, stream.size, (a, b, *again.chunks)))


async def test_a_cut_stream_whose_size_was_cut_too() -> None:
    blocks, stream = await three_chunks()
    for count in (1, 2):
        cut = StreamPayload(stream.header, count * CHUNK_BYTES, stream.chunks[:count])
        with pytest.raises(Malformed, match="cut off"):
            await read(blocks, cut)


def crafted(*chunks: tuple[bytes, int]) -> tuple[StreamPayload, list[bytes]]:
    """A stream by somebody who has the key, and puts tags anywhere."""
    state = bindings.crypto_secretstream_xchacha20poly1305_state()
    header = bindings.crypto_secretstream_xchacha20poly1305_init_push(state, KEY)
    made = [
        bindings.crypto_secretstream_xchacha20poly1305_push(
            state, chunk, b"DAM payload 1" + DOMAIN, tag
        )
        for chunk, tag in chunks
    ]
    return StreamPayload(header, sum(len(chunk) for chunk, _ in chunks), ()), made


@pytest.mark.parametrize(
    ("chunks", "reason"),
    [
        ([(b"a", 3), (b"b", 3)], "after its end"),
        ([(b"a", 0), (b"b", 3), (b"", 3)], "after its end"),
        ([(b"a", 1), (b"b", 3)], "longer than it says"),  # PUSH
        ([(b"a", 2), (b"b", 3)], "longer than it says"),  # REKEY
    ],
)
def test_tags_that_no_stream_of_ours_has(chunks: list[tuple[bytes, int]], reason: str) -> None:
    stream, made = crafted(*chunks)
    decryptor = StreamDecryptor(KEY, DOMAIN, stream)
    with pytest.raises(Malformed, match=reason):
        list(map(decryptor.push, made))


def test_nothing_beyond_the_size_is_handed_out() -> None:
    stream, made = crafted((b"abc", 0), (b"def", 3))
    short = StreamPayload(stream.header, 2, ())
    with pytest.raises(Malformed, match="longer than it says"):
        StreamDecryptor(KEY, DOMAIN, short).push(made[0])


@pytest.mark.parametrize("change", [-1, 1, 1_000_000])
async def test_the_size_must_be_right(change: int) -> None:
    blocks, stream = await three_chunks()
    with pytest.raises(Malformed):
        await read(blocks, StreamPayload(stream.header, stream.size + change, stream.chunks))


@pytest.mark.parametrize(("key", "domain"), [(OTHER_KEY, DOMAIN), (KEY, OTHER_DOMAIN)])
async def test_streams_are_bound_to_key_and_domain(key: bytes, domain: bytes) -> None:
    blocks, stream = await three_chunks()
    with pytest.raises(Malformed):
        await read(blocks, stream, key, domain)


async def test_other_headers_and_changed_blocks() -> None:
    blocks, stream = await three_chunks()
    with pytest.raises(Malformed):
        await read(blocks, StreamPayload(bytes(24), stream.size, stream.chunks))
    with pytest.raises(Malformed):
        StreamDecryptor(KEY, DOMAIN, StreamPayload(bytes(23), 0, ()))
    changed = bytearray(blocks.blocks[stream.chunks[1]])
    changed[500] ^= 1
    swapped = await blocks.put("raw", bytes(changed))
    chunks = (stream.chunks[0], swapped, stream.chunks[2])
    with pytest.raises(Malformed):
        await read(blocks, StreamPayload(stream.header, stream.size, chunks))


async def test_a_block_that_is_not_its_cids() -> None:
    blocks, stream = await three_chunks()
    blocks.blocks[stream.chunks[0]] = b"junk"
    with pytest.raises(IpfsError):
        await read(blocks, stream)


@pytest.mark.parametrize("size", [0, 16, (1 << 20) + 1])
def test_blocks_of_impossible_size(size: int) -> None:
    encryptor = StreamEncryptor(KEY, DOMAIN)
    decryptor = StreamDecryptor(KEY, DOMAIN, StreamPayload(encryptor.header, 0, ()))
    with pytest.raises(Malformed, match="impossible size"):
        decryptor.push(bytes(size))


async def test_a_file_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    blocks, stream = await three_chunks()
    target = tmp_path / "good"
    cut = StreamPayload(stream.header, stream.size, stream.chunks[:2])
    with pytest.raises(Malformed):
        await payload.save_payload(blocks, cut, KEY, DOMAIN, target)
    assert names(tmp_path) == []
    assert await payload.save_payload(blocks, stream, KEY, DOMAIN, target) == stream.size
    assert target.read_bytes() == b"\x07" * stream.size
    assert target.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        await payload.save_payload(blocks, stream, KEY, DOMAIN, target)
    assert names(tmp_path) == ["good"]
    assert await payload.save_payload(blocks, stream, KEY, DOMAIN, target, overwrite=True)


class DiskBlocks(MemoryStore):
    """Blocks in a folder, so that memory tells what the stream itself holds."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    async def put(self, codec, data: bytes) -> Cid:
        cid = Cid.of(codec, data)
        (self.folder / str(cid)).write_bytes(data)
        return cid

    async def get(self, cid: Cid, *, max_bytes: int = 1 << 20, deadline=None) -> bytes:
        return (self.folder / str(cid)).read_bytes()


async def test_a_file_is_never_in_memory_as_a_whole(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    with source.open("wb") as file:
        for i in range(48):
            file.write(bytes([i]) * (1 << 20))
    folder = tmp_path / "blocks"
    folder.mkdir()
    blocks = DiskBlocks(folder)
    tracemalloc.start()
    try:
        pieces = payload.read_pieces(source)
        stream = await payload.store_stream(blocks, KEY, DOMAIN, pieces)
        await payload.save_payload(blocks, stream, KEY, DOMAIN, target)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert target.read_bytes() == source.read_bytes()
    assert peak < 12 << 20, f"{peak / (1 << 20):.1f} MiB for a file of 48 MiB"


CHUNK = {"/": str(Cid.of("raw", b"x"))}
HEADER = "0x" + "00" * 24


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"inline": "0x" + "00" * 295},
        {"inline": "0x" + "00" * 4137},
        {"inline": "0x" + "0" * 601},
        {"inline": 5},
        {"inline": "0x" + "00" * 296, "size": "1"},
        {"header": HEADER, "size": "1", "chunks": []},
        {"header": HEADER, "size": str(CHUNK_BYTES + 1), "chunks": [CHUNK]},
        {"header": HEADER, "size": "-1", "chunks": [CHUNK]},
        {"header": "0x" + "00" * 23, "size": "1", "chunks": [CHUNK]},
        {"header": HEADER, "size": "1", "chunks": [{"/": str(Cid.of("dag-json", b"x"))}]},
        {"header": HEADER, "size": "1", "chunks": [{"/": "../../etc/passwd"}]},
        {"header": HEADER, "size": "1", "chunks": [CHUNK["/"]]},
        {"header": HEADER, "size": "1", "chunks": [{**CHUNK, "x": 1}]},
        {"header": HEADER, "size": "1", "chunks": [CHUNK], "more": 1},
        {"header": HEADER, "size": "1", "chunks": [CHUNK] * 8193},
        {"header": HEADER, "size": True, "chunks": [CHUNK]},
    ],
)
def test_documents_with_bad_payloads(value: object) -> None:
    with pytest.raises(Malformed):
        payload.payload_from_json(value)


async def test_document_form_round_trip() -> None:
    _, stream = await three_chunks()
    inline = payload.encrypt_inline(KEY, DOMAIN, b"code")
    for one in (stream, inline):
        assert payload.payload_from_json(payload.payload_to_json(one)) == one
