"""Stores as buyers see them: what the index lists, and documents checked against the chain."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from dam.catalog.reader import read_store
from dam.catalog.store import Item, Store
from dam.crypto.hashing import catalogue_commitment, item_id
from dam.errors import IpfsError, Permanent
from dam.ethereum.erc20 import Tokens, read_tokens
from dam.index.index import Documents, Index, Synced
from dam.index.sale_reader import read_cases, read_seller_record, read_taken
from dam.index.sale_reader import read_version as indexed_version
from dam.index.search import PAGE_HITS, Found, Query, search
from dam.index.status import (
    UnreadStore,
    closed_stores,
    count_waiting,
    has_items,
    unread_stores,
)
from dam.ipfs.blocks import BlockStore
from dam.market.client import Market
from dam.market.log_history import read_arbiter_record
from dam.market.reputation import ArbiterRecord, SellerRecord
from dam.roles.notice import Notice, silent
from dam.types import ZERO32, Address, Deployment, StoreVersion, Wei

_LIST_SECONDS = 30.0
"""For documents of stores that were not read yet, before a list is shown."""
ANY_QUERY = Query()


@dataclass(frozen=True, slots=True)
class Listing:
    """What is for sale as of one block, or a page of it."""

    block: int
    found: Found
    tokens: Tokens
    """Those that it is priced in."""
    page: int | None
    """None: it is all."""
    unreadable: tuple[UnreadStore, ...]
    closed: tuple[Address, ...]
    """Sellers who have closed theirs."""
    waiting: int
    """Stores whose documents nobody tried to read yet."""

    @property
    def pages(self) -> int:
        """How many pages there are."""
        return -(-self.found.candidates // PAGE_HITS)


async def browse(
    index: Index,
    market: Market,
    blocks: BlockStore,
    query: Query = ANY_QUERY,
    *,
    page: int | None = None,
    notice: Notice = silent,
) -> Listing:
    """Lists what is for sale, from the index, once that is up to date.

    Args:
        index: Of the market.
        market: The market.
        blocks: Has the documents.
        query: What is looked for.
        page: Which page, from 1 on; None: all of it.
        notice: Hears of stores that are left out.

    Raises:
        Permanent: The seller asked for has no store, or has closed it.
        IpfsError: The block store is down, or has not one of the documents.
    """
    synced = await index.sync(market)
    if query.seller is not None:
        _open_version(index, query.seller)
    sellers = None if query.seller is None else [query.seller]
    documents = await index.read_documents(
        blocks, seconds=_LIST_SECONDS, sellers=sellers, patient=query.seller is None
    )
    unreadable = unread_stores(index, seller=query.seller)
    waiting = count_waiting(index)
    if not has_items(index):
        _check_read_any(documents, unreadable)
    for one in unreadable:
        notice(f"The store of {one.seller} is left out: {one.reason}")
    if documents.unreachable is not None:
        notice(f"{waiting} stores could not be read: {documents.unreachable}")
    elif waiting:
        notice(f"{waiting} stores were not read yet: `dam index sync` reads them all")
    found = search(index.db, query, page)
    return Listing(
        synced.head.number,
        found,
        await read_tokens(market.rpc, {hit.terms.token for hit in found.hits}),
        page,
        unreadable,
        closed_stores(index),
        waiting,
    )


def _check_read_any(documents: Documents, unreadable: tuple[UnreadStore, ...]) -> None:
    """A node without peers, or one that hangs: that is no market without offers."""
    if documents.unreachable is not None:
        raise documents.unreachable
    absent = [one.reason for one in unreadable if not one.final]
    if absent:
        raise IpfsError(
            f"the IPFS node gave none of the documents of {len(absent)} open stores; {absent[0]}"
        )


def _open_version(index: Index, seller: Address) -> StoreVersion:
    """The newest version of a store that is open, as the index has it.

    Raises:
        Permanent: There is none.
    """
    version = indexed_version(index.db, seller)
    if version is None:
        raise Permanent(f"{seller} has no store in this market: `dam buyer browse` lists them")
    if version.root == ZERO32:
        raise Permanent(f"{seller} has closed the store: nothing in it is for sale")
    return version


# ------------------------------------------------------------------------------------ one item


@dataclass(frozen=True, slots=True)
class Offer:
    """An item of a store whose document was read and checked just now.

    Whether that is the store's document on the chain, `check_current` says; all else that is not in
    the document is the index's word.
    """

    synced: Synced
    version: StoreVersion
    store: Store
    item: Item
    taken: frozenset[int]
    """Sold and burned copies."""
    seller_record: SellerRecord
    bound_stake: Wei
    """Held by the seller's open sales."""
    arbiter: ArbiterRecord
    """What the item's arbitrator did so far; all zero where it names none."""

    @property
    def free(self) -> int:
        """How many copies are left."""
        return free_copies(self.item, self.taken)


