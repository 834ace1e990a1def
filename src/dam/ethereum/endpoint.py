"""One node among several: whether it is asked at present, and why not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from dam.errors import RpcError
from dam.ethereum.node import ReadStats, quantity
from dam.ethereum.node_errors import RpcMethodError, RpcRejectedError, RpcTooLargeError
from dam.ethereum.rpc import JsonRpc
from dam.log import Log

_FIRST_PAUSE_SECONDS = 1.0
_MAX_PAUSE_SECONDS = 30.0
_SOON_SECONDS = 2.0
"""The longest pause of our own choosing where there are too few without it."""
_MAX_RETRY_AFTER_SECONDS = 300.0
"""A longer Retry-After is cut: a deliverer has 20 minutes for a part."""
LAG_BLOCKS = 3
"""A node so far behind the others is asked last."""
T = TypeVar("T")


@dataclass(slots=True)
class Endpoint:
    """One node, and how it has behaved."""

    rpc: JsonRpc
    alone: bool
    """No other can be asked: it is asked again at once, unless it wants a pause."""
    log: Log
    clock: Callable[[], float]
    stats: ReadStats
    """Of all nodes together."""
    failures: int = 0
    """In a row."""
    error: RpcError | None = None
    """Why it failed last."""
    until: float = 0.0
    """Time on the clock before which it is not asked."""
    asked_to_wait: bool = False
    """``until`` is its own wish (Retry-After)."""
    behind: int = 0
    """Blocks behind the newest that enough nodes have; if many, it is asked last."""
    chain_id: int | None = None
    """As it said last."""
    wanted_chain_id: int | None = None
    probe: asyncio.Task[int] | None = field(default=None, repr=False)
    late: asyncio.Task[Any] | None = field(default=None, repr=False)
    """A question that nobody waits for any more; it is not asked another one meanwhile."""

    async def ask(self, ask: Callable[[JsonRpc], Awaitable[T]]) -> T:
        """Asks it, and notes how it did."""
        self.stats.requests += 1
        try:
            answer = await ask(self.rpc)
        except RpcError as error:
            # A refusal is an answer; and too much of one is for whom asked to mend.
            if not isinstance(error, RpcRejectedError | RpcTooLargeError):
                self.stats.failures += 1
                self._failed(error)
            raise
        if self.failures and not self.alone:
            self.log.info("endpoint_back", host=self.rpc.host, failures=self.failures)
        self.failures, self.until, self.asked_to_wait = 0, 0.0, False
        return answer

    async def ask_chain_id(self, timeout: float | None = None) -> int:
        """Asks for the chain that it is on, and remembers it."""

        async def ask(rpc: JsonRpc) -> int:
            return quantity(await rpc.call("eth_chainId", timeout=timeout), "eth_chainId")

        self.chain_id = await self.ask(ask)
        return self.chain_id

    @property
    def trouble(self) -> str:
        """Why it is not well; empty: it is."""
        if self.astray:
            return f"on chain {self.chain_id}"
        if self.late and not self.late.done():
            return "no answer yet"
        if not self.fit:
            return f"set aside: {self.error}"
        return f"{self.behind} blocks behind the others" if self.lags else ""

    @property
    def fit(self) -> bool:
        """Whether it is asked at present."""
        late = self.late is not None and not self.late.done()
        if self.clock() < self.until or self.astray or late:
            return False
        return self.alone or self.failures == 0

    @property
    def due(self) -> bool:
        """Whether it failed, and may be asked whether it is back."""
        return self.failures > 0 and self.clock() >= self.until and not self.alone

    def hurry(self) -> None:
        """Cuts its pause, unless it asked for that: there are too few without it."""
        if not self.asked_to_wait:
            self.until = min(self.until, self.clock() + _SOON_SECONDS)

    @property
    def willing(self) -> bool:
        """Whether it is on our chain, and did not ask to be left alone."""
        return (self.clock() >= self.until or not self.asked_to_wait) and not self.astray

    @property
    def lags(self) -> bool:
        """Whether it is well behind the others."""
        return self.behind > LAG_BLOCKS

    @property
    def astray(self) -> bool:
        """Whether it is on another chain."""
        return self.chain_id is not None and self.wanted_chain_id not in (None, self.chain_id)

    def _failed(self, error: RpcError) -> None:
        self.failures += 1
        self.error = error
        pause = min(_MAX_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2 ** min(self.failures - 1, 10))
        wish = getattr(error, "retry_after", None)
        self.asked_to_wait = wish is not None
        if wish is not None:
            pause = min(_MAX_RETRY_AFTER_SECONDS, max(wish, 0.0))
        self.until = self.clock() + pause
        if self.failures == 1 and not self.alone:
            self.log.warning(
                "endpoint_set_aside", host=self.rpc.host, error=str(error), retry_seconds=pause
            )


def outcome(task: asyncio.Task[T]) -> T | RpcError:
    """What a node answered, or its error; any other error is raised."""
    if not task.done():
        return RpcError("it takes longer than the others")
    error = task.exception()
    if error is None or isinstance(error, RpcError):
        return error or task.result()
    raise error


def is_about_request(error: RpcError) -> bool:
    """Whether other nodes would refuse it as well."""
    return isinstance(error, RpcRejectedError) and not isinstance(error, RpcMethodError)
