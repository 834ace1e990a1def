"""JSON-RPC 2.0 over HTTP to one Ethereum node: one call, one answer, one deadline.

Nothing is retried here, least of all ``eth_sendRawTransaction``: the caller knows whether a call
may be repeated. But several calls are asked in pieces as large as the node takes, and a node
without the tag ``pending`` is asked for ``latest``. The node is not trusted: its reply must be JSON
with the id that was asked, and its words are made printable before they reach a log.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import Any, Self, TypeAlias

import msgspec

from dam.errors import ConfigError
from dam.ethereum.exchange import Exchange
from dam.ethereum.node import MAX_BATCH_CALLS, USUAL_LIMITS, NodeLimits, chain_id_of, quantity
from dam.ethereum.node_errors import (
    RpcBadReplyError,
    RpcBatchError,
    RpcRangeError,
    RpcRejectedError,
    RpcTooLargeError,
    RpcUnavailableError,
    is_batch_refusal,
    is_block_unknown,
    is_node_fault,
    is_reply_too_large,
    is_tag_unknown,
    rejection,
    unavailable,
)

_MAX_REPLY_BYTES = 4 << 20
_LOGS, _RECEIPTS, _BATCH = "eth_getLogs", "eth_getTransactionReceipt", "batch"
_BATCH_STEPS = (MAX_BATCH_CALLS, 10, 3, 1)
"""Calls of one request: as many as the node takes."""
_GROW_AFTER_REQUESTS = 256
"""After so many full requests that the node took, a larger one is tried."""
Call: TypeAlias = tuple[str, Sequence[Any]]
"""Method and parameters."""


class RawLog(msgspec.Struct, gc=False, rename="camel"):
    """A log as a node wrote it, unchecked but for its shape; values are hex texts."""

    address: str
    topics: list[str]
    data: str
    block_number: str
    block_hash: str
    transaction_hash: str
    log_index: str
    removed: bool | None = None


class RawBlock(msgspec.Struct, gc=False):
    """The fields of a block's header that are read, as a node wrote them."""

    number: str
    hash: str
    timestamp: str


class _LogsReply(msgspec.Struct, gc=False):
    """One of the two answers of `JsonRpc.logs`."""

    id: int | None = None
    result: list[RawLog] | RawBlock | None = None
    error: Any = None


_LOGS_REPLIES = msgspec.json.Decoder(list[_LogsReply])
"""Structs instead of dicts take half the time and a third of the memory, and check the shape."""


class _Receipt(msgspec.Struct, gc=False, rename="camel"):
    transaction_hash: str
    logs: list[msgspec.Raw]
    """Not parsed yet: most may be of no interest."""


class _ReceiptReply(msgspec.Struct, gc=False):
    id: int | None = None
    result: _Receipt | None = None
    error: Any = None


class _LogHead(msgspec.Struct, gc=False):
    address: str
    topics: list[str]


_RECEIPT_REPLIES = msgspec.json.Decoder(list[_ReceiptReply])
_LOG_HEAD, _LOG = msgspec.json.Decoder(_LogHead), msgspec.json.Decoder(RawLog)
Topics: TypeAlias = Sequence[Sequence[str]]
"""Filter of eth_getLogs: for each place, from the first on, the topics of which a log has one."""


