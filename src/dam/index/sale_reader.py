"""Sales of the index as records, with what happened to them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from dam.catalog.about import ranges_to_json
from dam.errors import Malformed
from dam.index.index_file import DamagedError
from dam.index.log_store import event_of
from dam.index.places import amount_of, ref_of
from dam.market.log_rows import load_terms, split_words, unsigned
from dam.market.reputation import Rating, SellerRecord
from dam.market.sale_history import SaleHistory, SaleRecord
from dam.types import Address, CopyId, Purchase, Status, StoreVersion, Wei

_CHUNK = 500
_SALES = """
SELECT place, copy_id, sellers.address, buyers.address, digest, copy, purchase_block, purchase_time,
  text, keys, tx_hash
FROM sales JOIN listings ON listings.id = listing
  JOIN accounts sellers ON sellers.id = seller JOIN accounts buyers ON buyers.id = buyer
  JOIN terms ON terms.id = terms
WHERE {where} ORDER BY place
"""
_EVENTS = """
SELECT sale, place, kind, part, address, data
FROM events JOIN accounts ON accounts.id = who WHERE sale IN ({marks}) ORDER BY place
"""


def load_sales(
    db: sqlite3.Connection, column: Literal["place", "copy_id"], values: Sequence[object]
) -> dict[int, SaleRecord]:
    """The sales with some places or copyIds, by place, as far as there are such.

    Raises:
        DamagedError: A row is no sale, or tells of none.
    """
    found: dict[int, SaleRecord] = {}
    for start in range(0, len(values), _CHUNK):
        some = values[start : start + _CHUNK]
        marks = ", ".join("?" * len(some))
        found |= select_sales(db, f"sales.{column} IN ({marks})", some)
    return found


def select_sales(
    db: sqlite3.Connection, where: str, values: Sequence[object]
) -> dict[int, SaleRecord]:
    """The sales for which a condition holds, by place; see `load_sales`."""
    rows = db.execute(_SALES.format(where=where), values).fetchall()
    try:
        purchases = {row[0]: _purchase(row) for row in rows}
        history = SaleHistory(purchases.values())
        places = list(purchases)
        for start in range(0, len(places), _CHUNK):
            some = places[start : start + _CHUNK]
            marks = ", ".join("?" * len(some))
            for sale, *event in db.execute(_EVENTS.format(marks=marks), some):
                history.add(event_of(purchases[sale].copy_id, *event))
        return {place: history.sales[one.copy_id] for place, one in purchases.items()}
    except (ValueError, TypeError, KeyError, AttributeError, Malformed) as error:
        raise DamagedError(f"a sale is none ({type(error).__name__})") from error


def _purchase(row: Sequence[Any]) -> Purchase:
    place, copy_id, seller, buyer, digest, copy, block, time, terms, keys, tx_hash = row
    return Purchase(
        CopyId(copy_id), seller, buyer, digest, unsigned(copy), block, time, load_terms(terms),
        split_words(keys), ref_of(place, tx_hash),
    )  # fmt: skip


# ------------------------------------------------------------------------------------- questions


def settled_record(db: sqlite3.Connection, seller: int) -> tuple[SellerRecord, Wei]:
    """How a seller's sales ended, and what the open ones hold of their stake."""
    record, bound = SellerRecord(), 0
    rows = db.execute(
        "SELECT status, outcome, stars, weight, bound, count(*) FROM sales "
        "JOIN listings ON listings.id = listing WHERE seller = ? GROUP BY 1, 2, 3, 4, 5",
        (seller,),
    )
    try:
        for status, outcome, stars, weight, held, count in rows:
            if not Status(status).final:
                bound += amount_of(held) * count
                continue
            changes = {outcome: getattr(record, outcome) + count} if outcome else {}
            rating = record.rating
            if stars is not None:
                one = amount_of(weight)
                rating = Rating(
                    rating.count + count,
                    Wei(rating.weight + one * count),
                    rating.stars + one * count * stars,
                )
            record = replace(record, ended=record.ended + count, rating=rating, **changes)
    except (ValueError, TypeError, AttributeError) as error:
        raise DamagedError("a sale has no such end") from error
    return record, Wei(bound)


