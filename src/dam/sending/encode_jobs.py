"""Calldata that does what the outbox asks for."""

from __future__ import annotations

from collections.abc import Sequence

from dam.crypto.hashing import escrow_of, sale_of
from dam.ledger.ledger import Ledger
from dam.ledger.outbox import Job
from dam.ledger.sales import Sales
from dam.sending.transactions import Calls


def encode_job(calls: Calls, ledger: Ledger, job: Job) -> bytes:
    """Calldata that does one job alone."""
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
