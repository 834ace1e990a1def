"""Whom a seller seals parts to: by stake and record, weighted at random, or named."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from dam.errors import Permanent
from dam.market.deliverers import Candidate, Deliverer
from dam.types import Address, Windows


def pick_deliverers(
    candidates: Sequence[Candidate],
    count: int,
    windows: Windows,
    source: random.Random,
    *,
    fee: int,
) -> list[Deliverer]:
    """Picks different deliverers at random, each with its weight.

    Args:
        candidates: All that are known; those who may not deliver are passed over.
        count: How many.
        windows: The market's.
        source: Of randomness; ``random.SystemRandom()`` unless a test says otherwise.
        fee: What a part of the item earns, in wei; who posted that it asks more is passed over.

    Raises:
        Permanent: There are too few.
    """
    able = [c for c in candidates if not c.obstacle(windows)]
    pool = [c for c in able if not c.asks(fee)]
    if len(pool) < count:
        raise Permanent(
            f"{count} deliverers are needed, and {len(pool)} may deliver now (`dam deliverers` "
            "lists them): wait for more, or sell with fewer `parts`"
            + (
                f"; {len(able) - len(pool)} more ask for a higher fee, or are closed to new items"
                if len(able) > len(pool)
                else ""
            )
        )
    picked = []
    for _ in range(count):
        [one] = source.choices(pool, [c.weight(windows) for c in pool])
        pool.remove(one)
        picked.append(Deliverer(one.operator, one.registration.key))
    # The order is the order of the indices, which should tell nothing of the weights.
    source.shuffle(picked)
    return picked


def named_deliverers(
    candidates: Mapping[Address, Candidate],
    operators: Sequence[Address],
    windows: Windows,
    *,
    fee: int,
) -> list[Deliverer]:
    """The deliverers whom a seller named, with their keys in force.

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
            found.append(Deliverer(operator, candidate.registration.key))
    if faults:
        raise Permanent("not all named deliverers can deliver: " + "; ".join(faults))
    return found