@dataclass(frozen=True, slots=True)
class SellerSales:
    """A seller's sales, in their order."""

    sales: tuple[SaleRecord, ...]
    stars: Mapping[CopyId, int]
    """Of those that are rated."""
    record: SellerRecord
    """Of all that have ended."""
    bound: Wei
    """What the open ones hold of the seller's stake."""


def read_seller_sales(
    db: sqlite3.Connection, seller: Address, *, only_open: bool = False
) -> SellerSales:
    """A seller's sales, and what they add up to.

    Args:
        db: The index.
        seller: Whose.
        only_open: Leave out those that have ended.
    """
    number = account_number(db, seller)
    condition = "seller = ? AND status < ?"
    values = (number, int(Status.SETTLED) if only_open else len(Status))
    found = select_sales(db, condition, values)
    stars = db.execute(
        "SELECT copy_id, stars FROM sales JOIN listings ON listings.id = listing "
        f"WHERE {condition} AND stars IS NOT NULL",
        values,
    ).fetchall()
    record, bound = settled_record(db, number)
    return SellerSales(tuple(found.values()), dict(stars), record, bound)


def read_seller_record(db: sqlite3.Connection, seller: Address) -> tuple[SellerRecord, Wei]:
    """How a seller's sales ended, and what the open ones hold of their stake."""
    return settled_record(db, account_number(db, seller))


def read_sales(db: sqlite3.Connection, copies: Iterable[CopyId]) -> dict[CopyId, SaleRecord]:
    """Some sales by their ids, as far as they were made."""
    found = load_sales(db, "copy_id", list(copies))
    return {sale.copy_id: sale for sale in found.values()}


def read_cases(db: sqlite3.Connection, arbitrator: Address) -> SaleHistory:
    """All sales that were ever disputed before an arbitrator."""
    history = SaleHistory()
    number = account_number(db, arbitrator)
    for sale in select_sales(db, "arbiter = ?", (number,)).values():
        history.sales[sale.copy_id] = sale
    return history


def read_taken(db: sqlite3.Connection, seller: Address, item_id: bytes) -> set[int]:
    """Copies of an item that are sold or burned."""
    rows = db.execute(
        "SELECT copy FROM sales JOIN listings ON listings.id = listing "
        "WHERE seller = ? AND item_id = ?",
        (account_number(db, seller), item_id),
    )
    return {unsigned(copy) for (copy,) in rows}


def count_taken(db: sqlite3.Connection, listing: int, supply: int) -> int:
    """How many of the first ``supply`` copies of an item are taken."""
    condition, values = "copy BETWEEN 0 AND ?", [supply - 1]
    if supply > 2**63:  # the upper half is kept as negative numbers
        condition, values = "(copy >= 0 OR copy < ?)", [supply - 2**64]
    [[count]] = db.execute(
        f"SELECT count(*) FROM sales WHERE listing = ? AND {condition}", (listing, *values)
    ).fetchall()
    return int(count)


def count_withdrawn(db: sqlite3.Connection, listing: int, ranges: Sequence[range]) -> int:
    """How many of an item's withdrawn copies are not taken anyway."""
    [[taken]] = db.execute(
        "SELECT count(*) FROM json_each(?) AS gone CROSS JOIN sales ON listing = ? AND copy "
        "BETWEEN json_extract(gone.value, '$[0]') AND json_extract(gone.value, '$[1]')",
        (json.dumps(ranges_to_json(ranges)), listing),
    ).fetchall()
    return sum(map(len, ranges)) - int(taken)


def newest_version(db: sqlite3.Connection, seller: int) -> tuple[int, bytes, bytes] | None:
    """Place, digest and root of the newest version of a store, by the seller's number."""
    found: tuple[int, bytes, bytes] | None = db.execute(
        "SELECT place, digest, root FROM store_versions WHERE seller = ? "
        "ORDER BY place DESC LIMIT 1",
        (seller,),
    ).fetchone()
    return found


def read_version(db: sqlite3.Connection, seller: Address) -> StoreVersion | None:
    """The newest version of a seller's store."""
    found = newest_version(db, account_number(db, seller))
    if found is None:
        return None
    place, digest, root = found
    return StoreVersion(seller, digest, root, ref_of(place))


def account_number(db: sqlite3.Connection, address: Address) -> int:
    """The number of an account; one that none has where the index never saw it."""
    found = db.execute("SELECT id FROM accounts WHERE address = ?", (address,)).fetchone()
    return -1 if found is None else int(found[0])
