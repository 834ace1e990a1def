"""A block store in memory, for tests that need no files and no node."""

from __future__ import annotations

from dam.errors import BlockRefused, IpfsError
from dam.ipfs.blocks import MAX_BLOCK_BYTES, PinLimits, PinSize, check_size, measure
from dam.ipfs.cid import Cid, Codec


class MemoryStore:
    """A `dam.ipfs.blocks.BlockStore` that forgets everything with the process.

    ``blocks`` and ``pinned`` may be looked at and changed, to play a faulty store. ``reads`` counts
    what was asked for, by CID.
    """

    def __init__(self) -> None:
        self.blocks: dict[Cid, bytes] = {}
        self.pinned: set[Cid] = set()
        self.reads: dict[Cid, int] = {}

    async def get(
        self, cid: Cid, *, max_bytes: int = MAX_BLOCK_BYTES, deadline: float | None = None
    ) -> bytes:
        """The block's bytes, checked against ``cid``."""
        del deadline  # memory answers at once
        self.reads[cid] = self.reads.get(cid, 0) + 1
        data = self.blocks.get(cid)
        if data is None:
            raise IpfsError(f"{cid}: not in the store")
        check_size(cid, len(data), max_bytes)
        return cid.check(data)

    async def put(self, codec: Codec, data: bytes) -> Cid:
        """Keeps a block of at most 1 MiB."""
        if len(data) > MAX_BLOCK_BYTES:
            raise BlockRefused(
                f"a block of {len(data)} bytes is over the limit of {MAX_BLOCK_BYTES}"
            )
        cid = Cid.of(codec, data)
        self.blocks[cid] = data
        return cid

    async def has(self, cid: Cid) -> bool:
        """See `BlockStore.has`."""
        return cid in self.blocks

    async def pin(
        self, cid: Cid, *, limits: PinLimits | None = None, deadline: float | None = None
    ) -> PinSize:
        """Checks that everything below ``cid`` is there, and notes it."""
        del deadline

        async def size_of(raw: Cid) -> int:
            return len(await self.get(raw))

        size = await measure(cid, limits or PinLimits(), self.get, size_of)
        self.pinned.add(cid)
        return size

    async def unpin(self, cid: Cid) -> None:
        """Undoes `pin`."""
        self.pinned.discard(cid)

    async def close(self) -> None:
        """Nothing to give back."""
