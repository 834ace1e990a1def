"""Reads a store's document: from untrusted blocks to items whose terms the chain vouches for.

The format is in docs/protocol.md, section 4, and in ``schema/store.schema.json``. One broken rule
in the document or its pages and the whole store is `Malformed`: the catalogue root, which is all
that ties it to the chain, could not be checked over what is left. A broken page of parts breaks
nothing but its section (`Section.fault`): else a seller could break the one that holds a
deliverer's parts, and that deliverer would refuse a store which all others take.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Self, TypeVar

from dam import validation
from dam.catalog import about
from dam.catalog.about import About
from dam.catalog.payload import payload_from_json
from dam.catalog.store import Item, Section, Store
from dam.crypto import hashing
from dam.crypto.merkle import MerkleTree, section_roots
from dam.crypto.sealing import PLAIN_SEALED_BYTES, SEALED_BYTES, check_public_key
from dam.errors import IpfsError, Malformed
from dam.ipfs import dag_json
from dam.ipfs.blocks import MAX_BLOCK_BYTES, BlockStore
from dam.ipfs.cid import Cid
from dam.types import MAX_PARTS, ZERO_ADDRESS, Address, Terms, Wei

VERSION = 2
MAX_SUPPLY = 2**64 - 1
_CONCURRENT_BLOCKS = 4
LARGE_STORE_BYTES = 2 << 20
"""Stores larger than this are read one at a time (`LargeStoreTurn`)."""
T = TypeVar("T")
U = TypeVar("U")

_TERMS_KEYS = (
    "itemId", "title", "price", "token", "commission", "penalty", "bond", "supply", "stock",
    "parts", "threshold", "arbitrator", "partsRoot", "otherMetadata",
)  # fmt: skip
_PART_KEYS = ("encryptedParts", "partLeaves", "payloads")
_STORE_KEYS = ("version", "storeName", "chainId", "market", "seller")


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


@dataclass(frozen=True, slots=True)
class _Apart:
    """A section whose parts stand on a page of their own."""

    page: Cid
    first_copy: int
    copies: int
    root: bytes


@dataclass(frozen=True, slots=True)
class _Draft:
    """An item whose parts may still stand in pages of their own."""

    name: str
    title: str
    terms: Terms
    metadata_json: bytes
    section: Section | None
    apart: tuple[_Apart, ...]
    about: About
    withdrawn: tuple[range, ...]

    @property
    def parts(self) -> int:
        """How many sealed parts it has, wherever they stand."""
        copies = sum(one.copies for one in self.apart)
        return self.terms.parts * (self.section.copies if self.section else copies)


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

    async def fetch(self, cid: Cid, parse: Callable[[Any], T]) -> T:
        """One document, parsed in a thread so that the event loop stays free."""
        data = await self._read(cid)
        return await asyncio.to_thread(lambda: parse(dag_json.decode(data)))

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

    async def section(self, terms: Terms, apart: _Apart) -> Section:
        """A section from its page; what is wrong with that one is the section's own fault."""
        data = await self._read(apart.page)
        try:
            return await asyncio.to_thread(
                lambda: _parse_part_page(terms, apart, dag_json.decode(data))
            )
        except Malformed as error:
            return Section(apart.first_copy, apart.copies, apart.root, fault=str(error))

    async def page(self, cid: Cid) -> list[_Draft]:
        """The items of a page. One block may be named a thousand times: each counts anew."""
        drafts = await self.fetch(cid, _parse_page)
        self.count_drafts(drafts)
        return drafts

    def count_drafts(self, drafts: Sequence[_Draft]) -> None:
        """Takes the items of a page, and their pages of parts, off the budget."""
        self._items_left -= len(drafts)
        self._part_pages_left -= sum(len(draft.apart) for draft in drafts)
        self._parts_left -= sum(draft.parts for draft in drafts)
        self._plain_left -= sum(
            draft.parts for draft in drafts if draft.section and not draft.section.sealing_key
        )
        if self._items_left < 0:
            raise Malformed(f"the store has over {self.limits.max_items} items")
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
    root: bytes,
    limits: Limits | None = None,
    turn: LargeStoreTurn | None = None,
) -> Store:
    """Fetches a store and checks all of it.

    Args:
        blocks: Where the blocks are.
        digest: SHA-256 in the CID of the document, as the chain has it.
        chain_id: Chain that the document has to name.
        market: Marketplace contract that the document has to name.
        seller: Seller that the document has to name.
        root: Catalogue root, as the chain has it.
        limits: Defaults to `Limits()`.
        turn: Taken before more than `LARGE_STORE_BYTES` are read; the caller gives it back.

    Raises:
        Malformed: A block breaks a rule, or the terms are not those of the root.
        IpfsError: A block is not to be had now, or not within the limit of seconds.
        BlockRefused: A block is over 1 MiB.
    """
    limits = limits or Limits()
    try:
        async with asyncio.timeout(limits.seconds) as clock:
            reader = _Reader(blocks, limits, turn, clock)
            document = await reader.fetch(Cid("dag-json", digest), _check_store)
            named = (document["chainId"], document["market"], document["seller"])
            if named != (chain_id, market, seller):
                raise Malformed("the document is of another chain, market or seller")
            items = await _read_items(reader, document)
            return await asyncio.to_thread(_assemble, document, digest, root, items)
    except TimeoutError:
        raise IpfsError(
            f"the store 0x{digest.hex()} did not arrive within {limits.seconds:g} s"
        ) from None


