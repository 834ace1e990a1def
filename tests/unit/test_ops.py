"""What ships for operators: units, containers, board and alert rules agree with the program."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from dam.cli.deliverer.init import _ALIAS
from dam.cli.main import main
from dam.config.table import SETTINGS
from dam.daemon.heartbeat import BLOCKED_SECONDS, UNHEALTHY_SECONDS
from dam.daemon.metrics import Funds, Metrics, StoreStats
from dam.daemon.service import DRAIN_SECONDS
from dam.ethereum.node_pool import NodePool
from dam.log import NEXT_STEP
from dam.roles.seller.store_builder import BuiltStore
from dam.sending.fee_policy import SendStats
from tests.unit.helpers.world import World

ROOT = Path(__file__).resolve().parents[2]
OPS = ROOT / "ops"
UNITS = ("deliverer", "watchdog")
VARIABLES = {row.variable for row in SETTINGS}


def unit(name: str) -> dict[str, list[str]]:
    """Settings of a unit file, in order; a key may come several times."""
    found: dict[str, list[str]] = {}
    for line in (OPS / f"dam-{name}.service").read_text("utf-8").splitlines():
        if line and not line.startswith(("#", "[")):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def seconds(value: str) -> int:
    assert re.fullmatch(r"[0-9]+", value)
    return int(value)


# ----------------------------------------------------------------------------------------- units


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_shuts_the_daemon_in(name: str) -> None:
    """The directives that `systemd-analyze security` scores, and those that it does not know of."""
    found = unit(name)
    yes = (
        "NoNewPrivileges", "PrivateTmp", "PrivateDevices", "PrivateUsers", "ProtectHome",
        "ProtectClock", "ProtectHostname", "ProtectControlGroups", "ProtectKernelLogs",
        "ProtectKernelModules", "ProtectKernelTunables", "RestrictNamespaces", "RestrictRealtime",
        "RestrictSUIDSGID", "LockPersonality", "MemoryDenyWriteExecute", "RemoveIPC",
    )  # fmt: skip
    assert [key for key in yes if found.get(key) != ["yes"]] == []
    assert found["ProtectSystem"] == ["strict"]
    assert found["CapabilityBoundingSet"] == found["AmbientCapabilities"] == [""]
    assert found["SystemCallFilter"] == ["@system-service", "~@privileged @resources"]
    assert found["SystemCallArchitectures"] == ["native"]
    assert found["ProtectProc"] == ["invisible"]
    assert found["RestrictAddressFamilies"] == ["AF_UNIX AF_INET AF_INET6"]
    assert (found["IPAddressDeny"], found["IPAddressAllow"]) == (["any"], ["localhost"])
    assert found["UMask"] == ["0077"]
    assert found["StateDirectoryMode"] == ["0700"]
    assert found["User"] == ["dam"]
    # Neither swap nor a core file of an abort by the watchdog may have keys in it.
    assert found["LimitCORE"] == found["MemorySwapMax"] == ["0"]
    assert {"MemoryMax", "LimitNOFILE", "TasksMax"} <= set(found)


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_lets_it_live_and_restarts_it(name: str) -> None:
    found = unit(name)
    assert found["Type"] == ["notify"]
    assert found["NotifyAccess"] == ["main"]
    # The manager sees a blocked loop before the daemon's own thread ends it, or soon after.
    assert UNHEALTHY_SECONDS < seconds(found["WatchdogSec"][0]) < BLOCKED_SECONDS
    assert seconds(found["TimeoutStopSec"][0]) > 2 * DRAIN_SECONDS
    assert found["Restart"] == ["on-failure"]
    assert found["RestartPreventExitStatus"] == ["2"]
    assert found["StartLimitIntervalSec"] == ["0"]
    [command] = found["ExecStart"]
    assert command == f"/opt/dam/.venv/bin/dam {name} run"
    group = main.get_command(click.Context(main), name)
    assert isinstance(group, click.Group)
    assert "run" in group.commands


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_gives_passphrases_as_credentials_alone(name: str) -> None:
    found = unit(name)
    credentials = dict(value.split(":") for value in found["LoadCredentialEncrypted"])
    # The deliverer's is the alias that `dam deliverer init` proposes: who takes it edits nothing.
    alias = _ALIAS.replace("deliverer", name)
    assert set(credentials) == {"dam-key-passphrase", alias}
    assert credentials[alias] == f"/etc/dam/{alias}.cred"
    environment = dict(pair.split("=", 1) for line in found["Environment"] for pair in line.split())
    assert not any("PASSPHRASE" in key for key in environment)
    known = {*VARIABLES, "DAM_HOME", "HOME", "APE_DATA_FOLDER"}
    assert set(environment) <= known
    # It may write in its state folder alone, so all that it writes must be there.
    [state] = found["StateDirectory"]
    for key in ("HOME", "DAM_HOME", "APE_DATA_FOLDER"):
        assert Path(environment[key]).is_relative_to(f"/var/lib/{state}")


def test_the_units_differ_in_nothing_else() -> None:
    one, other = ((OPS / f"dam-{name}.service").read_text("utf-8") for name in UNITS)
    for old, new in (
        ("deliverer", "watchdog"),
        ("9464", "9465"),
        ("node and Kubo on", "the node on"),
    ):
        one = one.replace(old, new)
    assert one == other


def test_the_user_of_the_units_is_made() -> None:
    line = (OPS / "dam.sysusers.conf").read_text("utf-8").splitlines()[-1]
    assert line.split()[:2] == ["u", "dam"]
    assert line.split()[-1] == "/var/lib/dam"


# ------------------------------------------------------------------------------------- containers


@pytest.fixture
def compose() -> dict[str, Any]:
    found = yaml.safe_load((OPS / "compose.yaml").read_text("utf-8"))
    assert isinstance(found, dict)
    return found


def test_images_are_pinned_by_version(compose: dict[str, Any]) -> None:
    images = [service["image"] for service in compose["services"].values()]
    [base] = re.findall(r"^FROM (\S+)", (OPS / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    for image in (*images, base):
        assert re.fullmatch(r"[a-z/]+:v?[0-9]+\.[0-9]+\.[0-9]+(-[a-z-]+)?", image), image
    kubo = (ROOT / "tools" / "kubo" / "go.mod").read_text("utf-8")
    [version] = re.findall(r"github.com/ipfs/kubo (v\S+)", kubo)
    assert compose["services"]["kubo"]["image"] == f"ipfs/kubo:{version}"


def test_the_container_is_shut_in(compose: dict[str, Any]) -> None:
    service = compose["services"]["deliverer"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"] == service["memswap_limit"]
    assert service["ulimits"]["core"] == 0
    assert not {"privileged", "cap_add", "devices", "pid", "ipc"} & set(service)
    assert "USER dam" in (OPS / "Dockerfile").read_text("utf-8")
    assert seconds(service["stop_grace_period"].removesuffix("s")) > 2 * DRAIN_SECONDS


def test_the_container_is_told_what_the_program_reads(compose: dict[str, Any]) -> None:
    service = compose["services"]["deliverer"]
    environment = service["environment"]
    known = {*VARIABLES, "CREDENTIALS_DIRECTORY"}
    assert set(environment) <= known
    assert not any("passphrase" in str(value).lower() for value in environment.values())
    assert environment["CREDENTIALS_DIRECTORY"] == "/run/secrets"
    assert "dam-key-passphrase" in service["secrets"]
    assert {"source": "account-passphrase", "target": "${DAM_ACCOUNT}"} in service["secrets"]
    assert f":{environment['DAM_HEALTH_PORT']}/healthz" in service["healthcheck"]["test"][-1]
    scraped = yaml.safe_load((OPS / "prometheus.yaml").read_text("utf-8"))
    [job] = scraped["scrape_configs"]
    [target] = job["static_configs"]
    assert target["targets"] == [f"127.0.0.1:{environment['DAM_HEALTH_PORT']}"]


def test_only_the_swarm_is_open_to_the_world(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        if name != "kubo":
            assert service["network_mode"] == "service:kubo"
            assert "ports" not in service
    world = [p for p in compose["services"]["kubo"]["ports"] if not p.startswith("127.0.0.1:")]
    assert {port.split(":")[0] for port in world} == {"4001"}
    script = (OPS / "kubo-init.sh").read_text("utf-8")
    assert "ipfs config Addresses.API /ip4/127.0.0.1/tcp/5001" in script


def test_what_is_mounted_or_copied_is_there(compose: dict[str, Any]) -> None:
    mounts = [
        volume.split(":")[0]
        for service in compose["services"].values()
        for volume in service["volumes"]
        if volume.startswith("./")
    ]
    assert len(mounts) >= 5
    for mount in mounts:
        assert (OPS / mount).is_file(), mount
    assert (OPS / "kubo-init.sh").stat().st_mode & stat.S_IXUSR
    build = compose["services"]["deliverer"]["build"]
    assert (OPS / build["context"] / build["dockerfile"]).samefile(OPS / "Dockerfile")
    text = (OPS / "Dockerfile").read_text("utf-8")
    copied = re.findall(r"^COPY (\S+) ", text, re.MULTILINE)
    assert len(copied) == 2
    for path in copied:
        assert (ROOT / path).exists(), path
        assert f"!{path}" in (OPS / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    assert "--require-hashes" in text


# ------------------------------------------------------------------------------- board and alerts


@pytest.fixture
async def names(world: World, built: BuiltStore) -> set[str]:
    """Names of all samples of a daemon that has everything."""
    world.chain.accepts = lambda _: False
    world.buy(built, "coupon")
    await world.ticks()
    service = world.daemon.service
    assert service is not None
    metrics = Metrics("deliverer", "0")
    sources = metrics.sources
    sources.pulse, sources.ledger = service.pulse, world.daemon.path
    sources.fallback_blocks = 200
    sources.blocks, sources.sender = StoreStats(), SendStats()
    sources.funds = Funds(1, 2, eligible=True)
    async with NodePool(("http://127.0.0.1:1",)) as endpoints:
        sources.endpoints = endpoints
        text = metrics.text().decode()
    return {re.split(r"[{ ]", line)[0] for line in text.splitlines() if not line.startswith("#")}


def asked(expression: str) -> set[str]:
    """Names of the metrics in a PromQL expression."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}', "", expression)
    return set(re.findall(r"\b(?:dam|process)_[a-z0-9_]+", bare))


