"""``dam arbiter``: cases and rulings."""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from typing import Any

import click

from dam.catalog.reader import Item
from dam.cli.evidence import evidence_command
from dam.cli.sale_views import find_sale, sale_json, sale_tokens
from dam.cli.session import (
    Session,
    account_option,
    address_option,
    agree,
    asynchronous,
    connect,
    emit,
    hexed,
    json_option,
    note,
    open_signer,
    receipt_json,
    receipt_text,
    role_address,
    yes_option,
)
from dam.config.settings import Settings
from dam.crypto.hashing import escrow_of, sale_of
from dam.errors import BlockRefused, IpfsError, Malformed, Permanent
from dam.ipfs.cid import Cid
from dam.market.log_history import History, read_history
from dam.market.reputation import arbiter_record as tally
from dam.market.reputation import evidence_of
from dam.market.sale_history import SaleRecord
from dam.roles import arbiter as role
from dam.roles.buyer.buyer import read_version
from dam.types import Address, Status
from dam.units import format_amount

_ROLE = "arbiter"
_MAX_EVIDENCE = 50
"""Pieces that are shown of one case; a party could publish without end."""
_MAX_URI = 120


@click.group()
def arbiter() -> None:
    """Rule on disputes of sales that name you as their arbitrator."""


arbiter.add_command(evidence_command(_ROLE))


@arbiter.command()
@click.option("--all", "everybody", is_flag=True, help="Cases of every arbitrator.")
@account_option
@address_option
@json_option
@asynchronous
async def cases(
    everybody: bool, account: str | None, address: Address | None, as_json: bool
) -> None:
    """Lists open disputes: the item, the evidence, and until when to rule."""
    settings = Settings.load()
    who = None if everybody else address or role_address(settings, _ROLE, account)
    windows = settings.deployment.windows
    values: list[dict[str, Any]] = []
    lines: list[str] = []
    async with connect(settings) as session:
        history = await read_history(session.market)
        found = role.cases(history.book, who)
        tokens = await sale_tokens(session, [case.sale for case in found])
        for case in found:
            sale, purchase = case.sale, case.sale.purchase
            words = await role.read_evidence(session.blocks, case.evidence) if case.evidence else ""
            last = sale.last_ruling(windows)
            values.append(
                {
                    **sale_json(sale, windows, history.head),
                    "evidenceCid": str(case.evidence) if case.evidence else None,
                    "evidence": words,
                    "ruleUntil": last,
                }
            )
            more = await _more_evidence(session, history, sale)
            values[-1]["moreEvidence"] = more
            item = await _item(session, history, sale)
            values[-1]["item"] = item.name if item else None
            values[-1]["title"] = item.title if item else None
            values[-1]["metadata"] = item.metadata if item else None
            name = f"{item.name}: {item.title}" if item else hexed(purchase.terms.item_id)
            late = " (too late: anyone settles it)" if history.head + 1 > last else ""
            lines += [
                f"Case        {hexed(sale.copy_id)}",
                f"  item      {name}, copy {purchase.copy}",
                f"  document  {Cid('dag-json', purchase.store_digest)}",
                f"  seller    {purchase.seller}",
                f"  buyer     {purchase.buyer}",
                f"  price     {tokens.text(purchase.terms.token, purchase.terms.price)}",
                f"  penalty   {format_amount(purchase.terms.penalty)}",
                f"  you earn  {format_amount(purchase.terms.effective_bond)}, whichever way",
                f"  evidence  {case.evidence or 'none'} {words}".rstrip(),
                *(f"  more      {e['who']}: {e['uri']} {e['words']}".rstrip() for e in more),
                f"  rule      until block {last}{late}; the newest is {history.head}",
            ]
    human = "\n".join(lines) or "No dispute waits for a ruling."
    value: dict[str, Any] = {"block": history.head, "cases": values}
    if who is not None:
        record = tally(history.book, who, windows, history.head)
        value["record"] = asdict(record)
        human += f"\nRecord of {who}: {record}, {record.waiting} waiting."
    emit(value, as_json, human)


async def _more_evidence(
    session: Session, history: History, sale: SaleRecord
) -> list[dict[str, str]]:
    """What the parties published since: the text of each, where it is in DAM's form."""
    found = []
    for who, uri in evidence_of(history.logs, sale.copy_id)[:_MAX_EVIDENCE]:
        words = "[not a CID that DAM reads]"
        with contextlib.suppress(BlockRefused):
            words = await role.read_evidence(session.blocks, Cid.parse(uri.removeprefix("/ipfs/")))
        found.append({"who": who, "uri": ascii(uri[:_MAX_URI])[1:-1], "words": words})
    return found


async def _item(session: Session, history: History, sale: SaleRecord) -> Item | None:
    """What was promised, from the document that the buyer read; None if it is not to be had."""
    purchase = sale.purchase
    version = history.book.version(purchase.seller, purchase.store_digest)
    if version is None:
        return None
    try:
        store = await read_version(session.blocks, session.settings.deployment, version)
    except (IpfsError, BlockRefused, Malformed) as error:
        note(f"The store of the sale {hexed(sale.copy_id)} cannot be read now: {error}")
        return None
    return store.item(purchase.terms.item_id)


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
        purchase, terms = sale.purchase, sale.purchase.terms
        if sale.status != Status.DISPUTED:
            raise Permanent(f"the sale is not disputed: it is {sale.status.name.lower()}")
        try:
            token = (await sale_tokens(session, [sale]))[terms.token]
            amount = role.ruling_amount(to_buyer, terms.price, token)
        except Malformed as error:
            raise click.BadParameter(str(error), param_hint="--to-buyer") from None
        lost = amount > 0 or (penalty and terms.penalty > 0)
        note(f"Buyer    {purchase.buyer}: {token.text(amount)} of the price")
        note(f"Seller   {purchase.seller}: {token.text(terms.price - amount)}")
        note(f"Penalty  {format_amount(terms.penalty) if penalty else 'none'} to the buyer")
        note(f"Bond     of the {'seller' if lost else 'buyer'}, who loses, goes to you")
        signer = open_signer(settings, _ROLE, account)
        agree("Rule so?", yes or as_json)
        receipt = await session.send(
            signer,
            "resolveDispute",
            purchase.copy_id,
            sale_of(purchase),
            escrow_of(purchase),
            amount,
            penalty,
        )
    emit(
        {
            "id": sale.copy_id,
            "toBuyer": str(amount),
            "penalty": str(terms.penalty if penalty else 0),
            **receipt_json(receipt),
        },
        as_json,
        f"Ruled {receipt_text(receipt)}. Next: dam withdraw",
    )
