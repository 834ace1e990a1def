"""Stores built: what changes is made anew, what does not keeps its bytes, and a backup suffices."""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dam.catalog import payload
from dam.catalog.reader import Limits
from dam.crypto import hashing, shamir
from dam.crypto.derivation import SellerSeed
from dam.errors import IpfsError, Malformed
from dam.ipfs.blocks import MAX_BLOCK_BYTES
from dam.roles.seller import listings, store_builder
from dam.roles.seller.goods import assign_anew
from dam.roles.seller.listings import Catalogue
from dam.roles.seller.store_builder import build_store, publish_store


def pages_of(built: Any) -> list[str]:
    return [link["/"] for link in json.loads(built.blocks[-1][1])["pages"]]


def goods_of(built: Any) -> Any:
    """The goods of a store's only page."""
    known = {str(cid): json.loads(data) for cid, data in built.blocks}
    [page] = pages_of(built)
    return known[known[page]["goods"]["/"]]


async def recover(shop: Any, name: str, number: int, store: Any) -> bytes:
    """As a buyer does: shares from the deliverers, the key from the shares, the good with it."""
    item = store.item(hashing.item_id(name))
    wanted = item.leaf_copy(number)
    shares, secret_hash = {}, b""
    for daemon in shop.daemons:
        for found in daemon.find(item, shop.address):
            if found.copy == wanted:
                opened = daemon.open(found, shop.address)
                shares[opened.leaf.index] = opened.part.share
                secret_hash = opened.leaf.secret_hash
    assert len(shares) == item.terms.parts
    chosen = dict(random.sample(sorted(shares.items()), item.terms.threshold))
    key = shamir.join(chosen, item.terms.threshold)
    assert hashing.keccak(key) == secret_hash
    domain = hashing.domain(
        store.chain_id, store.market, store.seller, item.terms.item_id, item.terms.stock, number
    )
    pieces = payload.open_payload(shop.blocks, item.payload(number), key, domain)
    return b"".join([piece async for piece in pieces])


async def test_from_good_to_good(shop, tmp_path: Path) -> None:
    source = tmp_path / "film"
    source.write_bytes(bytes(range(256)) * 12_000)
    await shop.add(shop.draft("code"), b"CODE")
    await shop.add(shop.draft("film", parts=5, threshold=4), source)
    await shop.stock("codes", [b"A", b"", b"C" * 4095, b"D" * 5000], parts=2, threshold=2)
    await shop.add(shop.draft("single", parts=1, threshold=1), b"x")
    _, store = await shop.publish()
    assert await recover(shop, "code", 7, store) == b"CODE"
    assert await recover(shop, "film", 3, store) == source.read_bytes()
    goods = [await recover(shop, "codes", i, store) for i in range(4)]
    assert goods == [b"A", b"", b"C" * 4095, b"D" * 5000]
    assert await recover(shop, "single", 0, store) == b"x"


async def test_nothing_changed_nothing_published(shop) -> None:
    await shop.add(shop.draft("a"), b"x")
    await shop.stock("b", [b"1", b"2"])
    first, again = shop.build(), shop.build()
    assert again.blocks == first.blocks
    assert (first.fresh, again.fresh) == (4, 0)
    assert again.blocks[-1][0] == again.cid


async def test_a_change_touches_its_own_page_alone(shop) -> None:
    for i in range(6):
        await shop.add(shop.draft(f"item {i}", metadata={"text": "x" * 400_000}), b"x")
    before = shop.build()
    assert len(pages_of(before)) == 3
    changed = shop.catalogue.get("item 3")
    shop.catalogue.save(replace(changed, price=5000))
    after = shop.build()
    kept = set(pages_of(before)) & set(pages_of(after))
    assert len(kept) == 2
    assert after.fresh == 2  # the page and the document: neither details nor goods
    await publish_store(shop.blocks, after)
    store = await shop.read(after.digest, after.root)
    assert store.item(hashing.item_id("item 3")).terms.price == 5000
    assert len(store.items) == 6


async def test_goods_made_anew_take_a_fresh_key(shop) -> None:
    await shop.add(shop.draft("a"), b"x")
    one = goods_of(shop.build())
    shop.catalogue.save(replace(shop.catalogue.get("a"), price=5000))
    built = shop.build()
    assert goods_of(built) == one  # a price is no reason
    for cid, data in built.blocks:
        if b"sealingKey" in data:
            (shop.folder / "blocks" / str(cid)).unlink()
    two = goods_of(shop.build())
    assert one["sealingKey"] != two["sealingKey"]
    assert not set(one["items"][0]["encryptedParts"]) & set(two["items"][0]["encryptedParts"])
    assert one["items"][0]["partLeaves"] == two["items"][0]["partLeaves"]
    assert one["items"][0]["payloads"] == two["items"][0]["payloads"]


