"""Run every stage of the tests, say how many tests each collected, and fail if any did.

    scripts/run_tests.py [STAGE ...]     forge unit node model faults chain audit; all if none

DAM_NO_SKIP=1 (as in CI) turns every skipped test into a failure; see tests/conftest.py.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NO_SKIP = os.environ.get("DAM_NO_SKIP") == "1"


@dataclass
class Outcome:
    """What one stage did; `why` holds the reasons for which it counts as failed."""

    name: str
    collected: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    why: list[str] = field(default_factory=list)


def run_pytest(name: str, command: list[str], folders: list[str]) -> Outcome:
    """Run pytest, or Ape over it; the counts come from its own report file."""
    outcome = Outcome(name)
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.xml"
        code = subprocess.run(
            [*command, *folders, f"--junitxml={report}"], cwd=ROOT, check=False
        ).returncode
        # Written by the pytest just run, so the standard parser may be trusted with it.
        suites = list(ET.parse(report).iter("testsuite")) if report.exists() else []
    for suite in suites:
        outcome.collected += int(suite.get("tests", 0))
        outcome.failed += int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        outcome.skipped += int(suite.get("skipped", 0))
    if code:
        outcome.why.append(f"exit code {code}")
    return outcome


def run_forge(name: str) -> Outcome:
    """Run Forge, whose closing line has the counts."""
    outcome = Outcome(name)
    process = subprocess.Popen(
        ["forge", "test"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout
    for line in process.stdout:
        print(line, end="", flush=True)
        closing = re.search(r"(\d+) tests? passed, (\d+) failed, (\d+) skipped", line)
        if closing and "test suite" in line:
            passed, outcome.failed, outcome.skipped = (int(part) for part in closing.groups())
            outcome.collected = passed + outcome.failed + outcome.skipped
    if process.wait():
        outcome.why.append(f"exit code {process.returncode}")
    return outcome


def run_audit(name: str) -> Outcome:
    """The stages of `make audit` that are no tests of their own: each counts as one."""
    outcome = Outcome(name)
    command = [sys.executable, "scripts/audit.py", "halmos", "slither", "mutants"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    print(done.stdout, end="", flush=True)
    if closing := re.search(r"^(\d+) passed, (\d+) failed$", done.stdout, re.MULTILINE):
        passed, outcome.failed = (int(part) for part in closing.groups())
        outcome.collected = passed + outcome.failed
    if done.returncode:
        outcome.why.append(f"exit code {done.returncode}")
    return outcome


# Neither unit nor node tests want the chain that Ape's plug-in would start.
UNIT = [sys.executable, "-m", "pytest", "-p", "no:ape_test"]
STAGES = {
    "forge": lambda: run_forge("forge"),
    "model": lambda: run_pytest("model", UNIT, ["tests/model"]),
    "unit": lambda: run_pytest("unit", UNIT, ["tests/unit"]),
    "node": lambda: run_pytest("node", UNIT, ["tests/node"]),
    "faults": lambda: run_pytest("faults", UNIT, ["tests/faults"]),
    "chain": lambda: run_pytest("chain", ["ape", "test"], ["tests/contracts", "tests/e2e"]),
    "audit": lambda: run_audit("audit"),
}


def have_kubo() -> bool:
    """An IPFS node for the end-to-end tests: without one they are skipped, loudly."""
    # CI builds the pinned one whatever PATH has, so that it always tests the same.
    wanted = "--build-kubo" if NO_SKIP else "--kubo"
    if subprocess.run(["scripts/bootstrap", wanted], cwd=ROOT, check=False).returncode == 0:
        return True
    print("!" * 78, "!! Kubo could not be built: the tests that need it are SKIPPED", sep="\n")
    print("!" * 78, flush=True)
    return False


def main(names: list[str]) -> int:
    unknown = set(names) - set(STAGES)
    if unknown:
        print(f"no such stage: {', '.join(sorted(unknown))}; there are {', '.join(STAGES)}")
        return 2
    names = names or list(STAGES)
    begun = time.monotonic()
    if {"node", "chain"} & set(names) and not have_kubo() and NO_SKIP:
        return 1
    outcomes = []
    for name in names:
        print(f"\n== {name} ==", flush=True)
        started = time.monotonic()
        outcome = STAGES[name]()
        outcome.seconds = time.monotonic() - started
        if not outcome.collected:
            outcome.why.append("no test was collected")
        if outcome.skipped and NO_SKIP:
            outcome.why.append("skipped tests")
        outcomes.append(outcome)

    print(f"\n{'stage':8}{'collected':>10}{'failed':>8}{'skipped':>9}{'seconds':>9}")
    for outcome in outcomes:
        result = "FAILED: " + ", ".join(outcome.why) if outcome.why else "ok"
        print(
            f"{outcome.name:8}{outcome.collected:10}{outcome.failed:8}{outcome.skipped:9}"
            f"{outcome.seconds:9.1f}  {result}"
        )
    total = sum(outcome.collected for outcome in outcomes)
    good = not any(outcome.why for outcome in outcomes)
    skipped = sum(outcome.skipped for outcome in outcomes)
    verdict = "all passed" if good else "FAILED"
    print(
        f"{total} tests collected, {verdict}, {skipped} skipped, {time.monotonic() - begun:.0f} s"
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
