"""Several nodes as one: fail-over for most questions, a quorum for what decides over fragments.

A node that forges a purchase could read a share out of a deliverer's answer, and one that leaves a
log out makes it miss its duty. So the logs of a range and the hash of a block are asked of all
nodes that answer, and count only if all of these agree and are at least ``agree``. Any one of them
can so stop us, and none can deceive us: a stop is alerted, a lie would be for ever. Everything else
is answered by the first healthy node; signed transactions go to all. A node that lags behind does
not disagree: it just does not count.

With one address, this behaves as that node's `JsonRpc`, but observes the pause it may ask for.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self, TypeVar

from dam.errors import ConfigError, Retryable, RpcError
from dam.ethereum import node_errors
from dam.ethereum.node import ReadStats, quantity
from dam.ethereum.node_errors import (
    RpcBadReplyError,
    RpcRangeError,
    RpcRejectedError,
    RpcTooLargeError,
    RpcUnavailableError,
    is_node_fault,
)
from dam.ethereum.rpc import (
    MAX_LOGS_BYTES,
    JsonRpc,
    RawBlock,
    RawLog,
    Topics,
    wrong_chain,
)
from dam.log import Log, silent_logger

_FIRST_PAUSE_SECONDS = 1.0
_MAX_PAUSE_SECONDS = 120.0
_MAX_RETRY_AFTER_SECONDS = 300.0
"""A longer Retry-After is cut: a deliverer has 20 minutes for a part."""
_PROBE_SECONDS = 5.0
_RECHECK_SECONDS = 0.5
"""Nodes learn of a block within a second of each other: a difference is looked at twice."""
_LAG_BLOCKS = 3
"""A node so far behind the others is asked last."""
_SEND, _BLOCK = "eth_sendRawTransaction", "eth_getBlockByNumber"
T = TypeVar("T")


class DisagreementError(Retryable):
    """Nodes say different things about the same blocks; none of it was believed."""


@dataclass(slots=True)
class _Node:
    """One node, and how it has behaved."""

    rpc: JsonRpc
    failures: int = 0
    """In a row."""
    until: float = 0.0
    """Time on the clock before which it is not asked."""
    asked_to_wait: bool = False
    """``until`` is its own wish (Retry-After)."""
    lags: bool = False
    """Behind the others: asked last."""
    chain_id: int | None = None
    """As it said last."""
    probe: asyncio.Task[None] | None = field(default=None, repr=False)


class NodePool:
    """The nodes of one chain. Close it, or use it as ``async with``. Surface: `rpc.JsonRpc`.

    Args:
        urls: One to five addresses, the preferred one first. They may hold API keys.
        agree: How many nodes must say the same; default 1 for one address, else 2.
        timeout: Seconds for one call of one node.
        max_logs_bytes: Most bytes of an answer with logs.
        log: For nodes set aside, taken back, or in disagreement; None: nowhere.
        clock: Seconds, from any start.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        agree: int | None = None,
        timeout: float = 20.0,
        max_logs_bytes: int = MAX_LOGS_BYTES,
        log: Log | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.agree = min(2, len(urls)) if agree is None else agree
        if not 1 <= self.agree <= len(urls):
            raise ConfigError(f"rpc_agree is {self.agree}, with {len(urls)} addresses of nodes")
        self.stats = ReadStats()
        """Of all together."""
        self.disagreement = ""
        """What the nodes disagree about; empty: nothing. A daemon is not ready while it is set."""
        self._all = [
            _Node(JsonRpc(url, timeout=timeout, max_logs_bytes=max_logs_bytes)) for url in urls
        ]
        self.host = ", ".join(node.rpc.host for node in self._all)
        """Hosts and ports, for messages."""
        self._log = log or silent_logger()
        self._clock = clock
        self._chain_id: int | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    def __repr__(self) -> str:
        return f"NodePool({self.host})"

    @property
    def by_host(self) -> dict[str, ReadStats]:
        """What each was asked; two addresses of one host count together."""
        found: dict[str, ReadStats] = {}
        for node in self._all:
            stats = found.setdefault(node.rpc.host, ReadStats())
            stats.requests += node.rpc.stats.requests
            stats.failures += node.rpc.stats.failures
        return found

    @property
    def health(self) -> dict[str, bool]:
        """Hosts, and whether they are asked at present."""
        now = self._clock()
        return {node.rpc.host: self._fit(node, now) for node in self._all}

    # ------------------------------------------------------------------------- asking one of them

    async def call(self, method: str, *params: Any, timeout: float | None = None) -> Any:
        """As `JsonRpc.call`, of the first node that answers; a signed transaction goes to all."""
        if method == _SEND:
            return await self._send(lambda rpc: rpc.call(method, *params, timeout=timeout))
        return await self._first(lambda rpc: rpc.call(method, *params, timeout=timeout))

    async def batch(
        self, calls: Sequence[tuple[str, Sequence[Any]]], *, errors: bool = False
    ) -> list[Any]:
        """As `JsonRpc.batch`, of the first node that answers, and has the blocks asked for."""
        methods = {method for method, _ in calls}
        if _SEND in methods:
            raise ValueError("signed transactions are sent one by one")
        blocks = methods == {_BLOCK}
        return await self._first(
            lambda rpc: rpc.batch(calls, errors=errors),
            whole=lambda found: not blocks or None not in found,
        )

    async def _first(
        self, ask: Callable[[JsonRpc], Awaitable[T]], whole: Callable[[T], bool] = lambda _: True
    ) -> T:
        failed: RpcError | None = None
        parts: list[T] = []
        for node in self._ready():
            try:
                answer = await self._ask(node, ask)
            except RpcError as error:
                if not _is_failure(error):
                    raise
                failed = failed or error
            else:
                if whole(answer):
                    return answer
                parts.append(answer)
        if parts:
            return parts[0]
        raise failed or self._all_wait()

    async def _send(self, ask: Callable[[JsonRpc], Coroutine[Any, Any, T]]) -> T:
        """To all that may be asked; returns with the first that took it, else the best refusal.

        Those that are set aside get it, too, but nobody waits for them.
        """
        now = self._clock()
        nodes = self._willing(now)
        if not nodes:
            raise self._all_wait()
        tasks = {self._start(self._ask(node, ask)): node for node in nodes}
        fit = {task for task, node in tasks.items() if self._fit(node, now)}
        waiting = fit or set(tasks)
        failed: list[RpcError] = []
        while waiting:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                error = task.exception()
                if error is None:
                    return task.result()
                if not isinstance(error, RpcError):
                    raise error
                failed.append(error)
        # A node's own words tell more than a silence does, and most of all that it has it.
        rejected = [error for error in failed if isinstance(error, RpcRejectedError)]
        raise next(filter(node_errors.is_already_known, rejected), [*rejected, *failed][0])

    # ------------------------------------------------------------------------ asking all of them

    async def logs(
        self, address: str, first: int, last: int, *, topics: Topics | None = None
    ) -> tuple[list[RawLog], RawBlock | None]:
        """As `JsonRpc.logs`, if all nodes tell the same.

        Raises:
            DisagreementError: They do not, looked at twice.
            RpcUnavailableError: Fewer than ``agree`` have answered and know block ``last``.
        """
        if len(self._all) == 1:
            return await self._first(lambda rpc: rpc.logs(address, first, last, topics=topics))
        return await self._agreed(
            lambda rpc: rpc.logs(address, first, last, topics=topics),
            known=lambda answer: answer[1] is not None,
            fingerprint=lambda answer: fingerprint(*answer),
            differ=lambda a, b: difference(a[0], b[0]),
            what=f"the logs of blocks {first} to {last}",
            last=last,
        )

    async def block_transactions(self, number: int) -> tuple[RawBlock, tuple[str, ...]] | None:
        """As `JsonRpc.block_transactions`, if all nodes tell the same. See `logs`."""
        if len(self._all) == 1:
            return await self._first(lambda rpc: rpc.block_transactions(number))
        return await self._agreed(
            lambda rpc: rpc.block_transactions(number),
            known=lambda answer: answer is not None,
            fingerprint=lambda answer: answer and (answer[0].hash.lower(), answer[1]),
            differ=lambda _a, _b: "another hash, or other transactions",
            what=f"block {number}",
            last=number,
        )

    async def receipt_logs(
        self, hashes: Sequence[str], address: str, events: Collection[str] | None
    ) -> list[RawLog] | None:
        """As `JsonRpc.receipt_logs`, if all nodes tell the same. See `logs`."""
        if len(self._all) == 1:
            return await self._first(lambda rpc: rpc.receipt_logs(hashes, address, events))
        return await self._agreed(
            lambda rpc: rpc.receipt_logs(hashes, address, events),
            known=lambda answer: answer is not None,
            fingerprint=lambda answer: fingerprint(answer or (), None),
            differ=lambda a, b: difference(a or (), b or ()),
            what=f"the logs in the receipt of {hashes[0]}, and {len(hashes) - 1} more",
            last=-1,
        )

    async def block(self, tag: str) -> Any:
        """As `JsonRpc.block`.

        A block by number must be the same to all nodes; one by tag is the newest that ``agree``
        nodes have reached.

        Raises:
            DisagreementError, RpcUnavailableError: see `logs`.
        """
        if len(self._all) == 1:
            return await self._first(lambda rpc: rpc.block(tag))
        if not tag.startswith("0x"):
            return await self._newest(tag)
        return await self._agreed(
            lambda rpc: rpc.block(tag),
            known=lambda block: block is not None,
            fingerprint=lambda block: block.get("hash") if isinstance(block, dict) else "",
            differ=lambda _a, _b: "other hashes",
            what=f"block {int(tag, 16)}",
            last=int(tag, 16),
        )

    async def check_chain(self, chain_id: int) -> None:
        """Raises `ConfigError` if any node is on another chain.

        Raises:
            RpcError: Fewer than ``agree`` nodes have answered.
        """
        self._chain_id = chain_id
        answers = await self._every(_chain_id, self._ready())
        for node, answer in answers:
            if not isinstance(answer, RpcError):
                node.chain_id = answer
        for node in self._all:
            if node.chain_id is not None and node.chain_id != chain_id:
                raise wrong_chain(node.rpc.host, node.chain_id, chain_id)
        self._enough([node for node, a in answers if not isinstance(a, RpcError)], answers)

    async def _newest(self, tag: str) -> Any:
        async def numbered(rpc: JsonRpc) -> tuple[int, Any] | None:
            block = await rpc.block(tag)
            if block is None:
                return None
            return quantity(block.get("number") if isinstance(block, dict) else None, tag), block

        answers = await self._every(numbered, self._ready(probing=False))
        told = [(node, a) for node, a in answers if a is not None and not isinstance(a, RpcError)]
        if not told and any(answer is None for _, answer in answers):
            return None
        self._enough(told, answers)
        # Not the highest number of all: a node may say any.
        number, block = sorted((a for _, a in told), key=lambda a: -a[0])[self.agree - 1]
        if tag == "latest":
            for node, (head, _) in told:
                node.lags = head < number - _LAG_BLOCKS
        return block

    async def _agreed(
        self,
        ask: Callable[[JsonRpc], Awaitable[T]],
        *,
        known: Callable[[T], bool],
        fingerprint: Callable[[T], object],
        differ: Callable[[T, T], str],
        what: str,
        last: int,
    ) -> T:
        for again in (True, False):
            answers = await self._every(ask, self._ready(probing=False))
            for _, answer in answers:
                if isinstance(answer, RpcRangeError | RpcTooLargeError):
                    raise answer
            given = [(node, a) for node, a in answers if not isinstance(a, RpcError)]
            told = [(node, answer) for node, answer in given if known(answer)]
            if given and not told:
                return given[0][1]  # nobody has this block
            prints = [fingerprint(answer) for _, answer in told]
            others = [one for one, p in zip(told, prints, strict=True) if p != prints[0]]
            if not others:
                self._enough(told, answers)
                self._agree_again(what)
                return told[0][1]
            if again:
                await asyncio.sleep(_RECHECK_SECONDS)
        node, answer = others[0]
        raise self._disagree(what, last, (told[0][0], node), differ(told[0][1], answer))

    async def _every(
        self, ask: Callable[[JsonRpc], Awaitable[T]], nodes: Sequence[_Node]
    ) -> list[tuple[_Node, T | RpcError]]:
        """What each node answered, in the order of preference; errors as they are."""

        async def one(node: _Node) -> T | RpcError:
            try:
                return await self._ask(node, ask)
            except RpcError as error:
                return error

        return list(zip(nodes, await asyncio.gather(*map(one, nodes)), strict=True))

    def _enough(self, told: Sequence[object], answers: Sequence[tuple[_Node, object]]) -> None:
        if len(told) < self.agree:
            errors = [str(answer) for _, answer in answers if isinstance(answer, RpcError)]
            if len(self._all) == 1 and errors:
                raise RpcUnavailableError(errors[0])
            why = "; ".join(errors) or "the others lag or are set aside"
            raise RpcUnavailableError(
                f"{len(told)} of {len(self._all)} nodes could tell, and rpc_agree is "
                f"{self.agree}: {why}"
            )

    def _disagree(
        self, what: str, block: int, nodes: Sequence[_Node], how: str
    ) -> DisagreementError:
        self.stats.disagreements += 1
        self.disagreement = what
        hosts = [node.rpc.host for node in nodes]
        self._log.error("endpoints_disagree", hosts=hosts, block=block, about=what, difference=how)
        return DisagreementError(f"{' and '.join(hosts)} disagree about {what}: {how}")

    def _agree_again(self, what: str) -> None:
        """Agreement about logs ends a disagreement about logs, one about a block that of blocks."""
        logs = "the logs"
        if self.disagreement and self.disagreement.startswith(logs) == what.startswith(logs):
            self.disagreement = ""
            self._log.info("endpoints_agree_again", about=what)

    # ------------------------------------------------------------------------------------- health

    async def _ask(self, node: _Node, ask: Callable[[JsonRpc], Awaitable[T]]) -> T:
        self.stats.requests += 1
        try:
            answer = await ask(node.rpc)
        except RpcError as error:
            if _is_failure(error):
                self.stats.failures += 1
                self._failed(node, error)
            raise
        self._well(node)
        return answer

    def _fit(self, node: _Node, now: float) -> bool:
        if now < node.until or self._astray(node):
            return False
        return len(self._all) == 1 or node.failures == 0

    def _ready(self, *, probing: bool = True) -> list[_Node]:
        """Nodes to ask, the best first; all that may be asked, if none is well."""
        now = self._clock()
        for node in self._all:
            if node.failures and now >= node.until and len(self._all) > 1:
                self._probe(node)
        fit = [node for node in self._all if self._fit(node, now)]
        fit.sort(key=lambda node: node.lags)
        return fit if fit or not probing else self._willing(now)

    def _willing(self, now: float) -> list[_Node]:
        """All nodes of our chain that did not ask to be left alone."""
        return [
            node
            for node in self._all
            if (now >= node.until or not node.asked_to_wait) and not self._astray(node)
        ]

    def _astray(self, node: _Node) -> bool:
        return node.chain_id is not None and self._chain_id not in (None, node.chain_id)

    def _all_wait(self) -> RpcUnavailableError:
        pause = max(0.0, min(node.until for node in self._all) - self._clock())
        return RpcUnavailableError(
            f"{self.host}: asked to wait {pause:.0f} s more", status=429, retry_after=pause
        )

    def _failed(self, node: _Node, error: RpcError) -> None:
        node.failures += 1
        pause = min(_MAX_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2 ** min(node.failures - 1, 10))
        wish = getattr(error, "retry_after", None)
        node.asked_to_wait = wish is not None
        if wish is not None:
            pause = min(_MAX_RETRY_AFTER_SECONDS, max(wish, 0.0))
        node.until = self._clock() + pause
        if node.failures == 1 and len(self._all) > 1:
            self._log.warning(
                "endpoint_set_aside", host=node.rpc.host, error=str(error), retry_seconds=pause
            )

    def _well(self, node: _Node) -> None:
        if node.failures and len(self._all) > 1:
            self._log.info("endpoint_back", host=node.rpc.host, failures=node.failures)
        node.failures, node.until, node.asked_to_wait = 0, 0.0, False

    def _probe(self, node: _Node) -> None:
        """Asks a node that failed whether it is back, while the others work: it may hang."""

        async def ask() -> None:
            node.chain_id = await self._ask(node, partial(_chain_id, timeout=_PROBE_SECONDS))

        if node.probe is None or node.probe.done():
            node.probe = self._start(ask())

    def _start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # looked at: whoever waited has it, and nobody else cares

    async def close(self) -> None:
        """Ends what is under way and closes the connections."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for node in self._all:
            await node.rpc.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()


async def _chain_id(rpc: JsonRpc, timeout: float | None = None) -> int:
    return quantity(await rpc.call("eth_chainId", timeout=timeout), "eth_chainId")


def _is_failure(error: RpcError) -> bool:
    """Whether the node is to blame, so that another may do better."""
    if isinstance(error, RpcRejectedError):
        return is_node_fault(error)
    return not isinstance(error, RpcTooLargeError)


def fingerprint(logs: Sequence[RawLog], end: RawBlock | None) -> object:
    """What must be the same in two nodes' answers about a range that ends with ``end``."""
    return (end and end.hash.lower(), frozenset(map(_log_key, logs)))


def _log_key(log: RawLog) -> tuple[object, ...]:
    return (
        log.block_hash,
        log.log_index,
        log.address.lower(),
        log.data,
        *log.topics,
        log.block_number,
        log.transaction_hash,
        bool(log.removed),
    )


def difference(a: Sequence[RawLog], b: Sequence[RawLog]) -> str:
    """In what two nodes' logs differ: their numbers, and the first block in which they do."""
    odd = frozenset(map(_log_key, a)) ^ frozenset(map(_log_key, b))
    places = []
    for key in odd:
        try:
            places.append(quantity(key[-3], "block"))
        except RpcBadReplyError:
            continue
    where = f"first in block {min(places)}" if places else "not in the logs, but in the last block"
    return f"{len(a)} logs against {len(b)}, {where}"
