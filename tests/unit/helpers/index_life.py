"""A market's life at random, and the comparison of an index with a replay of all logs."""

from __future__ import annotations

import random
from typing import Any

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
from dam.market.deliverer_records import past_of, tenures
from dam.market.reputation import SellerRecord, bound_stake, seller_records, stars_of
from dam.market.sale_history import SaleHistory, SaleRecord
from dam.types import MarketLog, Status
from tests.unit.helpers import index_chain as made
from tests.unit.helpers.index_chain import IndexChain, who

SELLERS = [who(0xA1 + i) for i in range(3)]
OPERATORS = [who(0xD1 + i) for i in range(4)]
ITEMS = [made.terms(b"one"), made.terms(b"two", stock=False, arbitrator=who(0xC2))]


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
    held, past = tenures(read_logs(index.db), min_stake=5), past_of(logs, 5)
    assert held.keys() == past.held.keys()
    assert read_payments(index.db, held) == past.paid
    assert read_store_ages(index.db) == past.stores


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


def chain_of(seed: int, blocks: int = 24) -> IndexChain:
    """A chain with some life on it."""
    chain, life = IndexChain(), Life(seed)
    for _ in range(blocks):
        chain.mine(*life.logs(chain.logs))
    return chain
