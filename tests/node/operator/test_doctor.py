"""`dam deliverer doctor` against a real chain: what it finds, and what would mend it."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dam.daemon import locks
from dam.diagnostics import host_checks
from dam.keystore.key_files import load_ring, new_ring, rotate_ring
from dam.market.abi import encode
from dam.market.deployment import load_deployment, save_deployment
from dam.testing.market import SHORT_WINDOWS, MarketCode, deploy_market, transact
from dam.testing.nodes import AnvilNode
from tests.node.operator.commands import (
    ALIAS,
    PASSPHRASE,
    Operator,
    bad,
    daemon_once,
    one,
    open_ledger,
    spoil,
)


def test_all_is_well(operator: Operator) -> None:
    findings = operator.doctor()
    assert bad(findings) == []
    # One account is both hot and owner, and Anvil's blocks come when they like.
    warned = {f["text"].split(":")[0] for f in findings if f["level"] == "warn"}
    warned = {text for text in warned if not text.startswith("a block every ")}
    assert warned == {"the hot account owns the stake"}
    assert {f["check"].split()[0] for f in findings} == {
        "settings", "keys", "account", "rpc", "record", "balance", "stake", "key", "ipfs",
        "ledger", "disk", "files", "clock", "fines",
    }  # fmt: skip
    human = operator("deliverer", "doctor", code=0).stdout
    assert human.splitlines()[-1].endswith("0 to mend: ready to run")


def test_it_changes_nothing(operator: Operator) -> None:
    """It may be run beside a daemon, or before anything is decided."""
    operator.keyfile.chmod(0o644)
    before = {p: p.stat().st_mode for p in operator.folder.rglob("*") if "blocks" not in str(p)}
    operator.doctor()
    operator("deliverer", "status")
    after = {p: p.stat().st_mode for p in operator.folder.rglob("*") if "blocks" not in str(p)}
    assert after == before


def test_settings_that_are_not_complete(nobody: Operator) -> None:
    [finding] = nobody.doctor()
    assert "rpc is not set" in finding["text"]
    # Whoever types it as another user than the daemon's sees where it looked.
    assert f"{nobody.home / 'config.toml'}" in finding["fix"]
    assert "dam deliverer init" in finding["fix"]


def test_keys_that_others_can_read(operator: Operator) -> None:
    operator.ring.chmod(0o644)
    operator.ring.parent.chmod(0o755)
    operator.keyfile.chmod(0o644)
    findings = operator.doctor()
    ring = one(findings, f"{operator.ring} is open to other users")
    assert "chmod 600" in ring["text"]
    assert ring["level"] == "fail"
    assert one(findings, "others may look into")["fix"].startswith("chmod 700")
    assert one(findings, f"{operator.keyfile} is open")["level"] == "warn"
    operator.ring.parent.chmod(0o777)
    assert one(operator.doctor(), "others may write in")["level"] == "fail"
    operator.ring.parent.chmod(0o700)
    operator.ring.rename(operator.folder / "moved")
    operator.ring.symlink_to(operator.folder / "moved")
    assert one(operator.doctor(), "symbolic link")["level"] == "fail"
    operator.ring.unlink()
    assert "dam keys new" in one(operator.doctor(), f"{operator.ring} does not exist")["fix"]


def test_passphrases(operator: Operator) -> None:
    assert bad(operator.doctor(DAM_KEY_PASSPHRASE="wrong")) == [
        f"keys: the passphrase does not open {operator.ring}"
    ]
    none = operator.doctor(**{"DAM_KEY_PASSPHRASE": None, f"APE_ACCOUNTS_{ALIAS}_PASSPHRASE": None})
    assert bad(none) == []
    texts = bad(none, level="warn")
    assert len([text for text in texts if "for want of its passphrase" in text]) == 2
    assert any("not compared" in text for text in texts)
    wrong = operator.doctor(**{f"APE_ACCOUNTS_{ALIAS}_PASSPHRASE": "wrong"})
    assert "the passphrase is wrong" in bad(wrong)[0]
    assert bad(operator.doctor("--account", "nobody"))[0].startswith("account: there is no account")


def test_the_announced_key_is_the_key_files(operator: Operator) -> None:
    operator.chain.mine(5)  # the registration has its confirmations
    rotate_ring(operator.ring, PASSPHRASE)
    findings = operator.doctor()
    assert one(findings, "a newer key than the one announced")["level"] == "warn"
    code, said = daemon_once(operator)
    assert code == 0, said
    assert "announced_key_missing" not in said
    operator.ring.unlink()
    new_ring(operator.ring, PASSPHRASE)
    assert bad(operator.doctor()) == [
        "key: the announced key is not in the key file: what is sealed to it does not open"
    ]
    code, said = daemon_once(operator)
    assert code == 0, said
    assert "announced_key_missing" in said


def test_a_key_that_nobody_showed_to_have(nobody: Operator, template: Operator) -> None:
    """Somebody else's key, with the proof that goes with it: that is of another operator."""
    place, pair = template.deployment, load_ring(template.ring, PASSPHRASE).current
    theirs = pair.prove_possession(place.chain_id, place.market, template.address)
    nobody.init()
    nobody.fund()
    account = nobody.address
    nobody.chain.request("anvil_impersonateAccount", account)
    data = encode("stakeAsDeliverer", pair.announced, theirs)
    transact(nobody.chain, account, place.market, data, 10**16)
    assert "key: nothing shows that we have the key we announced" in bad(nobody.doctor())


