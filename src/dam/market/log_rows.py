"""What a range of blocks holds, as the rows that the ledger keeps of it.

A market's logs are mostly other people's sales, and a daemon that catches up reads a hundred
thousand of them: they go from the node's answer into the ledger as plain tuples, and become records
(`types.MarketLog`) only where somebody looks at one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sized
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeAlias

from dam.market.row_codec import dump_keys, dump_terms
from dam.types import (
    DelivererKeyRotated,
    DelivererRegistered,
    DisputeOpened,
    FragmentDelivered,
    MarketLog,
    Purchase,
    SaleClosed,
    StoreVersion,
)

PurchaseRow: TypeAlias = tuple[int, bytes, int, bytes, int, bytes, str, str, bytes, int, str, bytes]
"""Block, block hash, log index, transaction, timestamp, copyId, seller, buyer, digest of the store,
copy (`signed`), terms (`records.dump_terms`), keys (`records.dump_keys`)."""
VersionRow: TypeAlias = tuple[int, bytes, int, str, bytes, bytes]
"""Block, block hash, log index, seller, digest, root."""
DeliveredRow: TypeAlias = tuple[int, bytes, int, bytes, int, str, bool]
"""Block, block hash, log index, copyId, part, by whom, whether as the seller's fallback."""
TurnRow: TypeAlias = tuple[int, bytes, int, bytes, str]
"""Block, block hash, log index, copyId, kind: disputed, settled, refunded or resolved."""
KeyRow: TypeAlias = tuple[int, bytes, int, str, bytes]
"""Block, block hash, log index, operator, the X25519 key that it announced."""


_terms_text = lru_cache(maxsize=64)(dump_terms)  # the same for every sale of an item


def signed(copy: int) -> int:
    """A copy's number as SQLite keeps 64 bits: as an integer with a sign."""
    return copy - 2**64 if copy >= 2**63 else copy


def unsigned(kept: int) -> int:
    """The copy's number again."""
    return kept % 2**64


@dataclass(slots=True)
class Rows:
    """The logs of a range of blocks, in their order, by the ledger's tables."""

    purchases: list[PurchaseRow] = field(default_factory=list)
    versions: list[VersionRow] = field(default_factory=list)
    delivered: list[DeliveredRow] = field(default_factory=list)
    turns: list[TurnRow] = field(default_factory=list)
    announced: list[KeyRow] = field(default_factory=list)
    blocks: dict[int, bytes] = field(default_factory=dict)
    """Number and hash of every block with logs."""
    count: int = 0
    """Of all logs, those included that leave no row."""

    def until(self, block: int) -> Rows:
        """Only what stands in blocks up to ``block``; the count is that of the rows."""
        part = Rows(
            [row for row in self.purchases if row[0] <= block],
            [row for row in self.versions if row[0] <= block],
            [row for row in self.delivered if row[0] <= block],
            [row for row in self.turns if row[0] <= block],
            [row for row in self.announced if row[0] <= block],
            {number: found for number, found in self.blocks.items() if number <= block},
        )
        tables: tuple[Sized, ...] = (
            part.purchases,
            part.versions,
            part.delivered,
            part.turns,
            part.announced,
        )
        part.count = sum(len(table) for table in tables)
        return part


def rows_of(logs: Iterable[MarketLog]) -> Rows:
    """Records as rows."""
    rows = Rows()
    for log in logs:
        at = log.at
        place = (at.block.number, at.block.hash, at.log_index)
        rows.blocks[at.block.number] = at.block.hash
        rows.count += 1
        if isinstance(log, Purchase):
            rows.purchases.append(
                (
                    *place,
                    at.tx_hash,
                    at.block.timestamp,
                    log.copy_id,
                    log.seller,
                    log.buyer,
                    log.store_digest,
                    signed(log.copy),
                    _terms_text(log.terms),
                    dump_keys(log.keys),
                )
            )
        elif isinstance(log, StoreVersion):
            rows.versions.append((*place, log.seller, log.digest, log.root))
        elif isinstance(log, FragmentDelivered):
            rows.delivered.append((*place, log.copy_id, log.index, log.by, log.supplied))
        elif isinstance(log, DisputeOpened):
            rows.turns.append((*place, log.copy_id, "disputed"))
        elif isinstance(log, SaleClosed):
            rows.turns.append((*place, log.copy_id, log.status.name.lower()))
        elif isinstance(log, DelivererRegistered | DelivererKeyRotated):
            rows.announced.append((*place, log.operator, log.key))
    return rows
