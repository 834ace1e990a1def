"""``dam seller publish``, ``update``, ``close`` and ``close-item``: the store."""

from __future__ import annotations

import contextlib
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from dam import validation
from dam.cli.session import (
    Session,
    account_option,
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
    table,
    yes_option,
)
from dam.config.settings import Settings
from dam.crypto.derivation import SellerSeed
from dam.crypto.hashing import catalogue_commitment, item_id
from dam.errors import Malformed, Permanent
from dam.ethereum.erc20 import Tokens, check_payable, read_tokens
from dam.ethereum.node import gas_price_of
from dam.keystore.key_files import load_seed
from dam.market.deliverers import Candidate
from dam.market.log_history import candidates, read_history
from dam.roles.buyer.buyer import read_version
from dam.roles.seller import publisher as role
from dam.roles.seller.listings import Catalogue
from dam.roles.seller.store_builder import BuiltStore
from dam.roles.seller.store_file import StoreDraft, read_folder, read_store_file
from dam.sending.transactions import Receipt
from dam.types import ZERO32, ZERO_ADDRESS, Address
from dam.units import format_amount

_ROLE = "seller"

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
            "--assign", multiple=True, metavar="ITEM", help="Give its parts to other deliverers."
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
    deliverers, metadata; in [defaults], for all items. With token = "0x..." the price
    is in that ERC-20 token, as in "5.25"; all else stays in the native coin.
    """
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
    file is taken off sale.
    """
    await _publish(path, account, yes or as_json, as_json, options, must_exist=True)


def _overrides(options: Mapping[str, Any]) -> dict[str, Any]:
    money = ("price", "token", "commission", "penalty", "bond")
    keys = (*money, "arbitrator", "parts", "threshold", "supply")
    overrides: dict[str, Any] = {key: options[key] for key in keys if options[key] is not None}
    if options["deliverers"]:
        overrides["deliverers"] = list(options["deliverers"])
    return overrides


def named_tokens(path: Path, overrides: Mapping[str, Any]) -> set[Address]:
    """Tokens that a store file prices items in, so that they can be asked for their decimals.

    What is wrong with the file is left for `read_store_file` to say.
    """
    tables: list[Any] = [overrides]
    if path.is_file():
        try:
            document = tomllib.loads(path.read_text("utf-8"))
        except (OSError, ValueError):
            document = {}
        items = document.get("items")
        tables += [document.get("defaults"), *(items if isinstance(items, list) else [])]
    found = set()
    for entry in tables:
        value = entry.get("token") if isinstance(entry, Mapping) else None
        with contextlib.suppress(Malformed):
            found.add(validation.address(value, "token"))
    return found - {ZERO_ADDRESS}


async def _read(path: Path, options: Mapping[str, Any]) -> tuple[StoreDraft, Tokens]:
    """The store as it is written, and its tokens; no node is asked where there are none."""
    overrides, tokens = _overrides(options), Tokens()
    if wanted := named_tokens(path, overrides):
        async with connect() as session:
            tokens = await read_tokens(session.rpc, wanted)
            await check_payable(session.rpc, tokens, wanted)
    return _written(path, options["name"], overrides, tokens), tokens


def _written(
    path: Path, name: str | None, overrides: Mapping[str, Any], tokens: Tokens
) -> StoreDraft:
    if path.is_dir():
        name = name or path.resolve().name
        return read_folder(path, name=name, overrides=overrides, tokens=tokens)
    return read_store_file(path, overrides=overrides, tokens=tokens)


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
            await _show(session, signer.address, draft, changes, known, tokens)
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
    tokens: Tokens,
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
                tokens.text(d.token, d.price),
                str(d.supply),
                f"{d.threshold} of {d.parts}",
                d.arbitrator if d.arbitrator != ZERO_ADDRESS else "none",
            )
        )
    note(f"Store {draft.name!r}")
    note(table(("item", "what", "price", "copies", "parts", "arbitrator"), rows))
    gas_price = await gas_price_of(session.rpc)
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
    signer = open_signer(settings, _ROLE, account)
    async with connect(settings) as session:
        digest = await _open_store(session, signer.address)
        agree(f"Close the store of {signer.address}?", yes or as_json)
        receipt = await session.send(signer, "updateStore", digest, ZERO32)
    emit(
        {**receipt_json(receipt), "seller": signer.address, "closed": True},
        as_json,
        f"Closed {receipt_text(receipt)}. `dam seller publish` opens it again.",
    )


async def _open_store(session: Session, seller: Address) -> bytes:
    """Digest of a store that sells something."""
    digest, current = await session.market.store(seller)
    if digest == ZERO32:
        raise Permanent(f"{seller} has no store yet")
    if current == catalogue_commitment(digest, ZERO32):
        raise Permanent("the store is closed: `dam seller publish` opens it again")
    return digest


@click.command("close-item")
@click.argument("item")
@account_option
@yes_option
@json_option
@asynchronous
async def close_item(item: str, account: str | None, yes: bool, as_json: bool) -> None:
    """Takes ITEM off sale, and publishes the rest as it is. `publish` lists it again.

    Where it is the last one, the whole store is closed.
    """
    settings = Settings.load()
    signer = open_signer(settings, _ROLE, account)
    seed = SellerSeed(load_seed(settings.keys.seller, "seller-seed", key_passphrase()))
    with role.catalogue_lock(settings.catalogue):
        shop = role.Shop(settings.deployment, signer.address, seed, Catalogue(settings.catalogue))
        listing = shop.catalogue.get(item)
        if listing is None or not listing.listed:
            raise Permanent(f"{item!r} is not for sale: `dam buyer browse` lists what is")
        async with connect(settings) as session:
            digest = await _open_store(session, signer.address)
            version = (await read_history(session.market)).book.version(signer.address, digest)
            if version is None:
                raise Permanent("the node left the store's log out: try again")
            store = await read_version(session.blocks, settings.deployment, version)
            agree(f"Take {item} off sale?", yes or as_json)
            if any(other.listed and other.name != item for other in shop.catalogue.all()):
                change = role.Change("withdrawn", listing, None)
                built = await role.carry_out(shop, session.blocks, store.name, [change], {})
                receipt = await _announce(session, signer, built, True)
            else:
                shop.catalogue.save(listing.withdrawn())
                receipt = await session.send(signer, "updateStore", digest, ZERO32)
    emit(
        {
            **(receipt_json(receipt) if receipt else {"tx": None, "block": None}),
            "seller": signer.address,
            "item": item,
        },
        as_json,
        f"{item} is off sale" + (f" {receipt_text(receipt)}." if receipt else " already."),
    )
