"""Which duties share a transaction, and its calldata.

A batch is cheaper from two parts on: 21,000 gas, one signature and the deliverer's storage word are
paid once. But what shares a transaction shares its fate, so by rule (docs/decisions/0018):

1. Each part is simulated alone before it may join others; one that would fail never does.
2. At most `SendPolicy.batch` parts (24), of one kind: delivering, replacing, supplying; or
   `SendPolicy.closures` sales (50) to close.
3. Only purchases of comparable depth: under 1, 2, 4, 8, 16 or 32 confirmations, or more. A
   reorganisation then takes few of a batch, or nearly all; the contract skips those that are gone.
4. A part with little time left (`SendPolicy.alone_blocks`) goes alone, at a price of its own: no
   other can hold it up. Where there are more of them than free places they are spread evenly, and
   one whose fee pays only a shared transaction shares one.
5. A part of a batch that was mined and reverted, or was cancelled for a revert, goes alone.
6. A batch whose gas cannot be estimated is halved, down to the part that is at fault; where others
   have an estimate, that one goes alone from then on.

The operator's key signs the list of a transaction's parts when that is made: the entries follow
from the deliveries that the outbox keeps. A part may so stand in several signed lists; the contract
takes it once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from dam.crypto.hashing import closing_arguments, domain_separator
from dam.ledger.ledger import Ledger
from dam.ledger.outbox import Job, Now
from dam.ledger.sales import Sales
from dam.market.calldata import signed_digest
from dam.sending.fee_policy import SendPolicy
from dam.sending.transactions import Calls, ListSigner
from dam.types import Closure

_DEEP_BLOCKS = 32


def depth_class(job: Job, now: Now) -> int:
    """Class of purchases that one reorganisation takes or spares together: 0 is the newest."""
    return min(max(now.clock.block - job.purchase_block, 0), _DEEP_BLOCKS).bit_length()


def group(
    jobs: Sequence[Job],
    now: Now,
    room: int,
    policy: SendPolicy,
    pays_alone: Callable[[Job], bool] = lambda _: True,
) -> list[list[Job]]:
    """Puts duties into transactions, the most urgent first.

    Args:
        jobs: Each of which would succeed alone.
        now: The newest block, and the market's clock.
        room: How many transactions may be sent; the rest waits.
        policy: Sizes.
        pays_alone: Whether a part is worth a transaction of its own.
    """
    single: list[list[Job]] = []
    urgent: list[Job] = []
    calm: dict[tuple[str, int], list[Job]] = {}
    for job in jobs:
        kind = job.kind
        if job.alone:
            single.append([job])
        elif job.left(now) <= policy.alone_blocks and pays_alone(job):
            urgent.append(job)
        else:
            calm.setdefault((kind, depth_class(job, now)), []).append(job)
    single.sort(key=lambda jobs: jobs[0].left(now))
    groups = [*_spread(urgent, now, room, policy), *single]
    for batch in calm.values():
        closes = batch[0].kind == "close"
        groups += _cut(batch, policy.closures if closes else policy.batch)
    return groups[:room]


def _spread(urgent: list[Job], now: Now, room: int, policy: SendPolicy) -> Iterable[list[Job]]:
    """Alone if there is room for all; else as few to a transaction as fit."""
    if len(urgent) <= room:
        return ([job] for job in sorted(urgent, key=lambda job: job.left(now)))
    size = min(policy.batch, -(-len(urgent) // max(1, room)))
    by_class: dict[tuple[int, str, int], list[Job]] = {}
    for job in urgent:
        key = (job.left(now), job.kind, depth_class(job, now))
        by_class.setdefault(key, []).append(job)
    return [part for key in sorted(by_class) for part in _cut(by_class[key], size)]


def _cut(jobs: list[Job], size: int) -> list[list[Job]]:
    return [jobs[i : i + size] for i in range(0, len(jobs), size)]


def halves(jobs: Sequence[Job]) -> tuple[list[Job], list[Job]]:
    """Two batches of one that would revert, each to be tried by itself."""
    middle = len(jobs) // 2
    return list(jobs[:middle]), list(jobs[middle:])


class Encoder:
    """Makes calldata of jobs.

    Args:
        calls: Encodes the market's calls.
        signer: Signs the lists of parts: the operator's key.
        ledger: Has the sales to close.
    """

    def __init__(self, calls: Calls, signer: ListSigner, ledger: Ledger) -> None:
        self._calls = calls
        self._signer = signer
        self._ledger = ledger
        binding = ledger.binding
        self._separator = domain_separator(binding.chain_id, binding.market)

    def encode(self, jobs: Sequence[Job]) -> bytes:
        """Calldata that does one or more jobs of one kind together."""
        kind = jobs[0].kind
        if kind == "close":
            sales = Sales(self._ledger)
            purchases = [sales.get(job.purchase).purchase for job in jobs]
            closures = [Closure(*closing_arguments(p)) for p in purchases]
            return self._calls.encode("closeMany", closures)
        bodies = [job.body for job in jobs]
        signature = self._signer.sign_digest(signed_digest(self._separator, bodies))
        if kind == "supply":
            return self._calls.encode("supplyFragments", bodies, signature)
        if len(jobs) == 1:
            return self._calls.encode("deliverFragment", bodies[0], signature)
        return self._calls.encode("deliverFragments", bodies, signature)
