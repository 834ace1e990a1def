"""``dam deliverer status`` and ``dam watchdog status``: how it goes, once or live."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from dam.cli.deliverer.view import asks_text, deliverer_json, slash_text, state_text
from dam.cli.markets import every_market
from dam.cli.session import (
    account_option,
    address_option,
    json_option,
    json_ready,
    payer_address,
    print_result,
    role_address,
    to_hex,
)
from dam.cli.terminal import write_result
from dam.config.settings import Settings
from dam.errors import Permanent
from dam.types import STAKED_FEES, Address, Windows
from dam.units import format_about, format_amount, format_span, format_time

if TYPE_CHECKING:
    from dam.diagnostics.snapshot import Deadline, Snapshot
    from dam.ledger.status import DaemonStatus

Row = tuple[str, str, str]
"""Label, text, colour."""
_HURRY_SECONDS = 600
_SHOWN = 5


def status_command(role: str) -> click.Command:
    """The command of a daemon."""

    @click.command("status")
    @click.option("--watch", is_flag=True, help="Show it again and again, until Ctrl-C.")
    @click.option(
        "--interval",
        type=click.FloatRange(0.2, 3600),
        default=2.0,
        show_default=True,
        help="Seconds between two looks, with --watch.",
    )
    @click.option("--times", type=click.IntRange(1), help="End after so many looks, with --watch.")
    @account_option
    @address_option
    @json_option
    @every_market
    def command(
        watch: bool,
        interval: float,
        times: int | None,
        account: str | None,
        address: Address | None,
        as_json: bool,
    ) -> None:
        """Shows stake, coins, sales, the nearest deadline, income, and how far the daemon has read.

        It looks from outside: at the chain, at the ledger, and whether a daemon holds its lock.
        Without a node, or without a ledger, it shows the rest.
        """
        settings = Settings.load()
        who = address or role_address(settings, role, account)
        view = _View(settings, role, who, as_json)
        if not watch:
            asyncio.run(view.once())
            return
        asyncio.run(view.watch(interval, times))

    return command


class _View:
    def __init__(self, settings: Settings, role: str, who: Address, as_json: bool) -> None:
        self._settings = settings
        self._role = role
        self._who = who
        self._as_json = as_json

    async def once(self) -> None:
        from dam.diagnostics.snapshot import Watcher
        from dam.market.connect import open_nodes

        settings = self._settings
        async with open_nodes(settings) as rpc:
            payer = payer_address(settings, self._who)
            found = await Watcher(settings, self._role, self._who, rpc, payer).look()
        stranger = self._role == "deliverer" and found.chain and not found.chain.candidate
        if stranger and found.ledger is None:
            raise Permanent(f"{self._who} is no deliverer yet: run `dam deliverer stake AMOUNT`")
        text = _text(rows(found, settings.deployment.windows))
        print_result(snapshot_json(found, settings.deployment.windows), self._as_json, text)

    async def watch(self, interval: float, times: int | None) -> None:
        from dam.diagnostics.snapshot import Watcher
        from dam.market.connect import open_nodes

        settings, windows = self._settings, self._settings.deployment.windows
        async with open_nodes(settings) as rpc:
            payer = payer_address(settings, self._who)
            watcher = Watcher(settings, self._role, self._who, rpc, payer)
            show = self._show()
            with show:
                while True:
                    found = await watcher.look()
                    if self._as_json:
                        line = json.dumps(
                            json_ready(snapshot_json(found, windows)), ensure_ascii=False
                        )
                        write_result(line)
                    else:
                        show.update(rows(found, windows))
                    times = None if times is None else times - 1
                    if times == 0:
                        return
                    await asyncio.sleep(interval)

    def _show(self) -> _Live | _Plain:
        live = sys.stdout.isatty() and not self._as_json and os.environ.get("TERM") != "dumb"
        return _Live() if live else _Plain()


class _Plain:
    """One text after another, where no terminal is."""

    def __enter__(self) -> _Plain:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def update(self, found: list[Row]) -> None:
        """Prints it."""
        write_result(_text(found) + "\n", fitted=True)


class _Live:
    """One table, in place."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(console=Console(), auto_refresh=False)

    def __enter__(self) -> _Live:
        self._live.__enter__()
        return self

    def __exit__(self, *exc: Any) -> None:
        self._live.__exit__(*exc)

    def update(self, found: list[Row]) -> None:
        """Shows it in place of the last."""
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2))
        now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        for label, text, color in [*found, ("", f"{now}; Ctrl-C ends the view", "dim")]:
            # Text, not markup: what comes from outside is shown as it is.
            table.add_row(Text(label, style="bold"), Text(text, style=color))
        self._live.update(table, refresh=True)


