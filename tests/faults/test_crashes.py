"""F1 to F10: the daemon is killed at a named place, told to stop, or stopped for a while."""

from __future__ import annotations

import signal

from tests.faults import rpc_faults
from tests.faults.crash_launcher import LAUNCHER
from tests.faults.daemons import Deliverer, Process
from tests.faults.oracle import oracle
from tests.faults.rpc_proxy import RpcProxy
from tests.faults.table import Injected, fault
from tests.faults.world import FaultWorld

KILLED = -signal.SIGKILL


async def die(world: FaultWorld, injected: Injected, place: str) -> Process:
    """A daemon that has read the store meets a purchase, and is killed at the place."""
    if place != "F3":
        before = await world.deliverer(home=home(world)).start()
        await before.event("store_read")
        assert await before.stop() == 0
    dying = world.process(command=[*LAUNCHER, "deliverer"], env={"DAM_CRASH_AT": f"{place}:1"})
    if place in ("F4", "F5", "F6", "F7"):
        # One block makes the purchase known; another could hold what was sent before the kill.
        await dying.start()
        await world.buy()
        await world.mine()
        await world.wait(lambda: not dying.running, f"killed at {place}")
    else:
        await dying.start(ready=False)
        await world.buy()
        await world.until(lambda: not dying.running, f"killed at {place}")
    assert dying.code == KILLED, dying.tail()
    [line] = dying.logged("crash")
    assert line["place"] == place
    injected.add(f"SIGKILL at {place}")
    return dying


async def rise(world: FaultWorld) -> Deliverer:
    """The next run with the same ledger; everything is delivered once."""
    again = await world.deliverer(home=home(world)).start()
    await world.until_delivered()
    await world.settle_down()
    assert set(await oracle(world, exits=(0, KILLED))) == {"delivered"}
    return again


def home(world: FaultWorld):
    """The state folder of deliverer 1's process, which its runs in here share."""
    return world.scratch / "process 0"


@fault(
    1,
    "killed: log read, cursor unsaved",
    by="C",
    breaks="src/dam/daemon/chain_reader.py:cursor = self._ledger.cursor() or await self._begin()",
    instead="cursor = await self._source.block(target)",
)
async def test_f1_killed_before_the_cursor_is_saved(world: FaultWorld, injected: Injected) -> None:
    dying = await die(world, injected, "F1")
    assert not dying.query("SELECT 1 FROM purchases")
    # Further away than what is read twice anyhow.
    await world.mine(150)
    await rise(world)


@fault(
    2,
    "killed: cursor saved",
    by="C",
    breaks="src/dam/ledger/ledger.py:new += self._save_purchases(rows.purchases, delivery_seconds)",
)
async def test_f2_killed_after_the_cursor_is_saved(world: FaultWorld, injected: Injected) -> None:
    dying = await die(world, injected, "F2")
    assert dying.query("SELECT state FROM purchases") == [("new",)]
    await rise(world)


@fault(
    3,
    "killed: document fetched",
    by="C",
    breaks="src/dam/daemon/document_sync.py:"
    "self._busy[asyncio.create_task(self._read(document))] = document",
)
async def test_f3_killed_with_a_document_in_hand(world: FaultWorld, injected: Injected) -> None:
    dying = await die(world, injected, "F3")
    assert {row[0] for row in dying.query("SELECT state FROM documents")} == {"wanted"}
    await rise(world)


@fault(
    4,
    "killed: part opened",
    by="C",
    breaks="src/dam/roles/deliverer/deliverer.py:"
    'states = ("new", "waiting") if fresh else ("new",)',
    instead="states = ()",
)
async def test_f4_killed_with_a_part_open(world: FaultWorld, injected: Injected) -> None:
    dying = await die(world, injected, "F4")
    assert not dying.query("SELECT 1 FROM jobs")
    await rise(world)


@fault(
    5,
    "killed: fragment sealed",
    by="C",
    breaks="src/dam/roles/deliverer/deliverer.py:decisions.save(self._ledger)",
)
async def test_f5_killed_with_a_fragment_sealed(world: FaultWorld, injected: Injected) -> None:
    dying = await die(world, injected, "F5")
    assert not dying.query("SELECT 1 FROM seals")
    assert dying.query("SELECT state FROM purchases") == [("new",)]
    again = await rise(world)
    assert again.query("SELECT state FROM purchases") == [("done",)]


