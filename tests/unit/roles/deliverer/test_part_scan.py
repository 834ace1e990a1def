"""What a deliverer finds in a store, and the thieves it refuses (protocol, sections 3 and 8)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dam.catalog.store import Item, Section
from dam.crypto import hashing, sealing, shamir
from dam.crypto.hashing import checksum
from dam.crypto.merkle import MerkleTree, verify
from dam.errors import NotForMe, Refused
from dam.keystore.key_files import KeyRing
from dam.roles.deliverer import part_scan
from dam.types import Part, PartLeaf


async def listed(shop: Any, name: str = "coupon", **changes: Any) -> Item:
    full = await shop.add(shop.draft(name, **changes), b"COUPON-1")
    _, store = await shop.publish()
    return store.item(full.item_id)


def relist(item: Item, sections: tuple[Section, ...], leaves: list[bytes] | None = None) -> Item:
    """A thief's item: the parts of others under the thief's terms for 1 wei, all else in order."""
    if leaves is not None:
        sections = (replace(sections[0], part_leaves=tuple(leaves)), *sections[1:])
    root = MerkleTree([leaf for s in sections for leaf in s.part_leaves]).root
    terms = replace(item.terms, price=1, commission=0, penalty=0, parts_root=root)
    return Item(item.name, item.title, terms, b"{}", sections)


async def test_every_deliverer_finds_its_own_part(shop) -> None:
    item = await listed(shop)
    shares = {}
    for daemon in shop.daemons[:3]:
        (found,) = daemon.find(item, shop.address)
        assert found.copy == 0
        assert found.key.public == daemon.known.key
        opened = daemon.open(found, shop.address)
        leaf = hashing.part_leaf(opened.leaf)
        assert verify(item.terms.parts_root, leaf, opened.proof)
        assert opened.leaf.deliverer == daemon.operator
        assert opened.leaf.commitment == hashing.keccak(opened.part.share)
        shares[opened.part.index] = opened.part.share
        assert part_scan.reopen(found.sealed, found.section.sealing_key, daemon.ring) == opened.part
    key = shamir.join(shares, 2)
    assert hashing.keccak(key) == opened.leaf.secret_hash
    for daemon in shop.daemons[3:]:
        assert daemon.find(item, shop.address) == []


async def test_every_copy_of_a_stock_has_parts_of_its_own(shop) -> None:
    full = await shop.stock("codes", [b"A", b"B", b"C", b"D"])
    _, store = await shop.publish()
    daemon = shop.daemons[1]
    found = daemon.find(store.item(full.item_id), shop.address)
    assert [f.copy for f in found] == [0, 1, 2, 3]
    opened = [daemon.open(f, shop.address) for f in found]
    assert [o.leaf.copy for o in opened] == [0, 1, 2, 3]
    assert {o.leaf.index for o in opened} == {1}
    assert len({o.part.share for o in opened}) == len({o.leaf.secret_hash for o in opened}) == 4


async def test_old_keys_still_open_after_a_rotation(shop) -> None:
    item = await listed(shop)
    daemon = shop.daemons[0]
    old = daemon.known.key
    daemon.ring = daemon.ring.rotated().rotated()
    (found,) = daemon.find(item, shop.address)
    assert found.key.public == old
    opened = daemon.open(found, shop.address)
    assert part_scan.reopen(found.sealed, found.section.sealing_key, daemon.ring) == opened.part
    with pytest.raises(NotForMe):
        part_scan.reopen(found.sealed, found.section.sealing_key, KeyRing.generate())


async def test_copied_ciphertext_with_its_page_key_is_not_even_found(shop, thief) -> None:
    """Demo (d), first thief: the tags are those of the victim's domain."""
    item = await listed(shop)
    stolen = relist(item, item.sections)
    for daemon in shop.daemons:
        assert daemon.find(stolen, thief.address) == []


async def test_another_id_chain_or_market_is_another_domain(shop) -> None:
    item = await listed(shop)
    renamed = replace(item, terms=replace(item.terms, item_id=hashing.item_id("free")))
    daemon = shop.daemons[0]
    assert daemon.find(renamed, shop.address) == []
    assert daemon.find(item, shop.address, chain_id=1) == []
    assert daemon.find(item, shop.address, market=checksum(b"\x01" * 20)) == []
    assert len(daemon.find(item, shop.address)) == 1
    (found,) = daemon.find(item, shop.address)
    for other in ({"chain_id": 1}, {"market": checksum(b"\x01" * 20)}):
        with pytest.raises(Refused, match="domain-mismatch"):
            daemon.open(found, shop.address, **other)


