"""Deploys the market, and before it its verifier of evidence: `ape run deploy --network ...`.

It writes the deployment record. The network is an argument, so one script serves a local chain, a
test network and the main one:

    ape run deploy --network http://127.0.0.1:8545 --account TEST::0
    ape run deploy --network ethereum:sepolia:node --account my-account
    ape run deploy --network ... --governor 0x...              an account or a DAO's contract
    ape run deploy --network ... --governor timelock --timelock-proposer 0x...

The windows and the governor cannot be changed afterwards. A deployment is immutable: a new version
is a new address. Windows are seconds, long beside any halt that a chain has had. Only the fallback
counts blocks, 100 of them: the script measures how long they last, warns where that is under a
minute, and refuses where it is over a quarter of the time to deliver or to dispute.

It asks for an account that was not named, for its passphrase, and before it signs; but not without
a terminal: there --account names the account, --yes signs, and the passphrase comes from Ape's
variable APE_ACCOUNTS_<alias>_PASSPHRASE or a systemd credential.

The record of a chain that lasts goes to deployments/<chainId>.json, where `dam init` looks. A
development chain is gone tomorrow, and another one has its chain id: its record goes to
.build/deployments/<chainId>.json, over the one before, and `dam init --deployment` takes it there.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click
from ape import project
from ape.cli import AccountAliasPromptChoice, ConnectedProviderCommand, account_option
from ape_accounts import KeyfileAccount

from dam.crypto.hashing import keccak, parse_address
from dam.errors import KeyFileError, Malformed
from dam.keystore.ape_accounts import account_passphrase
from dam.market.deployment import record_path, save_deployment
from dam.types import FALLBACK_BLOCKS, ZERO_ADDRESS, Address, Deployment, Wei, Windows
from scripts import _sending
from scripts._chain_clock import SHORT_SECONDS, fallback_fault, fallback_seconds
from scripts._contracts import load_fresh

ROOT = Path(__file__).resolve().parents[1]
DEVELOPMENT_IDS = {1337, 31337}
"""Chain ids of Geth's development chain, and of Anvil and Hardhat."""
DEVELOPMENT_CLIENTS = ("anvil", "hardhat", "ganache", "ethereumjs", "eth-tester")
HOUR_SECONDS, DAY_SECONDS = 3600, 86_400
EXIT_MARGIN_SECONDS = DAY_SECONDS
"""Beyond the longest sale and a slash's delay and lapse. Choose more for a governor whose own path
is longer."""


def _is_development(provider: Any) -> bool:
    """Whether the chain goes with the process that runs it, as a copy of a public one does, too."""
    if provider.network.is_dev or provider.chain_id in DEVELOPMENT_IDS:
        return True
    try:
        client = str(provider.make_request("web3_clientVersion", []))
    except Exception:  # noqa: BLE001 - a public node may refuse to say; then it is none of these
        return False
    return client.lower().startswith(DEVELOPMENT_CLIENTS)


def _record_file(provider: Any, force: bool) -> Path:
    """Where the record goes if nobody says."""
    if _is_development(provider):
        return record_path(ROOT / ".build" / "deployments", provider.chain_id)
    path = record_path(ROOT / "deployments", provider.chain_id)
    _check_free(path, force)
    return path


def _check_free(path: Path, force: bool) -> None:
    if path.exists() and not force:
        raise click.UsageError(f"{path} is there already: use --out, or --force to replace it")


def _account(account: Any, yes: bool) -> Any:
    """The account that pays, asked for where somebody can answer, and ready to sign.

    Raises:
        click.UsageError: No terminal, and an answer is missing.
    """
    asks = sys.stdin.isatty()
    if account is None:
        if not asks:
            raise click.UsageError("no terminal to ask on: name the account with --account")
        account = AccountAliasPromptChoice().select_account()
    if isinstance(account, KeyfileAccount):
        if yes:
            try:
                passphrase = account_passphrase(
                    account.alias, os.environ, _ask_passphrase if asks else None
                )
            except KeyFileError as error:
                raise click.UsageError(str(error)) from None
            account.set_autosign(True, passphrase)
        elif not asks:
            raise click.UsageError("no terminal to ask on: --yes signs without a question")
    return account


