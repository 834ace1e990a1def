"""Several nodes as one: fail-over for most questions, a quorum for what decides over fragments.

A node that forges a purchase could read a share out of a deliverer's answer, and one that leaves a
log out makes it miss its duty. So the logs of a range and the hash of a block are asked of all
nodes that are well, and count only if all that answer agree and are at least ``agree``. Any one of
them can so stop us, and none can deceive us: a stop is alerted, a lie would be for ever. Who is
silent, refuses or lags behind is absent: it stops nobody, and does not count. Once ``agree`` nodes
have answered, the others have as long again, and two seconds at least (docs/decisions/0024).

Everything else is answered by the first healthy node, or the next one if that takes long; signed
transactions go to all. With one address, this behaves as that node's `JsonRpc`, but observes the
pause it may ask for.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterator, Sequence
from typing import Any, Self, TypeVar

from dam.errors import ConfigError, Retryable, RpcError
from dam.ethereum import node_errors
from dam.ethereum.endpoint import LAG_BLOCKS, Endpoint, is_about_request, outcome
from dam.ethereum.node import USUAL_LIMITS, NodeLimits, ReadStats, quantity
from dam.ethereum.node_errors import (
    RpcRangeError,
    RpcRejectedError,
    RpcTimeoutError,
    RpcTooLargeError,
    RpcUnavailableError,
)
from dam.ethereum.rpc import (
    JsonRpc,
    RawBlock,
    RawLog,
    Topics,
    difference,
    fingerprint,
    wrong_chain,
)
from dam.log import Log, silent_logger

_PROBE_SECONDS = 5.0
_RECHECK_SECONDS = 0.5
"""Nodes learn of a block within a second of each other: a difference is looked at twice."""
_PATIENCE_SECONDS = 2.0
"""A node that takes longer is left behind where others have answered, or can."""
_ALERT_ROUNDS = 3
"""Too few nodes so often in a row are alerted: one may just be a moment behind."""
_SEND, _BLOCK = "eth_sendRawTransaction", "eth_getBlockByNumber"
T = TypeVar("T")


class DisagreementError(Retryable):
    """Nodes say different things about the same blocks; none of it was believed."""


class NodePool:
    """The nodes of one chain. Close it, or use it as ``async with``. Surface: `rpc.JsonRpc`.

    Args:
        urls: One to five addresses, the preferred one first. They may hold API keys.
        agree: How many nodes must say the same; default 1 for one address, else 2.
        timeout: Seconds for one call of one node.
        limits: How much to ask a node for at once.
        log: For nodes set aside, taken back, or in disagreement; None: nowhere.
        clock: Seconds, from any start.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        agree: int | None = None,
        timeout: float = 20.0,
        limits: NodeLimits = USUAL_LIMITS,
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
        self._log = log or silent_logger()
        alone = len(urls) == 1
        self._all = [
            Endpoint(
                JsonRpc(url, timeout=timeout, limits=limits),
                alone,
                self._log,
                clock,
                self.stats,
            )
            for url in urls
        ]
        self.host = ", ".join(node.rpc.host for node in self._all)
        """Hosts and ports, for messages."""
        self._clock = clock
        self._tasks: set[asyncio.Task[Any]] = set()
        self._short = 0
        """Rounds in a row in which too few could tell."""
        self._split = 0
        """... in which too few knew the newest blocks."""

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
        """Hosts, and whether they are well: asked at present, and not behind the others."""
        return {node.rpc.host: not node.trouble for node in self._all}

    @property
    def troubles(self) -> dict[str, str]:
        """Hosts that are not well, and why."""
        return {node.rpc.host: node.trouble for node in self._all if node.trouble}

    # ------------------------------------------------------------------------- asking one of them

    async def call(self, method: str, *params: Any, timeout: float | None = None) -> Any:
        """As `JsonRpc.call`, of the first node that answers; a signed transaction goes to all."""
        if method == _SEND:
            return await self._send(lambda rpc: rpc.call(method, *params, timeout=timeout))
        return await self._first(lambda rpc: rpc.call(method, *params, timeout=timeout))

    async def batch(
        self, calls: Sequence[tuple[str, Sequence[Any]]], *, errors: bool = False
    ) -> list[Any]:
        """As `JsonRpc.batch`, of the first node that answers all, and has the blocks asked for."""
        methods = {method for method, _ in calls}
        if _SEND in methods:
            raise ValueError("signed transactions are sent one by one")
        blocks = methods == {_BLOCK}
        return await self._first(
            lambda rpc: rpc.batch(calls, errors=errors),
            whole=lambda found: (
                not ((blocks and None in found) or any(map(node_errors.is_node_fault, found)))
            ),
        )

    async def _first(
        self, ask: Callable[[JsonRpc], Awaitable[T]], whole: Callable[[T], bool] = lambda _: True
    ) -> T:
        failed: list[RpcError] = []
        parts: list[T] = []
        left = self._ready()
        waiting: set[asyncio.Task[T]] = set()
        with self._asking() as tasks:
            while left or waiting:
                if left:
                    node = left.pop(0)
                    task = self._start(node.ask(ask))
                    tasks[task] = node
                    waiting.add(task)
                done, waiting = await asyncio.wait(
                    waiting,
                    timeout=_PATIENCE_SECONDS if left else None,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                for task in done:
                    answer = outcome(task)
                    if not isinstance(answer, RpcError):
                        if whole(answer):
                            return answer
                        parts.append(answer)
                    elif is_about_request(answer):
                        raise answer
                    else:
                        failed.append(answer)
        if parts:
            return parts[0]
        raise failed[0] if failed else self._all_wait()

    @contextlib.contextmanager
    def _asking(self) -> Iterator[dict[asyncio.Task[Any], Endpoint]]:
        """Questions under way; what has no answer at the end is left to itself, its node late."""
        tasks: dict[asyncio.Task[Any], Endpoint] = {}
        try:
            yield tasks
        except asyncio.CancelledError:
            for task in tasks:
                task.cancel()
            raise
        finally:
            for task, node in tasks.items():
                if not task.done():
                    node.late = task

    async def _send(self, ask: Callable[[JsonRpc], Coroutine[Any, Any, T]]) -> T:
        """To all that may be asked; returns with the first that took it, else the best refusal.

        Those that are set aside get it, too, but nobody waits for them.
        """
        nodes = [node for node in self._all if node.willing]
        if not nodes:
            raise self._all_wait()
        tasks = {self._start(node.ask(ask)): node for node in nodes}
        fit = {task for task, node in tasks.items() if node.fit}
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
            RpcRangeError, RpcTooLargeError, RpcRejectedError: ... since too many refused: with
                fewer blocks, they may answer.
        """
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
        return await self._agreed(
            lambda rpc: rpc.block_transactions(number),
            known=lambda answer: answer is not None,
            fingerprint=lambda answer: str(answer).lower(),
            differ=lambda _a, _b: "another hash, or other transactions",
            what=f"block {number}",
            last=number,
        )

    async def receipt_logs(
        self, hashes: Sequence[str], address: str, events: Collection[str] | None
    ) -> list[RawLog] | None:
        """As `JsonRpc.receipt_logs`, if all nodes tell the same. See `logs`."""
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
        if not tag.startswith("0x") and len(self._all) > 1:
            return await self._newest(tag)
        number = int(tag, 16) if tag.startswith("0x") else -1
        return await self._agreed(
            lambda rpc: rpc.block(tag),
            known=lambda block: block is not None,
            fingerprint=lambda block: isinstance(block, dict) and str(block.get("hash")).lower(),
            differ=lambda _a, _b: "other hashes",
            what=f"block {number}",
            last=number,
        )

    async def check_chain(self, chain_id: int) -> None:
        """Raises `ConfigError` if any node is on another chain.

        Raises:
            RpcError: Fewer than ``agree`` nodes have answered.
        """
        for node in self._all:
            node.wanted_chain_id = chain_id
        nodes = await self._enough() or self._ready()
        answers = await self._every(Endpoint.ask_chain_id, lambda _: True, nodes)
        for node in self._all:
            if node.chain_id is not None and node.chain_id != chain_id:
                raise wrong_chain(node.rpc.host, node.chain_id, chain_id)
        if sum(not isinstance(answer, RpcError) for _, answer in answers) < self.agree:
            raise self._too_few(answers)

    async def _newest(self, tag: str) -> Any:
        async def numbered(rpc: JsonRpc) -> tuple[int, Any] | None:
            block = await rpc.block(tag)
            if block is None:
                return None
            return quantity(block.get("number") if isinstance(block, dict) else None, tag), block

        answers = await self._every(lambda node: node.ask(numbered), lambda a: a is not None)
        told = [(node, a) for node, a in answers if a is not None and not isinstance(a, RpcError)]
        if not told and any(answer is None for _, answer in answers):
            return None
        if len(told) < self.agree:
            raise self._too_few(answers)
        # Not the highest number of all: a node may say any.
        number, block = sorted((a for _, a in told), key=lambda a: -a[0])[self.agree - 1]
        if tag == "latest":
            for node, (head, _) in told:
                node.behind = max(0, number - head)
            self._note_split([head for _, (head, _) in told], number)
        return block

    def _note_split(self, heads: Sequence[int], number: int) -> None:
        """Alerts, once, that the newest blocks are known to fewer than ``agree`` nodes."""
        apart = max(heads) - number
        if apart <= LAG_BLOCKS:
            if self._split >= _ALERT_ROUNDS:
                self._log.info("endpoints_enough_again", about="the newest block")
            self._split = 0
            return
        self._split += 1
        if self._split == _ALERT_ROUNDS:
            why = f"one is {apart} blocks ahead of block {number}, which {self.agree} have reached"
            told = sum(head >= number + apart - LAG_BLOCKS for head in heads)
            self._log.error("endpoints_too_few", told=told, needed=self.agree, error=why)

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
        if len(self._all) == 1:
            return await self._first(ask)
        for again in (True, False):
            answers = await self._every(lambda node: node.ask(ask), known)
            given = [(node, a) for node, a in answers if not isinstance(a, RpcError)]
            told = [(node, answer) for node, answer in given if known(answer)]
            prints = [fingerprint(answer) for _, answer in told]
            others = [one for one, p in zip(told, prints, strict=True) if p != prints[0]]
            if not others:
                if len(told) >= self.agree:
                    self._agree_again(what)
                    return told[0][1]
                if not told and len(given) >= self.agree:
                    return given[0][1]  # nobody has this block
                raise self._too_few(answers, len(told))
            if again:
                await asyncio.sleep(_RECHECK_SECONDS)
        node, answer = others[0]
        raise self._disagree(what, last, (told[0][0], node), differ(told[0][1], answer))

    async def _every(
        self,
        ask: Callable[[Endpoint], Coroutine[Any, Any, T]],
        known: Callable[[T], bool],
        nodes: Sequence[Endpoint] | None = None,
    ) -> list[tuple[Endpoint, T | RpcError]]:
        """What each node answered, in the order of preference; errors as they are.

        Once ``agree`` nodes have told something ``known``, nobody waits for ever for the others.
        """
        nodes = await self._enough() if nodes is None else nodes
        began = time.monotonic()
        with self._asking() as tasks:
            tasks.update((self._start(ask(node)), node) for node in nodes)
            waiting, told = set(tasks), 0
            while waiting and told < self.agree:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                answers = map(outcome, done)
                told += sum(not isinstance(one, RpcError) and known(one) for one in answers)
            if waiting:
                await asyncio.wait(
                    waiting, timeout=max(_PATIENCE_SECONDS, time.monotonic() - began)
                )
        return [(node, outcome(task)) for task, node in tasks.items()]

    def _too_few(self, answers: Sequence[tuple[Endpoint, object]], told: int = 0) -> RpcError:
        """The error of a round in which fewer than ``agree`` nodes could tell."""
        errors = [answer for _, answer in answers if isinstance(answer, RpcError)]
        sized = [e for e in errors if isinstance(e, RpcRangeError | RpcTooLargeError)]
        refused = [e for e in errors if is_about_request(e) and e not in sized]
        if sized and told + len(sized) >= self.agree:
            return sized[0]  # if less is asked for, there are enough
        if refused and told + len(sized) + len(refused) >= self.agree:
            return refused[0]
        if len(self._all) == 1 and errors:
            return errors[0]
        for node in self._all:
            node.hurry()
        told_of = [*map(str, errors), *(f"{host}: {why}" for host, why in self.troubles.items())]
        why = "; ".join(dict.fromkeys(told_of)) or "the others lag"
        self._short += 1
        if self._short == _ALERT_ROUNDS:
            self._log.error("endpoints_too_few", told=told, needed=self.agree, error=why)
        slow = [e for e in errors if isinstance(e, RpcTimeoutError)]
        # With less to tell, there may be enough in time.
        in_time = slow and told + len(sized) + len(slow) >= self.agree
        return (RpcTimeoutError if in_time else RpcUnavailableError)(
            f"{told} of {len(self._all)} nodes could tell, and rpc_agree is {self.agree}: {why}"
        )

    def _disagree(
        self, what: str, block: int, nodes: Sequence[Endpoint], how: str
    ) -> DisagreementError:
        self.stats.disagreements += 1
        self.disagreement = what
        hosts = [node.rpc.host for node in nodes]
        self._log.error("endpoints_disagree", hosts=hosts, block=block, about=what, difference=how)
        return DisagreementError(f"{' and '.join(hosts)} disagree about {what}: {how}")

    def _agree_again(self, what: str) -> None:
        """Agreement about logs ends a disagreement about logs, one about a block that of blocks."""
        if self._short >= _ALERT_ROUNDS:
            self._log.info("endpoints_enough_again", about=what)
        self._short = 0
        logs = "the logs"
        if self.disagreement and self.disagreement.startswith(logs) == what.startswith(logs):
            self.disagreement = ""
            self._log.info("endpoints_agree_again", about=what)

    # ------------------------------------------------------------------------------------- health

    async def _enough(self) -> list[Endpoint]:
        """Nodes that are well; if they are too few, those that may be back have a moment first."""
        nodes = self._ready(probing=False)
        probes = [node.probe for node in self._all if node.probe and not node.probe.done()]
        if len(nodes) < self.agree and probes:
            await asyncio.wait(probes, timeout=_PATIENCE_SECONDS)
        return self._ready(probing=False)

    def _ready(self, *, probing: bool = True) -> list[Endpoint]:
        """Nodes to ask, the best first; all that may be asked, if none is well."""
        for node in self._all:
            if node.due and (node.probe is None or node.probe.done()):
                # While the others work: it may hang.
                node.probe = self._start(node.ask_chain_id(timeout=_PROBE_SECONDS))
        fit = sorted((node for node in self._all if node.fit), key=lambda node: node.lags)
        return fit if fit or not probing else [node for node in self._all if node.willing]

    def _all_wait(self) -> RpcUnavailableError:
        node = min(self._all, key=lambda node: node.until)
        error, pause = node.error, max(0.0, node.until - self._clock())
        text = f"{error}; asked again in {pause:.0f} s"
        return RpcUnavailableError(text, status=getattr(error, "status", None), retry_after=pause)

    def _start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        for node in self._all:
            if node.late is task:
                node.late = None  # an answer that nobody waits for may be 24 MB of logs
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
