"""Junk in a deliverer's name, and the buyer's proof: the fault that the market itself answers.

A thief of a deliverer's operator key signs a part of noise for a sale that was just made, and has
somebody else send it, so that the daemon's own nonces stay its own. The buyer proves it at once.
From then on the part is the seller's watchdog's to deliver, to the sale's fresh key.
"""

from __future__ import annotations

import asyncio

from dam.crypto.hashing import closing_arguments
from dam.crypto.sealing import new_secret_key, public_key
from dam.errors import DamError
from dam.market.calldata import entry_of
from dam.proofs.hints import make_hint
from dam.types import ZERO32, Delivery, JunkEvidence, Purchase, Signature, SignedList
from demo.actors import Actor
from demo.by_hand import make_delivery, signed
from soak.buyer import Buyer
from soak.world import SoakWorld

_WAIT_SECONDS = 10.0
_LOOK_SECONDS = 0.05


async def send_junk(world: SoakWorld, buyer: Buyer, deliverer: int, sender: Actor) -> bool:
    """Delivers noise for the next sale in a deliverer's name and proves it; False: came too late.

    Args:
        world: Where.
        buyer: Whose sale, and who proves.
        deliverer: Number of the deliverer, which is the index of its parts.
        sender: Sends the signed list, and pays.
    """
    sale = await _next_sale(world)
    if sale is None:
        return False
    shop, actor = world.shop, world.shop.deliverers[deliverer]
    junk = make_delivery(shop.seed, shop.catalogue, sale, deliverer, junk=True)
    signature = signed(world, actor, junk)
    try:
        await world.send(sender, "deliverFragment", junk, signature)
    except DamError:
        return False  # The daemon was quicker, or a reorganisation took the sale.
    return await buyer.call(sale.buyer, _proof(world, buyer, sale, junk, signature))


async def _next_sale(world: SoakWorld) -> Purchase | None:
    """A purchase of the block that comes next."""
    seen = await world.block()
    end = world.seconds() + _WAIT_SECONDS
    while world.seconds() < end:
        head = await world.block()
        if head > seen:
            bought = [x for x in await world.market.logs(seen + 1, head) if isinstance(x, Purchase)]
            if bought:
                return bought[0]
            seen = head
        await asyncio.sleep(_LOOK_SECONDS)
    return None


def _proof(
    world: SoakWorld, buyer: Buyer, sale: Purchase, junk: Delivery, signature: Signature
) -> bytes:
    """Calldata of ``proveJunk``; the fresh key is remembered."""
    secret = buyer.secrets[sale.keys[junk.index]]
    fresh = new_secret_key()
    buyer.secrets[public_key(fresh)] = fresh
    evidence = JunkEvidence(
        junk.index,
        junk.deliverer,
        junk.commitment,
        junk.secret_hash,
        junk.salt,
        junk.proof,
        ZERO32,
        junk.fragment,
        secret,
        make_hint(junk.fragment, secret),
    )
    return world.market.encode(
        "proveJunk",
        *closing_arguments(sale),
        list(sale.keys),
        public_key(fresh),
        [evidence],
        [SignedList((entry_of(junk),), signature, 0)],
    )
