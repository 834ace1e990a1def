"""Every error of DAM is one of three kinds, and the kind says what to do with it.

`NotForMe` is no fault: someone else's part. `Retryable` may go away by itself (a node down, a
timeout): try again later. `Permanent` will not: report it once and go on with other work. The text
of an error names the next step, and never holds a secret.
"""

from __future__ import annotations


class DamError(Exception):
    """Base of all errors of DAM."""


class NotForMe(DamError):
    """The data is well-formed and meant for somebody else."""


class Retryable(DamError):
    """Something outside is not ready; the same call may succeed later."""


class Permanent(DamError):
    """The same call will never succeed."""


class Malformed(Permanent):
    """Bytes from outside break a format rule; the message says which."""


class Refused(Permanent):
    """A well-formed request that honest rules forbid to serve (wrong domain, price, leaf ...)."""

    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason = reason
        """Short stable code, such as ``domain-mismatch``, for logs and the ledger."""
        super().__init__(f"{reason}: {detail}" if detail else reason)


class ConfigError(Permanent):
    """The settings are wrong; every fault found is in the message."""


class KeyFileError(Permanent):
    """A key file cannot be used as it is; the message says why and how to mend it."""


class RpcError(Retryable):
    """The node could not be asked, or did not answer as it should."""


class IpfsError(Retryable):
    """The block store could not be asked in time."""


class IpfsUnreachable(IpfsError):
    """The block store is not where it should be, or does not let us in."""


class BlockMismatch(IpfsError):
    """The store answered with bytes that are not the CID's."""


class BlockRefused(Permanent):
    """A CID or block that DAM never reads: wrong codec or hash, or over the size cap."""


class ContractReverted(Permanent):
    """The contract refused the call: its custom error by name, with arguments."""

    def __init__(self, error: str, args: dict[str, object] | None = None) -> None:
        self.error = error
        self.arguments = args or {}
        listed = ", ".join(f"{k}={v}" for k, v in self.arguments.items())
        super().__init__(f"{error}({listed})" if error else "reverted without a reason")


class LedgerError(Permanent):
    """The ledger cannot be used; the message names the next step."""


class LedgerUnusableError(LedgerError):
    """Waiting or restarting does not help: damaged, of a newer program, or another account's."""


class IndexUnusableError(Permanent):
    """The local index cannot be kept where it should be; the message names the next step."""


def is_host_failure(error: BaseException) -> bool:
    """Whether the machine failed: no memory, thread, file descriptor or disk space.

    No seller or buyer is to blame for that, so the work is tried again later.
    """
    if isinstance(error, RuntimeError):
        return "can't start new thread" in str(error)  # CPython has no type of its own for it
    return isinstance(error, OSError | MemoryError)
