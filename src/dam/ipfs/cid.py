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
_CID = re.compile(r"b(?:[a-z2-7]{60}|[a-z2-7]{58})")


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
        if isinstance(text, str) and _CID.fullmatch(text):
            body = text[1:].upper()
            data = base64.b32decode(body + "=" * (-len(body) % 8))
            for codec, prefix in _PREFIX.items():
                if data.startswith(prefix) and len(data) == len(prefix) + 32:
                    cid = cls(codec, data[-32:])
                    # Spare bits of the last letter must be zero: one block, one name.
                    if str(cid) == text:
                        return cid
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
