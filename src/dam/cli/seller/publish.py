"""``dam seller publish``, ``update``, ``close``, ``close-item``, ``withdraw-codes``: the store."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from dam.cli.seller.goods_view import goods_text
from dam.cli.session import (
    account_option,
    asynchronous,
    confirm_or_abort,
    connect,
    json_option,
    key_passphrase,
    open_signer,
    print_note,
    print_result,
    receipt_json,
    table,
    yes_option,
)
from dam.config.settings import Settings
from dam.config.values import masked_ipfs
from dam.crypto.derivation import SellerSeed
from dam.crypto.hashing import item_id
from dam.ethereum.erc20 import Tokens
from dam.keystore.key_files import load_seed
from dam.market.wallet import Receipt
from dam.roles.seller import publishing
from dam.roles.seller.drafted import StoreDraft
from dam.roles.seller.drafts import named_tokens, read_draft, read_prices
from dam.roles.seller.listings import Catalogue
from dam.roles.seller.plan_notes import choice_text, differences
from dam.roles.seller.publishing import Published, PublishPlan
from dam.roles.seller.store_changes import Shop, Wishes, catalogue_lock
from dam.roles.seller.store_file import MAX_CODES
from dam.types import ZERO_ADDRESS, Address

# ------------------------------------------------------------------------------------------ store


def _publish_options(command: Any) -> Any:
    options = [
        click.option("--name", help="Name of the store, for a folder. [default: the folder's]"),
        click.option("--price", metavar="AMOUNT", help="Of items that do not say."),
        click.option("--token", metavar="ADDRESS", help="Likewise; an ERC-20 token."),
        click.option("--commission", metavar="AMOUNT", help="Likewise; '5%' of the price, say."),
        click.option("--penalty", metavar="AMOUNT", help="Likewise."),
        click.option("--bond", metavar="AMOUNT", help="Likewise."),
        click.option("--arbitrator", metavar="ADDRESS|none", help="Likewise."),
        click.option("--parts", type=click.IntRange(1, 32), help="Likewise. [default: 3]"),
        click.option("--threshold", type=click.IntRange(1, 32), help="[default: parts - 1]"),
        click.option("--supply", type=click.IntRange(0), help="Copies of a file. [default: 1000]"),
        click.option("--deliverer", "deliverers", multiple=True, help="Name them all, or none."),
        click.option(
            "--assign",
            multiple=True,
            metavar="ITEM",
            help="Give its parts to other deliverers; the options above are then for ITEM alone.",
        ),
        click.option(
            "--open",
            "reopen",
            multiple=True,
            metavar="ITEM",
            help="List it again: what is off sale stays so until it is named.",
        ),
        click.option(
            "--one-part-is-enough",
            is_flag=True,
            help="Allow threshold 1: each deliverer can open, keep and resell the good alone.",
        ),
        click.option(
            "--start-over",
            is_flag=True,
            help="Go on without the catalogue folder that is lost. Codes that were sold are not "
            "known any more, and are sold again unless you take them out of your files.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@_publish_options
@account_option
@yes_option
@json_option
@asynchronous
async def publish(
    path: Path, account: str | None, yes: bool, as_json: bool, **options: Any
) -> None:
    """Publishes a store from a TOML file, or from a folder in which each file is an item.

    \b
      [store]
      name = "Ada's codes"

    \b
      [[items]]
      id = "game-key"
      title = "A key for the game"
      price = "0.05 ether"
      codes_file = "codes.txt"     # one code a line, each sold once
      # or  file = "book.pdf"      # the same file for everybody
      # or  text = "..."

    Also known: parts, threshold, commission, penalty, bond, arbitrator, supply, deliverers,
    metadata; in [defaults], for all items. With token = "0x..." the price is in that ERC-20
    token, as in "5.25"; all else stays in the native coin.
    """  # noqa: D301 - click reads the backspace itself, not its escape
    await _publish(path, account, yes or as_json, as_json, options, must_exist=False)


@click.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@_publish_options
@account_option
@yes_option
@json_option
@asynchronous
async def update(path: Path, account: str | None, yes: bool, as_json: bool, **options: Any) -> None:
    """Publishes what changed in a store that is there already; see `publish`.

    Codes are added at the end, sold copies stay as they were, and an item that is no longer in the
    file is taken off sale. What is off sale stays so until --open names it. All that changes is
    shown, and asked about.
    """
    await _publish(path, account, yes or as_json, as_json, options, must_exist=True)


def _overrides(options: Mapping[str, Any]) -> dict[str, Any]:
    money = ("price", "token", "commission", "penalty", "bond")
    keys = (*money, "arbitrator", "parts", "threshold", "supply")
    overrides: dict[str, Any] = {key: options[key] for key in keys if options[key] is not None}
    if options["deliverers"]:
        overrides["deliverers"] = list(options["deliverers"])
    return overrides


async def _read(path: Path, options: Mapping[str, Any]) -> tuple[StoreDraft, Tokens]:
    """The store as it is written, and its tokens; no node is asked where there are none."""
    overrides, tokens = _overrides(options), Tokens()
    if wanted := named_tokens(path, overrides):
        async with connect() as session:
            tokens = await read_prices(session.rpc, wanted)
    name, assign = options["name"], options["assign"]
    draft = read_draft(path, name=name, overrides=overrides, tokens=tokens, assign=assign)
    return draft, tokens


async def _publish(
    path: Path,
    account: str | None,
    yes: bool,
    as_json: bool,
    options: Mapping[str, Any],
    *,
    must_exist: bool,
) -> None:
    draft, tokens = await _read(path, options)
    settings = Settings.load()
    signer = open_signer(settings, "seller", account)
    with _locked_shop(settings, signer.address) as shop:
        async with connect(settings) as session:
            plan = await publishing.plan_publication(
                session.market,
                shop,
                draft,
                Wishes(options["assign"], options["reopen"], options["one_part_is_enough"]),
                must_exist=must_exist,
                start_over=options["start_over"],
            )
            _show(plan, tokens, governed=settings.deployment.governor != ZERO_ADDRESS)
            _start_over(plan, settings.catalogue, yes)
            _bootstrap(plan, yes)
            where = masked_ipfs(settings.ipfs)
            print_note(f"The documents go to {where}, and one transaction to the market, for gas.")
            confirm_or_abort(f"Publish it as {signer.address}?", yes)
            wallet = session.wallet(signer)
            published = await publishing.publish(session.market, session.blocks, wallet, shop, plan)
    value = _published_json(shop, plan, published)
    print_result(value, as_json, _published_text(published))


@contextlib.contextmanager
def _locked_shop(settings: Settings, seller: Address) -> Iterator[Shop]:
    """The seller's seed and catalogue, which no other command changes meanwhile."""
    seed = SellerSeed(load_seed(settings.keys.seller, "seller-seed", key_passphrase()))
    with catalogue_lock(settings.catalogue):
        yield Shop(settings.deployment, seller, seed, Catalogue(settings.catalogue))


