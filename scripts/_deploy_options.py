"""The options of `ape run deploy` that say what is deployed, and what they add up to."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import click

from dam.crypto.hashing import parse_address
from dam.errors import Malformed
from dam.ethereum.create2 import DEPLOYER
from dam.market.code import Build
from dam.market.deployment import CREATE2, MAX_PROPOSERS, Adapter, Origin, Timelock
from dam.types import FALLBACK_BLOCKS, ZERO_ADDRESS, Address, Windows
from scripts._chain_clock import SHORT_SECONDS, Measured, fallback_fault
from scripts._profiles import (
    DAY_SECONDS,
    EXIT_MARGIN_SECONDS,
    HOUR_SECONDS,
    PROFILES,
    Profile,
    longest_seconds,
    propose,
)


def _seconds(name: str, least: int, bits: int, text: str) -> Any:
    return click.option(name, type=click.IntRange(least, 1 << bits), help=text)


_OPTIONS = (
    click.option(
        "--profile",
        "profile_name",
        type=click.Choice(list(PROFILES)),
        help="Kind of chain: gives all that the options from --refund-seconds to --junk-fine do "
        "not say. [default: development on a development chain; else it must be said]",
    ),
    _seconds(
        "--refund-seconds",
        HOUR_SECONDS,
        24,
        "Refunds open so long after the purchase; deliverers have a third of it.",
    ),
    _seconds(
        "--dispute-seconds",
        1,
        24,
        "The buyer's time to dispute; at least two thirds of --refund-seconds.",
    ),
    _seconds("--arbitration-seconds", DAY_SECONDS, 25, "The arbitrator's time to rule."),
    _seconds(
        "--slash-delay-seconds",
        HOUR_SECONDS,
        24,
        "Between the proposal of a slash and its first execution.",
    ),
    _seconds("--slash-lapse-seconds", HOUR_SECONDS, 24, "How long a slash can be executed then."),
    _seconds(
        "--exit-seconds",
        1,
        27,
        "Delay of a deliverer's exit. [default: all windows above, and a day]",
    ),
    click.option(
        "--min-deliverer-stake",
        type=click.IntRange(1, (1 << 88) - 1),
        help="Least stake of a deliverer that delivers, in wei.",
    ),
    click.option(
        "--min-seller-stake",
        type=click.IntRange(0, (1 << 96) - 1),
        help="Least free stake of a seller who opens a store, in wei.",
    ),
    click.option(
        "--junk-fine",
        type=click.IntRange(0),
        help="Least fine for a part that was junk, in wei; at most --min-deliverer-stake.",
    ),
    click.option(
        "--governor",
        default="none",
        show_default=True,
        help="Who may propose slashes: none, an address, or timelock (deploys OpenZeppelin's).",
    ),
    click.option(
        "--timelock-proposer",
        "proposers",
        multiple=True,
        help="Address that may schedule on the timelock, such as a Governor's; may be repeated.",
    ),
    click.option(
        "--timelock-seconds",
        type=click.IntRange(0, 1 << 32),
        default=2 * DAY_SECONDS,
        show_default=True,
        help="Least delay of the timelock.",
    ),
    click.option(
        "--arbitrator",
        help="Address of an ERC-792 arbitrator, such as Kleros: an adapter to it is deployed, too.",
    ),
    click.option(
        "--arbitrator-data",
        default="0x",
        help="What it is told with every dispute, in hex: for Kleros, court and jurors.",
    ),
    click.option(
        "--arbitrator-seconds",
        type=click.IntRange(1, 1 << 25),
        default=DAY_SECONDS,
        show_default=True,
        help="At the end of the time to rule: in it a ruling that is not final will do.",
    ),
    click.option(
        "--meta-evidence",
        default="",
        help="URI of the JSON that tells jurors what the rulings mean (ERC-1497).",
    ),
    click.option(
        "--salt",
        default="0x" + "00" * 32,
        help="Of CREATE2, 0x and 64 hex digits: another one, another market. [default: zeros]",
    ),
    click.option(
        "--plain",
        is_flag=True,
        help="Without CREATE2: the address proves nothing, and differs between chains.",
    ),
)


def setup_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """All of them."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def choose_profile(name: str | None, measured: Measured, development: bool) -> Profile:
    """The profile that was named, compared with what was measured.

    Raises:
        click.UsageError: None was named for a chain that lasts.
        click.ClickException: It is for another kind of chain.
    """
    if name is None:
        name = "development" if development else _ask_profile(measured)
    profile = PROFILES[name]
    if development:
        return profile
    if name == "development":
        raise click.UsageError(
            "--profile development is for a chain that ends with its process, and this one lasts"
        )
    wrong, odd = profile.fits(measured.own_blocks, measured.seconds)
    if wrong:
        better = propose(measured.own_blocks, measured.seconds)
        raise click.ClickException(
            f"--profile {name} is not for this chain: {wrong}"
            + (f"; --profile {better} is" if better else "")
        )
    if odd:
        click.echo(f"Warning: {odd}: are these windows right?", err=True)
    return profile