class JsonRpc:
    """A node's HTTP JSON-RPC endpoint. Close it, or use it as ``async with``.

    Args:
        url: ``http://`` or ``https://``, with an API key in it if need be.
        timeout: Seconds for one call (or one batch), connecting and reading included.
        limits: How much to ask for at once.
    """

    def __init__(
        self, url: str, *, timeout: float = 20.0, limits: NodeLimits = USUAL_LIMITS
    ) -> None:
        self._exchange = Exchange(url, timeout)
        self.host = self._exchange.host
        """Host and port, for messages."""
        self.stats = self._exchange.stats
        self._limits = limits
        self._ids = itertools.count(1)
        self.batch_calls = limits.calls
        """How many calls the node takes in one request, as far as is known."""
        self._calm = 0
        """Full requests of so many that it took."""
        self._knows_pending = True

    def __repr__(self) -> str:
        return f"JsonRpc({self.host})"

    async def call(self, method: str, *params: Any, timeout: float | None = None) -> Any:
        """Calls ``method`` and returns its result.

        Args:
            method: Such as ``eth_getBlockByNumber``.
            params: JSON values.
            timeout: Seconds for this call instead of the default.

        Raises:
            RpcError: As one of its kinds: RpcTimeoutError, RpcUnavailableError,
                RpcBadReplyError, RpcTooLargeError, RpcRejectedError, RpcRangeError; see each.
        """
        found = await self._ask([(method, params)], method, timeout=timeout)
        return self._unless_rejected(found)[0]

    async def batch(self, calls: Sequence[Call], *, errors: bool = False) -> list[Any]:
        """Makes several calls in as few requests as a node takes, and returns results in order.

        Args:
            calls: Method and parameters of each.
            errors: True: a call that the node rejects gives its `RpcRejectedError` as result; so
                does a fault of the node that strikes only some of the calls. False: the first
                error is raised.
        """
        results = await self._ask(calls, _BATCH)
        if errors and not (results and all(map(is_node_fault, results))):
            return results
        return self._unless_rejected(results)

    async def block(self, tag: str) -> Any:
        """The header of a block by hex number or tag as the node writes it; None: it has none."""
        # Several nodes may stand behind one address, and one of them lag: then ask the next.
        return await self._block(tag) or await self._block(tag)

    async def _block(self, tag: str) -> Any:
        method = "eth_getBlockByNumber"
        [found] = await self._ask([(method, (tag, False))], method)
        if tag.startswith("0x") and is_block_unknown(found):
            return None
        return self._unless_rejected([found])[0]

    async def logs(
        self, address: str, first: int, last: int, *, topics: Topics | None = None
    ) -> tuple[list[RawLog], RawBlock | None]:
        """Logs of a contract in a range of blocks, and the block that ends it, in one request.

        The block is asked for first: where it is there, the logs that follow are those of a node
        that has it. None: the node does not have it, so its logs say nothing.

        Args:
            address: The contract's.
            first: First block.
            last: Last block.
            topics: Only those with such topics; None: all.

        Raises:
            RpcRangeError, RpcTooLargeError: ask for fewer blocks.
            RpcError: see `call`.
        """
        most = self._limits.logs_blocks
        if last - first >= most:
            # As a node would say it: the caller finds its way to so many, and nothing is sent.
            raise RpcRangeError(_LOGS, 0, f"max_logs_blocks allows {most} blocks")
        query: dict[str, Any] = {"address": address, "fromBlock": hex(first), "toBlock": hex(last)}
        if topics is not None:
            query["topics"] = topics
        logs, block = await self._logs(query)
        return (logs, block) if block is not None else await self._logs(query)

    async def _logs(self, query: dict[str, Any]) -> tuple[list[RawLog], RawBlock | None]:
        # In this order, on one connection even where the node takes no two calls at once.
        calls = [("eth_getBlockByNumber", (query["toBlock"], False)), (_LOGS, (query,))]
        block, logs = await self._ask(calls, _LOGS, parse=_read_logs)
        # Without the block its logs say nothing; nor does an error about a range that ends there.
        if block is None or is_block_unknown(block) or is_block_unknown(logs):
            return [], None
        self._unless_rejected([block, logs])
        if (
            not isinstance(block, RawBlock)
            or not isinstance(logs, list)
            or (logs and type(logs[0]) is not RawLog)
        ):
            raise RpcBadReplyError(f"eth_getLogs: {self.host} gave no list of logs")
        return logs, block

    async def block_transactions(self, number: int) -> tuple[RawBlock, tuple[str, ...]] | None:
        """A block and the hashes of its transactions; None: the node does not have it."""
        found = await self.block(hex(number))
        if found is None:
            return None
        try:
            return (
                msgspec.convert(found, RawBlock),
                msgspec.convert(found.get("transactions"), tuple[str, ...]),
            )
        except (msgspec.ValidationError, AttributeError):
            raise RpcBadReplyError(f"block {number}: {self.host} gave no block") from None

    async def receipt_logs(
        self, hashes: Sequence[str], address: str, events: Collection[str] | None
    ) -> list[RawLog] | None:
        """A contract's logs in the receipts of some transactions; None: one is not there (yet).

        For a block whose logs are too many for one answer: a receipt is bounded by the gas that a
        transaction may have. What is not asked for is never parsed.

        Args:
            hashes: Of the transactions: few, for their receipts are one answer.
            address: The contract's, in lower case.
            events: Only logs whose first topic is one of these (lower case); None: all.

        Raises:
            RpcTooLargeError, RpcRangeError: ask for fewer.
            RpcError: see `call`.
        """
        calls = [(_RECEIPTS, (tx_hash,)) for tx_hash in hashes]
        parse = partial(_read_receipts, address=address, events=events)
        found: list[RawLog] = []
        receipts = self._unless_rejected(await self._ask(calls, _RECEIPTS, parse=parse))
        for tx_hash, receipt in zip(hashes, receipts, strict=True):
            if receipt is None:
                return None
            if not isinstance(receipt, tuple) or receipt[0].lower() != tx_hash.lower():
                raise RpcBadReplyError(f"{_RECEIPTS}: {self.host} gave another or no receipt")
            found += receipt[1]
        return found

    async def check_chain(self, chain_id: int) -> None:
        """Raises `ConfigError` unless the node is on this chain."""
        found = await chain_id_of(self)
        if found != chain_id:
            raise wrong_chain(self.host, found, chain_id)

    async def close(self) -> None:
        """Closes the connections."""
        await self._exchange.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def _ask(
        self,
        calls: Sequence[Call],
        label: str,
        *,
        timeout: float | None = None,
        parse: Callable[[bytearray], Any] = json.loads,
    ) -> list[Any]:
        """The result of each call, or the node's refusal, in as few requests as the node takes."""
        cap = self._limits.logs_bytes if label in (_LOGS, _RECEIPTS) else _MAX_REPLY_BYTES
        results: list[Any] = []
        most, learnt = self.batch_calls, False
        while len(results) < len(calls):
            part = calls[len(results) : len(results) + most]
            requests = [self._request(method, params) for method, params in part]
            many = len(part) > 1
            try:
                replies = await self._exchange.post(
                    requests if many else requests[0],
                    label,
                    cap,
                    timeout,
                    parse=parse if many else lambda data: parse(bytearray(b"[") + data + b"]"),
                )
                found = self._results(requests, replies, label)
            except RpcTooLargeError as error:
                if not many or not (label == _BATCH or isinstance(error, RpcBatchError)):
                    raise
                most = _smaller(len(part))
                learnt = learnt or isinstance(error, RpcBatchError)
                continue
            except RpcUnavailableError as error:
                if error.status == 429 and many:
                    self.batch_calls, self._calm = _smaller(len(part)), 0
                raise
            if self._knows_pending and any(map(is_tag_unknown, found)):
                self._knows_pending = not any("pending" in params for _, params in part)
                if not self._knows_pending:
                    continue
            results += found
            if learnt:
                self.batch_calls, self._calm, learnt = most, 0, False
            elif len(part) == self.batch_calls:
                self._grow()
        return results

    def _grow(self) -> None:
        """Counts a full request that the node took."""
        self._calm += 1
        if self._calm >= _GROW_AFTER_REQUESTS and self.batch_calls < self._limits.calls:
            self._calm = 0
            larger = min(step for step in _BATCH_STEPS if step > self.batch_calls)
            self.batch_calls = min(larger, self._limits.calls)

    def _request(self, method: str, params: Sequence[Any]) -> dict[str, Any]:
        if not self._knows_pending:
            params = ["latest" if value == "pending" else value for value in params]
        request_id = next(self._ids)
        return {"jsonrpc": "2.0", "id": request_id, "method": method, "params": list(params)}

    def _results(self, requests: Sequence[dict[str, Any]], replies: Any, label: str) -> list[Any]:
        """The result, or the error, of each request."""
        if isinstance(replies, dict):
            replies = [replies]
        if not isinstance(replies, list) or not all(isinstance(one, dict) for one in replies):
            raise RpcBadReplyError(f"{label}: {self.host} gave no JSON-RPC object")
        many = len(requests) > 1
        if len(replies) == 1 and replies[0].get("error") is not None:
            # One error for all: the node could not read the request, or takes no such batch.
            if many:
                raise self._batch_refusal(rejection(label, replies[0]["error"]))
            if replies[0].get("id") is None:
                replies[0]["id"] = requests[0]["id"]
        by_id = {reply["id"]: reply for reply in replies if type(reply.get("id")) is int}
        if by_id.keys() != {request["id"] for request in requests} or len(replies) != len(requests):
            raise RpcBadReplyError(f"{label}: {self.host} did not answer every call")
        found = [self._result(request, by_id[request["id"]]) for request in requests]
        for one in found if many else ():
            if is_batch_refusal(one) or (label == _BATCH and is_reply_too_large(one)):
                raise self._batch_refusal(one)
        return found

    def _batch_refusal(self, error: RpcRejectedError) -> Exception:
        """What a node's refusal of several calls at once is about."""
        if is_reply_too_large(error) and error.method != _LOGS:
            return RpcTooLargeError(f"{self.host}: {error}")
        if is_batch_refusal(error) or not (
            isinstance(error, RpcRangeError) or is_node_fault(error)
        ):
            return RpcBatchError(f"{self.host}: {error}")
        return unavailable(error, self.host) if is_node_fault(error) else error

    def _unless_rejected(self, results: list[Any]) -> list[Any]:
        """The results; raises the first that is a refusal."""
        for result in results:
            if isinstance(result, RpcRejectedError):
                raise unavailable(result, self.host) if is_node_fault(result) else result
        return results

    def _result(self, request: dict[str, Any], reply: dict[str, Any]) -> Any:
        method = request["method"]
        if reply.get("error") is not None:
            return rejection(method, reply["error"])
        if "result" not in reply:
            raise RpcBadReplyError(f"{method}: {self.host} gave no result")
        return reply["result"]


