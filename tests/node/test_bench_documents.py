"""The bench of documents, in small: what it counts is there, and its exit code is true."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench" / "documents.py"


@pytest.mark.parametrize(("bar", "code"), [(1_000_000, 0), (1_000, 1)])
def test_bench(bar: int, code: int) -> None:
    command = [sys.executable, str(BENCH), "--items", "20", "--bar", str(bar)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == code, done.stderr
    lines = done.stdout.splitlines()
    assert [line.endswith("OVER") for line in lines] == [code == 1, False, False]
    read, whole = (int(lines[0].split()[at].replace(",", "")) for at in (4, 6))
    assert 1_000 < read < whole / 3
