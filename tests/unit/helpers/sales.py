"""What a ledger knows of one sale, asked apart from what is tested."""

from __future__ import annotations

from dam.ledger.ledger import Ledger
from dam.market.log_rows import signed
from dam.types import Address, Purchase


def buyer_of(ledger: Ledger, seller: Address, item_id: bytes, copy: int, index: int) -> int | None:
    """Row id of the canonical purchase that a part was sealed for, if it is still here."""
    row = ledger.db.execute(
        "SELECT purchase FROM sealed WHERE seller = ? AND item_id = ? AND copy = ? "
        "AND idx = ? AND orphaned = 0",
        (seller, item_id, signed(copy), index),
    ).fetchone()
    return None if row is None else int(row["purchase"])


def root_in_force(ledger: Ledger, purchase: Purchase) -> bytes | None:
    """Catalogue root of the store version that ``purchase`` was made under, if it is known."""
    row = ledger.db.execute(
        "SELECT digest, root FROM versions WHERE seller = ? AND (block, log_index) < (?, ?) "
        "ORDER BY block DESC, log_index DESC LIMIT 1",
        (purchase.seller, purchase.block, purchase.at.log_index),
    ).fetchone()
    # The contract let the purchase pass only under the version in force.
    if row is None or row["digest"] != purchase.store_digest:
        return None
    return bytes(row["root"])
