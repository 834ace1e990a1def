"""`ape run deploy`, with nobody there to answer, and `dam market verify`."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from dam.market.deployment import Record, load_record

PAYER = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
"""Ape's TEST::0."""
PROPOSER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
ROOT = Path(__file__).resolve().parents[2]


def as_geth(method: str, params: list[Any], result: Any) -> Any:
    """What a proxy changes, so that a node looks like one of a chain that lasts."""
    return "Geth/v1.16.3-stable/linux-amd64/go1.24.5" if method == "web3_clientVersion" else result


def deploy(
    url: str, *options: str, account: str = "TEST::0", **env: str
) -> subprocess.CompletedProcess[str]:
    command = ["ape", "run", "deploy", "--network", url, *options]
    if account:
        command += ["--account", account]
    return subprocess.run(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | env,
    )


def made(url: str, path: Path, *options: str) -> tuple[Record, str]:
    """The record of what was deployed, and what was said."""
    done = deploy(url, f"--out={path}", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    return load_record(path), done.stdout + done.stderr


def verify(url: str, path: Path, *options: str) -> tuple[int, dict[str, Any]]:
    """Exit code and findings."""
    done = subprocess.run(
        ["dam", "market", "verify", path, "--rpc", url, "--json", *(options or ("--no-compile",))],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout)
