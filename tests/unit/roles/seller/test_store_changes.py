"""Plans and their carrying out, on real listings and a real directory of blocks."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dam.catalog.payload import InlinePayload, decrypt_inline, open_payload
from dam.catalog.reader import read_store
from dam.crypto.derivation import SellerSeed, new_seed
from dam.crypto.hashing import copy_id, item_id
from dam.crypto.sealing import new_secret_key, public_key
from dam.errors import Permanent
from dam.ethereum.erc20 import Tokens
from dam.ipfs.blocks import BlockStore
from dam.ipfs.open import open_store
from dam.market.deliverers import Candidate, Registration
from dam.market.sale_history import SaleHistory
from dam.roles.seller import plan_notes, store_changes
from dam.roles.seller.drafted import ItemDraft, StoreDraft
from dam.roles.seller.listings import Catalogue
from dam.roles.seller.publishing import choose_deliverers
from dam.types import ZERO_ADDRESS, Address, Deployment, Wei


@pytest.fixture
async def blocks(tmp_path: Path) -> AsyncIterator[BlockStore]:
    store = open_store(f"dir:{tmp_path / 'blocks'}")
    yield store
    await store.close()


@pytest.fixture
def shop(tmp_path: Path, deployment: Deployment, make: Any) -> store_changes.Shop:
    seed = SellerSeed(new_seed())
    return store_changes.Shop(deployment, make.seller, seed, Catalogue(tmp_path / "catalogue"))


@pytest.fixture
def known(make: Any) -> dict[Address, Candidate]:
    people = [make.person(n) for n in range(1, 7)]
    return {
        who: Candidate(
            Registration(who, who, public_key(new_secret_key()), 1, 1),
            Wei(10**17),
            0,
            Wei(0),
            0,
        )
        for who in people
    }


def draft(**changes: Any) -> ItemDraft:
    values: dict[str, Any] = {
        "name": "key",
        "title": "A key",
        "price": 1000,
        "commission": 30,
        "penalty": 10,
        "bond": 0,
        "parts": 3,
        "threshold": 2,
        "arbitrator": ZERO_ADDRESS,
        "supply": 2,
        "codes": ("AAA", "BBB"),
        "file": None,
        "text": None,
        "deliverers": (),
        "metadata": {},
        "where": "line 4, item 'key'",
    }
    values["said"] = frozenset(changes)
    values |= changes
    if values["codes"] is not None:
        values["supply"] = len(values["codes"])
    return ItemDraft(**values)


async def publish(
    shop: store_changes.Shop,
    blocks: BlockStore,
    known: dict[Address, Candidate],
    *items: ItemDraft,
    history: SaleHistory | None = None,
    **wishes: Any,
) -> tuple[list[str], Any]:
    store = StoreDraft("shop", items)
    changes = await store_changes.plan_changes(
        shop, store, history or SaleHistory(), store_changes.Wishes(**wishes)
    )
    windows = shop.deployment.windows
    choices = choose_deliverers(changes, known, windows, random.Random(1))
    built = await store_changes.apply_changes(shop, blocks, "shop", changes, choices)
    return [change.what for change in changes], built


def codes(shop: store_changes.Shop, name: str = "key") -> list[bytes]:
    listing = shop.catalogue.get(name)
    assert listing is not None
    found = []
    for copy in range(listing.supply):
        payload = listing.payload(copy)
        assert isinstance(payload, InlinePayload)
        key = shop.seed.content_key(listing.place(copy))
        found.append(decrypt_inline(key, listing.domain(copy), payload))
    return found


async def test_a_new_store_is_readable_and_lists_what_was_said(
    shop: store_changes.Shop, blocks: BlockStore, known: dict[Address, Candidate]
) -> None:
    what, built = await publish(shop, blocks, known, draft())
    assert what == ["new"]
    place = shop.deployment
    store = await read_store(
        blocks,
        built.digest,
        chain_id=place.chain_id,
        market=place.market,
        seller=shop.seller,
        root=built.root,
    )
    [item] = store.items
    assert (item.name, item.terms.supply, item.terms.price) == ("key", 2, 1000)
    assert codes(shop) == [b"AAA", b"BBB"]


async def test_nothing_new_is_published_byte_for_byte_again(
    shop: store_changes.Shop, blocks: BlockStore, known: dict[Address, Candidate]
) -> None:
    _, first = await publish(shop, blocks, known, draft())
    what, second = await publish(shop, blocks, known, draft())
    assert what == ["unchanged"]
    assert (second.digest, second.root, second.fresh) == (first.digest, first.root, 0)


async def test_more_codes_are_a_new_lot_and_old_ones_stay(
    shop: store_changes.Shop, blocks: BlockStore, known: dict[Address, Candidate]
) -> None:
    await publish(shop, blocks, known, draft())
    before = shop.catalogue.get("key")
    what, _ = await publish(shop, blocks, known, draft(codes=("CCC", "AAA", "BBB")))
    after = shop.catalogue.get("key")
    assert before is not None
    assert after is not None
    assert what == ["more codes"]
    assert after.lots[:1] == before.lots
    assert [lot.first_copy for lot in after.lots] == [0, 2]
    assert codes(shop) == [b"AAA", b"BBB", b"CCC"]


async def test_a_code_cannot_be_taken_off(
    shop: store_changes.Shop, blocks: BlockStore, known: dict[Address, Candidate], make: Any
) -> None:
    await publish(shop, blocks, known, draft())
    purchase = make.purchase(10)
    sold = replace(
        purchase,
        terms=make.terms(item_id=item_id("key")),
        copy_id=copy_id(make.seller, item_id("key"), 0),
    )
    with pytest.raises(Permanent) as caught:
        await publish(shop, blocks, known, draft(codes=("CCC",)), history=SaleHistory([sold]))
    assert "copy 1 (sold), 2 (for sale)" in str(caught.value)
    assert "line 4" in str(caught.value)
    for code in ("AAA", "BBB", "CCC"):
        assert code not in str(caught.value)
    assert codes(shop) == [b"AAA", b"BBB"]


async def test_terms_change_without_touching_the_parts(
    shop: store_changes.Shop, blocks: BlockStore, known: dict[Address, Candidate]
) -> None:
    _, first = await publish(shop, blocks, known, draft())
    before = shop.catalogue.get("key")
    what, second = await publish(shop, blocks, known, draft(price=2000, title="Dearer"))
    after = shop.catalogue.get("key")
    assert before is not None
    assert after is not None
    assert what == ["terms"]
    assert after.lots == before.lots
    assert second.terms["key"].parts_root == first.terms["key"].parts_root
    assert second.root != first.root


async def test_a_new_file_replaces_the_old_and_an_equal_one_does_not(
    shop: store_changes.Shop, blocks: BlockStore, known: dict[Address, Candidate], tmp_path: Path
) -> None:
    path = tmp_path / "book"
    for data, other in ((b"short", b"brief"), (b"l" * 9000, b"m" * 9000), (b"l" * 9000, b"short")):
        item = draft(name=f"b{data[:1]!r}{other[:1]!r}", codes=None, file=path, supply=5)
        path.write_bytes(data)
        assert (await publish(shop, blocks, known, item))[0][0] == "new"
        assert (await publish(shop, blocks, known, item))[0][0] == "unchanged"
        path.write_bytes(other)
        assert (await publish(shop, blocks, known, item))[0][0] == "new good"
        listing = shop.catalogue.get(item.name)
        assert listing is not None
        key = shop.seed.content_key(listing.place(0))
        pieces = open_payload(blocks, listing.payload(0), key, listing.domain(0))
        assert b"".join([piece async for piece in pieces]) == other


async def test_other_counts_or_names_give_all_parts_to_others(
    shop: store_changes.Shop, blocks: BlockStore, known: dict[Address, Candidate]
) -> None:
    _, first = await publish(shop, blocks, known, draft())
    old = shop.catalogue.get("key")
    what, _ = await publish(shop, blocks, known, draft(parts=4, threshold=3))
    assert what == ["other deliverers"]
    listing = shop.catalogue.get("key")
    assert listing is not None
    assert (listing.parts, listing.threshold, len(listing.lots[0].deliverers)) == (4, 3, 4)
    assert codes(shop) == [b"AAA", b"BBB"]
    # The watchdog still knows what was sold before.
    assert shop.catalogue.recall(first.terms["key"].parts_root) == old
    chosen = tuple(known)[:4]
    what, _ = await publish(shop, blocks, known, draft(parts=4, threshold=3, deliverers=chosen))
    listing = shop.catalogue.get("key")
    assert listing is not None
    assert tuple(d.operator for d in listing.lots[0].deliverers) == chosen


async def test_an_item_left_out_is_withdrawn_and_comes_back_when_it_is_named(
    shop: store_changes.Shop, blocks: BlockStore, known: dict[Address, Candidate]
) -> None:
    other = draft(name="other", codes=("X",))
    await publish(shop, blocks, known, draft(), other)
    what, built = await publish(shop, blocks, known, other)
    assert sorted(what) == ["unchanged", "withdrawn"]
    assert list(built.terms) == ["other"]
    dearer = draft(price=2000, codes=("AAA", "BBB", "CCC"))
    what, built = await publish(shop, blocks, known, dearer, other)
    assert what == ["closed", "unchanged"]
    assert list(built.terms) == ["other"]
    kept = shop.catalogue.get("key")
    assert kept is not None
    assert (kept.listed, kept.price, codes(shop)) == (False, 1000, [b"AAA", b"BBB"])
    what, built = await publish(shop, blocks, known, dearer, other, reopen=("key",))
    assert what == ["more codes, terms, opened", "unchanged"]
    assert sorted(built.terms) == ["key", "other"]
    assert codes(shop) == [b"AAA", b"BBB", b"CCC"]
    what, _ = await publish(shop, blocks, known, dearer, other, reopen=("key",))
    assert what == ["unchanged", "unchanged"]


async def test_what_cannot_be_is_told_together_and_nothing_is_made(
    shop: store_changes.Shop, blocks: BlockStore, known: dict[Address, Candidate], make: Any
) -> None:
    await publish(shop, blocks, known, draft())
    wrong = draft(codes=None, text=b"x")
    own = draft(name="mine", arbitrator=make.seller)
    with pytest.raises(Permanent) as caught:
        await publish(shop, blocks, known, wrong, own, assign=("ghost",))
    for piece in ("take another id", "arbitrator of their own", "'ghost'"):
        assert piece in str(caught.value)
    with pytest.raises(Permanent, match="7 deliverers are needed"):
        await publish(shop, blocks, known, draft(), draft(name="new", parts=7))
    assert shop.catalogue.get("new") is None


def sold(make: Any, name: str, *copies: int) -> SaleHistory:
    terms = make.terms(item_id=item_id(name))
    return SaleHistory(
        [
            replace(
                make.purchase(10 + copy),
                terms=terms,
                copy=copy,
                copy_id=copy_id(make.seller, item_id(name), copy),
            )
            for copy in copies
        ]
    )


async def test_copies_that_the_folder_does_not_know_are_not_sold_again(
    shop: store_changes.Shop, blocks: BlockStore, known: dict[Address, Candidate], make: Any
) -> None:
    with pytest.raises(Permanent, match="copy 1, 3 is sold, and your catalogue folder does not"):
        await publish(shop, blocks, known, draft(), history=sold(make, "key", 0, 2))
    await publish(shop, blocks, known, draft())
    await publish(shop, blocks, known, draft(), history=sold(make, "key", 0, 1))
    more = draft(codes=("AAA", "BBB", "CCC"))
    with pytest.raises(Permanent, match="copy 3 is sold"):
        await publish(shop, blocks, known, more, history=sold(make, "key", 2))
    # A file is the same for everybody: nothing is sold twice.
    file = draft(name="film", codes=None, text=b"film")
    await publish(shop, blocks, known, draft(), file, history=sold(make, "film", 0, 2))


async def test_a_code_that_was_sold_is_not_sold_under_another_id(
    shop: store_changes.Shop, blocks: BlockStore, known: dict[Address, Candidate], make: Any
) -> None:
    await publish(shop, blocks, known, draft())
    history = sold(make, "key", 1)
    again = draft(name="again", codes=("BBB", "CCC"))
    with pytest.raises(Permanent) as caught:
        await publish(shop, blocks, known, again, history=history)
    assert "its code 1 was sold already, as copy 2 of 'key'" in str(caught.value)
    assert "BBB" not in str(caught.value)
    await publish(shop, blocks, known, draft(name="again", codes=("AAA",)), history=history)
    # And back: AAA is sold as a copy of "again" now.
    with pytest.raises(Permanent, match="as copy 1 of 'again': list it without that code, under"):
        await publish(shop, blocks, known, draft(), history=sold(make, "again", 0), reopen=("key",))


@pytest.mark.parametrize(
    "read",
    ['"BBB"', '="BBB"', "\ufeffBBB", "BBB\u200b", "AAA\rBBB\rCCC", "2,77,BBB,active", "\uff22BB"],
)
async def test_a_sold_code_is_known_however_it_was_read(
    shop: store_changes.Shop,
    blocks: BlockStore,
    known: dict[Address, Candidate],
    make: Any,
    read: str,
) -> None:
    await publish(shop, blocks, known, draft(codes=("KEPT", read)))
    again, history = draft(name="again", codes=("NEW", "BBB")), sold(make, "key", 1)
    with pytest.raises(Permanent, match="its code 2 was sold already, as copy 2 of 'key'"):
        await publish(shop, blocks, known, again, history=history)
    await publish(shop, blocks, known, draft(name="again", codes=("BB",)), history=history)


async def test_what_the_seller_does_not_write_of_parts_stays(
    shop: store_changes.Shop, blocks: BlockStore, known: dict[Address, Candidate]
) -> None:
    await publish(shop, blocks, known, draft(parts=5, threshold=3), draft(name="b", codes=("X",)))
    before = shop.catalogue.get("key")
    other = shop.catalogue.get("b")
    what, _ = await publish(shop, blocks, known, draft(), draft(name="b", codes=("X",)))
    assert what == ["unchanged", "unchanged"]
    assert before is not None
    what, _ = await publish(
        shop, blocks, known, draft(), draft(name="b", codes=("X",)), assign=("key",)
    )
    assert what == ["other deliverers", "unchanged"]
    after = shop.catalogue.get("key")
    assert after is not None
    assert (after.parts, after.threshold) == (5, 3)
    assert after.lots[0].generation != before.lots[0].generation
    assert shop.catalogue.get("b") == other


@pytest.mark.parametrize(("parts", "threshold"), [(1, 1), (2, 1), (3, 1)])
async def test_one_part_that_gives_the_whole_key_needs_a_flag(
    shop: store_changes.Shop,
    blocks: BlockStore,
    known: dict[Address, Candidate],
    parts: int,
    threshold: int,
) -> None:
    risky = draft(parts=parts, threshold=threshold)
    with pytest.raises(Permanent, match=r"open the good alone.*--one-part-is-enough"):
        await publish(shop, blocks, known, risky)
    await publish(shop, blocks, known, draft())
    with pytest.raises(Permanent, match="--one-part-is-enough"):
        await publish(shop, blocks, known, risky)
    await publish(shop, blocks, known, risky, one_part_is_enough=True)
    # Said once for this item; what it is already is no news.
    more = draft(parts=parts, threshold=threshold, codes=("AAA", "BBB", "CCC"))
    assert (await publish(shop, blocks, known, more))[0] == ["more codes"]


async def test_what_is_off_sale_is_opened_by_name_alone(
    shop: store_changes.Shop, blocks: BlockStore, known: dict[Address, Candidate]
) -> None:
    await publish(shop, blocks, known, draft())
    listing = shop.catalogue.get("key")
    assert listing is not None
    shop.catalogue.save(listing.withdrawn())
    with pytest.raises(Permanent, match="every item is off sale; to list one again: --open key"):
        await publish(shop, blocks, known, draft())
    with pytest.raises(Permanent, match="it is off sale: say --open key, too"):
        await publish(shop, blocks, known, draft(), assign=("key",))
    with pytest.raises(Permanent, match="no item 'ghost' to open"):
        await publish(shop, blocks, known, draft(), reopen=("ghost",))
    assert (await publish(shop, blocks, known, draft(), reopen=("key",)))[0] == ["opened"]


async def test_all_that_changes_is_shown(
    shop: store_changes.Shop, blocks: BlockStore, known: dict[Address, Candidate], make: Any
) -> None:
    film = draft(name="film", codes=None, text=b"film", supply=5)
    gone = draft(name="gone", codes=("X",))
    closed = draft(name="closed", codes=("Y",))
    await publish(shop, blocks, known, draft(), film, gone, closed)
    listing = shop.catalogue.get("closed")
    assert listing is not None
    shop.catalogue.save(listing.withdrawn())

    async def shown(*items: ItemDraft, **wishes: Any) -> dict[str, list[str]]:
        changes = await store_changes.plan_changes(
            shop, StoreDraft("shop", items), SaleHistory(), store_changes.Wishes(**wishes)
        )
        return {c.name: plan_notes.differences(c, Tokens()) for c in changes}

    named = tuple(known)[:3]
    lines = await shown(
        draft(
            title="Other",
            price=10**18,
            commission=31,
            penalty=11,
            bond=1,
            arbitrator=make.arbiter,
            metadata={"a": 1},
            codes=("AAA", "BBB", "CCC"),
        ),
        replace(film, text=b"another", supply=7, deliverers=named),
        closed,
        draft(name="new", codes=("Z",)),
    )
    assert lines == {
        "key": [
            "title: A key -> Other",
            "price: 1000 wei -> 1 ether",
            "commission: 30 wei -> 31 wei",
            "penalty: 10 wei -> 11 wei",
            "bond: 0 wei -> 1 wei",
            f"arbitrator: none -> {make.arbiter}",
            "metadata: other than before",
            "codes: 2 -> 3",
            "deliverers of the new codes: picked by stake and record",
        ],
        "film": [
            "copies: 5 -> 7",
            "good: another than before",
            f"deliverers: {', '.join(named)} in place of those before",
        ],
        "closed": ["stays off sale; --open closed lists it again"],
        "gone": ["goes off sale: it is not among the items any more"],
        "new": [],
    }
    lines = await shown(draft(parts=4, threshold=4), film, gone, closed, reopen=("closed",))
    assert lines == {
        "key": [
            "parts: 2 of 3 -> 4 of 4",
            "deliverers: picked by stake and record in place of those before",
        ],
        "film": [],
        "gone": [],
        "closed": ["is for sale again"],
    }


async def test_one_process_at_a_time(shop: store_changes.Shop) -> None:
    folder = shop.catalogue.folder
    with (
        store_changes.catalogue_lock(folder),
        pytest.raises(Permanent, match="another command"),
        store_changes.catalogue_lock(folder),
    ):
        pass
    with store_changes.catalogue_lock(folder):
        pass


async def test_advice(
    shop: store_changes.Shop, blocks: BlockStore, known: dict[Address, Candidate]
) -> None:
    await publish(shop, blocks, known, draft())
    gone = {
        who: replace(candidate, exit_time=9) if index < 5 else candidate
        for index, (who, candidate) in enumerate(known.items())
    }
    changes = await store_changes.plan_changes(
        shop, StoreDraft("s", (draft(threshold=2),)), SaleHistory()
    )
    told = "\n".join(
        plan_notes.warnings(changes, gone, shop.deployment.windows, free_stake=39, gas_price=1)
    )
    assert "deliver no longer" in told
    assert "few will bother" in told
    assert "free stake of 39 wei" in told
    whole = store_changes.Change("new", None, draft(threshold=3, commission=10**9))
    told = "\n".join(
        plan_notes.warnings([whole], known, shop.deployment.windows, free_stake=10**18, gas_price=1)
    )
    assert "every part is needed" in told
    assert "stake" not in told
    assert "bother" not in told
    dear = await store_changes.plan_changes(
        shop, StoreDraft("s", (draft(commission=3 * (10**16 + 1)),)), SaleHistory()
    )
    told = "\n".join(
        plan_notes.warnings(dear, known, shop.deployment.windows, free_stake=10**18, gas_price=1)
    )
    assert "over a tenth of the stake of" in told
    assert "--assign key" in told
