"""``evidence`` of buyer, seller and arbiter, and ``dam buyer rate``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dam.cli.session import (
    account_option,
    asynchronous,
    confirm_or_abort,
    connect,
    json_option,
    open_signer,
    print_result,
    receipt_json,
    yes_option,
)
from dam.config.settings import Settings
from dam.market.log_history import read_history
from dam.roles import disputes
from dam.roles.sales import check_can_be_rated, find_sale, rate_sale


def evidence_options(command: Any) -> Any:
    """``--text`` and ``--file``."""
    command = click.option(
        "--file",
        "attachment",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Evidence of at most 1 MiB. Everybody can read it: no secrets.",
    )(command)
    return click.option("--text", help="What is wrong, in a sentence; the arbitrator reads it.")(
        command
    )


def evidence_command(role: str) -> click.Command:
    """``dam <role> evidence``."""

    @click.command("evidence", help="Publishes evidence in a dispute, for everybody to read.")
    @click.argument("sale_id", metavar="ID")
    @evidence_options
    @account_option
    @yes_option
    @json_option
    @asynchronous
    async def evidence(
        sale_id: str,
        text: str | None,
        attachment: Path | None,
        account: str | None,
        yes: bool,
        as_json: bool,
    ) -> None:
        settings = Settings.load()
        if text is None and attachment is None:
            raise click.UsageError("give --text, --file or both")
        async with connect(settings) as session:
            sale = find_sale(await read_history(session.market), sale_id)
            disputes.check_disputed(sale)
            signer = open_signer(settings, role, account)
            disputes.check_may_give_evidence(sale, signer.address)
            confirm_or_abort("Publish it, for everybody to read and for good?", yes or as_json)
            submitted = await disputes.submit_evidence(
                session.market,
                session.blocks,
                session.wallet(signer),
                sale,
                text=text,
                attachment=attachment,
            )
        print_result(
            {"id": sale.copy_id, "evidence": submitted.uri, **receipt_json(submitted.receipt)},
            as_json,
            f"Evidence {submitted.uri} published {submitted.receipt}.",
        )

    return evidence


@click.command()
@click.argument("sale_id", metavar="ID")
@click.argument("stars", type=click.IntRange(1, 5))
@account_option
@json_option
@asynchronous
async def rate(sale_id: str, stars: int, account: str | None, as_json: bool) -> None:
    """Rates a sale that ended, however, with 1 to 5 STARS, once; other buyers see the average."""
    settings = Settings.load()
    async with connect(settings) as session:
        history = await read_history(session.market)
        sale = find_sale(history, sale_id)
        check_can_be_rated(history, sale)
        wallet = session.wallet(open_signer(settings, "buyer", account))
        receipt = await rate_sale(session.market, wallet, history, sale, stars)
    print_result(
        {"id": sale.copy_id, "stars": stars, **receipt_json(receipt)},
        as_json,
        f"Rated {receipt}.",
    )