def _check_store(value: Any) -> dict[str, Any]:
    """The root document with its own fields read; ``items`` or ``pages`` still as they came."""
    if isinstance(value, dict) and value.get("version") != VERSION:
        raise Malformed(f"the store document is not of version {VERSION}")
    if isinstance(value, dict) and "pages" in value:
        validation.record(value, "store", (*_STORE_KEYS, "pages"))
    else:
        validation.record(value, "store", (*_STORE_KEYS, "items"), ("sealingKey",))
    validation.integer(value["version"], "version", VERSION, VERSION)
    return {
        **value,
        "storeName": validation.title(value["storeName"], "storeName"),
        "chainId": validation.integer(value["chainId"], "chainId", 1, dag_json.MAX_INTEGER),
        "market": validation.address(value["market"], "market"),
        "seller": validation.address(value["seller"], "seller"),
    }


async def _read_items(reader: _Reader, document: dict[str, Any]) -> list[Item]:
    limits = reader.limits
    if "pages" in document:
        pages = validation.array(
            document["pages"],
            "pages",
            limits.max_pages,
            lambda value, what: validation.link(value, f"one of {what}", "dag-json"),
        )
        lists = await _map(pages, reader.page)
    else:
        page = {key: document[key] for key in ("sealingKey", "items") if key in document}
        lists = [await asyncio.to_thread(_parse_page, page)]
        reader.count_drafts(lists[0])
    drafts = [draft for page_items in lists for draft in page_items]
    items = []
    for draft in drafts:
        if draft.section:
            sections = [draft.section]
        else:
            sections = await _map(draft.apart, partial(reader.section, draft.terms))
        items.append(
            Item(
                name=draft.name,
                title=draft.title,
                terms=draft.terms,
                metadata_json=draft.metadata_json,
                sections=tuple(sections),
                about=draft.about,
                withdrawn=draft.withdrawn,
            )
        )
    return items


def _assemble(document: dict[str, Any], digest: bytes, root: bytes, items: Sequence[Item]) -> Store:
    """The checks that need more than one item or section at once."""
    if len({item.terms.item_id for item in items}) != len(items):
        raise Malformed("two items of the store have the same id")
    store = Store(
        name=document["storeName"],
        chain_id=document["chainId"],
        market=document["market"],
        seller=document["seller"],
        digest=digest,
        root=root,
        items=tuple(items),
    )
    if MerkleTree([hashing.terms_leaf(item.terms) for item in items]).root != root:
        raise Malformed("the terms in the document are not those of the catalogue root on chain")
    return store


def _parse_page(value: Any) -> list[_Draft]:
    validation.record(value, "page", ("items",), ("sealingKey",))
    key = _sealing_key(value)
    return list(
        validation.array(
            value["items"], "items", MAX_BLOCK_BYTES, lambda element, _: _parse_item(element, key)
        )
    )


def _sealing_key(value: dict[str, Any]) -> bytes | None:
    if "sealingKey" not in value:
        return None
    key = validation.bytes32(value["sealingKey"], "sealingKey")
    check_public_key(key)
    return key


