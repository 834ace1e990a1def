"""A sale in words, and how it ends: what is planned, refused and told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dam.errors import Permanent
from dam.ethereum.erc20 import Tokens
from dam.market.log_history import History
from dam.market.sale_history import SaleHistory, SaleRecord
from dam.roles.disputes import plan_dispute
from dam.roles.sales import (
    actions_text,
    check_can_be_rated,
    concession_lines,
    plan_concession,
    plan_refund,
    state_text,
)
from dam.testing.rules import deadlines
from dam.types import (
    ZERO_ADDRESS,
    Clock,
    Deadlines,
    DisputeOpened,
    OtherLog,
    SaleClosed,
    Status,
    Wei,
    Windows,
)
from tests.unit.helpers.records import time_of

BOUGHT = 1000
NOW = Clock(1150, time_of(1150))


def sale_with(
    make: Any, windows: Windows, *logs: Any, parts: int = 3, **terms: Any
) -> tuple[SaleRecord, Deadlines | None]:
    sold = make.purchase(BOUGHT, **terms)
    all_logs = [sold, *(make.delivery(sold, n, 1001 + n) for n in range(parts)), *logs]
    sale = SaleHistory(all_logs).sales[sold.copy_id]
    if sale.status.final:
        return sale, None
    return sale, deadlines(sold, sale.status, sale.since, windows)


def disputed(make: Any, windows: Windows, block: int = 1100) -> tuple[SaleRecord, Any]:
    sold = make.purchase(BOUGHT)
    log = DisputeOpened(sold.copy_id, make.buyer, make.arbiter, bytes(32), make.at(block))
    return sale_with(make, windows, log)


def test_states_in_words(make: Any, windows: Windows) -> None:
    sold = make.purchase(BOUGHT)
    junk = make.junk(sold, 0, 1020)
    waiting, _ = sale_with(make, windows, parts=1)
    assert state_text(waiting, Tokens()) == "waiting for parts (1 of 2)"
    proved, _ = sale_with(make, windows, junk, parts=2)
    assert state_text(proved, Tokens()) == "waiting for parts (1 of 2, 1 proved to be junk)"
    agreed = SaleClosed(sold.copy_id, Status.AGREED, ZERO_ADDRESS, 400, Wei(0), make.at(1100))
    assert state_text(sale_with(make, windows, agreed)[0], Tokens()) == (
        "agreed: 400 wei back to the buyer"
    )
    ruled = replace(agreed, status=Status.RESOLVED, to_buyer=7)
    assert state_text(sale_with(make, windows, ruled)[0], Tokens()).startswith("ruled: 7 wei")


def test_actions_say_until_when_and_from_when_on(make: Any, windows: Windows) -> None:
    sale, times = sale_with(make, windows, parts=0)
    clock = Clock(1010, time_of(1010))
    [deliver, refund] = actions_text(sale, times, clock, ("seller", "anyone"))
    assert deliver.startswith("deliver from block 1101 until 2023-11-15 ")
    assert refund.startswith("refund from 2023-11-15 02:33:21 UTC (in 58 min")
    over = Clock(1010, times.fallback_delivery)
    assert not any("deliver" in text for text in actions_text(sale, times, over, ("seller",)))
    complete, times = sale_with(make, windows)
    texts = actions_text(complete, times, NOW, ("buyer",), ("prove",))
    assert texts[0] == "confirm now"
    assert texts[1].startswith("dispute now until ")
    closed = SaleClosed(sale.copy_id, Status.SETTLED, make.buyer, 0, Wei(0), make.at(1100))
    ended, times = sale_with(make, windows, closed)
    assert actions_text(ended, times, NOW, ("buyer", "seller", "anyone", "both")) == []


@pytest.mark.parametrize(("second", "allowed"), [(3599, False), (3600, True)])
def test_a_refund_opens_after_the_last_delivery(
    make: Any, windows: Windows, second: int, allowed: bool
) -> None:
    """The next block is at least a second later, so that one in second 3601 refunds."""
    sale, times = sale_with(make, windows, parts=1)
    clock = Clock(1290, time_of(BOUGHT) + second)
    if allowed:
        assert plan_refund(sale, times, clock).function == "refund"
        return
    with pytest.raises(Permanent, match="parts may come until"):
        plan_refund(sale, times, clock)


def test_no_refund_of_what_is_complete(make: Any, windows: Windows) -> None:
    sale, times = sale_with(make, windows)
    with pytest.raises(Permanent, match="nothing to refund"):
        plan_refund(sale, times, Clock(2000, time_of(2000)))


@pytest.mark.parametrize("party", ["buyer", "seller"])
def test_a_late_concession_pays_the_arbitrator_and_says_so_before(
    make: Any, windows: Windows, party: Any
) -> None:
    sale, times = disputed(make, windows)
    assert times is not None
    who = make.buyer if party == "buyer" else make.seller
    third = times.arbitrator_paid_from
    early = plan_concession(sale, who, party, times, Clock(1140, third - 2))
    other = "seller" if party == "buyer" else "buyer"
    assert early.bond_to == other
    told = "\n".join(concession_lines(early, times, Tokens()))
    assert f"The {other} gets your bond of 50 wei" in told
    assert "the arbitrator gets it instead" in told
    late = plan_concession(sale, who, party, times, Clock(1150, third - 1))
    assert late.bond_to == "arbitrator"
    told = "\n".join(concession_lines(late, times, Tokens()))
    assert "had a third of the time to rule, and gets your bond of 50 wei" in told
    with pytest.raises(Permanent, match="time to rule is over"):
        plan_concession(sale, who, party, times, Clock(1300, times.ruling))
    with pytest.raises(Permanent, match="not the"):
        plan_concession(sale, make.arbiter, party, times, NOW)


def test_a_late_concession_of_the_seller_still_gives_price_and_penalty(
    make: Any, windows: Windows
) -> None:
    sale, times = disputed(make, windows)
    assert times is not None
    clock = Clock(1150, times.arbitrator_paid_from)
    ending = plan_concession(sale, make.seller, "seller", times, clock)
    told = "\n".join(concession_lines(ending, times, Tokens()))
    assert "The buyer gets 1000 wei back, and 100 wei of penalty" in told
    buyer = plan_concession(sale, make.buyer, "buyer", times, clock)
    assert "The seller gets 1000 wei" in "\n".join(concession_lines(buyer, times, Tokens()))


def test_a_complete_sale_is_conceded_by_the_seller_alone(make: Any, windows: Windows) -> None:
    sale, times = sale_with(make, windows)
    assert plan_concession(sale, make.seller, "seller", times, NOW).bond_to == ""
    with pytest.raises(Permanent, match="the buyer concedes nothing"):
        plan_concession(sale, make.buyer, "buyer", times, NOW)


def test_a_dispute_in_its_time_alone(make: Any, windows: Windows) -> None:
    sale, times = sale_with(make, windows)
    assert times is not None
    plan = plan_dispute(sale, times, Clock(1150, times.dispute - 1), windows)
    assert (plan.bond, plan.rule_until) == (50, times.dispute + windows.arbitration_seconds)
    with pytest.raises(Permanent, match="could be disputed until"):
        plan_dispute(sale, times, Clock(1150, times.dispute), windows)
    two, times = sale_with(make, windows, parts=2)
    with pytest.raises(Permanent, match="from block 1101 on"):
        plan_dispute(two, times, Clock(1099, time_of(1099)), windows)
    assert plan_dispute(two, times, Clock(1100, time_of(1100)), windows)
    nobody, times = sale_with(make, windows, arbitrator=ZERO_ADDRESS)
    with pytest.raises(Permanent, match="no arbitrator"):
        plan_dispute(nobody, times, NOW, windows)
    waiting, times = sale_with(make, windows, parts=1)
    with pytest.raises(Permanent, match="only a complete sale"):
        plan_dispute(waiting, times, NOW, windows)


@pytest.mark.parametrize("end", [s for s in Status if s.final])
def test_every_sale_that_ended_is_rated_once(make: Any, windows: Windows, end: Status) -> None:
    sold = make.purchase(BOUGHT)
    closed = SaleClosed(sold.copy_id, end, make.buyer, 0, Wei(0), make.at(1100))
    sale, _ = sale_with(make, windows, closed)
    history = History([], 1200, NOW, SaleHistory())
    check_can_be_rated(history, sale)
    rated = OtherLog("SaleRated", {"copyId": sale.copy_id, "stars": 1}, make.at(1110))
    with pytest.raises(Permanent, match="rated already"):
        check_can_be_rated(replace(history, logs=[rated]), sale)
    with pytest.raises(Permanent, match="once it has ended"):
        check_can_be_rated(history, sale_with(make, windows)[0])
