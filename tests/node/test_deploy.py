"""`ape run deploy`: one script, the network as its argument."""

import os
import subprocess
from pathlib import Path

import pytest

from dam.crypto.hashing import keccak
from dam.ethereum.rpc import JsonRpc
from dam.market.client import Market
from dam.market.deployment import load_deployment
from dam.testing.nodes import AnvilNode
from dam.types import ZERO_ADDRESS, Wei, Windows

PROPOSER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
MIN_DELAY = "0x" + keccak(b"getMinDelay()")[:4].hex()
ROOT = Path(__file__).resolve().parents[2]


def deploy(anvil: AnvilNode, *options: str) -> subprocess.CompletedProcess[str]:
    command = ["ape", "run", "deploy", "--network", anvil.url, "--account", "TEST::0", *options]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=300, env=dict(os.environ)
    )


@pytest.mark.slow
async def test_deploy_writes_a_true_record(anvil: AnvilNode, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    options = (
        "--refund-blocks=301", "--dispute-blocks=102", "--arbitration-blocks=103",
        "--slash-delay-blocks=104", "--slash-lapse-blocks=105", "--governor=timelock",
        f"--timelock-proposer={PROPOSER}", "--timelock-seconds=7",
        "--min-deliverer-stake=5", "--min-seller-stake=6", f"--out={path}",
    )  # fmt: skip
    done = deploy(anvil, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    deployment = load_deployment(path)
    assert deployment.chain_id == anvil.chain_id
    assert deployment.windows == Windows(301, 102, 103, 610 + 7200, Wei(5), Wei(6), 104, 105)
    assert deployment.market in done.stdout
    timelock = deployment.governor
    assert timelock != ZERO_ADDRESS
    assert timelock in done.stdout
    assert int(anvil.request("eth_call", {"to": timelock, "data": MIN_DELAY}, "latest"), 16) == 7
    async with JsonRpc(anvil.url) as rpc:
        market = Market(rpc, deployment)
        await market.check_deployment()
        assert (await market.call("GOVERNOR"))[0] == timelock
        assert await market.windows() == deployment.windows
        assert deployment.first_block == (await market.head()).number
    before = path.read_bytes()
    again = deploy(anvil, *options)
    assert again.returncode != 0
    assert "--force" in again.stderr + again.stdout
    short = deploy(anvil, "--exit-blocks=100", f"--out={tmp_path / 'other.json'}")
    assert short.returncode != 0
    assert "longest sale" in short.stderr + short.stdout
    for wrong in (
        ("--governor=0x12",),
        ("--governor=timelock",),
        (f"--timelock-proposer={PROPOSER}",),
    ):
        done = deploy(anvil, *wrong, f"--out={tmp_path / 'other.json'}")
        assert done.returncode == 2, done.stdout + done.stderr
    assert path.read_bytes() == before
    assert int(anvil.request("eth_blockNumber"), 16) == deployment.first_block
