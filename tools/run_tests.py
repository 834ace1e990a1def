"""Run every stage of the tests, say how many tests each collected, and fail if any did.

    tools/run_tests.py [STAGE ...]

The stages are forge, contracts, e2e, faults, audit, node, chains, model, web, core and unit. If
none is named, all run, two at a time and the faults beside them, which mostly wait; the output of
each is shown when it ends. Named ones run one after the other, and show theirs at once.
DAM_TEST_JOBS=1 (or more) sets how many run at a time.
DAM_NO_SKIP=1 (as in CI) turns every skipped test into a failure; see tests/conftest.py.

The table at the end has each stage's seconds, and the CPU seconds of its processes: the former
depend on what else the machine does, the latter hardly. DAM_STAGE_TIMES names a file to add it to.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NO_SKIP = os.environ.get("DAM_NO_SKIP") == "1"
_PULSE_SECONDS = 60


@dataclass
class Outcome:
    """What one stage did; `why` holds the reasons for which it counts as failed."""

    name: str
    collected: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    """Of its processes that somebody waited for: not of a chain that was killed and left."""
    why: list[str] = field(default_factory=list)
    output: bytes = b""


def run(outcome: Outcome, command: Sequence[str], live: bool) -> None:
    """Runs a command to its end, and keeps what it says; shows it at once if it is ``live``."""
    kept = bytearray()
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        assert process.stdout
        while chunk := process.stdout.read1():  # type: ignore[attr-defined] # it is buffered
            kept += chunk
            if live:
                show(chunk)
        # As Popen.wait, and what the process and those that it waited for have used.
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    outcome.cpu_seconds = used.ru_utime + used.ru_stime
    outcome.output = bytes(kept)
    if process.returncode:
        outcome.why.append(f"exit code {process.returncode}")


def show(output: bytes) -> None:
    """Passes on what a stage said."""
    sys.stdout.buffer.write(output)
    sys.stdout.buffer.flush()


def run_pytest(command: Sequence[str], outcome: Outcome, live: bool) -> None:
    """Runs pytest, or Ape over it; the counts come from its own report file."""
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.xml"
        run(outcome, [*command, f"--junitxml={report}"], live)
        # Written by the pytest just run, so the standard parser may be trusted with it.
        suites = list(ET.parse(report).iter("testsuite")) if report.exists() else []
    for suite in suites:
        outcome.collected += int(suite.get("tests", 0))
        outcome.failed += int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        outcome.skipped += int(suite.get("skipped", 0))


def run_forge(outcome: Outcome, live: bool) -> None:
    """Runs Forge, whose closing line has the counts."""
    run(outcome, ["forge", "test"], live)
    closing = re.search(
        rb"test suites? .*: (\d+) tests? passed, (\d+) failed, (\d+) skipped", outcome.output
    )
    if closing:
        passed, outcome.failed, outcome.skipped = (int(part) for part in closing.groups())
        outcome.collected = passed + outcome.failed + outcome.skipped


def run_audit(outcome: Outcome, live: bool) -> None:
    """The stages of `make audit` that are no tests of their own: each counts as one."""
    run(outcome, [sys.executable, "tools/audit.py", "halmos", "slither", "mutants"], live)
    if closing := re.search(rb"^(\d+) passed, (\d+) failed$", outcome.output, re.MULTILINE):
        passed, outcome.failed = (int(part) for part in closing.groups())
        outcome.collected = passed + outcome.failed


def run_vitest(outcome: Outcome, live: bool) -> None:
    """The tests of `web/`, in Node; the counts come from vitest's own report file."""
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.json"
        reporters = ["--reporter=default", "--reporter=json", f"--outputFile={report}"]
        run(outcome, ["npm", "--prefix", "web", "run", "--silent", "test", "--", *reporters], live)
        counts = json.loads(report.read_bytes()) if report.exists() else {}
    outcome.collected = counts.get("numTotalTests", 0)
    outcome.failed = counts.get("numFailedTests", 0)
    outcome.skipped = counts.get("numPendingTests", 0) + counts.get("numTodoTests", 0)


def run_chains(outcome: Outcome, live: bool) -> None:
    """The market on geth and Hardhat, which are had first, built once; and on a kind of rollup."""
    if subprocess.run(["scripts/bootstrap", "--chains"], cwd=ROOT, check=False).returncode:
        show(b"!! geth or Hardhat could not be had: the tests that need it are SKIPPED\n")
    run_pytest((*PLAIN, "tests/chains", "tests/rollups"), outcome, live)


