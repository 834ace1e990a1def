"""Sales on the command line: finding one by its id, closing one, and telling its state."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from dam.cli.session import Session, hexed
from dam.crypto.hashing import escrow_of, sale_of
from dam.errors import Permanent
from dam.ethereum.erc20 import Tokens, read_tokens
from dam.market.log_history import History
from dam.market.sale_history import Action, SaleRecord
from dam.sending.transactions import Receipt
from dam.types import ZERO_ADDRESS, CopyId, Status, Windows

if TYPE_CHECKING:
    from dam.keystore.ape_accounts import Signer

_ID = re.compile(r"0x[0-9a-f]{6,64}")


def match_id(text: str, known: Iterable[CopyId]) -> CopyId | None:
    """The sale that an id, or the beginning of one, names; None if there is none.

    Raises:
        Permanent: It is no id, or the beginning of several.
    """
    lowered = text.lower()
    if not _ID.fullmatch(lowered):
        raise Permanent("the id of a sale is 0x and 64 hex digits, or its first 6 digits or more")
    found = {copy for copy in known if hexed(copy).startswith(lowered)}
    if len(found) > 1:
        raise Permanent(f"{len(found)} sales begin with {lowered}: give more digits")
    return found.pop() if found else None


def find_sale(history: History, text: str) -> SaleRecord:
    """The sale of an id.

    Raises:
        Permanent: There is none.
    """
    found = match_id(text, history.book.sales)
    if found is None:
        raise Permanent(f"there is no sale {text} on this chain")
    return history.book.sales[found]


async def sale_tokens(session: Session, sales: Iterable[SaleRecord]) -> Tokens:
    """The tokens that sales are priced in."""
    return await read_tokens(session.rpc, {sale.purchase.terms.token for sale in sales})


async def close(session: Session, signer: Signer, function: str, sale: SaleRecord) -> Receipt:
    """Sends ``confirm``, ``settle``, ``refund`` or ``concede``."""
    purchase = sale.purchase
    return await session.send(
        signer, function, purchase.copy_id, sale_of(purchase), escrow_of(purchase)
    )


def state_text(sale: SaleRecord, tokens: Tokens) -> str:
    """The state in a word or two."""
    terms = sale.purchase.terms
    if sale.status == Status.PURCHASED:
        return f"waiting for parts ({len(sale.delivered)} of {terms.threshold})"
    if sale.status == Status.COMPLETE:
        return "complete"
    if sale.closed is not None and sale.status == Status.RESOLVED:
        back = tokens.text(terms.token, sale.closed.to_buyer)
        return f"ruled: {back} back to the buyer"
    return sale.status.name.lower()


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


def doable(
    sale: SaleRecord, windows: Windows, head: int, who: Sequence[str], skip: Sequence[str] = ()
) -> list[str]:
    """What some parties can do, in words: now and until when, or from when on."""
    told = []
    for action in sale.actions(windows):
        if action.who not in who or action.name in skip:
            continue
        until = "" if action.last is None else f" until block {action.last}"
        if action.open_at(head + 1):
            told.append(f"{action.name} now{until}")
        elif action.first > head + 1:
            told.append(f"{action.name} from block {action.first}{until}")
    return told
