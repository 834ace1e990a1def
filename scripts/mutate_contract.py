"""Put faults into copies of the contract, one at a time, and see that its tests notice.

    scripts/mutate_contract.py [--jobs 2] [--no-control] [NAME ...]

Reads tests/contracts/mutants.toml. Each mutant runs the one test that names its rule; the test must
turn red, and not because the mutant fails to compile. First, as a control, all tests must pass on
the contract as it is. A run of all mutants writes docs/mutants.md. The checkout is never touched.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from queue import Queue

ROOT = Path(__file__).resolve().parent.parent
LIST = ROOT / "tests" / "contracts" / "mutants.toml"
REPORT = ROOT / "docs" / "mutants.md"
FILES = ("ape-config.yaml", "foundry.toml", "pyproject.toml", "tests/conftest.py")
FOLDERS = (
    "contracts",
    "tests/contracts",
    "tests/forge",
    # Ape does not compile through a link that leads out of the project.
    "node_modules/solady",
    "node_modules/@openzeppelin/contracts",
)
SECONDS = 300


@dataclass(frozen=True)
class Mutant:
    """One change of one file, and the test that must notice it."""

    name: str
    file: str
    old: str
    new: str
    killer: str

    def apply(self, source: str) -> str:
        if source.count(self.old) != 1:
            raise SystemExit(f"{self.name}: `old` stands {source.count(self.old)} times")
        return source.replace(self.old, self.new)

    def line(self, source: str) -> int:
        """Where the first character that changes stands, from 1."""
        place = source.index(self.old)
        for old, new in zip(self.old, self.new, strict=False):
            if old != new:
                break
            place += 1
        return source[:place].count("\n") + 1


def make_copy(folder: Path) -> None:
    """A project of its own: what is compiled and tested, and links to the tools."""
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name)
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    (folder / ".tools").symlink_to(ROOT / ".tools")


def run(command: list[str], folder: Path, seconds: float) -> tuple[int, str]:
    """Exit code and output; -1 when the time is up, which counts as not noticed."""
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        return -1, "time is up"
    return done.returncode, done.stdout + done.stderr


def judge_forge(folder: Path, prefix: str) -> str:
    code, output = run(["forge", "test", "--match-test", f"^{prefix}"], folder, SECONDS)
    if "[FAIL" in output:
        return "killed"
    if code == 0 and "[PASS]" in output:
        return "SURVIVED"
    return "BROKEN: " + output[-300:]


def judge_ape(folder: Path, killer: str) -> str:
    report = folder / "report.xml"
    report.unlink(missing_ok=True)
    command = ["ape", "test", f"tests/contracts/{killer}", "-x", f"--junitxml={report}"]
    code, output = run(command, folder, SECONDS)
    if code == 0:
        return "SURVIVED"
    if code != 1 or not report.exists():
        return "BROKEN: " + output[-300:]
    cases = list(ET.parse(report).iter("testcase"))  # written by the run just made
    if any(case.find("failure") is not None for case in cases):
        return "killed"
    errors = [error.get("message", "") for case in cases for error in case.findall("error")]
    # The books are compared when a test is over; any other error tells of no rule.
    if any("failed on teardown" in error and "AssertionError" in error for error in errors):
        return "killed"
    return "BROKEN: " + "; ".join(errors)[:300]


def judge(mutant: Mutant, folders: Queue[Path]) -> str:
    folder = folders.get()
    target = folder / "contracts" / mutant.file
    source = target.read_text()
    try:
        target.write_text(mutant.apply(source))
        for _ in range(2):
            if mutant.killer.startswith("forge:"):
                result = judge_forge(folder, mutant.killer.removeprefix("forge:"))
            else:
                result = judge_ape(folder, mutant.killer)
            # Anvil may fail to start on a busy machine.
            if not result.startswith("BROKEN"):
                break
        return result
    finally:
        target.write_text(source)
        folders.put(folder)


def control(folder: Path) -> None:
    """Without a mutant everything passes, or nothing that follows means anything."""
    for command in (["forge", "test"], ["ape", "test", "tests/contracts", "-q"]):
        code, output = run(command, folder, 4 * SECONDS)
        if code:
            raise SystemExit(f"{' '.join(command)} fails without a mutant:\n{output[-2000:]}")


def sources_digest() -> str:
    content = b"".join(p.read_bytes() for p in sorted(ROOT.glob("contracts/**/*.sol")))
    return sha256(content).hexdigest()[:16]


def cell(text: str) -> str:
    """Code on one line of a table, shortened."""
    flat = " ".join(text.split())
    flat = flat if len(flat) <= 90 else flat[:87] + "..."
    return f"`{flat}`".replace("|", "\\|") if flat else "(nothing)"


def write_report(mutants: list[Mutant], results: list[str]) -> None:
    killed = sum(result == "killed" for result in results)
    rows = []
    for mutant, result in zip(mutants, results, strict=True):
        place = mutant.line((ROOT / "contracts" / mutant.file).read_text())
        rows.append(
            f"| {mutant.name} | {mutant.file}:{place} | {cell(mutant.old)} | {cell(mutant.new)} "
            f"| {mutant.killer} | {result} |"
        )
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(
        "# Mutants of the contract\n\n"
        "Each rule of the contract was broken in a copy, one at a time, and the test that names\n"
        "the rule was run. Made by `scripts/mutate_contract.py`; the list is\n"
        "`tests/contracts/mutants.toml`. Before it, all tests passed on the contract as it is.\n\n"
        f"{killed} of {len(mutants)} killed. "
        f"Sources: SHA-256 {sources_digest()}... over contracts/\\*\\*/\\*.sol.\n\n"
        "| mutant | place | stood | stands | test | result |\n|---|---|---|---|---|---|\n"
        + "\n".join(rows)
        + "\n"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("names", nargs="*", help="only these mutants; writes no report")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--no-control", action="store_true", help="trust that the tests pass")
    options = parser.parse_args()
    mutants = [Mutant(**one) for one in tomllib.loads(LIST.read_text())["mutant"]]
    if unknown := set(options.names) - {mutant.name for mutant in mutants}:
        parser.error(f"no such mutant: {', '.join(sorted(unknown))}")
    chosen = [one for one in mutants if not options.names or one.name in options.names]
    for mutant in chosen:
        mutant.apply((ROOT / "contracts" / mutant.file).read_text())

    with tempfile.TemporaryDirectory(prefix="mutants-") as scratch:
        folders: Queue[Path] = Queue()
        for number in range(options.jobs):
            folder = Path(scratch) / str(number)
            make_copy(folder)
            folders.put(folder)
        if not options.no_control:
            print("control: all tests on the contract as it is", flush=True)
            control(folder)
        begun = time.monotonic()
        results = []
        with ThreadPoolExecutor(options.jobs) as pool:
            for mutant, result in zip(
                chosen, pool.map(lambda one: judge(one, folders), chosen), strict=True
            ):
                results.append(result)
                print(f"{len(results):4}/{len(chosen)} {mutant.name}: {result}", flush=True)
    survivors = [m.name for m, r in zip(chosen, results, strict=True) if r != "killed"]
    seconds = time.monotonic() - begun
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} killed in {seconds:.0f} s")
    if survivors:
        print("not killed:", ", ".join(survivors))
    if not options.names:
        write_report(chosen, results)
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
