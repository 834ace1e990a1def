"""The interface of a node, its counters, common questions, and the hex of JSON-RPC.

Quantities ("0x1f") and data ("0x00ff"): https://ethereum.org/developers/docs/apis/json-rpc
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from dam.ethereum.node_errors import RpcBadReplyError
from dam.types import Address

_QUANTITY = re.compile(r"0x[0-9a-fA-F]{1,64}")


MAX_LOGS_BYTES = 24 << 20
"""Of an answer with logs, unless it is set: about 12,000 purchases. Parsed, they take twice as much
memory. A receipt of the most gas that Ethereum allows a transaction (EIP-7825) has less."""
MAX_LOGS_BLOCKS = 10_000
MAX_BATCH_CALLS = 100


@dataclass(frozen=True, slots=True)
class NodeLimits:
    """How much a node is asked for at once, at the most; it may take less, which is found out."""

    logs_bytes: int = MAX_LOGS_BYTES
    """Of an answer with logs."""
    logs_blocks: int = MAX_LOGS_BLOCKS
    """Of one request for logs."""
    calls: int = MAX_BATCH_CALLS
    """Of one request."""


USUAL_LIMITS = NodeLimits()


class Node(Protocol):
    """JSON-RPC (`rpc.JsonRpc`, `node_pool.NodePool`, or the in-memory chain)."""

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
    """Counters since the start; a batch is one request."""

    requests: int = 0
    failures: int = 0
    """No answer, or one that is no JSON. A refusal is an answer."""
    logs: int = 0
    """Logs taken into the ledger."""
    rollbacks: int = 0
    disagreements: int = 0
    """How often nodes said different things about one range or block."""


def quantity(value: object, what: str) -> int:
    """A JSON-RPC quantity ("0x1f") as an integer of at most 256 bits.

    Raises:
        RpcBadReplyError: it is none; ``what`` says what was asked.
    """
    if isinstance(value, str) and _QUANTITY.fullmatch(value):
        return int(value, 16)
    raise RpcBadReplyError(f"{what}: not a quantity")


def hex_data(value: object, what: str, size: int | None = None) -> bytes:
    """JSON-RPC data ("0x...") as bytes, of ``size`` bytes if given.

    Raises:
        RpcBadReplyError: it is none; ``what`` says what was asked.
    """
    if isinstance(value, str) and value.startswith("0x"):
        try:
            data = bytes.fromhex(value[2:])
        except ValueError:
            pass
        else:
            if len(value) == 2 + 2 * len(data) and size in (None, len(data)):
                return data
    raise RpcBadReplyError(f"{what}: not hex data of the right size")


async def chain_id_of(node: Node) -> int:
    """The chain that the node is on."""
    return quantity(await node.call("eth_chainId"), "eth_chainId")


async def balance_of(node: Node, account: Address) -> int:
    """Coins of an account in the newest block, in wei."""
    return quantity(await node.call("eth_getBalance", account, "latest"), "eth_getBalance")


async def gas_price_of(node: Node) -> int:
    """The node's estimate of the price of a unit of gas, in wei."""
    return quantity(await node.call("eth_gasPrice"), "eth_gasPrice")
