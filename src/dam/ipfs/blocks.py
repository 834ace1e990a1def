"""The one place that fetches or publishes blocks, each checked against its CID.

DAM reads two kinds of blocks (protocol section 4): DAG-JSON (codec 0x0129) and raw (0x55), both
named by a CIDv1 over SHA-256 and written in lower-case base32. Everything else is refused before
any request is sent. A `BlockStore` is a Kubo node (`kubo`) or a directory of blocks
(`directory`); both give the same CIDs and the same errors:

* `IpfsError`: not there (yet), or the store could not be asked in time. Try again.
* `BlockMismatch`: an `IpfsError`; the store answered with bytes that are not the CID's.
* `BlockRefused`: a CID or block that DAM never reads. Permanent.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from dam.errors import BlockMismatch, BlockRefused, ConfigError

Codec = Literal["dag-json", "raw"]
BLOCK_BYTES = 1 << 20
"""Size limit of a block, in bytes: 1 MiB."""

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


@dataclass(frozen=True, slots=True)
class PinLimits:
    """How much one pin may take."""

    max_bytes: int = 4 << 30
    """Sum of the sizes of all blocks."""
    max_blocks: int = 200_000


@dataclass(frozen=True, slots=True)
class PinSize:
    """What a pin holds: distinct blocks, and their bytes."""

    blocks: int
    bytes: int


class BlockStore(Protocol):
    """Where blocks are. Several processes may use one store at once."""

    async def get(
        self, cid: Cid, *, max_bytes: int = BLOCK_BYTES, deadline: float | None = None
    ) -> bytes:
        """The block's bytes, checked against ``cid``.

        Args:
            cid: Which block.
            max_bytes: Refuse (`BlockRefused`) a longer block, without reading it all.
            deadline: Seconds for the whole call; None for the store's own default.
        """
        ...

    async def put(self, codec: Codec, data: bytes) -> Cid:
        """Publishes a block of at most `BLOCK_BYTES`; idempotent."""
        ...

    async def pin(
        self, cid: Cid, *, limits: PinLimits | None = None, deadline: float | None = None
    ) -> PinSize:
        """Keeps the block and everything that it links to, directly or not.

        Raises:
            IpfsError: a block is not there yet, or time is up; call again later.
            BlockRefused: over the limits, or a link to something that DAM never reads.
        """
        ...

    async def unpin(self, cid: Cid) -> None:
        """Undoes `pin`; no error if there was none."""
        ...

    async def close(self) -> None:
        """Gives connections and files back."""
        ...


def refuse_oversize(cid: Cid, size: int, max_bytes: int) -> None:
    """Raises `BlockRefused` if a block of ``size`` bytes is over the cap."""
    if size > max_bytes:
        raise BlockRefused(f"{cid}: over the limit of {max_bytes} bytes")


def links(data: bytes) -> list[Cid]:
    """The links of a DAG-JSON block, each once, in their order.

    Stricter than the format: whatever two parsers could read differently (a key twice, a "/" that
    is neither a link nor bytes) is refused, so that a Kubo node that pins the same block follows
    exactly these links.
    """
    try:
        root = json.loads(
            data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_number
        )
    except (ValueError, RecursionError) as error:
        raise BlockRefused(f"not a DAG-JSON block: {type(error).__name__}") from None
    found: dict[Cid, None] = {}
    stack: list[Any] = [root]
    while stack:
        value = stack.pop()
        if isinstance(value, list):
            stack.extend(reversed(value))
        elif isinstance(value, dict):
            if "/" not in value:
                stack.extend(reversed(list(value.values())))
            elif len(value) == 1 and isinstance(value["/"], str):
                found[Cid.parse(value["/"])] = None
            elif not _is_bytes_form(value):
                raise BlockRefused("a DAG-JSON block with an ambiguous '/' key")
    return list(found)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key twice")
    return result


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _is_bytes_form(value: dict[str, Any]) -> bool:
    inner = value["/"]
    return (
        len(value) == 1
        and isinstance(inner, dict)
        and list(inner) == ["bytes"]
        and isinstance(inner["bytes"], str)
    )


async def measure(
    cid: Cid,
    limits: PinLimits,
    read: Callable[[Cid], Awaitable[bytes]],
    size_of: Callable[[Cid], Awaitable[int]],
) -> PinSize:
    """Walks everything that ``cid`` links to, within the limits.

    Args:
        cid: Root of the walk.
        limits: Where to stop with `BlockRefused`.
        read: Gives a DAG-JSON block.
        size_of: Gives the size of a raw block in bytes, and makes sure that it is there.
    """
    seen: set[Cid] = {cid}
    stack = [cid]
    total = 0
    while stack:
        current = stack.pop()
        if current.codec == "dag-json":
            data = await read(current)
            total += len(data)
            # A megabyte of small links takes a while to parse: leave the event loop free.
            for link in await asyncio.to_thread(links, data):
                if link not in seen:
                    seen.add(link)
                    stack.append(link)
        else:
            total += await size_of(current)
        if len(seen) > limits.max_blocks:
            raise BlockRefused(f"{cid}: more than {limits.max_blocks} blocks to pin")
        if total > limits.max_bytes:
            raise BlockRefused(f"{cid}: more than {limits.max_bytes} bytes to pin")
    return PinSize(len(seen), total)


def open_store(url: str, *, timeout: float = 30.0) -> BlockStore:
    """The store that a setting names.

    Args:
        url: ``dir:/path`` for a directory of blocks, or ``http://127.0.0.1:5001`` for the RPC API
            of a Kubo node on this machine.
        timeout: Seconds for one call, where the caller names no deadline.
    """
    scheme, _, rest = url.partition(":")
    if scheme == "dir" and rest:
        from dam.ipfs.directory import DirectoryStore

        return DirectoryStore(rest)
    if scheme in ("http", "https"):
        from dam.ipfs.kubo import KuboStore

        return KuboStore(url, timeout=timeout)
    raise ConfigError(
        "the IPFS setting is 'dir:/path/to/blocks' or the RPC API of a local Kubo node, such as "
        "'http://127.0.0.1:5001'"
    )
