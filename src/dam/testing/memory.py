"""A chain and a market in memory: for tests without sockets, ours and users' own.

`MemoryChain` answers as a node does (`call`, `batch`: fees, nonces, simulation, raw transactions,
receipts) and as `market.client.Market` does (`head`, `block`, `page`, `sale_state`, ...). It takes
the same calldata and the same signed bytes as the real ones, and follows the contract's rules of
delivering, supplying and closing; money it does not count. Blocks come only with `mine`, a second
after each other (`pass_time` adds to that);
`reorganise` replaces the newest ones by empty ones and puts their transactions back into the pool.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from eth_account import Account
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from hexbytes import HexBytes

from dam.crypto.hashing import checksum, copy_id, keccak
from dam.errors import ContractReverted
from dam.ethereum.node_errors import RpcRejectedError
from dam.market.abi import encode, market_abi
from dam.market.client import BlockUnknownError, DelivererInfo
from dam.market.deliverers import proven_key
from dam.testing.pages import LogPage
from dam.testing.rules import NOWHERE, Rules
from dam.types import (
    ZERO_ADDRESS,
    Address,
    BlockRef,
    Clock,
    CopyId,
    Deadlines,
    DelivererKeyRotated,
    DelivererRegistered,
    Deployment,
    FragmentDelivered,
    LogRef,
    MarketLog,
    Purchase,
    SaleState,
    StoreVersion,
    Terms,
    Wei,
    Windows,
)

GWEI = 10**9
SHORT_WINDOWS = Windows(3600, 2400, 3600, 20_000, 3600, 3600, Wei(10), Wei(10), Wei(5))
"""An hour for most of it; deliverers have 20 minutes."""
_FIRST_SECOND = 1_700_000_000


@dataclass
class _Tx:
    hash: bytes
    sender: Address
    nonce: int
    to: Address
    data: bytes
    max_fee: int
    tip: int


@dataclass
class _Block:
    number: int
    hash: bytes
    time: int
    logs: list[MarketLog] = field(default_factory=list)
    receipts: dict[bytes, tuple[_Tx, int]] = field(default_factory=dict)


class MemoryChain:
    """A chain of one market.

    Args:
        windows: The market's windows.
        chain_id: Chain id.
    """

    def __init__(self, windows: Windows | None = None, chain_id: int = 31337) -> None:
        windows = windows or SHORT_WINDOWS
        self.address, proofs, closing = (checksum(keccak(b"memory %d" % i)[:20]) for i in range(3))
        self.deployment = Deployment(
            chain_id, self.address, 1, bytes(32), proofs, closing, windows, ZERO_ADDRESS
        )
        self.pool: dict[bytes, _Tx] = {}
        self.queued: list[MarketLog] = []
        """Events that the next block will hold, made by others."""
        self.block_offset = 0
        """What the contract's ``block.number`` is above the number of the node's block."""
        self._rules = Rules(chain_id, self.address, windows)
        self.operators = self._rules.operators
        """Seller to operator."""
        self.eligible = self._rules.eligible
        """Deliverers with enough stake and no exit requested."""
        self.stake = Wei(10**19)
        """Of each of them."""
        self.base_fee = GWEI
        self.accepts: Callable[[_Tx], bool] = lambda _: True
        """Which transactions of the pool a new block takes."""
        self.bump = 10
        """By how many percent a replacement has to pay more."""
        self.poor: set[Address] = set()
        """Accounts without balance."""
        self.calls: list[str] = []
        """Methods that were called, in order."""
        self._fork = 0
        self._wait = 0
        self._blocks = [_Block(0, keccak(b"genesis"), _FIRST_SECOND)]

    # ------------------------------------------------------------------------ what a test does

    @property
    def height(self) -> int:
        """Number of the newest block."""
        return len(self._blocks) - 1

    def mine(self, count: int = 1) -> None:
        """Adds blocks; the first takes what is queued and what waits in the pool."""
        for _ in range(count):
            parent = self._blocks[-1]
            seed = parent.hash + self._fork.to_bytes(4, "big")
            block = _Block(parent.number + 1, keccak(seed), parent.time + 1 + self._wait)
            self._wait = 0
            self._blocks.append(block)
            for log in self.queued:
                self._emit(log, keccak(block.hash + len(block.logs).to_bytes(4, "big")))
            self.queued = []
            self._include(block)

    def pass_time(self, seconds: int) -> None:
        """Lets so many seconds pass before the next block."""
        self._wait += seconds

    def reorganise(self, depth: int, *, keep_length: bool = True) -> list[MarketLog]:
        """Replaces the newest ``depth`` blocks, and returns the events of others that were lost.

        Our own transactions go back into the pool; put the lost events into ``queued`` to have them
        mined again.
        """
        gone = self._blocks[-depth:]
        del self._blocks[-depth:]
        self._fork += 1
        sent = {tx_hash for block in gone for tx_hash in block.receipts}
        for block in gone:
            self.pool |= {tx_hash: tx for tx_hash, (tx, _) in block.receipts.items()}
        if keep_length:
            taken, self.accepts = self.accepts, lambda _: False
            queued, self.queued = self.queued, []
            self.mine(depth)
            self.accepts, self.queued = taken, queued
        return [log for block in gone for log in block.logs if log.at.tx_hash not in sent]

    def publish(self, seller: Address, digest: bytes, root: bytes) -> None:
        """Queues a new version of a store."""
        self.queued.append(StoreVersion(seller, digest, root, NOWHERE))

    def buy(
        self,
        seller: Address,
        buyer: Address,
        terms: Terms,
        store_digest: bytes,
        copy: int,
        keys: tuple[bytes, ...],
    ) -> CopyId:
        """Queues a purchase; nothing of it is checked."""
        sold = copy_id(seller, terms.item_id, copy)
        self.queued.append(
            Purchase(sold, seller, buyer, store_digest, copy, 0, 0, terms, keys, NOWHERE)
        )
        return sold

    def prove_junk(self, sold: CopyId, index: int, fresh_key: bytes) -> None:
        """Queues the buyer's proof against the deliverer of a part; nothing of it is checked."""
        clock = self._clock(self.height + 1)
        self.queued.append(self._rules.prove_junk(self._logs(), sold, index, fresh_key, clock))

    def delivered(self, sold: CopyId) -> list[FragmentDelivered]:
        """All delivery events of a sale on the canonical chain."""
        return [
            log
            for block in self._blocks
            for log in block.logs
            if isinstance(log, FragmentDelivered) and log.copy_id == sold
        ]

    def mined(self, sender: Address) -> list[tuple[int, int]]:
        """Nonce and status of every mined transaction of an account, in order."""
        return [
            (tx.nonce, status)
            for block in self._blocks
            for tx, status in block.receipts.values()
            if tx.sender == sender
        ]

    # ------------------------------------------------------------------------------- the market

    def encode(self, function: str, *args: Any) -> bytes:
        """As `market.Market.encode`."""
        return encode(function, *args)

    async def head(self, depth: int | str = 0) -> BlockRef:
        """As `market.Market.head`; ``safe`` and ``finalized`` are 32 and 64 blocks behind."""
        if isinstance(depth, str):
            depth = {"latest": 0, "safe": 32, "finalized": 64}[depth]
        return self._ref(self._blocks[max(0, self.height - depth)])

    async def block(self, number: int) -> BlockRef:
        """As `market.Market.block`."""
        if not 0 <= number <= self.height:
            raise BlockUnknownError(f"no block {number}")
        return self._ref(self._blocks[number])

    async def page(self, first: int, last: int, *, canonical: bool = False) -> LogPage:
        """As `market.Market.page`."""
        del canonical  # one chain, one truth
        end = await self.block(last)
        return LogPage([log for b in self._blocks[first : last + 1] for log in b.logs], end)

    async def announced_key(
        self, operator: Address, first: int, last: int
    ) -> tuple[bytes | None, int]:
        """As `market.Market.announced_key`."""
        keys = [
            proven_key(log, self.deployment.chain_id, self.address)
            for block in self._blocks[first : last + 1]
            for log in block.logs
            if isinstance(log, DelivererRegistered | DelivererKeyRotated)
            and log.operator == operator
        ]
        return next(filter(None, reversed(keys)), None), last

    async def clock(self, head: BlockRef) -> Clock:
        """As `market.Market.clock`."""
        return self._clock(head.number)

    async def head_and_clock(self) -> tuple[BlockRef, Clock]:
        """As `market.Market.head_and_clock`."""
        head = await self.head()
        return head, self._clock(head.number)

    async def deadlines(self, purchases: Sequence[Purchase]) -> list[Deadlines]:
        """As `market.Market.deadlines`."""
        return [self._rules.deadlines(self._logs(), bought.copy_id) for bought in purchases]

    async def sale_state(self, copy: CopyId) -> SaleState:
        """As `market.Market.sale_state`."""
        return self._rules.state(self._logs(), copy)

    async def deliverer(self, operator: Address) -> DelivererInfo:
        """As `market.Market.deliverer`."""
        stake = self.stake if operator in self.eligible else Wei(0)
        return DelivererInfo(operator, stake, Wei(0), 0, 0)

    async def seller_operator(self, seller: Address) -> Address:
        """As `market.Market.seller_operator`."""
        return self.operators.get(seller, ZERO_ADDRESS)

    async def check_deployment(self) -> None:
        """As `market.Market.check_deployment`: always right."""

    # --------------------------------------------------------------------------------- the node

    async def call(self, method: str, *params: Any) -> Any:
        """One JSON-RPC call."""
        self.calls.append(method)
        answer = getattr(self, "_" + method)
        return answer(*params)

    async def batch(
        self, calls: Sequence[tuple[str, Sequence[Any]]], *, errors: bool = False
    ) -> list[Any]:
        """Several JSON-RPC calls."""
        results: list[Any] = []
        for method, params in calls:
            try:
                results.append(await self.call(method, *params))
            except RpcRejectedError as error:
                if not errors:
                    raise
                results.append(error)
        return results

    def _eth_feeHistory(self, *_: Any) -> Any:  # noqa: N802 - named as the method is
        return {"baseFeePerGas": [hex(self.base_fee)] * 2}

    def _eth_maxPriorityFeePerGas(self) -> str:  # noqa: N802
        return hex(GWEI)

    def _eth_getTransactionCount(self, address: Address, tag: str) -> str:  # noqa: N802
        blocks = self._blocks
        if tag.startswith("0x"):
            blocks = blocks[: int(tag, 16) + 1]
        count = sum(tx.sender == address for block in blocks for tx, _ in block.receipts.values())
        if tag == "pending":
            waiting = {tx.nonce for tx in self.pool.values() if tx.sender == address}
            while count in waiting:
                count += 1
        return hex(count)

    def _eth_call(self, call: dict[str, Any], tag: str) -> str:
        number = self.height + (tag == "pending")
        data = bytes.fromhex(call["data"][2:])
        try:
            self._execute(call["from"], call["to"], data, number)
        except ContractReverted as error:
            raise self._rejected("eth_call", error) from None
        return "0x"

    def _eth_estimateGas(self, call: dict[str, Any], tag: str) -> str:  # noqa: N802
        if call["from"] in self.poor:
            raise RpcRejectedError("eth_estimateGas", -32000, "insufficient funds for gas")
        self._eth_call(call, tag)
        return hex(50_000)

    def _eth_sendRawTransaction(self, text: str) -> str:  # noqa: N802
        raw = bytes.fromhex(text[2:])
        fields = TypedTransaction.from_bytes(HexBytes(raw)).as_dict()
        tx = _Tx(
            hash=keccak(raw),
            sender=Address(Account.recover_transaction(raw)),
            nonce=fields["nonce"],
            to=checksum(bytes(fields["to"])),
            data=bytes(fields["data"]),
            max_fee=fields["maxFeePerGas"],
            tip=fields["maxPriorityFeePerGas"],
        )
        method = "eth_sendRawTransaction"
        if tx.hash in self.pool:
            raise RpcRejectedError(method, -32000, "already known")
        if tx.sender in self.poor:
            raise RpcRejectedError(method, -32003, "Insufficient funds for gas * price + value")
        if tx.nonce < int(self._eth_getTransactionCount(tx.sender, "latest"), 16):
            raise RpcRejectedError(method, -32003, "nonce too low")
        for other in list(self.pool.values()):
            if (other.sender, other.nonce) == (tx.sender, tx.nonce):
                # As geth: both fees.
                pairs = (tx.max_fee, other.max_fee), (tx.tip, other.tip)
                if any(new * 100 < old * (100 + self.bump) for new, old in pairs):
                    raise RpcRejectedError(method, -32000, "replacement transaction underpriced")
                del self.pool[other.hash]
        self.pool[tx.hash] = tx
        return "0x" + tx.hash.hex()

    def _eth_getTransactionByHash(self, text: str) -> Any:  # noqa: N802
        tx_hash = bytes.fromhex(text[2:])
        for block in self._blocks:
            if tx_hash in block.receipts:
                return {"hash": text, "blockNumber": hex(block.number)}
        return {"hash": text, "blockNumber": None} if tx_hash in self.pool else None

    def _eth_getBlockByNumber(self, tag: str, full: bool) -> Any:  # noqa: N802
        assert not full
        found = [block for block in self._blocks if block.number == int(tag, 16)]
        return {"transactions": ["0x" + tx.hex() for tx in found[0].receipts]} if found else None

    def _eth_getTransactionReceipt(self, text: str) -> Any:  # noqa: N802
        tx_hash = bytes.fromhex(text[2:])
        for block in self._blocks:
            if tx_hash in block.receipts:
                return {
                    "transactionHash": text,
                    "blockNumber": hex(block.number),
                    "status": hex(block.receipts[tx_hash][1]),
                    "gasUsed": hex(60_000),
                    "effectiveGasPrice": hex(self.base_fee),
                }
        return None

    # ---------------------------------------------------------------------------------- inside

    @staticmethod
    def _ref(block: _Block) -> BlockRef:
        return BlockRef(block.number, block.hash, block.time)

    def _clock(self, number: int) -> Clock:
        """As the contract sees it in a block that is there, or in the next one."""
        next_time = self._blocks[-1].time + 1 + self._wait
        time = self._blocks[number].time if number <= self.height else next_time
        return Clock(number + self.block_offset, time)

    def _emit(self, log: MarketLog, tx_hash: bytes) -> None:
        block = self._blocks[-1]
        at = LogRef(self._ref(block), tx_hash, len(block.logs))
        if isinstance(log, Purchase):
            clock = self._clock(block.number)
            log = replace(log, purchase_block=clock.block, purchase_time=clock.time)
        block.logs.append(replace(log, at=at))

    def _include(self, block: _Block) -> None:
        progress = True
        while progress:
            progress = False
            for tx in sorted(self.pool.values(), key=lambda tx: tx.nonce):
                count = int(self._eth_getTransactionCount(tx.sender, "latest"), 16)
                if tx.nonce != count or not self.accepts(tx) or tx.max_fee < self.base_fee:
                    continue
                del self.pool[tx.hash]
                try:
                    logs = self._execute(tx.sender, tx.to, tx.data, block.number)
                except ContractReverted:
                    logs, status = [], 0
                else:
                    status = 1
                block.receipts[tx.hash] = (tx, status)
                for log in logs:
                    self._emit(log, tx.hash)
                progress = True

    def _logs(self) -> list[MarketLog]:
        return [log for block in self._blocks for log in block.logs]

    def _execute(self, sender: Address, to: Address, data: bytes, block: int) -> list[MarketLog]:
        if to != self.address:
            return []
        return self._rules.execute(self._logs(), sender, data, self._clock(block))

    @staticmethod
    def _rejected(method: str, error: ContractReverted) -> RpcRejectedError:
        entry = next((e for e in market_abi().errors.values() if e.name == error.error), None)
        data = b""
        if entry is not None:
            words = [error.arguments[p.name] for p in entry.inputs]
            data = entry.id + b"".join(_word(value) for value in words)
        return RpcRejectedError(method, 3, "execution reverted", "0x" + data.hex())


def _word(value: Any) -> bytes:
    if isinstance(value, str):
        return bytes.fromhex(value[2:]).rjust(32, b"\0")
    return value if isinstance(value, bytes) else int(value).to_bytes(32, "big")
