"""``dam balance``, ``dam withdraw`` and ``dam settle``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import click

from dam.cli.deliverer.view import slash_text
from dam.cli.errors import explain
from dam.cli.sale_views import close, find_sale
from dam.cli.session import (
    ADDRESS,
    Session,
    account_option,
    address_option,
    agree,
    asynchronous,
    connect,
    emit,
    json_option,
    note,
    open_signer,
    receipt_json,
    receipt_text,
    role_address,
    to_option,
    yes_option,
)
from dam.config.settings import Settings
from dam.errors import ContractReverted, Permanent
from dam.ethereum.erc20 import Token, balances, read_tokens
from dam.market.log_history import History, read_history
from dam.market.reputation import bound_stake, proposed_slashes
from dam.types import ZERO_ADDRESS, Address, DelivererRegistered
from dam.units import format_amount

_ROLE = "default"


@dataclass(frozen=True)
class _Holding:
    """A token that sales of an account name."""

    token: Token
    balance: int
    credit: int


async def _holdings(session: Session, history: History, who: Address) -> list[_Holding]:
    """All tokens that an account's sales name, with what it has and is owed of each."""
    sales = [s.purchase for s in history.book.sales.values()]
    wanted = {p.terms.token for p in sales if who in (p.seller, p.buyer)} - {ZERO_ADDRESS}
    tokens = await read_tokens(session.rpc, wanted)
    found = await balances(session.rpc, sorted(wanted), who)
    owed = await session.market.calls([("credits", (who, token)) for token in found])
    return [
        _Holding(tokens[token], held, int(credit))
        for (token, held), (credit,) in zip(found.items(), owed, strict=True)
    ]


def _owned(history: History, owner: Address) -> list[Address]:
    """Operators whose earnings belong to an address."""
    logs = history.logs
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
        history = await read_history(session.market)
        operators = _owned(history, who)
        infos = await market.deliverers(operators)
        bound = bound_stake(history.book, who)
        holdings = await _holdings(session, history, who)
    frozen = {s.operator: s for s in proposed_slashes(history.logs, history.head)}
    deliverers = [
        {
            "operator": operator,
            "stake": str(info.stake),
            "earned": str(info.earned),
            "exitBlock": info.exit_block,
            "frozenUntil": frozen[operator].last if operator in frozen else 0,
        }
        for operator, info in zip(operators, infos, strict=True)
    ]
    lines = [
        f"Account          {who}",
        f"Coins            {format_amount(coins)}",
        f"Credit           {format_amount(credit)} in the market, to withdraw",
        f"Seller's stake   {format_amount(free)} free, {format_amount(bound)} bound in open sales",
    ]
    for holding in holdings:
        lines.append(
            f"Token            {holding.token.text(holding.balance)} {holding.token.address}"
        )
        lines.append(f"  credit         {holding.token.text(holding.credit)}, to withdraw")
    for operator, info in zip(operators, infos, strict=True):
        lines.append(f"Deliverer        {operator}")
        lines.append(f"  stake          {format_amount(info.stake)}")
        lines.append(f"  earned         {format_amount(info.earned)}, to withdraw")
        if operator in frozen:
            slash = frozen[operator]
            lines.append(f"  frozen         {slash_text(slash)}")
    value = {
        "account": who,
        "balance": str(coins),
        "credit": str(credit),
        "sellerStake": str(free),
        "boundStake": str(bound),
        "tokens": [
            {
                "token": h.token.address,
                "symbol": h.token.symbol or None,
                "decimals": h.token.decimals,
                "balance": str(h.balance),
                "credit": str(h.credit),
            }
            for h in holdings
        ],
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
        history = await read_history(session.market)
        owned = list(operators) or _owned(history, signer.address)
        holdings = [h for h in await _holdings(session, history, signer.address) if h.credit]
        infos = await session.market.deliverers(owned)
        due = [(o, i.earned) for o, i in zip(owned, infos, strict=True) if i.earned]
        total = credit + sum(earned for _, earned in due)
        wanted = [format_amount(total)] if total else []
        wanted += [holding.token.text(holding.credit) for holding in holdings]
        if wanted:
            agree(f"Withdraw {', '.join(wanted)} to {recipient}?", yes or as_json)
        if credit:
            receipt = await session.send(signer, "withdraw", ZERO_ADDRESS, recipient)
            sent.append({"what": "credit", "amount": str(credit), **receipt_json(receipt)})
            lines.append(f"Credit {format_amount(credit)} {receipt_text(receipt)}")
        for operator, earned in due:
            receipt = await session.send(signer, "withdrawEarnings", operator, recipient)
            entry = {"what": "earnings", "operator": operator, "amount": str(earned)}
            sent.append({**entry, **receipt_json(receipt)})
            lines.append(f"Earnings of {operator}: {format_amount(earned)} {receipt_text(receipt)}")
        failed = []
        for holding in holdings:
            token, amount = holding.token, holding.credit
            try:
                receipt = await session.send(signer, "withdraw", token.address, recipient)
            except ContractReverted as error:
                # An odd token must not keep the others in.
                failed.append({"token": token.address, "error": str(error)})
                note(f"{token.text(amount)} stays in the market: {explain(error)}")
                continue
            entry = {"what": "credit", "token": token.address, "amount": str(amount)}
            sent.append({**entry, **receipt_json(receipt)})
            lines.append(f"Credit {token.text(amount)} {receipt_text(receipt)}")
    emit(
        {"to": recipient, "total": str(total), "transactions": sent, "failed": failed},
        as_json,
        "\n".join([*lines, _went(recipient, sent, failed)])
        if wanted
        else f"The market owes {signer.address} nothing.",
    )
    if failed:
        # A script must not take this for done.
        raise Permanent(
            f"{len(failed)} of {len(wanted)} stayed in the market, and nothing of it is lost: try "
            "again later, or with --to another address"
        )


def _went(recipient: Address, sent: list[dict[str, Any]], failed: list[dict[str, Any]]) -> str:
    if not sent:
        return "Nothing moved."
    return f"{'The rest' if failed else 'All of it'} went to {recipient}."


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
