"""Stores read back, and every way in which a document can lie (faults F58 to F70, F74)."""

from __future__ import annotations

import asyncio
import copy
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dam.catalog import payload
from dam.catalog.reader import Limits
from dam.crypto import hashing
from dam.crypto.hashing import checksum
from dam.crypto.merkle import MerkleTree, verify
from dam.errors import BlockMismatch, BlockRefused, IpfsError, Malformed
from dam.ipfs.cid import Cid
from dam.testing.blocks import MemoryStore
from dam.types import ZERO32, ZERO_ADDRESS, Terms, Wei
from tests.unit.helpers.documents import (
    Documents,
    at,
    change,
    change_details,
    change_goods,
    drop,
    drop_goods,
    in_list,
)


async def test_what_was_published_is_read(shop) -> None:
    arbiter = checksum(b"\x77" * 20)
    coupon = await shop.add(
        shop.draft("coupon", bond=Wei(9), arbitrator=arbiter, metadata={"note": "10 % off"}),
        b"COUPON-1",
    )
    codes = await shop.stock("codes", [b"A", b"B", b"C"], threshold=3)
    built, store = await shop.publish()
    assert (store.name, store.seller, store.digest) == ("Shop", shop.address, built.digest)
    assert {item.name for item in store.items} == {"coupon", "codes"}
    item = store.item(coupon.item_id)
    assert item.title == "The coupon"
    assert item.metadata == {"note": "10 % off"}
    assert item.terms == built.terms["coupon"]
    assert item.terms.arbitrator == arbiter
    [section] = item.sections
    assert section.tree.root == section.root == item.terms.parts_root
    assert store.item(hashing.item_id("nothing")) is None
    for one in store.items:
        assert verify(built.root, hashing.terms_leaf(one.terms), store.terms_proof(one))
    for number, good in enumerate((b"A", b"B", b"C")):
        key = shop.seed.content_key(codes.place(number))
        box = store.item(codes.item_id).payload(number)
        assert payload.decrypt_inline(key, codes.domain(number), box) == good
    key = shop.seed.content_key(coupon.place(0))
    for number in (0, 9):
        assert payload.decrypt_inline(key, coupon.domain(0), item.payload(number)) == b"COUPON-1"
    for number in (-1, 10):
        with pytest.raises(Malformed):
            item.payload(number)


def in_one_block(d: Documents) -> None:
    rows = zip(d.pages[0]["items"], d.details[0]["items"], d.goods[0]["items"], strict=True)
    items = [{**item, **details, **goods} for item, details, goods in rows]
    del d.root["pages"]
    d.root |= {"items": items, "sealingKey": d.goods[0]["sealingKey"]}


async def test_a_store_of_one_block(documents: Documents) -> None:
    apart = await documents.read()
    in_one_block(documents)
    store = await documents.read()
    assert store.items == apart.items
    assert store.items[0].sections[0].sealing_key is not None
    documents.root["items"][0]["extra"] = 1
    with pytest.raises(Malformed, match="does not know"):
        await documents.read()


async def test_lists_read_pages_alone(documents: Documents) -> None:
    """Neither details nor goods are asked for, and the terms are checked all the same."""
    await documents.read()
    page = documents.pages[0]
    for name in ("details", "goods"):
        del documents.shop.blocks.blocks[Cid.parse(page[name]["/"])]
    documents.details, documents.goods = [], []
    store = await documents.read(whole=False)
    assert [item.terms.stock for item in store.items] == [True, False]
    assert not any(item.sections or item.metadata for item in store.items)
    with pytest.raises(IpfsError):
        await documents.read()
    documents.item["price"] = "1001"
    with pytest.raises(Malformed, match="catalogue root"):
        await documents.read(whole=False)


async def test_an_empty_store(shop) -> None:
    built, store = await shop.publish()
    assert built.root == ZERO32
    assert store.items == ()


def same_id_twice(d: Documents) -> None:
    other = copy.deepcopy(d.item)
    d.pages[0]["items"].append(other)
    for block in (d.details[0], d.goods[0]):
        block["items"].append(copy.deepcopy(block["items"][0]))


def same_id_on_two_pages(d: Documents) -> None:
    for blocks in (d.pages, d.details, d.goods):
        blocks.append({**copy.deepcopy(blocks[0]), "items": [copy.deepcopy(blocks[0]["items"][0])]})


