"""Markets of a list become tables of the settings: added at their end, and nothing else changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dam.config.market_lists import load_seen, plan_markets, save_seen, seen_key
from dam.config.settings import from_env_and_file
from dam.errors import ConfigError
from dam.market.deployment import load_record, save_record
from dam.market.market_list import Seen, parse_list
from tests.unit.helpers.markets import Signer, record_of, signed

OLD = record_of(1)
NEW = record_of(10)
FILE = """# mine
confirmations = 3  # enough

[markets.main]
deployment = "main.json"
rpc = "http://main.example"
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    save_record(OLD, tmp_path / "main.json")
    (tmp_path / "config.toml").write_text(FILE)
    return tmp_path


def config(home: Path) -> str:
    return (home / "config.toml").read_text()


def test_a_table_is_added_and_the_rest_stays_to_the_letter(home: Path) -> None:
    plan = plan_markets(home, {"op": NEW}, {"op": ["http://a.example", "http://b.example"]})
    assert config(home) == FILE
    assert not (home / "records").exists()
    plan.write()
    assert config(home).startswith(FILE)
    found = from_env_and_file({"DAM_HOME": str(home), "DAM_MARKET": "op"})
    assert found.deployment == NEW.deployment
    assert found.rpc_urls == ("http://a.example", "http://b.example")
    assert found.confirmations == 3
    assert load_record(home / "records" / "op.json") == NEW
    assert from_env_and_file({"DAM_HOME": str(home), "DAM_MARKET": "main"}).deployment.chain_id == 1
    assert (home / "config.toml").stat().st_mode & 0o777 == 0o600
    again = plan_markets(home, {"op": NEW, "other": NEW, "one": OLD}, {})
    assert (again.added, again.replaced, again.config) == ([], [], "")
    assert again.kept == {"op": "op", "other": "op", "one": "main"}


def test_without_settings_there_are_some_then(tmp_path: Path) -> None:
    plan_markets(tmp_path, {"op": NEW}, {"op": ["http://a.example"]}).write()
    found = from_env_and_file({"DAM_HOME": str(tmp_path)})
    assert (found.market_name, found.rpc_urls) == ("op", ("http://a.example",))


def test_a_node_may_be_named_later(home: Path) -> None:
    plan_markets(home, {"op": NEW}, {}).write()
    assert '# rpc = "https://..."' in config(home)
    with pytest.raises(ConfigError, match="rpc is not set"):
        from_env_and_file({"DAM_HOME": str(home), "DAM_MARKET": "op"})


def test_no_market_is_replaced_unless_that_was_said(home: Path) -> None:
    newer = replace(NEW, deployment=replace(NEW.deployment, first_block=9))
    plan_markets(home, {"op": NEW}, {"op": ["http://a.example"]}).write()
    before = config(home)
    for other in (newer, record_of(10, 9)):
        with pytest.raises(ConfigError, match=r"another market op: --replace .* NEW=NAME"):
            plan_markets(home, {"op": other}, {})
    plan = plan_markets(home, {"op": newer}, {}, replace=True)
    assert (plan.added, plan.replaced, plan.config) == ([], ["op"], "")
    assert plan.nodes == {"op": ("http://a.example",)}
    plan.write()
    assert config(home) == before
    assert load_record(home / "records" / "op.json") == newer
    # A file that the user put there is theirs.
    with pytest.raises(ConfigError, match="a file of yours"):
        plan_markets(home, {"main": record_of(12)}, {}, replace=True)
    (home / "records" / "x.json").write_text("{}")
    with pytest.raises(ConfigError, match="of no market in the settings: take it away"):
        plan_markets(home, {"x": record_of(11)}, {})


def test_a_market_without_a_name_goes_on_under_one(home: Path) -> None:
    path = home / "config.toml"
    path.write_text('rpc = "http://main.example"\ndeployment = "main.json"\nmin_fee = 5')
    with pytest.raises(ConfigError, match="--current-as NAME"):
        plan_markets(home, {"op": NEW}, {})
    for name in ("op", "Mine", ""):
        with pytest.raises(ConfigError, match="--current-as"):
            plan_markets(home, {"op": NEW}, {}, current_as=name)
    plan_markets(home, {"op": NEW}, {"op": ["http://a.example"]}, current_as="mine").write()
    mine = from_env_and_file({"DAM_HOME": str(home), "DAM_MARKET": "mine"})
    assert (mine.deployment, mine.rpc_url, mine.min_fee) == (
        OLD.deployment, "http://main.example", 5
    )  # fmt: skip
    assert from_env_and_file({"DAM_HOME": str(home), "DAM_MARKET": "op"}).deployment.chain_id == 10
    # The market that is there already needs no table.
    path.write_text('rpc = "http://main.example"\ndeployment = "main.json"\n')
    kept = plan_markets(home, {"main": OLD}, {})
    assert (kept.kept, kept.config) == ({"main": ""}, "")


@pytest.mark.parametrize(
    "text",
    [
        'markets = {main = {deployment = "main.json"}}\n',
        'markets.main.deployment = "main.json"\nmarkets.op.rpc = "x"\n[accounts]\n[markets.a',
        "a = [",
    ],
)
def test_settings_of_another_form_stay_as_they_are(home: Path, text: str) -> None:
    (home / "config.toml").write_text(text)
    with pytest.raises(ConfigError, match=r"by hand:\n\n\[markets.new\]\n|not valid TOML"):
        plan_markets(home, {"new": NEW}, {})
    assert config(home) == text


def test_settings_that_would_be_too_long_to_be_read(home: Path) -> None:
    (home / "config.toml").write_text("#" * (64 << 10))
    with pytest.raises(ConfigError, match="longer than 65536 bytes"):
        plan_markets(home, {"op": NEW}, {})


def test_a_link_to_settings_stays_one(home: Path) -> None:
    (home / "config.toml").rename(home / "kept.toml")
    (home / "config.toml").symlink_to("kept.toml")
    plan_markets(home, {"op": NEW}, {}).write()
    assert (home / "config.toml").is_symlink()
    assert "[markets.op]" in (home / "kept.toml").read_text()


def test_what_was_taken_is_remembered_by_signer_and_name(home: Path) -> None:
    assert load_seen(home) == {}
    lists = [
        parse_list(signed({"op": NEW}, signer, **said).encode())
        for signer, said in (
            (Signer(1), {"serial": 3}), (Signer(1), {"serial": 5}), (Signer(2), {"serial": 2}),
            (Signer(1), {"name": "Others"}),
        )
    ]  # fmt: skip
    for found in lists:
        save_seen(home, found)
    assert load_seen(home) == {
        seen_key(one): Seen(one.serial, one.digest) for one in (lists[1], lists[2], lists[3])
    }


@pytest.mark.parametrize(
    "text", ["[]", '{"a": 5}', '{"a": {"serial": 0, "digest": "0x"}}', "[" * 9000, "\xff"]
)
def test_a_damaged_memory_is_told(home: Path, text: str) -> None:
    (home / "market-lists.json").write_text(text, "latin-1")
    with pytest.raises(ConfigError, match=r"market-lists.json cannot be read.*Take it away"):
        load_seen(home)
