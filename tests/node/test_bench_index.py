"""The bench of the index, in small: all that it counts is there, and its exit code is true."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.kubo
BENCH = Path(__file__).resolve().parents[2] / "bench" / "index.py"


@pytest.mark.parametrize(("loose", "code"), [("1000", 0), ("0", 1)])
def test_bench(loose: str, code: int) -> None:
    size = ("--sales", "200", "--stores", "12", "--items", "3")
    command = [sys.executable, str(BENCH), *size, "--loose", loose]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == code, done.stderr
    assert "200 sales, 12 stores, 36 items" in done.stdout
    assert "1000 new sales, 3000 logs" in done.stdout
    assert done.stdout.count("MISSED") == (0 if code == 0 else 3)