@pytest.mark.parametrize("copies", [2, 700])
async def test_another_key_of_a_deliverer_is_sealed_to(shop, copies: int) -> None:
    """The leaves stay as they are, so only the key tells that the page has to change."""
    full = await shop.stock("codes", [b"x"] * copies)
    root = shop.build().root
    daemon = shop.daemons[0]
    daemon.ring = type(daemon.ring).generate()
    (lot,) = full.lots
    moved = replace(lot, deliverers=(daemon.known, *lot.deliverers[1:]))
    shop.catalogue.save(replace(full, lots=(moved,)))
    built, store = await shop.publish()
    assert built.root == root
    assert len(daemon.find(store.items[0], shop.address)) == copies


async def test_a_new_price_of_a_large_stock_keeps_its_part_pages(shop) -> None:
    full = await shop.stock("codes", [b"%d" % i for i in range(700)])
    before = shop.build()
    shop.catalogue.save(replace(full, price=2000))
    after = shop.build()
    assert after.fresh == 2  # the item's page and the document: no page of parts
    assert len(after.blocks) == len(before.blocks) == 6
    more = await shop.add(shop.catalogue.get("codes"), b"one more")
    assert more.supply == 701
    assert shop.build().fresh == 4  # the goods and one page of parts for the new lot, too


async def test_many_small_pages_grow_together(shop) -> None:
    for i in range(30):
        await shop.add(shop.draft(f"item {i}"), b"x")
        built = shop.build()
        assert len(pages_of(built)) <= store_builder.MAX_SMALL_PAGES + 1
    await publish_store(shop.blocks, built)
    assert len((await shop.read(built.digest, built.root)).items) == 30


async def test_withdrawn_items_leave_the_store_and_stay_in_the_folder(shop) -> None:
    full = await shop.add(shop.draft("a"), b"x")
    await shop.add(shop.draft("b"), b"x")
    sold = shop.build().terms["a"].parts_root
    shop.catalogue.save(full.withdrawn())
    built, store = await shop.publish()
    assert [item.name for item in store.items] == ["b"]
    assert [one.name for one in shop.catalogue.all()] == ["a", "b"]
    assert shop.catalogue.recall(sold).name == "a"
    assert set(built.terms) == {"b"}


async def test_blocks_stay_under_a_mebibyte(shop) -> None:
    await shop.stock("codes", [b"%d" % i for i in range(900)], parts=5)
    await shop.stock("long", [b"x" * 4000] * 300, parts=1, threshold=1)
    await shop.add(shop.draft("wordy", metadata={"text": "x" * 700_000}), b"x")
    await shop.add(shop.draft("wide", parts=5), *[b"x"])
    built, store = await shop.publish()
    assert all(len(data) <= MAX_BLOCK_BYTES for _, data in built.blocks)
    assert len(store.items) == 4


async def test_an_item_that_fits_no_block(shop) -> None:
    await shop.add(shop.draft("wordy", metadata={"text": "x" * 1_000_000}), b"x")
    await shop.add(shop.draft("other"), b"x")
    shop.build()
    shop.catalogue.save(replace(shop.catalogue.get("wordy"), metadata={"text": "x" * 1_048_576}))
    with pytest.raises(Malformed, match="does not fit a block"):
        shop.build()


async def test_the_order_of_parts_tells_nothing(shop) -> None:
    """Each of 3 deliverers stands at each of 3 places about equally often."""
    shop.daemons = shop.daemons[:3]
    counts: Counter[tuple[int, int]] = Counter()
    await shop.add(shop.draft("a"), b"x")
    for _ in range(60):
        (shop.folder / "layout.json").unlink(missing_ok=True)  # so that all is sealed anew
        _, store = await shop.publish()
        (item,) = store.items
        for number, daemon in enumerate(shop.daemons):
            (found,) = daemon.find(item, shop.address)
            counts[number, item.sections[0].encrypted_parts.index(found.sealed)] += 1
    assert len(counts) == 9
    assert min(counts.values()) >= 5  # expected 20; less than 5 once in a hundred thousand runs


