"""Deploys the market and writes its deployment record: `ape run deploy --network ...`.

The network is an argument, so one script serves a local chain, a test network and the main one:

    ape run deploy --network http://127.0.0.1:8545 --account TEST::0
    ape run deploy --network ethereum:sepolia:node --account my-account
    ape run deploy --network ... --governor 0x...              an account or a DAO's contract
    ape run deploy --network ... --governor timelock --timelock-proposer 0x...

The windows and the governor cannot be changed afterwards. A deployment is immutable: a new version
is a new address.

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
from dam.types import ZERO_ADDRESS, Address, Deployment, Wei, Windows
from scripts import _sending
from scripts._contracts import load_fresh

ROOT = Path(__file__).resolve().parents[1]
DEVELOPMENT_IDS = {1337, 31337}
"""Chain ids of Geth's development chain, and of Anvil and Hardhat."""
DEVELOPMENT_CLIENTS = ("anvil", "hardhat", "ganache", "ethereumjs", "eth-tester")
# A day of 12-second blocks: room for a governor's own delay beyond the longest sale.
EXIT_MARGIN = 7_200


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
    "--refund-blocks",
    type=click.IntRange(300, 1 << 18),
    default=300,
    show_default=True,
    help="Deliveries count until this many blocks after the purchase; refunds open after.",
)
@click.option(
    "--dispute-blocks",
    type=click.IntRange(100, 1 << 18),
    default=7_200,
    show_default=True,
    help="The buyer's time to dispute.",
)
@click.option(
    "--arbitration-blocks",
    type=click.IntRange(100, 1 << 19),
    default=50_400,
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
    default=2 * 86_400,
    show_default=True,
    help="Least delay of the timelock.",
)
@click.option(
    "--slash-delay-blocks",
    type=click.IntRange(100, 1 << 20),
    default=50_400,
    show_default=True,
    help="Between the proposal of a slash and its first execution.",
)
@click.option(
    "--slash-lapse-blocks",
    type=click.IntRange(100, 1 << 20),
    default=50_400,
    show_default=True,
    help="How long a slash can be executed then.",
)
@click.option(
    "--exit-blocks",
    type=click.IntRange(1, 1 << 22),
    help="Delay of a deliverer's exit. [default: a sale's windows, a slash's delay, and a day]",
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
    refund_blocks: int,
    dispute_blocks: int,
    arbitration_blocks: int,
    governor: str,
    proposers: tuple[str, ...],
    timelock_seconds: int,
    slash_delay_blocks: int,
    slash_lapse_blocks: int,
    exit_blocks: int | None,
    min_deliverer_stake: int,
    min_seller_stake: int,
    out: Path | None,
    force: bool,
) -> None:
    """Deploys the market and writes its deployment record."""
    longest = refund_blocks + dispute_blocks + arbitration_blocks + slash_delay_blocks
    if exit_blocks is None:
        exit_blocks = longest + EXIT_MARGIN
    if exit_blocks <= longest:
        raise click.UsageError(
            f"--exit-blocks must be over {longest}: the longest sale and the delay of a slash"
        )
    windows = Windows(
        refund_blocks,
        dispute_blocks,
        arbitration_blocks,
        exit_blocks,
        Wei(min_deliverer_stake),
        Wei(min_seller_stake),
        slash_delay_blocks,
        slash_lapse_blocks,
    )
    if out:
        _check_free(out, force)
    path = out or _record_file(provider, force)
    account = _account(account, yes)
    # Ape misses a change of a file that Marketplace.sol imports: never deploy what it cached, and
    # on a chain that lasts not even what we did.
    load_fresh(project, anew=not _is_development(provider))
    judge = _governor(provider, account, governor, proposers, timelock_seconds)
    deployment = _deploy(provider, account, windows, judge)
    save_deployment(deployment, path)
    size = len(bytes(provider.get_code(deployment.market)))
    click.echo(f"Market {deployment.market}: block {deployment.first_block}, {size} bytes of code")
    click.echo(f"Record {path}")
    if _is_development(provider):
        click.echo(f"A chain that goes: for it, dam init --deployment {path}")


def _deploy(provider: Any, account: Any, windows: Windows, governor: Address) -> Deployment:
    blocks = (
        windows.refund_blocks,
        windows.dispute_blocks,
        windows.arbitration_blocks,
        windows.exit_blocks,
        windows.slash_delay_blocks,
        windows.slash_lapse_blocks,
    )
    market = _sending.deploy(
        provider,
        account,
        project.Marketplace,
        blocks,
        governor,
        windows.min_deliverer_stake,
        windows.min_seller_stake,
    )
    return Deployment(
        chain_id=provider.chain_id,
        market=Address(str(market.address)),
        first_block=market.creation_metadata.block,
        code_hash=keccak(bytes(provider.get_code(market.address))),
        windows=windows,
        governor=governor,
    )
