"""Pools that take nothing, nodes that refuse, and one transaction that is out."""

from __future__ import annotations

from typing import Any

from dam.ethereum.node_errors import RpcRejectedError
from dam.ledger.outbox import Attempt, Now
from dam.market.abi import market_abi
from dam.roles.seller.store_builder import BuiltStore
from dam.sending.sender import SendPolicy
from tests.unit.helpers.world import Daemon, World

FEES: dict[str, Any] = {
    "eth_feeHistory": {"baseFeePerGas": ["0x5", "0x5"]},
    "eth_maxPriorityFeePerGas": "0x1",
    "eth_gasPrice": "0x6",
    "eth_getBlockByNumber": {"baseFeePerGas": "0x5", "gasLimit": hex(60_000_000)},
}
"""What a node with a base fee of 5 wei and a tip of 1 says of prices."""


def no_transactions(_: Any) -> bool:
    return False


def all_transactions(_: Any) -> bool:
    return True


def no_receipt(text: str) -> Any:
    return None


async def sent_one(world: World, built: BuiltStore) -> tuple[Daemon, Attempt, bytes]:
    """A deliverer with one transaction in the pool, which no block takes."""
    world.chain.accepts = no_transactions
    sold = world.buy(built, "coupon")
    await world.ticks(world.daemon, blocks=3)
    [slot] = world.daemon.outbox.live()
    assert list(world.chain.pool) == [slot.last.hash]
    return world.daemon, slot.last, sold


def refuse(_: str) -> str:
    raise RpcRejectedError("eth_sendRawTransaction", -32000, "max fee per gas less than base fee")


MANY = market_abi().functions["deliverFragments"].id


def parts_of(data: bytes) -> int:
    """Parts in a transaction's calldata."""
    return int.from_bytes(data[100:132], "big") if data[:4] == MANY else 1


def policy_of(daemon: Daemon, **changes: Any) -> None:
    daemon.policy = SendPolicy(**{"confirmations": 2, "unprofitable": "send", **changes})
    daemon.restart()


def now(world: World) -> Now:
    """The chain's newest block, and the market's clock in it."""
    height = world.chain.height
    return Now(height, world.chain._clock(height))
