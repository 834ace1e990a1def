"""Searching and listing what is for sale.

Everything is looked for among the `MAX_CANDIDATES` best matches, and what is best does not depend
on the words: to weigh each of a hundred thousand matches of a common word takes too long.
"""

from __future__ import annotations

import json
import re
import sqlite3
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from dam.errors import Malformed
from dam.index.index_file import DamagedError
from dam.index.places import amount_of, amount_text, block_of
from dam.index.sale_reader import count_taken, count_withdrawn
from dam.index.store_rows import IDEOGRAPHS
from dam.index.stores import is_backed, load_record
from dam.market.log_rows import load_terms
from dam.market.reputation import SellerRecord
from dam.types import ZERO32, ZERO_ADDRESS, Address, Terms, Wei

MAX_CANDIDATES = 2_000
PAGE_HITS = 20
STORE_HITS = 2
"""Of one store on a page, while others wait."""
_MAX_TEXT_CHARS = 200
_MAX_WORDS = 16
_PREFIX_CHARS = 3
"""Words of so many letters are beginnings of words."""
_PIECES = re.compile(f"({IDEOGRAPHS}+)")
Sort = Literal["best", "price", "new", "rating"]


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for."""

    text: str = ""
    """Words that must all be there; empty: anything."""
    sort: Sort = "best"
    max_price: int | None = None
    """In the smallest unit of `token`."""
    token: Address | None = None
    """Only what is priced in it; with a highest price and no token, the native coin."""
    seller: Address | None = None


@dataclass(frozen=True, slots=True)
class StoreHit:
    """A store, as the index knows it."""

    seller: Address
    name: str
    digest: bytes
    free_stake: Wei
    bound_stake: Wei
    """Held by the seller's open sales."""
    record: SellerRecord


@dataclass(frozen=True, slots=True)
class Hit:
    """An item for sale, as the index knows it."""

    store: StoreHit
    name: str
    title: str
    terms: Terms
    taken: int
    """Copies that are sold or burned."""
    withdrawn: int
    """Others that the seller has taken off sale."""
    since: int
    """Block of the store's version in which it was seen first."""
    summary: str
    tags: tuple[str, ...]

    @property
    def free(self) -> int:
        """Copies that are left."""
        return self.terms.supply - self.taken - self.withdrawn

    @property
    def backed(self) -> bool:
        """Whether the seller's free stake covers one more sale."""
        return self.store.free_stake >= self.terms.reserve


@dataclass(frozen=True, slots=True)
class Found:
    """What was found, or one page of it."""

    hits: tuple[Hit, ...]
    candidates: int
    """How many matches were looked at, `MAX_CANDIDATES` at most."""


class _Candidate(NamedTuple):
    listing: int
    rank: int
    seller: int
    token: Address
    price: str
    since: int
    tenths: int


def search(db: sqlite3.Connection, query: Query, page: int | None = None) -> Found:
    """What a query finds, in its order.

    Args:
        db: The index.
        query: What is looked for.
        page: Which page, from 1 on; None: all of it, with any number of one store's.
    """
    candidates = _candidates(db, query)
    candidates.sort(key=_order(query.sort))
    chosen = candidates if page is None else _page(candidates, page)
    stores: dict[int, StoreHit] = {}
    return Found(tuple(_hit(db, one, stores) for one in chosen), len(candidates))


def _candidates(db: sqlite3.Connection, query: Query) -> list[_Candidate]:
    conditions: list[str] = ["stores.root != ?"]
    values: list[object] = [ZERO32]
    source = "items"
    token = query.token
    if query.max_price is not None:
        token = ZERO_ADDRESS if token is None else token
        conditions.append("price <= ?")
        values.append(amount_text(query.max_price))
    if token is not None:
        conditions.append("token = ?")
        values.append(token)
    if query.seller is not None:
        conditions.append("items.seller = (SELECT id FROM accounts WHERE address = ?)")
        values.append(query.seller)
    if query.text.strip():
        words = match_of(query.text)
        if not words:
            return []
        source = "words CROSS JOIN items ON items.rank = words.rowid"
        conditions.append("words MATCH ?")
        values.append(words)
    order = "words.rowid" if "words" in source else "items.rank"
    rows = db.execute(
        "SELECT items.listing, items.rank, items.seller, token, price, listings.since, tenths "
        f"FROM {source} CROSS JOIN stores ON stores.seller = items.seller "
        "CROSS JOIN listings ON listings.id = items.listing "
        f"WHERE {' AND '.join(conditions)} ORDER BY {order} LIMIT {MAX_CANDIDATES}",
        values,
    )
    return list(map(_Candidate._make, rows))


