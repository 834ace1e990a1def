"""The replay of a sale, and what can be done when."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dam.market.sale_history import SaleHistory, SaleRecord
from dam.testing.rules import deadlines
from dam.types import (
    ZERO32,
    ZERO_ADDRESS,
    BlockRef,
    Clock,
    CopyId,
    DisputeOpened,
    OtherLog,
    SaleClosed,
    Status,
    StoreVersion,
    Wei,
    Windows,
)
from tests.unit.helpers.records import BLOCK_SECONDS, time_of

BOUGHT = 1000


def replay(make: Any, *events: Any, **terms: Any) -> SaleRecord:
    purchase = make.purchase(BOUGHT, **terms)
    return SaleHistory([purchase, *events]).sales[purchase.copy_id]


def at_block(block: int) -> Clock:
    """Of the block before, so that a transaction would be in this one, or a second later."""
    return Clock(block - 1, time_of(block) - 1)


def at_time(seconds: int) -> Clock:
    """So that the next block is of this many seconds after the purchase."""
    return Clock(BOUGHT + seconds // BLOCK_SECONDS, time_of(BOUGHT) + seconds - 1)


def can(sale: SaleRecord, windows: Windows, clock: Clock) -> set[str]:
    """``who:action`` of everything that a transaction in the next block could do."""
    times = deadlines(sale.purchase, sale.status, sale.since, windows)
    return {f"{a.who}:{a.name}" for a in sale.actions(times) if a.open_at(clock)}


def test_a_sale_begins_without_parts(make: Any, windows: Windows) -> None:
    sale = replay(make)
    assert (sale.status, sale.since) == (Status.PURCHASED, 0)
    assert can(sale, windows, at_block(BOUGHT + 1)) == {"deliverers:deliver", "buyer:prove"}


@pytest.mark.parametrize(
    ("offset", "allowed"), [(99, False), (100, False), (101, True), (102, True)]
)
def test_the_seller_delivers_from_block_101_on(
    make: Any, windows: Windows, offset: int, allowed: bool
) -> None:
    """By the contract's blocks, however long they take."""
    for seconds in (0, 3000):
        clock = Clock(BOUGHT + offset - 1, time_of(BOUGHT) + seconds)
        assert ("seller:deliver" in can(replay(make), windows, clock)) == allowed


@pytest.mark.parametrize("seconds", [1199, 1200, 1201])
def test_deliverers_deliver_for_a_third(make: Any, windows: Windows, seconds: int) -> None:
    found = can(replay(make), windows, at_time(seconds))
    assert ("deliverers:deliver" in found) == (seconds <= 1200)


@pytest.mark.parametrize("seconds", [2399, 2400, 2401])
def test_a_proof_clears_for_two_thirds(make: Any, windows: Windows, seconds: int) -> None:
    found = can(replay(make), windows, at_time(seconds))
    assert ("buyer:prove" in found) == (seconds <= 2400)


@pytest.mark.parametrize("seconds", [3599, 3600, 3601, 3602])
def test_a_refund_opens_after_the_last_delivery(make: Any, windows: Windows, seconds: int) -> None:
    found = can(replay(make), windows, at_time(seconds))
    assert ("anyone:refund" in found) == (seconds >= 3601)
    assert ("seller:deliver" in found) == (seconds <= 3600)


def test_complete_with_k_parts_and_the_gate_by_blocks(make: Any, windows: Windows) -> None:
    purchase = make.purchase(BOUGHT)
    sale = replay(make, make.delivery(purchase, 0, 1003), make.delivery(purchase, 2, 1005))
    assert sale.status == Status.COMPLETE
    assert sale.since == 5 * BLOCK_SECONDS
    by_gate = {"buyer:confirm", "buyer:dispute", "seller:concede", "both:agree"}
    for offset in (99, 100):
        assert not by_gate & can(sale, windows, at_block(BOUGHT + offset))
    for offset in (101, 102):
        assert by_gate <= can(sale, windows, at_block(BOUGHT + offset))
    last = sale.since + windows.dispute_seconds
    assert "buyer:dispute" in can(sale, windows, at_time(last))
    assert "anyone:settle" not in can(sale, windows, at_time(last))
    assert "buyer:dispute" not in can(sale, windows, at_time(last + 1))
    assert "anyone:settle" in can(sale, windows, at_time(last + 1))
    # Not before the gate, however slow the chain is.
    slow = Clock(BOUGHT + 99, time_of(BOUGHT) + last + 1)
    assert "anyone:settle" not in can(sale, windows, slow)
    assert "anyone:refund" not in can(sale, windows, at_time(100_000))


