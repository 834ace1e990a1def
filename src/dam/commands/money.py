"""``dam balance``, ``dam withdraw`` and ``dam settle``."""

from __future__ import annotations

from typing import Any

import click

from dam.amounts import format_amount
from dam.commands.base import (
    ADDRESS,
    Session,
    account_option,
    address_option,
    agree,
    asynchronous,
    connect,
    emit,
    json_option,
    open_signer,
    receipt_json,
    receipt_text,
    role_address,
    to_option,
    yes_option,
)
from dam.commands.sales import close, find_sale
from dam.config import Settings
from dam.history import read_history
from dam.types import ZERO_ADDRESS, Address, DelivererRegistered

_ROLE = "default"


async def _owned(session: Session, owner: Address) -> list[Address]:
    """Operators whose earnings belong to an address."""
    logs = (await read_history(session.market)).logs
    return [
        log.operator for log in logs if isinstance(log, DelivererRegistered) if log.owner == owner
    ]


@click.command()
@account_option
@address_option
@json_option
@asynchronous
async def balance(account: str | None, address: Address | None, as_json: bool) -> None:
    """Shows coins, credits, stakes and earnings of an account."""
    settings = Settings.load()
    who = address or role_address(settings, _ROLE, account)
    async with connect(settings) as session:
        market = session.market
        coins = await session.balance(who)
        credit = await market.credits(who)
        free = await market.seller_stake(who)
        operators = await _owned(session, who)
        infos = await market.deliverers(operators)
    deliverers = [
        {"operator": operator, "stake": str(info.stake), "earned": str(info.earned)}
        for operator, info in zip(operators, infos, strict=True)
    ]
    lines = [
        f"Account          {who}",
        f"Coins            {format_amount(coins)}",
        f"Credit           {format_amount(credit)} in the market, to withdraw",
        f"Seller's stake   {format_amount(free)} free",
    ]
    for operator, info in zip(operators, infos, strict=True):
        lines.append(f"Deliverer        {operator}")
        lines.append(f"  stake          {format_amount(info.stake)}")
        lines.append(f"  earned         {format_amount(info.earned)}, to withdraw")
    value = {
        "account": who,
        "balance": str(coins),
        "credit": str(credit),
        "sellerStake": str(free),
        "deliverers": deliverers,
    }
    emit(value, as_json, "\n".join(lines))


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
    signer = open_signer(settings, _ROLE, account)
    recipient = to or signer.address
    sent: list[dict[str, Any]] = []
    lines = []
    async with connect(settings) as session:
        credit = await session.market.credits(signer.address)
        owned = list(operators) or await _owned(session, signer.address)
        infos = await session.market.deliverers(owned)
        due = [(o, i.earned) for o, i in zip(owned, infos, strict=True) if i.earned]
        total = credit + sum(earned for _, earned in due)
        if total:
            agree(f"Withdraw {format_amount(total)} to {recipient}?", yes or as_json)
        if credit:
            receipt = await session.send(signer, "withdraw", ZERO_ADDRESS, recipient)
            sent.append({"what": "credit", "amount": str(credit), **receipt_json(receipt)})
            lines.append(f"Credit {format_amount(credit)} {receipt_text(receipt)}")
        for operator, earned in due:
            receipt = await session.send(signer, "withdrawEarnings", operator, recipient)
            entry = {"what": "earnings", "operator": operator, "amount": str(earned)}
            sent.append({**entry, **receipt_json(receipt)})
            lines.append(f"Earnings of {operator}: {format_amount(earned)} {receipt_text(receipt)}")
    emit(
        {"to": recipient, "total": str(total), "transactions": sent},
        as_json,
        "\n".join([*lines, f"{format_amount(total)} went to {recipient}."])
        if total
        else f"The market owes {signer.address} nothing.",
    )


@click.command()
@click.argument("sale_id", metavar="ID")
@account_option
@json_option
@asynchronous
async def settle(sale_id: str, account: str | None, as_json: bool) -> None:
    """Settles a sale whose time to dispute, or to rule, is over. Anyone may."""
    settings = Settings.load()
    signer = open_signer(settings, _ROLE, account)
    async with connect(settings) as session:
        sale = find_sale(await read_history(session.market), sale_id)
        receipt = await close(session, signer, "settle", sale)
    emit(
        {"id": sale.copy_id, **receipt_json(receipt)},
        as_json,
        f"Settled {receipt_text(receipt)}. Next: dam withdraw",
    )
