"""`ape run deploy` on geth and Hardhat: the deployer for CREATE2 is not there from the start."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dam.ethereum.create2 import DEPLOYER, DEPLOYER_SIGNER, DEPLOYER_TRANSACTION
from dam.market.code import shipped_build
from dam.market.creation import plan_create2
from dam.market.deployment import CREATE2, Origin, Record, load_record
from dam.testing.nodes import LocalNode, NodeMissingError
from dam.types import ZERO_ADDRESS
from scripts._create2 import is_refusal
from scripts._profiles import PROFILES
from tests.chains.nodes import GethNode, HardhatNode
from tests.chains.world import DEPLOYER as PAYER

ROOT = Path(__file__).resolve().parents[2]
PLAN = plan_create2(
    shipped_build(),
    1,
    PROFILES["development"].windows,
    ZERO_ADDRESS,
    Origin("development", CREATE2, DEPLOYER, bytes(32)),
)
MARKET = PLAN.deployment.market
pytestmark = pytest.mark.slow


def geth(folder: Path) -> LocalNode:
    return GethNode(folder)


def next_geth(folder: Path) -> LocalNode:
    """By the rules of the fork to come: new storage and code cost many times as much."""
    return GethNode(folder, "--dev.gaslimit=200000000", "--rpc.gascap=0", "--override.amsterdam=0")


def hardhat(folder: Path) -> LocalNode:
    return HardhatNode(folder)


def ask(node: LocalNode, method: str, *params: Any) -> Any:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    request = urllib.request.Request(node.url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)["result"]


@pytest.fixture
def chain(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LocalNode]:
    try:
        with request.param(tmp_path / "chain") as node:
            bank = ask(node, "eth_accounts")[-1]
            coins = {"from": bank, "to": PAYER, "value": hex(10**19)}
            before = int(ask(node, "eth_getBalance", PAYER, "latest"), 16)
            ask(node, "eth_sendTransaction", coins)
            while int(ask(node, "eth_getBalance", PAYER, "latest"), 16) == before:
                time.sleep(0.1)
            yield node
    except NodeMissingError as error:
        pytest.skip(str(error))


def run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"DAM_HOME": "/nonexistent"},
    )


def deploy(node: LocalNode, record: Path, *options: str) -> tuple[Record, str]:
    command = ("ape", "run", "deploy", "--network", node.url, "--account", "TEST::0")
    done = run(*command, "--out", record, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    return load_record(record), done.stdout + done.stderr


def verify(node: LocalNode, record: Path) -> subprocess.CompletedProcess[str]:
    return run("dam", "market", "verify", record, "--rpc", node.url, "--no-compile")


@pytest.mark.parametrize(
    "chain", [geth, next_geth, hardhat], indirect=True, ids=lambda make: make.__name__
)
def test_the_address_is_that_of_every_chain(chain: LocalNode, tmp_path: Path) -> None:
    """geth has the deployer from the start, on Hardhat it is made."""
    path = tmp_path / "record.json"
    there = ask(chain, "eth_getCode", DEPLOYER, "latest") != "0x"
    assert there == isinstance(chain, GethNode)
    record, said = deploy(chain, path)
    assert (record.origin.method, record.origin.deployer) == (CREATE2, DEPLOYER)
    market = record.deployment.market
    assert market == MARKET
    if not there:  # The address was known before anything was paid.
        assert said.index(f"Marketplace {market}: to be made") < said.index(f"to {DEPLOYER_SIGNER}")
    done = verify(chain, path)
    assert done.returncode == 0, done.stdout + done.stderr
    nonce = ask(chain, "eth_getTransactionCount", PAYER, "latest")
    path.unlink()
    again, said = deploy(chain, path)
    assert again == record
    assert "to be made" not in said
    assert ask(chain, "eth_getTransactionCount", PAYER, "latest") == nonce


@pytest.mark.parametrize("chain", [geth], indirect=True)
def test_what_geth_says_of_a_transaction_without_a_chain_id(chain: LocalNode) -> None:
    """In these words it is recognised, before coins go to its signer."""
    body = {"jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransaction"}
    body["params"] = ["0x" + DEPLOYER_TRANSACTION.hex()]
    request = urllib.request.Request(
        chain.url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        message = json.load(answer)["error"]["message"]
    assert is_refusal(message), message