BENT: dict[str, Callable[[Documents], None]] = {
    "version 1": at("root.version", 1),
    "version true": at("root.version", True),
    "version text": at("root.version", "2"),
    "no name": at("root.storeName", ""),
    "ANSI in the name": at("root.storeName", "\x1b[2J"),
    "chain as text": at("root.chainId", "31337"),
    "another chain": at("root.chainId", 1),
    "another market": at("root.market", "0x" + "11" * 20),
    "another seller": at("root.seller", "0x" + "11" * 20),
    "seller no address": at("root.seller", "me"),
    "an unknown key": at("root.extra", 1),
    "pages and items": at("root.items", []),
    "pages no list": at("root.pages", {"/": "x"}),
    "pages are numbers": at("root.pages", 5),
    "page with unknown key": at("page.extra", 1),
    "items no list": at("page.items", {}),
    "sealing key of low order": at("goods.sealingKey", "0x" + "00" * 32),
    "sealing key not canonical": at("goods.sealingKey", "0x" + "ff" * 32),
    "sealing key short": at("goods.sealingKey", "0x" + "01" * 31),
    "sealing key null": at("goods.sealingKey", None),
    "sealing key on the page": at("page.sealingKey", "0x" + "09" + "00" * 31),
    "details with unknown key": at("details.extra", 1),
    "goods with unknown key": at("goods.extra", 1),
    "details that are no link": at("page.details", "x"),
    "goods that are no link": at("page.goods", None),
    "goods in a raw block": at("page.goods", {"/": str(Cid.of("raw", b""))}),
    "an entry of details too few": lambda d: d.details[0]["items"].pop(),
    "an entry of details too many": lambda d: d.details[0]["items"].append({}),
    "an entry of goods too few": lambda d: d.goods[0]["items"].pop(),
    "goods in another order": lambda d: d.goods[0]["items"].reverse(),
    "details on the page": change(licence="x"),
    "a tag in the details": change_details(tags=["x"]),
    "metadata on the page": change(otherMetadata={}),
    "goods in the details": change_details(payloads=[]),
    "details in the goods": change_goods(licence="x"),
    "details no object": lambda d: d.details[0]["items"].__setitem__(0, None),
    "item no object": lambda d: d.pages[0]["items"].append("x"),
    "same id twice": same_id_twice,
    "same id on two pages": same_id_on_two_pages,
    "newline in the id": change(itemId="a\nb"),
    "ANSI in the id": change(itemId="\x1b[31mx"),
    "another id": change(itemId="other"),
    "id no text": change(itemId=7),
    "ANSI in the title": change(title="\x1b[31mx"),
    "float price": change(price=1.5),
    "negative price": change(price=-1),
    "negative price text": change(price="-1"),
    "boolean price": change(price=True),
    "price over 2^128": change(price=str(2**128)),
    "price of 5,000 digits": change(price="9" * 5000),
    "another price": change(price="999"),
    "null price": change(price=None),
    "token no address": change(token="ETH"),
    "another token": change(token="0x" + "11" * 20),
    "another arbitrator": change(arbitrator="0x" + "11" * 20),
    "supply over 64 bits": change(supply=str(2**64)),
    "another supply": change(supply="1"),
    "stock as a number": change(stock=1),
    "no parts": change(parts=0),
    "33 parts": change(parts=33),
    "parts as text": change(parts="3"),
    "true parts": change(parts=True),
    "threshold 0": change(threshold=0),
    "k over n": change(threshold=4),
    "another threshold": change(threshold=1),
    "commission over price": change(commission="100000"),
    "another partsRoot": change(partsRoot="0x" + "11" * 32),
    "upper-case partsRoot": lambda d: d.item.update(partsRoot=d.item["partsRoot"].upper()),
    "metadata list": change_details(otherMetadata=[]),
    "link in the metadata": change_details(otherMetadata={"a": {"/": str(Cid.of("raw", b""))}}),
    "float in the metadata": change_details(otherMetadata={"a": 0.5}),
    "no payloads": change_goods(payloads=[]),
    "bad payload": change_goods(payloads=[{}]),
    "a missing part": in_list("encryptedParts", lambda x: x.pop()),
    "a part too many": in_list("encryptedParts", lambda x: x.append(x[0])),
    "a short part": in_list("encryptedParts", lambda x: x.append(x.pop()[:-2])),
    "a part that is no text": in_list("encryptedParts", lambda x: x.append(x.pop() and 5)),
    "a missing leaf": in_list("partLeaves", lambda x: x.pop()),
    "a leaf changed": in_list("partLeaves", lambda x: x.append(x.pop() and "0x" + "00" * 32)),
    "both leaves and sections": change_goods(sections=[]),
    "no partLeaves": drop_goods("partLeaves"),
    **{f"no {name}": drop(name) for name in ("itemId", "title", "price", "stock", "partsRoot")},
}


