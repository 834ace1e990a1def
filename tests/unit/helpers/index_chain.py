"""A chain of made-up logs for an index to read: blocks that come, and that are replaced."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dam.crypto.hashing import checksum, copy_id, keccak
from dam.types import (
    ZERO_ADDRESS,
    Address,
    BlockRef,
    Clock,
    DelivererRegistered,
    Deployment,
    DisputeOpened,
    FragmentDelivered,
    JunkProved,
    LogRef,
    MarketLog,
    OtherLog,
    Purchase,
    SaleClosed,
    Status,
    StoreVersion,
    Terms,
    Wei,
    Windows,
)

FIRST = 10
_AT = LogRef(BlockRef(0, b""), b"", 0)


def who(number: int) -> Address:
    return checksum(number.to_bytes(20, "big"))


def terms(item: bytes, **changes: Any) -> Terms:
    values: dict[str, Any] = {
        "item_id": keccak(item), "token": ZERO_ADDRESS, "price": 1000, "commission": Wei(30),
        "penalty": Wei(100), "bond": Wei(50), "supply": 10, "stock": True, "parts": 3,
        "threshold": 2, "arbitrator": who(0xC1), "parts_root": keccak(b"parts"),
    }  # fmt: skip
    return Terms(**values | changes)


DEPLOYMENT = Deployment(
    31337, who(0xDA), FIRST, keccak(b"code"), who(1), who(2),
    Windows(3600, 2400, 86_400, 99_600, 3600, 3600, Wei(1), Wei(1), Wei(1)), ZERO_ADDRESS,
)  # fmt: skip


@dataclass
class IndexChain:
    """As `dam.market.client.Market`, as far as an index asks it."""

    range_blocks: int = 1000
    """How many blocks the node gives at once."""
    blocks: dict[int, tuple[BlockRef, list[MarketLog]]] = field(default_factory=dict)
    stakes: dict[Address, int] = field(default_factory=dict)
    asked: list[tuple[Any, ...]] = field(default_factory=list)
    on_ask: Callable[[], None] = lambda: None
    deployment: Deployment = DEPLOYMENT
    fork: int = 0

    def __post_init__(self) -> None:
        self.height = FIRST - 1
        self.blocks[self.height] = BlockRef(self.height, keccak(b"%d" % self.fork)), []

    def mine(self, *logs: MarketLog, count: int = 1) -> None:
        """Blocks, with these logs in the first of them."""
        for _ in range(count):
            self.height += 1
            ref = BlockRef(
                self.height, keccak(b"%d %d" % (self.fork, self.height)), 10**9 + self.height
            )
            tx = keccak(b"tx" + ref.hash)
            placed = [replace(log, at=LogRef(ref, tx, i)) for i, log in enumerate(logs)]
            self.blocks[self.height] = ref, placed
            logs = ()

    def reorganise(self, depth: int) -> None:
        """Takes the last blocks away; what is mined next is another branch."""
        for number in range(self.height - depth + 1, self.height + 1):
            del self.blocks[number]
        self.height -= depth
        self.fork += 1

    @property
    def logs(self) -> list[MarketLog]:
        return [log for _, (_, logs) in sorted(self.blocks.items()) for log in logs]

    # ---------------------------------------------------------------------------- the market

    async def head_and_clock(self) -> tuple[BlockRef, Clock]:
        head = self.blocks[self.height][0]
        return head, Clock(head.number, head.timestamp)

    async def block(self, number: int) -> BlockRef:
        self.on_ask()
        return self.blocks[number][0]

    async def records(
        self, first: int, last: int, events: Collection[str], *, canonical: bool = False
    ) -> tuple[list[MarketLog], BlockRef]:
        self.on_ask()
        self.asked.append(("logs", first, last))
        last = min(last, first + self.range_blocks - 1)
        logs = [log for n in range(first, last + 1) for log in self.blocks[n][1]]
        return logs, self.blocks[last][0]

    async def calls(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[tuple[Any, ...]]:
        self.asked.append(("calls", len(calls)))
        assert {name for name, _ in calls} <= {"sellerStakes"}
        return [(self.stakes.get(seller, 0),) for _, (seller,) in calls]


# --------------------------------------------------------------------------------------- logs


_BUYER, _ROOT = who(0xB1), keccak(b"root")


def version(seller: Address, digest: bytes, root: bytes = _ROOT) -> StoreVersion:
    return StoreVersion(seller, digest, root, _AT)


def bought(seller: Address, copy: int, of: Terms, buyer: Address = _BUYER) -> Purchase:
    sold = copy_id(seller, of.item_id, copy)
    keys = tuple(keccak(sold + bytes([i])) for i in range(of.parts))
    return Purchase(sold, seller, buyer, keccak(b"doc"), copy, 5, 10**9, of, keys, _AT)


def part(sale: Purchase, index: int, by: Address, *, supplied: bool = False) -> FragmentDelivered:
    zero = bytes(32)
    return FragmentDelivered(
        sale.copy_id, by, index, by, zero, zero, zero, bytes(80), supplied, _AT
    )


def junk(sale: Purchase, index: int, by: Address, *, cleared: bool = True) -> JunkProved:
    return JunkProved(sale.copy_id, by, index, keccak(b"f"), Wei(5), Wei(1), cleared, _AT)


def disputed(sale: Purchase) -> DisputeOpened:
    return DisputeOpened(sale.copy_id, sale.buyer, sale.terms.arbitrator, keccak(b"e"), _AT)


def closed(sale: Purchase, status: Status, to_buyer: int = 0) -> SaleClosed:
    return SaleClosed(sale.copy_id, status, who(9), to_buyer, Wei(to_buyer), _AT)


def other(name: str, **args: Any) -> OtherLog:
    return OtherLog(name, args, _AT)


def rated(sale: Purchase, stars: int) -> OtherLog:
    return other("SaleRated", copyId=sale.copy_id, stars=stars)


def registered(operator: Address, owner: Address) -> DelivererRegistered:
    return DelivererRegistered(operator, owner, keccak(b"key"), bytes(64), Wei(10), _AT)