def tag_for(daemon: Any, section: Section, domain: bytes) -> bytes:
    """A tag by somebody who knows K: the deliverer itself, or whoever made the sealing key."""
    shared = sealing.shared_key(daemon.ring.current.secret, section.sealing_key)
    return sealing.part_tag(shared, domain)


async def test_stolen_ciphertext_under_a_tag_for_the_thiefs_domain(shop, thief) -> None:
    """Demo (d), third thief: found, since the tag is right, and refused where one can see it."""
    item = await listed(shop)
    daemon, section = shop.daemons[0], item.sections[0]
    (mine,) = daemon.find(item, shop.address)
    domain = thief.draft("coupon").domain(0)
    forged = tag_for(daemon, section, domain) + mine.sealed[16:]
    parts = tuple(forged if s == mine.sealed else s for s in section.encrypted_parts)
    stolen = relist(item, (replace(section, encrypted_parts=parts),))
    (found,) = daemon.find(stolen, thief.address)
    with pytest.raises(Refused) as caught:
        daemon.open(found, thief.address)
    assert caught.value.reason == "domain-mismatch"
    assert thief.address in str(caught.value)


async def test_a_part_of_one_copy_does_not_serve_another(shop) -> None:
    """F76 within one item: the domain of a stock item names the copy."""
    full = await shop.stock("codes", [b"A", b"B"])
    _, store = await shop.publish()
    item = store.item(full.item_id)
    daemon, section = shop.daemons[0], item.sections[0]
    first, second = daemon.find(item, shop.address)
    forged = tag_for(daemon, section, full.domain(1)) + first.sealed[16:]
    parts = tuple(forged if s == second.sealed else s for s in section.encrypted_parts)
    bent = replace(item, sections=(replace(section, encrypted_parts=parts),))
    found = daemon.find(bent, shop.address)
    assert [f.copy for f in found] == [0, 1]
    daemon.open(found[0], shop.address)
    with pytest.raises(Refused, match="domain-mismatch"):
        daemon.open(found[1], shop.address)


async def test_our_tag_before_garbage(shop) -> None:
    item = await listed(shop)
    daemon, section = shop.daemons[0], item.sections[0]
    (mine,) = daemon.find(item, shop.address)
    garbage = mine.sealed[:16] + bytes(170)
    bent = replace(
        item, sections=(replace(section, encrypted_parts=(garbage, *section.encrypted_parts)),)
    )
    junk, good = daemon.find(bent, shop.address)
    with pytest.raises(Refused, match="part-unreadable"):
        daemon.open(junk, shop.address)
    assert daemon.open(good, shop.address).leaf.index == 0


async def test_the_same_bytes_twice_are_one_part(shop) -> None:
    item = await listed(shop)
    section = item.sections[0]
    doubled = replace(section, encrypted_parts=section.encrypted_parts * 3)
    found = shop.daemons[0].find(replace(item, sections=(doubled,)), shop.address)
    assert len(found) == 1


async def test_a_leaf_that_names_somebody_else(shop) -> None:
    """A copied deliverer key: the part opens, but the leaf is not ours, so no delivery is."""
    item = await listed(shop)
    daemon = shop.daemons[0]
    (found,) = daemon.find(item, shop.address)
    with pytest.raises(Refused, match="leaf-not-in-item"):
        daemon.open(found, shop.address, me=checksum(b"\x99" * 20))


async def test_a_seller_who_seals_garbage(shop) -> None:
    """The share, hash, salt and index must be what the item's root commits to."""
    item = await listed(shop)
    daemon, section = shop.daemons[0], item.sections[0]
    (found,) = daemon.find(item, shop.address)
    shared = sealing.shared_key(daemon.ring.current.secret, section.sealing_key)
    part = sealing.open_part(shared, found.sealed)
    cases = {
        "leaf-not-in-item": [
            replace(part, share=bytes(32)),
            replace(part, secret_hash=bytes(32)),
            replace(part, salt=bytes(32)),
            replace(part, index=1),
        ],
        "index-beyond-parts": [replace(part, index=3), replace(part, index=255)],
        "share-out-of-range": [
            replace(part, share=shamir.PRIME.to_bytes(32, "big")),
            replace(part, share=b"\xff" * 32),
        ],
        "domain-mismatch": [replace(part, domain=bytes(32))],
    }
    tag = found.sealed[:16]
    for reason, garbled in cases.items():
        for one in garbled:
            sealed = tag + sealing.seal_part(shared, one)[16:]
            with pytest.raises(Refused) as caught:
                daemon.open(replace(found, sealed=sealed), shop.address)
            assert caught.value.reason == reason
            assert one.share.hex() not in str(caught.value)


