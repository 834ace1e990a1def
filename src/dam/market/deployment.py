"""The deployment record: which contract, on which chain, under which windows, and made how.

A JSON object, written by ``scripts/deploy.py`` and read by every tool; its format is in
docs/reference/deployment-record.md, made from ``schema/deployment-record.schema.json``.
"""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from dam.atomic_file import read_regular, write_atomic
from dam.crypto.hashing import parse_address
from dam.errors import ConfigError, Malformed
from dam.ipfs import dag_json
from dam.types import ZERO_ADDRESS, Address, Deployment, Wei, Windows

VERSION = 2
MAX_FILE_BYTES = 64 << 10
MAX_PROPOSERS = 64
_MAX_EXTRA_BYTES = 4096
_MAX_URI_CHARACTERS = 1024
_PROFILE = re.compile(r"[a-z][a-z0-9-]{0,31}", re.ASCII)
_COMPILER = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3}){2}\+commit\.[0-9a-f]{8}", re.ASCII)
_KEYS = {
    "version", "chainId", "market", "firstBlock", "firstTime", "codeHash", "proofs", "closing",
    "windows", "governor", "timelock", "adapter", "profile", "method", "deployer", "salt", "source",
}  # fmt: skip
_WINDOWS = {
    re.sub("_(.)", lambda match: match[1].upper(), field.name): field.name
    for field in fields(Windows)
}
"""Key in the record, and field: seconds if it says so, else an amount."""
_NEXT = "get the record that came with the deployment, or deploy with `ape run deploy`"
_OLD = (
    "this is a record of version {version}, and this DAM reads version 2 alone: a market of "
    "another version is another contract; use the DAM of that version, or " + _NEXT
)

Method = Literal["create2", "plain"]
CREATE2: Method = "create2"
"""Its address proves its code and its setup, and is the same on every chain."""
PLAIN: Method = "plain"
"""Made by an account's own transaction: the address follows from account and nonce."""


@dataclass(frozen=True, slots=True)
class Timelock:
    """How the market's governor was made, where it is OpenZeppelin's timelock."""

    seconds: int
    proposers: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter to an arbitrator of ERC-792 (``Erc792Adapter.sol``)."""

    address: Address
    arbitrator: Address
    extra_data: bytes
    submit_seconds: int
    meta_evidence: str


@dataclass(frozen=True, slots=True)
class Origin:
    """How a deployment came about: with it `dam market verify` proves what the market is."""

    profile: str
    method: Method
    deployer: Address
    """The contract that made all others; of a plain deployment the account."""
    salt: bytes | None
    """Of CREATE2."""
    first_time: int = 0
    """Seconds UTC of the block of the deployment."""
    timelock: Timelock | None = None
    adapter: Adapter | None = None
    compiler: str = ""
    """``0.8.30+commit.73712a01``; empty: the record does not know."""
    source_hash: bytes = b""
    """See `dam.market.code.source_hash`; empty likewise."""


UNKNOWN_ORIGIN = Origin("development", PLAIN, ZERO_ADDRESS, None)
"""Of a market that a test made."""


@dataclass(frozen=True, slots=True)
class Record:
    """All that the file has."""

    deployment: Deployment
    """What every tool needs."""
    origin: Origin


def record_path(folder: Path, chain_id: int) -> Path:
    """Where a chain's record stands: ``<folder>/<chainId>.json``."""
    return folder / f"{chain_id}.json"


def load_deployment(path: Path) -> Deployment:
    """What a record says of the market. See `load_record`."""
    return load_record(path).deployment


def load_record(path: Path) -> Record:
    """Reads and checks a record.

    Raises:
        ConfigError: it is not there or not valid; the message lists every fault and what to do.
    """
    try:
        data = read_regular(path.expanduser(), MAX_FILE_BYTES)
    except (OSError, RuntimeError) as error:  # there is no user of ~user
        why = getattr(error, "strerror", None) or "cannot be read"
        raise ConfigError(f"deployment record {path}: {why}; {_NEXT}") from None
    try:
        record = dag_json.loads(data)
    except Malformed as error:
        raise ConfigError(f"deployment record {path}: no JSON object: {error}; {_NEXT}") from None
    if not isinstance(record, dict):
        raise ConfigError(f"deployment record {path}: no JSON object; {_NEXT}")
    return parse_record(record, str(path))


