"""A look into a daemon's own ledger, read-only: what it decided, and how far it has read."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from dam.types import Purchase
from demo.processes import Daemon

_SECONDS = 30.0


def ledger_of(home: Path, role: str) -> Path:
    """The ledger of the one daemon of this role with this home; it may not be there yet."""
    found = list(home.glob(f"markets/*/{role}.sqlite"))
    return found[0] if found else home / "markets" / "none" / f"{role}.sqlite"


def rows(path: Path, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    """Rows of a ledger; none while it is not there, or has no table yet."""
    if not path.exists():
        return []
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        try:
            return db.execute(sql, values).fetchall()
        except sqlite3.OperationalError:
            return []


def query(daemon: Daemon, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    """Rows of the daemon's ledger."""
    return rows(ledger_of(Path(daemon.env["DAM_HOME"]), daemon.role), sql, *values)


def decision(daemon: Daemon, sale: Purchase) -> tuple[str, str]:
    """State and reason of a sale; empty while the daemon has not seen it."""
    found = query(
        daemon,
        "SELECT state, reason FROM purchases WHERE copy_id = ? AND orphaned = 0",
        sale.copy_id,
    )
    return (str(found[0][0]), str(found[0][1])) if found else ("", "")


def cursor(daemon: Daemon) -> int:
    """The last block that it has read, -1 before the first."""
    found = query(daemon, "SELECT number FROM cursor")
    return int(found[0][0]) if found else -1


async def decided(daemon: Daemon, sale: Purchase, seconds: float = _SECONDS) -> str:
    """Waits until the daemon has decided about a sale; the state that it has then.

    Raises:
        TimeoutError: It has not.
    """
    deadline = time.monotonic() + seconds
    while (state := decision(daemon, sale)[0]) in ("", "new", "waiting"):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{daemon.name} never decided about the sale; {daemon.tail()}")
        await asyncio.sleep(0.1)
    return state


async def passed(daemons: Iterable[Daemon], block: int, seconds: float = _SECONDS) -> None:
    """Waits until each daemon has read the chain up to a block.

    Raises:
        TimeoutError: One has not.
    """
    deadline = time.monotonic() + seconds
    for daemon in daemons:
        while cursor(daemon) < block:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{daemon.name} never read block {block}; {daemon.tail()}")
            await asyncio.sleep(0.1)


def refusal(daemon: Daemon, sale: Purchase) -> str:
    """Why the daemon did not serve a sale, by its ledger and its log; empty if it did."""
    state, reason = decision(daemon, sale)
    if state != "refused":
        return ""
    logged = [
        line["reason"]
        for line in daemon.lines()
        if line.get("event") in ("part_refused", "purchase_refused")
        and line.get("seller") == sale.seller
    ]
    return " and ".join(dict.fromkeys(logged)) if reason in logged else ""
