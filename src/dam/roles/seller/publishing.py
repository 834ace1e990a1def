"""Putting a store on the chain: what would change is planned, looked at, and then published.

Nobody sees a new document until the chain names it; so each use case ends with one transaction.
Hold `dam.roles.seller.store_changes.catalogue_lock` from the plan to the end.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from dam.crypto.hashing import catalogue_commitment
from dam.errors import Permanent
from dam.ethereum.node import gas_price_of
from dam.ipfs.blocks import BlockStore
from dam.market.client import Market
from dam.market.deliverers import Candidate
from dam.market.log_history import DELIVERERS, candidates, read_history
from dam.market.wallet import Receipt, Wallet, send_call
from dam.roles.seller.listings import Listing
from dam.roles.seller.store_builder import BuiltStore
from dam.roles.seller.store_changes import Change, Shop, apply_changes, plan_changes, warnings
from dam.roles.seller.store_file import StoreDraft
from dam.roles.storefront import read_version
from dam.types import ZERO32, Address
from dam.units import format_amount

# ---------------------------------------------------------------------------------------- publish


@dataclass(frozen=True)
class PublishPlan:
    """What publishing a store would change."""

    name: str
    """Of the store."""
    changes: tuple[Change, ...]
    warnings: tuple[str, ...]
    """What the seller should know; none of it is a mistake."""
    candidates: Mapping[Address, Candidate]
    """All deliverers."""
    exists: bool
    """Whether the seller has a store already."""


@dataclass(frozen=True)
class Published:
    """A store as the chain names it now."""

    built: BuiltStore
    receipt: Receipt | None
    """None: the chain named it already."""


async def plan_publication(
    market: Market,
    shop: Shop,
    draft: StoreDraft,
    *,
    assign: Collection[str] = (),
    must_exist: bool = False,
) -> PublishPlan:
    """Compares a draft with the catalogue and the chain. Nothing is made or sent.

    Args:
        market: Where to publish.
        shop: The seller's.
        draft: What the seller wrote.
        assign: Ids of items whose parts go to other deliverers, asked for by name.
        must_exist: Refuse to open a store where there is none.

    Raises:
        Permanent: Something cannot be done; all such things are in the message.
        RpcError: The node could not be asked.
    """
    exists = (await market.store(shop.seller))[0] != ZERO32
    if must_exist and not exists:
        raise Permanent(f"{shop.seller} has no store yet: `dam seller publish` opens one")
    await _check_stake(market, shop.seller, exists)
    history = await read_history(market, also=DELIVERERS)
    changes = await plan_changes(shop, draft, history.state, assign=assign)
    known = await candidates(market, history.logs)
    hints = warnings(
        changes,
        known,
        market.deployment.windows,
        gas_price=await gas_price_of(market.rpc),
        free_stake=await market.seller_stake(shop.seller),
    )
    return PublishPlan(draft.name, tuple(changes), (*draft.notes, *hints), known, exists)


async def publish(
    market: Market, blocks: BlockStore, wallet: Wallet, shop: Shop, plan: PublishPlan
) -> Published:
    """Does what was planned: encrypts, seals, publishes the blocks, and points the chain to them.

    Repeated after a crash, it goes on where it stopped.

    Args:
        market: As for the plan.
        blocks: Takes the documents and the encrypted goods.
        wallet: The seller's.
        shop: As for the plan.
        plan: From `plan_publication`.

    Raises:
        Permanent: Too few deliverers, or the account cannot pay (see `Wallet.send`).
        IpfsError, RpcError: The block store or the node failed.
    """
    built = await apply_changes(shop, blocks, plan.name, plan.changes, plan.candidates)
    return Published(built, await _announce(market, wallet, built, plan.exists))


async def _check_stake(market: Market, seller: Address, exists: bool) -> None:
    minimum = market.deployment.windows.min_seller_stake
    free = await market.seller_stake(seller)
    if not exists and free < minimum:
        raise Permanent(
            f"a store needs a free stake of {format_amount(minimum)}, and {seller} has "
            f"{format_amount(free)}: run `dam seller stake '{format_amount(minimum)}'` or more"
        )


async def _announce(
    market: Market, wallet: Wallet, built: BuiltStore, exists: bool
) -> Receipt | None:
    """Points the chain to the new store; None where it does already."""
    commitment = catalogue_commitment(built.digest, built.root)
    if (await market.store(wallet.address))[1] == commitment:
        return None
    function = "updateStore" if exists else "createStore"
    receipt = await send_call(wallet, market, function, built.digest, built.root)
    if await market.store(wallet.address) != (built.digest, commitment):
        raise Permanent(
            f"the chain names another store than the one of transaction 0x{receipt.tx_hash.hex()}: "
            "does another command publish for this account?"
        )
    return receipt


# ------------------------------------------------------------------------------------------ close


@dataclass(frozen=True, slots=True)
class ClosePlan:
    """A store that is open, and would sell nothing any more."""

    seller: Address
    digest: bytes
    """Of its document, which stays named."""


@dataclass(frozen=True)
class WithdrawalPlan:
    """An item that would no longer be for sale."""

    listing: Listing
    store_name: str
    digest: bytes
    """Of the document that sells it now."""


async def plan_closing(market: Market, seller: Address) -> ClosePlan:
    """Looks whether there is a store to close.

    Raises:
        Permanent: The seller has none, or has closed it.
    """
    digest, current = await market.store(seller)
    if digest == ZERO32:
        raise Permanent(f"{seller} has no store yet")
    if current == catalogue_commitment(digest, ZERO32):
        raise Permanent("the store is closed: `dam seller publish` opens it again")
    return ClosePlan(seller, digest)


async def close_store(market: Market, wallet: Wallet, plan: ClosePlan) -> Receipt:
    """Closes a store: nobody can buy any more. Sales made before go on as they were."""
    return await send_call(wallet, market, "updateStore", plan.digest, ZERO32)


def find_listing(shop: Shop, item: str) -> Listing:
    """The listing of an item that is for sale.

    Raises:
        Permanent: It is not.
    """
    listing = shop.catalogue.get(item)
    if listing is None or not listing.listed:
        raise Permanent(f"{item!r} is not for sale: `dam buyer browse` lists what is")
    return listing


async def plan_withdrawal(
    market: Market, blocks: BlockStore, shop: Shop, listing: Listing
) -> WithdrawalPlan:
    """Looks what taking an item off sale touches. Nothing is made or sent.

    Args:
        market: The market.
        blocks: Has the store's document.
        shop: The seller's.
        listing: From `find_listing`.

    Raises:
        Permanent: The store is closed, or its log is missing.
        Malformed, IpfsError: The store's document cannot be read.
    """
    digest = (await plan_closing(market, shop.seller)).digest
    version = (await read_history(market)).state.version(shop.seller, digest)
    if version is None:
        raise Permanent("the node left the store's log out: try again")
    store = await read_version(blocks, market.deployment, version)
    return WithdrawalPlan(listing, store.name, digest)


async def withdraw_item(
    market: Market, blocks: BlockStore, wallet: Wallet, shop: Shop, plan: WithdrawalPlan
) -> Receipt | None:
    """Takes an item off sale, and publishes the rest as it is; the last one closes the store.

    Args:
        market: As for the plan.
        blocks: Takes the new documents.
        wallet: The seller's.
        shop: As for the plan.
        plan: From `plan_withdrawal`.

    Returns:
        None where the chain names the resulting store already.
    """
    listing = plan.listing
    if any(other.listed and other.name != listing.name for other in shop.catalogue.all()):
        change = Change("withdrawn", listing, None)
        built = await apply_changes(shop, blocks, plan.store_name, [change], {})
        return await _announce(market, wallet, built, True)
    shop.catalogue.save(listing.withdrawn())
    return await send_call(wallet, market, "updateStore", plan.digest, ZERO32)
