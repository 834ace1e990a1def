"""What the checks before a payment see of a chain that has some logs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dam.crypto.hashing import sale_hash, sale_of
from dam.market.sale_history import SaleHistory
from dam.roles.buyer.buying import check_undecided
from dam.roles.buyer.records import Record
from dam.types import CopyId, MarketLog, SaleState, Status


def state_of(history: SaleHistory, copy_id: CopyId) -> SaleState:
    """A sale as the contract's storage has it."""
    sale = history.sales.get(copy_id)
    if sale is None:
        return SaleState(Status.NONE, 0, 0, False, False, bytes(24))
    commitment = sale_hash(sale_of(sale.purchase))[:24]
    return SaleState(sale.status, 0, 0, False, False, commitment)


def check_attempts(
    records: Sequence[Record], chain: Iterable[MarketLog], index: Iterable[MarketLog] | None = None
) -> None:
    """`check_undecided` where the chain has some logs, and the index the same, or others."""
    history = SaleHistory(chain)
    known = history if index is None else SaleHistory(index)
    states = [state_of(history, record.copy_id) for record in records]
    [versions] = history.stores.values()
    check_undecided(records, states, known.sales, versions[-1].digest)
