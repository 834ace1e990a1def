"""Goods into listings: each encrypted under a content key of its own, for named deliverers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

from dam.atomic_file import open_regular
from dam.catalog import payload
from dam.catalog.payload import Payload
from dam.crypto.derivation import Place, SellerSeed, new_generation
from dam.errors import Malformed, Permanent
from dam.ipfs.blocks import BlockStore
from dam.ipfs.cid import Cid
from dam.market.deliverers import Deliverer
from dam.roles.seller.listings import Listing, Lot

Good = bytes | Path
"""What is sold: the bytes themselves, or a file."""
_AT_ONCE = 16
"""Questions to the block store at a time."""


async def add_goods(
    blocks: BlockStore,
    seed: SellerSeed,
    listing: Listing,
    goods: Sequence[Good],
    deliverers: Sequence[Deliverer],
) -> Listing:
    """Encrypts goods and adds them to a listing, with parts for these deliverers.

    A stock item gets one more copy per good. An item whose copies share their parts has one good,
    and a new one takes the place of the old.

    Args:
        blocks: Takes the blocks of files; short goods go into the document.
        seed: The seller's.
        listing: Not changed.
        goods: At least one.
        deliverers: One per part, by index, all different.

    Returns:
        The new listing; save it before anything is published.
    """
    if not goods or (not listing.stock and len(goods) > 1):
        raise Malformed("a stock item takes one good per copy, any other item exactly one")
    first = sum(lot.copies for lot in listing.lots) if listing.stock else 0
    generation = new_generation()
    payloads = []
    for copy, good in enumerate(goods, start=first):
        key = seed.content_key(_place(listing, copy, generation))
        payloads.append(await _encrypt(blocks, key, listing.domain(copy), good))
    lot = Lot(first, len(goods), generation, tuple(deliverers), tuple(payloads))
    if listing.stock:
        return replace(listing, lots=(*listing.lots, lot), supply=first + len(goods))
    return replace(listing, lots=(lot,))


async def assign_anew(
    blocks: BlockStore,
    seed: SellerSeed,
    listing: Listing,
    deliverers: Sequence[Deliverer],
    *,
    threshold: int | None = None,
) -> Listing:
    """Gives all parts of a listing to other deliverers, under new content keys.

    The old deliverers' shares then open nothing that is still for sale. Sales made before keep
    their parts: `Catalogue.recall` has them.

    Args:
        blocks: Has the blocks of files, and takes the new ones.
        seed: The seller's.
        listing: Not changed.
        deliverers: One per part, by index, all different; the item has as many parts from now on.
        threshold: k from now on; None: as before.
    """
    lots = []
    for lot in listing.lots:
        generation = new_generation()
        payloads = []
        for offset, old in enumerate(lot.payloads):
            copy = lot.first_copy + offset
            domain = listing.domain(copy)
            old_key = seed.content_key(listing.place(copy))
            key = seed.content_key(_place(listing, copy, generation))
            if isinstance(old, payload.InlinePayload):
                good = payload.decrypt_inline(old_key, domain, old)
                payloads.append(await _encrypt(blocks, key, domain, good))
            else:
                pieces = payload.open_payload(blocks, old, old_key, domain)
                payloads.append(await payload.store_stream(blocks, key, domain, pieces))
        lots.append(
            replace(
                lot,
                generation=generation,
                deliverers=tuple(deliverers),
                payloads=tuple(payloads),
            )
        )
    return replace(
        listing,
        lots=tuple(lots),
        parts=len(deliverers),
        threshold=listing.threshold if threshold is None else threshold,
    )


async def lost_blocks(blocks: BlockStore, listing: Listing) -> int:
    """How many blocks of a listing's files the store itself does not have (any more)."""
    chunks = [cid for lot in listing.lots for sold in lot.payloads for cid in _chunks(sold)]
    found: list[bool] = []
    for start in range(0, len(chunks), _AT_ONCE):
        found += await asyncio.gather(*map(blocks.has, chunks[start : start + _AT_ONCE]))
    return found.count(False)


def _chunks(sold: Payload) -> Sequence[Cid]:
    return sold.chunks if isinstance(sold, payload.StreamPayload) else ()


async def restore_goods(blocks: BlockStore, seed: SellerSeed, listing: Listing, good: Good) -> int:
    """Puts the blocks that the store lost once more: the same good, seed and header, so the same.

    Args:
        blocks: Only what it has itself counts as there.
        seed: The seller's.
        listing: Not changed; of an item whose copies share their good.
        good: What was encrypted.

    Returns:
        How many were lost.

    Raises:
        Permanent: The good is another than was encrypted.
        IpfsError: The store failed.
    """
    lost = await lost_blocks(blocks, listing)
    for lot in listing.lots if lost else ():
        for copy, sold in enumerate(lot.payloads, start=lot.first_copy):
            if not isinstance(sold, payload.StreamPayload):
                continue
            key, domain = seed.content_key(listing.place(copy)), listing.domain(copy)
            pieces = payload.read_pieces(good) if isinstance(good, Path) else _once(good)
            try:
                await payload.restore_stream(blocks, key, domain, sold, pieces)
            except Malformed as error:
                raise Permanent(f"{listing.name}: {error}; repeat the command") from None
    return lost


def _place(listing: Listing, copy: int, generation: int) -> Place:
    return Place(listing.chain_id, listing.market, listing.item_id, copy, generation)


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def _encrypt(blocks: BlockStore, key: bytes, domain: bytes, good: Good) -> Payload:
    if isinstance(good, Path):
        # One byte too many tells a long file, whatever its size was a moment ago.
        head = await asyncio.to_thread(_head, good)
        if not payload.fits_inline(len(head)):
            return await payload.store_stream(blocks, key, domain, payload.read_pieces(good))
        good = head
    if payload.fits_inline(len(good)):
        return payload.encrypt_inline(key, domain, good)
    return await payload.store_stream(blocks, key, domain, _once(good))


def _head(path: Path) -> bytes:
    with open_regular(path) as file:
        return file.read(payload.MAX_INLINE_BYTES)