@fault(
    6,
    "killed: journalled, not sent",
    by="C",
    breaks="src/dam/sending/in_flight.py:anew = self._ledger.rollbacks != self._rollbacks",
    instead="anew = False",
)
async def test_f6_killed_before_the_transaction_is_sent(
    world: FaultWorld, injected: Injected
) -> None:
    dying = await die(world, injected, "F6")
    [(signed,)] = dying.query("SELECT hash FROM attempts")
    assert await in_pool(world, signed) is None
    again = await world.deliverer(home=home(world)).start()
    await again.event("sent")
    # The very bytes that were saved, and without waiting for another block.
    assert await in_pool(world, signed) is not None
    assert await again.stop() == 0
    await rise(world)
    assert [log.at.tx_hash for log in await world.delivered()] == [signed]


@fault(
    7,
    "killed: sent, hash unsaved",
    by="C",
    breaks="src/dam/sending/account.py:self.outbox.mark_sent(taken)",
)
async def test_f7_killed_after_the_transaction_is_sent(
    world: FaultWorld, injected: Injected
) -> None:
    dying = await die(world, injected, "F7")
    [(signed, sent)] = dying.query("SELECT hash, sent FROM attempts")
    assert not sent
    assert await in_pool(world, signed) is not None
    again = await world.deliverer(home=home(world)).start()
    await again.event("sent")
    assert again.query("SELECT hash, sent FROM attempts") == [(signed, 1)]
    assert await again.stop() == 0
    await rise(world)
    assert [log.at.tx_hash for log in await world.delivered()] == [signed]


@fault(
    8,
    "killed: mined, unrecorded",
    by="C",
    breaks="src/dam/sending/in_flight.py:"
    "await self._settle([slot for slot in live if slot.nonce < final], now, cursor)",
)
async def test_f8_killed_before_the_receipt_is_recorded(
    world: FaultWorld, injected: Injected
) -> None:
    dying = await die(world, injected, "F8")
    assert len(await world.delivered()) == 1
    assert dying.query("SELECT state FROM nonce_slots") == [("live",)]
    again = await rise(world)
    assert again.query("SELECT state, receipt_status FROM nonce_slots") == [("mined", 1)]
    assert len(await world.delivered()) == 1


@fault(
    9,
    "SIGTERM drains within 10 s",
    by="HP",
    breaks="src/dam/daemon/service.py:timeout=DRAIN_SECONDS",
    instead="timeout=None",
)
async def test_f9_sigterm_while_the_node_hangs(
    world: FaultWorld, proxy: RpcProxy, injected: Injected
) -> None:
    daemon = await world.process(rpc=proxy.url).start()
    await daemon.event("store_read")
    proxy.inject(rpc_faults.Hang(), "eth_getLogs")
    await world.buy()
    await world.mine(2)
    await world.wait(lambda: injected["hang"] > 0, "it waits for the node")
    daemon.signal(signal.SIGTERM)
    injected.add("SIGTERM")
    assert await daemon.wait(60) == 0
    # It did not wait for the node, which keeps it for longer than that.
    assert daemon.logged("drain_timeout")
    proxy.clear()
    again = await world.deliverer(home=home(world)).start()
    await world.until_delivered()
    # Idle, it goes at once; and a kill is not the way that it went.
    assert await again.stop() == 0
    await oracle(world)


@fault(
    10,
    "SIGSTOP for 150 blocks",
    by="H",
    breaks="src/dam/daemon/chain_reader.py:min(first, last), last, canonical=",
    instead="last, last, canonical=",
)
async def test_f10_stopped_for_150_blocks(world: FaultWorld, injected: Injected) -> None:
    daemon = await world.process().start()
    await daemon.event("store_read")
    daemon.signal(signal.SIGSTOP)
    injected.add("SIGSTOP")
    await world.buy(2)
    for _ in range(150):
        await world.mine()
        injected.add("blocks missed")
    daemon.signal(signal.SIGCONT)
    await world.until_delivered()
    await world.settle_down()
    await oracle(world)
    assert await daemon.stop() == 0


async def in_pool(world: FaultWorld, tx_hash: bytes) -> object:
    """A transaction that the node knows, mined or not; None for one that it has never seen."""
    return await world.rpc.call("eth_getTransactionByHash", "0x" + tx_hash.hex())
