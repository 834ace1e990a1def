"""A sale after it was made: finding it, its state in words, and the calls that end it.

Each end is planned first (`Ending`: checked as far as that goes without sending) and then sent by
`end_sale`. Disputes are in `dam.roles.disputes`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from dam.crypto.hashing import escrow_of, sale_of
from dam.errors import Permanent
from dam.ethereum.erc20 import Tokens, read_tokens
from dam.market.client import Market
from dam.market.log_history import History
from dam.market.reputation import stars_of
from dam.market.sale_history import SaleRecord
from dam.market.wallet import Receipt, Wallet, send_call
from dam.types import Address, CopyId, Status, Windows

_ID = re.compile(r"0x[0-9a-f]{6,64}")


# ---------------------------------------------------------------------------------------- finding


def match_id(text: str, known: Iterable[CopyId]) -> CopyId | None:
    """The sale that an id, or the beginning of one, names; None if there is none.

    Raises:
        Permanent: It is no id, or the beginning of several.
    """
    lowered = text.lower()
    if not _ID.fullmatch(lowered):
        raise Permanent("the id of a sale is 0x and 64 hex digits, or its first 6 digits or more")
    found = {copy for copy in known if f"0x{copy.hex()}".startswith(lowered)}
    if len(found) > 1:
        raise Permanent(f"{len(found)} sales begin with {lowered}: give more digits")
    return found.pop() if found else None


def short_id(copy_id: bytes) -> str:
    """The beginning of a sale's id (32 bytes): enough to name it in a command."""
    return "0x" + copy_id.hex()[:16]


def find_sale(history: History, text: str) -> SaleRecord:
    """The sale of an id, or of the beginning of one.

    Raises:
        Permanent: There is none.
    """
    found = match_id(text, history.state.sales)
    if found is None:
        raise Permanent(f"there is no sale {text} on this chain")
    return history.state.sales[found]


async def sale_tokens(market: Market, sales: Iterable[SaleRecord]) -> Tokens:
    """The tokens that sales are priced in."""
    return await read_tokens(market.rpc, {sale.purchase.terms.token for sale in sales})


# --------------------------------------------------------------------------------------- in words


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


def actions_text(
    sale: SaleRecord, windows: Windows, newest: int, who: Sequence[str], skip: Sequence[str] = ()
) -> list[str]:
    """What some parties can do, in words: now and until when, or from when on.

    Args:
        sale: The sale.
        windows: The market's.
        newest: The newest block; what can be done now is in the next one.
        who: Parties, as in `Action.who`.
        skip: Actions to leave out.
    """
    texts = []
    for action in sale.actions(windows):
        if action.who not in who or action.name in skip:
            continue
        until = "" if action.last is None else f" until block {action.last}"
        if action.open_at(newest + 1):
            texts.append(f"{action.name} now{until}")
        elif action.first > newest + 1:
            texts.append(f"{action.name} from block {action.first}{until}")
    return texts


# ----------------------------------------------------------------------------------------- ending


@dataclass(frozen=True, slots=True)
class Ending:
    """How a sale is about to end."""

    function: Literal["confirm", "refund", "concede", "settle"]
    sale: SaleRecord


@dataclass(frozen=True, slots=True)
class Ended:
    """A sale that has ended, and the transaction that did it."""

    ending: Ending
    receipt: Receipt


def plan_confirmation(sale: SaleRecord) -> Ending:
    """The buyer says that the good is right: the seller is paid, no dispute is possible."""
    return Ending("confirm", sale)


def plan_settlement(sale: SaleRecord) -> Ending:
    """Anybody ends a sale whose time to dispute, or to rule, is over: the seller is paid."""
    return Ending("settle", sale)


def plan_refund(sale: SaleRecord, windows: Windows, newest: int) -> Ending:
    """Anybody gives the buyer their money back, and a penalty (`SaleRecord.refund_penalty`).

    Raises:
        Permanent: Parts may still come by block ``newest + 1``, or the sale needs no refund.
    """
    if sale.status != Status.PURCHASED:
        raise Permanent(f"the sale is {sale.status.name.lower()}: there is nothing to refund")
    first = sale.last_delivery(windows) + 1
    if newest + 1 < first:
        raise Permanent(
            f"parts may come until block {first - 1}; a refund is possible from block {first} "
            f"on, and the newest block is {newest}"
        )
    return Ending("refund", sale)


def plan_concession(
    sale: SaleRecord, address: Address, party: Literal["buyer", "seller"]
) -> Ending:
    """A party gives in: the seller gives the money back, or the buyer gives a dispute up.

    Raises:
        Permanent: The address is not that party's.
    """
    check_party(sale, address, party)
    return Ending("concede", sale)


async def end_sale(market: Market, wallet: Wallet, ending: Ending) -> Ended:
    """Sends what was planned, and waits until it is mined; raises as `Wallet.send` does."""
    purchase = ending.sale.purchase
    receipt = await send_call(
        wallet,
        market,
        ending.function,
        purchase.copy_id,
        sale_of(purchase),
        escrow_of(purchase),
    )
    return Ended(ending, receipt)


def check_party(sale: SaleRecord, address: Address, party: Literal["buyer", "seller"]) -> None:
    """Refuses who is not the buyer, or the seller, of a sale.

    Raises:
        Permanent: The address is not that party's.
    """
    purchase = sale.purchase
    if address != (purchase.buyer if party == "buyer" else purchase.seller):
        raise Permanent(f"{address} is not the {party} of this sale")


# ----------------------------------------------------------------------------------------- rating


def check_can_be_rated(history: History, sale: SaleRecord) -> None:
    """Refuses to rate what is not settled, or is rated already.

    Raises:
        Permanent: With the reason.
    """
    if sale.status != Status.SETTLED:
        raise Permanent(
            f"only a settled sale can be rated; this one is {state_text(sale, Tokens())}"
        )
    if sale.copy_id in stars_of(history.logs):
        raise Permanent("the sale is rated already, and a rating stays")


async def rate_sale(
    market: Market, wallet: Wallet, history: History, sale: SaleRecord, stars: int
) -> Receipt:
    """Rates a settled sale, as its buyer, once.

    Args:
        market: The market.
        wallet: The buyer's.
        history: All logs: they tell whether it is rated.
        sale: The sale.
        stars: 1 to 5.

    Raises:
        Permanent: It cannot be rated, or not by this account.
    """
    check_can_be_rated(history, sale)
    check_party(sale, wallet.address, "buyer")
    return await send_call(wallet, market, "rateSale", sale.copy_id, sale_of(sale.purchase), stars)
