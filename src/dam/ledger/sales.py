"""Sales as the ledger has them: what a daemon asks about one, and what it decides on it.

A daemon that was away for a day has thousands of sales before it. One by one, each costs a dozen
queries and a transaction of its own; in groups a part costs little more than its cryptography
(bench/cpu_per_part.py). For the same reason rows stay rows, decoded only where needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from dam.ledger.ledger import Ledger
from dam.ledger.outbox import NewJob, Outbox
from dam.ledger.sql_params import in_list, plain_rows
from dam.market.log_rows import SaleRow
from dam.types import Address

Place = tuple[int, bytes, int]
"""Document, item, copy of the leaf."""
SealedRow = tuple[Address, bytes, int, int, int, bytes, bytes]
"""Seller, item, copy of the sale (`log_rows.signed`), index, purchase, the buyer's one-time key
(32 bytes), the fragment (80 bytes)."""


_COLUMNS = (
    f"{', '.join(SaleRow._fields[:-1])}, "  # noqa: S608
    "EXISTS (SELECT 1 FROM deliveries AS d WHERE d.copy_id = p.copy_id) "
    "OR EXISTS (SELECT 1 FROM sale_events AS e WHERE e.copy_id = p.copy_id) "
    "OR EXISTS (SELECT 1 FROM junk_proofs AS j WHERE j.copy_id = p.copy_id) "
    "OR EXISTS (SELECT 1 FROM archived_seals AS a WHERE a.copy_id = p.copy_id) "
    "OR EXISTS (SELECT 1 FROM purchases AS q JOIN seals ON seals.purchase = q.id "
    "WHERE q.copy_id = p.copy_id)"
)


class KeptPart(NamedTuple):
    """One of our parts, as the ledger keeps it: ``terms`` as `log_rows.dump_terms` writes those of
    the document, ``page_key`` empty for a plain sealed box, ``proof`` with 32 bytes a step.
    """

    item_id: bytes
    copy: int
    index: int  # type: ignore[assignment] # as everywhere; nobody looks a value up in a part
    terms: str
    page_key: bytes
    sealed: bytes
    proof: bytes


class JunkProof(NamedTuple):
    """A part of a sale that was proved to be junk."""

    fresh_key: bytes
    """X25519 key that a replacement is sealed to; zero after the sale's end."""
    cleared: bool
    """Whether the part is missing again."""


class VersionInForce(NamedTuple):
    """A store version, and the row id of its document, if that was ever asked for."""

    digest: bytes
    root: bytes
    document: int | None
    state: str | None
    reason: str | None


