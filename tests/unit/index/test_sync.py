"""The index tells what a replay of all logs tells, whatever came in which pieces."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dam.crypto.hashing import keccak
from dam.index.deliverers import read_logs, read_payments, read_store_ages
from dam.index.index import Index
from dam.index.sale_reader import (
    read_cases,
    read_sales,
    read_seller_sales,
    read_taken,
    read_version,
)
from dam.market.deliverer_records import payments, store_ages, tenures
from dam.market.reputation import SellerRecord, bound_stake, seller_records, stars_of
from dam.market.sale_history import SaleHistory, SaleRecord
from dam.types import Address, MarketLog, OtherLog, Purchase, Status
from tests.unit.helpers import index_chain as made
from tests.unit.helpers.index_chain import FIRST, IndexChain, who

SELLERS = [who(0xA1 + i) for i in range(3)]
OPERATORS = [who(0xD1 + i) for i in range(4)]
ITEMS = [made.terms(b"one"), made.terms(b"two", stock=False, arbitrator=who(0xC2))]


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


def check(index: Index, logs: list[MarketLog]) -> None:
    """Compares all that the index can tell with a replay."""
    history = SaleHistory(logs)
    records = seller_records(history, logs)
    stars = stars_of(logs)
    for seller in SELLERS:
        found = read_seller_sales(index.db, seller)
        mine = [s for s in history.sales.values() if s.purchase.seller == seller]
        assert [plain(s) for s in found.sales] == [plain(s) for s in mine]
        assert found.record == records.get(seller, SellerRecord())
        assert found.bound == bound_stake(history, seller)
        assert found.stars == {s.copy_id: stars[s.copy_id] for s in mine if s.copy_id in stars}
        left = read_seller_sales(index.db, seller, only_open=True)
        assert [s.copy_id for s in left.sales] == [s.copy_id for s in mine if not s.status.final]
        for item in ITEMS:
            assert read_taken(index.db, seller, item.item_id) == history.taken(seller, item.item_id)
        now = read_version(index.db, seller)
        wanted = history.store(seller)
        assert (now and (now.digest, now.root)) == (wanted and (wanted.digest, wanted.root))
        kept = index.db.execute(
            "SELECT digest, bound FROM stores JOIN accounts ON id = seller WHERE address = ?",
            (seller,),
        ).fetchone()
        assert (kept and kept[0]) == (wanted and wanted.digest)
        assert kept is None or int(kept[1], 16) == found.bound
    for arbiter in (who(0xC1), who(0xC2)):
        cases = [
            s.copy_id
            for s in history.sales.values()
            if s.dispute and s.dispute.arbitrator == arbiter
        ]
        assert sorted(read_cases(index.db, arbiter).sales) == sorted(cases)
    assert {s.copy_id: plain(s) for s in read_sales(index.db, history.sales).values()} == {
        copy_id: plain(sale) for copy_id, sale in history.sales.items()
    }
    assert index.db.execute("SELECT count(*) FROM dirty").fetchone() == (0,)
    held = tenures(read_logs(index.db), min_stake=5)
    assert held.keys() == tenures(logs, 5).keys()
    assert read_payments(index.db, held) == payments(logs, tenures(logs, 5))
    assert read_store_ages(index.db) == store_ages(logs)


def plain(sale: SaleRecord) -> Any:
    """What the index keeps of a sale."""
    p = sale.purchase
    return (
        p.copy_id, p.seller, p.buyer, p.store_digest, p.copy, p.purchase_block, p.purchase_time,
        p.terms, p.keys, p.at.block.number, p.at.tx_hash, p.at.log_index,
        sorted((i, f.by, f.at.block.number) for i, f in sale.delivered.items()),
        [(f.index, f.by, f.supplied) for f in sale.fragments],
        [(j.index, j.deliverer, j.fresh_key, j.taken, j.bounty, j.cleared) for j in sale.junk],
        sale.status, sale.since_at.block.number, sale.fault_proved,
        sale.closed and (sale.closed.status, sale.closed.by, sale.closed.to_buyer),
        sale.dispute and (sale.dispute.buyer, sale.dispute.arbitrator, sale.dispute.evidence),
    )  # fmt: skip


class Life:
    """Logs of a market as they may come."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)

    def logs(self, before: list[MarketLog]) -> list[MarketLog]:
        dice, found = self.dice, []
        for _ in range(dice.randrange(6)):
            found.append(self._one([*before, *found]))
        return [log for log in found if log is not None]

    def _one(self, before: list[MarketLog]) -> MarketLog | None:
        dice, history = self.dice, SaleHistory(before)
        sales = [s for s in history.sales.values() if not s.status.final]
        kind = dice.randrange(12)
        if kind < 3:
            seller, item = dice.choice(SELLERS), dice.choice(ITEMS)
            copy = dice.choice([*range(8), 2**63 + 1, 2**64 - 1])
            if copy in history.taken(seller, item.item_id):
                return None
            return made.bought(seller, copy, item)
        if kind == 3:
            digest = keccak(dice.randbytes(1))
            root = dice.choice([bytes(32), keccak(b"root")])
            return made.version(dice.choice(SELLERS), digest, root)
        if kind == 4:
            return made.registered(dice.choice(OPERATORS), dice.choice([*OPERATORS, *SELLERS]))
        if kind == 5:
            return made.other("SellerStaked", seller=dice.choice(SELLERS), amount=1, free=2)
        if kind == 6:
            names = ("ExitRequested", "ExitCancelled", "StakeWithdrawn", "TermsPosted")
            name = "Deliverer" + dice.choice(names)
            return made.other(name, operator=dice.choice(OPERATORS), minFee=3)
        ended = [s.purchase for s in history.sales.values() if s.status.final]
        if kind == 7 and ended:
            sale = dice.choice(ended)
            rated = stars_of(before)
            return None if sale.copy_id in rated else made.rated(sale, dice.randint(1, 5))
        return self._event(dice.choice(sales)) if sales else None

    def _event(self, record: SaleRecord) -> MarketLog | None:
        dice, sale = self.dice, record.purchase
        kind = dice.randrange(10)
        if kind < 6:
            by = dice.choice([*OPERATORS, sale.seller])
            index = dice.randrange(3)
            gone = index in record.delivered
            return made.part(sale, index, by, supplied=gone)
        if kind == 6:
            return made.junk(sale, dice.randrange(3), dice.choice(OPERATORS))
        if kind == 7:
            return made.disputed(sale) if record.status == Status.COMPLETE else None
        if kind == 8:
            return made.other("SellerFaultProved", copyId=sale.copy_id, seller=sale.seller)
        return made.closed(sale, Status(dice.randint(4, 7)), dice.choice([0, 0, 7]))


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