def _text(found: list[Row]) -> str:
    return "\n".join(
        f"{label:<10} {click.style(text, fg=color) if color in ('red', 'yellow') else text}"
        for label, text, color in found
    )


# -------------------------------------------------------------------------------------- in words


def rows(found: Snapshot, windows: Windows) -> list[Row]:
    """What a person sees."""
    lines: list[Row] = [(found.role.capitalize(), found.account, "")]
    if found.chain is None:
        lines.append(("Node", f"cannot be asked: {found.node_error}", "red"))
    else:
        lines += _chain_rows(found, windows)
    lines.append(
        ("Daemon", f"runs (process {found.process})", "green")
        if found.process
        else ("Daemon", f"is not running: dam {found.role} run", "red")
    )
    if found.ledger is None:
        return [*lines, ("Ledger", found.ledger_error, "yellow")]
    return [*lines, *_ledger_rows(found, found.ledger)]


def _chain_rows(found: Snapshot, windows: Windows) -> list[Row]:
    chain = found.chain
    assert chain is not None
    one = chain.candidate
    lines: list[Row] = []
    if one is not None:
        slash = chain.slashes[-1] if chain.slashes else None
        minimum = format_amount(windows.min_deliverer_stake)
        since = one.registration
        state = state_text(one, windows, slash)
        lines = [
            ("State", state, "green" if state == "delivers" else "red"),
            ("Stake", f"{format_amount(one.stake)}, minimum {minimum}", ""),
            _fines_row(found, windows, one.stake),
            ("Earned", f"{format_amount(one.earned)} to withdraw", ""),
            ("Delivered", f"{one.delivered} parts since block {since.since}", ""),
            ("Key", f"{to_hex(since.key)} since block {since.key_since}", ""),
            ("Owner", since.owner, ""),
        ]
    elif found.role == "deliverer":
        lines = [("State", "not registered: dam deliverer stake AMOUNT", "red")]
    if chain.proofs:
        taken = format_amount(sum(proof.taken for proof in chain.proofs))
        lines.append(("Junk", f"{len(chain.proofs)} parts proved to be junk, {taken} taken", "red"))
    coins = f"{format_amount(chain.balance)} for gas"
    if found.payer != found.account:
        coins += f", of {found.payer}, which sends"
    lines.append(("Coins", coins, "red" if chain.balance == 0 else ""))
    if one is not None and one.terms:
        lines.append(("Asks", asks_text(one.terms), ""))
    lines += [("Frozen", slash_text(slash), "red") for slash in chain.slashes]
    if one is not None and one.exit_time:
        when = format_time(one.exit_time)
        lines.append(("Exit", f"the stake leaves from {when} on", "yellow"))
    lines.append(("Node", f"block {chain.head.number}, one every {chain.block_seconds:.1f} s", ""))
    return lines


def _fines_row(found: Snapshot, windows: Windows, stake: int) -> Row:
    """What junk would cost, and whether the stake covers the fees of the parts held."""
    fine, most = windows.fine(found.highest_fee), stake // STAKED_FEES
    text = f"junk costs {format_amount(fine)} a part; fees up to {format_amount(most)} are served"
    if found.highest_fee <= most:
        return ("Fines", text, "")
    held = format_amount(found.highest_fee)
    return ("Fines", f"{text}, and a part held earns {held}: its sales are refused", "red")


def _ledger_rows(found: Snapshot, ledger: DaemonStatus) -> list[Row]:
    behind = found.behind
    lag = "" if behind is None else f", {behind} behind" if behind else ", up to date"
    color = "" if not behind or behind < 10 else "yellow" if behind < 50 else "red"
    ahead = ledger.cursor - found.chain.head.number if found.chain else 0
    if ahead > 0:
        lag, color = f", {ahead} more than the node has: it is behind", "red"
    lines: list[Row] = [
        ("Read to", f"block {ledger.cursor}{lag}", color),
        ("Sales", _counts_text(ledger.purchases) or "none yet", ""),
        (
            "Duties",
            _counts_text(ledger.jobs) or "none yet",
            "red" if ledger.jobs.get("failed") else "",
        ),
        _deadline_row(found.deadline),
        _money_row(found.role, ledger),
    ]
    if found.role == "deliverer":
        stores = (
            f"{_counts_text(ledger.stores) or 'none yet'}; {ledger.parts} parts of ours, "
            f"{ledger.pinned_bytes / 2**20:.1f} MiB pinned"
        )
        lines.append(("Stores", stores, ""))
    lines += [("Refused", _event_text(entry), "") for entry in ledger.refused[:_SHOWN]]
    lines += [("Journal", _event_text(entry), "") for entry in ledger.alerts[:_SHOWN]]
    return lines


