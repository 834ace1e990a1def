"""Rules for the tests themselves: what several need stands in conftest.py or a helper module."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("tests", "demo", "soak", "bench")
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
MAX_LINES = 500


def imported(tree: ast.Module) -> Iterator[str]:
    """The modules that are imported, and the names that are taken from them, with dots."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module or ''}.{alias.name}" for alias in node.names)


def is_test_file(module: str) -> bool:
    return any(part == "conftest" or part.startswith("test_") for part in module.split("."))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_imported_from_a_test_file(path: Path) -> None:
    tree = ast.parse(path.read_bytes())
    assert [name for name in imported(tree) if is_test_file(name)] == []


def test_no_file_is_too_long_to_have_one_subject() -> None:
    lines = {path: path.read_text("utf-8").count("\n") for path in FILES}
    assert {path: count for path, count in lines.items() if count > MAX_LINES} == {}
