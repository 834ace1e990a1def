"""Agreements: how buyer and seller end a sale together, by an offer that one signs and sends over.

An offer is a JSON file of one side's signature. It holds for one state of one sale: once a part
arrives, a dispute opens or junk is proved, it is void, so that nobody keeps it as an option. Who
accepts sends the transaction, and need not sign anything else. Formats: protocol, section 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dam import validation
from dam.atomic_file import read_regular
from dam.crypto.hashing import (
    agreement_digest,
    closing_arguments,
    domain_separator,
    sale_hash,
    sale_of,
)
from dam.errors import Malformed, Permanent
from dam.ethereum.compact_signature import recover_long
from dam.ethereum.erc20 import Token, Tokens
from dam.ipfs import dag_json
from dam.market.client import Market
from dam.market.log_history import History, read_deadlines_of
from dam.market.sale_history import SaleRecord
from dam.market.wallet import Receipt, Wallet, send_call, typed_data
from dam.roles.new_files import write_new_file
from dam.roles.sales import check_party, short_id
from dam.types import (
    MAX_AMOUNT,
    Address,
    CopyId,
    Deadlines,
    Deployment,
    SaleState,
    Split,
    Status,
    Wei,
)
from dam.units import format_amount, format_time

Party = Literal["buyer", "seller"]
PARTIES: tuple[Party, Party] = ("buyer", "seller")
MAX_OFFER_BYTES = 64 << 10
_MAX_SIGNATURE_BYTES = 16 << 10
"""A contract's may be of any form (ERC-1271); an account's has 65 bytes: r, s and v."""
_KIND = "DAM agreement 2"
_NAMES = {
    Status.PURCHASED: "purchased",
    Status.COMPLETE: "complete",
    Status.DISPUTED: "disputed",
}
_FIELDS = (
    "kind", "chainId", "market", "copyId", "saleHash", "status", "since", "toBuyer", "penalty",
    "toArbitrator", "deadline", "by", "signature",
)  # fmt: skip
_AGREEMENT = {
    "copyId": "bytes32",
    "saleHash": "bytes32",
    "status": "uint8",
    "since": "uint32",
    "toBuyer": "uint256",
    "penalty": "uint256",
    "toArbitrator": "uint256",
    "deadline": "uint256",
}


@dataclass(frozen=True, slots=True)
class Offer:
    """What one side signed."""

    chain_id: int
    market: Address
    copy_id: CopyId
    sale_hash: bytes
    status: Status
    """The sale's state that it holds for."""
    since: int
    """Seconds after the purchase at which that state began."""
    split: Split
    by: Party
    signature: bytes


@dataclass(frozen=True, slots=True)
class Money:
    """Who gets what by an agreement; the price's parts in its token, all else in wei."""

    token: Token
    buyer_price: int
    buyer_penalty: Wei
    buyer_bond: Wei
    """What comes back of the buyer's bond."""
    seller_price: int
    seller_stake: Wei
    """What becomes free stake of the seller's again; a part of the price may be among it."""
    arbitrator: Wei
    fees: Wei
    """What the sale paid to deliverers before, out of the seller's stake."""

    def lines(self, sale: SaleRecord) -> list[str]:
        """Which sale, for the file of an offer may name another than was spoken of; then a line for
        each party, to the smallest unit.
        """
        purchase, arbitrator = sale.purchase, sale.purchase.terms.arbitrator
        copy, whole = purchase.copy + 1, self.token.text(purchase.terms.price)
        buyer = [f"{self.token.text(self.buyer_price)} of the price"]
        if purchase.terms.penalty:
            buyer.append(f"{format_amount(self.buyer_penalty)} of the penalty")
        if sale.status == Status.DISPUTED:
            buyer.append(f"{format_amount(self.buyer_bond)} of their bond")
        price, stake = self.token.text(self.seller_price), format_amount(self.seller_stake)
        which = f"{short_id(sale.copy_id)} of {format_time(purchase.purchase_time)}"
        lines = [
            f"Sale        {which}: copy {copy} for {whole}, {sale.status.name.lower()}",
            f"Buyer       {purchase.buyer}: {', '.join(buyer)}",
            f"Seller      {purchase.seller}: {price} of the price, and {stake} of stake free again",
        ]
        if sale.status == Status.DISPUTED:
            lines.append(f"Arbitrator  {arbitrator}: {format_amount(self.arbitrator)}")
        return lines


