"""Catching up on 100,000 logs, beside raw eth_getLogs of the same ranges (`make bench` runs this).

On one Anvil, a helper that stands at the market's address writes logs as the market encodes them:
sales of 500 items to strangers, each with its purchase, two to four deliveries and its end,
ratings, and new versions of stores, a hundred logs a block. Then, in turn and several times:

raw     POST eth_getLogs for each range, `json.loads` of the answers, nothing more;
reader  `ChainReader.advance` from the first block to the head, with all that a daemon does: blocks
        compared, logs checked and decoded, saved to a new ledger file on the disk.

The ranges are those that the reader chose. Prints logs a second of both, by the best run of each
(what else runs on the machine can only slow a run down), and their ratio; exits with 1 if the
reader has less than 0.8 of the raw speed, or missed a log.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import structlog

from dam.crypto.abi_words import encode_struct
from dam.crypto.hashing import checksum, copy_id
from dam.daemon.chain_reader import ChainReader
from dam.ethereum.node_pool import NodePool
from dam.ethereum.rpc import RawBlock, RawLog, Topics
from dam.ledger.ledger import Binding, Ledger
from dam.market.abi import market_abi
from dam.market.client import Market
from dam.testing.nodes import AnvilNode
from dam.types import ZERO_ADDRESS, Address, Deployment, Terms, Wei, Windows

LEAST = 0.8
ADDRESS = checksum(bytes([0xDA]) * 20)
DEPLOYMENT = Deployment(
    31337, ADDRESS, 1, bytes(32), ZERO_ADDRESS, ZERO_ADDRESS,
    Windows(86_400, 259_200, 604_800, 2_246_400, 604_800, 604_800, Wei(1), Wei(1), Wei(1)),
    ZERO_ADDRESS,
)  # fmt: skip
BLOCK_LOGS = 100
TOPICS = {entry.name: entry.id for entry in market_abi().events.values()}
SAVED = ("purchases", "store_versions", "deliveries", "sale_events")

# ------------------------------------------------------------------------------------ the helper


def helper_code() -> bytes:
    """Runtime code: logs each record of the calldata, one after another; four bytes are `clock()`.

    A record is six words - number of topics (2 to 4), length of the data, four topics - and data.
    """
    ops = {"add": 1, "lt": 0x10, "eq": 0x14, "iszero": 0x15, "load": 0x35, "size": 0x36}
    ops |= {"copy": 0x37, "jump": 0x56, "jumpi": 0x57, "stop": 0x00, "log2": 0xA2, "log3": 0xA3}
    ops |= {"time": 0x42, "number": 0x43, "store": 0x52, "return": 0xF3}
    ops |= {"log4": 0xA4} | {f"dup{i}": 0x7F + i for i in range(1, 9)}
    # Stack: where the record begins, length of its data.
    source = "size 4 eq @clock jumpi 0 loop: "
    source += "size dup2 lt iszero @end jumpi dup1 32 add load dup1 dup3 192 add 0 copy "
    for count in (4, 3):
        source += f"dup2 load {count} eq @log{count} jumpi "
    source += "@log2 jump "
    for count in (2, 3, 4):
        source += f"log{count}: "
        for depth, topic in enumerate(reversed(range(count))):
            source += f"dup{2 + depth} {64 + 32 * topic} add load "
        source += f"dup{count + 1} 0 log{count} @next jump "
    source += "next: add 192 add @loop jump end: stop "
    source += "clock: number 0 store time 32 store 64 0 return"
    code, labels, wanted = bytearray(), {}, {}
    for word in source.split():
        if word.endswith(":"):
            labels[word[:-1]] = len(code)
            code.append(0x5B)
        elif word in ops:
            code.append(ops[word])
        else:
            code += bytes([0x60, 0 if word[0] == "@" else int(word)])
            if word[0] == "@":
                wanted[len(code) - 1] = word[1:]
    for place, label in wanted.items():
        code[place] = labels[label]
    return bytes(code)


def word(value: int) -> bytes:
    return value.to_bytes(32, "big")


def record(event: str, *indexed: bytes, data: bytes = b"") -> bytes:
    topics = [TOPICS[event], *(value.rjust(32, b"\0") for value in indexed)]
    padding = [bytes(32)] * (4 - len(topics))
    return word(len(topics)) + word(len(data)) + b"".join(topics + padding) + data


class Trade:
    """Sales among strangers, as a market has them: the logs in the order of the chain."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.sellers = [self.rng.randbytes(20) for _ in range(50)]
        self.deliverers = [self.rng.randbytes(20) for _ in range(30)]
        self.items = [(self.rng.choice(self.sellers), self.terms()) for _ in range(500)]
        self.under_way: list[tuple[bytes, bytes, bytes, list[int]]] = []
        self.saved = 0
        """Logs that leave a row in a ledger."""

    def terms(self) -> Terms:
        rng, parts = self.rng, self.rng.randint(2, 4)
        price = rng.randrange(10**17)
        return Terms(
            rng.randbytes(32), ZERO_ADDRESS, price, Wei(3 * 10**15), Wei(10**17), Wei(10**16),
            10_000, False, parts, parts - 1, checksum(rng.randbytes(20)), rng.randbytes(32),
        )  # fmt: skip

    def next(self) -> bytes:
        """The next log's record."""
        rng = self.rng
        self.saved += 1
        if rng.random() < 0.002:
            seller = rng.choice(self.sellers)
            return record("StoreUpdated", seller, data=rng.randbytes(64))
        # Some forty sales are under way at a time, so that the logs of one spread over blocks.
        if len(self.under_way) < 40:
            return self.purchase()
        place = rng.randrange(len(self.under_way))
        sold, seller, buyer, parts = self.under_way[place]
        if parts:
            by = rng.choice(self.deliverers)
            data = word(parts.pop()) + by.rjust(32, b"\0") + rng.randbytes(96)
            # Ephemeral key, tag and ciphertext.
            data += rng.randbytes(48) + bytes(16) + rng.randbytes(32)
            return record("FragmentDelivered", sold, by, data=data)
        del self.under_way[place]
        if rng.random() < 0.2:
            self.saved -= 1
            return record("SaleRated", sold, seller, buyer, data=word(rng.randint(1, 5)))
        return record("SaleSettled", sold, buyer)

    def purchase(self) -> bytes:
        rng = self.rng
        seller, terms = rng.choice(self.items)
        copy, buyer = rng.randrange(1 << 40), rng.randbytes(20)
        sold = copy_id(checksum(seller), terms.item_id, copy)
        self.under_way.append((sold, seller, buyer, list(range(terms.parts))))
        keys = [rng.randbytes(32) for _ in range(terms.parts)]
        data = [
            rng.randbytes(32),
            word(copy),
            word(rng.randrange(1 << 32)),
            word(rng.randrange(1 << 32)),
            encode_struct(terms),
            word(18 * 32),
            word(len(keys)),
            *keys,
        ]
        return record("ItemPurchased", sold, seller, buyer, data=b"".join(data))