@pytest.mark.parametrize("name", BENT)
async def test_bent_documents_are_refused(documents: Documents, name: str) -> None:
    BENT[name](documents)
    with pytest.raises(Malformed) as caught:
        await documents.read()
    assert str(caught.value).isprintable()


async def test_a_page_is_named_once(documents: Documents) -> None:
    for blocks in (documents.pages, documents.details, documents.goods):
        blocks.append(blocks[0])
    with pytest.raises(Malformed, match="names a page twice"):
        await documents.read()


async def test_the_unbent_document_is_read(documents: Documents) -> None:
    """So that each case above is refused for what it bends, and not for how it is published."""
    assert len((await documents.read()).items) == 2


@pytest.mark.parametrize(
    ("block", "name"),
    [("pages", "items"), ("pages", "details"), ("pages", "goods"), ("details", "items"),
     ("goods", "items"), ("goods", "sealingKey")],
)  # fmt: skip
async def test_blocks_without_what_they_need(documents: Documents, block: str, name: str) -> None:
    del getattr(documents, block)[0][name]
    with pytest.raises(Malformed):
        await documents.read()


@pytest.mark.parametrize(
    "data", [b"[" * 100_000, b"[1", b"\xff", b"null", b"[]", b"5", b'"x"', b'{"a":1,"a":1}']
)
@pytest.mark.parametrize("where", ["root", "pages", "details", "goods"])
async def test_hostile_blocks(documents: Documents, where: str, data: bytes) -> None:
    if where == "root":
        documents.root = data  # type: ignore[assignment]
        link = await documents.put(data)
        with pytest.raises(Malformed):
            await documents.shop.read(Cid.parse(link["/"]).digest, documents.root_hash)
    else:
        blocks = getattr(documents, where)
        if where == "pages":
            blocks.append(data)
        else:
            blocks[0] = data
        with pytest.raises(Malformed):
            await documents.read()


def root_of(documents: Documents) -> bytes:
    """The catalogue root as a seller gives it to the chain who means what the document says."""
    leaves = []
    for item in (item for page in documents.pages for item in page["items"]):
        terms = Terms(
            hashing.item_id(item["itemId"]),
            item["token"],
            int(item["price"]),
            Wei(int(item["commission"])),
            Wei(int(item["penalty"])),
            Wei(int(item["bond"])),
            int(item["supply"]),
            item["stock"],
            item["parts"],
            item["threshold"],
            item["arbitrator"],
            bytes.fromhex(item["partsRoot"][2:]),
        )
        leaves.append(hashing.terms_leaf(terms))
    return MerkleTree(leaves).root


def more_supply(d: Documents) -> None:
    d.item["supply"] = str(int(d.item["supply"]) + 1)


def less_supply(d: Documents) -> None:
    d.item["supply"] = str(int(d.item["supply"]) - 1)


MEANT: dict[str, tuple[Callable[[Documents], None], str]] = {
    "same id twice": (same_id_twice, "the same id"),
    "same id on two pages": (same_id_on_two_pages, "the same id"),
    "k over n": (change(threshold=4), "threshold"),
    "commission over price": (change(commission="100000"), "commission"),
    "a price that is no text": (change(price=2**53 - 1), "written as a text"),
}


@pytest.mark.parametrize("name", MEANT)
async def test_the_chains_word_makes_nothing_right(documents: Documents, name: str) -> None:
    bend, reason = MEANT[name]
    bend(documents)
    documents.root_hash = root_of(documents)
    with pytest.raises(Malformed, match=reason):
        await documents.read()


@pytest.mark.parametrize("bend", [more_supply, less_supply])
async def test_supply_and_parts_agree(big: Documents, bend: Callable[[Documents], None]) -> None:
    bend(big)
    big.root_hash = root_of(big)
    with pytest.raises(Malformed, match="more or fewer copies"):
        await big.read()


async def test_meant_and_right(documents: Documents) -> None:
    documents.item["price"] = "777"
    documents.root_hash = root_of(documents)
    assert documents.item["itemId"] in {i.name for i in (await documents.read()).items}


async def test_the_chains_root_decides(documents: Documents) -> None:
    documents.root_hash = bytes(32)
    with pytest.raises(Malformed, match="catalogue root"):
        await documents.read()


