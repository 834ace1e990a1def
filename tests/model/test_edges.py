"""The first and the last block of everything that time allows, each from both sides."""

from __future__ import annotations

from dataclasses import astuple, replace
from typing import Any

import pytest
from cases import BOND, PRICE, Case, sell
from world import RULES, World

from dam.crypto.hashing import keccak


@pytest.fixture
def case(world: World) -> Case:
    return sell(world)


def test_parts_count_until_the_refund_opens(case: Case) -> None:
    last = case.bought_at + RULES.refund
    assert case.said("bea", case.call("refund"), last) == "TooEarly"
    assert case.said("dan", case.part(0), last) is None
    assert case.said("sam", case.part(0), last) is None
    assert case.said("dan", case.part(0), last + 1) == "DeliveryClosed"
    assert case.said("sam", case.part(0), last + 1) == "DeliveryClosed"
    assert case.said("art", case.call("refund"), last + 1) is None


def test_the_seller_falls_back_from_block_101(case: Case) -> None:
    assert case.said("sam", case.part(1), case.gate - 1) == "FallbackTooEarly"
    assert case.said("sam", case.part(1), case.gate) is None


def test_a_deliverers_part_closes_no_later_for_being_one_of_several(case: Case) -> None:
    case.do("dan", case.part(0))
    last = case.bought_at + RULES.refund
    assert case.said("dee", case.part(1), last) is None
    assert case.said("dee", case.part(1), last + 1) == "DeliveryClosed"


def test_nothing_is_decided_before_the_gate_while_parts_are_missing(case: Case) -> None:
    case.do("dan", case.part(0))
    dispute = case.call("openDispute", bytes(32))
    for who, data, value in (
        ("bea", case.call("confirm"), 0),
        ("sam", case.call("concede"), 0),
        ("bea", dispute, BOND),
    ):
        assert case.said(who, data, case.gate - 1, value=value) == "BeforeGate"
    for who, data, value in (
        ("bea", case.call("confirm"), 0),
        ("sam", case.call("concede"), 0),
        ("bea", dispute, BOND),
    ):
        assert case.said(who, data, case.gate, value=value) is None


def test_the_last_part_opens_the_gate(case: Case) -> None:
    case.do("dan", case.part(0))
    full = case.do("dee", case.part(1))
    assert case.said("bea", case.call("confirm"), full + 1) is None
    dispute = case.call("openDispute", bytes(32))
    last = full + RULES.dispute
    assert case.said("bea", dispute, last, value=BOND) is None
    assert case.said("bea", case.call("settle"), last) == "TooEarly"
    assert case.said("bea", dispute, last + 1, value=BOND) == "TooLate"
    assert case.said("art", case.call("settle"), last + 1) is None


@pytest.mark.parametrize("late", [False, True])
def test_the_buyers_time_begins_with_the_gate_or_with_completion(case: Case, late: bool) -> None:
    completed = case.do("dan", case.part(0), block=case.gate + 40 if late else 0)
    last = max(completed, case.gate) + RULES.dispute
    dispute = case.call("openDispute", bytes(32))
    assert case.said("bea", dispute, last, value=BOND) is None
    assert case.said("bea", case.call("settle"), last) == "TooEarly"
    assert case.said("bea", dispute, last + 1, value=BOND) == "TooLate"
    assert case.said("bea", case.call("settle"), last + 1) is None


@pytest.mark.parametrize(("offset", "start"), [(99, 99), (100, 100), (101, 101), (140, 101)])
def test_the_last_part_begins_the_buyers_time_unless_block_101_has(
    case: Case, offset: int, start: int
) -> None:
    case.do("dan", case.part(0))
    case.do("dee", case.part(1), block=case.bought_at + offset)
    last = case.bought_at + start + RULES.dispute
    dispute = case.call("openDispute", bytes(32))
    assert case.said("bea", dispute, last, value=BOND) is None
    assert case.said("bea", dispute, last + 1, value=BOND) == "TooLate"
    assert case.said("bea", case.call("settle"), last + 1) is None


@pytest.mark.parametrize(("offset", "start"), [(99, 101), (100, 101), (101, 101), (102, 102)])
def test_enough_parts_begin_the_buyers_time_from_block_101(
    case: Case, offset: int, start: int
) -> None:
    case.do("dan", case.part(0), block=case.bought_at + offset)
    last = case.bought_at + start + RULES.dispute
    dispute = case.call("openDispute", bytes(32))
    assert case.said("bea", case.call("settle"), last) == "TooEarly"
    assert case.said("bea", dispute, last, value=BOND) is None
    assert case.said("bea", dispute, last + 1, value=BOND) == "TooLate"


def test_a_part_that_an_item_has_not_is_none_though_its_tree_has_it(world: World) -> None:
    """A seller may put leaves into the tree that the terms do not count."""
    case = sell(world, leaves=("dan", "dee", "dan"))
    assert case.said("dan", case.part(2), case.bought_at + 2) == "PartNotInItem"
    assert case.said("dan", case.part(0), case.bought_at + 2) is None


