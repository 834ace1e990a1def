"""The benches' local market, and waiting beside a daemon that runs on it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2] / "bench"))

from _local_market import LocalMarket

__all__ = ["LocalMarket", "until"]


async def until(true: Callable[[], bool], task: asyncio.Task[Any]) -> None:
    """Waits, at most half a minute, while the daemon runs on."""
    async with asyncio.timeout(30):
        while not true():
            assert not task.done()
            await asyncio.sleep(0.02)