def board() -> dict[str, Any]:
    found = json.loads((OPS / "grafana.json").read_text("utf-8"))
    assert isinstance(found, dict)
    return found


def rules() -> list[dict[str, Any]]:
    [group] = yaml.safe_load((OPS / "alerts.yaml").read_text("utf-8"))["groups"]
    return list(group["rules"])


def test_the_board_asks_for_what_there_is(names: set[str]) -> None:
    panels = [panel for panel in board()["panels"] if panel["type"] != "row"]
    assert len(panels) >= 20
    expressions = [target["expr"] for panel in panels for target in panel["targets"]]
    expressions += [note["expr"] for note in board()["annotations"]["list"]]
    for expression in expressions:
        assert asked(expression), expression
        assert asked(expression) <= names, expression
    # And it leaves nothing of importance out.
    shown = set().union(*map(asked, expressions))
    own = {name for name in names if name.startswith("dam_")}
    unseen = {re.sub(r"_(bucket|sum|count|created)$", "", name) for name in own - shown}
    assert unseen <= {
        "dam_build_info", "dam_parts_held", "dam_transactions_final", "dam_gas_used_total",
        "dam_ledger_readable", "dam_alerts", "dam_event_loop_lag_seconds", "dam_balance_wei",
        "dam_stake_wei", "dam_earned_wei", "dam_gas_paid_wei", "dam_data_paid_wei",
    }  # fmt: skip


