"""How a seller's sales ended, and what ratings weigh."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dam.crypto.hashing import copy_id
from dam.market.reputation import Rating, SellerRecord, seller_records, stars_of
from dam.market.sale_history import SaleHistory
from dam.types import (
    ZERO_ADDRESS,
    Address,
    DelivererRegistered,
    DisputeOpened,
    MarketLog,
    OtherLog,
    SaleClosed,
    Status,
    Wei,
)


class Story:
    """Logs of sales, one after the other."""

    def __init__(self, make: Any) -> None:
        self.make = make
        self.logs: list[MarketLog] = []

    def sale(
        self,
        end: Status | None = Status.SETTLED,
        *,
        parts: int = 2,
        disputed: bool = False,
        fault: bool = False,
        stars: int = 0,
        by: Address | None = None,
        **changes: Any,
    ) -> None:
        make, number = self.make, len(self.logs)
        closing = {k: changes.pop(k, 0) for k in ("to_buyer", "penalty")}
        seller = changes.pop("seller", make.seller)
        sold = make.purchase(1000, **changes)
        copy = copy_id(seller, sold.terms.item_id, number)
        sold = replace(sold, seller=seller, copy=number, copy_id=copy)
        self.logs += [sold, *(make.delivery(sold, n, 1001 + n, by=by) for n in range(parts))]
        if disputed:
            at = make.at(1010)
            self.logs.append(DisputeOpened(copy, make.buyer, make.arbiter, bytes(32), at))
        if fault:
            args = {"copyId": copy, "seller": seller}
            self.logs.append(OtherLog("SellerFaultProved", args, make.at(1020)))
        if end is not None:
            to_buyer, penalty = closing["to_buyer"], Wei(closing["penalty"])
            at = make.at(1020, 1)
            self.logs.append(SaleClosed(copy, end, ZERO_ADDRESS, to_buyer, penalty, at))
        if stars:
            args = {"copyId": copy, "seller": seller, "stars": stars}
            self.logs.append(OtherLog("SaleRated", args, make.at(1030)))

    def records(self) -> dict[Address, SellerRecord]:
        return seller_records(SaleHistory(self.logs), self.logs)


@pytest.fixture
def story(make: Any) -> Story:
    return Story(make)


def test_each_end_is_counted_for_what_it_was(story: Story, make: Any) -> None:
    story.sale(Status.SETTLED)
    story.sale(Status.SETTLED, disputed=True)
    story.sale(Status.REFUNDED, parts=1)
    story.sale(Status.REFUNDED, parts=2)
    story.sale(Status.REFUNDED, disputed=True)
    story.sale(Status.REFUNDED, fault=True)
    story.sale(Status.RESOLVED, disputed=True, to_buyer=1)
    story.sale(Status.RESOLVED, disputed=True, penalty=1)
    story.sale(Status.RESOLVED, disputed=True)
    story.sale(Status.AGREED, to_buyer=500)
    story.sale(None)
    story.sale(Status.SETTLED, seller=make.person(9))
    found = story.records()
    assert found[make.seller] == SellerRecord(
        Rating(), ended=10, refunds=1, conceded=2, faults=1, lost=2, agreed=1
    )
    assert found[make.person(9)] == SellerRecord(Rating(), ended=1)
    assert str(found[make.seller]) == (
        "not rated; 10 sales ended: 1 refunded by time, 2 conceded, 1 proved to be the seller's "
        "fault, 2 lost before an arbitrator, 1 ended by agreement"
    )


def test_a_rating_weighs_what_was_paid_to_others(story: Story, make: Any) -> None:
    """Fees of 10, twice and once: (5 x 20 + 1 x 10) / 30 stars."""
    story.sale(stars=5)
    story.sale(Status.REFUNDED, parts=1, stars=1)
    rating = story.records()[make.seller].rating
    assert (rating.count, rating.weight, rating.tenths) == (2, 30, 37)
    assert str(rating).startswith("3.7 of 5 (2 rated, weighed by ")
    assert stars_of(story.logs)[story.logs[0].copy_id] == 5  # type: ignore[union-attr]


def test_sales_to_oneself_weigh_nothing(story: Story, make: Any) -> None:
    """Free ones, ones that the seller delivered, and ones of a deliverer whom the seller owns."""
    own, seller = make.person(0xD7), make.seller
    at = make.at(1)
    story.logs.append(DelivererRegistered(own, seller, bytes(32), bytes(64), Wei(1), at))
    story.sale(stars=5, commission=Wei(2))
    story.sale(stars=5, by=seller)
    story.sale(stars=5, by=own)
    rating = story.records()[seller].rating
    assert (rating.count, rating.weight, rating.tenths) == (3, 0, None)
    assert str(rating) == "3 rated, none of which paid fees to others"
    story.sale(stars=2)
    assert story.records()[seller].rating.tenths == 20


def test_a_part_weighs_once(story: Story, make: Any) -> None:
    story.sale(stars=4, parts=1)
    sold = story.logs[0]
    story.logs.insert(2, make.junk(sold, 0, 1002))
    story.logs.insert(3, make.delivery(sold, 0, 1003, by=make.seller))
    story.logs.insert(4, make.delivery(sold, 0, 1004, by=make.person(0xD0), supplied=True))
    assert story.records()[make.seller].rating.weight == 10


def test_ratings_in_words() -> None:
    assert str(Rating()) == "not rated"
    assert str(Rating(3, Wei(10**15), 13 * 10**15 // 3)).startswith("4.3 of 5 (3 rated")
