"""A daemon's service at work beside a test."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import structlog

from dam.daemon.document_sync import DocumentSync, SyncPolicy
from dam.daemon.service import Service
from tests.unit.helpers.world import Daemon


def logger(daemon: Daemon) -> Any:
    return structlog.wrap_logger(None, processors=[daemon._log])


def live(daemon: Daemon, sender: Any = None) -> Service:
    """The daemon's service as `daemon.run` builds it, with the store sync beside it."""
    world = daemon.world
    daemon.sync = DocumentSync(
        world.blocks,
        daemon.ledger,
        daemon.role.scan,
        log=logger(daemon),
        changed=daemon.role.documents_changed,
        policy=SyncPolicy(first_seconds=0.2, pin=sender is None),
        checkpoint=daemon.checkpoints,
    )
    daemon.service = Service(
        daemon.ledger,
        daemon.reader,
        daemon.role,
        sender or daemon.sender,
        log=logger(daemon),
        check=world.chain.check_deployment,
        new_logs=daemon.sync.wake,
        background=[daemon.sync.run],
        idle=lambda: daemon.sync.idle,
        poll=0.01,
    )
    return daemon.service


async def within(coroutine: Any) -> Any:
    return await asyncio.wait_for(coroutine, 60)


async def until(true: Callable[[], object], task: asyncio.Task[None]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert not task.done()
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
