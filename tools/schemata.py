"""Many mutants in one build of the contract, each switched on by a number in the code.

Compiling the market takes ten seconds, and telling whether a test notices a mutant takes two. So
the bodies of a function with and without each fault stand side by side in one build, and a number
decides which of them runs: that of a mutant takes the number's place in the compiled code. With 0
the contract is as it is; what cannot stand beside others is compiled alone.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from solc_batch import compile_files

ROOT = Path(__file__).resolve().parent.parent
# 32 bytes that stand nowhere else; the number of a mutant is written over them.
NUMBER = sha256(b"the number of the mutant that runs").hexdigest()
# Characters of bodies in one build: what they make fits the gas that a test deploys with.
ROOM = 96_000
CHANGES = 200
# Little optimising does for tests. What folds constants or moves them would fold the number.
SETTINGS: dict[str, Any] = {
    "evmVersion": "cancun",
    "viaIR": True,
    "metadata": {"bytecodeHash": "none", "appendCBOR": False},
    "remappings": ["@openzeppelin/contracts/=node_modules/@openzeppelin/contracts/"],
    "optimizer": {
        "enabled": True,
        "runs": 1,
        "details": {
            "peephole": True,
            "jumpdestRemover": True,
            "deduplicate": True,
            "inliner": False,
            "cse": False,
            "constantOptimizer": False,
            "orderLiterals": False,
            "yul": True,
            "yulDetails": {"stackAllocation": True, "optimizerSteps": ":"},
        },
    },
    "outputSelection": {
        "contracts/Marketplace.sol": {"Marketplace": ["abi", "evm.bytecode.object"]}
    },
}
# The verifier of evidence instead: small enough to be compiled anew for each of its mutants.
VERIFIER = SETTINGS | {
    "outputSelection": {"contracts/Proofs.sol": {"Proofs": ["abi", "evm.bytecode.object"]}}
}
_TOKENS = re.compile(
    r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\])*"|\b(?:function|modifier|constructor)\b|[{}();]', re.DOTALL
)
# All that the optimiser does, to make the code small: slow, and it finds every variable a place.
SMALL = SETTINGS | {"optimizer": {"enabled": True, "runs": 1}}
Sources = dict[str, str]


@dataclass(frozen=True)
class Change:
    """A file as a mutant has it."""

    name: str
    file: str
    text: str


@dataclass
class Build:
    """One standard input's worth: the contract, and which number is which mutant."""

    sources: Sources
    numbers: dict[str, int] = field(default_factory=dict)
    """0: it is alone, and no number stands in the code."""


def bodies(source: str) -> list[tuple[int, int]]:
    """Where each body of a function, modifier or constructor begins and ends, without braces."""
    found = []
    head, depth, begin = False, 0, 0
    for token in _TOKENS.finditer(source):
        text = token.group()
        if text in ("function", "modifier", "constructor"):
            head = head or not begin
        elif text == "{":
            if begin:
                depth += 1
            elif head:
                head, depth, begin = False, 1, token.end()
        elif text == "}" and begin:
            depth -= 1
            if not depth:
                found.append((begin, token.start()))
                begin = 0
        elif text == ";" and head and not begin:
            head = False
    return found


def around(source: str, text: str) -> tuple[int, int, str] | None:
    """The body that a change is within, and what stands there instead; None where it is in none."""
    first = next((i for i, (a, b) in enumerate(zip(source, text, strict=False)) if a != b), None)
    if first is None:
        first = min(len(source), len(text))
    last = 0
    most = min(len(source), len(text)) - first
    while last < most and source[-1 - last] == text[-1 - last]:
        last += 1
    for begin, end in bodies(source):
        if begin <= first and len(source) - last <= end:
            return begin, end, text[begin : end + len(text) - len(source)]
    return None


def alone(sources: Sources, change: Change) -> Build:
    """A build of one change."""
    return Build(sources | {change.file: change.text}, {change.name: 0})


def pack(sources: Sources, changes: Iterable[Change]) -> list[Build]:
    """Builds with as many mutants as there is room for; and one for each that is to be alone."""
    apart: list[Build] = []
    together: list[list[tuple[Change, tuple[int, int, str]]]] = [[]]
    room = ROOM
    for change in changes:
        place = around(sources[change.file], change.text)
        if place is None:
            apart.append(alone(sources, change))
            continue
        if room < len(place[2]) or len(together[-1]) == CHANGES:
            together.append([])
            room = ROOM
        room -= len(place[2])
        together[-1].append((change, place))
    return [_merge(sources, part) for part in together if part] + apart


def _merge(sources: Sources, part: Sequence[tuple[Change, tuple[int, int, str]]]) -> Build:
    numbers = {change.name: number for number, (change, _) in enumerate(part, 1)}
    others: dict[str, dict[tuple[int, int], str]] = {}
    for change, (begin, end, text) in part:
        chain = others.setdefault(change.file, {})
        branch = f" if (0x{NUMBER} == {numbers[change.name]}) {{{text}}} else"
        chain[begin, end] = chain.get((begin, end), "") + branch
    merged = dict(sources)
    for file, chains in others.items():
        source = merged[file]
        for (begin, end), chain in sorted(chains.items(), reverse=True):
            source = f"{source[:begin]}{chain} {{{source[begin:end]}}}{source[end:]}"
        merged[file] = source
    return Build(merged, numbers)


def switch(code: str, number: int) -> str:
    """The code in which one mutant runs, or the contract as it is."""
    return code.replace(NUMBER, f"{number:064x}")


# ---------------------------------------------------------------------------------- compiling


