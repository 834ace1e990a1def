"""Several markets in one file of settings: one is chosen, and the rest is as with one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dam.config.settings import (
    Settings,
    from_env_and_file,
    node_settings,
    origins,
    unchosen_markets,
)
from dam.errors import ConfigError
from dam.market.deployment import save_deployment
from dam.types import Deployment

FILE = """
confirmations = 3

[accounts]
default = "ada"

[markets.main]
rpc = "http://main.example"
deployment = "main.json"

[markets.op]
rpc = ["http://op.example", "http://op.other"]
deployment = "op.json"
confirmations = 20
"""


@pytest.fixture
def home(tmp_path: Path, deployment: Deployment) -> Path:
    save_deployment(replace(deployment, chain_id=1), tmp_path / "main.json")
    save_deployment(replace(deployment, chain_id=10), tmp_path / "op.json")
    (tmp_path / "config.toml").write_text(FILE)
    return tmp_path


def load(home: Path, **more: str) -> Settings:
    return from_env_and_file({"DAM_HOME": str(home), **more})


def test_each_market_has_its_own_and_shares_the_rest(home: Path) -> None:
    main, op = load(home, DAM_MARKET="main"), load(home, DAM_MARKET="op")
    assert (main.market_name, op.market_name) == ("main", "op")
    assert (main.deployment.chain_id, op.deployment.chain_id) == (1, 10)
    assert (main.confirmations, op.confirmations) == (3, 20)
    assert op.rpc_urls == ("http://op.example", "http://op.other")
    assert op.rpc_agree == 2
    assert main.account("seller") == op.account("seller") == "ada"
    # One address on two chains: nothing of one is the other's.
    assert main.state != op.state
    said = origins({"DAM_HOME": str(home), "DAM_MARKET": "op"})
    assert said["confirmations"].startswith("markets.op.confirmations in ")
    assert load(home, DAM_MARKET="op", DAM_CONFIRMATIONS="1").confirmations == 1


def test_nobody_guesses_which_of_several_is_meant(home: Path) -> None:
    with pytest.raises(ConfigError, match=r"several markets \(main, op\).*--market NAME"):
        load(home)
    with pytest.raises(ConfigError, match="no market 'base' in the settings: main, op"):
        load(home, DAM_MARKET="base")
    assert unchosen_markets({"DAM_HOME": str(home)}) == ["main", "op"]
    assert unchosen_markets({"DAM_HOME": str(home), "DAM_MARKET": "op"}) == []


def test_one_market_needs_no_choice(home: Path) -> None:
    (home / "config.toml").write_text(FILE[: FILE.index("[markets.op]")])
    assert load(home).market_name == "main"
    assert load(home).deployment.chain_id == 1
    assert unchosen_markets({"DAM_HOME": str(home)}) == []


def test_a_file_without_markets_is_what_it_was(home: Path) -> None:
    (home / "config.toml").write_text('rpc = "http://a.example"\ndeployment = "op.json"\n')
    assert load(home).market_name == ""
    with pytest.raises(ConfigError, match="no market 'op' in the settings: the settings name none"):
        load(home, DAM_MARKET="op")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("markets = 5", "markets is no table"),
        ("[markets]\nmain = 5", "markets.'main' is no market"),
        ('[markets."Main Net"]\nrpc = "http://a.example"', "'Main Net' is no market"),
        ('[markets.main]\nnode = "http://a.example"', "'node' in .* is not a setting"),
        ('[markets.main]\nrpc = "SECRETKEY"', "markets.main.rpc in .*: not an http"),
        (
            'market = "main"\n[markets.main]\nrpc = "http://a.example"',
            "'market' in .* is not a set",
        ),
    ],
)
def test_what_is_wrong_is_named(home: Path, text: str, fault: str) -> None:
    (home / "config.toml").write_text(text)
    with pytest.raises(ConfigError, match=fault) as caught:
        load(home)
    assert "SECRETKEY" not in str(caught.value)


def test_how_a_node_is_asked_needs_neither_a_market_nor_the_rest(home: Path) -> None:
    """Who names node and record on the command line still has their own patience."""
    env = {"DAM_HOME": str(home)}
    path = home / "config.toml"
    assert node_settings(env)[0] == 20
    path.write_text("rpc_timeout_seconds = 7\nrpc_batch = 3\nnonsense = 1\n" + FILE)
    timeout, limits = node_settings(env)
    assert (timeout, limits.calls) == (7, 3)
    path.write_text(path.read_text() + "rpc_timeout_seconds = 9\n")
    assert node_settings(env | {"DAM_MARKET": "op"})[0] == 9
    assert node_settings(env)[0] == 7
    assert node_settings(env | {"DAM_RPC_TIMEOUT": "8"})[0] == 8
    with pytest.raises(ConfigError, match="DAM_RPC_TIMEOUT: "):
        node_settings(env | {"DAM_RPC_TIMEOUT": "0"})
    # `dam init --force` replaces the file, whatever is wrong with it.
    path.write_text("rpc_timeout_seconds = 0\nmarkets = 1\n")
    said = env | {"DAM_MARKET": "op", "DAM_RPC_TIMEOUT": "8"}
    assert node_settings(said, with_file=False)[0] == 8
