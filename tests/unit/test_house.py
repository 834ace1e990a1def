"""The shape of the package: short functions, short files, few at the root, plain names."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2] / "src" / "dam"
MAX_FUNCTION_LINES = 60
MAX_FILE_LINES = 500
MAX_ROOT_FILES = 12
PRIVATE_NAMES = {
    "advice",
    "agreement",
    "archive",
    "backlog",
    "collector",
    "finding",
    "foundation",
    "intake",
    "moulds",
    "nursing",
    "pace",
    "refusals",
    "roster",
    "salebook",
    "shelf",
    "tallies",
    "wiring",
}
"""Modules had these names once; only their author knew what was in them."""


def modules() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def test_no_function_is_long() -> None:
    """From ``def`` to its last line; decorators (a command's options) are not counted."""
    long = []
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                lines = node.end_lineno - node.lineno + 1
                if lines > MAX_FUNCTION_LINES:
                    long.append(f"{path.relative_to(ROOT)}: {node.name}: {lines} lines")
    assert long == []


def test_no_file_is_long() -> None:
    sizes = {path: len(path.read_text("utf-8").splitlines()) for path in modules()}
    long = [
        f"{path.relative_to(ROOT)}: {lines} lines"
        for path, lines in sizes.items()
        if lines > MAX_FILE_LINES
    ]
    assert long == []


def test_the_root_holds_the_ground_alone() -> None:
    files = sorted(path.name for path in ROOT.iterdir() if path.is_file())
    assert len(files) <= MAX_ROOT_FILES, files


def test_modules_have_names_that_a_stranger_can_place() -> None:
    assert [path for path in modules() if path.stem in PRIVATE_NAMES] == []
    folders = [path for path in ROOT.rglob("*") if path.is_dir()]
    assert [path for path in folders if path.name in PRIVATE_NAMES] == []