def wrong_chain(host: str, found: int, expected: int) -> ConfigError:
    """The error of a node that is on another chain than the deployment."""
    return ConfigError(
        f"the node at {host} is on chain {found}, the deployment on chain {expected}: "
        "set the RPC address of a node on that chain, or the deployment of this one"
    )


def _read_logs(data: bytearray) -> Any:
    """The replies of `JsonRpc.logs` with logs and block as structs, if they have that shape."""
    try:
        return [msgspec.structs.asdict(reply) for reply in _LOGS_REPLIES.decode(data)]
    except (ValueError, RecursionError):
        return json.loads(data)


def _read_receipts(data: bytearray, *, address: str, events: Collection[str] | None) -> Any:
    """The replies of `JsonRpc.receipt_logs`, if they have that shape: of each receipt its hash and
    the logs that are wanted, so that nothing else of it stays in memory.
    """
    try:
        return [
            {
                "id": reply.id,
                "error": reply.error,
                "result": (found := reply.result)
                and (found.transaction_hash, list(_wanted_logs(found, address, events))),
            }
            for reply in _RECEIPT_REPLIES.decode(data)
        ]
    except (ValueError, RecursionError):
        return json.loads(data)


def _wanted_logs(
    receipt: _Receipt, address: str, events: Collection[str] | None
) -> Iterator[RawLog]:
    for raw in receipt.logs:
        head = _LOG_HEAD.decode(raw)
        if head.address.lower() != address:
            continue
        if events is None or (head.topics and head.topics[0].lower() in events):
            yield _LOG.decode(raw)


