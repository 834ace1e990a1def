"""Buying, publishing, opening and disputing need no command line: a program calls `dam.roles`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from dam.testing.market import market_code

PROGRAM = Path(__file__).with_name("library_user.py")


def test_a_program_trades_without_the_command_line(tmp_path: Path) -> None:
    """The program itself checks at its end that neither `dam.cli` nor click was imported."""
    market_code()  # built here, where a failing compiler is told as it should be
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "traded\n"), done.stderr
