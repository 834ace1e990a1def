"""Parts on pages of their own: read as published, and refused when they were changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dam.catalog import payload
from dam.catalog.reader import Limits
from dam.crypto import hashing, sealing
from dam.crypto.merkle import MerkleTree, verify
from dam.errors import Malformed
from dam.ipfs import dag_json
from dam.ipfs.cid import Cid
from dam.roles.deliverer import part_scan
from dam.roles.seller.store_builder import publish_store
from dam.types import ZERO_ADDRESS, Part, Terms, Wei
from tests.unit.helpers.documents import Documents


async def test_parts_on_pages_of_their_own(big: Documents) -> None:
    assert len(big.part_pages) == 2
    store = await big.read()
    sections = store.items[0].sections
    assert [s.first_copy for s in sections] == [0, sections[0].copies]
    assert sum(s.copies for s in sections) == 700
    assert 699 in sections[1]
    assert 699 not in sections[0]
    with pytest.raises(Malformed, match="pages of parts"):
        await big.read(Limits(max_part_pages=1))


def part_page(number: int, **values: Any) -> Callable[[Documents], None]:
    return lambda d: list(d.part_pages.values())[number].update(values)


def lose_one(d: Documents) -> None:
    d.item_goods["sections"].pop()


def one_twice(d: Documents) -> None:
    d.item_goods["sections"].append(d.item_goods["sections"][0])


def same_roots(d: Documents) -> None:
    """Two sections of one root: their leaves would have two proofs, and their copies one."""
    one, two = d.item_goods["sections"]
    two["root"] = one["root"]
    root = MerkleTree([bytes.fromhex(one["root"][2:])] * 2).root
    d.item["partsRoot"] = "0x" + root.hex()


def section(number: int, **values: Any) -> Callable[[Documents], None]:
    return lambda d: d.item_goods["sections"][number].update(values)


BENT_ITEMS: dict[str, tuple[Callable[[Documents], None], str]] = {
    "one lost": (lose_one, "more or fewer copies"),
    "one twice": (one_twice, "more or fewer copies"),
    "none": (lambda d: d.item_goods.update(sections=[]), "more or fewer copies"),
    "no copies": (section(0, copies=0), "copies is not an integer"),
    "true copies": (section(0, copies=True), "copies is not an integer"),
    "as many copies as nobody has": (section(0, copies=2**53 - 1), "more or fewer copies"),
    "another root": (section(0, root="0x" + "11" * 32), "not those of its partsRoot"),
    "one root twice": (same_roots, "two sections have the same root"),
    "unknown key": (section(0, extra=1), "does not know"),
    "no page": (lambda d: d.item_goods["sections"][0].pop("page"), "lacks page"),
    "link to a raw block": (section(0, page={"/": str(Cid.of("raw", b""))}), "dag-json block"),
}


@pytest.mark.parametrize("name", BENT_ITEMS)
async def test_bent_sections_of_an_item(big: Documents, name: str) -> None:
    """Everybody reads items: the store is refused."""
    bend, reason = BENT_ITEMS[name]
    bend(big)
    with pytest.raises(Malformed, match=reason):
        await big.read()


def swap_pages(d: Documents) -> None:
    one, two = d.item_goods["sections"]
    one["page"], two["page"] = two["page"], one["page"]


BENT_PAGES: dict[str, tuple[Callable[[Documents], None], str]] = {
    "overlap": (part_page(1, firstCopy=0), "firstCopy is not"),
    "gap": (part_page(1, firstCopy=699), "firstCopy is not"),
    "negative": (part_page(1, firstCopy="-1"), "firstCopy is not"),
    "no copies": (part_page(1, copies=0), "copies is not"),
    "another count": (part_page(1, copies=1), "copies is not"),
    "the other section's page": (swap_pages, "firstCopy is not"),
    "unknown key": (part_page(1, extra=1), "does not know"),
    "no leaves": (part_page(1, partLeaves=[]), "one leaf per copy and index"),
    "no payloads": (part_page(1, payloads=[]), "one payload per copy"),
    "key of low order": (part_page(1, sealingKey="0x01" + "00" * 31), "low order"),
    "no key": (lambda d: list(d.part_pages.values())[1].pop("sealingKey"), "lacks sealingKey"),
    "a leaf changed": (
        lambda d: list(d.part_pages.values())[1]["partLeaves"].__setitem__(0, "0x" + "11" * 32),
        "not those of their root",
    ),
    "a list": (lambda d: d.part_pages.update({list(d.part_pages)[1]: []}), "not an object"),
    "no JSON": (lambda d: d.part_pages.update({list(d.part_pages)[1]: b"{"}), "not JSON"),
}


@pytest.mark.parametrize("name", BENT_PAGES)
async def test_a_broken_page_breaks_its_own_section_alone(big: Documents, name: str) -> None:
    """Else a seller breaks the one with Alice's parts, and Alice refuses what Bob accepts."""
    bend, reason = BENT_PAGES[name]
    bend(big)
    item = (await big.read()).items[0]
    sound, broken = item.sections if name != "the other section's page" else item.sections[::-1]
    assert reason in broken.fault
    if name == "the other section's page":
        assert reason in sound.fault
        return
    assert not sound.fault
    last = item.terms.supply - 1
    with pytest.raises(Malformed, match=f"copy {last + 1} of 'codes': "):
        item.payload(last)
    assert item.payload(0)
    assert item.proof(sound.part_leaves[0])
    shop = big.shop
    found = shop.daemons[0].find(item, shop.address)
    assert {one.copy for one in found} == set(range(sound.copies))
    assert shop.daemons[0].open(found[0], shop.address).proof
    scan = part_scan.scan_store(await big.read(), shop.daemons[0].ring, shop.daemons[0].operator)
    assert [refusal.reason for refusal in scan.refusals] == ["section-broken"]
    assert len(scan.parts) == sound.copies


