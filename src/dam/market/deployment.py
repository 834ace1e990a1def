"""The deployment record: which contract, on which chain, under which windows.

A JSON object, written by ``scripts/deploy.py`` and read by every tool:

    {"version": 2, "chainId": 31337, "market": "0x...", "firstBlock": 1, "codeHash": "0x...",
     "proofs": "0x...", "closing": "0x...",
     "windows": {"refundSeconds": 86400, "disputeSeconds": 259200, "arbitrationSeconds": 604800,
                 "exitSeconds": 2246400, "slashDelaySeconds": 604800,
                 "slashLapseSeconds": 604800, "minDelivererStake": "10000000000000000",
                 "minSellerStake": "10000000000000000", "junkFine": "5000000000000000"},
     "governor": "0x..."}

Amounts are in wei as decimal strings; ``codeHash`` is keccak256 of the market's runtime code,
``proofs`` its verifier of evidence, ``closing`` the part of its code that closes sales,
``firstBlock`` the node's number of the block of the deployment: no log of the market is older.
"""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

from dam.atomic_file import read_regular, write_atomic
from dam.crypto.hashing import parse_address
from dam.errors import ConfigError, Malformed
from dam.ipfs import dag_json
from dam.types import ZERO_ADDRESS, Address, Deployment, Wei, Windows

_VERSION = 2
_MAX_FILE_BYTES = 64 << 10
_KEYS = {
    "version", "chainId", "market", "firstBlock", "codeHash", "proofs", "closing", "windows",
    "governor",
}  # fmt: skip
_WINDOWS = {
    re.sub("_(.)", lambda match: match[1].upper(), field.name): field.name
    for field in fields(Windows)
}
"""Key in the record, and field: seconds if it says so, else an amount."""
_NEXT = "get the record that came with the deployment, or deploy with `ape run deploy`"


def record_path(folder: Path, chain_id: int) -> Path:
    """Where a chain's record stands: ``<folder>/<chainId>.json``."""
    return folder / f"{chain_id}.json"


def load_deployment(path: Path) -> Deployment:
    """Reads and checks a record.

    Raises:
        ConfigError: it is not there or not valid; the message lists every fault and what to do.
    """
    try:
        data = read_regular(path.expanduser(), _MAX_FILE_BYTES)
    except (OSError, RuntimeError) as error:  # there is no user of ~user
        why = getattr(error, "strerror", None) or "cannot be read"
        raise ConfigError(f"deployment record {path}: {why}; {_NEXT}") from None
    try:
        record = dag_json.loads(data)
    except Malformed as error:
        raise ConfigError(f"deployment record {path}: no JSON object: {error}; {_NEXT}") from None
    if not isinstance(record, dict):
        raise ConfigError(f"deployment record {path}: no JSON object; {_NEXT}")
    return parse_deployment(record, str(path))


def parse_deployment(record: dict[str, Any], name: str) -> Deployment:
    """Checks a record that was read elsewhere; ``name`` says where, for messages.

    Raises:
        ConfigError: as `load_deployment`.
    """
    faults: list[str] = []
    windows = record.get("windows")
    if not isinstance(windows, dict):
        windows = {}
    for keys, expected, where in (
        (set(record), _KEYS, ""),
        (set(windows), set(_WINDOWS), "windows."),
    ):
        faults += [f"{where}{key} is missing" for key in sorted(expected - keys)]
        faults += [f"{where}{ascii(key)[:40]} is unknown" for key in sorted(keys - expected)]

    if not faults:
        deployment = _read(record, windows, faults)
    if faults:
        raise ConfigError(f"deployment record {name}: {'; '.join(faults)}. Next: {_NEXT}")
    return deployment


def _read(record: dict[str, Any], windows: dict[str, Any], faults: list[str]) -> Deployment:
    """The record's values; what is wrong with any of them is added to ``faults``."""
    if record["version"] != _VERSION or type(record["version"]) is not int:
        faults.append(f"version must be {_VERSION}; this is a record of another DAM version")
    code_hash = record["codeHash"]
    if not isinstance(code_hash, str) or not re.fullmatch(r"0x[0-9a-f]{64}", code_hash):
        faults.append("codeHash must be 0x and 64 lower-case hex digits")
        code_hash = "0x"
    return Deployment(
        chain_id=_whole(record["chainId"], "chainId", 1, faults),
        market=_address(record["market"], "market", faults, zero=False),
        first_block=_whole(record["firstBlock"], "firstBlock", 0, faults),
        code_hash=bytes.fromhex(code_hash[2:]),
        proofs=_address(record["proofs"], "proofs", faults, zero=False),
        closing=_address(record["closing"], "closing", faults, zero=False),
        windows=_read_windows(windows, faults),
        governor=_address(record["governor"], "governor", faults, zero=True),
    )


def _read_windows(windows: dict[str, Any], faults: list[str]) -> Windows:
    found: dict[str, Any] = {
        field: _whole(windows[key], f"windows.{key}", 1, faults)
        if key.endswith("Seconds")
        else _wei(windows[key], f"windows.{key}", faults)
        for key, field in _WINDOWS.items()
    }
    return Windows(**found)


def _whole(value: object, key: str, least: int, faults: list[str]) -> int:
    if type(value) is not int or not least <= value < 2**64:
        faults.append(f"{key} must be a whole number from {least}")
        return 0
    return value


def _wei(value: object, key: str, faults: list[str]) -> Wei:
    if not isinstance(value, str) or not re.fullmatch(r"0|[1-9][0-9]{0,38}", value):
        faults.append(f"{key} must be a decimal string of wei")
        return Wei(0)
    return Wei(int(value))


def _address(value: object, name: str, faults: list[str], *, zero: bool) -> Address:
    address = None
    if isinstance(value, str):
        with contextlib.suppress(Malformed):
            address = parse_address(value)
    if address is None or (address == ZERO_ADDRESS and not zero):
        faults.append(f"{name} must be an address with a right checksum (EIP-55)")
    return address or ZERO_ADDRESS


def dump_deployment(deployment: Deployment) -> str:
    """The record's text."""
    windows = {key: getattr(deployment.windows, field) for key, field in _WINDOWS.items()}
    record = {
        "version": _VERSION,
        "chainId": deployment.chain_id,
        "market": deployment.market,
        "firstBlock": deployment.first_block,
        "codeHash": "0x" + deployment.code_hash.hex(),
        "proofs": deployment.proofs,
        "closing": deployment.closing,
        "windows": {k: v if k.endswith("Seconds") else str(v) for k, v in windows.items()},
        "governor": deployment.governor,
    }
    return json.dumps(record, indent=2) + "\n"


def save_deployment(deployment: Deployment, path: Path) -> None:
    """Writes a record, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, dump_deployment(deployment).encode(), mode=0o644)
