"""``dam buyer``: the group, the list of purchases, and how a purchase ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dam.cli.buyer.browse import browse, show
from dam.cli.buyer.buy import buy, open_buyer, open_seed
from dam.cli.buyer.credit import look_for_credit
from dam.cli.buyer.open import open_good, wait
from dam.cli.buyer.prove import prove
from dam.cli.evidence import evidence_command, evidence_options, rate
from dam.cli.markets import every_market
from dam.cli.sale_views import sale_json
from dam.cli.session import (
    Group,
    account_option,
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
from dam.errors import ConfigError, KeyFileError
from dam.ethereum.erc20 import Tokens
from dam.market.log_history import read_deadlines, read_deadlines_of, read_history
from dam.market.sale_history import SaleRecord
from dam.roles import disputes
from dam.roles.buyer.purchases import purchases_of, rescan_purchases
from dam.roles.buyer.records import Record, Records, unpaid
from dam.roles.sales import (
    actions_text,
    concession_lines,
    end_sale,
    find_sale,
    plan_concession,
    plan_confirmation,
    plan_refund,
    sale_tokens,
    short_id,
    state_text,
)
from dam.types import Address, Clock, Deadlines
from dam.units import format_amount, format_time


@click.group(cls=Group)
def buyer() -> None:
    """Buy: browse, buy, wait, open; prove junk; then confirm, or get your money back."""


for _command in (browse, show, buy, wait, open_good, prove, rate, evidence_command("buyer")):
    buyer.add_command(_command)


# -------------------------------------------------------------------------------------- purchases


@buyer.command()
@click.option(
    "--rescan", is_flag=True, help="Rebuild lost records from the seed and the chain's events."
)
@account_option
@json_option
@every_market
@asynchronous
async def purchases(rescan: bool, account: str | None, as_json: bool) -> None:
    """Lists purchases: state, and what can be done now, and until when."""
    settings = Settings.load()
    records = Records(settings.purchases)
    seed = open_seed(settings) if rescan else None
    async with connect(settings) as session:
        history = await read_history(session.market)
        if seed is not None:
            made = await rescan_purchases(open_buyer(session, seed), history, notice=print_note)
            print_note(
                f"Rescanned {len(history.state.sales)} sales up to block {history.head}: "
                f"{len(made)} records rebuilt."
            )
        known = records.all()
        mine = purchases_of(history, known, _address(settings, account))
        tokens = await sale_tokens(session.market, [sale for sale, _ in mine])
        times = await read_deadlines(session.market, history.head, [sale for sale, _ in mine])
        who = _address(settings, account)
        buyers = {sale.purchase.buyer for sale, _ in mine} | ({who} if who else set())
        named = {sale.purchase.terms.token for sale, _ in mine}
        credit = await look_for_credit(session, buyers, named, account)
    lost = [
        record
        for record in unpaid(known, (sale.purchase for sale, _ in mine))
        if record.copy_id not in history.state.sales
    ]
    clock = history.clock
    values = [_purchase_json(s, record, times.get(s.copy_id), clock) for s, record in mine]
    rows = [_purchase_row(s, record, times.get(s.copy_id), clock, tokens) for s, record in mine]
    head = ("sale", "item", "copy", "price", "bought", "state", "what you can do")
    human = table(head, rows) if rows else "No purchases."
    for record in lost:
        tx = f" {to_hex(record.tx)}" if record.tx else ""
        human += (
            f"\nNot on the chain: the attempt of {record.made} to buy {record.item}; its "
            f"transaction{tx} may still be on its way, and if it is not, nothing was paid"
        )
    human += f"\nOn the chain it is {format_time(clock.time)}, in block {history.head}."
    if credit.text:
        human += f"\n{credit.text}"
    print_result(
        {
            "block": history.head,
            "purchases": values,
            "tokens": tokens.json(),
            "credits": credit.json,
            "unpaid": [{"id": r.copy_id, "item": r.item, "made": r.made, "tx": r.tx} for r in lost],
        },
        as_json,
        human,
    )


def _address(settings: Settings, account: str | None) -> Address | None:
    """Of the buyer's account; None where none is set."""
    try:
        return role_address(settings, "buyer", account)
    except (ConfigError, KeyFileError):
        if account:
            raise
        return None


def _purchase_json(
    sale: SaleRecord, record: Record | None, deadlines: Deadlines | None, clock: Clock
) -> dict[str, Any]:
    value = sale_json(sale, deadlines, clock)
    value["item"] = record.item if record else None
    value["title"] = record.title if record else None
    return value


