"""``dam buyer``: the group, the list of purchases, and how a purchase ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dam.cli.buyer.buy import ROLE, browse, buy, open_seed
from dam.cli.buyer.open import open_good, restore_record, wait
from dam.cli.evidence import evidence_command, evidence_options, publish_evidence, rate
from dam.cli.sale_views import close, doable, find_sale, sale_json, sale_tokens, state_text
from dam.cli.session import (
    account_option,
    agree,
    asynchronous,
    connect,
    emit,
    hexed,
    json_option,
    note,
    open_signer,
    receipt_json,
    receipt_text,
    role_address,
    table,
    yes_option,
)
from dam.config.settings import Settings
from dam.crypto.hashing import escrow_of, sale_of
from dam.errors import ConfigError, KeyFileError, Permanent
from dam.ethereum.erc20 import Tokens
from dam.market.log_history import History, read_history
from dam.market.sale_history import SaleRecord
from dam.roles.buyer.records import Record, Records, find_attempt, record_of, unpaid
from dam.types import ZERO32, ZERO_ADDRESS, Status, Windows
from dam.units import format_amount


@click.group()
def buyer() -> None:
    """Buy: browse, buy, wait, open; then confirm, or get your money back."""


for _command in (browse, buy, wait, open_good, rate, evidence_command(ROLE)):
    buyer.add_command(_command)


# -------------------------------------------------------------------------------------- purchases


@buyer.command()
@click.option(
    "--rescan", is_flag=True, help="Rebuild lost records from the seed and the chain's events."
)
@account_option
@json_option
@asynchronous
async def purchases(rescan: bool, account: str | None, as_json: bool) -> None:
    """Lists purchases: state, and what can be done now, until which block."""
    settings = Settings.load()
    records = Records(settings.purchases)
    seed = open_seed(settings) if rescan else None
    windows = settings.deployment.windows
    async with connect(settings) as session:
        history = await read_history(session.market)
        if seed is not None:
            found = 0
            known = records.all()
            for sale in history.book.sales.values():
                attempt = find_attempt(seed, settings.deployment, sale.purchase)
                if attempt is None or record_of(known, sale.purchase):
                    continue
                records.save(await restore_record(session, history, sale, attempt))
                found += 1
            note(
                f"Rescanned {len(history.book.sales)} sales up to block {history.head}: "
                f"{found} records rebuilt."
            )
        known = records.all()
        mine = _mine(settings, account, history, known)
        tokens = await sale_tokens(session, [sale for sale, _ in mine])
    lost = [
        record
        for record in unpaid(known, (sale.purchase for sale, _ in mine))
        if record.copy_id not in history.book.sales
    ]
    values = [_purchase_json(sale, record, windows, history.head) for sale, record in mine]
    rows = [_purchase_row(sale, record, windows, history.head, tokens) for sale, record in mine]
    head = ("sale", "item", "copy", "price", "bought", "state", "what you can do")
    human = table(head, rows) if rows else "No purchases."
    for record in lost:
        human += (
            f"\nNot on the chain: the attempt of {record.made} to buy {record.item}; its "
            "transaction may still be on its way, and if it is not, nothing was paid"
        )
    human += f"\nThe newest block is {history.head}."
    emit(
        {
            "block": history.head,
            "purchases": values,
            "tokens": tokens.json(),
            "unpaid": [{"id": r.copy_id, "item": r.item, "made": r.made} for r in lost],
        },
        as_json,
        human,
    )


def _mine(
    settings: Settings, account: str | None, history: History, known: list[Record]
) -> list[tuple[SaleRecord, Record | None]]:
    """Sales with a record of ours, or bought by our account."""
    try:
        address = role_address(settings, ROLE, account)
    except (ConfigError, KeyFileError):
        if account:
            raise
        address = None
    found = []
    for sale in history.book.sales.values():
        record = record_of(known, sale.purchase)
        if record is not None or sale.purchase.buyer == address:
            found.append((sale, record))
    return found


def _purchase_json(
    sale: SaleRecord, record: Record | None, windows: Windows, head: int
) -> dict[str, Any]:
    value = sale_json(sale, windows, head)
    value["item"] = record.item if record else None
    value["title"] = record.title if record else None
    value["refundFrom"] = sale.last_delivery(windows) + 1
    return value


def _purchase_row(
    sale: SaleRecord, record: Record | None, windows: Windows, head: int, tokens: Tokens
) -> tuple[object, ...]:
    can = doable(sale, windows, head, ("buyer", "anyone"))
    if len(sale.delivered) >= sale.purchase.terms.threshold:
        can.insert(0, "open")
    if record is None:
        can.insert(0, "--rescan first (no record of it here)")
    return (
        hexed(sale.copy_id)[:18],
        record.item if record else hexed(sale.purchase.terms.item_id)[:10],
        sale.purchase.copy,
        tokens.text(sale.purchase.terms.token, sale.purchase.terms.price),
        f"block {sale.purchase.block}",
        state_text(sale, tokens),
        "; ".join(can),
    )


# ---------------------------------------------------------------------------------------- its end


@buyer.command()
@click.argument("sale_id", metavar="ID")
@account_option
@yes_option
@json_option
@asynchronous
async def confirm(sale_id: str, account: str | None, yes: bool, as_json: bool) -> None:
    """Says that the good is what was promised: the seller is paid, and no dispute is possible."""
    settings = Settings.load()
    signer = open_signer(settings, ROLE, account)
    async with connect(settings) as session:
        sale = find_sale(await read_history(session.market), sale_id)
        terms = sale.purchase.terms
        price = (await sale_tokens(session, [sale])).text(terms.token, terms.price)
        agree(f"Have you opened the good, and shall the seller get {price}?", yes or as_json)
        receipt = await close(session, signer, "confirm", sale)
    emit(
        {"id": sale.copy_id, **receipt_json(receipt)},
        as_json,
        f"Confirmed {receipt_text(receipt)}.\nNext: dam buyer rate {hexed(sale.copy_id)[:18]} 5",
    )


@buyer.command()
@click.argument("sale_id", metavar="ID")
@account_option
@json_option
@asynchronous
async def refund(sale_id: str, account: str | None, as_json: bool) -> None:
    """Takes the money of a sale back whose parts did not come in time, with the penalty."""
    settings = Settings.load()
    windows = settings.deployment.windows
    async with connect(settings) as session:
        history = await read_history(session.market)
        sale = find_sale(history, sale_id)
        if sale.status != Status.PURCHASED:
            raise Permanent(f"the sale is {sale.status.name.lower()}: there is nothing to refund")
        first = sale.last_delivery(windows) + 1
        if history.head + 1 < first:
            raise Permanent(
                f"parts may come until block {first - 1}; a refund is possible from block {first} "
                f"on, and the newest block is {history.head}"
            )
        signer = open_signer(settings, ROLE, account)
        receipt = await close(session, signer, "refund", sale)
        tokens = await sale_tokens(session, [sale])
    terms = sale.purchase.terms
    penalty = sale.refund_penalty()
    emit(
        {
            "id": sale.copy_id,
            "token": terms.token,
            "price": str(terms.price),
            "penalty": str(penalty),
            **receipt_json(receipt),
        },
        as_json,
        f"Refunded {receipt_text(receipt)}: {tokens.text(terms.token, terms.price)}, and "
        f"{format_amount(penalty)} of the seller's stake.\nNext: dam withdraw",
    )


@buyer.command()
@click.argument("sale_id", metavar="ID")
@account_option
@yes_option
@json_option
@asynchronous
async def concede(sale_id: str, account: str | None, yes: bool, as_json: bool) -> None:
    """Gives a dispute up: the seller gets the price and the buyer's bond."""
    settings = Settings.load()
    signer = open_signer(settings, ROLE, account)
    async with connect(settings) as session:
        sale = find_sale(await read_history(session.market), sale_id)
        if sale.purchase.buyer != signer.address:
            raise Permanent(f"{signer.address} is not the buyer of this sale")
        bond = format_amount(sale.purchase.terms.effective_bond)
        agree(f"Give the dispute up, and the bond of {bond} with it?", yes or as_json)
        receipt = await close(session, signer, "concede", sale)
    emit(
        {"id": sale.copy_id, **receipt_json(receipt)}, as_json, f"Conceded {receipt_text(receipt)}."
    )


