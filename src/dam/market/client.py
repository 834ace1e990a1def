"""The market contract through a node: its logs, its state, and simulated calls.

Everything that a node says is checked before it is used: a log must be the market's, in the range
asked for, encoded as the contract encodes it, and its copyId must be the hash of what it names. A
log that a node leaves out cannot be noticed here; whoever reads the range again will find it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, fields
from typing import Any

from dam.crypto.abi_words import address_word
from dam.crypto.hashing import keccak, sale_of
from dam.errors import ConfigError, ContractReverted, Malformed
from dam.ethereum.node import hex_data, quantity
from dam.ethereum.node_errors import RpcBadReplyError, RpcRejectedError
from dam.ethereum.rpc import Topics
from dam.market.abi import decode_result, decode_revert, encode
from dam.market.deliverers import proven_key
from dam.market.log_reader import BlockUnknownError as BlockUnknownError
from dam.market.log_reader import LogReader, Rpc, block_ref, read_blocks, topics_of
from dam.market.log_reader import Page as Page
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
    FragmentsSigned,
    MarketLog,
    Marks,
    Purchase,
    SaleState,
    Status,
    Wei,
    Windows,
)

_INVALID_PARAMS_CODE = -32602
"""JSON-RPC 2.0, section 5.1."""


@dataclass(frozen=True, slots=True)
class DelivererInfo:
    """View ``deliverers``. Amounts in wei; ``exit_time`` (seconds) is 0 without a request."""

    owner: Address
    stake: Wei
    earned: Wei
    delivered: int
    exit_time: int


class Market:
    """A deployed market, seen through one node.

    Args:
        rpc: The node.
        deployment: Which contract on which chain.
        progress: Called now and then while a block with very many logs is read.
    """

    def __init__(
        self, rpc: Rpc, deployment: Deployment, *, progress: Callable[[], None] = lambda: None
    ) -> None:
        self.rpc = rpc
        self.deployment = deployment
        self.address = deployment.market
        self._logs = LogReader(rpc, deployment.market, progress)

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
        return await read_blocks(self.rpc, numbers)

    async def _block_at(self, tag: str) -> BlockRef:
        return block_ref(self.rpc, await self.rpc.block(tag), tag)

    # ----------------------------------------------------------------------------------- logs

    async def logs(
        self,
        first: int,
        last: int,
        *,
        canonical: bool = False,
        events: Collection[str] | None = None,
    ) -> list[MarketLog]:
        """Logs of the market in blocks ``first`` to ``last``, in their order. See `page`.

        Args:
            first: First block.
            last: Last block.
            canonical: As for `page`.
            events: Only those of events by these names; None: all.
        """
        return await self._records(first, last, [topics_of(events)], canonical=canonical)

    async def _records(
        self, first: int, last: int, topics: Topics, *, canonical: bool = False
    ) -> list[MarketLog]:
        """Logs with such topics, of as many ranges as the node makes of them."""
        found: list[MarketLog] = []
        while first <= last:
            logs, end = await self._logs.records(first, last, topics, canonical=canonical)
            found += logs
            first = end.number + 1
        return found

    async def records(
        self, first: int, last: int, events: Collection[str], *, canonical: bool = False
    ) -> tuple[list[MarketLog], BlockRef]:
        """Logs of events by these names from block ``first`` on, to ``last`` if that fits, and the
        block up to which that is; see `page`.
        """
        return await self._logs.records(first, last, [topics_of(events)], canonical=canonical)

    async def page(self, first: int, last: int, *, canonical: bool = False) -> Page:
        """The logs that a ledger keeps from block ``first`` on, to ``last`` if that fits.

        A range that the node finds too large is halved until it fits: the page ends where
        ``end`` says. The size that was refused is remembered, and tried again now and then. One
        block that does not fit is read in slices; see `log_reader`. Where several nodes are asked,
        they all must tell the same. Copies of one log count once.

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
        return await self._logs.page(first, last, canonical=canonical)

    async def announced_key(
        self, operator: Address, first: int, last: int
    ) -> tuple[bytes | None, int]:
        """The X25519 key of what a deliverer announced last in some blocks from ``first`` on, of
        announcements that show that it has the key; None: there is none. And up to which block that
        is: ``last`` if so many fit.
        """
        topics = [topics_of(("DelivererStaked", "DelivererKeyRotated")), [_topic(operator)]]
        logs, end = await self._logs.records(first, last, topics, canonical=False)
        keys = [
            proven_key(log, self.deployment.chain_id, self.address)
            for log in logs
            if isinstance(log, DelivererRegistered | DelivererKeyRotated)
            and log.operator == operator
        ]
        return next(filter(None, reversed(keys)), None), end.number

    async def signed_lists(
        self, signers: Collection[Address], first: int, last: int
    ) -> list[FragmentsSigned]:
        """What some deliverers signed, of calls mined in blocks ``first`` to ``last``."""
        topics = [topics_of(("FragmentsSigned",)), list(map(_topic, signers))]
        logs = await self._records(first, last, topics)
        return [log for log in logs if isinstance(log, FragmentsSigned) and log.signer in signers]

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
        return [_decoded(function, data) for (function, _), data in zip(calls, datas, strict=True)]

    async def clock(self, head: BlockRef) -> Clock:
        """Block and time as the contract sees them in the newest block, ``head``.

        The time is that of the block's header, which all nodes agree on; the contract's own number
        of the block may be one node's, and that of a block before ``head``: later than it is, never
        earlier.
        """
        block, _ = await self.call("clock")
        return Clock(block, head.timestamp)

    async def head_and_clock(self) -> tuple[BlockRef, Clock]:
        """The newest block, and the contract's clock in it."""
        head = await self.head()
        return head, await self.clock(head)

    async def sale_state(self, copy: CopyId, *, block: int | str = "latest") -> SaleState:
        """The sale of a copy; `Status.NONE` where there is none."""
        return (await self.sale_states([copy], block=block))[0]

    async def sale_states(
        self, copies: Sequence[CopyId], *, block: int | str = "latest"
    ) -> list[SaleState]:
        """The sales of several copies, in few requests."""
        results = await self.calls([("sales", (copy,)) for copy in copies], block=block)
        return _sale_states(results)

    async def standing(
        self, seller: Address, copies: Sequence[CopyId]
    ) -> tuple[tuple[bytes, bytes], Wei, list[SaleState]]:
        """A seller's store (see `store`) and free stake, and the sales of some copies, at once."""
        asked: list[tuple[str, Sequence[Any]]] = [("stores", (seller,))]
        asked += [("sellerStakes", (seller,)), *(("sales", (copy,)) for copy in copies)]
        (digest, catalogue), (free,), *sales = await self.calls(asked)
        return (digest, catalogue), Wei(free), _sale_states(sales)

    async def marks(self, copy: CopyId, *, block: int | str = "latest") -> Marks:
        """Which parts of a sale were proved to be junk."""
        return Marks(*await self.call("marks", copy, block=block))

    async def deadlines(
        self, purchases: Sequence[Purchase], *, block: int | str = "latest"
    ) -> list[Deadlines]:
        """When the calls of sales are possible, from their states at that block; few requests."""
        calls = [("deadlines", (bought.copy_id, sale_of(bought))) for bought in purchases]
        return [Deadlines(*found) for (found,) in await self.calls(calls, block=block)]

    async def seller_entries(
        self, copy: CopyId, indexes: Sequence[int], *, block: int | str = "latest"
    ) -> list[bytes]:
        """Entries of parts that the seller's side delivered; zeros where it did not."""
        calls = [("sellerEntries", (copy, index)) for index in indexes]
        return [entry for (entry,) in await self.calls(calls, block=block)]

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


def _sale_states(results: Sequence[tuple[Any, ...]]) -> list[SaleState]:
    if any(status >= len(Status) for status, *_ in results):
        raise RpcBadReplyError("sales: no such status")
    return [SaleState(Status(status), *rest) for status, *rest in results]


def _decoded(function: str, data: object) -> tuple[Any, ...]:
    try:
        return decode_result(function, hex_data(data, function))
    except Malformed as error:
        raise RpcBadReplyError(f"{function}: {error}") from None


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


def _topic(account: Address) -> str:
    """An account as an indexed argument of an event."""
    return _hex(address_word(account))