def fill(node: AnvilNode, count: int) -> int:
    """Has ``count`` logs written; returns how many of them a ledger keeps."""
    trade = Trade(seed=5)
    node.request("anvil_setCode", ADDRESS, "0x" + helper_code().hex())
    node.request("evm_setAutomine", False)
    sender = node.request("eth_accounts")[0]
    for start in range(0, count, BLOCK_LOGS):
        data = b"".join(trade.next() for _ in range(min(BLOCK_LOGS, count - start)))
        call = {"from": sender, "to": ADDRESS, "data": "0x" + data.hex(), "gas": hex(25_000_000)}
        node.request("eth_sendTransaction", call)
        node.mine()
    return trade.saved


# --------------------------------------------------------------------------------- the two ways


class Watched(NodePool):
    """Remembers the ranges that the reader asked for."""

    def __init__(self, url: str) -> None:
        super().__init__((url,))
        self.ranges: list[tuple[int, int]] = []

    async def logs(
        self, address: str, first: int, last: int, *, topics: Topics | None = None
    ) -> tuple[list[RawLog], RawBlock | None]:
        found = await super().logs(address, first, last, topics=topics)
        self.ranges.append((first, last))
        return found


async def read(
    url: str, deployment: Deployment, path: Path
) -> tuple[float, int, list[tuple[int, int]]]:
    """Seconds, rows saved and ranges of a reader that catches up into a new ledger."""
    market = deployment.market
    binding = Binding(deployment.chain_id, market, Address(market), "deliverer")
    async with Watched(url) as rpc:
        with closing(Ledger.open(path, binding)) as ledger:
            reader = ChainReader(
                Market(rpc, deployment),
                ledger,
                log=structlog.wrap_logger(None, processors=[_drop]),
                confirmations=0,
            )
            began = time.perf_counter()
            while not (await reader.advance()).caught_up:
                pass
            seconds = time.perf_counter() - began
            rows = sum(
                ledger.db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in SAVED
            )
    return seconds, rows, rpc.ranges


