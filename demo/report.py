"""What the demo prints, and its verdict: readable lines, checks, and the summary at the end."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TextIO

from dam.console import fit, width_of
from dam.errors import ContractReverted

WEI = 10**18


class SceneFailed(Exception):
    """A scene cannot go on: what had to be so is not. Already printed and recorded."""


@dataclass
class Scene:
    """One scene's outcome: what was checked, and what differed."""

    letter: str
    title: str
    checks: int = 0
    differed: list[str] = field(default_factory=list)
    seconds: float = 0.0
    outcome: str = ""
    """In a few words, for the summary."""

    @property
    def good(self) -> bool:
        return self.checks > 0 and not self.differed


class Report:
    """Prints one line per step and keeps what the summary needs.

    Args:
        out: Where to print.
        color: Whether to use ANSI colours; None asks whether ``out`` is a terminal.
    """

    def __init__(self, out: TextIO = sys.stdout, *, color: bool | None = None) -> None:
        self._out = out
        self._width = width_of(out)
        self._color = out.isatty() if color is None else color
        self._began = time.monotonic()
        self._scene: Scene | None = None
        self.scenes: list[Scene] = []

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._began

    @contextmanager
    def scene(self, letter: str, title: str) -> Iterator[Scene]:
        """Everything printed and checked inside belongs to this scene.

        A `SceneFailed` ends the scene, not the demo: the other scenes still say what they find.
        """
        self._scene = scene = Scene(letter, title)
        self.scenes.append(scene)
        began = time.monotonic()
        self._print(f"\n{self._paint('1', f'({letter}) {title}')}")
        try:
            yield scene
        except SceneFailed:
            pass
        except Exception as error:  # noqa: BLE001 - a surprise is a difference, too
            self._differ(f"{type(error).__name__}: {error}")
        finally:
            scene.seconds = time.monotonic() - began
            self._scene = None

    def step(self, text: str, block: int | None = None) -> None:
        """One line: what happened, and in which block."""
        number = "" if block is None else f"block {block}"
        self._print(f"  {self.seconds:5.1f} s  {number:<10}  {text}")

    def detail(self, text: str) -> None:
        """A line that explains the step above it."""
        self._print(f"{'':23}{self._paint('2', text)}")

    def check(self, holds: bool, what: str, otherwise: str = "") -> bool:
        """Records whether ``what`` is so; says what was found where it is not."""
        assert self._scene is not None, "a check stands inside a scene"
        self._scene.checks += 1
        if holds:
            self._print(f"{'':23}{self._paint('32', 'ok')}  {what}")
        else:
            self._differ(f"{what}: {otherwise}" if otherwise else what)
        return holds

    def equal(self, found: object, expected: object, what: str) -> bool:
        """A check that says both values where they differ."""
        return self.check(found == expected, what, f"found {found}, expected {expected}")

    def require(self, holds: bool, what: str, otherwise: str = "") -> None:
        """A check without which the scene cannot go on."""
        if not self.check(holds, what, otherwise):
            raise SceneFailed(what)

    def fail(self, what: str) -> SceneFailed:
        """Records that something differed; for ``raise report.fail(...)``."""
        self._differ(what)
        return SceneFailed(what)

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table: the first column to the left, the others to the right.

        What a terminal has no room for follows in a table of its own, below.
        """
        widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
        room = (self._width or sum(widths) + 4 + 2 * len(widths)) - 4 - widths[0]
        count = 1
        while count < len(head) and sum(widths[1 : count + 1]) + 2 * count <= room:
            count += 1
        if 1 < count < len(head):
            self.table(head[:count], [row[:count] for row in rows])
            self.table([head[0], *head[count:]], [[row[0], *row[count:]] for row in rows])
            return

        def line(row: Sequence[str]) -> str:
            cells = [row[0].ljust(widths[0])]
            cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
            return "    " + "  ".join(cells).rstrip()

        self._print(self._paint("2", line(head)))
        for row in rows:
            self._print(self._paint("1", line(row)) if row[0] == "sum" else line(row))

    def text(self, text: str = "") -> None:
        """A line as it is."""
        self._print(text)

    def summary(self) -> bool:
        """Prints the summary; true if nothing differed."""
        self._print("\nSummary")
        rows = [
            (
                f"({scene.letter}) {scene.title}" if self._width is None else f"({scene.letter})",
                str(scene.checks),
                f"{scene.seconds:.1f}",
                scene.outcome if scene.good else self._paint("31", "DIFFERED"),
            )
            for scene in self.scenes
        ]
        self.table(("scene", "checks", "seconds", "outcome"), rows)
        for scene in self.scenes:
            for what in scene.differed:
                self._print(self._paint("31", f"  ({scene.letter}) {what}"))
        good = bool(self.scenes) and all(scene.good for scene in self.scenes)
        checks = sum(scene.checks for scene in self.scenes)
        verdict = "all as the rules say" if good else "NOT as the rules say"
        self._print(f"{checks} checks in {self.seconds:.0f} s: {verdict}")
        return good

    def _differ(self, what: str) -> None:
        assert self._scene is not None
        self._scene.differed.append(what)
        self._print(f"{'':23}{self._paint('31', 'DIFFERS')}  {what}")

    def _paint(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._color else text

    def _print(self, text: str) -> None:
        print(fit(text, self._width), file=self._out, flush=True)


def coins(wei: int) -> str:
    """An amount with all its 18 digits, so that nothing is rounded away."""
    sign = "-" if wei < 0 else ""
    whole, rest = divmod(abs(wei), WEI)
    return f"{sign}{whole}.{rest:018d}"


def said(error: ContractReverted) -> str:
    """A refusal of the contract on one line."""
    text = re.sub(r"0x[0-9a-fA-F]{40,}", lambda match: short(match[0]), str(error))
    return re.sub(r"\b(copyId|seller)=\S+,? ?", "", text).replace(", )", ")")


def short(value: bytes | str) -> str:
    """The two ends of a hash or an address."""
    text = value if isinstance(value, str) else "0x" + value.hex()
    return f"{text[:8]}..{text[-4:]}"
