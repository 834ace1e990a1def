"""Jobs that the rules of sending look at."""

from __future__ import annotations

from typing import Any

from dam.ledger.outbox import Job, Now
from dam.market.calldata import FEE_AT, PROOF_LENGTH_AT, PURCHASE_BLOCK_AT
from dam.types import Clock, CopyId

HEAD = 1_000
"""As the contract counts; the node counts others."""
TIME = 10**9
NOW = Now(77, Clock(HEAD, TIME))


def job(
    number: int = 0, *, block: int = HEAD - 2, fee: int = 0, steps: int = 2, **changes: Any
) -> Job:
    """A part to deliver, with only those words filled in that the rules look at."""
    body = bytearray(PROOF_LENGTH_AT + 32 * (1 + steps))
    for at, number_there in ((PURCHASE_BLOCK_AT, block), (FEE_AT, fee), (PROOF_LENGTH_AT, steps)):
        body[at : at + 32] = number_there.to_bytes(32, "big")
    values: dict[str, Any] = {
        "id": number, "purchase": number, "copy_id": CopyId(number.to_bytes(32, "big")),
        "kind": "deliver", "index": 0, "body": bytes(body), "state": "due", "reason": "",
        "first_block": 0, "first_time": 0, "last_time": TIME + 28_800, "retry_block": 0, "tries": 0,
        "slot": None,
    }  # fmt: skip
    return Job(**{**values, **changes})
