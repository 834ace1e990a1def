"""Reads a store's document: from untrusted blocks to items whose terms the chain vouches for.

The format is in docs/protocol.md, section 4, and in ``schema/store.schema.json``. One broken rule
anywhere and the whole store is `Malformed`: the catalogue root, which is all that ties the document
to the chain, could not be checked over what is left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Self, TypeVar

from dam import validation
from dam.catalog.payload import Payload, payload_from_json
from dam.crypto import hashing
from dam.crypto.merkle import MerkleTree
from dam.crypto.sealing import PLAIN_SEALED_BYTES, SEALED_BYTES, check_public_key
from dam.errors import IpfsError, Malformed
from dam.ipfs import dag_json
from dam.ipfs.blocks import MAX_BLOCK_BYTES, BlockStore
from dam.ipfs.cid import Cid
from dam.types import MAX_PARTS, ZERO_ADDRESS, Address, Terms, Wei

VERSION = 1
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
class Section:
    """The parts of consecutive copies, under one sealing key."""

    sealing_key: bytes | None
    """X25519, 32 bytes; None: each part is a sealed box of its own."""
    first_copy: int
    copies: int
    encrypted_parts: tuple[bytes, ...]
    """Sealed parts in no order, as many as there are leaves."""
    part_leaves: tuple[bytes, ...]
    """Leaf hashes, copy by copy, n each, by index."""
    payloads: tuple[Payload, ...]
    """One per copy."""

    def __contains__(self, copy: object) -> bool:
        return isinstance(copy, int) and 0 <= copy - self.first_copy < self.copies


@dataclass(frozen=True)
class Item:
    """What a store sells under one id."""

    name: str
    """The id, as the document has it."""
    title: str
    terms: Terms
    metadata_json: bytes
    """Canonical JSON: hostile metadata takes ten times the memory once it is parsed."""
    sections: tuple[Section, ...]

    @property
    def metadata(self) -> dict[str, Any]:
        """The seller's ``otherMetadata``: escape it before printing."""
        value: dict[str, Any] = dag_json.loads(self.metadata_json)
        return value

    @cached_property
    def _tree(self) -> MerkleTree:
        return MerkleTree([leaf for s in self.sections for leaf in s.part_leaves])

    def parts_tree(self) -> MerkleTree:
        """The tree under ``terms.parts_root``."""
        return self._tree

    def leaf_copy(self, copy: int) -> int:
        """The copy whose parts serve ``copy``: copy 0 where all copies share them."""
        return copy if self.terms.stock else 0

    def payload(self, copy: int) -> Payload:
        """The encrypted good of a copy.

        Raises:
            Malformed: The item has no such copy.
        """
        if not 0 <= copy < self.terms.supply:
            raise Malformed(f"item {self.name!r} has no copy {copy + 1}")
        wanted = self.leaf_copy(copy)
        section = next(s for s in self.sections if wanted in s)
        return section.payloads[wanted - section.first_copy]


@dataclass(frozen=True)
class Store:
    """A store, every byte of it checked against its CID, and its terms against the chain's root."""

    name: str
    chain_id: int
    market: Address
    seller: Address
    digest: bytes
    """SHA-256 in the CID of the document."""
    root: bytes
    """Catalogue root."""
    items: tuple[Item, ...]

    @cached_property
    def _by_id(self) -> dict[bytes, Item]:
        return {item.terms.item_id: item for item in self.items}

    @cached_property
    def _tree(self) -> MerkleTree:
        return MerkleTree([hashing.terms_leaf(item.terms) for item in self.items])

    def item(self, item_id: bytes) -> Item | None:
        """The item whose id hashes to ``item_id`` (32 bytes), or None."""
        return self._by_id.get(item_id)

    def terms_proof(self, item: Item) -> tuple[bytes, ...]:
        """Merkle proof of the item's terms under the catalogue root, as ``buyItem`` takes it."""
        return self._tree.proof(hashing.terms_leaf(item.terms))


