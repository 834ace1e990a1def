"""The one place that knows the contract: its logs as records, its state, and calls to it.

Everything a node says is checked here before it becomes a record: a log must be the market's, in
the range asked for, encoded as the contract encodes it, and its copyId must be the hash of what it
names. What a node cannot be caught at (a log left out) shows as a gap that a later look fills.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from dam.abi_codec import decode_event, decode_result, decode_revert, encode
from dam.errors import ConfigError, ContractReverted, Malformed
from dam.hashing import copy_id, keccak
from dam.rpc import (
    JsonRpc,
    RpcBadReplyError,
    RpcRangeError,
    RpcRejectedError,
    RpcTooLargeError,
    hex_data,
    quantity,
)
from dam.types import (
    ZERO_ADDRESS,
    Address,
    BlockRef,
    CopyId,
    DelivererKeyRotated,
    DelivererRegistered,
    Deployment,
    DisputeOpened,
    FragmentDelivered,
    LogRef,
    MarketLog,
    OtherLog,
    Purchase,
    SaleClosed,
    SaleState,
    Status,
    StoreVersion,
    Wei,
    Windows,
)

_SPAN = 10_000
_CLOSED = {
    "SaleSettled": Status.SETTLED,
    "SaleRefunded": Status.REFUNDED,
    "DisputeResolved": Status.RESOLVED,
}


class BlockUnknownError(RpcBadReplyError):
    """The node does not have this block: it lags, or the chain is shorter than thought."""


@dataclass(frozen=True, slots=True)
class DelivererInfo:
    """View ``deliverers``. Amounts in wei; ``exit_block`` is 0 without a request."""

    owner: Address
    stake: Wei
    earned: Wei
    delivered: int
    exit_block: int


@dataclass(frozen=True, slots=True)
class LogPage:
    """Logs of a range of blocks, with the block that ends it, as one answer of one node."""

    logs: list[MarketLog]
    end: BlockRef


class Market:
    """A deployed market, seen through one node.

    Args:
        rpc: The node.
        deployment: Which contract on which chain.
    """

    def __init__(self, rpc: JsonRpc, deployment: Deployment) -> None:
        self.rpc = rpc
        self.deployment = deployment
        self.address = deployment.market
        self._span = _SPAN

    async def check_deployment(self) -> None:
        """Raises `ConfigError` unless the node has this very contract on this very chain."""
        await self.rpc.check_chain(self.deployment.chain_id)
        code = hex_data(await self.rpc.call("eth_getCode", self.address, "latest"), "eth_getCode")
        if keccak(code) != self.deployment.code_hash:
            what = "other code than" if code else "no code, unlike"
            raise ConfigError(
                f"{self.address} has {what} the deployment record says (chain "
                f"{self.deployment.chain_id}, node {self.rpc.host}): use the record of this "
                "market, or a node that has caught up"
            )

    # --------------------------------------------------------------------------------- blocks

    async def head(self, depth: int | str = 0) -> BlockRef:
        """The newest block, or the one ``depth`` below it (the first block where there are fewer).

        Args:
            depth: Blocks below the newest, or a tag: ``latest``, ``safe``, ``finalized``.
        """
        if isinstance(depth, str):
            return await self._block_at(depth)
        if depth == 0:
            return await self._block_at("latest")
        newest = quantity(await self.rpc.call("eth_blockNumber"), "eth_blockNumber")
        return await self.block(max(0, newest - depth))

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
            raws = await self.rpc.batch(asked)  # see `_block_at`
        found = [self._block_ref(raw, str(n)) for raw, n in zip(raws, numbers, strict=True)]
        if [block.number for block in found] != list(numbers):
            raise RpcBadReplyError(f"{self.rpc.host} gave other blocks than asked for")
        return found

    async def _block_at(self, tag: str) -> BlockRef:
        raw = await self.rpc.call("eth_getBlockByNumber", tag, False)
        if raw is None:
            # Several nodes may stand behind one address, and one of them lag: ask the next.
            raw = await self.rpc.call("eth_getBlockByNumber", tag, False)
        return self._block_ref(raw, tag)

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
        return (await self.page(first, last, canonical=canonical)).logs

    async def page(self, first: int, last: int, *, canonical: bool = False) -> LogPage:
        """All logs of the market in blocks ``first`` to ``last``, both included, in their order.

        A range that the node finds too large is halved until it fits, and the size that fitted is
        remembered. Block ``last`` is asked for together with the logs: a node that does not have it
        would report its logs as none. Copies of one log count once.

        Args:
            first: First block.
            last: Last block; not before ``first``.
            canonical: Also compare the block hash of every log with the chain's (one more request
                per hundred blocks with logs).

        Raises:
            BlockUnknownError: the node does not have block ``last``.
            RpcBadReplyError: a log that cannot be the market's ("forged log"), or one of a block
                that is not on the chain (it was replaced meanwhile: ask again).
            RpcError: the node could not be asked.
        """
        if first > last:
            raise ValueError(f"no blocks from {first} to {last}")
        self._span = min(_SPAN, self._span * 2)
        found: dict[tuple[int, int], _RawLog] = {}
        start = first
        while start <= last:
            stop = min(last, start + self._span - 1)
            try:
                raws, end = await self._fetch(start, stop)
            except (RpcRangeError, RpcTooLargeError):
                if start == stop:
                    raise
                self._span = (stop - start + 1) // 2
                continue
            for raw in raws:
                log = self._check(raw, start, stop)
                if found.setdefault((log.block.number, log.index), log) != log:
                    raise RpcBadReplyError("forged log: two logs in one place")
            start = stop + 1
        logs = [found[place] for place in sorted(found)]
        await self._check_hashes(logs, end, canonical)
        return LogPage(_records(logs), end)

    async def _fetch(self, first: int, last: int) -> tuple[list[Any], BlockRef]:
        query = {"address": self.address, "fromBlock": hex(first), "toBlock": hex(last)}
        asked = [("eth_getLogs", [query]), ("eth_getBlockByNumber", [hex(last), False])]
        raws, raw_end = await self.rpc.batch(asked)
        if raw_end is None:
            raws, raw_end = await self.rpc.batch(asked)  # see `_block_at`
        end = self._block_ref(raw_end, str(last))
        if not isinstance(raws, list) or end.number != last:
            raise RpcBadReplyError(f"logs to block {last}: {self.rpc.host} gave something else")
        return raws, end

    def _check(self, raw: object, first: int, last: int) -> _RawLog:
        """A log in the shape of JSON-RPC, of this market and range, or "forged log"."""
        if not isinstance(raw, dict):
            raise RpcBadReplyError("forged log: not an object")
        if str(raw.get("address")).lower() != self.address.lower():
            raise RpcBadReplyError("forged log: of another address")
        if raw.get("removed") not in (None, False):
            raise RpcBadReplyError("a removed log: its block was replaced")
        number = quantity(raw.get("blockNumber"), "log's block")
        if not first <= number <= last:
            raise RpcBadReplyError("forged log: of a block outside the range")
        topics = raw.get("topics")
        if not isinstance(topics, list):
            raise RpcBadReplyError("forged log: without topics")
        return _RawLog(
            BlockRef(number, hex_data(raw.get("blockHash"), "log's block hash", 32)),
            quantity(raw.get("logIndex"), "log's index"),
            hex_data(raw.get("transactionHash"), "log's transaction", 32),
            tuple(hex_data(topic, "log's topic", 32) for topic in topics),
            hex_data(raw.get("data"), "log's data"),
        )

    async def _check_hashes(self, logs: Iterable[_RawLog], end: BlockRef, canonical: bool) -> None:
        hashes: dict[int, bytes] = {end.number: end.hash}
        numbers: set[int] = set()
        for log in logs:
            numbers.add(log.block.number)
            if hashes.setdefault(log.block.number, log.block.hash) != log.block.hash:
                raise RpcBadReplyError(f"logs of two blocks {log.block.number}: one was replaced")
        if not canonical:
            return
        numbers.add(end.number)
        for block in await self.blocks(sorted(numbers)):
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

        `dam.hashing.catalogue_commitment` checks a root against it; the root itself stands in the
        store's last `StoreVersion`.
        """
        digest, catalogue = await self.call("stores", seller, block=block)
        return digest, catalogue

    async def deliverer(self, operator: Address) -> DelivererInfo:
        """What the contract knows of a deliverer; zeros for a stranger."""
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
        names = (
            "REFUND_BLOCKS",
            "DISPUTE_BLOCKS",
            "ARBITRATION_BLOCKS",
            "EXIT_BLOCKS",
            "MIN_DELIVERER_STAKE",
            "MIN_SELLER_STAKE",
            "SLASH_DELAY_BLOCKS",
            "SLASH_LAPSE_BLOCKS",
        )
        results = await self.calls([(name, ()) for name in names])
        return Windows(*(value for (value,) in results))

    # ---------------------------------------------------------------------------------- calls

    def encode(self, function: str, *args: Any) -> bytes:
        """Calldata of a call to the market; see `dam.abi_codec.encode`."""
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


