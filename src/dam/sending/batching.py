"""Which duties share a transaction, and its calldata.

A batch is cheaper from two parts on: 21,000 gas and the deliverer's storage word are paid once (gas
by part: 47,200 alone, 33,900 of two, 23,000 of ten, 21,700 of 24). But what shares a transaction
shares its fate, so by rule (docs/decisions/0018):

1. Each part is simulated alone before it may join others; one that would fail never does.
2. At most `SendPolicy.batch` parts (24), of one kind: delivering, supplying. Settling goes alone.
3. Only purchases of comparable depth: under 1, 2, 4, 8, 16 or 32 confirmations, or more. A
   reorganisation then takes few of a batch, or nearly all; the contract skips those that are gone.
4. A part with few blocks left (`SendPolicy.alone_blocks`) goes alone, at a price of its own: no
   other can hold it up. Where there are more of them than free places they are spread evenly, and
   one whose fee pays only a shared transaction shares one.
5. A part of a batch that was mined and reverted, or was cancelled for a revert, goes alone.
6. A batch whose gas cannot be estimated is halved, down to the part that is at fault; where others
   have an estimate, that one goes alone from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from dam.crypto.hashing import escrow_of, sale_of
from dam.ledger.ledger import Ledger
from dam.ledger.outbox import Job
from dam.ledger.sales import Sales
from dam.sending.fee_policy import SendPolicy
from dam.sending.transactions import Calls

_DEEP_BLOCKS = 32


def depth_class(job: Job, head: int) -> int:
    """Class of purchases that one reorganisation takes or spares together: 0 is the newest."""
    return min(max(head - job.purchase_block, 0), _DEEP_BLOCKS).bit_length()


def group(
    jobs: Sequence[Job],
    head: int,
    room: int,
    policy: SendPolicy,
    pays_alone: Callable[[Job], bool] = lambda _: True,
) -> list[list[Job]]:
    """Puts duties into transactions, the most urgent first.

    Args:
        jobs: Each of which would succeed alone.
        head: Newest block.
        room: How many transactions may be sent; the rest waits.
        policy: Sizes.
        pays_alone: Whether a part is worth a transaction of its own.
    """
    single: list[list[Job]] = []
    urgent: list[Job] = []
    calm: dict[tuple[str, int], list[Job]] = {}
    near = head + policy.alone_blocks
    for job in jobs:
        kind = job.kind
        if kind == "settle" or job.alone:
            single.append([job])
        elif job.target(head) <= near and pays_alone(job):
            urgent.append(job)
        else:
            calm.setdefault((kind, depth_class(job, head)), []).append(job)
    single.sort(key=lambda jobs: jobs[0].target(head))
    groups = [*_spread(urgent, head, room, policy), *single]
    for batch in calm.values():
        groups += _cut(batch, policy.batch)
    return groups[:room]


def _spread(urgent: list[Job], head: int, room: int, policy: SendPolicy) -> Iterable[list[Job]]:
    """Alone if there is room for all; else as few to a transaction as fit."""
    if len(urgent) <= room:
        return ([job] for job in sorted(urgent, key=lambda job: job.target(head)))
    size = min(policy.batch, -(-len(urgent) // max(1, room)))
    by_class: dict[tuple[int, str, int], list[Job]] = {}
    for job in urgent:
        key = (job.target(head), job.kind, depth_class(job, head))
        by_class.setdefault(key, []).append(job)
    return [part for key in sorted(by_class) for part in _cut(by_class[key], size)]


def _cut(jobs: list[Job], size: int) -> list[list[Job]]:
    return [jobs[i : i + size] for i in range(0, len(jobs), size)]


def halves(jobs: Sequence[Job]) -> tuple[list[Job], list[Job]]:
    """Two batches of one that would revert, each to be tried by itself."""
    middle = len(jobs) // 2
    return list(jobs[:middle]), list(jobs[middle:])


def encode_job(calls: Calls, ledger: Ledger, job: Job) -> bytes:
    """Calldata that does one job alone; see `encode_jobs`."""
    if job.kind == "deliver":
        return calls.encode("deliverFragment", job.body)
    return encode_jobs(calls, ledger, [job])


def encode_jobs(calls: Calls, ledger: Ledger, jobs: Sequence[Job]) -> bytes:
    """Calldata that does jobs of one kind together (a settlement only alone)."""
    kind = jobs[0].kind
    if kind == "settle":
        purchase = Sales(ledger).get(jobs[0].purchase).purchase
        return calls.encode("settle", purchase.copy_id, sale_of(purchase), escrow_of(purchase))
    bodies = [job.body for job in jobs]
    if kind == "supply":
        return calls.encode("supplyFragments", bodies)
    if len(jobs) == 1:
        return calls.encode("deliverFragment", bodies[0])
    return calls.encode("deliverFragments", bodies)
