"""Deploys the market, and before it its verifier of evidence: `ape run deploy --network ...`.

It writes the deployment record. The network is an argument, so one script serves a local chain, a
test network and the main one:

    ape run deploy --network http://127.0.0.1:8545 --account TEST::0
    ape run deploy --network ethereum:sepolia:node --account my-account --profile l1
    ape run deploy --network ... --governor 0x...              an account or a DAO's contract
    ape run deploy --network ... --governor timelock --timelock-proposer 0x...

The windows and the governor cannot be changed afterwards. A deployment is immutable: a new version
is a new address. A profile (`--profile`) has windows and stakes for one kind of chain, options
override it, and it is compared with what the script measures: what contracts count as blocks, and
how long the 100 blocks of the fallback last.

All contracts are made by CREATE2 through the usual deployer: the same sources, setup and salt have
the same address on every chain, and the address proves them (`dam market verify`). So the addresses
are known, and shown, before anything is paid; and a second run finds what is there, verifies it and
makes the rest. Where the deployer cannot be, a plain deployment (`--plain`) is offered, and the
record calls it so.

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
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from ape.cli import AccountAliasPromptChoice, ConnectedProviderCommand, account_option
from ape_accounts import KeyfileAccount

from dam.crypto.hashing import keccak, parse_address
from dam.errors import ConfigError, KeyFileError
from dam.ethereum.create2 import DEPLOYER
from dam.keystore.ape_accounts import account_passphrase
from dam.market.code import Build
from dam.market.creation import (
    Made,
    adapter_creation,
    complete_record,
    contracts_of,
    market_creation,
    plan_create2,
    timelock_creation,
)
from dam.market.deployment import PLAIN, Origin, Record, load_record, record_path, save_record
from dam.types import Address, Windows
from scripts import _sending
from scripts._chain_clock import measure
from scripts._contracts import current_build
from scripts._create2 import NoDeployer, code_at, has_deployer, make_deployer, missing_coins
from scripts._deploy_options import (
    check_fallback,
    choose_governor,
    choose_origin,
    choose_profile,
    choose_windows,
    out_option,
    setup_options,
)

ROOT = Path(__file__).resolve().parents[1]
DEVELOPMENT_IDS = {1337, 31337}
"""Chain ids of Geth's development chain, and of Anvil and Hardhat."""
DEVELOPMENT_CLIENTS = ("anvil", "hardhat", "ganache", "ethereumjs", "eth-tester")


def _is_development(provider: Any) -> bool:
    """Whether the chain goes with the process that runs it, as a copy of a public one does, too."""
    if provider.network.is_dev or provider.chain_id in DEVELOPMENT_IDS:
        return True
    try:
        client = str(provider.make_request("web3_clientVersion", []))
    except Exception:  # noqa: BLE001 - a public node may refuse to say; then it is none of these
        return False
    return client.lower().startswith(DEVELOPMENT_CLIENTS)


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


@click.command(cls=ConnectedProviderCommand, name="deploy")
@account_option(prompt=None)
@click.option("--yes", is_flag=True, help="Sign without a question.")
@setup_options
@click.option(
    "--first-block",
    type=click.IntRange(0),
    help="Of a market that is there already and whose block the node does not know any more; one "
    "before it will do.",
)
@out_option
@click.option("--force", is_flag=True, help="Replace the record of another market.")
def cli(
    provider,
    account,
    yes: bool,
    first_block: int | None,
    out: Path | None,
    force: bool,
    **options: Any,
) -> None:
    """Deploys the market and writes its deployment record."""
    development = _is_development(provider)
    measured = measure(provider)
    click.echo(f"Chain {provider.chain_id}: {measured.kind}")
    profile = choose_profile(options["profile_name"], measured, development)
    windows = choose_windows(profile, options)
    governor, timelock = choose_governor(options)
    if not development:  # Whoever has a development chain moves its time.
        check_fallback(measured, windows)
    folder = ROOT / (".build/deployments" if development else "deployments")
    path = out or record_path(folder, provider.chain_id)
    build = current_build(ROOT, lasting=False)
    origin = choose_origin(profile, options, timelock, build)
    click.echo(f"Profile {profile.name}: {profile.chain}")
    run = _Run(provider, lambda: _account(account, yes), build, windows, governor, development)
    plan = None
    if _uses_create2(provider, options["plain"], development):
        plan = plan_create2(build, provider.chain_id, windows, governor, origin)
    kept = _kept(path, force or (development and not out), plan)
    record = run.create2(plan, kept, first_block) if plan else run.plain(origin)
    save_record(record, path)
    at = record.deployment
    size = len(code_at(provider, at.market))
    click.echo(f"Proofs {at.proofs}")
    click.echo(f"Market {at.market}: block {at.first_block}, {size} bytes of code")
    click.echo(f"Record {path}")
    if development:
        click.echo(f"This chain ends with its process. Next: dam init --deployment {path}")
    else:
        click.echo(f"Next: dam market verify {path}")


