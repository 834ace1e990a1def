"""The contracts as the sources are now, compiled once for all who deploy them."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

import click

from dam.atomic_file import write_atomic
from dam.crypto.hashing import keccak
from dam.market.code import Build, dump_build, parse_build, shipped_build, source_hash
from dam.market.compiling import SOLC_VERSION, compile_input, find_compiler, standard_input


def current_build(root: Path, *, lasting: bool) -> Build:
    """The code of a checkout's sources.

    While nobody has changed them it is what ships with the package, and nothing is compiled.

    Args:
        root: The checkout.
        lasting: For a chain that lasts: compile whatever is shipped or kept, and compare.

    Raises:
        click.ClickException: What ships is not what the sources give, on a chain that lasts.
    """
    shipped, wanted = shipped_build(), standard_input(root)
    digest = source_hash(wanted)
    if digest == shipped.source_hash and not lasting:
        return shipped
    if lasting and digest != shipped.source_hash:
        raise click.ClickException(
            "contracts/ are not what this DAM ships, so nobody could verify the market: run "
            "`make code`, and deploy what all have"
        )
    folder = root / ".build" / "code"
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / f"{digest.hex()}.json"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if kept.exists() and not lasting:
            return parse_build(json.loads(kept.read_bytes()))
        solc = root / ".tools" / "solc" / f"solc-v{SOLC_VERSION}"
        found = solc if solc.exists() else find_compiler(os.environ)
        if found is None:
            raise click.ClickException(f"no solc {SOLC_VERSION} here: run `make setup`")
        click.echo(f"Compiling with solc {SOLC_VERSION}: a minute or two")
        build = compile_input(wanted, found)
        write_atomic(kept, dump_build(build).encode())
    if lasting and build != shipped:
        raise click.ClickException("solc makes other code of contracts/ than this DAM ships")
    return build


def load_fresh(project: Any) -> None:
    """Lets an Ape project hold the contracts of the present sources.

    Ape compiles a contract again when its own file changed, not when one that it imports did. What
    was compiled is therefore kept under a hash of all that goes into it, and of Ape's manifest,
    which other commands of Ape rewrite. Who comes while another process compiles waits for it.

    Args:
        project: Ape's local project.
    """
    names = ("ape-config.yaml", "package-lock.json")
    sources = sorted(project.path.glob("contracts/**/*.sol"))
    content = [path.read_bytes() for path in (*sources, *(project.path / name for name in names))]
    digest = keccak(b"".join(keccak(one) for one in content)).hex()
    build = project.path / ".build"
    build.mkdir(exist_ok=True)
    stamp = build / "contracts.keccak"
    with (build / "contracts.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_text() == digest + _hash(project):
            # Another process may have compiled since this one read the manifest.
            project.load_manifest()
            return
        stamp.unlink(missing_ok=True)
        project.load_contracts(use_cache=False)
        stamp.write_text(digest + _hash(project))


def _hash(project: Any) -> str:
    path = project.manifest_path
    return keccak(path.read_bytes()).hex() if path.exists() else ""
