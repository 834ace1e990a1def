"""The table of faults: which test stands for which fault, and which line of code it guards.

    from tests.faults.table import Injected, fault

    @fault(17, "node hangs", by="P", breaks="src/dam/ethereum/rpc.py:async with ...:")
    async def test_f17_a_node_that_hangs(market, injected): ...

``breaks`` names a line of production code by its file and a text that stands there exactly once;
when the file no longer has it, the test fails before it begins. Without that line the test fails,
which ``tools/fault_table.py --verify`` shows by taking it out. Where a line alone cannot be taken
out (it opens a block, or is half of a statement), ``instead`` is the text that takes the place of
the named one.

Every test counts what it injected (fixture ``injected``), and fails if that is nothing. Each run
leaves a file per test in ``.build/faults``; ``tools/fault_table.py`` makes the table of them.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / ".build" / "faults"
"""One JSON file per test of the last run."""
FAULTS = 80
INJECTORS = {
    "C": "crash point: the process kills itself",
    "P": "JSON-RPC fault proxy",
    "K": "faulty IPFS node or gateway",
    "A": "the node's own test calls",
    "H": "the host: files, limits, signals, clock",
}
T = TypeVar("T", bound=Callable[..., Any])


@dataclass(frozen=True)
class Fault:
    """One row of the table."""

    number: int
    title: str
    by: str
    """Injectors, by their letters."""
    breaks: str
    """``file:text``; the text stands in that file exactly once."""
    instead: str | None = None
    """What takes the text's place to break the code; None: its line goes."""

    @property
    def path(self) -> str:
        """File of the guarded line, from the root of the checkout."""
        return self.breaks.partition(":")[0]

    @property
    def text(self) -> str:
        """The guarded line's own text."""
        return self.breaks.partition(":")[2]

    def line(self, root: Path = ROOT) -> int:
        """Number of the line on which the guarded text begins.

        Raises:
            ValueError: The file does not have it exactly once.
        """
        source = (root / self.path).read_text("utf-8")
        found = source.count(self.text)
        if found != 1 or not self.text:
            raise ValueError(
                f"F{self.number}: {self.path} has {self.text!r} {found} times, not once: "
                "name the line that this test guards now"
            )
        return source.count("\n", 0, source.index(self.text)) + 1

    def broken(self, source: str) -> str:
        """The file's text without what the test guards."""
        if self.instead is not None:
            return source.replace(self.text, self.instead, 1)
        start = source.rindex("\n", 0, source.index(self.text)) + 1
        end = source.index("\n", source.index(self.text) + len(self.text) - 1)
        indent = re.match(r" *", source[start:])
        assert indent is not None
        return f"{source[:start]}{indent[0]}pass{source[end:]}"


def fault(
    number: int, title: str, *, breaks: str, by: str = "A", instead: str | None = None
) -> Callable[[T], T]:
    """Says which fault a test injects. See the module's own words.

    Args:
        number: Of the fault; also in the test's name, as ``test_f17_...``.
        title: A few words, for the table.
        breaks: ``src/dam/file.py:text of the line without which the test fails``.
        by: Injectors: letters of `INJECTORS`.
        instead: What to put in the text's place to break the code, where its line cannot just go.

    Raises:
        ValueError: There is no such fault, or the test's name lacks the number.
    """
    row = Fault(number, title, by, breaks, instead)
    if not 1 <= number <= FAULTS or not by or set(by) - set(INJECTORS):
        raise ValueError(f"F{number} by {by!r}: no such fault or injector")

    def mark(test: T) -> T:
        if not re.match(rf"test_f0?{number}_", test.__name__):
            raise ValueError(f"{test.__name__} does not begin with test_f{number}_")
        marked: T = pytest.mark.fault(row)(test)
        return marked

    return mark


class Injected(Counter[str]):
    """What a test injected, by kind: ``injected["hang"] += 1``. All zero: the test fails."""

    def add(self, kind: str, times: int = 1) -> None:
        """Counts an injected event."""
        self[kind] += times


def record(item: pytest.Item, row: Fault, injected: Injected, result: str) -> None:
    """Leaves the result of one test for the table; a file each, so that any number may run."""
    # While a line is taken out on purpose, the table stays as it is.
    folder = Path(os.environ.get("DAM_FAULT_RESULTS", RESULTS))
    folder.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", item.nodeid.rpartition("/")[2])
    line = {
        "number": row.number,
        "title": row.title,
        "by": row.by,
        "breaks": row.breaks,
        "instead": row.instead,
        "injected": dict(injected),
        "result": result,
        "test": item.nodeid,
    }
    (folder / f"{name}.json").write_text(json.dumps(line, indent=1) + "\n", "utf-8")
