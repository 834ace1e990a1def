"""A sale after it was made: finding it, its state in words, and the calls that end it.

Each end is planned first (`Ending`: checked as far as that goes without sending) and then sent by
`end_sale`. Disputes are in `dam.roles.disputes`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from dam.crypto.hashing import closing_arguments, sale_of
from dam.errors import Permanent
from dam.ethereum.erc20 import Tokens, read_tokens
from dam.market.client import Market
from dam.market.log_history import History
from dam.market.reputation import stars_of
from dam.market.sale_history import SaleRecord
from dam.market.wallet import Receipt, Wallet, send_call
from dam.types import Address, Clock, CopyId, Deadlines, Status
from dam.units import format_amount, format_span, format_time

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
        junk = f", {len(sale.junk)} proved to be junk" if sale.junk else ""
        return f"waiting for parts ({len(sale.delivered)} of {terms.threshold}{junk})"
    if sale.closed is not None and sale.status in (Status.RESOLVED, Status.AGREED):
        back = tokens.text(terms.token, sale.closed.to_buyer)
        word = "ruled" if sale.status == Status.RESOLVED else "agreed"
        return f"{word}: {back} back to the buyer"
    return sale.status.name.lower()


def actions_text(
    sale: SaleRecord,
    deadlines: Deadlines | None,
    clock: Clock,
    who: Sequence[str],
    skip: Sequence[str] = (),
) -> list[str]:
    """What some parties can do, in words: now and until when, or from when on.

    Args:
        sale: The sale.
        deadlines: What the contract says of it; None where it has ended.
        clock: The contract's; what can be done now is in the block after it.
        who: Parties, as in `Action.who`.
        skip: Actions to leave out.
    """
    texts = []
    for action in sale.actions(deadlines) if deadlines else []:
        if action.who not in who or action.name in skip:
            continue
        if action.last is not None and action.last < clock.time + 1:
            continue
        until = "" if action.last is None else f" until {_moment(action.last, clock)}"
        if action.open_at(clock):
            texts.append(f"{action.name} now{until}")
        elif action.first > clock.time + 1:
            texts.append(f"{action.name} from {_moment(action.first, clock)}{until}")
        elif action.first_block > clock.block + 1:
            texts.append(f"{action.name} from block {action.first_block}{until}")
    return texts


def _moment(seconds: int, clock: Clock) -> str:
    return f"{format_time(seconds)} (in {format_span(seconds - clock.time)})"


# ----------------------------------------------------------------------------------------- ending


@dataclass(frozen=True, slots=True)
class Ending:
    """How a sale is about to end."""

    function: Literal["confirm", "refund", "concede", "settle"]
    sale: SaleRecord
    by: Literal["", "buyer", "seller"] = ""
    """Who concedes."""
    bond_to: Literal["", "buyer", "seller", "arbitrator"] = ""
    """Who gets the bond of the side that concedes a dispute."""


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


def plan_refund(sale: SaleRecord, deadlines: Deadlines | None, clock: Clock) -> Ending:
    """Anybody gives the buyer their money back, and the whole penalty, however many parts came.

    Raises:
        Permanent: Parts may still come in the next block, or the sale needs no refund.
    """
    if sale.status != Status.PURCHASED or deadlines is None:
        raise Permanent(f"the sale is {sale.status.name.lower()}: there is nothing to refund")
    first = deadlines.refund_from
    if clock.time + 1 < first:
        raise Permanent(
            f"parts may come until {format_time(first - 1)}; a refund is possible from then on, "
            f"in {format_span(first - clock.time)}"
        )
    return Ending("refund", sale)


def plan_concession(
    sale: SaleRecord,
    address: Address,
    party: Literal["buyer", "seller"],
    deadlines: Deadlines | None,
    clock: Clock,
) -> Ending:
    """A party gives in: the seller gives price and penalty, or the buyer gives a dispute up.

    Of a dispute whose arbitrator had a third of the time already, the bond is the arbitrator's.

    Raises:
        Permanent: The address is not that party's, or there is nothing (any more) to give up.
    """
    check_party(sale, address, party)
    states = [Status.DISPUTED] if party == "buyer" else [Status.COMPLETE, Status.DISPUTED]
    if sale.status not in states or deadlines is None:
        raise Permanent(
            f"the sale is {sale.status.name.lower()}: in that state the {party} concedes nothing"
        )
    if sale.status != Status.DISPUTED:
        return Ending("concede", sale, party)
    if clock.time + 1 > deadlines.ruling:
        raise Permanent(
            "the time to rule is over, and to concede with it: `dam settle` ends the sale"
        )
    if clock.time + 1 >= deadlines.arbitrator_paid_from:
        return Ending("concede", sale, party, "arbitrator")
    return Ending("concede", sale, party, "seller" if party == "buyer" else "buyer")


def concession_lines(ending: Ending, deadlines: Deadlines | None, tokens: Tokens) -> list[str]:
    """What a concession costs and brings, a line each.

    Args:
        ending: From `plan_concession`.
        deadlines: What the contract says of the sale.
        tokens: The sale's among them.
    """
    terms = ending.sale.purchase.terms
    bond = format_amount(terms.effective_bond)
    price, penalty = tokens.text(terms.token, terms.price), format_amount(terms.penalty)
    lines = [f"The seller gets {price}"]
    if ending.by == "seller":
        lines = [f"The buyer gets {price} back, and {penalty} of penalty"]
    if ending.bond_to == "arbitrator":
        lines.append(
            f"The arbitrator had a third of the time to rule, and gets your bond of {bond}"
        )
    elif ending.bond_to and deadlines is not None:
        when = format_time(deadlines.arbitrator_paid_from)
        lines += [
            f"The {ending.bond_to} gets your bond of {bond}, too",
            f"From {when} on, the arbitrator gets it instead",
        ]
    return lines


async def end_sale(market: Market, wallet: Wallet, ending: Ending) -> Ended:
    """Sends what was planned, and waits until it is mined; raises as `Wallet.send` does."""
    arguments = closing_arguments(ending.sale.purchase)
    receipt = await send_call(wallet, market, ending.function, *arguments)
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
    """Refuses to rate what has not ended, or is rated already.

    Raises:
        Permanent: With the reason.
    """
    if not sale.status.final:
        raise Permanent(
            f"a sale is rated once it has ended; this one is {state_text(sale, Tokens())}"
        )
    if sale.copy_id in stars_of(history.logs):
        raise Permanent("the sale is rated already, and a rating stays")


async def rate_sale(
    market: Market, wallet: Wallet, history: History, sale: SaleRecord, stars: int
) -> Receipt:
    """Rates a sale that ended, however, as its buyer, once.

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
