"""Errors of nodes, and what a refusal means. There are no common codes, only words.

A refusal is judged in this order: it is about the node (quota, pruned state, still syncing), so
that another node may do better; about the size of the request, so that less should be asked for;
or about the request. The order matters: a quota speaks of limits, too.

geth and most others write sentences ("already known"), older Nethermind the names of its results
("AlreadyKnown"): for refused transactions both are compared in lower case without spaces.
"""

from __future__ import annotations

import json
import re

from dam.errors import RpcError

# Quota and rate. Only what cannot be the reason of a range: providers advertise plans in both.
_QUOTA = re.compile(
    r"rate.?limit|too many (request|connection|call)s?|requests? (limit|rate|count|quota)"
    r"|(requests|calls|credits) per|(per.|/)(sec|second|minute|day|month)\b"
    r"|\b(daily|monthly)\b|\brps\b|quota|throttl|capacity|compute units|out of (cu|credits)\b"
    r"|usage limit",
    re.IGNORECASE,
)
_ACCESS = re.compile(
    r"unauthori[sz]ed|forbidden|api.?key|project.?id|payment required", re.IGNORECASE
)
NODE_STATUSES = (401, 402, 403, 429)
"""Of HTTP, also as codes of JSON-RPC errors: access, and quota."""
# An old state that a node does not keep.
_PRUNED = re.compile(
    r"missing trie node|state .*(not available|unavailable|pruned)|pruned|pruning"
    r"|histor\w+ .*(not available|unavailable)",
    re.IGNORECASE,
)
# What a node cannot do now: it lacks its peers, its upstream, the time.
_STATE = re.compile(
    r"(still|is|not) sync(ing|ed)|no peers|overloaded|server.*busy|service unavailable"
    r"|temporar(y|ily)|upstream|cannot fulfill|suitable provider|bad gateway",
    re.IGNORECASE,
)
_INTERNAL = re.compile(r"internal (server )?error", re.IGNORECASE)
# A block that the node does not have, or not yet.
_NO_BLOCK = re.compile(
    r"(block|header)\b.*\b(not found|unknown)|unknown (block|header)|unfinalized|future block"
    r"|(beyond|exceeds?|ahead of|above|after) (the )?(current |latest |last |chain )*"
    r"(head|tip|current block|latest block|last block|executed block)\b(?! (gas|base|range))",
    re.IGNORECASE,
)
# How nodes and providers say that eth_getLogs asked for too much.
_RANGE = re.compile(
    r"(block|query|log|result|response)s?[ \w-]*\b(range|limit|size|too (large|big|many|wide|long))"
    r"|\branges?\b.*(too|exceed|limit|over|maximum|greater|larger|wide|not supported)"
    r"|(exceed|maximum|max|limit|greater|larger|more than).*\b(range|blocks|results|logs)\b"
    r"|too many (blocks|logs|results|events)|\d (block|blocks|results|logs|events)\b"
    r"|timed?.?out|deadline exceeded|limited to|too (large|big)|exceeds? (the )?(max|limit)",
    re.IGNORECASE,
)
_NO_METHOD = re.compile(
    r"method.*(not (found|supported|available|allowed|exist)|unsupported|does not exist|disabled)"
    r"|(unsupported|unknown) method",
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
_NO_TAG = re.compile(r"pending|block.?tag", re.IGNORECASE)
_NO_BATCH = re.compile(r"\bbatch", re.IGNORECASE)
_TOO_LARGE = re.compile(r"response (is )?too (large|big)", re.IGNORECASE)
_PAUSE = re.compile(
    r"(?:retry|try again|wait)\D{0,20}?(\d{1,5}(?:\.\d+)?) ?s(?:ec|\b)"
    r"|backoff_seconds\W+(\d{1,5}(?:\.\d+)?)",
    re.IGNORECASE,
)
_TEXT_CHARS = 300


class RpcTimeoutError(RpcError):
    """No whole answer within the deadline. A transaction sent may have arrived."""


class RpcUnavailableError(RpcError):
    """The node cannot be reached, or cannot do it now: HTTP errors, quota, pruned state."""

    def __init__(
        self, text: str, *, status: int | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(text)
        self.status = status
        """HTTP status, if it answered."""
        self.retry_after = retry_after
        """Seconds that the node asks to wait, if it said so."""


class RpcPrunedError(RpcUnavailableError):
    """The node does not keep the old state that was asked for; asking it again is of no use."""


class RpcBadReplyError(RpcError):
    """The answer is cut, no JSON, for another id, or cannot be true (a forged log)."""


class RpcTooLargeError(RpcError):
    """The answer is over the size cap; ask for less."""


class RpcBatchError(RpcTooLargeError):
    """The node does not take so many calls in one request."""


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


class RpcMethodError(RpcRejectedError):
    """The node does not have this method. It is well for all that, and another may have it."""


def rejection(method: str, error: object) -> RpcRejectedError:
    """The error that a node gave for ``method``, its message made printable and cut."""
    code, message, data = 0, "", None
    if isinstance(error, dict):
        code = error["code"] if type(error.get("code")) is int else 0
        message = error["message"] if isinstance(error.get("message"), str) else ""
        data = error.get("data")
    elif isinstance(error, str):
        message = error
    refusal = RpcRejectedError(method, code, _printable(message), data)
    if is_node_fault(refusal):
        return refusal
    kind = RpcRejectedError
    if code == -32601:
        kind = RpcMethodError
    elif method == "eth_getLogs" and _RANGE.search(_words(refusal)):
        kind = RpcRangeError
    elif not _is_revert(refusal) and _NO_METHOD.search(_words(refusal)):
        kind = RpcMethodError
    return kind(method, code, refusal.message, data)


def is_node_fault(error: object) -> bool:
    """Whether it is a refusal about the node and not the call: another one may do better."""
    if not isinstance(error, RpcRejectedError) or _is_revert(error):
        return False  # the words are a contract's, which may choose them to have us avoid nodes
    if error.code in NODE_STATUSES or 500 <= error.code < 600:
        return True
    words = _words(error)
    if any(rule.search(words) for rule in (_QUOTA, _ACCESS, _PRUNED, _STATE, _NO_BLOCK)):
        return True
    # For eth_getLogs these two can mean its size as well: that is for the caller to find out.
    return error.method != "eth_getLogs" and (
        error.code == -32005 or _INTERNAL.search(words) is not None
    )


def is_block_unknown(error: object) -> bool:
    """Whether the node lacks the block asked for: it lags, or the block was replaced."""
    return _says_of_itself(error, _NO_BLOCK)


def is_tag_unknown(error: object) -> bool:
    """Whether the node has no blocks by the tag that it was asked for, such as ``pending``."""
    return _says_of_itself(error, _NO_TAG)


def is_batch_refusal(error: object) -> bool:
    """Whether a call was refused for being one of so many, or of any."""
    return _says_of_itself(error, _NO_BATCH)


def is_reply_too_large(error: object) -> bool:
    """Whether the answers to several calls are more than the node gives at once (geth)."""
    return _says_of_itself(error, _TOO_LARGE)


def unavailable(error: RpcRejectedError, host: str) -> RpcUnavailableError:
    """A refusal that is about the node, as what it is; with the pause that the node asks for."""
    found = _PAUSE.search(_words(error))
    pause = float(found[1] or found[2]) if found else None
    status = error.code if error.code in NODE_STATUSES else None
    if status is None and _QUOTA.search(_words(error)):
        status = 429
    pruned = status is None and _PRUNED.search(_words(error))
    kind = RpcPrunedError if pruned else RpcUnavailableError
    return kind(f"{host}: {error}", status=status, retry_after=pause)


def _says_of_itself(error: object, rule: re.Pattern[str]) -> bool:
    """Whether an answer is a refusal in such words, and they are the node's, not a contract's."""
    return (
        isinstance(error, RpcRejectedError)
        and not _is_revert(error)
        and rule.search(_words(error)) is not None
    )


def _is_revert(error: RpcRejectedError) -> bool:
    # Older Nethermind and OpenEthereum have "VM execution error." as message, the revert as data.
    return error.code == 3 or "revert" in _words(error).lower()


def _words(error: RpcRejectedError) -> str:
    """What an error says: some nodes put the reason into its data alone."""
    data = error.data
    if isinstance(data, dict | list):
        try:
            data = json.dumps(data)
        except RecursionError:
            data = None
    if not isinstance(data, str) or data.startswith("0x"):
        return error.message
    return f"{error.message} {_printable(data)}"


def _printable(text: str) -> str:
    return ascii(text[:_TEXT_CHARS])[1:-1][:_TEXT_CHARS]


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
