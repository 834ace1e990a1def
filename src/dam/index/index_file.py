"""The index file: made, opened, known by its market and schema, and made anew where it is not.

Every process that uses the file holds a lock beside it, shared; who replaces the file holds it
alone. (A process that opened the old file would otherwise find the new one's journal.)
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass
from importlib import resources
from pathlib import Path
from typing import Self

from dam.catalog import document
from dam.errors import IndexUnusableError
from dam.types import Address, Deployment

VERSION = 3
"""Of the schema: in the file's name. One of another version is left alone, never migrated."""
FILE_NAME = f"index-{VERSION}.sqlite"
_APPLICATION_ID = 0x44414D49  # "DAMI"
_JOURNAL_BYTES = 16 << 20
_PRAGMAS = (
    "synchronous = NORMAL",
    f"journal_size_limit = {_JOURNAL_BYTES}",
    "cache_size = -32000",
    "temp_store = MEMORY",
)
_BUSY_SECONDS = 30.0
_LOCK_SECONDS = 30.0
_LOCK_PAUSE_SECONDS = 0.05
_NETWORK = frozenset(
    {
        "nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "glusterfs", "lustre", "9p", "ncpfs",
        "fuse.sshfs", "fuse.glusterfs", "fuse.s3fs", "fuse.rclone", "beegfs", "gpfs", "davfs",
    }
)  # fmt: skip
_MOUNTS = Path("/proc/self/mounts")
_DAMAGED = {
    sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_RANGE, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_SCHEMA,
    sqlite3.SQLITE_INTERNAL, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_MISUSE,
}  # fmt: skip


class DamagedError(sqlite3.DatabaseError):
    """What stands in the index cannot be: it has to be made anew."""


@dataclass(frozen=True, slots=True)
class Binding:
    """What an index is of."""

    chain_id: int
    market: Address
    first_block: int
    code_hash: bytes
    document_version: int = document.VERSION
    """Of the newest store document that its reader knew."""

    @classmethod
    def of(cls, deployment: Deployment) -> Self:
        """The index of a market."""
        return cls(
            deployment.chain_id, deployment.market, deployment.first_block, deployment.code_hash
        )


class IndexFile:
    """An open index file. Close it, or use it as ``with``.

    Args:
        path: The file.
        binding: What it has to be of.
        notice: Hears why it is made anew.

    Raises:
        IndexUnusableError: It cannot stand there; the message has the next step.
    """

    def __init__(self, path: Path, binding: Binding, notice: Callable[[str], None]) -> None:
        self.path = path
        self._binding = binding
        self._notice = notice
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            refuse_mount(path.parent)
            self._lock = os.open(
                path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
            )
        except OSError as error:
            raise _unusable(path, error) from None
        try:
            self.db = self._open()
        except BaseException:
            os.close(self._lock)
            raise

    def close(self) -> None:
        """Gives the file free."""
        with contextlib.suppress(sqlite3.Error):
            self.db.close()
        os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @contextlib.contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction of the file's one writer; another one is waited for."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield self.db
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self.db.execute("ROLLBACK")
            raise
        self.db.execute("COMMIT")

    def rebuild(self, why: str) -> None:
        """Puts an empty index in the place of this one, unless another process just did."""
        with contextlib.suppress(sqlite3.Error):
            self.db.close()
        self._replace(why)
        self.db = self._open()

    def _open(self) -> sqlite3.Connection:
        for last in (False, True):
            self._take(fcntl.LOCK_SH)
            self._generation = self._read_generation()
            try:
                return _connect(self.path, self._binding)
            except (sqlite3.Error, OSError) as error:
                if last or not is_damage(error):
                    raise _unusable(self.path, error) from None
                self._replace(str(error))
        raise AssertionError

    def _read_generation(self) -> bytes:
        """How often the file was replaced, as the lock file has it: an inode may come again."""
        return os.pread(self._lock, 20, 0)

    def _replace(self, why: str) -> None:
        self._take(fcntl.LOCK_EX)
        if self._read_generation() == self._generation:
            number = int(self._generation) if self._generation.isdigit() else 0
            os.pwrite(self._lock, b"%020d" % (number + 1), 0)
            self._notice(f"The index {self.path} is built anew from the chain: {why}")
            # The journal first: alone it would be replayed into the file that comes next.
            for suffix in ("-wal", "-shm", ""):
                with contextlib.suppress(FileNotFoundError):
                    Path(f"{self.path}{suffix}").unlink()
        self._take(fcntl.LOCK_SH)

    def _take(self, kind: int) -> None:
        end = time.monotonic() + _LOCK_SECONDS
        while True:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(self._lock, kind | fcntl.LOCK_NB)
                return
            if time.monotonic() > end:
                raise IndexUnusableError(
                    f"another process uses the index {self.path}, which has to be built anew: end "
                    "it, then repeat the command"
                )
            time.sleep(_LOCK_PAUSE_SECONDS)