def _purchase_row(
    sale: SaleRecord,
    record: Record | None,
    deadlines: Deadlines | None,
    clock: Clock,
    tokens: Tokens,
) -> tuple[object, ...]:
    # Whether there is junk to prove `open` and `wait` tell, which open the parts.
    can = actions_text(sale, deadlines, clock, ("buyer", "both", "anyone"), ("prove",))
    if len(sale.delivered) >= sale.purchase.terms.threshold:
        can.insert(0, "open")
    if record is None:
        can.insert(0, "--rescan first (no record of it here)")
    return (
        short_id(sale.copy_id),
        record.item if record else to_hex(sale.purchase.terms.item_id)[:10],
        sale.purchase.copy + 1,
        tokens.text(sale.purchase.terms.token, sale.purchase.terms.price),
        format_time(sale.purchase.purchase_time),
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
    signer = open_signer(settings, "buyer", account)
    async with connect(settings) as session:
        sale = find_sale(await read_history(session.market), sale_id)
        terms = sale.purchase.terms
        price = (await sale_tokens(session.market, [sale])).text(terms.token, terms.price)
        confirm_or_abort(
            f"Have you opened the good, and shall the seller get {price}?", yes or as_json
        )
        ending = plan_confirmation(sale)
        ended = await end_sale(session.market, session.wallet(signer), ending)
        credit = await look_for_credit(session, [signer.address], [terms.token], account)
    print_result(
        {"id": sale.copy_id, "credits": credit.json, **receipt_json(ended.receipt)},
        as_json,
        f"Confirmed {ended.receipt}.\nNext: dam buyer rate {short_id(sale.copy_id)} 5",
    )
    credit.show(as_json)


@buyer.command()
@click.argument("sale_id", metavar="ID")
@account_option
@json_option
@asynchronous
async def refund(sale_id: str, account: str | None, as_json: bool) -> None:
    """Takes the money of a sale back whose parts did not come in time, with the penalty."""
    settings = Settings.load()
    async with connect(settings) as session:
        history = await read_history(session.market)
        sale = find_sale(history, sale_id)
        times = await read_deadlines_of(session.market, history, sale)
        ending = plan_refund(sale, times, history.clock)
        signer = open_signer(settings, "buyer", account)
        receipt = (await end_sale(session.market, session.wallet(signer), ending)).receipt
        tokens = await sale_tokens(session.market, [sale])
        terms = sale.purchase.terms
        credit = await look_for_credit(session, [sale.purchase.buyer], [terms.token], account)
    penalty = terms.penalty
    print_result(
        {
            "id": sale.copy_id,
            "token": terms.token,
            "price": str(terms.price),
            "penalty": str(penalty),
            "credits": credit.json,
            **receipt_json(receipt),
        },
        as_json,
        f"Refunded {receipt}: {tokens.text(terms.token, terms.price)}, and "
        f"{format_amount(penalty)} of the seller's stake.\n"
        + (credit.text or "Next: dam withdraw"),
    )


@buyer.command()
@click.argument("sale_id", metavar="ID")
@account_option
@yes_option
@json_option
@asynchronous
async def concede(sale_id: str, account: str | None, yes: bool, as_json: bool) -> None:
    """Gives a dispute up: the seller gets the price and the buyer's bond.

    From a third of the arbitrator's time on the bond goes to the arbitrator.
    """
    settings = Settings.load()
    signer = open_signer(settings, "buyer", account)
    async with connect(settings) as session:
        history = await read_history(session.market)
        sale = find_sale(history, sale_id)
        times = await read_deadlines_of(session.market, history, sale)
        ending = plan_concession(sale, signer.address, "buyer", times, history.clock)
        for line in concession_lines(ending, times, await sale_tokens(session.market, [sale])):
            print_note(line)
        confirm_or_abort("Give the dispute up?", yes or as_json)
        ended = await end_sale(session.market, session.wallet(signer), ending)
        token = sale.purchase.terms.token
        credit = await look_for_credit(session, [signer.address], [token], account)
    print_result(
        {
            "id": sale.copy_id,
            "bondTo": ending.bond_to or None,
            "credits": credit.json,
            **receipt_json(ended.receipt),
        },
        as_json,
        f"Conceded {ended.receipt}.",
    )
    credit.show(as_json)


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
    async with connect(settings) as session:
        history = await read_history(session.market)
        sale = find_sale(history, sale_id)
        times = await read_deadlines_of(session.market, history, sale)
        windows = settings.deployment.windows
        plan = disputes.plan_dispute(sale, times, history.clock, windows)
        signer = open_signer(settings, "buyer", account)
        print_note(
            f"Arbitrator {sale.purchase.terms.arbitrator} rules until about "
            f"{format_time(plan.rule_until)}; without a ruling by then, the seller is paid"
        )
        if times and history.clock.time < times.proof and sale.fragments:
            print_note(
                "If parts are junk, prove it first (`dam buyer prove`): a disputed sale gets none "
                "of them back"
            )
        print_note(f"Bond       {format_amount(plan.bond)}: you lose it if you lose")
        confirm_or_abort("Dispute the sale?", yes or as_json)
        disputed = await disputes.open_dispute(
            session.market,
            session.blocks,
            session.wallet(signer),
            plan,
            text=text,
            attachment=attachment,
        )
    evidence = disputed.evidence
    print_result(
        {
            "id": sale.copy_id,
            "bond": str(disputed.bond),
            "evidence": str(evidence) if evidence else None,
            "ruleUntil": disputed.rule_until,
            **receipt_json(disputed.receipt),
        },
        as_json,
        f"Disputed {disputed.receipt}. Evidence: {evidence or 'none'}.",
    )
