"""Whole stores on a real Kubo node: pinned with pages and payloads, and canonical DAG-JSON."""

from __future__ import annotations

import http.client
import json
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from dam.crypto.derivation import SellerSeed, new_seed
from dam.crypto.hashing import checksum
from dam.errors import IpfsError, Malformed
from dam.ipfs import dag_json
from dam.ipfs.blocks import BlockStore
from dam.ipfs.open import open_store
from dam.keystore.key_files import KeyRing
from dam.market.deliverers import Deliverer
from dam.roles.seller.goods import add_goods
from dam.roles.seller.listings import Catalogue, Listing
from dam.roles.seller.store_builder import build_store, publish_store
from dam.testing.nodes import KuboNode
from dam.types import Wei

pytestmark = pytest.mark.kubo
VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "vectors.json"
MARKET, SELLER = (checksum(bytes([i]) * 20) for i in (0xAA, 0xBB))


@pytest.fixture
async def blocks(kubo: KuboNode) -> AsyncIterator[BlockStore]:
    store = open_store(kubo.url)
    yield store
    await store.close()


def canonical(kubo: KuboNode, cid: str) -> bytes:
    """The block decoded by Kubo and encoded again, by its own rules."""
    connection = http.client.HTTPConnection(urlsplit(kubo.url).netloc, timeout=30)
    connection.request("POST", f"/api/v0/dag/get?arg={cid}&output-codec=dag-json")
    response = connection.getresponse()
    assert response.status == 200
    return response.read()


async def test_a_store_with_pages_parts_and_files(
    kubo: KuboNode, blocks: BlockStore, tmp_path: Path
) -> None:
    seed, catalogue = SellerSeed(new_seed()), Catalogue(tmp_path)
    deliverers = [
        Deliverer(checksum(bytes([i + 1]) * 20), KeyRing.generate().current.public)
        for i in range(3)
    ]

    def draft(name: str, stock: bool) -> Listing:
        return Listing(
            chain_id=31337,
            market=MARKET,
            seller=SELLER,
            name=name,
            title="Título ✓ <&>\u200d",
            price=2**128 - 1,
            commission=Wei(3),
            penalty=Wei(0),
            parts=3,
            threshold=2,
            stock=stock,
            supply=0 if stock else 2**64 - 1,
            metadata={"text": 'two\nlines, "quoted" \\ 😀', "number": 2**63 - 1, "é": [None, True]},
        )

    film = bytes(range(256)) * 10_000
    for listing in (
        await add_goods(blocks, seed, draft("film ✓", stock=False), [film], deliverers),
        await add_goods(blocks, seed, draft("codes", stock=True), [b"x"] * 700, deliverers),
    ):
        catalogue.save(listing)
    built = build_store(seed, catalogue, name="Café", chain_id=31337, market=MARKET, seller=SELLER)
    assert len(built.blocks) == 4  # two pages of parts, a page, the document
    await publish_store(blocks, built)
    for cid, data in built.blocks:
        assert canonical(kubo, str(cid)) == data
    size = await blocks.pin(built.cid)
    assert size.blocks == 4 + 3
    assert size.bytes > len(film)


async def test_a_store_is_pinned_whole_or_not_at_all(blocks: BlockStore) -> None:
    """With the golden vectors' store: same CIDs, and no pin while its page is missing."""
    [row] = json.loads(VECTORS.read_bytes())["store"]
    page, document = row["blocks"]
    cid = await blocks.put("dag-json", document["text"].encode())
    assert str(cid) == document["cid"]
    with pytest.raises(IpfsError):
        await blocks.pin(cid, deadline=2)
    assert str(await blocks.put("dag-json", page["text"].encode())) == page["cid"]
    assert (await blocks.pin(cid)).blocks == 2


@pytest.mark.parametrize("price", ["%d", '[{"x": %d}]'])
async def test_our_integers_end_where_kubos_do(blocks: BlockStore, price: str) -> None:
    """A deliverer pins the stores it serves: what no node pins, no reader takes."""
    good, bad = ((f'{{"price":{price}}}' % n).encode() for n in (2**63 - 1, 2**63))
    dag_json.loads(good)
    await blocks.pin(await blocks.put("dag-json", good))
    with pytest.raises(Malformed):
        dag_json.loads(bad)
    with pytest.raises(IpfsError):
        await blocks.pin(await blocks.put("dag-json", bad))
