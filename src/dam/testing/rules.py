"""The contract's rules of delivering, supplying and closing, without its money.

Part of `memory`: the state of a sale is replayed from its events, and a call gives the events that
the contract would emit, or `ContractReverted` as it would revert.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from eth_abi.abi import decode as abi_decode

from dam.crypto.abi_words import abi_fields, abi_type
from dam.crypto.hashing import (
    checksum,
    domain_separator,
    fragments_digest,
    part_leaf,
    sale_hash,
    sale_of,
)
from dam.crypto.merkle import verify
from dam.errors import ContractReverted, Malformed
from dam.ethereum.compact_signature import recover
from dam.market.abi import market_abi
from dam.market.calldata import entry_of
from dam.market.sale_history import SaleHistory, SaleRecord
from dam.types import (
    FALLBACK_BLOCKS,
    FRAGMENT_BYTES,
    ZERO32,
    Address,
    BlockRef,
    Clock,
    Closure,
    CopyId,
    Deadlines,
    Delivery,
    Escrow,
    FragmentDelivered,
    FragmentsSigned,
    JunkProved,
    LogRef,
    MarketLog,
    PartLeaf,
    Purchase,
    Sale,
    SaleClosed,
    SaleState,
    Signature,
    Status,
    Wei,
    Windows,
)

NOWHERE = LogRef(BlockRef(0, b""), b"", 0)
"""Place of an event that is in no block yet."""
_SKIPPED = {
    "WrongSale", "WrongStatus", "DeliveryClosed", "AlreadyDelivered",
    "FallbackTooEarly", "IndexPunished", "WrongFreshKey", "NotEligible", "NotYourPart",
}  # fmt: skip
"""What may have changed since a list was signed."""
_MAX_ENTRIES = 50
"""Of one list."""


class Rules:
    """A market with these windows, on a chain.

    Args:
        chain_id: The chain's.
        market: The market's address.
        windows: Its windows.
    """

    def __init__(self, chain_id: int, market: Address, windows: Windows) -> None:
        self.windows = windows
        self.operators: dict[Address, Address] = {}
        self.eligible: set[Address] = set()
        self._separator = domain_separator(chain_id, market)

    def state(self, logs: Iterable[MarketLog], copy: CopyId) -> SaleState:
        """The state of a sale, from the events of the chain; those tell their times."""
        sale = self._sale(logs, copy)
        if sale is None:
            return SaleState(Status.NONE, 0, 0, False, False, bytes(24))
        bits = sum(1 << index for index in sale.delivered)
        commitment = sale_hash(sale_of(sale.purchase))[:24]
        return SaleState(sale.status, bits, sale.since, False, bool(sale.junk), commitment)

    def deadlines(self, logs: Iterable[MarketLog], copy: CopyId) -> Deadlines:
        """As the view."""
        sale = self._sale(logs, copy)
        assert sale is not None
        return deadlines(sale.purchase, sale.status, sale.since, self.windows)

    def prove_junk(
        self, logs: Iterable[MarketLog], copy: CopyId, index: int, fresh_key: bytes, clock: Clock
    ) -> JunkProved:
        """The event of a proof against the deliverer of a part; nothing of it is checked."""
        sale = self._sale(logs, copy)
        assert sale is not None
        part = next(f for f in sale.fragments if f.index == index and not f.supplied)
        in_time = clock.time <= sale.purchase.purchase_time + self.windows.proof_seconds
        there = index in sale.delivered and part.by != sale.purchase.seller
        cleared = in_time and there and sale.status in (Status.PURCHASED, Status.COMPLETE)
        key = ZERO32 if sale.status.final else fresh_key
        return JunkProved(copy, part.by, index, key, Wei(0), Wei(0), cleared, NOWHERE)

    def execute(
        self, logs: list[MarketLog], sender: Address, data: bytes, clock: Clock
    ) -> list[MarketLog]:
        """The events of a call in a block of this clock.

        Raises:
            ContractReverted: As the contract would.
        """
        entry = next(e for e in market_abi().functions.values() if e.id == data[:4])
        args = abi_decode([p.type for p in entry.inputs], data[4:])
        if entry.name in ("deliverFragment", "deliverFragments", "supplyFragments"):
            raw = [args[0]] if entry.name == "deliverFragment" else args[0]
            if len(raw) > _MAX_ENTRIES:
                raise ContractReverted("ListTooLong", {"entries": len(raw), "most": _MAX_ENTRIES})
            parts = [read_struct(Delivery, one) for one in raw]
            signature = read_struct(Signature, args[1])
            strict, supply = entry.name == "deliverFragment", entry.name == "supplyFragments"
            signed = self._signed(parts, signature)
            part = self._supply if supply else self._deliver
            return [signed, *self._each(logs, parts, signed.signer, clock, part, strict)]
        if entry.name in ("settle", "refund"):
            status = Status.SETTLED if entry.name == "settle" else Status.REFUNDED
            return [self._close(logs, sender, CopyId(args[0]), clock, (status,))]
        if entry.name == "closeMany":
            return self._close_many(logs, sender, args[0], clock)
        raise ContractReverted("")

    def _sale(self, logs: Iterable[MarketLog], copy: CopyId) -> SaleRecord | None:
        own = (log for log in logs if getattr(log, "copy_id", None) == copy)
        return SaleHistory(own).sales.get(copy)

    # ------------------------------------------------------------------------------- delivering

    def _signed(self, parts: Sequence[Delivery], signature: Signature) -> FragmentsSigned:
        entries = tuple(map(entry_of, parts))
        try:
            signer = recover(fragments_digest(self._separator, entries), signature)
        except Malformed:
            raise ContractReverted("InvalidSignature") from None
        return FragmentsSigned(signer, signature.r, signature.vs, entries, NOWHERE)

    def _each(
        self,
        logs: list[MarketLog],
        parts: Sequence[Delivery],
        signer: Address,
        clock: Clock,
        part: Callable[[SaleRecord, Address, Delivery, Clock], FragmentDelivered],
        strict: bool,
    ) -> list[MarketLog]:
        emitted: list[MarketLog] = []
        for delivery in parts:
            try:
                self._check_part(delivery)
                sale = self._open_sale([*logs, *emitted], delivery)
                emitted.append(part(sale, signer, delivery, clock))
            except ContractReverted as error:
                if strict or error.error not in _SKIPPED:
                    raise
        if not emitted:
            raise ContractReverted("NothingDelivered")
        return emitted

    def _deliver(
        self, record: SaleRecord, signer: Address, delivery: Delivery, clock: Clock
    ) -> FragmentDelivered:
        sale, copy, index = delivery.sale, delivery.copy_id, delivery.index
        if index in record.delivered:
            raise ContractReverted("AlreadyDelivered", {"copyId": copy, "index": index})
        self._check_fresh_key(record, delivery)
        for_seller = self._sides_with(signer, sale.seller)
        if signer == delivery.deliverer and signer != sale.seller:
            obstacle = self._obstacle(record, delivery, clock)
            if obstacle is None:
                return self._part(delivery, signer, supplied=False)
            if not for_seller:
                raise obstacle
        if not for_seller:
            raise ContractReverted(
                "NotYourPart", {"deliverer": delivery.deliverer, "signer": signer}
            )
        first = sale.purchase_block + FALLBACK_BLOCKS + 1
        if clock.block < first:
            raise ContractReverted("FallbackTooEarly", {"copyId": copy, "firstBlock": first})
        _check_time(copy, clock, sale.purchase_time + self.windows.refund_seconds)
        return self._part(delivery, sale.seller, supplied=False)

    def _obstacle(
        self, record: SaleRecord, delivery: Delivery, clock: Clock
    ) -> ContractReverted | None:
        """Why the deliverer whom the leaf names cannot deliver."""
        copy, last = delivery.copy_id, delivery.sale.purchase_time + self.windows.delivery_seconds
        if delivery.index in record.punished:
            return ContractReverted("IndexPunished", {"copyId": copy, "index": delivery.index})
        if clock.time > last:
            return ContractReverted("DeliveryClosed", {"copyId": copy, "lastTime": last})
        if delivery.deliverer not in self.eligible:
            return ContractReverted("NotEligible", {"operator": delivery.deliverer})
        return None

    def _supply(
        self, record: SaleRecord, signer: Address, delivery: Delivery, clock: Clock
    ) -> FragmentDelivered:
        del clock  # at any time
        seller, copy, index = delivery.sale.seller, delivery.copy_id, delivery.index
        if not self._sides_with(signer, seller):
            raise ContractReverted(
                "NotYourPart", {"deliverer": delivery.deliverer, "signer": signer}
            )
        if index not in record.delivered:
            # A supply is always a batch: it is skipped, under whatever name.
            raise ContractReverted("WrongStatus", {"copyId": copy, "status": record.status})
        self._check_fresh_key(record, delivery)
        return self._part(delivery, seller, supplied=True)

    def _sides_with(self, signer: Address, seller: Address) -> bool:
        return signer in (seller, self.operators.get(seller))

    @staticmethod
    def _check_fresh_key(record: SaleRecord, delivery: Delivery) -> None:
        known = delivery.index in record.punished and delivery.fresh_key == record.fresh_key
        if delivery.fresh_key != ZERO32 and not known:
            raise ContractReverted(
                "WrongFreshKey", {"copyId": delivery.copy_id, "freshKey": delivery.fresh_key}
            )

    def _open_sale(self, logs: Iterable[MarketLog], delivery: Delivery) -> SaleRecord:
        record = self._sale(logs, delivery.copy_id)
        if record is None or sale_of(record.purchase) != delivery.sale:
            raise ContractReverted("WrongSale", {"copyId": delivery.copy_id})
        if record.status.final:
            raise ContractReverted(
                "WrongStatus", {"copyId": delivery.copy_id, "status": record.status}
            )
        return record

    @staticmethod
    def _check_part(delivery: Delivery) -> None:
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

    @staticmethod
    def _part(delivery: Delivery, by: Address, *, supplied: bool) -> FragmentDelivered:
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

    # ---------------------------------------------------------------------------------- closing

    def _close_many(
        self, logs: list[MarketLog], sender: Address, raw: Sequence[Any], clock: Clock
    ) -> list[MarketLog]:
        emitted: list[MarketLog] = []
        for closure in (read_struct(Closure, one) for one in raw):
            try:
                here = [*logs, *emitted]
                emitted.append(self._close(here, sender, closure.copy_id, clock))
            except ContractReverted:
                continue
        if not emitted:
            raise ContractReverted("NothingClosed")
        return emitted

    def _close(
        self,
        logs: list[MarketLog],
        sender: Address,
        copy: CopyId,
        clock: Clock,
        wanted: Sequence[Status] = (Status.SETTLED, Status.REFUNDED),
    ) -> SaleClosed:
        record = self._sale(logs, copy)
        if record is None:
            raise ContractReverted("WrongSale", {"copyId": copy})
        times = deadlines(record.purchase, record.status, record.since, self.windows)
        refunds = record.status is Status.PURCHASED
        status = Status.REFUNDED if refunds else Status.SETTLED
        if record.status.final or status not in wanted:
            raise ContractReverted("WrongStatus", {"copyId": copy, "status": record.status})
        if record.status is Status.COMPLETE and clock.block < record.gate_block:
            gate = {"copyId": copy, "gateBlock": record.gate_block}
            raise ContractReverted("BeforeGate", dict(gate))
        first = times.refund_from if refunds else times.settle_from
        if clock.time < first:
            raise ContractReverted("TooEarly", {"copyId": copy, "firstTime": first})
        penalty = record.purchase.terms.penalty if refunds else Wei(0)
        return SaleClosed(copy, status, sender, 0, penalty, NOWHERE)


def deadlines(bought: Purchase, status: Status, since: int, windows: Windows) -> Deadlines:
    """What the view ``deadlines`` says of a sale in this state.

    Args:
        bought: The purchase.
        status: The sale's state.
        since: Seconds after the purchase at which it began.
        windows: The deployment's.
    """
    if status.final or status == Status.NONE:
        return Deadlines(*[0] * 9)
    start = bought.purchase_time
    began = start + since
    refund_ends = start + windows.refund_seconds
    ends = began + windows.dispute_seconds
    ruling = began + windows.arbitration_seconds
    complete, disputed = status == Status.COMPLETE, status == Status.DISPUTED
    return Deadlines(
        fallback_block=bought.purchase_block + FALLBACK_BLOCKS + 1,
        deliver=start + windows.delivery_seconds,
        proof=0 if disputed else start + windows.proof_seconds,
        fallback_delivery=refund_ends,
        refund_from=refund_ends + 1 if status == Status.PURCHASED else 0,
        dispute=ends if complete else 0,
        ruling=ruling if disputed else 0,
        arbitrator_paid_from=began + windows.arbitration_seconds // 3 if disputed else 0,
        settle_from=ends + 1 if complete else ruling + 1 if disputed else 0,
    )


def _check_time(copy: CopyId, clock: Clock, last: int) -> None:
    if clock.time > last:
        raise ContractReverted("DeliveryClosed", {"copyId": copy, "lastTime": last})


_STRUCTS: dict[str, type] = {abi_type(struct): struct for struct in (Sale, Escrow)}


def read_struct(struct: type, values: Sequence[Any]) -> Any:
    """A record of what eth_abi decodes: nested tuples, addresses in lower case."""
    return struct(*map(_read, abi_fields(struct).values(), values))


def _read(kind: str, value: Any) -> Any:
    if kind in _STRUCTS:
        return read_struct(_STRUCTS[kind], value)
    return checksum(bytes.fromhex(value[2:])) if kind == "address" else value
