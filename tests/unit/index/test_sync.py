"""The index tells what a replay of all logs tells, whatever came in which pieces."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dam.index.deliverers import read_logs
from dam.index.index import Index
from dam.index.sale_reader import (
    read_seller_sales,
    read_taken,
    read_version,
)
from dam.types import Address, MarketLog, OtherLog, Purchase
from tests.unit.helpers import index_chain as made
from tests.unit.helpers.index_chain import FIRST, IndexChain, who
from tests.unit.helpers.index_life import ITEMS, OPERATORS, SELLERS, Life, check


@pytest.fixture
def chain() -> IndexChain:
    return IndexChain()


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    notes: list[str] = []
    with Index(tmp_path, made.DEPLOYMENT, notes.append) as opened:
        yield opened
    assert notes == []


async def sync(index: Index, chain: IndexChain) -> Any:
    return await index.sync(chain)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(6))
async def test_it_tells_what_a_replay_tells(seed: int, index: Index, chain: IndexChain) -> None:
    life = Life(seed)
    chain.range_blocks = life.dice.choice([1, 3, 1000])
    for _ in range(12):
        for _ in range(life.dice.randrange(1, 5)):
            chain.mine(*life.logs(chain.logs))
        await sync(index, chain)
        check(index, chain.logs)
        if life.dice.random() < 0.5 and chain.height > FIRST:
            depth = life.dice.randint(1, min(6, chain.height - FIRST))
            chain.reorganise(depth)
            for _ in range(life.dice.randint(max(1, depth - 2), depth + 3)):
                chain.mine(*life.logs(chain.logs))
            await sync(index, chain)
            check(index, chain.logs)


async def test_only_what_is_new_is_asked_for(index: Index, chain: IndexChain) -> None:
    sale = made.bought(SELLERS[0], 1, ITEMS[0])
    chain.mine(made.version(SELLERS[0], b"d" * 32), count=300)
    await sync(index, chain)
    chain.asked.clear()
    assert (await sync(index, chain)).logs == 0
    assert chain.asked == []
    chain.mine(sale)
    assert (await sync(index, chain)).logs == 1
    assert chain.asked == [("logs", chain.height, chain.height), ("calls", 1)]


async def test_blocks_without_logs_are_no_reason_to_begin_anew(
    index: Index, chain: IndexChain
) -> None:
    chain.mine(made.version(SELLERS[0], b"d" * 32), count=100)
    await sync(index, chain)
    chain.reorganise(5)
    chain.mine(made.bought(SELLERS[0], 1, ITEMS[0]), count=9)
    chain.range_blocks = 2
    assert (await sync(index, chain)).rolled_back
    check(index, chain.logs)


async def test_a_node_that_lags_is_believed(index: Index, chain: IndexChain) -> None:
    chain.mine(made.version(SELLERS[0], b"d" * 32), count=10)
    await sync(index, chain)
    chain.mine(made.bought(SELLERS[0], 1, ITEMS[0]))
    await sync(index, chain)
    chain.reorganise(1)
    await sync(index, chain)
    check(index, chain.logs)


async def test_a_chain_begun_anew_is_read_anew(tmp_path: Path, chain: IndexChain) -> None:
    notes: list[str] = []
    with Index(tmp_path, made.DEPLOYMENT, notes.append) as index:
        chain.mine(made.version(SELLERS[0], b"d" * 32), made.bought(SELLERS[0], 1, ITEMS[0]))
        await sync(index, chain)
        other = IndexChain(fork=7)
        other.mine(made.bought(SELLERS[1], 2, ITEMS[1]), count=3)
        await sync(index, other)
        check(index, other.logs)
    [note] = notes
    assert "built anew from the chain: the chain changed below" in note


async def test_a_reorganisation_while_logs_are_read(index: Index, chain: IndexChain) -> None:
    chain.mine(made.version(SELLERS[0], b"d" * 32), count=4)
    await sync(index, chain)
    chain.mine(made.bought(SELLERS[0], 1, ITEMS[0]), count=2)
    turns = iter([False, True])

    def once() -> None:
        if next(turns, False):
            chain.reorganise(4)
            chain.mine(made.bought(SELLERS[0], 3, ITEMS[0]), count=5)

    chain.on_ask = once
    await sync(index, chain)
    chain.on_ask = lambda: None
    await sync(index, chain)
    check(index, chain.logs)


async def test_two_at_once_bring_it_to_the_same(tmp_path: Path, chain: IndexChain) -> None:
    life = Life(99)
    for _ in range(40):
        chain.mine(*life.logs(chain.logs))
    chain.range_blocks = 3
    with (
        Index(tmp_path, made.DEPLOYMENT, pytest.fail) as one,
        Index(tmp_path, made.DEPLOYMENT, pytest.fail) as two,
    ):

        async def slowly(index: Index) -> None:
            await sync(index, chain)

        await asyncio.gather(slowly(one), slowly(two))
        check(one, chain.logs)
        check(two, chain.logs)


async def test_logs_of_deliverers_come_back_whole(index: Index, chain: IndexChain) -> None:
    logs: list[MarketLog] = [
        made.registered(OPERATORS[0], who(5)),
        made.other("DelivererTermsPosted", operator=OPERATORS[0], minFee=2**200, open=True),
        made.other("SlashProposed", id=1, reason=b"\x01" * 32, amount=3, operator=OPERATORS[0]),
    ]
    chain.mine(*logs)
    await sync(index, chain)
    back = read_logs(index.db)
    assert [(type(log), getattr(log, "args", None)) for log in back] == [
        (type(log), getattr(log, "args", None)) for log in logs
    ]
    assert back[0].at.tx_hash == chain.logs[0].at.tx_hash
    assert not any(isinstance(log, Purchase) for log in back)
    assert isinstance(back[1], OtherLog)


def test_an_unknown_seller_has_nothing(index: Index) -> None:
    nobody: Address = who(77)
    assert read_seller_sales(index.db, nobody).sales == ()
    assert read_version(index.db, nobody) is None
    assert read_taken(index.db, nobody, ITEMS[0].item_id) == set()
