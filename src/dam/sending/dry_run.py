"""The sender of a dry run: signs nothing, sends nothing, and says what it would have sent.

So an operator sees, with real sales and before any stake is at risk, what a daemon would do; and
beside a real one, that sale by sale somebody does it.
"""

from __future__ import annotations

from dam.ethereum.node import Node
from dam.ledger.ledger import Ledger
from dam.ledger.outbox import Job, Outbox, blocks_until
from dam.log import Log
from dam.sending.encode_jobs import encode_job
from dam.sending.transactions import Calls, simulate
from dam.types import Address, BlockRef

_TOLD = "told"


class DrySender:
    """Stands in for `sending.Sender`.

    Args:
        rpc: The node.
        calls: Encodes the market's calls.
        account: In whose name to ask the contract whether it would take a call.
        ledger: Of the dry run alone.
        log: Where to tell.
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
        """Tells once of each duty that is due, and again if nobody did it in time.

        Raises:
            RpcError: The node did not answer; what was not told will be.
        """
        for job in self._outbox.due(head + 1):
            if job.deadline <= head:
                self._missed(job)
            elif job.reason != _TOLD:
                await self._tell(job, head)

    async def _tell(self, job: Job, head: int) -> None:
        data = encode_job(self._calls, self._ledger, job)
        error = await simulate(self._rpc, self._account, self._calls.address, data)
        about = {"kind": job.kind, "sale": job.copy_id, "index": job.index}
        with self._ledger.transaction():
            # It ends by the chain's events, whoever sends it; until then it has been told.
            self._outbox.postpone(job, job.deadline, _TOLD)
            self._ledger.note("would_send", **about)
        self._log.info(
            "would_send",
            **about,
            blocks_left=blocks_until(job.deadline, head),
            contract="takes it" if error is None else str(error),
        )

    def _missed(self, job: Job) -> None:
        about = {"kind": job.kind, "sale": job.copy_id, "index": job.index}
        with self._ledger.transaction():
            self._outbox.finish(job, "failed", "too-late")
            self._ledger.note("nobody_sent", **about)
        self._log.warning("nobody_sent", **about)
