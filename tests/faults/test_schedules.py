"""Random schedules: blocks, purchases, reorganisations, deaths and faults in any order; the oracle.

Twenty schedules, and as many as ``DAM_SCHEDULES`` says where that is set (``make schedules``: 200).
Each follows from its seed alone: a failure names the seed and every step that was taken, and

    DAM_SCHEDULE=17 python -m pytest -p no:ape_test tests/faults/test_schedules.py

plays that one again. Deliverers run in this process, two to three of them, behind an RPC proxy
and an IPFS proxy each, on a real chain. In the end all faults are taken away, all daemons run, and
then every purchase that is still on the chain must be served exactly once.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace

import pytest

from dam.errors import RpcError
from dam.types import Purchase
from demo import trade
from demo.actors import Actor
from demo.shop import ETHER, ITEM
from demo.trade import Bought, Order
from tests.faults import ipfs_faults as ipfs
from tests.faults import rpc_faults as rpc
from tests.faults.daemons import Deliverer
from tests.faults.ipfs_proxy import IpfsProxy
from tests.faults.oracle import oracle
from tests.faults.rpc_proxy import RpcProxy
from tests.faults.table import Injected
from tests.faults.transactions import pool_transactions
from tests.faults.world import FaultWorld

_SEND = "eth_sendRawTransaction"
_STEPS = (8, 16)
_DEEPEST = 20
_BLOCK_SECONDS = 0.08
"""After each block of a step: enough for a daemon's look, not always for all of its work."""


def _seeds() -> list[int]:
    if "DAM_SCHEDULE" in os.environ:
        return [int(os.environ["DAM_SCHEDULE"])]
    return list(range(1, int(os.environ.get("DAM_SCHEDULES", "20")) + 1))


@dataclass
class _Order:
    """A purchase that was signed, and may be on the chain or not."""

    buyer: Actor
    order: Order
    raw: str


