"""How a command ends that does not succeed: a message, an exit code, and JSON for programs.

docs/reference/exit-codes.md is made from `KINDS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from dam.errors import ConfigError, ContractReverted, DamError, IpfsError, KeyFileError, RpcError


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of failure."""

    code: int
    """Exit code."""
    means: str
    """Markdown, as the page has it."""
    then: str
    """What to do before a second try."""


KINDS = {
    "failed": Kind(1, "it cannot be done as things are, or the person said no", "read the message"),
    "usage": Kind(2, "the command line is wrong", "`--help`"),
    "settings": Kind(
        2, "settings, or a record or file that they name, are wrong", "mend what is named"
    ),
    "key_file": Kind(
        2, "a key file or an account is not there, not safe, or does not open", "mend what is named"
    ),
    "node": Kind(
        3,
        "the Ethereum node cannot be asked, or does not answer as it should; nothing was sent",
        "`dam doctor`, or wait",
    ),
    "ipfs": Kind(
        4, "IPFS is down, or does not have what is needed", "the message tells which of the two"
    ),
    "refused": Kind(
        5, "the contract refused, or the transaction reverted: it did nothing", "read the message"
    ),
    "unconfirmed": Kind(
        6,
        "a transaction was sent, and whether it is mined is not known",
        "look first: a second try may pay twice",
    ),
    "output": Kind(
        7,
        "it is done, but standard output took no result; it stands on standard error",
        "nothing: it is done",
    ),
}
"""By the name in ``--json``. A signal's code is 128 and its number, its kind ``interrupted``."""
SENT = "dam.sent"
"""Key in a context's ``meta``: what the command has sent, as 0x-hex, in its order."""
PRINTED = "dam.printed"
"""Likewise: whether a result stands on standard output."""
_LOOK = "it may still be mined: look with `dam balance`, `dam buyer purchases`, `dam seller sales`"


class Failure(click.ClickException):
    """An error that a person can act on: one message, no traceback."""

    def __init__(
        self,
        message: str,
        kind: str = "failed",
        code: int | None = None,
        *,
        printed: bool = False,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.exit_code = KINDS[kind].code if code is None else code
        self.sent: Sequence[str] = ()
        """Hashes of what the command had sent."""
        self.printed = printed
        """Whether standard output has a result already."""

    def show(self, file: Any = None) -> None:
        """Prints the message on standard error, or on ``file``."""
        click.echo(f"Error: {self.format_message()}", file=file, err=file is None)

    def json(self) -> str:
        """The one JSON value of a command that failed under ``--json``; it is plain ASCII."""
        import json  # not at every start

        error: dict[str, Any] = {
            "kind": self.kind,
            "exitCode": self.exit_code,
            "message": self.format_message(),
        }
        if self.sent:
            error["sent"] = list(self.sent)
        return json.dumps({"error": error}, indent=2)


class Stopped(KeyboardInterrupt):
    """A signal that ends the process."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def failure_of(error: DamError, sent: Sequence[str] = ()) -> Failure:
    """An error of DAM in words, with its kind.

    Args:
        error: What ended the command.
        sent: Hashes of what the command had sent before.
    """
    kinds: tuple[tuple[type[DamError], str], ...] = (
        (ConfigError, "settings"),
        (KeyFileError, "key_file"),
        (ContractReverted, "refused"),
        (IpfsError, "ipfs"),
        (RpcError, "node"),
    )
    kind = next((kind for known, kind in kinds if isinstance(error, known)), "failed")
    text = error_text(error)
    if kind == "node" and sent:
        kind = "unconfirmed"
        if sent[-1] not in text:
            text = f"{text}. Transaction {sent[-1]} was sent; {_LOOK}"
    return Failure(text, kind)


def stopped(error: BaseException | None, sent: Sequence[str]) -> Failure:
    """The end by Ctrl-C or by another signal: what had been sent stays sent."""
    number = error.number if isinstance(error, Stopped) else 2
    text = "stopped"
    if sent:
        text = f"stopped, and what was sent stays sent: transaction {', '.join(sent)}; {_LOOK}"
    return Failure(text, "interrupted", 128 + number)


def error_text(error: DamError) -> str:
    """The error's text; a refusal of the contract in words, with the next step."""
    if isinstance(error, ContractReverted):
        from dam.cli.errors import refusal_text

        return refusal_text(error)
    if isinstance(error, RpcError):
        from dam.ethereum.node_errors import RpcTimeoutError, RpcUnavailableError

        status = getattr(error, "status", None)
        if status == 429:
            return f"{error}: wait a while, or ask another node (setting rpc, DAM_RPC_URL)"
        if status in (401, 402, 403):
            return f"{error}: mend the key in the node's address (setting rpc, DAM_RPC_URL)"
        if isinstance(error, (RpcTimeoutError, RpcUnavailableError)):
            return f"{error}: is this the right node (setting rpc, DAM_RPC_URL), and does it run?"
    if isinstance(error, IpfsError):
        return f"{error}. IPFS is the setting ipfs (DAM_IPFS): `dam doctor` looks at it"
    return str(error)
