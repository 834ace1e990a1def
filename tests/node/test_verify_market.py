"""What a deployment leaves half done, what verifying it finds, and where there is no deployer."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dam.crypto.hashing import parse_address
from dam.ethereum.create2 import DEPLOYER, DEPLOYER_SIGNER
from dam.market.code import shipped_build, shipped_input
from dam.market.compiling import compile_input, standard_input
from dam.market.creation import contracts_of
from dam.market.deployment import CREATE2, PLAIN, Record, save_deployment, save_record
from dam.testing.market import SHORT_WINDOWS, transact
from dam.testing.nodes import AnvilNode
from dam.types import ZERO_ADDRESS, Deployment, Wei
from tests.node.deploying import PAYER, PROPOSER, ROOT, as_geth, deploy, made, verify
from tests.terminal import Terminal

SOLC = ROOT / ".tools" / "solc" / "solc-v0.8.30"
pytestmark = pytest.mark.slow


def wrong(url: str, path: Path) -> set[str]:
    code, found = verify(url, path)
    assert code == 1
    assert not found["matches"]
    return {one["what"] for one in found["findings"] if one["ok"] is False}


@pytest.fixture
def full(anvil: AnvilNode, tmp_path: Path) -> tuple[Path, Record]:
    """A market with all that there may be: the arbitrator has no code, as nobody asks it."""
    path = tmp_path / "record.json"
    options = ("--governor=timelock", f"--timelock-proposer={PROPOSER}", f"--arbitrator={PROPOSER}",
               "--arbitrator-data=0x0102", "--meta-evidence=ipfs://x")  # fmt: skip
    return path, made(anvil.url, path, *options)[0]


def test_what_matches_and_what_does_not(full: tuple[Path, Record], anvil: AnvilNode) -> None:
    path, record = full
    at, origin = record.deployment, record.origin
    code, found = verify(anvil.url, path)
    assert code == 0, found
    assert all(one["ok"] for one in found["findings"])
    names = {one["what"] for one in found["findings"]}
    assert {"code of Timelock", "code of Erc792Adapter", "code of table of Proofs"} <= names
    assert origin.adapter is not None
    assert origin.timelock is not None
    lower = replace(at.windows, junk_fine=Wei(1))
    shorter = replace(origin, timelock=replace(origin.timelock, seconds=1))
    other_uri = replace(origin, adapter=replace(origin.adapter, meta_evidence="ipfs://y"))
    halves = {"code of Marketplace", "code of Closing", "address of Marketplace"}
    for changed, expected in (
        (Record(replace(at, windows=lower), origin), {*halves, "code_hash"}),
        (Record(at, shorter), {"address of Timelock"}),
        (Record(at, other_uri), {"address of Erc792Adapter"}),
        (Record(replace(at, first_block=at.first_block - 1), origin), {"block"}),
        (Record(at, replace(origin, first_time=5)), {"time"}),
        (Record(replace(at, code_hash=bytes(32)), origin), {"code_hash"}),
        (Record(at, replace(origin, source_hash=bytes(32))), {"source"}),
        (Record(at, replace(origin, deployer=at.market)), {"deployer"}),
        (Record(replace(at, chain_id=5), origin), {"chain"}),
        # A plain one must have a transaction of its own.
        (Record(at, replace(origin, method=PLAIN, salt=None)), {"creation"}),
    ):
        save_record(changed, path)
        assert wrong(anvil.url, path) >= expected, expected
    save_record(record, path)
    anvil.request("anvil_setCode", at.proofs, "0x00")
    assert wrong(anvil.url, path) == {"code of Proofs"}
    anvil.request("anvil_setCode", DEPLOYER, "0x00")
    assert "deployer" in wrong(anvil.url, path)


def test_a_plain_market_that_other_code_made(anvil: AnvilNode, tmp_path: Path) -> None:
    """The same code on the chain, and coins for a thief in its books."""
    path = tmp_path / "record.json"
    record, _ = made(anvil.url, path, "--plain")
    assert (record.origin.method, record.origin.deployer) == (PLAIN, PAYER)
    assert verify(anvil.url, path)[0] == 0
    runtime = anvil.request("eth_getCode", record.deployment.market, "latest")[2:]
    size = len(runtime) // 2
    # SSTORE(0, 1); CODECOPY what follows; RETURN it.
    thief = f"6001600055{0x61:02x}{size:04x}8060105f395ff3" + "00" + runtime
    receipt = transact(anvil, PAYER, None, bytes.fromhex(thief))
    block = anvil.request("eth_getBlockByNumber", receipt["blockNumber"], False)
    at = replace(
        record.deployment,
        market=parse_address(receipt["contractAddress"]),
        first_block=int(receipt["blockNumber"], 16),
    )
    origin = replace(record.origin, first_time=int(block["timestamp"], 16))
    save_record(Record(at, origin), path)
    # To the byte what our sources give, and yet not what they make.
    assert wrong(anvil.url, path) == {"creation", "address of Closing"}


def test_it_goes_on_where_it_stopped(anvil: AnvilNode, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    first, _ = made(anvil.url, path)
    proofs = contracts_of(shipped_build(), first)[0]
    path.unlink()
    anvil.request("anvil_setCode", first.deployment.market, "0x")
    anvil.request("anvil_setNonce", first.deployment.market, "0x0")
    anvil.request("anvil_setCode", first.deployment.closing, "0x")
    anvil.request("anvil_setNonce", first.deployment.closing, "0x0")
    paid = int(anvil.request("eth_getTransactionCount", PAYER, "latest"), 16)
    again, said = made(anvil.url, path)
    assert f"{proofs.name} {proofs.address}: there already" in said
    assert int(anvil.request("eth_getTransactionCount", PAYER, "latest"), 16) == paid + 1
    assert again.deployment.market == first.deployment.market
    assert again.deployment.first_block > first.deployment.first_block
    # What is there and is not ours is not deployed over, or taken for ours.
    path.unlink()
    anvil.request("anvil_setCode", first.deployment.proofs, "0x00")
    done = deploy(anvil.url, f"--out={path}")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "other code on this chain than our sources give" in done.stderr
    assert not path.exists()


class Unprotected:
    """A node that refuses as geth does, whose words a test in tests/chains knows."""

    def __init__(self, node: AnvilNode) -> None:
        self.node = node

    def request(self, method: str, *params: Any) -> Any:
        if method == "eth_sendRawTransaction" and params[0].startswith("0xf8a5"):
            text = "only replay-protected (EIP-155) transactions allowed over RPC"
            return {"code": -32000, "message": text}
        return self.node.request(method, *params)


def same(method: str, params: list[Any], result: Any) -> Any:
    return result


def dear(method: str, params: list[Any], result: Any) -> Any:
    if method == "eth_estimateGas" and params[0]["from"] == DEPLOYER_SIGNER:
        return hex(100_001)
    return result


def dear_geth(method: str, params: list[Any], result: Any) -> Any:
    """As `dear`, and the client of a chain that lasts."""
    return as_geth(method, params, dear(method, params, result))


@pytest.mark.parametrize(
    ("before", "change", "why"),
    [
        (Unprotected, same, "--rpc.allow-unprotected-txs"),
        (lambda node: node, dear, "making it takes 100001 gas here"),
    ],
    ids=["unprotected", "dear"],
)
async def test_where_the_deployer_cannot_be(
    anvil: AnvilNode, proxy_to: Any, tmp_path: Path, before: Any, change: Any, why: str
) -> None:
    """Said before anything is paid; a chain that lasts wants to be told that plain will do."""
    anvil.request("anvil_setCode", DEPLOYER, "0x")
    path = tmp_path / "record.json"
    server = await proxy_to(before(anvil), change)
    record, said = await asyncio.to_thread(made, server.url, path)
    assert why in said
    assert "A plain deployment, as the record says" in said
    assert record.origin.method == PLAIN
    assert int(anvil.request("eth_getBalance", DEPLOYER_SIGNER, "latest"), 16) == 0


@pytest.fixture
async def lasting(proxy_to: Any) -> AsyncIterator[tuple[AnvilNode, str]]:
    """A chain that lasts, as its node says, and on which the deployer cannot be made."""
    with AnvilNode(chain_id=3_111_696_002) as node:
        node.request("anvil_setCode", DEPLOYER, "0x")
        node.request("anvil_mine", hex(200), hex(12))
        server = await proxy_to(node, dear_geth)
        yield node, server.url


async def test_a_chain_that_lasts_is_not_deployed_to_plainly_unless_told(
    lasting: tuple[AnvilNode, str], tmp_path: Path
) -> None:
    path = tmp_path / "record.json"
    node, url = lasting
    done = await asyncio.to_thread(deploy, url, f"--out={path}", "--profile=l1")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "no CREATE2 through" in done.stderr
    assert "--plain" in done.stderr
    assert int(node.request("eth_getTransactionCount", PAYER, "latest"), 16) == 0
    assert not path.exists()


def test_without_the_deployer_it_is_made(anvil: AnvilNode, tmp_path: Path) -> None:
    anvil.request("anvil_setCode", DEPLOYER, "0x")
    anvil.request("anvil_setNonce", DEPLOYER, "0x0")
    record, said = made(anvil.url, tmp_path / "record.json")
    assert "which makes the deployer" in said
    assert record.origin.method == CREATE2


def test_the_standard_json_gives_the_same_code(anvil: AnvilNode, tmp_path: Path) -> None:
    """And it is of the sources as they are."""
    path, file = tmp_path / "record.json", tmp_path / "input.json"
    made(anvil.url, path)
    code, found = verify(anvil.url, path, "--solc", str(SOLC), "--standard-json", str(file))
    assert code == 0, found
    first = found["findings"][0]
    assert (first["what"], first["ok"]) == ("compiler", True)
    wanted = json.loads(file.read_bytes())
    assert wanted == shipped_input() == standard_input(ROOT)
    assert compile_input(wanted, SOLC) == shipped_build()


async def test_a_node_that_says_nothing_has_the_seconds_of_the_settings(
    serve: Any, tmp_path: Path
) -> None:
    async def hang(*_: object) -> None:
        await asyncio.sleep(60)

    told = parse_address(PROPOSER)
    at = Deployment(31337, told, 1, bytes(32), told, told, SHORT_WINDOWS, ZERO_ADDRESS)
    save_deployment(at, tmp_path / "record.json")
    (tmp_path / "config.toml").write_text("rpc_timeout_seconds = 1\n")
    server = await serve(hang)
    done = await asyncio.to_thread(
        subprocess.run,
        ["dam", "market", "verify", tmp_path / "record.json", "--rpc", server.url, "--no-compile"],
        capture_output=True,
        text=True,
        env=os.environ | {"DAM_HOME": str(tmp_path)},
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert "took over 1 s" in done.stderr


async def test_on_a_terminal_the_kind_of_chain_and_a_plain_market_are_asked_for(
    lasting: tuple[AnvilNode, str], tmp_path: Path
) -> None:
    path = tmp_path / "record.json"
    node, url = lasting
    command = ("ape", "run", "deploy", "--network", url, "--account", "TEST::0", "--out")

    def answer() -> str:
        with Terminal([*command, str(path)], os.environ) as terminal:
            terminal.expect("this one looks like l1")
            terminal.type("l1\n")
            terminal.expect("Deploy plainly?")
            terminal.type("n\n")
            assert terminal.end() == 1
            return terminal.text

    said = await asyncio.to_thread(answer)
    assert "Aborted" in said
    assert int(node.request("eth_getTransactionCount", PAYER, "latest"), 16) == 0
    assert not path.exists()
