"""What the ledger knows of store documents: which to read, our parts in them, refusals, pins.

Parts are kept sealed, with the page key that opens them, their leaf's proof and the terms that they
were read under, by document: a later version of a store does not touch what an older one sold.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, fields
from typing import NamedTuple

from dam.ledger.ledger import Ledger
from dam.ledger.sales import KeptPart
from dam.ledger.sql_params import plain_rows
from dam.market.log_rows import load_terms
from dam.types import Address

NO_COPY = -1
"""Of a refusal: it concerns no copy in particular."""
_PER_SELLER = 16
"""So many documents of one seller, tried equally often, are looked at for the next to read."""
LOGGED_REFUSALS = 8
"""Of one document; a hostile one has fifty thousand."""


@dataclass(frozen=True, slots=True)
class Document:
    """A store document by its digest, and what became of it."""

    id: int
    seller: Address
    digest: bytes
    root: bytes
    state: str
    """wanted, read or refused."""
    reason: str
    urgent: int
    """1: a purchase waits for it; else 0."""
    attempts: int
    pin: str


class PartRefusal(NamedTuple):
    """Something that looks like our part and must not be served."""

    item_id: bytes
    copy: int
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Scan:
    """What a document holds for us."""

    parts: Sequence[KeptPart] = field(default_factory=tuple)
    refusals: Sequence[PartRefusal] = field(default_factory=tuple)


_COLUMNS = ", ".join(f"documents.{column.name}" for column in fields(Document))


class Documents:
    """Documents and parts of one ledger. Writing methods open their own transaction."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._db = ledger.db

    def wanted(self, busy: Collection[int]) -> list[Document]:
        """Documents to read, without those in ``busy``: the urgent first; then those that were
        tried least; of these every seller's oldest, then everyone's next.
        """
        found = self._select(
            "(SELECT id, row_number() OVER (PARTITION BY seller, urgent, "
            "attempts ORDER BY id) AS turn FROM documents WHERE state = 'wanted') "
            "JOIN documents USING (id) WHERE turn <= ? "
            "ORDER BY urgent DESC, attempts, turn, id LIMIT 5000",
            _PER_SELLER,
        )
        return [document for document in found if document.id not in busy]

    def _select(self, source: str, *values: object) -> list[Document]:
        sql = f"SELECT {_COLUMNS} FROM {source}"  # noqa: S608
        return [Document(*row) for row in plain_rows(self._db, sql, values)]

    def count_attempt(self, document: Document, reason: str) -> None:
        """A read failed for now. It is urgent no longer than a purchase can wait for it."""
        with self._ledger.transaction() as db:
            db.execute(
                "UPDATE documents SET attempts = attempts + 1, reason = ?, urgent = urgent AND "
                "EXISTS (SELECT 1 FROM purchases, cursor WHERE purchases.state = 'waiting' "
                "AND purchases.seller = documents.seller AND purchases.orphaned = 0 "
                "AND purchases.store_digest = documents.digest AND last_time > cursor.time) "
                "WHERE id = ?",
                (reason, document.id),
            )

    def note_keys(self, keys: Collection[bytes]) -> bool:
        """Remembers which keys documents are scanned with.

        A key that is new here may open parts in documents that were read without it: they are read
        again, and sales that seemed to be none of ours are looked at again. Returns whether there
        was a new key.
        """
        names = {key.hex() for key in keys}
        with self._ledger.transaction() as db:
            row = db.execute("SELECT value FROM meta WHERE key = 'keys'").fetchone()
            known = set(row["value"].split()) if row is not None else set()
            if names <= known:
                return False
            db.execute("INSERT OR REPLACE INTO meta VALUES ('keys', ?)", (" ".join(names | known),))
            db.execute("UPDATE documents SET state = 'wanted', attempts = 0 WHERE state = 'read'")
            db.execute(
                "UPDATE purchases SET state = 'new' WHERE state = 'not-mine' AND last_time > "
                "(SELECT coalesce(max(time), 0) FROM cursor)"
            )
        return True

    def refuse(self, document: Document, reason: str) -> None:
        """The document can never be read: it breaks a rule."""
        with self._ledger.transaction() as db:
            db.execute(
                "UPDATE documents SET state = 'refused', reason = ? WHERE id = ?",
                (reason, document.id),
            )
            self._ledger.note(
                "store_refused", seller=document.seller, digest=document.digest, reason=reason
            )

    def save_scan(self, document: Document, scan: Scan) -> bool:
        """Keeps what was found, all or nothing; reading a document twice changes nothing.

        Returns whether the document is still there: it may have been pruned while it was read.
        """
        with self._ledger.transaction() as db:
            done = db.execute(
                "UPDATE documents SET state = 'read', reason = '', parts = ?, "
                "pin = CASE WHEN ? > 0 AND pin = '' THEN 'wanted' ELSE pin END WHERE id = ?",
                (len(scan.parts), len(scan.parts), document.id),
            )
            if not done.rowcount:
                return False
            db.executemany(
                "INSERT OR IGNORE INTO parts (document, item_id, copy, part_index, parts_root, "
                "terms, page_key, sealed, proof) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (document.id, *part[:3], load_terms(part.terms).parts_root, *part[3:])
                    for part in scan.parts
                ],
            )
            new = 0
            for refusal in scan.refusals:
                done = db.execute(
                    "INSERT OR IGNORE INTO part_refusals VALUES (?, ?, ?, ?, ?)",
                    (document.id, *refusal),
                )
                new += done.rowcount
                if done.rowcount and new <= LOGGED_REFUSALS:
                    self._ledger.note(
                        "part_refused",
                        seller=document.seller,
                        digest=document.digest,
                        item=refusal.item_id,
                        reason=refusal.reason,
                    )
        return True

    def refusals(self, document: int, item_id: bytes, copy: int) -> list[PartRefusal]:
        """What was refused of one copy under one document, given by its row id."""
        sql = (
            "SELECT item_id, copy, reason, detail FROM part_refusals "
            "WHERE document = ? AND item_id = ? AND copy IN (?, ?)"
        )
        values = (document, item_id, copy, NO_COPY)
        return list(map(PartRefusal._make, plain_rows(self._db, sql, values)))

    def copied(self, seller: Address, sealed: bytes) -> bool:
        """Whether this ciphertext is one of our parts in the store of another seller."""
        row = self._db.execute(
            "SELECT 1 FROM parts JOIN documents ON documents.id = parts.document "
            "WHERE parts.sealed = ? AND documents.seller <> ? LIMIT 1",
            (sealed, seller),
        ).fetchone()
        return row is not None

    def to_pin(self) -> list[Document]:
        """Documents with our parts that are not pinned yet, the newest first."""
        return self._select("documents WHERE pin = 'wanted' ORDER BY id DESC")

    def pinned_bytes(self) -> int:
        """What all pins hold, in bytes (blocks that two stores share count twice)."""
        [total] = self._db.execute("SELECT coalesce(sum(pin_bytes), 0) FROM documents").fetchone()
        return int(total)

    def superseded_pin(self) -> Document | None:
        """The oldest pinned store version that its seller has replaced."""
        found = self._select(
            "documents WHERE pin = 'held' AND EXISTS (SELECT 1 FROM documents AS "
            "newer WHERE newer.seller = documents.seller AND newer.id > documents.id "
            "AND newer.pin IN ('held', 'wanted')) ORDER BY id LIMIT 1"
        )
        return found[0] if found else None

    def mark_pin(self, document: Document, pin: str, size: int = 0) -> bool:
        """Records a pin: 'held' with its bytes, 'refused', or '' once it is taken off.

        Returns whether the document is still there.
        """
        with self._ledger.transaction() as db:
            done = db.execute(
                "UPDATE documents SET pin = ?, pin_bytes = ? WHERE id = ?", (pin, size, document.id)
            )
        return bool(done.rowcount)
