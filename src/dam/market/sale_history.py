"""Replays the market's logs: the state of each sale, and who can do what until which block.

Pure functions of the logs. Block numbers of an action are those of the block that will hold its
transaction, so what "can be done now" is what the next block, ``head + 1``, allows. The windows are
the contract's (``IMarketplace``, and protocol section 5).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from dam.types import (
    FALLBACK_BLOCKS,
    ZERO_ADDRESS,
    Address,
    CopyId,
    DisputeOpened,
    FragmentDelivered,
    MarketLog,
    Purchase,
    SaleClosed,
    Status,
    StoreVersion,
    Terms,
    Wei,
    Windows,
)


@dataclass(frozen=True, slots=True)
class Action:
    """Something that a party can do with a sale in a range of blocks."""

    name: str
    """``deliver``, ``supply``, ``confirm``, ``dispute``, ``rule``, ``concede``, ``settle``,
    ``refund``."""
    who: str
    """``deliverers``, ``seller``, ``buyer``, ``arbitrator`` or ``anyone``."""
    first: int
    """First block in which it is possible."""
    last: int | None
    """Last one; None: without an end, as long as the sale stays in this state."""

    def open_at(self, block: int) -> bool:
        """Whether a transaction in this block could do it."""
        return self.first <= block and (self.last is None or block <= self.last)


@dataclass
class SaleRecord:
    """One sale, as the logs up to some block tell it."""

    purchase: Purchase
    delivered: dict[int, FragmentDelivered] = field(default_factory=dict)
    """By index: the delivery that counts."""
    supplied: list[FragmentDelivered] = field(default_factory=list)
    """Fragments that the seller published again, in order."""
    completed_at: int | None = None
    """Block of the k-th part."""
    whole_at: int | None = None
    """Block of the last part."""
    dispute: DisputeOpened | None = None
    closed: SaleClosed | None = None

    @property
    def copy_id(self) -> CopyId:
        """The contract's key of the sale."""
        return self.purchase.copy_id

    @property
    def status(self) -> Status:
        """The contract's state."""
        if self.closed is not None:
            return self.closed.status
        if self.dispute is not None:
            return Status.DISPUTED
        return Status.PURCHASED if self.completed_at is None else Status.COMPLETE

    @property
    def by_deliverers(self) -> int:
        """d: parts that deliverers were paid for (the seller's own are fallbacks)."""
        return sum(f.by != self.purchase.seller for f in self.delivered.values())

    @property
    def fragments(self) -> list[FragmentDelivered]:
        """All fragments, the supplied ones too, in the order in which they came."""
        every = [*self.delivered.values(), *self.supplied]
        return sorted(every, key=lambda f: (f.at.block.number, f.at.log_index))

    def gate(self) -> int:
        """First block from the gate on: all parts are there, or block 100 has passed."""
        return _gate(self.purchase.block, self.purchase.terms, self._blocks())

    def _blocks(self) -> list[int]:
        return [part.at.block.number for part in self.delivered.values()]

    def last_delivery(self, windows: Windows) -> int:
        """Last block in which a delivery counts; a refund opens after it."""
        return self.purchase.block + windows.refund_blocks

    def last_dispute(self, windows: Windows) -> int:
        """Last block in which a Complete sale can be disputed.

        Raises:
            ValueError: The sale has too few parts for that.
        """
        if self.completed_at is None:
            raise ValueError("the sale is not complete")
        bought, terms = self.purchase.block, self.purchase.terms
        return last_dispute_block(bought, terms, self._blocks(), windows)

    def last_ruling(self, windows: Windows) -> int:
        """Last block in which the arbitrator rules, and either side concedes.

        Raises:
            ValueError: Nobody disputes.
        """
        if self.dispute is None:
            raise ValueError("nobody disputes the sale")
        return self.dispute.at.block.number + windows.arbitration_blocks

    def refund_penalty(self) -> Wei:
        """q: what a refund by time pays the buyer of the seller's stake, in wei."""
        terms = self.purchase.terms
        paid = min(self.by_deliverers, terms.threshold)
        return Wei(terms.penalty * (terms.threshold - paid) // terms.threshold)

    def actions(self, windows: Windows) -> list[Action]:
        """Everything that its present state allows, now or later."""
        status, bought = self.status, self.purchase.block
        if status.final:
            return []
        actions = self._deliveries(windows)
        if status == Status.PURCHASED:
            actions.append(Action("refund", "anyone", self.last_delivery(windows) + 1, None))
        elif status == Status.COMPLETE:
            gate, last = self.gate(), self.last_dispute(windows)
            actions.append(Action("confirm", "buyer", gate, None))
            if self.purchase.terms.arbitrator != ZERO_ADDRESS:
                actions.append(Action("dispute", "buyer", gate, last))
            actions.append(Action("concede", "seller", gate, None))
            actions.append(Action("settle", "anyone", last + 1, None))
        else:
            last = self.last_ruling(windows)
            actions.append(Action("rule", "arbitrator", bought, last))
            actions.append(Action("concede", "buyer", bought, last))
            actions.append(Action("concede", "seller", bought, last))
            actions.append(Action("settle", "anyone", last + 1, None))
        return actions

    def _deliveries(self, windows: Windows) -> list[Action]:
        actions = []
        bought, last = self.purchase.block, self.last_delivery(windows)
        if self.whole_at is None:
            actions.append(Action("deliver", "deliverers", bought, last))
            actions.append(Action("deliver", "seller", bought + FALLBACK_BLOCKS + 1, last))
        if self.delivered:
            actions.append(Action("supply", "seller", bought, None))
        return actions

    def _deliver(self, fragment: FragmentDelivered) -> None:
        if fragment.supplied:
            self.supplied.append(fragment)
            return
        self.delivered.setdefault(fragment.index, fragment)
        terms, block = self.purchase.terms, fragment.at.block.number
        if self.completed_at is None and len(self.delivered) == terms.threshold:
            self.completed_at = block
        if self.whole_at is None and len(self.delivered) == terms.parts:
            self.whole_at = block


def _gate(bought: int, terms: Terms, delivered: Collection[int]) -> int:
    by_time = bought + FALLBACK_BLOCKS + 1
    return min(max(delivered), by_time) if len(delivered) == terms.parts else by_time


def last_dispute_block(
    bought: int, terms: Terms, delivered: Collection[int], windows: Windows
) -> int:
    """As ``Marketplace._lastDisputeBlock``: after the later of completion and gate.

    Args:
        bought: Block of the purchase.
        terms: Of the sale.
        delivered: The block of each part that is there: at least the threshold of them.
        windows: The deployment's.
    """
    completed = sorted(delivered)[terms.threshold - 1]
    return max(completed, _gate(bought, terms, delivered)) + windows.dispute_blocks


class SaleHistory:
    """Every sale and store that the logs tell of. Feed it the logs in their order."""

    def __init__(self, logs: Iterable[MarketLog] = ()) -> None:
        self.sales: dict[CopyId, SaleRecord] = {}
        self.stores: dict[Address, list[StoreVersion]] = {}
        """Versions of each seller's store, the newest last."""
        self._taken: dict[tuple[Address, bytes], set[int]] = {}
        for log in logs:
            self.add(log)

    def add(self, log: MarketLog) -> None:
        """Takes the next log. One of a sale that began before the first log is left out."""
        if isinstance(log, Purchase):
            # A copy is sold once, ever; a second purchase can only be another branch's.
            self.sales[log.copy_id] = SaleRecord(log)
            self._taken.setdefault((log.seller, log.terms.item_id), set()).add(log.copy)
        elif isinstance(log, StoreVersion):
            self.stores.setdefault(log.seller, []).append(log)
        elif isinstance(log, (FragmentDelivered, DisputeOpened, SaleClosed)):
            sale = self.sales.get(log.copy_id)
            if sale is None:
                return
            if isinstance(log, FragmentDelivered):
                sale._deliver(log)
            elif isinstance(log, DisputeOpened):
                sale.dispute = log
            else:
                sale.closed = log

    def taken(self, seller: Address, item_id: bytes) -> set[int]:
        """Copies that are sold or burned; none of them is ever for sale again."""
        return self._taken.get((seller, item_id), set())

    def store(self, seller: Address) -> StoreVersion | None:
        """The seller's store as it is now."""
        versions = self.stores.get(seller)
        return versions[-1] if versions else None

    def version(self, seller: Address, digest: bytes) -> StoreVersion | None:
        """The version of a store that had this document (32-byte digest); the newest of several."""
        versions = self.stores.get(seller, [])
        return next((v for v in reversed(versions) if v.digest == digest), None)
