"""Puts the storefront's page into wheel and sdist; for an editable install `make setup` does."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

STATIC = "src/dam/web/static"


class PageHook(BuildHookInterface):
    """Builds the page if it is not there, and ships no other than that of web/dist.sha256."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        root = Path(self.root)
        static, web = root / STATIC, root / "web"
        if not (static / "index.html").exists():
            install = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            subprocess.run(install, cwd=web, check=True)
            subprocess.run(["node", "build.mjs"], cwd=web, check=True)
        if sums(static) != (web / "dist.sha256").read_text("utf-8"):
            raise RuntimeError(
                f"{STATIC} is not the page of web/dist.sha256: run `make page`, look at what "
                "changed, and commit the digests"
            )
        build_data["artifacts"].append(f"/{STATIC}/")


def sums(folder: Path) -> str:
    """The digests of a folder's files, as web/build.mjs writes them."""
    return "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(folder.iterdir())
    )
