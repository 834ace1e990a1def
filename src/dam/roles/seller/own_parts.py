"""Parts that the seller's side makes itself, from the seed and the catalogue folder: those that a
watchdog delivers in a deliverer's place, and those that it, or the seller by hand, supplies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping

from dam.crypto.derivation import SellerSeed
from dam.crypto.hashing import part_leaf, sale_of
from dam.crypto.merkle import SectionedTree
from dam.crypto.sealing import seal_fragment
from dam.errors import Malformed, Permanent, Refused
from dam.roles.seller.listings import Catalogue, Listing, copy_parts, parts_tree
from dam.types import ZERO32, Delivery, Purchase

_CACHED_TREES = 32


def parts_to_supply(
    there: Iterable[int], proved: Collection[int], cleared: Collection[int], *, disputed: bool
) -> list[int]:
    """Parts that the buyer may not have although they are there: all of them in a dispute, and
    those that were proved to be junk too late to be cleared. Before a proof a supply would spare
    who delivered junk the fine.

    Args:
        there: Parts that are there.
        proved: Those that were proved to be junk.
        cleared: Those that a proof cleared; one that is there again is a replacement.
        disputed: Whether the sale is in a dispute.
    """
    return sorted(i for i in there if disputed or (i in proved and i not in cleared))


class OwnParts:
    """Makes parts of the seller's sales.

    Args:
        seed: The seller's.
        catalogue: The seller's folder.
    """

    def __init__(self, seed: SellerSeed, catalogue: Catalogue) -> None:
        self._seed = seed
        self._catalogue = catalogue
        self._trees: dict[bytes, tuple[Listing, SectionedTree]] = {}

    async def seal(
        self,
        purchase: Purchase,
        indexes: Iterable[int],
        fresh: Mapping[int, bytes],
        before: Callable[[int, bytes], bytes | None] = lambda _, __: None,
    ) -> list[Delivery]:
        """Makes parts from the seed, checks them against the sale, seals them to the buyer.

        Args:
            purchase: The sale.
            indexes: Which parts.
            fresh: The sale's fresh key, for indexes that are sealed to it; the others are sealed to
                the buyer's first key.
            before: The fragment that was once sealed to an index's very key, to be used again.

        Raises:
            Refused: They cannot be made; its reason is for the journal.
        """
        listing, tree = await self._listing(purchase.terms.parts_root)
        try:
            parts = copy_parts(self._seed, listing, purchase.copy)
        except Malformed as error:
            raise Refused("not-in-catalogue", str(error)) from None
        if len(purchase.keys) != len(parts):
            raise Refused("wrong-key-count", f"{len(purchase.keys)} keys")
        deliveries = []
        for index in indexes:
            leaf, share = parts[index]
            key = fresh.get(index, purchase.keys[index])
            fragment = before(index, key)
            if fragment is None:
                try:
                    fragment = seal_fragment(share, key)
                except Malformed as error:
                    raise Refused("bad-buyer-key", str(error)) from None
            deliveries.append(
                Delivery(
                    copy_id=purchase.copy_id,
                    sale=sale_of(purchase),
                    index=index,
                    deliverer=leaf.deliverer,
                    commitment=leaf.commitment,
                    secret_hash=leaf.secret_hash,
                    salt=leaf.salt,
                    fresh_key=fresh.get(index, ZERO32),
                    proof=tree.proof(part_leaf(leaf)),
                    fragment=fragment,
                )
            )
        return deliveries

    async def _listing(self, parts_root: bytes) -> tuple[Listing, SectionedTree]:
        """The listing that was published under a root, and its tree, which costs some hashing."""
        found = self._trees.get(parts_root)
        if found is not None:
            return found
        try:
            listing = self._catalogue.recall(parts_root)
        except Permanent as error:
            raise Refused("catalogue-damaged", str(error)) from None
        if listing is None:
            raise Refused(
                "not-in-catalogue",
                f"no item was published under root 0x{parts_root.hex()}: put the catalogue folder "
                "back from a backup, and start again",
            )
        tree = await asyncio.to_thread(parts_tree, self._seed, listing)
        if tree.root != parts_root:
            raise Refused("seed-differs", "the seed is not the one that this item was made from")
        if len(self._trees) >= _CACHED_TREES:
            self._trees.pop(next(iter(self._trees)))
        self._trees[parts_root] = (listing, tree)
        return listing, tree