class Sales:
    """The purchases of one ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._db = ledger.db

    def in_state(
        self, *states: str, orphaned: bool = False, after: int = 0, limit: int = -1
    ) -> list[SaleRow]:
        """Canonical (or orphaned) sales in one of ``states``, in the order in which they were read.

        Only those with a row id above ``after``, and at most ``limit``; -1: all.
        """
        marks = ", ".join("?" * len(states))
        # The ids alone go through the sorter.
        return self._rows(
            f"id IN (SELECT id FROM purchases WHERE state IN ({marks}) "  # noqa: S608
            "AND orphaned = ? AND id > ? ORDER BY id LIMIT ?) ORDER BY id",
            (*states, orphaned, after, limit),
        )

    def get(self, purchase: int) -> SaleRow:
        """One sale by its row id."""
        [row] = self._rows("id = ?", (purchase,))
        return row

    def _rows(self, condition: str, values: Sequence[object]) -> list[SaleRow]:
        sql = f"SELECT {_COLUMNS} FROM purchases AS p WHERE {condition}"  # noqa: S608
        return list(map(SaleRow._make, plain_rows(self._db, sql, values)))

    def reopen_refused(self, reason: str) -> int:
        """Looks again at sales refused for a reason that is gone, where there is time; how many."""
        with self._ledger.transaction() as db:
            return db.execute(
                "UPDATE purchases SET state = 'new', reason = '' WHERE state = 'refused' "
                "AND reason = ? AND orphaned = 0 AND last_time > (SELECT time FROM cursor)",
                (reason,),
            ).rowcount

    def mark(self, ids: Sequence[int], state: str, reason: str = "") -> None:
        """Moves sales, given by their row ids, to another state."""
        marks, values = in_list(ids)
        self._db.execute(
            f"UPDATE purchases SET state = ?, reason = ? WHERE id IN ({marks})",  # noqa: S608
            (state, reason, *values),
        )

    def claim_new(self, seller: Address) -> None:
        """Serves every new sale of one seller; those of others are none of ours."""
        with self._ledger.transaction() as db:
            db.execute(
                "UPDATE purchases SET state = CASE seller WHEN ? THEN 'serving' ELSE 'not-mine' "
                "END, reason = '' WHERE state = 'new' AND orphaned = 0",
                (seller,),
            )

    def finish_served(self) -> None:
        """Ends the sales whose duties have all ended; inside the caller's transaction."""
        self._db.execute(
            "UPDATE purchases SET state = 'done' WHERE state = 'serving' AND NOT EXISTS "
            "(SELECT 1 FROM jobs WHERE purchase = purchases.id AND jobs.state IN ('due', 'live'))"
        )

    def keep_sealed(self, rows: Iterable[SealedRow]) -> None:
        """Writes down whom parts are sealed to, inside the caller's transaction.

        Raises:
            sqlite3.IntegrityError: One is sealed to another buyer already.
        """
        self._db.executemany(
            "INSERT INTO seals (seller, item_id, copy, part_index, purchase, buyer_key, fragment) "
            "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (purchase, part_index) DO NOTHING",
            rows,
        )

    def parts(self, places: Iterable[Place]) -> dict[Place, list[KeptPart]]:
        """Our parts of some copies, in the order of their indexes; nothing where there is none."""
        found: dict[Place, list[KeptPart]] = {}
        copies: dict[tuple[int, bytes], dict[int, None]] = {}
        for document, item, copy in places:
            copies.setdefault((document, item), {})[copy] = None
        for (document, item), wanted in copies.items():
            marks, values = in_list(list(wanted))
            sql = (
                "SELECT item_id, copy, part_index, terms, page_key, sealed, proof "  # noqa: S608
                f"FROM parts WHERE document = ? AND item_id = ? AND copy IN ({marks}) "
                "ORDER BY part_index"
            )
            for part in map(KeptPart._make, plain_rows(self._db, sql, (document, item, *values))):
                found.setdefault((document, item, part.copy), []).append(part)
        return found


class SaleEvents:
    """What the ledger knows happened to some sales, a few hundred at most, asked once."""

    def __init__(self, ledger: Ledger, sales: Iterable[SaleRow]) -> None:
        self._db = ledger.db
        self._copies = [sale.copy_id for sale in sales if sale.touched]
        self._delivered = self._by_copy(
            "part_index, block, log_index FROM deliveries WHERE supplied = 0 AND"
        )
        self._events = self._by_copy("kind, block FROM sale_events WHERE")
        self._proofs = self._by_copy(
            "part_index, block, log_index, fresh_key, cleared FROM junk_proofs WHERE"
        )
        self._seals = self._by_copy(
            "part_index, buyer_key, fragment, purchase, seals.orphaned FROM purchases "
            "JOIN seals ON seals.purchase = purchases.id WHERE"
        )
        self._archived = self._by_copy("part_index, buyer_key, fragment FROM archived_seals WHERE")

    def delivered(self, sale: SaleRow) -> dict[int, int]:
        """Parts that are there: index to the block of the first delivery that counts. One that a
        proof of junk cleared is missing, until it is replaced.
        """
        rows = self._delivered.get(sale.copy_id, ()) if sale.touched else ()
        cleared = {
            index: place
            for index, *place, _, was_cleared in self._proofs.get(sale.copy_id, ())
            if was_cleared
        }
        return {
            index: block
            for index, block, log_index in sorted(rows, reverse=True)
            if block >= sale.block and [block, log_index] > cleared.get(index, [-1])
        }

    def events(self, sale: SaleRow) -> dict[str, int]:
        """What else happened: ``disputed``, ``settled``, ``refunded``, ``resolved`` or ``agreed``,
        to the block of the log.
        """
        rows = self._events.get(sale.copy_id, ()) if sale.touched else ()
        return {kind: block for kind, block in rows if block >= sale.block}

    def proofs(self, sale: SaleRow) -> dict[int, JunkProof]:
        """Parts that were proved to be junk, by index: the seller's side alone delivers them."""
        rows = self._proofs.get(sale.copy_id, ()) if sale.touched else ()
        return {
            index: JunkProof(fresh_key, bool(cleared))
            for index, block, _, fresh_key, cleared in rows
            if block >= sale.block
        }

    def closed(self, sale: SaleRow) -> bool:
        """Whether the sale is over."""
        return bool(sale.touched and self.events(sale).keys() - {"disputed"})

    def sealed_to_another(self, sale: SaleRow, index: int, key: bytes) -> bool:
        """Whether this part went to another purchase, or to another key in one since pruned."""
        if not sale.touched:
            return False
        for found, _, _, purchase, orphaned in self._seals.get(sale.copy_id, ()):
            if found == index and not orphaned and purchase != sale.id:
                return True
        for found, to, _ in self._archived.get(sale.copy_id, ()):
            if found == index and to != key:
                return True
        return False

    def sealed_before(self, sale: SaleRow, index: int, key: bytes) -> bytes | None:
        """The fragment that was once sealed to this very key, to be used again."""
        if not sale.touched:
            return None
        for rows in (self._seals.get(sale.copy_id, ()), self._archived.get(sale.copy_id, ())):
            for found, to, fragment, *_ in rows:
                if found == index and to == key and fragment:
                    return bytes(fragment)
        return None

    def _by_copy(self, what: str) -> dict[bytes, list[tuple[Any, ...]]]:
        found: dict[bytes, list[tuple[Any, ...]]] = {}
        if self._copies:
            marks, values = in_list(self._copies)
            sql = f"SELECT copy_id, {what} copy_id IN ({marks})"
            for copy, *rest in plain_rows(self._db, sql, values):
                found.setdefault(copy, []).append(tuple(rest))
        return found


