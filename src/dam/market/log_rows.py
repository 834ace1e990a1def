"""The market's logs as the rows that a ledger keeps of them.

A daemon that catches up reads a hundred thousand logs, mostly of other people's sales: they go from
the node's answer into the ledger as plain tuples, and become records (`types.MarketLog`) only where
somebody looks at one. Structs in a row are compact JSON arrays in the order of their fields, with
bytes as hex; the form is private to one ledger file and versioned with its schema.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import lru_cache
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple, TypeAlias

from dam.crypto.abi_words import abi_fields
from dam.types import (
    Address,
    BlockRef,
    CopyId,
    LogRef,
    Purchase,
    Terms,
)

PurchaseRow: TypeAlias = tuple[
    int, bytes, int, bytes, bytes, str, str, bytes, int, int, int, str, bytes
]
"""Block, block hash, log index, transaction, copyId, seller, buyer, digest of the store, copy
(`signed`), block and time of the purchase as the contract saw them, terms (`dump_terms`), keys (32
bytes each, joined)."""
StoreVersionRow: TypeAlias = tuple[int, bytes, int, str, bytes, bytes]
"""Block, block hash, log index, seller, digest, root."""
DeliveryRow: TypeAlias = tuple[int, bytes, int, bytes, int, str, bool]
"""Block, block hash, log index, copyId, part, by whom, whether the seller supplied it."""
SaleEventRow: TypeAlias = tuple[int, bytes, int, bytes, str]
"""Block, block hash, log index, copyId, kind: disputed, settled, refunded, resolved or agreed."""
JunkProofRow: TypeAlias = tuple[int, bytes, int, bytes, int, str, bytes, bool]
"""Block, block hash, log index, copyId, part, its deliverer, the sale's fresh key (zero after the
sale's end), whether the part was cleared."""


def signed(copy: int) -> int:
    """A copy's number (64 bits) as the signed integer that SQLite can hold."""
    return copy - 2**64 if copy >= 2**63 else copy


def unsigned(kept: int) -> int:
    """The inverse of `signed`."""
    return kept % 2**64


TABLES = ("purchases", "store_versions", "deliveries", "sale_events", "junk_proofs")
"""Of the ledger; `Rows` has a field of each name."""
_terms_values = attrgetter(*abi_fields(Terms))


@lru_cache(maxsize=64)  # the same for every sale of an item
def dump_terms(terms: Terms) -> str:
    """`Terms` as text."""
    values = [v.hex() if isinstance(v, bytes) else v for v in _terms_values(terms)]
    return json.dumps(values, separators=(",", ":"))


@lru_cache(maxsize=64)
def load_terms(text: str) -> Terms:
    """The inverse of `dump_terms`."""
    values: list[Any] = json.loads(text)
    for place, kind in enumerate(abi_fields(Terms).values()):
        if kind == "bytes32":
            values[place] = bytes.fromhex(values[place])
    return Terms(*values)


def split_words(data: bytes) -> tuple[bytes, ...]:
    """Splits the keys of a buyer, or the steps of a proof, of 32 bytes each, that a row joins."""
    return tuple([data[i : i + 32] for i in range(0, len(data), 32)])


class SaleRow(NamedTuple):
    """A purchase as a ledger has it: the columns of `PurchaseRow`, and what became of it."""

    id: int
    block: int
    block_hash: bytes
    log_index: int
    tx_hash: bytes
    copy_id: CopyId
    seller: Address
    buyer: Address
    store_digest: bytes
    copy: int
    """As `signed`."""
    purchase_block: int
    purchase_time: int
    terms: str
    """As `dump_terms`."""
    keys: bytes
    """32 bytes a part."""
    last_time: int
    """Last second in which a delivery of ours counts."""
    state: str
    reason: str
    orphaned: int
    touched: int
    """1: a part of this copy was ever sealed, delivered or proved to be junk, or it was disputed or
    closed; else 0."""

    @property
    def purchase(self) -> Purchase:
        """The purchase as a record."""
        block = BlockRef(self.block, self.block_hash)
        return Purchase(
            copy_id=self.copy_id,
            seller=self.seller,
            buyer=self.buyer,
            store_digest=self.store_digest,
            copy=unsigned(self.copy),
            purchase_block=self.purchase_block,
            purchase_time=self.purchase_time,
            terms=load_terms(self.terms),
            keys=split_words(self.keys),
            at=LogRef(block, self.tx_hash, self.log_index),
        )


@dataclass(slots=True)
class Rows:
    """The logs of a range of blocks, in their order, by the ledger's tables."""

    purchases: list[PurchaseRow] = field(default_factory=list)
    store_versions: list[StoreVersionRow] = field(default_factory=list)
    deliveries: list[DeliveryRow] = field(default_factory=list)
    sale_events: list[SaleEventRow] = field(default_factory=list)
    junk_proofs: list[JunkProofRow] = field(default_factory=list)
    blocks: dict[int, bytes] = field(default_factory=dict)
    """Number and hash of every block with logs."""
    count: int = 0
    """Number of logs, including those that leave no row."""

    def extend(self, other: Rows) -> None:
        """Adds more of the same block; see `sort`."""
        for name in TABLES:
            getattr(self, name).extend(getattr(other, name))
        self.blocks |= other.blocks
        self.count += other.count

    def sort(self) -> None:
        """Brings the rows into the order of the chain."""
        for name in TABLES:
            getattr(self, name).sort(key=itemgetter(0, 2))

    def until(self, block: int) -> Rows:
        """Only what stands in blocks up to ``block``; the count is that of the rows."""
        kept: dict[str, Any] = {
            name: [row for row in getattr(self, name) if row[0] <= block] for name in TABLES
        }
        blocks = {number: found for number, found in self.blocks.items() if number <= block}
        return Rows(**kept, blocks=blocks, count=sum(map(len, kept.values())))
