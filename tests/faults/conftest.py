"""What every test of a fault stands on: the table's hooks, a market in one process, the proxy."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.faults.rpc_proxy import RpcProxy  # noqa: E402
from tests.faults.supervision import Supervisor  # noqa: E402
from tests.faults.table import Fault, Injected, record  # noqa: E402
from tests.faults.world import FaultWorld  # noqa: E402

_RESULT = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "fault(row): stands for a fault of tests/faults/table.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # One chain serves all: its connections belong to one loop.
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here) and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def session_world() -> AsyncIterator[FaultWorld]:
    async with FaultWorld() as world:
        yield world


@pytest_asyncio.fixture(loop_scope="session")
async def world(session_world: FaultWorld, tmp_path: Path) -> AsyncIterator[FaultWorld]:
    """The market as at the start of the session; daemons of the test end with it."""
    await session_world.reset(tmp_path)
    yield session_world
    await session_world.clear()


@pytest_asyncio.fixture(loop_scope="session")
async def proxy(world: FaultWorld, injected: Injected) -> RpcProxy:
    """A node between the daemon and the chain that does as the test says, and counts it."""
    return await world.proxy(injected)


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    made = Supervisor(tmp_path / "notify")
    yield made
    made.close()


@pytest.fixture
def injected() -> Injected:
    """What this test injected, by kind. A test of a fault that injected nothing fails."""
    return Injected()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test whose line is gone guards nothing: it fails, and says so."""
    marker = item.get_closest_marker("fault")
    if marker is not None:
        marker.args[0].line()


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
