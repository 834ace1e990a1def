"""Mutants beside each other in one build: tools/schemata.py."""

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

schemata: Any = importlib.import_module("schemata")

SOURCE = """
contract C {
    // function told(uint256 a) { not one }
    uint256 private constant MOST = 32;

    modifier never() {
        revert("{");
        _;
    }

    function one(uint256 a) external pure returns (uint256) {
        if (a > MOST) {
            return 1;
        }
        return a + 1;
    }

    function declared() external virtual;

    function two(uint256 a) external pure never returns (uint256 b) {
        b = a * 2;
    }
}
"""


def change(name: str, old: str, new: str) -> Any:
    assert SOURCE.count(old) == 1
    return schemata.Change(name, "C.sol", SOURCE.replace(old, new))


def test_a_body_is_what_stands_between_the_braces_of_a_function() -> None:
    found = [SOURCE[begin:end].strip() for begin, end in schemata.bodies(SOURCE)]
    assert [text.splitlines()[0] for text in found] == [
        'revert("{");',
        "if (a > MOST) {",
        "b = a * 2;",
    ]


@pytest.mark.parametrize(
    ("old", "new"), [("MOST = 32", "MOST = 33"), ("pure never returns", "pure returns")]
)
def test_what_is_in_no_body_stands_alone(old: str, new: str) -> None:
    [build] = schemata.pack({"C.sol": SOURCE}, [change("x", old, new)])
    assert build.sources["C.sol"] == SOURCE.replace(old, new)
    assert build.numbers == {"x": 0}


def test_bodies_with_a_fault_stand_before_the_one_without() -> None:
    changes = [
        change("less", "a > MOST", "a >= MOST"),
        change("left out", "b = a * 2;", ""),
        change("minus", "a + 1", "a - 1"),
    ]
    [build] = schemata.pack({"C.sol": SOURCE}, changes)
    assert build.numbers == {"less": 1, "left out": 2, "minus": 3}
    text = " ".join(build.sources["C.sol"].split())
    number = f"0x{schemata.NUMBER}"
    one = "if (a {} MOST) {{ return 1; }} return a {} 1; }}"
    assert (
        f"if ({number} == 1) {{ {one.format('>=', '+')} else "
        f"if ({number} == 3) {{ {one.format('>', '-')} else {{ {one.format('>', '+')}}}"
    ) in text
    assert f"if ({number} == 2) {{ }} else {{ b = a * 2; }}}}" in text


def test_a_text_that_grows_or_shrinks_by_what_it_repeats_is_placed_right() -> None:
    # The common end overlaps the common beginning: "return a + 1;" twice.
    twice = change("twice", "return a + 1;", "return a + 1; return a + 1;")
    [build] = schemata.pack({"C.sol": SOURCE}, [twice])
    assert build.sources["C.sol"].count("return a + 1;") == 3


def test_builds_are_no_larger_than_what_a_test_can_deploy(monkeypatch: pytest.MonkeyPatch) -> None:
    changes = [change(str(i), "b = a * 2;", f"b = a * {i};") for i in range(3, 9)]
    monkeypatch.setattr(schemata, "ROOM", 60)
    builds = schemata.pack({"C.sol": SOURCE}, changes)
    assert [sorted(build.numbers) for build in builds] == [["3", "4"], ["5", "6"], ["7", "8"]]
    assert all(set(build.numbers.values()) == {1, 2} for build in builds)


def test_the_number_of_a_mutant_takes_its_place_in_the_code() -> None:
    code = f"60017f{schemata.NUMBER}14"
    assert schemata.switch(code, 300) == f"60017f{'0' * 61}12c14"
    assert schemata.switch(code, 0) == f"60017f{'0' * 64}14"


def test_each_mutant_is_compiled_and_so_is_the_same_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = SOURCE.replace("contract C", "contract Marketplace").replace("external virtual", "")
    source = source.replace("function declared() ;", "")
    monkeypatch.setattr(schemata, "read_sources", lambda: {"Marketplace.sol": source})

    def changed(name: str, old: str, new: str) -> Any:
        return schemata.Change(name, "Marketplace.sol", source.replace(old, new))

    done = schemata.compile_changes(
        [
            changed("plus", "a * 2", "a + 2"),
            changed("minus", "a + 1", "a - 1"),
            changed("constant", "MOST = 32", "MOST = 33"),
            changed("nonsense", "b = a * 2;", "b = c;"),
        ],
        tmp_path,
        1,
    )
    assert set(done.dropped) == {"nonsense"}
    code = {name: one.artifact()["bytecode"] for name, one in done.codes.items()}
    plain = {name: one.artifact()["bytecode"] for name, one in done.plain.items()}
    assert set(code) == set(plain) == {"plus", "minus", "constant"}
    assert all(code[name] != plain[name] for name in code)
    # In one build, and one by itself.
    assert plain["plus"] == plain["minus"] != plain["constant"]
