"""``dam buyer browse`` and ``dam buyer buy``."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from dam.catalog.reader import Item, Store
from dam.cli.buyer.pay import Payment, allow, arguments, look
from dam.cli.session import (
    ADDRESS,
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
from dam.crypto.derivation import BuyerSeed
from dam.crypto.hashing import catalogue_commitment
from dam.crypto.hashing import copy_id as hash_copy
from dam.errors import (
    BlockRefused,
    ContractReverted,
    IpfsError,
    KeyFileError,
    Malformed,
    Permanent,
)
from dam.ethereum.erc20 import Tokens, read_tokens
from dam.ethereum.erc2612 import Permit
from dam.ethereum.node_errors import RpcRejectedError
from dam.ipfs.cid import Cid
from dam.keystore.key_files import load_seed
from dam.market.log_history import History, read_history
from dam.market.reputation import ArbiterRecord, Rating, arbiter_record, bound_stake, ratings
from dam.roles.buyer import buyer as role
from dam.roles.buyer.records import Record, Records, unpaid
from dam.sending.transactions import estimate_gas, suggest_fees
from dam.types import ZERO32, ZERO_ADDRESS, Address, Status, StoreVersion, Terms
from dam.units import format_about, format_amount

if TYPE_CHECKING:
    from dam.keystore.ape_accounts import Signer

ROLE = "buyer"
_MAX_TIP = 20 * 10**9


def open_seed(settings: Settings) -> BuyerSeed:
    """The buyer's seed.

    Raises:
        KeyFileError: There is none; the message names the command that makes it.
    """
    path = settings.keys.buyer
    if not path.exists():
        raise KeyFileError(f"{path} does not exist: run `dam keys new buyer` (or restore it) first")
    return BuyerSeed(load_seed(path, "buyer-seed", key_passphrase()))


# ----------------------------------------------------------------------------------------- browse


@click.command()
@click.option("--seller", type=ADDRESS, help="Only this seller's store.")
@json_option
@asynchronous
async def browse(seller: Address | None, as_json: bool) -> None:
    """Lists what is for sale: every store that can be read, checked against the chain."""
    stores, unreadable, closed, texts = [], [], [], []
    async with connect() as session:
        history = await read_history(session.market)
        rated = ratings(history.logs)
        versions = {s: v[-1] for s, v in history.book.stores.items()}
        if seller is not None:
            if seller not in versions:
                raise Permanent(f"{seller} has no store in this market")
            versions = {seller: versions[seller]}
        for version in versions.values():
            if version.root == ZERO32:
                closed.append(version.seller)
                if seller is not None:
                    raise Permanent(f"{seller} has closed the store")
                continue
            try:
                store = await role.read_version(
                    session.blocks, session.settings.deployment, version
                )
            except (Malformed, IpfsError, BlockRefused) as error:
                unreadable.append({"seller": version.seller, "reason": str(error)})
                note(f"The store of {version.seller} is left out: {error}")
                continue
            free = await session.market.seller_stake(version.seller)
            seen = _Seen(store, history, free, rated.get(version.seller, Rating(0, 0)))
            tokens = await read_tokens(session.rpc, {i.terms.token for i in store.items})
            stores.append(_store_json(seen, tokens))
            texts.append(_store_text(seen, tokens))
    human = "\n\n".join(texts) or "Nothing is for sale."
    if texts:
        human += "\n\nNext: dam buyer buy SELLER ITEM"
    value = {"block": history.head, "stores": stores, "unreadable": unreadable, "closed": closed}
    emit(value, as_json, human)


@dataclass(frozen=True)
class _Seen:
    """A store, with what the chain says of it."""

    store: Store
    history: History
    free: int
    rating: Rating

    def taken(self, item: Item) -> set[int]:
        """Sold and burned copies of an item."""
        return self.history.book.taken(self.store.seller, item.terms.item_id)


def _store_json(seen: _Seen, tokens: Tokens) -> dict[str, Any]:
    store = seen.store
    return {
        "seller": store.seller,
        "name": store.name,
        "cid": str(Cid("dag-json", store.digest)),
        "freeStake": str(seen.free),
        "boundStake": str(bound_stake(seen.history.book, store.seller)),
        "rating": {"count": seen.rating.count, "stars": seen.rating.stars},
        "tokens": tokens.json(),
        "items": [_item_json(seen, item) for item in store.items],
    }


def _item_json(seen: _Seen, item: Item) -> dict[str, Any]:
    terms = item.terms
    left = role.free_copies(item, seen.taken(item))
    return {
        "id": item.name,
        "itemId": terms.item_id,
        "title": item.title,
        "price": str(terms.price),
        "token": terms.token,
        "commission": str(terms.commission),
        "penalty": str(terms.penalty),
        "bond": str(terms.effective_bond),
        "supply": terms.supply,
        "free": left,
        "sold": terms.supply - left,
        "stock": terms.stock,
        "parts": terms.parts,
        "threshold": terms.threshold,
        "arbitrator": None if terms.arbitrator == ZERO_ADDRESS else terms.arbitrator,
        "partsRoot": terms.parts_root,
        "backed": seen.free >= terms.reserve,
        "metadata": item.metadata,
    }


def _store_text(seen: _Seen, tokens: Tokens) -> str:
    store, rows = seen.store, []
    for item in store.items:
        terms = item.terms
        left = role.free_copies(item, seen.taken(item))
        told = f"{left} of {terms.supply}" if left else "sold out"
        rows.append(
            (
                item.name,
                item.title,
                tokens.text(terms.token, terms.price),
                told if seen.free >= terms.reserve else f"{told} (seller's stake too low now)",
                f"{terms.threshold} of {terms.parts}",
                format_amount(terms.penalty),
                "none" if terms.arbitrator == ZERO_ADDRESS else terms.arbitrator,
            )
        )
    head = ("item", "title", "price", "left", "parts", "if it never comes", "arbitrator")
    listed = table(head, rows) if rows else "(empty)"
    return f"{store.name}  of  {store.seller}  {seen.rating}\n{listed}"


# -------------------------------------------------------------------------------------------- buy


@dataclass(frozen=True)
class _Deal:
    """What is about to be paid."""

    store: Store
    item: Item
    copy: int
    record: Record
    arguments: list[Any]
    payment: Payment
    arbiter: ArbiterRecord
    rating: Rating
    free_stake: int
    gas: int
    """Estimate of the gas, in wei; 0 where a token has to be allowed first."""
    head: int


@click.command()
@click.argument("seller", type=ADDRESS)
@click.argument("item")
@click.option("--copy", type=click.IntRange(0), help="This copy. [default: a free one at random]")
@click.option("--again", is_flag=True, help="Buy although an earlier attempt is undecided.")
@click.option("--permit", is_flag=True, help="Allow a token by a signature, where it can.")
@click.option("--no-arbitrator", is_flag=True, help="Buy although nobody could rule on a dispute.")
@account_option
@yes_option
@json_option
@asynchronous
async def buy(
    seller: Address,
    item: str,
    copy: int | None,
    again: bool,
    permit: bool,
    no_arbitrator: bool,
    account: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Buys a copy of ITEM from SELLER, after showing what is paid, to whom, and when it comes back.

    Each part of the key is sealed to a one-time key of yours. They derive from your seed, and the
    record of the attempt is written before the money moves.
    """
    settings = Settings.load()
    seed = open_seed(settings)
    signer = open_signer(settings, ROLE, account)
    records = Records(settings.purchases)
    async with connect(settings) as session:
        deal = await _negotiate(
            session, seed, signer.address, records, seller, item, copy, no_arbitrator, again
        )
        _show(deal, settings, permit)
        agree("Buy it?", yes)
        allowed = await allow(session, signer, deal.payment, by_permit=permit)
        records.add(deal.record)
        try:
            receipt = await _pay(session, signer, deal, allowed)
        except (Permanent, RpcRejectedError) as error:
            # Refused before it was sent, or reverted. After anything else it may still be mined:
            # a node can report an error and keep the transaction all the same.
            if isinstance(error, Permanent) or error.method == "eth_estimateGas":
                records.save(replace(deal.record, failed=True))
            raise
    # Mined; the deadline counts from the block that holds it.
    records.save(replace(deal.record, tx=receipt.tx_hash, block=receipt.block))
    windows = settings.deployment.windows
    terms = deal.item.terms
    refund_from = receipt.block + windows.refund_blocks + 1
    name = hexed(deal.record.copy_id)
    emit(
        {
            "id": name,
            "item": deal.item.name,
            "itemId": terms.item_id,
            "copy": deal.copy,
            "seller": seller,
            "buyer": signer.address,
            "token": terms.token,
            "price": str(terms.price),
            "attempt": deal.record.attempt,
            "fallbackFrom": receipt.block + 101,
            "deliverBy": receipt.block + windows.refund_blocks,
            "refundFrom": refund_from,
            **receipt_json(receipt),
        },
        as_json,
        f"Bought copy {deal.copy} of {deal.item.name} {receipt_text(receipt)}.\nSale {name}\n"
        f"Next: dam buyer wait {name[:18]}",
    )