def parse_record(record: dict[str, Any], name: str) -> Record:
    """Checks a record that was read elsewhere; ``name`` says where, for messages.

    Raises:
        ConfigError: as `load_record`.
    """
    version = record.get("version")
    if type(version) is int and version != VERSION:
        raise ConfigError(f"deployment record {name}: {_OLD.format(version=version)}")
    reader = _Reader()
    reader.check_keys(record, _KEYS, "")
    found = None if reader.faults else _read(record, reader)
    if found is None or reader.faults:
        raise ConfigError(f"deployment record {name}: {'; '.join(reader.faults)}. Next: {_NEXT}")
    return found


def _read(record: dict[str, Any], reader: _Reader) -> Record:
    """The record's values; what is wrong with any of them is among the reader's faults."""
    if type(record["version"]) is not int:
        reader.faults.append(f"version must be {VERSION}")
    deployment = Deployment(
        chain_id=reader.whole(record["chainId"], "chainId", 1),
        market=reader.address(record["market"], "market"),
        first_block=reader.whole(record["firstBlock"], "firstBlock", 0),
        code_hash=reader.bytes32(record["codeHash"], "codeHash"),
        proofs=reader.address(record["proofs"], "proofs"),
        closing=reader.address(record["closing"], "closing"),
        windows=_read_windows(record["windows"], reader),
        governor=reader.address(record["governor"], "governor", zero=True),
    )
    return Record(deployment, _read_origin(record, reader))


def _read_windows(value: Any, reader: _Reader) -> Windows:
    windows = reader.inner(value, set(_WINDOWS), "windows")
    found: dict[str, Any] = dict.fromkeys(_WINDOWS.values(), 0)
    for key, field in _WINDOWS.items() if windows else ():
        name = f"windows.{key}"
        seconds = key.endswith("Seconds")
        found[field] = (
            reader.whole(windows[key], name, 1) if seconds else reader.wei(windows[key], name)
        )
    return Windows(**found)


def _read_origin(record: dict[str, Any], reader: _Reader) -> Origin:
    profile, method, salt = record["profile"], record["method"], record["salt"]
    if not isinstance(profile, str) or not _PROFILE.fullmatch(profile):
        reader.faults.append("profile must be the name of one, such as rollup")
    if method not in (CREATE2, PLAIN):
        reader.faults.append(f"method must be {CREATE2} or {PLAIN}")
    elif method == PLAIN and salt is not None:
        reader.faults.append("salt must be null: a plain deployment has none")
    timelock = adapter = None
    if record["timelock"] is not None:
        timelock = _read_timelock(record["timelock"], reader)
    if record["adapter"] is not None:
        adapter = _read_adapter(record["adapter"], reader)
    compiler, source_hash = "", b""
    if record["source"] is not None:
        source = reader.inner(record["source"], {"compiler", "hash"}, "source")
        if source:
            compiler = source["compiler"]
            source_hash = reader.bytes32(source["hash"], "source.hash")
            if not isinstance(compiler, str) or not _COMPILER.fullmatch(compiler):
                reader.faults.append("source.compiler must be like 0.8.30+commit.73712a01")
    return Origin(
        profile=profile,
        method=method,
        deployer=reader.address(record["deployer"], "deployer", zero=method == PLAIN),
        salt=reader.bytes32(salt, "salt") if method == CREATE2 else None,
        first_time=reader.whole(record["firstTime"], "firstTime", 0),
        timelock=timelock,
        adapter=adapter,
        compiler=compiler,
        source_hash=source_hash,
    )


def _read_timelock(value: Any, reader: _Reader) -> Timelock | None:
    found = reader.inner(value, {"seconds", "proposers"}, "timelock")
    if not found:
        return None
    proposers = found["proposers"]
    if not isinstance(proposers, list) or not 1 <= len(proposers) <= MAX_PROPOSERS:
        reader.faults.append(f"timelock.proposers must be a list of 1 to {MAX_PROPOSERS} addresses")
        proposers = []
    addresses = [reader.address(one, "timelock.proposers") for one in proposers]
    return Timelock(reader.whole(found["seconds"], "timelock.seconds", 0), tuple(addresses))


def _read_adapter(value: Any, reader: _Reader) -> Adapter | None:
    keys = {"address", "arbitrator", "extraData", "submitSeconds", "metaEvidence"}
    found = reader.inner(value, keys, "adapter")
    if not found:
        return None
    uri = found["metaEvidence"]
    if not isinstance(uri, str) or len(uri) > _MAX_URI_CHARACTERS or not uri.isprintable():
        reader.faults.append(
            f"adapter.metaEvidence must be a text of at most {_MAX_URI_CHARACTERS} characters"
        )
        uri = ""
    return Adapter(
        address=reader.address(found["address"], "adapter.address"),
        arbitrator=reader.address(found["arbitrator"], "adapter.arbitrator"),
        extra_data=reader.data(found["extraData"], "adapter.extraData", 0, _MAX_EXTRA_BYTES),
        submit_seconds=reader.whole(found["submitSeconds"], "adapter.submitSeconds", 1),
        meta_evidence=uri,
    )


