"""A group of sales to decide on: what the ledger knows of them, asked once; what is decided, saved
once.

A daemon that was away for a day has thousands of sales before it. One by one, each costs a dozen
queries and a transaction of its own; in groups of 64 a part costs little more than its
cryptography (bench/cpu_per_part.py).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from dam.ledger import Ledger, SaleRow
from dam.outbox import Outbox
from dam.records import load_proof, load_terms
from dam.shelf import KeptPart
from dam.types import CopyId, Delivery

Place = tuple[int, bytes, int]
"""Document, item, copy of the leaf."""


@dataclass(frozen=True, slots=True)
class InForce:
    """The store version that a purchase was made under, and its document."""

    digest: bytes
    root: bytes
    document: int | None
    """Row id; None: it was never asked for."""
    state: str
    reason: str


class Backlog:
    """What the ledger knows of some sales.

    Args:
        ledger: Where it stands.
        sales: A few hundred at most.
    """

    def __init__(self, ledger: Ledger, sales: Sequence[SaleRow]) -> None:
        self._db = ledger.db
        ids = [sale.id for sale in sales]
        copies = [sale.purchase.copy_id for sale in sales]
        self._in_force = dict(self._versions(ids))
        self._delivered = self._by_copy(
            "SELECT copy_id, idx, block FROM delivered WHERE supplied = 0 AND copy_id IN", copies
        )
        self._turns = self._by_copy(
            "SELECT copy_id, kind, block FROM turns WHERE copy_id IN", copies
        )
        self._sealed = self._by_copy(
            "SELECT copy_id, idx, buyer_key, fragment, purchase, sealed.orphaned FROM purchases "
            "JOIN sealed ON sealed.purchase = purchases.id WHERE copy_id IN",
            copies,
        )
        self._spent = self._by_copy(
            "SELECT copy_id, idx, buyer_key, fragment FROM spent WHERE copy_id IN", copies
        )
        self._parts = self._kept(
            [
                (found.document, sale.purchase.terms.item_id, sale.purchase.leaf_copy)
                for sale in sales
                if (found := self._in_force.get(sale.id)) is not None and found.document is not None
            ]
        )

    def in_force(self, sale: SaleRow) -> InForce | None:
        """The version in force, if the purchase names it as the contract must have."""
        found = self._in_force.get(sale.id)
        return found if found and found.digest == sale.purchase.store_digest else None

    def parts(self, found: InForce, sale: SaleRow) -> list[KeptPart]:
        """Our parts of the copy that was sold, in the order of their indexes."""
        assert found.document is not None
        purchase = sale.purchase
        return self._parts.get((found.document, purchase.terms.item_id, purchase.leaf_copy), [])

    def delivered(self, sale: SaleRow) -> set[int]:
        """Parts that are there."""
        rows = self._delivered.get(sale.purchase.copy_id, ())
        return {index for index, block in rows if block >= sale.purchase.block}

    def closed(self, sale: SaleRow) -> bool:
        """Whether the sale is over."""
        rows = self._turns.get(sale.purchase.copy_id, ())
        return any(b >= sale.purchase.block for kind, b in rows if kind != "disputed")

    def sealed_to_another(self, sale: SaleRow, index: int, key: bytes) -> bool:
        """Whether this part went to another purchase, or to another key in one long archived."""
        copy = sale.purchase.copy_id
        return any(
            found == index and not orphaned and purchase != sale.id
            for found, _, _, purchase, orphaned in self._sealed.get(copy, ())
        ) or any(found == index and to != key for found, to, _ in self._spent.get(copy, ()))

    def sealed_before(self, copy: CopyId, index: int, key: bytes) -> bytes | None:
        """The fragment that was once sealed to this very key, to be used again."""
        rows = [row[:3] for row in self._sealed.get(copy, ())]
        rows += self._spent.get(copy, [])
        for found, to, fragment in rows:
            if found == index and to == key and fragment:
                return bytes(fragment)
        return None

    # ------------------------------------------------------------------------------------- asking

    def _rows(self, sql: str, values: Iterable[object]) -> sqlite3.Cursor:
        cursor = self._db.cursor()
        cursor.row_factory = None
        return cursor.execute(sql, tuple(values))

    def _by_copy(self, sql: str, copies: list[CopyId]) -> dict[bytes, list[tuple[Any, ...]]]:
        found: dict[bytes, list[tuple[Any, ...]]] = {}
        for copy, *rest in self._rows(f"{sql} ({_marks(copies)})", copies):
            found.setdefault(copy, []).append(tuple(rest))
        return found

    def _versions(self, ids: list[int]) -> Iterable[tuple[int, InForce]]:
        rows = self._rows(
            "SELECT p.id, v.digest, v.root, d.id, d.state, d.reason FROM purchases AS p "  # noqa: S608
            "JOIN versions AS v ON v.seller = p.seller AND (v.block, v.log_index) = "
            "(SELECT block, log_index FROM versions AS w WHERE w.seller = p.seller "
            "AND (w.block, w.log_index) < (p.block, p.log_index) "
            "ORDER BY w.block DESC, w.log_index DESC LIMIT 1) "
            "LEFT JOIN documents AS d "
            "ON d.seller = v.seller AND d.digest = v.digest AND d.root = v.root "
            f"WHERE p.id IN ({_marks(ids)})",
            ids,
        )
        for sale, digest, root, document, state, reason in rows:
            yield sale, InForce(digest, root, document, state or "wanted", reason or "")

    def _kept(self, places: list[Place]) -> dict[Place, list[KeptPart]]:
        wanted = list(dict.fromkeys(places))
        found: dict[Place, list[KeptPart]] = {}
        if not wanted:
            return found
        rows = self._rows(
            f"WITH wanted (document, item_id, copy) AS (VALUES {_marks(wanted, '(?, ?, ?)')}) "
            "SELECT parts.document, parts.item_id, parts.copy, idx, terms, page_key, sealed, proof "
            "FROM wanted CROSS JOIN parts ON parts.document = wanted.document "
            "AND parts.item_id = wanted.item_id AND parts.copy = wanted.copy ORDER BY idx",
            [value for place in wanted for value in place],
        )
        for document, item, copy, index, terms, page_key, sealed, proof in rows:
            found.setdefault((document, item, copy), []).append(
                KeptPart(
                    item,
                    copy,
                    index,
                    load_terms(terms),
                    page_key or None,
                    sealed,
                    load_proof(proof),
                )
            )
        return found


def _marks(values: Sequence[object], mark: str = "?") -> str:
    return ", ".join([mark] * len(values))


@dataclass(slots=True)
class Decisions:
    """What was decided on a group of sales, and is not saved yet."""

    sealed: list[tuple[SaleRow, bytes, Delivery]] = field(default_factory=list)
    """The sale, the buyer's key, the delivery."""
    states: list[tuple[str, str, int]] = field(default_factory=list)
    """State, reason and row id of a sale."""
    wanted: list[tuple[SaleRow, bytes, bool]] = field(default_factory=list)
    """The sale, the root in force, whether there is time left to serve it."""
    notes: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """For the journal."""
    lines: list[Callable[[], None]] = field(default_factory=list)
    """For the log, once it is saved."""

    def mark(self, sale: SaleRow, state: str, reason: str = "") -> None:
        """Moves a sale to another state."""
        self.states.append((state, reason, sale.id))

    def save(self, ledger: Ledger, outbox: Outbox) -> None:
        """Everything in one transaction.

        Raises:
            sqlite3.IntegrityError: A part went to another buyer already; nothing is saved.
        """
        with ledger.transaction() as db:
            db.executemany(
                "INSERT INTO sealed (seller, item_id, copy, idx, purchase, buyer_key, fragment) "
                "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (purchase, idx) DO NOTHING",
                [
                    (
                        sale.purchase.seller,
                        sale.purchase.terms.item_id,
                        sale.purchase.copy,
                        delivery.index,
                        sale.id,
                        key,
                        delivery.fragment,
                    )
                    for sale, key, delivery in self.sealed
                ],
            )
            outbox.add_all(
                [
                    (sale.id, sale.purchase.copy_id, "deliver", delivery, 0, sale.deadline)
                    for sale, _, delivery in self.sealed
                ]
            )
            for sale, root, urgent in self.wanted:
                purchase = sale.purchase
                ledger.want_document(purchase.seller, purchase.store_digest, root, urgent=urgent)
            db.executemany("UPDATE purchases SET state = ?, reason = ? WHERE id = ?", self.states)
            for event, about in self.notes:
                ledger.note(event, **about)
        for line in self.lines:
            line()
