"""What a transaction may cost, and how long to wait for it: by policy, time left and earnings.

Every duty has time *left* (`Job.left`): blocks until it should be mined, or as many times twelve
seconds, if that is less. A part of ours should be mined by block purchase + 100, the last in which
nobody else can take its fee; once that is past, and for a seller's fallback, by the last second in
which a delivery counts. With ``urgency = min(40, max(0, 40 - left)) / 40``, from 0 (forty blocks or
more) to 1 (no time):

====================  ====================================================  ============
of a transaction      rule                                                  from, to
====================  ====================================================  ============
tip                   the node's suggestion x (1 + 4 urgency)               1x, 5x
fee cap               next base fee x (2 + 2 urgency) + tip                 2x, 4x
replaced after        stuck_blocks less urgency x stuck_blocks, at least 1  3, 1 blocks
a replacement's step  both fees of the last attempt x (9/8 + 3/8 urgency)   +12.5 %, +50 %
====================  ====================================================  ============

Twice the base fee is room for six full blocks, four times for twelve (EIP-1559: an eighth each).
Nodes refuse a replacement under a tenth (geth) to an eighth; 9/8 passes both, and only the last
step below the cap may be a tenth. ``max_tip`` and ``max_fee`` cap all of it, whatever a node says;
the first fees leave room for one replacement below ``max_fee``, unless the next block needs it.

A part earns its fee in wei, also in sales for a token (`IMarketplace.Terms.commission`), so fee and
gas compare without a rate. It is worth its transaction when

    fee >= (base fee + tip) x its share of the gas

with the gas of `gas_of`. What a rollup takes for its data is gas, too, or worth so much of it
(`DataFees.byte_gas`). The same sum caps what a waiting transaction may cost (`cap_to_earnings`),
by the node's own estimate where that is more. A part that is not worth it
stays due until its last block, and is reported once (once more if it was sent before): gas may
fall, or other parts come to share a transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from dam.ethereum.data_fee import ENVELOPE_BYTES
from dam.ledger.outbox import Job
from dam.sending.transactions import Fees, Price

RAMP_BLOCKS = 40
"""Blocks before the target at which urgency begins."""
ROOM_GAS = 20_000
"""In a gas limit, beside a sixteenth more than was estimated: for state that changes meanwhile."""
_TRANSACTION_GAS, _PART_GAS, _STEP_GAS = 33_880, 19_860, 760
"""Once: 21,000, the list's signature and its log, the deliverer's word; each part; each step of its
proof: 32 bytes of calldata, and a hash."""
_LIST_GAS = 2_300
"""What a list of several parts takes beside that."""
_FLOOR_TRANSACTION_GAS, _FLOOR_PART_GAS, _FLOOR_STEP_GAS = 24_000, 18_600, 1_280
"""The least that calldata costs (EIP-7623): 40 gas a byte that is not zero."""
_TRANSACTION_BYTES, _PART_BYTES, _STEP_BYTES = 132 + ENVELOPE_BYTES, 832, 32
"""Of a signed transaction: once, for each part, and for each step of its proof."""


@dataclass(frozen=True, slots=True)
class SendPolicy:
    """How to send. Fees are wei per gas, ages are blocks."""

    max_fee: int = 500 * 10**9
    """Never more than this per gas, whatever the node says."""
    max_tip: int = 20 * 10**9
    stuck_blocks: int = 3
    """Replace a transaction that is not mined for so long, while there is no urgency."""
    max_live: int = 64
    """Most transactions in flight: a block of 30M gas takes 58 of 24 parts."""
    batch: int = 24
    """Most parts of one transaction, 32 at the utmost: it stays cheap as evidence. With 24, what no
    longer fits into a block of 30M gas leaves less than 2 % of it empty; 32 cost 1 % less each."""
    closures: int = 50
    """Most sales that one transaction closes, as the contract allows."""
    alone_blocks: int = 10
    """With so few blocks left, a part takes a transaction of its own."""
    part_gas: int = 400_000
    """Most gas for a part, whatever the node estimates. Where state has a price of its own
    (EIP-8037), a fallback that makes the buyer's credit takes over 300,000."""
    confirmations: int = 2
    byte_price: int = 0
    """What a byte of a transaction costs on a rollup, in wei; 0: as the chain tells."""
    unprofitable: Literal["skip", "send"] = "skip"
    """What becomes of a part whose fee does not pay its gas (`profitable_batch`)."""

    def gas_price(self, price: Price) -> int:
        """What the next block costs per gas, as far as we pay it: a node may name any tip."""
        return price.base + min(price.tip, self.max_tip)


@dataclass(slots=True)
class SendStats:
    """What a sender did since it started."""

    sent: int = 0
    """Transactions that a node took for the first time, replacements included."""
    replaced: int = 0
    """Transactions signed for a nonce that had one before."""
    refused: int = 0
    """Answers of nodes that would not take a transaction."""
    reverted: int = 0
    gas_used: int = 0
    """Of transactions that are final."""


def urgency(left: int) -> int:
    """From 0 (forty blocks or more are left) to `RAMP_BLOCKS` (none)."""
    return min(RAMP_BLOCKS, max(0, RAMP_BLOCKS - left))


