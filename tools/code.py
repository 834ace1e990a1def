"""Writes the contracts' code and sources that ship with the package (`make code`).

Takes a minute or two, so that nobody needs a compiler to deploy, or to compare a market with its
sources. `--check` compares the sources alone, at once; test_code.py and test_verify_market.py of
tests/node, and tests/contracts/test_shipped_code.py, compile.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from pathlib import Path

from dam.market.code import CODE_FILE, SOURCES_FILE, dump_build, shipped_input
from dam.market.compiling import SOLC_VERSION, compile_input, standard_input

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "src" / "dam" / "abi"
SOLC = ROOT / ".tools" / "solc" / f"solc-v{SOLC_VERSION}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail if the sources are others")
    wanted = standard_input(ROOT)
    if parser.parse_args().check:
        if shipped_input() != wanted:
            sys.exit("src/dam/abi is of other sources than contracts/: run `make code`")
        return
    if not SOLC.exists():
        sys.exit(f"{SOLC.relative_to(ROOT)} is missing: run `make setup` first")
    build = compile_input(wanted, SOLC)
    (FOLDER / CODE_FILE).write_text(dump_build(build), "utf-8")
    text = json.dumps(wanted, indent=1, sort_keys=True, ensure_ascii=False)
    (FOLDER / SOURCES_FILE).write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    for name, one in build.contracts.items():
        print(f"{name}: {len(one.creation)} bytes, {one.length} of them stay on the chain")


if __name__ == "__main__":
    main()
