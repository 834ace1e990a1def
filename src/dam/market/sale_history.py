"""Replays the market's logs: the state of each sale, and who can do what until when.

Pure functions of the logs, and of the contract's view ``deadlines``, so that every client shows the
same times (``IMarketplace``, and protocol section 5). A node's logs tell the block of an event, not
its time; where times are known (`BlockRef.timestamp`), `SaleRecord.since` follows from the logs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from dam.types import (
    FALLBACK_BLOCKS,
    ZERO32,
    ZERO_ADDRESS,
    Address,
    Clock,
    CopyId,
    Deadlines,
    DisputeOpened,
    FragmentDelivered,
    JunkProved,
    LogRef,
    MarketLog,
    OtherLog,
    Purchase,
    SaleClosed,
    Status,
    StoreVersion,
)


@dataclass(frozen=True, slots=True)
class Action:
    """Something that a party can do with a sale from some moment to another."""

    name: str
    """``deliver``, ``supply``, ``prove``, ``confirm``, ``dispute``, ``rule``, ``concede``,
    ``agree``, ``settle``, ``refund``."""
    who: str
    """``deliverers``, ``seller``, ``buyer``, ``both`` (of them), ``arbitrator`` or ``anyone``."""
    first: int
    """First second in which it is possible; 0: at once."""
    last: int | None
    """Last one; None: without an end, as long as the sale stays in this state."""
    first_block: int = 0
    """First block in which it is possible, as the contract counts them."""

    def open_at(self, clock: Clock) -> bool:
        """Whether a transaction in the block after that of this clock could do it."""
        time = clock.time + 1
        late = self.last is not None and time > self.last
        return clock.block + 1 >= self.first_block and time >= self.first and not late


@dataclass
class SaleRecord:
    """One sale, as the logs up to some block tell it."""

    purchase: Purchase
    delivered: dict[int, FragmentDelivered] = field(default_factory=dict)
    """By index: the delivery that counts. A part that was cleared is not there."""
    fragments: list[FragmentDelivered] = field(default_factory=list)
    """All that ever came, junk and supplies too, in order."""
    junk: list[JunkProved] = field(default_factory=list)
    """Proofs, in order."""
    status: Status = field(init=False, default=Status.PURCHASED)
    """The contract's state."""
    since_at: LogRef = field(init=False)
    """The log with which the present state began; see the view ``sales``."""
    dispute: DisputeOpened | None = None
    closed: SaleClosed | None = None
    fault_proved: bool = False
    """The seller's junk, or shares that do not add up, ended it."""

    def __post_init__(self) -> None:
        self.since_at = self.purchase.at

    @property
    def copy_id(self) -> CopyId:
        """The contract's key of the sale."""
        return self.purchase.copy_id

    @property
    def supplied(self) -> list[FragmentDelivered]:
        """Fragments that the seller published again, in order."""
        return [fragment for fragment in self.fragments if fragment.supplied]

    @property
    def punished(self) -> set[int]:
        """Indices that the seller's side alone delivers."""
        return {proof.index for proof in self.junk}

    @property
    def cleared(self) -> set[int]:
        """Indices whose fee is paid, and whose part counts as never delivered."""
        return {proof.index for proof in self.junk if proof.cleared}

    @property
    def fresh_key(self) -> bytes:
        """The X25519 key that punished indices are sealed to; empty: no proof named one."""
        return next((proof.fresh_key for proof in self.junk if proof.fresh_key != ZERO32), b"")

    @property
    def paid(self) -> int:
        """How many fees have left the sale: of parts that are there, or were cleared."""
        return len(self.cleared.union(self.delivered))

    @property
    def whole(self) -> bool:
        """Whether all parts are there or were cleared: that opens the gate."""
        return self.paid == self.purchase.terms.parts

    @property
    def gate_block(self) -> int:
        """First block from the gate on, as the contract counts them; 0: it is open."""
        return 0 if self.whole else self.purchase.purchase_block + FALLBACK_BLOCKS + 1

    @property
    def since(self) -> int:
        """Seconds after the purchase at which the present state began, as the view ``sales`` says.

        Raises:
            ValueError: The time of the block is not known: logs do not tell it.
        """
        if self.since_at is self.purchase.at:
            return 0
        if not self.since_at.block.timestamp:
            raise ValueError("the time of the block is not known")
        return self.since_at.block.timestamp - self.purchase.purchase_time

    def actions(self, deadlines: Deadlines) -> list[Action]:
        """Everything that its present state allows, now or later.

        Args:
            deadlines: What the contract's view says of the sale, in this state.
        """
        status, gate, times = self.status, self.gate_block, deadlines
        if status.final:
            return []
        actions = self._deliveries(times)
        if status != Status.DISPUTED:
            actions.append(Action("prove", "buyer", 0, times.proof))
        if status == Status.PURCHASED:
            actions.append(Action("agree", "both", 0, None, gate))
            actions.append(Action("refund", "anyone", times.refund_from, None))
        elif status == Status.COMPLETE:
            actions.append(Action("confirm", "buyer", 0, None, gate))
            if self.purchase.terms.arbitrator != ZERO_ADDRESS:
                actions.append(Action("dispute", "buyer", 0, times.dispute, gate))
            actions.append(Action("concede", "seller", 0, None, gate))
            actions.append(Action("agree", "both", 0, None, gate))
            actions.append(Action("settle", "anyone", times.settle_from, None, gate))
        else:
            actions.append(Action("rule", "arbitrator", 0, times.ruling))
            actions.append(Action("concede", "buyer", 0, times.ruling))
            actions.append(Action("concede", "seller", 0, times.ruling))
            actions.append(Action("agree", "both", 0, times.ruling))
            actions.append(Action("settle", "anyone", times.settle_from, None))
        return actions

    def _deliveries(self, times: Deadlines) -> list[Action]:
        actions = []
        parts, punished = self.purchase.terms.parts, self.punished
        if any(i not in self.delivered and i not in punished for i in range(parts)):
            actions.append(Action("deliver", "deliverers", 0, times.deliver))
        if len(self.delivered) < parts:
            last = times.fallback_delivery
            actions.append(Action("deliver", "seller", 0, last, times.fallback_block))
        if self.delivered:
            actions.append(Action("supply", "seller", 0, None))
        return actions

    # ------------------------------------------------------------------------ what the logs tell

    def _enter(self, status: Status, at: LogRef) -> None:
        self.status, self.since_at = status, at

    def _deliver(self, fragment: FragmentDelivered) -> None:
        self.fragments.append(fragment)
        if fragment.supplied:
            return
        self.delivered.setdefault(fragment.index, fragment)
        enough = len(self.delivered) >= self.purchase.terms.threshold
        completes = self.status == Status.PURCHASED and enough
        if completes or (self.status == Status.COMPLETE and self.whole):
            self._enter(Status.COMPLETE, fragment.at)

    def _prove(self, proof: JunkProved) -> None:
        self.junk.append(proof)
        if proof.cleared:
            self.delivered.pop(proof.index, None)
            too_few = len(self.delivered) < self.purchase.terms.threshold
            if self.status == Status.COMPLETE and too_few:
                self._enter(Status.PURCHASED, proof.at)

    def _add(self, log: FragmentDelivered | JunkProved | DisputeOpened | SaleClosed) -> None:
        if isinstance(log, FragmentDelivered):
            self._deliver(log)
        elif isinstance(log, JunkProved):
            self._prove(log)
        elif isinstance(log, DisputeOpened):
            self.dispute = log
            self._enter(Status.DISPUTED, log.at)
        else:
            self.closed = log
            self._enter(log.status, log.at)


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
        elif isinstance(log, (FragmentDelivered, JunkProved, DisputeOpened, SaleClosed)):
            sale = self.sales.get(log.copy_id)
            if sale is not None:
                sale._add(log)
        elif isinstance(log, OtherLog) and log.name == "SellerFaultProved":
            sale = self.sales.get(log.args["copyId"])
            if sale is not None:
                sale.fault_proved = True

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
