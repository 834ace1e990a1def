"""The store keeper of a daemon, run beside a test."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from dam.daemon.document_sync import StoreKeeper, StorePolicy
from tests.unit.helpers.world import Daemon


def keeper_of(daemon: Daemon, **policy: Any) -> StoreKeeper:
    keeper = daemon.keeper
    keeper._policy = replace(StorePolicy(), **policy)
    return keeper


async def until(check: Callable[[], bool], seconds: float = 5.0) -> None:
    for _ in range(int(seconds / 0.01)):
        if check():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never happened")


async def running(keeper: StoreKeeper, act: Callable[[], Awaitable[None]]) -> None:
    task = asyncio.create_task(keeper.run())
    try:
        await act()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
