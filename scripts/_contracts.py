"""The contracts as the sources are now, compiled once for all who deploy them."""

from __future__ import annotations

import fcntl
from typing import Any

from dam.crypto.hashing import keccak


def load_fresh(project: Any, *, anew: bool = False) -> None:
    """Lets an Ape project hold the contracts of the present sources.

    Ape compiles a contract again when its own file changed, not when one that it imports did. What
    was compiled is therefore kept under a hash of all that goes into it, and of Ape's manifest,
    which other commands of Ape rewrite. Who comes while another process compiles waits for it.

    Args:
        project: Ape's local project.
        anew: Compile whatever was kept: for a chain that lasts.
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
        if not anew and stamp.exists() and stamp.read_text() == digest + _hash(project):
            # Another process may have compiled since this one read the manifest.
            project.load_manifest()
            return
        stamp.unlink(missing_ok=True)
        project.load_contracts(use_cache=False)
        stamp.write_text(digest + _hash(project))


def _hash(project: Any) -> str:
    path = project.manifest_path
    return keccak(path.read_bytes()).hex() if path.exists() else ""