def test_balance_against_what_deliveries_cost(operator: Operator) -> None:
    balance = one(operator.doctor(), "a lone part costs about")
    assert balance["level"] == "ok"
    assert one(operator.doctor("--deliveries", "1000000"), "a lone part")["level"] == "warn"
    operator.fund(1000)
    assert one(operator.doctor(), "not enough for one")["level"] == "fail"
    operator.fund()
    assert one(operator.doctor(DAM_MIN_FEE="1 gwei"), "does not pay a lone part")["level"] == "warn"
    operator.chain.request("anvil_setNextBlockBaseFeePerGas", hex(5 * 10**9))
    operator.chain.mine()
    assert "over max_fee_gwei 1" in one(operator.doctor(DAM_MAX_FEE_GWEI="1"), "gas costs")["text"]


def test_a_stake_that_does_not_deliver(nobody: Operator) -> None:
    """Not registered, slash proposed, exit requested, below the minimum."""
    nobody.init()
    findings = nobody.doctor()
    assert "dam deliverer stake" in one(findings, "is not registered")["fix"]
    nobody.stake()
    governor = nobody.deployment.governor
    slash = encode("proposeSlashing", nobody.address, 49 * 10**15, governor, bytes(32))
    transact(nobody.chain, governor, nobody.deployment.market, slash)
    assert "is proposed" in bad(nobody.doctor())[0]
    nobody("deliverer", "exit", "--yes", code=0)
    assert one(nobody.doctor(), "an exit is requested")["fix"] == "dam deliverer exit --cancel"
    nobody("deliverer", "exit", "--cancel", "--yes", code=0)
    before = nobody.chain.request("evm_snapshot")
    nobody.chain.request("evm_increaseTime", SHORT_WINDOWS.slash_delay_seconds)
    nobody.chain.mine()
    [number] = [
        s["id"]
        for s in nobody("deliverers", "--json", parse=True)["slashes"]
        if s["operator"] == nobody.address
    ]
    transact(nobody.chain, governor, nobody.deployment.market, encode("executeSlashing", number))
    low = one(nobody.doctor(), "0.001 ether, minimum 0.01 ether")
    assert (low["level"], low["fix"]) == ("fail", "dam deliverer stake '0.009 ether'")
    # Others would find the chain ahead of this machine.
    assert nobody.chain.request("evm_revert", before)


def test_a_cold_owner_is_no_finding(nobody: Operator) -> None:
    nobody.init()
    nobody.stake("--owner", "0x000000000000000000000000000000000000dead")
    assert bad(nobody.doctor(), level="warn") == []


