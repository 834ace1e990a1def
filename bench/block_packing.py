"""Deliveries per block and throughput, on the real contract (`make bench` runs this).

Three deliverers have a backlog of several blocks on Anvil, with a gas limit of 30M a block. Two
bars on what their daemons send:

- deliveries in a full block: at least 1.8 times the 742 that the first sketch's single
  transactions allow (37,950 gas and a bit each), and full blocks at least 98 % full. A full block
  is one behind which deliveries are left waiting in the pool, and come in the next;
- throughput, from the start of the daemons to the block with the last delivery: at least 0.85 of
  a blast of the very same transactions, signed beforehand and sent to the same chain, put back to
  where it was. Both are measured in turns.

``--block-time 12`` (mainnet's) is the default. With 1 Anvil itself is the limit on two cores: for
each block it plays some 1,390 simulations and 58 estimates of 24 parts, next to three daemons.
Exits with 1 under a bar.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from _local_market import LocalMarket

from dam.crypto.hashing import keccak
from dam.daemon.service import Stop
from dam.ethereum.node_errors import RpcRejectedError
from dam.log import configure_logging

SKETCH = 742
"""Single deliveries of the sketch in 30M gas."""
SKETCH_LIMIT = 30_000_000


@dataclass(frozen=True)
class Block:
    """One block of the chain."""

    gas: int
    delivered: int
    waiting: int
    """Transactions in the pool behind it."""


async def run(arguments: argparse.Namespace, folder: Path) -> list[str]:
    """All of it; returns the lines that are under their bar."""
    async with LocalMarket(arguments.deliverers, arguments.gas_limit) as local:
        await local.by_hand()
        sales = -(-arguments.parts // arguments.deliverers)
        parts = sales * arguments.deliverers
        await local.buy(0, sales)
        await local.mine(2)
        snapshot = await local.rpc.call("evm_snapshot")
        ours, theirs = [], []
        fills: list[float] = []
        counts: list[int] = []
        for number in range(arguments.rounds):
            seconds, raw, blocks = await daemons(local, arguments, folder / str(number), parts)
            ours.append(seconds)
            pairs = list(itertools.pairwise(blocks))
            full = [one for one, then in pairs if one.delivered and one.waiting and then.delivered]
            fills += [block.gas / arguments.gas_limit for block in full]
            counts += [block.delivered for block in full]
            snapshot = await back(local, snapshot)
            theirs.append(await blast(local, arguments, raw, parts))
            snapshot = await back(local, snapshot)
            print(
                f"round {number + 1}: daemons {ours[-1]:.1f} s, blast {theirs[-1]:.1f} s, "
                f"{len(raw)} transactions; deliveries of blocks {[b.delivered for b in blocks]}"
            )
    return report(arguments, parts, min(ours), min(theirs), fills, counts)


def report(
    arguments: argparse.Namespace,
    parts: int,
    ours: float,
    theirs: float,
    fills: list[float],
    counts: list[int],
) -> list[str]:
    """Prints the ratios; returns those under their bars."""
    sketch = SKETCH * arguments.gas_limit / SKETCH_LIMIT
    lines = [("throughput, of a pre-signed blast's", theirs / ours, arguments.bar_throughput)]
    if counts:
        lines += [
            (f"deliveries in a full block ({min(counts)}), of {sketch:.0f}",
             min(counts) / sketch, arguments.bar_packing),
            ("gas of a full block, of its limit", min(fills), arguments.bar_fill),
        ]  # fmt: skip
    print(f"{parts} parts, {len(counts)} full blocks of {arguments.block_time} s")
    print(f"deliveries a second: {parts / ours:.0f}, blast {parts / theirs:.0f}")
    for what, ratio, bar in lines:
        print(f"  {what}: {ratio:.3f}, bar {bar}")
    under = [what for what, ratio, bar in lines if ratio < bar]
    return under if counts else [*under, "no block was full: more --parts"]


async def daemons(
    local: LocalMarket, arguments: argparse.Namespace, folder: Path, parts: int
) -> tuple[float, list[bytes], list[Block]]:
    """Seconds, the transactions that were mined, and the blocks."""
    stop = Stop()
    first = await local.height() + 1
    ready = [asyncio.Event() for _ in local.daemons]
    tasks = [
        asyncio.create_task(
            daemon.run(
                folder.with_name(f"{folder.name}-{i}.sqlite"),
                stop,
                poll=arguments.poll,
                confirmations=0,
                ready=ready[i],
            )
        )
        for i, daemon in enumerate(local.daemons)
    ]
    start = time.monotonic()
    await local.interval(arguments.block_time)
    blocks = await watch(local, first, parts, tasks)
    seconds = time.monotonic() - start
    await local.interval(0)
    stop.request()
    signed = await asyncio.gather(*tasks)
    # As they went out: a batch of each in turn.
    longest = max(map(len, signed))
    raw = [one[i] for i in range(longest) for one in signed if i < len(one)]
    calls = [("eth_getTransactionReceipt", ("0x" + keccak(one).hex(),)) for one in raw]
    found = await local.rpc.batch(calls)
    return seconds, [r for r, receipt in zip(raw, found, strict=True) if receipt], blocks


async def blast(
    local: LocalMarket, arguments: argparse.Namespace, raw: list[bytes], parts: int
) -> float:
    """Seconds until all of it is mined, sent as fast as the node takes it."""
    first = await local.height() + 1
    start = time.monotonic()
    await local.interval(arguments.block_time)

    async def send() -> None:
        left = list(raw)
        while left:
            for one in left:
                with contextlib.suppress(RpcRejectedError):  # known, or mined meanwhile
                    await local.rpc.call("eth_sendRawTransaction", "0x" + one.hex())
            # Anvil drops what did not fit into a block, and whatever came behind it: again.
            await asyncio.sleep(arguments.block_time)
            calls = [("eth_getTransactionReceipt", ("0x" + keccak(one).hex(),)) for one in left]
            found = await local.rpc.batch(calls)
            left = [one for one, receipt in zip(left, found, strict=True) if receipt is None]

    task = asyncio.create_task(send())
    await watch(local, first, parts, [task])
    seconds = time.monotonic() - start
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await local.interval(0)
    return seconds


async def watch(
    local: LocalMarket, first: int, parts: int, tasks: list[asyncio.Task[object]]
) -> list[Block]:
    """Every block until all parts are there."""
    blocks: list[Block] = []
    while sum(block.delivered for block in blocks) < parts:
        number = first + len(blocks)
        block, pool = await local.rpc.batch(
            [("eth_getBlockByNumber", (hex(number), False)), ("txpool_status", ())]
        )
        for task in tasks:
            if task.done() and task.exception() is not None:
                task.result()
        if block is None:
            await asyncio.sleep(0.02)
            continue
        waiting = int(pool["pending"], 16) + int(pool["queued"], 16)
        used = int(block["gasUsed"], 16)
        blocks.append(Block(used, await local.delivered(number), waiting))
    return blocks


async def back(local: LocalMarket, snapshot: str) -> str:
    """The chain as it was, with an empty pool."""
    await local.rpc.call("anvil_dropAllTransactions")
    assert await local.rpc.call("evm_revert", snapshot)
    again: str = await local.rpc.call("evm_snapshot")
    return again


def main() -> int:
    """Prints the comparison; 1 if a line is under its bar."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--parts", type=int, default=4_800)
    parser.add_argument("--deliverers", type=int, default=3)
    parser.add_argument("--gas-limit", type=int, default=30_000_000)
    parser.add_argument("--block-time", type=int, default=12)
    parser.add_argument("--poll", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--bar-packing", type=float, default=1.8)
    parser.add_argument("--bar-fill", type=float, default=0.98)
    parser.add_argument("--bar-throughput", type=float, default=0.85)
    arguments = parser.parse_args()
    with Path(os.devnull).open("w") as silence, tempfile.TemporaryDirectory() as folder:
        configure_logging(stream=sys.stderr if os.environ.get("DAM_BENCH_LOG") else silence)
        under = asyncio.run(run(arguments, Path(folder)))
    print("under the bar: " + ", ".join(under) if under else "all bars are met")
    return 1 if under else 0


if __name__ == "__main__":
    sys.exit(main())
