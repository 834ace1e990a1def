"""One account: signs, persists and broadcasts its transactions, and raises its alerts.

Every transaction is saved before a node sees it, so a kill at any instant leaves either nothing or
bytes that can be sent again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dam.crypto.hashing import keccak
from dam.ethereum import node_errors
from dam.ethereum.data_fee import DataFees
from dam.ethereum.node import Node, quantity
from dam.ethereum.node_errors import RpcBadReplyError, RpcRejectedError
from dam.ledger.ledger import Ledger
from dam.ledger.outbox import Attempt, Job, Outbox
from dam.log import Log
from dam.sending.batching import Encoder
from dam.sending.fee_policy import SendPolicy, SendStats
from dam.sending.transactions import Calls, Fees, Price, Signer, broadcast, next_price, transaction
from dam.types import Address

MAX_LINES = 4
"""More transactions than this in a pass are logged in one line."""
_MAX_NONCE = 2**40
"""No account has sent so many transactions; the ledger's integers end at 2^63."""
_NO_BALANCE_BLOCKS = 3
"""How long to wait before an account without balance is tried again."""
_ALERT_REFUSALS = 8
"""After so many refusals by all nodes, a nonce is an alert."""


@dataclass(eq=False)
class Account:
    """Signs, persists and broadcasts for one account; remembers which alerts are open."""

    rpc: Node
    calls: Calls
    signer: Signer
    """Of the account that sends and pays; its nonces are the ledger's."""
    encoder: Encoder
    """Signs the lists of parts, with the operator's key."""
    ledger: Ledger
    log: Log
    policy: SendPolicy
    checkpoint: Callable[[str], None]
    stats: SendStats = field(default_factory=SendStats)
    held_until: int = 0
    """Head from which on to send new transactions again."""
    refused_ids: set[int] = field(default_factory=set)
    """Attempts that a node refused, and that higher fees may help."""
    unpaid_ids: set[int] = field(default_factory=set)
    """Attempts that the balance does not cover: higher fees would not help."""
    crowded: bool = False
    """Whether a profitable job is due, and as many transactions as may be are in flight."""

    def __post_init__(self) -> None:
        self.outbox = Outbox(self.ledger)
        self.address = self.signer.address
        self.data_fees = DataFees(self.rpc, self.policy.byte_price)
        with self.ledger.transaction():
            if self.outbox.use_sender(self.address):
                self.log.info("sender_changed", sender=self.address)
        self._underpriced_ids: set[int] = set()
        self._refusals: dict[int, int] = {}
        """By nonce, since one of its transactions was taken."""
        self._open_alerts: set[tuple[str, int | None]] = set()

    async def counts(self, *tags: str) -> list[int]:
        """The account's number of transactions at these blocks."""
        method = "eth_getTransactionCount"
        found = await self.rpc.batch([(method, (self.address, tag)) for tag in tags])
        counts = [quantity(count, method) for count in found]
        if max(counts) > _MAX_NONCE:
            raise RpcBadReplyError(f"{method}: more than an account ever had")
        return counts

    async def price(self, data: bytes) -> Price:
        """Of the next block, and of a byte of calldata like this."""
        price = await next_price(self.rpc)
        sample = self.address, self.calls.address, data
        byte = await self.data_fees.byte_gas(*sample, self.policy.gas_price(price))
        return replace(price, byte=byte)

    # ------------------------------------------------------------------------ sign, save, send

    def sign_and_save(
        self, slot: int, nonce: int, head: int, to: Address, data: bytes, gas: int, fees: Fees
    ) -> Attempt:
        """Signs and persists, inside the caller's transaction of the ledger."""
        chain_id = self.ledger.binding.chain_id
        raw = self.signer.sign(transaction(chain_id, nonce, to, data, gas, fees))
        max_fee, tip = fees.max_fee, fees.tip
        signed = Attempt(0, slot, nonce, keccak(raw), raw, to, gas, max_fee, tip, head, sent=False)
        return self.outbox.add_attempt(signed)

    async def send(self, attempts: Sequence[Attempt], head: int) -> bool:
        """Broadcasts what is saved, in order; False: nothing more can be sent now.

        Raises:
            RpcError: A node did not answer; what it took before is marked.
        """
        taken: list[Attempt] = []
        paid = False
        try:
            for attempt in attempts:
                try:
                    # What a node has already tells nothing of the balance.
                    paid |= await broadcast(self.rpc, attempt.raw)
                except RpcRejectedError as error:
                    if not self.handle_refusal(error, head, attempt):
                        return False
                else:
                    taken.append(attempt)
                    self.unpaid_ids.discard(attempt.id)
                    self._refusals.pop(attempt.nonce, None)
            return True
        finally:
            self._mark_sent([attempt for attempt in taken if not attempt.sent])
            if paid:
                self.resolve_alert("no_balance")

    def _mark_sent(self, taken: list[Attempt]) -> None:
        if not taken:
            return
        self.checkpoint("F7")
        with self.ledger.transaction():
            self.outbox.mark_sent(taken)
        self.stats.sent += len(taken)
        if len(taken) > MAX_LINES:
            nonces = {"first_nonce": taken[0].nonce, "last_nonce": taken[-1].nonce}
            self.log.info("sent", transactions=len(taken), **nonces)
            return
        for attempt in taken:
            self.log.info("sent", tx=attempt.hash, nonce=attempt.nonce)

    def handle_refusal(
        self, error: RpcRejectedError, head: int, attempt: Attempt | None = None
    ) -> bool:
        """A node refused a transaction, or its estimate: log it, and leave it to the next pass.

        Returns:
            False: nothing else will be taken either.
        """
        self.stats.refused += 1
        if node_errors.is_insufficient_funds(error):
            if attempt is not None:
                self.unpaid_ids.add(attempt.id)
            self.hold(head, _NO_BALANCE_BLOCKS)
            self.alert_once("no_balance", account=self.address, next_step="top it up")
            return False
        if attempt is not None:
            self.unpaid_ids.discard(attempt.id)
        if node_errors.is_nonce_used(error):
            # Mined, or another's: the next pass tells which, at depth.
            return True
        tx = b"" if attempt is None else attempt.hash
        if attempt is not None:
            self.refused_ids.add(attempt.id)
            if node_errors.is_underpriced(error):
                # Another of this nonce is there, which the next ones may follow. Logged once.
                if attempt.id not in self._underpriced_ids:
                    self._underpriced_ids.add(attempt.id)
                    self.log.warning("node_refused", tx=tx, error=error.message)
                return True
            nonce = attempt.nonce
            self._refusals[nonce] = self._refusals.get(nonce, 0) + 1
            if self._refusals[nonce] >= _ALERT_REFUSALS:
                self.alert_once("transaction_refused", nonce=nonce, error=error.message)
        self.hold(head, 1)
        self.log.warning("node_refused", tx=tx, error=error.message)
        return True

    def hold(self, head: int, blocks: int) -> None:
        """No new transactions for so many blocks."""
        self.held_until = max(self.held_until, head + blocks)

    # ---------------------------------------------------------------------------------- alerts

    def alert(self, event: str, **detail: Any) -> None:
        """Into journal and log; inside a transaction of the ledger."""
        self.ledger.note(event, **detail)
        self.log.error(event, **detail)

    def alert_once(self, event: str, **detail: Any) -> None:
        """As `alert`, outside a transaction, and not again before `resolve_alert`.

        What names a nonce is told once of each, and for good.
        """
        alert = event, detail.get("nonce")
        if alert not in self._open_alerts:
            self._open_alerts.add(alert)
            with self.ledger.transaction():
                self.alert(event, **detail)

    def resolve_alert(self, event: str) -> None:
        """What was alerted is over."""
        if (event, None) in self._open_alerts:
            self._open_alerts.discard((event, None))
            self.log.info("alert_resolved", what=event)


def log_fields(job: Job) -> dict[str, Any]:
    """How log and journal name a duty."""
    return {"kind": job.kind, "sale": "0x" + job.copy_id.hex(), "index": job.index}
