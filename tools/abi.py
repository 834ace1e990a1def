"""Writes src/dam/abi/Marketplace.json, the ABI that ships with the package (`make abi`).

Asks the pinned compiler for the ABI alone, which takes seconds: no code is generated.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from dam.market.compiling import REMAPPINGS, SOLC_VERSION, sources

ROOT = Path(__file__).resolve().parents[1]
ABI_FILE = ROOT / "src" / "dam" / "abi" / "Marketplace.json"
SOURCE = "contracts/interfaces/IMarketplace.sol"
SOLC = ROOT / ".tools" / "solc" / f"solc-v{SOLC_VERSION}"


def compile_abi() -> list[dict[str, Any]]:
    """The ABI of the interface, which has every function, event and error of the market."""
    request = {
        "language": "Solidity",
        "sources": sources(ROOT, [SOURCE]),
        "settings": {
            "remappings": REMAPPINGS,
            "outputSelection": {SOURCE: {"IMarketplace": ["abi"]}},
        },
    }
    if not SOLC.exists():
        sys.exit(f"{SOLC.relative_to(ROOT)} is missing: run `make setup` first")
    done = subprocess.run(
        [SOLC, "--standard-json"],
        input=json.dumps(request).encode(),
        capture_output=True,
        check=True,
        timeout=300,
    )
    answer = json.loads(done.stdout)
    errors = [e["formattedMessage"] for e in answer.get("errors", ()) if e["severity"] == "error"]
    if errors:
        sys.exit("\n".join(errors))
    abi: list[dict[str, Any]] = answer["contracts"][SOURCE]["IMarketplace"]["abi"]
    return abi


def compact(abi: list[dict[str, Any]]) -> str:
    """One line per entry, sorted by kind and name, without the compiler's own type names."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: plain(v) for k, v in sorted(value.items()) if k != "internalType"}
        return [plain(v) for v in value] if isinstance(value, list) else value

    lines = sorted(
        json.dumps(plain(entry), separators=(",", ":"))
        for entry in sorted(abi, key=lambda e: (e["type"], e.get("name", "")))
    )
    return "[\n" + ",\n".join(lines) + "\n]\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail if the file is out of date")
    check = parser.parse_args().check
    text = compact(compile_abi())
    if check:
        if not ABI_FILE.exists() or ABI_FILE.read_text("utf-8") != text:
            sys.exit(f"{ABI_FILE.relative_to(ROOT)} is out of date: run `make abi`")
        return
    ABI_FILE.parent.mkdir(parents=True, exist_ok=True)
    ABI_FILE.write_text(text, "utf-8")
    print(f"{ABI_FILE.relative_to(ROOT)}: {text.count(chr(10)) - 2} entries")


if __name__ == "__main__":
    main()
