"""`dam store verify`: what is wrong with a document, and where, in words."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from dam.cli import store as cli
from dam.errors import Permanent
from dam.index.index import Index
from dam.ipfs.cid import Cid
from dam.roles.store_check import Fault, StoreReport, check_document, check_seller
from dam.types import ZERO32
from tests.unit.helpers import index_chain as made
from tests.unit.helpers.documents import Documents
from tests.unit.helpers.index_chain import IndexChain
from tests.unit.helpers.shop import MARKET


@dataclass
class Case:
    """A store on a chain of its own, whose documents can be bent before they are published."""

    documents: Documents
    chain: Any
    index: Index

    async def publish(self, root: bytes | None = None) -> Cid:
        digest = await self.documents.publish()
        seller = self.documents.shop.address
        self.chain.mine(made.version(seller, digest, root or self.documents.root_hash))
        return Cid("dag-json", digest)

    async def check(self) -> StoreReport:
        shop = self.documents.shop
        return await check_seller(self.index, self.chain, shop.blocks, shop.address)


@pytest.fixture
async def case(shop, tmp_path: Path) -> AsyncIterator[Case]:
    await shop.stock("codes", [b"%d" % i for i in range(700)])
    await shop.add(shop.draft("coupon", metadata={"a": 1}), b"x")
    chain: Any = IndexChain(deployment=replace(made.DEPLOYMENT, market=MARKET))
    index = Index(tmp_path / "index", chain.deployment, pytest.fail)
    yield Case(Documents(shop, shop.build()), chain, index)
    index.close()


async def test_a_sound_store(case: Case) -> None:
    cid = await case.publish()
    report = await case.check()
    assert (report.cid, report.in_force, report.faults) == (cid, True, ())
    assert cli._json(report)["sound"] is True
    assert cli._lines(report)[-1] == "Sound: 2 items, 2103 parts."


async def test_a_broken_rule_and_its_place(case: Case) -> None:
    [coupon] = [n for n, entry in enumerate(case.documents.details[0]["items"]) if entry]
    case.documents.details[0]["items"][coupon]["licence"] = ""
    await case.publish()
    report = await case.check()
    block = case.documents.pages[0]["details"]["/"]
    where = f"entry {coupon + 1}, details of a page (block {block})"
    assert report.faults == (Fault("licence is not a text", where, True),)
    assert report.store is None
    assert cli._lines(report)[0] == f"{where}: {report.faults[0].what}"
    assert "everybody refuses" in cli._lines(report)[-1]


async def test_another_root_than_the_chains(case: Case) -> None:
    await case.publish(root=b"\x01" * 32)
    [fault] = (await case.check()).faults
    assert "catalogue root" in fault.what


async def test_a_broken_section_is_no_broken_store(case: Case) -> None:
    list(case.documents.part_pages.values())[1]["extra"] = 1
    await case.publish()
    report = await case.check()
    assert report.store is not None
    [fault] = report.faults
    assert not fault.whole
    assert "does not know" in fault.what
    assert fault.where.startswith("item 'codes', the section from copy ")
    assert "1 sections are broken" in cli._lines(report)[-1]


async def test_a_document_that_the_chain_does_not_name(case: Case) -> None:
    """A newer version, say, before it is announced: its root is compared with nothing."""
    shop, first = case.documents.shop, await case.publish()
    case.documents.root["storeName"] = "Another"
    cid = Cid("dag-json", await case.documents.publish())
    report = await check_document(case.index, case.chain, shop.blocks, cid)
    assert (report.in_force, report.faults) == (False, ())
    assert "does not name" in cli._lines(report)[0]
    assert (await check_document(case.index, case.chain, shop.blocks, first)).in_force
    case.documents.root["market"] = shop.address
    cid = Cid("dag-json", await case.documents.publish())
    [fault] = (await check_document(case.index, case.chain, shop.blocks, cid)).faults
    assert "another chain, market or seller" in fault.what


async def test_a_seller_without_a_store(case: Case) -> None:
    case.chain.mine()
    with pytest.raises(Permanent, match="no open store"):
        await case.check()
    await case.publish(root=ZERO32)
    with pytest.raises(Permanent, match="no open store"):
        await case.check()
