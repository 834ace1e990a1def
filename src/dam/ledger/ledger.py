"""The daemon's memory: one SQLite file with cursor, events, stores, parts, outbox and journal.

A kill at any instant leaves either the state before a transaction or the state after it: WAL with
``synchronous=FULL``. What one step learns and what it decides on it share one transaction. The
file is bound to one chain, market, account and role; `Ledger.open` refuses any other.

This module has the file itself and what follows the chain. `sales` asks about purchases and decides
on them, `documents` keeps store documents and our parts, `outbox` what is to be sent, `ledger_file`
opens the file, and `pruning` deletes what is long over.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from dam.errors import LedgerUnusableError, Permanent
from dam.ledger import ledger_file, pruning, reorgs
from dam.ledger.reorgs import Rollback as Rollback
from dam.market.log_rows import TABLES, PurchaseRow, Rows, StoreVersionRow
from dam.types import Address, BlockRef, Windows

KEPT_BLOCKS = 256
"""How many block hashes are kept, and so how deep a reorganisation may be."""
_JOURNAL_ROWS = 10_000
_BY_SALE = {
    "purchases_by_copy": "purchases (copy_id)",
    "deliveries_by_copy": "deliveries (copy_id, part_index)",
    "sale_events_by_copy": "sale_events (copy_id)",
    "junk_proofs_by_copy": "junk_proofs (copy_id, part_index)",
}
_WANTED_AT_ONCE = 16
"""Documents of one seller, from one range of blocks."""
_PRUNE_BLOCKS = 16
_PRUNE_ROWS = 500


class DeepReorganisation(Permanent):
    """The chain changed below every block hash that is kept: the daemon halts."""


@dataclass(frozen=True, slots=True)
class Binding:
    """What a ledger belongs to."""

    chain_id: int
    market: Address
    account: Address
    role: str

    def meta(self) -> dict[str, str]:
        """As the table ``meta`` has it."""
        return {key: str(value) for key, value in asdict(self).items()}


class Ledger:
    """One open ledger file. Not for use by several threads or processes at once.

    Args:
        db: An open connection with the schema of this version.
        documents: Whether every store version's document is wanted.
    """

    def __init__(self, db: sqlite3.Connection, binding: Binding, *, documents: bool = True) -> None:
        self.db = db
        self.binding = binding
        self._documents = documents
        self._synced = True
        self._pruned_at = -_PRUNE_BLOCKS
        self.rollbacks = 0
        """How many reorganisations this process has seen."""

    @classmethod
    def open(cls, path: Path, binding: Binding, *, documents: bool = True) -> Self:
        """Opens or makes a ledger, and checks it. See `Ledger` for the arguments.

        Raises:
            LedgerError: It is corrupt, of another version, or of another chain, market or account.
        """
        daemon = "watchdog" if "watchdog" in binding.role else "deliverer"
        db = ledger_file.open_file(path, f"dam {daemon} recover")
        ledger = cls(db, binding, documents=documents)
        ledger._bind(path)
        ledger.end_bulk_load()
        return ledger

    def delivery_seconds(self, windows: Windows) -> int:
        """For how long after a purchase a delivery by whom the ledger belongs to counts."""
        seller = "watchdog of" in self.binding.role
        return windows.refund_seconds if seller else windows.delivery_seconds

    def close(self) -> None:
        """Closes the file."""
        self.db.close()

    @contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """Everything inside is saved together, or not at all.

        Inside another one it is a part of that, saved with it (one sync for a whole group), and
        taken back alone if it fails. ``durable``: on the disk when it ends. Else it is safe from a
        kill, but not from a power cut; much cheaper, and enough for what the chain gives again.
        """
        inner = self.db.in_transaction
        if not inner and durable is not self._synced:
            self.db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._synced = durable
        self.db.execute("SAVEPOINT part" if inner else "BEGIN IMMEDIATE")
        try:
            yield self.db
        except BaseException:
            if self.db.in_transaction:
                self.db.execute("ROLLBACK TO part" if inner else "ROLLBACK")
                if inner:
                    self.db.execute("RELEASE part")
            raise
        self.db.execute("RELEASE part" if inner else "COMMIT")

    def prune(self) -> int:
        """Deletes a little of what is long over, every few blocks, inside the caller's
        transaction; see `pruning`. Returns how many rows went.
        """
        cursor = self.cursor()
        if cursor is None or cursor.number < self._pruned_at + _PRUNE_BLOCKS:
            return 0
        names = pruning.names_of(self.binding.account, self.binding.role)
        gone = pruning.prune(self.db, names, _PRUNE_ROWS)
        # More than one call's work: go on with the next.
        if gone < _PRUNE_ROWS:
            self._pruned_at = cursor.number
        return gone

    def cursor(self) -> BlockRef | None:
        """The last block that is read, or None before the first."""
        row = self.db.execute("SELECT number, hash, time FROM cursor").fetchone()
        return None if row is None else BlockRef(row["number"], row["hash"], row["time"])

    def known_blocks(self) -> list[BlockRef]:
        """Block hashes that are kept, the newest first."""
        rows = self.db.execute("SELECT number, hash FROM blocks ORDER BY number DESC")
        return [BlockRef(row["number"], row["hash"]) for row in rows]

    def save_range(self, rows: Rows, cursor: BlockRef, *, delivery_seconds: int) -> int:
        """Records what a range of blocks holds, inside the caller's transaction.

        A log that is already there is left as it is, so a range may be read twice; one that a
        reorganisation had orphaned comes back to life.

        Args:
            rows: The logs.
            cursor: The last block of the range, with its time.
            delivery_seconds: For how long after a purchase a delivery of ours counts.

        Returns:
            How many logs were new.
        """
        new = self._insert("deliveries VALUES (?, ?, ?, ?, ?, ?, ?)", rows.deliveries)
        new += self._insert("sale_events VALUES (?, ?, ?, ?, ?)", rows.sale_events)
        new += self._insert("junk_proofs VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows.junk_proofs)
        new += self._save_purchases(rows.purchases, delivery_seconds)
        new += self._save_versions(rows.store_versions)
        blocks = {**rows.blocks, cursor.number: cursor.hash}
        self.db.executemany("INSERT OR REPLACE INTO blocks VALUES (?, ?)", blocks.items())
        # The oldest kept hash is a floor, however sparse the blocks with logs are.
        self.db.execute(
            "DELETE FROM blocks WHERE number < (SELECT min(number) FROM "
            "(SELECT number FROM blocks ORDER BY number DESC LIMIT ?))",
            (KEPT_BLOCKS,),
        )
        place = (cursor.number, cursor.hash, cursor.timestamp)
        self.db.execute("INSERT OR REPLACE INTO cursor VALUES (1, ?, ?, ?)", place)
        return new

    def begin_bulk_load(self) -> None:
        """Drops the indexes by sale, until `end_bulk_load` or the next start.

        While a whole history is read, every range would write all over them; built at the end, they
        cost a third. Nothing is looked up by sale before a daemon has caught up.
        """
        with self.transaction(durable=False) as db:
            for name in _BY_SALE:
                db.execute(f"DROP INDEX IF EXISTS {name}")

    def end_bulk_load(self) -> None:
        """Builds the indexes by sale that are missing."""
        with self.transaction(durable=False) as db:
            for name, columns in _BY_SALE.items():
                db.execute(f"CREATE INDEX IF NOT EXISTS {name} ON {columns}")

    def missing(self, rows: Rows) -> list[tuple[str, int, int]]:
        """Which of the logs are not there yet: table, block and log index of each."""
        return [
            (table, row[0], row[2])
            for table in TABLES
            for row in getattr(rows, table)
            if self.db.execute(
                f"SELECT 1 FROM {table} WHERE block = ? AND block_hash = ? AND log_index = ?",  # noqa: S608
                row[:3],
            ).fetchone()
            is None
        ]

    def acted_above(self, block: int) -> int:
        """How many parts were sealed for purchases of blocks above ``block``."""
        [count] = self.db.execute(
            "SELECT count(*) FROM seals WHERE purchase IN "
            "(SELECT id FROM purchases WHERE block > ? AND orphaned = 0)",
            (block,),
        ).fetchone()
        return int(count)

    def _insert(self, target: str, rows: Sequence[tuple[object, ...]]) -> int:
        """Adds those rows that are not there yet."""
        if not rows:
            return 0
        return self.db.executemany(f"INSERT INTO {target} ON CONFLICT DO NOTHING", rows).rowcount

    def _save_versions(self, rows: Sequence[StoreVersionRow]) -> int:
        """Of the versions of one seller that come together only the last ones' documents are
        wanted: anybody may write ten thousand in a block. An older one is, once it sells something.
        """
        after: Counter[str] = Counter()
        wanted: list[StoreVersionRow] = []
        new = 0
        for row in reversed(rows):
            added = self._insert("store_versions VALUES (?, ?, ?, ?, ?, ?)", [row])
            after[row[3]] += added
            if added and self._documents and after[row[3]] <= _WANTED_AT_ONCE:
                wanted.append(row)
            new += added
        for row in reversed(wanted):
            self.want_document(Address(row[3]), *row[4:])
        return new

    def announced(self) -> tuple[bytes | None, int]:
        """The key (X25519) that our account announced last, up to the block that comes with it;
        None and -1: the chain was not asked yet.
        """
        row = self.db.execute("SELECT value FROM meta WHERE key = 'announced_to'").fetchone()
        block, _, key = (row["value"] if row is not None else "-1 ").partition(" ")
        return bytes.fromhex(key) or None, int(block)

    def save_announced(self, key: bytes | None, block: int) -> None:
        """Keeps what `announced` tells. ``block`` is so old that it stays on the chain."""
        with self.transaction(durable=False) as db:
            value = f"{block} {(key or b'').hex()}"
            db.execute("INSERT OR REPLACE INTO meta VALUES ('announced_to', ?)", (value,))

    def _save_purchases(self, rows: Sequence[PurchaseRow], delivery_seconds: int) -> int:
        new = self._insert(
            "purchases (block, block_hash, log_index, tx_hash, copy_id, seller, buyer, "
            "store_digest, copy, purchase_block, purchase_time, terms, keys, last_time) VALUES "
            f"(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?11 + {delivery_seconds:d})",
            rows,
        )
        if new < len(rows):
            for row in rows:
                self._revive(row[0], row[1], row[2])
        return new

    def _revive(self, block: int, block_hash: bytes, log_index: int) -> None:
        """A purchase whose block is canonical again, after a reorganisation and one back."""
        revived = self.db.execute(
            "UPDATE purchases SET orphaned = 0, state = 'new', reason = '' WHERE block = ? "
            "AND log_index = ? AND block_hash = ? AND orphaned = 1 RETURNING id",
            (block, log_index, block_hash),
        ).fetchall()
        for (purchase,) in revived:
            self.db.execute("UPDATE seals SET orphaned = 0 WHERE purchase = ?", (purchase,))
            self.db.execute(
                "UPDATE jobs SET state = 'due', reason = '' "
                "WHERE purchase = ? AND state = 'cancelled'",
                (purchase,),
            )

    def rollback(self, to: BlockRef) -> Rollback:
        """Forgets everything above the common ancestor ``to``, in one transaction.

        Purchases stay, marked orphaned: what was sealed for them stays known. What was not signed
        yet is cancelled; what was is the sender's to settle, and its receipts are open again.
        """
        with self.transaction() as db:
            old = self.cursor()
            done = reorgs.roll_back(db, to, old.number if old is not None else to.number)
            self.note("reorganisation", to=to.number, depth=done.depth, orphaned=done.purchases)
        self.rollbacks += 1
        return done

    def want_document(
        self, seller: Address, digest: bytes, root: bytes, *, urgent: bool = False
    ) -> None:
        """Puts a store document on the list of those to read."""
        self.db.execute(
            "INSERT INTO documents (seller, digest, root, urgent) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (seller, digest, root) DO UPDATE SET urgent = urgent OR excluded.urgent",
            (seller, digest, root, urgent),
        )

    def note(self, event: str, **detail: Any) -> None:
        """Adds an event to the journal, for the operator. Never a secret."""
        text = json.dumps(detail, default=_plain, separators=(",", ":"))
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        cursor = self.db.execute(
            "INSERT INTO journal (at, event, detail) VALUES (?, ?, ?)", (at, event, text)
        )
        assert cursor.lastrowid is not None
        self.db.execute("DELETE FROM journal WHERE id <= ?", (cursor.lastrowid - _JOURNAL_ROWS,))

    def _bind(self, path: Path | str) -> None:
        wanted = self.binding.meta()
        found = {row["key"]: row["value"] for row in self.db.execute("SELECT * FROM meta")}
        if not found:
            with self.transaction() as db:
                db.executemany("INSERT INTO meta VALUES (?, ?)", wanted.items())
            return
        wrong = [key for key in wanted if found.get(key) != wanted[key]]
        if wrong:
            self.close()
            pairs = ", ".join(f"{key} {found.get(key)}, not {wanted[key]}" for key in wrong)
            raise LedgerUnusableError(
                f"the ledger {path} belongs to {pairs}: name another state folder"
            )


def _plain(value: object) -> str:
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)
