"""One file of settings, two markets on two chains: who reads sees both, who writes names one."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dam.keystore.ape_accounts import new_account
from dam.market.deployment import save_deployment
from dam.testing.market import MarketCode, deploy_market
from dam.testing.nodes import AnvilNode

SECRET = "a passphrase"
pytestmark = pytest.mark.slow


@pytest.fixture
def home(tmp_path: Path, code: MarketCode, anvil: AnvilNode) -> Iterator[Path]:
    """`near` is the fixture's chain."""
    with AnvilNode(chain_id=31338) as far:
        text = '[accounts]\ndefault = "ada"\n'
        for name, node in (("near", anvil), ("far", far)):
            save_deployment(deploy_market(node, code=code), tmp_path / f"{name}.json")
            text += f'[markets.{name}]\nrpc = "{node.url}"\ndeployment = "{name}.json"\n'
        (tmp_path / "config.toml").write_text(text)
        address, _ = new_account("ada", SECRET, {"APE_DATA_FOLDER": str(tmp_path / "ape")})
        for node in (anvil, far):
            node.request("anvil_setBalance", address, hex(10**19))
        yield tmp_path


def dam(home: Path, *command: str) -> subprocess.CompletedProcess[str]:
    env = {"DAM_HOME": str(home), "APE_DATA_FOLDER": str(home / "ape"),
           "APE_ACCOUNTS_ada_PASSPHRASE": SECRET, "DAM_KEY_PASSPHRASE": SECRET}  # fmt: skip
    kept = {k: v for k, v in os.environ.items() if not k.startswith("DAM_")}
    done = subprocess.run(
        ["dam", *command], capture_output=True, text=True, timeout=120, env=kept | env, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def test_who_writes_names_one_and_who_reads_sees_all(home: Path, anvil: AnvilNode) -> None:
    stake = ("seller", "stake", "1 ether", "--yes")
    nobody = dam(home, *stake)
    assert nobody.returncode == 2
    assert "several markets (near, far): name one, `dam --market NAME ...`" in nobody.stderr
    done = dam(home, "--market", "near", *stake)
    assert done.returncode == 0, done.stderr
    shown = dam(home, "balance", "--json")
    assert shown.returncode == 0, shown.stderr
    found = json.loads(shown.stdout)["markets"]
    assert list(found) == ["near", "far"]
    assert found["near"] != found["far"]
    one = dam(home, "--market", "far", "balance", "--json")
    assert json.loads(one.stdout) == found["far"]
    text = dam(home, "balance").stdout
    assert text.index("== Market near") < text.index("== Market far")
    for command in (("buyer", "browse"), ("deliverers",), ("deliverer", "status")):
        both = dam(home, *command, "--json")
        assert list(json.loads(both.stdout)["markets"]) == ["near", "far"], command
    live = dam(home, "watchdog", "status", "--watch", "--times", "1")
    assert live.returncode == 2
    said = " ".join(live.stderr.split())
    assert "--watch looks at one market, and the settings have near, far: name one" in said
    named = dam(home, "--market", "far", "watchdog", "status", "--watch", "--times", "1")
    assert named.returncode == 0, named.stderr
    ill = dam(home, "doctor")
    assert ill.returncode == 1
    assert "-> dam --market near doctor" in ill.stdout
    anvil.stop()
    half = dam(home, "balance", "--json")
    assert half.returncode == 3, half.stderr
    found = json.loads(half.stdout)["markets"]
    assert found["near"]["error"]["kind"] == "node"
    assert "error" not in found["far"]


def test_a_daemon_serves_one_and_says_so(home: Path) -> None:
    command = ("deliverer", "run", "--once", "--dry-run")
    assert dam(home, "keys", "new", "deliverer").returncode == 0
    nobody = dam(home, *command)
    assert nobody.returncode == 2
    assert "several markets" in nobody.stderr + nobody.stdout
    done = dam(home, "--market", "far", *command)
    lines = [json.loads(line) for line in (done.stdout + done.stderr).splitlines() if "{" in line]
    starting = next(line for line in lines if line["event"] == "starting")
    assert (starting["market_name"], starting["chain_id"]) == ("far", 31338)