@buyer.command()
@click.argument("sale_id", metavar="ID")
@evidence_options
@account_option
@yes_option
@json_option
@asynchronous
async def dispute(
    sale_id: str,
    text: str | None,
    attachment: Path | None,
    account: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Asks the arbitrator to rule. It takes the bond, which the loser loses."""
    settings = Settings.load()
    windows = settings.deployment.windows
    async with connect(settings) as session:
        history = await read_history(session.market)
        sale = find_sale(history, sale_id)
        purchase, terms = sale.purchase, sale.purchase.terms
        if terms.arbitrator == ZERO_ADDRESS:
            raise Permanent("the item names no arbitrator, so nobody could rule on a dispute")
        if sale.status != Status.COMPLETE:
            raise Permanent(
                f"only a complete sale can be disputed; this one is {state_text(sale, Tokens())}"
            )
        signer = open_signer(settings, ROLE, account)
        note(
            f"Arbitrator {terms.arbitrator} rules until about block "
            f"{history.head + 1 + windows.arbitration_blocks}; if he does not, the seller is paid"
        )
        note(f"Bond       {format_amount(terms.effective_bond)}: you lose it if you lose")
        agree("Dispute the sale?", yes or as_json)
        evidence = await publish_evidence(session.blocks, purchase.copy_id, text, attachment)
        receipt = await session.send(
            signer,
            "openDispute",
            purchase.copy_id,
            sale_of(purchase),
            escrow_of(purchase),
            evidence.digest if evidence else ZERO32,
            value=terms.effective_bond,
        )
    emit(
        {
            "id": sale.copy_id,
            "bond": str(terms.effective_bond),
            "evidence": str(evidence) if evidence else None,
            "ruleUntil": receipt.block + windows.arbitration_blocks,
            **receipt_json(receipt),
        },
        as_json,
        f"Disputed {receipt_text(receipt)}. Evidence: {evidence or 'none'}.",
    )