def _ask_passphrase(text: str) -> str:
    return str(click.prompt(text, hide_input=True))


def _governor(
    provider: Any, account: Any, choice: str, proposers: tuple[str, ...], seconds: int
) -> Address:
    """Address of the governor: nobody's, the one named, or a timelock deployed for it."""
    if choice != "timelock" and proposers:
        raise click.UsageError("--timelock-proposer goes with --governor timelock")
    if choice == "none":
        return ZERO_ADDRESS
    try:
        if choice != "timelock":
            return parse_address(choice)
        checked = [parse_address(one) for one in proposers]
    except Malformed as error:
        raise click.UsageError(str(error)) from None
    if not checked:
        raise click.UsageError("a timelock needs at least one --timelock-proposer")
    timelock = _sending.deploy(provider, account, project.Timelock, seconds, checked)
    click.echo(f"Timelock {timelock.address}: {seconds} seconds")
    return Address(str(timelock.address))


@click.command(cls=ConnectedProviderCommand, name="deploy")
@account_option(prompt=None)
@click.option("--yes", is_flag=True, help="Sign without a question.")
@click.option(
    "--refund-seconds",
    type=click.IntRange(HOUR_SECONDS, 1 << 24),
    default=DAY_SECONDS,
    show_default=True,
    help="Refunds open so long after the purchase; deliverers have a third of it.",
)
@click.option(
    "--dispute-seconds",
    type=click.IntRange(1, 1 << 24),
    default=3 * DAY_SECONDS,
    show_default=True,
    help="The buyer's time to dispute; at least two thirds of --refund-seconds.",
)
@click.option(
    "--arbitration-seconds",
    type=click.IntRange(DAY_SECONDS, 1 << 25),
    default=7 * DAY_SECONDS,
    show_default=True,
    help="The arbitrator's time to rule.",
)
@click.option(
    "--governor",
    default="none",
    show_default=True,
    help="Who may propose slashes: none, an address, or timelock (deploys OpenZeppelin's).",
)
@click.option(
    "--timelock-proposer",
    "proposers",
    multiple=True,
    help="Address that may schedule on the timelock, such as a Governor's; may be repeated.",
)
@click.option(
    "--timelock-seconds",
    type=click.IntRange(0),
    default=2 * DAY_SECONDS,
    show_default=True,
    help="Least delay of the timelock.",
)
@click.option(
    "--slash-delay-seconds",
    type=click.IntRange(HOUR_SECONDS, 1 << 24),
    default=7 * DAY_SECONDS,
    show_default=True,
    help="Between the proposal of a slash and its first execution.",
)
@click.option(
    "--slash-lapse-seconds",
    type=click.IntRange(HOUR_SECONDS, 1 << 24),
    default=7 * DAY_SECONDS,
    show_default=True,
    help="How long a slash can be executed then.",
)
@click.option(
    "--exit-seconds",
    type=click.IntRange(1, 1 << 27),
    help="Delay of a deliverer's exit. [default: all windows above, and a day]",
)
@click.option(
    "--min-deliverer-stake",
    type=click.IntRange(1, (1 << 88) - 1),
    default=10**16,
    show_default=True,
    help="Least stake of a deliverer that delivers, in wei.",
)
@click.option(
    "--min-seller-stake",
    type=click.IntRange(0, (1 << 96) - 1),
    default=10**16,
    show_default=True,
    help="Least free stake of a seller who opens a store, in wei.",
)
@click.option(
    "--junk-fine",
    type=click.IntRange(0),
    default=5 * 10**15,
    show_default=True,
    help="Least fine for a part that was junk, in wei; at most --min-deliverer-stake.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The record's file. [default: deployments/<chainId>.json; of a development chain "
    ".build/deployments/<chainId>.json]",
)
@click.option("--force", is_flag=True, help="Replace a record that is there already.")
def cli(
    provider,
    account,
    yes: bool,
    refund_seconds: int,
    dispute_seconds: int,
    arbitration_seconds: int,
    governor: str,
    proposers: tuple[str, ...],
    timelock_seconds: int,
    slash_delay_seconds: int,
    slash_lapse_seconds: int,
    exit_seconds: int | None,
    min_deliverer_stake: int,
    min_seller_stake: int,
    junk_fine: int,
    out: Path | None,
    force: bool,
) -> None:
    """Deploys the market and writes its deployment record."""
    longest = refund_seconds + dispute_seconds + arbitration_seconds
    longest += slash_delay_seconds + slash_lapse_seconds
    windows = Windows(
        refund_seconds,
        dispute_seconds,
        arbitration_seconds,
        longest + EXIT_MARGIN_SECONDS if exit_seconds is None else exit_seconds,
        slash_delay_seconds,
        slash_lapse_seconds,
        Wei(min_deliverer_stake),
        Wei(min_seller_stake),
        Wei(junk_fine),
    )
    _check_windows(windows, longest)
    if out:
        _check_free(out, force)
    path = out or _record_file(provider, force)
    _check_fallback(provider, windows)
    account = _account(account, yes)
    # Ape misses a change of a file that Marketplace.sol imports: never deploy what it cached, and
    # on a chain that lasts not even what we did.
    load_fresh(project, anew=not _is_development(provider))
    judge = _governor(provider, account, governor, proposers, timelock_seconds)
    deployment = _deploy(provider, account, windows, judge)
    save_deployment(deployment, path)
    size = len(bytes(provider.get_code(deployment.market)))
    click.echo(f"Proofs {deployment.proofs}")
    click.echo(f"Market {deployment.market}: block {deployment.first_block}, {size} bytes of code")
    click.echo(f"Record {path}")
    if _is_development(provider):
        click.echo(f"A chain that goes: for it, dam init --deployment {path}")