def test_the_page_of_metrics_is_the_programs(names: set[str]) -> None:
    """docs/operating-daemon.md lists every metric, and none that is not there."""
    text = (ROOT / "docs" / "operating-daemon.md").read_text("utf-8")
    told = set(re.findall(r"`(dam_[a-z_]+)", text))
    own = {re.sub(r"_(bucket|sum|count|created)$", "", n) for n in names if n.startswith("dam_")}
    own = {name for name in own if name != "dam_alerts" and not name.endswith("_wei")}
    assert told == own


def test_the_score_is_told() -> None:
    text = (ROOT / "docs" / "operating-daemon.md").read_text("utf-8")
    assert re.search(r"overall exposure level \*\*[0-9]\.[0-9] OK\*\*", text)
    assert f"{BLOCKED_SECONDS:g} s with code 1" in text
    assert f"after {UNHEALTHY_SECONDS:g} s `loop_blocked`" in text
    assert f"systemd aborts it after {unit('deliverer')['WatchdogSec'][0]} s" in text


def test_panels_have_ids_of_their_own_and_do_not_overlap() -> None:
    panels = board()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        own = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in own) < 24
        assert not cells & own, panel["title"]
        cells |= own


def test_alert_rules_ask_for_what_there_is_and_say_what_to_do(names: set[str]) -> None:
    assert len(rules()) >= 10
    for rule in rules():
        found = asked(rule["expr"])
        assert found <= names, rule["alert"]
        assert found or rule["expr"].startswith("up{")
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["next_step"]


def test_states_and_events_that_are_named_exist(names: set[str]) -> None:
    text = (OPS / "alerts.yaml").read_text("utf-8")
    for event in re.findall(r"\b[a-z]+(?:_[a-z]+)+ in the log", text):
        assert event.split()[0] in NEXT_STEP
    states = set(re.findall(r'state="([a-z-]+)"', text + (OPS / "grafana.json").read_text("utf-8")))
    assert states <= {"late", "done"}
