"""The first and the last second, and block, of everything that time allows, from both sides."""

from __future__ import annotations

from dataclasses import astuple, replace
from typing import Any

import pytest
from cases import BOND, PRICE, Case, sell
from reference import Agreement, Split
from world import HOUR, RULES, World

from dam.crypto.hashing import keccak
from dam.types import Status

DELIVERY, PROOF, REFUND = RULES.refund // 3, 2 * RULES.refund // 3, RULES.refund
WORKED = RULES.arbitration // 3


@pytest.fixture
def case(world: World) -> Case:
    return sell(world)


def test_deliverers_deliver_for_a_third_and_the_seller_until_the_refund(case: Case) -> None:
    last, end = case.time + DELIVERY, case.time + REFUND
    case.until(case.gate, 0)
    assert case.said("dan", case.part(0), time=last) is None
    assert case.said("dan", case.part(0), time=last + 1) == "DeliveryClosed"
    assert case.said("ben", case.part(0, "sam"), time=end) is None
    assert case.said("bea", case.call("refund"), time=end) == "TooEarly"
    assert case.said("ben", case.part(0, "sam"), time=end + 1) == "DeliveryClosed"
    assert case.said("art", case.call("refund"), time=end + 1) is None


def test_the_seller_falls_back_from_block_101(case: Case) -> None:
    late = case.time + DELIVERY - 9  # seconds open no fallback
    assert case.said("sam", case.part(1, "sam"), block=case.gate - 1, time=late) == (
        "FallbackTooEarly"
    )
    assert case.said("sam", case.part(1, "sam"), block=case.gate) is None


def test_an_operator_whom_the_leaf_names_goes_on_as_the_sellers_side(case: Case) -> None:
    operator = case.world.contract.call("setSellerOperator", case.world.at["dan"])
    case.do("sam", operator, block=case.gate)
    earned = case.world.contract.call("deliverers", case.world.at["dan"])
    for second, fee in ((case.time + DELIVERY, 5), (case.time + DELIVERY + 1, 0)):
        snapshot = case.world.chain.snapshot()
        case.do("ben", case.part(0), time=second)
        _, [answer] = case.world.chain.read(case.world.market, [(case.world.market, earned)])
        assert case.world.contract.result("deliverers", answer)[2] == fee
        case.world.chain.revert(snapshot)


def test_nothing_is_decided_before_the_gate_while_parts_are_missing(case: Case) -> None:
    case.do("dan", case.part(0))
    dispute = case.call("openDispute", bytes(32))
    calls = (
        ("bea", case.call("confirm"), 0),
        ("sam", case.call("concede"), 0),
        ("bea", dispute, BOND),
    )
    for who, data, value in calls:
        assert case.said(who, data, block=case.gate - 1, value=value) == "BeforeGate"
    for who, data, value in calls:
        assert case.said(who, data, block=case.gate, value=value) is None


def test_the_last_part_opens_the_gate(case: Case) -> None:
    case.do("dan", case.part(0))
    full = case.do("dee", case.part(1))
    assert case.said("bea", case.call("confirm")) is None
    dispute = case.call("openDispute", bytes(32))
    last = full + RULES.dispute
    assert case.said("bea", dispute, time=last, value=BOND) is None
    assert case.said("bea", case.call("settle"), time=last) == "TooEarly"
    assert case.said("bea", dispute, time=last + 1, value=BOND) == "TooLate"
    assert case.said("art", case.call("settle"), time=last + 1) is None


@pytest.mark.parametrize("offset", [40, 200, DELIVERY])
def test_the_buyers_time_begins_with_completion(case: Case, offset: int) -> None:
    completed = case.do("dan", case.part(0), time=case.time + offset)
    last = completed + RULES.dispute
    dispute = case.call("openDispute", bytes(32))
    assert case.said("bea", dispute, block=case.gate, time=last, value=BOND) is None
    assert case.said("bea", case.call("settle"), time=last) == "TooEarly"
    assert case.said("bea", dispute, time=last + 1, value=BOND) == "TooLate"
    assert case.said("bea", case.call("settle"), time=last + 1) is None


@pytest.mark.parametrize("offset", [99, 101, 140, DELIVERY])
def test_the_last_part_begins_the_buyers_time_anew(case: Case, offset: int) -> None:
    case.do("dan", case.part(0))
    full = case.do("dee", case.part(1), time=case.time + offset)
    dispute = case.call("openDispute", bytes(32))
    last = full + RULES.dispute
    assert case.said("bea", dispute, block=case.gate, time=last, value=BOND) is None
    assert case.said("bea", dispute, time=last + 1, value=BOND) == "TooLate"
    assert case.said("bea", case.call("settle"), time=last + 1) is None