def plain_item(
    shop: Any, parts: list[bytes], listing: Any, leaves: list[PartLeaf], copies: int = 1
) -> Item:
    hashes = tuple(hashing.part_leaf(leaf) for leaf in leaves)
    root = MerkleTree(hashes).root
    section = Section(0, copies, root, None, tuple(parts), hashes)
    terms = replace(listing.terms(root), parts=1, threshold=1)
    return Item(listing.name, listing.title, terms, b"{}", (section,))


def plain_part(shop: Any, listing: Any, copy: int = 0) -> tuple[bytes, PartLeaf]:
    daemon, share = shop.daemons[0], b"\x05" * 32
    part = Part(listing.domain(copy), 0, share, hashing.keccak(share), bytes(32))
    leaf = PartLeaf(copy, 0, daemon.operator, hashing.keccak(share), part.secret_hash, part.salt)
    return sealing.seal_plain(daemon.known.key, part), leaf


def test_plain_parts_are_found_by_trial(shop) -> None:
    listing = shop.draft("old")
    sealed, leaf = plain_part(shop, listing)
    strangers = [sealing.seal_plain(d.known.key, Part(*_blank())) for d in shop.daemons[1:4]]
    item = plain_item(shop, [*strangers, sealed], listing, [leaf])
    daemon = shop.daemons[0]
    (found,) = daemon.find(item, shop.address)
    assert found.section.sealing_key is None
    opened = daemon.open(found, shop.address)
    assert opened.leaf == leaf
    assert part_scan.reopen(found.sealed, None, daemon.ring) == opened.part


def _blank() -> tuple[bytes, int, bytes, bytes, bytes]:
    return bytes(32), 0, bytes(32), bytes(32), bytes(32)


def test_plain_parts_of_a_stock_say_which_copy_they_are_of(shop) -> None:
    listing = shop.draft("old", stock=True, supply=0)
    made = [plain_part(shop, listing, copy) for copy in range(3)]
    item = plain_item(shop, [m[0] for m in reversed(made)], listing, [m[1] for m in made], 3)
    daemon = shop.daemons[0]
    found = daemon.find(item, shop.address)
    assert [f.copy for f in found] == [2, 1, 0]
    assert [daemon.open(f, shop.address).leaf.copy for f in found] == [2, 1, 0]


def test_relisted_plain_parts_are_refused_where_one_can_see_it(shop, thief) -> None:
    """Demo (d), second thief."""
    sealed, leaf = plain_part(shop, shop.draft("old"))
    stolen = plain_item(shop, [sealed], thief.draft("old"), [leaf])
    daemon = shop.daemons[0]
    (found,) = daemon.find(stolen, thief.address)
    assert found.copy is None
    with pytest.raises(Refused) as caught:
        daemon.open(found, thief.address)
    assert caught.value.reason == "domain-mismatch"


def test_plain_garbage_is_refused_where_one_can_see_it(shop) -> None:
    from nacl.bindings import crypto_box_seal

    junk = crypto_box_seal(bytes(130), shop.daemons[0].known.key)
    _, leaf = plain_part(shop, shop.draft("old"))
    item = plain_item(shop, [junk], shop.draft("old"), [leaf])
    (found,) = shop.daemons[0].find(item, shop.address)
    with pytest.raises(Refused, match="part-unreadable"):
        shop.daemons[0].open(found, shop.address)


async def test_found_parts_print_no_secret(shop) -> None:
    item = await listed(shop)
    daemon = shop.daemons[0]
    (found,) = daemon.find(item, shop.address)
    opened = daemon.open(found, shop.address)
    secrets = [daemon.ring.current.secret, found.shared, opened.part.share]
    for secret in secrets:
        for text in (repr(found), repr(opened), repr(daemon.ring)):
            assert repr(secret)[2:-1] not in text
            assert secret.hex() not in text
