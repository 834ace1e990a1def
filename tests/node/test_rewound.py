"""Anvil put back to an older state under a running daemon: it says so, waits, and goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from dam.daemon import service as services
from dam.daemon.service import Stop
from dam.sending.fee_policy import SendPolicy
from tests.node.local_market import LocalMarket, until


@pytest.fixture
async def local(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LocalMarket]:
    monkeypatch.setattr(services, "_MAX_PAUSE_SECONDS", 0.2)
    async with LocalMarket(1) as made:
        await made.by_hand()
        yield made


async def start(local: LocalMarket, path: Path, stop: Stop) -> asyncio.Task[Any]:
    ready = asyncio.Event()
    policy = SendPolicy(confirmations=0, unprofitable="send")
    task = asyncio.create_task(
        local.daemons[0].run(path, stop, poll=0.05, confirmations=0, ready=ready, policy=policy)
    )
    await ready.wait()
    return task


async def test_a_snapshot_that_is_put_back_is_waited_for(
    local: LocalMarket, tmp_path: Path
) -> None:
    stop = Stop()
    with capture_logs() as lines:

        def told(event: str) -> list[Any]:
            return [line for line in lines if line["event"] == event]

        task = await start(local, tmp_path / "ledger.sqlite", stop)
        snapshot = await local.rpc.call("evm_snapshot")
        await local.mine(10)
        await until(lambda: bool(told("ready")), task)
        await asyncio.sleep(0.3)
        assert await local.rpc.call("evm_revert", snapshot)
        await until(lambda: len(told("node_behind")) == 2, task)
        assert [line["log_level"] for line in told("node_behind")] == ["warning", "error"]
        # Another branch, longer than the first: it is followed, and served.
        await local.buy(0, 1)
        await local.mine(11)
        await until(lambda: bool(told("sent")), task)
        await local.mine()
        assert await local.delivered(await local.height()) == 1
        assert len(told("reorganisation")) == 1
        stop.request()
        await task


async def test_a_chain_from_before_the_deployment_ends_no_daemon(
    local: LocalMarket, tmp_path: Path
) -> None:
    """It could be a node that syncs: nothing tells, until it has come to that block."""
    stop = Stop()
    with capture_logs() as lines:
        task = await start(local, tmp_path / "ledger.sqlite", stop)
        height, first = await local.height(), local.deployment.first_block
        await local.rpc.call("anvil_rollback", height - first + 1)
        await until(lambda: sum(line["event"] == "node_behind" for line in lines) == 2, task)
        assert any("was deployed in block" in line.get("error", "") for line in lines)
        stop.request()
        await task
