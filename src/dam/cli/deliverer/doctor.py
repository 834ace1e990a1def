"""``dam doctor``: can this machine be used? And a daemon's own: can it be left alone?"""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, Any

import click

from dam.cli.deliverer.recover import binding_of
from dam.cli.session import (
    account_option,
    address_option,
    json_option,
    passphrase_prompt,
    payer_address,
    print_result,
    role_address,
    role_alias,
)
from dam.config.settings import Settings, config_path, home_folder, unchosen_markets
from dam.errors import ConfigError, DamError
from dam.types import ZERO_ADDRESS, Address
from dam.units import format_amount

if TYPE_CHECKING:
    from dam.diagnostics.host_checks import Examination, Finding

measure_option = click.option(
    "--measure",
    is_flag=True,
    help="Also measure what each node takes: up to 250 requests and 64 MiB of each.",
)
_MARKS = {"ok": ("ok  ", "green"), "warn": ("warn", "yellow"), "fail": ("FAIL", "red")}


def doctor_command(role: str) -> click.Command:
    """The command of a daemon."""

    @click.command("doctor")
    @click.option(
        "--deliveries",
        type=click.IntRange(1, 1_000_000),
        default=100,
        show_default=True,
        help="For how many the balance should last.",
    )
    @measure_option
    @account_option
    @address_option
    @json_option
    def command(
        deliveries: int,
        measure: bool,
        account: str | None,
        address: Address | None,
        as_json: bool,
    ) -> None:
        """Looks at clock, disk, keys, nodes, IPFS, balance, stake, record and ledger.

        Each finding is ok, warn or FAIL, with a fix; the exit code is 1 if anything fails. Nothing
        is changed or signed. Passphrases come as for the daemon; that of the key file is asked for
        on a terminal. With --measure the last lines, "keep", are for config.toml.
        """
        _report(_examine(role, deliveries, account, address, measure=measure), as_json)

    return command


@click.command("doctor")
@measure_option
@account_option
@address_option
@json_option
def doctor(measure: bool, account: str | None, address: Address | None, as_json: bool) -> None:
    """Looks at settings, nodes, IPFS, this machine and the account's coins.

    For whoever buys, sells or rules; `dam deliverer doctor` and `dam watchdog doctor` look at a
    daemon besides. Each finding is ok, warn or FAIL, with a fix; the exit code is 1 if anything
    fails. Nothing is changed or signed. With --measure the last lines, "keep", are for config.toml.
    """
    from dam.diagnostics.host_checks import Examination, fail

    try:
        settings = Settings.load()
    except ConfigError as error:
        fix = "mend what is named, or run `dam init`"
        with contextlib.suppress(ConfigError):  # that very one
            fix = next((f"dam --market {one} doctor" for one in unchosen_markets(os.environ)), fix)
        _report([fail("settings", str(error), fix)], as_json)
        return
    lost: list[Finding] = []
    who = address or ZERO_ADDRESS
    try:
        who = address or role_address(settings, "default", account)
    except DamError as error:
        lost = [fail("account", str(error), "make it, or name another one with --account")]
    binding = binding_of(settings, "deliverer", who)
    one = Examination(settings, "deliverer", None, who, binding, os.environ)
    _report(lost + asyncio.run(_look_around(one, measure=measure)), as_json)


async def _look_around(one: Examination, *, measure: bool) -> list[Finding]:
    from dam.diagnostics.chain_checks import look_at_nodes
    from dam.diagnostics.host_checks import guarded, ok, warn
    from dam.ethereum.node import balance_of

    async def coins() -> list[Finding]:
        assert rpc is not None
        found = await balance_of(rpc, one.account)
        text = f"{one.account} has {format_amount(found)}"
        return [ok("coins", text) if found else warn("coins", text, "send it some coins for gas")]

    nodes, rpc = await look_at_nodes(one.settings, one.account)
    found = [_settings(one), *nodes]
    if rpc is not None:
        async with rpc:
            if one.account != ZERO_ADDRESS:
                found += await guarded("coins", coins)
    found += await guarded("ipfs", one.ipfs) + await guarded("machine", one.machine)
    return found + (await _measures(one.settings) if measure else [])


