"""Putting a store on the chain: what would change is planned, looked at, and then published.

Nobody sees a new document until the chain names it; so each use case ends with one transaction.
Hold `dam.roles.seller.store_changes.catalogue_lock` from the plan to the end.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from dam.crypto.hashing import catalogue_commitment
from dam.errors import Permanent
from dam.ethereum.node import gas_price_of
from dam.ipfs.blocks import BlockStore
from dam.market.client import Market
from dam.market.deliverer_pool import POOL_EVENTS, read_pool
from dam.market.deliverers import Candidate
from dam.market.log_history import read_history
from dam.market.wallet import Receipt, Wallet, send_call
from dam.roles.seller.deliverer_choice import Choice, named_deliverers, pick_deliverers
from dam.roles.seller.drafted import StoreDraft
from dam.roles.seller.listings import Listing
from dam.roles.seller.plan_notes import choice_warnings, fees_open, warnings
from dam.roles.seller.store_builder import BuiltStore
from dam.roles.seller.store_changes import (
    Change,
    Shop,
    Wishes,
    apply_changes,
    plan_changes,
)
from dam.roles.seller.versions import Base, find_base, save_versions, stored_name
from dam.roles.storefront import read_version
from dam.types import ZERO32, Address, Windows
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
    choices: tuple[Choice | None, ...]
    """Who gets the new parts of each change; None where there are none."""
    base: Base
    """The version in force that it starts from."""

    renamed: str = ""
    """The store's name so far, where the new one is another."""

    @property
    def bootstrap(self) -> tuple[str, ...]:
        """Items whose parts go to deliverers of whom too few are established."""
        return tuple(
            change.name
            for change, choice in zip(self.changes, self.choices, strict=True)
            if choice is not None and choice.bootstrap
        )

    @property
    def exists(self) -> bool:
        """Whether the seller has a store already."""
        return self.base.current[0] != ZERO32

    @property
    def reopens(self) -> bool:
        """Whether the store is closed now."""
        return _is_closed(self.base.current)


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
    wishes: Wishes | None = None,
    *,
    must_exist: bool = False,
    start_over: bool = False,
) -> PublishPlan:
    """Compares a draft with the catalogue and the chain. Nothing is made or sent.

    Args:
        market: Where to publish.
        shop: The seller's.
        draft: What the seller wrote.
        wishes: What is asked for by name.
        must_exist: Refuse to open a store where there is none, or where it is closed.
        start_over: Go on from a catalogue folder that lacks a version of the store; see
            `PublishPlan.lost`.

    Raises:
        Permanent: Something cannot be done; all such things are in the message.
        RpcError: The node could not be asked.
    """
    current = await market.store(shop.seller)
    exists, closed = current[0] != ZERO32, _is_closed(current)
    if must_exist and not exists:
        raise Permanent(f"{shop.seller} has no store yet: `dam seller publish` opens one")
    if must_exist and closed:
        raise Permanent("the store is closed: `dam seller publish` opens it again")
    await _check_stake(market, shop.seller, exists)
    history = await read_history(market, also=POOL_EVENTS)
    base = find_base(shop, history.state, current, start_over=start_over)
    changes = await plan_changes(shop, draft, history.state, wishes)
    known = await read_pool(market, history)
    windows = market.deployment.windows
    choices = choose_deliverers(changes, known, windows)
    hints = warnings(
        changes,
        known,
        windows,
        gas_price=await gas_price_of(market.rpc),
        free_stake=await market.seller_stake(shop.seller),
    )
    open_fees = fees_open(shop.catalogue, shop.seller, history.state)
    hints += choice_warnings(changes, choices, open_fees)
    if base.versions.pending:
        hints.append(
            "an earlier command was cut off: what it changed in the catalogue folder is published "
            "now, too, and stands above as it is in that folder"
        )
    before = stored_name(shop.catalogue, current[0])
    renamed = before if before != draft.name else ""
    told = (*draft.notes, *hints)
    return PublishPlan(draft.name, tuple(changes), told, tuple(choices), base, renamed)


def choose_deliverers(
    changes: Sequence[Change],
    candidates: Mapping[Address, Candidate],
    windows: Windows,
    source: random.Random | None = None,
) -> list[Choice | None]:
    """Who gets the new parts of each change; None where there are none.

    Args:
        changes: From `plan_changes`.
        candidates: All deliverers.
        windows: The market's.
        source: Of randomness; the system's by default.

    Raises:
        Permanent: There are too few, or a named one cannot deliver.
    """
    source = source or random.SystemRandom()
    return [_choose(change, candidates, windows, source) for change in changes]


