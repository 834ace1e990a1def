"""Rules of a faulty proxy: which requests a fault strikes, how often, and with what chance."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


class Named(Protocol):
    """A fault, by the name under which it is counted."""

    name: str


FaultT = TypeVar("FaultT", bound=Named)
RequestT = TypeVar("RequestT")


@dataclass
class Rule(Generic[FaultT, RequestT]):
    """When a fault strikes."""

    fault: FaultT
    concerns: Callable[[RequestT], bool]
    """Whether a request is one that it may strike."""
    times: int | None = None
    """At most; None: for ever."""
    chance: float = 1.0
    every: int = 1
    """Only each n-th request that it concerns, beginning with the n-th."""
    after: int = 0
    """So many requests that it concerns pass first."""
    injected: int = 0
    """How often it has struck."""
    met: int = 0
    """How many requests it concerned."""
    on: bool = True

    def stop(self) -> None:
        """Strikes no more."""
        self.on = False

    @property
    def spent(self) -> bool:
        """Whether it has struck as often as it may."""
        return not self.on or (self.times is not None and self.injected >= self.times)


class FaultyProxy(Generic[FaultT, RequestT]):
    """Keeps the rules of a proxy, and counts what they did.

    Args:
        upstream: Address of the real node.
        counted: Where every injected event is counted, by the fault's name.
        seed: Of the chances, so that a run can be repeated.
    """

    def __init__(
        self, upstream: str, *, counted: Counter[str] | None = None, seed: int = 0
    ) -> None:
        self.upstream = upstream
        """May be set anew while it runs: a node that was started again has another port."""
        self.counted: Counter[str] = Counter() if counted is None else counted
        self.random = random.Random(seed)
        self.url = ""
        self.rules: list[Rule[FaultT, RequestT]] = []
        self._closing = asyncio.Event()

    def add(self, rule: Rule[FaultT, RequestT]) -> Rule[FaultT, RequestT]:
        """Follows a rule from now on."""
        self.rules.append(rule)
        return rule

    def clear(self) -> None:
        """Takes all rules back: an honest node from here on."""
        for rule in self.rules:
            rule.stop()
        self.rules.clear()

    def release(self) -> None:
        """Ends what hangs at this moment."""
        closing, self._closing = self._closing, asyncio.Event()
        closing.set()

    def _striking(self, requests: list[RequestT]) -> list[Rule[FaultT, RequestT]]:
        """The rules that strike now, where each sees all calls of one HTTP request."""
        striking = []
        for rule in self.rules:
            if rule.spent or not any(map(rule.concerns, requests)):
                continue
            rule.met += 1
            due = rule.met > rule.after and rule.met % rule.every == 0
            if due and self.random.random() < rule.chance:
                striking.append(rule)
        return striking

    def _count(self, rule: Rule[FaultT, RequestT], by: int = 1) -> None:
        rule.injected += by
        self.counted[rule.fault.name] += by
        if not self.counted[rule.fault.name]:
            del self.counted[rule.fault.name]
