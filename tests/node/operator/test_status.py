"""`dam deliverer status` with and without node, ledger and daemon."""

from __future__ import annotations

import asyncio
import json
import os

from dam.daemon import locks
from dam.market.abi import encode
from dam.testing.market import transact
from tests.node.operator.commands import Operator, open_ledger


def test_status_with_and_without_each_part(operator: Operator) -> None:
    """Node, ledger and daemon may each be missing; the rest is shown."""
    alone = operator("deliverer", "status", "--json", parse=True)
    assert alone["eligible"]
    assert alone["stake"] == str(5 * 10**16)
    assert alone["daemon"]["ledger"] is None
    assert not alone["daemon"]["running"]
    ledger = open_ledger(operator)
    ledger.note("no_balance", account="us")
    with locks.exclusive(operator.ledger.with_name("deliverer.sqlite.lock"), "ledger"):
        down = operator(
            "deliverer", "status", "--json", parse=True, DAM_RPC_URL="http://127.0.0.1:1"
        )
        text = operator("deliverer", "status", DAM_RPC_URL="http://127.0.0.1:1", code=0).stdout
    ledger.close()
    assert not down["node"]["reachable"]
    assert down["daemon"]["process"] == str(os.getpid())
    assert [note["event"] for note in down["daemon"]["ledger"]["journal"]] == ["no_balance"]
    assert "cannot be asked" in text
    assert f"runs (process {os.getpid()})" in text
    assert "no_balance" in text


def test_status_of_a_stranger(nobody: Operator) -> None:
    nobody.init()
    done = nobody("deliverer", "status", code=1)
    assert "run `dam deliverer stake AMOUNT`" in done.stderr


def test_status_again_and_again(operator: Operator) -> None:
    done = operator(
        "deliverer", "status", "--watch", "--times", "3", "--interval", "0.2", "--json", code=0
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == 3
    assert {line["stake"] for line in lines} == {str(5 * 10**16)}
    plain = operator("deliverer", "status", "--watch", "--times", "2", "--interval", "0.2", code=0)
    assert plain.stdout.count("minimum 0.01 ether") == 2


def test_watching_sees_what_changes(operator: Operator) -> None:
    """The history is read once, then only its newest part: a change must still be seen."""
    from dam.config.settings import Settings
    from dam.diagnostics.snapshot import Watcher
    from dam.ethereum.node_pool import NodePool

    async def looks() -> list[int]:
        settings = Settings.load({**operator.env})
        async with NodePool(settings.rpc_urls) as rpc:
            watcher = Watcher(settings, "deliverer", operator.address, rpc)
            found = [await watcher.look()]
            for _ in range(2):
                governor = operator.deployment.governor
                slash = encode("proposeSlashing", operator.address, 1, governor, bytes(32))
                transact(operator.chain, governor, operator.deployment.market, slash)
                operator.chain.mine(30)
                found.append(await watcher.look())
            return [len(one.chain.slashes) if one.chain else -1 for one in found]

    counts = asyncio.run(looks())
    assert [count - counts[0] for count in counts] == [0, 1, 2]
    governor = operator.deployment.governor
    for slash in operator("deliverers", "--json", parse=True)["slashes"]:
        transact(
            operator.chain,
            governor,
            operator.deployment.market,
            encode("cancelSlashing", slash["id"]),
        )
