"""One soak from beginning to end, and what it found."""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from dam.catalog.payload import open_payload
from dam.crypto import hashing, shamir
from dam.errors import DamError
from dam.ethereum.rpc import JsonRpc
from soak.buyer import Buyer
from soak.checker import Arrived, Checker, MinedTransactions, Sold, Verdict, opened
from soak.confirming import Confirming
from soak.gauges import Gauge
from soak.injectors import Targets
from soak.publisher import Publisher
from soak.scheduler import FaultScheduler
from soak.world import SoakWorld
from tests.faults.oracle import forms
from tests.faults.transactions import Part, parts_in, pool_transactions

_SAMPLE_SECONDS = 5.0
_PULSE_SECONDS = 15.0
_NO_SALE_SECONDS = 120
_POOL_SECONDS = 1.0
_GOODS = 100
"""How many goods are rebuilt at the end."""
_QUIET_BLOCKS = 12
_PATIENCE_SECONDS = 300
"""For the last parts: three times the hundred blocks after which the watchdog delivers."""
_BAD_EVENTS = ("internal_error", "stopped_by_fault")


@dataclass
class Options:
    """What a run is told."""

    minutes: float
    rate: float
    seed: int
    folder: Path | None = None
    edition_seconds: float = 30.0
    faults_per_hour: float = 15.0
    """How often each kind of fault is to be injected."""
    warm_minutes: float = 35.0
    """Slopes are measured after these, or after half of a shorter run: a deliverer keeps 64 pages
    of parts, and a new one comes every half minute."""


@dataclass
class Result:
    """What a run found."""

    options: Options
    seconds: float
    verdict: Verdict
    transactions: MinedTransactions
    signed: int
    sent_again: int
    swapped: int
    editions: int
    goods: tuple[int, int]
    """Rebuilt and right, and tried."""
    injected: Counter[str]
    missed: Counter[str]
    groups: dict[str, str]
    """Group of each kind, in the order of the table."""
    events: Counter[str]
    """What the proxies injected, by proxy and rule."""
    gauges: list[Gauge]
    deaths: dict[str, Counter[str]]
    excuses: Counter[str]
    """Why parts were late."""
    unexcused: list[str]
    twice: list[str]
    """Parts in two waiting transactions of one account at the same time."""
    carried_again: int
    """Parts that more than one mined transaction carried, of which one delivered: wasted gas."""
    logged: Counter[str]
    """Log lines at warning or above, by event."""
    leaks: list[str]
    failures: list[str]
    """What should never have happened."""
    blocks: int = 0
    machine: str = ""


