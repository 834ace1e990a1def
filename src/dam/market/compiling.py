"""Makes the contracts' code anew, where the compiler is at hand."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dam.errors import ConfigError, Permanent
from dam.market.code import CONTRACTS, Build, ContractCode, source_hash

SOLC_VERSION = "0.8.30"
_REMAPPED = ("@openzeppelin/contracts", "node_modules/@openzeppelin/contracts")
REMAPPINGS = ["=".join(_REMAPPED)]
_SETTINGS: dict[str, Any] = {
    "evmVersion": "cancun",
    "optimizer": {"enabled": True, "runs": 1000},
    "remappings": REMAPPINGS,
    "viaIR": True,
}
"""As in ape-config.yaml and foundry.toml."""
_OUTPUT = [
    "evm.bytecode.object",
    "evm.deployedBytecode.object",
    "evm.deployedBytecode.immutableReferences",
]
_IMPORT = re.compile(r"""^\s*import\s[^;]*?["']([^"']+)["']\s*;""", re.MULTILINE)
_COMPILE_SECONDS = 1800
_VERSION = re.compile(r"Version: (\S+?\+commit\.[0-9a-f]{8})")


def standard_input(root: Path) -> dict[str, Any]:
    """The compiler's input for what is deployed, from the sources of a checkout.

    Every file that it needs is in it, so it gives the same code on any machine.
    """
    return {
        "language": "Solidity",
        "settings": {
            **_SETTINGS,
            "outputSelection": {
                "*": {"": ["ast"]},
                **{file: {name: _OUTPUT, "": ["ast"]} for name, file in CONTRACTS.items()},
            },
        },
        "sources": sources(root, CONTRACTS.values()),
    }


def sources(root: Path, entries: Iterable[str]) -> dict[str, dict[str, str]]:
    """These files of a checkout and all that they import, as the compiler's input has them.

    Their names are those that the compiler makes of imports, given `REMAPPINGS`.
    """
    found: dict[str, dict[str, str]] = {}
    waiting = list(entries)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        text = (root / name).read_text("utf-8")
        found[name] = {"content": text}
        for target in _IMPORT.findall(text):
            if target.startswith("."):
                path = os.path.normpath((Path(name).parent / target).as_posix())
                waiting.append(Path(path).as_posix())
            else:
                waiting.append(target.replace(*_REMAPPED, 1))
    return dict(sorted(found.items()))


def find_compiler(environ: Mapping[str, str]) -> Path | None:
    """A compiler of the right version: Ape's, one on PATH, or none."""
    folders = (environ.get("SOLCX_BINARY_PATH", ""), Path.home() / ".solcx")
    named = (shutil.which(f"solc-v{SOLC_VERSION}", path=folder) for folder in folders)
    for found in (*named, shutil.which("solc", path=environ.get("PATH"))):
        if found and compiler_version(Path(found)).startswith(SOLC_VERSION + "+"):
            return Path(found)
    return None


def compiler_version(solc: Path) -> str:
    """``0.8.30+commit.73712a01``; empty: it is no compiler."""
    try:
        done = subprocess.run([solc, "--version"], capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = _VERSION.search(done.stdout[:4096].decode("utf-8", "replace"))
    return found[1] if found else ""


def compile_input(wanted: Mapping[str, Any], solc: Path) -> Build:
    """Compiles; takes a minute or two.

    Raises:
        ConfigError: There is no such compiler.
        Permanent: It failed.
    """
    version = compiler_version(solc)
    if not version:
        raise ConfigError(f"{solc} is no Solidity compiler")
    try:
        done = subprocess.run(
            [solc, "--standard-json"],
            input=json.dumps(wanted).encode(),
            capture_output=True,
            timeout=_COMPILE_SECONDS,
            check=False,
        )
        answer = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise Permanent(f"{solc} did not compile: {type(error).__name__}") from None
    errors = [e["formattedMessage"] for e in answer.get("errors", ()) if e["severity"] == "error"]
    if errors:
        raise Permanent("the contracts do not compile:\n" + "\n".join(errors)[:4000])
    names = dict(_immutables([one["ast"] for one in answer["sources"].values()]))
    contracts = {
        name: _contract(answer["contracts"][file][name]["evm"], names)
        for name, file in CONTRACTS.items()
    }
    return Build(version, source_hash(wanted), contracts)


def _contract(evm: Mapping[str, Any], names: Mapping[str, str]) -> ContractCode:
    creation = bytes.fromhex(evm["bytecode"]["object"])
    runtime = bytes.fromhex(evm["deployedBytecode"]["object"])
    references = evm["deployedBytecode"].get("immutableReferences", {})
    return ContractCode(
        creation,
        creation.index(runtime),
        len(runtime),
        {names[key]: tuple(p["start"] for p in places) for key, places in references.items()},
    )


def _immutables(nodes: Any) -> Iterator[tuple[str, str]]:
    """Numbers and names of immutables, anywhere below some nodes of a syntax tree."""
    if isinstance(nodes, list):
        for node in nodes:
            yield from _immutables(node)
    elif isinstance(nodes, dict):
        if nodes.get("mutability") == "immutable":
            yield str(nodes["id"]), nodes["name"]
        yield from _immutables(list(nodes.values()))
