"""Buying without any tool, and what the chain says of a sale: the demo's own eyes.

What tools print is never taken for granted: the scenes and tests look here.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from dam.catalog.payload import open_payload
from dam.catalog.store import Store
from dam.crypto import hashing, sealing, shamir
from dam.crypto.hashing import copy_id, item_id, keccak
from dam.types import CopyId, FragmentDelivered, Purchase, Status, Terms
from demo import documents
from demo.actors import Actor
from demo.world import World

_DELIVERY_SECONDS = 40.0


@dataclass(frozen=True)
class Order:
    """A purchase made ready by hand: everything but the money."""

    digest: bytes
    terms: Terms
    copy: int
    secrets: tuple[bytes, ...]
    """One-time X25519 secret keys, by index."""
    data: bytes
    """Calldata of ``buyItem``."""


@dataclass(frozen=True)
class Bought:
    """A sale, and the keys that open it."""

    sale: Purchase
    secrets: tuple[bytes, ...]


async def store_of(world: World, seller: Actor) -> Store:
    """A seller's store, checked."""
    version = await world.store_version(seller.address)
    return await documents.checked(
        world.blocks, world.deployment, seller.address, version.digest, version.root
    )


async def order(world: World, seller: Actor, item: str, copy: int | None = None) -> Order:
    """Reads the store, picks the first free copy unless one is named, makes keys."""
    store = await store_of(world, seller)
    found = store.item(item_id(item))
    assert found is not None, f"the store has no {item}"
    if copy is None:
        copy = await _free_copy(world, seller, found.terms)
    secrets, keys = documents.one_time_keys(found.terms.parts)
    data = world.market.encode(
        "buyItem",
        seller.address,
        found.terms,
        store.terms_proof(found),
        store.digest,
        copy,
        keys,
    )
    return Order(store.digest, found.terms, copy, tuple(secrets), data)


async def _free_copy(world: World, seller: Actor, terms: Terms) -> int:
    copies = range(min(terms.supply, 200))
    states = await world.market.sale_states(
        [copy_id(seller.address, terms.item_id, copy) for copy in copies]
    )
    return next(
        copy for copy, state in zip(copies, states, strict=True) if state.status == Status.NONE
    )


async def buy(
    world: World, buyer: Actor, seller: Actor, item: str, copy: int | None = None
) -> Bought:
    """Buys, and returns the purchase as the chain has it."""
    ready = await order(world, seller, item, copy)
    receipt = await world.send_data(buyer, ready.data, value=ready.terms.price)
    wanted = copy_id(seller.address, ready.terms.item_id, ready.copy)
    for log in await world.market.logs(receipt.block, receipt.block):
        if isinstance(log, Purchase) and log.copy_id == wanted:
            return Bought(log, ready.secrets)
    raise AssertionError("a purchase left no event")


async def purchase(world: World, wanted: CopyId) -> Purchase:
    """The purchase event of a sale."""
    for log in await world.logs():
        if isinstance(log, Purchase) and log.copy_id == wanted:
            return log
    raise AssertionError("the chain knows no such sale")


async def delivered(world: World, wanted: CopyId) -> list[FragmentDelivered]:
    """The parts of a sale that are there, in the order in which they came."""
    return [
        log
        for log in await world.logs()
        if isinstance(log, FragmentDelivered) and log.copy_id == wanted and not log.supplied
    ]


async def deliveries(
    world: World, wanted: CopyId, parts: int, seconds: float = _DELIVERY_SECONDS
) -> list[FragmentDelivered]:
    """Waits for so many parts, or for the time to run out; what is there then."""
    deadline = time.monotonic() + seconds
    while len(found := await delivered(world, wanted)) < parts:
        if time.monotonic() > deadline:
            break
        await asyncio.sleep(0.2)
    return found


def content_key(
    parts: list[FragmentDelivered], secrets: tuple[bytes, ...], threshold: int
) -> bytes | None:
    """The content key, if enough parts came; every one is checked against the chain."""
    if len(parts) < threshold:
        return None
    shares = {}
    for part in parts:
        share = sealing.open_fragment(part.fragment, secrets[part.index])
        assert keccak(share) == part.commitment, f"part {part.index} is junk"
        shares[part.index] = share
    key = shamir.join(dict(list(shares.items())[:threshold]), threshold)
    assert keccak(key) == parts[0].secret_hash, "the shares do not add up"
    return key


async def recover(world: World, seller: Actor, bought: Bought) -> bytes:
    """The good, from the parts on chain and the store's document alone."""
    sale = bought.sale
    parts = await delivered(world, sale.copy_id)
    key = content_key(parts, bought.secrets, sale.terms.threshold)
    assert key is not None, f"only {len(parts)} parts came"
    version = next(
        log for log in await world.store_versions(seller.address) if log.digest == sale.store_digest
    )
    store = await documents.checked(
        world.blocks, world.deployment, seller.address, version.digest, version.root
    )
    item = store.item(sale.terms.item_id)
    assert item is not None
    domain = hashing.domain(
        world.deployment.chain_id,
        world.deployment.market,
        seller.address,
        sale.terms.item_id,
        sale.terms.stock,
        sale.copy,
    )
    pieces = open_payload(world.blocks, item.payload(sale.copy), key, domain)
    return b"".join([piece async for piece in pieces])
