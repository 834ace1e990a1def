"""``dam watchdog``: the daemon that stands in for a seller."""

from __future__ import annotations

from dataclasses import replace

import click

from dam.cli.deliverer.doctor import doctor_command
from dam.cli.deliverer.recover import recover_command
from dam.cli.deliverer.status import status_command
from dam.cli.session import (
    Group,
    account_option,
    dry_run_address,
    dry_run_options,
    once_option,
    passphrase_prompt,
)
from dam.config.settings import Settings
from dam.types import Address


@click.group(cls=Group)
def watchdog() -> None:
    """Stand in for a seller: deliver what is missing, answer disputes, settle."""


for _command in (
    status_command("watchdog"),
    doctor_command("watchdog"),
    recover_command("watchdog"),
):
    watchdog.add_command(_command)


@watchdog.command()
@once_option
@dry_run_options
@account_option
@click.pass_context
def run(
    ctx: click.Context, once: bool, dry_run: bool, address: Address | None, account: str | None
) -> None:
    """Runs the daemon, from the seller's account or, better, from their operator's.

    From block 100 after a purchase on it delivers missing parts, which saves the sale and the
    penalty. It needs the seller's seed (`dam keys new seller`) and catalogue folder.
    """
    from dam.daemon.run import watchdog_main
    from dam.log import configure_logging

    configure_logging()
    settings = Settings.load()
    if account:
        settings = replace(settings, accounts={**settings.accounts, "watchdog": account})
    played = dry_run_address(settings, "watchdog", account, dry_run, address)
    ctx.exit(watchdog_main(settings, prompt=passphrase_prompt(), once=once, dry_run=played))