def _parse_item(value: Any, key: bytes | None) -> _Draft:
    parts_apart = isinstance(value, dict) and "sections" in value
    form = ("sections",) if parts_apart else _PART_KEYS
    validation.record(value, "item", (*_TERMS_KEYS, *form), (*about.KEYS, "withdrawn"))
    terms = _parse_terms(value)
    copies = terms.supply if terms.stock else 1
    section = None if parts_apart else _parse_parts(value, key, terms, 0, copies, terms.parts_root)
    return _Draft(
        name=value["itemId"],
        title=validation.title(value["title"], "title"),
        terms=terms,
        metadata_json=dag_json.dumps(validation.metadata(value["otherMetadata"], "otherMetadata")),
        section=section,
        apart=_parse_sections(value["sections"], terms, copies) if parts_apart else (),
        about=about.from_json(value),
        withdrawn=about.ranges_from_json(value["withdrawn"], "withdrawn", terms.supply)
        if "withdrawn" in value
        else (),
    )


def _parse_sections(value: Any, terms: Terms, copies: int) -> tuple[_Apart, ...]:
    """The sections cover copy 0 to the last one, in order, and their roots make partsRoot."""
    found: list[_Apart] = []

    def read(element: Any, what: str) -> None:
        validation.record(element, f"one of {what}", ("page", "copies", "root"))
        page = validation.link(element["page"], "the page of a section", "dag-json")
        count = validation.integer(element["copies"], "copies", 1, dag_json.MAX_INTEGER)
        first = found[-1].first_copy + found[-1].copies if found else 0
        found.append(_Apart(page, first, count, validation.bytes32(element["root"], "root")))

    validation.array(value, "sections", MAX_BLOCK_BYTES, read)
    if sum(one.copies for one in found) != copies:
        raise Malformed("an item has parts for more or fewer copies than it sells")
    if section_roots([one.root for one in found]).root != terms.parts_root:
        raise Malformed("the sections of an item are not those of its partsRoot")
    return tuple(found)


def _parse_terms(value: dict[str, Any]) -> Terms:
    terms = Terms(
        item_id=hashing.item_id(validation.identifier(value["itemId"], "itemId")),
        token=validation.address(value["token"], "token"),
        price=validation.amount(value["price"], "price"),
        commission=Wei(validation.amount(value["commission"], "commission")),
        penalty=Wei(validation.amount(value["penalty"], "penalty")),
        bond=Wei(validation.amount(value["bond"], "bond")),
        supply=validation.amount(value["supply"], "supply", MAX_SUPPLY),
        stock=validation.boolean(value["stock"], "stock"),
        parts=validation.integer(value["parts"], "parts", 1, MAX_PARTS),
        threshold=validation.integer(value["threshold"], "threshold", 1, MAX_PARTS),
        arbitrator=validation.address(value["arbitrator"], "arbitrator"),
        parts_root=validation.bytes32(value["partsRoot"], "partsRoot"),
    )
    check_terms(terms)
    return terms


def check_terms(terms: Terms) -> None:
    """Refuses terms under which the contract sells nothing.

    Raises:
        Malformed: 1 <= k <= n <= 32 does not hold, or a native commission is over the price.
    """
    if not 1 <= terms.threshold <= terms.parts <= MAX_PARTS:
        raise Malformed("an item's threshold is not between 1 and its number of parts")
    if terms.token == ZERO_ADDRESS and terms.commission > terms.price:
        raise Malformed("an item's commission is over its price")


def _parse_part_page(terms: Terms, apart: _Apart, value: Any) -> Section:
    validation.record(value, "page of parts", ("firstCopy", "copies", "sealingKey", *_PART_KEYS))
    validation.integer(value["firstCopy"], "firstCopy", apart.first_copy, apart.first_copy)
    validation.integer(value["copies"], "copies", apart.copies, apart.copies)
    return _parse_parts(
        value, _sealing_key(value), terms, apart.first_copy, apart.copies, apart.root
    )


def _parse_parts(
    value: dict[str, Any], key: bytes | None, terms: Terms, first: int, copies: int, root: bytes
) -> Section:
    size = PLAIN_SEALED_BYTES if key is None else SEALED_BYTES
    sealed = validation.array(
        value["encryptedParts"],
        "encryptedParts",
        MAX_BLOCK_BYTES,
        lambda element, what: validation.hexadecimal(element, what, size),
    )
    leaves = validation.array(
        value["partLeaves"], "partLeaves", MAX_BLOCK_BYTES, validation.bytes32
    )
    payloads = validation.array(value["payloads"], "payloads", MAX_BLOCK_BYTES, payload_from_json)
    if not len(sealed) == len(leaves) == copies * terms.parts:
        raise Malformed("there is not one sealed part and one leaf per copy and index")
    if len(payloads) != copies:
        raise Malformed("there is not one payload per copy")
    section = Section(first, copies, root, key, sealed, leaves, payloads)
    if section.tree.root != root:
        raise Malformed("the part leaves are not those of their root")
    return section
