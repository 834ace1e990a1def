"""Everything that is to show that the contract adds up, and one table of what it showed.

    tools/audit.py [--full] [--again] [--write] [--jobs 2] [STAGE ...]

The quick form takes less than twenty minutes on two cores, --full a night. Every stage runs, and
prints what it does to .build/audit/STAGE.log; one that fails fails the audit. --write also
writes the table to .build/audit/audit-quick.md, or audit-full.md with --full. --again keeps the
kills of the last run over all mutants of the same contract, and tries the others.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / ".build" / "audit"
TOOLS = ROOT / ".tools" / "audit"
REQUIREMENTS = ROOT / "requirements" / "audit.txt"
TRIAGE = ROOT / "tests" / "audit" / "slither.json"
# What is deployed; the market brings its other half along. The timelock is OpenZeppelin's.
DEPLOYED = ("Marketplace", "Proofs", "arbitration/Erc792Adapter")
PYTEST = [sys.executable, "-m", "pytest", "-p", "no:ape_test", "-p", "no:cacheprovider", "-q", "-s"]
REMAPPING = "@openzeppelin/contracts/=node_modules/@openzeppelin/contracts/"
HOURS = 3600


@dataclass
class Run:
    """What the command line wants of every stage."""

    full: bool
    jobs: int
    again: bool = False


class Failed(Exception):
    """The stage found something; the text says what."""


def call(name: str, command: list[str], seconds: int, **env: str) -> str:
    """Runs a tool into the stage's log; returns what it printed.

    Raises:
        Failed: it exited with another code than 0, or took too long.
    """
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / f"{name}.log"
    with log.open("ab") as out:
        start = out.tell()
        try:
            code = subprocess.run(
                command,
                cwd=ROOT,
                env=os.environ | env,
                stdout=out,
                stderr=subprocess.STDOUT,
                timeout=seconds,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            raise Failed(f"not done after {seconds} s") from None
    said = log.read_bytes()[start:].decode("utf-8", "replace")
    if code:
        raise Failed(f"exit code {code}; see {log.relative_to(ROOT)}")
    return said


# -------------------------------------------------------------------------------------- stages


def forge(run: Run) -> str:
    """Unit, fuzz and invariant tests; the native binary, for npm's wrapper hides failures."""
    profile = {"FOUNDRY_PROFILE": "nightly"} if run.full else {}
    said = call("forge", ["forge", "test"], 8 * HOURS if run.full else 1200, **profile)
    closing = re.findall(r"(\d+) tests passed, (\d+) failed, (\d+) skipped", said)
    if not closing or closing[-1][0] == "0":
        raise Failed("no test ran")
    calls = sum(int(n) for n in re.findall(r"\(runs: \d+, calls: (\d+)", said))
    if not calls:
        raise Failed("no invariant was tried")
    return f"{closing[-1][0]} tests passed, {calls:,} calls between invariants"


def differential(run: Run) -> str:
    form = "nightly" if run.full else "quick"
    tests = ["tests/model/test_differential.py"]
    said = call("differential", [*PYTEST, *tests], 6 * HOURS, DAM_MODEL=form)
    found = re.search(r"(\d+) calls in \d+ s \(\d+/s\)", said)
    if not found:
        raise Failed("no call was compared")
    return f"model and contract agree: {found[0]}"


def tables(run: Run) -> str:
    tests = ["tests/model/test_table.py", "tests/model/test_roles.py"]
    cases = "150" if run.full else "6"
    said = call("tables", [*PYTEST, *tests], 2 * HOURS, DAM_TABLE_CASES=cases)
    found = re.search(r"(\d+) passed", said)
    if not found:
        raise Failed("no test ran")
    return f"money table ({cases} random terms a row) and roles: {found[0]}"


def proofs(run: Run) -> str:  # noqa: ARG001 - every stage is called alike
    said = call("proofs", [*PYTEST, "tests/model/test_proofs.py"], 1 * HOURS, DAM_BOXES="10000")
    found = re.search(r"(\d+) boxes, (\d+) of them junk", said)
    if not found:
        raise Failed("no box was opened")
    return f"the verifier, our clients and libsodium agree on {found[0]}"


def gas(run: Run) -> str:  # noqa: ARG001
    said = call("gas", [sys.executable, "bench/gas.py", "--check"], 3 * HOURS)
    sizes = re.findall(r"^\| (Marketplace|Closing|Proofs) \| ([\d,]+) \|", said, re.MULTILINE)
    if not sizes:
        raise Failed("no contract was measured")
    bytes_of = ", ".join(f"{name} {size}" for name, size in sizes)
    return f"every line within its bar, none dearer by more than 1 %; bytes: {bytes_of}"


