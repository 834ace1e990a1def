"""Reads a store's document: from untrusted blocks to items whose terms the chain vouches for.

One broken rule in the document, its pages or their details and goods, and the whole store is
`Malformed`: the catalogue root, which is all that ties it to the chain, could not be checked over
what is left. A broken page of parts breaks nothing but its section (`Section.fault`): else a seller
could break the one that holds a deliverer's parts, and that deliverer would refuse a store which
all others take. What each block has to say is in `dam.catalog.document`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self, TypeVar

from dam import validation
from dam.catalog.document import (
    Apart,
    Goods,
    Page,
    parse_details,
    parse_goods,
    parse_page,
    parse_part_page,
    parse_root,
    parse_whole_items,
)
from dam.catalog.store import Item, Section, Store
from dam.crypto import hashing
from dam.crypto.merkle import MerkleTree
from dam.errors import IpfsError, Malformed
from dam.ipfs import dag_json
from dam.ipfs.blocks import MAX_BLOCK_BYTES, BlockStore
from dam.ipfs.cid import Cid
from dam.types import Address, Terms

_CONCURRENT_BLOCKS = 4
LARGE_STORE_BYTES = 2 << 20
"""Stores larger than this are read one at a time (`LargeStoreTurn`)."""
T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on the work that one store may cause. Over a limit, the store is `Malformed`."""

    max_pages: int = 1024
    max_items: int = 10_000
    max_part_pages: int = 4096
    max_parts: int = 50_000
    """Sealed parts in the whole store; that many are read and scanned in a few seconds."""
    max_plain_parts: int = 1_000
    """Sealed parts without a tag, each of which costs a trial decryption per own key."""
    max_bytes: int = 64 << 20
    """All documents of the store together (payload blocks are no documents)."""
    seconds: float = 120.0
    """For fetching and checking all of it; after that `IpfsError`."""


class LargeStoreTurn:
    """A reader's turn to hold a large store in memory; there is one at a time.

    Small stores never take it. As an async context manager it gives the turn back at the end.

    Args:
        lock: What all the readers share.
    """

    def __init__(self, lock: asyncio.Lock) -> None:
        self._lock = lock
        self._asked: asyncio.Task[bool] | None = None

    async def take(self) -> None:
        """Waits for the turn; returns at once if the reader has it already."""
        if self._asked is None:
            self._asked = asyncio.create_task(self._lock.acquire())
        # Several blocks of one store may wait, and be cancelled, without losing its place.
        await asyncio.shield(self._asked)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._asked is None:
            return
        self._asked.cancel()
        [done] = await asyncio.gather(self._asked, return_exceptions=True)
        if done is True:
            self._lock.release()


class _Reader:
    """Fetches documents within one store's limits."""

    def __init__(
        self,
        blocks: BlockStore,
        limits: Limits,
        turn: LargeStoreTurn | None,
        clock: asyncio.Timeout,
    ) -> None:
        self._blocks = blocks
        self._turn = turn
        self._clock = clock
        self.limits = limits
        self._bytes_left = limits.max_bytes
        self._plain_left = limits.max_plain_parts
        self._parts_left = limits.max_parts
        self._items_left = limits.max_items
        self._part_pages_left = limits.max_part_pages

    async def fetch(self, cid: Cid, what: str, parse: Callable[[Any], T]) -> T:
        """One block, parsed in a thread so that the event loop stays free.

        An error has notes that say where: in which block, and of which entry.
        """
        try:
            data = await self._read(cid)
            return await asyncio.to_thread(lambda: parse(dag_json.decode(data)))
        except Malformed as error:
            error.add_note(f"{what} (block {cid})")
            raise

    async def _read(self, cid: Cid) -> bytes:
        if self._turn and self.limits.max_bytes - self._bytes_left > LARGE_STORE_BYTES:
            await self._take(self._turn)
        data = cid.check(await self._blocks.get(cid, max_bytes=MAX_BLOCK_BYTES))
        self._bytes_left -= len(data)
        if self._bytes_left < 0:
            raise Malformed(f"the store is over {self.limits.max_bytes} bytes")
        return data

    async def _take(self, turn: LargeStoreTurn) -> None:
        """Waits for the turn, which takes none of this store's own time."""
        began, ends = asyncio.get_running_loop().time(), self._clock.when()
        self._clock.reschedule(None)
        await turn.take()
        if ends is not None:
            self._clock.reschedule(ends + asyncio.get_running_loop().time() - began)

    async def section(self, terms: Terms, apart: Apart) -> Section:
        """A section from its page; what is wrong with that one is the section's own fault."""
        data = await self._read(apart.page)
        try:
            return await asyncio.to_thread(
                lambda: parse_part_page(terms, apart, dag_json.decode(data))
            )
        except Malformed as error:
            return Section(apart.first_copy, apart.copies, apart.root, fault=str(error))

    async def page(self, cid: Cid) -> Page:
        """A page."""
        page = await self.fetch(cid, "a page", parse_page)
        self.count_items(page.items)
        return page

    async def more(self, page: Page) -> list[tuple[Item, Goods]]:
        """The items of a page with their details, and their goods.

        A thousand pages may name one block: it counts each time.
        """
        items = await self.fetch(
            page.details, "details of a page", lambda value: parse_details(value, page.items)
        )
        goods = await self.fetch(
            page.goods, "goods of a page", lambda value: parse_goods(value, items)
        )
        self.count_goods(goods)
        return list(zip(items, goods, strict=True))

    def count_items(self, items: Sequence[Item]) -> None:
        """Takes items off the budget."""
        self._items_left -= len(items)
        if self._items_left < 0:
            raise Malformed(f"the store has over {self.limits.max_items} items")

    def count_goods(self, goods: Sequence[Goods]) -> None:
        """Takes parts, and pages of parts, off the budget."""
        self._part_pages_left -= sum(len(one.apart) for one in goods)
        self._parts_left -= sum(one.parts for one in goods)
        self._plain_left -= sum(
            one.parts for one in goods if one.section and not one.section.sealing_key
        )
        if self._part_pages_left < 0:
            raise Malformed(f"the store has over {self.limits.max_part_pages} pages of parts")
        if self._parts_left < 0:
            raise Malformed(f"the store has over {self.limits.max_parts} sealed parts")
        if self._plain_left < 0:
            raise Malformed(
                f"the store has over {self.limits.max_plain_parts} sealed parts without a page key"
            )


