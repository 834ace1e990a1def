"""Whom a seller may pick, and how likely."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from dam.crypto.sealing import LOW_ORDER_KEYS, new_secret_key, public_key
from dam.errors import Permanent
from dam.market.deliverers import Candidate, Registration, registrations
from dam.roles.seller.deliverer_choice import named_deliverers, pick_deliverers
from dam.types import DelivererKeyRotated, DelivererRegistered, Wei, Windows

KEYS = [public_key(new_secret_key()) for _ in range(8)]


def candidate(
    make: Any, number: int, *, stake: int = 10**16, delivered: int = 0, **changes: Any
) -> Candidate:
    values = {"key": KEYS[number], "since": 5, "key_since": 5, "key_reused": False} | {
        k: v for k, v in changes.items() if k in ("key", "key_reused")
    }
    registration = Registration(make.person(number + 1), make.person(number + 1), **values)
    exit_block = changes.get("exit_block", 0)
    return Candidate(registration, Wei(stake), delivered, Wei(0), exit_block)


def registered(make: Any, number: int, key: bytes, block: int) -> DelivererRegistered:
    who = make.person(number)
    return DelivererRegistered(who, who, key, Wei(10**16), make.at(block))


def test_a_key_counts_for_its_first_registrant_alone(make: Any) -> None:
    found = registrations(
        [
            registered(make, 1, KEYS[0], 10),
            registered(make, 2, KEYS[0], 11),
            registered(make, 3, KEYS[1], 12),
        ]
    )
    assert [r.key_reused for r in found.values()] == [False, True, False]


def test_a_rotation_takes_effect_and_cannot_take_a_key_over(make: Any) -> None:
    found = registrations(
        [
            registered(make, 1, KEYS[0], 10),
            registered(make, 2, KEYS[1], 11),
            DelivererKeyRotated(make.person(1), KEYS[2], make.at(20)),
            DelivererKeyRotated(make.person(2), KEYS[0], make.at(21)),
        ]
    )
    one, two = found[make.person(1)], found[make.person(2)]
    assert (one.key, one.key_since, one.since, one.key_reused) == (KEYS[2], 20, 10, False)
    # The key that 1 had before stays 1's: its old parts are still sealed to it.
    assert two.key_reused


@pytest.mark.parametrize(
    "changes",
    [
        {"stake": 10**16 - 1},
        {"exit_block": 900},
        {"key_reused": True},
        {"key": LOW_ORDER_KEYS[1]},
        {"key": b"\xff" * 32},
    ],
)
def test_who_may_not_deliver_is_never_picked(
    make: Any, windows: Windows, changes: dict[str, Any]
) -> None:
    bad = candidate(make, 0, **changes)
    good = [candidate(make, n) for n in (1, 2, 3)]
    assert bad.obstacle(windows)
    for seed in range(30):
        picked = pick_deliverers([bad, *good], 3, windows, random.Random(seed), fee=0)
        assert bad.operator not in {d.operator for d in picked}
    with pytest.raises(Permanent, match="3 may deliver now"):
        pick_deliverers([bad, *good], 4, windows, random.Random(1), fee=0)
    with pytest.raises(Permanent, match=bad.obstacle(windows)):
        named_deliverers({c.operator: c for c in [bad, *good]}, [bad.operator], windows, fee=0)


def test_picks_are_different_and_carry_the_key_in_force(make: Any, windows: Windows) -> None:
    pool = [candidate(make, n) for n in range(5)]
    for seed in range(30):
        picked = pick_deliverers(pool, 5, windows, random.Random(seed), fee=0)
        assert {(d.operator, d.key) for d in picked} == {
            (c.operator, c.registration.key) for c in pool
        }


def test_stake_and_record_make_a_deliverer_likelier(make: Any, windows: Windows) -> None:
    pool = [
        candidate(make, 0, stake=10**16),
        candidate(make, 1, stake=5 * 10**16),
        candidate(make, 2, stake=10**16, delivered=40),
    ]
    source = random.Random(7)
    counts = Counter(
        pick_deliverers(pool, 1, windows, source, fee=0)[0].operator for _ in range(3000)
    )
    shares = [counts[c.operator] / 3000 for c in pool]
    # Weights 10, 50 and 50.
    assert shares[0] == pytest.approx(1 / 11, abs=0.03)
    assert shares[1] == pytest.approx(5 / 11, abs=0.04)
    assert shares[2] == pytest.approx(5 / 11, abs=0.04)


def test_neither_stake_nor_record_buys_a_monopoly(make: Any, windows: Windows) -> None:
    whale = candidate(make, 0, stake=10**24, delivered=10**9)
    assert whale.weight(windows) == 20 * 100
    assert candidate(make, 1).weight(windows) == 10


def test_named_deliverers_keep_their_order(make: Any, windows: Windows) -> None:
    pool = {c.operator: c for c in (candidate(make, n) for n in range(3))}
    order = [make.person(3), make.person(1)]
    assert [d.operator for d in named_deliverers(pool, order, windows, fee=0)] == order
    with pytest.raises(Permanent, match="not registered"):
        named_deliverers(pool, [make.person(99)], windows, fee=0)
