"""``dam seller sales`` and ``dam seller concede``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from dam.cli.markets import every_market
from dam.cli.sale_views import sale_json, seller_record_json
from dam.cli.session import (
    account_option,
    address_option,
    asynchronous,
    confirm_or_abort,
    connect,
    json_option,
    open_signer,
    print_note,
    print_result,
    receipt_json,
    role_address,
    table,
    to_hex,
    yes_option,
)
from dam.config.settings import Settings
from dam.errors import ConfigError, Malformed
from dam.index.index import Index, Synced
from dam.index.sale_reader import SellerSales, read_seller_sales, read_taken
from dam.market.client import Market
from dam.market.log_history import read_deadlines, read_deadlines_of, read_history
from dam.market.reputation import stake_bound_by
from dam.market.sale_history import SaleRecord
from dam.roles.sales import (
    actions_text,
    concession_lines,
    end_sale,
    find_sale,
    plan_concession,
    sale_tokens,
    short_id,
    state_text,
)
from dam.roles.seller.listings import Catalogue, Listing
from dam.roles.seller.supplying import wanted_supplies
from dam.types import Address, Clock, Deadlines
from dam.units import format_amount, format_time


@click.command()
@click.option("--open", "only_open", is_flag=True, help="Only sales that are not final.")
@account_option
@address_option
@json_option
@every_market
@asynchronous
async def sales(
    only_open: bool, account: str | None, address: Address | None, as_json: bool
) -> None:
    """Lists the seller's sales: state, and what can be done until when."""
    settings = Settings.load()
    who = address or role_address(settings, "seller", account)
    async with connect(settings) as session:
        own = await session.indexed(
            lambda index: read_own_sales(
                index, session.market, who, _listings(settings), only_open=only_open
            )
        )
        free = await session.market.seller_stake(who)
        found, stars = own.sold.sales, own.sold.stars
        tokens = await sale_tokens(session.market, found)
        clock, block = own.synced.clock, own.synced.head.number
        deadlines = await read_deadlines(session.market, block, found)
    names = _names(settings)
    values = [
        {
            **sale_json(s, deadlines.get(s.copy_id), clock),
            "item": names.get(s.purchase.terms.item_id),
            "bound": str(stake_bound_by(s)),
            "stars": stars.get(s.copy_id),
        }
        for s in found
    ]
    rows = [
        (
            short_id(s.copy_id),
            names.get(s.purchase.terms.item_id, to_hex(s.purchase.terms.item_id)[:10]),
            s.purchase.copy + 1,
            tokens.text(s.purchase.terms.token, s.purchase.terms.price),
            format_time(s.purchase.purchase_time),
            state_text(s, tokens),
            format_amount(stake_bound_by(s)) if stake_bound_by(s) else "",
            "; ".join(_can(s, deadlines.get(s.copy_id), clock)),
        )
        for s in found
    ]
    head = ("sale", "item", "copy", "price", "bought", "state", "bound", "what you can do")
    human = table(head, rows) if rows else "No sales yet."
    for shelf in own.shelves:
        human += f"\n{shelf['item']}: {shelf['sold']} sold, {shelf['free']} free"
        human += "" if shelf["listed"] else " (off sale)"
    human += (
        f"\nRecord: {own.sold.record}. Stake: {format_amount(own.sold.bound)} bound in open sales, "
    )
    human += f"{format_amount(free)} free."
    human += f"\nOn the chain it is {format_time(clock.time)}, in block {block}."
    value = {
        "block": block,
        "free": str(free),
        "bound": str(own.sold.bound),
        "record": seller_record_json(own.sold.record),
        "items": own.shelves,
        "sales": values,
        "tokens": tokens.json(),
    }
    print_result(value, as_json, human)


def _can(sale: SaleRecord, deadlines: Deadlines | None, clock: Clock) -> list[str]:
    """What the seller can do, and ask the buyer for.

    A part of a deliverer's that does not open is proved by the buyer, in time, and then replaced;
    publishing it again before that would spare the deliverer the fine.
    """
    skip = () if wanted_supplies(sale) else ("supply",)
    can = actions_text(sale, deadlines, clock, ("seller", "both", "anyone"), skip)
    others = any(part.by != sale.purchase.seller for part in sale.delivered.values())
    if deadlines and others and clock.time < deadlines.proof:
        until = format_time(deadlines.proof)
        can.append(f"if a part does not open, ask the buyer for `dam buyer prove` until {until}")
    return can


@dataclass(frozen=True)
class OwnSales:
    """A seller's sales, and what is left of each item."""

    synced: Synced
    sold: SellerSales
    shelves: list[dict[str, Any]]


async def read_own_sales(
    index: Index,
    market: Market,
    seller: Address,
    listings: Sequence[Listing],
    *,
    only_open: bool,
) -> OwnSales:
    """From an index that is brought up to date first."""
    synced = await index.sync(market)
    sold = read_seller_sales(index.db, seller, only_open=only_open)
    return OwnSales(synced, sold, [_shelf(index, seller, listing) for listing in listings])


def _shelf(index: Index, seller: Address, listing: Listing) -> dict[str, Any]:
    """Sold and free copies of an item in the catalogue."""
    taken = read_taken(index.db, seller, listing.item_id)
    sold = sum(copy < listing.supply for copy in taken)
    return {
        "item": listing.name,
        "listed": listing.listed,
        "supply": listing.supply,
        "sold": sold,
        "free": listing.supply - sold,
    }


def _listings(settings: Settings) -> list[Listing]:
    if not settings.catalogue.exists():
        return []
    try:
        return list(Catalogue(settings.catalogue).all())
    except (ConfigError, Malformed):
        return []


def _names(settings: Settings) -> dict[bytes, str]:
    return {item.item_id: item.name for item in _listings(settings)}


@click.command()
@click.argument("sale_id", metavar="ID")
@account_option
@yes_option
@json_option
@asynchronous
async def concede(sale_id: str, account: str | None, yes: bool, as_json: bool) -> None:
    """Gives in: the buyer gets the money back and the penalty; of a dispute the bonds, too.

    From a third of the arbitrator's time on the seller's bond goes to the arbitrator.
    """
    settings = Settings.load()
    signer = open_signer(settings, "seller", account)
    async with connect(settings) as session:
        history = await read_history(session.market)
        sale = find_sale(history, sale_id)
        times = await read_deadlines_of(session.market, history, sale)
        ending = plan_concession(sale, signer.address, "seller", times, history.clock)
        tokens = await sale_tokens(session.market, [sale])
        for line in concession_lines(ending, times, tokens):
            print_note(line)
        confirm_or_abort("Give in?", yes or as_json)
        receipt = (await end_sale(session.market, session.wallet(signer), ending)).receipt
    print_result(
        {"id": sale.copy_id, "bondTo": ending.bond_to or None, **receipt_json(receipt)},
        as_json,
        f"Conceded {receipt}.",
    )
