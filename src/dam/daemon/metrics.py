"""A daemon's numbers for Prometheus, read where they are kept at each scrape.

Nothing is pushed here: at each scrape a collector looks at the service, the senders' and readers'
own counts, and the ledger file (through a connection of its own, so that the daemon is not
disturbed). Names begin with ``dam_``; ``process_*`` are those of every Prometheus client.

Prometheus keeps numbers as IEEE doubles: above 2^53 wei (0.009 ether) ``*_wei`` is rounded. So each
amount comes as ``*_gwei``, too, a whole number that is exact up to nine million ether.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from dam.daemon.service import Pulse
from dam.errors import DamError
from dam.ethereum.node import ReadStats
from dam.ipfs.blocks import MAX_BLOCK_BYTES, BlockStore, PinLimits, PinSize
from dam.ipfs.cid import Cid, Codec
from dam.ledger.status import DaemonStatus, read_status
from dam.log import NEXT_STEP
from dam.sending.fee_policy import SendStats

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
STATUS_SECONDS = 5.0
"""The ledger is read no more often, however often the metrics are."""
SALE_STATES = ("new", "waiting", "serving", "done", "not-mine", "refused", "late", "orphaned")
JOB_STATES = ("due", "live", "done", "failed", "cancelled")
STORE_STATES = ("wanted", "read", "refused")
OUTCOMES = ("sent", "replaced", "refused", "reverted")
"""Fields of `fee_policy.SendStats`."""
_LAG_BUCKETS_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 30.0)


@dataclass(slots=True)
class StoreStats:
    """What the block store was asked since we started."""

    requests: int = 0
    failures: int = 0
    bytes: int = 0
    """Read and checked."""


class CountedStore:
    """A block store whose calls are counted; see `ipfs.blocks.BlockStore`."""

    def __init__(self, store: BlockStore) -> None:
        self._store = store
        self.stats = StoreStats()

    async def get(
        self, cid: Cid, *, max_bytes: int = MAX_BLOCK_BYTES, deadline: float | None = None
    ) -> bytes:
        """See `ipfs.BlockStore.get`."""
        with self._counted():
            data = await self._store.get(cid, max_bytes=max_bytes, deadline=deadline)
        self.stats.bytes += len(data)
        return data

    async def put(self, codec: Codec, data: bytes) -> Cid:
        """See `ipfs.BlockStore.put`."""
        with self._counted():
            return await self._store.put(codec, data)

    async def has(self, cid: Cid) -> bool:
        """See `ipfs.BlockStore.has`."""
        with self._counted():
            return await self._store.has(cid)

    async def pin(
        self, cid: Cid, *, limits: PinLimits | None = None, deadline: float | None = None
    ) -> PinSize:
        """See `ipfs.BlockStore.pin`."""
        with self._counted():
            return await self._store.pin(cid, limits=limits, deadline=deadline)

    async def unpin(self, cid: Cid) -> None:
        """See `ipfs.BlockStore.unpin`."""
        with self._counted():
            await self._store.unpin(cid)

    async def close(self) -> None:
        """See `ipfs.BlockStore.close`."""
        await self._store.close()

    def _counted(self) -> _Counted:
        return _Counted(self.stats)


class _Counted:
    def __init__(self, stats: StoreStats) -> None:
        self._stats = stats

    def __enter__(self) -> None:
        self._stats.requests += 1

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # A call that was taken back (cancelled) has not failed.
        if kind is not None and issubclass(kind, Exception):
            self._stats.failures += 1


class Nodes(Protocol):
    """The nodes of the chain as `node_pool.NodePool` counts them."""

    stats: ReadStats
    """Of all together."""
    disagreement: str

    @property
    def by_host(self) -> Mapping[str, ReadStats]:
        """Of each, by host and port: never more of the address."""
        ...

    @property
    def health(self) -> Mapping[str, bool]:
        """Hosts, and whether they are asked at present."""
        ...

    @property
    def troubles(self) -> Mapping[str, str]:
        """Hosts that are not well, and why."""
        ...


@dataclass(frozen=True, slots=True)
class Funds:
    """What the account has. Amounts in wei."""

    balance: int
    stake: int | None = None
    """None for a daemon that needs none."""
    eligible: bool | None = None


@dataclass(slots=True)
class Sources:
    """Where the numbers are; what is not there yet is left out."""

    pulse: Pulse | None = None
    ledger: Path | None = None
    fallback_blocks: int | None = None
    """Blocks after a purchase in which we alone may deliver; None: a watchdog."""
    rollbacks: Callable[[], int] = lambda: 0
    endpoints: Nodes | None = None
    blocks: StoreStats | None = None
    sender: SendStats | None = None
    funds: Funds | None = None
    silent: Callable[[], float] = lambda: 0.0
    """Seconds without a beat of the event loop."""


class Metrics:
    """The registry of one daemon.

    Args:
        role: ``deliverer`` or ``watchdog``.
        version: Of this program.
    """

    def __init__(self, role: str, version: str) -> None:
        self.registry = CollectorRegistry()
        self.sources = Sources()
        self._alerts = Counter(
            "dam_alerts",
            "Lines of the log of level warning and above, by event.",
            ("event", "level"),
            registry=self.registry,
        )
        for event in NEXT_STEP:
            # From the start at zero: what appears with its first count has no increase.
            self._alerts.labels(event, "warning")
            self._alerts.labels(event, "error")
        self._lag = Histogram(
            "dam_event_loop_lag_seconds",
            "By how much the beat of the event loop was late.",
            buckets=_LAG_BUCKETS_SECONDS,
            registry=self.registry,
        )
        ProcessCollector(registry=self.registry)
        self.registry.register(_Reader(self.sources, {"role": role, "version": version}))

    def alert(self, event: str, level: str) -> None:
        """Counts a line of the log."""
        self._alerts.labels(event, level).inc()

    def lag(self, seconds: float) -> None:
        """Takes how late a beat was."""
        self._lag.observe(seconds)

    def text(self) -> bytes:
        """Everything, in the text format. For any thread."""
        return generate_latest(self.registry)


@dataclass(slots=True, eq=False)
class _Reader(Collector):
    sources: Sources
    build: Mapping[str, str]
    _status: DaemonStatus | None = None
    _read_at: float = float("-inf")
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def collect(self) -> Iterator[Metric]:
        info = InfoMetricFamily("dam_build", "This program.")
        info.add_metric((), dict(self.build))
        yield info
        yield _gauge("heartbeat_age_seconds", "Without a beat.", self.sources.silent())
        yield from self._of_pulse()
        yield from self._of_ledger()
        yield from self._of_others()
        yield from self._of_funds()

    def _of_pulse(self) -> Iterator[Metric]:
        pulse = self.sources.pulse
        if pulse is None:
            yield _gauge("ready", "1: caught up, and the last round went well.", 0)
            return
        yield _gauge("ready", "1: caught up, and the last round went well.", not pulse.obstacles())
        yield _counter("rounds", "Looks at the chain.", pulse.rounds)
        yield _counter("round_failures", "Of them, and of background work.", pulse.failures)
        if pulse.head >= 0:
            yield _gauge("head_block", "Newest block of the node.", pulse.head)
            yield _gauge("head_lag_blocks", "Blocks from there back.", pulse.head - pulse.cursor)
        yield _counter("reorganisations", "Since the start.", self.sources.rollbacks())

    def _of_ledger(self) -> Iterator[Metric]:
        found = self._read_ledger()
        yield _gauge("ledger_readable", "Whether the ledger could be read.", found is not None)
        if found is None:
            return
        yield _gauge("cursor_block", "Last block that was read.", found.cursor)
        yield _states("purchases", "Purchases by state.", SALE_STATES, found.purchases)
        yield _states("jobs", "Duties by state.", JOB_STATES, found.jobs)
        yield _states("store_documents", "Documents by state.", STORE_STATES, found.stores)
        yield _gauge("parts_held", "Parts of ours in stores, old versions' too.", found.parts)
        yield _gauge("pinned_bytes", "What is kept of others' stores.", found.pinned_bytes)
        # A reorganisation can take deliveries and fees back: no counters.
        yield _gauge("parts_delivered", "As far as the chain is read.", found.delivered)
        yield from _amount("earned", "Fees of the parts delivered.", found.earned)
        yield from _amount("gas_paid", "For transactions that are final.", found.gas_paid)
        yield from _amount("data_paid", "Of that, for data, on a rollup.", found.data_paid)
        yield _gauge("transactions_final", "Mined and confirmed.", found.transactions)
        if found.next_deadline is not None:
            clock = self.sources.pulse.clock if self.sources.pulse else None
            now = max(found.cursor_time, clock.time if clock else 0)
            yield _gauge(
                "next_deadline_seconds",
                "Seconds until the first open sale is too late; absent without one.",
                found.next_deadline.last_time - now,
            )
            if self.sources.fallback_blocks is not None and clock is not None:
                yield _gauge(
                    "next_fallback_blocks",
                    "Blocks of the contract until the seller may deliver that sale in our place.",
                    found.next_deadline.purchase_block + self.sources.fallback_blocks - clock.block,
                )

    def _of_others(self) -> Iterator[Metric]:
        nodes, sender, blocks = self.sources.endpoints, self.sources.sender, self.sources.blocks
        if nodes is not None:
            asked = CounterMetricFamily("dam_rpc_requests", "Requests to nodes.", labels=("host",))
            failed = CounterMetricFamily("dam_rpc_failures", "Without answer.", labels=("host",))
            for host, stats in nodes.by_host.items():
                asked.add_metric((host,), stats.requests)
                failed.add_metric((host,), stats.failures)
            up = GaugeMetricFamily("dam_rpc_up", "0: set aside or behind.", labels=("host",))
            for host, fit in nodes.health.items():
                up.add_metric((host,), fit)
            yield from (asked, failed, up)
            yield _counter("logs_read", "Of the market, each once.", nodes.stats.logs)
            yield _counter("rpc_disagreements", "Nodes told different.", nodes.stats.disagreements)
            yield _gauge("rpc_agree", "0: nodes are at odds just now.", not nodes.disagreement)
        if sender is not None:
            outcomes = CounterMetricFamily(
                "dam_transactions", "Since the start, by outcome.", labels=("outcome",)
            )
            for outcome in OUTCOMES:
                outcomes.add_metric((outcome,), getattr(sender, outcome))
            yield outcomes
            yield _counter("gas_used", "Of transactions that are final.", sender.gas_used)
        if blocks is not None:
            yield _counter("ipfs_requests", "Calls of the block store.", blocks.requests)
            yield _counter("ipfs_failures", "Of them without success.", blocks.failures)
            yield _counter("ipfs_read_bytes", "Bytes of blocks that came.", blocks.bytes)

    def _of_funds(self) -> Iterator[Metric]:
        funds = self.sources.funds
        if funds is None:
            return
        yield from _amount("balance", "Coins of the account that sends.", funds.balance)
        if funds.stake is not None:
            yield from _amount("stake", "Of the deliverer.", funds.stake)
        if funds.eligible is not None:
            yield _gauge("eligible", "1: stake at the minimum, and no exit.", funds.eligible)

    def _read_ledger(self) -> DaemonStatus | None:
        path = self.sources.ledger
        if path is None:
            return None
        with self._lock:
            if time.monotonic() - self._read_at >= STATUS_SECONDS:
                try:
                    self._status = read_status(path, newest=0)
                except (DamError, sqlite3.Error, OSError):
                    self._status = None
                self._read_at = time.monotonic()
            return self._status


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"dam_{name}", text, value=float(value))


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"dam_{name}", text, value=value)


def _amount(name: str, text: str, wei: int) -> Iterable[Metric]:
    yield _gauge(f"{name}_wei", f"{text} Rounded above 2^53 wei.", wei)
    yield _gauge(f"{name}_gwei", f"{text} Whole gwei.", wei // 10**9)


def _states(name: str, text: str, states: Sequence[str], found: Mapping[str, int]) -> Metric:
    family = GaugeMetricFamily(f"dam_{name}", text, labels=("state",))
    for state in dict.fromkeys((*states, *found)):
        family.add_metric((state,), found.get(state, 0))
    return family
