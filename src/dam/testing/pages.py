"""Pages of logs that were no node's answer: records, and the rows that a ledger keeps of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dam.market.log_rows import Rows, dump_terms, signed
from dam.types import (
    BlockRef,
    DisputeOpened,
    FragmentDelivered,
    JunkProved,
    MarketLog,
    Purchase,
    SaleClosed,
    StoreVersion,
)


@dataclass(frozen=True, slots=True)
class LogPage:
    """Logs of a range of blocks as records, and the block that ends the range."""

    logs: list[MarketLog]
    end: BlockRef

    @property
    def size(self) -> int:
        """How many logs."""
        return len(self.logs)

    @property
    def rows(self) -> Rows:
        """As the ledger keeps them."""
        return rows_of(self.logs)


def rows_of(logs: Iterable[MarketLog]) -> Rows:
    """Records as rows."""
    rows = Rows()
    for log in logs:
        at = log.at
        place = (at.block.number, at.block.hash, at.log_index)
        rows.blocks[at.block.number] = at.block.hash
        rows.count += 1
        if isinstance(log, Purchase):
            rows.purchases.append(
                (
                    *place,
                    at.tx_hash,
                    log.copy_id,
                    log.seller,
                    log.buyer,
                    log.store_digest,
                    signed(log.copy),
                    log.purchase_block,
                    log.purchase_time,
                    dump_terms(log.terms),
                    b"".join(log.keys),
                )
            )
        elif isinstance(log, StoreVersion):
            rows.store_versions.append((*place, log.seller, log.digest, log.root))
        elif isinstance(log, FragmentDelivered):
            rows.deliveries.append((*place, log.copy_id, log.index, log.by, log.supplied))
        elif isinstance(log, JunkProved):
            where = (log.copy_id, log.index, log.deliverer)
            rows.junk_proofs.append((*place, *where, log.fresh_key, log.cleared))
        elif isinstance(log, DisputeOpened):
            rows.sale_events.append((*place, log.copy_id, "disputed"))
        elif isinstance(log, SaleClosed):
            rows.sale_events.append((*place, log.copy_id, log.status.name.lower()))
    return rows
