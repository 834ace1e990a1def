"""`KEEP=1`: the world stays up, with commands to try by hand, until Ctrl-C."""

from __future__ import annotations

import asyncio
import shlex

from demo.cast import Cast
from demo.report import Report
from demo.world import ROOT


async def open_house(cast: Cast, report: Report) -> None:
    """Leaves everything running; returns never, and is cancelled by Ctrl-C."""
    await cast.daemons_up(report)
    await asyncio.Event().wait()


SHELL = (shlex.quote, ROOT)