@dataclass(frozen=True, slots=True)
class OfferPlan:
    """An offer before it is signed."""

    sale: SaleRecord
    state: SaleState
    split: Split
    by: Party
    money: Money


@dataclass(frozen=True, slots=True)
class Acceptance:
    """An offer that could be carried out now, as far as can be told."""

    sale: SaleRecord
    offer: Offer
    money: Money

    @property
    def party(self) -> Party:
        """Who accepts."""
        return "seller" if self.offer.by == "buyer" else "buyer"


# ---------------------------------------------------------------------------------------- offering


async def plan_offer(
    market: Market,
    history: History,
    sale: SaleRecord,
    tokens: Tokens,
    *,
    by: Party,
    address: Address,
    to_buyer: str,
    penalty: int = 0,
    to_arbitrator: int | None = None,
    seconds: int,
) -> OfferPlan:
    """What an offer would say. Nothing is signed.

    Args:
        market: The market.
        history: Read now.
        sale: The sale.
        tokens: The sale's among them.
        by: Who offers.
        address: Their account.
        to_buyer: Of the price: ``50%``, ``0``, or an amount of its token.
        penalty: Of the penalty, to the buyer, in wei.
        to_arbitrator: Of both bonds, in wei; None: as little as the contract takes.
        seconds: How long it holds, as far as the contract allows.

    Raises:
        Malformed: ``to_buyer`` is no amount.
        Permanent: The contract would take no such agreement; the message says why.
    """
    check_party(sale, address, by)
    terms, times = sale.purchase.terms, await _deadlines(market, history, sale)
    token = tokens[terms.token]
    amount = token.parse(to_buyer, of=terms.price)
    now = history.clock.time + 1
    last = now + seconds
    disputed = sale.status == Status.DISPUTED
    worked = disputed and now >= times.arbitrator_paid_from
    if to_arbitrator is None:
        to_arbitrator = terms.effective_bond if worked else 0
    if disputed:
        last = min(last, times.ruling)
        if to_arbitrator < terms.effective_bond and not worked:
            # From then on it would have to be a bond at least.
            last = min(last, times.arbitrator_paid_from - 1)
    split = Split(amount, penalty, to_arbitrator, last)
    _check_split(sale, split, times, now, token)
    [state] = await market.sale_states([sale.copy_id], block=history.head)
    if state.status != sale.status:
        raise Permanent("the sale changes right now: repeat the command")
    return OfferPlan(sale, state, split, by, money_of(sale, split, token))


def sign_offer(market: Market, wallet: Wallet, plan: OfferPlan) -> Offer:
    """Signs an offer. From here on the other side may carry it out, until its deadline.

    Raises:
        Permanent: The account signed something else.
    """
    deployment, purchase = market.deployment, plan.sale.purchase
    hashed = sale_hash(sale_of(purchase))
    values: dict[str, Any] = {
        "copyId": purchase.copy_id,
        "saleHash": hashed,
        "status": int(plan.state.status),
        "since": plan.state.since,
        "toBuyer": plan.split.to_buyer,
        "penalty": plan.split.penalty,
        "toArbitrator": plan.split.to_arbitrator,
        "deadline": plan.split.deadline,
    }
    v, r, s = wallet.sign_typed(typed_data(deployment, "Agreement", _AGREEMENT, values))
    offer = Offer(
        deployment.chain_id,
        deployment.market,
        purchase.copy_id,
        hashed,
        plan.state.status,
        plan.state.since,
        plan.split,
        plan.by,
        r + s + bytes([v]),
    )
    if _signer(offer) != wallet.address:
        raise Permanent("the account signed something else than the offer: use another")
    return offer


# ------------------------------------------------------------------------------------------- files


