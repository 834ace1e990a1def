"""The store sync of a daemon, run beside a test."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from dam.daemon.document_sync import DocumentSync, SyncPolicy
from tests.unit.helpers.world import Daemon


def sync_of(daemon: Daemon, **policy: Any) -> DocumentSync:
    sync = daemon.sync
    sync._policy = replace(SyncPolicy(), **policy)
    return sync


async def until(check: Callable[[], bool], seconds: float = 5.0) -> None:
    for _ in range(int(seconds / 0.01)):
        if check():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never happened")


async def running(sync: DocumentSync, act: Callable[[], Awaitable[None]]) -> None:
    task = asyncio.create_task(sync.run())
    try:
        await act()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
