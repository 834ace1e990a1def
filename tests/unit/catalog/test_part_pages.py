"""Parts on pages of their own: read as published, and refused when they were changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dam.catalog import payload
from dam.catalog.reader import Limits
from dam.crypto import hashing, sealing
from dam.crypto.merkle import MerkleTree
from dam.errors import Malformed
from dam.ipfs import dag_json
from dam.ipfs.cid import Cid
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


def reorder(d: Documents) -> None:
    d.item["partPages"].reverse()


def lose_one(d: Documents) -> None:
    d.item["partPages"].pop()


def one_twice(d: Documents) -> None:
    d.item["partPages"].append(d.item["partPages"][0])


BENT_PAGES: dict[str, Callable[[Documents], None]] = {
    "overlap": part_page(1, firstCopy=0),
    "gap": part_page(1, firstCopy=500),
    "first copy missing": part_page(0, firstCopy=1),
    "negative": part_page(0, firstCopy=-1),
    "no copies": part_page(0, copies=0),
    "too many copies": part_page(0, copies=2**70),
    "another count": part_page(0, copies=1),
    "in another order": reorder,
    "one lost": lose_one,
    "one twice": one_twice,
    "none": lambda d: d.item.update(partPages=[]),
    "unknown key": part_page(0, extra=1),
    "no leaves": part_page(0, partLeaves=[]),
    "no payloads": part_page(0, payloads=[]),
    "key of low order": part_page(0, sealingKey="0x01" + "00" * 31),
    "link to a raw block": lambda d: d.item.update(partPages=[{"/": str(Cid.of("raw", b""))}]),
}


@pytest.mark.parametrize("name", BENT_PAGES)
async def test_bent_pages_of_parts(big: Documents, name: str) -> None:
    BENT_PAGES[name](big)
    with pytest.raises(Malformed):
        await big.read()


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
        "version": 1,
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
