"""`dam deliverer init` and `config` against a real chain."""

from __future__ import annotations

import json
import socket
from dataclasses import replace
from decimal import Decimal

import pytest
from click.testing import CliRunner

from dam.cli.main import main
from dam.market.deployment import save_deployment
from dam.testing.nodes import AnvilNode
from tests.node.operator.commands import ALIAS, ETHER, FOREIGN, Operator, one


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
    assert done.exit_code == 2
    assert "no passphrase for the account" in done.stderr
    assert not nobody.keyfile.exists()
    made = nobody.init()
    assert made["made"] == {"config": False, "account": True, "ring": True}


def test_init_refuses_what_does_not_fit(nobody: Operator) -> None:
    save_deployment(replace(nobody.deployment, code_hash=bytes(32)), nobody.record)
    done = nobody(
        "deliverer", "init", "--rpc", nobody.chain.url, "--deployment", str(nobody.record)
    )
    assert done.exit_code == 2
    assert "other code" in done.stderr
    assert not nobody.home.exists()


@pytest.mark.parametrize("command", [("init",), ("deliverer", "init")], ids=" ".join)
def test_init_waits_for_a_node_as_long_as_was_said(
    nobody: Operator, command: tuple[str, ...]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        words = (*command, "--rpc", url, "--deployment", str(nobody.record))
        done = nobody(*words, DAM_RPC_TIMEOUT="1")
        assert done.exit_code != 0
        assert "took over 1 s" in done.stderr
        wrong = nobody(*words, DAM_RPC_TIMEOUT="0", code=2)
        assert "DAM_RPC_TIMEOUT" in wrong.stderr


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
    done = operator("deliverer", "config", "--check", DAM_CONFIRMATIONS="61", DAM_POLL="0", code=2)
    assert "DAM_CONFIRMATIONS" in done.stderr
    assert "DAM_POLL" in done.stderr


def test_the_buyers_init_looks_for_the_account(nobody: Operator, chain: AnvilNode) -> None:
    """It says who signs, with what coins, and what to do where either is missing."""
    words = ("init", "--rpc", chain.url, "--deployment", str(nobody.record))
    shown = nobody(*words, code=0).stdout
    assert "Account    none yet" in shown
    assert "  ape accounts generate NAME" in shown
    shown = nobody(*words, "--force", "--account", "ada", code=0).stdout
    assert "Account    ada, not there yet: there is no account ada in " in shown
    assert "  ape accounts generate ada" in shown
    (nobody.home / "config.toml").unlink()
    nobody.init()
    words = (*words, "--force", "--account", ALIAS)
    shown = nobody(*words, code=0).stdout
    assert f"{nobody.address} ({ALIAS}) has 0 wei" in shown
    assert f"  send coins to {nobody.address}" in shown
    chain.request("anvil_setBalance", nobody.address, hex(3 * 10**18))
    assert f"({ALIAS}) has 3 ether" in nobody(*words, code=0).stdout
    value = nobody(*words, "--json", code=0, parse=True)
    assert (value["address"], value["balance"]) == (nobody.address, str(3 * 10**18))
    assert nobody(*words[:-1], "no/name", code=2).stdout == ""
