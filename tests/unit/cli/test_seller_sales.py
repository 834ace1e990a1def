"""What `dam seller sales` says a seller can do, and ask the buyer for."""

from __future__ import annotations

from typing import Any

from dam.cli.sale_views import sale_json, seller_record_json
from dam.cli.seller.sales import _can
from dam.market.reputation import Rating, SellerRecord
from dam.market.sale_history import SaleHistory, SaleRecord
from dam.testing.rules import deadlines
from dam.types import Clock, Deadlines, DisputeOpened, Wei, Windows
from tests.unit.helpers.records import time_of

ASK = "ask the buyer for `dam buyer prove` until "


def complete(make: Any, windows: Windows, **by: Any) -> tuple[SaleRecord, Deadlines]:
    sold = make.purchase(1000)
    logs = [sold, *(make.delivery(sold, index, 1001, **by) for index in range(2))]
    sale = SaleHistory(logs).sales[sold.copy_id]
    return sale, deadlines(sold, sale.status, sale.since, windows)


def test_a_proof_is_asked_for_while_it_clears_a_part(make: Any, windows: Windows) -> None:
    sale, times = complete(make, windows)
    last = Clock(1150, times.proof - 1)
    [asked] = [text for text in _can(sale, times, last) if ASK in text]
    assert asked.startswith("if a part does not open")
    over = _can(sale, times, Clock(1150, times.proof))
    assert not [text for text in over if ASK in text]
    # Supplying would spare who delivered junk the fine: it is not named at all.
    assert not [text for text in _can(sale, times, last) if "supply" in text]


def test_a_supply_is_named_where_it_helps(make: Any, windows: Windows) -> None:
    """In a dispute, and after a proof that came too late to clear the part."""
    sale, times = complete(make, windows)
    late = make.junk(sale.purchase, 0, 1003, cleared=False)
    opened = DisputeOpened(sale.copy_id, make.buyer, make.arbiter, bytes(32), make.at(1003))
    for log in (late, opened):
        logs = [sale.purchase, *sale.fragments, log]
        found = SaleHistory(logs).sales[sale.copy_id]
        assert "supply now" in _can(found, times, Clock(1150, time_of(1150)))


def test_no_proof_is_asked_for_of_the_sellers_own_parts(make: Any, windows: Windows) -> None:
    sale, times = complete(make, windows, by=make.seller)
    assert not [text for text in _can(sale, times, Clock(1150, time_of(1150))) if ASK in text]


def test_an_agreement_is_offered_from_the_gate_on(make: Any, windows: Windows) -> None:
    sale, times = complete(make, windows)
    assert "agree from block 1101" in _can(sale, times, Clock(1050, time_of(1050)))
    assert "agree now" in _can(sale, times, Clock(1150, time_of(1150)))


def test_sales_and_records_for_programs(make: Any, windows: Windows) -> None:
    sold = make.purchase(1000)
    logs = [sold, make.delivery(sold, 0, 1001), make.junk(sold, 0, 1002)]
    sale = SaleHistory(logs).sales[sold.copy_id]
    times = deadlines(sold, sale.status, 0, windows)
    value = sale_json(sale, times, Clock(1010, time_of(1010)))
    assert (value["purchaseBlock"], value["purchaseTime"]) == (1000, time_of(1000))
    assert value["deadlines"]["fallbackBlock"] == 1101
    assert value["deadlines"]["arbitratorPaidFrom"] == 0
    [junk] = value["junk"]
    assert (junk["index"], junk["cleared"], junk["taken"], junk["bounty"]) == (0, True, "50", "10")
    [refund] = [action for action in value["actions"] if action["action"] == "refund"]
    assert refund["first"] == time_of(1000) + windows.refund_seconds + 1
    ended = sale_json(sale, None, Clock(1010, time_of(1010)))
    assert (ended["deadlines"], ended["actions"]) == (None, [])
    record = SellerRecord(Rating(2, Wei(10), 45), ended=3, refunds=1)
    assert seller_record_json(record) == {
        "rating": {"count": 2, "tenths": 45, "feesToOthers": "10"},
        "ended": 3, "refunds": 1, "conceded": 0, "faults": 0, "lost": 0, "agreed": 0,
    }  # fmt: skip
