"""A market that counts the blocks of another chain, as on Arbitrum: a number that a test sets.

The sources are copied, `block.number` is replaced by a look at an account without a key, and the
copy is compiled by itself: a minute, once for each state of the sources.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

from dam.testing.market import MarketCode, built_code
from dam.testing.nodes import AnvilNode, NodeFailedError, find_program

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / ".build" / "rollups"
COUNTER = "0x00000000000000000000000000000000c0007e12"
# Returns what its first word of storage holds.
_CODE = "0x5f545f5260205ff3"
_USES = 5
"""Places that ask for the block: buying and its event, delivering, the gate, and `clock`."""
_IN_ASSEMBLY = f"mload(sub(staticcall(gas(), {COUNTER}, 0, 0, 0, 32), 1))"
_SOURCE = f"""// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

function countedBlock() view returns (uint256 number) {{
    (bool good, bytes memory word) = address(uint160({COUNTER})).staticcall("");
    require(good && word.length == 32, "no counter");
    number = abi.decode(word, (uint256));
}}
"""
# The optimizer would take more time than all the tests, and shortens what nobody deploys.
_FOUNDRY = """[profile.default]
src = "contracts"
out = ".build/forge"
cache_path = ".build/forge-cache"
libs = ["node_modules"]
remappings = ["@openzeppelin/contracts/=node_modules/@openzeppelin/contracts/"]
solc = ".tools/solc/solc-v0.8.30"
offline = true
auto_detect_solc = false
auto_detect_remappings = false
evm_version = "cancun"
via_ir = true
optimizer = false
"""
LARGE = ("--disable-code-size-limit",)
"""Options of a chain that takes such code."""


def counting_code() -> MarketCode:
    """Creation code of the copy, compiled if the sources changed since."""
    sources = sorted((ROOT / "contracts").rglob("*.sol"))
    state = hashlib.sha256(
        b"".join([_SOURCE.encode(), _FOUNDRY.encode(), *(path.read_bytes() for path in sources)])
    ).hexdigest()
    stamp = BUILD / "built"
    if not stamp.exists() or stamp.read_text("ascii") != state:
        _copy(sources)
        forge = find_program("forge", "run `make setup` in the checkout, or install Foundry")
        done = subprocess.run(
            [forge, "build", "contracts"], cwd=BUILD, capture_output=True, timeout=600, check=False
        )
        if done.returncode != 0:
            raise NodeFailedError("forge build: " + done.stderr.decode("utf-8", "replace")[-800:])
        stamp.write_text(state, "ascii")
    return built_code(BUILD)


def _copy(sources: list[Path]) -> None:
    shutil.rmtree(BUILD, ignore_errors=True)
    replaced = 0
    for path in sources:
        copy = BUILD / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text("utf-8")
        text, direct = re.subn(r"(?m)^(?!\s*//)(.*)\bblock\.number\b", r"\1countedBlock()", text)
        text, yul = re.subn(r"\bnumber\(\)", _IN_ASSEMBLY, text)
        replaced += direct + yul
        if direct:
            up = "../" * (len(path.relative_to(ROOT).parts) - 2) or "./"
            text = text.replace(
                "\nimport", f'\nimport {{countedBlock}} from "{up}CountedBlock.sol";\nimport', 1
            )
        copy.write_text(text, "utf-8")
    assert replaced == _USES, f"{replaced} uses of block.number: look at each"
    (BUILD / "contracts" / "CountedBlock.sol").write_text(_SOURCE, "utf-8")
    (BUILD / "foundry.toml").write_text(_FOUNDRY, "utf-8")
    for folder in ("node_modules", ".tools"):
        (BUILD / folder).symlink_to(ROOT / folder)


class Counter:
    """The number that such a market reads.

    Args:
        chain: Where.
        number: The first one.
    """

    def __init__(self, chain: AnvilNode, number: int) -> None:
        self._chain = chain
        self.number = number
        chain.request("anvil_setCode", COUNTER, _CODE)
        self.add(0)

    def add(self, blocks: int) -> int:
        """Counts on; the number from now on."""
        self.number += blocks
        self._chain.request("anvil_setStorageAt", COUNTER, hex(0), f"0x{self.number:064x}")
        return self.number