async def _map(things: Sequence[T], work: Callable[[T], Awaitable[U]]) -> list[U]:
    """Results in order, a few under way at once; the first error after its batch has ended."""
    results: list[U] = []
    for start in range(0, len(things), _CONCURRENT_BLOCKS):
        batch = things[start : start + _CONCURRENT_BLOCKS]
        for result in await asyncio.gather(*map(work, batch), return_exceptions=True):
            if isinstance(result, BaseException):
                raise result
            results.append(result)
    return results


async def read_store(
    blocks: BlockStore,
    digest: bytes,
    *,
    chain_id: int,
    market: Address,
    seller: Address,
    root: bytes | None,
    limits: Limits | None = None,
    turn: LargeStoreTurn | None = None,
    whole: bool = True,
) -> Store:
    """Fetches a store and checks all of it.

    Args:
        blocks: Where the blocks are.
        digest: SHA-256 in the CID of the document, as the chain has it.
        chain_id: Chain that the document has to name.
        market: Marketplace contract that the document has to name.
        seller: Seller that the document has to name.
        root: Catalogue root, as the chain has it. None: of a document that no chain vouches for,
            and under which nothing is bought or served.
        limits: Defaults to `Limits()`.
        turn: Taken before more than `LARGE_STORE_BYTES` are read; the caller gives it back.
        whole: False: the pages alone, which is what lists need. The items have neither details
            nor sections then, and nothing is known of what is wrong with those.

    Raises:
        Malformed: A block breaks a rule, or the terms are not those of the root.
        IpfsError: A block is not to be had now, or not within the limit of seconds.
        BlockRefused: A block is over 1 MiB.
    """
    limits = limits or Limits()
    try:
        async with asyncio.timeout(limits.seconds) as clock:
            reader = _Reader(blocks, limits, turn, clock)
            document = await reader.fetch(Cid("dag-json", digest), "the root", parse_root)
            named = (document["chainId"], document["market"], document["seller"])
            if named != (chain_id, market, seller):
                raise Malformed("the document is of another chain, market or seller")
            items = await _read_items(reader, document, whole=whole)
            return await asyncio.to_thread(_assemble, document, digest, root, items)
    except TimeoutError:
        raise IpfsError(
            f"the store 0x{digest.hex()} did not arrive within {limits.seconds:g} s"
        ) from None


async def _read_items(reader: _Reader, document: dict[str, Any], *, whole: bool) -> list[Item]:
    if "pages" in document:
        links = validation.array(
            document["pages"],
            "pages",
            reader.limits.max_pages,
            lambda value, what: validation.link(value, f"one of {what}", "dag-json"),
        )
        if len(set(links)) != len(links):
            raise Malformed("the document names a page twice")
        pages = await _map(links, reader.page)
        if not whole:
            return [item for page in pages for item in page.items]
        found = [pair for pairs in await _map(pages, reader.more) for pair in pairs]
    else:
        found = await asyncio.to_thread(parse_whole_items, document)
        reader.count_items([item for item, _ in found])
        reader.count_goods([goods for _, goods in found])
    items = []
    for item, goods in found:
        if goods.section:
            sections = [goods.section]
        else:
            sections = await _map(goods.apart, partial(reader.section, item.terms))
        items.append(replace(item, sections=tuple(sections)))
    return items


def _assemble(
    document: dict[str, Any], digest: bytes, root: bytes | None, items: Sequence[Item]
) -> Store:
    """The checks that need more than one item or section at once."""
    if len({item.terms.item_id for item in items}) != len(items):
        raise Malformed("two items of the store have the same id")
    found = MerkleTree([hashing.terms_leaf(item.terms) for item in items]).root
    if root is not None and found != root:
        raise Malformed("the terms in the document are not those of the catalogue root on chain")
    return Store(
        name=document["storeName"],
        chain_id=document["chainId"],
        market=document["market"],
        seller=document["seller"],
        digest=digest,
        root=found,
        items=tuple(items),
    )
