"""The arbiter: finds the disputes that name him, and shapes his ruling."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from dam.errors import BlockRefused, IpfsError, Malformed
from dam.ethereum.erc20 import NATIVE, Token
from dam.ipfs import dag_json
from dam.ipfs.blocks import BlockStore
from dam.ipfs.cid import Cid
from dam.market.sale_history import SaleBook, SaleRecord
from dam.types import ZERO32, Address, Status
from dam.validation import link, record
from dam.validation import title as one_line

_EVIDENCE_BYTES = 64 << 10
_PERCENT = re.compile(r"\d{1,3}(\.\d{1,4})?\s*%", re.ASCII)


@dataclass(frozen=True, slots=True)
class Case:
    """A dispute that waits for a ruling, or waited in vain."""

    sale: SaleRecord
    evidence: Cid | None
    """The buyer's evidence, if he gave any."""


def cases(book: SaleBook, arbitrator: Address | None) -> list[Case]:
    """Open disputes before an arbitrator (None: before any), the oldest first."""
    found = []
    for sale in book.sales.values():
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


async def read_evidence(blocks: BlockStore, cid: Cid) -> str:
    """The words of the evidence; an explanation in brackets where they are not to be had."""
    try:
        data = await blocks.get(cid, max_bytes=_EVIDENCE_BYTES)
        value: dict[str, Any] = record(
            dag_json.loads(data), "evidence", ("name", "description"), ("file",)
        )
        words = one_line(value["description"], "description")
        if "file" in value:
            words += f" [file: {link(value['file'], 'file', 'raw')}]"
        return words
    except (IpfsError, BlockRefused) as error:
        return f"[not to be had: {error}]"
    except Malformed as error:
        return f"[not in DAM's form: {error}]"
