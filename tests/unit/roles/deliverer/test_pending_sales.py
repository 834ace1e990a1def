"""What is asked for a group of sales is what one by one would tell."""

from __future__ import annotations

import random
from pathlib import Path

from dam.crypto.hashing import copy_id, keccak
from dam.ledger.ledger import Binding, Ledger
from dam.roles.deliverer.pending_sales import Backlog, candidates
from dam.types import (
    ZERO_ADDRESS,
    Address,
    BlockRef,
    FragmentDelivered,
    LogRef,
    MarketLog,
    Purchase,
    SaleClosed,
    Status,
    StoreVersion,
    Terms,
    Wei,
)

SELLERS = [Address("0x" + f"{i:02x}" * 20) for i in (0x11, 0x22, 0x33)]
TERMS = Terms(
    keccak(b"item"), ZERO_ADDRESS, 1, Wei(0), Wei(0), Wei(0), 10**6, True, 3, 2, ZERO_ADDRESS,
    bytes(32),
)  # fmt: skip


def chain(seed: int) -> list[MarketLog]:
    """Versions and purchases of three sellers in any order, some in the same block."""
    dice = random.Random(seed)
    logs: list[MarketLog] = []
    for block in range(1, 60):
        for index in range(dice.randrange(5)):
            at = LogRef(BlockRef(block, keccak(b"%d" % block)), dice.randbytes(32), index)
            seller = dice.choice(SELLERS)
            if dice.random() < 0.3:
                # Versions come back: the same document may be in force twice.
                digest = keccak(b"%d" % dice.randrange(4))
                logs.append(StoreVersion(seller, digest, keccak(digest), at))
            else:
                copy = len(logs)
                sold = copy_id(seller, TERMS.item_id, copy)
                keys = (bytes(32),) * 3
                digest = keccak(b"%d" % dice.randrange(4))
                logs.append(Purchase(sold, seller, seller, digest, copy, TERMS, keys, at))
    return logs


def opened(path: Path, seed: int) -> Ledger:
    ledger = Ledger.open(path, Binding(1, SELLERS[0], SELLERS[1], "deliverer"))
    with ledger.transaction():
        ledger.save_range(chain(seed), BlockRef(60, keccak(b"60")), refund_blocks=300)
    return ledger


def test_the_version_in_force(tmp_path: Path) -> None:
    found = 0
    for seed in range(20):
        ledger = opened(tmp_path / f"{seed}.sqlite", seed)
        group = candidates(ledger, ["new"], after=0, limit=1000)
        sales = ledger.sales("new")
        assert [one.id for one in group] == [sale.id for sale in sales]
        for one, sale in zip(group, sales, strict=True):
            root = ledger.root_in_force(sale.purchase)
            named = one.version is not None and one.version.digest == one.store_digest
            assert (one.version.root if named and one.version else None) == root
            found += root is not None
            assert (one.block, one.keys) == (sale.purchase.block, b"".join(sale.purchase.keys))
        ledger.close()
    assert found > 50


def test_in_slices_and_by_states(tmp_path: Path) -> None:
    ledger = opened(tmp_path / "ledger.sqlite", 1)
    ids = [sale.id for sale in ledger.sales("new")]
    with ledger.transaction():
        ledger.mark_sale(ids[3], "waiting")
        ledger.mark_sale(ids[4], "done")
        ledger.db.execute("UPDATE purchases SET orphaned = 1 WHERE id = ?", (ids[5],))
    expected = [i for i in ids if i not in ids[4:6]]
    after, found = 0, []
    while group := candidates(ledger, ["new", "waiting"], after=after, limit=7):
        after = group[-1].id
        found += [one.id for one in group]
    assert found == expected
    assert ids[3] not in [one.id for one in candidates(ledger, ["new"], after=0, limit=99)]


def test_what_was_there_already(tmp_path: Path) -> None:
    """Delivered, closed, sealed and spent; each alone marks the copy as touched."""
    ledger = opened(tmp_path / "ledger.sqlite", 2)
    sales = ledger.sales("new")[:6]
    delivered, closed, sealed, spent, before, clean = (sale.purchase for sale in sales)
    at = LogRef(BlockRef(60, keccak(b"60")), bytes(32), 0)
    logs: list[MarketLog] = [
        FragmentDelivered(delivered.copy_id, SELLERS[0], 1, *[bytes(32)] * 2, bytes(80), False, at),
        SaleClosed(closed.copy_id, Status.SETTLED, SELLERS[0], 0, Wei(0), at),
    ]
    early = LogRef(BlockRef(0, keccak(b"0")), bytes(32), 0)
    logs.append(
        FragmentDelivered(before.copy_id, SELLERS[0], 1, *[bytes(32)] * 2, bytes(80), False, early)
    )
    with ledger.transaction() as db:
        ledger.save_range(logs, BlockRef(60, keccak(b"60")), refund_blocks=300)
        db.execute(
            "INSERT INTO sealed VALUES (?, ?, ?, 1, ?, x'aa', x'bb', 0)",
            (sealed.seller, TERMS.item_id, sealed.copy, sales[2].id),
        )
        db.execute("INSERT INTO spent VALUES (?, 1, x'aa', x'bb')", (spent.copy_id,))
    group = {one.id: one for one in candidates(ledger, ["new"], after=0, limit=1000)}
    one = [group[sale.id] for sale in sales]
    assert [sale.touched for sale in one] == [1, 1, 1, 1, 1, 0]
    backlog = Backlog(ledger, list(group.values()), [])
    assert [backlog.closed(sale) for sale in one] == [False, True, False, False, False, False]
    for sale in one[2:4]:
        assert backlog.sealed_before(sale.copy_id, 1, b"\xaa") == b"\xbb"
        assert backlog.sealed_before(sale.copy_id, 1, b"\xcc") is None
        assert backlog.sealed_before(sale.copy_id, 0, b"\xaa") is None
    assert not backlog.sealed_to_another(one[2], 1, b"\xcc"), "it is this very purchase"
    other = one[2]._replace(id=one[5].id)
    assert backlog.sealed_to_another(other, 1, b"\xcc")
    assert backlog.sealed_to_another(one[3], 1, b"\xcc")
    assert not backlog.sealed_to_another(one[3], 1, b"\xaa")
    parts = [part(index) for index in (0, 1, 2)]
    assert [p.index for p in backlog.missing(one[0], parts)] == [0, 2]
    assert backlog.missing(one[4], parts) == parts, "an older sale of this copy"
    assert backlog.missing(one[5], parts) == parts
    assert clean.copy_id == one[5].copy_id


def part(index: int):
    from dam.roles.deliverer.pending_sales import Kept

    return Kept(index, "", b"", b"", b"")
