"""``dam watchdog``: the daemon that stands in for a seller."""

from __future__ import annotations

from dataclasses import replace

import click

from dam.commands.base import account_option, prompt
from dam.config import Settings


@click.group()
def watchdog() -> None:
    """Stand in for a seller: deliver what is missing, answer disputes, settle."""


@watchdog.command()
@account_option
@click.pass_context
def run(ctx: click.Context, account: str | None) -> None:
    """Runs the daemon, from the seller's account or, better, from his operator's.

    From block 100 after a purchase on it delivers missing parts, which saves the sale and the
    penalty. It needs the seller's seed (`dam keys new seller`) and catalogue folder.
    """
    from dam import logs, wiring

    logs.configure()
    settings = Settings.load()
    if account:
        settings = replace(settings, accounts={**settings.accounts, "watchdog": account})
    ctx.exit(wiring.watchdog(settings, prompt=prompt()))