async def _negotiate(
    session: Session,
    seed: BuyerSeed,
    buyer: Address,
    records: Records,
    seller: Address,
    item_name: str,
    copy: int | None,
    without_arbitrator: bool,
    again: bool,
) -> _Deal:
    deployment = session.settings.deployment
    history = await read_history(session.market)
    if not again:
        _check_undecided(records, history, seller, item_name)
    version = await _current(session, history, seller)
    store = await role.read_version(session.blocks, deployment, version)
    item = role.find_item(store, item_name)
    role.check_offer(item, seller=seller, buyer=buyer, without_arbitrator=without_arbitrator)
    free = await session.market.seller_stake(seller)
    if free < item.terms.reserve:
        raise Permanent(
            f"the seller's free stake is {format_amount(free)}, and this sale needs "
            f"{format_amount(item.terms.reserve)} of it: the market would refuse. Ask him to add "
            "to it, or wait until an open sale of his ends"
        )
    taken = history.book.taken(seller, item.terms.item_id)
    if copy is None:
        copy = role.choose_copy(item, taken, random.SystemRandom())
    elif copy >= item.terms.supply:
        raise Permanent(f"there are {item.terms.supply} copies, so no copy {copy}")
    name = hash_copy(seller, item.terms.item_id, copy)
    if (await session.market.sale_state(name)).status != Status.NONE:
        raise Permanent(f"copy {copy} is sold, or was just now: leave --copy away")
    await role.check_payload(session.blocks, item.payload(copy))
    token = (await read_tokens(session.rpc, {item.terms.token}))[item.terms.token]
    payment = await look(session, token, item.terms.price, buyer)
    record = role.new_record(
        seed,
        store,
        item,
        copy,
        records.next_attempt(name),
        buyer=buyer,
        deployment=deployment,
    )
    proof, keys = list(store.terms_proof(item)), list(record.keys)
    call = [seller, item.terms, proof, store.digest, copy, keys]
    gas = 0
    if not payment.short:
        data = session.market.encode("buyItem", *call)
        gas = await _gas_price(session, buyer, data, _coins(item.terms))
    arbiter = arbiter_record(history.book, item.terms.arbitrator, deployment.windows, history.head)
    rating = ratings(history.logs).get(seller, Rating(0, 0))
    return _Deal(store, item, copy, record, call, payment, arbiter, rating, free, gas, history.head)


