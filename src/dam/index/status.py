"""What is in an index, in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dam.index.index import Index
from dam.types import ZERO32, Address, BlockRef


@dataclass(frozen=True, slots=True)
class UnreadStore:
    """An open store whose document could not be read, and why."""

    seller: Address
    reason: str
    final: bool
    """Whether it breaks a rule, so that it is never read again."""


@dataclass(frozen=True, slots=True)
class IndexStatus:
    """What is in an index, as of its cursor."""

    path: Path
    cursor: BlockRef | None
    """The last block that was read."""
    sales: int
    stores: int
    """Open ones."""
    items: int
    hidden: int
    """Items over the budgets of their stores."""
    waiting: int
    """Documents that nobody tried to read yet."""
    unread: tuple[UnreadStore, ...]
    bytes: int
    """Of the file and its journal."""


def read_status(index: Index) -> IndexStatus:
    """Counts what is in an index."""

    def count(what: str, *values: object) -> int:
        return int(index.db.execute(f"SELECT {what}", values).fetchone()[0])

    files = (Path(f"{index.path}{suffix}") for suffix in ("", "-wal"))
    return IndexStatus(
        path=index.path,
        cursor=index.cursor(),
        sales=count("count(*) FROM sales"),
        stores=count("count(*) FROM stores WHERE root != ?", ZERO32),
        items=count("count(*) FROM items"),
        hidden=count("coalesce(sum(hidden), 0) FROM stores"),
        waiting=count_waiting(index),
        unread=unread_stores(index),
        bytes=sum(file.stat().st_size for file in files if file.exists()),
    )


def count_waiting(index: Index) -> int:
    """How many documents nobody tried to read yet."""
    [[count]] = index.db.execute(
        "SELECT count(*) FROM stores WHERE document IS NULL AND reason = '' AND root != ?",
        (ZERO32,),
    ).fetchall()
    return int(count)


def has_items(index: Index) -> bool:
    """Whether any document with an item was read."""
    return index.db.execute("SELECT 1 FROM items LIMIT 1").fetchone() is not None


def closed_stores(index: Index) -> tuple[Address, ...]:
    """Sellers who have closed their stores."""
    rows = index.db.execute(
        "SELECT address FROM stores JOIN accounts ON accounts.id = seller WHERE root = ?", (ZERO32,)
    )
    return tuple(seller for (seller,) in rows)


def unread_stores(index: Index, *, seller: Address | None = None) -> tuple[UnreadStore, ...]:
    """Open stores whose documents could not be read.

    Args:
        index: The index.
        seller: Only this seller's.
    """
    rows = index.db.execute(
        "SELECT address, reason, next_try IS NULL FROM stores "
        "JOIN accounts ON accounts.id = seller WHERE document IS NULL AND reason != '' "
        "AND (? IS NULL OR address = ?) ORDER BY grade, since",
        (seller, seller),
    )
    return tuple(UnreadStore(who, reason, bool(final)) for who, reason, final in rows)
