"""Pauses Python's cycle collector while thousands of records are made, none of them in a cycle."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused(wanted: bool = True) -> Iterator[None]:
    """Without cycle collection inside the block, which would visit every record again and again."""
    if not wanted or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
