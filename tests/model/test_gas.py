"""No call of the contract may get dearer unseen: bench/gas.json is what each may cost."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_no_call_got_dearer() -> None:
    command = [sys.executable, "bench/gas.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
