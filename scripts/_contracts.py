"""The contracts as the sources are now, compiled once for all who deploy them."""

from __future__ import annotations

import fcntl
from typing import Any

from dam.crypto.hashing import keccak


def load_fresh(project: Any) -> None:
    """Lets an Ape project hold the contracts of the present sources.

    Ape compiles a contract again when its own file changed, not when one that it imports did. What
    was compiled is therefore kept under a hash of all that goes into it. Who comes while another
    process compiles waits for that one's result.

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
        if project.manifest_path.exists() and stamp.exists() and stamp.read_text() == digest:
            # Another process may have compiled since this one read the manifest.
            project.load_manifest()
            return
        stamp.unlink(missing_ok=True)
        project.load_contracts(use_cache=False)
        stamp.write_text(digest)