def replace_after(left: int, policy: SendPolicy) -> int:
    """After how many blocks to replace a transaction that is not mined."""
    return max(1, policy.stuck_blocks - policy.stuck_blocks * urgency(left) // RAMP_BLOCKS)


def initial_fees(price: Price, left: int, policy: SendPolicy) -> Fees | None:
    """The fees of a fresh transaction; None while the next block costs more than the cap."""
    tip = min(price.tip * (RAMP_BLOCKS + 4 * urgency(left)) // RAMP_BLOCKS, policy.max_tip)
    tip = min(tip, policy.max_fee - price.base)
    if tip < min(price.tip, policy.max_tip):
        return None
    room = price.base * 2 * (RAMP_BLOCKS + urgency(left)) // RAMP_BLOCKS
    most = (policy.max_fee - 1) * 8 // 9
    if price.base + tip > most:
        most = policy.max_fee
    return Fees(min(room + tip, most), tip, price.base)


def replacement_fees(
    price: Price, before: Sequence[tuple[int, int]], left: int, policy: SendPolicy
) -> Fees | None:
    """The fees of a replacement; None if none that nodes take fits under the cap.

    Args:
        price: Of the next block.
        before: Fee cap and tip of each earlier attempt, wei per gas.
        left: Blocks in which it should be mined.
        policy: Caps.
    """
    fresh = initial_fees(price, left, policy)
    least_fee = max(fee * 9 // 8 + 1 for fee, _ in before)
    if least_fee > policy.max_fee:
        least_fee = max(-(-fee * 11 // 10) for fee, _ in before)
    if fresh is None or least_fee > policy.max_fee:
        return None
    step = 9 * RAMP_BLOCKS + 3 * urgency(left)
    fee = max(fresh.max_fee, *(fee * step // (8 * RAMP_BLOCKS) + 1 for fee, _ in before))
    tip = max(fresh.tip, *(tip * step // (8 * RAMP_BLOCKS) + 1 for _, tip in before))
    if -(-fee * 11 // 10) > policy.max_fee:
        fee = policy.max_fee
    # A tip over the cap is the price of a replacement that nodes take: a step, and no more.
    least_tip = max(tip * 9 // 8 + 1 for _, tip in before)
    tip = min(tip, max(policy.max_tip, least_tip), fee)
    return Fees(fee, tip, price.base)


def offers_max_tip(price: Price, max_fee: int, tip: int, policy: SendPolicy) -> bool:
    """Whether a transaction offers the next block the highest tip that the policy allows.

    If it is not mined all the same, its price is not the reason: a node keeps it to itself, say.
    """
    return tip >= policy.max_tip and max_fee >= price.base + policy.max_tip


def gas_of(parts: int, steps: int, byte: int = 0) -> int:
    """Gas that delivering so many parts in one transaction takes, within a few percent.

    Measured: alone about 55,200 for a short proof, in a batch of 24 about 22,800.

    Args:
        parts: How many.
        steps: Of all their Merkle proofs together.
        byte: What a byte is worth, see `Price`.
    """
    used = _TRANSACTION_GAS + _PART_GAS * parts + _STEP_GAS * steps + _LIST_GAS * (parts > 1)
    floor = _FLOOR_TRANSACTION_GAS + _FLOOR_PART_GAS * parts + _FLOOR_STEP_GAS * steps
    size = _TRANSACTION_BYTES + _PART_BYTES * parts + _STEP_BYTES * steps
    return max(used, floor) + byte * size


def profitable(jobs: Sequence[Job], price: int, parts: int, byte: int = 0) -> list[Job]:
    """Those that are worth their share of a transaction.

    Args:
        jobs: Parts to deliver; other duties have no fee and are always done.
        price: Base fee and tip, wei per gas.
        parts: How many share the transaction.
        byte: What a byte is worth, see `Price`.
    """
    least: dict[int, int] = {}
    kept = []
    for job in jobs:
        if job.kind == "deliver":
            steps = job.proof_steps
            if steps not in least:
                least[steps] = -(-price * gas_of(parts, parts * steps, byte) // parts)
            if job.fee < least[steps]:
                continue
        kept.append(job)
    return kept


def profitable_batch(jobs: Sequence[Job], price: int, byte: int = 0) -> list[Job]:
    """Those of a batch that pay their share; the fewer they are, the more each has to bear."""
    kept = list(jobs)
    while len(good := profitable(kept, price, len(kept), byte)) < len(kept):
        kept = good
    return kept


def cap_to_earnings(
    policy: SendPolicy, jobs: Sequence[Job], byte: int = 0, limit: int = 0, spared_gas: int = 0
) -> SendPolicy:
    """The policy, with a cap under which the fees of these parts pay for their transaction.

    Args:
        policy: If it sends without profit, nothing changes.
        jobs: Of one transaction; duties without a fee change nothing.
        byte: What a byte is worth, see `Price`.
        limit: Of the transaction's gas: the estimate, a sixteenth and `ROOM_GAS`.
        spared_gas: What would be spent in any case.
    """
    parts = [job for job in jobs if job.kind == "deliver"]
    if policy.unprofitable == "send" or not parts:
        return policy
    gas = gas_of(len(parts), sum(job.proof_steps for job in parts), byte)
    gas = max(gas, (limit - ROOM_GAS) * 16 // 17) - spared_gas
    most = sum(job.fee for job in parts) // gas
    return policy if most >= policy.max_fee else replace(policy, max_fee=most)
