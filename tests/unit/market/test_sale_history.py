"""The replay of a sale, and what can be done in which block."""

from __future__ import annotations

from typing import Any

import pytest

from dam.market.sale_history import SaleHistory, SaleRecord
from dam.types import (
    ZERO_ADDRESS,
    CopyId,
    DisputeOpened,
    SaleClosed,
    Status,
    StoreVersion,
    Wei,
    Windows,
)

BOUGHT = 1000


def replay(make: Any, *events: Any, **terms: Any) -> SaleRecord:
    purchase = make.purchase(BOUGHT, **terms)
    return SaleHistory([purchase, *events]).sales[purchase.copy_id]


def can(sale: SaleRecord, windows: Windows, block: int) -> set[str]:
    """``who:action`` of everything that a transaction in this block could do."""
    return {f"{a.who}:{a.name}" for a in sale.actions(windows) if a.open_at(block)}


def test_a_sale_begins_without_parts(make: Any, windows: Windows) -> None:
    sale = replay(make)
    assert sale.status == Status.PURCHASED
    assert can(sale, windows, BOUGHT + 1) == {"deliverers:deliver"}


@pytest.mark.parametrize(
    ("offset", "allowed"), [(99, False), (100, False), (101, True), (102, True)]
)
def test_the_seller_delivers_from_block_101_on(
    make: Any, windows: Windows, offset: int, allowed: bool
) -> None:
    assert ("seller:deliver" in can(replay(make), windows, BOUGHT + offset)) == allowed


@pytest.mark.parametrize("offset", [299, 300, 301, 302])
def test_a_refund_opens_after_the_last_delivery(make: Any, windows: Windows, offset: int) -> None:
    found = can(replay(make), windows, BOUGHT + offset)
    assert ("anyone:refund" in found) == (offset >= 301)
    assert ("deliverers:deliver" in found) == (offset <= 300)
    assert ("seller:deliver" in found) == (offset <= 300)


def test_complete_with_k_parts_and_the_gate_by_time(make: Any, windows: Windows) -> None:
    purchase = make.purchase(BOUGHT)
    sale = replay(make, make.delivery(purchase, 0, 1003), make.delivery(purchase, 2, 1005))
    assert sale.status == Status.COMPLETE
    assert sale.completed_at == 1005
    for offset in (99, 100):
        assert "buyer:confirm" not in can(sale, windows, BOUGHT + offset)
    for offset in (101, 102):
        assert {"buyer:confirm", "buyer:dispute", "seller:concede"} <= can(
            sale, windows, BOUGHT + offset
        )
    last = BOUGHT + 101 + windows.dispute_blocks
    assert sale.last_dispute(windows) == last
    assert "buyer:dispute" in can(sale, windows, last)
    assert "anyone:settle" not in can(sale, windows, last)
    assert "buyer:dispute" not in can(sale, windows, last + 1)
    assert "anyone:settle" in can(sale, windows, last + 1)
    assert "anyone:refund" not in can(sale, windows, BOUGHT + 5000)


def test_the_last_part_opens_the_gate_early(make: Any, windows: Windows) -> None:
    purchase = make.purchase(BOUGHT)
    parts = [make.delivery(purchase, i, BOUGHT + 10 * (i + 1)) for i in range(3)]
    sale = replay(make, *parts)
    assert sale.gate() == BOUGHT + 30
    assert "buyer:confirm" in can(sale, windows, BOUGHT + 30)
    assert "deliverers:deliver" not in can(sale, windows, BOUGHT + 31)
    assert sale.last_dispute(windows) == BOUGHT + 30 + windows.dispute_blocks


def test_parts_after_block_101_do_not_move_an_open_gate(make: Any, windows: Windows) -> None:
    purchase = make.purchase(BOUGHT)
    early = [make.delivery(purchase, 0, 1001), make.delivery(purchase, 1, 1002)]
    late = make.delivery(purchase, 2, BOUGHT + 250, by=make.seller)
    sale = replay(make, *early, late)
    assert sale.gate() == BOUGHT + 101
    assert sale.last_dispute(windows) == BOUGHT + 101 + windows.dispute_blocks
    assert sale.by_deliverers == 2


