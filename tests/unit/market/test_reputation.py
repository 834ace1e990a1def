"""What the logs add up to: ratings, records of arbitrators, bound stake, slashes, posted terms."""

from __future__ import annotations

from typing import Any

from dam.market.deliverers import Candidate, Registration
from dam.market.reputation import (
    PostedTerms,
    arbiter_record,
    bound_stake,
    evidence_of,
    posted_terms,
    proposed_slashes,
    unruled,
)
from dam.market.sale_history import SaleHistory
from dam.types import DisputeOpened, OtherLog, SaleClosed, Status, Wei, Windows


def other(make: Any, name: str, block: int = 5, **args: Any) -> OtherLog:
    return OtherLog(name, args, make.at(block))


def test_bound_stake_is_r_less_the_fees_paid(make: Any) -> None:
    one, two = make.purchase(copy=0), make.purchase(copy=1)
    logs: list[Any] = [one, two, make.delivery(one, 0, 1001)]
    # R = 3 x 10 + 100 + 50; one fee is paid.
    assert bound_stake(SaleHistory(logs), make.seller) == 180 - 10 + 180
    logs.append(SaleClosed(two.copy_id, Status.REFUNDED, make.buyer, 0, Wei(0), make.at(1400)))
    assert bound_stake(SaleHistory(logs), make.seller) == 170
    assert bound_stake(SaleHistory(logs), make.buyer) == 0


def test_an_arbitrators_record(make: Any, windows: Windows) -> None:
    logs: list[Any] = []
    ends = [
        (Status.RESOLVED, 1250),
        (Status.SETTLED, 1351),  # nobody ruled: settled after the last block
        (Status.SETTLED, 1300),  # the buyer gave in
        (Status.REFUNDED, 1300),  # the seller did
        (None, 0),
    ]
    for copy, (status, block) in enumerate(ends):
        sold = make.purchase(copy=copy)
        logs += [sold, make.delivery(sold, 0, 1001), make.delivery(sold, 1, 1002)]
        logs.append(DisputeOpened(sold.copy_id, make.buyer, make.arbiter, bytes(32), make.at(1200)))
        if status is not None:
            logs.append(SaleClosed(sold.copy_id, status, make.buyer, 0, Wei(0), make.at(block, 9)))
    history = SaleHistory(logs)
    times = {
        log.at.block.number: make.time_of(log.at.block.number)
        for sale in unruled(history, make.arbiter)
        for log in (sale.dispute, sale.closed)
        if log
    }
    assert sorted(times) == [1200, 1300, 1351]
    last = make.time_of(1200) + windows.arbitration_seconds
    now = arbiter_record(history, make.arbiter, windows, last - 1, times)
    assert (now.cases, now.rulings, now.silences, now.waiting) == (5, 1, 1, 1)
    late = arbiter_record(history, make.arbiter, windows, last, times)
    assert (late.silences, late.waiting) == (2, 0)
    assert arbiter_record(history, make.buyer, windows, last, {}).cases == 0


def test_slashes_until_executed_cancelled_or_lapsed(make: Any) -> None:
    logs = [
        other(
            make,
            "SlashProposed",
            id=number,
            operator=make.person(number),
            beneficiary=make.buyer,
            amount=7,
            reason=bytes(32),
            firstTime=100,
            lastTime=200,
        )
        for number in (1, 2, 3)
    ]
    assert [s.number for s in proposed_slashes(logs, 199)] == [1, 2, 3]
    assert proposed_slashes(logs, 200) == []
    done = [other(make, "SlashExecuted", id=1), other(make, "SlashCancelled", id=3)]
    [left] = proposed_slashes([*logs, *done], 50)
    assert (left.number, left.first, left.last, left.amount) == (2, 100, 200, 7)


def test_evidence_belongs_to_its_dispute(make: Any) -> None:
    copy = make.purchase().copy_id
    group = int.from_bytes(copy, "big")
    logs = [
        other(make, "Evidence", _evidenceGroupID=group, _party=make.buyer, _evidence="/ipfs/x"),
        other(make, "Evidence", _evidenceGroupID=group + 1, _party=make.buyer, _evidence="y"),
    ]
    assert evidence_of(logs, copy) == [(make.buyer, "/ipfs/x")]


def test_a_fee_of_a_part_that_was_cleared_stays_paid(make: Any) -> None:
    sold = make.purchase()
    logs: list[Any] = [sold, make.delivery(sold, 0, 1001), make.junk(sold, 0, 1002)]
    assert bound_stake(SaleHistory(logs), make.seller) == 180 - 10
    logs.append(make.delivery(sold, 0, 1200, by=make.seller))
    assert bound_stake(SaleHistory(logs), make.seller) == 180 - 10
    logs.append(make.delivery(sold, 1, 1201, by=make.seller))
    assert bound_stake(SaleHistory(logs), make.seller) == 180 - 20


def test_the_last_posted_terms_count(make: Any) -> None:
    logs = [
        other(make, "DelivererTermsPosted", operator=make.person(1), minFee=99, open=True),
        other(make, "DelivererTermsPosted", operator=make.person(1), minFee=10, open=True),
        other(make, "DelivererTermsPosted", operator=make.person(2), minFee=0, open=False),
        other(make, "DelivererTermsPosted", operator=make.person(3), minFee=11, open=True),
    ]
    posted = posted_terms(logs)
    assert posted[make.person(1)] == PostedTerms(Wei(10), True)

    def asks(number: int, fee: int) -> str:
        who = make.person(number)
        registration = Registration(who, who, b"k" * 32, 1, 1)
        return Candidate(registration, Wei(10**17), 0, Wei(0), 0, posted.get(who)).asks(fee)

    assert [bool(asks(number, 10)) for number in range(1, 5)] == [False, True, True, False]
    assert "asks for 11 wei a part, and the item pays 10 wei" in asks(3, 10)
    assert asks(2, 10**15) == "takes no new items"
