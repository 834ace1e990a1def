"""What nodes say when they do not take a transaction. There are no common codes, only words.

geth and most others write sentences ("already known"), older Nethermind the names of its results
("AlreadyKnown"): both are compared in small letters without spaces.
"""

from __future__ import annotations

from dam.ethereum.rpc import RpcRejectedError


def is_known(error: RpcRejectedError) -> bool:
    """The node has this very transaction already."""
    # geth and Nethermind; Anvil; Erigon and Besu.
    return _says(error, "alreadyknown", "alreadyimported", "knowntransaction") and not _says(
        error, "unknowntransaction"
    )


def is_unpaid(error: RpcRejectedError) -> bool:
    """The account cannot pay for it."""
    return _says(error, "insufficientfunds", "gasrequiredexceedsallowance")


def is_used(error: RpcRejectedError) -> bool:
    """Its nonce is used up."""
    return _says(error, "noncetoolow", "oldnonce")


def is_no_better(error: RpcRejectedError) -> bool:
    """Another one of the same nonce is there, and this one does not pay enough more."""
    return _says(error, "replacement")


def _says(error: RpcRejectedError, *words: str) -> bool:
    text = "".join(error.message.lower().split())
    return any(word in text for word in words)
