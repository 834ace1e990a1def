"""A store that a page shows: a world with a chain and an IPFS node, a seller, and the server."""

from __future__ import annotations

from dataclasses import dataclass

from dam.web.server import WebServer
from demo.world import World
from tests.e2e.manual_market import ManualMarket

ITEMS = """
[[items]]
id = "ticket"
title = "A train ticket, Berlin to Prague"
price = "0.05 ether"
codes = ["TICKET-1", "TICKET-2", "TICKET-3"]
arbitrator = "{arbitrator}"
[[items]]
id = "album"
title = "Night walks: an album of eleven songs, with a title so long that it has to be broken"
price = "0.12 ether"
codes = ["ALBUM-1", "ALBUM-2"]
arbitrator = "{arbitrator}"
[[items]]
id = "poem"
title = "\u05e9\u05dc\u05d5\u05dd, a poem"
price = "0.0001 ether"
codes = ["POEM-1"]
[[items]]
id = "coupon"
title = "A coupon, to be bought"
price = "0.01 ether"
codes = ["COUPON-1", "COUPON-2", "COUPON-3", "COUPON-4", "COUPON-5", "COUPON-6"]
arbitrator = "{arbitrator}"
"""


@dataclass(frozen=True)
class ShopWindow:
    """What a browser is pointed at."""

    world: World
    origin: str
    url: str
    seller: str
    server: WebServer
    market: ManualMarket
