"""Asks a node the same thing in many sizes: what it takes, within a budget that hurts nobody.

A probe has so many requests, bytes and seconds. A node that limits the rate ends it at once: more
questions would cost its user a quota. Answers are hostile; of logs only their number is looked at.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import msgspec

from dam.errors import RpcError
from dam.ethereum.exchange import Exchange
from dam.ethereum.node_errors import (
    RpcRejectedError,
    RpcTooLargeError,
    RpcUnavailableError,
    is_node_fault,
    rejection,
    unavailable,
)

CALL_SECONDS = 10.0
_MOST_REQUESTS = 250
_MOST_BYTES = 64 << 20
_MOST_SECONDS = 90.0
_SMALL_BYTES = 1 << 20


class ProbeEndedError(Exception):
    """The budget is used up, or the node asks for fewer requests; the text says which."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a node said to one call."""

    result: Any = None
    """A list of logs is a list of raw JSON texts."""
    refusal: str = ""
    """Why it gave none, in its own words or ours; empty: it gave one."""
    size: int = 0
    """Bytes."""

    @property
    def given(self) -> bool:
        """Whether there is an answer."""
        return not self.refusal


class _Reply(msgspec.Struct, gc=False):
    id: int | None = None
    result: msgspec.Raw = msgspec.Raw(b"null")
    error: Any = None


_REPLY = msgspec.json.Decoder(_Reply)
_MANY = msgspec.json.Decoder(list[_Reply])
_LOGS = msgspec.json.Decoder(list[msgspec.Raw])
_ANY = msgspec.json.Decoder()


class Probe:
    """One node, and what is left of the budget. Close it.

    Args:
        url: Its address.
        log_bytes: Most bytes of an answer with logs.
    """

    def __init__(self, url: str, log_bytes: int) -> None:
        self._exchange = Exchange(url, CALL_SECONDS)
        self._log_bytes = log_bytes
        self._bytes = _MOST_BYTES
        self._until = time.monotonic() + _MOST_SECONDS
        self.host = self._exchange.host
        self.slowest = 0.0
        """Seconds of the slowest answer."""

    @property
    def requests(self) -> int:
        """How many were sent."""
        return self._exchange.stats.requests

    async def close(self) -> None:
        """Closes the connections."""
        await self._exchange.close()

    async def call(self, method: str, *params: Any) -> Answer:
        """One call's answer, or why there is none.

        Raises:
            ProbeEndedError: See there.
        """
        logs = method == "eth_getLogs"
        cap = min(self._log_bytes if logs else _SMALL_BYTES, self._bytes)
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        size, found = await self._post(body, method, cap, _REPLY)
        if isinstance(found, str):
            return Answer(refusal=found)
        if found.error is not None:
            return Answer(refusal=self._refused(method, found.error))
        try:
            result = (_LOGS if logs else _ANY).decode(found.result)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            return Answer(refusal="it gave no such answer")
        return Answer(result, "", size)

    async def takes(self, calls: int) -> bool:
        """Whether it answers so many calls in one request, each with a result."""
        body = [
            {"jsonrpc": "2.0", "id": number, "method": "eth_chainId", "params": []}
            for number in range(calls)
        ]
        _, found = await self._post(body, "batch", _SMALL_BYTES, _MANY)
        if isinstance(found, str):
            return False
        for one in found:
            if one.error is not None:
                self._refused("batch", one.error)
        good = {one.id for one in found if one.error is None and one.result != b"null"}
        return good == set(range(calls))

    async def _post(
        self, body: Any, label: str, cap: int, decoder: msgspec.json.Decoder[Any]
    ) -> tuple[int, Any]:
        """Bytes, and the parsed answer or, as text, why there is none."""
        left = self._until - time.monotonic()
        if self.requests >= _MOST_REQUESTS or self._bytes <= 0 or left <= 0:
            raise ProbeEndedError("the budget of one measurement is used up")
        size = 0

        def parse(data: bytearray) -> Any:
            nonlocal size
            size = len(data)
            return decoder.decode(data)

        began = time.monotonic()
        try:
            wait = min(CALL_SECONDS, left)
            found = await self._exchange.post(body, label, cap, wait, parse=parse)
        except RpcUnavailableError as error:
            if error.status == HTTPStatus.TOO_MANY_REQUESTS:
                raise self._throttled(str(error)) from None
            found = str(error)
        except RpcTooLargeError as error:
            size, found = cap, str(error)
        except RpcError as error:
            found = str(error)
        self._bytes -= size
        if not isinstance(found, str):
            self.slowest = max(self.slowest, time.monotonic() - began)
        return size, found

    def _refused(self, method: str, error: Any) -> str:
        refusal: RpcRejectedError = rejection(method, error)
        if is_node_fault(refusal):
            fault = unavailable(refusal, self.host)
            if fault.status == HTTPStatus.TOO_MANY_REQUESTS:
                raise self._throttled(str(fault))
        return refusal.message or f"error {refusal.code}"

    def _throttled(self, why: str) -> ProbeEndedError:
        return ProbeEndedError(f"it limits the rate, after {self.requests} requests: {why}")


async def largest(most: int, fits: Callable[[int], Awaitable[bool]]) -> int:
    """The largest number of 1 to ``most`` that fits, 0 for none: by halving, then between."""
    good, bad = most, most + 1
    while good and not await fits(good):
        bad, good = good, good // 2
    while bad - good > 1:
        middle = (good + bad) // 2
        if await fits(middle):
            good = middle
        else:
            bad = middle
    return good


async def quick_calls(probe: Probe, count: int, at_once: int) -> int:
    """Makes cheap calls as quickly as they are answered; how many were.

    Raises:
        ProbeEndedError: As soon as the node refuses one for its rate.
    """
    answered = 0
    for _ in range(count // at_once):
        found = await asyncio.gather(*(probe.call("eth_chainId") for _ in range(at_once)))
        answered += sum(one.given for one in found)
    return answered