def test_the_last_part_opens_the_gate_early(make: Any, windows: Windows) -> None:
    purchase = make.purchase(BOUGHT)
    parts = [make.delivery(purchase, i, BOUGHT + 10 * (i + 1)) for i in range(3)]
    sale = replay(make, *parts)
    assert (sale.whole, sale.gate_block) == (True, 0)
    assert sale.since == 30 * BLOCK_SECONDS
    found = can(sale, windows, at_block(BOUGHT + 31))
    assert "buyer:confirm" in found
    assert "deliverers:deliver" not in found


def test_the_last_part_restarts_the_time_to_dispute(make: Any) -> None:
    purchase = make.purchase(BOUGHT, parts=4)
    early = [make.delivery(purchase, i, 1001 + i) for i in (0, 1, 2)]
    assert replay(make, *early, parts=4).since == 2 * BLOCK_SECONDS
    late = make.delivery(purchase, 3, BOUGHT + 250, by=make.seller)
    assert replay(make, *early, late, parts=4).since == 250 * BLOCK_SECONDS


def test_without_an_arbitrator_there_is_no_dispute(make: Any, windows: Windows) -> None:
    purchase = make.purchase(BOUGHT, arbitrator=ZERO_ADDRESS)
    parts = [make.delivery(purchase, i, 1001) for i in range(3)]
    sale = replay(make, *parts, arbitrator=ZERO_ADDRESS)
    assert "buyer:dispute" not in can(sale, windows, at_block(1010))
    assert "buyer:confirm" in can(sale, windows, at_block(1010))


def disputed(make: Any) -> SaleRecord:
    purchase = make.purchase(BOUGHT)
    parts = [make.delivery(purchase, i, 1001 + i) for i in range(3)]
    dispute = DisputeOpened(purchase.copy_id, make.buyer, make.arbiter, bytes(32), make.at(1050))
    return replay(make, *parts, dispute)


def test_a_dispute_ends_by_ruling_concession_agreement_or_silence(
    make: Any, windows: Windows
) -> None:
    sale = disputed(make)
    last = 50 * BLOCK_SECONDS + windows.arbitration_seconds
    ends = {"arbitrator:rule", "buyer:concede", "seller:concede", "both:agree"}
    assert ends <= can(sale, windows, at_time(last))
    assert "anyone:settle" not in can(sale, windows, at_time(last))
    assert not ends & can(sale, windows, at_time(last + 1))
    assert "anyone:settle" in can(sale, windows, at_time(last + 1))
    assert not {"buyer:confirm", "buyer:prove"} & can(sale, windows, at_block(1060))


ENDS = [Status.SETTLED, Status.REFUNDED, Status.RESOLVED, Status.AGREED]


@pytest.mark.parametrize("status", ENDS)
def test_a_final_sale_allows_nothing(make: Any, windows: Windows, status: Status) -> None:
    purchase = make.purchase(BOUGHT)
    closed = SaleClosed(purchase.copy_id, status, make.buyer, 0, Wei(0), make.at(1400))
    sale = replay(make, closed)
    assert sale.status == status
    times = deadlines(sale.purchase, sale.status, sale.since, windows)
    assert sale.actions(times) == []
    assert not any(getattr(times, name) for name in times.__slots__)


