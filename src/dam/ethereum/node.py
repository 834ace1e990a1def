"""A node as its users see it: the interface, what it was asked, and the common questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from dam.ethereum.hex import quantity
from dam.types import Address


class Node(Protocol):
    """JSON-RPC (`rpc.JsonRpc`, `node_pool.Endpoints`, or the in-memory chain)."""

    async def call(self, method: str, *params: Any) -> Any:
        """One call's result."""
        ...

    async def batch(
        self, calls: Sequence[tuple[str, Sequence[Any]]], *, errors: bool = False
    ) -> list[Any]:
        """Results in order; with ``errors`` a rejected call gives its error as result."""
        ...


@dataclass(slots=True)
class ReadStats:
    """What was asked and read since we started; a batch is one request."""

    requests: int = 0
    failures: int = 0
    """No answer, or none that is JSON. One that says no is an answer."""
    logs: int = 0
    """Logs taken into the ledger."""
    rollbacks: int = 0
    disagreements: int = 0
    """How often nodes told different things of one range or block."""


async def chain_id_of(node: Node) -> int:
    """The chain that the node is on."""
    return quantity(await node.call("eth_chainId"), "eth_chainId")


async def balance_of(node: Node, account: Address) -> int:
    """Coins of an account in the newest block, in wei."""
    return quantity(await node.call("eth_getBalance", account, "latest"), "eth_getBalance")


async def gas_price_of(node: Node) -> int:
    """What the node takes a unit of gas to cost now, in wei."""
    return quantity(await node.call("eth_gasPrice"), "eth_gasPrice")
