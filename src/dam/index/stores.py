"""What the index knows of each store: its version and items, its seller's record, and its rank.

An item's rank is one number, the better the smaller: first what can be bought (the seller's free
stake covers the reserve), then the seller's grade, then its place in the store, two by two. So the
first matches of a search are the best, and a store of a thousand items stands behind the first two
of everybody else.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from dam.index.index_file import DamagedError
from dam.index.places import amount_of, amount_text, ref_of
from dam.index.sale_reader import newest_version, settled_record
from dam.index.store_rows import StoreRows
from dam.index.writer import Writer
from dam.market.log_rows import dump_terms
from dam.market.reputation import Rating, SellerRecord
from dam.types import ZERO32, Address, StoreVersion, Wei

_UNBACKED = 15
"""The grade of what cannot be bought now."""
_WORST = 14
_SLOT_ITEMS = 2
_GRADE_AT, _SLOT_AT = 56, 40
_RECORD_COUNTS = ("refunds", "conceded", "faults", "lost", "agreed")


def dump_record(record: SellerRecord) -> str:
    """A seller's record as text."""
    return json.dumps(asdict(record))


def load_record(text: str) -> SellerRecord:
    """The inverse of `dump_record`.

    Raises:
        DamagedError: It is none.
    """
    try:
        values = json.loads(text)
        return SellerRecord(**values | {"rating": Rating(**values["rating"])})
    except (ValueError, TypeError, KeyError) as error:
        raise DamagedError("a seller's record is none") from error


def grade_of(record: SellerRecord) -> int:
    """How good a seller's past is, 0 to 14: fees that rated sales paid to others make it better,
    in steps of eight times as much, and bad ends and ratings worse.
    """
    rating = record.rating
    steps = max(0, rating.weight.bit_length() - 40) // 3
    grade = _WORST - 4 - min(10, steps)
    if rating.tenths is not None and rating.tenths < 30:
        grade = _WORST - 2
    bad = sum(getattr(record, name) for name in _RECORD_COUNTS)
    if 4 * bad > record.ended:
        grade = max(grade + 2, _WORST - 3)
    return min(grade, _WORST)


def rank_of(grade: int, slot: int, item: int, *, backed: bool) -> int:
    """Where an item stands among all.

    Args:
        grade: Its seller's.
        slot: Which item of the store it is, from 0 on.
        item: Its number.
        backed: Whether the seller's free stake covers one more sale.
    """
    first = grade if backed else _UNBACKED
    return first << _GRADE_AT | slot // _SLOT_ITEMS << _SLOT_AT | item


def is_backed(rank: int) -> bool:
    """Whether an item of this rank could be bought, as far as the seller's stake goes."""
    return rank >> _GRADE_AT != _UNBACKED


# -------------------------------------------------------------------------------------- writing


def dirty_sellers(db: sqlite3.Connection, most: int) -> list[tuple[int, Address]]:
    """Some of the sellers of whom something changed."""
    rows = db.execute(
        "SELECT seller, address FROM dirty JOIN accounts ON accounts.id = seller LIMIT ?", (most,)
    )
    return rows.fetchall()


def refresh(db: sqlite3.Connection, seller: int, free: Wei) -> None:
    """Works out a seller's row anew, in a transaction of the caller's.

    Args:
        db: The index.
        seller: The number of their account.
        free: Their free stake now.
    """
    version = newest_version(db, seller)
    if version is None:
        _drop_items(db, seller)
        db.execute("DELETE FROM stores WHERE seller = ?", (seller,))
    else:
        place, digest, root = version
        record, bound = settled_record(db, seller)
        before = db.execute(
            "SELECT digest, root FROM stores WHERE seller = ?", (seller,)
        ).fetchone()
        if before != (digest, root):
            _drop_items(db, seller)
            db.execute("DELETE FROM stores WHERE seller = ?", (seller,))
            db.execute(
                "INSERT INTO stores (seller, digest, root, since, free, bound, record, grade, "
                "next_try) VALUES (?, ?, ?, ?, '', '', '', 0, 0)",
                (seller, digest, root, place),
            )
        tenths = record.rating.tenths
        db.execute(
            "UPDATE stores SET free = ?, bound = ?, record = ?, grade = ?, tenths = ? "
            "WHERE seller = ?",
            (
                amount_text(free), amount_text(bound), dump_record(record), grade_of(record),
                -1 if tenths is None else tenths, seller,
            ),
        )  # fmt: skip
        _rank(db, seller)
    db.execute("DELETE FROM dirty WHERE seller = ?", (seller,))


