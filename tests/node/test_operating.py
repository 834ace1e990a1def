"""What an operator types, against a real chain: init, doctor, status, recover, config."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from eth_account import Account

from dam.cli.main import main
from dam.crypto.hashing import parse_address
from dam.daemon import locks
from dam.diagnostics import host_checks
from dam.keystore.key_files import load_ring, new_ring, rotate_ring
from dam.ledger.ledger import Binding, Ledger
from dam.market.abi import encode
from dam.market.deployment import load_deployment, save_deployment
from dam.testing.market import SHORT_WINDOWS, deploy_market, transact
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


@pytest.fixture(scope="module")
def chain() -> Iterator[AnvilNode]:
    with AnvilNode() as node:
        yield node


@pytest.fixture(scope="module")
def deployment(chain: AnvilNode, code: bytes) -> Deployment:
    governor = Address(chain.request("eth_accounts")[9])
    made = deploy_market(chain, SHORT_WINDOWS, governor=governor, code=code)
    chain.mine(5)
    return made


@pytest.fixture(scope="module")
def template(
    chain: AnvilNode, deployment: Deployment, tmp_path_factory: pytest.TempPathFactory
) -> Operator:
    """A staked deliverer, whose folder is copied for each test."""
    made = Operator(tmp_path_factory.mktemp("operator"), chain, deployment)
    made.init()
    # The same account behind a lock that opens in no time.
    key = Account.decrypt(json.loads(made.keyfile.read_bytes()), PASSPHRASE)
    made.keyfile.write_text(json.dumps(Account.encrypt(key, PASSPHRASE, iterations=2)))
    made.stake()
    return made


@pytest.fixture
def operator(template: Operator, tmp_path: Path) -> Operator:
    shutil.copytree(template.folder, tmp_path, dirs_exist_ok=True)
    made = Operator(tmp_path, template.chain, template.deployment)
    config = made.home / "config.toml"
    config.write_text(config.read_text().replace(str(template.folder), str(tmp_path)))
    # A copied file's mode is the copy's; what was made was closed.
    made.ring.parent.chmod(0o700)
    return made


@pytest.fixture
def nobody(chain: AnvilNode, deployment: Deployment, tmp_path: Path) -> Operator:
    return Operator(tmp_path, chain, deployment)


# ------------------------------------------------------------------------------------------ init


def test_from_nothing_to_a_stake(nobody: Operator) -> None:
    """Without a prompt; again at any time; nothing that is there is ever replaced."""
    made = nobody.init("--min-fee", "0.0002 ether")
    assert made["made"] == {"config": True, "account": True, "ring": True}
    assert [step.split("  ")[0] for step in made["next"]][2:4] == [
        "dam deliverer stake '0.01 ether' --owner 0xYourColdAddress",
        "dam deliverer doctor",
    ]
    for path in (nobody.ring, nobody.keyfile, nobody.home / "config.toml"):
        assert path.stat().st_mode & 0o777 == 0o600
    assert made["address"] == nobody.address
    kept = {path: path.read_bytes() for path in nobody.folder.rglob("*") if path.is_file()}
    again = nobody.init("--min-fee", "0.5 ether")
    assert again["made"] == {"config": False, "account": False, "ring": False}
    assert (again["address"], again["publicKey"]) == (made["address"], made["publicKey"])
    assert {p: p.read_bytes() for p in nobody.folder.rglob("*") if p.is_file()} == kept
    settings = nobody("deliverer", "config", "--json", parse=True)["settings"]
    assert settings["min_fee"] == {"value": "0.0002 ether", "from": "config.toml"}
    nobody.stake()
    after = nobody.init()
    assert after["staked"]
    assert not [step for step in after["next"] if "stake '" in step or step.startswith("send")]


def test_init_goes_on_where_it_broke_off(nobody: Operator) -> None:
    done = nobody(
        *("deliverer", "init", "--rpc", nobody.chain.url, "--deployment", str(nobody.record)),
        **{f"APE_ACCOUNTS_{ALIAS}_PASSPHRASE": None},
    )
    assert done.exit_code == 1
    assert "no passphrase for the account" in done.stderr
    assert not nobody.keyfile.exists()
    made = nobody.init()
    assert made["made"] == {"config": False, "account": True, "ring": True}


def test_init_refuses_what_does_not_fit(nobody: Operator) -> None:
    save_deployment(replace(nobody.deployment, code_hash=bytes(32)), nobody.record)
    done = nobody(
        "deliverer", "init", "--rpc", nobody.chain.url, "--deployment", str(nobody.record)
    )
    assert done.exit_code == 1
    assert "other code" in done.stderr
    assert not nobody.home.exists()


def test_init_on_a_terminal_asks_again(
    nobody: Operator, chain: AnvilNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slip of the hand costs one line, not all that was typed before it."""
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda self: True)
    typed = (
        *("http://127.0.0.1:1", "ftp://127.0.0.1", chain.url),
        *("http://127.0.0.1:1", f"dir:{nobody.folder / 'blocks'}"),
        *("", "ten coins", "0.0002 ether", "y", "one", "two", "three", "three"),
    )
    env: dict[str, str | None] = {**dict.fromkeys(FOREIGN), **nobody.env}
    env |= {f"APE_ACCOUNTS_{ALIAS}_PASSPHRASE": None}
    words = ["deliverer", "init", "--deployment", str(nobody.record)]
    done = CliRunner(mix_stderr=False, env=env).invoke(main, words, input="\n".join(typed) + "\n\n")
    assert done.exit_code == 0, (done.stdout, done.stderr)
    assert done.stderr.count("once more, or Ctrl-C") == 4
    assert "the two differ" in done.stderr
    config = (nobody.home / "config.toml").read_text()
    assert config.count("min_fee") == 1
    shown = nobody("deliverer", "config", "--json", parse=True)["settings"]
    assert shown["min_fee"]["value"] == "0.0002 ether"


