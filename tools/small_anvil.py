"""An `anvil` for Ape that leaves no old states on the disk.

Anvil writes each state beyond the newest 500 into ~/.foundry/anvil/tmp, and whoever kills it leaves
them there: a run of all hand-made faults left 38 GB. Ape gives no way to say more to it than Ape
knows, so the first `anvil` on PATH says it.
"""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path

STATES = 500
"""What Anvil keeps in memory anyway."""


def environment(folder: Path) -> dict[str, str]:
    """The environment of a process that is to find such an `anvil`, which lies in ``folder``.

    Raises:
        SystemExit: There is no `anvil` on PATH.
    """
    real = shutil.which("anvil")
    if real is None:
        raise SystemExit("no anvil on PATH: run `make setup`, then `. scripts/env.sh`")
    bin_folder = folder / "bin"
    bin_folder.mkdir()
    script = bin_folder / "anvil"
    command = f'exec {shlex.quote(real)} "$@"'
    # Its version is asked for, too.
    script.write_text(
        f'#!/bin/sh\ncase "$*" in\n  *--port*) {command} --prune-history {STATES} ;;\n'
        f"  *) {command} ;;\nesac\n"
    )
    script.chmod(0o755)
    return os.environ | {"PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"}
