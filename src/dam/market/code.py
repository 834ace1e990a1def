"""The contracts' code as this version of DAM has it, and what it is on a chain.

Two files ship with the package (`make code` writes them): ``abi/code.json`` has what the compiler
made, ``abi/sources.json.gz`` what it made it from. Nothing that a constructor of ours stores in
code depends on more than the deployment record says, so the whole code that a market must have on
its chain is computed here, to the byte.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from dam.crypto.hashing import keccak

CODE_FILE = "code.json"
SOURCES_FILE = "sources.json.gz"
CONTRACTS = {
    "Proofs": "contracts/Proofs.sol",
    "Closing": "contracts/Closing.sol",
    "Marketplace": "contracts/Marketplace.sol",
    "Erc792Adapter": "contracts/arbitration/Erc792Adapter.sol",
    "Timelock": "contracts/governance/Timelock.sol",
}
"""Contracts that are deployed, and their files."""


@dataclass(frozen=True, slots=True)
class ContractCode:
    """What the compiler made of a contract."""

    creation: bytes
    """Without the constructor's arguments."""
    start: int
    """Where in it the runtime code is, with zeros for immutables."""
    length: int
    immutables: Mapping[str, tuple[int, ...]]
    """Where in the runtime code the word of an immutable stands, by its name."""

    def runtime(self, values: Mapping[str, int]) -> bytes:
        """The code on the chain.

        Args:
            values: Of the immutables; those of other contracts do no harm.
        """
        code = bytearray(self.creation[self.start : self.start + self.length])
        for name, places in self.immutables.items():
            for place in places:
                code[place : place + 32] = values[name].to_bytes(32, "big")
        return bytes(code)


@dataclass(frozen=True, slots=True)
class Build:
    """All contracts, by name, and what they were made of."""

    compiler: str
    """``0.8.30+commit.73712a01``."""
    source_hash: bytes
    """See `source_hash`."""
    contracts: Mapping[str, ContractCode]


@cache
def shipped_build() -> Build:
    """The code of this version."""
    return parse_build(json.loads(_file(CODE_FILE)))


@cache
def shipped_input() -> dict[str, Any]:
    """The compiler's standard-JSON input that the code of this version was made from."""
    value: dict[str, Any] = json.loads(gzip.decompress(_file(SOURCES_FILE)))
    return value


def _file(name: str) -> bytes:
    return (files("dam") / "abi" / name).read_bytes()


def source_hash(standard_input: Mapping[str, Any]) -> bytes:
    """keccak256 of sources and settings, as JSON with sorted keys and no spaces.

    What the compiler is asked to print is no part of it.
    """
    settings = dict(standard_input["settings"])
    settings.pop("outputSelection", None)
    whole = {**standard_input, "settings": settings}
    text = json.dumps(whole, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return keccak(text.encode())


def parse_build(value: Mapping[str, Any]) -> Build:
    """A build out of JSON."""
    contracts = {
        name: ContractCode(
            bytes.fromhex(one["creation"]),
            one["runtime"][0],
            one["runtime"][1],
            {key: tuple(places) for key, places in one["immutables"].items()},
        )
        for name, one in value["contracts"].items()
    }
    return Build(value["compiler"], bytes.fromhex(value["sourceHash"][2:]), contracts)


def dump_build(build: Build) -> str:
    """A build as JSON."""
    contracts = {
        name: {
            "creation": one.creation.hex(),
            "immutables": {key: list(places) for key, places in sorted(one.immutables.items())},
            "runtime": [one.start, one.length],
        }
        for name, one in build.contracts.items()
    }
    value = {
        "compiler": build.compiler,
        "contracts": contracts,
        "sourceHash": "0x" + build.source_hash.hex(),
    }
    return json.dumps(value, indent=1) + "\n"
