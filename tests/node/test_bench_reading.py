"""The bench of reading, in small: its logs are good ones, none is missed, its exit code is true."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench" / "reading.py"


@pytest.mark.parametrize(("least", "code"), [("0", 0), ("1000", 1)])
def test_bench(least: str, code: int) -> None:
    command = [sys.executable, str(BENCH), "--logs", "450", "--runs", "1", "--least", least]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == code, done.stderr
    assert "450 logs" in done.stdout
    assert "ratio" in done.stdout
