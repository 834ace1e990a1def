"""One daemon per signing account, and one per ledger, on this machine.

The kernel drops a lock with its process, however that ends. Two accounts' daemons of one user meet
in one folder whatever their state folders are; the genesis hash in the name keeps local test chains
apart, which all have the same chain id and the same accounts.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from dam.errors import ConfigError
from dam.types import Address


def lock_folder() -> Path:
    """Where the account locks of this user are (for example ``$XDG_STATE_HOME/dam/locks``)."""
    return platformdirs.user_state_path("dam") / "locks"


def account_lock(folder: Path, chain_id: int, genesis: bytes, account: Address) -> Path:
    """The lock file of an account on a chain, whose genesis block has this hash."""
    return folder / f"{chain_id}-{genesis[:4].hex()}-{account.lower()}.lock"


def holder(path: Path) -> str | None:
    """Number of the process that holds a lock file, as it wrote it; None: nobody holds it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _named(descriptor)
    finally:
        os.close(descriptor)
    return None


def _taken(descriptor: int) -> bool:
    """Takes the lock; a look at it (`holder`) may be in the way for a moment."""
    for pause in (0.02, 0.05, 0.1, 0.0):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(pause)
    return False


def _named(descriptor: int) -> str:
    return os.pread(descriptor, 20, 0).decode("ascii", "replace").strip() or "unknown"


@contextmanager
def exclusive(path: Path, what: str) -> Iterator[None]:
    """Holds a lock file; the file stays, with the number of the process that had it last.

    Raises:
        ConfigError: Another process holds it; the message names that process and ``what``.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        if not _taken(descriptor):
            raise ConfigError(
                f"process {_named(descriptor)} already runs with {what}: two would spoil each "
                "other's nonces; stop that one first"
            )
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
