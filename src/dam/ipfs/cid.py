"""CIDs of the two kinds of blocks that DAM reads (protocol section 4).

DAG-JSON (codec 0x0129) and raw (0x55), both named by a CIDv1 over SHA-256 and written in lower-case
base32. Everything else is refused before any request is sent.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import Literal

from dam.errors import BlockMismatch, BlockRefused

Codec = Literal["dag-json", "raw"]

# CIDv1 (0x01), the codec as an unsigned varint, sha2-256 (0x12), 32 bytes (0x20): the multiformats
# table, https://github.com/multiformats/multicodec.
_PREFIX: dict[Codec, bytes] = {
    "dag-json": b"\x01\xa9\x02\x12\x20",
    "raw": b"\x01\x55\x12\x20",
}
# The canonical texts: prefix, digest, a last letter whose spare bits are zero: one block has one
# name.
_TEXT: dict[Codec, re.Pattern[str]] = {
    "dag-json": re.compile(r"baguqeera[a-z2-7]{51}[aq]"),
    "raw": re.compile(r"bafkrei[a-h][a-z2-7]{50}[aeimquy4]"),
}
_SPARE_BITS: dict[Codec, int] = {"dag-json": 4, "raw": 2}
_DIGITS = str.maketrans("abcdefghijklmnopqrstuvwxyz234567", "0123456789abcdefghijklmnopqrstuv")
_DIGEST = (1 << 256) - 1


def codec_of(text: object) -> Codec | None:
    """The kind of block that a text names; None: it is no CID that DAM reads, in canonical form."""
    if isinstance(text, str):
        for codec, pattern in _TEXT.items():
            if pattern.fullmatch(text):
                return codec
    return None


@dataclass(frozen=True, slots=True)
class Cid:
    """The name of a block: its codec and the 32-byte SHA-256 digest of its bytes."""

    codec: Codec
    digest: bytes

    def __post_init__(self) -> None:
        if self.codec not in _PREFIX or len(self.digest) != 32:
            raise BlockRefused("a CID has codec dag-json or raw, and a digest of 32 bytes")

    def __str__(self) -> str:
        text = base64.b32encode(_PREFIX[self.codec] + self.digest).decode("ascii")
        return "b" + text.rstrip("=").lower()

    @classmethod
    def parse(cls, text: str) -> Cid:
        """Reads the canonical text form, and nothing else.

        Raises:
            BlockRefused: the text is no CIDv1 in lower-case base32 of a DAG-JSON or raw block under
                SHA-256: a CIDv0, an identity CID, a path or a URL, say.
        """
        codec = codec_of(text)
        if codec is not None:
            # int() reads base 32 in C; base64.b32decode takes ten times as long.
            number = int(text[1:].translate(_DIGITS), 32) >> _SPARE_BITS[codec]
            return cls(codec, (number & _DIGEST).to_bytes(32, "big"))
        raise BlockRefused(
            "not a CID that DAM reads (CIDv1, base32, dag-json or raw, sha2-256): "
            + ascii(text)[:80]
        )

    @classmethod
    def of(cls, codec: Codec, data: bytes) -> Cid:
        """The CID of a block's bytes."""
        return cls(codec, hashlib.sha256(data).digest())

    def check(self, data: bytes) -> bytes:
        """Returns ``data`` if it is this CID's block, else raises `BlockMismatch`."""
        if hashlib.sha256(data).digest() != self.digest:
            raise BlockMismatch(f"{self}: {len(data)} bytes came that are not this block")
        return data
