"""What every test of a fault stands on: the table's hooks, a market in one process, the proxy."""

from __future__ import annotations

import sys
from collections.abc import Generator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.faults.table import Fault, Injected, record  # noqa: E402

_RESULT = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "fault(row): stands for a fault of tests/faults/table.py")


@pytest.fixture
def injected() -> Injected:
    """What this test injected, by kind. A test of a fault that injected nothing fails."""
    return Injected()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    marker = item.get_closest_marker("fault")
    if marker is None:
        return report
    row: Fault = marker.args[0]
    counted = getattr(item, "funcargs", {}).get("injected", Injected())
    if report.when == "call" and report.passed and not counted.total():
        report.outcome = "failed"
        report.longrepr = f"F{row.number}: nothing was injected, so nothing was shown"
    worst = item.stash.get(_RESULT, "passed")
    item.stash[_RESULT] = worst if worst != "passed" else report.outcome
    if report.when == "teardown":
        record(item, row, counted, item.stash[_RESULT])
    return report
