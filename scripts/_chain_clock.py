"""How long 100 blocks last on a chain, as its contracts count them, before anything is deployed.

On most chains ``block.number`` is the number of the block; on Arbitrum and its kin it is about that
of the chain below. The 100 blocks of the fallback are counted by the contract.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import click

from dam.types import FALLBACK_BLOCKS, BlockRef, Clock, Windows

CLOCK_CODE = bytes.fromhex("43600052426020526040" + "6000f3")
"""Creation code that returns ``block.number`` and ``block.timestamp``: simulated, never sent."""
_FAR_BLOCKS = 5
"""A node that lags, or a block that came in between, is not another chain."""
_SAMPLE_BLOCKS = 1000
_STATE_BLOCKS = 100
"""A node that keeps no archive has the state of so many."""
_LEAST_BLOCKS = 20
_LOOKS = 3
_BELOW_SECONDS = 12
"""Of a block of Ethereum, which such chains count, where it cannot be measured."""
SHORT_SECONDS = 60
_LONG_DIVISOR = 4


class Measured(NamedTuple):
    """A chain's clock."""

    seconds: float | None
    """How long 100 blocks lasted of late; None: there are too few to say."""
    kind: str
    """Of chain, for people."""
    own_blocks: bool | None
    """Whether contracts count the chain's own blocks; None: the node does not simulate it."""


def measure(provider: Any) -> Measured:
    """How long 100 blocks lasted of late, and the kind of chain.

    Raises:
        click.ClickException: A contract's time is not the node's.
    """
    for _ in range(_LOOKS):
        head = _block(provider, "latest")
        now = _clock(provider, head)
        if now is None:
            return Measured(None, "the node does not simulate a contract's clock", None)
        # Of a first block, a node may say anything; and while it makes one, that one's time.
        if not head.number or now.time == head.timestamp:
            break
    else:
        raise click.ClickException(
            f"in block {head.number} a contract's time is {now.time}, and the node's "
            f"{head.timestamp}: the market's clients could not plan here"
        )
    kind = describe_kind(head, now)
    if counts_own_blocks(head, now):
        count = min(_SAMPLE_BLOCKS, head.number - 1)  # the first block's time may be anything
        if count < _LEAST_BLOCKS:
            return Measured(None, kind, True)
        passed = head.timestamp - _block(provider, hex(head.number - count)).timestamp
        return Measured(passed * FALLBACK_BLOCKS / count, kind, True)
    before = _block(provider, hex(max(1, head.number - _STATE_BLOCKS)))
    then = _clock(provider, before)
    if then is None or then.block >= now.block:
        return Measured(float(_BELOW_SECONDS * FALLBACK_BLOCKS), kind, False)
    passed = head.timestamp - before.timestamp
    return Measured(passed * FALLBACK_BLOCKS / (now.block - then.block), kind, False)


def fallback_fault(seconds: float, windows: Windows) -> str:
    """Why the market must not be deployed where 100 blocks last so long; empty: it may."""
    short = min(windows.delivery_seconds, windows.dispute_seconds)
    if seconds * _LONG_DIVISOR <= short:
        return ""
    return (
        f"{FALLBACK_BLOCKS} blocks last about {seconds:.0f} s here, over a quarter of the "
        f"{short} s in which deliverers deliver or buyers dispute: choose longer windows"
    )


def _block(provider: Any, tag: str) -> BlockRef:
    raw = provider.make_request("eth_getBlockByNumber", [tag, False])
    number, time = (int(str(raw[name]), 16) for name in ("number", "timestamp"))
    return BlockRef(number, bytes.fromhex(raw["hash"][2:]), time)


def _clock(provider: Any, block: BlockRef) -> Clock | None:
    call = {"data": "0x" + CLOCK_CODE.hex()}
    try:
        answer = provider.make_request("eth_call", [call, hex(block.number)])
    except Exception:  # noqa: BLE001 - a node without that state, or that simulates no creation
        return None
    return read_clock(bytes.fromhex(str(answer).removeprefix("0x")))


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