def _money_row(role: str, ledger: DaemonStatus) -> Row:
    gas = f"gas {format_about(ledger.gas_paid)} in {ledger.transactions} transactions"
    if ledger.data_paid:
        gas += f" (of it {format_about(ledger.data_paid)} for their data)"
    earned = f"{format_amount(ledger.earned)} for {ledger.delivered} parts"
    if role == "deliverer":
        return ("Income", f"{earned}; {gas}", "")
    # The fee of a part that the seller's side delivers is the buyer's.
    text = f"{gas}; {ledger.delivered} parts delivered for the seller, at no fee"
    return ("Cost", f"{gas}; earned {earned}" if ledger.earned else text, "")


def _deadline_row(deadline: Deadline | None) -> Row:
    if deadline is None:
        return ("Deadline", "nothing is due", "")
    when = format_time(deadline.last_time)
    text = f"{when} for sale {to_hex(deadline.copy_id)[:18]}..."
    if deadline.seconds is None or deadline.alone_blocks is None:
        return ("Deadline", text, "")
    text += f": in {format_span(deadline.seconds)}"
    alone = "the seller may deliver it, too"
    if deadline.alone_blocks:
        alone = f"ours alone for {deadline.alone_blocks} blocks"
    return ("Deadline", f"{text}; {alone}", "red" if deadline.seconds < _HURRY_SECONDS else "")


def _counts_text(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in sorted(counts.items()) if number)


def _shorten(value: object) -> str:
    """Hashes by their beginning, which is enough to find them in --json or the log."""
    text = str(value)
    return f"{text[:12]}..." if text.startswith("0x") and len(text) == 66 else text


def _event_text(entry: Mapping[str, Any]) -> str:
    about = ", ".join(f"{k}={_shorten(v)}" for k, v in entry.items() if k not in ("at", "event"))
    return f"{str(entry['at'])[:19]}  {entry['event']}  {about}"


# --------------------------------------------------------------------------------- for programs


def snapshot_json(found: Snapshot, windows: Windows) -> dict[str, Any]:
    """The same for programs: amounts in wei as decimal text, times in blocks and seconds."""
    chain, ledger = found.chain, found.ledger
    value: dict[str, Any] = {"operator": found.account}
    if chain is not None:
        if chain.candidate is not None:
            slash = chain.slashes[-1] if chain.slashes else None
            value |= deliverer_json(chain.candidate, windows, slash)
        value |= {
            "balance": str(chain.balance),
            "sender": found.payer,
            "block": chain.head.number,
            "clock": {"block": chain.clock.block, "time": chain.clock.time},
            "junkProofs": len(chain.proofs),
            "junkTaken": str(sum(proof.taken for proof in chain.proofs)),
            "highestFee": str(found.highest_fee),
            "fine": str(windows.fine(found.highest_fee)),
        }
    value["node"] = {
        "reachable": chain is not None,
        "error": found.node_error or None,
        "blockSeconds": round(chain.block_seconds, 2) if chain else None,
    }
    value["daemon"] = {
        "running": found.process is not None,
        "process": found.process,
        "behind": found.behind,
        "ledgerError": found.ledger_error or None,
        "ledger": None if ledger is None else _ledger_json(found, ledger),
    }
    return value


def _ledger_json(found: Snapshot, ledger: DaemonStatus) -> dict[str, Any]:
    deadline = found.deadline
    return {
        "cursor": ledger.cursor,
        "purchases": ledger.purchases,
        "jobs": ledger.jobs,
        "stores": ledger.stores,
        "parts": ledger.parts,
        "pinnedBytes": ledger.pinned_bytes,
        "delivered": ledger.delivered,
        "earned": str(ledger.earned),
        "gasPaid": str(ledger.gas_paid),
        "dataPaid": str(ledger.data_paid),
        "transactions": ledger.transactions,
        "nextDeadline": deadline
        and {
            "copyId": deadline.copy_id,
            "lastTime": deadline.last_time,
            "seconds": deadline.seconds,
            "aloneBlocks": deadline.alone_blocks,
        },
        "refused": ledger.refused,
        "journal": ledger.alerts,
    }
