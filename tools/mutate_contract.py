"""Break the contract's rules one at a time, and see that the test of each rule notices.

    tools/mutate_contract.py [--jobs 2] [NAME ...]

Reads tests/contracts/mutants.toml. Each mutant is compiled apart and meets the one test that names
its rule; that test must turn red. As the baseline the same tests run on the contract as it is, and
all must pass. A run of all mutants writes .build/audit/mutants.md. The sources are never
touched.

This file is also the pytest plugin that runs many builds in one session of `ape test`.
"""

from __future__ import annotations

import argparse
import json
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
from queue import Queue
from typing import Any

import pytest
from schemata import (
    VERIFIER,
    Build,
    Change,
    Code,
    alone,
    compile_builds,
    compile_changes,
    read_sources,
)

ROOT = Path(__file__).resolve().parent.parent
LIST = ROOT / "tests" / "contracts" / "mutants.toml"
REPORT = ROOT / ".build" / "audit" / "mutants.md"
COMPILED = ROOT / ".build" / "rules-compiled"  # by the hash of what was compiled: minutes saved
BASELINE = "baseline"
KILLED, SURVIVED = "killed", "SURVIVED"
SECONDS = 4 * 3600
GAS = 29_000_000

# What a copy for forge needs.
FILES = ("foundry.toml",)
FOLDERS = (
    "contracts",
    "tests/forge",
    "node_modules/@openzeppelin/contracts",
)


@dataclass(frozen=True)
class Mutant:
    """One change of one file, and the test that must notice it."""

    name: str
    file: str
    old: str
    new: str
    killer: str

    @property
    def judge(self) -> str:
        """Whose test it is: forge, model, or ape where nothing is said."""
        judge = self.killer.split(":")[0]
        return judge if judge in ("forge", "model") else "ape"

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


# ----------------------------------------------------------------------------------- the plugin


def is_baseline(name: str | None) -> bool:
    return bool(name and re.fullmatch(rf"{BASELINE}\d*", name))


