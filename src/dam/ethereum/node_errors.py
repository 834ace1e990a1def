"""Errors of nodes, and what a refusal means. There are no common codes, only words.

geth and most others write sentences ("already known"), older Nethermind the names of its results
("AlreadyKnown"): for refused transactions both are compared in lower case without spaces.
"""

from __future__ import annotations

import re

from dam.errors import RpcError

# How nodes and providers say that eth_getLogs asked for too much. There is no common code.
_RANGE = re.compile(
    r"(block|query|log|result|response)s?[ \w-]*\b(range|limit|size|too (large|big|many|wide))"
    r"|range (is )?(too|exceed|limit)|too many (blocks|logs|results)|more than \d+ (results|logs)"
    r"|query timeout|limited to|limit exceeded|exceeds? (the )?(max|limit)|10,?000 results",
    re.IGNORECASE,
)
# How a node says in JSON that another may do better: quota, pruned state, no such block.
_NODE = re.compile(
    r"rate.?limit|too many requests|quota|capacity|compute units|unauthori[sz]ed|api key"
    r"|header not found|missing trie node|state .*(not available|unavailable|pruned)"
    r"|(block|header).*(not found|unknown)|still syncing|internal error",
    re.IGNORECASE,
)
# How a node says that the account cannot pay, in lower case without spaces. In this order: geth,
# Erigon, Reth, Anvil and Nethermind; Hardhat, Ganache, Arbitrum and OpenEthereum; Besu; Nethermind
# in calls; revm; geth and OpenEthereum on transfers; geth with pooled debts; Hedera.
_NO_FUNDS = re.compile(
    r"insufficientfunds|gasrequiredexceedsallowance|enoughfunds"
    r"|up-?frontcost.*exceeds.*balance|insufficient(maxfeepergasfor)?senderbalance|lackoffunds"
    r"|insufficientbalancefor|wouldcauseoverdraft|insufficient_payer_balance"
)


class RpcTimeoutError(RpcError):
    """No whole answer within the deadline. A transaction sent may have arrived."""


class RpcUnavailableError(RpcError):
    """The node cannot be reached, or answered with an HTTP error: 429 and 5xx among them."""

    def __init__(
        self, text: str, *, status: int | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(text)
        self.status = status
        """HTTP status, if it answered."""
        self.retry_after = retry_after
        """Seconds that the node asks to wait, if it said so."""


class RpcBadReplyError(RpcError):
    """The answer is cut, no JSON, for another id, or cannot be true (a forged log)."""


class RpcTooLargeError(RpcError):
    """The answer is over the size cap; ask for less."""


class RpcRejectedError(RpcError):
    """The node understood and refused: its error code, message and data."""

    def __init__(self, method: str, code: int, message: str, data: object = None) -> None:
        super().__init__(f"{method}: error {code}: {message}")
        self.method = method
        self.code = code
        self.message = message
        """As the node wrote it, printable, at most 300 characters."""
        self.data = data


class RpcRangeError(RpcRejectedError):
    """``eth_getLogs`` was refused for the size of its range or result; ask for fewer blocks."""


def rejection(method: str, error: object) -> RpcRejectedError:
    """The error that a node gave for ``method``, its message made printable and cut."""
    code, message, data = 0, "", None
    if isinstance(error, dict):
        code = error["code"] if type(error.get("code")) is int else 0
        message = error["message"] if isinstance(error.get("message"), str) else ""
        data = error.get("data")
    elif isinstance(error, str):
        message = error
    message = ascii(message[:300])[1:-1][:300]
    ranged = method == "eth_getLogs" and (code == -32005 or _RANGE.search(message) is not None)
    return (RpcRangeError if ranged else RpcRejectedError)(method, code, message, data)


def is_node_fault(error: RpcRejectedError) -> bool:
    """Whether the refusal is about the node and not the call: another one may do better."""
    return not isinstance(error, RpcRangeError) and (
        error.code in (-32005, -32601) or _NODE.search(error.message) is not None
    )


def is_already_known(error: RpcRejectedError) -> bool:
    """Whether the node has this very transaction already."""
    # geth and Nethermind; Anvil; Erigon and Besu.
    return _says(error, "alreadyknown", "alreadyimported", "knowntransaction") and not _says(
        error, "unknowntransaction"
    )


def is_insufficient_funds(error: RpcRejectedError) -> bool:
    """Whether the account cannot pay for the transaction."""
    return _NO_FUNDS.search(_joined(error)) is not None


def is_nonce_used(error: RpcRejectedError) -> bool:
    """Whether a transaction of this nonce is mined already."""
    return _says(error, "noncetoolow", "oldnonce")


def is_underpriced(error: RpcRejectedError) -> bool:
    """Whether it does not pay enough more than a waiting transaction of the same nonce."""
    return _says(error, "replacement")


def _says(error: RpcRejectedError, *words: str) -> bool:
    return any(word in _joined(error) for word in words)


def _joined(error: RpcRejectedError) -> str:
    return "".join(error.message.lower().split())
