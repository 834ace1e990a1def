"""A directory of blocks: the embedded store, with the same CIDs as a Kubo node.

Layout: ``blocks/<last two letters>/<cid>`` holds a block's bytes, ``pins/<cid>`` says that the DAG
under it is kept, ``tmp/`` what is being written. A block appears whole or not at all (written
aside, synced, renamed), so any number of processes may share one directory.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import secrets
import stat
import time
from pathlib import Path

from dam.atomic_file import sync_folder
from dam.errors import BlockMismatch, IpfsError, IpfsUnreachable
from dam.ipfs.blocks import MAX_BLOCK_BYTES, PinLimits, PinSize, check_size, measure
from dam.ipfs.cid import Cid, Codec

_STALE_SECONDS = 86_400
_TEMPORARY = re.compile(r"[0-9a-f]{32}")
# O_NONBLOCK: opening a FIFO somebody left here must not hang; it is then refused as not regular.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class DirectoryStore:
    """A `BlockStore` in a directory, created when first written to.

    Args:
        path: The directory; a leading ``~`` is the home directory.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()

    async def get(
        self, cid: Cid, *, max_bytes: int = MAX_BLOCK_BYTES, deadline: float | None = None
    ) -> bytes:
        """See `BlockStore.get`. A block that is not there is an `IpfsError`: it may come."""
        try:
            async with asyncio.timeout(deadline):
                return await asyncio.to_thread(self._read, cid, max_bytes)
        except TimeoutError:
            raise IpfsError(f"{cid}: not read within {deadline} s") from None

    async def put(self, codec: Codec, data: bytes) -> Cid:
        """See `BlockStore.put`. Durable when it returns."""
        cid = Cid.of(codec, data)
        check_size(cid, len(data), MAX_BLOCK_BYTES)
        await asyncio.to_thread(self._store, cid, data)
        return cid

    async def has(self, cid: Cid) -> bool:
        """See `BlockStore.has`. A damaged block is none."""
        try:
            await self.get(cid)
        except IpfsError:
            return False
        return True

    async def pin(
        self, cid: Cid, *, limits: PinLimits | None = None, deadline: float | None = None
    ) -> PinSize:
        """See `BlockStore.pin`. Every block under ``cid`` is read and checked first."""

        async def size_of(raw: Cid) -> int:
            return len(await self.get(raw))

        try:
            async with asyncio.timeout(deadline):
                size = await measure(cid, limits or PinLimits(), self.get, size_of)
                note = json.dumps({"blocks": size.blocks, "bytes": size.bytes}).encode()
                await asyncio.to_thread(self._write, self.path / "pins" / str(cid), note)
        except TimeoutError:
            raise IpfsError(f"{cid}: not pinned within {deadline} s") from None
        return size

    async def unpin(self, cid: Cid) -> None:
        """See `BlockStore.unpin`."""
        await asyncio.to_thread((self.path / "pins" / str(cid)).unlink, missing_ok=True)

    async def pins(self) -> list[Cid]:
        """The roots that are pinned."""

        def names() -> list[str]:
            try:
                return sorted(entry.name for entry in (self.path / "pins").iterdir())
            except FileNotFoundError:
                return []

        return [Cid.parse(name) for name in await asyncio.to_thread(names)]

    async def close(self) -> None:
        """Nothing is held open between calls."""

    def _block(self, cid: Cid) -> Path:
        name = str(cid)
        return self.path / "blocks" / name[-2:] / name

    def _read(self, cid: Cid, max_bytes: int) -> bytes:
        try:
            handle = os.open(self._block(cid), _READ)
        except FileNotFoundError:
            if not self.path.is_dir():
                raise IpfsUnreachable(f"the block directory {self.path} is not there") from None
            raise IpfsError(f"{cid}: not in the block directory (yet)") from None
        except OSError as error:
            raise IpfsError(f"{cid}: {error.strerror}") from None
        with os.fdopen(handle, "rb") as file:
            info = os.fstat(file.fileno())
            if not stat.S_ISREG(info.st_mode):
                raise IpfsError(f"{cid}: not a regular file in the block directory")
            check_size(cid, info.st_size, max_bytes)
            try:
                data = file.read(max_bytes + 1)
            except OSError as error:
                raise IpfsError(f"{cid}: {error.strerror}") from None
        check_size(cid, len(data), max_bytes)
        return cid.check(data)

    def _store(self, cid: Cid, data: bytes) -> None:
        # A block that is there and whole stays; a damaged one is replaced.
        with contextlib.suppress(IpfsError, BlockMismatch):
            self._read(cid, MAX_BLOCK_BYTES)
            return
        self._write(self._block(cid), data)

    def _write(self, target: Path, data: bytes) -> None:
        try:
            temporary = self.path / "tmp" / secrets.token_hex(16)
            for folder in (temporary.parent, target.parent):
                folder.mkdir(parents=True, exist_ok=True)
            self._sweep(temporary.parent)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            handle = os.open(temporary, flags, 0o644)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(target)
            except BaseException:
                with contextlib.suppress(OSError):
                    temporary.unlink(missing_ok=True)
                raise
            sync_folder(target.parent)
        except OSError as error:
            raise IpfsError(f"block directory: {error.strerror}") from None

    @staticmethod
    def _sweep(folder: Path) -> None:
        """Removes what killed processes left half-written long ago, and nothing else.

        Who shares the directory may have put a link to a folder of ours in this one's place.
        """
        limit = time.time() - _STALE_SECONDS
        for entry in folder.iterdir():
            with contextlib.suppress(OSError):
                if _TEMPORARY.fullmatch(entry.name) and entry.lstat().st_mtime < limit:
                    entry.unlink()
