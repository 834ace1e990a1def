"""One daemon per signing account, and one per ledger, on this machine.

The kernel drops a lock with its process, however that ends. Two accounts' daemons of one user meet
in one folder whatever their state folders are; the genesis hash in the name keeps local test chains
apart, which all have the same chain id and the same accounts.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from dam.errors import ConfigError
from dam.types import Address


def lock_folder() -> Path:
    """Where the account locks of this user are (``$XDG_STATE_HOME/dam/locks``, say)."""
    return platformdirs.user_state_path("dam") / "locks"


def account_lock(folder: Path, chain_id: int, genesis: bytes, account: Address) -> Path:
    """The lock file of an account on a chain, whose genesis block has this hash."""
    return folder / f"{chain_id}-{genesis[:4].hex()}-{account.lower()}.lock"


@contextmanager
def exclusive(path: Path, what: str) -> Iterator[None]:
    """Holds a lock file; the file stays, with the number of the process that had it last.

    Raises:
        ConfigError: Another process holds it; the message names that process and ``what``.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 20).decode("ascii", "replace").strip() or "unknown"
            raise ConfigError(
                f"process {holder} already runs with {what}: two would spoil each other's nonces; "
                "stop that one first"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