async def _measures(settings: Settings) -> list[Finding]:
    from dam.diagnostics.node_measures import measure_nodes

    return await measure_nodes(settings)


def _report(findings: list[Finding], as_json: bool) -> None:
    worst = {finding.level for finding in findings}
    value = {
        "healthy": "fail" not in worst,
        "findings": [
            {"check": f.check, "level": f.level, "text": f.text, "fix": f.fix} for f in findings
        ],
    }
    print_result(value, as_json, _text(findings))
    if "fail" in worst:
        click.get_current_context().exit(1)


def _examine(
    role: str, deliveries: int, account: str | None, address: Address | None, *, measure: bool
) -> list[Finding]:
    from dam.diagnostics import host_checks

    try:
        settings = Settings.load()
        # Whoever asks about an address need not have its account here.
        alias = None if address else role_alias(settings, role, account)
        who = address or role_address(settings, role, account)
        binding = binding_of(settings, role, who)
        payer = payer_address(settings, who)
    except ConfigError as error:
        begin = "dam deliverer init" if role == "deliverer" else "dam init"
        path, fix = config_path(home_folder()), "mend what is named"
        if not path.exists():
            fix = f"{begin}; or is {path} not the daemon's home: DAM_HOME, or another user's?"
        return [host_checks.fail("settings", str(error), fix)]
    except DamError as error:
        return [host_checks.fail("account", str(error), host_checks.LOST_ACCOUNT)]
    one = host_checks.Examination(
        settings,
        role,
        alias,
        who,
        binding,
        os.environ,
        passphrase_prompt(),
        None if payer == who else payer,
    )
    return asyncio.run(_run_checks(one, deliveries, measure=measure))


async def _run_checks(one: Examination, deliveries: int, *, measure: bool) -> list[Finding]:
    from dam.diagnostics.chain_checks import ChainExamination, look_at_nodes
    from dam.diagnostics.host_checks import guarded

    found = [_settings(one)]
    found += await guarded("keys", one.keys)
    nodes, rpc = await look_at_nodes(one.settings, one.account)
    found += nodes
    if rpc is not None:
        async with rpc:
            chain = ChainExamination(one, rpc, deliveries)
            checks: dict[str, Any] = {"record": chain.record, "balance": chain.balance}
            if one.role == "deliverer":
                checks["stake"] = chain.stake
            else:
                seller = Address(one.binding.role.rpartition(" ")[2])
                checks["seller"] = lambda: chain.operator(seller)
            for name, check in checks.items():
                found += await guarded(name, check)
    else:
        found.append(_no_node(one.role))
    if one.role == "deliverer":
        found += await guarded("ipfs", one.ipfs)
    found += await guarded("ledger", one.ledger)
    found += await guarded("machine", one.machine)
    return found + (await _measures(one.settings) if measure else [])


def _no_node(role: str) -> Finding:
    from dam.diagnostics.host_checks import warn

    what = "balance, stake and key" if role == "deliverer" else "balance and operator"
    fix = "mend what the lines on rpc say, then again"
    return warn("record", f"without a node, record, {what} were not looked at", fix)


def _settings(one: Examination) -> Finding:
    from dam.diagnostics.host_checks import ok

    return ok("settings", f"complete: {one.settings.home}")


def _text(findings: list[Finding]) -> str:
    width = max(len(finding.check) for finding in findings)
    lines = []
    for finding in findings:
        mark, color = _MARKS[finding.level]
        lines.append(f"{click.style(mark, fg=color)}  {finding.check:<{width}}  {finding.text}")
        if finding.fix:
            lines.append(f"      {'':<{width}}  -> {finding.fix}")
    count = {level: sum(f.level == level for f in findings) for level in _MARKS}
    lines.append("")
    lines.append(
        f"{count['ok']} ok, {count['warn']} to look at, {count['fail']} to mend"
        + ("" if count["fail"] else ": ready to run")
    )
    return "\n".join(lines)
