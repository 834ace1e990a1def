"""Outbox to chain: one owner of the nonce, every transaction saved before a node sees it.

Every pass (`Sender.step`) first settles what the chain has decided about our nonces, at the depth
that the reader confirmed; then tracks what is not mined yet (`in_flight`: broadcast again, replace,
or cancel what became pointless); then simulates, signs, saves and sends what is due (`dispatcher`,
by the rules of `batching` and `fee_policy`). A duty is simulated before it is signed, so a
duplicate is not mined; its end comes from the market's events, not from a receipt.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dam.ethereum.node import Node
from dam.ethereum.node_errors import RpcRejectedError
from dam.gc_pause import paused
from dam.ledger.ledger import Ledger
from dam.ledger.outbox import Job, Outbox, blocks_until
from dam.log import Log
from dam.market.client import revert_of
from dam.sending.account import Account
from dam.sending.batching import encode_job
from dam.sending.dispatcher import Dispatcher
from dam.sending.fee_policy import SendPolicy as SendPolicy
from dam.sending.fee_policy import SendStats as SendStats
from dam.sending.in_flight import InFlight
from dam.sending.transactions import Calls, Signer
from dam.types import Address, BlockRef

_TOLD = "told"


class Sender:
    """The only one that signs with the daemon's account.

    Args:
        rpc: The node.
        calls: Encodes the market's calls and reads its reverts.
        signer: The account.
        ledger: Where everything is saved first.
        log: Logger.
        policy: Fees, waiting times and batch sizes.
        checkpoint: Called at F6 (saved, not sent), F7 (sent, mark unsaved) and F8 (mined,
            unrecorded).
    """

    def __init__(
        self,
        rpc: Node,
        calls: Calls,
        signer: Signer,
        ledger: Ledger,
        *,
        log: Log,
        policy: SendPolicy | None = None,
        checkpoint: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._account = Account(rpc, calls, signer, ledger, log, policy or SendPolicy(), checkpoint)
        self._in_flight = InFlight(self._account)
        self._dispatcher = Dispatcher(self._account)
        self._seen: tuple[int, int, int] | None = None

    @property
    def stats(self) -> SendStats:
        """What was done since the start."""
        return self._account.stats

    async def step(self, head: int, cursor: BlockRef) -> None:
        """One pass. ``head`` is the newest block, ``cursor`` the newest that the reader saved.

        Raises:
            RpcError: The node did not answer; what was begun is saved, call again.
        """
        # A reorganisation may leave both numbers as they were.
        seen = head, cursor.number, self._account.ledger.rollbacks
        if self._seen != seen:
            live = self._account.outbox.live()
            if live:
                await self._in_flight.track(live, head, cursor)
        self._seen = seen
        if head >= self._account.held_until:
            with paused():
                await self._dispatcher.send_due(head)


class DrySender:
    """The sender of a dry run: signs nothing, and says what it would have sent.

    So an operator sees, with real sales and before any stake is at risk, what a daemon would do;
    and beside a real one, that sale by sale somebody does it.

    Args:
        rpc: The node.
        calls: Encodes the market's calls.
        account: In whose name to ask the contract whether it would take a call.
        ledger: Of the dry run alone.
        log: Logger.
    """

    def __init__(
        self, rpc: Node, calls: Calls, account: Address, ledger: Ledger, *, log: Log
    ) -> None:
        self._rpc = rpc
        self._calls = calls
        self._account = account
        self._ledger = ledger
        self._outbox = Outbox(ledger)
        self._log = log

    async def step(self, head: int, cursor: BlockRef) -> None:  # noqa: ARG002 - as a Sender
        """Logs each duty once when it is due, and again if nobody did it in time.

        Raises:
            RpcError: The node did not answer; what was not logged will be.
        """
        for job in self._outbox.due(head + 1):
            if job.deadline <= head:
                self._fail(job)
            elif job.reason != _TOLD:
                await self._log_would_send(job, head)

    async def _log_would_send(self, job: Job, head: int) -> None:
        data = encode_job(self._calls, self._ledger, job)
        call = {"from": self._account, "to": self._calls.address, "data": "0x" + data.hex()}
        verdict = "takes it"
        try:
            await self._rpc.call("eth_call", call, "latest")
        except RpcRejectedError as error:
            reverted = revert_of(error)
            if reverted is None:
                raise
            verdict = str(reverted)
        with self._ledger.transaction():
            # It ends by the chain's events, whoever sends it; until then it is only logged.
            self._outbox.postpone(job, job.deadline, _TOLD)
            self._ledger.note("would_send", **_named(job))
        self._log.info(
            "would_send",
            **_named(job),
            blocks_left=blocks_until(job.deadline, head),
            contract=verdict,
        )

    def _fail(self, job: Job) -> None:
        with self._ledger.transaction():
            self._outbox.finish(job, "failed", "too-late")
            self._ledger.note("nobody_sent", **_named(job))
        self._log.warning("nobody_sent", **_named(job))


def _named(job: Job) -> dict[str, Any]:
    return {"kind": job.kind, "sale": job.copy_id, "index": job.index}