def _choose(
    change: Change,
    candidates: Mapping[Address, Candidate],
    windows: Windows,
    source: random.Random,
) -> Choice | None:
    draft = change.draft
    if draft is None or not (change.goods or change.assign):
        return None
    fee, k = draft.commission // draft.parts, draft.threshold
    try:
        if draft.deliverers:
            return named_deliverers(candidates, draft.deliverers, k, windows, fee=fee)
        everybody = list(candidates.values())
        return pick_deliverers(everybody, draft.parts, k, windows, source, fee=fee)
    except Permanent as error:
        raise Permanent(f"{draft.where}: {error}") from None


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
        Permanent: The account cannot pay (see `Wallet.send`).
        IpfsError, RpcError: The block store or the node failed.
    """
    save_versions(shop.catalogue, replace(plan.base.versions, pending=True))
    built = await apply_changes(shop, blocks, plan.name, plan.changes, plan.choices)
    return Published(built, await _announce(market, wallet, shop, built, plan.base))


async def _check_stake(market: Market, seller: Address, exists: bool) -> None:
    minimum = market.deployment.windows.min_seller_stake
    free = await market.seller_stake(seller)
    if not exists and free < minimum:
        raise Permanent(
            f"a store needs a free stake of {format_amount(minimum)}, and {seller} has "
            f"{format_amount(free)}: run `dam seller stake '{format_amount(minimum)}'` or more"
        )


async def _announce(
    market: Market, wallet: Wallet, shop: Shop, built: BuiltStore, base: Base
) -> Receipt | None:
    """Points the chain to the new store; None where it does already."""
    versions = base.versions.with_known([built.digest])
    # Known before the chain has it: a kill after the transaction must not make it a stranger's.
    save_versions(shop.catalogue, replace(versions, pending=True))
    commitment = catalogue_commitment(built.digest, built.root)
    current = await market.store(wallet.address)
    receipt = None
    if current != (built.digest, commitment):
        if current != base.current:
            raise Permanent(
                "another command has changed the store meanwhile: repeat this one, which then says "
                "whether the catalogue folder has what that one published"
            )
        function = "updateStore" if base.current[0] != ZERO32 else "createStore"
        receipt = await send_call(wallet, market, function, built.digest, built.root)
        await _check_taken(market, wallet, receipt, built.digest, commitment)
    save_versions(shop.catalogue, replace(versions, announced=built.digest, pending=False))
    return receipt


async def _check_taken(
    market: Market, wallet: Wallet, receipt: Receipt, digest: bytes, commitment: bytes
) -> None:
    if await market.store(wallet.address) != (digest, commitment):
        raise Permanent(
            f"the chain names another store than the one of transaction 0x{receipt.tx_hash.hex()}: "
            "does another command publish for this account?"
        )


def _is_closed(current: tuple[bytes, bytes]) -> bool:
    digest, commitment = current
    return digest != ZERO32 and commitment == catalogue_commitment(digest, ZERO32)


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
    base: Base
    """The version that sells it now."""


async def plan_closing(market: Market, seller: Address) -> ClosePlan:
    """Looks whether there is a store to close.

    Raises:
        Permanent: The seller has none, or has closed it.
    """
    digest, current = await market.store(seller)
    if digest == ZERO32:
        raise Permanent(f"{seller} has no store yet")
    if _is_closed((digest, current)):
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
        Permanent: The store is closed, its log is missing, or the catalogue folder lacks a version.
        Malformed, IpfsError: The store's document cannot be read.
    """
    await plan_closing(market, shop.seller)
    current = await market.store(shop.seller)
    state = (await read_history(market)).state
    base = find_base(shop, state, current)
    version = state.version(shop.seller, current[0])
    if version is None:
        raise Permanent("the node left the store's log out: try again")
    store = await read_version(blocks, market.deployment, version)
    return WithdrawalPlan(listing, store.name, base)


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
        save_versions(shop.catalogue, replace(plan.base.versions, pending=True))
        built = await apply_changes(shop, blocks, plan.store_name, [change], [None])
        return await _announce(market, wallet, shop, built, plan.base)
    shop.catalogue.save(listing.withdrawn())
    return await send_call(wallet, market, "updateStore", plan.base.current[0], ZERO32)


async def withdraw_codes(
    market: Market,
    blocks: BlockStore,
    wallet: Wallet,
    shop: Shop,
    plan: WithdrawalPlan,
    copies: Iterable[int],
) -> Receipt | None:
    """Has buyers' tools show and pick some copies of an item no more, and publishes the store.

    Their parts stay, and are served: whoever buys such a copy all the same gets its good, so nobody
    makes money of a penalty with it.

    Args:
        market: As for the plan.
        blocks: Takes the new documents.
        wallet: The seller's.
        shop: As for the plan.
        plan: From `plan_withdrawal`.
        copies: From 0.

    Returns:
        None where the chain names the resulting store already.

    Raises:
        Malformed: There is no such copy, or the item's copies share one good.
    """
    listing = plan.listing.without_copies(copies)
    save_versions(shop.catalogue, replace(plan.base.versions, pending=True))
    shop.catalogue.save(listing)
    built = await apply_changes(shop, blocks, plan.store_name, [], [])
    return await _announce(market, wallet, shop, built, plan.base)
