"""``dam``: the command line. Thin: each command reads its arguments, calls a role, and prints.

Commands are named here and imported on use, so that ``dam --help`` starts at once. The same group
is ``ape dam``.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click

from dam import __version__
from dam.errors import DamError


class Failure(click.ClickException):
    """An error that a person can act on: one message, no traceback, exit code 1."""

    def show(self, file: Any = None) -> None:
        """Prints the message on standard error, or on ``file``."""
        click.echo(f"Error: {self.format_message()}", file=file, err=file is None)


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports the module of one only to run it.

    Args:
        lazy: Module, attribute and one line of help by command name.
    """

    def __init__(
        self, *args: Any, lazy: Mapping[str, tuple[str, str, str]] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = dict(lazy or {})

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order in which they were given."""
        return [*self._lazy, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports the command."""
        if cmd_name not in self._lazy:
            return super().get_command(ctx, cmd_name)
        module, attribute, _ = self._lazy[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002
        formatter: click.HelpFormatter,
    ) -> None:
        """Lists the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry[2]) for name, entry in self._lazy.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command; an error of DAM becomes one clear line."""
        try:
            return super().invoke(ctx)
        except DamError as error:
            raise Failure(error_text(error)) from None
        except OSError as error:
            name = f"{error.filename}: " if error.filename else ""
            raise Failure(f"{name}{error.strerror or type(error).__name__}") from None


def error_text(error: DamError) -> str:
    """The error's text; a refusal of the contract in words, with the next step."""
    from dam.errors import ContractReverted, RpcError

    if isinstance(error, ContractReverted):
        from dam.cli.errors import refusal_text

        return refusal_text(error)
    if isinstance(error, RpcError):
        from dam.ethereum.node_errors import RpcTimeoutError, RpcUnavailableError

        if isinstance(error, (RpcTimeoutError, RpcUnavailableError)):
            return f"{error}: is this the right node (setting rpc, DAM_RPC_URL), and does it run?"
    return str(error)


@click.group(
    cls=LazyGroup,
    lazy={
        "init": ("dam.cli.init", "init", "Settings: node, market, IPFS, account (once)."),
        "keys": ("dam.cli.keys", "keys", "Key files: make, rotate, back up, restore."),
        "buyer": (
            "dam.cli.buyer.commands",
            "buyer",
            "Browse, buy, open; confirm, refund, dispute.",
        ),
        "seller": (
            "dam.cli.seller.commands",
            "seller",
            "Stake, publish a store, look after sales.",
        ),
        "deliverers": (
            "dam.cli.deliverer.commands",
            "deliverers",
            "Who delivers, with what stake.",
        ),
        "deliverer": ("dam.cli.deliverer.commands", "deliverer", "Stake, deliver, earn; exit."),
        "watchdog": ("dam.cli.watchdog", "watchdog", "Stands in for a seller who sleeps."),
        "arbiter": ("dam.cli.arbiter", "arbiter", "Cases to rule on, and rulings."),
        "settle": ("dam.cli.money", "settle", "Settle a sale whose time is up (anyone)."),
        "balance": ("dam.cli.money", "balance", "What an account has, here and there."),
        "withdraw": ("dam.cli.money", "withdraw", "Take what the market owes an account."),
    },
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="dam")
def main() -> None:
    """DAM: a marketplace for digital goods with nobody in the middle.

    Start with `dam init`; then `dam keys new`. `--json` prints results for programs.
    """