@dataclass
class Schedule:
    """One run; ``told`` is what was done, in order."""

    world: FaultWorld
    chance: random.Random
    injected: Injected
    told: list[str] = field(default_factory=list)
    daemons: list[Deliverer] = field(default_factory=list)
    proxies: list[RpcProxy] = field(default_factory=list)
    stores: list[IpfsProxy] = field(default_factory=list)
    ends: AsyncExitStack = field(default_factory=AsyncExitStack)
    orders: list[_Order] = field(default_factory=list)
    killed: set[int] = field(default_factory=set)
    copies: int = 0

    async def play(self) -> None:
        """Begins, takes random steps, heals everything, and asks the oracle."""
        await self._begin()
        for _ in range(self.chance.randint(*_STEPS)):
            step = self.chance.choices(*zip(*self._steps(), strict=True))[0]
            await step()
            for daemon in self.daemons:
                await self._revive(daemon)
        await self._heal()
        sales = await self._sales()
        self._tell(f"{len(sales)} purchases are on the chain")
        await self.world.until_delivered(*self.daemons, sales=sales)
        await self.world.settle_down()
        # A part that was sent for a block that is gone reverts in another: nothing can be done.
        gone = self.injected["reorganisation"] * len(self.orders) * len(self.daemons)
        outcome = await oracle(self.world, sales=sales, reverted=gone)
        assert outcome["delivered"] == len(sales) * len(self.daemons)
        for daemon in self.daemons:
            assert await daemon.stop() == 0
            assert not daemon.logged("internal_error")

    async def _begin(self) -> None:
        for number in sorted(self.chance.sample(range(3), self.chance.randint(2, 3))):
            proxy = await self.world.proxy(self.injected, seed=self.chance.getrandbits(32))
            store = IpfsProxy(self.world.ipfs, counted=self.injected)
            await self.ends.enter_async_context(store)
            confirmations = str(self.chance.randint(0, 2))
            env = {"DAM_CONFIRMATIONS": confirmations, "DAM_IPFS": store.url}
            daemon = self.world.deliverer(number, rpc=proxy.url, env=env)
            self.proxies.append(proxy)
            self.stores.append(store)
            self.daemons.append(daemon)
            await daemon.start()
        await self._buy()

    def _steps(self) -> list[tuple[Callable[[], Awaitable[None]], int]]:
        """What may happen next, and its weight."""
        return [
            (self._buy, 5),
            (self._mine, 5),
            (self._reorganise, 4),
            (self._kill, 3),
            (self._crash, 4),
            (self._stop, 1),
            (self._lie, 8),
            (self._publish, 3),
            (self._jump, 2),
            (self._drop, 3),
            (self._drain, 1),
            (self._many_blocks, 1),
        ]

    def _tell(self, text: str) -> None:
        self.told.append(text)

    # ------------------------------------------------------------------------------------- buying

    async def _buy(self) -> None:
        """One to three purchases, not always mined at once."""
        world, copies = self.world, self.chance.randint(1, 3)
        for _ in range(copies):
            buyer = self.chance.choice(world.people)
            order = await trade.order(world, world.shop.seller, ITEM, self.copies)
            self.copies += 1
            raw = await world.signed(buyer, order.data, value=order.terms.price)
            await world.rpc.call(_SEND, raw)
            self.orders.append(_Order(buyer, order, raw))
        self._tell(f"buy {copies}")
        if self.chance.random() < 0.7:
            await self._block()

    async def _sales(self) -> list[Bought]:
        """What is sold on the canonical chain, with the keys that open it."""
        world = self.world
        head = await world.block()
        logs = await world.market.logs(min(world.first, head), head)
        by_digest = {(one.buyer.address, one.order.copy): one.order.secrets for one in self.orders}
        return [
            Bought(log, by_digest[log.buyer, log.copy]) for log in logs if isinstance(log, Purchase)
        ]

    # -------------------------------------------------------------------------------------- chain

    async def _block(self) -> None:
        await self.world.mine()
        await asyncio.sleep(_BLOCK_SECONDS)

    async def _mine(self) -> None:
        blocks = self.chance.randint(1, 4)
        self._tell(f"mine {blocks}")
        for _ in range(blocks):
            await self._block()

    async def _many_blocks(self) -> None:
        """Blocks that nobody had the time to look at one by one."""
        blocks = self.chance.randint(5, 40)
        self._tell(f"mine {blocks} at once")
        await self.world.mine(blocks)
        await asyncio.sleep(_BLOCK_SECONDS)

    async def _reorganise(self) -> None:
        """Other blocks in the place of the newest; purchases come back, move, or are gone."""
        world = self.world
        room = await world.block() - world.first
        if room < 1:
            return
        depth = self.chance.randint(1, min(_DEEPEST, room))
        await world.reorganise(depth)
        self.injected.add("reorganisation")
        back = [one for one in self.orders if self.chance.random() < 0.8]
        self._tell(f"reorganise {depth}, {len(back)} of {len(self.orders)} purchases sent again")
        await self._send_again(back)
        if self.chance.random() < 0.5:
            await self._block()

    async def _send_again(self, orders: list[_Order]) -> None:
        for one in orders:
            try:
                await self.world.rpc.call(_SEND, one.raw)
            except RpcError:
                # On the chain still, or a nonce before it is free now: it is gone for good then.
                continue

    async def _jump(self) -> None:
        gwei = self.chance.choice((5, 50, 400))
        self._tell(f"base fee {gwei} gwei")
        await self.world.rpc.call("anvil_setNextBlockBaseFeePerGas", hex(gwei * 10**9))
        self.injected.add("base fee")
        await self._block()

    async def _drop(self) -> None:
        """A waiting transaction of a daemon is forgotten."""
        ours = {daemon.actor.address.lower() for daemon in self.daemons}
        pool = await self.world.rpc.call("txpool_content")
        waiting = sorted(tx["hash"] for tx in pool_transactions(pool, ours, ["pending"]))
        if waiting:
            await self.world.rpc.call("anvil_dropTransaction", self.chance.choice(waiting))
            self.injected.add("dropped")
            self._tell("drop a transaction")

    async def _drain(self) -> None:
        """No coins for some blocks."""
        daemon = self.chance.choice(self.daemons)
        self._tell(f"{daemon} is poor")
        await self._give(daemon, 0)
        self.injected.add("no balance")
        for _ in range(self.chance.randint(1, 3)):
            await self._block()
        await self._give(daemon, ETHER)

    async def _give(self, daemon: Deliverer, wei: int) -> None:
        await self.world.rpc.call("anvil_setBalance", daemon.actor.address, hex(wei))

    # ------------------------------------------------------------------------------------- daemons

    async def _kill(self) -> None:
        daemon = self.chance.choice(self.daemons)
        self._tell(f"kill {daemon}")
        await daemon.kill()
        self.killed.add(daemon.number)
        self.injected.add("kill")
        if self.chance.random() < 0.5:
            await self._block()

    async def _crash(self) -> None:
        """The next time that it comes by a place, a daemon is no more."""
        daemon = self.chance.choice(self.daemons)
        place, visit = f"F{self.chance.randint(1, 8)}", self.chance.randint(1, 2)
        self._tell(f"{daemon} dies at {place}, visit {visit}")
        daemon.kill_at = (place, daemon.hits[place] + visit)
        await self._block()

    async def _stop(self) -> None:
        daemon = self.chance.choice(self.daemons)
        if daemon.running:
            self._tell(f"stop {daemon}")
            assert await daemon.stop() in (0, -9)

    async def _revive(self, daemon: Deliverer) -> None:
        """Starts it again, unless it stays dead for this step, too."""
        if daemon.running or self.chance.random() < 0.3:
            return
        await self._start(daemon, ready=False)

    async def _start(self, daemon: Deliverer, *, ready: bool) -> None:
        # Told to stop, killed at a place, or killed anywhere: cancelled, in this process.
        fine = (None, 0, -9, 1) if daemon.number in self.killed else (None, 0, -9)
        assert daemon.code in fine, f"{daemon} ended with {daemon.code}: {daemon.tail()}"
        self.killed.discard(daemon.number)
        daemon.kill_at = None
        await daemon.start(ready=ready)

    # -------------------------------------------------------------------------------------- faults

    async def _lie(self) -> None:
        """A fault of the node, for a few requests of one daemon."""
        number = self.chance.randrange(len(self.daemons))
        proxy, daemon = self.proxies[number], self.daemons[number]
        name, fault, methods, times = self.chance.choice(_faults(await self.world.block()))
        times = self.chance.randint(1, times)
        self._tell(f"{name}, {times} times, for {daemon}")
        proxy.inject(fault, *methods, times=times)
        if self.chance.random() < 0.6:
            await self._block()

    async def _publish(self) -> None:
        """A new store document, which a bad IPFS node holds back from a daemon."""
        number = self.chance.randrange(len(self.daemons))
        name, fault = self.chance.choice(_ipfs_faults())
        times = self.chance.randint(1, 3)
        self._tell(f"a new document; {name}, {times} times, for {self.daemons[number]}")
        self.stores[number].inject(fault, times=times)
        shop = self.world.shop
        title = f"A thing, edition {self.chance.getrandbits(64)}"
        shop.listing = replace(shop.listing, title=title)
        shop.catalogue.save(shop.listing)
        await shop.publish()
        await asyncio.sleep(_BLOCK_SECONDS)

    async def _heal(self) -> None:
        """Honest nodes, coins, and daemons that run; what waits is sent to the node once more."""
        self._tell("heal")
        for proxy in self.proxies:
            proxy.clear()
            proxy.release()
        for store in self.stores:
            store.clear()
        for daemon in self.daemons:
            await self._give(daemon, ETHER)
            daemon.kill_at = None
        await self.world.mine(2)
        for daemon in self.daemons:
            if not daemon.running:
                await self._start(daemon, ready=True)
        await self._send_again(self.orders)
        await self.world.mine(2)


