"""Outbox to chain: one owner of the nonce, every transaction saved before a node sees it.

Every pass (`Sender.step`) first settles what the chain has decided about our nonces, at the depth
that the reader confirmed; then tracks what is not mined yet (`in_flight`: broadcast again, replace,
or cancel what became pointless); then simulates, signs, saves and sends what is due (`dispatcher`,
by the rules of `batching` and `fee_policy`). A duty is simulated before it is signed, so a
duplicate is not mined; its end comes from the market's events, not from a receipt.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from coincurve import PrivateKey

from dam.ethereum.compact_signature import sign_digest
from dam.ethereum.node import Node
from dam.ethereum.node_errors import RpcRejectedError
from dam.gc_pause import paused
from dam.ledger.ledger import Ledger
from dam.ledger.outbox import Job, Now, Outbox, seconds_until
from dam.log import Log
from dam.market.client import revert_of
from dam.sending.account import Account
from dam.sending.batching import Encoder
from dam.sending.dispatcher import Dispatcher
from dam.sending.fee_policy import SendPolicy as SendPolicy
from dam.sending.fee_policy import SendStats as SendStats
from dam.sending.in_flight import InFlight
from dam.sending.transactions import Calls, ListSigner, Signer
from dam.types import ZERO_ADDRESS, Address, BlockRef, Clock, Signature

_TOLD = "told"
_SIGNATURE_ALONE = {
    "deliver": ("NotYourPart",),
    "replace": ("NotYourPart",),
    "supply": ("NothingDelivered",),
}
"""What the contract says of a call that lacks our signature, and nothing else."""


class WholeSigner(Signer, ListSigner, Protocol):
    """An account that signs transactions and lists."""


class Sender:
    """The only one that sends from the daemon's account.

    Args:
        rpc: The node.
        calls: Encodes the market's calls and reads its reverts.
        signer: The account that sends and pays.
        operator: Whose key signs the lists of parts: that account, or another.
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
        operator: ListSigner,
        log: Log,
        policy: SendPolicy | None = None,
        checkpoint: Callable[[str], None] = lambda _: None,
    ) -> None:
        encoder = Encoder(calls, operator, ledger)
        policy = policy or SendPolicy()
        self._account = Account(rpc, calls, signer, encoder, ledger, log, policy, checkpoint)
        self._in_flight = InFlight(self._account)
        self._dispatcher = Dispatcher(self._account)
        self._seen: tuple[int, int, int] | None = None

    @property
    def stats(self) -> SendStats:
        """What was done since the start."""
        return self._account.stats

    async def step(self, head: int, cursor: BlockRef, clock: Clock) -> None:
        """One pass.

        Args:
            head: Newest block.
            cursor: Newest block that the reader saved.
            clock: The market's, in the newest block.

        Raises:
            RpcError: The node did not answer; what was begun is saved, call again.
        """
        now = Now(head, clock)
        # A reorganisation may leave both numbers as they were.
        seen = head, cursor.number, self._account.ledger.rollbacks
        if self._seen != seen:
            live = self._account.outbox.live()
            if live:
                await self._in_flight.track(live, now, cursor)
        self._seen = seen
        if head >= self._account.held_until:
            with paused():
                await self._dispatcher.send_due(now)


class _Nobody:
    """A key that is made up, and forgotten."""

    def __init__(self) -> None:
        self._key = PrivateKey()
        self.address = ZERO_ADDRESS

    def sign_digest(self, digest: bytes, /) -> Signature:
        return sign_digest(self._key, digest)


class DrySender:
    """The sender of a dry run: signs nothing, and says what it would have sent.

    So an operator sees, with real sales and before any stake is at risk, what a daemon would do;
    and beside a real one, that sale by sale somebody does it.

    It has no key of ours: lists of parts are signed with one that nobody else has, and the contract
    objects to that last, after all that it could object to in the part itself.

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
        self._encoder = Encoder(calls, _Nobody(), ledger)
        self._ledger = ledger
        self._outbox = Outbox(ledger)
        self._log = log

    async def step(self, head: int, cursor: BlockRef, clock: Clock) -> None:  # noqa: ARG002
        """Logs each duty once when it is due, and again if nobody did it in time; see `Sender`.

        Raises:
            RpcError: The node did not answer; what was not logged will be.
        """
        now = Now(head, clock)
        for job in self._outbox.due(now):
            if job.late(now):
                self._fail(job)
            elif job.reason != _TOLD:
                await self._log_would_send(job, now)

    async def _log_would_send(self, job: Job, now: Now) -> None:
        verdict = await self._verdict(job)
        with self._ledger.transaction():
            # It ends by the chain's events, whoever sends it; until then it is only logged.
            self._outbox.wait_until(job, job.last_time, _TOLD)
            self._ledger.note("would_send", **_named(job))
        left = seconds_until(job.last_time, now)
        self._log.info("would_send", **_named(job), seconds_left=left, contract=verdict)

    async def _verdict(self, job: Job) -> str:
        data = self._encoder.encode([job])
        call = {"from": self._account, "to": self._calls.address, "data": "0x" + data.hex()}
        try:
            await self._rpc.call("eth_call", call, "latest")
        except RpcRejectedError as error:
            reverted = revert_of(error)
            if reverted is None:
                raise
            # A supply that is not signed by the seller's side is skipped.
            if reverted.error not in _SIGNATURE_ALONE.get(job.kind, ()):
                return str(reverted)
        return "takes it"

    def _fail(self, job: Job) -> None:
        with self._ledger.transaction():
            self._outbox.finish(job, "failed", "too-late")
            self._ledger.note("nobody_sent", **_named(job))
        self._log.warning("nobody_sent", **_named(job))


def _named(job: Job) -> dict[str, Any]:
    return {"kind": job.kind, "sale": job.copy_id, "index": job.index}
