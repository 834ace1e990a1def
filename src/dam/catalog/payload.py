"""Payloads: goods encrypted under their content key, inline in the document or as a stream.

- Inline, for at most 4,095 bytes: ``nonce(24) || XChaCha20-Poly1305(padded)``. The padding is
  ISO/IEC 7816-4 (0x80, then zeros) up to the next power of two, at least 256 bytes, so that a
  code's length tells little.
- Stream, for files: libsodium's secretstream (XChaCha20-Poly1305) in chunks of 1 MiB less 17 bytes,
  each a raw block of its own of at most 1 MiB; the last one bears the final tag. The document holds
  the 24-byte header, the size and the links. A file's length is not hidden.

Both are bound to the part's domain: the associated data, of each chunk too, is ``DAM payload 1``
and the 32-byte domain. So no payload passes for another item's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nacl import bindings as sodium
from nacl.exceptions import CryptoError
from nacl.utils import random

from dam import atomic_file, validation
from dam.crypto.shamir import is_element
from dam.errors import Malformed
from dam.ipfs.blocks import MAX_BLOCK_BYTES, BlockStore
from dam.ipfs.cid import Cid

NONCE_BYTES = 24
HEADER_BYTES = 24
MIN_INLINE_BYTES = 256
"""Bytes of the shortest padded good."""
MAX_INLINE_BYTES = 4096
"""Bytes of the longest padded good; one byte of it is padding."""
_AEAD_TAG = 16
_STREAM_TAG = sodium.crypto_secretstream_xchacha20poly1305_ABYTES
CHUNK_BYTES = MAX_BLOCK_BYTES - _STREAM_TAG
"""Plaintext bytes of a full chunk."""
MAX_CHUNKS = 8192
"""Blocks of one payload: 8 GiB in all."""
_FINAL = sodium.crypto_secretstream_xchacha20poly1305_TAG_FINAL
_MESSAGE = sodium.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE


@dataclass(frozen=True, slots=True)
class InlinePayload:
    """A short good."""

    box: bytes
    """nonce(24) and ciphertext with its tag."""


@dataclass(frozen=True, slots=True)
class StreamPayload:
    """A file."""

    header: bytes
    """Of the secretstream, 24 bytes."""
    size: int
    """Of the plaintext, in bytes."""
    chunks: tuple[Cid, ...]
    """Raw blocks, in order."""


Payload = InlinePayload | StreamPayload


def _check_key(key: bytes) -> None:
    if not is_element(key):
        raise Malformed("a content key is 32 bytes and below 2^256 - 189")


def _associated(domain: bytes) -> bytes:
    return b"DAM payload 1" + domain


def fits_inline(size: int) -> bool:
    """Whether a good of ``size`` bytes goes into the document itself."""
    return size < MAX_INLINE_BYTES


def _padded_size(size: int) -> int:
    return max(MIN_INLINE_BYTES, 1 << size.bit_length())


def encrypt_inline(key: bytes, domain: bytes, data: bytes) -> InlinePayload:
    """Encrypts a good of at most 4,095 bytes, padded.

    Args:
        key: Content key, 32 bytes below p.
        domain: Of the copy, 32 bytes.
        data: The good.
    """
    _check_key(key)
    if not fits_inline(len(data)):
        raise Malformed(f"an inline good is shorter than {MAX_INLINE_BYTES} bytes, not {len(data)}")
    padded = (data + b"\x80").ljust(_padded_size(len(data)), b"\0")
    nonce = random(NONCE_BYTES)
    return InlinePayload(
        nonce
        + sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(padded, _associated(domain), nonce, key)
    )


def decrypt_inline(key: bytes, domain: bytes, payload: InlinePayload) -> bytes:
    """The good.

    Raises:
        Malformed: The key or domain is another, the bytes were changed, or the padding is wrong.
    """
    _check_key(key)
    nonce, box = payload.box[:NONCE_BYTES], payload.box[NONCE_BYTES:]
    try:
        padded = sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(
            box, _associated(domain), nonce, key
        )
    except (CryptoError, ValueError):
        raise Malformed("the payload does not open with this key and domain") from None
    data, mark, rest = padded.rpartition(b"\x80")
    if not mark or rest.strip(b"\0") or len(padded) != _padded_size(len(data)):
        raise Malformed("the padding of the payload is wrong")
    return data


class StreamEncryptor:
    """Encrypts a file piece by piece: `push` each, then `finish`. Buffers at most two chunks.

    Args:
        key: Content key, 32 bytes below p.
        domain: Of the copy, 32 bytes.
        header: Of a stream that is to be made once more, byte for byte; else it is drawn at random.
            Never give it for another file: the key stream would be used twice.
    """

    def __init__(self, key: bytes, domain: bytes, header: bytes | None = None) -> None:
        _check_key(key)
        self._state = sodium.crypto_secretstream_xchacha20poly1305_state()
        self._associated = _associated(domain)
        self._held = bytearray()
        self.header = header or sodium.crypto_secretstream_xchacha20poly1305_init_push(
            self._state, key
        )
        """24 bytes."""
        if header is not None:
            # Both ends of a stream start from the same state, which the header gives.
            sodium.crypto_secretstream_xchacha20poly1305_init_pull(self._state, header, key)
        self.size = 0
        """Plaintext bytes so far."""

    def push(self, piece: bytes) -> Iterator[bytes]:
        """The blocks that a piece of any size fills; to be used up before the next call."""
        self.size += len(piece)
        for start in range(0, len(piece), CHUNK_BYTES):
            self._held += piece[start : start + CHUNK_BYTES]
            # Held back while it may be the last: only the last one bears the final tag.
            if len(self._held) > CHUNK_BYTES:
                yield self._encrypt(bytes(self._held[:CHUNK_BYTES]), _MESSAGE)
                del self._held[:CHUNK_BYTES]

    def finish(self) -> bytes:
        """The last block; of an empty file the only one."""
        return self._encrypt(bytes(self._held), _FINAL)

    def _encrypt(self, chunk: bytes, tag: int) -> bytes:
        return sodium.crypto_secretstream_xchacha20poly1305_push(
            self._state, chunk, self._associated, tag
        )


class StreamDecryptor:
    """Opens the blocks of a stream in order: `push` each, then `finish`."""

    def __init__(self, key: bytes, domain: bytes, payload: StreamPayload) -> None:
        _check_key(key)
        if len(payload.header) != HEADER_BYTES:
            raise Malformed(f"the header of a stream is {HEADER_BYTES} bytes")
        self._state = sodium.crypto_secretstream_xchacha20poly1305_state()
        sodium.crypto_secretstream_xchacha20poly1305_init_pull(self._state, payload.header, key)
        self._associated = _associated(domain)
        self._left = payload.size
        self._ended = False

    def push(self, block: bytes) -> bytes:
        """The plaintext of the next block.

        Raises:
            Malformed: It is changed, out of order, of another stream, or beyond the end.
        """
        if self._ended:
            raise Malformed("the payload goes on after its end")
        if not _STREAM_TAG <= len(block) <= MAX_BLOCK_BYTES:
            raise Malformed("a block of the payload has an impossible size")
        try:
            chunk, tag = sodium.crypto_secretstream_xchacha20poly1305_pull(
                self._state, block, self._associated
            )
        except (CryptoError, ValueError):
            raise Malformed("a block of the payload does not open: wrong key or order") from None
        self._left -= len(chunk)
        if self._left < 0 or tag not in (_MESSAGE, _FINAL):
            raise Malformed("the payload is longer than it says, or has a tag that it may not have")
        self._ended = tag == _FINAL
        return chunk

    def finish(self) -> None:
        """Refuses a stream that was cut off: call it after the last block."""
        if not self._ended or self._left:
            raise Malformed("the payload is cut off before its end")


async def read_pieces(path: Path) -> AsyncIterator[bytes]:
    """A file in pieces of one chunk, read in a thread."""
    with await asyncio.to_thread(atomic_file.open_regular, path) as file:
        while piece := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield piece


async def store_stream(
    blocks: BlockStore, key: bytes, domain: bytes, pieces: AsyncIterable[bytes]
) -> StreamPayload:
    """Encrypts a file and puts its blocks, one at a time.

    Raises:
        Malformed: It is over 8 GiB.
        IpfsError: The store did not take a block.
    """
    encryptor = StreamEncryptor(key, domain)
    chunks: list[Cid] = []
    async for piece in pieces:
        for block in encryptor.push(piece):
            if len(chunks) >= MAX_CHUNKS - 1:
                raise Malformed(f"a payload has at most {MAX_CHUNKS} blocks of 1 MiB")
            chunks.append(await blocks.put("raw", block))
    chunks.append(await blocks.put("raw", encryptor.finish()))
    return StreamPayload(encryptor.header, encryptor.size, tuple(chunks))


async def restore_stream(
    blocks: BlockStore,
    key: bytes,
    domain: bytes,
    payload: StreamPayload,
    pieces: AsyncIterable[bytes],
) -> None:
    """Encrypts a file once more and puts its blocks, which are those of ``payload``.

    Raises:
        Malformed: It is another file. No block that differs was put, or shown to anybody.
        IpfsError: The store did not take a block.
    """
    encryptor = StreamEncryptor(key, domain, payload.header)
    wanted = iter(payload.chunks)

    async def again(block: bytes) -> None:
        if next(wanted, None) != Cid.of("raw", block):
            raise Malformed("the file is not the one that was encrypted")
        await blocks.put("raw", block)

    async for piece in pieces:
        for block in encryptor.push(piece):
            await again(block)
    await again(encryptor.finish())


async def open_payload(
    blocks: BlockStore, payload: Payload, key: bytes, domain: bytes
) -> AsyncIterator[bytes]:
    """Decrypts the good, piece by piece.

    Each piece is authentic when it comes, but the whole is only known to be complete when the
    iterator ends without an error: write to a temporary file, as `save_payload` does.

    Raises:
        Malformed: Wrong key or domain, or the payload is changed, cut off or extended.
        IpfsError: A block is not to be had now.
    """
    if isinstance(payload, InlinePayload):
        yield decrypt_inline(key, domain, payload)
        return
    decryptor = StreamDecryptor(key, domain, payload)
    for cid in payload.chunks:
        yield decryptor.push(cid.check(await blocks.get(cid)))
    decryptor.finish()


async def save_payload(
    blocks: BlockStore,
    payload: Payload,
    key: bytes,
    domain: bytes,
    path: Path,
    *,
    overwrite: bool = False,
) -> int:
    """Writes the good to a file of mode 0600, which appears only when it is whole.

    Returns:
        Its size in bytes.
    """
    size = 0
    with atomic_file.atomic(path, overwrite=overwrite) as file:
        async for piece in open_payload(blocks, payload, key, domain):
            await asyncio.to_thread(file.write, piece)
            size += len(piece)
    return size


def payload_to_json(payload: Payload) -> dict[str, Any]:
    """The JSON form in a document."""
    if isinstance(payload, InlinePayload):
        return {"inline": "0x" + payload.box.hex()}
    return {
        "header": "0x" + payload.header.hex(),
        "size": str(payload.size),
        "chunks": [{"/": str(cid)} for cid in payload.chunks],
    }


def payload_from_json(value: Any, what: str = "payload") -> Payload:
    """Reads the JSON form in a document.

    Raises:
        Malformed: It is none of the two forms, or its sizes are impossible.
    """
    if isinstance(value, dict) and "inline" in value:
        overhead = NONCE_BYTES + _AEAD_TAG
        box = validation.record(value, what, ("inline",))["inline"]
        return InlinePayload(
            validation.hexadecimal(
                box, what, overhead + MIN_INLINE_BYTES, overhead + MAX_INLINE_BYTES
            )
        )
    validation.record(value, what, ("header", "size", "chunks"))
    chunks = validation.array(
        value["chunks"], what, MAX_CHUNKS, lambda v, w: validation.link(v, f"a chunk of {w}", "raw")
    )
    size = validation.amount(value["size"], f"the size of {what}", MAX_CHUNKS * CHUNK_BYTES)
    if not chunks or size > len(chunks) * CHUNK_BYTES:
        raise Malformed(f"the size of {what} does not fit its chunks")
    return StreamPayload(
        validation.hexadecimal(value["header"], f"the header of {what}", HEADER_BYTES), size, chunks
    )