# Only the contract's own tests want the chain that Ape's plug-in would start.
SLOWEST = ("--durations=10", "--durations-min=5")
PLAIN = (sys.executable, "-m", "pytest", "-p", "no:ape_test", *SLOWEST)
# The first two compile what others deploy; the longest come next, so that two end together.
STAGES: dict[str, Callable[[Outcome, bool], None]] = {
    "forge": run_forge,
    "contracts": partial(run_pytest, ("ape", "test", *SLOWEST)),
    "e2e": partial(run_pytest, (*PLAIN, "tests/e2e")),
    "faults": partial(run_pytest, (*PLAIN, "tests/faults")),
    "audit": run_audit,
    "node": partial(run_pytest, (*PLAIN, "tests/node")),
    "chains": run_chains,
    "model": partial(run_pytest, (*PLAIN, "tests/model")),
    "web": partial(run_pytest, (*PLAIN, "tests/web")),
    "unit": partial(run_pytest, (*PLAIN, "tests/unit")),
    "core": run_vitest,
}
NEED_KUBO = {"node", "e2e", "faults", "web"}
# They build with forge, too, which is not made for two at a time: not while it builds its tests.
AFTER_FORGE = {"e2e", "faults", "node", "model", "web", "audit"}
# Less than half a core: for a daemon that was killed, a node that hangs, a time that passes.
WAITING = {"faults"}


def run_stage(name: str, live: bool) -> Outcome:
    """Runs one stage to its end."""
    outcome = Outcome(name)
    started = time.monotonic()
    if live:
        print(f"\n== {name} ==", flush=True)
    STAGES[name](outcome, live)
    outcome.seconds = time.monotonic() - started
    if not outcome.collected:
        outcome.why.append("no test was collected")
    if outcome.skipped and NO_SKIP:
        outcome.why.append("skipped tests")
    return outcome


def run_together(names: Sequence[str], jobs: int) -> list[Outcome]:
    """Runs stages side by side; the output of each comes when it ends."""
    done: list[Outcome] = []
    built = threading.Event()
    if "forge" not in names:
        built.set()
    begun = time.monotonic()
    over = threading.Event()

    def pulse() -> None:
        while not over.wait(_PULSE_SECONDS):
            left = set(names) - {outcome.name for outcome in done}
            told = ", ".join(name for name in names if name in left)
            print(f"   {time.monotonic() - begun:.0f} s; not done yet: {told}", flush=True)

    def one(name: str) -> Outcome:
        if name in AFTER_FORGE:
            built.wait()
        try:
            return run_stage(name, False)
        finally:
            if name == "forge":
                built.set()

    threading.Thread(target=pulse, daemon=True).start()
    with ThreadPoolExecutor(jobs) as pool, ThreadPoolExecutor(1) as beside:
        stages = [(beside if name in WAITING else pool).submit(one, name) for name in names]
        for future in as_completed(stages):
            outcome = future.result()
            done.append(outcome)
            print(f"\n== {outcome.name} ==", flush=True)
            show(outcome.output)
    over.set()
    return sorted(done, key=lambda outcome: names.index(outcome.name))


def have_kubo() -> bool:
    """An IPFS node for the end-to-end tests: without one they are skipped, loudly."""
    # CI builds the pinned one whatever PATH has, so that it always tests the same.
    wanted = "--build-kubo" if NO_SKIP else "--kubo"
    if subprocess.run(["scripts/bootstrap", wanted], cwd=ROOT, check=False).returncode == 0:
        return True
    print("!" * 78, "!! Kubo could not be built: the tests that need it are SKIPPED", sep="\n")
    print("!" * 78, flush=True)
    return False


def table(outcomes: Sequence[Outcome]) -> list[str]:
    """What each stage did and took, a line each."""
    head = ("collected", "failed", "skipped", "seconds", "CPU s")
    lines = [f"{'stage':10}" + "".join(f"{title:>10}" for title in head)]
    for one in outcomes:
        result = "FAILED: " + ", ".join(one.why) if one.why else "ok"
        lines.append(
            f"{one.name:10}{one.collected:10}{one.failed:10}{one.skipped:10}"
            f"{one.seconds:10.0f}{one.cpu_seconds:10.0f}  {result}"
        )
    return lines


def main(names: list[str]) -> int:
    unknown = set(names) - set(STAGES)
    if unknown:
        print(f"no such stage: {', '.join(sorted(unknown))}; there are {', '.join(STAGES)}")
        return 2
    wanted = os.environ.get("DAM_TEST_JOBS", "1" if names else str(min(2, os.cpu_count() or 1)))
    if not re.fullmatch("[1-9][0-9]?", wanted):
        print(f"DAM_TEST_JOBS={wanted}: give a number from 1 on")
        return 2
    jobs = int(wanted)
    names = names or list(STAGES)
    begun = time.monotonic()
    if NEED_KUBO & set(names) and not have_kubo() and NO_SKIP:
        return 1
    if jobs == 1:
        outcomes = [run_stage(name, True) for name in names]
    else:
        # Forge first, whatever the order was: others wait for it.
        outcomes = run_together(sorted(names, key=lambda name: name != "forge"), jobs)

    lines = table(outcomes)
    print("\n" + "\n".join(lines))
    if times := os.environ.get("DAM_STAGE_TIMES"):
        with Path(times).open("a", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
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
