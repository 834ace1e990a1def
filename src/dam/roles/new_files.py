"""Files that hold something signed, and never take another file's place."""

from __future__ import annotations

import os
from pathlib import Path

from dam.atomic_file import write_atomic
from dam.errors import Permanent


def check_new_file(path: Path) -> None:
    """Refuses a file that could not be written: before anything is signed.

    Raises:
        Permanent: There is such a file, or no such folder.
    """
    if os.path.lexists(path):
        raise _taken(path)
    if not path.parent.is_dir():
        raise Permanent(f"there is no folder {path.parent}: name another file with --out")


def write_new_file(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Writes a file that is not there yet, whole or not at all.

    Raises:
        Permanent: There is such a file.
        OSError: It cannot be written.
    """
    try:
        write_atomic(path, data, mode=mode, overwrite=False)
    except FileExistsError:
        raise _taken(path) from None


def _taken(path: Path) -> Permanent:
    return Permanent(f"{path} is there already: name another file with --out")
