"""Python's cycle collector, kept out of work that makes thousands of records and no cycle."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused(wanted: bool = True) -> Iterator[None]:
    """Inside, the collector does not look at every record again and again."""
    if not wanted or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
