"""Payloads that the block store lost: made again from source and seed, or told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dam.catalog import payload
from dam.catalog.payload import CHUNK_BYTES, StreamPayload
from dam.crypto.derivation import SellerSeed, new_seed
from dam.crypto.sealing import new_secret_key, public_key
from dam.errors import IpfsError, Malformed
from dam.market.deliverers import Candidate, Registration
from dam.market.sale_history import SaleHistory
from dam.roles.seller.drafted import StoreDraft
from dam.roles.seller.listings import Catalogue
from dam.roles.seller.publishing import choose_deliverers
from dam.roles.seller.store_changes import Change, Shop, Wishes, apply_changes, plan_changes
from dam.roles.seller.store_file import read_store_file
from dam.testing.blocks import MemoryStore
from dam.types import Address, Deployment, Wei

KEY, DOMAIN = b"\1" * 32, b"\2" * 32
STORE = """[store]
name = "s"
[[items]]
id = "film"
price = 1000
file = "film"
[[items]]
id = "poem"
price = 1000
text = "%s"
[[items]]
id = "code"
price = 1000
codes = ["AAA", "BBB"]
"""


@pytest.mark.parametrize(
    "size",
    [
        0,
        1,
        4096,
        CHUNK_BYTES - 1,
        CHUNK_BYTES,
        CHUNK_BYTES + 1,
        2 * CHUNK_BYTES,
        3 * CHUNK_BYTES + 7,
    ],
)
async def test_a_file_is_encrypted_to_the_same_blocks_again(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * (size // 256) + bytes(size % 256))
    first, second = MemoryStore(), MemoryStore()
    stored = await payload.store_stream(first, KEY, DOMAIN, payload.read_pieces(path))
    await payload.restore_stream(second, KEY, DOMAIN, stored, payload.read_pieces(path))
    assert second.blocks == first.blocks
    assert set(stored.chunks) == set(first.blocks)


@pytest.mark.parametrize("change", ["first", "last", "longer", "shorter", "a chunk longer"])
async def test_no_block_of_another_file_is_made_under_the_same_header(
    tmp_path: Path, change: str
) -> None:
    data = bytearray(2 * CHUNK_BYTES + 5)
    path = tmp_path / "file"
    path.write_bytes(data)
    blocks = MemoryStore()
    stored = await payload.store_stream(blocks, KEY, DOMAIN, payload.read_pieces(path))
    if change in ("first", "last"):
        data[0 if change == "first" else -1] ^= 1
    elif change == "shorter":
        del data[-1]
    else:
        data += bytes(1 if change == "longer" else CHUNK_BYTES)
    path.write_bytes(data)
    other = MemoryStore()
    with pytest.raises(Malformed, match="not the one that was encrypted"):
        await payload.restore_stream(other, KEY, DOMAIN, stored, payload.read_pieces(path))
    assert set(other.blocks) < set(blocks.blocks)


@pytest.fixture
def shop(tmp_path: Path, deployment: Deployment, make: Any) -> Shop:
    seed = SellerSeed(new_seed())
    return Shop(deployment, make.seller, seed, Catalogue(tmp_path / "catalogue"))


@pytest.fixture
def draft(tmp_path: Path) -> StoreDraft:
    path = tmp_path / "store.toml"
    path.write_text(STORE % ("verse " * 1000))
    (tmp_path / "film").write_bytes(bytes(2 * CHUNK_BYTES))
    return read_store_file(path)


@pytest.fixture
def known(make: Any) -> dict[Address, Candidate]:
    return {
        who: Candidate(
            Registration(who, who, public_key(new_secret_key()), 1, 1),
            Wei(10**17),
            0,
            Wei(0),
            0,
        )
        for who in map(make.person, range(1, 4))
    }


async def publish(
    shop: Shop,
    blocks: MemoryStore,
    known: dict[Address, Candidate],
    draft: StoreDraft,
    **wishes: Any,
) -> tuple[list[str], Any]:
    changes = await plan_changes(shop, draft, SaleHistory(), Wishes(**wishes))
    choices = choose_deliverers(changes, known, shop.deployment.windows)
    built = await apply_changes(shop, blocks, "s", changes, choices)
    return [change.what for change in changes], built


async def test_an_empty_new_store_of_blocks_is_filled_by_one_publish(
    shop: Shop, draft: StoreDraft, known: dict[Address, Candidate]
) -> None:
    old, new = MemoryStore(), MemoryStore()
    _, first = await publish(shop, old, known, draft)
    what, again = await publish(shop, new, known, draft)
    assert what == ["unchanged"] * 3
    assert (again.digest, again.root) == (first.digest, first.root)
    assert new.blocks == old.blocks
    assert new.pinned == {first.cid}


async def test_a_lost_or_half_lost_file_is_put_again(
    shop: Shop, draft: StoreDraft, known: dict[Address, Candidate]
) -> None:
    blocks = MemoryStore()
    await publish(shop, blocks, known, draft)
    whole = dict(blocks.blocks)
    for cid in [cid for cid in whole if cid.codec == "raw"][::2]:
        del blocks.blocks[cid]
    await publish(shop, blocks, known, draft)
    assert blocks.blocks == whole


async def test_other_deliverers_are_given_a_file_that_was_lost(
    shop: Shop, draft: StoreDraft, known: dict[Address, Candidate]
) -> None:
    await publish(shop, MemoryStore(), known, draft)
    what, built = await publish(shop, MemoryStore(), known, draft, assign=("film",))
    assert what[0] == "other deliverers"
    assert built.terms["film"].parts == 3


async def test_a_file_that_is_not_to_hand_is_told(
    shop: Shop, draft: StoreDraft, known: dict[Address, Candidate]
) -> None:
    await publish(shop, MemoryStore(), known, draft)
    listing = shop.catalogue.get("code")
    assert listing is not None
    # As `close-item code` does, which has no store file.
    with pytest.raises(IpfsError, match=r"lost files of film, poem .*`dam seller publish` with"):
        await apply_changes(shop, MemoryStore(), "s", [Change("withdrawn", listing, None)], [None])


async def test_a_long_text_is_the_same_text_again(
    shop: Shop, draft: StoreDraft, known: dict[Address, Candidate]
) -> None:
    blocks = MemoryStore()
    await publish(shop, blocks, known, draft)
    poem = shop.catalogue.get("poem")
    assert poem is not None
    assert isinstance(poem.payload(0), StreamPayload)
    assert (await publish(shop, blocks, known, draft))[0][1] == "unchanged"
    assert shop.catalogue.get("poem") == poem