def halmos(run: Run) -> str:
    """Symbolic execution. Compiles apart from forge's tests, which halmos need not see. The quick
    form proves what the libraries do; the money of every end takes minutes.
    """
    out = {
        "FOUNDRY_SRC": "tests/halmos",
        "FOUNDRY_TEST": "tests/halmos",
        "FOUNDRY_SCRIPT": "tests/halmos",
        "FOUNDRY_OUT": ".build/halmos",
        "FOUNDRY_CACHE_PATH": ".build/halmos-cache",
    }
    command = [tool("halmos"), "--forge-build-out", ".build/halmos", "--no-status"]
    # Milliseconds for one question to the solver; it needs a tenth of that on a free machine.
    command += ["--solver-timeout-assertion", "600000"]
    said = plain(call("halmos", [*command, "--contract", "LibrariesCheck"], 2 * HOURS, **out))
    if run.full:
        # Bits are easy for yices, which halmos brings along; sums of wide numbers are not.
        command += ["--solver-command", f"{TOOLS / 'bin' / 'python'} tools/cvc5_solve.py"]
        said += plain(call("halmos", [*command, "--contract", "MoneyCheck"], 2 * HOURS, **out))
    counts = re.findall(r"Symbolic test result: (\d+) passed; (\d+) failed", said)
    passed, failed = (sum(int(row[i]) for row in counts) for i in (0, 1))
    # A path cut short, or a solver out of time, proves nothing.
    if failed or not passed or "[TIMEOUT]" in said or "incomplete" in said.lower():
        raise Failed(f"{passed} proved, {failed} not; see .build/audit/halmos.log")
    return f"{passed} properties proved for every input"


def slither(run: Run) -> str:  # noqa: ARG001
    """No finding of medium impact or above without a reason, and no reason without a finding."""
    report = LOGS / "slither.json"
    # Its compiling begins with `forge clean`: not of what a test beside it is building.
    out = {"FOUNDRY_OUT": ".build/slither", "FOUNDRY_CACHE_PATH": ".build/slither-cache"}
    found = set()
    for name in DEPLOYED:
        report.unlink(missing_ok=True)
        command = [
            *(tool("slither"), f"contracts/{name}.sol", "--solc", ".tools/solc/solc-v0.8.30"),
            *("--solc-remaps", REMAPPING, "--filter-paths", "node_modules"),
            *("--exclude-low", "--exclude-informational", "--exclude-optimization"),
            *("--fail-none", "--json", str(report)),
        ]
        call("slither", command, HOURS, **out)
        # Where it finds nothing it names no list.
        results = json.loads(report.read_bytes())["results"].get("detectors", ())
        found |= {finding(one) for one in results}
    rows = json.loads(TRIAGE.read_bytes())
    known = {(row["check"], row["place"], row["code"]) for row in rows if row["reason"]}
    if found - known or known - found:
        new = "\n".join(f"untriaged: {one}" for one in sorted(found - known))
        gone = "\n".join(f"no longer found: {one}" for one in sorted(known - found))
        (LOGS / "slither.log").open("a").write(f"{new}\n{gone}\n")
        raise Failed(f"{len(found - known)} untriaged, {len(known - found)} no longer found")
    return f"{len(found)} findings of medium impact or above, each with its reason"


def finding(one: dict[str, Any]) -> tuple[str, str, str]:
    """What it is, where, and the code: lines may move."""
    first = one["elements"][0]
    function = next((e for e in one["elements"] if e["type"] == "function"), None)
    if function is None:
        function = first["type_specific_fields"]["parent"]
    contract = function["type_specific_fields"]["parent"]["name"]
    node = next((e for e in one["elements"] if e["type"] in ("node", "variable")), first)
    return one["check"], f"{contract}.{function['name']}", node["name"]


def mutants(run: Run) -> str:
    """Mutants made by rule: some of those on changed lines; all of them at night."""
    command = [sys.executable, "tools/mutate_money.py", "--jobs", str(run.jobs)]
    if run.full:
        command += ["--write", *(["--again"] if run.again else [])]
    else:
        command += ["--changed", base(), "--limit", "16"]
    said = call("mutants", command, 12 * HOURS)
    return said.strip().splitlines()[-1]


def rules(run: Run) -> str:
    """Mutants written by hand, one for each rule, and the test that is to notice each."""
    script = ROOT / "tools" / "mutate_contract.py"
    command = [sys.executable, str(script), "--jobs", str(run.jobs)]
    said = call("rules", command, 6 * HOURS)
    return next(line for line in said.splitlines() if re.match(r"\d+ of \d+ killed in", line))


