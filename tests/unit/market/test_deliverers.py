"""Whose key counts, and who may deliver."""

from __future__ import annotations

from typing import Any

import pytest

from dam.crypto.hashing import checksum
from dam.keystore.key_files import KeyPair
from dam.market.deliverers import Candidate, Registration, registrations
from dam.types import Address, DelivererKeyRotated, DelivererRegistered, Wei, Windows

CHAIN = 31337
MARKET = checksum(b"\xda" * 20)
KEYS = [KeyPair.generate() for _ in range(4)]


def candidate(make: Any, **changes: Any) -> Candidate:
    key = changes.get("key", KEYS[0].public)
    registration = Registration(make.person(1), make.person(1), key, 5, 5)
    stake = Wei(changes.get("stake", 10**16))
    return Candidate(registration, stake, 0, Wei(0), changes.get("exit_time", 0))


def registered(
    make: Any, number: int, pair: KeyPair, block: int, *, by: KeyPair | None = None
) -> DelivererRegistered:
    who = make.person(number)
    possession = (by or pair).prove_possession(CHAIN, MARKET, who)
    return DelivererRegistered(who, who, pair.announced, possession, Wei(10**16), make.at(block))


def rotated(make: Any, number: int, pair: KeyPair, block: int, **place: Any) -> DelivererKeyRotated:
    who = make.person(number)
    claims: dict[str, Any] = {"chain_id": CHAIN, "market": MARKET, "operator": who} | place
    possession = pair.prove_possession(**claims)
    return DelivererKeyRotated(who, pair.announced, possession, make.at(block))


def found(make: Any, *logs: Any) -> dict[Address, Registration]:
    return registrations(logs, CHAIN, MARKET)


def test_a_key_counts_for_who_shows_that_it_has_it(make: Any) -> None:
    """Whoever announced it first: neither is spoiled by the other."""
    thief = registered(make, 1, KEYS[0], 10, by=KEYS[1])
    owner = registered(make, 2, KEYS[0], 11)
    keys = [registration.key for registration in found(make, thief, owner).values()]
    assert keys == [b"", KEYS[0].public]


@pytest.mark.parametrize(
    "place", [{"chain_id": 1}, {"market": "person 9"}, {"operator": "person 9"}]
)
def test_a_proof_is_of_one_operator_in_one_market(make: Any, place: dict[str, Any]) -> None:
    """What was announced elsewhere cannot be announced again here by somebody else."""
    elsewhere = {k: make.person(9) if v == "person 9" else v for k, v in place.items()}
    [one] = found(
        make, registered(make, 1, KEYS[0], 10), rotated(make, 1, KEYS[1], 20, **elsewhere)
    ).values()
    assert (one.key, one.key_since) == (KEYS[0].public, 10)


def test_a_rotation_takes_effect(make: Any) -> None:
    [one] = found(make, registered(make, 1, KEYS[0], 10), rotated(make, 1, KEYS[2], 20)).values()
    assert (one.key, one.key_since, one.since) == (KEYS[2].public, 20, 10)


def test_a_rotation_mends_a_registration_without_a_proof(make: Any) -> None:
    begun = registered(make, 1, KEYS[0], 10, by=KEYS[1])
    [one] = found(make, begun, rotated(make, 1, KEYS[0], 20)).values()
    assert (one.key, one.key_since) == (KEYS[0].public, 20)


@pytest.mark.parametrize(
    ("key", "possession"),
    [
        (b"", bytes(64)),
        (bytes(32), bytes(64)),  # of low order: such a key "signs" anything
        (b"\x01" + bytes(31), b"\x01" + bytes(63)),
        (b"\xff" * 32, bytes(64)),
        (bytes(32), b""),
    ],
)
def test_improper_keys_count_for_nobody(make: Any, key: bytes, possession: bytes) -> None:
    who = make.person(1)
    log = DelivererRegistered(who, who, key, possession, Wei(10**16), make.at(1))
    assert found(make, log)[who].key == b""


@pytest.mark.parametrize("changes", [{"stake": 10**16 - 1}, {"exit_time": 900}, {"key": b""}])
def test_who_may_not_deliver(make: Any, windows: Windows, changes: dict[str, Any]) -> None:
    assert candidate(make, **changes).obstacle(windows)
    assert not candidate(make).obstacle(windows)
