"""Ledger files as earlier programs made them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from eth_abi.abi import decode as abi_decode

from dam.market.abi import market_abi
from dam.market.row_codec import dump_delivery
from dam.testing.rules import read_delivery

FIRST_SCHEMA = Path(__file__).parents[1] / "ledger" / "schemas" / "ledger-1.sql"


def tables(db: sqlite3.Connection) -> list[str]:
    rows = db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
    return [row[0] for row in rows if not row[0].startswith("sqlite_")]


def as_json(packed: bytes) -> str:
    """A packed delivery as the first version wrote it down."""
    kind = next(p.type for p in market_abi().functions["deliverFragment"].inputs)
    [values] = abi_decode([kind], (32).to_bytes(32, "big") + packed)
    return dump_delivery(read_delivery(values))


OF_JOB = "ON body.id = purchase * 64 + idx * 2 + (kind = 'supply')"


def make_old(path: Path) -> None:
    """Turns a closed ledger into the very file that a program of version 1 had made of it."""
    old = path.with_suffix(".old")
    with closing(sqlite3.connect(old, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript(FIRST_SCHEMA.read_text("utf-8"))
        db.execute("PRAGMA foreign_keys = OFF")
        names = tables(db)
        db.execute("ATTACH ? AS now", (str(path),))
        for table in names:
            db.execute(f"INSERT INTO {table} SELECT * FROM now.{table}")
        # It kept deliveries as JSON, with the job.
        bodies = "SELECT jobs.id, packed FROM jobs JOIN now.bodies AS body " + OF_JOB
        for job, packed in db.execute(bodies).fetchall():
            db.execute("UPDATE jobs SET body = ? WHERE id = ?", (as_json(packed), job))
        db.execute("DETACH now")
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        db.execute("PRAGMA user_version = 1")
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    old.replace(path)
