"""``dam seller``: stake, store and sales."""

from __future__ import annotations

import click

from dam.cli.evidence import evidence_command
from dam.cli.seller.publish import close_item, close_store, publish, update, withdraw_codes
from dam.cli.seller.sales import concede, sales
from dam.cli.seller.supply import supply
from dam.cli.session import (
    ADDRESS,
    AMOUNT,
    Group,
    account_option,
    asynchronous,
    confirm_or_abort,
    connect,
    json_option,
    open_signer,
    print_result,
    receipt_json,
    to_option,
    yes_option,
)
from dam.config.settings import Settings
from dam.types import ZERO_ADDRESS, Address
from dam.units import format_amount


@click.group(cls=Group)
def seller() -> None:
    """Sell: put up a stake, publish a store from files, look after the sales."""


for _command in (
    publish,
    update,
    close_store,
    close_item,
    withdraw_codes,
    sales,
    concede,
    supply,
    evidence_command("seller"),
):
    seller.add_command(_command)


# ------------------------------------------------------------------------------------------ stake


@seller.command()
@click.argument("amount", type=AMOUNT)
@account_option
@yes_option
@json_option
@asynchronous
async def stake(amount: int, account: str | None, yes: bool, as_json: bool) -> None:
    """Adds AMOUNT to the free stake, which backs sales: '0.5 ether'."""
    settings = Settings.load()
    signer = open_signer(settings, "seller", account)
    async with connect(settings) as session:
        confirm_or_abort(f"Stake {format_amount(amount)} from {signer.address}?", yes or as_json)
        receipt = await session.send(signer, "stakeAsSeller", value=amount)
        free = await session.market.seller_stake(signer.address)
    print_result(
        {**receipt_json(receipt), "seller": signer.address, "free": str(free)},
        as_json,
        f"Staked {receipt}.\nFree stake: {format_amount(free)}. "
        "Next: dam seller publish store.toml",
    )


@seller.command()
@click.argument("amount", type=AMOUNT)
@to_option
@account_option
@yes_option
@json_option
@asynchronous
async def unstake(
    amount: int, to: Address | None, account: str | None, yes: bool, as_json: bool
) -> None:
    """Takes AMOUNT of the free stake back, at once. What open sales have bound stays."""
    settings = Settings.load()
    signer = open_signer(settings, "seller", account)
    recipient = to or signer.address
    async with connect(settings) as session:
        confirm_or_abort(f"Take {format_amount(amount)} to {recipient}?", yes or as_json)
        receipt = await session.send(signer, "withdrawSellerStake", amount, recipient)
        free = await session.market.seller_stake(signer.address)
    print_result(
        {**receipt_json(receipt), "to": recipient, "free": str(free)},
        as_json,
        f"Taken {receipt}. Free stake: {format_amount(free)}.",
    )


@seller.command()
@click.argument("address", metavar="ADDRESS|none")
@account_option
@json_option
@asynchronous
async def operator(address: str, account: str | None, as_json: bool) -> None:
    """Names the account of the watchdog. It delivers, supplies, settles; it takes no money."""
    who = ZERO_ADDRESS if address == "none" else ADDRESS.convert(address, None, None)
    settings = Settings.load()
    signer = open_signer(settings, "seller", account)
    async with connect(settings) as session:
        receipt = await session.send(signer, "setSellerOperator", who)
    print_result(
        {**receipt_json(receipt), "operator": who},
        as_json,
        f"Operator {'removed' if who == ZERO_ADDRESS else who} {receipt}.",
    )
