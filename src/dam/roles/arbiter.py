"""The arbiter: the disputes that name them, what is to be read of each, and their ruling."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from typing import Any

from dam.catalog.store import Item
from dam.crypto.hashing import closing_arguments
from dam.errors import BlockRefused, IpfsError, Malformed, Permanent
from dam.ethereum.erc20 import NATIVE, Token
from dam.ipfs import dag_json
from dam.ipfs.blocks import BlockStore
from dam.ipfs.cid import Cid
from dam.market.client import Market
from dam.market.log_history import History
from dam.market.reputation import evidence_of
from dam.market.sale_history import SaleHistory, SaleRecord
from dam.market.wallet import Receipt, Wallet, send_call
from dam.roles.notice import Notice, silent
from dam.roles.sales import sale_tokens
from dam.roles.storefront import read_version
from dam.types import ZERO32, Address, Status, Wei
from dam.validation import link, record
from dam.validation import title as one_line

_EVIDENCE_BYTES = 64 << 10
_MAX_EVIDENCE = 50
"""Pieces that are read of one case; a party could publish without end."""
_MAX_URI = 120
"""Characters that are shown of a URI."""
_PERCENT = re.compile(r"\d{1,3}(\.\d{1,4})?\s*%", re.ASCII)


# ------------------------------------------------------------------------------------------ cases


@dataclass(frozen=True, slots=True)
class Case:
    """A dispute that waits for a ruling, or waited in vain."""

    sale: SaleRecord
    evidence: Cid | None
    """The buyer's evidence, if they gave any."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What somebody published while the dispute was open."""

    who: Address
    uri: str
    """Anybody's text, made printable and cut."""
    words: str
    """What it says; an explanation in brackets where that is not to be had."""


@dataclass(frozen=True, slots=True)
class CaseFile:
    """All that is to be read of a case."""

    case: Case
    words: str
    """Of the buyer's first evidence; empty if there is none."""
    more: tuple[Evidence, ...]
    item: Item | None
    """What was promised, from the document that the buyer read; None if it is not to be had."""


def find_cases(history: SaleHistory, arbitrator: Address | None) -> list[Case]:
    """Open disputes before an arbitrator (None: before any), the oldest first."""
    found = []
    for sale in history.sales.values():
        dispute = sale.dispute
        if sale.status != Status.DISPUTED or dispute is None:
            continue
        if arbitrator is None or dispute.arbitrator == arbitrator:
            cid = None if dispute.evidence == ZERO32 else Cid("dag-json", dispute.evidence)
            found.append(Case(sale, cid))
    # Every case has a dispute: it is what made it one.
    return sorted(
        found,
        key=lambda case: case.sale.dispute.at.block.number if case.sale.dispute else 0,
    )


async def read_case(
    market: Market, blocks: BlockStore, history: History, case: Case, *, notice: Notice = silent
) -> CaseFile:
    """Reads the evidence and the item of a case.

    Args:
        market: The market.
        blocks: Has the documents.
        history: Read with ``also=EVIDENCE``; else without what parties sent later.
        case: From `find_cases`.
        notice: Hears when the store cannot be read.
    """
    words = await read_evidence(blocks, case.evidence) if case.evidence else ""
    more = await _more_evidence(blocks, history, case.sale)
    item = await _item(market, blocks, history, case.sale, notice)
    return CaseFile(case, words, more, item)


async def _more_evidence(
    blocks: BlockStore, history: History, sale: SaleRecord
) -> tuple[Evidence, ...]:
    found = []
    for who, uri in evidence_of(history.logs, sale.copy_id)[:_MAX_EVIDENCE]:
        words = "[not a CID that DAM reads]"
        with contextlib.suppress(BlockRefused):
            words = await read_evidence(blocks, Cid.parse(uri.removeprefix("/ipfs/")))
        found.append(Evidence(who, ascii(uri[:_MAX_URI])[1:-1], words))
    return tuple(found)