_Span = tuple[tuple[int, int], tuple[int, int], VersionInForce | None]
"""After which log, up to which one (block, log index) which version is in force."""


class Versions:
    """Which version of a store was in force where; most sales of a seller share one."""

    def __init__(self, ledger: Ledger) -> None:
        self._db = ledger.db
        self._spans: dict[Address, _Span] = {}

    def of(self, sale: SaleRow) -> VersionInForce | None:
        """The version that a sale was made under; None: none is known."""
        place = (sale.block, sale.log_index)
        span = self._spans.get(sale.seller)
        if span is None or not span[0] < place <= span[1]:
            span = self._spans[sale.seller] = self._span(sale.seller, place)
        return span[2]

    def _span(self, seller: Address, place: tuple[int, int]) -> _Span:
        found = plain_rows(
            self._db,
            "SELECT v.block, v.log_index, v.digest, v.root, d.id, d.state, d.reason "
            "FROM store_versions AS v LEFT JOIN documents AS d "
            "ON d.seller = v.seller AND d.digest = v.digest AND d.root = v.root "
            "WHERE v.seller = ? AND (v.block, v.log_index) < (?, ?) "
            "ORDER BY v.block DESC, v.log_index DESC LIMIT 1",
            (seller, *place),
        )
        then = plain_rows(
            self._db,
            "SELECT block, log_index FROM store_versions WHERE seller = ? "
            "AND (block, log_index) >= (?, ?) ORDER BY block, log_index LIMIT 1",
            (seller, *place),
        )
        last = then[0] if then else (2**62, 0)
        if not found:
            return (-1, -1), last, None
        block, log_index, *version = found[0]
        return (block, log_index), last, VersionInForce._make(version)


@dataclass(slots=True)
class Decisions:
    """What was decided on a group of sales, and is not saved yet."""

    sealed: list[SealedRow] = field(default_factory=list)
    jobs: list[NewJob] = field(default_factory=list)
    states: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    """Row ids of sales by their new state and its reason."""
    wanted: list[tuple[SaleRow, bytes, bool]] = field(default_factory=list)
    """A sale whose document is not read, its root, and whether there is time to serve it."""
    notes: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """For the journal."""
    lines: list[Callable[[], None]] = field(default_factory=list)
    """For the log, once it is saved."""

    def mark(self, sale: SaleRow, state: str, reason: str = "") -> None:
        """Moves a sale to another state."""
        self.states.setdefault((state, reason), []).append(sale.id)

    def save(self, ledger: Ledger) -> None:
        """Everything in one transaction.

        Raises:
            sqlite3.IntegrityError: A part went to another buyer already; nothing is saved.
        """
        sales = Sales(ledger)
        with ledger.transaction():
            sales.keep_sealed(self.sealed)
            Outbox(ledger).add(self.jobs)
            for sale, root, urgent in self.wanted:
                ledger.want_document(sale.seller, sale.store_digest, root, urgent=urgent)
            for (state, reason), ids in self.states.items():
                sales.mark(ids, state, reason)
            for event, about in self.notes:
                ledger.note(event, **about)
        for line in self.lines:
            line()
