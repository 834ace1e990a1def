"""Who is established, and who may be one person, from logs alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dam.crypto.hashing import copy_id, keccak
from dam.errors import RpcError
from dam.ethereum.node_errors import RpcRejectedError
from dam.market.deliverer_pool import _funders, last_block_before
from dam.market.deliverer_records import MAX_FUNDED, DelivererRecord, deliverer_records, past_of
from dam.types import (
    BlockRef,
    DelivererRegistered,
    FragmentDelivered,
    JunkProved,
    LogRef,
    MarketLog,
    OtherLog,
    StoreVersion,
    Wei,
)

OLD = 500
"""The newest block that is thirty days old."""
MINIMUM = 10**16


def registered(make: Any, number: int, block: int = 10, **changes: Any) -> DelivererRegistered:
    who = make.person(number)
    at = LogRef(BlockRef(block, bytes(32)), keccak(bytes([number])), 0)
    values = {"owner": who, "key": keccak(bytes([number])), "possession": bytes(64)} | changes
    at = values.pop("at", at)
    return DelivererRegistered(who, values["owner"], values["key"], values["possession"],
                               Wei(MINIMUM), at)  # fmt: skip


def stores(make: Any, blocks: dict[int, int]) -> list[MarketLog]:
    return [StoreVersion(make.person(n), bytes(32), bytes(32), make.at(b))
            for n, b in blocks.items()]  # fmt: skip


def sale(make: Any, seller: int, by: int, block: int = 600, **terms: Any) -> list[MarketLog]:
    """A sale of a seller, one part of which a deliverer delivered."""
    sold = make.purchase(block, **terms)
    who = make.person(seller)
    sold = replace(sold, seller=who, copy_id=copy_id(who, sold.terms.item_id, block))
    return [sold, make.delivery(sold, 0, block, by=make.person(by))]


def record(make: Any, logs: list[MarketLog], number: int = 1, **others: Any) -> DelivererRecord:
    values = {"old_block": OLD, "funders": {}} | others
    return deliverer_records(logs, past_of(logs, MINIMUM), **values)[make.person(number)]


def three_sales(make: Any, **terms: Any) -> list[MarketLog]:
    return [log for seller in (51, 52, 53) for log in sale(make, seller, 1, **terms)]


def old_stores(make: Any) -> list[MarketLog]:
    return stores(make, {51: 20, 52: OLD, 53: 20})


def test_established_takes_age_and_three_old_sellers_who_paid(make: Any) -> None:
    before = [registered(make, 1, OLD), *old_stores(make)]
    found = record(make, [*before, *three_sales(make)])
    assert (found.established, found.fees) == (True, 30)
    two = sale(make, 51, 1) + sale(make, 52, 1) + sale(make, 52, 1, 601)
    assert not record(make, before + two).established
    late = [registered(make, 1, OLD + 1), *old_stores(make)]
    assert not record(make, [*late, *three_sales(make)]).established
    young = [before[0], *stores(make, {51: 20, 52: 20, 53: OLD + 1})]
    assert not record(make, [*young, *three_sales(make)]).established


def test_free_sales_count_nothing(make: Any) -> None:
    logs = [registered(make, 1), *old_stores(make), *three_sales(make, commission=Wei(2))]
    assert record(make, logs) == DelivererRecord(False, Wei(0), record(make, logs).marks)


def test_a_part_counts_once_and_a_fallback_or_supply_never(make: Any) -> None:
    logs = [registered(make, 1), *old_stores(make), *three_sales(make)]
    sold, first = logs[-2], logs[-1]
    assert isinstance(first, FragmentDelivered)
    again = make.delivery(sold, 0, 700, by=make.person(1))
    supplied = make.delivery(sold, 1, 700, by=make.person(1), supplied=True)
    mine = make.delivery(sold, 1, 700, by=make.person(53))
    assert record(make, [*logs, again, supplied, mine]).fees == 30


def test_paying_oneself_makes_no_record(make: Any) -> None:
    """A deliverer whose owner is one of its three sellers."""
    logs = [registered(make, 1, owner=make.person(51)), *old_stores(make), *three_sales(make)]
    assert not record(make, logs).established


@pytest.mark.parametrize(
    "broken",
    [
        [("DelivererExitRequested", {})],
        [("DelivererExitRequested", {}), ("DelivererExitCancelled", {})],
        [("DelivererStakeWithdrawn", {})],
        [("DelivererStakeWithdrawn", {}), ("DelivererStakeAdded", {"amount": 9, "stake": 9})],
        [("SlashExecuted", {"taken": 1})],
        [("DelivererStakeAdded", {"amount": 2, "stake": MINIMUM + 1})],
    ],
)
def test_what_breaks_a_stake(make: Any, broken: list[tuple[str, dict[str, int]]]) -> None:
    logs = [registered(make, 1), *old_stores(make), *three_sales(make)]
    assert record(make, logs).established
    for name, args in broken:
        logs.append(OtherLog(name, {"operator": make.person(1), **args}, make.at(700)))
    found = record(make, logs)
    assert (found.established, found.fees) == (False, 0)


def test_junk_breaks_it_and_more_stake_does_not(make: Any) -> None:
    logs = [registered(make, 1), *old_stores(make), *three_sales(make)]
    more = {"operator": make.person(1), "amount": 5, "stake": MINIMUM + 5}
    logs.append(OtherLog("DelivererStakeAdded", more, make.at(700)))
    assert record(make, logs).established
    sold = logs[-2].copy_id  # type: ignore[union-attr]
    junk = JunkProved(sold, make.person(1), 0, bytes(32), Wei(5), Wei(1), True, make.at(701))
    assert not record(make, [*logs, junk]).established


def test_marks_are_owner_funder_and_registration(make: Any) -> None:
    funder, owner, at = make.person(90), make.person(91), make.at(10)
    logs: list[MarketLog] = [
        registered(make, 1, owner=owner),
        registered(make, 2, owner=owner),
        registered(make, 3, at=at),
        registered(make, 4, at=at),
        *(registered(make, n) for n in range(5, 30)),
    ]
    funders = {make.person(n): funder for n in (5, 6)}
    funders |= {make.person(n): make.person(92) for n in range(10, 11 + MAX_FUNDED)}
    marks = {n: record(make, logs, n, funders=funders).marks for n in range(1, 30)}
    alike = {(a, b) for a in marks for b in marks if a < b and marks[a] & marks[b]}
    # Eleven that one account funded are an exchange's customers, as far as anybody can tell.
    assert alike == {(1, 2), (3, 4), (5, 6)}


class Headers:
    """A market whose block n has the timestamp 10 n, from block 100 on."""

    def __init__(self) -> None:
        self.asked = 0

        class Deployment:
            first_block = 100

        self.deployment = Deployment()

    async def blocks(self, numbers: list[int]) -> list[BlockRef]:
        self.asked += 1
        assert len(numbers) <= 16
        assert all(100 <= number <= 5000 for number in numbers)
        return [BlockRef(n, bytes(32), 10 * n) for n in numbers]


@pytest.mark.parametrize("number", [100, 101, 115, 116, 117, 3333, 4999, 5000])
async def test_the_block_of_a_time_is_found(number: int) -> None:
    market: Any = Headers()
    assert await last_block_before(market, 10 * number, 5000) == number
    assert await last_block_before(market, 10 * number + 9, 5000) == number
    assert market.asked <= 8


async def test_all_blocks_are_newer() -> None:
    assert await last_block_before(Headers(), 999, 5000) == 99  # type: ignore[arg-type]


async def test_funders_come_from_the_registration(make: Any) -> None:
    one, two, three = (registered(make, n) for n in (1, 2, 3))

    class Node:
        answers: Any = None

        async def batch(self, calls: list[Any], *, errors: bool) -> list[Any]:
            assert errors
            assert [method for method, _ in calls] == ["eth_getTransactionByHash"] * 3
            return list(self.answers)

    market: Any = type("Market", (), {"rpc": Node()})()
    own, other = make.person(1), make.person(9)
    refusal = RpcRejectedError("eth_getTransactionByHash", -32000, "pruned")
    market.rpc.answers = [refusal, {"from": other.lower()}, None]
    assert await _funders(market, [one, two, three]) == {two.operator: other}
    market.rpc.answers = [{"from": own.lower()}, {"from": other.lower()}, None]
    assert await _funders(market, [one, two, three]) == {two.operator: other}
    market.rpc.answers = [{"from": "0x12"}, None, None]
    with pytest.raises(RpcError, match="eth_getTransactionByHash"):
        await _funders(market, [one, two, three])
