"""Mutate the contract everywhere, by rule, and see that the model's tests kill the mutants.

    tools/mutate_money.py [--changed BASE] [--jobs 2] [--limit N] [--again] [--write]

Where the mutants of tools/mutate_contract.py are written by hand, this one generates them: each
comparison one off, each condition turned, always true or never, each check, statement, lock and
guard left out, each run of statements reverting: what slither-mutate calls severe, and most of its
operators (docs/decisions/0019). Each mutant is deployed in place of the contract and meets
tests/model; what survives that meets tests/forge, invariants left out: they find by chance what
the others find for certain. A mutant is killed when a test fails, not when the time is up. The
baseline, the same run on the contract as it is, must pass. Survivors need a reason in
tests/model/survivors.toml, or the run fails.

--changed BASE takes only lines that differ from that commit. --write writes the table of all to
.build/audit/mutants-made.md. Verdicts are kept in .build/mutants-made.json: --again tries only
those that were not killed by the last run on the same contract.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from threading import Lock

import pytest
from schemata import (
    SETTINGS,
    Build,
    Change,
    Code,
    Compiled,
    alone,
    compile_builds,
    compile_changes,
    read_sources,
)

ROOT = Path(__file__).resolve().parent.parent
REASONS = ROOT / "tests" / "model" / "survivors.toml"
REPORT = ROOT / ".build" / "audit" / "mutants-made.md"
KEPT = ROOT / ".build" / "mutants-made.json"
FILES = (
    *("Marketplace.sol", "Books.sol", "Stakes.sol", "Sales.sol", "Deliveries.sol", "Views.sol"),
    *("Half.sol", "Closing.sol", "Ends.sol", "Proving.sol", "Slashing.sol"),
    *("libraries/SaleWord.sol", "libraries/Marks.sol", "libraries/Signatures.sol"),
)
COMPILED = ROOT / ".build" / "mutants"  # by the hash of what was compiled: minutes saved
SECONDS = 900  # far more than the clean run takes: a time-out would be a survivor
FORGE_SECONDS = 1800
KILLED, SURVIVED, TIMEOUT = "killed", "SURVIVED", "TIME-OUT"
TESTS = (
    "test_views.py",
    "test_locks.py",
    "test_edges.py",
    "test_rules.py",
    "test_table.py",
    "test_roles.py",
    "test_differential.py",
)
PRELOADED = ("pytest", "pytest_asyncio", "hypothesis.stateful", "eth_abi.abi", "dam.testing.nodes")
FORM = {"DAM_MODEL": "60x60", "DAM_TABLE_CASES": "2", "HYPOTHESIS_STORAGE_DIRECTORY": ""}

SWAPS = {
    "<": "<=",
    "<=": "<",
    ">": ">=",
    ">=": ">",
    "==": "!=",
    "!=": "==",
    "&&": "||",
    "||": "&&",
    "+": "-",
    "-": "+",
    "*": "+",
    "+=": "-=",
    "-=": "+=",
}
CHECKS = (
    r"if \(.*\) revert \w+\(.*\);",
    r"revert \w+\(.*\);",
    r"_(check|require)\w+\(.*\);",
)
# Assignments and calls; no declarations, returns, or the place of a modifier's body.
SIMPLE = r"(return\b.*|(\(.*\)|[\w.\[\]]+( \w+){0,2}) [-+]?= .*|[\w.]+\(.*\));"
STATEMENTS = (r"(?!return\b|_;)[\w.\[\]]+( [-+]?= .*)?;", r"--\w.*;", r"_[a-z]\w*\(.*\);")
GUARDS = ("unlocked", "lock", "onlyGovernor")


@dataclass(frozen=True)
class Mutant:
    """One line of one file, as it stood and as it stands."""

    file: str
    line: int
    kind: str
    old: str
    new: str
    column: int = 0

    @property
    def name(self) -> str:
        return f"{self.file.removesuffix('.sol')}:{self.line}:{self.column} {self.kind}"

    def apply(self, source: str) -> str:
        lines = source.split("\n")
        assert lines[self.line - 1] == self.old
        lines[self.line - 1] = self.new
        return "\n".join(lines)

    def change(self, source: str) -> Change:
        return Change(self.name, self.file, self.apply(source))


# ------------------------------------------------------------------------------------- making


def mutants_of(file: str, source: str) -> list[Mutant]:
    """Every mutant that the rules make of a file, in the order of its lines."""
    found = []
    inside, depth, before = False, 0, ""
    for number, line in enumerate(source.split("\n"), 1):
        code = line.split("//")[0].rstrip()
        # Only bodies and heads of functions and modifiers: constants have tests of their own.
        inside = inside or bool(re.match(r"\s*(function|modifier|constructor)\b", code))
        if not inside or not code.strip() or code.strip().startswith(("*", "/")):
            continue
        found += [Mutant(file, number, *change) for change in changes(line, code)]
        # The first of each run of statements: what follows stands or falls with it.
        if before.endswith(("{", "}")) and re.fullmatch(SIMPLE, code.strip()):
            indent = code[: len(code) - len(code.lstrip())]
            found.append(Mutant(file, number, "reverts", line, f"{indent}revert(); {code.strip()}"))
        before = code
        depth += code.count("{") - code.count("}")
        if depth == 0 and code.rstrip().endswith(("}", ";")):
            inside = False
    return found


def changes(line: str, code: str) -> list[tuple[str, str, str, int]]:
    """Kind, old line, new line and column of every mutation of a line."""
    made: list[tuple[str, str, str, int]] = []
    indent = code[: len(code) - len(code.lstrip())]
    body = code.strip()
    if any(re.fullmatch(pattern, body) for pattern in CHECKS):
        made.append(("check left out", line, indent, 0))
    elif any(re.fullmatch(pattern, body) for pattern in STATEMENTS):
        made.append(("statement left out", line, indent, 0))
    for guard in GUARDS:
        if found := re.search(rf"(?<=[\s)]){guard}(?=[\s{{]|$)", code):
            if "modifier" in code or "using" in code:
                continue
            new = code[: found.start()] + code[found.end() :]
            made.append((f"no {guard}", line, new, found.start()))
    if found := re.match(r"((?:\} else )?if )\((.*)\)( \{| \w.*;)?$", body):
        head, condition, rest = found.group(1), found.group(2), found.group(3) or ""
        if condition.count("(") == condition.count(")") and "revert" not in rest:
            made += [
                (f"always {value}", line, f"{indent}{head}({value}){rest}", 0)
                for value in ("true", "false")
            ]
    if body.startswith(("emit", "import", "using", "function", "///")):
        return made
    for found in re.finditer(r" (<=|>=|==|!=|&&|\|\||\+=|-=|<|>|\+|-|\*) ", code):
        sign = found.group(1)
        new = code[: found.start(1)] + SWAPS[sign] + code[found.end(1) :]
        made.append((f"{sign} to {SWAPS[sign]}", line, new, found.start(1)))
    return made


def changed_lines(base: str) -> dict[str, set[int]]:
    """Lines of each contract that differ from a commit."""
    command = ["git", "diff", "-U0", base, "--", "contracts"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    lines: dict[str, set[int]] = {}
    file = ""
    for row in done.stdout.splitlines():
        if row.startswith("+++ "):
            file = row.removeprefix("+++ b/contracts/")
        elif found := re.match(r"@@ -\S+ \+(\d+)(?:,(\d+))? @@", row):
            start, count = int(found[1]), int(found[2] or 1)
            lines.setdefault(file, set()).update(range(start, start + count))
    return lines


# -------------------------------------------------------------------------------------- judging


def run_model(artifact: Path, output: Path) -> None:
    """In a process of its own: tests/model on that build, and exits as pytest does."""
    os.chdir(ROOT)
    os.environ.update(FORM, DAM_MARKET_ARTIFACT=str(artifact))
    with output.open("w") as printed:
        for stream in (1, 2):
            os.dup2(printed.fileno(), stream)
        left_out = ("ape_test", "cacheprovider", "unraisableexception")
        command = ["-xq", *(f"-pno:{name}" for name in left_out)]
        code = pytest.main([*command, *(f"tests/model/{name}" for name in TESTS)])
    sys.exit(int(code))


def judge_model(code: Code, artifact: Path) -> tuple[str, str]:
    """Verdict of tests/model on a build that is written where they look, and what it said."""
    artifact.write_text(json.dumps(code.artifact()))
    output = artifact.with_suffix(".out")
    # What the tests import takes longer than most of them: it is there before this one forks.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    process = context.Process(target=run_model, args=(artifact, output))
    process.start()
    process.join(SECONDS)
    if process.exitcode is None:
        process.kill()
        process.join()
        return TIMEOUT, f"over {SECONDS} s"
    printed = output.read_text()
    output.unlink()
    if process.exitcode == 0:
        return SURVIVED, ""
    failed = re.search(r"^(?:FAILED|ERROR) tests/model/(\S+)", printed, re.MULTILINE)
    if process.exitcode != 1 or not failed:
        return "BROKEN", f"exit code {process.exitcode}: {printed[-300:]}"
    said = re.search(r"^E +(?:AssertionError: )?(.*)$", printed, re.MULTILINE)
    return KILLED, f"{failed[1]}: {said[1][:80] if said else ''}"


class Judge:
    """Asks tests/model about builds, several at a time."""

    def __init__(self, compiled: Compiled, folder: Path, kept: Verdicts, jobs: int) -> None:
        self._compiled, self._folder, self._kept, self._jobs = compiled, folder, kept, jobs
        self._done = 0

    def baselines(self, mutants: list[Mutant]) -> tuple[str, str] | None:
        """What the tests find in the builds of these mutants with none of them switched on."""
        for code in dict.fromkeys(self._compiled.plain[one.name] for one in mutants):
            begun = time.monotonic()
            verdict = judge_model(code, self._folder / "baseline")
            print(f"baseline: {verdict[0]} in {time.monotonic() - begun:.0f} s", flush=True)
            if verdict[0] != SURVIVED:
                return verdict
        return None

    def verdicts(self, mutants: list[Mutant]) -> dict[str, tuple[str, str]]:
        def judge(number: int) -> tuple[str, str]:
            one = mutants[number]
            artifact = self._folder / f"{number}"
            verdict = judge_model(self._compiled.codes[one.name], artifact)
            artifact.unlink()
            self._kept.keep(one, verdict)
            self._done += 1
            said = f"{self._done}/{len(mutants)} {one.name}: {' '.join(verdict)}"
            print(said, flush=True)
            return verdict

        with ThreadPoolExecutor(self._jobs) as pool:
            verdicts = list(pool.map(judge, range(len(mutants))))
        return {one.name: verdict for one, verdict in zip(mutants, verdicts, strict=True)}


def no_mutants(survivors: list[Mutant], known: dict[str, str]) -> list[str]:
    """Those whose code is the contract's, once they are compiled alone."""
    builds = [Build(known), *(alone(known, one.change(known[one.file])) for one in survivors)]
    first, *others = (Code(path) for path in compile_builds(builds, SETTINGS, COMPILED, 1))
    itself = first.artifact()
    return [
        one.name for one, code in zip(survivors, others, strict=True) if code.artifact() == itself
    ]


