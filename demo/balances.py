"""Counts every wei: balances before and after, and the gas of every receipt in between.

What a party *earned* is the change of its balance plus the gas that its transactions burnt. Over
all parties, the market and the block producer, the changes add up to minus the base fees burnt:
no wei comes from nowhere and none is lost.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from dam.ethereum.rpc import JsonRpc
from dam.types import Address


@dataclass(frozen=True)
class Row:
    """One account over the counted blocks, in wei."""

    name: str
    change: int
    gas: int
    """What its transactions cost, tips included."""

    @property
    def earned(self) -> int:
        return self.change + self.gas


@dataclass(frozen=True)
class BalanceChanges:
    """What happened to all accounts between two blocks."""

    first: int
    last: int
    rows: tuple[Row, ...]
    burnt: int
    """Base fees, in wei: the only coins that leave."""
    tips: int
    strangers: tuple[Address, ...]
    """Senders of transactions that are in no row: there must be none."""

    @property
    def total(self) -> int:
        """Sum of all changes of balance: minus `burnt`, if nothing is missing."""
        return sum(row.change for row in self.rows)

    def row(self, name: str) -> Row:
        return next(row for row in self.rows if row.name == name)


class BalanceTracker:
    """Opened before a sale and counted after it.

    Args:
        rpc: The node.
        accounts: Name of each account that may gain or lose, the market among them.
    """

    def __init__(self, rpc: JsonRpc, accounts: Mapping[str, Address]) -> None:
        self._rpc = rpc
        self._accounts = dict(accounts)
        self._first = 0
        self._before: dict[str, int] = {}

    async def open(self) -> int:
        """Takes the balances at the newest block, and returns that block."""
        self._first = int(await self._rpc.call("eth_blockNumber"), 16)
        producer = await self._block(self._first)
        self._accounts["block producer"] = Address(producer["miner"])
        self._before = await self._balances(self._first)
        return self._first

    async def count(self) -> BalanceChanges:
        """Takes the balances again, and reads every receipt since `open`."""
        last = int(await self._rpc.call("eth_blockNumber"), 16)
        after = await self._balances(last)
        gas: dict[str, int] = defaultdict(int)
        burnt = tips = 0
        numbers = range(self._first + 1, last + 1)
        # By each transaction's hash: Hardhat knows no eth_getBlockReceipts.
        blocks = await self._rpc.batch(
            [("eth_getBlockByNumber", [hex(number), False]) for number in numbers]
        )
        mined = [(hash_, block) for block in blocks for hash_ in block["transactions"]]
        receipts = await self._rpc.batch(
            [("eth_getTransactionReceipt", [hash_]) for hash_, _ in mined]
        )
        for (_, block), receipt in zip(mined, receipts, strict=True):
            used = int(receipt["gasUsed"], 16)
            paid = used * int(receipt["effectiveGasPrice"], 16)
            base = int(block["baseFeePerGas"], 16)
            gas[receipt["from"].lower()] += paid
            burnt += used * base
            tips += paid - used * base
        known = {address.lower() for address in self._accounts.values()}
        rows = tuple(
            Row(name, after[name] - self._before[name], gas.get(address.lower(), 0))
            for name, address in self._accounts.items()
        )
        strangers = tuple(Address(sender) for sender in gas if sender not in known)
        return BalanceChanges(self._first, last, rows, burnt, tips, strangers)

    async def _balances(self, block: int) -> dict[str, int]:
        answers = await self._rpc.batch(
            [("eth_getBalance", [address, hex(block)]) for address in self._accounts.values()]
        )
        return {name: int(wei, 16) for name, wei in zip(self._accounts, answers, strict=True)}

    async def _block(self, number: int) -> dict[str, str]:
        block: dict[str, str] = await self._rpc.call("eth_getBlockByNumber", hex(number), False)
        return block
