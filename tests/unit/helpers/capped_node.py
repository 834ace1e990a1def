"""A node that gives few logs at once, without a socket."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import msgspec

from dam.crypto.hashing import checksum
from dam.errors import RpcError
from dam.ethereum.node import ReadStats
from dam.ethereum.node_errors import RpcRangeError, RpcTooLargeError
from dam.ethereum.rpc import RawBlock, RawLog, Topics
from dam.market.client import Market
from dam.types import ZERO_ADDRESS, Deployment, Wei, Windows
from tests.unit.helpers.raw_logs import MARKET, log

WINDOWS = Windows(3600, 2400, 3600, 20_000, 3600, 3600, Wei(10), Wei(10), Wei(5))


class CappedNode:
    """A node that gives so many logs at once, or receipts with so many, and no more.

    Args:
        raws: Its logs; each ``per_transaction`` of a block are a transaction.
        most: Logs of an answer of eth_getLogs.
        most_receipts: Logs of an answer of receipts.
        head: Its newest block.
    """

    host = "capped"
    stats = ReadStats()

    def __init__(
        self, *raws: RawLog, most: int = 10**9, most_receipts: int = 10**9, head: int = 10**9
    ) -> None:
        self.blocks: dict[int, list[RawLog]] = {}
        for raw in raws:
            self.blocks.setdefault(int(raw.block_number, 16), []).append(raw)
        self.most, self.most_receipts, self.head = most, most_receipts, head
        self.refusal: Callable[[int], RpcError] = lambda count: RpcRangeError(
            "eth_getLogs", -32005, f"query returned more than {count} results"
        )
        self.refuses: Callable[[int, int, Topics | None], bool] = lambda *_: False
        self.asked: list[tuple[int, int]] = []
        self.receipts: list[int] = []
        """How many were asked for at once."""
        self.per_transaction = 200
        self.gave = 0
        """Most logs that it gave at once."""

    @staticmethod
    def hash(number: int) -> str:
        return "0x" + bytes([number % 251]).hex() * 32

    def header(self, number: int) -> RawBlock:
        return RawBlock(hex(number), self.hash(number), "0x1")

    async def logs(
        self, address: str, first: int, last: int, *, topics: Topics | None = None
    ) -> tuple[list[RawLog], RawBlock | None]:
        assert address == MARKET
        self.asked.append((first, last))
        found = [
            raw
            for number, raws in self.blocks.items()
            if first <= number <= last
            for raw in raws
            if topics is None
            or all(topic in some for topic, some in zip(raw.topics, topics, strict=False))
        ]
        if len(found) > self.most or self.refuses(first, last, topics):
            raise self.refusal(self.most)
        self.gave = max(self.gave, len(found))
        return found, self.header(last) if last <= self.head else None

    async def block_transactions(self, number: int) -> tuple[RawBlock, tuple[str, ...]] | None:
        count = -(-len(self.blocks.get(number, ())) // self.per_transaction)
        return self.header(number), tuple(f"{number}:{n}" for n in range(count))

    async def receipt_logs(
        self, hashes: Sequence[str], address: str, events: Collection[str] | None
    ) -> list[RawLog] | None:
        self.receipts.append(len(hashes))
        found: list[RawLog] = []
        for tx_hash in hashes:
            number, place = map(int, tx_hash.split(":"))
            found += self.blocks[number][place * self.per_transaction :][: self.per_transaction]
        if len(found) > self.most_receipts:
            raise RpcTooLargeError("eth_getTransactionReceipt: capped gave over 7 bytes")
        found = [raw for raw in found if events is None or raw.topics[0] in events]
        self.gave = max(self.gave, len(found))
        return found

    async def batch(self, calls: Sequence[tuple[str, Sequence[Any]]], **_: Any) -> list[Any]:
        return [msgspec.structs.asdict(self.header(int(params[0], 16))) for _, params in calls]


def market_of(node: Any, **options: Any) -> Market:
    place = checksum(bytes.fromhex(MARKET[2:]))
    return Market(
        node, Deployment(31337, place, 1, bytes(32), place, place, WINDOWS, ZERO_ADDRESS), **options
    )


def many(name: str, count: int, block: int = 5, first: int = 0) -> list[RawLog]:
    one = log(name, 0, block)
    return [
        msgspec.structs.replace(one, log_index=hex(index)) for index in range(first, first + count)
    ]
