"""The market contract through a node: its logs, its state, and simulated calls.

Everything that a node says is checked before it is used: a log must be the market's, in the range
asked for, encoded as the contract encodes it, and its copyId must be the hash of what it names. A
log that a node leaves out cannot be noticed here; whoever reads the range again will find it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

from dam.crypto.hashing import keccak
from dam.errors import ConfigError, ContractReverted, Malformed
from dam.ethereum.node import Node, ReadStats, hex_data, quantity
from dam.ethereum.node_errors import (
    RpcBadReplyError,
    RpcRangeError,
    RpcRejectedError,
    RpcTooLargeError,
)
from dam.ethereum.rpc import RawBlock, RawLog, Topics
from dam.market.abi import decode_result, decode_revert, encode
from dam.market.log_decoder import KEPT_TOPICS, LogDecoder, Placed, place
from dam.market.log_rows import Rows
from dam.types import (
    ZERO_ADDRESS,
    Address,
    BlockRef,
    CopyId,
    Deployment,
    MarketLog,
    SaleState,
    Status,
    Wei,
    Windows,
)

_INVALID_PARAMS_CODE = -32602
"""JSON-RPC 2.0, section 5.1."""
_MAX_RANGE_BLOCKS = 10_000
_GROW_AFTER_RANGES = 32
"""After this many ranges that fitted, a larger one is tried."""


class BlockUnknownError(RpcBadReplyError):
    """The node does not have this block: it lags, or the chain is shorter than thought."""


class Rpc(Node, Protocol):
    """What the market asks of a node (`JsonRpc`), or of several as one (`node_pool.NodePool`)."""

    @property
    def host(self) -> str:
        """For messages."""
        ...

    @property
    def stats(self) -> ReadStats:
        """Counters."""
        ...

    async def block(self, tag: str) -> Any:
        """See `JsonRpc.block`."""
        ...

    async def logs(
        self, address: str, first: int, last: int, *, topics: Topics | None = None
    ) -> tuple[list[RawLog], RawBlock | None]:
        """See `JsonRpc.logs`."""
        ...

    async def block_transactions(self, number: int) -> tuple[RawBlock, tuple[str, ...]] | None:
        """See `JsonRpc.block_transactions`."""
        ...

    async def receipt_logs(
        self, hashes: Sequence[str], address: str, events: Collection[str] | None
    ) -> list[RawLog] | None:
        """See `JsonRpc.receipt_logs`."""
        ...

    async def check_chain(self, chain_id: int) -> None:
        """See `JsonRpc.check_chain`."""
        ...


@dataclass(frozen=True, slots=True)
class DelivererInfo:
    """View ``deliverers``. Amounts in wei; ``exit_block`` is 0 without a request."""

    owner: Address
    stake: Wei
    earned: Wei
    delivered: int
    exit_block: int


class Page(Protocol):
    """Logs of a range of blocks."""

    @property
    def end(self) -> BlockRef:
        """The block that ends the range."""
        ...

    @property
    def size(self) -> int:
        """How many logs."""
        ...

    @property
    def rows(self) -> Rows:
        """As the ledger keeps them; `RpcBadReplyError` if one is forged."""
        ...


class RawPage:
    """Logs of a range of blocks as a node gave them, decoded when they are asked for.

    Args:
        placed: The logs, in order.
        end: The last block of the range.
        decoder: Decodes them.
    """

    def __init__(self, placed: Sequence[Placed], end: BlockRef, decoder: LogDecoder) -> None:
        self._placed = placed
        self._decoder = decoder
        self.end = end

    @property
    def size(self) -> int:
        """How many logs."""
        return len(self._placed)

    @property
    def logs(self) -> list[MarketLog]:
        """As records; `RpcBadReplyError` if one is forged."""
        return self._decoder.records(self._placed)

    @property
    def rows(self) -> Rows:
        """As the ledger keeps them, without records on the way; `RpcBadReplyError` likewise."""
        return self._decoder.rows(self._placed)


class _RangeSize:
    """How many blocks to ask for at once: what the node took last, and from time to time more."""

    def __init__(self) -> None:
        self.blocks = _MAX_RANGE_BLOCKS
        self._fits = 0
        self._refused = _MAX_RANGE_BLOCKS + 1
        self._calm = 0

    def refused(self, size: int) -> None:
        """The node refused a range of ``size`` blocks."""
        if size <= self._fits:
            self._fits = 0  # not any more: the logs stand more densely here
        self._refused, self._calm = size, 0
        self.blocks = max(size // 2, self._fits)

    def fitted(self, size: int) -> None:
        """The node answered a range of ``size`` blocks."""
        if size < self.blocks:
            return
        self._fits = size
        self._calm += 1
        if self._calm >= _GROW_AFTER_RANGES:
            self._refused, self._calm = min(_MAX_RANGE_BLOCKS + 1, 4 * self._refused), 0
        if self._refused - size > size // 8:
            self.blocks = min(_MAX_RANGE_BLOCKS, (size + self._refused) // 2)


class Market:
    """A deployed market, seen through one node.

    Args:
        rpc: The node.
        deployment: Which contract on which chain.
    """

    def __init__(self, rpc: Rpc, deployment: Deployment) -> None:
        self.rpc = rpc
        self.deployment = deployment
        self.address = deployment.market
        self._span = _RangeSize()
        self._decoder = LogDecoder()

    async def check_deployment(self) -> None:
        """Looks whether the node has this very contract on this very chain.

        Raises:
            ConfigError: It has not: another chain, or other code at the address.
            BlockUnknownError: It has not come to the block of the deployment yet.
        """
        await self.rpc.check_chain(self.deployment.chain_id)
        code = await self._code()
        if not code:
            head, first = await self.head(), self.deployment.first_block
            if head.number < first:
                raise BlockUnknownError(
                    f"the node {self.rpc.host} is at block {head.number}, and the market was "
                    f"deployed in block {first}: wait until the node has caught up, or use "
                    "another; if its chain was begun anew, deploy the market again"
                )
            code = await self._code()
        if keccak(code) != self.deployment.code_hash:
            what = "other code than" if code else "no code, unlike"
            raise ConfigError(
                f"{self.address} has {what} the deployment record says (chain "
                f"{self.deployment.chain_id}, node {self.rpc.host}): use the record of this "
                "market, or a node that has caught up"
            )

    async def _code(self) -> bytes:
        return hex_data(await self.rpc.call("eth_getCode", self.address, "latest"), "eth_getCode")

    # --------------------------------------------------------------------------------- blocks

    async def head(self, depth: int | str = 0) -> BlockRef:
        """The newest block, or the one ``depth`` below it (the first block where there are fewer).

        Args:
            depth: Blocks below the newest, or a tag: ``latest``, ``safe``, ``finalized``.

        Raises:
            ConfigError: the node does not know the tag.
            BlockUnknownError: it knows the tag, and no such block yet.
        """
        if isinstance(depth, str):
            return await self._tagged(depth)
        if depth == 0:
            return await self._block_at("latest")
        newest = quantity(await self.rpc.call("eth_blockNumber"), "eth_blockNumber")
        return await self.block(max(0, newest - depth))

    async def _tagged(self, tag: str) -> BlockRef:
        advice = "set confirmations (DAM_CONFIRMATIONS) to a number of blocks"
        try:
            return await self._block_at(tag)
        except RpcRejectedError as error:
            if error.code != _INVALID_PARAMS_CODE:
                raise
            raise ConfigError(
                f"{self.rpc.host} has no blocks by the name '{tag}' ({error.message}): {advice}, "
                "or use a node of a proof-of-stake chain"
            ) from None
        except BlockUnknownError:
            raise BlockUnknownError(
                f"{self.rpc.host} has no '{tag}' block: wait until it has caught up, or {advice}"
            ) from None

    async def block(self, number: int) -> BlockRef:
        """The block of this number on the node's canonical chain.

        Raises:
            BlockUnknownError: the node has none.
        """
        block = await self._block_at(hex(number))
        if block.number != number:
            raise RpcBadReplyError(f"block {number}: {self.rpc.host} gave block {block.number}")
        return block

    async def blocks(self, numbers: Sequence[int]) -> list[BlockRef]:
        """Several blocks in few requests, in the order asked for."""
        asked = [("eth_getBlockByNumber", [hex(number), False]) for number in numbers]
        raws = await self.rpc.batch(asked)
        if None in raws:
            raws = await self.rpc.batch(asked)  # see `JsonRpc.block`
        found = [self._block_ref(raw, str(n)) for raw, n in zip(raws, numbers, strict=True)]
        if [block.number for block in found] != list(numbers):
            raise RpcBadReplyError(f"{self.rpc.host} gave other blocks than asked for")
        return found

    async def _block_at(self, tag: str) -> BlockRef:
        return self._block_ref(await self.rpc.block(tag), tag)

    def _block_ref(self, raw: object, tag: str) -> BlockRef:
        if raw is None:
            raise BlockUnknownError(f"{self.rpc.host} has no block {tag}")
        if not isinstance(raw, dict):
            raise RpcBadReplyError(f"block {tag}: not an object")
        return BlockRef(
            quantity(raw.get("number"), f"block {tag}"),
            hex_data(raw.get("hash"), f"block {tag}", 32),
            quantity(raw.get("timestamp"), f"block {tag}"),
        )

    # ----------------------------------------------------------------------------------- logs

    async def logs(self, first: int, last: int, *, canonical: bool = False) -> list[MarketLog]:
        """All logs of the market in blocks ``first`` to ``last``, in their order. See `page`."""
        found: list[MarketLog] = []
        while first <= last:
            page = await self._page(first, last, canonical, every=True)
            found += page.logs
            first = page.end.number + 1
        return found

    async def page(self, first: int, last: int, *, canonical: bool = False) -> RawPage:
        """The logs of the market from block ``first`` on, in their order, to ``last`` if that fits.

        A range that the node finds too large is halved until it fits: the page ends where
        ``end`` says. The size that was refused is remembered, and tried again now and then. One
        block that does not fit is read event by event, without those that no ledger keeps.
        Where several nodes are asked, they all must tell the same. Copies of one log count once.

        Args:
            first: First block.
            last: Last block; not before ``first``.
            canonical: Also compare the block hash of every log with the chain's (one more request
                per hundred blocks with logs).

        Raises:
            BlockUnknownError: the node does not have the last block: it would report its logs as
                none.
            RpcBadReplyError: a log that cannot be the market's ("forged log"), or one of a block
                that is not on the chain (it was replaced meanwhile: ask again).
            RpcError: the node could not be asked.
        """
        return await self._page(first, last, canonical, every=False)

    async def _page(self, first: int, last: int, canonical: bool, *, every: bool) -> RawPage:
        """With ``every``, fail rather than leave out the events that no ledger keeps."""
        if first > last:
            raise ValueError(f"no blocks from {first} to {last}")
        while True:
            stop = min(last, first + self._span.blocks - 1)
            try:
                raws, raw_end = await self.rpc.logs(self.address.lower(), first, stop)
            except (RpcRangeError, RpcTooLargeError):
                if first == stop:
                    if every:
                        raise
                    raws, raw_end = await self._by_event(stop)
                    break
                self._span.refused(stop - first + 1)
            else:
                self._span.fitted(stop - first + 1)
                break
        end = self._end(raw_end, stop)
        placed = place(raws, self.address.lower(), first, stop)
        await self._check_hashes(placed, end, canonical)
        return RawPage(placed, end, self._decoder)

    async def _by_event(self, number: int) -> tuple[list[RawLog], RawBlock | None]:
        """The logs of one block that is too large, event by event, of those that leave a row.

        Anybody may fill a block with others: evidence of any length, say.
        """
        found: list[RawLog] = []
        end: RawBlock | None = None
        for topic in KEPT_TOPICS:
            raws, here = await self.rpc.logs(self.address.lower(), number, number, topics=[[topic]])
            if here is None or (end is not None and end.hash != here.hash):
                raise BlockUnknownError(f"{self.rpc.host} has no block {number} that stays")
            end = here
            found += raws
        return found, end

    def _end(self, raw: RawBlock | None, number: int) -> BlockRef:
        if raw is None:
            raise BlockUnknownError(f"{self.rpc.host} has no block {number}")
        found = BlockRef(
            quantity(raw.number, f"block {number}"),
            hex_data(raw.hash, f"block {number}", 32),
            quantity(raw.timestamp, f"block {number}"),
        )
        if found.number != number:
            raise RpcBadReplyError(f"block {number}: {self.rpc.host} gave block {found.number}")
        return found

    async def _check_hashes(self, logs: Sequence[Placed], end: BlockRef, canonical: bool) -> None:
        hashes = {number: block_hash for number, block_hash, _, _ in logs}
        if hashes.setdefault(end.number, end.hash) != end.hash:
            raise RpcBadReplyError(f"logs of two blocks {end.number}: one was replaced")
        if not canonical:
            return
        for block in await self.blocks(sorted(hashes)):
            if hashes[block.number] != block.hash:
                raise RpcBadReplyError(f"block {block.number} was replaced while it was read")

    # ---------------------------------------------------------------------------------- views

    async def call(self, function: str, *args: Any, block: int | str = "latest") -> tuple[Any, ...]:
        """Asks a view of the contract.

        Args:
            function: Its name.
            args: Its arguments.
            block: At which block.
        """
        return (await self.calls([(function, args)], block=block))[0]

    async def calls(
        self, calls: Sequence[tuple[str, Sequence[Any]]], *, block: int | str = "latest"
    ) -> list[tuple[Any, ...]]:
        """Asks several views in few requests, all at one block (if ``block`` is a number)."""
        at = hex(block) if isinstance(block, int) else block
        datas = await self.rpc.batch(
            [
                ("eth_call", [{"to": self.address, "data": _hex(encode(function, *args))}, at])
                for function, args in calls
            ]
        )
        results = []
        for (function, _), data in zip(calls, datas, strict=True):
            try:
                results.append(decode_result(function, hex_data(data, function)))
            except Malformed as error:
                raise RpcBadReplyError(f"{function}: {error}") from None
        return results

    async def sale_state(self, copy: CopyId, *, block: int | str = "latest") -> SaleState:
        """The sale of a copy; `Status.NONE` where there is none."""
        return (await self.sale_states([copy], block=block))[0]

    async def sale_states(
        self, copies: Sequence[CopyId], *, block: int | str = "latest"
    ) -> list[SaleState]:
        """The sales of several copies, in few requests."""
        results = await self.calls([("sales", (copy,)) for copy in copies], block=block)
        if any(status >= len(Status) for status, *_ in results):
            raise RpcBadReplyError("sales: no such status")
        return [SaleState(Status(status), *rest) for status, *rest in results]

    async def seller_stake(self, seller: Address) -> Wei:
        """Free stake in wei."""
        return Wei((await self.call("sellerStakes", seller))[0])

    async def seller_operator(self, seller: Address) -> Address:
        """Address of the seller's watchdog, or zero."""
        return Address((await self.call("sellerOperator", seller))[0])

    async def store(self, seller: Address, *, block: int | str = "latest") -> tuple[bytes, bytes]:
        """Digest and catalogue commitment of a seller's store; zeros where there is none.

        `dam.crypto.hashing.catalogue_commitment` checks a root against it; the root itself stands
        in the store's last `StoreVersion`.
        """
        digest, catalogue = await self.call("stores", seller, block=block)
        return digest, catalogue

    async def deliverer(self, operator: Address) -> DelivererInfo:
        """A deliverer as the contract knows it; all zero if it is not registered."""
        return (await self.deliverers([operator]))[0]

    async def deliverers(self, operators: Sequence[Address]) -> list[DelivererInfo]:
        """Several deliverers, in few requests."""
        results = await self.calls([("deliverers", (operator,)) for operator in operators])
        return [DelivererInfo(*result) for result in results]

    async def credits(self, account: Address, token: Address = ZERO_ADDRESS) -> int:
        """What an account may withdraw, in the token's smallest unit."""
        return int((await self.call("credits", account, token))[0])

    async def windows(self) -> Windows:
        """The contract's immutables."""
        results = await self.calls([(field.name.upper(), ()) for field in fields(Windows)])
        return Windows(*(value for (value,) in results))

    # ---------------------------------------------------------------------------------- calls

    def encode(self, function: str, *args: Any) -> bytes:
        """Calldata of a call to the market; see `dam.market.abi.encode`."""
        return encode(function, *args)

    async def simulate(
        self, data: bytes, *, sender: Address, value: int = 0, block: int | str = "latest"
    ) -> None:
        """Runs a call without sending it; returns if it would succeed.

        At ``latest`` most nodes run it as if in the newest block, not in the next one; ``pending``
        is the next one, with what waits in the node's pool done before.

        Args:
            data: Calldata, from `encode`.
            sender: Who would send it.
            value: Coins sent along, in wei.
            block: At which block.

        Raises:
            ContractReverted: the contract would refuse, with its error and arguments.
            RpcError: the node could not be asked, or refused for a reason of its own.
        """
        call = {"from": sender, "to": self.address, "data": _hex(data), "value": hex(value)}
        try:
            await self.rpc.call("eth_call", call, hex(block) if isinstance(block, int) else block)
        except RpcRejectedError as error:
            reverted = revert_of(error)
            if reverted is None:
                raise
            raise reverted from None


def revert_of(error: RpcRejectedError) -> ContractReverted | None:
    """The contract's refusal in a node's error, or None if the node refused for its own reasons."""
    data: object = error.data
    if isinstance(data, dict):  # some nodes nest it
        data = data.get("data", data.get("result"))
    if isinstance(data, str):
        text = data.removeprefix("Reverted ")
        if text.startswith("0x") and len(text) <= 20_000:
            try:
                return decode_revert(bytes.fromhex(text[2:]))
            except ValueError:
                return None
    if error.code == 3 or "revert" in error.message.lower():
        return ContractReverted("")
    return None


def _hex(data: bytes) -> str:
    return "0x" + data.hex()
