"""A block store that is down is no market without offers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from dam.catalog.payload import StreamPayload
from dam.errors import BlockMismatch, IpfsError, IpfsUnreachable, Malformed, Permanent
from dam.ethereum.erc20 import Tokens
from dam.ipfs.cid import Cid
from dam.roles import storefront
from dam.roles.buyer.buying import check_payload

GOOD = SimpleNamespace(items=[])


async def browse(monkeypatch: pytest.MonkeyPatch, *documents: object) -> Any:
    """What a buyer sees of stores whose documents are, or fail, like this."""
    versions = {f"0x{i:040}": SimpleNamespace(seller=f"0x{i:040}", root=b"\1", document=d)
                for i, d in enumerate(documents)}  # fmt: skip
    stores = {owner: [version] for owner, version in versions.items()}
    history = SimpleNamespace(state=SimpleNamespace(stores=stores), logs=[], head=7)

    async def given(value: object) -> Any:
        return value

    async def read_version(_: object, __: object, version: SimpleNamespace) -> Any:
        if isinstance(version.document, Exception):
            raise version.document
        return version.document

    monkeypatch.setattr(storefront, "read_history", lambda _, also: given(history))
    monkeypatch.setattr(storefront, "read_version", read_version)
    monkeypatch.setattr(storefront, "read_tokens", lambda *_: given(Tokens()))
    monkeypatch.setattr(storefront, "bound_stake", lambda *_: 0)
    monkeypatch.setattr(storefront, "seller_records", lambda *_: {})
    market: Any = SimpleNamespace(deployment=None, rpc=None, seller_stake=lambda _: given(5))
    return await storefront.browse(market, object())  # type: ignore[arg-type]


async def test_some_documents_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    found = await browse(monkeypatch, GOOD, IpfsError("block: took over 30 s"), Malformed("no"))
    assert (len(found.open), [u.reason for u in found.unreadable]) == (
        1,
        ["block: took over 30 s", "no"],
    )


async def test_the_node_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(IpfsUnreachable, match="no connection"):
        await browse(monkeypatch, GOOD, IpfsUnreachable("no connection"))


async def test_the_node_gives_nothing_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = IpfsError("block: took over 30 s")
    with pytest.raises(IpfsError, match="none of the documents of 2 open stores; block: took"):
        await browse(monkeypatch, slow, Malformed("no"), slow)


async def test_stores_that_break_a_rule_say_nothing_of_the_node(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = await browse(monkeypatch, Malformed("no"), BlockMismatch("other bytes"))
    assert (len(found.open), len(found.unreadable)) == (0, 2)
    assert (await browse(monkeypatch)).open == ()


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
