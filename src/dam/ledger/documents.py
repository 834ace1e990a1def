"""What the ledger knows of store documents: which to read, our parts in them, refusals, pins.

Parts are kept sealed, with the page key that opens them, their leaf's proof and the terms that they
were read under, by document: a later version of a store does not touch what an older one sold.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from dam.ledger.ledger import Ledger
from dam.market.log_rows import dump_terms, load_terms, signed, split_words
from dam.types import Address, CopyId, Terms

NO_COPY = -1
"""Of a refusal: it concerns no copy in particular."""
_OF_ONE = 16
"""So many documents of one seller, tried equally often, are looked at for the next to read."""
TOLD = 8
"""So many refusals of one document are told; a hostile one has fifty thousand."""


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
    urgent: bool
    attempts: int
    pin: str


@dataclass(frozen=True, slots=True)
class KeptPart:
    """One of our parts, as the document had it."""

    item_id: bytes
    copy: int
    index: int
    terms: Terms
    page_key: bytes | None
    """None: a plain sealed box."""
    sealed: bytes
    proof: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class PartRefusal:
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


class Shelf:
    """Documents and parts of one ledger. Writing methods open their own transaction."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._db = ledger.db

    # --------------------------------------------------------------------------------- documents

    def document(self, seller: Address, digest: bytes, root: bytes) -> Document | None:
        """The document of a store version, if it was ever wanted."""
        row = self._db.execute(
            "SELECT * FROM documents WHERE seller = ? AND digest = ? AND root = ?",
            (seller, digest, root),
        ).fetchone()
        return None if row is None else _document(row)

    def wanted(self, busy: Collection[int]) -> list[Document]:
        """Documents to read, without those in ``busy``: the urgent first; then those that were
        tried least; of these every seller's oldest, then everyone's next.
        """
        rows = self._db.execute(
            "SELECT documents.* FROM (SELECT id, row_number() OVER (PARTITION BY seller, urgent, "
            "attempts ORDER BY id) AS turn FROM documents WHERE state = 'wanted') "
            "JOIN documents USING (id) WHERE turn <= ? "
            "ORDER BY urgent DESC, attempts, turn, id LIMIT 5000",
            (_OF_ONE,),
        )
        return [_document(row) for row in rows if row["id"] not in busy]

    def count_attempt(self, document: Document, reason: str) -> None:
        """A read failed for now. It is urgent no longer than a purchase can wait for it."""
        with self._ledger.transaction() as db:
            db.execute(
                "UPDATE documents SET attempts = attempts + 1, reason = ?, urgent = urgent AND "
                "EXISTS (SELECT 1 FROM purchases, cursor WHERE purchases.state = 'waiting' "
                "AND purchases.seller = documents.seller AND purchases.orphaned = 0 "
                "AND purchases.store_digest = documents.digest AND deadline > cursor.number) "
                "WHERE id = ?",
                (reason, document.id),
            )

    def note_keys(self, keys: Collection[bytes]) -> bool:
        """Remembers which keys documents are scanned with.

        A key that is new here may open parts in documents that were read without it: they are read
        again, and sales that seemed to be none of ours are looked at again.

        Returns:
            Whether there was a new key.
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
                "UPDATE purchases SET state = 'new' WHERE state = 'not-mine' AND deadline > "
                "(SELECT coalesce(max(number), 0) FROM cursor)"
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

        Returns:
            Whether the document is still on the shelf: its version may have been archived
            while it was read.
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
                "INSERT OR IGNORE INTO parts (document, item_id, copy, idx, parts_root, terms, "
                "page_key, sealed, proof) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [_part_values(document.id, part) for part in scan.parts],
            )
            told = 0
            for refusal in scan.refusals:
                done = db.execute(
                    "INSERT OR IGNORE INTO refusals VALUES (?, ?, ?, ?, ?)",
                    (
                        document.id,
                        refusal.item_id,
                        refusal.copy,
                        refusal.reason,
                        refusal.detail,
                    ),
                )
                told += done.rowcount
                if done.rowcount and told <= TOLD:
                    self._ledger.note(
                        "part_refused",
                        seller=document.seller,
                        digest=document.digest,
                        item=refusal.item_id,
                        reason=refusal.reason,
                    )
        return True

    # ------------------------------------------------------------------------------------- parts

    def parts(self, document: Document, item_id: bytes, copy: int) -> list[KeptPart]:
        """Our parts of one copy under one document."""
        rows = self._db.execute(
            "SELECT * FROM parts WHERE document = ? AND item_id = ? AND copy = ? ORDER BY idx",
            (document.id, item_id, copy),
        )
        return [_part(row) for row in rows]

    def refusals(self, document: int, item_id: bytes, copy: int) -> list[PartRefusal]:
        """What was refused of one copy under one document, given by its row id."""
        rows = self._db.execute(
            "SELECT * FROM refusals WHERE document = ? AND item_id = ? AND copy IN (?, ?)",
            (document, item_id, copy, NO_COPY),
        )
        return [
            PartRefusal(row["item_id"], row["copy"], row["reason"], row["detail"]) for row in rows
        ]

    def copied(self, seller: Address, sealed: bytes) -> bool:
        """Whether this ciphertext is one of our parts in the store of another seller."""
        row = self._db.execute(
            "SELECT 1 FROM parts JOIN documents ON documents.id = parts.document "
            "WHERE parts.sealed = ? AND documents.seller <> ? LIMIT 1",
            (sealed, seller),
        ).fetchone()
        return row is not None

    # ------------------------------------------------------------------------- who it was sealed to

    def buyer_of(self, seller: Address, item_id: bytes, copy: int, index: int) -> int | None:
        """Row id of the canonical purchase that a part was sealed for, if it is still here."""
        row = self._db.execute(
            "SELECT purchase FROM sealed WHERE seller = ? AND item_id = ? AND copy = ? "
            "AND idx = ? AND orphaned = 0",
            (seller, item_id, signed(copy), index),
        ).fetchone()
        return None if row is None else int(row["purchase"])

    def spent_on(self, copy_id: CopyId, index: int) -> bytes | None:
        """The one-time key that a part was sealed to, if that sale is archived or salvaged."""
        row = self._db.execute(
            "SELECT buyer_key FROM spent WHERE copy_id = ? AND idx = ?", (copy_id, index)
        ).fetchone()
        return None if row is None else bytes(row["buyer_key"])

    def sealed_before(self, copy_id: CopyId, index: int, buyer_key: bytes) -> bytes | None:
        """The fragment that was once sealed to this very key, to be used again."""
        row = self._db.execute(
            "SELECT fragment FROM sealed JOIN purchases ON purchases.id = purchase "
            "WHERE copy_id = :copy AND idx = :idx AND buyer_key = :key UNION ALL "
            "SELECT fragment FROM spent "
            "WHERE copy_id = :copy AND idx = :idx AND buyer_key = :key AND fragment <> x'' LIMIT 1",
            {"copy": copy_id, "idx": index, "key": buyer_key},
        ).fetchone()
        return None if row is None else bytes(row["fragment"])

    def keep_sealed(
        self,
        purchase: int,
        place: tuple[Address, bytes, int, int],
        buyer_key: bytes,
        fragment: bytes,
    ) -> None:
        """Writes down whom a part is sealed to, inside the caller's transaction.

        Args:
            purchase: Row id of the purchase.
            place: Seller, item id, copy of the sale, index.
            buyer_key: The one-time key.
            fragment: The 80 sealed bytes.

        Raises:
            sqlite3.IntegrityError: It is sealed to another buyer already.
        """
        seller, item_id, copy, index = place
        self._db.execute(
            "INSERT INTO sealed (seller, item_id, copy, idx, purchase, buyer_key, fragment) "
            "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (purchase, idx) DO NOTHING",
            (seller, item_id, signed(copy), index, purchase, buyer_key, fragment),
        )

    # -------------------------------------------------------------------------------------- pins

    def to_pin(self) -> list[Document]:
        """Documents with our parts that are not pinned yet, the newest first."""
        rows = self._db.execute("SELECT * FROM documents WHERE pin = 'wanted' ORDER BY id DESC")
        return [_document(row) for row in rows]

    def pinned_bytes(self) -> int:
        """What all pins hold, in bytes (blocks that two stores share count twice)."""
        [total] = self._db.execute("SELECT coalesce(sum(pin_bytes), 0) FROM documents").fetchone()
        return int(total)

    def superseded_pin(self) -> Document | None:
        """The oldest pinned store version that its seller has replaced."""
        row = self._db.execute(
            "SELECT * FROM documents WHERE pin = 'held' AND EXISTS (SELECT 1 FROM documents AS "
            "newer WHERE newer.seller = documents.seller AND newer.id > documents.id "
            "AND newer.pin IN ('held', 'wanted')) ORDER BY id LIMIT 1"
        ).fetchone()
        return None if row is None else _document(row)

    def mark_pin(self, document: Document, pin: str, size: int = 0) -> bool:
        """Records a pin: 'held' with its bytes, 'refused', or '' once it is taken off.

        Returns:
            Whether the document is still on the shelf.
        """
        with self._ledger.transaction() as db:
            done = db.execute(
                "UPDATE documents SET pin = ?, pin_bytes = ? WHERE id = ?",
                (pin, size, document.id),
            )
        return bool(done.rowcount)


def _document(row: sqlite3.Row) -> Document:
    return Document(
        id=row["id"],
        seller=Address(row["seller"]),
        digest=row["digest"],
        root=row["root"],
        state=row["state"],
        reason=row["reason"],
        urgent=bool(row["urgent"]),
        attempts=row["attempts"],
        pin=row["pin"],
    )


def _part_values(document: int, part: KeptPart) -> tuple[object, ...]:
    return (
        document,
        part.item_id,
        part.copy,
        part.index,
        part.terms.parts_root,
        dump_terms(part.terms),
        part.page_key or b"",
        part.sealed,
        b"".join(part.proof),
    )


def _part(row: sqlite3.Row) -> KeptPart:
    return KeptPart(
        item_id=row["item_id"],
        copy=row["copy"],
        index=row["idx"],
        terms=load_terms(row["terms"]),
        page_key=row["page_key"] or None,
        sealed=row["sealed"],
        proof=split_words(row["proof"]),
    )
