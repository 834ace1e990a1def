"""One account: signs, persists and broadcasts its transactions, and raises its alerts.

Every transaction is saved before a node sees it, so a kill at any instant leaves either nothing or
bytes that can be sent again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from dam.crypto.hashing import keccak
from dam.errors import ContractReverted, RpcError
from dam.ethereum import node_errors
from dam.ethereum.hex import quantity
from dam.ethereum.node import Node
from dam.ethereum.node_errors import RpcBadReplyError, RpcRejectedError
from dam.ledger.ledger import Ledger
from dam.ledger.outbox import Attempt, Job, Outbox
from dam.log import Log
from dam.market.client import revert_of
from dam.sending.fee_policy import Price, SendPolicy, SendStats
from dam.sending.transactions import Calls, Fees, Signer, broadcast, transaction
from dam.types import Address

_REQUEST_BYTES = 500_000
"""Nodes and providers refuse requests of a few megabytes; hex doubles the calldata."""
MANY = 4
"""More transactions than this in a pass are told in one line."""
_MOST_NONCES = 2**40
"""So many transactions no account has sent; the ledger's integers end at 2^63."""
_POOR_BLOCKS = 3
"""How long to wait before an empty account is tried again."""
_REFUSALS = 8
"""So often all nodes refuse a nonce's transactions before it is an alert."""


