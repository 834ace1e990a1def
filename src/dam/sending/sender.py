"""Outbox to chain: one owner of the nonce, every transaction saved before a node sees it.

The rule of every pass (`Sender.step`): first settle what the chain has decided about our nonces, at
the depth that the reader confirmed; then look after what is not mined yet (send again, replace, or
take back what became pointless: `nursing`); then simulate, sign, save and send what is due
(`dispatch`, by the rules of `batching`, `profit` and `fees`). A duty is simulated before it is
signed, so a duplicate is not mined; its end comes from the market's events, not from a receipt.
"""

from __future__ import annotations

from collections.abc import Callable

from dam.ethereum.node import Node
from dam.gc_pause import paused
from dam.ledger.ledger import Ledger
from dam.log import Log
from dam.sending.account import Submitter
from dam.sending.dispatcher import Dispatcher
from dam.sending.fee_policy import SendPolicy as SendPolicy
from dam.sending.fee_policy import SendStats as SendStats
from dam.sending.in_flight import Nurse
from dam.sending.transactions import Calls, Signer
from dam.types import BlockRef


class Sender:
    """The only one that signs with the daemon's account.

    Args:
        rpc: The node.
        calls: Encodes the market's calls and reads its reverts.
        signer: The account.
        ledger: Where everything is saved first.
        log: Where to tell.
        policy: Fees, patience and batch size.
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
        self._hand = Submitter(
            rpc,
            calls,
            signer,
            ledger,
            log=log,
            policy=policy or SendPolicy(),
            checkpoint=checkpoint,
        )
        self._nurse = Nurse(self._hand)
        self._dispatcher = Dispatcher(self._hand)
        self._seen: tuple[int, int, int] | None = None

    @property
    def stats(self) -> SendStats:
        """What was done since the start."""
        return self._hand.stats

    async def step(self, head: int, cursor: BlockRef) -> None:
        """One pass. ``head`` is the newest block, ``cursor`` the newest that the reader saved.

        Raises:
            RpcError: The node did not answer; what was begun is saved, call again.
        """
        # A reorganisation may leave both numbers as they were.
        seen = head, cursor.number, self._hand.ledger.rollbacks
        if self._seen != seen:
            live = self._hand.outbox.live()
            if live:
                await self._nurse.look_after(live, head, cursor)
        self._seen = seen
        if head >= self._hand.held_until:
            with paused():
                await self._dispatcher.send_due(head)