async def _item(
    market: Market, blocks: BlockStore, history: History, sale: SaleRecord, notice: Notice
) -> Item | None:
    purchase = sale.purchase
    version = history.state.version(purchase.seller, purchase.store_digest)
    if version is None:
        return None
    try:
        store = await read_version(blocks, market.deployment, version)
    except (IpfsError, BlockRefused, Malformed) as error:
        notice(f"The store of the sale 0x{sale.copy_id.hex()} cannot be read now: {error}")
        return None
    return store.item(purchase.terms.item_id)


async def read_evidence(blocks: BlockStore, cid: Cid) -> str:
    """The words of the evidence; an explanation in brackets where they are not to be had."""
    try:
        data = await blocks.get(cid, max_bytes=_EVIDENCE_BYTES)
        value: dict[str, Any] = record(
            dag_json.decode(data), "evidence", ("name", "description"), ("file",)
        )
        words = one_line(value["description"], "description")
        if "file" in value:
            words += f" [file: {link(value['file'], 'file', 'raw')}]"
        return words
    except (IpfsError, BlockRefused) as error:
        return f"[not to be had: {error}]"
    except Malformed as error:
        return f"[not in DAM's form: {error}]"


# ----------------------------------------------------------------------------------------- ruling


@dataclass(frozen=True, slots=True)
class Ruling:
    """A ruling as it would be: who gets what."""

    sale: SaleRecord
    token: Token
    """What the sale is priced in."""
    to_buyer: int
    """Of the price, in the token's smallest unit; the rest is the seller's."""
    with_penalty: bool

    @property
    def to_seller(self) -> int:
        """Of the price, in the token's smallest unit."""
        return self.sale.purchase.terms.price - self.to_buyer

    @property
    def penalty(self) -> Wei:
        """What the buyer gets of the seller's stake."""
        return self.sale.purchase.terms.penalty if self.with_penalty else Wei(0)

    @property
    def seller_loses(self) -> bool:
        """Whether the seller's bond, and not the buyer's, goes to the arbitrator."""
        return self.to_buyer > 0 or self.penalty > 0


async def plan_ruling(
    market: Market, sale: SaleRecord, to_buyer: str, *, with_penalty: bool
) -> Ruling:
    """What a ruling would do. Nothing is sent.

    Args:
        market: The market.
        sale: A disputed sale.
        to_buyer: What of the price goes back: see `ruling_amount`.
        with_penalty: Whether the buyer gets the penalty, too.

    Raises:
        Malformed: ``to_buyer`` is no amount, or over the price.
        Permanent: Nobody disputes the sale.
    """
    terms = sale.purchase.terms
    if sale.status != Status.DISPUTED:
        raise Permanent(f"the sale is not disputed: it is {sale.status.name.lower()}")
    token = (await sale_tokens(market, [sale]))[terms.token]
    return Ruling(sale, token, ruling_amount(to_buyer, terms.price, token), with_penalty)


def ruling_amount(text: str, price: int, token: Token = NATIVE) -> int:
    """What of the price goes to the buyer: ``50%``, ``0``, or an amount, in the smallest unit.

    Raises:
        Malformed: It is none, or over the price.
    """
    text = text.strip()
    if text.endswith("%") and not _PERCENT.fullmatch(text):
        raise Malformed("a percentage is written as 50% or 12.5%")
    amount = token.parse(text, of=price)
    if amount > price:
        raise Malformed("the buyer cannot get more than the price")
    return amount


async def send_ruling(market: Market, wallet: Wallet, ruling: Ruling) -> Receipt:
    """Rules on a dispute, once and for all; raises as `Wallet.send` does."""
    purchase = ruling.sale.purchase
    return await send_call(
        wallet,
        market,
        "resolveDispute",
        *closing_arguments(purchase),
        ruling.to_buyer,
        ruling.with_penalty,
    )
