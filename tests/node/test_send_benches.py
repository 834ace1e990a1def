"""The benches of sending in their smallest form: they run, they print, and their bars bite."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SMALL = {
    "cpu_per_part.py": ["--parts", "64", "--rounds", "1", "--batches", "16"],
    "latency.py": ["--sales", "2", "--block-time", "1"],
    "block_packing.py": ["--parts", "600", "--gas-limit", "6000000", "--block-time", "1"],
}
LOW = {
    "cpu_per_part.py": ["--bar", "100"],
    "latency.py": ["--bar", "100"],
    "block_packing.py": ["--bar-packing", "0", "--bar-fill", "0", "--bar-throughput", "0"],
}
HIGH = {
    "cpu_per_part.py": ["--bar", "0.01"],
    "latency.py": ["--bar", "0.01"],
    "block_packing.py": ["--bar-throughput", "1000"],
}


def bench(name: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "bench" / name), *SMALL[name], *options],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.mark.parametrize("name", SMALL)
def test_a_bench_prints_its_ratio_and_ends_well_over_a_low_bar(name: str) -> None:
    done = bench(name, *LOW[name])
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"ratio|of a pre-signed blast's: [0-9.]+", done.stdout)


@pytest.mark.parametrize("name", SMALL)
def test_a_bench_under_its_bar_fails(name: str) -> None:
    assert bench(name, *HIGH[name]).returncode == 1
