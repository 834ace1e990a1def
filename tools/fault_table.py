"""The table of faults: printed after a run, kept in docs/faults.md, and proved line by line.

    tools/fault_table.py                run all tests of faults, print the table, renew the page
    tools/fault_table.py --show         the table of the last run, without a new one
    tools/fault_table.py --verify       for each fault: take the named line out of a copy of the
                                          sources, run that fault's tests, and see them go red
    tools/fault_table.py --verify 17 31    only these

A fault counts as survived if all its tests passed and each injected something. ``--verify`` leaves
the checkout alone: the copy goes before it on PYTHONPATH, for the daemons' processes, too.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
# Not as tests.faults.table: some other package that is installed may be called tests, too.
sys.path.insert(0, str(ROOT / "tests" / "faults"))

from table import FAULTS, INJECTORS, RESULTS, Fault  # noqa: E402

PAGE = ROOT / "docs" / "faults.md"
VERIFIED = RESULTS.parent / "faults-verified.json"
PYTEST = [sys.executable, "-m", "pytest", "-p", "no:ape_test", "-q"]
_SECONDS = 300
"""A daemon without its line may hang: then the tests time out, which is red, too."""


_HEAD = """# Faults, and what the daemons make of them

Written by `tools/fault_table.py` from a run of `tests/faults`: change the tests, not this page.

After every fault: each valid purchase on the canonical chain has exactly one delivery of each of
our parts before its deadline, or a recorded and alerted reason; never two live transactions for one
part; no secret in a log; the process is healthy or has exited with a non-zero code; memory stays
under its cap. `tests/faults/oracle.py` checks that.

Injectors: {letters}.

*Injected* counts what really happened in the run. *Guards* is a line of code without which the test
fails; *red* in the last column: `tools/fault_table.py --verify` took it out of a copy of the
sources, and the test failed.

| | fault | by | injected | result | guards | without it |
|---|---|---|---|---|---|---|"""


@dataclass
class Row:
    """A fault and what its tests showed."""

    fault: Fault
    injected: Counter[str] = field(default_factory=Counter)
    results: list[str] = field(default_factory=list)
    tests: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return bool(self.results) and set(self.results) == {"passed"}

    @property
    def events(self) -> str:
        return ", ".join(f"{count} {kind}" for kind, count in sorted(self.injected.items()))

    @property
    def guarded(self) -> str:
        """File and line as it is now, or why there is none."""
        try:
            return f"{self.fault.path}:{self.fault.line()}"
        except (ValueError, OSError):
            return f"{self.fault.path}: gone"


def rows() -> dict[int, Row]:
    """What the last run left, by number."""
    found: dict[int, Row] = {}
    for path in sorted(RESULTS.glob("*.json")):
        line: dict[str, Any] = json.loads(path.read_text("utf-8"))
        names = ("number", "title", "by", "breaks", "instead")
        fault = Fault(**{name: line[name] for name in names})
        row = found.setdefault(fault.number, Row(fault))
        row.injected.update(line["injected"])
        row.results.append(line["result"])
        row.tests.append(line["test"])
    return found


def run() -> int:
    """All tests of faults; their results replace those of the run before."""
    shutil.rmtree(RESULTS, ignore_errors=True)
    return subprocess.run([*PYTEST, "tests/faults"], cwd=ROOT, check=False).returncode


def verdict(found: dict[int, Row]) -> str:
    """The closing line."""
    good = sum(row.passed for row in found.values())
    missing = [f"F{n}" for n in range(1, FAULTS + 1) if n not in found]
    text = f"{good} of {FAULTS} faults survived"
    return text + (f"; without a test: {', '.join(missing)}" if missing else "")


def show(found: dict[int, Row]) -> None:
    """The table, for a terminal."""
    print(f"{'':4} {'fault':44} {'by':3} {'injected':>8}  {'result':7} line that it guards")
    for number in sorted(found):
        row = found[number]
        result = "passed" if row.passed else "FAILED"
        print(
            f"F{number:<3} {row.fault.title[:44]:44} {row.fault.by:3} "
            f"{row.injected.total():8}  {result:7} {row.guarded}"
        )
    print(verdict(found))


def proofs() -> dict[str, str]:
    """What `verify` last found, by number."""
    return json.loads(VERIFIED.read_text("utf-8")) if VERIFIED.exists() else {}


def write_page(found: dict[int, Row]) -> None:
    """Renews docs/faults.md, unless there is no run to tell of."""
    if not found:
        return
    letters = "; ".join(f"**{letter}** {words}" for letter, words in INJECTORS.items())
    red = proofs()
    lines = [_HEAD.format(letters=letters)]
    for number in sorted(found):
        row = found[number]
        text = " ".join(row.fault.text.split()).replace("|", "\\|")
        proof = red.get(str(number), "")
        # What was proved of another line says nothing of this one.
        proved = proof.partition(" ")[0] if proof.endswith(row.fault.breaks) else ""
        lines.append(
            f"| F{number} | {row.fault.title} | {row.fault.by} | {row.events} | "
            f"{'passed' if row.passed else 'FAILED'} | `{row.fault.path}`: `{text}` | {proved} |"
        )
    lines += ["", verdict(found) + "."]
    PAGE.write_text("\n".join(lines) + "\n", "utf-8")


def verify(numbers: list[int]) -> int:
    """Takes out one line after another; returns how many were not missed."""
    found = rows()
    if not found:
        print("no results of a run: run the tests first (without --verify)")
        return 1
    red = proofs()
    green = 0
    for number in numbers or sorted(found):
        row = found.get(number)
        if row is None:
            print(f"F{number}: no result of it; run the tests first")
            green += 1
            continue
        outcome = _without(row)
        red[str(number)] = f"{outcome} {row.fault.breaks}"
        green += outcome != "red"
        print(f"F{number:<3} {outcome:6} without {row.guarded}", flush=True)
        VERIFIED.write_text(json.dumps(red, indent=1) + "\n", "utf-8")
    return green


def _without(row: Row) -> str:
    """Runs the fault's tests against sources without its line: ``red``, as it should be."""
    fault = row.fault
    with tempfile.TemporaryDirectory(prefix="dam-faults-without-") as scratch:
        folder = Path(scratch)
        shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
        path = folder / fault.path
        path.write_text(fault.broken(path.read_text("utf-8")), "utf-8")
        env = os.environ | {
            "PYTHONPATH": str(folder / "src"),
            "DAM_FAULT_RESULTS": str(folder / "results"),
            "DAM_FAULT_SECONDS": "40",
        }
        try:
            done = subprocess.run(
                [*PYTEST, "-x", *row.tests],
                cwd=ROOT,
                env=env,
                capture_output=True,
                timeout=_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return "red"
    # 1: tests were run and failed. Anything else (no test, a syntax error) proves nothing.
    return {0: "GREEN", 1: "red"}.get(done.returncode, f"error-{done.returncode}")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--show", action="store_true", help="the last run's table, no new run")
    parser.add_argument("--verify", action="store_true", help="take the guarded lines out")
    parser.add_argument("numbers", nargs="*", type=int, help="faults to verify; all")
    options = parser.parse_args(arguments)
    if options.verify:
        missed = verify(options.numbers)
        write_page(rows())
        return 1 if missed else 0
    code = 0 if options.show else run()
    found = rows()
    show(found)
    write_page(found)
    complete = len(found) == FAULTS and all(row.passed for row in found.values())
    return code or (0 if complete else 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