@dataclass(frozen=True)
class Code:
    """What the compiler made of one mutant, or of the contract as it is."""

    output: Path
    number: int = 0

    def artifact(self) -> dict[str, Any]:
        """As forge writes one."""
        [file] = _read(self.output)["contracts"].values()
        [contract] = file.values()
        code = switch(contract["evm"]["bytecode"]["object"], self.number)
        return {"abi": contract["abi"], "bytecode": {"object": code}}


@dataclass
class Compiled:
    """Each mutant's code, what that is without the mutant, and those that do not compile."""

    codes: dict[str, Code] = field(default_factory=dict)
    plain: dict[str, Code] = field(default_factory=dict)
    """Compiled as the mutant is, and to pass the tests that the mutant meets."""
    dropped: dict[str, str] = field(default_factory=dict)


def compile_changes(changes: Sequence[Change], kept: Path, jobs: int) -> Compiled:
    """Compiles every change; outputs are kept by the hash of what was compiled."""
    sources = read_sources()
    types = SETTINGS | {"outputSelection": {"contracts/Marketplace.sol": {"Marketplace": ["abi"]}}}

    def faulty(builds: Sequence[Build]) -> set[str]:
        """Types first, a second each: what does not compile must not stop its neighbours."""
        outputs = compile_builds(builds, types, kept, jobs)
        return {name for pair in zip(builds, outputs, strict=True) for name in _blamed(*pair)}

    done, deep = Compiled(), list[Build]()
    wrong = faulty(pack(sources, changes))
    apart = [alone(sources, change) for change in changes if change.name in wrong]
    done.dropped = dict.fromkeys(sorted(faulty(apart)), "does not compile")
    left = [change for change in changes if change.name not in done.dropped]
    builds = pack(sources, [change for change in left if change.name not in wrong])
    builds += [build for build in apart if not done.dropped.keys() & build.numbers]

    def take(build: Build, output: Path, plain: Path) -> None:
        done.codes |= {name: Code(output, number) for name, number in build.numbers.items()}
        done.plain |= dict.fromkeys(build.numbers, Code(plain))

    while builds:
        again: list[Build] = []
        outputs = compile_builds(builds, SETTINGS, kept, jobs)
        for build, output in zip(builds, outputs, strict=True):
            if _errors(_read(output)):
                if 0 in build.numbers.values():
                    deep.append(build)
                    continue
                blamed = set(_blamed(build, output))
                again += _apart(sources, [one for one in left if one.name in build.numbers], blamed)
                continue
            plain = output
            if any(build.numbers.values()):
                stands = output.read_text().count(NUMBER)
                assert stands >= len(build.numbers), f"{output}: {stands} of {build.numbers}"
            else:
                [plain] = compile_builds([Build(sources)], SETTINGS, kept, jobs)
            take(build, output, plain)
        builds = again
    # Too many variables for little optimising.
    for build, output in zip(deep, compile_builds(deep, SMALL, kept, jobs), strict=True):
        if errors := _errors(_read(output)):
            raise SystemExit(f"{', '.join(build.numbers)}: {errors[0]['formattedMessage']}")
        [plain] = compile_builds([Build(sources)], SMALL, kept, jobs)
        take(build, output, plain)
    return done


def _apart(sources: Sources, changes: Sequence[Change], blamed: set[str]) -> list[Build]:
    """A build anew, without those of a body whose variables are too many once it is repeated."""

    def body(change: Change) -> tuple[str, int]:
        place = around(sources[change.file], change.text)
        return change.file, place[0] if place else 0

    bodies_ = {body(change) for change in changes if change.name in blamed}
    others = [change for change in changes if body(change) not in bodies_]
    apart = [alone(sources, change) for change in changes if body(change) in bodies_]
    return pack(sources, others) + apart


def compile_builds(
    builds: Sequence[Build], settings: dict[str, Any], kept: Path, jobs: int
) -> list[Path]:
    """The compiler's output for each build."""
    kept.mkdir(parents=True, exist_ok=True)
    paths, wanted = [], {}
    for build in builds:
        text = json.dumps(
            {
                "language": "Solidity",
                "sources": {f"contracts/{n}": {"content": t} for n, t in build.sources.items()},
                "settings": settings,
            }
        )
        paths.append(kept / f"{sha256(text.encode()).hexdigest()}.json")
        if not paths[-1].exists():
            wanted[paths[-1]] = paths[-1].with_suffix(".input")
            wanted[paths[-1]].write_text(text)
    compile_files(list(wanted.values()), jobs)
    for path, source in wanted.items():
        source.unlink()
        shutil.move(f"{source}.out", path)
    return paths


def read_sources() -> Sources:
    """The contract's files, by their path in contracts."""
    paths = sorted((ROOT / "contracts").glob("**/*.sol"))
    return {path.relative_to(ROOT / "contracts").as_posix(): path.read_text() for path in paths}


def _read(output: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(output.read_bytes())
    return read


def _errors(output: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in output.get("errors", ()) if one["severity"] == "error"]


def _blamed(build: Build, output: Path) -> Iterable[str]:
    """The mutants whose lines do not compile."""
    names = {number: name for name, number in build.numbers.items()}
    for error in _errors(_read(output)):
        if 0 in names:
            yield names[0]
            continue
        place = error["sourceLocation"]
        text = build.sources[place["file"].removeprefix("contracts/")].encode()[: place["start"]]
        # The branch in which the compiler stumbled is the last that began before.
        yield names[int(re.findall(rf"0x{NUMBER} == (\d+)\)", text.decode())[-1])]