def test_the_wrong_chain_and_the_wrong_market(operator: Operator, code: MarketCode) -> None:
    with AnvilNode(chain_id=5) as other:
        assert "is on chain 5" in bad(operator.doctor(DAM_RPC_URL=other.url))[0]
    with AnvilNode() as empty:
        assert "was deployed in block" in bad(operator.doctor(DAM_RPC_URL=empty.url))[0]
        empty.request("anvil_mine", hex(operator.deployment.first_block))
        assert "no code, unlike" in bad(operator.doctor(DAM_RPC_URL=empty.url))[0]
    record = operator.home / "deployment.json"
    windows = replace(operator.deployment.windows, refund_seconds=4000)
    save_deployment(replace(load_deployment(record), windows=windows), record)
    assert bad(operator.doctor()) == [f"record: {record} has other windows than the contract"]


def test_a_record_that_was_edited(operator: Operator) -> None:
    """What the code's hash does not cover: the governor, and where the market's logs begin."""
    path = operator.home / "deployment.json"
    true = load_deployment(path)
    first = true.first_block
    head = int(operator.chain.request("eth_blockNumber"), 16)
    for wrong, text in (
        (replace(true, governor=true.market), "has another governor than the contract"),
        (replace(true, first_block=first + 1), f"the market was there before block {first + 1}"),
        (replace(true, first_block=head + 1000), "is before the deployment record's first"),
    ):
        save_deployment(wrong, path)
        assert "the market's own record" in one(operator.doctor(), text)["fix"]
    save_deployment(true, path)
    assert bad(operator.doctor()) == []


def test_what_mends_it_is_named_in_full(operator: Operator) -> None:
    """Each fix is what really mends it, and names what it was that could not be looked at."""
    operator.ring.rename(operator.folder / "ring")
    assert one(operator.doctor(), f"{operator.ring} does not exist")["fix"].startswith(
        "dam keys restore"
    )
    operator.keyfile.unlink()
    assert "ape accounts import" in one(operator.doctor(), "there is no account")["fix"]
    away = operator.doctor("--address", operator.chain.request("eth_accounts")[0])
    assert "--owner 0xYourColdAddress" in one(away, "is not registered")["fix"]
    down = operator.doctor("--address", "0x" + "11" * 20, DAM_RPC_URL="http://127.0.0.1:1")
    assert one(down, "balance, stake and key were not looked at")["level"] == "warn"
    kubo = operator.doctor("--address", "0x" + "11" * 20, DAM_IPFS="http://127.0.0.1:1")
    assert one(kubo, "no connection")["text"] == (
        "no connection to http://127.0.0.1:1: Connection refused"
    )
    operator.chain.request("anvil_setNextBlockBaseFeePerGas", hex(5 * 10**9))
    operator.chain.mine()
    dear = operator.doctor("--address", "0x" + "11" * 20, DAM_MAX_FEE_GWEI="1")
    assert "raise max_fee_gwei" in one(dear, "over max_fee_gwei 1")["fix"]


def test_nodes_that_disagree(operator: Operator, code: MarketCode) -> None:
    """The same market at the same place, on a branch of its own."""
    with AnvilNode() as other:
        deploy_market(other, SHORT_WINDOWS, governor=operator.deployment.governor, code=code)
        other.mine(5)
        both = f"{operator.chain.url},{other.url}"
        texts = bad(operator.doctor(DAM_RPC_URL=both))
        assert any("disagree about block" in text for text in texts), texts
    findings = operator.doctor(DAM_RPC_URL=f"{operator.chain.url},http://127.0.0.1:1")
    assert any("rpc_agree asks for 2" in text for text in bad(findings))
    again = operator.chain.url.replace("127.0.0.1", "localhost")
    assert bad(operator.doctor(DAM_RPC_URL=f"{operator.chain.url},{again}")) == []


@pytest.mark.parametrize(
    ("method", "answer", "level", "text"),
    [
        ("eth_getLogs", {"code": -32000, "message": "missing trie node"}, "fail", "has no logs"),
        ("eth_syncing", {"currentBlock": "0x1"}, "fail", "still syncing"),
        (
            "eth_getTransactionCount",
            {"code": -32000, "message": "no state available"},
            "fail",
            "knows no state 64 blocks back",
        ),
    ],
)
async def test_a_node_that_cannot_do_it(
    operator: Operator,
    proxy_to: Callable[..., Any],
    method: str,
    answer: Any,
    level: str,
    text: str,
) -> None:
    def change(name: str, params: list[Any], result: Any) -> Any:
        return answer if name == method else result

    server = await proxy_to(operator.chain, change)
    findings = await asyncio.to_thread(operator.doctor, DAM_RPC_URL=server.url)
    assert one(findings, text)["level"] == level