def _faults(head: int) -> list[tuple[str, rpc.Fault, tuple[str, ...], int]]:
    """Faults of a node: name, fault, methods, most times."""
    logs = ("eth_getLogs",)
    return [
        ("429", rpc.TooMany(0), (), 2),
        ("html 5xx", rpc.BadGateway(), (), 2),
        ("cut json", rpc.CutJson(), (), 2),
        ("cut connection", rpc.Dropped(), (), 2),
        ("reply lost", rpc.LostReply(), (_SEND,), 2),
        ("error", rpc.Refusal(-32603, "internal error"), (), 2),
        ("error though accepted", rpc.ErrorThoughAccepted(), (_SEND,), 2),
        ("null receipt", rpc.no_receipt(), ("eth_getTransactionReceipt",), 4),
        ("base fee x10", rpc.base_fee_times(10), ("eth_feeHistory",), 2),
        ("stale", rpc.Stale(max(0, head - 5)), (), 12),
        ("range limit", rpc.RangeLimit(3), logs, 3),
        ("empty logs", rpc.empty_logs(), logs, 1),
        ("duplicates", rpc.duplicates(), logs, 3),
        ("out of order", rpc.out_of_order(), logs, 3),
        ("log left out", rpc.omit(), logs, 2),
        ("removed", rpc.removed(), logs, 2),
        ("forged address", rpc.forged_address(), logs, 2),
        ("forged topic", rpc.forged_topic(), logs, 2),
        ("batch out of order", rpc.ShuffledBatch(), (), 5),
        ("gas estimate", rpc.Answer("gas estimate", hex(2**60)), ("eth_estimateGas",), 2),
        ("tip", rpc.Answer("tip", hex(10**24)), ("eth_maxPriorityFeePerGas",), 2),
    ]


def _ipfs_faults() -> list[tuple[str, ipfs.Fault]]:
    """Faults of an IPFS node: name and fault."""
    return [
        ("missing block", ipfs.Missing()),
        ("wrong bytes", ipfs.WrongBytes()),
        ("cut stream", ipfs.Cut()),
        ("reset", ipfs.Reset()),
        ("502", ipfs.BadGateway()),
        ("429 with the block", ipfs.BadGateway(429, None)),
        ("late", ipfs.Late(0.5)),
        ("redirect", ipfs.Redirect("http://127.0.0.1:9/elsewhere")),
    ]


@pytest.mark.parametrize("seed", _seeds())
async def test_a_random_schedule(world: FaultWorld, injected: Injected, seed: int) -> None:
    schedule = Schedule(world, random.Random(seed), injected)
    try:
        await schedule.play()
    except BaseException:
        print(f"schedule {seed}; DAM_SCHEDULE={seed} plays it again:")
        print("\n".join(f"  {step}" for step in schedule.told))
        raise
    finally:
        # The daemons first: they would wait for their store.
        await world.clear()
        await schedule.ends.aclose()
