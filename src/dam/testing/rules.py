"""The contract's rules of delivering, supplying and settling, without its money.

Part of `memory`: the state of a sale is replayed from its events, and a call gives the events that
the contract would emit, or `ContractReverted` as it would revert.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from eth_abi.abi import decode as abi_decode

from dam.crypto.abi_words import abi_fields, abi_type
from dam.crypto.hashing import checksum, part_leaf, sale_hash, sale_of
from dam.crypto.merkle import verify
from dam.errors import ContractReverted
from dam.market.abi import market_abi
from dam.types import (
    FALLBACK_BLOCKS,
    FRAGMENT_BYTES,
    Address,
    BlockRef,
    CopyId,
    Delivery,
    DisputeOpened,
    FragmentDelivered,
    LogRef,
    MarketLog,
    PartLeaf,
    Purchase,
    Sale,
    SaleClosed,
    SaleState,
    Status,
    Wei,
    Windows,
)

NOWHERE = LogRef(BlockRef(0, b""), b"", 0)
"""Place of an event that is in no block yet."""


class Rules:
    """A market with these windows."""

    def __init__(self, windows: Windows) -> None:
        self.windows = windows
        self.operators: dict[Address, Address] = {}
        self.eligible: set[Address] = set()

    def state(self, logs: Iterable[MarketLog], copy: CopyId) -> tuple[Purchase | None, SaleState]:
        """The purchase and the state of a sale, from the events of the chain."""
        sold: Purchase | None = None
        status, bits, paid, since = Status.NONE, 0, 0, 0
        for log in logs:
            if getattr(log, "copy_id", None) != copy:
                continue
            if isinstance(log, Purchase):
                sold, status, bits, paid, since = log, Status.PURCHASED, 0, 0, 0
            assert sold is not None
            offset = log.at.block.number - sold.block
            if isinstance(log, FragmentDelivered) and not log.supplied:
                bits |= 1 << log.index
                paid += log.by != sold.seller
                if status is Status.PURCHASED and bits.bit_count() == sold.terms.threshold:
                    status, since = Status.COMPLETE, offset
                if status is Status.COMPLETE and bits.bit_count() == sold.terms.parts:
                    since = max(since, min(offset, FALLBACK_BLOCKS + 1))
            elif isinstance(log, DisputeOpened):
                status, since = Status.DISPUTED, offset
            elif isinstance(log, SaleClosed):
                status, since = log.status, offset
        commitment = sale_hash(sale_of(sold))[:24] if sold is not None else bytes(24)
        return sold, SaleState(status, bits, paid, since, commitment)

    def execute(
        self, logs: list[MarketLog], sender: Address, data: bytes, block: int
    ) -> list[MarketLog]:
        """The events of a call that is mined in ``block``.

        Raises:
            ContractReverted: As the contract would.
        """
        entry = next(e for e in market_abi().functions.values() if e.id == data[:4])
        args = abi_decode([p.type for p in entry.inputs], data[4:])
        if entry.name == "deliverFragment":
            return [self._deliver(logs, sender, read_struct(Delivery, args[0]), block)]
        if entry.name == "deliverFragments":
            return self._deliver_many(
                logs, sender, [read_struct(Delivery, d) for d in args[0]], block
            )
        if entry.name == "supplyFragments":
            return [self._supply(logs, sender, read_struct(Delivery, d)) for d in args[0]]
        if entry.name == "settle":
            return [self._settle(logs, sender, CopyId(args[0]), block)]
        raise ContractReverted("")

    def _deliver_many(
        self, logs: list[MarketLog], sender: Address, deliveries: list[Delivery], block: int
    ) -> list[MarketLog]:
        emitted: list[MarketLog] = []
        skipped = ("WrongSale", "WrongStatus", "DeliveryClosed", "AlreadyDelivered")
        for delivery in deliveries:
            try:
                log = self._deliver(logs, sender, delivery, block)
            except ContractReverted as error:
                if error.error not in (*skipped, "FallbackTooEarly"):
                    raise
            else:
                emitted.append(log)
        if not emitted:
            raise ContractReverted("NothingDelivered")
        return emitted

    def _deliver(
        self, logs: list[MarketLog], sender: Address, delivery: Delivery, block: int
    ) -> FragmentDelivered:
        sale, state = self._open_sale(logs, delivery)
        last = sale.purchase_block + self.windows.refund_blocks
        copy, index = delivery.copy_id, delivery.index
        if block > last:
            raise ContractReverted("DeliveryClosed", {"copyId": copy, "lastBlock": last})
        if state.has(index):
            raise ContractReverted("AlreadyDelivered", {"copyId": copy, "index": index})
        by = sender
        if sender != delivery.deliverer or sender == sale.seller:
            first = sale.purchase_block + FALLBACK_BLOCKS + 1
            if sender not in (sale.seller, self.operators.get(sale.seller)):
                raise ContractReverted(
                    "NotYourPart", {"deliverer": delivery.deliverer, "caller": sender}
                )
            if block < first:
                raise ContractReverted("FallbackTooEarly", {"copyId": copy, "firstBlock": first})
            by = sale.seller
        elif sender not in self.eligible:
            raise ContractReverted("NotEligible", {"operator": sender})
        return self._part(delivery, by, supplied=False)

    def _supply(
        self, logs: list[MarketLog], sender: Address, delivery: Delivery
    ) -> FragmentDelivered:
        sale, state = self._open_sale(logs, delivery)
        if sender not in (sale.seller, self.operators.get(sale.seller)):
            raise ContractReverted("NotAllowed", {"caller": sender})
        if not state.has(delivery.index):
            arguments = {"copyId": delivery.copy_id, "index": delivery.index}
            raise ContractReverted("NotDelivered", dict(arguments))
        return self._part(delivery, sale.seller, supplied=True)

    def _open_sale(self, logs: list[MarketLog], delivery: Delivery) -> tuple[Sale, SaleState]:
        sold, state = self.state(logs, delivery.copy_id)
        if sold is None or sale_of(sold) != delivery.sale:
            raise ContractReverted("WrongSale", {"copyId": delivery.copy_id})
        if state.status not in (Status.PURCHASED, Status.COMPLETE, Status.DISPUTED):
            raise ContractReverted(
                "WrongStatus", {"copyId": delivery.copy_id, "status": state.status}
            )
        return delivery.sale, state

    def _part(self, delivery: Delivery, by: Address, *, supplied: bool) -> FragmentDelivered:
        if len(delivery.fragment) != FRAGMENT_BYTES:
            raise ContractReverted("InvalidFragmentLength", {"length": len(delivery.fragment)})
        sale = delivery.sale
        leaf = PartLeaf(
            sale.copy if sale.stock else 0,
            delivery.index,
            delivery.deliverer,
            delivery.commitment,
            delivery.secret_hash,
            delivery.salt,
        )
        proved = verify(sale.parts_root, part_leaf(leaf), delivery.proof)
        if delivery.index >= sale.parts or not proved:
            arguments = {"copyId": delivery.copy_id, "index": delivery.index}
            raise ContractReverted("PartNotInItem", dict(arguments))
        return FragmentDelivered(
            delivery.copy_id,
            by,
            delivery.index,
            delivery.deliverer,
            delivery.commitment,
            delivery.secret_hash,
            delivery.salt,
            delivery.fragment,
            supplied,
            NOWHERE,
        )

    def _settle(
        self, logs: list[MarketLog], sender: Address, copy: CopyId, block: int
    ) -> SaleClosed:
        sold, state = self.state(logs, copy)
        windows = self.windows
        if sold is None or state.status not in (Status.COMPLETE, Status.DISPUTED):
            raise ContractReverted("WrongStatus", {"copyId": copy, "status": state.status})
        since = state.since
        if state.status is Status.COMPLETE:
            if state.count != sold.terms.parts:
                since = max(since, FALLBACK_BLOCKS + 1)
            last = sold.block + since + windows.dispute_blocks
        else:
            last = sold.block + since + windows.arbitration_blocks
        if block <= last:
            raise ContractReverted("TooEarly", {"copyId": copy, "firstBlock": last + 1})
        return SaleClosed(copy, Status.SETTLED, sender, 0, Wei(0), NOWHERE)


def read_struct(struct: type, values: Sequence[Any]) -> Any:
    """A record of what eth_abi decodes: nested tuples, addresses in lower case."""
    return struct(*map(_read, abi_fields(struct).values(), values))


def _read(kind: str, value: Any) -> Any:
    if kind == abi_type(Sale):
        return read_struct(Sale, value)
    return checksum(bytes.fromhex(value[2:])) if kind == "address" else value
