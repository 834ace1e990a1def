"""Writes src/dam/abi/Marketplace.json, the ABI that ships with the package (`make abi`).

Asks the pinned compiler for the ABI alone, which takes seconds: no code is generated.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ABI_FILE = ROOT / "src" / "dam" / "abi" / "Marketplace.json"
SOURCE = "contracts/interfaces/IMarketplace.sol"
REMAPPED = {
    "@openzeppelin/contracts/": "node_modules/@openzeppelin/contracts/",
}
_IMPORT = re.compile(r"""^\s*import\s[^;]*?["']([^"']+)["']\s*;""", re.MULTILINE)


def sources(entry: str) -> dict[str, dict[str, str]]:
    """The file and everything that it imports, by the names that the compiler resolves to."""
    found: dict[str, dict[str, str]] = {}
    waiting = [entry]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        text = (ROOT / name).read_text("utf-8")
        found[name] = {"content": text}
        for target in _IMPORT.findall(text):
            if target.startswith("."):
                path = (ROOT / name).parent.joinpath(target).resolve()
                waiting.append(path.relative_to(ROOT).as_posix())
            else:
                waiting.append(_remap(target))
    return found


def _remap(target: str) -> str:
    for prefix, folder in REMAPPED.items():
        if target.startswith(prefix):
            return folder + target.removeprefix(prefix)
    return target


def compile_abi() -> list[dict[str, Any]]:
    """The ABI of the interface, which has every function, event and error of the market."""
    request = {
        "language": "Solidity",
        "sources": sources(SOURCE),
        "settings": {
            "remappings": [f"{prefix}={folder}" for prefix, folder in REMAPPED.items()],
            "outputSelection": {SOURCE: {"IMarketplace": ["abi"]}},
        },
    }
    solc = ROOT / ".tools" / "solc" / "solc-v0.8.30"
    if not solc.exists():
        sys.exit(f"{solc.relative_to(ROOT)} is missing: run `make setup` first")
    done = subprocess.run(
        [solc, "--standard-json"],
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
