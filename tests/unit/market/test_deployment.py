"""Deployment records: read strictly, written whole."""

import json
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from dam.crypto.hashing import checksum
from dam.errors import ConfigError
from dam.market.deployment import (
    CREATE2,
    PLAIN,
    UNKNOWN_ORIGIN,
    Adapter,
    Origin,
    Record,
    Timelock,
    dump_record,
    load_deployment,
    load_record,
    parse_record,
    record_path,
    save_deployment,
    save_record,
)
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

ORIGIN = Origin(
    profile="rollup",
    method=CREATE2,
    deployer=checksum(bytes(range(5, 25))),
    salt=bytes(range(1, 33)),
    first_time=1_800_000_000,
    timelock=Timelock(0, (checksum(bytes(range(6, 26))),)),
    adapter=Adapter(
        checksum(bytes(range(7, 27))), checksum(bytes(range(8, 28))), b"\x01", 3600, "ipfs://x"
    ),
    compiler="0.8.30+commit.73712a01",
    source_hash=bytes(range(2, 34)),
)
RECORD = Record(DEPLOYMENT, ORIGIN)
PLAIN_RECORD = Record(DEPLOYMENT, replace(ORIGIN, method=PLAIN, salt=None, adapter=None))
SCHEMA = json.loads((files("dam.market") / "schema" / "deployment-record.schema.json").read_bytes())


def test_round_trip(tmp_path: Path) -> None:
    path = record_path(tmp_path / "deployments", 31337)
    save_deployment(DEPLOYMENT, path)
    save_deployment(DEPLOYMENT, path)
    assert path.name == "31337.json"
    assert load_deployment(path) == DEPLOYMENT
    assert load_record(path).origin == UNKNOWN_ORIGIN
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
        ("version", "2", "version"),
        ("version", 1, "record of version 1, and this DAM reads version 2 alone"),
        ("version", 3, "record of version 3"),
        ("firstTime", -1, "JSON with a negative number"),
        ("profile", "L1", "profile must be"),
        ("method", "create3", "method must be"),
        ("method", "plain", "salt must be null"),
        ("salt", None, "salt must be 0x"),
        ("deployer", "0x" + "00" * 20, "deployer must be"),
        ("source", {"compiler": "0.8.30"}, "source.hash is missing"),
        ("source", {"compiler": "0.8.30", "hash": "0x" + "00" * 32}, "source.compiler must"),
        ("timelock", {"seconds": 1, "proposers": []}, "timelock.proposers must be a list"),
        ("timelock", {"seconds": 1, "proposers": [5]}, "timelock.proposers must be an address"),
        ("timelock", [], "timelock.seconds is missing"),
        ("adapter", {}, "adapter.arbitrator is missing"),
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
    record = json.loads(dump_record(RECORD))
    record[key] = value
    path = tmp_path / "record.json"
    path.write_text(json.dumps(record))
    with pytest.raises(ConfigError, match=fault):
        load_deployment(path)


def test_all_faults_at_once(tmp_path: Path) -> None:
    record = json.loads(dump_record(RECORD))
    record["chainId"] = "x"
    record["windows"]["refundSeconds"] = 0
    record["windows"]["minSellerStake"] = 5
    record["windows"]["junkFine"] = "-1"
    path = tmp_path / "record.json"
    path.write_text(json.dumps(record))
    with pytest.raises(ConfigError, match=r"chainId.*refundSeconds.*minSellerStake.*junkFine"):
        load_deployment(path)


@pytest.mark.parametrize("record", [RECORD, PLAIN_RECORD, Record(DEPLOYMENT, UNKNOWN_ORIGIN)])
def test_all_that_a_record_has(tmp_path: Path, record: Record) -> None:
    path = tmp_path / "record.json"
    save_record(record, path)
    assert load_record(path) == record
    Draft202012Validator(SCHEMA).validate(json.loads(path.read_bytes()))


def test_a_record_of_version_1_is_refused_by_name(tmp_path: Path) -> None:
    """It has other keys: nobody is told of those."""
    path = tmp_path / "record.json"
    path.write_text('{"version": 1, "chainId": 1, "windows": {"refundBlocks": 7200}}')
    with pytest.raises(ConfigError, match="version 1") as caught:
        load_record(path)
    assert "missing" not in str(caught.value)


def mutations() -> list[tuple[tuple[str, ...], object]]:
    """Each value of a whole record, replaced by each of some odd ones; and left out."""
    whole = json.loads(dump_record(RECORD))
    odd: list[object] = [None, True, 1.5, -1, 0, 2**63, "", "0x", "x" * 1025, [], {}, "plain"]

    def walk(value: object, path: tuple[str, ...]) -> list[tuple[tuple[str, ...], object]]:
        found = [(path, one) for one in odd]
        if isinstance(value, dict):
            for key, inner in value.items():
                found += walk(inner, (*path, key))
        return found

    return [entry for key, value in whole.items() for entry in walk(value, (key,))]


def test_reader_and_schema_refuse_the_same() -> None:
    """But for checksums, the zero address, and what JSON numbers may be, which no schema says."""
    validator = Draft202012Validator(SCHEMA)
    Draft202012Validator.check_schema(SCHEMA)
    for path, value in mutations():
        record = json.loads(dump_record(RECORD))
        inner = record
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value
        try:
            parse_record(record, "it")
        except ConfigError:
            read = False
        else:
            read = True
        assert validator.is_valid(record) == read, (path, value)
        del inner[path[-1]]
        assert not validator.is_valid(record), path
        with pytest.raises(ConfigError):
            parse_record(record, "it")
