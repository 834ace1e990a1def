"""What the page lists and finds: the local index's word, brought up to date in the background.

The page takes it as a hint: it shows rows, and proves terms and supply of what somebody opens
against the chain.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast, get_args

from dam.crypto.hashing import parse_address
from dam.errors import DamError, Malformed
from dam.ethereum.erc20 import read_tokens
from dam.index.index import Documents, Index, with_index
from dam.index.sale_reader import read_version
from dam.index.search import Found, Hit, Query, Sort, StoreHit, search
from dam.index.status import count_waiting, unread_stores
from dam.ipfs.blocks import BlockStore
from dam.ipfs.cid import Cid
from dam.market.client import Market
from dam.types import ZERO_ADDRESS, Address, BlockRef, Deployment

_SYNC_PAUSE_SECONDS = 5.0
"""The node is asked for new logs no more often, and only while somebody looks."""
_FIRST_SECONDS, _LATER_SECONDS = 10.0, 1.0
"""How long an answer waits for a sync: the first one is not to be empty."""
_DOCUMENT_SECONDS = 30.0
_MAX_PAGE = 1_000
T = TypeVar("T")
_KEYS = {"text", "sort", "maxPrice", "token", "seller", "page"}


class IndexHints:
    """Answers the page's searches in one market. Close it.

    Args:
        folder: The index's.
        deployment: The market.
        market: ... and its node.
        blocks: Has the documents.
    """

    def __init__(
        self, folder: Path, deployment: Deployment, market: Market, blocks: BlockStore
    ) -> None:
        self._folder = folder
        self._deployment = deployment
        self._market = market
        self._blocks = blocks
        self._work: asyncio.Task[None] | None = None
        self._next = 0.0
        self._trouble = ""
        self._synced = False

    async def answer(self, asked: Mapping[str, str]) -> dict[str, Any]:
        """What a query finds, as JSON values.

        Args:
            asked: ``text``, ``sort``, ``maxPrice`` (in the smallest unit of ``token``), ``token``,
                ``seller`` and ``page`` (from 1 on); each may be left out.

        Raises:
            Malformed: The query is none.
            IndexUnusableError: The index cannot be kept where it should be.
        """
        query, page = read_query(asked)
        await self._refresh()

        async def look(index: Index) -> tuple[BlockRef | None, Found, dict[str, Any]]:
            left = {
                "waiting": count_waiting(index),
                "unreadable": [
                    {"seller": one.seller, "reason": one.reason, "final": one.final}
                    for one in unread_stores(index, seller=query.seller)
                ],
                "version": _version_json(index, query.seller),
            }
            return index.cursor(), search(index.db, query, page), left

        block, found, left = await self._indexed(look)
        return {
            "block": None if block is None else block.number,
            "syncing": self._work is not None,
            "trouble": self._trouble,
            "candidates": found.candidates,
            **left,
            "stores": [_store_json(store) for store in _stores(found.hits)],
            "items": [_hit_json(hit) for hit in found.hits],
            "tokens": await self._tokens(found.hits),
        }

    async def close(self) -> None:
        """Ends what is under way."""
        if self._work is not None:
            self._work.cancel()
            await asyncio.gather(self._work, return_exceptions=True)

    async def _refresh(self) -> None:
        if self._work is None and time.monotonic() >= self._next:
            self._work = asyncio.create_task(self._sync())
        if self._work is not None:
            seconds = _LATER_SECONDS if self._synced else _FIRST_SECONDS
            await asyncio.wait([self._work], timeout=seconds)

    async def _sync(self) -> None:
        async def work(index: Index) -> Documents:
            await index.sync(self._market)
            return await index.read_documents(self._blocks, seconds=_DOCUMENT_SECONDS)

        try:
            documents = await self._indexed(work)
            self._trouble = str(documents.unreachable or "")
            self._synced = True
        except DamError as error:
            self._trouble = str(error)  # the rows that are there are shown, and this beside them
        finally:
            self._next = time.monotonic() + _SYNC_PAUSE_SECONDS
            self._work = None

    async def _indexed(self, work: Callable[[Index], Awaitable[T]]) -> T:
        return await with_index(self._folder, self._deployment, work, lambda _: None)

    async def _tokens(self, hits: Iterable[Hit]) -> list[dict[str, Any]]:
        wanted = {hit.terms.token for hit in hits} - {ZERO_ADDRESS}
        try:
            return (await read_tokens(self._market.rpc, wanted)).json()
        except DamError:
            return []  # amounts are shown in the smallest unit


def read_query(asked: Mapping[str, str]) -> tuple[Query, int]:
    """A query and its page, as they stand in an address.

    Raises:
        Malformed: It is none.
    """
    if unknown := set(asked) - _KEYS:
        raise Malformed(f"{ascii(min(unknown))[:40]} is nothing to search by")
    sort, price = asked.get("sort", "best"), asked.get("maxPrice")
    if sort not in get_args(Sort):
        raise Malformed(f"sort is one of {', '.join(get_args(Sort))}")
    token, seller = (
        parse_address(asked[key]) if key in asked else None for key in ("token", "seller")
    )
    most = None if price is None else _whole(price, "maxPrice", 2**128 - 1)
    page = _whole(asked.get("page", "1"), "page", _MAX_PAGE)
    return Query(asked.get("text", ""), cast(Sort, sort), most, token, seller), max(1, page)


def _whole(text: str, name: str, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 39 and int(text) <= most):
        raise Malformed(f"{name} is a whole number of at most {most}")
    return int(text)


def _version_json(index: Index, seller: Address | None) -> dict[str, str] | None:
    """What a store is committed to, of which the chain has the hash alone."""
    found = None if seller is None else read_version(index.db, seller)
    if found is None:
        return None
    return {"digest": "0x" + found.digest.hex(), "root": "0x" + found.root.hex()}


def _stores(hits: Iterable[Hit]) -> Iterable[StoreHit]:
    return {hit.store.seller: hit.store for hit in hits}.values()


def _store_json(store: StoreHit) -> dict[str, Any]:
    record, rating = store.record, store.record.rating
    return {
        "seller": store.seller,
        "name": store.name,
        "document": str(Cid("dag-json", store.digest)),
        "freeStake": str(store.free_stake),
        "boundStake": str(store.bound_stake),
        "ratings": rating.count,
        "tenths": rating.tenths,
        "ended": record.ended,
        "refunds": record.refunds,
        "conceded": record.conceded,
        "faults": record.faults,
        "lost": record.lost,
        "agreed": record.agreed,
    }


def _hit_json(hit: Hit) -> dict[str, Any]:
    terms = hit.terms
    return {
        "seller": hit.store.seller,
        "name": hit.name,
        "itemId": "0x" + terms.item_id.hex(),
        "title": hit.title,
        "summary": hit.summary,
        "tags": hit.tags,
        "token": terms.token,
        "price": str(terms.price),
        "commission": str(terms.commission),
        "arbitrator": None if terms.arbitrator == ZERO_ADDRESS else terms.arbitrator,
        "supply": terms.supply,
        "free": hit.free,
        "backed": hit.backed,
        "since": hit.since,
    }
