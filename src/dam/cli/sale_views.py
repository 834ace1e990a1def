"""Sales for programs."""

from __future__ import annotations

from typing import Any

from dam.market.sale_history import Action, SaleRecord
from dam.types import ZERO_ADDRESS, Windows


def sale_json(sale: SaleRecord, windows: Windows, head: int) -> dict[str, Any]:
    """Everything about a sale, for programs. Blocks of actions are those of their transaction."""
    purchase, terms = sale.purchase, sale.purchase.terms
    value: dict[str, Any] = {
        "id": purchase.copy_id,
        "seller": purchase.seller,
        "buyer": purchase.buyer,
        "itemId": terms.item_id,
        "copy": purchase.copy,
        "token": terms.token,
        "price": str(terms.price),
        "penalty": str(terms.penalty),
        "bond": str(terms.effective_bond),
        "arbitrator": None if terms.arbitrator == ZERO_ADDRESS else terms.arbitrator,
        "block": purchase.block,
        "tx": purchase.at.tx_hash,
        "status": sale.status.name.lower(),
        "parts": terms.parts,
        "threshold": terms.threshold,
        "delivered": [
            {"index": f.index, "by": f.by, "block": f.at.block.number}
            for _, f in sorted(sale.delivered.items())
        ],
        "actions": [_action_json(action, head) for action in sale.actions(windows)],
    }
    if sale.closed is not None:
        value["closed"] = {
            "block": sale.closed.at.block.number,
            "by": sale.closed.by,
            "toBuyer": str(sale.closed.to_buyer),
            "penalty": str(sale.closed.penalty),
        }
    if sale.dispute is not None:
        value["dispute"] = {
            "block": sale.dispute.at.block.number,
            "evidence": sale.dispute.evidence,
        }
    return value


def _action_json(action: Action, head: int) -> dict[str, Any]:
    return {
        "action": action.name,
        "who": action.who,
        "first": action.first,
        "last": action.last,
        "now": action.open_at(head + 1),
    }
