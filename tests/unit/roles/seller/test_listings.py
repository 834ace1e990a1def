"""Listings: what they may say, their lots of parts, and their files."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest

from dam.catalog.about import About
from dam.crypto.hashing import checksum
from dam.errors import Malformed, Permanent
from dam.ipfs.cid import Cid
from dam.market.deliverers import Deliverer
from dam.roles.seller import listings
from dam.roles.seller.goods import add_goods
from dam.roles.seller.listings import Lot
from dam.types import ZERO_ADDRESS, Wei

BAD = [
    {"name": ""},
    {"name": "a\nb"},
    {"title": "\x1b[1m"},
    {"metadata": {"/": 1}},
    {"price": -1},
    {"price": 2**128},
    {"price": 1.0},
    {"price": True},
    {"penalty": 2**128},
    {"supply": 2**64},
    {"parts": 0},
    {"parts": 33},
    {"threshold": 0},
    {"threshold": 4},
    {"commission": Wei(1001)},
    {"arbitrator": checksum(b"\xbb" * 20)},
    {"stock": True, "supply": 1},
]


@pytest.mark.parametrize("changes", BAD)
def test_bad_listings(shop, changes: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        shop.draft(**changes)


def test_a_token_price_may_be_below_the_commission(shop) -> None:
    assert shop.draft(token=checksum(b"\x0c" * 20), price=1).price == 1
    assert shop.draft(arbitrator=ZERO_ADDRESS).terms(bytes(32)).effective_bond == 0


async def test_one_part_of_a_copy_per_deliverer(shop) -> None:
    a, b, c = (d.known for d in shop.daemons[:3])
    bad = [
        [a, b],
        [a, b, c, shop.daemons[3].known],
        [a, b, a],
        [a, b, Deliverer(a.operator, c.key)],
        [a, b, Deliverer(c.operator, a.key)],
        [a, b, Deliverer(c.operator, bytes(32))],
        [a, b, Deliverer(c.operator, b"\xff" * 32)],
        [],
    ]
    for deliverers in bad:
        with pytest.raises(Malformed):
            await add_goods(shop.blocks, shop.seed, shop.draft(), [b"x"], deliverers)


@pytest.mark.parametrize("goods", [[], [b"x", b"y"]])
async def test_shared_items_have_one_good(shop, goods: list[bytes]) -> None:
    with pytest.raises(Malformed):
        await shop.add(shop.draft(), *goods)


async def test_lots_follow_on_each_other(shop) -> None:
    full = await shop.stock("codes", [b"A", b"B"])
    (lot,) = full.lots
    for lots in (
        (replace(lot, first_copy=1),),
        (lot, lot),
        (replace(lot, copies=1),),
        (replace(lot, payloads=()),),
        (),
    ):
        with pytest.raises(Malformed):
            replace(full, lots=lots)
    with pytest.raises(Malformed):
        full.lot_of(2)
    with pytest.raises(Malformed):
        listings.leaf_and_share(shop.seed, full, 0, 3)
    shared = await shop.add(shop.draft("a"), b"x")
    other = Lot(1, 1, 5, shared.lots[0].deliverers, shared.lots[0].payloads)
    with pytest.raises(Malformed):
        replace(shared, lots=(*shared.lots, other))


async def test_listing_files_round_trip(shop) -> None:
    full = await shop.stock("codes", [b"A" * i for i in range(3)], metadata={"n": [1, {"a": None}]})
    said = About(kind="code", tags=("a", "b"), size=3, description="two\nlines")
    more = await shop.add(replace(full, source="/home/me/codes.txt", about=said), b"x" * 9000)
    assert len(more.lots) == 2
    assert listings.from_json(listings.to_json(more)) == more
    assert shop.catalogue.get("codes") == more
    assert shop.catalogue.get("nothing") is None
    assert listings.from_json(listings.to_json(more.withdrawn())).listed is False


async def test_single_codes_are_withdrawn(shop) -> None:
    full = await shop.stock("codes", [b"%d" % i for i in range(9)])
    one = full.without_copies([3])
    assert one.withdrawn_copies == (range(3, 4),)
    more = one.without_copies([5, 4, 8, 3])
    assert more.withdrawn_copies == (range(3, 6), range(8, 9))
    assert listings.from_json(listings.to_json(more)) == more
    for copies in ([9], [-1]):
        with pytest.raises(Malformed):
            full.without_copies(copies)
    with pytest.raises(Malformed, match="take the item off sale"):
        (await shop.add(shop.draft(), b"x")).without_copies([0])
    shop.catalogue.save(more)
    _, store = await shop.publish()
    item = store.item(full.item_id)
    assert item.withdrawn == more.withdrawn_copies
    assert item.terms.supply == 9
    assert len(shop.daemons[0].find(item, shop.address)) == 9


async def test_damaged_listings_name_the_file(shop) -> None:
    await shop.add(shop.draft("a"), b"x")
    (path,) = (shop.folder / "items").iterdir()
    for data in (b"", b"{}", b"\xff", path.read_bytes()[:-5]):
        path.write_bytes(data)
        with pytest.raises(Permanent, match="backup") as caught:
            shop.catalogue.get("a")
        assert str(path) in str(caught.value)


async def test_an_interrupted_write_leaves_the_old_listing(shop, monkeypatch) -> None:
    old = await shop.add(shop.draft("a"), b"x")

    def power_cut(_: int) -> None:
        raise OSError("power cut")

    monkeypatch.setattr("os.fsync", power_cut)
    with pytest.raises(OSError, match="power cut"):
        shop.catalogue.save(replace(old, price=2000))
    assert shop.catalogue.get("a") == old
    assert len(list((shop.folder / "items").iterdir())) == 1


async def test_item_ids_cannot_leave_the_folder(shop) -> None:
    for name in ("../../x", "/etc/passwd", ".", "a/b"):
        await shop.add(shop.draft(name), b"x")
    names = {path.parent for path in shop.folder.rglob("*.json")}
    assert names == {shop.folder / "items"}
    built, store = await shop.publish()
    assert len(store.items) == 4
    assert all(Cid.of("dag-json", data) == cid for cid, data in built.blocks)


async def test_shares_of_all_lots_differ(shop) -> None:
    await shop.stock("codes", [b"A", b"B"])
    full = await shop.add(shop.catalogue.get("codes"), b"C", b"D")
    shares = [s for c in range(4) for _, s in listings.copy_parts(shop.seed, full, c)]
    assert len(set(shares)) == 12
    for a, b in itertools.combinations(range(4), 2):
        assert full.place(a) != full.place(b)
