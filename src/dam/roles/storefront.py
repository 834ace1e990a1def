"""Stores as buyers see them: documents checked against the chain, and what the chain adds."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from dam.catalog.reader import Item, Store, read_store
from dam.crypto.hashing import item_id
from dam.errors import BlockMismatch, BlockRefused, IpfsError, IpfsUnreachable, Malformed, Permanent
from dam.ethereum.erc20 import Tokens, read_tokens
from dam.ipfs.blocks import BlockStore
from dam.market.client import Market
from dam.market.log_history import OPERATORS, History, read_history
from dam.market.reputation import Rating, SellerRecord, bound_stake, seller_records
from dam.roles.notice import Notice, silent
from dam.types import ZERO32, Address, Deployment, StoreVersion, Wei


@dataclass(frozen=True, slots=True)
class Storefront:
    """A store that sells, with what the chain says of it and of its seller."""

    store: Store
    free_stake: Wei
    bound_stake: Wei
    """Held by the seller's open sales."""
    record: SellerRecord
    """How the seller's sales ended, and how buyers rated them."""
    tokens: Tokens
    """Those that its items are priced in."""
    history: History

    @property
    def rating(self) -> Rating:
        """Of the seller, by buyers."""
        return self.record.rating

    def taken(self, item: Item) -> set[int]:
        """Sold and burned copies of an item."""
        return self.history.state.taken(self.store.seller, item.terms.item_id)

    def free_copies(self, item: Item) -> int:
        """How many copies of an item are left."""
        return free_copies(item, self.taken(item))

    def is_backed(self, item: Item) -> bool:
        """Whether the seller's free stake covers one more sale of an item."""
        return self.free_stake >= item.terms.reserve


@dataclass(frozen=True, slots=True)
class UnreadableStore:
    """A store that is left out, and why."""

    seller: Address
    reason: str


@dataclass(frozen=True, slots=True)
class Stores:
    """All stores of a market as of one block."""

    block: int
    open: tuple[Storefront, ...]
    unreadable: tuple[UnreadableStore, ...]
    closed: tuple[Address, ...]
    """Sellers who have closed theirs."""


async def browse(
    market: Market,
    blocks: BlockStore,
    *,
    seller: Address | None = None,
    notice: Notice = silent,
) -> Stores:
    """Reads every store of a market, each byte checked; those that cannot be read are left out.

    Args:
        market: The market.
        blocks: Has the documents.
        seller: Only this seller's store.
        notice: Hears of stores that are left out.

    Raises:
        Permanent: The seller asked for has no store, or has closed it.
        IpfsError: The block store is down, or has not one of the documents.
    """
    history = await read_history(market, also=OPERATORS)
    newest = {owner: versions[-1] for owner, versions in history.state.stores.items()}
    if seller is not None:
        if seller not in newest:
            raise Permanent(f"{seller} has no store in this market")
        newest = {seller: newest[seller]}
    records = seller_records(history.state, history.logs)
    found: list[Storefront] = []
    unreadable: list[UnreadableStore] = []
    closed: list[Address] = []
    absent: list[IpfsError] = []
    for version in newest.values():
        if version.root == ZERO32:
            if seller is not None:
                raise Permanent(f"{seller} has closed the store")
            closed.append(version.seller)
            continue
        try:
            store = await read_version(blocks, market.deployment, version)
        except IpfsUnreachable:
            raise
        except (Malformed, IpfsError, BlockRefused) as error:
            if isinstance(error, IpfsError) and not isinstance(error, BlockMismatch):
                absent.append(error)
            unreadable.append(UnreadableStore(version.seller, str(error)))
            notice(f"The store of {version.seller} is left out: {error}")
            continue
        found.append(
            Storefront(
                store,
                await market.seller_stake(version.seller),
                bound_stake(history.state, version.seller),
                records.get(version.seller, SellerRecord()),
                await read_tokens(market.rpc, {item.terms.token for item in store.items}),
                history,
            )
        )
    if absent and not found:
        raise _nothing_read(absent)
    return Stores(history.head, tuple(found), tuple(unreadable), tuple(closed))


def _nothing_read(absent: list[IpfsError]) -> IpfsError:
    """A node without peers, or one that hangs: that is no market without offers."""
    return IpfsError(
        f"the IPFS node gave none of the documents of {len(absent)} open stores; {absent[0]}"
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


def free_copies(item: Item, taken: Collection[int]) -> int:
    """How many copies are left."""
    return item.terms.supply - sum(copy < item.terms.supply for copy in taken)
