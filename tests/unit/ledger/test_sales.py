"""What is asked for a group of sales is what one by one would tell."""

from __future__ import annotations

import random
from pathlib import Path

from dam.crypto.hashing import copy_id, keccak
from dam.ledger.ledger import Binding, Ledger
from dam.ledger.sales import JunkProof, SaleEvents, Sales, Versions
from dam.testing.pages import rows_of
from dam.types import (
    ZERO_ADDRESS,
    Address,
    BlockRef,
    CopyId,
    FragmentDelivered,
    JunkProved,
    LogRef,
    MarketLog,
    Purchase,
    SaleClosed,
    Status,
    StoreVersion,
    Terms,
    Wei,
)
from tests.unit.helpers.ledger import root_in_force

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
                clock = (block + 5000, 10**9 + block)
                logs.append(Purchase(sold, seller, seller, digest, copy, *clock, TERMS, keys, at))
    return logs


def opened(path: Path, seed: int) -> Ledger:
    ledger = Ledger.open(path, Binding(1, SELLERS[0], SELLERS[1], "deliverer"))
    with ledger.transaction():
        ledger.save_range(rows_of(chain(seed)), BlockRef(60, keccak(b"60")), delivery_seconds=300)
    return ledger


def test_the_version_in_force(tmp_path: Path) -> None:
    found = 0
    for seed in range(20):
        ledger = opened(tmp_path / f"{seed}.sqlite", seed)
        versions = Versions(ledger)
        bought = [log for log in chain(seed) if isinstance(log, Purchase)]
        sales = Sales(ledger).in_state("new")
        assert [sale.purchase for sale in sales] == bought
        for sale in sales:
            root = root_in_force(ledger, sale.purchase)
            version = versions.of(sale)
            named = version is not None and version.digest == sale.store_digest
            assert (version.root if named and version else None) == root
            found += root is not None
            assert sale.keys == b"".join(sale.purchase.keys)
            assert sale.last_time == sale.purchase.purchase_time + 300
        ledger.close()
    assert found > 50


def test_in_slices_and_by_states(tmp_path: Path) -> None:
    ledger = opened(tmp_path / "ledger.sqlite", 1)
    sales = Sales(ledger)
    ids = [sale.id for sale in sales.in_state("new")]
    with ledger.transaction():
        sales.mark([ids[3]], "waiting")
        sales.mark([ids[4]], "done")
        ledger.db.execute("UPDATE purchases SET orphaned = 1 WHERE id = ?", (ids[5],))
    expected = [i for i in ids if i not in ids[4:6]]
    after, found = 0, []
    while group := sales.in_state("new", "waiting", after=after, limit=7):
        after = group[-1].id
        found += [one.id for one in group]
    assert found == expected
    assert ids[3] not in [one.id for one in sales.in_state("new", limit=99)]


