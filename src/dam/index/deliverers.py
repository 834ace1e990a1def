"""Deliverers as the index knows them: their logs, and what sales paid them."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dam.errors import Malformed
from dam.index.index import Index, Synced
from dam.index.index_file import DamagedError
from dam.index.log_store import Kind, whole_log
from dam.index.places import block_of, place_of
from dam.market.client import Market
from dam.market.deliverer_pool import pool_of
from dam.market.deliverer_records import Past, Payments, Tenure, tenures
from dam.market.deliverers import Candidate
from dam.market.log_rows import load_terms
from dam.types import Address, MarketLog


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


def read_payments(
    db: sqlite3.Connection, tenures: Mapping[Address, Tenure]
) -> dict[Address, Payments]:
    """What deliverers were paid by others since each one's tenure began.

    Raises:
        DamagedError: A row is none.
    """
    db.execute("CREATE TEMP TABLE IF NOT EXISTS tenures (who INTEGER PRIMARY KEY, place INTEGER)")
    db.execute("DELETE FROM tenures")
    db.executemany(
        "INSERT INTO tenures SELECT id, ? FROM accounts WHERE address = ?",
        [(place_of(tenure.began), operator) for operator, tenure in tenures.items()],
    )
    rows = db.execute(
        "SELECT workers.address, sellers.address, text, count(*) FROM events "
        "JOIN tenures USING (who) JOIN sales ON sales.place = sale "
        "JOIN listings ON listings.id = listing JOIN terms ON terms.id = terms "
        "JOIN accounts workers ON workers.id = who JOIN accounts sellers ON sellers.id = seller "
        "WHERE kind = ? AND paid AND events.place > tenures.place AND who != seller "
        "GROUP BY who, seller, terms",
        (int(Kind.DELIVERED),),
    ).fetchall()
    found = {operator: Payments() for operator in tenures}
    try:
        for operator, seller, text, count in rows:
            found[operator].add(seller, load_terms(text).fee * count)
    except (ValueError, TypeError, KeyError, Malformed) as error:
        raise DamagedError("what a deliverer was paid is no amount") from error
    return found


def read_store_ages(db: sqlite3.Connection) -> dict[Address, int]:
    """The block of the first version of each store."""
    rows = db.execute(
        "SELECT address, min(place) FROM store_versions JOIN accounts ON accounts.id = seller "
        "GROUP BY seller"
    )
    return {address: block_of(place) for address, place in rows}


@dataclass(frozen=True, slots=True)
class IndexedPool:
    """All deliverers that ever registered, as of a block."""

    synced: Synced
    logs: Sequence[MarketLog]
    """Theirs."""
    candidates: Mapping[Address, Candidate]


async def read_indexed_pool(index: Index, market: Market) -> IndexedPool:
    """Deliverers with their records, from an index that is brought up to date first.

    Raises:
        RpcError: The node could not be asked.
    """
    synced = await index.sync(market)
    logs = read_logs(index.db)
    held = tenures(logs, market.deployment.windows.min_deliverer_stake)
    past = Past(held, read_payments(index.db, held), read_store_ages(index.db))
    return IndexedPool(synced, logs, await pool_of(market, logs, synced.head.number, past))
