"""``dam deliverer init``: from nothing to a home that is ready for a stake; again at any time."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dam.atomic_file import write_atomic
from dam.cli.session import (
    AMOUNT,
    ask_hidden,
    confirm_or_abort,
    json_option,
    passphrase_prompt,
    payer_address,
    print_note,
    print_result,
    to_hex,
)
from dam.cli.terminal import asking
from dam.config.settings import Settings, config_path, dump_config, home_folder, node_settings
from dam.config.values import check_ipfs, check_rpc_urls, parse_confirmations, toml
from dam.errors import ConfigError, DamError, KeyFileError, Permanent, Retryable
from dam.types import ZERO_ADDRESS, Address
from dam.units import format_about, format_amount

if TYPE_CHECKING:
    from dam.market.deployment import Record

_LOCAL_NODE = "http://127.0.0.1:8545"
_ALIAS = "dam_deliverer"
T = TypeVar("T")


@click.command("init")
@click.option("--rpc", metavar="URL", multiple=True, help="Node of the chain; up to five.")
@click.option(
    "--deployment",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Deployment record of the market.",
)
@click.option("--ipfs", metavar="URL", help="RPC API of a Kubo node, or dir:/path.")
@click.option("--account", metavar="ALIAS", help=f"Ape account that signs. [default: {_ALIAS}]")
@click.option(
    "--sender-account", metavar="ALIAS", help="Another Ape account that sends and pays the gas."
)
@click.option("--min-fee", type=AMOUNT, help="Least fee of a part: '0.0001 ether'.")
@click.option("--confirmations", help="Blocks to wait, or safe, or finalized.")
@json_option
def init_command(
    rpc: tuple[str, ...],
    deployment: Path | None,
    ipfs: str | None,
    account: str | None,
    sender_account: str | None,
    min_fee: int | None,
    confirmations: str | None,
    as_json: bool,
) -> None:
    """Sets a deliverer up: settings, signing account, key ring; then says what is next.

    On a terminal it asks for what no option names; else it takes the defaults, and passphrases
    from DAM_KEY_PASSPHRASE and APE_ACCOUNTS_<alias>_PASSPHRASE or systemd credentials. What is
    there already is checked and kept, never replaced: run it as often as you like.
    """
    options = _Options(rpc, deployment, ipfs, account, sender_account, min_fee, confirmations)
    setup = _Setup(options, asking=sys.stdin.isatty() and not as_json)
    setup.settings()
    setup.account()
    setup.ring()
    value, steps = asyncio.run(setup.next())
    lines = [f"{label:<10} {text}" for label, text in setup.lines]
    text = "\n".join([*lines, "", "Next:", *(f"  {n}. {s}" for n, s in enumerate(steps, 1))])
    print_result({**value, "next": steps}, as_json, text)


@dataclass(frozen=True, slots=True)
class _Options:
    """What the options say."""

    rpc: tuple[str, ...]
    deployment: Path | None
    ipfs: str | None
    account: str | None
    sender_account: str | None
    min_fee: int | None
    confirmations: str | None


@dataclass
class _Setup:
    options: _Options
    asking: bool
    home: Path = field(default_factory=home_folder)
    lines: list[tuple[str, str]] = field(default_factory=list)
    value: dict[str, Any] = field(default_factory=dict)
    loaded: Settings = field(init=False)
    alias: str = ""
    address: Address = ZERO_ADDRESS
    payer: Address = ZERO_ADDRESS
    """Who sends and pays for gas."""

    # ----------------------------------------------------------------------------------- settings

    def settings(self) -> None:
        """Makes the settings' file, or checks the one that is there."""
        path = config_path(self.home)
        made = not path.exists()
        if made:
            self._write(path)
        self.loaded = Settings.load()
        self.lines.append(("Settings", f"{path}" + ("" if made else " (kept)")))
        if not made and self.options != _Options((), None, None, None, None, None, None):
            print_note(f"{path} is there already and was kept: to change a setting, edit it")
        deployment = self.loaded.deployment
        self.lines.append(("Market", f"{deployment.market} on chain {deployment.chain_id}"))
        self.value |= {
            "home": str(self.home),
            "config": str(path),
            "made": {"config": made},
            "chainId": deployment.chain_id,
            "market": deployment.market,
        }

    def _write(self, path: Path) -> None:
        from dam.cli.init import check_blocks
        from dam.market.deployment import save_record

        options, environ = self.options, os.environ
        rpc = list(options.rpc) or environ.get("DAM_RPC_URL")

        def nodes(value: str) -> tuple[str, ...]:
            checked = check_rpc_urls(value)
            asyncio.run(_check_answers(checked))
            return checked

        question = "Node of the chain (http address)"
        urls = check_rpc_urls(rpc) if rpc else self._ask(question, _LOCAL_NODE, nodes)
        record = asyncio.run(self._market(urls))
        ipfs = options.ipfs or environ.get("DAM_IPFS")
        blocks = f"dir:{self.home / 'blocks'}"

        def store(value: str) -> str:
            checked = check_ipfs(value, Path.cwd())
            if not checked.startswith("dir:"):
                # A folder is tried below, once the home is there, which is made when all is well.
                asyncio.run(check_blocks(checked))
            return checked

        ipfs = store(ipfs) if ipfs else self._ask("IPFS (Kubo's API, or dir:/path)", blocks, store)
        alias = options.account or environ.get("DAM_ACCOUNT")
        alias = alias or self._ask(
            "Ape account that signs; it is made if there is none", _ALIAS, _alias
        )
        wanted = options.confirmations or environ.get("DAM_CONFIRMATIONS") or 2
        min_fee = options.min_fee
        if min_fee is None:
            question = "Least fee of a part that you deliver for, such as 0.0001 ether"
            min_fee = self._ask(question, "0", lambda value: AMOUNT.convert(value, None, None))
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        asyncio.run(check_blocks(ipfs))
        kept = self.home / "deployment.json"
        if not kept.exists():
            save_record(record, kept)
        text = dump_config(
            rpc_url=urls[0] if len(urls) == 1 else urls,
            deployment="deployment.json",
            ipfs=ipfs,
            confirmations=parse_confirmations(wanted),
            accounts={"deliverer": alias},
        )
        if min_fee:
            line = (
                f'min_fee = "{format_amount(min_fee)}"  # least fee of a part that we deliver for'
            )
            text = re.sub(r"(?m)^# min_fee = .*$", line, text, count=1)
        if options.sender_account:
            lines = f"sender_account = {toml(_alias(options.sender_account))}\nrelay = true"
            text = re.sub(r"(?m)^# sender_account = .*\n# relay = .*$", lines, text, count=1)
        write_atomic(path, text.encode(), overwrite=False)

    def _ask(self, question: str, default: str, read: Callable[[str], T]) -> T:
        """The answer, as ``read`` understands it; what it refuses is asked again."""
        while self.asking:
            try:
                with asking():
                    answer = str(click.prompt(question, default=default, err=True))
                return read(answer)
            except (DamError, click.UsageError) as error:
                text = error.message if isinstance(error, click.UsageError) else str(error)
                print_note(f"{text}; once more, or Ctrl-C")
        return read(default)

    async def _market(self, urls: tuple[str, ...]) -> Record:
        from dam.cli.init import check_market

        found = [await check_market(url, self.options.deployment) for url in urls]
        return found[0]

    # ----------------------------------------------------------------------------------- account

    def account(self) -> None:
        """The signing account: the one that is there, or a new one."""
        from dam.cli.session import role_address
        from dam.keystore.ape_accounts import account_passphrase, keyfile_path, new_account

        alias = self.options.account or self.loaded.account("deliverer")
        if alias is None:
            raise ConfigError(
                f"no account is set in {config_path(self.home)}: add [accounts] with "
                f'deliverer = "{_ALIAS}", then again'
            )
        self.alias = alias
        path = keyfile_path(alias, os.environ)
        made = not path.exists()
        if made:
            if self.asking:
                confirm_or_abort(f"There is no account {alias} yet. Make it, as {path}?", yes=False)
            passphrase = account_passphrase(alias, os.environ, _ask_twice if self.asking else None)
            self.address, words = new_account(alias, passphrase, os.environ)
            if self.asking:
                print_note(
                    "\nWrite these twelve words down, on paper; they are shown this once, and "
                    f"make the account's key again:\n\n  {words}\n"
                )
                try:
                    # Not click.pause, which takes Ctrl-C for any other key.
                    click.prompt("Enter, when that is done", "", show_default=False, err=True)
                finally:
                    click.clear()
            else:
                print_note(f"back up {path} and its passphrase: nothing else gives the key again")
        else:
            self.address = role_address(self.loaded, "deliverer", alias)
        self.lines.append(("Account", f"{self.address} ({alias})" + ("" if made else " (kept)")))
        self.value["made"]["account"] = made
        self.payer = payer_address(self.loaded, self.address)
        if self.payer != self.address:
            self.lines.append(
                ("Sender", f"{self.payer} ({self.loaded.sender_account}) pays the gas")
            )
        self.value |= {"account": alias, "address": self.address, "sender": self.payer}

    # ---------------------------------------------------------------------------------- key ring

    def ring(self) -> None:
        """The keys: the ring that is there, or a new one."""
        from dam.keystore.key_files import find_passphrase, load_ring, new_ring

        path = self.loaded.keys.deliverer
        made = not path.exists()
        public = None
        if made:
            if self.asking:
                print_note(f"Makes {path}: your keys, encrypted.")
            ask = _ask_twice if self.asking else None
            public = new_ring(path, find_passphrase(os.environ, ask)).current.public
        else:
            try:
                # Only to show the key: a ring that is closed is no reason to stop.
                public = load_ring(
                    path, find_passphrase(os.environ, passphrase_prompt())
                ).current.public
            except KeyFileError as error:
                if path.is_symlink() or "no passphrase" not in str(error):
                    raise
        shown = to_hex(public) if public else "not opened"
        self.lines.append(("Key ring", f"{path}: {shown}" + ("" if made else " (kept)")))
        self.value["made"]["ring"] = made
        self.value |= {"ring": str(path), "publicKey": public}

    # --------------------------------------------------------------------------------- what next

    async def next(self) -> tuple[dict[str, Any], list[str]]:
        """What is still to be done, as far as the chain tells."""
        from dam.diagnostics.chain_checks import DELIVERY_GAS
        from dam.ethereum.node import balance_of
        from dam.market.client import Market
        from dam.market.connect import open_node
        from dam.sending.transactions import suggest_fees

        loaded = self.loaded
        windows = loaded.deployment.windows
        minimum = format_amount(windows.min_deliverer_stake)
        steps = ["dam keys backup deliverer FILE    elsewhere: nothing else opens your parts"]
        try:
            async with open_node(
                loaded.rpc_url, timeout=loaded.rpc_timeout, limits=loaded.limits
            ) as rpc:
                info = await Market(rpc, loaded.deployment).deliverer(self.address)
                balances = {one: await balance_of(rpc, one) for one in (self.address, self.payer)}
                fees = await suggest_fees(rpc, 20 * 10**9)
        except Retryable as error:
            raise Permanent(f"{error}: all is made; run this again to see what is next") from None
        price = (fees.base + fees.tip) * DELIVERY_GAS
        staked = info.stake >= windows.min_deliverer_stake and info.owner != ZERO_ADDRESS
        # Registering costs less than two parts.
        stake = 0 if staked else 2 * price + windows.min_deliverer_stake
        needed = {self.payer: (100 * price, "gas for a hundred parts")}
        if stake:
            both = stake + (100 * price if self.payer == self.address else 0)
            more = ", and gas for a hundred parts" if self.payer == self.address else ""
            needed[self.address] = (both, f"the stake ({minimum} at least){more}")
        steps += [
            f"send about {format_about(amount - balances[one])} to {one}: {what}"
            for one, (amount, what) in needed.items()
            if balances[one] < amount
        ]
        if not staked:
            steps.append(f"dam deliverer stake '{minimum}' --owner 0xYourColdAddress")
        steps += [
            "dam deliverer doctor              everything should be ok",
            "dam deliverer run                 or as a service: docs/operating.md",
            "dam deliverer status --watch      how it goes",
        ]
        balance = str(balances[self.payer])
        return {**self.value, "balance": balance, "staked": staked}, steps


def _alias(value: str) -> str:
    from dam.keystore.ape_accounts import keyfile_path

    keyfile_path(value, os.environ)  # raises if this could be no account's name
    return value


async def _check_answers(urls: tuple[str, ...]) -> None:
    from dam.ethereum.node import chain_id_of
    from dam.market.connect import open_node

    timeout, limits = node_settings(os.environ, with_file=False)
    for url in urls:
        async with open_node(url, timeout=timeout, limits=limits) as rpc:
            await chain_id_of(rpc)


def _ask_twice(question: str) -> str:
    while True:
        first = ask_hidden(f"{question} (new)")
        if first == ask_hidden("Once more"):
            return first
        print_note("the two differ: type both again")
