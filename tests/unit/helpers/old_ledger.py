"""Ledger files as earlier programs made them."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from eth_abi.abi import decode as abi_decode

from dam.ledger.ledger import Binding
from dam.market.abi import market_abi
from dam.testing.rules import read_struct
from dam.types import Address, Delivery

FIRST_SCHEMA = Path(__file__).parents[1] / "ledger" / "schemas" / "ledger-1.sql"


def tables(db: sqlite3.Connection) -> list[str]:
    rows = db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
    return [row[0] for row in rows if not row[0].startswith("sqlite_")]


def as_json(packed: bytes) -> str:
    """A packed delivery as the first version wrote it down."""
    kind = next(p.type for p in market_abi().functions["deliverFragment"].inputs)
    [values] = abi_decode([kind], (32).to_bytes(32, "big") + packed)
    return json.dumps(_plain(read_struct(Delivery, values)), separators=(",", ":"))


def _plain(value: Any) -> Any:
    """Records as lists of their fields, bytes as hex, and the steps of a proof joined."""
    if is_dataclass(value):
        return [_plain(getattr(value, field.name)) for field in fields(value)]
    if isinstance(value, tuple):
        value = b"".join(value)
    return value.hex() if isinstance(value, bytes) else value


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


BINDING = Binding(31337, Address("0x" + "11" * 20), Address("0x" + "22" * 20), "deliverer")
