"""Takes logs into the index, and takes them out again when a reorganisation does.

What a sale's events add up to is replayed by `SaleHistory`, as everywhere else, whenever one of
them comes or goes, and kept in the sale's row; what it changes for the seller is marked in `dirty`
in the same transaction, and worked out later (`dam.index.stores`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from dam.index.index_file import DamagedError
from dam.index.log_store import (
    Kind,
    event_columns,
    keeps_whole,
    sale_of_event,
    whole_columns,
    whole_log,
)
from dam.index.places import amount_text, first_place, place_of
from dam.index.sale_reader import load_sales
from dam.market.log_rows import dump_terms, signed
from dam.market.reputation import fees_to_others, outcome_of, stake_bound_by
from dam.market.sale_history import SaleHistory, SaleRecord
from dam.types import (
    Address,
    BlockRef,
    CopyId,
    DelivererRegistered,
    FragmentDelivered,
    MarketLog,
    OtherLog,
    Purchase,
    StoreVersion,
)

_KEPT_BLOCKS = 4_096
"""Hashes of blocks: a reorganisation below all of them has the index built anew."""
_CHUNK = 500


class Writer:
    """Writes to an index; it remembers numbers of accounts, items and terms.

    Args:
        db: The index, in whose transactions it is used.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._accounts: dict[Address, int] = {}
        self._listings: dict[tuple[int, bytes], int] = {}
        self._terms: dict[str, int] = {}

    def forget(self) -> None:
        """To be called where a transaction was undone: what it numbered has no number."""
        self._accounts.clear()
        self._listings.clear()
        self._terms.clear()

    # ----------------------------------------------------------------------------------- numbers

    def account(self, address: Address) -> int:
        """The number of an account."""
        found = self._accounts.get(address)
        if found is None:
            found = self._number("accounts", ("address",), (address,))
            self._accounts[address] = found
        return found

    def listing(self, seller: int, item_id: bytes) -> int:
        """The number of a seller's item."""
        key = (seller, item_id)
        if key not in self._listings:
            self._listings[key] = self._number("listings", ("seller", "item_id"), key)
        return self._listings[key]

    def terms(self, text: str) -> int:
        """The number of terms, by their text."""
        if text not in self._terms:
            self._terms[text] = self._number("terms", ("text",), (text,))
        return self._terms[text]

    def _number(self, table: str, columns: Sequence[str], values: tuple[Any, ...]) -> int:
        where = " AND ".join(f"{column} = ?" for column in columns)
        found = self._db.execute(f"SELECT id FROM {table} WHERE {where}", values).fetchone()
        if found is not None:
            return int(found[0])
        marks = ", ".join("?" * len(values))
        done = self._db.execute(
            f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", values
        )
        assert done.lastrowid is not None
        return done.lastrowid

    # -------------------------------------------------------------------------------------- logs

    def save(self, logs: Sequence[MarketLog], end: BlockRef) -> None:
        """Takes the logs of the blocks after the cursor, to ``end``, which is the new cursor.

        Raises:
            Malformed: A log stands where none can stand.
        """
        history, places, before = SaleHistory(), {}, self._known(logs)
        for record in before.values():
            history.sales[record.copy_id] = record
            places[record.copy_id] = place_of(record.purchase.at)
        sales, events, touched = [], [], set()
        before_owners = self._owners()
        for log in logs:
            place = place_of(log.at)
            if isinstance(log, Purchase):
                if log.copy_id in history.sales:
                    continue  # a copy is sold once, ever
                sales.append(self._sale_row(place, log))
                history.add(log)
                places[log.copy_id] = place
                touched.add(log.copy_id)
            elif isinstance(log, StoreVersion):
                self._save_version(place, log)
            elif (copy_id := sale_of_event(log)) is not None and copy_id in places:
                paid = isinstance(log, FragmentDelivered) and _is_first(history, log)
                kind, part, who, data = event_columns(log)
                events.append((place, places[copy_id], kind, part, self.account(who), paid, data))
                history.add(log)
                touched.add(copy_id)
            if keeps_whole(log):
                self._db.execute("INSERT INTO logs VALUES (?, ?, ?, ?)", whole_columns(log))
            if isinstance(log, OtherLog) and log.name.startswith("SellerStake"):
                self.mark(log.args["seller"])
        marks = ", ".join("?" * 11)
        self._db.executemany(
            f"INSERT INTO sales VALUES ({marks}, 1, '', '', NULL, '', NULL)", sales
        )
        self._db.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)", events)
        owners = self._owners()
        self._derive([history.sales[copy_id] for copy_id in touched], _stars(logs), owners)
        self._reweigh(before_owners, owners)
        self._save_blocks(logs, end)

    def _known(self, logs: Iterable[MarketLog]) -> dict[int, SaleRecord]:
        """Sales that were there before and that these logs, or a second purchase, tell of."""
        wanted = {sale_of_event(log) for log in logs} - {None}
        wanted |= {log.copy_id for log in logs if isinstance(log, Purchase)}
        return load_sales(self._db, "copy_id", [copy_id for copy_id in wanted if copy_id])

    def _sale_row(self, place: int, log: Purchase) -> tuple[Any, ...]:
        seller = self.account(log.seller)
        return (
            place, log.copy_id, log.at.tx_hash, self.listing(seller, log.terms.item_id),
            self.account(log.buyer), log.store_digest, signed(log.copy), log.purchase_block,
            log.purchase_time, self.terms(dump_terms(log.terms)), b"".join(log.keys),
        )  # fmt: skip

    def _save_version(self, place: int, log: StoreVersion) -> None:
        values = (place, self.account(log.seller), log.digest, log.root)
        self._db.execute("INSERT INTO store_versions VALUES (?, ?, ?, ?)", values)
        self.mark(log.seller)

    def _save_blocks(self, logs: Iterable[MarketLog], end: BlockRef) -> None:
        found = {log.at.block.number: log.at.block.hash for log in logs}
        found[end.number] = end.hash
        self._db.executemany("INSERT OR REPLACE INTO blocks VALUES (?, ?)", found.items())
        self._db.execute(
            "DELETE FROM blocks WHERE number < (SELECT number FROM blocks ORDER BY number DESC "
            f"LIMIT 1 OFFSET {_KEPT_BLOCKS})"
        )

    # ------------------------------------------------------------------------------ what follows

    def mark(self, seller: Address) -> None:
        """Something changed of a seller."""
        self._db.execute("INSERT OR IGNORE INTO dirty VALUES (?)", (self.account(seller),))

    def _derive(
        self,
        records: Iterable[SaleRecord],
        rated: dict[CopyId, int],
        owners: dict[Address, Address],
    ) -> None:
        """Writes what events add up to into the sales' rows."""
        rows, sellers = [], set()
        for record in records:
            sellers.add(self.account(record.purchase.seller))
            weight = fees_to_others(record, owners)
            rows.append(
                (
                    int(record.status),
                    outcome_of(record),
                    amount_text(stake_bound_by(record)),
                    rated.get(record.copy_id),
                    amount_text(weight),
                    None if record.dispute is None else self.account(record.dispute.arbitrator),
                    place_of(record.purchase.at),
                )
            )
        self._db.executemany(
            "UPDATE sales SET status = ?, outcome = ?, bound = ?, stars = coalesce(?, stars), "
            "weight = ?, arbiter = ? WHERE place = ?",
            rows,
        )
        self._db.executemany("INSERT OR IGNORE INTO dirty VALUES (?)", [(one,) for one in sellers])

    def _owners(self) -> dict[Address, Address]:
        rows = self._db.execute(
            "SELECT place, name, tx_hash, data FROM logs WHERE name = 'DelivererRegistered' "
            "ORDER BY place"
        )
        logs = [whole_log(*row) for row in rows]
        return {log.operator: log.owner for log in logs if isinstance(log, DelivererRegistered)}

    def _reweigh(self, before: dict[Address, Address], owners: dict[Address, Address]) -> None:
        """Works out again what sales paid to others than the seller, where another account owns a
        deliverer now than before.
        """
        changed = before.items() ^ owners.items()
        for owner in {owner for _, owner in changed}:
            rows = self._db.execute(
                "SELECT place FROM sales JOIN listings ON listings.id = listing WHERE seller = ?",
                (self.account(owner),),
            ).fetchall()
            self._rederive([row[0] for row in rows], owners)

    def _rederive(self, places: Sequence[int], owners: dict[Address, Address]) -> None:
        for some in _chunks(places):
            records = load_sales(self._db, "place", some)
            if len(records) != len(some):
                raise DamagedError("an event is of no sale")
            marks = ", ".join("?" * len(some))
            self._db.execute(
                "UPDATE sales SET stars = (SELECT part FROM events WHERE sale = sales.place AND "
                f"kind = {int(Kind.RATED)}) WHERE place IN ({marks})",
                some,
            )
            self._derive(records.values(), {}, owners)

    # ------------------------------------------------------------------------------ reorganisation

    def roll_back(self, block: int) -> None:
        """Forgets all that stood above a block, which is the cursor from here on."""
        first = (first_place(block + 1),)
        for sellers in (
            "SELECT seller FROM store_versions",
            "SELECT seller FROM sales JOIN listings ON listings.id = listing",
        ):
            self._db.execute(f"INSERT OR IGNORE INTO dirty {sellers} WHERE place >= ?", first)
        before_owners = self._owners()
        sales = self._db.execute(
            "SELECT DISTINCT sale FROM events WHERE place >= ? AND sale < ?", first * 2
        ).fetchall()
        for table in ("store_versions", "logs", "events", "sales"):
            self._db.execute(f"DELETE FROM {table} WHERE place >= ?", first)
        self._db.execute("DELETE FROM blocks WHERE number > ?", (block,))
        owners = self._owners()
        self._rederive([row[0] for row in sales], owners)
        self._reweigh(before_owners, owners)


def _is_first(history: SaleHistory, log: FragmentDelivered) -> bool:
    """Whether a delivery is the first of its part: it is paid, whatever becomes of the part."""
    before = history.sales[log.copy_id].fragments
    return not log.supplied and not any(f.index == log.index and not f.supplied for f in before)


def _stars(logs: Iterable[MarketLog]) -> dict[CopyId, int]:
    return {
        CopyId(log.args["copyId"]): log.args["stars"]
        for log in logs
        if isinstance(log, OtherLog) and log.name == "SaleRated"
    }


def _chunks(values: Sequence[int]) -> Iterator[Sequence[int]]:
    return (values[start : start + _CHUNK] for start in range(0, len(values), _CHUNK))
