"""F1 to F10: the daemon is killed at a named place, told to stop, or stopped for a while."""

from __future__ import annotations

import signal
import time

from tests.faults import rpc_faults
from tests.faults.ground import LAUNCHER, Deliverer, Ground, Process
from tests.faults.oracle import oracle
from tests.faults.rpc_proxy import RpcProxy
from tests.faults.table import Injected, fault

KILLED = -signal.SIGKILL


async def die(ground: Ground, injected: Injected, place: str) -> Process:
    """A daemon that has read the store meets a purchase, and is killed at the place."""
    if place != "F3":
        before = await ground.deliverer(home=home(ground)).start()
        await before.event("store_read")
        assert await before.stop() == 0
    dying = ground.process(command=[*LAUNCHER, "deliverer"], env={"DAM_CRASH_AT": f"{place}:1"})
    if place in ("F4", "F5", "F6", "F7"):
        # One block makes the purchase known; another could hold what was sent before the kill.
        await dying.start()
        await ground.buy()
        await ground.mine()
        await ground.wait(lambda: not dying.running, f"killed at {place}")
    else:
        await dying.start(ready=False)
        await ground.buy()
        await ground.until(lambda: not dying.running, f"killed at {place}")
    assert dying.code == KILLED, dying.tail()
    [line] = dying.logged("crash")
    assert line["place"] == place
    injected.add(f"SIGKILL at {place}")
    return dying


async def rise(ground: Ground) -> Deliverer:
    """The next run with the same ledger; everything is delivered once."""
    again = await ground.deliverer(home=home(ground)).start()
    await ground.until_delivered()
    await ground.settle_down()
    assert set(await oracle(ground, exits=(0, KILLED))) == {"delivered"}
    return again


def home(ground: Ground):
    """The state folder of deliverer 1's process, which its runs in here share."""
    return ground.scratch / "process 0"


@fault(
    1,
    "killed: log read, cursor unsaved",
    by="C",
    breaks="src/dam/daemon/chain_reader.py:cursor = self._ledger.cursor() or await self._begin()",
    instead="cursor = await self._source.block(target)",
)
async def test_f1_killed_before_the_cursor_is_saved(ground: Ground, injected: Injected) -> None:
    dying = await die(ground, injected, "F1")
    assert not dying.query("SELECT 1 FROM purchases")
    # Further away than what is read twice anyhow.
    await ground.mine(150)
    await rise(ground)


@fault(
    2,
    "killed: cursor saved",
    by="C",
    breaks="src/dam/ledger/ledger.py:new += self._save_purchases(rows.purchases, refund_blocks)",
)
async def test_f2_killed_after_the_cursor_is_saved(ground: Ground, injected: Injected) -> None:
    dying = await die(ground, injected, "F2")
    assert dying.query("SELECT state FROM purchases") == [("new",)]
    await rise(ground)


@fault(
    3,
    "killed: document fetched",
    by="C",
    breaks="src/dam/daemon/document_sync.py:"
    "self._busy[asyncio.create_task(self._read(document))] = document",
)
async def test_f3_killed_with_a_document_in_hand(ground: Ground, injected: Injected) -> None:
    dying = await die(ground, injected, "F3")
    assert {row[0] for row in dying.query("SELECT state FROM documents")} == {"wanted"}
    await rise(ground)


@fault(
    4,
    "killed: part opened",
    by="C",
    breaks="src/dam/roles/deliverer/deliverer.py:"
    'states = ("new", "waiting") if fresh else ("new",)',
    instead="states = ()",
)
async def test_f4_killed_with_a_part_open(ground: Ground, injected: Injected) -> None:
    dying = await die(ground, injected, "F4")
    assert not dying.query("SELECT 1 FROM jobs")
    await rise(ground)


@fault(
    5,
    "killed: fragment sealed",
    by="C",
    breaks="src/dam/roles/deliverer/deliverer.py:decisions.save(self._ledger)",
)
async def test_f5_killed_with_a_fragment_sealed(ground: Ground, injected: Injected) -> None:
    dying = await die(ground, injected, "F5")
    assert not dying.query("SELECT 1 FROM sealed")
    assert dying.query("SELECT state FROM purchases") == [("new",)]
    again = await rise(ground)
    assert again.query("SELECT state FROM purchases") == [("done",)]