@dataclass
class _Watch:
    """What is looked at all the time."""

    world: SoakWorld
    checker: Checker
    gauges: list[Gauge] = field(default_factory=list)
    twice: dict[tuple[str, Part], set[int]] = field(default_factory=dict)

    async def sample(self) -> None:
        """Samples processes until cancelled."""
        world = self.world
        nodes = {"anvil": world.chain.pid, "self": 0}
        if world.kubo_node is not None:
            nodes["kubo"] = world.kubo_node.pid
        gauges = {name: Gauge(name) for name in [k.name for k in world.supervisors] + list(nodes)}
        self.gauges = list(gauges.values())
        own = os.getpid()
        while True:
            at = world.seconds()
            for supervisor in world.supervisors:
                if supervisor.daemon.running:
                    gauges[supervisor.name].take(supervisor.daemon.pid, at)
            for name, pid in nodes.items():
                gauges[name].take(pid or own, at)
            await asyncio.sleep(_SAMPLE_SECONDS)

    async def pool(self) -> None:
        """Looks for parts in two waiting transactions of one account, until cancelled."""
        ours = {supervisor.actor.address.lower() for supervisor in self.world.supervisors}
        async with JsonRpc(self.world.chain.url) as rpc:
            while True:
                with suppress(DamError):
                    self._carried(pool_transactions(await rpc.call("txpool_content"), ours))
                await asyncio.sleep(_POOL_SECONDS)

    def _carried(self, waiting: list[dict[str, str]]) -> None:
        carried: dict[tuple[str, Part], set[int]] = {}
        for tx in waiting:
            for part in parts_in(tx["input"]):
                key = tx["from"].lower(), part
                carried.setdefault(key, set()).add(int(tx["nonce"], 16))
        for key, nonces in carried.items():
            if len(nonces) > 1:
                self.twice.setdefault(key, set()).update(nonces)

    async def pulse(self, scheduler: FaultScheduler, say: Callable[[str], None]) -> None:
        """A line now and then, until cancelled."""
        while True:
            await asyncio.sleep(_PULSE_SECONDS)
            with suppress(OSError, KeyError):
                say(await self._line(scheduler))

    async def _line(self, scheduler: FaultScheduler) -> str:
        head = await self.checker.head()
        seen = await self.checker.events(head - 250, head)
        sold, there = seen.sold, seen.there()
        missing = [sale for sale in sold if there[sale.copy_id] < sale.parts]
        oldest = max((head - sale.block for sale in missing), default=0)
        if not sold and self.world.seconds() > _NO_SALE_SECONDS:
            raise RuntimeError("nobody has bought anything for so long: this is no soak")
        sizes = " ".join(f"{g.samples[-1].rss / 1e6:.0f}" for g in self.gauges if g.samples)
        return (
            f"{self.world.seconds():6.0f} s  block {head}  new {len(sold)}, open {len(missing)}, "
            f"the oldest {oldest} blocks  faults {scheduler.injected.total()}  RSS {sizes} MB"
        )


async def run_soak(options: Options, say: Callable[[str], None] = print) -> Result:
    """Runs a soak; see `Options`. Says how it goes, a line at a time."""
    chance = random.Random(options.seed)

    def fork() -> random.Random:
        return random.Random(chance.getrandbits(64))

    async with SoakWorld(seed=options.seed, folder=options.folder) as world:
        say(f"four daemons are ready; seed {options.seed}; files in {world.folder.name}")
        seconds = options.minutes * 60
        publisher = Publisher(
            world,
            fork(),
            copies=max(4, int(options.rate * options.edition_seconds)),
            every=options.edition_seconds,
        )
        await publisher.publish()
        buyer = Buyer(world, publisher, fork(), rate=options.rate)
        await buyer.open()
        scheduler = FaultScheduler(
            Targets(world, buyer, fork(), await world.actor("thief")),
            fork(),
            per_hour=options.faults_per_hour,
        )
        deployment = world.deployment
        checker = Checker(
            world.chain.url,
            deployment.market,
            deployment.first_block,
            deployment.windows.refund_seconds,
        )
        watch = _Watch(world, checker)
        background = [
            asyncio.create_task(work)
            for work in (
                publisher.run(),
                Confirming(world, buyer).run(),
                watch.sample(),
                watch.pool(),
                watch.pulse(scheduler, say),
            )
        ]
        blocks = _Blocks(world, checker)
        background.append(asyncio.create_task(blocks.run()))
        try:
            await _buy_and_inject(buyer, scheduler, seconds, background)
            say("no more faults; waiting for the last parts")
            await _settle(world, checker, buyer)
        finally:
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)
        took = world.seconds()
        await world.end()
        say("the daemons have drained; reading the whole chain")
        accounts = [supervisor.actor.address for supervisor in world.supervisors]
        verdict = await checker.judge(accounts[:-1], buyer.secrets)
        transactions = await checker.transactions(accounts)
        result = Result(
            options=options,
            seconds=took,
            verdict=verdict,
            transactions=transactions,
            signed=buyer.signed,
            sent_again=buyer.sent_again,
            swapped=buyer.swapped,
            editions=publisher.published,
            goods=await _rebuild(world, publisher, buyer, verdict, fork()),
            injected=scheduler.injected,
            missed=scheduler.missed,
            groups={kind.name: kind.group for kind in scheduler.kinds},
            events=Counter(
                {f"rpc {name}": n for name, n in world.rpc_injected.items()}
                | {f"ipfs {name}": n for name, n in world.ipfs_injected.items()}
            ),
            gauges=watch.gauges,
            deaths={supervisor.name: supervisor.deaths for supervisor in world.supervisors},
            excuses=Counter(),
            unexcused=[],
            twice=_twice(watch),
            carried_again=_carried_again(transactions),
            logged=Counter(),
            leaks=_leaks(world),
            failures=[
                *scheduler.failures,
                *(failure for one in world.supervisors for failure in one.failures),
            ],
            blocks=await checker.head(),
        )
        _excuse(result, world, blocks)
        _read_logs(result, world)
        return result


