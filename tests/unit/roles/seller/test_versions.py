"""A new version is made only from a catalogue folder that has the version in force."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dam.crypto.derivation import SellerSeed, new_seed
from dam.errors import Permanent
from dam.ipfs.cid import Cid
from dam.market.sale_history import SaleHistory
from dam.roles.seller.listings import Catalogue
from dam.roles.seller.store_changes import Shop
from dam.roles.seller.versions import (
    Versions,
    find_base,
    read_versions,
    save_versions,
    stored_name,
)
from dam.types import Address, Deployment, StoreVersion
from tests.unit.helpers import shop as helper

NOW = (bytes(32), bytes(32))


@pytest.fixture
def place(deployment: Deployment) -> Deployment:
    return replace(deployment, chain_id=helper.CHAIN, market=helper.MARKET)


def as_seen(shop: helper.Shop, place: Deployment, folder: Path | None = None) -> Shop:
    catalogue = Catalogue(folder) if folder else shop.catalogue
    return Shop(place, shop.address, shop.seed, catalogue)


class Chain:
    """The versions of a store, as the logs tell them."""

    def __init__(self, make: Any, seller: Address) -> None:
        self._make, self._seller = make, seller
        self.logs: list[StoreVersion] = []

    def take(self, digest: bytes) -> None:
        at = self._make.at(len(self.logs) + 10)
        self.logs.append(StoreVersion(self._seller, digest, b"r" * 32, at))

    @property
    def history(self) -> SaleHistory:
        return SaleHistory(self.logs)


@pytest.fixture
def chain(make: Any) -> Chain:
    return Chain(make, helper.SELLER)


async def publish(shop: helper.Shop, chain: Chain) -> bytes:
    """As the commands do: what is built is known before the chain has it."""
    built = shop.build()
    versions = (read_versions(shop.catalogue) or Versions()).with_known([built.digest])
    save_versions(shop.catalogue, replace(versions, pending=True))
    chain.take(built.digest)
    save_versions(shop.catalogue, replace(versions, announced=built.digest, pending=False))
    return built.digest


async def test_the_folder_that_published_goes_on(
    shop: helper.Shop, place: Deployment, chain: Chain
) -> None:
    assert find_base(as_seen(shop, place), chain.history, NOW).versions == Versions()
    await shop.stock("code", [b"a", b"b"])
    first = await publish(shop, chain)
    await shop.stock("more", [b"c"])
    second = await publish(shop, chain)
    base = find_base(as_seen(shop, place), chain.history, NOW)
    assert set(base.versions.known) == {first, second}
    assert (base.versions.announced, base.versions.pending, base.lost) == (second, False, "")
    assert stored_name(shop.catalogue, second) == "Shop"
    assert stored_name(shop.catalogue, first) == ""


async def test_a_kill_between_folder_and_chain_loses_nothing(
    shop: helper.Shop, place: Deployment, chain: Chain
) -> None:
    await shop.stock("code", [b"a", b"b"])
    first = await publish(shop, chain)
    await shop.stock("more", [b"c"])
    built = shop.build()
    versions = Versions((first, built.digest), first, True)
    save_versions(shop.catalogue, versions)
    # Before the transaction, and after it.
    assert find_base(as_seen(shop, place), chain.history, NOW).versions.pending
    chain.take(built.digest)
    assert find_base(as_seen(shop, place), chain.history, NOW).versions.pending


async def test_a_lost_folder_is_refused_and_what_to_put_back_is_told(
    shop: helper.Shop, place: Deployment, chain: Chain, tmp_path: Path
) -> None:
    await shop.stock("code", [b"a", b"b"])
    digest = await publish(shop, chain)
    new = as_seen(shop, place, tmp_path / "new")
    with pytest.raises(Permanent) as caught:
        find_base(new, chain.history, NOW)
    for words in (str(tmp_path / "new"), "put the whole folder back", "--start-over", "sold again"):
        assert words in str(caught.value)
    assert str(Cid("dag-json", digest)) in str(caught.value)
    base = find_base(new, chain.history, NOW, start_over=True)
    assert "is empty" in base.lost
    save_versions(new.catalogue, base.versions)
    assert find_base(new, chain.history, NOW).lost == ""


@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "before the record"])
async def test_an_older_folder_is_refused(
    shop: helper.Shop, place: Deployment, chain: Chain, tmp_path: Path, recorded: bool
) -> None:
    await shop.stock("code", [b"a", b"b"])
    await publish(shop, chain)
    if not recorded:
        (shop.folder / "versions.json").unlink()
    old = tmp_path / "backup"
    shutil.copytree(shop.folder, old)
    find_base(as_seen(shop, place, old), chain.history, NOW)
    await shop.stock("more", [b"c"])
    await publish(shop, chain)
    with pytest.raises(Permanent, match="older than the store"):
        find_base(as_seen(shop, place, old), chain.history, NOW)
    assert "older" in find_base(as_seen(shop, place, old), chain.history, NOW, start_over=True).lost


async def test_a_store_that_went_back_to_its_first_document_does_not_hide_what_lay_between(
    shop: helper.Shop, place: Deployment, chain: Chain, tmp_path: Path
) -> None:
    await shop.stock("code", [b"a", b"b"])
    first = await publish(shop, chain)
    shutil.copytree(shop.folder, tmp_path / "backup")
    await shop.stock("more", [b"c"])
    await publish(shop, chain)
    chain.take(first)
    with pytest.raises(Permanent, match="older than the store"):
        find_base(as_seen(shop, place, tmp_path / "backup"), chain.history, NOW)


async def test_a_folder_from_before_the_record_is_taken_up(
    shop: helper.Shop, place: Deployment, chain: Chain
) -> None:
    await shop.stock("code", [b"a", b"b"])
    digests = [await publish(shop, chain)]
    await shop.stock("more", [b"c"])
    digests.append(await publish(shop, chain))
    (shop.folder / "versions.json").unlink()
    assert set(find_base(as_seen(shop, place), chain.history, NOW).versions.known) == set(digests)


async def test_a_node_behind_or_another_chain_is_refused(
    shop: helper.Shop, place: Deployment, chain: Chain
) -> None:
    await shop.stock("code", [b"a", b"b"])
    await publish(shop, chain)
    behind = chain.history
    await shop.stock("more", [b"c"])
    await publish(shop, chain)
    for seen in (behind, SaleHistory()):
        with pytest.raises(Permanent, match="this chain does not have it: if the node is behind"):
            find_base(as_seen(shop, place), seen, NOW)


async def test_a_folder_of_another_place_is_refused(
    shop: helper.Shop, place: Deployment, chain: Chain, make: Any
) -> None:
    await shop.stock("code", [b"a", b"b"])
    seen = as_seen(shop, place)
    for other in (
        replace(seen, seller=make.person(7)),
        replace(seen, deployment=replace(place, chain_id=1)),
        replace(seen, deployment=replace(place, market=make.person(8))),
    ):
        with pytest.raises(Permanent, match=f"catalogue folder of seller {shop.address}"):
            find_base(other, chain.history, NOW, start_over=True)


async def test_another_seed_is_refused_even_where_every_good_is_a_file(
    shop: helper.Shop, place: Deployment, chain: Chain
) -> None:
    await shop.add(shop.draft("film"), bytes(9000))
    await publish(shop, chain)
    find_base(as_seen(shop, place), chain.history, NOW)
    other = replace(as_seen(shop, place), seed=SellerSeed(new_seed()))
    with pytest.raises(Permanent, match="another seed"):
        find_base(other, chain.history, NOW, start_over=True)


def test_a_pipe_in_its_place_is_no_record(shop: helper.Shop) -> None:
    """It would hang."""
    os.mkfifo(shop.folder / "versions.json")
    with pytest.raises(Permanent, match=r"versions\.json is damaged \(It is a device, a pipe"):
        read_versions(shop.catalogue)


@pytest.mark.parametrize("data", [b"{}", b"\xff", b'{"version":2}', b"[" * 5000])
def test_a_damaged_record_is_told(shop: helper.Shop, data: bytes) -> None:
    (shop.folder / "versions.json").write_bytes(data)
    with pytest.raises(Permanent, match=r"versions\.json is damaged"):
        read_versions(shop.catalogue)