def write_offer(path: Path, offer: Offer) -> None:
    """Writes an offer to a new file.

    Raises:
        Permanent: There is such a file, or it cannot be written.
    """
    split = offer.split
    value = {
        "kind": _KIND,
        "chainId": offer.chain_id,
        "market": offer.market,
        "copyId": "0x" + offer.copy_id.hex(),
        "saleHash": "0x" + offer.sale_hash.hex(),
        "status": _NAMES[offer.status],
        "since": offer.since,
        "toBuyer": str(split.to_buyer),
        "penalty": str(split.penalty),
        "toArbitrator": str(split.to_arbitrator),
        "deadline": split.deadline,
        "by": offer.by,
        "signature": "0x" + offer.signature.hex(),
    }
    write_new_file(path, dag_json.dumps(value) + b"\n")


def read_offer(path: Path) -> Offer:
    """Reads an offer; nothing of it is believed yet.

    Raises:
        Malformed: It is none.
        OSError: The file cannot be read.
    """
    data = read_regular(path, MAX_OFFER_BYTES)
    value = validation.record(dag_json.loads(data, max_depth=2), "the offer", _FIELDS)
    if value["kind"] != _KIND:
        raise Malformed(f'the offer is no "{_KIND}"')
    status = next((s for s, name in _NAMES.items() if value["status"] == name), None)
    if status is None:
        raise Malformed("the offer's status is none that an agreement ends")
    by = next((party for party in PARTIES if value["by"] == party), None)
    if by is None:
        raise Malformed("the offer is neither the buyer's nor the seller's")
    return Offer(
        validation.integer(value["chainId"], "chainId", 1, dag_json.MAX_INTEGER),
        validation.address(value["market"], "market"),
        CopyId(validation.bytes32(value["copyId"], "copyId")),
        validation.bytes32(value["saleHash"], "saleHash"),
        status,
        validation.integer(value["since"], "since", 0, 2**32 - 1),
        Split(
            validation.amount(value["toBuyer"], "toBuyer"),
            validation.amount(value["penalty"], "penalty"),
            validation.amount(value["toArbitrator"], "toArbitrator", 2 * MAX_AMOUNT),
            validation.integer(value["deadline"], "deadline", 0, dag_json.MAX_INTEGER),
        ),
        by,
        validation.hexadecimal(value["signature"], "signature", 0, _MAX_SIGNATURE_BYTES),
    )


# --------------------------------------------------------------------------------------- accepting


async def plan_acceptance(
    market: Market, history: History, offer: Offer, tokens: Tokens, address: Address
) -> Acceptance:
    """Checks an offer against the chain. Nothing is sent.

    Args:
        market: The market.
        history: Read now.
        offer: From `read_offer`.
        tokens: The sale's among them.
        address: Who would accept.

    Raises:
        Permanent: It is another market's, void, wrong, or not this account's to accept.
    """
    sale = offered_sale(market.deployment, history, offer)
    check_party(sale, address, "seller" if offer.by == "buyer" else "buyer")
    maker = sale.purchase.buyer if offer.by == "buyer" else sale.purchase.seller
    if _signer(offer) != maker and not await _has_code(market, maker):
        raise Permanent(f"the offer is not signed by the {offer.by} {maker}: do not trust it")
    [state] = await market.sale_states([sale.copy_id], block=history.head)
    _check_state(sale, offer, state)
    times, token = await _deadlines(market, history, sale), tokens[sale.purchase.terms.token]
    _check_split(sale, offer.split, times, history.clock.time + 1, token)
    if history.clock.block + 1 < sale.gate_block:
        raise Permanent(
            f"parts are still missing: an agreement is possible from block {sale.gate_block} on"
        )
    return Acceptance(sale, offer, money_of(sale, offer.split, token))


def offered_sale(deployment: Deployment, history: History, offer: Offer) -> SaleRecord:
    """The sale that an offer is about.

    Raises:
        Permanent: There is none on this chain, or it is another one.
    """
    if (offer.chain_id, offer.market) != (deployment.chain_id, deployment.market):
        raise Permanent(
            f"the offer is for the market {offer.market} on chain {offer.chain_id}, and yours is "
            f"{deployment.market} on chain {deployment.chain_id}"
        )
    sale = history.state.sales.get(offer.copy_id)
    if sale is None:
        raise Permanent(f"there is no sale {short_id(offer.copy_id)} on this chain")
    if offer.sale_hash != sale_hash(sale_of(sale.purchase)):
        raise Permanent("the offer is for another purchase of this copy: the chain was rewritten")
    return sale