def base() -> str:
    """The commit whose lines are not new: where this branch left the main one, or the last."""
    if given := os.environ.get("DAM_AUDIT_BASE"):
        return given
    for name in ("origin/main", "main"):
        command = ["git", "merge-base", "HEAD", name]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode == 0 and done.stdout.strip() != head():
            return done.stdout.strip()
    return "HEAD~1"


def head() -> str:
    command = ["git", "rev-parse", "HEAD"]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()


STAGES: dict[str, Callable[[Run], str]] = {
    "forge": forge,
    "differential": differential,
    "tables": tables,
    "proofs": proofs,
    "halmos": halmos,
    "slither": slither,
    "gas": gas,
    "mutants": mutants,
    "rules": rules,
}
# The hand-written mutants run the whole of tests/contracts: half an hour.
ONLY_FULL = {"rules"}


# --------------------------------------------------------------------------------- environment


def tool(name: str) -> str:
    """halmos or slither, in an environment of their own that holds what the hashes say."""
    stamp = TOOLS / "stamp"
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        uv = str(ROOT / ".tools" / "uv" / "bin" / "uv")
        interpreter = getattr(sys, "_base_executable", sys.executable)
        call("setup", [uv, "venv", "--clear", "--python", interpreter, str(TOOLS)], 600)
        sync = [uv, "pip", "sync", "--require-hashes", "--python", str(TOOLS / "bin" / "python")]
        call("setup", [*sync, str(REQUIREMENTS)], 1800)
        stamp.write_text(wanted)
    return str(TOOLS / "bin" / name)


def plain(text: str) -> str:
    """Without the colours of a terminal."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=", ".join(STAGES))
    parser.add_argument("--full", action="store_true", help="the nightly form")
    parser.add_argument("--write", action="store_true", help="write the table to .build/audit")
    parser.add_argument("--again", action="store_true", help="keep the kills of the last run")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    if unknown := set(options.stages) - set(STAGES):
        parser.error(f"no such stage: {', '.join(sorted(unknown))}")
    names = options.stages or [one for one in STAGES if options.full or one not in ONLY_FULL]
    run = Run(options.full, options.jobs, options.again)
    rows, failed = [], 0
    for name in names:
        print(f"{name} ...", flush=True)
        (LOGS / f"{name}.log").unlink(missing_ok=True)
        begun, commit = time.monotonic(), head()[:12]
        try:
            verdict, said = "ok", STAGES[name](run)
        except Failed as error:
            verdict, said = "FAILED", str(error)
        failed += verdict != "ok"
        rows.append((name, verdict, f"{time.monotonic() - begun:.0f}", said, commit))
        if options.write:
            write(rows, options.full)
    width = max(len(name) for name in names)
    print(f"\n{'stage':{width}}  {'verdict':7}  {'seconds':>7}  what it showed")
    for name, verdict, seconds, said, _ in rows:
        print(f"{name:{width}}  {verdict:7}  {seconds:>7}  {said}")
    print(f"{len(rows) - failed} passed, {failed} failed")
    return 1 if failed else 0


def write(rows: list[tuple[str, ...]], full: bool) -> None:
    """Writes the table to a file; a stage that did not run now keeps its row, on one contract."""
    name = "audit-full" if full else "audit-quick"
    kept = LOGS / f"{name}.json"
    sources = sorted((ROOT / "contracts").glob("**/*.sol"))
    contract = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    known: dict[str, Any] = json.loads(kept.read_bytes()) if kept.exists() else {}
    table = known["rows"] if known.get("contract") == contract else {}
    table |= {row[0]: list(row[1:]) for row in rows}
    kept.write_text(json.dumps({"contract": contract, "rows": table}))
    form = "make audit-full" if full else "make audit"
    lines = [
        f"# What `{form}` printed",
        "",
        f"Made by `tools/audit.py --write`, on {os.cpu_count()} cores. Every row is of the same",
        f"contract (SHA-256 of its sources: {contract[:16]}). Seconds are those of a machine that",
        "did other work, too.",
        "",
        "| stage | verdict | seconds | what it showed | at commit |",
        "|---|---|---:|---|---|",
    ]
    for stage in STAGES:
        if stage in table:
            cells = [stage, *table[stage]]
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    wanted = [stage for stage in STAGES if full or stage not in ONLY_FULL]
    if missing := [stage for stage in wanted if stage not in table]:
        lines += ["", f"Not run yet on this contract: {', '.join(missing)}."]
    (LOGS / f"{name}.md").write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    sys.exit(main())
