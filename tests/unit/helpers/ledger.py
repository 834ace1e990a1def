"""What a ledger knows, asked apart from what is tested."""

from __future__ import annotations

import json
from typing import Any

from dam.ledger.documents import Document, Documents
from dam.ledger.ledger import Binding, Ledger
from dam.market.log_rows import signed
from dam.types import Address, Purchase

BINDING = Binding(31337, Address("0x" + "11" * 20), Address("0x" + "22" * 20), "deliverer")


def buyer_of(ledger: Ledger, seller: Address, item_id: bytes, copy: int, index: int) -> int | None:
    """Row id of the canonical purchase that a part was sealed for, if it is still here."""
    row = ledger.db.execute(
        "SELECT purchase FROM seals WHERE seller = ? AND item_id = ? AND copy = ? "
        "AND part_index = ? AND orphaned = 0",
        (seller, item_id, signed(copy), index),
    ).fetchone()
    return None if row is None else int(row["purchase"])


def root_in_force(ledger: Ledger, purchase: Purchase) -> bytes | None:
    """Catalogue root of the store version that ``purchase`` was made under, if it is known."""
    row = ledger.db.execute(
        "SELECT digest, root FROM store_versions WHERE seller = ? "
        "AND (block, log_index) < (?, ?) ORDER BY block DESC, log_index DESC LIMIT 1",
        (purchase.seller, purchase.at.block.number, purchase.at.log_index),
    ).fetchone()
    # The contract let the purchase pass only under the version in force.
    if row is None or row["digest"] != purchase.store_digest:
        return None
    return bytes(row["root"])


def journal_of(ledger: Ledger, *events: str) -> list[dict[str, Any]]:
    """What was written down, the oldest first; only ``events`` if any are named."""
    rows = ledger.db.execute("SELECT at, event, detail FROM journal ORDER BY id")
    return [
        {"at": row["at"], "event": row["event"], **json.loads(row["detail"])}
        for row in rows
        if not events or row["event"] in events
    ]


def document_of(ledger: Ledger, seller: Address, digest: bytes, root: bytes) -> Document | None:
    """The document of a store version, if it was ever wanted."""
    found = Documents(ledger)._select(
        "documents WHERE seller = ? AND digest = ? AND root = ?", seller, digest, root
    )
    return found[0] if found else None
