"""``dam seller supply``."""

from __future__ import annotations

import click

from dam.cli.session import (
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
    yes_option,
)
from dam.config.settings import Settings
from dam.crypto.derivation import SellerSeed
from dam.keystore.key_files import load_seed
from dam.market.log_history import read_history
from dam.roles.sales import find_sale
from dam.roles.seller.listings import Catalogue
from dam.roles.seller.own_parts import OwnParts
from dam.roles.seller.supplying import plan_supply, send_supply


@click.command()
@click.argument("sale_id", metavar="ID")
@click.option(
    "--part",
    "numbers",
    type=click.IntRange(1, 32),
    multiple=True,
    help="Which part, from 1 on; may be repeated. [default: what a watchdog would supply]",
)
@account_option
@yes_option
@json_option
@asynchronous
async def supply(
    sale_id: str, numbers: tuple[int, ...], account: str | None, yes: bool, as_json: bool
) -> None:
    """Publishes parts once more that are there, for a buyer who cannot open them.

    A watchdog does it by itself, in a dispute and after a proof of junk that came too late; this is
    for when it is away. Earlier, have the buyer prove junk: a supply spares its sender the fine.
    """
    settings = Settings.load()
    signer = open_signer(settings, "seller", account)
    seed = SellerSeed(load_seed(settings.keys.seller, "seller-seed", key_passphrase()))
    async with connect(settings) as session:
        history = await read_history(session.market)
        plan = await plan_supply(
            session.market,
            OwnParts(seed, Catalogue(settings.catalogue)),
            find_sale(history, sale_id),
            signer.address,
            [number - 1 for number in numbers],
        )
        parts = ", ".join(str(index + 1) for index in plan.indexes)
        print_note(f"It costs gas alone, and gives the buyer part {parts} once more")
        confirm_or_abort("Supply it?", yes or as_json)
        receipt = await send_supply(session.market, session.wallet(signer), plan)
    print_result(
        {"id": plan.sale.copy_id, "parts": plan.indexes, **receipt_json(receipt)},
        as_json,
        f"Supplied part {parts} {receipt}.",
    )
