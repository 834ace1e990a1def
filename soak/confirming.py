"""Buyers who confirm what they got: their sales end then, as most sales do.

One sale in ten is left to the seller's watchdog, and so is each with a part that was proved junk.
A soak in which nobody confirmed would have as many open sales as the shortest window for refunds
has seconds, and daemons that only grow until then.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from dam.crypto.hashing import closing_arguments
from dam.errors import DamError
from dam.types import CopyId, FragmentDelivered, JunkProved, Purchase
from soak.buyer import Buyer
from soak.injectors import DEEPEST
from soak.world import SoakWorld

_LOOK_SECONDS = 10.0
_LEFT_TO_THE_WATCHDOG = 10
"""One sale in so many."""


@dataclass
class _Open:
    sale: Purchase
    missing: set[int] = field(default_factory=set)


class Confirming:
    """Confirms the sales of one buyer's accounts, in blocks deeper than any reorganisation.

    Args:
        world: Where.
        buyer: Who bought, and signs.
    """

    def __init__(self, world: SoakWorld, buyer: Buyer) -> None:
        self._world = world
        self._buyer = buyer
        self._next = world.opened
        self._open: dict[CopyId, _Open] = {}
        self.sent = 0

    async def run(self) -> None:
        """Confirms until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                await self._look()
            except DamError:
                continue  # The node is in trouble; the next look reads on from the same block.

    async def _look(self) -> None:
        last = await self._world.block() - DEEPEST - 1
        if last < self._next:
            return
        for event in await self._world.market.logs(self._next, last):
            if isinstance(event, Purchase):
                if event.copy_id[0] % _LEFT_TO_THE_WATCHDOG:
                    missing = set(range(event.terms.parts))
                    self._open[event.copy_id] = _Open(event, missing)
            elif isinstance(event, JunkProved):
                self._open.pop(event.copy_id, None)
            elif isinstance(event, FragmentDelivered) and event.copy_id in self._open:
                self._open[event.copy_id].missing.discard(event.index)
        self._next = last + 1
        for copy_id in [copy_id for copy_id, one in self._open.items() if not one.missing]:
            sale = self._open.pop(copy_id).sale
            data = self._world.market.encode("confirm", *closing_arguments(sale))
            self.sent += await self._buyer.call(sale.buyer, data)
