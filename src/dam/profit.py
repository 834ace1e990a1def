"""Whether a part's fee pays its gas.

Every part earns its fee in wei, in sales for a token, too (`IMarketplace.Terms.commission`), and
its gas is paid in wei: the two compare without any rate. A part is worth its transaction when

    fee >= (base fee + tip) x its share of the gas

with the gas of `gas_of`, which bench/gas.py measures: alone about 47,200 for a short proof, in a
batch of 24 about 21,700. What a rollup takes for its data is not in it: ``min_fee`` is for that.

A part that is not worth it is *late rather than never*: it stays due, is looked at with each block
until its last one, and is reported once. Gas may fall, or other parts come to share a transaction.
"""

from __future__ import annotations

from collections.abc import Sequence

from dam.outbox import Job

_ALONE = 45_700
_BATCHED = 18_350
_SHARED = 22_200
"""Once a batch: the transaction, its first look at the contract, the deliverer's word."""
_STEP_ALONE = 760
_STEP_BATCHED = 1_240
"""A step of the proof: calldata at the floor price of EIP-7623, and a hash."""


def gas_of(parts: int, steps: int) -> int:
    """Gas that delivering so many parts in one transaction takes, within a few percent.

    Args:
        parts: How many.
        steps: Of all their proofs together.
    """
    if parts == 1:
        return _ALONE + _STEP_ALONE * steps
    return _SHARED + _BATCHED * parts + _STEP_BATCHED * steps


def pays(job: Job, price: int, parts: int) -> bool:
    """Whether a part is worth its share of a transaction; see `paying`."""
    return bool(paying([job], price, parts))


def paying(jobs: Sequence[Job], price: int, parts: int) -> list[Job]:
    """Those that are worth their share of a transaction.

    Args:
        jobs: Parts to deliver; other duties have no fee and are always done.
        price: Base fee and tip, wei per gas.
        parts: How many share the transaction.
    """
    least: dict[int, int] = {}
    kept = []
    for job in jobs:
        if job.kind == "deliver":
            steps = job.proof_steps
            if steps not in least:
                least[steps] = -(-price * gas_of(parts, parts * steps) // parts)
            if job.fee < least[steps]:
                continue
        kept.append(job)
    return kept


def worth_sending(jobs: Sequence[Job], price: int) -> list[Job]:
    """Those of a batch that pay their share; the fewer they are, the more each has to bear."""
    kept = list(jobs)
    while True:
        good = paying(kept, price, len(kept))
        if len(good) == len(kept):
            return kept
        kept = good