def _drop(*_: Any) -> str:
    raise structlog.DropEvent


async def raw(url: str, market: Address, ranges: list[tuple[int, int]]) -> tuple[float, int]:
    """Seconds and logs of asking for the same ranges and parsing the answers."""
    logs = 0
    async with aiohttp.ClientSession() as session:
        began = time.perf_counter()
        for first, last in ranges:
            query = {"address": market, "fromBlock": hex(first), "toBlock": hex(last)}
            body = {"jsonrpc": "2.0", "id": 1, "method": "eth_getLogs", "params": [query]}
            async with session.post(url, json=body) as response:
                logs += len(json.loads(await response.read())["result"])
        seconds = time.perf_counter() - began
    return seconds, logs


def compare(
    url: str,
    deployment: Deployment,
    saved: int,
    count: int,
    runs: int,
    say: Callable[[str], None],
) -> float:
    """Runs both in turn; returns the reader's speed as a share of the raw one's.

    Args:
        url: The node.
        deployment: Where the logs are.
        saved: How many of them a ledger keeps.
        count: How many there are.
        runs: How often each way.
        say: Told what is measured.
    """
    ours: list[float] = []
    theirs: list[float] = []
    ranges: list[tuple[int, int]] = []
    with tempfile.TemporaryDirectory() as folder:
        for run in range(runs + 1):
            path = Path(folder) / f"{run}.sqlite"
            seconds, rows, ranges = asyncio.run(read(url, deployment, path))
            if rows != saved:
                raise SystemExit(f"the reader saved {rows} logs of {saved}")
            base, logs = asyncio.run(raw(url, deployment.market, ranges))
            if logs < count:
                raise SystemExit(f"the node gave {logs} logs of {count}")
            if run:  # the first one warms both up
                ours.append(seconds)
                theirs.append(base)
                say(f"run {run}: raw {base:.3f} s, reader {seconds:.3f} s")
    raw_best, ours_best = min(theirs), min(ours)
    ratio = raw_best / ours_best
    say(f"{count:,} logs in {len(ranges)} ranges, best of {runs} runs:")
    say(f"raw eth_getLogs {count / raw_best:10,.0f} logs/s")
    say(f"reader          {count / ours_best:10,.0f} logs/s")
    say(f"ratio           {ratio:10.2f}")
    return ratio


def measure(count: int, runs: int, say: Callable[[str], None]) -> float:
    """Fills an Anvil and compares on it."""
    args = ("--hardfork", "cancun", "--prune-history", "--gas-limit", "100000000")
    with AnvilNode(args=args) as node:
        saved = fill(node, count)
        return compare(node.url, DEPLOYMENT, saved, count, runs, say)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--logs", type=int, default=100_000, help="how many (100,000)")
    parser.add_argument("--runs", type=int, default=5, help="how often each way (5)")
    parser.add_argument("--least", type=float, default=LEAST, help=f"least ratio ({LEAST})")
    args = parser.parse_args()
    ratio = measure(args.logs, args.runs, print)
    print(f"at least {args.least}: {'yes' if ratio >= args.least else 'NO'}")
    return 0 if ratio >= args.least else 1


if __name__ == "__main__":
    sys.exit(main())