def test_a_late_completion_starts_the_time_to_dispute(make: Any, windows: Windows) -> None:
    purchase = make.purchase(BOUGHT)
    sale = replay(make, make.delivery(purchase, 0, 1001), make.delivery(purchase, 1, BOUGHT + 250))
    assert sale.last_dispute(windows) == BOUGHT + 250 + windows.dispute_blocks


def test_without_an_arbitrator_there_is_no_dispute(make: Any, windows: Windows) -> None:
    purchase = make.purchase(BOUGHT, arbitrator=ZERO_ADDRESS)
    parts = [make.delivery(purchase, i, 1001) for i in range(3)]
    sale = replay(make, *parts, arbitrator=ZERO_ADDRESS)
    assert "buyer:dispute" not in can(sale, windows, 1010)
    assert "buyer:confirm" in can(sale, windows, 1010)


def disputed(make: Any) -> SaleRecord:
    purchase = make.purchase(BOUGHT)
    parts = [make.delivery(purchase, i, 1001 + i) for i in range(3)]
    dispute = DisputeOpened(purchase.copy_id, make.buyer, make.arbiter, bytes(32), make.at(1050))
    return replay(make, *parts, dispute)


def test_a_dispute_ends_by_ruling_concession_or_silence(make: Any, windows: Windows) -> None:
    sale = disputed(make)
    last = 1050 + windows.arbitration_blocks
    sides = {"arbitrator:rule", "buyer:concede", "seller:concede"}
    assert sides <= can(sale, windows, last)
    assert "anyone:settle" not in can(sale, windows, last)
    assert not sides & can(sale, windows, last + 1)
    assert "anyone:settle" in can(sale, windows, last + 1)
    assert "buyer:confirm" not in can(sale, windows, 1060)


@pytest.mark.parametrize("status", [Status.SETTLED, Status.REFUNDED, Status.RESOLVED])
def test_a_final_sale_allows_nothing(make: Any, windows: Windows, status: Status) -> None:
    purchase = make.purchase(BOUGHT)
    closed = SaleClosed(purchase.copy_id, status, make.buyer, 0, Wei(0), make.at(1400))
    sale = replay(make, closed)
    assert sale.status == status
    assert sale.actions(windows) == []


@pytest.mark.parametrize(("by_deliverers", "penalty"), [(0, 101), (1, 50), (2, 0)])
def test_the_penalty_of_a_refund_counts_what_deliverers_brought(
    make: Any, by_deliverers: int, penalty: int
) -> None:
    purchase = make.purchase(BOUGHT, threshold=2, penalty=Wei(101))
    parts = [make.delivery(purchase, i, 1001) for i in range(by_deliverers)]
    assert replay(make, *parts, penalty=Wei(101)).refund_penalty() == penalty


def test_fallback_parts_do_not_lower_the_penalty(make: Any) -> None:
    purchase = make.purchase(BOUGHT, penalty=Wei(100))
    own = make.delivery(purchase, 0, 1101, by=make.seller)
    assert replay(make, own).refund_penalty() == 100


def test_supplied_fragments_are_kept_beside_the_delivered(make: Any, windows: Windows) -> None:
    purchase = make.purchase(BOUGHT)
    first = make.delivery(purchase, 0, 1001)
    again = make.delivery(purchase, 0, 1060, by=make.seller, supplied=True)
    sale = replay(make, first, again)
    assert sale.fragments == [first, again]
    assert len(sale.delivered) == 1
    assert "seller:supply" in can(sale, windows, 1002)


def test_taken_copies_and_store_versions(make: Any) -> None:
    history = SaleHistory([make.purchase(1000, copy=3), make.purchase(1001, copy=7)])
    item = make.terms().item_id
    assert history.taken(make.seller, item) == {3, 7}
    assert history.taken(make.buyer, item) == set()
    old = StoreVersion(make.seller, b"1" * 32, b"r" * 32, make.at(1))
    new = StoreVersion(make.seller, b"2" * 32, b"s" * 32, make.at(2))
    history.add(old)
    history.add(new)
    assert history.store(make.seller) == new
    assert history.version(make.seller, b"1" * 32) == old
    assert history.version(make.seller, b"3" * 32) is None


def test_logs_of_a_sale_from_before_are_left_out(make: Any) -> None:
    stranger = CopyId(b"x" * 32)
    history = SaleHistory([SaleClosed(stranger, Status.SETTLED, make.buyer, 0, Wei(0), make.at(5))])
    assert stranger not in history.sales