async def test_bytes_tell_nothing_of_the_assignment(shop) -> None:
    """Neither a deliverer's key or address nor a salt, share or key stands in any block."""
    full = await shop.add(shop.draft("a"), b"COUPON-1234")
    built = shop.build()
    text = b"".join(data for _, data in built.blocks).lower()
    secrets = [shop.seed.seed, shop.seed.content_key(full.place(0)), b"COUPON-1234"]
    for leaf, share in listings.copy_parts(shop.seed, full, 0):
        secrets += [share, leaf.commitment, leaf.salt, leaf.secret_hash]
        secrets.append(hashing.address_bytes(leaf.deliverer))
    secrets += [daemon.known.key for daemon in shop.daemons]
    for secret in secrets:
        assert secret.hex().encode() not in text
        assert secret.lower() not in text


async def test_no_secret_in_the_folder(shop) -> None:
    full = await shop.add(shop.draft("a"), b"COUPON-1234")
    await shop.publish()
    secrets = [shop.seed.seed, shop.seed.content_key(full.place(0)), b"COUPON-1234"]
    secrets += [share for _, share in listings.copy_parts(shop.seed, full, 0)]
    files = [path for path in shop.folder.rglob("*") if path.is_file()]
    assert len(files) >= 5
    for path in files:
        assert path.stat().st_mode & 0o077 == 0
        data = path.read_bytes().lower()
        for secret in secrets:
            assert secret.hex().encode() not in data
            assert secret.lower() not in data


async def test_a_backup_of_seed_and_folder_restores_everything(shop, tmp_path: Path) -> None:
    await shop.add(shop.draft("code"), b"CODE")
    await shop.stock("codes", [b"A", b"B"])
    built, store = await shop.publish()
    shutil.copytree(shop.folder, tmp_path / "copy")
    seed, catalogue = SellerSeed(shop.seed.seed), Catalogue(tmp_path / "copy")
    place = {"name": "Shop", "chain_id": 31337, "market": store.market, "seller": shop.address}
    assert build_store(seed, catalogue, **place).blocks == built.blocks
    # Even without what is only there to save work, the terms, leaves and shares are the same.
    shutil.rmtree(tmp_path / "copy" / "blocks")
    (tmp_path / "copy" / "layout.json").unlink()
    again = build_store(seed, Catalogue(tmp_path / "copy"), **place)
    assert (again.root, again.terms) == (built.root, built.terms)
    assert again.digest != built.digest
    for item in store.items:
        kept = catalogue.recall(item.terms.parts_root)
        tree = listings.parts_tree(seed, kept)
        assert tree.root == item.terms.parts_root
        leaf, share = listings.leaf_and_share(seed, kept, 0, 1)
        assert leaf.commitment == hashing.keccak(share)
        assert tree.proof(hashing.part_leaf(leaf))
        key = seed.content_key(kept.place(0))
        pieces = payload.open_payload(shop.blocks, kept.payload(0), key, kept.domain(0))
        assert b"".join([piece async for piece in pieces]) in (b"CODE", b"A")


async def test_a_lost_or_damaged_block_is_made_anew(shop) -> None:
    await shop.add(shop.draft("a"), b"x")
    built = shop.build()
    for cid, data in built.blocks:
        if b"sealingKey" in data:
            (shop.folder / "blocks" / str(cid)).write_bytes(b"damaged")
    again = shop.build()
    assert again.fresh == 3  # the goods, and so page and document
    assert again.root == built.root
    assert {p.name for p in (shop.folder / "blocks").iterdir()} == {str(c) for c, _ in again.blocks}


@pytest.mark.parametrize(
    "data", [b"", b"[]", b'{"goods":{},"pages":[{}],"partPages":{},"version":2}', b"\xff"]
)
async def test_a_damaged_layout_costs_work_and_nothing_else(shop, data: bytes) -> None:
    await shop.add(shop.draft("a"), b"x")
    built = shop.build()
    (shop.folder / "layout.json").write_bytes(data)
    again = shop.build()
    assert (again.root, again.fresh) == (built.root, 3)


async def test_a_past_listing_is_written_again_only_if_it_changed(shop) -> None:
    full = await shop.add(shop.draft("a"), b"x")
    root = shop.build().terms["a"].parts_root
    path = shop.folder / "past" / f"{root.hex()}.json"
    first = path.stat().st_ino
    shop.build()
    assert path.stat().st_ino == first
    shop.catalogue.save(replace(full, price=2000))
    shop.build()
    assert shop.catalogue.recall(root).price == 2000


