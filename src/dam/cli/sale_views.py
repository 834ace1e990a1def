"""Sales for programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from dam.market.reputation import SellerRecord
from dam.market.sale_history import Action, SaleRecord
from dam.types import ZERO_ADDRESS, Clock, Deadlines


def sale_json(sale: SaleRecord, deadlines: Deadlines | None, clock: Clock) -> dict[str, Any]:
    """Everything about a sale, for programs. Times are seconds UTC.

    Args:
        sale: The sale.
        deadlines: What the contract says of it; None where it has ended.
        clock: The contract's.
    """
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
        "purchaseBlock": purchase.purchase_block,
        "purchaseTime": purchase.purchase_time,
        "tx": purchase.at.tx_hash,
        "status": sale.status.name.lower(),
        "parts": terms.parts,
        "threshold": terms.threshold,
        "delivered": [
            {"index": f.index, "by": f.by, "block": f.at.block.number}
            for _, f in sorted(sale.delivered.items())
        ],
        "junk": [
            {
                "index": proof.index,
                "deliverer": proof.deliverer,
                "cleared": proof.cleared,
                "taken": str(proof.taken),
                "bounty": str(proof.bounty),
                "block": proof.at.block.number,
            }
            for proof in sale.junk
        ],
        "deadlines": None,
        "actions": [],
    }
    if deadlines is not None:
        value["deadlines"] = {_camel(name): at for name, at in asdict(deadlines).items()}
        value["actions"] = [_action_json(action, clock) for action in sale.actions(deadlines)]
    if sale.closed is not None:
        value["closed"] = {
            "block": sale.closed.at.block.number,
            "by": None if sale.closed.by == ZERO_ADDRESS else sale.closed.by,
            "toBuyer": str(sale.closed.to_buyer),
            "penalty": str(sale.closed.penalty),
        }
    if sale.dispute is not None:
        value["dispute"] = {
            "block": sale.dispute.at.block.number,
            "evidence": sale.dispute.evidence,
        }
    return value


def seller_record_json(record: SellerRecord) -> dict[str, Any]:
    """How a seller's sales ended, for programs."""
    rating = record.rating
    return {
        "rating": {
            "count": rating.count,
            "tenths": rating.tenths,
            "feesToOthers": str(rating.weight),
        },
        "ended": record.ended,
        "refunds": record.refunds,
        "conceded": record.conceded,
        "faults": record.faults,
        "lost": record.lost,
        "agreed": record.agreed,
    }


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))


def _action_json(action: Action, clock: Clock) -> dict[str, Any]:
    return {
        "action": action.name,
        "who": action.who,
        "first": action.first,
        "firstBlock": action.first_block,
        "last": action.last,
        "now": action.open_at(clock),
    }
