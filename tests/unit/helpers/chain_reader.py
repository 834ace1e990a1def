"""One look of a daemon at the chain, and the purchases that it then knows."""

from __future__ import annotations

from dam.types import Purchase
from tests.unit.helpers.world import Daemon


async def read(daemon: Daemon) -> None:
    while not (await daemon.reader.advance()).caught_up:
        pass


def purchases(daemon: Daemon, *, orphaned: bool = False) -> list[Purchase]:
    return [sale.purchase for sale in daemon.sales.in_state("new", orphaned=orphaned)]
