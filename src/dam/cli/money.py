"""``dam balance``, ``dam withdraw`` and ``dam settle``."""

from __future__ import annotations

from typing import Any

import click

from dam.cli.deliverer.view import slash_text
from dam.cli.errors import refusal_text
from dam.cli.markets import every_market
from dam.cli.session import (
    ADDRESS,
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
    to_option,
    yes_option,
)
from dam.config.settings import Settings
from dam.errors import Permanent
from dam.market.log_history import read_history
from dam.roles import accounts
from dam.roles.accounts import Due, Statement, Withdrawn
from dam.roles.sales import end_sale, find_sale, plan_settlement
from dam.types import Address
from dam.units import format_amount

_ANYBODY = "default"
"""The settings' account for every role that has none of its own."""


@click.command()
@account_option
@address_option
@json_option
@every_market
@asynchronous
async def balance(account: str | None, address: Address | None, as_json: bool) -> None:
    """Shows coins, credits, stakes and earnings of an account."""
    settings = Settings.load()
    who = address or role_address(settings, _ANYBODY, account)
    async with connect(settings) as session:
        statement = await accounts.read_statement(session.market, who)
    print_result(_statement_json(statement), as_json, _statement_text(statement))


def _statement_json(found: Statement) -> dict[str, Any]:
    return {
        "account": found.account,
        "balance": str(found.coins),
        "credit": str(found.credit),
        "sellerStake": str(found.free_stake),
        "boundStake": str(found.bound_stake),
        "tokens": [
            {
                "token": holding.token.address,
                "symbol": holding.token.symbol or None,
                "decimals": holding.token.decimals,
                "balance": str(holding.balance),
                "credit": str(holding.credit),
            }
            for holding in found.holdings
        ],
        "deliverers": [
            {
                "operator": one.operator,
                "stake": str(one.info.stake),
                "earned": str(one.info.earned),
                "exitTime": one.info.exit_time,
                "frozenUntil": one.slash.last if one.slash else 0,
            }
            for one in found.deliverers
        ],
    }


def _statement_text(found: Statement) -> str:
    free, bound = format_amount(found.free_stake), format_amount(found.bound_stake)
    lines = [
        f"Account          {found.account}",
        f"Coins            {format_amount(found.coins)}",
        f"Credit           {format_amount(found.credit)} in the market, to withdraw",
        f"Seller's stake   {free} free, {bound} bound in open sales",
    ]
    for holding in found.holdings:
        lines.append(
            f"Token            {holding.token.text(holding.balance)} {holding.token.address}"
        )
        lines.append(f"  credit         {holding.token.text(holding.credit)}, to withdraw")
    for one in found.deliverers:
        lines.append(f"Deliverer        {one.operator}")
        lines.append(f"  stake          {format_amount(one.info.stake)}")
        lines.append(f"  earned         {format_amount(one.info.earned)}, to withdraw")
        if one.slash:
            lines.append(f"  frozen         {slash_text(one.slash)}")
    return "\n".join(lines)


@click.command()
@click.option(
    "--operator",
    "operators",
    type=ADDRESS,
    multiple=True,
    help="Also the earnings of this deliverer, which the account owns. [default: all of them]",
)
@to_option
@account_option
@yes_option
@json_option
@asynchronous
async def withdraw(
    operators: tuple[Address, ...],
    to: Address | None,
    account: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Takes everything that the market owes an account: credits, and earnings of its deliverers.

    Stakes stay: `dam seller unstake` and `dam deliverer withdraw-stake` take those.
    """
    settings = Settings.load()
    signer = open_signer(settings, _ANYBODY, account)
    recipient = to or signer.address
    done: list[Withdrawn] = []
    async with connect(settings) as session:
        plan = await accounts.plan_withdrawal(session.market, signer.address, operators)
        # Coins are asked for in one sum, wherever in the market they are.
        total = sum(due.amount for due in plan if due.token.native)
        wanted = [format_amount(total)] if total else []
        wanted += [due.token.text(due.amount) for due in plan if not due.token.native]
        if wanted:
            confirm_or_abort(f"Withdraw {', '.join(wanted)} to {recipient}?", yes or as_json)
        wallet = session.wallet(signer)
        try:
            async for one in accounts.withdraw(session.market, wallet, plan, recipient):
                if one.error:
                    amount = one.due.token.text(one.due.amount)
                    print_note(f"{amount} stays in the market: {refusal_text(one.error)}")
                done.append(one)
        except BaseException:
            # What went before it went.
            for one in done:
                if one.receipt:
                    print_note(f"{_due_text(one.due)} {one.receipt}")
            raise
    failed = [one for one in done if one.error]
    print_result(
        {
            "to": recipient,
            "total": str(total),
            "transactions": [_withdrawn_json(one) for one in done if not one.error],
            "failed": [{"token": one.due.token.address, "error": str(one.error)} for one in failed],
        },
        as_json,
        _withdrawn_text(done, recipient)
        if wanted
        else f"The market owes {signer.address} nothing.",
    )
    if failed:
        # A script must not take this for done.
        raise Permanent(
            f"{len(failed)} of {len(wanted)} stayed in the market, and nothing of it is lost: try "
            "again later, or with --to another address"
        )


def _withdrawn_json(one: Withdrawn) -> dict[str, Any]:
    due = one.due
    value: dict[str, Any] = {"what": "credit" if due.operator is None else "earnings"}
    if due.operator is not None:
        value["operator"] = due.operator
    if not due.token.native:
        value["token"] = due.token.address
    value["amount"] = str(due.amount)
    return value | (receipt_json(one.receipt) if one.receipt else {})


def _withdrawn_text(done: list[Withdrawn], recipient: Address) -> str:
    sent = [one for one in done if not one.error]
    lines = [f"{_due_text(one.due)} {one.receipt}" for one in sent]
    if not sent:
        return "Nothing moved."
    what = "All of it" if len(sent) == len(done) else "The rest"
    return "\n".join([*lines, f"{what} went to {recipient}."])


def _due_text(due: Due) -> str:
    amount = due.token.text(due.amount)
    return f"Credit {amount}" if due.operator is None else f"Earnings of {due.operator}: {amount}"


@click.command()
@click.argument("sale_id", metavar="ID")
@account_option
@json_option
@asynchronous
async def settle(sale_id: str, account: str | None, as_json: bool) -> None:
    """Settles a sale whose time to dispute, or to rule, is over. Anyone may."""
    settings = Settings.load()
    signer = open_signer(settings, _ANYBODY, account)
    async with connect(settings) as session:
        sale = find_sale(await read_history(session.market), sale_id)
        ending = plan_settlement(sale)
        ended = await end_sale(session.market, session.wallet(signer), ending)
    print_result(
        {"id": sale.copy_id, **receipt_json(ended.receipt)},
        as_json,
        f"Settled {ended.receipt}. Next: dam withdraw",
    )
