"""The trees, the tests and the mutants name the same things, and no error is forgotten."""

import re
import tomllib
from fnmatch import filter as matching
from pathlib import Path

HERE = Path(__file__).parent
MUTANTS = tomllib.loads((HERE / "mutants.toml").read_text())["mutant"]
MODEL = HERE.parent / "model"
"""Tests of the verifier, whose killers are named with ``model:``."""
TREES = sorted(HERE.glob("*.tree"))
TESTS = {path.name: path.read_text() for path in HERE.glob("test_*.py")}
VERIFIER_TESTS = {f"model:{path.name}": path.read_text() for path in MODEL.glob("test_*.py")}
FORGE = "".join(path.read_text() for path in (HERE.parent / "forge").rglob("*.sol"))


def test_every_file_has_its_tree():
    trees = {path.stem for path in TREES}
    assert trees == {name.removesuffix(".py") for name in TESTS} - {"test_trees"}


def test_every_mutant_has_a_rule_and_every_rule_a_mutant():
    names = {mutant["name"] for mutant in MUTANTS}
    assert len(names) == len(MUTANTS)
    named = set()
    for tree in [*TREES, *MODEL.glob("*.tree")]:
        for line in tree.read_text().splitlines():
            found = re.search(r"\[([a-z0-9*, -]+)\]$", line)
            for pattern in found[1].split(", ") if found else []:
                hits = matching(names, pattern)
                assert hits, f"{tree.name}: no mutant {pattern}"
                named.update(hits)
    assert names - named == set()


def test_every_killer_exists():
    for mutant in MUTANTS:
        killer = mutant["killer"]
        if killer.startswith("forge:"):
            assert f"function {killer.removeprefix('forge:')}" in FORGE, mutant["name"]
        else:
            name, function = killer.split("::")
            assert f"def {function}(" in {**TESTS, **VERIFIER_TESTS}[name], mutant["name"]


def test_every_error_is_expected_somewhere(marketplace):
    tests = "".join(TESTS.values())
    errors = {abi.name for abi in marketplace.contract_type.errors}
    assert len(errors) > 40
    missing = {
        name
        for name in errors
        if f'reverts("{name}"' not in tests and f"IMarketplace.{name}.selector" not in FORGE
    }
    assert missing == set()


def test_every_event_is_expected_somewhere(marketplace):
    tests = "".join(TESTS.values())
    missing = {
        abi.name
        for abi in marketplace.contract_type.events
        if f'"{abi.name}"' not in tests
        and f"{abi.name}(bytes32" not in tests
        and f"emit IMarketplace.{abi.name}(" not in FORGE
    }
    assert missing == set()
