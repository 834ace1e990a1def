"""``evidence`` of buyer, seller and arbiter, and ``dam buyer rate``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dam.cli.sale_views import find_sale, state_text
from dam.cli.session import (
    account_option,
    agree,
    asynchronous,
    connect,
    emit,
    hexed,
    json_option,
    open_signer,
    receipt_json,
    receipt_text,
    yes_option,
)
from dam.config.settings import Settings
from dam.crypto.hashing import escrow_of, sale_of
from dam.errors import Permanent
from dam.ethereum.erc20 import Tokens
from dam.ipfs import dag_json
from dam.ipfs.blocks import BLOCK_BYTES, BlockStore
from dam.ipfs.cid import Cid
from dam.market.log_history import read_history
from dam.market.reputation import stars_of
from dam.types import Status
from dam.validation import title


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


async def publish_evidence(
    blocks: BlockStore, copy_id: bytes, text: str | None, attachment: Path | None
) -> Cid | None:
    """Puts and pins the evidence: ``name``, ``description`` and a link ``file``, as in ERC-1497."""
    if text is None and attachment is None:
        return None
    value: dict[str, Any] = {
        "name": f"Dispute of sale {hexed(copy_id)}",
        "description": title(text or "See the file.", "--text"),
    }
    if attachment is not None:
        with attachment.open("rb") as file:
            data = file.read(BLOCK_BYTES + 1)
        if len(data) > BLOCK_BYTES:
            raise Permanent(f"{attachment} is over 1 MiB: the evidence is one file of at most that")
        value["file"] = {"/": str(await blocks.put("raw", data))}
    cid = await blocks.put("dag-json", dag_json.dumps(value))
    await blocks.pin(cid)
    return cid


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
            purchase = sale.purchase
            if sale.status != Status.DISPUTED:
                raise Permanent(f"nobody disputes this sale: it is {state_text(sale, Tokens())}")
            signer = open_signer(settings, role, account)
            parties = (purchase.buyer, purchase.seller, purchase.terms.arbitrator)
            if signer.address not in parties:
                raise Permanent(f"{signer.address} is no party to this dispute")
            agree("Publish it, for everybody to read and for good?", yes or as_json)
            cid = await publish_evidence(session.blocks, purchase.copy_id, text, attachment)
            uri = f"/ipfs/{cid}"
            receipt = await session.send(
                signer,
                "submitEvidence",
                purchase.copy_id,
                sale_of(purchase),
                escrow_of(purchase),
                uri,
            )
        emit(
            {"id": sale.copy_id, "evidence": uri, **receipt_json(receipt)},
            as_json,
            f"Evidence {uri} published {receipt_text(receipt)}.",
        )

    return evidence


@click.command()
@click.argument("sale_id", metavar="ID")
@click.argument("stars", type=click.IntRange(1, 5))
@account_option
@json_option
@asynchronous
async def rate(sale_id: str, stars: int, account: str | None, as_json: bool) -> None:
    """Rates a settled sale with 1 to 5 STARS, once; other buyers see the average."""
    settings = Settings.load()
    async with connect(settings) as session:
        history = await read_history(session.market)
        sale = find_sale(history, sale_id)
        if sale.status != Status.SETTLED:
            raise Permanent(
                f"only a settled sale can be rated; this one is {state_text(sale, Tokens())}"
            )
        if sale.copy_id in stars_of(history.logs):
            raise Permanent("the sale is rated already, and a rating stays")
        signer = open_signer(settings, "buyer", account)
        if sale.purchase.buyer != signer.address:
            raise Permanent(f"{signer.address} is not the buyer of this sale")
        receipt = await session.send(
            signer, "rateSale", sale.copy_id, sale_of(sale.purchase), stars
        )
    emit(
        {"id": sale.copy_id, "stars": stars, **receipt_json(receipt)},
        as_json,
        f"Rated {receipt_text(receipt)}.",
    )