class _Reader:
    """Reads single values, and collects what is wrong with any."""

    def __init__(self) -> None:
        self.faults: list[str] = []

    def inner(self, value: Any, expected: set[str], name: str) -> dict[str, Any]:
        """An object inside the record; empty where there is something wrong with it."""
        record = value if isinstance(value, dict) else {}
        return record if self.check_keys(record, expected, f"{name}.") else {}

    def check_keys(self, record: dict[str, Any], expected: set[str], where: str) -> bool:
        """Whether an object has these keys and no others."""
        missing, unknown = sorted(expected - set(record)), sorted(set(record) - expected)
        self.faults += [f"{where}{key} is missing" for key in missing]
        self.faults += [f"{where}{ascii(key)[:40]} is unknown" for key in unknown]
        return not missing and not unknown

    def whole(self, value: object, key: str, least: int) -> int:
        """A whole number of 63 bits."""
        if type(value) is not int or not least <= value <= dag_json.MAX_INTEGER:
            self.faults.append(f"{key} must be a whole number from {least}")
            return 0
        return value

    def wei(self, value: object, key: str) -> Wei:
        """An amount."""
        if not isinstance(value, str) or not re.fullmatch(r"0|[1-9][0-9]{0,38}", value):
            self.faults.append(f"{key} must be a decimal string of wei")
            return Wei(0)
        return Wei(int(value))

    def bytes32(self, value: object, key: str) -> bytes:
        """A hash or a salt."""
        return self.data(value, key, 32, 32)

    def data(self, value: object, key: str, least: int, most: int) -> bytes:
        """So many bytes."""
        if isinstance(value, str) and re.fullmatch(r"0x([0-9a-f]{2})*", value):
            found = bytes.fromhex(value[2:])
            if least <= len(found) <= most:
                return found
        size = f"{2 * least}" if least == most else f"at most {2 * most}"
        self.faults.append(f"{key} must be 0x and {size} lower-case hex digits")
        return bytes(least)

    def address(self, value: object, name: str, *, zero: bool = False) -> Address:
        """An address."""
        address = None
        if isinstance(value, str):
            with contextlib.suppress(Malformed):
                address = parse_address(value)
        if address is None or (address == ZERO_ADDRESS and not zero):
            self.faults.append(f"{name} must be an address with a right checksum (EIP-55)")
        return address or ZERO_ADDRESS


def record_json(record: Record) -> dict[str, Any]:
    """The record as JSON values."""
    deployment, origin = record.deployment, record.origin
    windows = {key: getattr(deployment.windows, field) for key, field in _WINDOWS.items()}
    timelock, adapter = origin.timelock, origin.adapter
    return {
        "version": VERSION,
        "chainId": deployment.chain_id,
        "market": deployment.market,
        "firstBlock": deployment.first_block,
        "firstTime": origin.first_time,
        "codeHash": _hex(deployment.code_hash),
        "proofs": deployment.proofs,
        "closing": deployment.closing,
        "windows": {k: v if k.endswith("Seconds") else str(v) for k, v in windows.items()},
        "governor": deployment.governor,
        "timelock": timelock
        and {"seconds": timelock.seconds, "proposers": list(timelock.proposers)},
        "adapter": adapter
        and {
            "address": adapter.address,
            "arbitrator": adapter.arbitrator,
            "extraData": _hex(adapter.extra_data),
            "submitSeconds": adapter.submit_seconds,
            "metaEvidence": adapter.meta_evidence,
        },
        "profile": origin.profile,
        "method": origin.method,
        "deployer": origin.deployer,
        "salt": None if origin.salt is None else _hex(origin.salt),
        "source": {"compiler": origin.compiler, "hash": _hex(origin.source_hash)}
        if origin.compiler
        else None,
    }


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


def dump_record(record: Record) -> str:
    """The record's text."""
    return json.dumps(record_json(record), indent=2) + "\n"


def save_record(record: Record, path: Path) -> None:
    """Writes a record, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, dump_record(record).encode(), mode=0o644)


def save_deployment(deployment: Deployment, path: Path) -> None:
    """Writes the record of a market that was made without the deploy script."""
    save_record(Record(deployment, UNKNOWN_ORIGIN), path)