async def read_offer(
    index: Index, market: Market, blocks: BlockStore, seller: Address, item_name: str
) -> Offer:
    """An item with its store's document, of the version that the index names.

    Raises:
        Permanent: There is no such store or item, or the store is closed.
        Malformed: The document breaks a rule, or is not what the chain committed to.
        IpfsError, RpcError: Block store or node could not be asked.
    """
    synced = await index.sync(market)
    version = _open_version(index, seller)
    store = await read_version(blocks, market.deployment, version)
    item = find_item(store, item_name)
    record, bound = read_seller_record(index.db, seller)
    cases = read_cases(index.db, item.terms.arbitrator)
    return Offer(
        synced,
        version,
        store,
        item,
        frozenset(read_taken(index.db, seller, item.terms.item_id)),
        record,
        bound,
        await read_arbiter_record(market, cases, synced.clock, item.terms.arbitrator),
    )


def check_current(version: StoreVersion, found: tuple[bytes, bytes]) -> None:
    """Refuses a version that is not the store's on the chain.

    Args:
        version: As the index has it.
        found: What the chain says of the store now (`Market.store`).

    Raises:
        Permanent: The store changed, or the index tells something else than the chain.
    """
    if found != (version.digest, catalogue_commitment(version.digest, version.root)):
        raise Permanent(
            "the store changed just now, the node left a log out, or the index is wrong: try "
            "again, and if that does not help, `dam index sync --anew`"
        )


async def read_version(blocks: BlockStore, deployment: Deployment, version: StoreVersion) -> Store:
    """A store's document as one of its versions named it, every byte checked.

    Raises:
        Malformed: It breaks a rule, or is not what the chain committed to.
        IpfsError: It is not to be had now.
    """
    return await read_store(
        blocks,
        version.digest,
        chain_id=deployment.chain_id,
        market=deployment.market,
        seller=version.seller,
        root=version.root,
    )


def find_item(store: Store, text: str) -> Item:
    """An item by its id, or by the 0x-hex of its hash.

    Raises:
        Permanent: The store has no such item.
    """
    found = store.item(item_id(text))
    if found is None and text.startswith("0x") and len(text) == 66:
        try:
            found = store.item(bytes.fromhex(text[2:]))
        except ValueError:
            found = None
    if found is None:
        raise Permanent(f"the store has no item {text!r}: `dam buyer browse` lists them")
    return found


def gone_copies(item: Item, taken: Collection[int]) -> list[range]:
    """Copies that nobody can buy, taken or withdrawn: ascending, none twice."""
    sold = [copy for copy in taken if copy < item.terms.supply and not item.is_withdrawn(copy)]
    gone = [*item.withdrawn, *(range(copy, copy + 1) for copy in sold)]
    return sorted(gone, key=lambda one: one.start)


def free_copies(item: Item, taken: Collection[int]) -> int:
    """How many copies are left."""
    return item.terms.supply - sum(one.stop - one.start for one in gone_copies(item, taken))
