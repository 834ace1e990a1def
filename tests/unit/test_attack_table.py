"""The table of docs/threats.md names tests and mutants that there are, and that belong together."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTS = "\n".join(
    path.read_text(encoding="utf-8")
    for folder in ("contracts", "unit", "forge", "model")
    for path in sorted((ROOT / "tests" / folder).rglob("*"))
    if path.suffix in {".py", ".sol"} and path != Path(__file__)
)


def test_each_attack_names_its_test_and_what_turns_it_red() -> None:
    text = (ROOT / "docs" / "threats.md").read_text(encoding="utf-8")
    _, _, table = text.partition("### Which test fails without the rule")
    rows = re.findall(r"^\| (\d+) \| (.+) \| (.+) \|$", table, re.MULTILINE)
    found = tomllib.loads((ROOT / "tests/contracts/mutants.toml").read_text(encoding="utf-8"))
    killers = {one["name"]: one["killer"].partition("::")[2] for one in found["mutant"]}
    assert [int(number) for number, _, _ in rows] == list(range(1, len(rows) + 1))
    assert f"| {len(rows)} |" in text.partition("## Found by attacking")[2]
    for _, tests, removals in rows:
        names = re.findall(r"`(test_\w+)`", tests)
        assert names
        assert not [name for name in names if not re.search(rf"\b{name}\(", TESTS)]
        removed, _, models = removals.partition("model ")
        for weaker in re.findall(r"`(\w+)`", models):
            assert f"class {weaker}(" in TESTS
        if not removed.startswith("by hand: "):
            for mutant in re.findall(r"`([\w-]+)`", removed):
                assert killers[mutant] in names
