"""``dam buyer browse`` and ``dam buyer show``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, cast

import click

from dam.catalog.about import About, to_json
from dam.cli.markets import every_market
from dam.cli.sale_views import seller_record_json
from dam.cli.session import ADDRESS, asynchronous, connect, json_option, print_note, print_result
from dam.cli.session import table as make_table
from dam.errors import Malformed
from dam.ethereum.erc20 import Tokens, read_tokens
from dam.index.index import Index
from dam.index.search import Hit, Query, Sort, StoreHit
from dam.ipfs.cid import Cid
from dam.market.client import Market
from dam.roles import storefront
from dam.roles.storefront import Listing, Offer
from dam.types import ZERO_ADDRESS, Address, Terms, Wei
from dam.units import format_amount

_HEAD = ("item", "title", "price", "left", "parts", "if it never comes", "arbitrator")


@click.command()
@click.argument("text", nargs=-1)
@click.option("--seller", type=ADDRESS, help="Only this seller's store.")
@click.option(
    "--sort",
    type=click.Choice(["best", "price", "new", "rating"]),
    default="best",
    show_default=True,
    help="best: what sellers with a good record offer first.",
)
@click.option("--max", "most", metavar="PRICE", help="At most so much, in coins or in --token.")
@click.option("--token", type=ADDRESS, help="Only what is priced in this token.")
@click.option("--page", type=click.IntRange(1), help="Which page.  [default: 1; with --json all]")
@json_option
@every_market
@asynchronous
async def browse(
    text: tuple[str, ...],
    seller: Address | None,
    sort: str,
    most: str | None,
    token: Address | None,
    page: int | None,
    as_json: bool,
) -> None:
    """Lists what is for sale; with TEXT what has all of these words, or words that begin so.

    It comes from the local index, which is brought up to date first. What can be bought stands
    before what a seller's stake is too low for.
    """
    number = page if as_json else page or 1

    async def work(index: Index) -> Listing:
        price = None if most is None else await _read_price(session.market, most, token)
        query = Query(" ".join(text), cast(Sort, sort), price, token, seller)
        return await storefront.browse(
            index, session.market, session.blocks, query, page=number, notice=print_note
        )

    async with connect() as session:
        found = await session.indexed(work)
    sorted_by_store = sort == "best" and not text
    print_result(_listing_json(found), as_json, _listing_text(found, by_store=sorted_by_store))


async def _read_price(market: Market, text: str, token: Address | None) -> int:
    named = ZERO_ADDRESS if token is None else token
    try:
        return (await read_tokens(market.rpc, {named}))[named].parse(text)
    except Malformed as error:
        raise click.BadParameter(str(error), param_hint="--max") from None


def _listing_json(found: Listing) -> dict[str, Any]:
    stores: dict[Address, dict[str, Any]] = {}
    for rank, hit in enumerate(found.found.hits, 1):
        store = stores.setdefault(hit.store.seller, _store_json(hit.store, found))
        store["items"].append({"rank": rank, **_hit_json(hit)})
    return {
        "block": found.block,
        "page": found.page,
        "pages": found.pages,
        "stores": list(stores.values()),
        "unreadable": [{"seller": u.seller, "reason": u.reason} for u in found.unreadable],
        "waiting": found.waiting,
        "closed": found.closed,
    }


def _store_json(store: StoreHit, found: Listing) -> dict[str, Any]:
    mine = {hit.terms.token for hit in found.found.hits if hit.store.seller == store.seller}
    return {
        "seller": store.seller,
        "name": store.name,
        "cid": str(Cid("dag-json", store.digest)),
        "freeStake": str(store.free_stake),
        "boundStake": str(store.bound_stake),
        "record": seller_record_json(store.record),
        "tokens": Tokens({token: found.tokens[token] for token in mine}).json(),
        "items": [],
    }


def _hit_json(hit: Hit) -> dict[str, Any]:
    return {
        **_terms_json(hit.terms, hit.taken, hit.free),
        "id": hit.name,
        "title": hit.title,
        "backed": hit.backed,
        "since": hit.since,
        "summary": hit.summary,
        "tags": hit.tags,
    }


def _terms_json(terms: Terms, taken: int, free: int) -> dict[str, Any]:
    return {
        "itemId": terms.item_id,
        "price": str(terms.price),
        "token": terms.token,
        "commission": str(terms.commission),
        "penalty": str(terms.penalty),
        "bond": str(terms.effective_bond),
        "supply": terms.supply,
        "free": free,
        "sold": taken,
        "stock": terms.stock,
        "parts": terms.parts,
        "threshold": terms.threshold,
        "arbitrator": None if terms.arbitrator == ZERO_ADDRESS else terms.arbitrator,
        "partsRoot": terms.parts_root,
    }


def _listing_text(found: Listing, *, by_store: bool) -> str:
    hits = found.found.hits
    if not hits:
        return "No store can be read." if found.unreadable else "Nothing is for sale."
    if by_store:
        stores = {hit.store.seller: hit.store for hit in hits}
        text = "\n\n".join(
            f"{store.name}  of  {seller}  {store.record}\n"
            + make_table(_HEAD, [_row(h, found.tokens) for h in hits if h.store.seller == seller])
            for seller, store in stores.items()
        )
    else:
        rows = [(*_row(hit, found.tokens), hit.store.seller) for hit in hits]
        text = make_table((*_HEAD, "seller"), rows)
    if found.page is not None and found.pages > 1:
        text += f"\n\nPage {found.page} of {found.pages}"
        text += f": --page {found.page + 1} has more" * (found.page < found.pages)
    return text + "\n\nNext: dam buyer buy SELLER ITEM"


def _row(hit: Hit, tokens: Tokens) -> tuple[str, ...]:
    terms = hit.terms
    stock = f"{hit.free} of {terms.supply}" if hit.free else "sold out"
    return (
        hit.name,
        hit.title,
        tokens.text(terms.token, terms.price),
        stock if hit.backed else f"{stock} (seller's stake too low now)",
        f"{terms.threshold} of {terms.parts}",
        format_amount(terms.penalty),
        "none" if terms.arbitrator == ZERO_ADDRESS else terms.arbitrator,
    )


# ------------------------------------------------------------------------------------------- show


@click.command()
@click.argument("seller", type=ADDRESS)
@click.argument("item")
@json_option
@asynchronous
async def show(seller: Address, item: str, as_json: bool) -> None:
    """Shows all that is known of ITEM of SELLER; the document is read and checked.

    ITEM is its id, or the 0x-hex of its hash.
    """

    async def work(index: Index) -> Offer:
        return await storefront.read_offer(index, session.market, session.blocks, seller, item)

    async with connect() as session:
        offer = await session.indexed(work)
        current, free, _ = await session.market.standing(seller, [])
        storefront.check_current(offer.version, current)
        token = offer.item.terms.token
        tokens = await read_tokens(session.market.rpc, {token})
    print_result(
        _offer_json(offer, free, tokens), as_json, "\n".join(_offer_lines(offer, free, tokens))
    )


def _offer_json(offer: Offer, free: Wei, tokens: Tokens) -> dict[str, Any]:
    terms = offer.item.terms
    return {
        "block": offer.synced.head.number,
        "seller": offer.store.seller,
        "store": offer.store.name,
        "cid": str(Cid("dag-json", offer.store.digest)),
        "root": offer.store.root,
        **_terms_json(terms, sum(copy < terms.supply for copy in offer.taken), offer.free),
        "id": offer.item.name,
        "title": offer.item.title,
        "freeStake": str(free),
        "boundStake": str(offer.bound_stake),
        "backed": free >= terms.reserve,
        "record": seller_record_json(offer.seller_record),
        "arbiterRecord": {
            "cases": offer.arbiter.cases,
            "rulings": offer.arbiter.rulings,
            "silences": offer.arbiter.silences,
        },
        "about": to_json(offer.item.about),
        "metadata": offer.item.metadata,
        "tokens": tokens.json(),
    }


def _description(about: About) -> Iterable[str]:
    if about.description:
        yield ""
        yield "The seller says:"
        # Further in: no line of it passes for one of ours.
        yield from (f"    {line}".rstrip() for line in about.description.split("\n"))


def _about_rows(about: About) -> list[tuple[str, str]]:
    """What the seller says of the good; nothing vouches for it."""
    file = ", ".join(
        part
        for part in (
            about.file_name,
            about.media_type,
            "" if about.size is None else f"{about.size:,} bytes",
        )
        if part
    )
    rows = [
        ("Summary", about.summary),
        ("Kind", about.kind),
        ("File", file),
        ("Language", about.language),
        ("Licence", about.licence),
        ("Tags", ", ".join(about.tags)),
    ]
    return [row for row in rows if row[1]]


def _offer_lines(offer: Offer, free: Wei, tokens: Tokens) -> Iterable[str]:
    item, terms = offer.item, offer.item.terms
    arbitrator = "NONE: nobody could give you the money back for a worthless good"
    if terms.arbitrator != ZERO_ADDRESS:
        bond = format_amount(terms.effective_bond)
        arbitrator = f"{terms.arbitrator} (a dispute takes {bond}; so far {offer.arbiter})"
    stake = f"{format_amount(free)} free, {format_amount(offer.bound_stake)} in open sales"
    if free < terms.reserve:
        stake += f": too little for one more sale, which needs {format_amount(terms.reserve)}"
    rows = [
        ("Item", f"{item.name}: {item.title}"),
        ("Price", tokens.text(terms.token, terms.price)),
        ("Left", f"{offer.free} of {terms.supply}" if offer.free else "sold out"),
        ("Seller", f"{offer.store.seller} ({offer.store.name}; {offer.seller_record})"),
        ("Stake", stake),
        ("Needed", f"{terms.threshold} of {terms.parts} parts"),
        ("Otherwise", f"your money back, and {format_amount(terms.penalty)} more"),
        ("Arbitrator", arbitrator),
        ("Document", str(Cid("dag-json", offer.store.digest))),
    ]
    rows += _about_rows(item.about)
    rows += [(key, json.dumps(value)) for key, value in item.metadata.items()]
    yield from (f"{label:<11} {text}" for label, text in rows)
    yield from _description(item.about)
    yield ""
    yield f"Next: dam buyer buy {offer.store.seller} {item.name}"