@dataclass(frozen=True, slots=True)
class _Draft:
    """An item whose parts may still stand in pages of their own."""

    name: str
    title: str
    terms: Terms
    metadata_json: bytes
    section: Section | None
    part_pages: tuple[Cid, ...]


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
        if self._turn and self.limits.max_bytes - self._bytes_left > LARGE_STORE_BYTES:
            await self._take(self._turn)
        data = cid.check(await self._blocks.get(cid, max_bytes=MAX_BLOCK_BYTES))
        self._bytes_left -= len(data)
        if self._bytes_left < 0:
            raise Malformed(f"the store is over {self.limits.max_bytes} bytes")
        return await asyncio.to_thread(lambda: parse(dag_json.decode(data)))

    async def _take(self, turn: LargeStoreTurn) -> None:
        """Waits for the turn, which takes none of this store's own time."""
        began, ends = asyncio.get_running_loop().time(), self._clock.when()
        self._clock.reschedule(None)
        await turn.take()
        if ends is not None:
            self._clock.reschedule(ends + asyncio.get_running_loop().time() - began)

    async def fetch_all(self, cids: Sequence[Cid], parse: Callable[[Any], T]) -> list[T]:
        return await _map(cids, lambda cid: self.fetch(cid, parse))

    async def page(self, cid: Cid) -> list[_Draft]:
        """The items of a page. One block may be named a thousand times: each counts anew."""
        drafts = await self.fetch(cid, _parse_page)
        self.count_drafts(drafts)
        return drafts

    def count_drafts(self, drafts: Sequence[_Draft]) -> None:
        """Takes the items of a page, and their pages of parts, off the budget."""
        self._items_left -= len(drafts)
        self._part_pages_left -= sum(len(draft.part_pages) for draft in drafts)
        if self._items_left < 0:
            raise Malformed(f"the store has over {self.limits.max_items} items")
        if self._part_pages_left < 0:
            raise Malformed(f"the store has over {self.limits.max_part_pages} pages of parts")

    def count(self, sections: Iterable[Section]) -> None:
        """Takes the sections' parts off the budget."""
        for section in sections:
            self._parts_left -= len(section.encrypted_parts)
            if section.sealing_key is None:
                self._plain_left -= len(section.encrypted_parts)
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
            parse = partial(_parse_part_page, draft.terms)
            sections = await reader.fetch_all(draft.part_pages, parse)
        reader.count(sections)
        items.append(
            Item(draft.name, draft.title, draft.terms, draft.metadata_json, tuple(sections))
        )
    return items


def _assemble(document: dict[str, Any], digest: bytes, root: bytes, items: Sequence[Item]) -> Store:
    """The checks that need more than one item or section at once."""
    if len({item.terms.item_id for item in items}) != len(items):
        raise Malformed("two items of the store have the same id")
    for item in items:
        _check_parts(item)
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


def _check_parts(item: Item) -> None:
    """The sections cover copy 0 to the last one, in order, and their leaves make partsRoot."""
    next_copy = 0
    for section in item.sections:
        if section.first_copy != next_copy:
            raise Malformed("the copies of an item do not follow on each other")
        next_copy += section.copies
    if next_copy != (item.terms.supply if item.terms.stock else 1):
        raise Malformed("an item has parts for more or fewer copies than it sells")
    if item.parts_tree().root != item.terms.parts_root:
        raise Malformed("the part leaves of an item are not those of its partsRoot")


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
    apart = isinstance(value, dict) and "partPages" in value
    validation.record(value, "item", (*_TERMS_KEYS, *(("partPages",) if apart else _PART_KEYS)))
    terms = _parse_terms(value)
    copies = terms.supply if terms.stock else 1
    return _Draft(
        name=value["itemId"],
        title=validation.title(value["title"], "title"),
        terms=terms,
        metadata_json=dag_json.dumps(validation.metadata(value["otherMetadata"], "otherMetadata")),
        section=None if apart else _parse_parts(value, key, terms, 0, copies),
        part_pages=validation.array(
            value["partPages"],
            "partPages",
            MAX_BLOCK_BYTES,
            lambda element, what: validation.link(element, f"one of {what}", "dag-json"),
        )
        if apart
        else (),
    )


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


def _parse_part_page(terms: Terms, value: Any) -> Section:
    validation.record(value, "page of parts", ("firstCopy", "copies", *_PART_KEYS), ("sealingKey",))
    first = validation.integer(value["firstCopy"], "firstCopy", 0, dag_json.MAX_INTEGER)
    copies = validation.integer(value["copies"], "copies", 1, MAX_BLOCK_BYTES)
    return _parse_parts(value, _sealing_key(value), terms, first, copies)


def _parse_parts(
    value: dict[str, Any], key: bytes | None, terms: Terms, first: int, copies: int
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
        raise Malformed("an item does not have one sealed part and one leaf per copy and index")
    if len(payloads) != copies:
        raise Malformed("an item does not have one payload per copy")
    return Section(key, first, copies, sealed, leaves, payloads)
