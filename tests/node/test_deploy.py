"""`ape run deploy`: one script, the network as its argument, and nobody there to answer."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from dam.crypto.hashing import keccak
from dam.ethereum.rpc import JsonRpc
from dam.keystore.ape_accounts import new_account
from dam.market.client import Market
from dam.market.deployment import load_deployment
from dam.testing.nodes import AnvilNode
from dam.types import ZERO_ADDRESS, Wei, Windows
from tests.node.deploying import PAYER, PROPOSER, ROOT, as_geth, deploy

MIN_DELAY = "0x" + keccak(b"getMinDelay()")[:4].hex()
LASTING = ROOT / "deployments"
PASSING = ROOT / ".build" / "deployments"
# Nobody's chain, so that no record of somebody who works in this checkout is in the way.
CHAIN_ID = 3_111_696_001


@pytest.fixture
def strange() -> Iterator[AnvilNode]:
    """A chain that no list knows; whatever record it leaves in the checkout is taken away."""
    records = [folder / f"{CHAIN_ID}.json" for folder in (LASTING, PASSING)]
    new = not LASTING.exists()
    with AnvilNode(chain_id=CHAIN_ID) as node:
        yield node
    for record in records:
        record.unlink(missing_ok=True)
    if new and LASTING.exists():
        LASTING.rmdir()


@pytest.mark.slow
async def test_deploy_writes_a_true_record(anvil: AnvilNode, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    options = (
        "--refund-seconds=3601", "--dispute-seconds=2402", "--arbitration-seconds=86403",
        "--slash-delay-seconds=3604", "--slash-lapse-seconds=3605", "--governor=timelock",
        f"--timelock-proposer={PROPOSER}", "--timelock-seconds=7", "--min-deliverer-stake=5",
        "--min-seller-stake=6", "--junk-fine=4", f"--out={path}",
    )  # fmt: skip
    done = deploy(anvil.url, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    deployment = load_deployment(path)
    assert deployment.chain_id == anvil.chain_id
    exit_seconds = 3601 + 2402 + 86403 + 3604 + 3605 + 86400
    assert deployment.windows == Windows(
        3601, 2402, 86403, exit_seconds, 3604, 3605, Wei(5), Wei(6), Wei(4)
    )
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
        assert await market.call("PROOFS") == (deployment.proofs,)
        assert await market.call("CLOSING") == (deployment.closing,)
        assert deployment.first_block == (await market.head()).number
    before = path.read_bytes()
    again = deploy(anvil.url, *options)
    assert again.returncode == 0, again.stdout + again.stderr
    assert path.read_bytes() == before
    other = deploy(anvil.url, *options, "--salt=0x" + "01" * 32)
    assert other.returncode == 2
    assert "--force" in other.stderr
    for wrong in (
        ("--exit-seconds=100",),
        ("--refund-seconds=86400", "--dispute-seconds=57599"),
        ("--min-deliverer-stake=5", "--junk-fine=6"),
        ("--governor=0x12",),
        ("--governor=timelock",),
        ("--salt=0x12",),
        ("--arbitrator=0x12",),
        ("--arbitrator=" + PROPOSER, "--arbitrator-data=12"),
        (f"--timelock-proposer={PROPOSER}",),
    ):
        done = deploy(anvil.url, *wrong, f"--out={tmp_path / 'other.json'}")
        assert done.returncode == 2, done.stdout + done.stderr
    assert path.read_bytes() == before
    assert int(anvil.request("eth_blockNumber"), 16) == deployment.first_block


@pytest.mark.slow
def test_a_development_chain_leaves_no_record_where_init_looks(strange: AnvilNode) -> None:
    done = deploy(strange.url)
    assert done.returncode == 0, done.stdout + done.stderr
    record = PASSING / f"{CHAIN_ID}.json"
    assert f"Record {record}" in done.stdout
    first = load_deployment(record)
    assert first.chain_id == CHAIN_ID
    # The chain before is gone, or may be: its record is in nobody's way.
    again = deploy(strange.url, "--salt=0x" + "01" * 32)
    assert again.returncode == 0, again.stdout + again.stderr
    assert load_deployment(record).market != first.market
    assert not (LASTING / f"{CHAIN_ID}.json").exists()


@pytest.mark.slow
async def test_a_chain_that_lasts_keeps_its_record(strange: AnvilNode, proxy_to) -> None:
    server = await proxy_to(strange, as_geth)
    record = LASTING / f"{CHAIN_ID}.json"
    strange.request("anvil_mine", hex(200), hex(12))
    for options, told in (
        ((), "name the kind of chain with --profile; this one looks like l1"),
        (("--profile=development",), "this one lasts"),
    ):
        done = await asyncio.to_thread(deploy, server.url, *options)
        assert done.returncode == 2, done.stdout + done.stderr
        assert told in done.stderr
    wrong = await asyncio.to_thread(deploy, server.url, "--profile=arbitrum")
    assert wrong.returncode == 1, wrong.stdout + wrong.stderr
    assert "--profile arbitrum is not for this chain" in wrong.stderr
    assert "--profile l1 is" in wrong.stderr
    assert int(strange.request("eth_getTransactionCount", PAYER, "latest"), 16) == 0
    odd = await asyncio.to_thread(deploy, server.url, "--profile=rollup")
    assert odd.returncode == 0, odd.stdout + odd.stderr
    assert "Warning: 100 blocks last about 1200 s here, and 20 to 250 s on" in odd.stderr
    assert f"Record {record}" in odd.stdout
    assert not (PASSING / record.name).exists()
    kept = record.read_bytes()
    paid = strange.request("eth_getTransactionCount", PAYER, "latest")
    # The very market: it is found, and nobody is paid, or asked for an account.
    again = await asyncio.to_thread(deploy, server.url, "--profile=rollup", account="")
    assert again.returncode == 0, again.stdout + again.stderr
    other = await asyncio.to_thread(deploy, server.url, "--profile=l1")
    assert other.returncode == 2, other.stdout + other.stderr
    assert "of another market" in other.stderr
    assert "--force" in other.stderr
    assert record.read_bytes() == kept
    assert strange.request("eth_getTransactionCount", PAYER, "latest") == paid


@pytest.mark.slow
async def test_a_chain_too_slow_for_the_windows_is_refused(
    strange: AnvilNode, proxy_to, tmp_path: Path
) -> None:
    """Before anything is compiled or paid; see tests/unit/test_chain_clock.py, too."""
    strange.request("anvil_mine", hex(100), hex(73))
    server = await proxy_to(strange, as_geth)
    record = tmp_path / "record.json"
    done = await asyncio.to_thread(deploy, server.url, f"--out={record}", "--profile=l1")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "contracts count the chain's own blocks" in done.stdout
    assert "100 blocks last about 7300 s here, over a quarter of the 28800 s" in done.stderr
    assert not record.exists()


@pytest.mark.slow
def test_without_a_terminal_it_asks_nothing(strange: AnvilNode, tmp_path: Path) -> None:
    ape = {"APE_DATA_FOLDER": str(tmp_path / "ape")}
    address, _ = new_account("payer", "a passphrase", ape)
    strange.request("anvil_setBalance", address, hex(10**19))
    record = tmp_path / "record.json"
    out = f"--out={record}"
    for options, account, env, missing in (
        ((), "", {}, "--account"),
        ((), "payer", {}, "--yes"),
        (("--yes",), "payer", {}, "APE_ACCOUNTS_payer_PASSPHRASE"),
    ):
        done = deploy(strange.url, out, *options, account=account, **ape, **env)
        assert done.returncode == 2, done.stdout + done.stderr
        assert missing in done.stderr
        assert not record.exists()
    secret = {"APE_ACCOUNTS_payer_PASSPHRASE": "a passphrase"}
    done = deploy(strange.url, out, "--yes", account="payer", **ape, **secret)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "a passphrase" not in done.stdout + done.stderr
    assert load_deployment(record).chain_id == CHAIN_ID


@pytest.mark.slow
@pytest.mark.parametrize("network", ["ethereum:nowhere:node", "http://127.0.0.1:9"])
def test_a_network_that_is_not_there_leaves_nothing(network: str) -> None:
    before = [set(folder.glob("*")) for folder in (LASTING, PASSING)]
    done = deploy(network)
    assert done.returncode != 0, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert [set(folder.glob("*")) for folder in (LASTING, PASSING)] == before
