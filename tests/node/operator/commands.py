"""An operator of a deliverer, who types commands and reads what they print."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from dam.cli.main import main
from dam.crypto.hashing import parse_address
from dam.ledger.ledger import Binding, Ledger
from dam.market.deployment import save_deployment
from dam.testing.nodes import AnvilNode
from dam.types import Address, Deployment

ETHER = 10**18
PASSPHRASE = "of no account"
ALIAS = "dam_deliverer"
Findings = list[dict[str, str]]


@dataclass
class Operator:
    """Somebody with a home folder, who types commands."""

    folder: Path
    chain: AnvilNode
    deployment: Deployment
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.env = {
            "DAM_HOME": str(self.home),
            "APE_DATA_FOLDER": str(self.folder / "ape"),
            "XDG_STATE_HOME": str(self.folder / "state"),
            "DAM_KEY_PASSPHRASE": PASSPHRASE,
            f"APE_ACCOUNTS_{ALIAS}_PASSPHRASE": PASSPHRASE,
        }
        save_deployment(self.deployment, self.record)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def record(self) -> Path:
        return self.folder / "market.json"

    @property
    def ring(self) -> Path:
        return self.home / "keys" / "deliverer.json"

    @property
    def keyfile(self) -> Path:
        return self.folder / "ape" / "accounts" / f"{ALIAS}.json"

    @property
    def state(self) -> Path:
        market = self.deployment.market.lower()
        return self.home / "markets" / f"{self.deployment.chain_id}-{market[2:10]}"

    @property
    def ledger(self) -> Path:
        return self.state / "deliverer.sqlite"

    @property
    def address(self) -> Address:
        return parse_address("0x" + json.loads(self.keyfile.read_bytes())["address"][-40:])

    def __call__(
        self, *words: str, code: int | None = None, parse: bool = False, **env: str | None
    ) -> Any:
        everything: dict[str, str | None] = {**dict.fromkeys(FOREIGN), **self.env, **env}
        done: Result = CliRunner(mix_stderr=False, env=everything).invoke(main, words)
        assert code is None or done.exit_code == code, (done.stdout, done.stderr, done.exception)
        return json.loads(done.stdout) if parse else done

    def init(self, *words: str, **env: str | None) -> Any:
        given = ["--rpc", self.chain.url, "--deployment", str(self.record), *words]
        return self("deliverer", "init", *given, "--json", code=0, parse=True, **env)

    def doctor(self, *words: str, role: str = "deliverer", **env: str | None) -> Findings:
        done = self(role, "doctor", "--json", *words, **env)
        value = json.loads(done.stdout)
        findings: Findings = value["findings"]
        assert done.exit_code == (any(f["level"] == "fail" for f in findings))
        assert value["healthy"] is (done.exit_code == 0)
        for finding in findings:
            assert finding["level"] == "ok" or finding["fix"], finding
        return findings

    def fund(self, wei: int = ETHER) -> None:
        self.chain.request("anvil_setBalance", self.address, hex(wei))

    def stake(self, *words: str) -> None:
        self.fund()
        self("deliverer", "stake", "0.05 ether", "--yes", *words, code=0)


FOREIGN = ("DAM_RPC_URL", "DAM_DEPLOYMENT", "DAM_IPFS", "DAM_ACCOUNT", "CREDENTIALS_DIRECTORY")


def bad(findings: Findings, *, level: str = "fail") -> list[str]:
    return [f"{f['check']}: {f['text']}" for f in findings if f["level"] == level]


def one(findings: Findings, text: str) -> dict[str, str]:
    found = [f for f in findings if text in f["text"]]
    assert len(found) == 1, (text, findings)
    return found[0]


def open_ledger(operator: Operator) -> Ledger:
    operator.state.mkdir(parents=True, exist_ok=True)
    deployment = operator.deployment
    binding = Binding(deployment.chain_id, deployment.market, operator.address, "deliverer")
    return Ledger.open(operator.ledger, binding)


def spoil(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[3 * 4096 : 8 * 4096] = b"\xa5" * (5 * 4096)
    path.write_bytes(data)


def daemon_once(operator: Operator) -> tuple[int, str]:
    """One pass of the daemon, in a process of its own: exit code and log."""
    env = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    done = subprocess.run(
        [sys.executable, "-m", "dam", "deliverer", "run", "--once"],
        env=env | {name: value for name, value in operator.env.items() if value is not None},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stderr