def _show(plan: PublishPlan, tokens: Tokens, *, governed: bool) -> None:
    """What publishing changes, on standard error: an overview, and what is other than before."""
    rows = []
    for change in plan.changes:
        d = change.draft
        terms = ("", "", "")
        if d is not None:
            price = tokens.text(d.token, d.price)
            terms = (price, str(d.supply), f"{d.threshold} of {d.parts}")
        rows.append((change.name, change.what, *terms))
    print_note(f"Store {plan.name!r}")
    print_note(table(("item", "what", "price", "copies", "parts"), rows, err=True))
    if plan.renamed:
        print_note(f"Store: name: {plan.renamed!r} -> {plan.name!r}")
    if plan.reopens:
        print_note("Store: is closed, and opens again")
    for change in plan.changes:
        if change.draft is not None:
            print_note(goods_text(change.draft))
        for line in differences(change, tokens):
            print_note(f"{change.name}: {line}")
        if change.old is None and change.draft is not None:
            arbitrator = change.draft.arbitrator
            named = "none" if arbitrator == ZERO_ADDRESS else arbitrator
            print_note(f"{change.name}: arbitrator: {named}")
    for change, choice in zip(plan.changes, plan.choices, strict=True):
        if choice is not None:
            print_note(choice_text(change.name, choice, governed=governed))
    for warning in plan.warnings:
        print_note(f"Note: {warning}")


def _bootstrap(plan: PublishPlan, yes: bool) -> None:
    """Whether the seller trusts newcomers, where a market has too few others."""
    if not plan.bootstrap:
        return
    print_note(
        f"BOOTSTRAP: this market has too few established deliverers for "
        f"{', '.join(plan.bootstrap)}.\n"
        "An established one has had its stake in for 30 days, and was paid by three sellers with "
        "stores as old. Newcomers get the parts instead, and several of them may be one person, "
        "who can then read the good. Name deliverers you know with --deliverer to avoid that."
    )
    confirm_or_abort("Give parts to newcomers?", yes)


def _start_over(plan: PublishPlan, folder: Path, yes: bool) -> None:
    """What a seller loses who goes on without what was published, and whether they want that."""
    if not plan.base.lost:
        return
    print_note(
        f"STARTING OVER: {plan.base.lost}.\n"
        "From now on this folder as it stands is the store's. For good:\n"
        "  - codes that were sold are not known as sold: take them out of your files YOURSELF, "
        "or two buyers get the same one;\n"
        "  - sales under the lost versions have no watchdog: a silent deliverer costs you the "
        "price and the penalty."
    )
    confirm_or_abort(f"Start over from {folder}?", yes)


def _published_json(shop: Shop, plan: PublishPlan, published: Published) -> dict[str, Any]:
    items = []
    for change, choice in zip(plan.changes, plan.choices, strict=True):
        listing = shop.catalogue.get(change.name)
        if listing is None or not listing.listed:
            continue
        items.append(
            {
                "id": listing.name,
                "itemId": item_id(listing.name),
                "what": change.what,
                "price": str(listing.price),
                "token": listing.token,
                "copies": listing.supply,
                "parts": listing.parts,
                "threshold": listing.threshold,
                "lots": [
                    {
                        "firstCopy": lot.first_copy,
                        "copies": lot.copies,
                        "deliverers": [d.operator for d in lot.deliverers],
                    }
                    for lot in listing.lots
                ],
                "newcomers": choice.newcomers if choice else None,
                "bootstrap": choice.bootstrap if choice else None,
                "atStake": str(choice.at_stake) if choice else None,
            }
        )
    built = published.built
    return {
        **_receipt_json(published.receipt),
        "store": plan.name,
        "seller": built.seller,
        "cid": str(built.cid),
        "digest": built.digest,
        "root": built.root,
        "newBlocks": built.fresh,
        "items": items,
    }