def _uses_create2(provider: Any, plain: bool, development: bool) -> bool:
    """Whether the usual deployer will make the contracts.

    Raises:
        click.ClickException: It cannot, and nobody said that a plain deployment will do.
    """
    if plain:
        return False
    try:
        if not has_deployer(provider):
            missing_coins(provider)
        return True
    except NoDeployer as error:
        return not _plain_instead(error, development)


def _plain_instead(error: NoDeployer, development: bool) -> bool:
    """Says why there is no CREATE2, and whether a plain deployment will do; else ends."""
    told = f"no CREATE2 through {DEPLOYER} on this chain: {error}"
    if development:
        click.echo(f"Note: {told}. A plain deployment, as the record says", err=True)
        return True
    if not sys.stdin.isatty():
        raise click.ClickException(
            f"{told}. Or deploy with --plain: then the address proves nothing"
        )
    click.echo(told, err=True)
    click.confirm(
        "Deploy plainly? The address proves nothing then, and differs between chains", abort=True
    )
    return True


def _kept(path: Path, force: bool, plan: Record | None) -> Record | None:
    """A record that is there already, if it is of this very market.

    Raises:
        click.UsageError: It is of another one, and nobody said that it may go.
    """
    if not path.exists():
        return None
    try:
        kept = load_record(path)
    except ConfigError:
        kept = None
    if kept and plan and (kept.deployment.chain_id, kept.deployment.market) == (
        plan.deployment.chain_id, plan.deployment.market
    ):  # fmt: skip
        return kept
    if not force:
        raise click.UsageError(
            f"{path} is there already, of another market: use --out, or --force to replace it"
        )
    return None


