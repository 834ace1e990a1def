"""A block store that is down is no market without offers."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dam.catalog.payload import StreamPayload
from dam.catalog.store import Item
from dam.crypto.hashing import keccak
from dam.errors import BlockMismatch, IpfsError, IpfsUnreachable, Malformed, Permanent
from dam.ethereum.erc20 import Tokens
from dam.index import index as indexing
from dam.index.index import Index
from dam.index.search import Query
from dam.ipfs.cid import Cid
from dam.roles import storefront
from dam.roles.buyer.buying import check_payload
from dam.roles.storefront import Listing
from tests.unit.helpers import index_chain as made
from tests.unit.helpers.index_chain import IndexChain, who


class Case:
    """Stores whose documents are, or fail, like this."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.chain: Any = IndexChain()
        self.chain.rpc = None
        self.index = Index(folder, made.DEPLOYMENT, pytest.fail)
        self.documents: dict[bytes, object] = {}
        self.told: list[str] = []

        async def read_store(_: object, digest: bytes, **__: object) -> Any:
            document = self.documents[digest]
            if isinstance(document, Exception):
                raise document
            return document

        async def no_tokens(*_: object) -> Tokens:
            return Tokens()

        patch.setattr(indexing, "read_store", read_store)
        patch.setattr(storefront, "read_tokens", no_tokens)

    def open(self, *documents: object) -> None:
        for number, document in enumerate(documents, 1):
            digest = keccak(b"%d" % number)
            self.documents[digest] = document
            self.chain.mine(made.version(who(number), digest))

    async def browse(self, query: Query = storefront.ANY_QUERY) -> Listing:
        return await storefront.browse(
            self.index,
            self.chain,
            object(),
            query,
            notice=self.told.append,  # type: ignore[arg-type]
        )


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    return Case(tmp_path, monkeypatch)


def store(name: str) -> Any:
    return SimpleNamespace(name="A store", items=(Item(name, name, made.terms(b"x")),))


async def test_some_documents_are_missing(case: Case) -> None:
    case.open(store("thing"), IpfsError("block: took over 30 s"), Malformed("no"))
    listing = await case.browse()
    assert [hit.name for hit in listing.found.hits] == ["thing"]
    assert {one.reason for one in listing.unreadable} == {"block: took over 30 s", "no"}
    assert len([line for line in case.told if "is left out" in line]) == 2
    # What was not there is asked for again when its time has come; what breaks a rule never is.
    case.documents = {digest: store("late") for digest in case.documents}
    assert len((await case.browse()).found.hits) == 1
    await case.index.read_documents(object(), seconds=9, patient=False)  # type: ignore[arg-type]
    listing = await case.browse()
    assert sorted(hit.name for hit in listing.found.hits) == ["late", "thing"]
    assert [one.reason for one in listing.unreadable] == ["no"]


async def test_one_store_that_is_asked_for_is_read_at_once(case: Case) -> None:
    case.open(store("thing"), IpfsError("block: took over 30 s"))
    await case.browse()
    case.documents = {digest: store("late") for digest in case.documents}
    [hit] = (await case.browse(Query(seller=who(2)))).found.hits
    assert hit.name == "late"
    with pytest.raises(Permanent, match="has no store"):
        await case.browse(Query(seller=who(9)))
    case.chain.mine(made.version(who(2), bytes(32), bytes(32)))
    with pytest.raises(Permanent, match="has closed the store"):
        await case.browse(Query(seller=who(2)))
    assert (await case.browse()).closed == (who(2),)


async def test_the_node_is_down(case: Case) -> None:
    case.open(IpfsUnreachable("no connection"))
    with pytest.raises(IpfsUnreachable, match="no connection"):
        await case.browse()


async def test_what_was_read_is_shown_while_the_node_is_down(case: Case) -> None:
    case.open(store("thing"))
    await case.browse()
    case.open(store("thing"), IpfsUnreachable("no connection"))
    assert len((await case.browse()).found.hits) == 1
    assert case.told == ["1 stores could not be read: no connection"]


async def test_the_node_gives_nothing_at_all(case: Case) -> None:
    slow = IpfsError("block: took over 30 s")
    case.open(slow, Malformed("no"), slow)
    with pytest.raises(IpfsError, match="none of the documents of 2 open stores; block: took"):
        await case.browse()


async def test_stores_that_break_a_rule_say_nothing_of_the_node(case: Case) -> None:
    case.open(Malformed("no"), BlockMismatch("other bytes"))
    listing = await case.browse()
    assert (len(listing.found.hits), len(listing.unreadable)) == (0, 2)


async def test_a_market_without_stores(case: Case) -> None:
    case.chain.mine()
    assert (await case.browse()).found.hits == ()


async def test_a_good_that_is_missing_and_a_node_that_is_down() -> None:
    cid = Cid.of("raw", b"x")
    payload = StreamPayload(bytes(24), 1, (cid,))

    def store(error: Exception) -> Any:
        async def get(_: Cid, **__: object) -> bytes:
            raise error

        return SimpleNamespace(get=get)

    with pytest.raises(Permanent, match="not to be had now"):
        await check_payload(store(IpfsError("gone")), payload)
    with pytest.raises(IpfsUnreachable):
        await check_payload(store(IpfsUnreachable("down")), payload)