def test_seconds_alone_settle_nothing_before_the_gate(case: Case) -> None:
    completed = case.do("dan", case.part(0))
    late = completed + RULES.dispute + 1
    assert case.said("bea", case.call("settle"), block=case.gate - 1, time=late) == "BeforeGate"
    assert case.said("bea", case.call("settle"), block=case.gate) is None


def test_a_part_that_an_item_has_not_is_none_though_its_tree_has_it(world: World) -> None:
    """A seller may put leaves into the tree that the terms do not count."""
    case = sell(world, deliverers=("dan", "dee", "dan"))
    assert case.said("dan", case.part(2)) == "PartNotInItem"
    assert case.said("bea", case.proof(2)) == "PartNotInItem"
    assert case.said("dan", case.part(0)) is None


@pytest.mark.parametrize("good", [True, False])
def test_a_good_part_proves_nothing_against_anybody(case: Case, good: bool) -> None:
    said = "NothingProved" if good else None
    assert case.said("bea", case.proof(0, good=good)) == said
    case.do("sam", case.part(1, "sam", good=good), block=case.gate)
    assert case.said("bea", case.sellers_proof(1, good=good)) == said


def test_a_proof_clears_for_two_thirds_and_punishes_for_ever(case: Case) -> None:
    case.do("dan", case.part(0, good=False))
    marks = case.world.contract.call("marks", case.one.copy_id)

    def cleared(second: int) -> tuple[int, int]:
        snapshot = case.world.chain.snapshot()
        case.do("bea", case.proof(0), time=second)
        _, [answer] = case.world.chain.read(case.world.market, [(case.world.market, marks)])
        case.world.chain.revert(snapshot)
        return case.world.contract.result("marks", answer)[:2]

    assert cleared(case.time + PROOF) == (1, 1)
    assert cleared(case.time + PROOF + 1) == (1, 0)
    assert cleared(case.time + 999 * RULES.arbitration) == (1, 0)


def test_a_ruling_and_a_concession_have_a_last_second(case: Case) -> None:
    case.do("dan", case.part(0))
    dispute = case.call("openDispute", bytes(32))
    opened = case.do("bea", dispute, value=BOND, block=case.gate)
    last = opened + RULES.arbitration
    too_high = case.call("resolveDispute", PRICE + 1, True)
    assert case.said("art", too_high, time=last) == "RulingTooHigh"
    calls = (
        ("art", case.call("resolveDispute", PRICE, True)),
        ("bea", case.call("concede")),
        ("sam", case.call("concede")),
        ("sam", agreement(case, BOND)),
    )
    for who, data in calls:
        assert case.said(who, data, time=last) is None
    assert case.said("sam", case.call("settle"), time=last) == "TooEarly"
    for who, data in calls:
        assert case.said(who, data, time=last + 1) == "TooLate"
    assert case.said("sam", case.call("settle"), time=last + 1) is None


def agreement(case: Case, to_arbitrator: int, deadline: int = 2**40) -> bytes:
    """By sam's call and bea's signature, of the sale as it is."""
    view = case.world.contract.call("sales", case.one.copy_id)
    _, [answer] = case.world.chain.read(case.world.market, [(case.world.market, view)])
    status, _, since, *_ = case.world.contract.result("sales", answer)
    split = Split(1, 1, to_arbitrator, deadline)
    one = Agreement(None, Status(status).name, since, split)
    signature = case.world.agreement("bea", case.one, one)
    return case.call("agree", tuple(split), signature, b"")


def test_the_arbitrator_is_paid_from_a_third_on(case: Case) -> None:
    case.do("dan", case.part(0))
    opened = case.do("bea", case.call("openDispute", bytes(32)), value=BOND, block=case.gate)
    worked = opened + WORKED
    assert case.said("sam", agreement(case, BOND - 1), time=worked - 1) is None
    assert case.said("sam", agreement(case, 2 * BOND + 1), time=worked - 1) == "InvalidSplit"
    assert case.said("sam", agreement(case, BOND - 1), time=worked) == "InvalidSplit"
    assert case.said("sam", agreement(case, BOND), time=worked) is None
    owed = case.world.contract.call("credits", case.world.at["art"], case.world.at[""])
    for who in ("sam", "bea"):
        snapshot = case.world.chain.snapshot()
        case.do(who, case.call("concede"), time=worked)
        _, [answer] = case.world.chain.read(case.world.market, [(case.world.market, owed)])
        assert int.from_bytes(answer, "big") == BOND
        case.world.chain.revert(snapshot)


