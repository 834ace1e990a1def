"""``dam deliverer recover``, ``dam watchdog recover``: a ledger of no use is made anew."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dam.cli.session import (
    account_option,
    address_option,
    confirm_or_abort,
    json_option,
    print_note,
    print_result,
    role_address,
    yes_option,
)
from dam.config.settings import Settings
from dam.errors import ConfigError, Permanent, Retryable
from dam.types import Address

if TYPE_CHECKING:
    from dam.ledger.ledger import Binding
    from dam.ledger.recovery import Recovery

_NOTE_SECONDS = 3.0


def binding_of(settings: Settings, role: str, account: Address) -> Binding:
    """What the ledger of a daemon is bound to."""
    from dam.ledger.ledger import Binding

    name = role
    if role == "watchdog":
        from dam.daemon.run import seller_of
        from dam.roles.seller.listings import Catalogue

        name = f"watchdog of {seller_of(Catalogue(settings.catalogue))}"
    deployment = settings.deployment
    return Binding(deployment.chain_id, deployment.market, account, name)


def recover_command(role: str) -> click.Command:
    """The command of a daemon."""

    @click.command("recover")
    @click.option("--retry", is_flag=True, help="Only look again at what `internal-error` refused.")
    @click.option("--force", is_flag=True, help="Make a new ledger although the old one is sound.")
    @click.option("--no-read", is_flag=True, help="Leave reading the chain to the daemon.")
    @account_option
    @address_option
    @yes_option
    @json_option
    def command(
        retry: bool,
        force: bool,
        no_read: bool,
        account: str | None,
        address: Address | None,
        yes: bool,
        as_json: bool,
    ) -> None:
        """Makes a new ledger where the old one is corrupt, lost or of a newer program.

        The old file is put aside, never deleted. Whom parts were sealed to is taken over from it,
        as far as it can be read; all else comes from the chain. The daemon must be stopped.
        """
        from dam.daemon import locks

        settings = Settings.load()
        who = address or role_address(settings, role, account)
        binding = binding_of(settings, role, who)
        path = settings.ledger(role)
        if not path.parent.exists():
            raise Permanent(f"there is nothing to recover: no daemon has run in {path.parent}")
        with locks.exclusive(path.with_name(path.name + ".lock"), f"ledger {path}"):
            recovery = _LedgerRecovery(settings, role, path, binding)
            value, text = (
                recovery.retry() if retry else recovery.recover(force, no_read, yes or as_json)
            )
        print_result(value, as_json, text)

    return command


@dataclass
class _LedgerRecovery:
    """One ledger, whose lock is held."""

    settings: Settings
    role: str
    path: Path
    binding: Binding

    def retry(self) -> tuple[dict[str, Any], str]:
        from dam.ledger import recovery
        from dam.ledger.ledger import Ledger

        with contextlib.closing(Ledger.open(self.path, self.binding)) as ledger:
            again = recovery.retry(ledger)
        return {"lookedAtAgain": again}, (
            f"{again} sales and store documents are looked at again. Next: dam {self.role} run"
            if again
            else "Nothing is refused for a fault of the program, or its time is over."
        )

    def recover(self, force: bool, no_read: bool, yes: bool) -> tuple[dict[str, Any], str]:
        from dam.ledger import recovery

        reason = recovery.examine(self.path, self.binding)
        if not reason and not force:
            return {"sound": True}, (
                f"{self.path} is sound: there is nothing to recover. (--retry looks again at sales "
                "that an internal error refused; --force makes a new ledger all the same.)"
            )
        print_note(f"{self.path}: {reason or 'sound'}")
        confirm_or_abort("Rename it, and make a new one from it and the chain?", yes)
        done = recovery.recover(self.path, self.binding)
        read = "left to the daemon" if no_read else asyncio.run(self._read())
        value = {
            "sound": False,
            "reason": reason,
            "ledger": str(self.path),
            "aside": str(done.aside) if done.aside else None,
            "sealedParts": done.parts,
            "atOdds": done.at_odds,
            "sources": [
                {"path": str(s.path), "parts": s.parts, "fault": s.fault} for s in done.sources
            ],
            "read": read,
        }
        return value, self._text(done, read)

    def _text(self, done: Recovery, read: str) -> str:
        lines = [f"New ledger  {self.path}"]
        if done.aside:
            lines.append(f"Old one     {done.aside} (delete it when all is well)")
        lines.append(f"Salvaged    {done.parts} sealed parts keep their buyers")
        for source in done.sources:
            fault = f"; not read to its end: {source.fault}" if source.fault else ""
            lines.append(f"            {source.parts} from {source.path.name}{fault}")
        if done.at_odds:
            lines.append(f"            {done.at_odds} named two buyers: the newer file counts")
        lines += [f"Chain       {read}", f"Next        dam {self.role} run"]
        return "\n".join(lines)

    async def _read(self) -> str:
        """Reads the chain into the new ledger, as the daemon would at its start."""
        from dam.daemon.chain_reader import ChainReader
        from dam.ledger.ledger import Ledger
        from dam.log import configure_logging, get_logger
        from dam.market.client import Market
        from dam.market.connect import open_nodes

        configure_logging(level="WARNING")
        settings, deployment = self.settings, self.settings.deployment
        documents = self.role == "deliverer"
        log = get_logger("recover")
        with contextlib.closing(
            Ledger.open(self.path, self.binding, documents=documents)
        ) as ledger:
            try:
                async with open_nodes(settings, log=log) as rpc:
                    market = Market(rpc, deployment)
                    await market.check_deployment()
                    reader = ChainReader(
                        market,
                        ledger,
                        log=log,
                        confirmations=settings.confirmations,
                        halt_depth=settings.halt_depth,
                    )
                    await _read_on(reader)
            except (Retryable, ConfigError) as error:
                return f"not read, the daemon does that when it starts ({error})"
            cursor = ledger.cursor()
            [purchases] = ledger.db.execute("SELECT count(*) FROM purchases").fetchone()
            [ours] = ledger.db.execute(
                "SELECT count(*) FROM deliveries WHERE delivered_by = ? AND supplied = 0",
                (self.binding.account,),
            ).fetchone()
        block = cursor.number if cursor else 0
        return f"read to block {block}: {purchases} purchases, {ours} parts delivered by us"


async def _read_on(reader: Any) -> None:
    last_note = time.monotonic()
    while True:
        step = await reader.advance()
        if step.caught_up:
            return
        if time.monotonic() - last_note > _NOTE_SECONDS:
            last_note = time.monotonic()
            print_note(f"read to block {step.cursor.number} of {step.head.number}")
