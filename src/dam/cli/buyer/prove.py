"""``dam buyer prove``."""

from __future__ import annotations

import click

from dam.cli.buyer.buy import open_buyer, open_seed
from dam.cli.buyer.credit import look_for_credit
from dam.cli.session import (
    account_option,
    asynchronous,
    confirm_or_abort,
    connect,
    json_option,
    open_signer,
    print_note,
    print_result,
    receipt_json,
    to_hex,
    yes_option,
)
from dam.config.settings import Settings
from dam.ethereum.erc20 import Tokens
from dam.market.wallet import Wallet
from dam.roles.buyer.buyer import Buyer
from dam.roles.buyer.opening import read_parts
from dam.roles.buyer.proving import ProofPlan, plan_proof, send_proof
from dam.roles.sales import check_party, sale_tokens
from dam.types import FragmentDelivered, Status
from dam.units import format_about, format_amount, format_span, format_time

_WHAT = {
    "proveJunk": "delivered junk",
    "proveSellerJunk": "delivered junk for the seller",
    "proveBadShares": "has a share that does not add up with the others",
    "proveBadLeaves": "contradicts another part",
}


@click.command()
@click.argument("sale_id", metavar="ID")
@account_option
@yes_option
@json_option
@asynchronous
async def prove(sale_id: str, account: str | None, yes: bool, as_json: bool) -> None:
    """Proves on chain that parts are junk, where no good one is to be had.

    Junk costs its deliverer's stake, and in time the seller's side delivers the part anew. Junk of
    the seller's, or shares that do not add up, give price and penalty back.
    """
    settings = Settings.load()
    seed = open_seed(settings)
    signer = open_signer(settings, "buyer", account)
    async with connect(settings) as session:
        buyer, wallet = open_buyer(session, seed), session.wallet(signer)
        arrived = await read_parts(buyer, sale_id, notice=print_note)
        plan = await plan_proof(buyer, arrived)
        sale = plan.sale
        check_party(sale, wallet.address, "buyer")
        tokens = await sale_tokens(session.market, [sale])
        for line in await _lines(buyer, wallet, plan, tokens):
            print_note(line)
        confirm_or_abort("Prove it?", yes or as_json)
        proved = await send_proof(buyer, wallet, plan)
        token = sale.purchase.terms.token
        credit = await look_for_credit(session, [signer.address], [token], account)
    print_result(
        {
            "id": to_hex(sale.copy_id),
            "call": plan.function,
            "parts": [{"index": part.index, "by": part.by} for part in plan.parts],
            "clearUntil": plan.clear_until or None,
            "left": plan.left,
            "credits": credit.json,
            **receipt_json(proved.receipt),
        },
        as_json,
        f"Proved {proved.receipt}.\n{_next(plan)}",
    )
    credit.show(as_json)


async def _lines(buyer: Buyer, wallet: Wallet, plan: ProofPlan, tokens: Tokens) -> list[str]:
    """What it is about, what it costs and what it gives."""
    lines = [f"{_who(plan, part)} {_WHAT[plan.function]}" for part in plan.parts]
    data = buyer.market.encode(plan.function, *plan.arguments)
    gas = await wallet.gas_cost(buyer.market.address, data)
    lines.append(f"It costs    about {format_about(gas)} of gas")
    terms, clock = plan.sale.purchase.terms, plan.arrived.purchase.clock
    if plan.against_seller:
        price, penalty = tokens.text(terms.token, terms.price), format_amount(terms.penalty)
        lines.append(f"It gives    {price} back, and {penalty} of the seller's stake")
    else:
        lines.append(f"It gives    {format_amount(plan.bounty)}, a fifth of the fines")
        if plan.clear_until:
            left = format_span(plan.clear_until - clock.time)
            lines.append(
                f"Then        the parts are missing again, if it is proved by "
                f"{format_time(plan.clear_until)} (in {left}); the seller's side delivers them "
                "anew, to your fresh key"
            )
        elif not plan.sale.status.final:
            lines.append("Then        the seller may supply the parts: none is cleared any more")
    if plan.function != "proveBadLeaves":
        lines.append("It shows    everybody the keys, or the shares, of these parts, and no others")
    if plan.sale.status == Status.DISPUTED and not plan.against_seller:
        lines.append("Note        the dispute goes on: the proof decides nothing in it")
    return lines


def _who(plan: ProofPlan, part: FragmentDelivered) -> str:
    by = "the seller" if part.by == plan.sale.purchase.seller else part.by
    return f"Part {part.index + 1}      {by}"


def _next(plan: ProofPlan) -> str:
    name = plan.arrived.purchase.short_id
    if plan.against_seller:
        return "The sale is over. Next: dam withdraw"
    if plan.left:
        return f"{plan.left} parts more did not fit into it. Next: dam buyer prove {name}"
    if plan.sale.status.final:
        return "Next: dam withdraw"
    return f"Next: dam buyer wait {name}"
