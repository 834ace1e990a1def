"""``dam sale agree``: buyer and seller end a sale together."""

from __future__ import annotations

from pathlib import Path

import click

from dam.cli.session import (
    AMOUNT,
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
    yes_option,
)
from dam.config.settings import Settings
from dam.errors import Malformed
from dam.market.log_history import read_history
from dam.roles.agreements import (
    Money,
    Party,
    accept_offer,
    offered_sale,
    plan_acceptance,
    plan_offer,
    read_offer,
    sign_offer,
    write_offer,
)
from dam.roles.new_files import check_new_file
from dam.roles.sales import find_sale, sale_tokens, short_id
from dam.units import format_time


@click.group(cls=Group)
def sale() -> None:
    """What buyer and seller do together."""


@sale.group(cls=Group)
def agree() -> None:
    """End a sale by any split of price and penalty that both sides sign.

    One side makes an offer, a file, and sends it to the other, who accepts it.
    """


@agree.command()
@click.argument("sale_id", metavar="ID")
@click.option(
    "--as", "by", type=click.Choice(["buyer", "seller"]), required=True, help="Which side you are."
)
@click.option(
    "--to-buyer",
    required=True,
    metavar="AMOUNT",
    help="What of the price goes back to the buyer: 50%, '0.1 ether', 0 ...",
)
@click.option(
    "--penalty", type=AMOUNT, default=0, help="What of the penalty the buyer gets. [default: none]"
)
@click.option(
    "--to-arbitrator",
    type=AMOUNT,
    help="In a dispute, of both bonds. [default: as little as possible]",
)
@click.option(
    "--hours", type=click.IntRange(1, 720), default=24, show_default=True, help="How long it holds."
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write it. [default: agreement-ID.json here]",
)
@account_option
@yes_option
@json_option
@asynchronous
async def offer(
    sale_id: str,
    by: Party,
    to_buyer: str,
    penalty: int,
    to_arbitrator: int | None,
    hours: int,
    out: Path | None,
    account: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Signs an offer to end a sale, and writes it to a file for the other side."""
    settings = Settings.load()
    signer = open_signer(settings, by, account)
    async with connect(settings) as session:
        history = await read_history(session.market)
        found = find_sale(history, sale_id)
        path = out or Path(f"agreement-{short_id(found.copy_id)}.json")
        check_new_file(path)
        tokens = await sale_tokens(session.market, [found])
        try:
            plan = await plan_offer(
                session.market,
                history,
                found,
                tokens,
                by=by,
                address=signer.address,
                to_buyer=to_buyer,
                penalty=penalty,
                to_arbitrator=to_arbitrator,
                seconds=hours * 3600,
            )
        except Malformed as error:
            raise click.BadParameter(str(error), param_hint="--to-buyer") from None
        for line in plan.money.lines(found):
            print_note(line)
        until = format_time(plan.split.deadline)
        print_note(f"Until       {until}, unless the sale's state changes before")
        confirm_or_abort("Sign this? The other side alone decides then.", yes or as_json)
        made = sign_offer(session.market, session.wallet(signer), plan)
    write_offer(path, made)
    other = "seller" if by == "buyer" else "buyer"
    print_result(
        {
            "id": found.copy_id,
            "file": str(path),
            "deadline": plan.split.deadline,
            **_money_json(plan.money),
        },
        as_json,
        f"Signed, until {until}: {path}.\nSend it to the {other}: dam sale agree accept {path}",
    )


@agree.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@account_option
@yes_option
@json_option
@asynchronous
async def accept(file: Path, account: str | None, yes: bool, as_json: bool) -> None:
    """Checks the other side's offer, shows who gets what, and carries it out."""
    settings = Settings.load()
    offered = read_offer(file)
    signer = open_signer(settings, "seller" if offered.by == "buyer" else "buyer", account)
    async with connect(settings) as session:
        market = session.market
        history = await read_history(market)
        found = offered_sale(market.deployment, history, offered)
        tokens = await sale_tokens(market, [found])
        plan = await plan_acceptance(market, history, offered, tokens, signer.address)
        for line in plan.money.lines(found):
            print_note(line)
        confirm_or_abort("End the sale so, once and for all?", yes or as_json)
        receipt = await accept_offer(market, session.wallet(signer), plan)
    print_result(
        {"id": found.copy_id, **_money_json(plan.money), **receipt_json(receipt)},
        as_json,
        f"Agreed {receipt}. Next: dam withdraw",
    )


def _money_json(money: Money) -> dict[str, str]:
    return {
        "token": money.token.address,
        "toBuyer": str(money.buyer_price),
        "penalty": str(money.buyer_penalty),
        "buyerBond": str(money.buyer_bond),
        "toSeller": str(money.seller_price),
        "sellerStake": str(money.seller_stake),
        "toArbitrator": str(money.arbitrator),
    }
