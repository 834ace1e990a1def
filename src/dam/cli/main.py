"""``dam``: the command line. Thin: each command reads its arguments, calls a role, and prints.

Commands are named here and imported on use, so that ``dam --help`` starts at once. The same group
is ``ape dam``.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from dam import __version__
from dam.cli.failures import PRINTED, SENT, Failure, failure_of, stopped
from dam.cli.terminal import (
    prepare_streams,
    signals_stop,
    silence,
    write_note,
    write_result,
)
from dam.console import is_plain
from dam.errors import DamError


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
        prepare_streams()  # for `ape dam`, which does not go through `main`
        sent = ctx.meta.setdefault(SENT, [])
        try:
            return super().invoke(ctx)
        except DamError as error:
            failure = failure_of(error, sent)
        except OSError as error:
            name = f"{error.filename}: " if error.filename else ""
            failure = Failure(f"{name}{error.strerror or type(error).__name__}")
        except KeyboardInterrupt as error:
            failure = stopped(error, sent)
        except click.Abort as error:
            # Ctrl-C at a question; a "no" has no such cause.
            if not isinstance(error.__context__, KeyboardInterrupt):
                raise
            failure = stopped(error.__context__, sent)
        failure.sent, failure.printed = sent, ctx.meta.get(PRINTED, False)
        raise failure from None


class Program(LazyGroup):
    """The group that is a process: its streams, its signals and its exit code."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Runs a command and ends the process with its exit code (see `dam.cli.failures`)."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode, **extra)
        prepare_streams()
        if is_plain():
            extra["color"] = False
        arguments = list(sys.argv[1:] if args is None else args)
        try:
            with signals_stop():
                code = super().main(arguments, prog_name, complete_var, False, **extra)
        except click.exceptions.Exit as error:
            code = error.exit_code
        except (click.Abort, click.ClickException, OSError, KeyboardInterrupt) as error:
            code = _end(error, "--json" in arguments)
        sys.exit(code if isinstance(code, int) else 0)


def _end(error: BaseException, as_json: bool) -> int:
    """Says why a command ended; returns its exit code."""
    if isinstance(error, click.Abort):
        error = Failure("aborted")
    elif isinstance(error, KeyboardInterrupt):
        error = stopped(error, ())
    elif isinstance(error, OSError):
        silence(sys.stdout)
        error = Failure(f"standard output: {error.strerror}", "output")
    if not isinstance(error, click.ClickException):
        raise error
    gone = error.exit_code == 128 + signal.SIGPIPE
    if isinstance(error, Failure) and not gone:
        write_note(f"Error: {error.message}")
    elif not gone:
        with contextlib.suppress(OSError, ValueError):
            error.show()
    if as_json and not gone:
        if not isinstance(error, Failure):
            error = Failure(error.format_message(), "usage", error.exit_code)
        if not error.printed and error.kind != "output":
            with contextlib.suppress(click.ClickException):
                write_result(error.json())
    return error.exit_code


@click.group(
    cls=Program,
    lazy={
        "init": ("dam.cli.init", "init", "Settings: node, market, IPFS, account (once)."),
        "doctor": (
            "dam.cli.deliverer.doctor",
            "doctor",
            "Settings, node, IPFS: are they well?",
        ),
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
        "index": ("dam.cli.index", "index", "The local index: bring it up to date, look into it."),
        "web": ("dam.cli.web", "web", "The storefront: a page for your browser and its wallet."),
        "store": ("dam.cli.store", "store", "What is wrong with a store's document, and where."),
        "market": ("dam.cli.market", "market", "Is a market what its record says?"),
        "sale": ("dam.cli.sale", "sale", "End a sale together: offers, and accepting them."),
        "settle": ("dam.cli.money", "settle", "Settle a sale whose time is up (anyone)."),
        "balance": ("dam.cli.money", "balance", "What an account has, here and there."),
        "withdraw": ("dam.cli.money", "withdraw", "Take what the market owes an account."),
    },
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="dam")
@click.option("--market", metavar="NAME", help="Of several markets in the settings, this one.")
def main(market: str | None) -> None:
    """DAM: a marketplace for digital goods with nobody in the middle.

    Start with `dam init`; then `dam keys new`. `--json` prints results for programs.
    """
    if market is not None:
        from dam.config.settings import MARKET_VARIABLE  # half of the start-up time

        os.environ[MARKET_VARIABLE] = market  # as every other setting may be said