def _published_text(published: Published) -> str:
    built = published.built
    if published.receipt is None:
        return "Nothing has changed; the blocks are pinned."
    return (
        f"Published {published.receipt}.\nDocument {built.cid}, {built.fresh} new blocks.\n"
        f"Buyers: dam buyer browse --seller {built.seller}\n"
        "You: keep `dam watchdog run` running; it saves sales when a deliverer is silent."
    )


def _receipt_json(receipt: Receipt | None) -> dict[str, Any]:
    return receipt_json(receipt) if receipt else {"tx": None, "block": None}


# ------------------------------------------------------------------------------------------ close


@click.command("close")
@account_option
@yes_option
@json_option
@asynchronous
async def close_store(account: str | None, yes: bool, as_json: bool) -> None:
    """Closes the store: nobody can buy any more. `publish` opens it again.

    Sales made before go on as they were: keep the watchdog running until they have ended.
    """
    settings = Settings.load()
    signer = open_signer(settings, "seller", account)
    async with connect(settings) as session:
        plan = await publishing.plan_closing(session.market, signer.address)
        confirm_or_abort(f"Close the store of {signer.address}?", yes or as_json)
        receipt = await publishing.close_store(session.market, session.wallet(signer), plan)
    print_result(
        {**receipt_json(receipt), "seller": signer.address, "closed": True},
        as_json,
        f"Closed {receipt}. `dam seller publish` opens it again.",
    )


@click.command("close-item")
@click.argument("item")
@account_option
@yes_option
@json_option
@asynchronous
async def close_item(item: str, account: str | None, yes: bool, as_json: bool) -> None:
    """Takes ITEM off sale, and publishes the rest as it is.

    It stays so, whatever the store file says, until `publish --open ITEM` lists it again. Where it
    is the last one, the whole store is closed.
    """
    settings = Settings.load()
    signer = open_signer(settings, "seller", account)
    with _locked_shop(settings, signer.address) as shop:
        listing = publishing.find_listing(shop, item)
        async with connect(settings) as session:
            market, blocks = session.market, session.blocks
            plan = await publishing.plan_withdrawal(market, blocks, shop, listing)
            confirm_or_abort(f"Take {item} off sale?", yes or as_json)
            wallet = session.wallet(signer)
            receipt = await publishing.withdraw_item(market, blocks, wallet, shop, plan)
    print_result(
        {**_receipt_json(receipt), "seller": signer.address, "item": item},
        as_json,
        f"{item} is off sale"
        + (f" {receipt}." if receipt else " already.")
        + f" `dam seller publish FILE --open {item}` lists it again.",
    )


class _Copies(click.ParamType):
    """A copy by its number, from 1, or a range of them."""

    name = "COPY|FIRST-LAST"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> range:
        match = re.fullmatch(r"([0-9]{1,15})(?:-([0-9]{1,15}))?", str(value), re.ASCII)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 1 <= first <= last < first + MAX_CODES:
            self.fail(f"{value!a} is neither a copy, from 1, nor a range like 3-7", param, ctx)
        return range(first - 1, last)


@click.command("withdraw-codes")
@click.argument("item")
@click.argument("copies", nargs=-1, required=True, type=_Copies())
@account_option
@yes_option
@json_option
@asynchronous
async def withdraw_codes(
    item: str, copies: tuple[range, ...], account: str | None, yes: bool, as_json: bool
) -> None:
    """Takes some codes of ITEM off sale for good: copy 4, say, or copies 10-19.

    Buyers' tools neither show nor pick them. Their parts are served all the same, to whoever buys
    one in another way. To sell such a code after all, list it under another item.
    """
    settings = Settings.load()
    signer = open_signer(settings, "seller", account)
    numbers = sorted({copy for one in copies for copy in one})
    with _locked_shop(settings, signer.address) as shop:
        listing = publishing.find_listing(shop, item)
        listing.without_copies(numbers)
        async with connect(settings) as session:
            market, blocks = session.market, session.blocks
            plan = await publishing.plan_withdrawal(market, blocks, shop, listing)
            confirm_or_abort(f"Take {len(numbers)} codes of {item} off sale?", yes or as_json)
            wallet = session.wallet(signer)
            receipt = await publishing.withdraw_codes(market, blocks, wallet, shop, plan, numbers)
    print_result(
        {**_receipt_json(receipt), "seller": signer.address, "item": item, "copies": len(numbers)},
        as_json,
        f"{len(numbers)} codes of {item} are off sale"
        + (f" {receipt}." if receipt else " already."),
    )
