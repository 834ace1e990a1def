"""A group of sales to decide on: what the ledger knows of them, asked once; what is decided, saved
once.

A daemon that was away for a day has thousands of sales before it. One by one, each costs a dozen
queries and a transaction of its own; in groups a part costs little more than its cryptography
(bench/cpu_per_part.py). For the same reason rows stay rows here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from dam.ledger.ledger import Ledger
from dam.ledger.outbox import NewJob, Outbox
from dam.ledger.sql_params import in_list
from dam.types import Address, CopyId

Place = tuple[int, bytes, int]
"""Document, item, copy of the leaf."""


class InForce(NamedTuple):
    """A store version, and its document."""

    digest: bytes
    root: bytes
    document: int | None
    """Row id; None: it was never asked for."""
    state: str | None
    reason: str | None


class Candidate(NamedTuple):
    """A sale that is not decided yet, with the store version that it was made under."""

    id: int
    block: int
    copy_id: CopyId
    seller: Address
    buyer: Address
    store_digest: bytes
    copy: int
    terms: str
    """As `log_rows.dump_terms` writes them."""
    keys: bytes
    """32 bytes a part."""
    deadline: int
    state: str
    touched: int
    """Whether this copy was ever sealed, delivered, disputed or closed: 0 or 1."""
    version: InForce | None
    """None: no version is known."""


class Kept(NamedTuple):
    """One of our parts, as `shelf.KeptPart`, but as the ledger has it."""

    index: int  # type: ignore[assignment] # as everywhere
    terms: str
    page_key: bytes
    """Empty: a plain sealed box."""
    sealed: bytes
    proof: bytes


def candidates(ledger: Ledger, states: Sequence[str], *, after: int, limit: int) -> list[Candidate]:
    """Canonical sales in one of ``states``, in the order in which they were read.

    Args:
        ledger: Where they stand.
        states: See the schema.
        after: Only those with a greater row id.
        limit: How many at most.
    """
    marks = ", ".join("?" * len(states))
    rows = _rows(
        ledger.db,
        "SELECT p.id, p.block, copy_id, p.seller, buyer, store_digest, p.copy, terms, keys, "  # noqa: S608
        "deadline, p.state, "
        "EXISTS (SELECT 1 FROM delivered WHERE delivered.copy_id = p.copy_id) "
        "OR EXISTS (SELECT 1 FROM turns WHERE turns.copy_id = p.copy_id) "
        "OR EXISTS (SELECT 1 FROM spent WHERE spent.copy_id = p.copy_id) "
        "OR EXISTS (SELECT 1 FROM purchases AS q JOIN sealed ON sealed.purchase = q.id "
        "WHERE q.copy_id = p.copy_id), p.log_index FROM purchases AS p "
        # The ids alone go through the sorter.
        f"WHERE p.id IN (SELECT id FROM purchases WHERE state IN ({marks}) "
        "AND orphaned = 0 AND id > ? ORDER BY id LIMIT ?) ORDER BY p.id",
        (*states, after, limit),
    )
    versions = _Versions(ledger.db)
    return [Candidate._make((*row[:-1], versions.before(row[3], row[1], row[-1]))) for row in rows]


class _Versions:
    """Which version of a store was in force where; most sales of a seller share one."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._spans: dict[Address, tuple[tuple[int, int], tuple[int, int], InForce | None]] = {}

    def before(self, seller: Address, block: int, log_index: int) -> InForce | None:
        """The version in force before a log; None: none is known."""
        place = (block, log_index)
        span = self._spans.get(seller)
        if span is None or not span[0] < place <= span[1]:
            span = self._spans[seller] = self._span(seller, place)
        return span[2]

    def _span(
        self, seller: Address, place: tuple[int, int]
    ) -> tuple[tuple[int, int], tuple[int, int], InForce | None]:
        """From which log to which a version is in force, and which one it is."""
        found = _rows(
            self._db,
            "SELECT v.block, v.log_index, v.digest, v.root, d.id, d.state, d.reason "
            "FROM versions AS v LEFT JOIN documents AS d "
            "ON d.seller = v.seller AND d.digest = v.digest AND d.root = v.root "
            "WHERE v.seller = ? AND (v.block, v.log_index) < (?, ?) "
            "ORDER BY v.block DESC, v.log_index DESC LIMIT 1",
            (seller, *place),
        )
        then = _rows(
            self._db,
            "SELECT block, log_index FROM versions WHERE seller = ? "
            "AND (block, log_index) >= (?, ?) ORDER BY block, log_index LIMIT 1",
            (seller, *place),
        )
        last = then[0] if then else (2**62, 0)
        if not found:
            return (-1, -1), last, None
        block, log_index, *version = found[0]
        return (block, log_index), last, InForce._make(version)