async def test_a_node_that_limits_the_rate(
    operator: Operator, proxy_to: Callable[..., Any]
) -> None:
    server = await proxy_to(operator.chain, lambda _, __, result: result, busy="eth_blockNumber")
    findings = await asyncio.to_thread(operator.doctor, DAM_RPC_URL=server.url)
    assert one(findings, "HTTP 429 after")["level"] == "warn"


@pytest.mark.parametrize(
    ("most", "text", "level"),
    [(1000, "takes 100 calls", "ok"), (5, "takes 3 calls", "ok"), (0, "takes one call", "warn")],
)
async def test_how_many_calls_a_node_takes(
    operator: Operator, proxy_to: Callable[..., Any], most: int, text: str, level: str
) -> None:
    server = await proxy_to(operator.chain, lambda _, __, result: result, most=most)
    findings = await asyncio.to_thread(operator.doctor, DAM_RPC_URL=server.url)
    assert one(findings, text)["level"] == level


def test_a_tag_that_is_far_behind(operator: Operator) -> None:
    operator.chain.mine(120)
    safe = one(operator.doctor(DAM_CONFIRMATIONS="safe"), "blocks behind the head")
    assert safe["level"] == "ok"


def test_clocks(operator: Operator, code: MarketCode, monkeypatch: pytest.MonkeyPatch) -> None:
    with AnvilNode(args=("--timestamp", str(int(time.time()) + 7200))) as future:
        deploy_market(future, SHORT_WINDOWS, governor=operator.deployment.governor, code=code)
        findings = operator.doctor(DAM_RPC_URL=future.url)
        assert "this machine's clock is behind" in one(findings, "in the future")["text"]
    with AnvilNode(args=("--timestamp", str(int(time.time()) - 7200))) as past:
        deploy_market(past, SHORT_WINDOWS, governor=operator.deployment.governor, code=code)
        assert one(operator.doctor(DAM_RPC_URL=past.url), "minutes old")["level"] == "warn"
    # It jumps by a day while the doctor looks.
    monkeypatch.setattr(host_checks, "_clocks", lambda: (time.time() + 86_400, time.monotonic()))
    assert one(operator.doctor(), "the clock jumped by +864")["level"] == "warn"


@pytest.mark.parametrize(("free", "level"), [(10 << 20, "fail"), (1 << 30, "warn")])
def test_disk(operator: Operator, monkeypatch: pytest.MonkeyPatch, free: int, level: str) -> None:
    usage = shutil.disk_usage(operator.folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=free))
    findings = operator.doctor()
    assert one(findings, "iB free for /")["level"] == level
    assert one(findings, "pin_bytes allows")["level"] == "warn"


def test_block_stores(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    [text] = bad(operator.doctor(DAM_IPFS="http://127.0.0.1:1"))
    assert text.startswith("ipfs: ")
    assert (
        "mend the setting" in one(operator.doctor(DAM_IPFS="http://127.0.0.1:1"), text[6:])["fix"]
    )
    [text] = bad(operator.doctor(DAM_IPFS="http://192.0.2.1:5001"))
    assert "loopback" in text
    monkeypatch.setattr(host_checks, "_SLOW_BYTES", 1 << 60)
    assert one(operator.doctor(), "MiB/s")["level"] == "warn"


def test_ledgers(operator: Operator) -> None:
    assert "does not exist yet" in one(operator.doctor(), "the daemon makes it")["text"]
    open_ledger(operator).close()
    with locks.exclusive(operator.ledger.with_name("deliverer.sqlite.lock"), "ledger"):
        assert f"process {os.getpid()} runs with it" in one(operator.doctor(), "is sound")["text"]
    assert "no daemon runs" in one(operator.doctor(), "is sound")["text"]
    spoil(operator.ledger)
    assert one(operator.doctor(), "btreeInitPage")["fix"].endswith("dam deliverer recover")
    operator.ledger.rename(operator.ledger.with_name("deliverer.sqlite.aside-20250101T000000Z"))
    assert one(operator.doctor(), "is gone")["level"] == "fail"
