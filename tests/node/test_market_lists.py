"""`dam market list`: signed by one person, looked at and taken from by another."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dam.keystore.ape_accounts import new_account
from dam.market.deployment import UNKNOWN_ORIGIN, Record, load_record, save_deployment, save_record
from dam.testing.market import MarketCode, deploy_market
from dam.testing.nodes import AnvilNode
from dam.types import Address
from tests.node.deploying import PROPOSER, made

SECRET = "a passphrase"
pytestmark = pytest.mark.slow


class People:
    """Ada signs; Bob has a home."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder, folder / "home"
        self.ape = {"APE_DATA_FOLDER": str(folder / "ape")}
        self.ada: Address = new_account("ada", SECRET, self.ape)[0]

    def dam(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        env = {"DAM_HOME": str(self.home), "APE_ACCOUNTS_ada_PASSPHRASE": SECRET, **self.ape}
        kept = {k: v for k, v in os.environ.items() if not k.startswith("DAM_")}
        done = subprocess.run(
            ["dam", *map(str, command)],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            env=kept | env,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def sign(self, out: str, serial: int, *records: str, **said: str) -> None:
        options = [f"--{key}={value}" for key, value in ({"name": "Ada's"} | said).items()]
        done = self.dam("market", "list", "sign", *records, f"--serial={serial}", *options,
                        "--account=ada", f"--out={out}")  # fmt: skip
        assert done.returncode == 0, done.stderr

    def check(self, *options: str) -> tuple[int, dict[str, Any]]:
        done = self.dam("market", "list", "check", *options, "--json")
        return done.returncode, json.loads(done.stdout)

    def add(self, *options: str) -> subprocess.CompletedProcess[str]:
        return self.dam("market", "list", "add", *options)

    def took(self, *options: str) -> dict[str, Any]:
        done = self.add(*options, f"--signer={self.ada}", "--yes", "--json")
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found


@pytest.fixture
def people(tmp_path: Path) -> People:
    return People(tmp_path)


def test_from_a_deployment_to_anothers_settings(people: People, anvil: AnvilNode) -> None:
    record, _ = made(anvil.url, people.folder / "near.json")
    far = replace(record, deployment=replace(record.deployment, chain_id=10))
    save_record(far, people.folder / "far.json")
    people.sign("one.json", 1, "near=near.json", "far=far.json")
    code, found = people.check("one.json")
    assert (code, found["signer"], found["faults"]) == (0, people.ada, [])
    assert found["markets"]["near"]["market"] == record.deployment.market
    stranger = people.add("one.json", f"--signer={PROPOSER}", "--yes")
    assert stranger.returncode == 1
    assert f"it is signed by {people.ada}, and not by {PROPOSER}" in stranger.stderr
    asked = people.add("one.json", "near", f"--signer={people.ada}")
    assert asked.returncode == 1
    assert "--yes" in asked.stderr
    assert not (people.home / "config.toml").exists()
    assert people.took("one.json", "near", f"--rpc=near={anvil.url}")["added"] == ["near"]
    shown = people.dam("buyer", "browse", "--json")
    assert shown.returncode == 0, shown.stderr
    # The other says that it is on this chain's node, which has chain 31337.
    lied = people.add("one.json", "far", f"--rpc=far={anvil.url}", f"--signer={people.ada}", "-y")
    assert lied.returncode == 1
    assert "market far is not what the list says: the node is of chain 31337" in lied.stderr
    without = people.add("one.json", f"--signer={people.ada}", "--yes")
    assert without.returncode == 0, without.stderr
    assert "market near is in the settings already" in without.stderr
    assert "market far has no node (--rpc far=URL): it is not compared" in without.stderr
    assert load_record(people.home / "records" / "far.json") == far
    both = people.dam("buyer", "browse", "--json")
    assert json.loads(both.stdout)["markets"]["near"] == json.loads(shown.stdout)


def test_a_newer_list_and_what_is_refused_after_it(
    people: People, anvil: AnvilNode, code: MarketCode
) -> None:
    at = deploy_market(anvil, code=code)
    save_deployment(at, people.folder / "a.json")
    other = replace(at, first_block=at.first_block + 1)
    save_deployment(other, people.folder / "b.json")
    people.sign("old.json", 1, "it=a.json")
    people.sign("new.json", 2, "it=b.json")
    people.sign("twin.json", 2, "it=a.json")
    people.took("old.json")
    refused = people.add("new.json", f"--signer={people.ada}", "--yes")
    assert refused.returncode == 2
    assert "the settings have another market it: --replace" in refused.stderr
    assert people.check("old.json")[0] == 0  # nothing was taken
    assert people.took("new.json", "--replace")["replaced"] == ["it"]
    assert load_record(people.home / "records" / "it.json") == Record(other, UNKNOWN_ORIGIN)
    for file, fault in (("old.json", "serial 1 is older than 2"), ("twin.json", "another list")):
        code_, found = people.check(file)
        assert code_ == 1
        assert fault in found["faults"][0]
        done = people.add(file, f"--signer={people.ada}", "--yes", "--replace")
        assert done.returncode == 1
        assert fault in done.stderr
    assert people.took("new.json")["kept"] == {"it": "it"}


def test_a_market_that_is_not_what_its_record_says(
    people: People, anvil: AnvilNode, code: MarketCode
) -> None:
    """Its signer may be honest and wrong: the chain says what it is."""
    at = deploy_market(anvil, code=code)
    cheaper = replace(at, windows=replace(at.windows, junk_fine=at.windows.junk_fine - 1))
    save_deployment(cheaper, people.folder / "a.json")
    people.sign("one.json", 1, "it=a.json")
    done = people.add("one.json", f"--rpc=it={anvil.url}", f"--signer={people.ada}", "--yes")
    assert done.returncode == 1
    assert "has other code than our sources give under the record's setup" in done.stderr
    assert not people.home.exists()


def test_files_from_anybody(people: People, anvil: AnvilNode, code: MarketCode) -> None:
    file = people.folder / "x.json"
    for data, why in (
        (b"", "no list of markets: not JSON"),
        (b" " * ((1 << 20) + 1), "longer than 1048576 bytes"),
        (b"[" * 100_000, "deeper than 5 levels"),
        (b'{"kind": "DAM market list 1"}', "lacks name"),
    ):
        file.write_bytes(data)
        for command in (("check", "x.json"), ("add", "x.json", f"--signer={people.ada}", "-y")):
            done = people.dam("market", "list", *command)
            assert done.returncode in (1, 2), done
            assert why in done.stderr
    os.mkfifo(people.folder / "pipe")
    assert "not a file" in people.dam("market", "list", "check", "pipe").stderr
    save_deployment(deploy_market(anvil, code=code), people.folder / "a.json")
    people.sign("one.json", 1, "it=a.json")
    value = json.loads((people.folder / "one.json").read_bytes())
    file.write_text(json.dumps(value | {"serial": 9}))
    exit_code, found = people.check("x.json")
    assert exit_code == 1
    assert "did not sign this" in found["faults"][0]
    assert people.add("x.json", f"--signer={people.ada}", "--yes").returncode == 1
    assert not people.home.exists()


def test_what_cannot_be_signed(people: People, anvil: AnvilNode, code: MarketCode) -> None:
    save_deployment(deploy_market(anvil, code=code), people.folder / "a.json")
    people.sign("one.json", 1, "it=a.json")
    rest = ("--name=x", "--serial=1", "--account=ada", "--out=two.json")
    for records, why in (
        (("it=a.json", "that=a.json"), "market that is it once more"),
        (("It=a.json",), "'It' is no name of a market"),
        (("it=a.json", "it=a.json"), "each name once"),
        (("a.json",), "NAME=RECORD"),
        (("it=none.json",), "none.json"),
    ):
        done = people.dam("market", "list", "sign", *records, *rest)
        assert done.returncode in (1, 2), done
        assert why in done.stderr
    assert not (people.folder / "two.json").exists()
    again = people.dam("market", "list", "sign", "it=a.json", *rest[:3], "--out=one.json")
    assert again.returncode == 1
    assert "one.json is there already" in again.stderr