class Backlog:
    """What the ledger knows of some sales.

    Args:
        ledger: Where it stands.
        sales: A few hundred at most.
        places: Where our parts of them would be.
    """

    def __init__(self, ledger: Ledger, sales: Sequence[Candidate], places: Iterable[Place]) -> None:
        self._db = ledger.db
        copies = [sale.copy_id for sale in sales if sale.touched]
        self._delivered = self._by_copy("idx, block FROM delivered WHERE supplied = 0 AND", copies)
        self._turns = self._by_copy("kind, block FROM turns WHERE", copies)
        self._sealed = self._by_copy(
            "idx, buyer_key, fragment, purchase, sealed.orphaned FROM purchases "
            "JOIN sealed ON sealed.purchase = purchases.id WHERE",
            copies,
        )
        self._spent = self._by_copy("idx, buyer_key, fragment FROM spent WHERE", copies)
        self._parts = self._kept(list(dict.fromkeys(places)))

    def parts(self, place: Place) -> list[Kept]:
        """Our parts of a copy, in the order of their indexes."""
        return self._parts.get(place, [])

    def missing(self, sale: Candidate, parts: list[Kept]) -> list[Kept]:
        """Those of our parts that are not there yet."""
        rows = self._delivered.get(sale.copy_id)
        if rows is None:
            return parts
        there = {index for index, block in rows if block >= sale.block}
        return [part for part in parts if part.index not in there]

    def closed(self, sale: Candidate) -> bool:
        """Whether the sale is over."""
        rows = self._turns.get(sale.copy_id)
        return rows is not None and any(
            block >= sale.block for kind, block in rows if kind != "disputed"
        )

    def sealed_to_another(self, sale: Candidate, index: int, key: bytes) -> bool:
        """Whether this part went to another purchase, or to another key in one long archived."""
        for found, _, _, purchase, orphaned in self._sealed.get(sale.copy_id, ()):
            if found == index and not orphaned and purchase != sale.id:
                return True
        for found, to, _ in self._spent.get(sale.copy_id, ()):
            if found == index and to != key:
                return True
        return False

    def sealed_before(self, copy: CopyId, index: int, key: bytes) -> bytes | None:
        """The fragment that was once sealed to this very key, to be used again."""
        for rows in (self._sealed.get(copy, ()), self._spent.get(copy, ())):
            for found, to, fragment, *_ in rows:
                if found == index and to == key and fragment:
                    return bytes(fragment)
        return None

    def _by_copy(self, what: str, copies: list[CopyId]) -> dict[bytes, list[tuple[Any, ...]]]:
        found: dict[bytes, list[tuple[Any, ...]]] = {}
        if not copies:
            return found
        marks, values = in_list(copies)
        sql = f"SELECT copy_id, {what} copy_id IN ({marks})"
        for copy, *rest in _rows(self._db, sql, values):
            found.setdefault(copy, []).append(tuple(rest))
        return found

    def _kept(self, places: list[Place]) -> dict[Place, list[Kept]]:
        found: dict[Place, list[Kept]] = {}
        copies: dict[tuple[int, bytes], list[int]] = {}
        for document, item, copy in places:
            copies.setdefault((document, item), []).append(copy)
        for (document, item), wanted in copies.items():
            marks, values = in_list(wanted)
            rows = _rows(
                self._db,
                "SELECT copy, idx, terms, page_key, sealed, proof FROM parts "  # noqa: S608
                f"WHERE document = ? AND item_id = ? AND copy IN ({marks}) ORDER BY idx",
                (document, item, *values),
            )
            for copy, *rest in rows:
                found.setdefault((document, item, copy), []).append(Kept._make(rest))
        return found


def _rows(db: sqlite3.Connection, sql: str, values: Sequence[object]) -> list[Any]:
    cursor = db.cursor()
    cursor.row_factory = None
    return cursor.execute(sql, values).fetchall()


SealedRow = tuple[Address, bytes, int, int, int, bytes, bytes]
"""Seller, item, copy of the sale, index, purchase, the buyer's key, the fragment."""


@dataclass(slots=True)
class Decisions:
    """What was decided on a group of sales, and is not saved yet."""

    sealed: list[SealedRow] = field(default_factory=list)
    jobs: list[NewJob] = field(default_factory=list)
    states: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    """Row ids of sales by their new state and its reason."""
    wanted: list[tuple[Candidate, bytes, bool]] = field(default_factory=list)
    """A sale whose document is not read, its root, and whether there is time to serve it."""
    notes: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """For the journal."""
    lines: list[Callable[[], None]] = field(default_factory=list)
    """For the log, once it is saved."""

    def mark(self, sale: Candidate, state: str, reason: str = "") -> None:
        """Moves a sale to another state."""
        self.states.setdefault((state, reason), []).append(sale.id)

    def save(self, ledger: Ledger, outbox: Outbox) -> None:
        """Everything in one transaction.

        Raises:
            sqlite3.IntegrityError: A part went to another buyer already; nothing is saved.
        """
        with ledger.transaction() as db:
            db.executemany(
                "INSERT INTO sealed (seller, item_id, copy, idx, purchase, buyer_key, fragment) "
                "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (purchase, idx) DO NOTHING",
                self.sealed,
            )
            outbox.add_all(self.jobs)
            for sale, root, urgent in self.wanted:
                ledger.want_document(sale.seller, sale.store_digest, root, urgent=urgent)
            for (state, reason), ids in self.states.items():
                marks, values = in_list(ids)
                db.execute(
                    f"UPDATE purchases SET state = ?, reason = ? WHERE id IN ({marks})",  # noqa: S608
                    (state, reason, *values),
                )
            for event, about in self.notes:
                ledger.note(event, **about)
        for line in self.lines:
            line()