async def test_old_sales_are_served_after_parts_are_made_anew(shop) -> None:
    """The watchdog finds leaf and share by the sale's partsRoot, whatever was published since."""
    old = await shop.add(shop.draft("a"), b"OLD")
    before = shop.build().terms["a"].parts_root
    new = await assign_anew(
        shop.blocks, shop.seed, old, [d.known for d in shop.daemons[1:5]], threshold=3
    )
    shop.catalogue.save(new)
    _, store = await shop.publish()
    after = store.items[0].terms
    assert (after.parts, after.threshold) == (4, 3)
    assert after.parts_root != before
    assert await recover(shop, "a", 0, store) == b"OLD"
    for root, expected in ((before, old), (after.parts_root, new)):
        kept = shop.catalogue.recall(root)
        assert kept == expected
        assert listings.parts_tree(shop.seed, kept).root == root
    assert shop.catalogue.recall(bytes(32)) is None
    old_shares = {s for _, s in listings.copy_parts(shop.seed, old, 0)}
    assert not old_shares & {s for _, s in listings.copy_parts(shop.seed, new, 0)}
    assert shop.seed.content_key(old.place(0)) != shop.seed.content_key(new.place(0))


async def test_files_are_encrypted_anew_piece_by_piece(shop, tmp_path: Path) -> None:
    source = tmp_path / "film"
    source.write_bytes(bytes(range(256)) * 9_000)
    old = await shop.add(shop.draft("film"), source)
    source.unlink()
    new = await assign_anew(shop.blocks, shop.seed, old, [d.known for d in shop.daemons[2:5]])
    shop.catalogue.save(new)
    _, store = await shop.publish()
    assert await recover(shop, "film", 0, store) == bytes(range(256)) * 9_000
    assert not set(new.payload(0).chunks) & set(old.payload(0).chunks)


async def test_a_new_good_takes_the_old_ones_place(shop) -> None:
    old = await shop.add(shop.draft("a"), b"first")
    new = await shop.add(old, b"second")
    assert len(new.lots) == 1
    assert new.lots[0].generation != old.lots[0].generation
    _, store = await shop.publish()
    assert await recover(shop, "a", 0, store) == b"second"


async def test_pins_need_the_payload(shop, tmp_path: Path) -> None:
    source = tmp_path / "film"
    source.write_bytes(bytes(5000))
    full = await shop.add(shop.draft("film"), source)
    built, _ = await shop.publish()
    assert built.cid in shop.blocks.pinned
    del shop.blocks.blocks[full.payload(0).chunks[0]]
    with pytest.raises(IpfsError):
        await publish_store(shop.blocks, built)


async def test_a_store_that_no_reader_would_take(shop, monkeypatch) -> None:
    await shop.stock("codes", [b"A", b"B"])
    built = shop.build()
    monkeypatch.setattr("dam.catalog.reader.Limits", lambda: Limits(max_parts=5))
    with pytest.raises(Malformed, match="over 5 sealed parts"):
        await publish_store(shop.blocks, built)
    assert built.cid not in shop.blocks.pinned


async def test_an_item_without_a_good(shop) -> None:
    shop.catalogue.save(shop.draft("empty"))
    with pytest.raises(Malformed, match="nothing to sell"):
        shop.build()


async def test_an_empty_stock_is_for_sale_to_nobody(shop) -> None:
    shop.catalogue.save(shop.draft("codes", stock=True, supply=0))
    _, store = await shop.publish()
    assert store.items[0].terms.supply == 0
    with pytest.raises(Malformed):
        store.items[0].payload(0)


async def test_listings_of_another_store(shop, thief) -> None:
    await shop.add(shop.draft("a"), b"x")
    with pytest.raises(Malformed, match="another chain, market or seller"):
        build_store(
            shop.seed,
            shop.catalogue,
            name="x",
            chain_id=31337,
            market=shop.draft().market,
            seller=thief.address,
        )


@pytest.mark.parametrize("name", ["", "a\nb", "\x1b[2J", " a"])
async def test_store_names(shop, name: str) -> None:
    with pytest.raises(Malformed):
        build_store(
            shop.seed,
            shop.catalogue,
            name=name,
            chain_id=31337,
            market=shop.draft().market,
            seller=shop.address,
        )