def test_what_was_there_already(tmp_path: Path) -> None:
    """Delivered, closed, sealed, archived; each alone marks the copy as touched."""
    ledger = opened(tmp_path / "ledger.sqlite", 2)
    sales = Sales(ledger).in_state("new")[:6]
    delivered, closed, sealed, spent, before, clean = (sale.purchase for sale in sales)
    at = LogRef(BlockRef(60, keccak(b"60")), bytes(32), 0)
    place = (SELLERS[0], 1, SELLERS[0], *[bytes(32)] * 3, bytes(80), False)
    logs: list[MarketLog] = [
        FragmentDelivered(delivered.copy_id, *place, at),
        SaleClosed(closed.copy_id, Status.SETTLED, SELLERS[0], 0, Wei(0), at),
    ]
    early = LogRef(BlockRef(0, keccak(b"0")), bytes(32), 0)
    logs.append(FragmentDelivered(before.copy_id, *place, early))
    with ledger.transaction() as db:
        ledger.save_range(rows_of(logs), BlockRef(60, keccak(b"60")), delivery_seconds=300)
        db.execute(
            "INSERT INTO seals VALUES (?, ?, ?, 1, ?, x'aa', x'bb', 0)",
            (sealed.seller, TERMS.item_id, sealed.copy, sales[2].id),
        )
        db.execute("INSERT INTO archived_seals VALUES (?, 1, x'aa', x'bb')", (spent.copy_id,))
    one = [Sales(ledger).get(sale.id) for sale in sales]
    assert [sale.touched for sale in one] == [1, 1, 1, 1, 1, 0]
    known = SaleEvents(ledger, Sales(ledger).in_state("new"))
    assert [known.closed(sale) for sale in one] == [False, True, False, False, False, False]
    for sale in one[2:4]:
        assert known.sealed_before(sale, 1, b"\xaa") == b"\xbb"
        assert known.sealed_before(sale, 1, b"\xcc") is None
        assert known.sealed_before(sale, 0, b"\xaa") is None
    assert not known.sealed_to_another(one[2], 1, b"\xcc"), "it is this very purchase"
    other = one[2]._replace(id=one[5].id)
    assert known.sealed_to_another(other, 1, b"\xcc")
    assert known.sealed_to_another(one[3], 1, b"\xcc")
    assert not known.sealed_to_another(one[3], 1, b"\xaa")
    assert known.delivered(one[0]) == {1: 60}
    assert not known.delivered(one[4]), "an older sale of this copy"
    assert not known.delivered(one[5])
    assert not known.events(one[5])
    assert clean.copy_id == one[5].copy_id


def test_what_was_proved_to_be_junk(tmp_path: Path) -> None:
    """A cleared part is missing until one comes after the proof; a punished one stays there."""
    ledger = opened(tmp_path / "ledger.sqlite", 2)
    sales = Sales(ledger).in_state("new")[:4]
    cleared, replaced, punished, same_block = (sale.copy_id for sale in sales)

    def at(block: int, index: int) -> LogRef:
        return LogRef(BlockRef(block, keccak(b"%d" % block)), bytes(32), index)

    def part(copy: CopyId, where: LogRef, *, supplied: bool = False) -> FragmentDelivered:
        place = (SELLERS[0], 1, SELLERS[0], *[bytes(32)] * 3, bytes(80))
        return FragmentDelivered(copy, *place, supplied, where)

    def proof(copy: CopyId, where: LogRef, *, clears: bool = True) -> JunkProved:
        return JunkProved(copy, SELLERS[0], 1, b"f" * 32, Wei(5), Wei(1), clears, where)

    logs: list[MarketLog] = [
        part(cleared, at(61, 0)), proof(cleared, at(62, 0)),
        part(cleared, at(63, 0), supplied=True),
        part(replaced, at(61, 1)), proof(replaced, at(62, 1)), part(replaced, at(64, 1)),
        part(punished, at(61, 2)), proof(punished, at(62, 2), clears=False),
        part(same_block, at(65, 0)), proof(same_block, at(65, 1)), part(same_block, at(65, 2)),
    ]  # fmt: skip
    with ledger.transaction():
        ledger.save_range(rows_of(logs), BlockRef(70, keccak(b"70")), delivery_seconds=300)
    one = [Sales(ledger).get(sale.id) for sale in sales]
    known = SaleEvents(ledger, one)
    assert [sale.touched for sale in one] == [1] * 4
    assert [known.delivered(sale) for sale in one] == [{}, {1: 64}, {1: 61}, {1: 65}]
    assert known.proofs(one[0]) == {1: JunkProof(b"f" * 32, cleared=True)}
    assert known.proofs(one[2]) == {1: JunkProof(b"f" * 32, cleared=False)}
    # What a reorganisation takes back was never proved.
    ledger.rollback(BlockRef(61, keccak(b"61")))
    known = SaleEvents(ledger, one)
    assert known.delivered(one[0]) == {1: 61}
    assert not known.proofs(one[0])


def test_nothing_is_asked_of_no_sales(tmp_path: Path) -> None:
    ledger = opened(tmp_path / "ledger.sqlite", 2)
    [sale, *_] = Sales(ledger).in_state("new")
    assert not SaleEvents(ledger, []).delivered(sale)
    assert Sales(ledger).parts([]) == {}
