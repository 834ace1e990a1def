"""Rules for every test: in CI (DAM_NO_SKIP=1) a skipped test is a failed test."""

import os
import signal
from collections.abc import Generator
from typing import Any

import pytest

# A run in the background has these ignored, and so would every command that a test starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

NO_SKIP = os.environ.get("DAM_NO_SKIP") == "1"


def refuse_skip(report: pytest.CollectReport | pytest.TestReport) -> None:
    # An expected failure is reported as skipped too, but it did run.
    if NO_SKIP and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which DAM_NO_SKIP=1 refuses: {report.longrepr}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    refuse_skip(report)
    return report


@pytest.fixture(scope="session")
def forks() -> Generator[Any]:
    """A `tests.fork_server.ForkServer`, for worlds whose tests run many commands."""
    from tests.fork_server import ForkServer  # a room puts the project on the path

    with ForkServer() as server:
        yield server
