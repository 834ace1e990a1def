"""The code that ships is the code of contracts/, whoever compiles it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from dam.market.code import CONTRACTS, shipped_build, shipped_input
from dam.market.compiling import standard_input
from dam.testing.market import MarketCode, forge_code, market_code
from tests.node.deploying import ROOT

METADATA = re.compile(rb"\xa2\x64ipfs\x58\x22\x12\x20.{32}", re.DOTALL)
"""The hash of what the compiler was told: forge ends the names of remappings with a slash."""


def bare(code: bytes) -> bytes:
    found, count = METADATA.subn(b"metadata", code)
    assert 1 <= count <= 2  # the market brings its other half along
    return found


def test_it_is_of_the_sources_as_they_are() -> None:
    """And so nobody who deploys it for a test compiles anything."""
    assert shipped_input() == standard_input(ROOT)
    made = shipped_build().contracts
    assert market_code() == MarketCode(made["Proofs"].creation, made["Marketplace"].creation)


@pytest.mark.slow
def test_forge_makes_the_same() -> None:
    """tests/contracts/test_shipped_code.py asks Ape, tests/node/test_verify_market.py solc."""
    built = forge_code()
    found = {"Proofs": built.proofs, "Marketplace": built.market}
    for name in set(CONTRACTS) - set(found):
        file = ROOT / ".build" / "forge" / f"{name}.sol" / f"{name}.json"
        found[name] = bytes.fromhex(json.loads(file.read_bytes())["bytecode"]["object"][2:])
    for name, code in found.items():
        assert bare(code) == bare(shipped_build().contracts[name].creation), name


def test_other_sources_are_built(tmp_path: Path) -> None:
    shutil.copy(ROOT / "foundry.toml", tmp_path)
    for name in (".tools", "node_modules"):
        (tmp_path / name).symlink_to(ROOT / name)
    for name, file in CONTRACTS.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        text = f"// SPDX-License-Identifier: MIT\npragma solidity 0.8.30;\ncontract {name} {{}}\n"
        (tmp_path / file).write_text(text)
    code = market_code(tmp_path)
    assert 0 < len(code.market) < 200
    assert code == forge_code(tmp_path)