async def _buy_and_inject(
    buyer: Buyer, scheduler: FaultScheduler, seconds: float, background: list[asyncio.Task[None]]
) -> None:
    """Buys, and injects faults; fails when a task in the background does."""
    enough = asyncio.Event()

    async def direct() -> None:
        await scheduler.run(seconds)
        # Until the last fault is over: a crash point is passed by working.
        enough.set()

    both = [asyncio.create_task(buyer.run(enough)), asyncio.create_task(direct())]
    left: set[asyncio.Task[None]] = {*both, *background}
    while not all(task.done() for task in both):
        done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()


async def _settle(world: SoakWorld, checker: Checker, buyer: Buyer) -> None:
    """Honest nodes from here on, until every part is there or too late, and final."""
    for supervisor in world.supervisors:
        supervisor.proxy.clear()
        supervisor.ipfs.clear()
        supervisor.proxy.release()
    await world.pay_all()
    end = world.seconds() + _PATIENCE_SECONDS
    while world.seconds() < end:
        await buyer.remind()
        head = await checker.head()
        seen = await checker.events(head - _PATIENCE_SECONDS - 30, head)
        there = seen.there()
        newest = max(
            [one.block for one in seen.sold] + [one.block for one in seen.arrived], default=0
        )
        if all(there[s.copy_id] >= s.parts for s in seen.sold) and head > newest + _QUIET_BLOCKS:
            return
        await asyncio.sleep(1)


class _Blocks:
    """When each block was mined: outages are in seconds of the soak, sales in blocks."""

    def __init__(self, world: SoakWorld, checker: Checker) -> None:
        self._world, self._checker = world, checker
        self._seen: dict[int, float] = {}

    async def run(self) -> None:
        while True:
            with suppress(OSError, KeyError):
                self._seen[await self._checker.head()] = self._world.seconds()
            await asyncio.sleep(0.5)

    def time_of(self, block: int) -> float:
        """When a block was there, to a second or so."""
        known = [number for number in self._seen if number <= block]
        return self._seen[max(known)] if known else 0.0


def _excuse(result: Result, world: SoakWorld, blocks: _Blocks) -> None:
    """Finds the reason of every late part: an outage of its deliverer that left no time.

    Of the 100 blocks (seconds) after the purchase it must have been down in more than half, or the
    part is late without a reason.
    """
    for sale, part in result.verdict.late:
        supervisor = world.supervisors[part.index]
        first = blocks.time_of(sale.block)
        last = first + 100
        spans = [
            (max(first, o.began), min(last, o.until), o.cause)
            for o in supervisor.outages
            if o.began < last and o.until > first
        ]
        down = _covered([(start, end) for start, end, _ in spans])
        where = f"part {part.index} of a sale in block {sale.block}, there in block {part.block}"
        if down < 50:
            result.unexcused.append(f"{where}: {supervisor.name} was down for {down:.0f} s only")
        else:
            cause = max(spans, key=lambda span: span[1] - span[0])[2]
            result.excuses[f"{supervisor.name}: {cause.split(' for ')[0]}"] += 1