def test_an_agreement_has_a_deadline(case: Case) -> None:
    last = case.time + HOUR
    data = agreement(case, 0, last)
    assert case.said("sam", data, block=case.gate - 1) == "BeforeGate"
    assert case.said("sam", data, block=case.gate, time=last) is None
    assert case.said("sam", data, time=last + 1) == "TooLate"


def test_the_bond_is_exact(case: Case) -> None:
    case.do("dan", case.part(0))
    dispute = case.call("openDispute", bytes(32))
    for value in (BOND - 1, BOND + 1):
        assert case.said("bea", dispute, block=case.gate, value=value) == "WrongBond"


@pytest.mark.parametrize("stars", [0, 6])
def test_ratings_are_from_one_to_five(case: Case, stars: int) -> None:
    case.do("dan", case.part(0))
    case.do("bea", case.call("confirm"), block=case.gate)
    closing = (case.one.copy_id, astuple(case.one.sale))
    wrong = case.world.contract.call("rateSale", *closing, stars)
    assert case.said("bea", wrong) == "InvalidRating"
    for good in (1, 5):
        assert case.said("bea", case.world.contract.call("rateSale", *closing, good)) is None


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
    [
        ("bea", "confirm", (), 0),
        ("bea", "openDispute", (bytes(32),), BOND),
        ("bea", "agree", ((0, 0, 0, 2**40), b"", b""), 0),
        ("bea", "proveJunk", ([], bytes(32), [], []), 0),
        ("bea", "proveBadShares", ([], []), 0),
    ],
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
        assert case.said(who, data, block=case.gate, value=value) == "WrongSale", place
    for place, false in enumerate(false_ones(escrow)):
        data = contract.call(function, one.copy_id, sale, false, *more)
        assert case.said(who, data, block=case.gate, value=value) == "WrongEscrow", place


def test_evidence_belongs_to_a_dispute_and_its_escrow(case: Case) -> None:
    case.do("dan", case.part(0))
    contract, one = case.world.contract, case.one
    sale, escrow = astuple(one.sale), astuple(one.escrow)
    evidence = case.call("submitEvidence", "x")
    assert case.said("bea", evidence, block=case.gate) == "WrongStatus"
    case.do("bea", case.call("openDispute", bytes(32)), value=BOND)
    for who in ("bea", "sam", "art"):
        assert case.said(who, evidence) is None
    assert case.said("ben", evidence) == "NotAllowed"
    for place, false in enumerate(false_ones(escrow)):
        data = contract.call("submitEvidence", one.copy_id, sale, false, "x")
        assert case.said("bea", data) == "WrongEscrow", place


def test_no_dispute_without_an_arbitrator(world: World) -> None:
    case = sell(world, arbitrator="")
    case.do("dan", case.part(0))
    dispute = case.call("openDispute", bytes(32))
    assert case.said("bea", dispute, block=case.gate) == "NoArbitrator"


def test_a_batch_pays_for_what_was_new_in_it(case: Case) -> None:
    part = case.delivery(0)
    batch = case.world.parts("dan", [part, part])
    case.do("ben", batch)
    data = case.world.contract.call("deliverers", case.world.at["dan"])
    _, [answer] = case.world.chain.read(case.world.market, [(case.world.market, data)])
    _, _, earned, delivered, _ = case.world.contract.result("deliverers", answer)
    assert (earned, delivered) == (case.one.sale.fee, 1)
    assert case.said("ben", batch) == "NothingDelivered"


def test_only_what_was_delivered_is_supplied_and_only_as_it_is_listed(case: Case) -> None:
    case.do("dan", case.part(0))
    part = case.delivery(0)

    def said(who: str, **changes: Any) -> str | None:
        made = [replace(part, **changes)]
        return case.said("ben", case.world.parts(who, made, "supplyFragments"))

    assert said("sam") is None
    assert said("ben") == "NothingDelivered"
    assert said("sam", salt=keccak(b"")) == "PartNotInItem"
    assert said("sam", commitment=keccak(b"")) == "PartNotInItem"
    assert said("sam", fragment=bytes(79)) == "InvalidFragmentLength"
    missing = case.world.parts("sam", [case.delivery(1)], "supplyFragments")
    assert case.said("sam", missing) == "NothingDelivered"


def test_a_leaf_names_its_deliverer_and_the_signer_is_whoever_signed(case: Case) -> None:
    assert case.said("ben", case.part(0, "ben")) == "NotYourPart"
    named = replace(case.delivery(0), deliverer=case.world.at["dee"])
    assert case.said("dee", case.world.parts("dee", [named])) == "PartNotInItem"
    assert case.said("ben", case.part(0)) is None