@pytest.mark.parametrize("other", [{"chain_id": 1}, {"market": ZERO_ADDRESS}])
async def test_a_copied_document(documents: Documents, other: dict[str, Any]) -> None:
    with pytest.raises(Malformed, match="another chain, market or seller"):
        await documents.read(**other)


async def test_a_missing_block_may_come_later(shop) -> None:
    await shop.add(shop.draft(), b"x")
    built = shop.build()
    with pytest.raises(IpfsError):
        await shop.read(built.digest, built.root)


class Liar(MemoryStore):
    """A store that gives whatever it has, unchecked."""

    async def get(self, cid: Cid, *, max_bytes: int = 1 << 20, deadline=None) -> bytes:
        return self.blocks[cid]


async def test_bytes_that_are_not_the_cids(shop) -> None:
    await shop.add(shop.draft(), b"x")
    built, _ = await shop.publish()
    liar = Liar()
    for victim, _ in built.blocks:
        liar.blocks = {**shop.blocks.blocks, victim: b"{}"}
        shop_blocks, shop.blocks = shop.blocks, liar
        with pytest.raises(BlockMismatch):
            await shop.read(built.digest, built.root)
        shop.blocks = shop_blocks


class Slow(MemoryStore):
    async def get(self, cid: Cid, *, max_bytes: int = 1 << 20, deadline=None) -> bytes:
        await asyncio.sleep(0.05)
        return await super().get(cid)


async def test_a_store_that_trickles(shop) -> None:
    shop.blocks = Slow()
    await shop.add(shop.draft(), b"x")
    built, _ = await shop.publish()
    with pytest.raises(IpfsError, match=r"0\.06 s"):
        await shop.read(built.digest, built.root, Limits(seconds=0.06))


@pytest.mark.parametrize(
    "limits",
    [
        Limits(max_pages=0),
        Limits(max_items=1),
        Limits(max_parts=8),
        Limits(max_bytes=3000),
    ],
)
async def test_limits(documents: Documents, limits: Limits) -> None:
    with pytest.raises(Malformed):
        await documents.read(limits)


async def test_exactly_at_the_limits(documents: Documents) -> None:
    limits = Limits(max_pages=1, max_items=2, max_parts=9, max_part_pages=0, max_plain_parts=0)
    assert len((await documents.read(limits)).items) == 2


async def test_a_changed_item_field_changes_the_root(shop) -> None:
    await shop.add(shop.draft(), b"x")
    built = shop.build()
    for change_ in ({"price": 2000}, {"penalty": Wei(1)}, {"supply": 11}):
        shop.catalogue.save(replace(shop.catalogue.get("coupon"), **change_))
        assert shop.build().root != built.root


def places_in(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value, the whole one apart."""
    found = [path] if path else []
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in pairs:
            found += places_in(inner, (*path, key))
    return found


JUNK = [None, True, 0, -1, 1, 2**64, 2**128, 1.5, "", "0x", "x" * 300, "\x00", [], {}, [[]]]
JUNK += [{"/": "x"}, {"a": 1}, "0x" + "00" * 32, "1", "\u202e", [0] * 50]


@pytest.mark.parametrize("seed", range(20))
async def test_random_damage_is_malformed_or_harmless(documents: Documents, seed: int) -> None:
    """Never another exception than those that `read_store` names."""
    rng = random.Random(seed)
    original = copy.deepcopy(documents.blocks)
    reasons = []
    for _ in range(30):
        documents.root, *others = copy.deepcopy(original)
        documents.pages, documents.details, documents.goods = ([block] for block in others)
        target = rng.choice(documents.blocks)
        *path, last = rng.choice(places_in(target))
        place = target
        for step in path:
            place = place[step]
        if rng.random() < 0.3:
            del place[last]
        else:
            place[last] = rng.choice(JUNK)
        try:
            await documents.read()
        except (Malformed, IpfsError, BlockRefused) as error:
            reasons.append(str(error))
    assert all(reason.isprintable() for reason in reasons)
    assert len(reasons) >= 15  # a changed name, title or payload alone does no harm


async def test_hostile_metadata_stays_small_in_memory(shop) -> None:
    numbers = {"a": [1000] * 100_000}
    await shop.add(shop.draft(metadata=numbers), b"x")
    _, store = await shop.publish()
    assert len(store.items[0].metadata_json) < 600_000
    assert store.items[0].metadata == numbers
