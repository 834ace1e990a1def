"""Compile the contracts and write what the package ships of them to src/dam/abi.

The files are committed: the package must work without a compiler, and an editable install has no
build step that could make them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONTRACTS = ("Marketplace",)


def main() -> int:
    subprocess.run(["ape", "compile"], cwd=ROOT, check=True)
    manifest = json.loads((ROOT / ".build" / "__local__.json").read_text())
    for name in CONTRACTS:
        contract = manifest["contractTypes"][name]
        record = {
            "contractName": name,
            "abi": contract["abi"],
            "bytecode": contract["deploymentBytecode"]["bytecode"],
        }
        target = ROOT / "src" / "dam" / "abi" / f"{name}.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(record, indent=1) + "\n")
        size = len(contract["runtimeBytecode"]["bytecode"]) // 2 - 1
        print(f"{target.relative_to(ROOT)}: {len(record['abi'])} entries, {size} bytes of code")
    return 0


if __name__ == "__main__":
    sys.exit(main())