def _covered(spans: list[tuple[float, float]]) -> float:
    """Length of the union of some intervals."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def _twice(watch: _Watch) -> list[str]:
    """Parts that stood in two waiting transactions of an account."""
    return [
        f"part {index} of 0x{copy.hex()[:8]} waited under nonces {sorted(nonces)} of {account}"
        for (account, (copy, index)), nonces in watch.twice.items()
    ]


def _carried_again(transactions: MinedTransactions) -> int:
    """Parts in more than one mined transaction.

    The contract passes over what it cannot take in a batch: parts whose purchase was moved to
    another block by a reorganisation, say, or that the watchdog brought first.
    """
    mined = Counter(part for data in transactions.calls for part in parts_in(data))
    return sum(times > 1 for times in mined.values())


async def _rebuild(
    world: SoakWorld, publisher: Publisher, buyer: Buyer, verdict: Verdict, chance: random.Random
) -> tuple[int, int]:
    """Rebuilds some goods as their buyers would; how many came out right, and how many were tried.

    Files come through Kubo, keys from the parts on the chain.
    """
    whole = [s for s in verdict.sold if len(verdict.shares.get((s.copy_id, s.block), {})) >= 2]
    chosen = chance.sample(whole, min(_GOODS, len(whole)))
    right = 0
    for sale in chosen:
        parts = list(verdict.shares[sale.copy_id, sale.block].values())
        chance.shuffle(parts)
        right += await _good(world, publisher, buyer, sale, parts)
    return right, len(chosen)


async def _good(
    world: SoakWorld, publisher: Publisher, buyer: Buyer, sale: Sold, parts: list[Arrived]
) -> bool:
    item = publisher.versions[sale.digest].store.item(sale.item_id)
    assert item is not None
    shares = {}
    for part in parts[: sale.threshold]:
        share = opened(part, buyer.secrets[part.key or sale.keys[part.index]])
        if share is None:
            return False
        shares[part.index] = share
    key = shamir.join(shares, sale.threshold)
    copy = sale.copy if sale.stock else 0
    domain = hashing.domain(
        world.deployment.chain_id,
        world.deployment.market,
        world.shop.seller.address,
        sale.item_id,
        sale.stock,
        copy,
    )
    pieces = open_payload(world.blocks, item.payload(sale.copy), key, domain)
    good = b"".join([piece async for piece in pieces])
    return good == publisher.goods[item.name][copy]


def _leaks(world: SoakWorld) -> list[str]:
    """Secrets that stand in a daemon's log."""
    secrets = {"the seller's seed": world.shop.seed.seed}
    for supervisor in world.supervisors:
        secrets[f"key of {supervisor.name}"] = bytes.fromhex(supervisor.actor.private_key[2:])
        secrets[f"passphrase of {supervisor.name}"] = supervisor.actor.passphrase.encode()
        secrets[f"key in the node's address of {supervisor.name}"] = (
            supervisor.proxy.secret.encode()
        )
    found = []
    for supervisor in world.supervisors:
        text = supervisor.daemon.log.read_text("utf-8", "replace")
        for name, secret in secrets.items():
            if any(form in text for form in forms(secret)):
                found.append(f"{name} stands in the log of {supervisor.name}")
    return found


def _read_logs(result: Result, world: SoakWorld) -> None:
    """Counts what the daemons warned of; what must never be said is a failure."""
    for supervisor in world.supervisors:
        for line in supervisor.daemon.lines():
            event = str(line.get("event"))
            if line.get("level") in ("warning", "error", "critical"):
                result.logged[event] += 1
            if event in _BAD_EVENTS:
                result.failures.append(f"{supervisor.name}: {json.dumps(line)[:1500]}")


def say_now(text: str) -> None:
    """Prints at once, with the time of day (UTC)."""
    print(time.strftime("%H:%M:%S", time.gmtime()), text, flush=True)
