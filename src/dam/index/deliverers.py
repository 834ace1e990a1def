"""Deliverers as the index knows them: their logs, and what sales paid them."""

from __future__ import annotations

import sqlite3

from dam.index.index_file import DamagedError
from dam.index.log_store import whole_log
from dam.types import MarketLog


def read_logs(db: sqlite3.Connection) -> list[MarketLog]:
    """All logs of deliverers and of proofs of junk, in their order.

    Raises:
        DamagedError: A row is none.
    """
    rows = db.execute("SELECT place, name, tx_hash, data FROM logs ORDER BY place")
    try:
        return [whole_log(*row) for row in rows]
    except (ValueError, TypeError, KeyError) as error:
        raise DamagedError("a log of a deliverer is none") from error
