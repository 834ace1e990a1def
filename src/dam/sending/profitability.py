"""Whether a part's fee pays its gas.

Every part earns its fee in wei, in sales for a token, too (`IMarketplace.Terms.commission`), and
its gas is paid in wei: the two compare without any rate. A part is worth its transaction when

    fee >= (base fee + tip) x its share of the gas

with the gas of `gas_of`, which bench/gas.py measures: alone about 47,200 for a short proof, in a
batch of 24 about 21,700. What a rollup takes for its data is not in it: ``min_fee`` is for that.

The same sum caps what its transaction may cost (`capped`): gas may rise while it waits.
A part that is not worth it is *late rather than never*: it stays due, is looked at with each block
until its last one, and is reported once (and once more if it was sent before). Gas may fall, or
other parts come to share a transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dam.ledger.outbox import Job
from dam.sending.fee_policy import SendPolicy

_TRANSACTION = 26_500
"""Once: 21,000, the first look at the contract, the deliverer's word."""
_PART = 19_130
_STEP = 760
"""A step of the proof: 32 bytes of calldata, and a hash."""
_FLOOR_TRANSACTION = 21_000
_FLOOR_PART = 17_840
_FLOOR_STEP = 1_280
"""The least that calldata costs (EIP-7623): 40 gas a byte that is not zero."""


def gas_of(parts: int, steps: int) -> int:
    """Gas that delivering so many parts in one transaction takes, within a few percent.

    Args:
        parts: How many.
        steps: Of all their proofs together.
    """
    used = _TRANSACTION + _PART * parts + _STEP * steps
    least = _FLOOR_TRANSACTION + _FLOOR_PART * parts + _FLOOR_STEP * steps
    return max(used, least)


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


def capped(policy: SendPolicy, jobs: Sequence[Job], *, spared: int = 0) -> SendPolicy:
    """The policy, with a cap under which the fees of these parts pay for their transaction.

    Args:
        policy: If it sends without profit, nothing changes.
        jobs: Of one transaction; duties without a fee change nothing.
        spared: Gas that would be spent in any case.
    """
    parts = [job for job in jobs if job.kind == "deliver"]
    if policy.unprofitable == "send" or not parts:
        return policy
    gas = gas_of(len(parts), sum(job.proof_steps for job in parts)) - spared
    most = sum(job.fee for job in parts) // gas
    return policy if most >= policy.max_fee else replace(policy, max_fee=most)
