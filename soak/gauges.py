"""Resident memory, open files and CPU time of processes, every few seconds, from /proc."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Sample:
    """A process at one moment."""

    at: float
    """Seconds of the soak."""
    pid: int
    rss: int
    """Bytes resident."""
    files: int
    """Open file descriptors."""
    cpu: float
    """Seconds of CPU since its start."""


def look(pid: int, at: float) -> Sample | None:
    """A process as it is now; None if it has ended."""
    folder = Path("/proc") / str(pid)
    try:
        rss = int((folder / "statm").read_text("ascii").split()[1]) * _PAGE
        # The second field is the name in brackets, which may hold blanks.
        stat = (folder / "stat").read_text("ascii").rpartition(")")[2].split()
        files = sum(1 for _ in (folder / "fd").iterdir())
    except (OSError, IndexError):
        return None
    return Sample(at, pid, rss, files, (int(stat[11]) + int(stat[12])) / _TICKS)


class Gauge:
    """The samples of one daemon over all its lives, or of one node."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.samples: list[Sample] = []

    def take(self, pid: int, at: float) -> None:
        """One sample more, if the process is there."""
        sample = look(pid, at)
        if sample is not None:
            self.samples.append(sample)

    def cpu(self) -> float:
        """Seconds of CPU of all lives that were seen."""
        used: dict[int, float] = {}
        for sample in self.samples:
            used[sample.pid] = sample.cpu
        return sum(used.values())

    def lives(self, *, after: float, settle: float, least: float) -> list[list[Sample]]:
        """Samples by process: of each the first ``settle`` seconds left out, short ones too.

        Args:
            after: Seconds of the soak before which nothing counts.
            settle: A process's own first seconds: it imports and catches up.
            least: Seconds that must be left for a process to count.
        """
        found: dict[int, list[Sample]] = {}
        for sample in self.samples:
            found.setdefault(sample.pid, []).append(sample)
        lives = []
        for samples in found.values():
            first = max(after, samples[0].at + settle)
            kept = [sample for sample in samples if sample.at >= first]
            if kept and kept[-1].at - kept[0].at >= least:
                lives.append(kept)
        return lives


def slope(lives: Sequence[Sequence[Sample]]) -> float | None:
    """Growth of resident memory in MB (10^6 bytes) an hour; None for want of samples.

    Least squares with one slope and, for each life, a level of its own: what a process grows while
    it lives is seen, and that a new one begins lower is not.
    """
    up = down = 0.0
    for life in lives:
        when = mean(sample.at for sample in life)
        level = mean(sample.rss for sample in life)
        up += sum((sample.at - when) * (sample.rss - level) for sample in life)
        down += sum((sample.at - when) ** 2 for sample in life)
    return up / down * 3600 / 1e6 if down else None


def mean(values: Iterable[float]) -> float:
    """Arithmetic mean of at least one value."""
    found = list(values)
    return sum(found) / len(found)