def _check_windows(windows: Windows, longest: int) -> None:
    """Refuses what the contract would, before anything costs gas.

    Raises:
        click.UsageError: The message names the option.
    """
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


def _check_fallback(provider: Any, windows: Windows) -> None:
    """Says what kind of chain this is, and refuses one whose blocks are too slow.

    Raises:
        click.ClickException: 100 blocks last too long for these windows.
    """
    seconds, kind = fallback_seconds(provider)
    click.echo(f"Chain {provider.chain_id}: {kind}")
    # Whoever has a development chain moves its time: there is nothing to measure.
    if seconds is None or _is_development(provider):
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


def _deploy(provider: Any, account: Any, windows: Windows, governor: Address) -> Deployment:
    # Its constructor opens a box, and fails on a chain without the BLAKE2b precompile.
    proofs = _sending.deploy(provider, account, project.Proofs)
    seconds = (
        windows.refund_seconds,
        windows.dispute_seconds,
        windows.arbitration_seconds,
        windows.exit_seconds,
        windows.slash_delay_seconds,
        windows.slash_lapse_seconds,
    )
    setup = (
        seconds,
        governor,
        windows.min_deliverer_stake,
        windows.min_seller_stake,
        windows.junk_fine,
        proofs.address,
    )
    market = _sending.deploy(provider, account, project.Marketplace, setup)
    return Deployment(
        chain_id=provider.chain_id,
        market=Address(str(market.address)),
        first_block=market.creation_metadata.block,
        code_hash=keccak(bytes(provider.get_code(market.address))),
        proofs=Address(str(proofs.address)),
        closing=Address(str(market.CLOSING())),
        windows=windows,
        governor=governor,
    )