def _smaller(calls: int) -> int:
    """The next smaller number of calls of one request."""
    return max((step for step in _BATCH_STEPS if step < calls), default=1)


def fingerprint(logs: Sequence[RawLog], end: RawBlock | None) -> object:
    """What must be the same in two nodes' answers about a range that ends with ``end``."""
    return (end and end.hash.lower(), frozenset(map(_log_key, logs)))


def _log_key(log: RawLog) -> tuple[object, ...]:
    # Hex is as good in upper case, and a number with zeros before it.
    return (
        log.block_hash.lower(),
        _number(log.log_index),
        log.address.lower(),
        log.data.lower(),
        *(topic.lower() for topic in log.topics),
        _number(log.block_number),
        log.transaction_hash.lower(),
        bool(log.removed),
    )


def _number(text: str) -> int | str:
    try:
        return quantity(text, "")
    except RpcBadReplyError:
        return text


def difference(a: Sequence[RawLog], b: Sequence[RawLog]) -> str:
    """In what two nodes' logs differ: their numbers, and the first block in which they do."""
    odd = frozenset(map(_log_key, a)) ^ frozenset(map(_log_key, b))
    places = [key[-3] for key in odd if isinstance(key[-3], int)]
    where = f"first in block {min(places)}" if places else "not in the logs, but in the last block"
    return f"{len(a)} logs against {len(b)}, {where}"