def test_what_init_asks_for_is_enough(nobody: Operator) -> None:
    """Stake, registration, and the hundred parts that the doctor wants the balance to last for."""
    nobody.chain.mine(200)  # The base fee has gone to nothing, and so falls no more.
    [send] = [step for step in nobody.init()["next"] if step.startswith("send about ")]
    nobody.fund(int(Decimal(send.split()[2]) * ETHER))
    nobody("deliverer", "stake", "0.01 ether", "--yes", code=0)
    assert one(nobody.doctor(), "a lone part costs about")["level"] == "ok"


# ---------------------------------------------------------------------------------------- config


def test_config_tells_where_each_setting_was_said(operator: Operator) -> None:
    shown = operator(
        "deliverer",
        "config",
        "--json",
        parse=True,
        DAM_RPC_URL="https://user:pass@node.example:8443/v3/0123456789?key=abc",
        DAM_ACCOUNT="other",
    )
    text = json.dumps(shown)
    settings = shown["settings"]
    assert settings["rpc"] == {"value": "https://node.example:8443/***", "from": "DAM_RPC_URL"}
    for secret in ("user", "pass", "0123456789", "abc"):
        assert secret not in text.replace("deliverer", "")
    assert settings["accounts"]["from"] == "DAM_ACCOUNT"
    assert settings["confirmations"] == {"value": "2", "from": "config.toml"}
    assert settings["halt_depth"]["from"] == "default"
    human = operator("deliverer", "config", code=0).stdout
    assert {line.split()[0] for line in human.splitlines()} >= {"setting", "home", *settings}


def test_config_check_names_all_faults(operator: Operator) -> None:
    assert "complete" in operator("deliverer", "config", "--check", code=0).stdout
    done = operator("deliverer", "config", "--check", DAM_CONFIRMATIONS="61", DAM_POLL="0", code=1)
    assert "DAM_CONFIRMATIONS" in done.stderr
    assert "DAM_POLL" in done.stderr


# ---------------------------------------------------------------------------------------- doctor