def test_supplied_fragments_are_kept_beside_the_delivered(make: Any, windows: Windows) -> None:
    purchase = make.purchase(BOUGHT)
    first = make.delivery(purchase, 0, 1001)
    again = make.delivery(purchase, 0, 1060, by=make.seller, supplied=True)
    sale = replay(make, first, again)
    assert sale.fragments == [first, again]
    assert sale.supplied == [again]
    assert len(sale.delivered) == 1
    assert "seller:supply" in can(sale, windows, at_block(1002))


# --------------------------------------------------------------------------------- proofs of junk


def test_a_cleared_part_is_missing_again_and_stays_paid(make: Any, windows: Windows) -> None:
    purchase = make.purchase(BOUGHT)
    parts = [make.delivery(purchase, i, 1001 + i) for i in (0, 1)]
    sale = replay(make, *parts, make.junk(purchase, 0, 1010))
    assert (sale.status, sale.since) == (Status.PURCHASED, 10 * BLOCK_SECONDS)
    assert (sorted(sale.delivered), sale.punished, sale.cleared, sale.paid) == ([1], {0}, {0}, 2)
    assert sale.fragments == parts
    assert not sale.whole
    # Index 2 is still a deliverer's, and the seller's side alone delivers index 0.
    assert "deliverers:deliver" in can(sale, windows, at_block(1011))
    assert "seller:deliver" in can(sale, windows, at_block(1101))
    third = make.delivery(purchase, 2, 1011)
    sale = replay(make, *parts, make.junk(purchase, 0, 1010), third)
    assert (sale.status, sale.since, sale.whole) == (Status.COMPLETE, 11 * BLOCK_SECONDS, True)
    assert "deliverers:deliver" not in can(sale, windows, at_block(1012))
    assert "buyer:confirm" in can(sale, windows, at_block(1012))


def test_a_replacement_restarts_the_time_to_dispute(make: Any) -> None:
    purchase = make.purchase(BOUGHT)
    parts = [make.delivery(purchase, i, 1001 + i) for i in range(3)]
    proof = make.junk(purchase, 0, 1010)
    left = replay(make, *parts, proof)
    assert (left.status, left.since) == (Status.COMPLETE, 3 * BLOCK_SECONDS)
    again = make.delivery(purchase, 0, 1101, by=make.seller)
    sale = replay(make, *parts, proof, again)
    assert (sale.delivered[0], sale.since) == (again, 101 * BLOCK_SECONDS)


def test_a_late_proof_clears_nothing(make: Any) -> None:
    purchase = make.purchase(BOUGHT)
    parts = [make.delivery(purchase, i, 1001 + i) for i in (0, 1)]
    sale = replay(make, *parts, make.junk(purchase, 0, 1250, cleared=False))
    assert (sale.status, sorted(sale.delivered)) == (Status.COMPLETE, [0, 1])
    assert (sale.punished, sale.cleared) == ({0}, set())


def test_one_fresh_key_a_sale(make: Any) -> None:
    purchase = make.purchase(BOUGHT)
    assert replay(make).fresh_key == b""
    after_the_end = make.junk(purchase, 1, 1010, fresh_key=ZERO32)
    assert replay(make, after_the_end).fresh_key == b""
    named = make.junk(purchase, 0, 1010)
    assert replay(make, named, after_the_end).fresh_key == named.fresh_key


def test_a_fault_of_the_sellers_is_told(make: Any) -> None:
    purchase = make.purchase(BOUGHT)
    fault = OtherLog("SellerFaultProved", {"copyId": purchase.copy_id}, make.at(1020))
    assert replay(make, fault).fault_proved
    assert not replay(make).fault_proved


def test_a_time_that_no_log_told_is_not_guessed(make: Any) -> None:
    purchase = make.purchase(BOUGHT)
    parts = [
        replace(part, at=replace(part.at, block=BlockRef(part.at.block.number, b"")))
        for part in (make.delivery(purchase, i, 1001) for i in (0, 1))
    ]
    with pytest.raises(ValueError, match="not known"):
        _ = replay(make, *parts).since


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