def _drop_items(db: sqlite3.Connection, seller: int) -> None:
    db.execute("DELETE FROM words WHERE rowid IN (SELECT rank FROM items WHERE seller = ?)",
               (seller,))  # fmt: skip
    db.execute("DELETE FROM items WHERE seller = ?", (seller,))


def _rank(db: sqlite3.Connection, seller: int) -> None:
    """Gives a store's items their ranks, where those changed."""
    rows = db.execute(
        "SELECT listing, rank, slot, stores.grade, free >= reserve, body FROM items "
        "JOIN stores USING (seller) WHERE seller = ?",
        (seller,),
    ).fetchall()
    for item, before, slot, grade, backed, body in rows:
        rank = rank_of(grade, slot, item, backed=bool(backed))
        if rank != before:
            db.execute("DELETE FROM words WHERE rowid = ?", (before,))
            db.execute("UPDATE items SET rank = ? WHERE listing = ?", (rank, item))
            db.execute("INSERT INTO words (rowid, body) VALUES (?, ?)", (rank, body))


def save_document(db: sqlite3.Connection, writer: Writer, seller: int, digest: bytes,
                  rows: StoreRows) -> None:  # fmt: skip
    """Takes the items of a store's document, if it is the store's still."""
    done = db.execute(
        "UPDATE stores SET document = digest, name = ?, hidden = ?, reason = '', tries = 0, "
        "next_try = NULL WHERE seller = ? AND digest = ? RETURNING since, grade, free",
        (rows.name, rows.hidden, seller, digest),
    ).fetchone()
    if done is None:
        return
    _drop_items(db, seller)
    version, grade, free = done
    for slot, row in enumerate(rows.items):
        terms = row.terms
        listing = writer.listing(seller, terms.item_id)
        db.execute(
            "UPDATE listings SET since = coalesce(since, ?) WHERE id = ?", (version, listing)
        )
        rank = rank_of(grade, slot, listing, backed=amount_of(free) >= terms.reserve)
        db.execute(
            "INSERT INTO items VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                listing, seller, rank, slot, row.name, row.title,
                writer.terms(dump_terms(terms)), terms.token, amount_text(terms.price),
                amount_text(terms.reserve), row.summary, row.tags, row.withdrawn,
                row.body,
            ),
        )  # fmt: skip
        db.execute("INSERT INTO words (rowid, body) VALUES (?, ?)", (rank, row.body))


def save_failure(
    db: sqlite3.Connection, seller: int, digest: bytes, reason: str, next_try: float | None
) -> None:
    """Notes why a document could not be read.

    Args:
        db: The index.
        seller: Whose.
        digest: Of the document.
        reason: In words.
        next_try: Seconds UTC; None: it breaks a rule, and always will.
    """
    db.execute(
        "UPDATE stores SET reason = ?, tries = tries + 1, next_try = ? "
        "WHERE seller = ? AND digest = ?",
        (reason, next_try, seller, digest),
    )


# -------------------------------------------------------------------------------------- reading


@dataclass(frozen=True, slots=True)
class Wanted:
    """A document that is to be read."""

    seller: int
    version: StoreVersion
    tries: int


def wanted_documents(
    db: sqlite3.Connection, now: float, sellers: Sequence[Address] | None = None
) -> list[Wanted]:
    """Documents of open stores that were not read yet, the best sellers first.

    Args:
        db: The index.
        now: Seconds UTC: what failed waits for its next try.
        sellers: Only theirs.
    """
    some = ""
    values: list[object] = [ZERO32, now]
    if sellers is not None:
        some = f"AND address IN ({', '.join('?' * len(sellers))})"
        values += sellers
    rows = db.execute(
        "SELECT seller, address, digest, root, since, tries FROM stores "
        "JOIN accounts ON accounts.id = seller WHERE document IS NULL AND root != ? "
        f"AND next_try <= ? {some} ORDER BY tries, grade, since",
        values,
    )
    return [
        Wanted(seller, StoreVersion(address, digest, root, ref_of(since)), tries)
        for seller, address, digest, root, since, tries in rows
    ]