def is_damage(error: BaseException) -> bool:
    """Whether an error tells that the file's content is of no use, and not that the machine or
    another process is in the way.
    """
    if not isinstance(error, sqlite3.DatabaseError):
        return False
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    return (int(code) & 0xFF) in _DAMAGED


def refuse_mount(folder: Path, mounts: Path = _MOUNTS) -> None:
    """Refuses a folder in which a journal that processes share does not work.

    Raises:
        IndexUnusableError: It is on a network file system, or cannot be written to.
    """
    where = "set `index` (DAM_INDEX) to a folder on a local disk"
    if os.statvfs(folder).f_flag & os.ST_RDONLY:
        raise IndexUnusableError(f"{folder} is on a file system that is read-only: {where}")
    kind = _mount_of(folder, mounts)
    if kind in _NETWORK:
        raise IndexUnusableError(
            f"{folder} is on a network file system ({kind}), on which SQLite's journal is not "
            f"safe: {where}"
        )


def _mount_of(folder: Path, mounts: Path) -> str:
    """Kind of the file system that a folder is on; empty where the system does not tell."""
    try:
        lines = mounts.read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    here, found, kind = folder.resolve(), Path(), ""
    for line in lines:
        words = line.split(" ")
        if len(words) < 3:
            continue
        at = Path(words[1].replace("\\040", " "))
        if here.is_relative_to(at) and (not kind or len(at.parts) >= len(found.parts)):
            found, kind = at, words[2]
    return kind


def _connect(path: Path, binding: Binding) -> sqlite3.Connection:
    # It shows what its owner looks for and sells, as far as that is no news to everybody.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    db = sqlite3.connect(path, isolation_level=None, timeout=_BUSY_SECONDS)
    try:
        [[mode]] = db.execute("PRAGMA journal_mode = WAL").fetchall()
        if mode != "wal":
            raise IndexUnusableError(
                f"SQLite cannot keep a journal beside {path} (it offers {mode!r}): set `index` "
                "(DAM_INDEX) to a folder on a local disk"
            )
        for pragma in _PRAGMAS:
            db.execute(f"PRAGMA {pragma}")
        if not _version(db)[1]:
            _make(db, binding)
        _check(db, binding)
        return db
    except BaseException:
        db.close()
        raise


def _version(db: sqlite3.Connection) -> tuple[int, int]:
    [[made_by]] = db.execute("PRAGMA application_id").fetchall()
    [[version]] = db.execute("PRAGMA user_version").fetchall()
    return made_by, version


def _make(db: sqlite3.Connection, binding: Binding) -> None:
    """Fills an empty file, whole or not at all."""
    db.execute("BEGIN IMMEDIATE")
    try:
        if _version(db)[1]:  # another process was quicker
            return
        if db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise DamagedError("it is no index")
        text = resources.files("dam.index").joinpath("schema", "index.sql").read_text("utf-8")
        for statement in text.split(";\n"):
            db.execute(statement)
        db.execute("INSERT INTO identity VALUES (?, ?, ?, ?, ?)", astuple(binding))
        db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {VERSION}")
    except BaseException:
        db.execute("ROLLBACK")
        raise
    finally:
        if db.in_transaction:
            db.execute("COMMIT")


def _check(db: sqlite3.Connection, binding: Binding) -> None:
    if _version(db) != (_APPLICATION_ID, VERSION):
        raise DamagedError("it is no index of this version")
    if db.execute("SELECT * FROM identity").fetchall() != [astuple(binding)]:
        raise DamagedError("it is of another market, or of another version's documents")


def _unusable(path: Path, error: Exception) -> IndexUnusableError:
    if isinstance(error, IndexUnusableError):
        return error
    return IndexUnusableError(
        f"the index {path} cannot be used ({error}): look at the disk and the owner of its "
        "folder, or set `index` (DAM_INDEX) to a folder on a local disk"
    )