def _coins(terms: Terms) -> int:
    """What of the native coin goes along."""
    return terms.price if terms.token == ZERO_ADDRESS else 0


def _check_undecided(records: Records, history: History, seller: Address, item: str) -> None:
    """Refuses to pay a second time while a first payment may still be on its way."""
    current = history.book.store(seller)
    purchases = (sale.purchase for sale in history.book.sales.values())
    for record in unpaid(records.all(), purchases):
        # The market refuses a copy that is taken, and a document that is not in force any more.
        hopeless = record.copy_id in history.book.sales
        hopeless |= current is None or current.digest != record.store_digest
        if (record.seller, record.item) == (seller, item) and not hopeless:
            raise Permanent(
                f"your attempt of {record.made} to buy {item!r} is not on the chain, and was not "
                "refused: its transaction may still be mined. Look with `dam buyer purchases`; to "
                "buy one more (or if you know that it is lost), add --again"
            )


async def _current(session: Session, history: History, seller: Address) -> StoreVersion:
    version = history.book.store(seller)
    if version is None:
        raise Permanent(f"{seller} has no store in this market: `dam buyer browse` lists them")
    commitment = catalogue_commitment(version.digest, version.root)
    if await session.market.store(seller) != (version.digest, commitment):
        raise Permanent("the store changed just now, or the node left a log out: try again")
    if version.root == ZERO32:
        raise Permanent(f"{seller} has closed the store: nothing in it is for sale")
    return version