class Account:
    """Signs, persists and broadcasts for one account; remembers which alerts are open.

    Args: as `sending.Sender`.
    """

    def __init__(
        self,
        rpc: Node,
        calls: Calls,
        signer: Signer,
        ledger: Ledger,
        *,
        log: Log,
        policy: SendPolicy,
        checkpoint: Callable[[str], None],
    ) -> None:
        self.rpc = rpc
        self.calls = calls
        self.ledger = ledger
        self.outbox = Outbox(ledger)
        self.log = log
        self.policy = policy
        self.checkpoint = checkpoint
        self.stats = SendStats()
        self.address = signer.address
        self.held_until = 0
        """Head from which on to send new transactions again."""
        self.refused_ids: set[int] = set()
        """Attempts that a node would not take, and a better price may help."""
        self.unpaid_ids: set[int] = set()
        """Attempts that the account cannot pay: a better price would not help."""
        self.crowded = False
        """Whether something is due that pays, and all places are taken."""
        self._no_better: set[int] = set()
        self._refusals: dict[int, int] = {}
        """By nonce, since one of its transactions was taken."""
        self._signer = signer
        self._episodes: set[tuple[str, int | None]] = set()

    # ------------------------------------------------------------------------------------ asking

    async def price(self) -> Price:
        """What the next block costs."""
        history, tip = await self.rpc.batch(
            [("eth_feeHistory", ("0x1", "latest", [])), ("eth_maxPriorityFeePerGas", ())]
        )
        bases = history.get("baseFeePerGas") if isinstance(history, dict) else None
        if not isinstance(bases, list) or not bases:
            raise RpcError("eth_feeHistory: no base fee")
        return Price(
            quantity(bases[-1], "eth_feeHistory"), quantity(tip, "eth_maxPriorityFeePerGas")
        )

    async def counts(self, *tags: str) -> list[int]:
        """The account's number of transactions at these blocks."""
        method = "eth_getTransactionCount"
        found = await self.rpc.batch([(method, (self.address, tag)) for tag in tags])
        counts = [quantity(count, method) for count in found]
        if max(counts) > _MOST_NONCES:
            raise RpcBadReplyError(f"{method}: more than an account ever had")
        return counts

    async def ask(
        self, method: str, calls: Iterable[tuple[Address, bytes, str]]
    ) -> list[Any | ContractReverted | RpcRejectedError]:
        """``eth_call`` or ``eth_estimateGas`` of many calls, in requests of a bounded size.

        Args:
            method: Which of the two.
            calls: Receiver, calldata and block tag of each.

        Returns:
            In order: the result, the contract's revert, or the node's refusal.
        """
        answers: list[Any] = []
        asked: list[tuple[str, tuple[Any, ...]]] = []
        size = 0
        for to, data, tag in calls:
            if asked and size + 2 * len(data) > _REQUEST_BYTES:
                answers += await self.rpc.batch(asked, errors=True)
                asked, size = [], 0
            size += 2 * len(data)
            call = {"from": self.address, "to": to, "data": "0x" + data.hex()}
            asked.append((method, (call, tag)))
        if asked:
            answers += await self.rpc.batch(asked, errors=True)
        return [_or_revert(answer) for answer in answers]

    # ------------------------------------------------------------------------ sign, save, send

    def save(
        self, slot: int, nonce: int, head: int, to: Address, data: bytes, gas: int, fees: Fees
    ) -> Attempt:
        """Signs and writes down, inside the caller's transaction."""
        raw = self._signer.sign(
            transaction(self.ledger.binding.chain_id, nonce, to, data, gas, fees)
        )
        return self.outbox.add_attempt(
            slot,
            nonce=nonce,
            tx_hash=keccak(raw),
            raw=raw,
            to=to,
            gas=gas,
            max_fee=fees.max_fee,
            tip=fees.tip,
            block=head,
        )

    async def send(self, attempts: Sequence[Attempt], head: int) -> bool:
        """Sends what is saved, in order; False: nothing more can be sent now.

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
                    if not self.refused(error, head, attempt):
                        return False
                else:
                    taken.append(attempt)
                    self.unpaid_ids.discard(attempt.id)
                    self._refusals.pop(attempt.nonce, None)
            return True
        finally:
            self._mark([attempt for attempt in taken if not attempt.sent])
            if paid:
                self.resolve_alert("no_balance")

    def _mark(self, taken: list[Attempt]) -> None:
        if not taken:
            return
        self.checkpoint("F7")
        with self.ledger.transaction():
            self.outbox.mark_sent(taken)
        self.stats.sent += len(taken)
        if len(taken) > MANY:
            nonces = {"first_nonce": taken[0].nonce, "last_nonce": taken[-1].nonce}
            self.log.info("sent", transactions=len(taken), **nonces)
            return
        for attempt in taken:
            self.log.info("sent", tx=attempt.hash, nonce=attempt.nonce)

    def refused(self, error: RpcRejectedError, head: int, attempt: Attempt | None = None) -> bool:
        """A node would not take it: say so, and leave the rest to the next pass.

        Returns:
            False: nothing else will be taken either.
        """
        self.stats.refused += 1
        if attempt is not None:
            self.unpaid_ids.discard(attempt.id)
        if node_errors.is_unpaid(error):
            if attempt is not None:
                self.unpaid_ids.add(attempt.id)
            self.hold(head, _POOR_BLOCKS)
            self.alert_once("no_balance", account=self.address, next_step="top it up")
            return False
        if node_errors.is_used(error):
            # Mined, or another's: the next pass tells which, at depth.
            return True
        tx = b"" if attempt is None else attempt.hash
        if attempt is not None:
            self.refused_ids.add(attempt.id)
            if node_errors.is_no_better(error):
                # Another of this nonce is there, which the next ones may follow. Told once.
                if attempt.id not in self._no_better:
                    self._no_better.add(attempt.id)
                    self.log.warning("node_refused", tx=tx, error=error.message)
                return True
            self._count_refusal(attempt.nonce, error)
        self.hold(head, 1)
        self.log.warning("node_refused", tx=tx, error=error.message)
        return True

    def _count_refusal(self, nonce: int, error: RpcRejectedError) -> None:
        self._refusals[nonce] = self._refusals.get(nonce, 0) + 1
        if self._refusals[nonce] >= _REFUSALS:
            self.alert_once(
                "transaction_refused",
                nonce=nonce,
                error=error.message,
            )

    def hold(self, head: int, blocks: int) -> None:
        """No new transactions for so many blocks."""
        self.held_until = max(self.held_until, head + blocks)

    # --------------------------------------------------------------------------------- telling

    def alert(self, event: str, **detail: Any) -> None:
        """Into journal and log; inside a transaction of the ledger."""
        self.ledger.note(event, **detail)
        self.log.error(event, **detail)

    def alert_once(self, event: str, **detail: Any) -> None:
        """As `alert`, outside a transaction, and not again until `resolve_alert`.

        What names a nonce is told once of each, and for good.
        """
        episode = event, detail.get("nonce")
        if episode not in self._episodes:
            self._episodes.add(episode)
            with self.ledger.transaction():
                self.alert(event, **detail)

    def resolve_alert(self, event: str) -> None:
        """What was alerted is over."""
        if (event, None) in self._episodes:
            self._episodes.discard((event, None))
            self.log.info("alert_resolved", what=event)


def about(job: Job) -> dict[str, Any]:
    """How log and journal name a duty."""
    return {"kind": job.kind, "sale": "0x" + job.copy_id.hex(), "index": job.index}


def _or_revert(answer: Any) -> Any:
    if not isinstance(answer, RpcRejectedError):
        return answer
    return revert_of(answer) or answer
