"""F48, F49: the ledger's file is spoiled, or is one of yesterday: what counts is on the chain."""

from __future__ import annotations

import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from demo.world import DAM
from tests.faults.daemons import Process
from tests.faults.oracle import oracle
from tests.faults.table import Injected, fault
from tests.faults.world import FaultWorld

pytestmark = pytest.mark.asyncio(loop_scope="session")
SPOILED = ("purchases", "deliveries", "documents", "jobs")
RECOVER = (*DAM, "deliverer", "recover", "--yes")


@fault(
    48,
    "corrupt database: refuse, rebuild from the chain",
    by="H",
    breaks="src/dam/ledger/ledger_file.py:check(db)\n",
    instead="pass\n",
)
async def test_f48_a_ledger_with_spoiled_pages(world: FaultWorld, injected: Injected) -> None:
    """Spoiled while a delivery waits in the pool that only this ledger knew of."""
    daemon = await world.process().start()
    await one_mined_and_one_in_the_pool(world, daemon)
    path = daemon.ledger
    spoiled = spoil(path, injected)

    # Started again and again, as a supervisor would: it says what to do, and touches nothing.
    for times in (1, 2):
        await daemon.start(ready=False)
        assert await daemon.wait() == 2, daemon.text()[-1500:]
        refusals = daemon.logged("cannot_run")
        assert len(refusals) == times
        assert "run `dam deliverer recover`" in refusals[-1]["reason"]
    assert path.read_bytes() == spoiled

    recovery = world.process(command=RECOVER)
    await recovery.start(ready=False)
    assert await recovery.wait() == 0, recovery.text()
    [aside] = path.parent.glob("*.aside-*Z")
    assert aside.read_bytes() == spoiled

    await daemon.start()
    await the_rest_is_delivered_once(world, daemon)


@fault(
    49,
    "old database restored: the chain wins",
    by="H",
    breaks="src/dam/sending/dispatcher.py:if room <= 0 or self._wait_for(unknown, jobs, now):",
    instead="if room <= 0:",
)
async def test_f49_an_old_copy_of_the_ledger(world: FaultWorld, injected: Injected) -> None:
    """Since the copy, one sale was delivered, and another's delivery waits in the pool."""
    daemon = await world.process().start()
    await world.buy()
    await world.until_delivered()
    assert await daemon.stop() == 0
    path = daemon.ledger
    old = world.scratch / "yesterday.sqlite"
    shutil.copy(path, old)

    await daemon.start()
    await one_mined_and_one_in_the_pool(world, daemon)
    shutil.copy(old, path)
    injected.add("old ledger put back")
    assert len(daemon.query("SELECT 1 FROM purchases")) == 1

    await daemon.start()
    # Without a block, so that what it does about the sale in the pool shows there.
    await world.wait(
        lambda: bool(daemon.logged("unknown_transactions")) or len(daemon.logged("sending")) > 3,
        "it decides about the sale that it does not know any more",
    )
    await the_rest_is_delivered_once(world, daemon)
    assert not daemon.logged("foreign_transaction")


async def one_mined_and_one_in_the_pool(world: FaultWorld, daemon: Process) -> None:
    """Two sales more: the first one's delivery is mined, the other's waits, the daemon is off."""
    await world.buy()
    await world.until_delivered()
    await world.settle_down()
    sent = len(daemon.logged("sent"))
    await world.buy()
    await world.mine(world.confirmations)
    await daemon.event("sent", sent + 1)
    assert await daemon.stop() == 0


async def the_rest_is_delivered_once(world: FaultWorld, daemon: Process) -> None:
    """And one sale more, which the ledger has never seen."""
    before = len(world.sold)
    await world.buy()
    await world.until_delivered(daemon)
    await world.settle_down()
    assert await oracle(world) == {"delivered": before + 1}
    assert len(await world.delivered()) == before + 1
    assert await daemon.stop() == 0


def spoil(path: Path, injected: Injected) -> bytes:
    """Noise in the place of what stands first in each of some tables, which opening never reads."""
    assert not Path(f"{path}-wal").exists(), "what is in the log of changes would mend the pages"
    with closing(sqlite3.connect(path)) as db:
        [[size]] = db.execute("PRAGMA page_size").fetchall()
        roots = dict(db.execute("SELECT name, rootpage FROM sqlite_schema WHERE type = 'table'"))
    noise, data = random.Random(48), bytearray(path.read_bytes())
    for name in SPOILED:
        start = (roots[name] - 1) * size
        data[start : start + size] = noise.randbytes(size)
        injected.add("spoiled page")
    path.write_bytes(data)
    return bytes(data)
