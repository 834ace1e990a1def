"""Files that are written whole or not at all, files that are read only if they are files, and files
that one process at a time holds.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

_UNSUPPORTED = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})
"""What FAT, exFAT and network file systems say to links, modes or syncs that they do not have."""


@contextlib.contextmanager
def _where_supported() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise


def open_regular(path: Path) -> BufferedReader:
    """Opens a file to read it. A pipe or a device in its place would hang, or never end.

    Raises:
        OSError: It cannot be opened, or is something else than a file; `strerror` says what.
    """
    try:
        _check_regular(path, path.stat().st_mode)
        # Looked at first, since opening alone moves some devices; and then again.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except ValueError:
        raise OSError(errno.EINVAL, "No file has such a name", str(path)) from None
    try:
        _check_regular(path, os.fstat(descriptor).st_mode)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_regular(path: Path, most: int) -> bytes:
    """All of a file of at most ``most`` bytes.

    Raises:
        OSError: As `open_regular`; or it is longer.
    """
    with open_regular(path) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"It is longer than {most} bytes", str(path))
    return data


def _check_regular(path: Path, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "It is a device, a pipe or a socket, not a file", str(path))


@contextlib.contextmanager
def atomic(path: Path, *, mode: int = 0o600, overwrite: bool = True) -> Iterator[BinaryIO]:
    """A file to write, which takes its name only when the block ends without an error.

    What was there before stays until then, even through a power cut.

    Args:
        path: Where the file will be; its folder exists.
        mode: Permissions, whatever the umask is; where the file system has none, its own.
        overwrite: False: raise ``FileExistsError`` if the name is taken, at the end too.

    Raises:
        OSError: What has the name is no file (a device, a pipe, a folder): it always stays.
    """
    with contextlib.suppress(FileNotFoundError):
        _check_regular(path, path.stat().st_mode)
        if not overwrite:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    # A name of its own: with the target's in it, it could be longer than names can be.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".dam-")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            with _where_supported():
                os.fchmod(file.fileno(), mode)
            yield file
            file.flush()
            with _where_supported():
                os.fsync(file.fileno())
        if overwrite:
            temporary.replace(path)
        else:
            _take_name(path, temporary)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Sees to it that the names in a folder are on the disk, where the file system can."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with _where_supported():
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def keep_as(path: Path, other: Path) -> None:
    """Gives a file a second name, which is free; a copy of it where there are no hard links."""
    if not _linked(path, other):
        with atomic(other, overwrite=False) as copy, path.open("rb") as file:
            shutil.copyfileobj(file, copy)


def _linked(path: Path, other: Path) -> bool:
    """Gives a file a second name; whether the file system has hard links."""
    try:
        other.hardlink_to(path)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        return False
    return True


def _take_name(path: Path, temporary: Path) -> None:
    """Renames a file; ``FileExistsError`` if the name is taken, in one step."""
    if _linked(temporary, path):
        temporary.unlink()
        return
    # Without hard links: an empty file of ours takes the name first, which only one process can,
    # and then gives it to the whole one. A power cut between the two leaves the empty one.
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        temporary.replace(path)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def write_atomic(path: Path, data: bytes, *, mode: int = 0o600, overwrite: bool = True) -> None:
    """Writes a whole file through `atomic`."""
    with atomic(path, mode=mode, overwrite=overwrite) as file:
        file.write(data)


@contextlib.contextmanager
def held(path: Path, *, wait: bool = False) -> Iterator[None]:
    """Holds a file, which is made if it is missing, and stays: one process at a time does.

    Args:
        path: Its folder exists.
        wait: Whether to wait for another process to let it go.

    Raises:
        BlockingIOError: Another one holds it, and we do not wait.
    """
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
