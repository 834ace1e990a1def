"""Deployment records: read strictly, written whole."""

import json
from pathlib import Path

import pytest

from dam.crypto.hashing import checksum
from dam.errors import ConfigError
from dam.market.deployment import dump_deployment, load_deployment, record_path, save_deployment
from dam.types import Deployment, Wei, Windows

DEPLOYMENT = Deployment(
    chain_id=31337,
    market=checksum(bytes(range(1, 21))),
    first_block=7,
    code_hash=bytes(range(32)),
    proofs=checksum(bytes(range(3, 23))),
    closing=checksum(bytes(range(4, 24))),
    windows=Windows(86400, 259200, 604800, 2246400, 3600, 7200, Wei(10**16), Wei(0), Wei(5)),
    governor=checksum(bytes(range(2, 22))),
)


def test_round_trip(tmp_path: Path) -> None:
    path = record_path(tmp_path / "deployments", 31337)
    save_deployment(DEPLOYMENT, path)
    save_deployment(DEPLOYMENT, path)
    assert path.name == "31337.json"
    assert load_deployment(path) == DEPLOYMENT
    assert [entry.name for entry in path.parent.iterdir()] == ["31337.json"]


def test_absent_names_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="ape run deploy"):
        load_deployment(tmp_path / "none.json")


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff\xfe{}", b"[" * 50_000, b" " * 9])
def test_no_record(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match="JSON object"):
        load_deployment(path)


def test_a_record_of_any_length(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(b" " * 70_000)
    with pytest.raises(ConfigError, match="longer than 65536 bytes; get the record"):
        load_deployment(path)


@pytest.mark.parametrize(
    ("key", "value", "fault"),
    [
        ("chainId", "31337", "chainId"),
        ("chainId", True, "chainId"),
        ("chainId", 0, "chainId"),
        ("version", 1, "version"),
        ("market", DEPLOYMENT.market.swapcase().replace("X", "x"), "checksum"),
        ("market", "0x" + "00" * 20, "checksum"),
        ("market", 5, "checksum"),
        ("proofs", "0x" + "00" * 20, "proofs must be"),
        ("closing", None, "closing must be"),
        ("firstBlock", -1, "JSON with a negative number"),
        ("firstBlock", 1.5, "JSON with a number that is not an integer"),
        ("codeHash", "0x12", "codeHash"),
        ("codeHash", None, "codeHash"),
        ("windows", [], "refundSeconds is missing"),
        ("extra", 1, "'extra' is unknown"),
    ],
)
def test_faults_are_named(tmp_path: Path, key: str, value: object, fault: str) -> None:
    record = json.loads(dump_deployment(DEPLOYMENT))
    record[key] = value
    path = tmp_path / "record.json"
    path.write_text(json.dumps(record))
    with pytest.raises(ConfigError, match=fault):
        load_deployment(path)


def test_all_faults_at_once(tmp_path: Path) -> None:
    record = json.loads(dump_deployment(DEPLOYMENT))
    record["chainId"] = "x"
    record["windows"]["refundSeconds"] = 0
    record["windows"]["minSellerStake"] = 5
    record["windows"]["junkFine"] = "-1"
    path = tmp_path / "record.json"
    path.write_text(json.dumps(record))
    with pytest.raises(ConfigError, match=r"chainId.*refundSeconds.*minSellerStake.*junkFine"):
        load_deployment(path)