@dataclass(frozen=True, slots=True)
class _RawLog:
    block: BlockRef
    index: int
    tx_hash: bytes
    topics: tuple[bytes, ...]
    data: bytes


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


def _records(logs: Sequence[_RawLog]) -> list[MarketLog]:
    """The logs as records. A deliverer's owner, if another, stands in a log of its own."""
    decoded: list[tuple[str, dict[str, Any], LogRef]] = []
    owners: dict[tuple[bytes, Address], Address] = {}
    for log in logs:
        try:
            name, args = decode_event(log.topics, log.data)
        except Malformed as error:
            raise RpcBadReplyError(f"forged log: {error}") from None
        decoded.append((name, args, LogRef(log.block, log.tx_hash, log.index)))
        if name == "DelivererOwnerSet":
            owners[log.tx_hash, args["operator"]] = args["owner"]
    for name, args, at in decoded:
        if name == "DelivererStaked":
            operator = args["operator"]
            args["owner"] = owners.get((at.tx_hash, operator), operator)
    return [_record(name, args, at) for name, args, at in decoded]


def _record(name: str, args: dict[str, Any], at: LogRef) -> MarketLog:
    match name:
        case "ItemPurchased":
            purchase = Purchase(
                args["copyId"],
                args["seller"],
                args["buyer"],
                args["storeDigest"],
                args["copy"],
                args["terms"],
                args["keys"],
                at,
            )
            expected = copy_id(purchase.seller, purchase.terms.item_id, purchase.copy)
            if purchase.copy_id != expected:
                raise RpcBadReplyError("forged log: copyId is not the hash of what was bought")
            return purchase
        case "FragmentDelivered" | "FragmentSupplied":
            supplied = name == "FragmentSupplied"
            return FragmentDelivered(
                args["copyId"],
                args["seller" if supplied else "by"],
                args["index"],
                args["commitment"],
                args["secretHash"],
                args["fragment"],
                supplied,
                at,
            )
        case "StoreCreated" | "StoreUpdated":
            return StoreVersion(args["seller"], args["digest"], args["root"], at)
        case "DelivererStaked":
            return DelivererRegistered(
                args["operator"], args["owner"], args["key"], Wei(args["stake"]), at
            )
        case "DelivererKeyRotated":
            return DelivererKeyRotated(args["operator"], args["key"], at)
        case "DisputeOpened":
            return DisputeOpened(
                args["copyId"], args["buyer"], args["arbitrator"], args["evidence"], at
            )
        case "SaleSettled" | "SaleRefunded" | "DisputeResolved":
            return SaleClosed(
                args["copyId"],
                _CLOSED[name],
                args["arbitrator" if name == "DisputeResolved" else "by"],
                args.get("toBuyer", 0),
                Wei(args.get("penalty", 0)),
                at,
            )
    return OtherLog(name, args, at)
