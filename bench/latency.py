"""A lone purchase: from its log to `FragmentDelivered`, beside a raw send (`make bench` runs this).

One deliverer waits at the head of the chain, with everything that a daemon does: it polls, reads,
decides, seals, simulates, estimates, signs, saves and sends. The baseline is the other part of the
same sale: a `deliverFragment` that was encoded and signed beforehand for each block and second that
the purchase could be in, and is sent the moment that an observer, who looks every 5 ms, sees its
block. For both the clock runs from that moment to the observer's first sight of the block with the
delivery. With ``confirmations = 0``; each confirmation more is a block more, whoever sends.

Blocks come every ``--block-time`` seconds (2 by default, so that 40 sales take minutes), and the
daemon polls at most every sixth of that: at mainnet's 12 seconds and ``poll_seconds = 2``, the
default, the proportion is the same. A raw send is in the next block; the daemon, too, unless it
needs longer than what is left of the block's time. Exits with 1 over the bar.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _local_market import Daemon, LocalMarket

from dam.crypto.sealing import new_secret_key, public_key
from dam.daemon.service import Stop
from dam.keystore.ape_accounts import Signer
from dam.log import configure_logging
from dam.sending.transactions import Fees, transaction

BAR = 1.2
_LOOK = 0.005
_SECONDS = 12
"""Seconds after the newest block in which the purchase can be."""


async def run(arguments: argparse.Namespace, folder: Path) -> int:
    """All of it; 1 over the bar."""
    async with LocalMarket(2) as local:
        await local.by_hand()
        daemon, rival = local.daemons
        stop, ready = Stop(), asyncio.Event()
        task = asyncio.create_task(
            daemon.run(
                folder / "ledger.sqlite", stop, poll=arguments.poll or arguments.block_time / 6,
                confirmations=0, ready=ready,
            )
        )  # fmt: skip
        await ready.wait()
        await local.interval(arguments.block_time)
        ours: list[float] = []
        theirs: list[float] = []
        for copy in range(arguments.sales):
            mine, raw = await one_sale(local, daemon, rival, copy)
            ours.append(mine)
            theirs.append(raw)
            if task.done():
                task.result()
        stop.request()
        await task
    ratio = statistics.mean(ours) / statistics.mean(theirs)
    print(f"{arguments.sales} purchases, blocks of {arguments.block_time} s, confirmations 0")
    for name, values in (("daemon", ours), ("raw send", theirs)):
        print(
            f"  {name:9} mean {statistics.mean(values):.3f} s, median "
            f"{statistics.median(values):.3f} s, worst {max(values):.3f} s"
        )
    print(f"  ratio of the means {ratio:.3f}, bar {arguments.bar}")
    return 1 if ratio > arguments.bar else 0


async def one_sale(
    local: LocalMarket, daemon: Daemon, rival: Daemon, copy: int
) -> tuple[float, float]:
    """Seconds of the daemon's and of the raw delivery."""
    # Anywhere between two blocks.
    height = await local.height()
    await _block_after(local, height)
    await asyncio.sleep(local.dice.random())
    keys = [public_key(new_secret_key()) for _ in range(local.terms.parts)]
    newest = await local.rpc.call("eth_getBlockByNumber", "latest", False)
    height, now = int(newest["number"], 16), int(newest["timestamp"], 16)
    signed = _signed(local, rival, copy, height, now, keys)
    bought = await local.buy_one(copy, keys)
    receipt = await _receipt(local, bought)
    seen = time.monotonic()
    assert receipt["status"] == "0x1"
    block = int(receipt["blockNumber"], 16)
    at = purchased_at(receipt)
    await local.rpc.call("eth_sendRawTransaction", "0x" + signed[at].hex())
    taken: dict[int, float] = {}
    sold = "0x" + local.purchase(copy, *at, keys).copy_id.hex()
    while len(taken) < 2:
        block = await _block_after(local, block)
        now = time.monotonic()
        for log in await local.deliveries(block):
            if log["topics"][1] == sold:
                by = "0x" + log["topics"][2][-40:]
                taken[by == daemon.address.lower()] = now - seen
    return taken[True], taken[False]


def purchased_at(receipt: dict[str, Any]) -> tuple[int, int]:
    """Block and second of a purchase, as its event tells them: the third and fourth word."""
    data = bytes.fromhex(receipt["logs"][0]["data"][2:])
    return int.from_bytes(data[64:96], "big"), int.from_bytes(data[96:128], "big")


def _signed(
    local: LocalMarket, rival: Daemon, copy: int, height: int, now: int, keys: list[bytes]
) -> dict[tuple[int, int], bytes]:
    signer = Signer(rival.address, rival.account)
    nonce = int(local.node.request("eth_getTransactionCount", rival.address, "latest"), 16)
    fees = Fees(10**11, 10**9, 10**9)
    market, found = local.deployment.market, {}
    for at in itertools.product(range(height + 1, height + 4), range(now, now + _SECONDS)):
        data = local.deliver_call(rival, local.delivery(local.purchase(copy, *at, keys), 1))
        found[at] = signer.sign(transaction(31337, nonce, market, data, 200_000, fees))
    return found


async def _receipt(local: LocalMarket, tx: str) -> dict[str, Any]:
    while True:
        found: dict[str, Any] | None = await local.rpc.call("eth_getTransactionReceipt", tx)
        if found is not None:
            return found
        await asyncio.sleep(_LOOK)


async def _block_after(local: LocalMarket, block: int) -> int:
    while await local.height() <= block:  # noqa: ASYNC110 - the chain tells nobody
        await asyncio.sleep(_LOOK)
    return block + 1


def main() -> int:
    """Prints the comparison; 1 if it is over the bar."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--sales", type=int, default=40)
    parser.add_argument("--block-time", type=int, default=2)
    parser.add_argument("--poll", type=float, default=0.0)
    parser.add_argument("--bar", type=float, default=BAR)
    arguments = parser.parse_args()
    with Path(os.devnull).open("w") as silence, tempfile.TemporaryDirectory() as folder:
        configure_logging(stream=sys.stderr if os.environ.get("DAM_BENCH_LOG") else silence)
        return asyncio.run(run(arguments, Path(folder)))


if __name__ == "__main__":
    sys.exit(main())
