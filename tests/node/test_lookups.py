"""A daemon on a real node that answers with errors for hashes it does not know, as geth may."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dam.daemon.service import Stop
from dam.sending.fee_policy import SendPolicy
from tests.faults.rpc_proxy import Call, Fault, Reply, RpcProxy
from tests.node.local_market import LocalMarket, until

GWEI = 10**9


class Indexes(Fault):
    """geth, 1.13 and later, while it indexes: what it would say null of is an error."""

    name = "indexing"

    def change(self, call: Call, reply: Reply, proxy: RpcProxy) -> bool:
        if reply.get("result", "") is not None:
            return False
        del reply["result"]
        reply["error"] = {"code": -32000, "message": "transaction indexing is in progress"}
        return True


@pytest.fixture
async def local() -> AsyncIterator[LocalMarket]:
    async with LocalMarket(1) as made:
        await made.by_hand()
        yield made


async def test_a_replacement_on_a_node_that_indexes_holds_up_nothing(
    local: LocalMarket, tmp_path: Path
) -> None:
    """The one that was replaced is an error for ever; what is due is sent all the same."""
    async with RpcProxy(local.node.url) as proxy:
        methods = "eth_getTransactionReceipt", "eth_getTransactionByHash"
        proxy.inject(Indexes(), *methods)
        daemon = local.daemons[0]
        place: Any = SimpleNamespace(
            deployment=local.deployment, node=SimpleNamespace(url=proxy.url)
        )
        daemon.local = place
        stop, ready = Stop(), asyncio.Event()
        policy = SendPolicy(confirmations=0, stuck_blocks=1, unprofitable="send")
        path = tmp_path / "ledger.sqlite"
        task = asyncio.create_task(
            daemon.run(path, stop, poll=0.05, confirmations=0, ready=ready, policy=policy)
        )
        await ready.wait()
        await local.buy(0, 1)
        await until(lambda: len(proxy.sent) == 1, task)
        await local.rpc.call("anvil_setNextBlockBaseFeePerGas", hex(20 * GWEI))
        await local.mine()
        await until(lambda: len({sent.raw for sent in proxy.sent}) == 2, task)
        await local.mine()
        assert await local.delivered(await local.height()) == 1
        await until(lambda: bool(proxy.counted["indexing"]), task)
        for copy in (1, 2):
            taken = len(proxy.sent)
            await local.buy(copy, 1)
            await until(lambda before=taken: len(proxy.sent) > before, task)
            await local.mine()
            assert await local.delivered(await local.height()) == 1
        stop.request()
        await task