async def test_no_seller_publishes_a_broken_section(big: Documents) -> None:
    part_page(1, extra=1)(big)
    store = await big.read()
    shop, built = big.shop, big.shop.build()
    with pytest.raises(Malformed, match="no deliverer would serve"):
        await publish_store(shop.blocks, replace(built, digest=store.digest, blocks=()))
    assert not shop.blocks.pinned


async def test_proofs_go_through_both_trees(big: Documents) -> None:
    item = (await big.read()).items[0]
    for part in item.sections:
        for leaf in (part.part_leaves[0], part.part_leaves[-1]):
            assert verify(item.terms.parts_root, leaf, item.proof(leaf))
            assert item.proof(leaf) == item.proof(leaf, part)
    one, two = item.sections
    with pytest.raises(Malformed, match="no section"):
        item.proof(two.part_leaves[0], one)


def plain_document(shop, count: int) -> tuple[dict[str, Any], bytes]:
    """A store of the first sketch's form: sealed boxes, no page key, one 1-of-1 stock item."""
    operator, secret = shop.daemons[0].operator, b"\x01" * 32
    public = shop.daemons[0].known.key
    item_id = hashing.item_id("old")
    leaves, sealed, boxes = [], [], []
    for number in range(count):
        domain = hashing.domain(31337, MARKET_OF(shop), shop.address, item_id, True, number)
        part = Part(domain, 0, secret, hashing.keccak(secret), bytes(32))
        leaf = hashing.PartLeaf(
            number, 0, operator, hashing.keccak(secret), part.secret_hash, part.salt
        )
        leaves.append(hashing.part_leaf(leaf))
        sealed.append(sealing.seal_plain(public, part))
        boxes.append(payload.payload_to_json(payload.encrypt_inline(secret, domain, b"x")))
    root = MerkleTree(leaves).root
    terms = Terms(
        item_id, ZERO_ADDRESS, 5, Wei(1), Wei(0), Wei(0), count, True, 1, 1, ZERO_ADDRESS, root
    )
    item = {
        "itemId": "old",
        "title": "Old",
        "price": "5",
        "token": ZERO_ADDRESS,
        "commission": "1",
        "penalty": "0",
        "bond": "0",
        "supply": str(count),
        "stock": True,
        "parts": 1,
        "threshold": 1,
        "arbitrator": ZERO_ADDRESS,
        "partsRoot": "0x" + root.hex(),
        "otherMetadata": {},
        "encryptedParts": ["0x" + s.hex() for s in sealed],
        "partLeaves": ["0x" + leaf.hex() for leaf in leaves],
        "payloads": boxes,
    }
    document = {
        "version": 2,
        "storeName": "Plain",
        "chainId": 31337,
        "market": MARKET_OF(shop),
        "seller": shop.address,
        "items": [item],
    }
    return document, MerkleTree([hashing.terms_leaf(terms)]).root


def MARKET_OF(shop) -> str:  # noqa: N802
    return shop.draft().market


async def test_plain_pages_are_read_under_a_smaller_cap(shop) -> None:
    document, root = plain_document(shop, 20)
    cid = await shop.blocks.put("dag-json", dag_json.dumps(document))
    store = await shop.read(cid.digest, root)
    assert store.items[0].sections[0].sealing_key is None
    assert len(shop.daemons[0].find(store.items[0], shop.address)) == 20
    with pytest.raises(Malformed, match="without a page key"):
        await shop.read(cid.digest, root, Limits(max_plain_parts=19))
    assert Limits().max_plain_parts < Limits().max_parts


async def test_ten_thousand_parts_cost_one_multiplication_per_page_and_key(
    shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F74: read, checked and scanned by a deliverer with three keys who has a third of them."""
    await shop.stock("codes", [b"%d" % i for i in range(3334)], parts=3)
    built, _ = await shop.publish()
    calls = []
    real = sealing.shared_key
    monkeypatch.setattr(sealing, "shared_key", lambda s, p: calls.append(p) or real(s, p))
    daemon = shop.daemons[0]
    daemon.ring = daemon.ring.rotated().rotated()
    store = await shop.read(built.digest, built.root)
    [item] = store.items
    found = daemon.find(item, shop.address)
    for one in found:
        daemon.open(one, shop.address)
    assert len(found) == 3334
    assert len(calls) == 3 * len(item.sections)
