"""Which events a command asks for: all that what it computes is made of, and no others."""

from __future__ import annotations

from typing import Any

from dam.market.abi import encode
from dam.market.log_history import (
    DELIVERERS,
    EVIDENCE,
    SALES,
    read_history,
)
from dam.types import Clock
from tests.unit.helpers.capped_node import CappedNode, many, market_of
from tests.unit.helpers.raw_logs import EVENTS, log

LEFT_OUT = {
    "DelivererExitCancelled", "DelivererExitRequested", "DelivererStakeAdded",
    "DelivererStakeWithdrawn", "SellerOperatorSet", "SellerStakeWithdrawn", "SellerStaked",
    "Withdrawn",
}  # fmt: skip
"""What they tell the contract's views tell as well."""
SIGNATURES = {"FragmentsSigned"}
"""`Market.signed_lists` asks for them alone."""


class Node(CappedNode):
    """Its newest block is the ninth."""

    async def block(self, tag: str) -> dict[str, str]:
        assert tag == "latest"
        return {"number": "0x9", "hash": self.hash(9), "timestamp": "0x12"}

    async def batch(self, calls: Any) -> list[str]:
        [(method, [call, _])] = calls
        assert (method, call["data"]) == ("eth_call", "0x" + encode("clock").hex())
        return ["0x" + (700).to_bytes(32, "big").hex() + (17).to_bytes(32, "big").hex()]


def test_every_event_is_asked_for_by_somebody() -> None:
    """A new one has to be put into its group, or left out here by name."""
    assert set(EVENTS) - SALES - EVIDENCE - SIGNATURES - DELIVERERS == LEFT_OUT


async def test_a_flood_of_other_events_does_not_reach_a_command() -> None:
    raws = [log("StoreCreated", 0), log("SaleRated", 1), *many("DelivererKeyRotated", 500, 6)]
    node = Node(*raws, most=10)
    market = market_of(node)
    history = await read_history(market)
    assert (len(history.logs), history.head, node.asked) == (2, 9, [(1, 9)])
    # The contract's number of the block, and the time of the block that all nodes agree on.
    assert history.clock == Clock(700, 0x12)
    whole = await read_history(market, also=DELIVERERS)
    assert len(whole.logs) == 502
