"""Whom a seller seals parts to: at random by stake and record, one part for each person, or named.

Established deliverers (`dam.market.deliverer_records`) hold the parts that count: all others
together never hold as many as open the good, nor over a third. Simulated with up to a hundred
identities of one newcomer, whatever they stake (tests/unit/roles/seller/test_deliverer_choice.py).
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dam.errors import Permanent
from dam.market.deliverers import Candidate, Deliverer
from dam.types import Address, Wei, Windows


@dataclass(frozen=True, slots=True)
class Choice:
    """The deliverers of one item's new parts."""

    candidates: tuple[Candidate, ...]
    """In the order of the indices."""
    threshold: int
    named: bool
    """The seller named them."""

    @property
    def deliverers(self) -> tuple[Deliverer, ...]:
        """With their keys in force, in the order of the indices."""
        return tuple(Deliverer(c.operator, c.registration.key) for c in self.candidates)

    @property
    def newcomers(self) -> int:
        """How many of them are not established."""
        return sum(not c.record.established for c in self.candidates)

    @property
    def bootstrap(self) -> bool:
        """Whether newcomers were picked for more parts than they should hold."""
        return not self.named and self.newcomers > most_newcomers(
            len(self.candidates), self.threshold
        )

    @property
    def at_stake(self) -> Wei:
        """What those of them that open the good together would lose at the least, in wei."""
        return Wei(sum(sorted(c.stake for c in self.candidates)[: self.threshold]))

    @property
    def alike(self) -> tuple[tuple[Address, Address], ...]:
        """Pairs that share an owner, a funder, a key or a registration."""
        return tuple(
            (one.operator, other.operator)
            for number, one in enumerate(self.candidates)
            for other in self.candidates[:number]
            if not one.marks.isdisjoint(other.marks)
        )


def most_newcomers(parts: int, threshold: int) -> int:
    """How many parts of a copy deliverers that are not established hold together."""
    return min(threshold - 1, parts // 3)


def pick_deliverers(
    candidates: Sequence[Candidate],
    parts: int,
    threshold: int,
    windows: Windows,
    source: random.Random,
    *,
    fee: int,
) -> Choice:
    """Picks deliverers at random, each with its weight, no two of whom seem to be one person.

    Args:
        candidates: All that are known; those who may not deliver are passed over.
        parts: How many.
        threshold: How many of them open the good together.
        windows: The market's.
        source: Of randomness; ``random.SystemRandom()`` unless a test says otherwise.
        fee: What a part of the item earns, in wei; who asks for more, or whose stake is below ten
            times that, is passed over.

    Raises:
        Permanent: There are too few.
    """
    able = [c for c in candidates if not c.obstacle(windows)]
    pool = [(c, c.weight(windows)) for c in able if not c.asks(fee)]
    most = most_newcomers(parts, threshold)
    picked = draw(pool, parts, most, source)
    if _rank(picked) < (parts, parts - most):
        # Somebody who seems to be several others may have kept these out.
        again = draw(pool, parts, most, source, loners_first=True)
        picked = max(picked, again, key=_rank)
    if len(picked) < parts:
        raise Permanent(_too_few(parts, len(picked), len(pool), len(able)))
    # The order is the order of the indices, which should tell nothing of the weights.
    source.shuffle(picked)
    return Choice(tuple(picked), threshold, named=False)


def draw(
    pool: Sequence[tuple[Candidate, int]],
    parts: int,
    most: int,
    source: random.Random,
    *,
    loners_first: bool = False,
) -> list[Candidate]:
    """One draw without replacement, from candidates and their weights; perhaps too few.

    The established come first, but for ``most`` parts, which anybody may get; and in the market's
    beginning, when there are too few of them, others get what is left.
    """
    # An exponential variable over its weight each, smallest first: Efraimidis and Spirakis,
    # "Weighted random sampling with a reservoir", 2006.
    keyed = [(source.expovariate(1) / weight, n, c) for n, (c, weight) in enumerate(pool)]
    order = [c for _, _, c in sorted(keyed)]
    if loners_first:
        ties = {c.operator: sum(not c.marks.isdisjoint(o.marks) for o in order) for c in order}
        order.sort(key=lambda c: ties[c.operator])
    picked: list[Candidate] = []
    taken: set[object] = set()
    for wanted, some in (
        (parts - most, [c for c in order if c.record.established]),
        (parts, order),
    ):
        for one in some:
            if len(picked) >= wanted:
                break
            if taken.isdisjoint(one.marks):
                picked.append(one)
                taken |= one.marks
    return picked


def _rank(picked: Sequence[Candidate]) -> tuple[int, int]:
    return len(picked), sum(c.record.established for c in picked)


def _too_few(parts: int, found: int, willing: int, able: int) -> str:
    text = (
        f"{parts} deliverers are needed, and {found} may deliver now (`dam deliverers` "
        "lists them): wait for more, or sell with fewer `parts`"
    )
    if able > willing:
        text += (
            f"; {able - willing} more ask for a higher fee, are closed to new items, or have a "
            "stake below ten times the fee"
        )
    if willing > found:
        text += (
            f"; {willing - found} more seem to be one of these by another name, and get no second "
            "part unless you name them"
        )
    return text


def named_deliverers(
    candidates: Mapping[Address, Candidate],
    operators: Sequence[Address],
    threshold: int,
    windows: Windows,
    *,
    fee: int,
) -> Choice:
    """The deliverers whom a seller named.

    Raises:
        Permanent: One of them cannot deliver; the message says why.
    """
    faults, found = [], []
    for operator in operators:
        candidate = candidates.get(operator)
        obstacle = "is not registered"
        if candidate:
            obstacle = candidate.obstacle(windows) or candidate.asks(fee)
        if candidate is None or obstacle:
            faults.append(f"{operator}: {obstacle}")
        else:
            found.append(candidate)
    if faults:
        raise Permanent("not all named deliverers can deliver: " + "; ".join(faults))
    return Choice(tuple(found), threshold, named=True)
