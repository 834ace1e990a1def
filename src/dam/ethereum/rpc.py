"""JSON-RPC 2.0 over HTTP to one Ethereum node: one call, one answer, one deadline.

Nothing is retried here, least of all ``eth_sendRawTransaction``: the caller knows whether a call
may be repeated. The node is not trusted: its reply has a size cap, must be JSON with the id that
was asked, and its words are made printable before they reach a log. The URL often holds an API key,
so no error names more of it than the host.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Self, TypeAlias
from urllib.parse import urlsplit

import aiohttp
import msgspec

from dam.errors import ConfigError, RpcError
from dam.ethereum.node import ReadStats, chain_id_of
from dam.ethereum.node_errors import (
    RpcBadReplyError,
    RpcRejectedError,
    RpcTimeoutError,
    RpcTooLargeError,
    RpcUnavailableError,
    is_block_unknown,
    is_node_fault,
    rejection,
    unavailable,
)

_MAX_REPLY_BYTES = 4 << 20
MAX_LOGS_BYTES = 24 << 20
"""Of an answer with logs, unless it is set: about 12,000 purchases. Parsed, they take twice as much
memory. A receipt of the most gas that Ethereum allows a transaction (EIP-7825) has less."""
_LOGS, _RECEIPTS = "eth_getLogs", "eth_getTransactionReceipt"
_MAX_BATCH_CALLS = 100
_MAX_CONNECTIONS = 16


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
        max_logs_bytes: Most bytes of an answer with logs.
    """

    def __init__(
        self, url: str, *, timeout: float = 20.0, max_logs_bytes: int = MAX_LOGS_BYTES
    ) -> None:
        try:
            parts = urlsplit(url)
            valid = parts.scheme in ("http", "https") and bool(parts.hostname)
            port = f":{parts.port}" if parts.port else ""
        except ValueError:
            valid = False
        if not valid:
            raise ConfigError("the RPC address must be an http:// or https:// URL of a node")
        self._url = url
        self.host = f"{parts.hostname}{port}"
        """Host and port, for messages."""
        self.stats = ReadStats()
        self._timeout = timeout
        self._max_logs_bytes = max_logs_bytes
        self._ids = itertools.count(1)
        self._session: aiohttp.ClientSession | None = None

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
        return self._unless_rejected([await self._one(self._request(method, params), timeout)])[0]

    async def _one(self, request: dict[str, Any], timeout: float | None = None) -> Any:
        """The result of a call, or the node's refusal."""
        method = request["method"]
        reply = await self._post(request, method, timeout)
        if not isinstance(reply, dict):
            raise RpcBadReplyError(f"{method}: {self.host} gave no JSON-RPC object")
        if reply.get("id") is None and reply.get("error") is not None:
            reply["id"] = request["id"]  # the node could not read the request
        return self._result(request, reply)

    async def batch(
        self, calls: Sequence[tuple[str, Sequence[Any]]], *, errors: bool = False
    ) -> list[Any]:
        """Makes several calls in as few requests as a node takes, and returns results in order.

        Args:
            calls: Method and parameters of each.
            errors: True: a call that the node rejects gives its `RpcRejectedError` as result; so
                does a fault of the node that strikes only some of the calls. False: the first
                error is raised.
        """
        results: list[Any] = []
        for start in range(0, len(calls), _MAX_BATCH_CALLS):
            part = calls[start : start + _MAX_BATCH_CALLS]
            requests = [self._request(method, params) for method, params in part]
            replies = await self._post(requests, "batch")
            results += self._results(requests, replies, "batch")
        faults = [r for r in results if isinstance(r, RpcRejectedError) and is_node_fault(r)]
        if errors and len(faults) < len(results):
            return results
        return self._unless_rejected(results)

    async def block(self, tag: str) -> Any:
        """The header of a block by hex number or tag as the node writes it; None: it has none."""
        # Several nodes may stand behind one address, and one of them lag: then ask the next.
        return await self._block(tag) or await self._block(tag)

    async def _block(self, tag: str) -> Any:
        request = self._request("eth_getBlockByNumber", [tag, False])
        found = await self._one(request)
        if isinstance(found, RpcRejectedError) and tag.startswith("0x") and is_block_unknown(found):
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
        query: dict[str, Any] = {"address": address, "fromBlock": hex(first), "toBlock": hex(last)}
        if topics is not None:
            query["topics"] = topics
        logs, block = await self._logs(query)
        return (logs, block) if block is not None else await self._logs(query)

    async def _logs(self, query: dict[str, Any]) -> tuple[list[RawLog], RawBlock | None]:
        requests = [
            self._request("eth_getBlockByNumber", [query["toBlock"], False]),
            self._request("eth_getLogs", [query]),
        ]
        replies = await self._post(requests, "eth_getLogs", parse=_read_logs)
        block, logs = self._results(requests, replies, "eth_getLogs")
        # Without the block its logs say nothing; nor does an error about a range that ends there.
        lacks = [isinstance(r, RpcRejectedError) and is_block_unknown(r) for r in (block, logs)]
        if block is None or any(lacks):
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
        requests = [self._request(_RECEIPTS, [tx_hash]) for tx_hash in hashes]
        replies = await self._post(requests, _RECEIPTS, parse=_read_receipts)
        found: list[RawLog] = []
        receipts = self._unless_rejected(self._results(requests, replies, _RECEIPTS))
        for tx_hash, receipt in zip(hashes, receipts, strict=True):
            if receipt is None:
                return None
            if (
                not isinstance(receipt, _Receipt)
                or receipt.transaction_hash.lower() != tx_hash.lower()
            ):
                raise RpcBadReplyError(f"{_RECEIPTS}: {self.host} gave another or no receipt")
            try:
                found += _wanted_logs(receipt, address, events)
            except (msgspec.DecodeError, RecursionError):
                raise RpcBadReplyError(f"{_RECEIPTS}: {self.host} gave no logs") from None
        return found

    async def check_chain(self, chain_id: int) -> None:
        """Raises `ConfigError` unless the node is on this chain."""
        found = await chain_id_of(self)
        if found != chain_id:
            raise wrong_chain(self.host, found, chain_id)

    async def close(self) -> None:
        """Closes the connections."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    def _request(self, method: str, params: Sequence[Any]) -> dict[str, Any]:
        request_id = next(self._ids)
        return {"jsonrpc": "2.0", "id": request_id, "method": method, "params": list(params)}

    def _results(self, requests: Sequence[dict[str, Any]], replies: Any, label: str) -> list[Any]:
        """The result, or the error, of each request of a batch."""
        if isinstance(replies, dict) and isinstance(replies.get("error"), dict):
            self._unless_rejected([rejection(label, replies["error"])])
        by_id = {
            reply["id"]: reply
            for reply in (replies if isinstance(replies, list) else ())
            if isinstance(reply, dict) and type(reply.get("id")) is int
        }
        if by_id.keys() != {request["id"] for request in requests} or len(replies) != len(requests):
            raise RpcBadReplyError(f"{label}: {self.host} did not answer every call")
        return [self._result(request, by_id[request["id"]]) for request in requests]

    def _unless_rejected(self, results: list[Any]) -> list[Any]:
        """The results; raises the first that is a refusal."""
        for result in results:
            if isinstance(result, RpcRejectedError):
                raise unavailable(result, self.host) if is_node_fault(result) else result
        return results

    def _result(self, request: dict[str, Any], reply: dict[str, Any]) -> Any:
        method = request["method"]
        if type(reply.get("id")) is not int or reply["id"] != request["id"]:
            raise RpcBadReplyError(f"{method}: {self.host} answered another request")
        if reply.get("error") is not None:
            return rejection(method, reply["error"])
        if "result" not in reply:
            raise RpcBadReplyError(f"{method}: {self.host} gave no result")
        return reply["result"]

    async def _post(
        self,
        body: Any,
        label: str,
        timeout: float | None = None,
        *,
        parse: Callable[[bytearray], Any] = json.loads,
    ) -> Any:
        """Sends one request, or several, and parses the answer. ``label`` stands in messages."""
        self.stats.requests += 1
        seconds = self._timeout if timeout is None else timeout
        cap = self._max_logs_bytes if label in (_LOGS, _RECEIPTS) else _MAX_REPLY_BYTES
        error: RpcError
        try:
            async with asyncio.timeout(seconds):
                data = await self._exchange(json.dumps(body).encode(), cap, label)
            try:
                return parse(data)
            except (ValueError, RecursionError):
                raise RpcBadReplyError(f"{label}: {self.host} gave no JSON") from None
        except TimeoutError:
            error = RpcTimeoutError(f"{label}: {self.host} took over {seconds:g} s")
        except (aiohttp.ClientError, OSError) as failure:
            # The error's own text can hold the URL, and with it a key.
            error = RpcUnavailableError(f"{label}: {_why(failure, self.host)}")
        except RpcError as failure:
            error = failure
        self.stats.failures += 1
        raise error from None

    async def _exchange(self, body: bytes, cap: int, label: str) -> bytearray:
        session = self._open()
        headers = {"Content-Type": "application/json"}
        async with session.post(
            self._url, data=body, headers=headers, allow_redirects=False
        ) as response:
            # One buffer: joined at the end, chunks of an answer would be there twice.
            data = bytearray()
            async for chunk in response.content.iter_any():
                if len(data) + len(chunk) > cap:
                    response.close()
                    raise RpcTooLargeError(f"{label}: {self.host} gave over {cap} bytes")
                data += chunk
            self._check_status(label, response.status, response.headers, data)
            return data

    def _check_status(
        self, label: str, status: int, headers: Mapping[str, str], data: bytearray
    ) -> None:
        """Raises what an HTTP status other than 200 means, whatever a node at fault says."""
        # Some nodes put a proper JSON-RPC error under status 400; under 429 or 5xx it is theirs.
        its_own = status in (401, 402, 403, 429) or status >= 500
        if status == 200 or (status >= 400 and not its_own and _is_answer(data)):
            return
        if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            raise RpcTooLargeError(f"{label}: {self.host} gave {_named(status)}")
        wish = _seconds(headers.get("Retry-After", ""))
        asks = "" if wish is None else f", asks to wait {wish:.0f} s"
        raise RpcUnavailableError(
            f"{label}: {self.host} gave {_named(status)}{asks}", status=status, retry_after=wish
        )

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=_MAX_CONNECTIONS),
                timeout=aiohttp.ClientTimeout(total=None),  # asyncio.timeout has the whole
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session


def wrong_chain(host: str, found: int, expected: int) -> ConfigError:
    """The error of a node that is on another chain than the deployment."""
    return ConfigError(
        f"the node at {host} is on chain {found}, the deployment on chain {expected}: "
        "set the RPC address of a node on that chain, or the deployment of this one"
    )


def _is_answer(data: bytearray) -> bool:
    """Whether a body is a JSON-RPC error, or several."""
    try:
        reply = json.loads(data)
    except (ValueError, RecursionError):
        return False
    errors = [
        one.get("error") if isinstance(one, dict) else None
        for one in (reply if isinstance(reply, list) else [reply])
    ]
    return bool(errors) and any(isinstance(e, dict) and type(e.get("code")) is int for e in errors)


def _why(failure: BaseException, host: str) -> str:
    """A failed exchange in words."""
    if isinstance(failure, aiohttp.ClientConnectorDNSError):
        return f"no address is known of {host}"
    if isinstance(failure, aiohttp.ClientSSLError):
        return f"no TLS with {host} ({type(failure).__name__})"
    if isinstance(failure, aiohttp.ClientConnectorError):
        return f"nothing answers at {host}"
    if isinstance(failure, aiohttp.ServerDisconnectedError | aiohttp.ClientPayloadError | OSError):
        return f"{host} broke the connection off"
    return f"{host} answers no HTTP ({type(failure).__name__})"


def _named(status: int) -> str:
    try:
        return f"HTTP {status} ({HTTPStatus(status).phrase})"
    except ValueError:
        return f"HTTP {status}"


def _seconds(header: str) -> float | None:
    """Seconds that a Retry-After asks for; it holds seconds or a date (RFC 9110, 10.2.3)."""
    if re.fullmatch(r"[0-9]{1,5}", header):
        return float(header)
    try:
        until = parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (until - datetime.now(UTC)).total_seconds()) if until.tzinfo else None


def _read_logs(data: bytearray) -> Any:
    """The replies of `JsonRpc.logs` with logs and block as structs, if they have that shape."""
    try:
        return [msgspec.structs.asdict(reply) for reply in _LOGS_REPLIES.decode(data)]
    except (ValueError, RecursionError):
        return json.loads(data)


def _read_receipts(data: bytearray) -> Any:
    """The replies of `JsonRpc.receipt_logs`, if they have that shape."""
    try:
        return [msgspec.structs.asdict(reply) for reply in _RECEIPT_REPLIES.decode(data)]
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
