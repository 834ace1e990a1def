"""Whom a seller picks, simulated against one person with many names."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from dam.crypto.hashing import keccak
from dam.errors import Permanent
from dam.market.deliverer_records import DelivererRecord
from dam.market.deliverers import Candidate, Registration
from dam.market.sale_history import SaleHistory
from dam.roles.seller.deliverer_choice import (
    Choice,
    draw,
    most_newcomers,
    named_deliverers,
    pick_deliverers,
)
from dam.roles.seller.drafted import ItemDraft
from dam.roles.seller.plan_notes import choice_text, choice_warnings, fees_open
from dam.roles.seller.store_changes import Change
from dam.types import Wei, Windows
from tests.unit.helpers.shop import SELLER, Shop


def draft(**changes: Any) -> ItemDraft:
    values = {field.name: None for field in fields(ItemDraft)}
    values |= {"name": "coupon", "commission": 300, "parts": 3, "threshold": 2}
    return ItemDraft(**(values | changes))


COPIES = 10_000
MINIMUM = 10**16


def candidate(
    make: Any,
    number: int,
    *,
    stake: int = MINIMUM,
    fees: int = 0,
    established: bool = False,
    marks: frozenset[object] = frozenset(),
) -> Candidate:
    who = make.person(number)
    registration = Registration(who, who, keccak(who.encode())[:31] + b"\0", 1, 1)
    record = DelivererRecord(established, Wei(fees), marks | {who})
    return Candidate(registration, Wei(stake), 0, Wei(0), 0, record=record)


def honest(make: Any, count: int = 20) -> list[Candidate]:
    return [
        candidate(make, n, fees=n * MINIMUM // 40, established=True) for n in range(1, count + 1)
    ]


def newcomers(make: Any, count: int, stakes: int) -> list[Candidate]:
    return [candidate(make, 1000 + n, stake=stakes * MINIMUM) for n in range(count)]


def held(
    pool: list[tuple[Candidate, int]], parts: int, most: int, copies: int = COPIES
) -> Counter[int]:
    """In how many copies newcomers hold how many parts."""
    source = random.Random(f"{len(pool)} {parts} {most}")
    found: Counter[int] = Counter()
    for _ in range(copies):
        picked = draw(pool, parts, most, source)
        assert len({c.operator for c in picked}) == parts
        found[sum(not c.record.established for c in picked)] += 1
    return found


@pytest.mark.parametrize("parts", [3, 5, 10])
@pytest.mark.parametrize("names", [10, 100])
@pytest.mark.parametrize("stakes", [1, 20])
def test_newcomers_reach_the_threshold_in_no_copy(
    make: Any, windows: Windows, parts: int, names: int, stakes: int
) -> None:
    everybody = honest(make) + newcomers(make, names, stakes)
    pool = [(c, c.weight(windows)) for c in everybody]
    for threshold in {2, parts - 1}:
        found = held(pool, parts, most_newcomers(parts, threshold))
        assert max(found) < threshold
        assert 3 * sum(count * copies for count, copies in found.items()) <= parts * sum(
            found.values()
        )


def test_without_the_limit_newcomers_open_goods(make: Any, windows: Windows) -> None:
    """The simulation notices: the same draw with every part open to everybody."""
    pool = [(c, c.weight(windows)) for c in honest(make) + newcomers(make, 100, 20)]
    found = held(pool, 3, 3, 1000)
    assert sum(copies for count, copies in found.items() if count >= 2) > 500


def test_the_bounds_of_newcomers() -> None:
    assert [most_newcomers(n, n - 1) for n in (2, 3, 5, 10)] == [0, 1, 1, 3]
    assert [most_newcomers(10, k) for k in (1, 2, 4, 5)] == [0, 1, 3, 3]


def test_one_person_gets_one_part(make: Any, windows: Windows) -> None:
    """Ten established names of one owner, whatever they stake, hold one part of a copy."""
    owner = make.person(77)
    names = [
        replace(
            one,
            stake=Wei(20 * MINIMUM),
            record=DelivererRecord(True, Wei(MINIMUM), frozenset({one.operator, owner})),
        )
        for one in newcomers(make, 10, 20)
    ]
    pool = [*honest(make), *names]
    for seed in range(200):
        choice = pick_deliverers(pool, 5, 4, windows, random.Random(seed), fee=1)
        assert sum(c in names for c in choice.candidates) <= 1
        assert not choice.alike
    with pytest.raises(Permanent, match="9 more seem to be one of these by another name"):
        pick_deliverers(names, 2, 2, windows, random.Random(1), fee=1)
    both = named_deliverers(
        {c.operator: c for c in names}, [names[0].operator, names[1].operator], 2, windows, fee=1
    )
    assert both.alike == ((names[1].operator, names[0].operator),)


def test_a_name_that_shares_marks_of_two_does_not_tie_them(make: Any, windows: Windows) -> None:
    """Somebody who calls one honest deliverer their owner and registers beside another."""
    one, other = (
        candidate(make, n, established=True, marks=frozenset({("tx", keccak(bytes([n])))}))
        for n in (1, 2)
    )
    framer = candidate(make, 3, marks=frozenset({one.operator, ("tx", keccak(b"\2"))}))
    choice = pick_deliverers([one, other, framer], 2, 2, windows, random.Random(1), fee=1)
    assert {c.operator for c in choice.candidates} == {one.operator, other.operator}


def test_a_market_without_established_deliverers_is_in_its_bootstrap(
    make: Any, windows: Windows
) -> None:
    fresh = newcomers(make, 5, 3)
    choice = pick_deliverers(fresh, 3, 2, windows, random.Random(1), fee=1)
    assert (choice.bootstrap, choice.newcomers) == (True, 3)
    assert choice.at_stake == 2 * 3 * MINIMUM
    grown = pick_deliverers([*fresh, *honest(make, 2)], 3, 2, windows, random.Random(1), fee=1)
    assert (grown.bootstrap, grown.newcomers) == (False, 1)
    named = named_deliverers(
        {c.operator: c for c in fresh}, [c.operator for c in fresh[:3]], 2, windows, fee=1
    )
    assert not named.bootstrap


def test_an_unlucky_draw_is_repeated(make: Any, windows: Windows) -> None:
    """An established name that seems to be two others would leave one part to newcomers."""
    one, other = honest(make, 2)
    bridge = candidate(
        make, 9, established=True, stake=20 * MINIMUM, fees=MINIMUM,
        marks=frozenset({one.operator, other.operator}),
    )  # fmt: skip
    for seed in range(50):
        choice = pick_deliverers(
            [one, other, bridge, *newcomers(make, 3, 1)], 2, 2, windows, random.Random(seed), fee=1
        )
        assert not choice.bootstrap


def test_a_stake_below_ten_times_the_fee_is_passed_over(make: Any, windows: Windows) -> None:
    small, large = candidate(make, 1), candidate(make, 2, stake=2 * MINIMUM)
    fee = MINIMUM // 10
    assert not small.asks(fee)
    assert "below ten times the fee" in small.asks(fee + 1)
    assert not large.asks(fee + 1)
    with pytest.raises(Permanent, match=r"1 may deliver now.*below ten times the fee"):
        pick_deliverers([small, large], 2, 2, windows, random.Random(1), fee=fee + 1)
    with pytest.raises(Permanent, match="below ten times the fee"):
        named_deliverers({small.operator: small}, [small.operator], 1, windows, fee=fee + 1)


def test_fees_and_stake_make_a_deliverer_likelier(make: Any, windows: Windows) -> None:
    pool = [
        candidate(make, 1),
        candidate(make, 2, stake=5 * MINIMUM),
        candidate(make, 3, fees=4 * MINIMUM // 9 + 1),
    ]
    assert [c.weight(windows) for c in pool] == [10, 50, 50]
    source, count = random.Random(7), Counter[Any]()
    for _ in range(3000):
        count[pick_deliverers(pool, 1, 1, windows, source, fee=0).candidates[0].operator] += 1
    for one, share in zip(pool, (1 / 11, 5 / 11, 5 / 11), strict=True):
        assert count[one.operator] / 3000 == pytest.approx(share, abs=0.03)
    whale = candidate(make, 4, stake=10**24, fees=10**24)
    assert whale.weight(windows) == 20 * 100


async def test_a_seller_is_told_of_stakes_and_open_fees(make: Any, tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    listing = await shop.add(shop.draft("coupon", commission=Wei(300)), b"good")
    _, store = await shop.publish()
    root = store.items[0].terms.parts_root
    sold = make.purchase(1000, parts_root=root, commission=Wei(300), stock=False)
    sold = replace(sold, seller=SELLER)
    history = SaleHistory([sold, make.delivery(sold, 1, 1001)])
    one, _, three = (d.operator for d in listing.lots[0].deliverers)
    fees = fees_open(shop.catalogue, SELLER, history)
    assert fees == {one: 100, three: 100}

    plan = Change("new good", listing, draft(supply=5), (b"x",))
    small, large = candidate(make, 1, stake=599), candidate(make, 2, stake=600)
    choice = Choice((large, small), 2, named=False)
    [line] = choice_warnings([plan], [choice], {small.operator: Wei(100), large.operator: Wei(99)})
    assert f"{small.operator} would have fees of 600 wei open against a stake of 599 wei" in line
    assert choice_warnings([plan], [replace(choice, candidates=(large,))], {}) == []
    text = choice_text("coupon", choice, governed=True)
    assert "0 of its 2 deliverers are established; the 2 that open it together have" in text
    assert text.endswith("at least 1199 wei of stake, which the governor could take")
    assert "no governor" in choice_text("coupon", choice, governed=False)
    alone = choice_text("coupon", replace(choice, threshold=1), governed=False)
    assert "the one that opens the good alone has at least 599 wei" in alone