class _Run:
    """One deployment: what it is made of, and who pays."""

    def __init__(
        self,
        provider: Any,
        account: Callable[[], Any],
        build: Build,
        windows: Windows,
        governor: Address | None,
        development: bool,
    ) -> None:
        self._provider, self._ask, self._build = provider, account, build
        self._windows, self._governor, self._development = windows, governor, development
        self._payer: Any = None

    @property
    def _account(self) -> Any:
        """Asked for once something is to be paid; and what is paid for is compiled before."""
        if self._payer is None:
            self._payer = self._ask()
            if not self._development:
                current_build(ROOT, lasting=True)
        return self._payer

    # --------------------------------------------------------------------------------- create2

    def create2(self, plan: Record, kept: Record | None, first_block: int | None) -> Record:
        """Makes what is not there yet; returns the record."""
        origin = plan.origin
        assert origin.salt is not None
        click.echo(f"Deployer {DEPLOYER}")
        click.echo(f"Salt 0x{origin.salt.hex()}")
        made = contracts_of(self._build, plan)
        missing = [one for one in made if not self._is_there(one)]
        for one in made:
            state = "to be made" if one in missing else "there already, with our code"
            click.echo(f"{one.name} {one.address}: {state}")
        market = plan.deployment.market
        blocks = {}
        try:
            if missing and not has_deployer(self._provider):
                make_deployer(self._provider, self._account)
        except NoDeployer as error:
            _plain_instead(error, self._development)
            return self.plain(origin)
        for one in missing:
            if one.creation:
                blocks[one.address] = self._make(one, origin.salt)
        if market in blocks:
            block = blocks[market]
        elif kept is not None:
            block = kept.deployment.first_block
        else:
            block = self._birth(market, first_block)
        return self._finish(plan, block)

    def _is_there(self, one: Made) -> bool:
        """Whether a contract is there.

        Raises:
            click.ClickException: Something else is.
        """
        code = code_at(self._provider, one.address)
        if code and keccak(code) != one.code_hash:
            raise click.ClickException(
                f"{one.name} {one.address} has other code on this chain than our sources give"
            )
        return bool(code)

    def _make(self, one: Made, salt: bytes) -> int:
        """Has the deployer make a contract; returns the block."""
        try:
            receipt = _sending.send(self._provider, self._account, DEPLOYER, salt + one.creation)
        except click.ClickException:
            if self._is_there(one):  # somebody was quicker, with the same
                return self._birth(one.address, None)
            raise
        if not self._is_there(one):
            raise click.ClickException(f"{one.name} was not made: run this again")
        return receipt.block

    def _birth(self, address: Address, said: int | None) -> int:
        """The first block with a contract, by halving.

        Raises:
            click.ClickException: The node keeps no state of so long ago.
        """
        low, high = -1, _sending.quantity(self._provider.make_request("eth_blockNumber", []))
        known = False
        while low + 1 < high:
            middle = (low + high) // 2
            try:
                there = bool(code_at(self._provider, address, hex(middle)))
            except Exception:  # noqa: BLE001 - a node without that state, in words of its own
                low, known = middle, False
                continue
            low, high, known = (low, middle, known) if there else (middle, high, True)
        if known or high == 0:
            return high
        if said is not None:
            return said
        raise click.ClickException(
            f"{address} is there, and the node keeps no state of the block that it was made in: "
            "name it with --first-block, or use an archive node"
        )

    # ----------------------------------------------------------------------------------- plain

    def plain(self, origin: Origin) -> Record:
        """Makes all of it by the account's own transactions; returns the record."""
        build, governor = self._build, self._governor
        origin = replace(
            origin, method=PLAIN, salt=None, deployer=Address(str(self._account.address))
        )
        if governor is None:
            assert origin.timelock is not None
            governor, _ = self._create(timelock_creation(build, origin.timelock))
            click.echo(f"Timelock {governor}: {origin.timelock.seconds} seconds")
        # Its constructor opens a box, and fails on a chain without the BLAKE2b precompile.
        proofs, _ = self._create(build.contracts["Proofs"].creation)
        market, block = self._create(market_creation(build, self._windows, governor, proofs))
        if origin.adapter is not None:
            address, _ = self._create(adapter_creation(build, market, origin.adapter))
            origin = replace(origin, adapter=replace(origin.adapter, address=address))
        chain_id = self._provider.chain_id
        addresses = (proofs, market, governor)
        record = complete_record(build, chain_id, addresses, self._windows, origin)
        return self._finish(record, block)

    def _create(self, creation: bytes) -> tuple[Address, int]:
        receipt = _sending.send(self._provider, self._account, None, creation)
        return parse_address(str(receipt.contract).lower()), receipt.block

    # ------------------------------------------------------------------------------------- end

    def _finish(self, record: Record, block: int) -> Record:
        """The record with its block, once every contract is there and has our code."""
        for one in contracts_of(self._build, record):
            if not self._is_there(one):
                raise click.ClickException(f"{one.name} {one.address} is not there: run this again")
        raw = self._provider.make_request("eth_getBlockByNumber", [hex(block), False])
        return Record(
            replace(record.deployment, first_block=block),
            replace(record.origin, first_time=_sending.quantity(raw["timestamp"])),
        )
