"""Parts delivered without a daemon, good ones and junk: what only a dishonest deliverer would."""

from __future__ import annotations

import secrets

from coincurve import PrivateKey

from dam.config.settings import key_paths
from dam.crypto.derivation import SellerSeed
from dam.crypto.hashing import domain_separator, part_leaf, sale_of
from dam.crypto.sealing import seal_fragment
from dam.ethereum.compact_signature import sign_digest
from dam.keystore import key_files
from dam.market.calldata import signed_digest
from dam.market.wallet import Receipt
from dam.roles.seller.listings import Catalogue, copy_parts, leaf_and_share, parts_tree
from dam.types import ZERO32, Delivery, PartLeaf, Purchase, Signature
from demo.actors import Actor
from demo.world import World


def delivery_of(seller: Actor, sale: Purchase, index: int, *, junk: bool = False) -> Delivery:
    """A part of a sale, from the seller's own records.

    Args:
        seller: With seed and catalogue in its home.
        sale: The purchase.
        index: Which part.
        junk: Seal noise in place of the share.
    """
    return make_delivery(*_records(seller), sale, index, junk=junk)


def share_of(seller: Actor, sale: Purchase, index: int) -> bytes:
    """A part's share, 32 bytes, from the seller's own records."""
    seed, catalogue = _records(seller)
    listing = catalogue.recall(sale.terms.parts_root)
    assert listing is not None
    return leaf_and_share(seed, listing, sale.copy, index)[1]


def parts_of(seller: Actor, item: str) -> list[tuple[PartLeaf, bytes]]:
    """Leaf and share of each part of an item's first copy, from the seller's own records."""
    seed, catalogue = _records(seller)
    listing = catalogue.get(item)
    assert listing is not None
    return copy_parts(seed, listing, 0)


def _records(seller: Actor) -> tuple[SellerSeed, Catalogue]:
    seed_file = key_paths(seller.dam_home).seller
    seed = SellerSeed(key_files.load_seed(seed_file, "seller-seed", seller.passphrase))
    [folder] = seller.dam_home.glob("markets/*/catalogue")
    return seed, Catalogue(folder)


def make_delivery(
    seed: SellerSeed, catalogue: Catalogue, sale: Purchase, index: int, *, junk: bool = False
) -> Delivery:
    """As `delivery_of`, with what the seller keeps at hand."""
    listing = catalogue.recall(sale.terms.parts_root)
    assert listing is not None
    leaf, share = leaf_and_share(seed, listing, sale.copy, index)
    return Delivery(
        sale.copy_id,
        sale_of(sale),
        index,
        leaf.deliverer,
        leaf.commitment,
        leaf.secret_hash,
        leaf.salt,
        ZERO32,
        parts_tree(seed, listing).proof(part_leaf(leaf)),
        seal_fragment(secrets.token_bytes(32) if junk else share, sale.keys[index]),
    )


def signed(world: World, signer: Actor, *deliveries: Delivery) -> Signature:
    """The signature that goes with a list of deliveries."""
    separator = domain_separator(world.deployment.chain_id, world.deployment.market)
    key = PrivateKey(bytes.fromhex(signer.private_key[2:]))
    return sign_digest(key, signed_digest(separator, deliveries))


async def deliver(
    world: World,
    seller: Actor,
    deliverer: Actor,
    sale: Purchase,
    index: int,
    *,
    junk: bool = False,
    sender: Actor | None = None,
) -> Receipt:
    """Signs one part as its deliverer and sends it; or has ``sender`` send it."""
    delivery = delivery_of(seller, sale, index, junk=junk)
    signature = signed(world, deliverer, delivery)
    return await world.send(sender or deliverer, "deliverFragment", delivery, signature)


def index_of(seller: Actor, sale: Purchase, deliverer: Actor) -> int:
    """Which part of a sale is a deliverer's."""
    for index in range(sale.terms.parts):
        if delivery_of(seller, sale, index).deliverer == deliverer.address:
            return index
    raise AssertionError(f"{deliverer.name} has no part of this sale")
