"""What a chain's contracts take for the number of a block, beside what its nodes do.

On most chains ``block.number`` is the number of the block; on Arbitrum and its kin it is about that
of the chain below. The 100 blocks of the fallback are counted by the contract.
"""

from __future__ import annotations

from dam.types import BlockRef, Clock

CLOCK_CODE = bytes.fromhex("43600052426020526040" + "6000f3")
"""Creation code that returns ``block.number`` and ``block.timestamp``: simulated, never sent."""
_FAR_BLOCKS = 5
"""A node that lags, or a block that came in between, is not another chain."""


def counts_own_blocks(head: BlockRef, clock: Clock) -> bool:
    """Whether the contract counts the node's own blocks.

    Args:
        head: A block of the node.
        clock: What a contract saw in it, or in one next to it.
    """
    return abs(clock.block - head.number) <= _FAR_BLOCKS


def describe_kind(head: BlockRef, clock: Clock) -> str:
    """The kind of chain, for people."""
    if counts_own_blocks(head, clock):
        return "contracts count the chain's own blocks"
    return (
        f"contracts count the blocks of another chain, as on Arbitrum: block {clock.block}, where "
        f"the node is at {head.number}"
    )


def read_clock(data: bytes) -> Clock | None:
    """What the simulation of `CLOCK_CODE` gave; None: nothing of that kind."""
    if len(data) != 64:
        return None
    return Clock(int.from_bytes(data[:32], "big"), int.from_bytes(data[32:], "big"))
