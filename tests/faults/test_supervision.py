"""The real process under a supervisor that plays systemd: READY, WATCHDOG, kill, start again.

Nothing here stands in for the daemon: it is `dam deliverer run` with a notify socket, a health port
and a chain.
"""

from __future__ import annotations

import asyncio
import json
import re
import resource
import signal
import socket
import time

from demo.world import DAM
from tests.faults.supervision import Supervisor, ask, port_of, until
from tests.faults.world import FaultWorld


async def test_a_daemon_that_falls_silent_is_killed_started_again_and_delivers(
    world: FaultWorld, supervisor: Supervisor
) -> None:
    """SIGSTOP stands for whatever keeps the loop from turning: no line, kill, start, READY."""
    daemon = world.process(0, env=supervisor.env)
    await daemon.start(ready=False)
    await supervisor.until("READY=1")
    # The start may take its time, as long as it says so; and it is no watchdog's business.
    first = supervisor.heard.index("READY=1")
    assert "EXTEND_TIMEOUT_USEC=60000000" in supervisor.heard[:first]
    assert "WATCHDOG=1" not in supervisor.heard[:first]
    for _ in range(3):
        await supervisor.until("WATCHDOG=1")
    head = await world.block()
    told = f"STATUS=at work, block {head - world.confirmations} of {head}"
    await until(lambda: told in (*supervisor.hear(), *supervisor.heard), f"never said {told}")
    [sold] = await world.buy()
    daemon.signal(signal.SIGSTOP)
    await supervisor.missed()
    await daemon.kill()
    assert daemon.code == -signal.SIGKILL
    await daemon.start(ready=False)
    await supervisor.until("READY=1")
    await world.until_delivered(daemon, sales=[sold])
    supervisor.hear()
    assert await daemon.stop() == 0
    supervisor.hear()
    assert "STOPPING=1" in supervisor.heard
    assert supervisor.heard.index("STOPPING=1") > first


async def test_health_readiness_and_metrics_of_a_real_process(world: FaultWorld) -> None:
    daemon = world.process(0, env={"DAM_HEALTH_PORT": "0"})
    await daemon.start()
    port = await port_of(daemon)
    await until(lambda: ask(port, "readyz")[0] == 200, "never ready")
    assert ask(port, "healthz") == (200, "ok\n")
    # An abort would write keys to the disk.
    assert resource.prlimit(daemon.inner.pid, resource.RLIMIT_CORE) == (0, 0)
    [sold] = await world.buy()
    await world.until_delivered(daemon, sales=[sold])
    await world.mine(4)

    def value(name: str) -> float:
        [found] = re.findall(rf"^{re.escape(name)} (\S+)$", ask(port, "metrics")[1], re.MULTILINE)
        return float(found)

    await until(lambda: value("dam_parts_delivered") == 1, "the part is not counted")
    assert value('dam_transactions_total{outcome="sent"}') == 1
    assert value("dam_ready") == 1
    assert value("dam_eligible") == 1
    assert value("dam_balance_gwei") > 10**9
    assert value("process_open_fds") > 5
    host = world.chain.url.removeprefix("http://")
    assert value(f'dam_rpc_requests_total{{host="{host}"}}') > 5
    assert value("dam_ipfs_requests_total") > 0
    # Stopped, it answers nobody; going on, it has missed no beat.
    daemon.signal(signal.SIGSTOP)
    await asyncio.sleep(1.0)
    daemon.signal(signal.SIGCONT)
    await until(lambda: ask(port, "healthz")[0] == 200, "not healthy again")
    assert await daemon.stop() == 0


async def test_a_port_that_is_taken_ends_it_with_a_clear_line(world: FaultWorld) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        daemon = world.process(0, env={"DAM_HEALTH_PORT": str(port)})
        await daemon.start(ready=False)
        assert await daemon.wait() == 2
    [line] = daemon.logged("cannot_run")
    assert f"health_port {port}" in line["reason"]
    assert line["next_step"]


async def test_a_single_run_of_a_real_process(world: FaultWorld) -> None:
    [sold] = await world.buy()
    await world.mine(3)
    daemon = world.process(0, command=[*DAM, "deliverer", "run", "--once"])
    await daemon.start(ready=False)
    await world.until_delivered(daemon, sales=[sold])
    deadline = time.monotonic() + 90
    while daemon.running:
        assert time.monotonic() < deadline
        await world.mine()
        await asyncio.sleep(0.2)
    assert await daemon.wait() == 0
    [done] = daemon.logged("once_done")
    assert (done["live"], done["due"]) == (0, 0)


async def test_a_dry_run_needs_no_signer_and_sends_nothing(world: FaultWorld) -> None:
    """Beside a real one, without its lock; without the account's passphrase or file."""
    [sold] = await world.buy()
    await world.mine(3)
    actor = world.shop.deliverers[0]
    dry = world.process(
        0,
        command=[*DAM, "deliverer", "run", "--dry-run", "--address", actor.address],
        env={"APE_DATA_FOLDER": str(world.scratch / "no accounts"), "DAM_ACCOUNT": "nobody"},
    )
    nonce = await world.rpc.call("eth_getTransactionCount", actor.address, "pending")
    await dry.start()
    told = await dry.event("would_send")
    assert told["sale"] == "0x" + sold.sale.copy_id.hex()
    assert told["contract"] == "takes it"
    assert await world.rpc.call("eth_getTransactionCount", actor.address, "pending") == nonce
    names = [path.name for path in dry.home.rglob("*.sqlite")]
    assert names == ["deliverer-dry-run.sqlite"]
    real = await world.deliverer(0).start()
    await world.until_delivered(real, sales=[sold])
    assert await dry.stop() == 0
    [line] = [json.loads(text) for text in dry.text().splitlines() if '"starting"' in text]
    assert line["dry_run"] is True