def test_a_ruling_and_a_concession_have_a_last_block(case: Case) -> None:
    case.do("dan", case.part(0))
    dispute = case.call("openDispute", bytes(32))
    opened = case.do("bea", dispute, value=BOND, block=case.gate)
    last = opened + RULES.arbitration
    ruling = case.call("resolveDispute", PRICE, True)
    too_high = case.call("resolveDispute", PRICE + 1, True)
    assert case.said("art", too_high, last) == "RulingTooHigh"
    for who, data in (
        ("art", ruling),
        ("bea", case.call("concede")),
        ("sam", case.call("concede")),
    ):
        assert case.said(who, data, last) is None
    assert case.said("sam", case.call("settle"), last) == "TooEarly"
    for who, data in (
        ("art", ruling),
        ("bea", case.call("concede")),
        ("sam", case.call("concede")),
    ):
        assert case.said(who, data, last + 1) == "TooLate"
    assert case.said("sam", case.call("settle"), last + 1) is None


def test_the_bond_is_exact(case: Case) -> None:
    case.do("dan", case.part(0))
    dispute = case.call("openDispute", bytes(32))
    for value in (BOND - 1, BOND + 1):
        assert case.said("bea", dispute, case.gate, value=value) == "WrongBond"


@pytest.mark.parametrize("stars", [0, 6])
def test_ratings_are_from_one_to_five(case: Case, stars: int) -> None:
    case.do("dan", case.part(0))
    case.do("bea", case.call("confirm"), block=case.gate)
    closing = (case.one.copy_id, astuple(case.one.sale))
    wrong = case.world.contract.call("rateSale", *closing, stars)
    assert case.said("bea", wrong, case.gate + 1) == "InvalidRating"
    for good in (1, 5):
        rate = case.world.contract.call("rateSale", *closing, good)
        assert case.said("bea", rate, case.gate + 1) is None


def other(value: Any) -> Any:
    """Another value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    return "0x" + "11" * 20 if isinstance(value, str) else keccak(value)


def false_ones(record: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """The record with each of its fields changed in turn."""
    return [
        (*record[:place], other(value), *record[place + 1 :]) for place, value in enumerate(record)
    ]


@pytest.mark.parametrize(
    ("who", "function", "more", "value"),
    [("bea", "confirm", (), 0), ("bea", "openDispute", (bytes(32),), BOND)],
)
def test_a_false_escrow_or_sale_fits_nothing(
    case: Case, who: str, function: str, more: tuple[Any, ...], value: int
) -> None:
    """Each field of what a caller brings along is what the sale's word was made of."""
    case.do("dan", case.part(0))
    contract, one = case.world.contract, case.one
    sale, escrow = astuple(one.sale), astuple(one.escrow)
    for place, false in enumerate(false_ones(sale)):
        data = contract.call(function, one.copy_id, false, escrow, *more)
        assert case.said(who, data, case.gate, value=value) == "WrongSale", place
    for place, false in enumerate(false_ones(escrow)):
        data = contract.call(function, one.copy_id, sale, false, *more)
        assert case.said(who, data, case.gate, value=value) == "WrongEscrow", place


def test_evidence_belongs_to_a_dispute_and_its_escrow(case: Case) -> None:
    case.do("dan", case.part(0))
    contract, one = case.world.contract, case.one
    sale, escrow = astuple(one.sale), astuple(one.escrow)
    assert case.said("bea", case.call("submitEvidence", "x"), case.gate) == "WrongStatus"
    case.do("bea", case.call("openDispute", bytes(32)), value=BOND)
    block = case.gate + 9
    for who in ("bea", "sam", "art"):
        assert case.said(who, case.call("submitEvidence", "x"), block) is None
    assert case.said("ben", case.call("submitEvidence", "x"), block) == "NotAllowed"
    for place, false in enumerate(false_ones(escrow)):
        data = contract.call("submitEvidence", one.copy_id, sale, false, "x")
        assert case.said("bea", data, block) == "WrongEscrow", place


def test_no_dispute_without_an_arbitrator(world: World) -> None:
    case = sell(world, arbitrator="")
    case.do("dan", case.part(0))
    dispute = case.call("openDispute", bytes(32))
    assert case.said("bea", dispute, case.gate) == "NoArbitrator"


def test_a_batch_pays_for_what_was_new_in_it(case: Case) -> None:
    part = astuple(case.one.delivery(0))
    batch = case.world.contract.call("deliverFragments", [part, part])
    case.do("dan", batch)
    data = case.world.contract.call("deliverers", case.world.at["dan"])
    _, [answer] = case.world.chain.read(case.world.market, [(case.world.market, data)])
    _, _, earned, delivered, _ = case.world.contract.result("deliverers", answer)
    assert (earned, delivered) == (case.one.sale.fee, 1)
    assert case.said("dan", batch, case.bought_at + 9) == "NothingDelivered"


def test_only_what_was_delivered_is_supplied_and_only_as_it_is_listed(case: Case) -> None:
    case.do("dan", case.part(0))
    part = case.one.delivery(0)

    def said(who: str, **changes: Any) -> str | None:
        one = astuple(replace(part, **changes))
        supply = case.world.contract.call("supplyFragments", [one])
        return case.said(who, supply, case.bought_at + 9)

    assert said("sam") is None
    assert said("ben") == "NotAllowed"
    assert said("sam", salt=keccak(b"")) == "PartNotInItem"
    assert said("sam", commitment=keccak(b"")) == "PartNotInItem"
    assert said("sam", fragment=bytes(79)) == "InvalidFragmentLength"
    missing = case.world.contract.call("supplyFragments", [astuple(case.one.delivery(1))])
    assert case.said("sam", missing, case.bought_at + 9) == "NotDelivered"