def match_of(text: str) -> str:
    """A person's words as a query of FTS5; empty: nothing in them can be looked for.

    Each is quoted, so that nothing in it is an operator; ideographs that stand together are looked
    for as a phrase.
    """
    found: list[str] = []
    for chunk in unicodedata.normalize("NFC", text[:_MAX_TEXT_CHARS]).split():
        for piece in _PIECES.split(chunk):
            if not any(map(str.isalnum, piece)):
                continue
            if _PIECES.fullmatch(piece):
                found.append(f'"{" ".join(piece)}"')
                continue
            quoted = '"' + "".join(c for c in piece if c.isprintable()).replace('"', " ") + '"'
            found.append(quoted + "*" * (len(piece) >= _PREFIX_CHARS))
    return " ".join(found[:_MAX_WORDS])


def _order(sort: Sort) -> Callable[[_Candidate], tuple[Any, ...]]:
    """What can be bought comes first, whatever the order."""

    def key(one: _Candidate) -> tuple[Any, ...]:
        last = not is_backed(one.rank)
        if sort == "price":
            return last, one.token != ZERO_ADDRESS, one.token, one.price, one.rank
        if sort == "new":
            return last, -one.since, one.rank
        if sort == "rating":
            return last, -one.tenths, one.rank
        return (one.rank,)

    return key


def _page(candidates: Sequence[_Candidate], number: int) -> list[_Candidate]:
    left: Sequence[_Candidate] = candidates
    page: list[_Candidate] = []
    for _ in range(number):
        page, rest = [], []
        of_store: Counter[int] = Counter()
        for one in left:
            if len(page) < PAGE_HITS and of_store[one.seller] < STORE_HITS:
                of_store[one.seller] += 1
                page.append(one)
            else:
                rest.append(one)
        # Where no other store waits, there is nobody to make room for.
        room = PAGE_HITS - len(page)
        page += rest[:room]
        left = rest[room:]
        if not page:
            break
    return page


def _hit(db: sqlite3.Connection, one: _Candidate, stores: dict[int, StoreHit]) -> Hit:
    name, title, text, summary, words, ranges = db.execute(
        "SELECT name, title, text, summary, tags, withdrawn FROM items "
        "JOIN terms ON terms.id = terms WHERE listing = ?",
        (one.listing,),
    ).fetchone()
    try:
        if one.seller not in stores:
            stores[one.seller] = _store(db, one.seller)
        terms = load_terms(text)
        taken = count_taken(db, one.listing, terms.supply)
        gone = [range(first, last + 1) for first, last in json.loads(ranges)]
        withdrawn = count_withdrawn(db, one.listing, gone)
        tags = tuple(map(str, json.loads(words)))
    except (ValueError, TypeError, OverflowError, Malformed) as error:
        raise DamagedError(f"an item is none ({type(error).__name__})") from error
    since = block_of(one.since)
    return Hit(stores[one.seller], name, title, terms, taken, withdrawn, since, summary, tags)


def _store(db: sqlite3.Connection, seller: int) -> StoreHit:
    address, name, digest, free, bound, record = db.execute(
        "SELECT address, name, digest, free, bound, record FROM stores "
        "JOIN accounts ON accounts.id = seller WHERE seller = ?",
        (seller,),
    ).fetchone()
    return StoreHit(
        address, name, digest, Wei(amount_of(free)), Wei(amount_of(bound)), load_record(record)
    )