def judge_forge(folder: Path) -> tuple[str, str]:
    """Verdict of tests/forge in a copy of the project."""
    try:
        done = subprocess.run(
            ["forge", "test", "--fail-fast", "--no-match-path", "tests/forge/invariants/*"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=FORGE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return TIMEOUT, f"over {FORGE_SECONDS} s"
    failed = re.search(r"\[FAIL.*\] (\w+)", done.stdout)
    if failed:
        return KILLED, f"forge: {failed[1]}"
    if done.returncode == 0 and "passed" in done.stdout:
        return SURVIVED, ""
    return "BROKEN", f"exit code {done.returncode}: {(done.stdout + done.stderr)[-300:]}"


def make_copy(folder: Path) -> Path:
    for name in ("contracts", "tests/forge"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(ROOT / "foundry.toml", folder / "foundry.toml")
    for name in (".tools", "node_modules"):
        (folder / name).symlink_to(ROOT / name)
    # What does not change is not compiled again.
    if (ROOT / ".build" / "forge-cache").exists():
        for name in ("forge", "forge-cache"):
            shutil.copytree(ROOT / ".build" / name, folder / ".build" / name)
    return folder


def second_opinion(survivors: list[Mutant], scratch: Path) -> dict[str, tuple[str, str]]:
    """What tests/forge say of the mutants that the model's tests let live, and of none."""
    copy = make_copy(scratch / "forge")
    results = {"": judge_forge(copy)}
    for mutant in survivors:
        target = copy / "contracts" / mutant.file
        source = target.read_text()
        target.write_text(mutant.apply(source))
        results[mutant.name] = judge_forge(copy)
        target.write_text(source)
    return results


# ---------------------------------------------------------------------------------------- report


class Verdicts:
    """Kills of the last run on the same contract."""

    def __init__(self) -> None:
        text = "".join(f"{name} {text}" for name, text in sorted(read_sources().items()))
        self._digest = sha256(text.encode()).hexdigest()
        self._rows: dict[str, list[str]] = {}
        self._lock = Lock()
        if KEPT.exists():
            known = json.loads(KEPT.read_text())
            if known["contract"] == self._digest:
                self._rows = known["killed"]

    def __contains__(self, mutant: Mutant) -> bool:
        return f"{mutant.name} {mutant.new}" in self._rows

    def of(self, mutant: Mutant) -> tuple[str, str]:
        verdict, said = self._rows[f"{mutant.name} {mutant.new}"]
        return verdict, said

    def keep(self, mutant: Mutant, verdict: tuple[str, str]) -> None:
        if verdict[0] != KILLED:
            return
        with self._lock:
            self._rows[f"{mutant.name} {mutant.new}"] = list(verdict)
            KEPT.parent.mkdir(exist_ok=True)
            KEPT.write_text(json.dumps({"contract": self._digest, "killed": self._rows}))


def reasons() -> dict[tuple[str, str, str], str]:
    """Why a survivor may live: by file, old and new line, without the spaces around."""
    if not REASONS.exists():
        return {}
    rows = tomllib.loads(REASONS.read_text())["survivor"]
    return {(row["file"], row["old"], row["new"]): row["reason"] for row in rows}


def cell(text: str) -> str:
    flat = " ".join(text.split())
    flat = flat if len(flat) <= 90 else flat[:87] + "..."
    return f"`{flat}`".replace("|", "\\|") if flat else "(nothing)"


def main() -> int:  # noqa: C901 - one walk from the list to the report
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--changed", metavar="BASE", help="only lines that differ from a commit")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--limit", type=int, default=0, help="at most so many, evenly spread")
    parser.add_argument("--no-forge", action="store_true", help="ask tests/model alone")
    parser.add_argument("--again", action="store_true", help="only what the last run left alive")
    parser.add_argument("--list", action="store_true", help="only list them")
    parser.add_argument("--write", action="store_true", help="write .build/audit/mutants-made.md")
    options = parser.parse_args()
    known = read_sources()
    mutants = [mutant for file in FILES for mutant in mutants_of(file, known[file])]
    if options.changed:
        lines = changed_lines(options.changed)
        mutants = [one for one in mutants if one.line in lines.get(one.file, ())]
    made = len(mutants)
    if options.limit and made > options.limit:
        mutants = [mutants[i * made // options.limit] for i in range(options.limit)]
    if options.list:
        for one in mutants:
            print(f"{one.name}\n    {one.old.strip()}\n    {one.new.strip()}")
        print(f"{made} mutants")
        return 0
    if options.changed and not made:
        # No fault, no control: the contract as it is has stages of its own.
        print(f"no line of the contract that a fault can be made of differs from {options.changed}")
        return 0
    begun = time.monotonic()
    excused = reasons()
    with tempfile.TemporaryDirectory(prefix="mutants-") as scratch:
        folder = Path(scratch)
        kept = Verdicts()
        results = {one.name: kept.of(one) for one in mutants if options.again and one in kept}
        if results:
            print(f"{len(results)} were killed by the last run", flush=True)
        changes = [one.change(known[one.file]) for one in mutants]
        compiled = compile_changes(changes, COMPILED, options.jobs)
        dropped = compiled.dropped
        anew = [one for one in mutants if one.name not in results and one.name not in dropped]
        judge = Judge(compiled, folder, kept, options.jobs)
        if broken := judge.baselines(anew):
            print(f"BASELINE: the tests fail on the contract as it is: {broken}")
            return 1
        results |= judge.verdicts(anew)
        for name in no_mutants([one for one in anew if results[one.name][0] != KILLED], known):
            del results[name]
            dropped[name] = "the same code as the contract"
        living = [one for one in mutants if one.name in results]
        survivors = [one for one in living if results[one.name][0] != KILLED]
        unexcused = [one for one in survivors if key(one) not in excused]
        if unexcused and not options.no_forge:
            second = second_opinion(unexcused, folder)
            if second[""][0] != SURVIVED:
                print(f"BASELINE: tests/forge fail on the contract as it is: {second['']}")
                return 1
            results |= {name: verdict for name, verdict in second.items() if name}
            for one in unexcused:
                kept.keep(one, results[one.name])
    survivors = [one for one in living if results[one.name][0] != KILLED]
    bad = [one for one in survivors if key(one) not in excused]
    killed = sum(verdict[0] == KILLED for verdict in results.values())
    summary = (
        f"{made} made, {len(mutants)} tried, {len(dropped)} no mutants (no code, or the same), "
        f"{killed} of {len(living)} killed, {len(survivors) - len(bad)} excused, "
        f"{len(bad)} survived; the baseline passes"
    )
    for one in bad:
        print(f"SURVIVOR {one.name}: {results[one.name]}")
        print(f"    {one.old.strip()}\n    {one.new.strip()}")
    print(f"{summary}; {time.monotonic() - begun:.0f} s")
    if options.write:
        write_report(mutants, results, dropped, excused, summary)
    return 1 if bad else 0


def key(mutant: Mutant) -> tuple[str, str, str]:
    return mutant.file, mutant.old.strip(), mutant.new.strip()


def write_report(
    mutants: list[Mutant],
    results: dict[str, tuple[str, str]],
    dropped: dict[str, str],
    excused: dict[tuple[str, str, str], str],
    summary: str,
) -> None:
    rows = []
    for one in mutants:
        verdict, said = results.get(one.name, ("no mutant", dropped.get(one.name, "")))
        if verdict not in (KILLED, "no mutant") and key(one) in excused:
            verdict, said = "excused", excused[key(one)]
        said = " ".join(said.replace("|", "\\|").split())
        rows.append(
            f"| {one.file}:{one.line} | {one.kind.replace('|', chr(92) + '|')} "
            f"| {cell(one.old)} | {verdict} | {said} |"
        )
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(
        "# Generated mutants\n\n"
        "Made by `tools/mutate_money.py --write`: each mutant alone was put into the contract,\n"
        "and the test named failed. The same tests pass on the contract as it is; a time-out is\n"
        "no kill. Those excused are explained in `tests/model/survivors.toml`.\n\n"
        f"{summary}.\n\n"
        "| place | mutation | original | verdict | by |\n|---|---|---|---|---|\n"
        + "\n".join([*rows, ""])
    )


if __name__ == "__main__":
    sys.exit(main())