@fault(
    6,
    "killed: journalled, not sent",
    by="C",
    breaks="src/dam/sending/in_flight.py:anew = self._ledger.rollbacks != self._rollbacks",
    instead="anew = False",
)
async def test_f6_killed_before_the_transaction_is_sent(ground: Ground, injected: Injected) -> None:
    dying = await die(ground, injected, "F6")
    [(signed,)] = dying.query("SELECT hash FROM attempts")
    assert await in_pool(ground, signed) is None
    again = await ground.deliverer(home=home(ground)).start()
    await again.event("sent")
    # The very bytes that were saved, and without waiting for another block.
    assert await in_pool(ground, signed) is not None
    assert await again.stop() == 0
    await rise(ground)
    assert [log.at.tx_hash for log in await ground.delivered()] == [signed]


@fault(
    7,
    "killed: sent, hash unsaved",
    by="C",
    breaks="src/dam/sending/account.py:self.outbox.mark_sent(taken)",
)
async def test_f7_killed_after_the_transaction_is_sent(ground: Ground, injected: Injected) -> None:
    dying = await die(ground, injected, "F7")
    [(signed, sent)] = dying.query("SELECT hash, sent FROM attempts")
    assert not sent
    assert await in_pool(ground, signed) is not None
    again = await ground.deliverer(home=home(ground)).start()
    await again.event("sent")
    assert again.query("SELECT hash, sent FROM attempts") == [(signed, 1)]
    assert await again.stop() == 0
    await rise(ground)
    assert [log.at.tx_hash for log in await ground.delivered()] == [signed]


@fault(
    8,
    "killed: mined, unrecorded",
    by="C",
    breaks="src/dam/sending/in_flight.py:"
    "await self._settle([slot for slot in live if slot.nonce < final], cursor)",
)
async def test_f8_killed_before_the_receipt_is_recorded(ground: Ground, injected: Injected) -> None:
    dying = await die(ground, injected, "F8")
    assert len(await ground.delivered()) == 1
    assert dying.query("SELECT state FROM slots") == [("live",)]
    again = await rise(ground)
    assert again.query("SELECT state, status FROM slots") == [("mined", 1)]
    assert len(await ground.delivered()) == 1


@fault(
    9,
    "SIGTERM drains within 10 s",
    by="HP",
    breaks="src/dam/daemon/service.py:timeout=DRAIN_SECONDS",
    instead="timeout=None",
)
async def test_f9_sigterm_while_the_node_hangs(
    ground: Ground, proxy: RpcProxy, injected: Injected
) -> None:
    daemon = await ground.process(rpc=proxy.url).start()
    await daemon.event("store_read")
    proxy.inject(rpc_faults.Hang(), "eth_getLogs")
    await ground.buy()
    await ground.mine(2)
    await ground.wait(lambda: injected["hang"] > 0, "it waits for the node")
    begun = time.monotonic()
    daemon.signal(signal.SIGTERM)
    injected.add("SIGTERM")
    assert await daemon.wait(15) == 0
    assert time.monotonic() - begun < 10
    proxy.clear()
    again = await ground.deliverer(home=home(ground)).start()
    await ground.until_delivered()
    # Idle, it goes at once; and a kill is not the way that it went.
    assert await again.stop() == 0
    await oracle(ground)


@fault(
    10,
    "SIGSTOP for 150 blocks",
    by="H",
    breaks="src/dam/daemon/chain_reader.py:min(first, last), last, canonical=",
    instead="last, last, canonical=",
)
async def test_f10_stopped_for_150_blocks(ground: Ground, injected: Injected) -> None:
    daemon = await ground.process().start()
    await daemon.event("store_read")
    daemon.signal(signal.SIGSTOP)
    injected.add("SIGSTOP")
    await ground.buy(2)
    for _ in range(150):
        await ground.mine()
        injected.add("blocks missed")
    daemon.signal(signal.SIGCONT)
    await ground.until_delivered()
    await ground.settle_down()
    await oracle(ground)
    assert await daemon.stop() == 0


async def in_pool(ground: Ground, tx_hash: bytes) -> object:
    """A transaction that the node knows, mined or not; None for one that it has never seen."""
    return await ground.rpc.call("eth_getTransactionByHash", "0x" + tx_hash.hex())