class Session:
    """Runs each killer on its mutants' builds, in one session, until the first red."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.out = Path(plan["out"])
        self.builds: dict[str, dict[str, str]] = plan["builds"]
        self.results: dict[str, str] = {}

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        from ape.contracts import ContractContainer
        from ethpm_types import ContractType

        class Large(ContractContainer):  # type: ignore[misc] # Ape's types are not at hand here
            """Deployed with what a block has: many mutants are in it."""

            def __call__(self, *args: Any, **kwargs: Any) -> Any:
                return super().__call__(*args, **{"gas_limit": GAS} | kwargs)

        killer = f"{Path(metafunc.module.__file__ or '').name}::{metafunc.function.__name__}"
        builds = [
            pytest.param(
                Large(ContractType.model_validate_json(Path(artifact).read_text())),
                id=f"mutant-{name}-",
            )
            for name, artifact in self.builds.get(killer, {}).items()
        ]
        if builds:
            metafunc.parametrize("marketplace", builds, indirect=True, scope="session")

    @staticmethod
    def name_of(nodeid: str) -> str | None:
        _, mark, rest = nodeid.partition("mutant-")
        return rest.split("-]")[0].split("--")[0].rstrip("-") if mark else None

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if self.name_of(item.nodeid)]

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        name = self.name_of(item.nodeid)
        if not is_baseline(name) and self.results.get(name or "") == KILLED:
            pytest.skip("noticed already")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = self.name_of(report.nodeid)
        if name is None or report.skipped:
            return
        if report.failed and is_baseline(name):
            self.results[name] = f"BROKEN: {report.nodeid}: {report.longreprtext[-500:]}"
        elif report.failed:
            # In its set-up a test says nothing of the rule.
            late = report.when != "setup"
            self.results[name] = KILLED if late else f"BROKEN: {report.longreprtext[-150:]}"
        else:
            self.results.setdefault(name, SURVIVED)

    def pytest_sessionfinish(self) -> None:
        self.out.write_text(json.dumps(self.results))


def pytest_configure(config: pytest.Config) -> None:
    from ape_foundry.provider import FoundryProvider

    # A build with many mutants is larger than a contract may be.
    command = FoundryProvider.build_command
    FoundryProvider.build_command = lambda self: [*command(self), "--disable-code-size-limit"]
    plan = json.loads(Path(os.environ["DAM_MUTANTS"]).read_text())
    config.pluginmanager.register(Session(plan), "mutants")


def _write(path: Path, code: Code) -> str:
    """A build as Ape reads one; returns its path."""
    built = code.artifact()
    creation = {"bytecode": "0x" + built["bytecode"]["object"]}
    artifact = {"contractName": "Marketplace", "abi": built["abi"], "deploymentBytecode": creation}
    path.write_text(json.dumps(artifact))
    return str(path)


def run_ape(mutants: list[Mutant], scratch: Path, jobs: int) -> dict[str, str]:
    """All mutants that a test of tests/contracts must notice, and the baseline."""
    sources = read_sources()
    changes = [Change(one.name, one.file, one.apply(sources[one.file])) for one in mutants]
    compiled = compile_changes(changes, COMPILED, jobs)
    if compiled.dropped:
        raise SystemExit("\n".join(f"{name}: {why}" for name, why in compiled.dropped.items()))
    baselines = {
        code: _write(scratch / f"{BASELINE}{number}", code)
        for number, code in enumerate(dict.fromkeys(compiled.plain.values()))
    }
    builds: dict[str, dict[str, str]] = {}
    for mutant in mutants:
        known = builds.setdefault(mutant.killer, {})
        baseline = baselines[compiled.plain[mutant.name]]
        known[Path(baseline).name] = baseline
        known[mutant.name] = _write(scratch / mutant.name, compiled.codes[mutant.name])
    plan = scratch / "plan.json"
    results = scratch / "results.json"
    plan.write_text(json.dumps({"out": str(results), "builds": builds}))
    files = sorted({f"tests/contracts/{mutant.killer.split('::')[0]}" for mutant in mutants})
    environment = os.environ | {
        "DAM_MUTANTS": str(plan),
        "PYTHONPATH": str(ROOT / "tools"),
    }
    command = ["ape", "test", *files, "-q", "-p", "mutate_contract", "--tb=short"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=SECONDS,
        check=False,
    )  # fmt: skip
    if not results.exists():
        raise SystemExit(f"ape test broke down:\n{(done.stdout + done.stderr)[-3000:]}")
    read: dict[str, str] = json.loads(results.read_text())
    return read


# ---------------------------------------------------------------------------------------- forge


def make_copy(folder: Path) -> Path:
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name)
    for name in FILES:
        shutil.copy(ROOT / name, folder / name)
    (folder / ".tools").symlink_to(ROOT / ".tools")
    return folder


def judge_forge(folder: Path, prefix: str) -> str:
    test = f"function {prefix}"
    files = [path for path in folder.glob("tests/forge/**/*.t.sol") if test in path.read_text()]
    if len(files) != 1:
        return f"BROKEN: {prefix} stands in {len(files)} files"
    done = subprocess.run(
        ["forge", "test", "--match-test", f"^{prefix}", "--match-path", str(files[0])],
        cwd=folder,
        # The size limit is the chain's; code not optimised is larger.
        env=os.environ | {"FOUNDRY_OPTIMIZER": "false", "FOUNDRY_CODE_SIZE_LIMIT": "100000"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    output = done.stdout + done.stderr
    if "[FAIL" in output:
        return KILLED
    if done.returncode == 0 and "[PASS]" in output:
        return SURVIVED
    return "BROKEN: " + output[-300:]


def run_forge(mutants: list[Mutant], scratch: Path, jobs: int) -> dict[str, str]:
    """All mutants that a test of tests/forge must notice, and the baseline."""
    folders: Queue[Path] = Queue()
    for number in range(jobs):
        folders.put(make_copy(scratch / f"forge-{number}"))

    def judge(mutant: Mutant) -> str:
        folder = folders.get()
        target = folder / "contracts" / mutant.file
        source = target.read_text()
        try:
            target.write_text(mutant.apply(source))
            return judge_forge(folder, mutant.killer.removeprefix("forge:"))
        finally:
            target.write_text(source)
            folders.put(folder)

    folder = folders.get()
    results = {}
    for killer in sorted({mutant.killer for mutant in mutants}):
        result = judge_forge(folder, killer.removeprefix("forge:"))
        if result != SURVIVED:
            results[BASELINE] = f"BROKEN: {killer}: {result}"
    folders.put(folder)
    with ThreadPoolExecutor(jobs) as pool:
        for mutant, result in zip(mutants, pool.map(judge, mutants), strict=True):
            results[mutant.name] = result
    return results


# ---------------------------------------------------------------------------------------- model


def judge_model(artifact: Path, killers: list[str]) -> str:
    """Verdict of tests of tests/model on a verifier of evidence."""
    command = [sys.executable, "-m", "pytest", "-p", "no:ape_test", "-p", "no:cacheprovider", "-xq"]
    done = subprocess.run(
        [*command, *(f"tests/model/{one.removeprefix('model:')}" for one in killers)],
        cwd=ROOT,
        env=os.environ | {"DAM_PROOFS_ARTIFACT": str(artifact)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    if done.returncode == 0:
        return SURVIVED
    # A verifier that is not even made says nothing of the rule.
    if done.returncode == 1 and re.search("^FAILED", done.stdout, re.MULTILINE):
        return KILLED
    return f"BROKEN: {(done.stdout + done.stderr)[-300:]}"


def run_model(mutants: list[Mutant], scratch: Path, jobs: int) -> dict[str, str]:
    """All mutants of the verifier, which a test of tests/model must notice, and the baseline."""
    sources = read_sources()
    builds = [Build(sources)]
    for one in mutants:
        change = Change(one.name, one.file, one.apply(sources[one.file]))
        builds.append(alone(sources, change))
    outputs = compile_builds(builds, VERIFIER, COMPILED, jobs)
    artifacts = [scratch / name for name in (BASELINE, *(one.name for one in mutants))]
    for artifact, output in zip(artifacts, outputs, strict=True):
        artifact.write_text(json.dumps(Code(output).artifact()))
    killers = sorted({one.killer for one in mutants})
    with ThreadPoolExecutor(jobs) as pool:
        verdicts = pool.map(judge_model, artifacts, [killers, *([one.killer] for one in mutants)])
        return dict(zip((BASELINE, *(one.name for one in mutants)), verdicts, strict=True))


# ---------------------------------------------------------------------------------------- report


def cell(text: str) -> str:
    """Code on one line of a table, shortened."""
    flat = " ".join(text.split())
    flat = flat if len(flat) <= 90 else flat[:87] + "..."
    return f"`{flat}`".replace("|", "\\|") if flat else "(nothing)"


def write_report(mutants: list[Mutant], results: dict[str, str]) -> None:
    sources = read_sources()
    digest = sha256("".join(sources.values()).encode()).hexdigest()[:16]
    killed = sum(results.get(mutant.name) == KILLED for mutant in mutants)
    rows = [
        f"| {mutant.name} | {mutant.file}:{mutant.line(sources[mutant.file])} "
        f"| {cell(mutant.old)} | {cell(mutant.new)} | {mutant.killer} "
        f"| {results.get(mutant.name, 'NOT RUN').split(':')[0]} |"
        for mutant in mutants
    ]
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(
        "# Mutants of the contract\n\n"
        "Each rule of the contract was broken, one at a time, and the test that names the rule\n"
        "was run; the same tests pass on the contract as it is. Made by\n"
        "`tools/mutate_contract.py` from `tests/contracts/mutants.toml`.\n\n"
        f"{killed} of {len(mutants)} killed. The sources' SHA-256 begins with {digest}.\n\n"
        "| mutant | place | stood | stands | test | result |\n|---|---|---|---|---|---|\n"
        + "\n".join(rows)
        + "\n"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("names", nargs="*", help="only these mutants; writes no report")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    mutants = [Mutant(**one) for one in tomllib.loads(LIST.read_text())["mutant"]]
    if unknown := set(options.names) - {mutant.name for mutant in mutants}:
        parser.error(f"no such mutant: {', '.join(sorted(unknown))}")
    chosen = [one for one in mutants if not options.names or one.name in options.names]
    begun = time.monotonic()
    results: dict[str, str] = {}
    broken = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as scratch:
        for run, judge in ((run_ape, "ape"), (run_forge, "forge"), (run_model, "model")):
            if part := [one for one in chosen if one.judge == judge]:
                found = run(part, Path(scratch), options.jobs)
                plain = {name: found.pop(name) for name in list(found) if is_baseline(name)}
                said = [one for one in plain.values() if one != SURVIVED]
                broken += [f"without a mutant: {one}" for one in said]
                results |= found
                killed = sum(result == KILLED for result in found.values())
                print(f"{run.__name__}: {killed} of {len(part)} killed", flush=True)
    broken += [
        f"{one.name}: {results.get(one.name, 'NOT RUN')}"
        for one in chosen
        if results.get(one.name) != KILLED
    ]
    killed = sum(results.get(one.name) == KILLED for one in chosen)
    print(f"{killed} of {len(chosen)} killed in {time.monotonic() - begun:.0f} s")
    print("\n".join(broken), end="\n" if broken else "")
    if not options.names:
        write_report(chosen, results)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
