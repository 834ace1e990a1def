"""``dam seller``: stake, store and sales."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from dam.amounts import format_amount
from dam.catalog_build import BuiltStore
from dam.commands.base import (
    ADDRESS,
    AMOUNT,
    Session,
    account_option,
    address_option,
    agree,
    asynchronous,
    connect,
    emit,
    hexed,
    json_option,
    key_passphrase,
    note,
    open_signer,
    receipt_json,
    receipt_text,
    role_address,
    table,
    to_option,
    yes_option,
)
from dam.commands.sales import close, doable, find_sale, sale_json, state_text
from dam.config import Settings
from dam.errors import ConfigError, Malformed, Permanent
from dam.hashing import catalogue_commitment, item_id
from dam.history import candidates, read_history
from dam.keys import load_seed
from dam.listing import Catalogue
from dam.roles import seller as role
from dam.roster import Candidate
from dam.rpc import quantity
from dam.seeds import SellerSeed
from dam.storefile import StoreDraft, read_folder, read_store_file
from dam.transactions import Receipt
from dam.types import ZERO32, ZERO_ADDRESS, Address

_ROLE = "seller"


@click.group()
def seller() -> None:
    """Sell: put up a stake, publish a store from files, look after the sales."""


# ------------------------------------------------------------------------------------------ stake


@seller.command()
@click.argument("amount", type=AMOUNT)
@account_option
@yes_option
@json_option
@asynchronous
async def stake(amount: int, account: str | None, yes: bool, as_json: bool) -> None:
    """Adds AMOUNT to the free stake, which backs sales: '0.5 ether'."""
    settings = Settings.load()
    signer = open_signer(settings, _ROLE, account)
    async with connect(settings) as session:
        agree(f"Stake {format_amount(amount)} from {signer.address}?", yes or as_json)
        receipt = await session.send(signer, "stakeAsSeller", value=amount)
        free = await session.market.seller_stake(signer.address)
    emit(
        {**receipt_json(receipt), "seller": signer.address, "free": str(free)},
        as_json,
        f"Staked {receipt_text(receipt)}.\nFree stake: {format_amount(free)}. "
        "Next: dam seller publish store.toml",
    )


@seller.command()
@click.argument("amount", type=AMOUNT)
@to_option
@account_option
@yes_option
@json_option
@asynchronous
async def unstake(
    amount: int, to: Address | None, account: str | None, yes: bool, as_json: bool
) -> None:
    """Takes AMOUNT of the free stake back, at once. What open sales have bound stays."""
    settings = Settings.load()
    signer = open_signer(settings, _ROLE, account)
    recipient = to or signer.address
    async with connect(settings) as session:
        agree(f"Take {format_amount(amount)} to {recipient}?", yes or as_json)
        receipt = await session.send(signer, "withdrawSellerStake", amount, recipient)
        free = await session.market.seller_stake(signer.address)
    emit(
        {**receipt_json(receipt), "to": recipient, "free": str(free)},
        as_json,
        f"Taken {receipt_text(receipt)}. Free stake: {format_amount(free)}.",
    )


@seller.command()
@click.argument("address", metavar="ADDRESS|none")
@account_option
@json_option
@asynchronous
async def operator(address: str, account: str | None, as_json: bool) -> None:
    """Names the account of the watchdog. It delivers, supplies, settles; it takes no money."""
    who = ZERO_ADDRESS if address == "none" else ADDRESS.convert(address, None, None)
    settings = Settings.load()
    signer = open_signer(settings, _ROLE, account)
    async with connect(settings) as session:
        receipt = await session.send(signer, "setSellerOperator", who)
    emit(
        {**receipt_json(receipt), "operator": who},
        as_json,
        f"Operator {'removed' if who == ZERO_ADDRESS else who} {receipt_text(receipt)}.",
    )


# ------------------------------------------------------------------------------------------ store


def _publish_options(command: Any) -> Any:
    options = [
        click.option("--name", help="Name of the store, for a folder. [default: the folder's]"),
        click.option("--price", metavar="AMOUNT", help="Of items that do not say."),
        click.option("--commission", metavar="AMOUNT", help="Likewise; '5%' of the price, say."),
        click.option("--penalty", metavar="AMOUNT", help="Likewise."),
        click.option("--bond", metavar="AMOUNT", help="Likewise."),
        click.option("--arbitrator", metavar="ADDRESS|none", help="Likewise."),
        click.option("--parts", type=click.IntRange(1, 32), help="Likewise. [default: 3]"),
        click.option("--threshold", type=click.IntRange(1, 32), help="[default: parts - 1]"),
        click.option("--supply", type=click.IntRange(0), help="Copies of a file. [default: 1000]"),
        click.option("--deliverer", "deliverers", multiple=True, help="Name them all, or none."),
        click.option(
            "--assign", multiple=True, metavar="ITEM", help="Give its parts to other deliverers."
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@seller.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@_publish_options
@account_option
@yes_option
@json_option
@asynchronous
async def publish(
    path: Path, account: str | None, yes: bool, as_json: bool, **options: Any
) -> None:
    r"""Publishes a store from a TOML file, or from a folder in which each file is an item.

    \b
      [store]
      name = "Ada's codes"

      [[items]]
      id = "game-key"
      title = "A key for the game"
      price = "0.05 ether"
      codes_file = "codes.txt"     # one code a line, each sold once
      # or  file = "book.pdf"      # the same file for everybody
      # or  text = "..."

    \b
    Also known: parts, threshold, commission, penalty, bond, arbitrator, supply,
    deliverers, metadata; in [defaults], for all items.
    """
    await _publish(path, account, yes or as_json, as_json, options, must_exist=False)


@seller.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@_publish_options
@account_option
@yes_option
@json_option
@asynchronous
async def update(path: Path, account: str | None, yes: bool, as_json: bool, **options: Any) -> None:
    """Publishes what changed in a store that is there already; see `publish`.

    Codes are added at the end, sold copies stay as they were, and an item that is no longer in the
    file is taken off sale.
    """
    await _publish(path, account, yes or as_json, as_json, options, must_exist=True)


def _read(path: Path, options: Mapping[str, Any]) -> StoreDraft:
    keys = ("price", "commission", "penalty", "bond", "arbitrator", "parts", "threshold", "supply")
    overrides = {key: options[key] for key in keys if options[key] is not None}
    if options["deliverers"]:
        overrides["deliverers"] = list(options["deliverers"])
    if path.is_dir():
        return read_folder(path, name=options["name"] or path.resolve().name, overrides=overrides)
    return read_store_file(path, overrides=overrides)


async def _publish(
    path: Path,
    account: str | None,
    yes: bool,
    as_json: bool,
    options: Mapping[str, Any],
    *,
    must_exist: bool,
) -> None:
    draft = _read(path, options)
    settings = Settings.load()
    signer = open_signer(settings, _ROLE, account)
    seed = SellerSeed(load_seed(settings.keys.seller, "seller-seed", key_passphrase()))
    with role.catalogue_lock(settings.catalogue):
        shop = role.Shop(settings.deployment, signer.address, seed, Catalogue(settings.catalogue))
        async with connect(settings) as session:
            exists = (await session.market.store(signer.address))[0] != ZERO32
            if must_exist and not exists:
                raise Permanent(
                    f"{signer.address} has no store yet: `dam seller publish` opens one"
                )
            await _check_stake(session, signer.address, exists)
            history = await read_history(session.market)
            changes = await role.plan(shop, draft, history.book, assign=options["assign"])
            known = await candidates(session.market, history.logs)
            await _show(session, signer.address, draft, changes, known)
            agree(f"Publish it as {signer.address}?", yes)
            built = await role.carry_out(shop, session.blocks, draft.name, changes, known)
            receipt = await _announce(session, signer, built, exists)
    _report(shop, draft, built, changes, receipt, as_json)


async def _check_stake(session: Session, who: Address, exists: bool) -> None:
    minimum = session.settings.deployment.windows.min_seller_stake
    free = await session.market.seller_stake(who)
    if not exists and free < minimum:
        raise Permanent(
            f"a store needs a free stake of {format_amount(minimum)}, and {who} has "
            f"{format_amount(free)}: run `dam seller stake '{format_amount(minimum)}'` or more"
        )


async def _show(
    session: Session,
    who: Address,
    draft: StoreDraft,
    changes: Sequence[role.Change],
    known: Mapping[Address, Candidate],
) -> None:
    rows = []
    for change in changes:
        d = change.draft
        if d is None:
            rows.append((change.name, "withdrawn", "", "", "", ""))
            continue
        rows.append(
            (
                d.name,
                change.what,
                format_amount(d.price),
                str(d.supply),
                f"{d.threshold} of {d.parts}",
                d.arbitrator if d.arbitrator != ZERO_ADDRESS else "none",
            )
        )
    note(f"Store {draft.name!r}")
    note(table(("item", "what", "price", "copies", "parts", "arbitrator"), rows))
    gas_price = quantity(await session.rpc.call("eth_gasPrice"), "eth_gasPrice")
    free = await session.market.seller_stake(who)
    windows = session.settings.deployment.windows
    for told in role.warnings(changes, known, windows, free_stake=free, gas_price=gas_price):
        note(f"Note: {told}")


async def _announce(
    session: Session, signer: Any, built: BuiltStore, exists: bool
) -> Receipt | None:
    """Points the chain to the new store; None where it does already."""
    commitment = catalogue_commitment(built.digest, built.root)
    market = session.market
    if (await market.store(signer.address))[1] == commitment:
        return None
    function = "updateStore" if exists else "createStore"
    receipt = await session.send(signer, function, built.digest, built.root)
    if await market.store(signer.address) != (built.digest, commitment):
        raise Permanent(
            f"the chain names another store than the one of transaction {hexed(receipt.tx_hash)}: "
            "does another command publish for this account?"
        )
    return receipt


def _report(
    shop: role.Shop,
    draft: StoreDraft,
    built: BuiltStore,
    changes: Sequence[role.Change],
    receipt: Receipt | None,
    as_json: bool,
) -> None:
    items = []
    for change in changes:
        listing = shop.catalogue.get(change.name)
        if listing is None or not listing.listed:
            continue
        items.append(
            {
                "id": listing.name,
                "itemId": item_id(listing.name),
                "what": change.what,
                "price": str(listing.price),
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
            }
        )
    value = {
        **(receipt_json(receipt) if receipt else {"tx": None, "block": None}),
        "store": draft.name,
        "seller": built.seller,
        "cid": str(built.cid),
        "digest": built.digest,
        "root": built.root,
        "newBlocks": built.fresh,
        "items": items,
    }
    if receipt is None:
        human = "Nothing has changed; the blocks are pinned."
    else:
        human = (
            f"Published {receipt_text(receipt)}.\nDocument {built.cid}, {built.fresh} new blocks.\n"
            f"Buyers: dam buyer browse --seller {built.seller}\n"
            "You: keep `dam watchdog run` running; it saves sales when a deliverer is silent."
        )
    emit(value, as_json, human)


# ------------------------------------------------------------------------------------------ sales


@seller.command()
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
    who = address or role_address(settings, _ROLE, account)
    windows = settings.deployment.windows
    async with connect(settings) as session:
        history = await read_history(session.market)
        free = await session.market.seller_stake(who)
    found = [s for s in history.book.sales.values() if s.purchase.seller == who]
    if only_open:
        found = [s for s in found if not s.status.final]
    names = _names(settings)
    values = [
        {**sale_json(s, windows, history.head), "item": names.get(s.purchase.terms.item_id)}
        for s in found
    ]
    rows = [
        (
            hexed(s.copy_id)[:18],
            names.get(s.purchase.terms.item_id, hexed(s.purchase.terms.item_id)[:10]),
            s.purchase.copy,
            format_amount(s.purchase.terms.price),
            f"block {s.purchase.block}",
            state_text(s),
            "; ".join(doable(s, windows, history.head, ("seller", "anyone"), ("supply",))),
        )
        for s in found
    ]
    head = ("sale", "item", "copy", "price", "bought", "state", "what you can do")
    human = table(head, rows) if rows else "No sales yet."
    human += f"\nFree stake {format_amount(free)}; the newest block is {history.head}."
    emit({"block": history.head, "free": str(free), "sales": values}, as_json, human)


def _names(settings: Settings) -> dict[bytes, str]:
    if not settings.catalogue.exists():
        return {}
    try:
        return {item.item_id: item.name for item in Catalogue(settings.catalogue).all()}
    except (ConfigError, Malformed):
        return {}


@seller.command()
@click.argument("sale_id", metavar="ID")
@account_option
@yes_option
@json_option
@asynchronous
async def concede(sale_id: str, account: str | None, yes: bool, as_json: bool) -> None:
    """Gives in: the buyer gets his money back, and of a disputed sale penalty and bonds, too."""
    settings = Settings.load()
    signer = open_signer(settings, _ROLE, account)
    async with connect(settings) as session:
        sale = find_sale(await read_history(session.market), sale_id)
        if sale.purchase.seller != signer.address:
            raise Permanent(f"{signer.address} is not the seller of this sale")
        agree(f"Give {format_amount(sale.purchase.terms.price)} back?", yes or as_json)
        receipt = await close(session, signer, "concede", sale)
    emit(
        {"id": sale.copy_id, **receipt_json(receipt)},
        as_json,
        f"Conceded {receipt_text(receipt)}.",
    )
