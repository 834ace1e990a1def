"""``dam buyer buy``."""

from __future__ import annotations

from typing import Any

import click

from dam.cli.buyer.credit import look_for_credit
from dam.cli.session import (
    ADDRESS,
    Session,
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
    to_hex,
    yes_option,
)
from dam.config.settings import Settings
from dam.crypto.derivation import BuyerSeed
from dam.errors import KeyFileError
from dam.ipfs.cid import Cid
from dam.keystore.key_files import load_seed
from dam.roles.buyer import buying
from dam.roles.buyer.buyer import Buyer
from dam.roles.buyer.buying import Bought, Quote
from dam.roles.buyer.payment import Payment
from dam.roles.buyer.records import Records
from dam.roles.sales import short_id
from dam.types import ZERO_ADDRESS, Address
from dam.units import format_about, format_amount, format_span, format_time


def open_seed(settings: Settings) -> BuyerSeed:
    """The buyer's seed.

    Raises:
        KeyFileError: There is none; the message names the command that makes it.
    """
    path = settings.keys.buyer
    if not path.exists():
        raise KeyFileError(f"{path} does not exist: run `dam keys new buyer` (or restore it) first")
    return BuyerSeed(load_seed(path, "buyer-seed", key_passphrase()))


def open_buyer(session: Session, seed: BuyerSeed) -> Buyer:
    """The buyer of these settings, at the market of a session."""
    return Buyer(session.market, session.blocks, seed, Records(session.settings.purchases))


# -------------------------------------------------------------------------------------------- buy


@click.command()
@click.argument("seller", type=ADDRESS)
@click.argument("item")
@click.option(
    "--copy",
    type=click.IntRange(1),
    help="This copy, from 1 on. [default: a free one at random]",
)
@click.option("--again", is_flag=True, help="Buy one more: an earlier attempt may have paid.")
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
    signer = open_signer(settings, "buyer", account)
    async with connect(settings) as session:
        buyer, wallet = open_buyer(session, seed), session.wallet(signer)
        quote = await session.indexed(
            lambda index: buying.quote_purchase(
                buyer,
                index,
                wallet,
                seller,
                item,
                copy=None if copy is None else copy - 1,
                without_arbitrator=no_arbitrator,
                again=again,
            )
        )
        # Before the money moves: nothing stands between a payment and what is said of it.
        credit = await look_for_credit(session, [signer.address], [quote.terms.token], account)
        _show(quote, buyer, by_permit=permit)
        confirm_or_abort("Buy it?", yes)
        print_note(f"Sale        {to_hex(quote.record.copy_id)}")
        bought = await buying.buy(buyer, wallet, quote, by_permit=permit, notice=print_note)
    copy_id = bought.record.copy_id
    print_result(
        {**_bought_json(bought), "credits": credit.json},
        as_json,
        f"Bought copy {quote.copy + 1} of {quote.item.name} {bought.receipt}.\n"
        f"Sale {to_hex(copy_id)}\nNext: dam buyer wait {short_id(copy_id)}",
    )
    credit.show(as_json)


def _bought_json(bought: Bought) -> dict[str, Any]:
    quote, record, receipt = bought.quote, bought.record, bought.receipt
    return {
        "id": to_hex(record.copy_id),
        "item": quote.item.name,
        "itemId": quote.terms.item_id,
        "copy": quote.copy,
        "seller": record.seller,
        "buyer": record.buyer,
        "token": quote.terms.token,
        "price": str(quote.terms.price),
        "attempt": record.attempt,
        **receipt_json(receipt),
    }


def _show(quote: Quote, buyer: Buyer, *, by_permit: bool) -> None:
    """All that a buyer should know before they pay, on standard error."""
    terms, windows = quote.terms, buyer.deployment.windows
    # A purchase in the next block is a little later.
    refund = quote.clock.time + windows.refund_seconds
    arbitrator = "NONE: nobody could give you the money back for a worthless good"
    if terms.arbitrator != ZERO_ADDRESS:
        bond = format_amount(terms.effective_bond)
        arbitrator = f"{terms.arbitrator} (a dispute takes {bond}; so far {quote.arbiter})"
    back = f"your money back from then on, and {format_amount(terms.penalty)} more"
    gas = f"about {format_about(quote.gas_cost)} of gas" if quote.gas_cost else "the gas"
    rows = [
        ("Item", f"{quote.item.name}: {quote.item.title}"),
        ("Copy", f"{quote.copy + 1} of {terms.supply}"),
        ("Seller", f"{quote.store.seller} ({quote.store.name}; {quote.seller_record})"),
        ("You pay", f"{quote.payment.token.text(terms.price)}, and {gas}"),
        *payment_rows(quote.payment, buyer.deployment.market, by_permit=by_permit),
        ("From", quote.record.buyer),
        ("Needed", f"{terms.threshold} of {terms.parts} parts, by {format_time(refund)}"),
        ("Otherwise", f"{back}, of the seller's stake"),
        ("Arbitrator", arbitrator),
    ]
    if terms.arbitrator != ZERO_ADDRESS:
        span = format_span(windows.dispute_seconds)
        rows.append(("Complaints", f"until {span} after enough parts came, or after the last one"))
    rows.append(("Document", str(Cid("dag-json", quote.store.digest))))
    for label, text in rows:
        print_note(f"{label:<11} {text}")
    if terms.threshold == terms.parts:
        print_note(
            "Note: every part is needed, so one silent deliverer makes you wait for the seller's "
            "own delivery, from block 101 after the purchase on."
        )


def payment_rows(payment: Payment, market: Address, *, by_permit: bool) -> list[tuple[str, str]]:
    """What a buyer should know of the token that they pay with; nothing of the native coin."""
    token = payment.token
    if token.native:
        return []
    rows = [("Token", f"{token.address}, of which you have {token.text(payment.balance)}")]
    if payment.needs_allowance:
        how = "a signed permit lets" if by_permit else "a transaction of its own lets"
        rows.append(("Allowance", f"{how} the market {market} take exactly the price"))
    return rows