def test_all_is_well(operator: Operator) -> None:
    findings = operator.doctor()
    assert bad(findings) == []
    # One account is both hot and owner, and Anvil's blocks come when they like.
    warned = {f["text"].split(":")[0] for f in findings if f["level"] == "warn"}
    assert warned <= {"the hot account owns the stake"}
    assert {f["check"].split()[0] for f in findings} == {
        "settings", "keys", "account", "rpc", "record", "balance", "stake", "key", "ipfs",
        "ledger", "disk", "files", "clock",
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


def test_a_key_that_somebody_else_registered_first(nobody: Operator, template: Operator) -> None:
    key = load_ring(template.ring, PASSPHRASE).current.public
    nobody.init()
    nobody.fund()
    account = nobody.address
    nobody.chain.request("anvil_impersonateAccount", account)
    data = encode("stakeAsDeliverer", key)
    transact(nobody.chain, account, nobody.deployment.market, data, 10**16)
    assert "key: another deliverer registered this key first" in bad(nobody.doctor())


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
    nobody.chain.mine(SHORT_WINDOWS.slash_delay_blocks + 1)
    [number] = [
        s["id"]
        for s in nobody("deliverers", "--json", parse=True)["slashes"]
        if s["operator"] == nobody.address
    ]
    transact(nobody.chain, governor, nobody.deployment.market, encode("executeSlashing", number))
    low = one(nobody.doctor(), "0.001 ether, minimum 0.01 ether")
    assert (low["level"], low["fix"]) == ("fail", "dam deliverer stake '0.009 ether'")


def test_a_cold_owner_is_no_finding(nobody: Operator) -> None:
    nobody.init()
    nobody.stake("--owner", "0x000000000000000000000000000000000000dead")
    assert bad(nobody.doctor(), level="warn") == []


def test_the_wrong_chain_and_the_wrong_market(operator: Operator, code: bytes) -> None:
    with AnvilNode(chain_id=5) as other:
        assert "is on chain 5" in bad(operator.doctor(DAM_RPC_URL=other.url))[0]
    with AnvilNode() as empty:
        assert "no code, unlike" in bad(operator.doctor(DAM_RPC_URL=empty.url))[0]
    record = operator.home / "deployment.json"
    windows = replace(operator.deployment.windows, refund_blocks=400)
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
    assert one(kubo, "block/put")["text"].startswith("http://127.0.0.1:1: ")
    operator.chain.request("anvil_setNextBlockBaseFeePerGas", hex(5 * 10**9))
    operator.chain.mine()
    dear = operator.doctor("--address", "0x" + "11" * 20, DAM_MAX_FEE_GWEI="1")
    assert "raise max_fee_gwei" in one(dear, "over max_fee_gwei 1")["fix"]


def test_nodes_that_disagree(operator: Operator, code: bytes) -> None:
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


def test_a_tag_that_is_far_behind(operator: Operator) -> None:
    operator.chain.mine(120)
    safe = one(operator.doctor(DAM_CONFIRMATIONS="safe"), "blocks behind the head")
    assert safe["level"] == "ok"


def test_clocks(operator: Operator, code: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
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


def open_ledger(operator: Operator) -> Ledger:
    operator.state.mkdir(parents=True, exist_ok=True)
    deployment = operator.deployment
    binding = Binding(deployment.chain_id, deployment.market, operator.address, "deliverer")
    return Ledger.open(operator.ledger, binding)


def spoil(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[3 * 4096 : 8 * 4096] = b"\xa5" * (5 * 4096)
    path.write_bytes(data)


# ---------------------------------------------------------------------------------------- status


def test_status_with_and_without_each_part(operator: Operator) -> None:
    """Node, ledger and daemon may each be missing; the rest is shown."""
    alone = operator("deliverer", "status", "--json", parse=True)
    assert alone["eligible"]
    assert alone["stake"] == str(5 * 10**16)
    assert alone["daemon"]["ledger"] is None
    assert not alone["daemon"]["running"]
    ledger = open_ledger(operator)
    ledger.note("no_balance", account="us")
    with locks.exclusive(operator.ledger.with_name("deliverer.sqlite.lock"), "ledger"):
        down = operator(
            "deliverer", "status", "--json", parse=True, DAM_RPC_URL="http://127.0.0.1:1"
        )
        text = operator("deliverer", "status", DAM_RPC_URL="http://127.0.0.1:1", code=0).stdout
    ledger.close()
    assert not down["node"]["reachable"]
    assert down["daemon"]["process"] == str(os.getpid())
    assert [note["event"] for note in down["daemon"]["ledger"]["journal"]] == ["no_balance"]
    assert "cannot be asked" in text
    assert f"runs (process {os.getpid()})" in text
    assert "no_balance" in text


def test_status_of_a_stranger(nobody: Operator) -> None:
    nobody.init()
    done = nobody("deliverer", "status", code=1)
    assert "run `dam deliverer stake AMOUNT`" in done.stderr


def test_status_again_and_again(operator: Operator) -> None:
    done = operator(
        "deliverer", "status", "--watch", "--times", "3", "--interval", "0.2", "--json", code=0
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == 3
    assert {line["stake"] for line in lines} == {str(5 * 10**16)}
    plain = operator("deliverer", "status", "--watch", "--times", "2", "--interval", "0.2", code=0)
    assert plain.stdout.count("minimum 0.01 ether") == 2


def test_watching_sees_what_changes(operator: Operator) -> None:
    """The history is read once, then only its newest part: a change must still be seen."""
    from dam.config.settings import Settings
    from dam.diagnostics.snapshot import Watcher
    from dam.ethereum.node_pool import NodePool

    async def looks() -> list[int]:
        settings = Settings.load({**operator.env})
        async with NodePool(settings.rpc_urls) as rpc:
            watcher = Watcher(settings, "deliverer", operator.address, rpc)
            found = [await watcher.look()]
            for _ in range(2):
                governor = operator.deployment.governor
                slash = encode("proposeSlashing", operator.address, 1, governor, bytes(32))
                transact(operator.chain, governor, operator.deployment.market, slash)
                operator.chain.mine(30)
                found.append(await watcher.look())
            return [len(one.chain.slashes) if one.chain else -1 for one in found]

    counts = asyncio.run(looks())
    assert [count - counts[0] for count in counts] == [0, 1, 2]
    governor = operator.deployment.governor
    for slash in operator("deliverers", "--json", parse=True)["slashes"]:
        transact(
            operator.chain,
            governor,
            operator.deployment.market,
            encode("cancelSlashing", slash["id"]),
        )


# --------------------------------------------------------------------------------------- recover


def test_recover(operator: Operator) -> None:
    """Refuses beside a daemon, leaves a sound ledger alone, reads the chain into a new one."""
    assert "nothing to recover" in operator("deliverer", "recover", code=1).stderr
    open_ledger(operator).close()
    assert "is sound" in operator("deliverer", "recover", code=0).stdout
    lock = operator.ledger.with_name("deliverer.sqlite.lock")
    spoil(operator.ledger)
    bytes_before = operator.ledger.read_bytes()
    with locks.exclusive(lock, "ledger"):
        done = operator("deliverer", "recover", "--yes", code=1)
        assert f"process {os.getpid()} already runs" in done.stderr
    # Nobody is there to ask.
    assert "--yes" in operator("deliverer", "recover", code=1).stderr
    assert operator.ledger.read_bytes() == bytes_before
    value = operator("deliverer", "recover", "--json", code=0, parse=True)
    assert Path(value["aside"]).read_bytes() == bytes_before
    assert value["read"].startswith("read to block ")
    with closing(sqlite3.connect(operator.ledger)) as db:
        [[cursor]] = db.execute("SELECT number FROM cursor")
    assert cursor == int(operator.chain.request("eth_blockNumber"), 16) - 2
    open_ledger(operator).close()


def test_a_lost_ledger_is_not_replaced_in_silence(operator: Operator) -> None:
    """An older file knows to whom parts were sealed, which the chain does not tell."""
    open_ledger(operator).close()
    lost = operator.ledger.rename(operator.ledger.with_name("deliverer.sqlite.aside-20250101T0Z"))
    code, said = daemon_once(operator)
    assert code == 2
    assert f"{operator.ledger} is gone, and {lost.name} is there" in said
    assert "dam deliverer recover" in said
    assert not operator.ledger.exists()
    operator("deliverer", "recover", "--yes", code=0)
    code, said = daemon_once(operator)
    assert code == 0, said


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


def test_recover_without_a_node(operator: Operator) -> None:
    open_ledger(operator).close()
    operator.ledger.write_bytes(b"no ledger at all, but of some length" * 1000)
    done = operator("deliverer", "recover", "--yes", DAM_RPC_URL="http://127.0.0.1:1", code=0)
    assert "the daemon does that when it starts" in done.stdout
    assert "file is not a database" in done.stdout
    open_ledger(operator).close()


def test_looking_again_at_what_an_internal_error_refused(operator: Operator) -> None:
    with closing(open_ledger(operator)) as ledger:
        ledger.db.execute(
            "INSERT INTO documents (seller, digest, root, state, reason) "
            "VALUES ('s', x'00', x'00', 'refused', 'internal error: ZeroDivisionError')"
        )
    done = operator("deliverer", "recover", "--retry", "--json", code=0, parse=True)
    assert done == {"lookedAtAgain": 1}
    done = operator("deliverer", "recover", "--retry", "--json", code=0, parse=True)
    assert done == {"lookedAtAgain": 0}


# -------------------------------------------------------------------------------------- watchdog


def test_a_watchdog_without_a_shop(operator: Operator) -> None:
    for command in ("doctor", "status", "recover"):
        done = operator("watchdog", command, "--account", ALIAS)
        text = done.stdout + done.stderr
        assert done.exit_code == (command != "status"), text
