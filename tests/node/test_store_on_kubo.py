"""Whole stores on a real Kubo node: pinned with pages and payloads, and canonical DAG-JSON."""

from __future__ import annotations

import http.client
import json
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from dam.catalog.payload import StreamPayload
from dam.crypto.derivation import SellerSeed, new_seed
from dam.crypto.hashing import checksum
from dam.errors import IpfsError, Malformed
from dam.ipfs import dag_json
from dam.ipfs.blocks import BlockStore
from dam.ipfs.open import open_store
from dam.keystore.key_files import KeyRing
from dam.market.deliverers import Candidate, Deliverer, Registration
from dam.market.sale_history import SaleHistory
from dam.roles.seller.goods import add_goods
from dam.roles.seller.listings import Catalogue, Listing
from dam.roles.seller.publishing import choose_deliverers
from dam.roles.seller.store_builder import BuiltStore, build_store, publish_store
from dam.roles.seller.store_changes import Shop, apply_changes, plan_changes
from dam.roles.seller.store_file import read_store_file
from dam.testing.nodes import KuboNode
from dam.types import ZERO_ADDRESS, Deployment, Wei, Windows

pytestmark = pytest.mark.kubo
VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "vectors.json"
MARKET, SELLER = (checksum(bytes([i]) * 20) for i in (0xAA, 0xBB))


@pytest.fixture
async def blocks(kubo: KuboNode) -> AsyncIterator[BlockStore]:
    store = open_store(kubo.url)
    yield store
    await store.close()


@pytest.fixture
def deployment() -> Deployment:
    stake = Wei(10**16)
    windows = Windows(3600, 2400, 1800, 9600, 1200, 1200, stake, stake, Wei(5 * 10**15))
    return Deployment(31337, MARKET, 1, bytes(32), SELLER, SELLER, windows, ZERO_ADDRESS)


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
            title="Título ✓ <&> \U0001f469\u200d\U0001f4bb",
            price=2**128 - 1,
            commission=Wei(3),
            penalty=Wei(0),
            parts=3,
            threshold=2,
            stock=stock,
            supply=0 if stock else 2**64 - 1,
            metadata={"text": 'two\nlines, "quoted" \\ 😀', "number": 2**53 - 1, "é": [None, True]},
        )

    film = bytes(range(256)) * 10_000
    for listing in (
        await add_goods(blocks, seed, draft("film ✓", stock=False), [film], deliverers),
        await add_goods(blocks, seed, draft("codes", stock=True), [b"x"] * 700, deliverers),
    ):
        catalogue.save(listing)
    built = build_store(seed, catalogue, name="Café", chain_id=31337, market=MARKET, seller=SELLER)
    # Two pages of parts, a page with its details and goods, the document.
    assert len(built.blocks) == 6
    await publish_store(blocks, built)
    for cid, data in built.blocks:
        assert canonical(kubo, str(cid)) == data
    size = await blocks.pin(built.cid)
    assert size.blocks == 6 + 3
    assert size.bytes > len(film)


async def test_an_empty_new_node_is_filled_by_one_publish(
    kubo: KuboNode, blocks: BlockStore, tmp_path: Path, deployment: Deployment
) -> None:
    """The seller keeps seed, catalogue folder and files; the node's blocks are made again."""
    shop = Shop(deployment, SELLER, SellerSeed(new_seed()), Catalogue(tmp_path / "catalogue"))
    (tmp_path / "film").write_bytes(bytes(range(256)) * 10_000)
    (tmp_path / "store.toml").write_text(
        '[store]\nname = "s"\n[[items]]\nid = "film"\nprice = 1000\nfile = "film"\n'
        '[[items]]\nid = "code"\nprice = 1000\ncodes = ["AAA", "BBB"]\n'
    )
    draft = read_store_file(tmp_path / "store.toml")
    people = [checksum(bytes([i + 1]) * 20) for i in range(3)]
    known = {
        who: Candidate(
            Registration(who, who, KeyRing.generate().current.public, 1, 1),
            Wei(10**17),
            0,
            Wei(0),
            0,
        )
        for who in people
    }

    async def publish(where: BlockStore) -> BuiltStore:
        changes = await plan_changes(shop, draft, SaleHistory())
        choices = choose_deliverers(changes, known, shop.deployment.windows)
        return await apply_changes(shop, where, "s", changes, choices)

    built = await publish(blocks)
    with KuboNode() as empty:
        other = open_store(empty.url)
        try:
            listing = shop.catalogue.get("film")
            assert listing is not None
            film = listing.payload(0)
            assert isinstance(film, StreamPayload)
            assert [await blocks.has(cid) for cid in film.chunks] == [True] * 3
            assert [await other.has(cid) for cid in film.chunks] == [False] * 3
            again = await publish(other)
            assert (again.digest, again.root) == (built.digest, built.root)
            for cid in (*film.chunks, *(cid for cid, _ in built.blocks)):
                assert await other.has(cid)
                assert await other.get(cid) == await blocks.get(cid)
            assert await other.pin(built.cid) == await blocks.pin(built.cid)
        finally:
            await other.close()
    # A node that is gone is no node without the block.
    with pytest.raises(IpfsError):
        await other.has(built.cid)


async def test_a_store_is_pinned_whole_or_not_at_all(blocks: BlockStore) -> None:
    """With the golden vectors' store: same CIDs, and no pin while its goods are missing."""
    [row] = json.loads(VECTORS.read_bytes())["store"]
    goods = next(block for block in row["blocks"] if "sealingKey" in block["text"])
    for block in row["blocks"]:  # the document is the last one
        if block is not goods:
            cid = await blocks.put("dag-json", block["text"].encode())
            assert str(cid) == block["cid"]
    with pytest.raises(IpfsError):
        await blocks.pin(cid, deadline=2)
    assert str(await blocks.put("dag-json", goods["text"].encode())) == goods["cid"]
    assert (await blocks.pin(cid)).blocks == 4


@pytest.mark.parametrize("price", ["%d", '[{"x":%d}]'])
async def test_our_integers_end_before_kubos_do(blocks: BlockStore, price: str) -> None:
    """A deliverer pins the stores it serves: what no node pins, no reader takes."""
    good, bad = ((f'{{"price":{price}}}' % n).encode() for n in (2**53 - 1, 2**53))
    dag_json.decode(good)
    await blocks.pin(await blocks.put("dag-json", good))
    with pytest.raises(Malformed):
        dag_json.decode(bad)