async def _gas_price(session: Session, buyer: Address, data: bytes, coins: int) -> int:
    """What the gas of the purchase costs about, in wei; refuses what would not pass."""
    market = session.market.address
    try:
        limit = await estimate_gas(session.rpc, buyer, market, data, value=coins)
    except RpcRejectedError as error:
        if "insufficient funds" in error.message.lower():
            raise await session.too_poor(buyer, coins) from None
        raise
    fees = await suggest_fees(session.rpc, _MAX_TIP)
    cost = limit * 2 // 3 * (fees.base + fees.tip)
    if await session.balance(buyer) < coins + cost:
        raise await session.too_poor(buyer, coins)
    return cost


def _show(deal: _Deal, settings: Settings, by_permit: bool) -> None:
    """All that a buyer should know before he pays, on standard error."""
    terms, windows = deal.item.terms, settings.deployment.windows
    bought = deal.head + 1
    refund = bought + windows.refund_blocks + 1
    arbitrator = "NONE: nobody could give you the money back for a worthless good"
    if terms.arbitrator != ZERO_ADDRESS:
        bond = format_amount(terms.effective_bond)
        arbitrator = f"{terms.arbitrator} (a dispute takes {bond}; so far {deal.arbiter})"
    back = f"your money back from block {refund} on, and {format_amount(terms.penalty)} more"
    gas = f"about {format_about(deal.gas)} of gas" if deal.gas else "the gas"
    rows = [
        ("Item", f"{deal.item.name}: {deal.item.title}"),
        ("Copy", f"{deal.copy} of {terms.supply}"),
        ("Seller", f"{deal.store.seller} ({deal.store.name}; {deal.rating})"),
        ("You pay", f"{deal.payment.token.text(terms.price)}, and {gas}"),
        *deal.payment.rows(settings.deployment.market, by_permit),
        ("From", deal.record.buyer),
        (
            "Needed",
            f"{terms.threshold} of {terms.parts} parts, by block {refund - 1} at the latest",
        ),
        ("Otherwise", f"{back}, of the seller's stake"),
        ("Arbitrator", arbitrator),
    ]
    if terms.arbitrator != ZERO_ADDRESS:
        since = f"all parts are there, or after block {bought + 101} with fewer"
        rows.append(("Complaints", f"for {windows.dispute_blocks} blocks after {since}"))
    rows.append(("Document", str(Cid("dag-json", deal.store.digest))))
    for label, text in rows:
        note(f"{label:<11} {text}")
    note(f"(The newest block is {deal.head}; the blocks above are for a purchase in the next one.)")
    if terms.threshold == terms.parts:
        note(
            f"Note: all {terms.parts} parts are needed, so one silent deliverer makes you wait for "
            "the seller's own delivery, from block 101 after the purchase on."
        )


async def _pay(session: Session, signer: Signer, deal: _Deal, allowed: Permit | None) -> Any:
    """Sends the purchase; a permit that the token does not take gives way to an approval."""
    value = _coins(deal.item.terms)
    function, values = arguments(deal.arguments, allowed)
    try:
        return await session.send(signer, function, *values, value=value)
    except ContractReverted as error:
        if allowed is None or error.error != "TokenTransferFailed":
            raise
    note("The token did not take the permit. Its `approve` is used instead.")
    await allow(session, signer, deal.payment, by_permit=False)
    return await session.send(signer, "buyItem", *deal.arguments, value=value)
