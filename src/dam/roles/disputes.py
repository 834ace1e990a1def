"""Disputes: opening one, and evidence in it.

Evidence is one small document of two fields and at most one file, as in ERC-1497. It is published
before the transaction that names it, for everybody to read and for good.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dam.atomic_file import open_regular
from dam.crypto.hashing import closing_arguments
from dam.errors import Permanent
from dam.ethereum.erc20 import Tokens
from dam.ipfs import dag_json
from dam.ipfs.blocks import MAX_BLOCK_BYTES, BlockStore
from dam.ipfs.cid import Cid
from dam.market.client import Market
from dam.market.sale_history import SaleRecord
from dam.market.wallet import Receipt, Wallet, send_call
from dam.roles.sales import state_text
from dam.types import (
    ZERO32,
    ZERO_ADDRESS,
    Address,
    Clock,
    CopyId,
    Deadlines,
    Status,
    Wei,
    Windows,
)
from dam.units import format_time
from dam.validation import title


@dataclass(frozen=True, slots=True)
class DisputePlan:
    """A dispute that could be opened."""

    sale: SaleRecord
    bond: Wei
    """What the buyer pays, and loses if they lose."""
    rule_until: int
    """About the last second of the arbitrator; silent until then, the seller is paid."""


@dataclass(frozen=True, slots=True)
class Disputed:
    """A dispute that is open."""

    sale: SaleRecord
    bond: Wei
    evidence: Cid | None
    rule_until: int
    """Last second in which the arbitrator rules."""
    receipt: Receipt


@dataclass(frozen=True, slots=True)
class EvidenceSubmitted:
    """Evidence that is on the chain."""

    uri: str
    """``/ipfs/...``"""
    receipt: Receipt


def plan_dispute(
    sale: SaleRecord, deadlines: Deadlines | None, clock: Clock, windows: Windows
) -> DisputePlan:
    """What disputing a sale takes.

    Args:
        sale: The sale.
        deadlines: What the contract says of it; None where it has ended.
        clock: The contract's.
        windows: The market's.

    Raises:
        Permanent: It cannot be disputed, or not now.
    """
    terms, now = sale.purchase.terms, clock.time + 1
    if terms.arbitrator == ZERO_ADDRESS:
        raise Permanent("the item names no arbitrator, so nobody could rule on a dispute")
    if sale.status != Status.COMPLETE or deadlines is None:
        raise Permanent(
            f"only a complete sale can be disputed; this one is {state_text(sale, Tokens())}"
        )
    if now > deadlines.dispute:
        raise Permanent(f"it could be disputed until {format_time(deadlines.dispute)}")
    if clock.block + 1 < sale.gate_block:
        raise Permanent(
            f"parts are still missing: it can be disputed from block {sale.gate_block} on"
        )
    return DisputePlan(sale, terms.effective_bond, now + windows.arbitration_seconds)


async def open_dispute(
    market: Market,
    blocks: BlockStore,
    wallet: Wallet,
    plan: DisputePlan,
    *,
    text: str | None = None,
    attachment: Path | None = None,
) -> Disputed:
    """Publishes the buyer's evidence, pays the bond, and opens the dispute.

    Args:
        market: The market.
        blocks: Takes the evidence.
        wallet: The buyer's.
        plan: From `plan_dispute`.
        text: What is wrong, in a sentence.
        attachment: A file of at most 1 MiB.

    Raises:
        Permanent: The evidence is improper, or the call would not pass (see `Wallet.send`).
        IpfsError, RpcError: The block store or the node could not be asked.
    """
    purchase = plan.sale.purchase
    evidence = await publish_evidence(blocks, purchase.copy_id, text, attachment)
    receipt = await send_call(
        wallet,
        market,
        "openDispute",
        *closing_arguments(purchase),
        evidence.digest if evidence else ZERO32,
        value=plan.bond,
    )
    opened = (await market.block(receipt.block)).timestamp
    last = opened + market.deployment.windows.arbitration_seconds
    return Disputed(plan.sale, plan.bond, evidence, last, receipt)


async def publish_evidence(
    blocks: BlockStore, copy_id: CopyId, text: str | None, attachment: Path | None
) -> Cid | None:
    """Puts and pins the evidence: ``name``, ``description`` and a link ``file``, as in ERC-1497.

    Returns:
        Its CID; None if there is neither text nor file.

    Raises:
        Malformed: The text is no line that could be shown.
        Permanent: The file is over 1 MiB.
        IpfsError: The block store did not take it.
    """
    if text is None and attachment is None:
        return None
    value: dict[str, Any] = {
        "name": f"Dispute of sale 0x{copy_id.hex()}",
        "description": title(text or "See the file.", "--text"),
    }
    if attachment is not None:
        with open_regular(attachment) as file:
            data = file.read(MAX_BLOCK_BYTES + 1)
        if len(data) > MAX_BLOCK_BYTES:
            raise Permanent(f"{attachment} is over 1 MiB: the evidence is one file of at most that")
        value["file"] = {"/": str(await blocks.put("raw", data))}
    cid = await blocks.put("dag-json", dag_json.dumps(value))
    await blocks.pin(cid)
    return cid


def check_disputed(sale: SaleRecord) -> None:
    """Refuses evidence where nobody disputes.

    Raises:
        Permanent: The sale is not disputed.
    """
    if sale.status != Status.DISPUTED:
        raise Permanent(f"nobody disputes this sale: it is {state_text(sale, Tokens())}")


def check_may_give_evidence(sale: SaleRecord, address: Address) -> None:
    """Refuses who is neither buyer, nor seller, nor arbitrator of a sale.

    Raises:
        Permanent: The address is none of them.
    """
    purchase = sale.purchase
    if address not in (purchase.buyer, purchase.seller, purchase.terms.arbitrator):
        raise Permanent(f"{address} is no party to this dispute")


async def submit_evidence(
    market: Market,
    blocks: BlockStore,
    wallet: Wallet,
    sale: SaleRecord,
    *,
    text: str | None = None,
    attachment: Path | None = None,
) -> EvidenceSubmitted:
    """Publishes evidence in an open dispute, as one of its parties or the arbitrator.

    Args:
        market: The market.
        blocks: Takes the evidence.
        wallet: Whose evidence it is.
        sale: The disputed sale.
        text: A sentence.
        attachment: A file of at most 1 MiB. One of both is needed.

    Raises:
        Permanent: Nobody disputes the sale, the account is no party, or the evidence is improper.
        IpfsError, RpcError: The block store or the node could not be asked.
    """
    check_disputed(sale)
    check_may_give_evidence(sale, wallet.address)
    purchase = sale.purchase
    cid = await publish_evidence(blocks, purchase.copy_id, text, attachment)
    if cid is None:
        raise Permanent("evidence is a text, a file or both")
    uri = f"/ipfs/{cid}"
    receipt = await send_call(
        wallet,
        market,
        "submitEvidence",
        *closing_arguments(purchase),
        uri,
    )
    return EvidenceSubmitted(uri, receipt)