def _ask_profile(measured: Measured) -> str:
    found = propose(measured.own_blocks, measured.seconds)
    looks = f"; this one looks like {found}" if found else ""
    if not sys.stdin.isatty():
        raise click.UsageError(
            f"name the kind of chain with --profile{looks}: the windows cannot be changed later"
        )
    choices = click.Choice([name for name in PROFILES if name != "development"])
    answer: str = click.prompt(f"Kind of chain{looks}", type=choices, default=found or None)
    return answer


def choose_windows(profile: Profile, options: Mapping[str, Any]) -> Windows:
    """The profile's windows, and what the options say instead.

    Raises:
        click.UsageError: The contract would refuse them; the message names the option.
    """
    said = {f.name: options[f.name] for f in fields(Windows) if options[f.name] is not None}
    windows = replace(profile.windows, **said)
    longest = longest_seconds(
        windows.refund_seconds,
        windows.dispute_seconds,
        windows.arbitration_seconds,
        windows.slash_delay_seconds,
        windows.slash_lapse_seconds,
    )
    if "exit_seconds" not in said:
        windows = replace(windows, exit_seconds=longest + EXIT_MARGIN_SECONDS)
    if windows.dispute_seconds < windows.proof_seconds:
        raise click.UsageError(
            f"--dispute-seconds must be at least {windows.proof_seconds}: two thirds of "
            "--refund-seconds, in which proofs clear parts"
        )
    if windows.exit_seconds < longest:
        raise click.UsageError(
            f"--exit-seconds must be at least {longest}: the longest sale, and the delay and "
            "lapse of a slash"
        )
    if windows.junk_fine > windows.min_deliverer_stake:
        raise click.UsageError("--junk-fine must be at most --min-deliverer-stake")
    return windows


def check_fallback(measured: Measured, windows: Windows) -> None:
    """Refuses a chain whose blocks are too slow, and warns of quick ones.

    Raises:
        click.ClickException: 100 blocks last too long for these windows.
    """
    seconds = measured.seconds
    if seconds is None:
        click.echo("Warning: the chain has too few blocks to say how long 100 last", err=True)
        return
    click.echo(f"{FALLBACK_BLOCKS} blocks last about {seconds:.0f} s here")
    fault = fallback_fault(seconds, windows)
    if fault:
        raise click.ClickException(fault)
    if seconds < SHORT_SECONDS:
        click.echo(
            f"Warning: sellers may deliver themselves after {seconds:.0f} s, so buyers of short "
            "patience and deliverers that are briefly away meet fallbacks",
            err=True,
        )


def choose_governor(options: Mapping[str, Any]) -> tuple[Address | None, Timelock | None]:
    """Nobody, the one named, or a timelock to be deployed: then its address is None.

    Raises:
        click.UsageError: What was said does not go together.
    """
    choice, proposers = options["governor"], options["proposers"]
    if choice != "timelock" and proposers:
        raise click.UsageError("--timelock-proposer goes with --governor timelock")
    if choice == "none":
        return ZERO_ADDRESS, None
    if choice != "timelock":
        return _address(choice, "--governor"), None
    if not proposers:
        raise click.UsageError("a timelock needs at least one --timelock-proposer")
    if len(proposers) > MAX_PROPOSERS:
        raise click.UsageError(
            f"a timelock has at most {MAX_PROPOSERS} of --timelock-proposer, not {len(proposers)}: "
            "let a contract of theirs propose for many"
        )
    checked = [_address(one, "--timelock-proposer") for one in proposers]
    return None, Timelock(options["timelock_seconds"], tuple(checked))


def choose_origin(
    profile: Profile, options: Mapping[str, Any], timelock: Timelock | None, build: Build
) -> Origin:
    """How the market will come about, by CREATE2; addresses are not known yet.

    Raises:
        click.UsageError: An option is wrong.
    """
    salt = options["salt"]
    if not re.fullmatch(r"0x[0-9a-fA-F]{64}", salt):
        raise click.UsageError("--salt is 0x and 64 hex digits")
    adapter = None
    if options["arbitrator"]:
        data = options["arbitrator_data"]
        if not re.fullmatch(r"0x([0-9a-fA-F]{2}){0,4096}", data):
            raise click.UsageError("--arbitrator-data is 0x and pairs of hex digits")
        adapter = Adapter(
            ZERO_ADDRESS,
            _address(options["arbitrator"], "--arbitrator"),
            bytes.fromhex(data[2:]),
            options["arbitrator_seconds"],
            options["meta_evidence"],
        )
    return Origin(
        profile=profile.name,
        method=CREATE2,
        deployer=DEPLOYER,
        salt=bytes.fromhex(salt[2:]),
        timelock=timelock,
        adapter=adapter,
        compiler=build.compiler,
        source_hash=build.source_hash,
    )


def _address(text: str, option: str) -> Address:
    try:
        return parse_address(text)
    except Malformed as error:
        raise click.UsageError(f"{option}: {error}") from None


def out_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--out``: where the record goes."""
    return click.option(
        "--out",
        type=click.Path(dir_okay=False, path_type=Path),
        help="The record's file. [default: deployments/<chainId>.json; of a development chain "
        ".build/deployments/<chainId>.json]",
    )(command)
