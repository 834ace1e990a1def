"""``dam arbiter``: cases and rulings."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from dam.cli.evidence import evidence_command
from dam.cli.markets import every_market
from dam.cli.sale_views import sale_json
from dam.cli.session import (
    Group,
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
    to_hex,
    yes_option,
)
from dam.config.settings import Settings
from dam.errors import Malformed
from dam.ethereum.erc20 import Tokens
from dam.ipfs.cid import Cid
from dam.market.log_history import (
    EVIDENCE,
    read_arbiter_record,
    read_deadlines,
    read_history,
)
from dam.roles.arbiter import CaseFile, find_cases, plan_ruling, read_case, send_ruling
from dam.roles.sales import find_sale, sale_tokens
from dam.types import Address, Clock, Deadlines
from dam.units import format_amount, format_span, format_time


@click.group(cls=Group)
def arbiter() -> None:
    """Rule on disputes of sales that name you as their arbitrator."""


arbiter.add_command(evidence_command("arbiter"))


@arbiter.command()
@click.option("--all", "everybody", is_flag=True, help="Cases of every arbitrator.")
@account_option
@address_option
@json_option
@every_market
@asynchronous
async def cases(
    everybody: bool, account: str | None, address: Address | None, as_json: bool
) -> None:
    """Lists open disputes: the item, the evidence, and until when to rule."""
    settings = Settings.load()
    who = None if everybody else address or role_address(settings, "arbiter", account)
    async with connect(settings) as session:
        market, blocks = session.market, session.blocks
        history = await read_history(market, also=EVIDENCE)
        found = find_cases(history.state, who)
        tokens = await sale_tokens(market, [case.sale for case in found])
        files = [
            await read_case(market, blocks, history, case, notice=print_note) for case in found
        ]
        times = await read_deadlines(market, history.head, [case.sale for case in found])
        record = (
            await read_arbiter_record(market, history.state, history.clock, who) if who else None
        )
    clock = history.clock
    human = "\n".join(_case_text(f, times[f.case.sale.copy_id], clock, tokens) for f in files)
    human = human or "No dispute waits for a ruling."
    value: dict[str, Any] = {
        "block": history.head,
        "cases": [_case_json(f, times[f.case.sale.copy_id], clock) for f in files],
    }
    if record is not None:
        value["record"] = asdict(record)
        human += f"\nRecord of {who}: {record}, {record.waiting} waiting."
    print_result(value, as_json, human)


def _case_json(file: CaseFile, deadlines: Deadlines, clock: Clock) -> dict[str, Any]:
    case, item = file.case, file.item
    return {
        **sale_json(case.sale, deadlines, clock),
        "evidenceCid": str(case.evidence) if case.evidence else None,
        "evidence": file.words,
        "ruleUntil": deadlines.ruling,
        "paidFrom": deadlines.arbitrator_paid_from,
        "moreEvidence": [{"who": e.who, "uri": e.uri, "words": e.words} for e in file.more],
        "item": item.name if item else None,
        "title": item.title if item else None,
        "metadata": item.metadata if item else None,
    }


def _case_text(file: CaseFile, deadlines: Deadlines, clock: Clock, tokens: Tokens) -> str:
    case, item = file.case, file.item
    purchase, terms = case.sale.purchase, case.sale.purchase.terms
    name = f"{item.name}: {item.title}" if item else to_hex(terms.item_id)
    until, paid_from = format_time(deadlines.ruling), format_time(deadlines.arbitrator_paid_from)
    if clock.time < deadlines.ruling:
        until += f", in {format_span(deadlines.ruling - clock.time)}"
    else:
        until += " (too late: anyone settles it)"
    bond = format_amount(terms.effective_bond)
    lines = [
        f"Case        {to_hex(case.sale.copy_id)}",
        f"  item      {name}, copy {purchase.copy + 1}",
        f"  document  {Cid('dag-json', purchase.store_digest)}",
        f"  seller    {purchase.seller}",
        f"  buyer     {purchase.buyer}",
        f"  price     {tokens.text(terms.token, terms.price)}",
        f"  penalty   {format_amount(terms.penalty)}",
        f"  you earn  {bond}, whichever way you rule; from {paid_from} on also if a side gives in",
        f"  evidence  {case.evidence or 'none'} {file.words}".rstrip(),
        *(f"  more      {e.who}: {e.uri} {e.words}".rstrip() for e in file.more),
        f"  rule      until {until}",
    ]
    return "\n".join(lines)


@arbiter.command()
@click.argument("sale_id", metavar="ID")
@click.option(
    "--to-buyer",
    required=True,
    metavar="AMOUNT",
    help="What of the price goes back to the buyer: 50%, '0.1 ether', 0 ...",
)
@click.option(
    "--penalty/--no-penalty", required=True, help="Whether the buyer gets the penalty, too."
)
@account_option
@yes_option
@json_option
@asynchronous
async def rule(
    sale_id: str, to_buyer: str, penalty: bool, account: str | None, yes: bool, as_json: bool
) -> None:
    """Rules on a dispute, once and for all."""
    settings = Settings.load()
    async with connect(settings) as session:
        sale = find_sale(await read_history(session.market), sale_id)
        try:
            ruling = await plan_ruling(session.market, sale, to_buyer, with_penalty=penalty)
        except Malformed as error:
            raise click.BadParameter(str(error), param_hint="--to-buyer") from None
        purchase, token = sale.purchase, ruling.token
        print_note(f"Buyer    {purchase.buyer}: {token.text(ruling.to_buyer)} of the price")
        print_note(f"Seller   {purchase.seller}: {token.text(ruling.to_seller)}")
        print_note(f"Penalty  {format_amount(ruling.penalty) if penalty else 'none'} to the buyer")
        loser = "seller" if ruling.seller_loses else "buyer"
        print_note(f"Bond     of the {loser}, who loses, goes to you")
        signer = open_signer(settings, "arbiter", account)
        confirm_or_abort("Rule so?", yes or as_json)
        receipt = await send_ruling(session.market, session.wallet(signer), ruling)
    print_result(
        {
            "id": sale.copy_id,
            "toBuyer": str(ruling.to_buyer),
            "penalty": str(ruling.penalty),
            **receipt_json(receipt),
        },
        as_json,
        f"Ruled {receipt}. Next: dam withdraw",
    )
