"""Metrics in the format of Prometheus, and the pages on the loopback address."""

from __future__ import annotations

import http.client
import math
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client.parser import text_string_to_metric_families

from dam.config.settings import Settings
from dam.daemon.health import Answers, HealthServer
from dam.daemon.metrics import CountedStore, Funds, Metrics
from dam.daemon.monitoring import Monitoring
from dam.daemon.service import Pulse
from dam.errors import BlockRefused, ConfigError, IpfsError, RpcError
from dam.ethereum.node_pool import NodePool
from dam.ipfs.cid import Cid
from dam.log import silent_logger
from dam.roles.seller.store_builder import BuiltStore
from dam.sending.fee_policy import SendStats
from dam.testing.blocks import MemoryStore
from dam.types import FALLBACK_BLOCKS
from tests.unit.helpers.world import World

ETHER = 10**18


def numbers(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample, by name and labels: read by Prometheus's own parser."""
    text = metrics.text().decode()
    found = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found, f"{key} twice"
            found[key] = sample.value
    return found


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return numbers(metrics)[name, frozenset(labels.items())]


def get(port: int, path: str, *, host: str | None = None) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path, headers={"Host": host} if host else {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


# --------------------------------------------------------------------------------------- metrics


async def test_a_daemon_at_work_in_numbers(world: World, built: BuiltStore) -> None:
    for copy in range(3):
        world.buy(built, "code", copy)
    await world.ticks()
    world.buy(built, "coupon", keys=(bytes(32),) * 3)
    await world.ticks()
    world.chain.accepts = lambda _: False
    world.buy(built, "coupon")
    await world.ticks()
    service = world.daemon.service
    assert service is not None
    metrics = Metrics("deliverer", "1.2.3")
    metrics.sources.pulse = service.pulse
    metrics.sources.ledger = world.daemon.path
    metrics.sources.fallback_blocks = FALLBACK_BLOCKS
    metrics.sources.rollbacks = lambda: world.daemon.ledger.rollbacks
    found = numbers(metrics)

    def one(name: str, **labels: str) -> float:
        return found["dam_" + name, frozenset(labels.items())]

    assert one("build_info", role="deliverer", version="1.2.3") == 1
    assert one("ready") == 1
    assert one("ledger_readable") == 1
    assert one("head_block") == world.chain.height
    assert one("cursor_block") == world.chain.height - 2
    assert one("head_lag_blocks") == 2
    assert one("purchases", state="done") == 3
    assert one("purchases", state="refused") == 1
    assert one("purchases", state="serving") == 1
    assert one("purchases", state="late") == 0
    assert one("jobs", state="done") == 3
    assert one("jobs", state="live") == 1
    assert one("store_documents", state="read") == 1
    assert one("parts_delivered") == 3
    assert (one("earned_wei"), one("earned_gwei")) == (30, 0)
    assert (one("gas_paid_wei"), one("gas_paid_gwei")) == (60_000 * 10**9, 60_000)
    assert one("transactions_final") == 1
    [sale] = world.daemon.sales.in_state("serving")
    clock = world.chain._clock(world.chain.height)
    assert one("next_deadline_seconds") == sale.last_time - clock.time
    assert one("next_fallback_blocks") == sale.purchase_block + FALLBACK_BLOCKS - clock.block
    assert one("reorganisations_total") == 0


def test_before_anything_is_there_the_page_is_valid() -> None:
    metrics = Metrics("watchdog", "0")
    found = numbers(metrics)
    assert found["dam_ready", frozenset()] == 0
    assert found["dam_ledger_readable", frozenset()] == 0
    assert not any(name == "dam_next_deadline_seconds" for name, _ in found)
    assert found["process_open_fds", frozenset()] > 0
    assert found["process_resident_memory_bytes", frozenset()] > 1 << 20


def test_a_ledger_that_cannot_be_read_is_said_and_breaks_nothing(tmp_path: Path) -> None:
    metrics = Metrics("deliverer", "0")
    metrics.sources.ledger = tmp_path / "ledger.sqlite"
    assert value(metrics, "dam_ledger_readable") == 0
    metrics.sources.ledger.write_bytes(b"no database at all" * 100)
    assert value(metrics, "dam_ledger_readable") == 0


def test_amounts_are_exact_in_gwei() -> None:
    metrics = Metrics("deliverer", "0")
    wei = 123_456 * ETHER + 987_654_321 * 10**9 + 1
    metrics.sources.funds = Funds(wei, stake=ETHER // 10, eligible=True)
    assert value(metrics, "dam_balance_gwei") == wei // 10**9
    # What the help text says: a double cannot hold it.
    assert value(metrics, "dam_balance_wei") != wei
    assert math.isclose(value(metrics, "dam_balance_wei"), wei)
    assert value(metrics, "dam_stake_gwei") == 10**8
    assert value(metrics, "dam_eligible") == 1
    assert "Rounded above 2^53 wei" in metrics.text().decode()


def test_a_watchdog_has_no_stake() -> None:
    metrics = Metrics("watchdog", "0")
    metrics.sources.funds = Funds(5)
    names = {name for name, _ in numbers(metrics)}
    assert "dam_balance_wei" in names
    assert not names & {"dam_stake_wei", "dam_eligible"}


async def test_nodes_are_told_apart_by_host_alone() -> None:
    """Real endpoints that nobody serves; their addresses hold a key."""
    secret = "APIKEY123"
    metrics = Metrics("deliverer", "0")
    urls = (f"http://127.0.0.1:1/{secret}", f"http://localhost:1/{secret}")
    async with NodePool(urls, timeout=5) as endpoints:
        metrics.sources.endpoints = endpoints
        assert value(metrics, "dam_rpc_up", host="127.0.0.1:1") == 1
        with pytest.raises(RpcError):
            await endpoints.call("eth_chainId")
        for host in ("127.0.0.1:1", "localhost:1"):
            asked = value(metrics, "dam_rpc_requests_total", host=host)
            assert asked >= 1
            assert value(metrics, "dam_rpc_failures_total", host=host) == asked
        assert value(metrics, "dam_rpc_agree") == 1
        endpoints.disagreement = "block 7"
        endpoints.stats.disagreements = 3
        assert value(metrics, "dam_rpc_agree") == 0
        assert value(metrics, "dam_rpc_disagreements_total") == 3
        assert secret not in metrics.text().decode()


async def test_a_node_that_is_not_well_is_told_with_its_reason() -> None:
    """And without its key."""
    settings = SimpleNamespace(health_port=None)
    monitor = Monitoring(cast(Settings, settings), "deliverer", silent_logger())
    assert monitor.notes() == []
    urls = ("http://127.0.0.1:1/APIKEY123", "http://localhost:1/APIKEY123")
    async with NodePool(urls, timeout=5) as endpoints:
        monitor.sources.endpoints = endpoints
        assert monitor.notes() == []
        with pytest.raises(RpcError):
            await endpoints.call("eth_chainId")
        [first, _] = monitor.notes()
    assert first.startswith("node 127.0.0.1:1: set aside: ")
    assert "nothing answers" in first
    assert "APIKEY123" not in first


def test_transactions_by_outcome() -> None:
    metrics = Metrics("deliverer", "0")
    metrics.sources.sender = SendStats(sent=4, replaced=1, gas_used=90_000)
    assert value(metrics, "dam_transactions_total", outcome="sent") == 4
    assert value(metrics, "dam_transactions_total", outcome="replaced") == 1
    assert value(metrics, "dam_transactions_total", outcome="reverted") == 0
    assert value(metrics, "dam_gas_used_total") == 90_000


def test_alerts_begin_at_zero_and_count() -> None:
    metrics = Metrics("deliverer", "0")
    assert value(metrics, "dam_alerts_total", event="no_balance", level="error") == 0
    metrics.alert("no_balance", "error")
    metrics.alert("no_balance", "error")
    metrics.alert("new one", "critical")
    assert value(metrics, "dam_alerts_total", event="no_balance", level="error") == 2
    assert value(metrics, "dam_alerts_total", event="new one", level="critical") == 1


def test_lag_of_the_loop() -> None:
    metrics = Metrics("deliverer", "0")
    for seconds in (0.001, 0.3, 31.0):
        metrics.lag(seconds)
    assert value(metrics, "dam_event_loop_lag_seconds_count") == 3
    assert value(metrics, "dam_event_loop_lag_seconds_bucket", le="0.01") == 1
    assert value(metrics, "dam_event_loop_lag_seconds_bucket", le="30.0") == 2


async def test_the_block_store_is_counted() -> None:
    store = CountedStore(MemoryStore())
    cid = await store.put("raw", b"seven b")
    assert await store.get(cid) == b"seven b"
    with pytest.raises((IpfsError, BlockRefused)):
        await store.get(Cid.of("raw", b"another"), deadline=0.01)
    assert (store.stats.requests, store.stats.failures, store.stats.bytes) == (3, 1, 7)
    await store.close()


def test_the_ledger_is_read_seldom_however_often_one_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[Path] = []

    def count(path: Path, **_: Any) -> Any:
        reads.append(path)
        raise OSError

    monkeypatch.setattr("dam.daemon.metrics.read_status", count)
    metrics = Metrics("deliverer", "0")
    metrics.sources.ledger = tmp_path
    for _ in range(20):
        metrics.text()
    assert len(reads) == 1


# ---------------------------------------------------------------------------------------- server


class Mood:
    healthy = True
    obstacles: list[str]
    notes: list[str]

    def __init__(self) -> None:
        self.obstacles = []
        self.notes = []


@pytest.fixture
def mood() -> Mood:
    return Mood()


@pytest.fixture
def port(mood: Mood) -> Iterator[int]:
    metrics = Metrics("deliverer", "0")
    answers = Answers(
        lambda: mood.healthy, lambda: mood.obstacles, metrics.text, lambda: mood.notes
    )
    server = HealthServer(0, answers)
    with server.serving():
        yield server.port


def test_health_and_readiness_are_two_things(port: int, mood: Mood) -> None:
    assert get(port, "/healthz") == (200, "ok\n")
    assert get(port, "/readyz") == (200, "ready\n")
    mood.notes = ["node a: 9 blocks behind the others"]
    assert get(port, "/readyz") == (200, "ready\nnode a: 9 blocks behind the others\n")
    mood.notes = []
    mood.obstacles = ["catching up: block 3 of 9", "the last round failed: node"]
    assert get(port, "/readyz") == (503, "catching up: block 3 of 9\nthe last round failed: node\n")
    assert get(port, "/healthz")[0] == 200
    mood.healthy = False
    assert get(port, "/healthz")[0] == 503
    assert get(port, "/")[0] == 404


def test_the_metrics_page_is_what_prometheus_reads(port: int) -> None:
    status, text = get(port, "/metrics")
    assert status == 200
    assert "dam_build_info" in {family.name for family in text_string_to_metric_families(text)}


def test_answers_while_the_main_thread_is_blocked(port: int, mood: Mood) -> None:
    """What it is there for: nobody else turns a loop here."""
    mood.healthy = False
    found: list[int] = []
    asking = threading.Thread(target=lambda: found.append(get(port, "/healthz")[0]))
    asking.start()
    deadline = time.monotonic() + 30
    while not found and time.monotonic() < deadline:
        time.sleep(0.01)
    asking.join(30)
    assert found == [503]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:9464", "127.0.0.1.evil.example"])
def test_a_web_page_cannot_ask_under_a_name_of_its_own(port: int, host: str) -> None:
    """DNS rebinding."""
    assert get(port, "/metrics", host=host)[0] == 403
    assert get(port, "/metrics", host=f"localhost:{port}")[0] == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "8.8.8.8", "example.org", ""])
def test_other_addresses_are_refused(host: str, mood: Mood) -> None:
    answers = Answers(lambda: True, list, bytes)
    with pytest.raises(ConfigError, match="health server"):
        HealthServer(0, answers, host=host)


def test_a_port_that_is_taken_is_a_clear_mistake() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        number = other.getsockname()[1]
        with pytest.raises(ConfigError, match=f"health_port {number} .* cannot be had"):
            HealthServer(number, Answers(lambda: True, list, bytes))


def test_the_port_is_free_again_afterwards(mood: Mood) -> None:
    answers = Answers(lambda: True, list, bytes)
    first = HealthServer(0, answers)
    with first.serving():
        assert get(first.port, "/healthz")[0] == 200
    again = HealthServer(first.port, answers)
    with again.serving():
        assert get(first.port, "/healthz")[0] == 200


def test_idle_connections_do_not_take_the_descriptors(port: int) -> None:
    """Anybody on the host may connect; the daemon needs its descriptors for the node."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    crowd = []
    for _ in range(100):
        crowd.append(socket.create_connection(("127.0.0.1", port), timeout=5.0))
        crowd[-1].sendall(b"GET /metrics HTTP/1.1\r\n")  # and never the rest
    assert get(port, "/healthz")[0] == 200
    there = len(list(Path("/proc/self/fd").iterdir()))
    # Our own end of each is open, too, and the server's loop has a few of its own.
    assert there - before - len(crowd) <= 24
    for one in crowd:
        one.close()


def test_obstacles_in_words() -> None:
    pulse = Pulse()
    assert pulse.obstacles() == ["catching up: no node yet"]
    pulse.head, pulse.cursor = 9, 3
    assert pulse.obstacles() == ["catching up: block 3 of 9"]
    pulse.ready = True
    assert pulse.obstacles() == []
    pulse.failing = "node: down"
    assert pulse.obstacles() == ["the last round failed: node: down"]
    pulse.draining = True
    assert pulse.obstacles() == ["stopping"]
