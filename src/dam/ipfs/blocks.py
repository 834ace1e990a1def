"""The interface for fetching and publishing blocks, each checked against its CID.

A `BlockStore` is a Kubo node (`kubo`) or a directory of blocks (`directory`); both give the same
CIDs and the same errors:

* `IpfsError`: not there (yet), or the store could not be asked in time. Try again.
* `BlockMismatch`: an `IpfsError`; the store answered with bytes that are not the CID's.
* `BlockRefused`: a CID or block that DAM never reads. Permanent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from dam.errors import BlockRefused, Malformed
from dam.ipfs import dag_json
from dam.ipfs.cid import Cid, Codec

MAX_BLOCK_BYTES = 1 << 20
"""Size limit of a block, in bytes: 1 MiB."""


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
    """A store of blocks, which several processes may use at once."""

    async def get(
        self, cid: Cid, *, max_bytes: int = MAX_BLOCK_BYTES, deadline: float | None = None
    ) -> bytes:
        """The block's bytes, checked against ``cid``.

        Args:
            cid: Which block.
            max_bytes: Refuse (`BlockRefused`) a longer block, without reading it all.
            deadline: Seconds for the whole call; None for the store's own default.
        """
        ...

    async def put(self, codec: Codec, data: bytes) -> Cid:
        """Publishes a block of at most `MAX_BLOCK_BYTES`; idempotent."""
        ...

    async def has(self, cid: Cid) -> bool:
        """Whether the store itself has the block; nobody else is asked for it."""
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
        """Closes connections and files."""
        ...


def check_size(cid: Cid, size: int, max_bytes: int) -> None:
    """Raises `BlockRefused` if a block of ``size`` bytes is over the cap."""
    if size > max_bytes:
        raise BlockRefused(f"{cid}: over the limit of {max_bytes} bytes")


def links(data: bytes) -> list[Cid]:
    """The links of a DAG-JSON block, each once, in their order.

    Raises:
        BlockRefused: It is not canonical (`dag_json.decode`): a Kubo node that pins the same block
            might read it differently. All others follow exactly these links.
    """
    try:
        root = dag_json.decode(data)
    except Malformed as error:
        raise BlockRefused(str(error)) from None
    found: dict[Cid, None] = {}
    stack: list[Any] = [root]
    while stack:
        value = stack.pop()
        if isinstance(value, list):
            stack.extend(reversed(value))
        elif isinstance(value, dict):
            if "/" in value:
                found[Cid.parse(value["/"])] = None
            else:
                stack.extend(reversed(list(value.values())))
    return list(found)


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