async def accept_offer(market: Market, wallet: Wallet, plan: Acceptance) -> Receipt:
    """Carries an offer out, as the other side; raises as `Wallet.send` does."""
    purchase, theirs = plan.sale.purchase, plan.offer.signature
    signatures = (theirs, b"") if plan.offer.by == "buyer" else (b"", theirs)
    return await send_call(
        wallet,
        market,
        "agree",
        *closing_arguments(purchase),
        plan.offer.split,
        *signatures,
    )


def money_of(sale: SaleRecord, split: Split, token: Token) -> Money:
    """Who gets what, as the contract counts it (``IMarketplace``, the table of money)."""
    terms, half = sale.purchase.terms, split.to_arbitrator // 2
    fees = terms.fee * sale.paid
    to_seller = terms.price - split.to_buyer
    back = min(to_seller, fees) if token.native else 0
    bond = terms.effective_bond if sale.status == Status.DISPUTED else 0
    lost = split.penalty + split.to_arbitrator - half
    return Money(
        token,
        split.to_buyer,
        Wei(split.penalty),
        Wei(bond - half),
        to_seller - back,
        Wei(terms.reserve - fees - lost + back),
        Wei(split.to_arbitrator),
        Wei(fees),
    )


# ---------------------------------------------------------------------------------------- checking


async def _deadlines(market: Market, history: History, sale: SaleRecord) -> Deadlines:
    found = await read_deadlines_of(market, history, sale)
    if found is None:
        raise Permanent(f"the sale has ended: it is {sale.status.name.lower()}")
    return found


def _check_split(sale: SaleRecord, split: Split, times: Deadlines, now: int, token: Token) -> None:
    terms, bond = sale.purchase.terms, sale.purchase.terms.effective_bond
    disputed = sale.status == Status.DISPUTED
    if now > split.deadline:
        raise Permanent(f"the offer held until {format_time(split.deadline)}: ask for a new one")
    if split.to_buyer > terms.price:
        raise Permanent(f"the buyer cannot get more than the price of {token.text(terms.price)}")
    if split.penalty > terms.penalty:
        raise Permanent(f"the penalty of the sale is {format_amount(terms.penalty)}, not more")
    if split.to_arbitrator and not disputed:
        raise Permanent("the arbitrator gets a part in a dispute alone")
    if split.to_arbitrator > 2 * bond:
        raise Permanent(f"the arbitrator gets both bonds at most: {format_amount(2 * bond)}")
    if disputed and now >= times.arbitrator_paid_from and split.to_arbitrator < bond:
        raise Permanent(
            f"the arbitrator had a third of the time to rule, so an agreement pays at least a bond "
            f"of {format_amount(bond)}"
        )
    if disputed and now > times.ruling:
        raise Permanent("the time to rule is over: `dam settle` ends the sale")


def _check_state(sale: SaleRecord, offer: Offer, state: SaleState) -> None:
    if (state.status, state.since) == (offer.status, offer.since):
        return
    if state.status.final:
        raise Permanent(f"the sale has ended: it is {state.status.name.lower()}")
    bought = sale.purchase.purchase_time
    raise Permanent(
        f"the offer was made for the sale as it was {_NAMES[offer.status]} since "
        f"{format_time(bought + offer.since)}; it is {state.status.name.lower()} since "
        f"{format_time(bought + state.since)}. An offer holds for one state alone, so that nobody "
        "keeps an old one for later: ask for a new one"
    )


def _signer(offer: Offer) -> Address | None:
    """Whose key signed; None where the signature is no account's."""
    digest = agreement_digest(
        domain_separator(offer.chain_id, offer.market),
        offer.copy_id,
        offer.sale_hash,
        offer.status,
        offer.since,
        offer.split,
    )
    try:
        return recover_long(digest, offer.signature)
    except Malformed:
        return None


async def _has_code(market: Market, account: Address) -> bool:
    """Whether an account is a contract, which checks signatures itself (ERC-1271)."""
    return await market.rpc.call("eth_getCode", account, "latest") not in ("0x", "", None)
