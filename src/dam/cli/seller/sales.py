"""``dam seller sales`` and ``dam seller concede``."""

from __future__ import annotations

from typing import Any

import click

from dam.cli.sale_views import sale_json
from dam.cli.session import (
    account_option,
    address_option,
    asynchronous,
    confirm_or_abort,
    connect,
    json_option,
    open_signer,
    print_result,
    receipt_json,
    role_address,
    table,
    to_hex,
    yes_option,
)
from dam.config.settings import Settings
from dam.errors import ConfigError, Malformed
from dam.market.log_history import History, read_history
from dam.market.reputation import Rating, bound_stake, ratings, stake_bound_by, stars_of
from dam.roles.sales import (
    actions_text,
    end_sale,
    find_sale,
    plan_concession,
    sale_tokens,
    state_text,
)
from dam.roles.seller.listings import Catalogue, Listing
from dam.types import Address
from dam.units import format_amount


@click.command()
@click.option("--open", "only_open", is_flag=True, help="Only sales that are not final.")
@account_option
@address_option
@json_option
@asynchronous
async def sales(
    only_open: bool, account: str | None, address: Address | None, as_json: bool
) -> None:
    """Lists the seller's sales: state, and what can be done until which block."""
    settings = Settings.load()
    who = address or role_address(settings, "seller", account)
    windows = settings.deployment.windows
    async with connect(settings) as session:
        history = await read_history(session.market)
        free = await session.market.seller_stake(who)
        found = [s for s in history.state.sales.values() if s.purchase.seller == who]
        tokens = await sale_tokens(session.market, found)
    if only_open:
        found = [s for s in found if not s.status.final]
    shelves = _shelves(settings, who, history)
    names = _names(settings)
    stars, rating = stars_of(history.logs), ratings(history.logs).get(who, Rating(0, 0))
    bound = bound_stake(history.state, who)
    values = [
        {
            **sale_json(s, windows, history.head),
            "item": names.get(s.purchase.terms.item_id),
            "bound": str(stake_bound_by(s)),
            "stars": stars.get(s.copy_id),
        }
        for s in found
    ]
    rows = [
        (
            to_hex(s.copy_id)[:18],
            names.get(s.purchase.terms.item_id, to_hex(s.purchase.terms.item_id)[:10]),
            s.purchase.copy + 1,
            tokens.text(s.purchase.terms.token, s.purchase.terms.price),
            f"block {s.purchase.block}",
            state_text(s, tokens),
            format_amount(stake_bound_by(s)) if stake_bound_by(s) else "",
            "; ".join(actions_text(s, windows, history.head, ("seller", "anyone"), ("supply",))),
        )
        for s in found
    ]
    head = ("sale", "item", "copy", "price", "bought", "state", "bound", "what you can do")
    human = table(head, rows) if rows else "No sales yet."
    for shelf in shelves:
        human += f"\n{shelf['item']}: {shelf['sold']} sold, {shelf['free']} free"
        human += "" if shelf["listed"] else " (off sale)"
    human += f"\nRating {rating}. Stake: {format_amount(bound)} bound in open sales, "
    human += f"{format_amount(free)} free; the newest block is {history.head}."
    value = {
        "block": history.head,
        "free": str(free),
        "bound": str(bound),
        "rating": {"count": rating.count, "stars": rating.stars},
        "items": shelves,
        "sales": values,
        "tokens": tokens.json(),
    }
    print_result(value, as_json, human)


def _shelves(settings: Settings, seller: Address, history: History) -> list[dict[str, Any]]:
    """Sold and free copies of each item in the catalogue, from events."""
    found = []
    for listing in _listings(settings):
        taken = history.state.taken(seller, listing.item_id)
        sold = sum(copy < listing.supply for copy in taken)
        found.append(
            {
                "item": listing.name,
                "listed": listing.listed,
                "supply": listing.supply,
                "sold": sold,
                "free": listing.supply - sold,
            }
        )
    return found


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
    """Gives in: the buyer gets the money back, and of a disputed sale penalty and bonds, too."""
    settings = Settings.load()
    signer = open_signer(settings, "seller", account)
    async with connect(settings) as session:
        sale = find_sale(await read_history(session.market), sale_id)
        ending = plan_concession(sale, signer.address, "seller")
        terms = sale.purchase.terms
        tokens = await sale_tokens(session.market, [sale])
        confirm_or_abort(f"Give {tokens.text(terms.token, terms.price)} back?", yes or as_json)
        receipt = (await end_sale(session.market, session.wallet(signer), ending)).receipt
    print_result(
        {"id": sale.copy_id, **receipt_json(receipt)},
        as_json,
        f"Conceded {receipt}.",
    )
