"""What all commands share: options, settings, a session with the node, and printing."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import functools
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import click

from dam.cli.failures import SENT
from dam.cli.tables import table as table
from dam.cli.terminal import asking, write_note, write_result
from dam.config.settings import Settings
from dam.console import fit, width_of
from dam.crypto.hashing import parse_address
from dam.errors import ConfigError, Malformed, Permanent
from dam.ethereum.node import Node, balance_of
from dam.ipfs.blocks import BlockStore
from dam.ipfs.open import open_store
from dam.keystore.key_files import find_passphrase
from dam.market.client import Market
from dam.market.connect import open_node
from dam.market.wallet import Receipt, send_call
from dam.sending.wallet import KeyWallet
from dam.types import Address
from dam.units import parse_amount

if TYPE_CHECKING:
    from dam.index.index import Index
    from dam.keystore.ape_accounts import Signer

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

RESULTS = "dam.results"
"""Key in a context's ``meta``: where results go that are shown together, with ``--json``."""


# -------------------------------------------------------------------------------------- options


class AmountType(click.ParamType):
    """``0.5 ether``, ``20 gwei`` or wei, as an integer of wei."""

    name = "amount"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Reads the option's text."""
        try:
            return parse_amount(value)
        except Malformed as error:
            self.fail(str(error), param, ctx)


class AddressType(click.ParamType):
    """An address, checksummed."""

    name = "address"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Address:
        """Reads the option's text."""
        try:
            return parse_address(value)
        except Malformed as error:
            self.fail(str(error), param, ctx)


AMOUNT = AmountType()
ADDRESS = AddressType()
_SENTENCE = 1_000
"""Letters that no first sentence has."""


class Group(click.Group):
    """A group of commands that says of each its whole first sentence, in lines as many as it takes.

    Click's own cuts it to one line.
    """

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lists the commands."""
        named = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, one.get_short_help_str(_SENTENCE)) for name, one in named if one]
            )


def json_option(command: F) -> F:
    """``--json``: results for programs."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON value.")(command)


def account_option(command: F) -> F:
    """``--account``: who signs."""
    return click.option("--account", metavar="ALIAS", help="Ape account that signs.")(command)


def address_option(command: F) -> F:
    """``--address``: whom to look at; nothing is signed."""
    return click.option(
        "--address", type=ADDRESS, help="Look at this address. [default: the role's account]"
    )(command)


def yes_option(command: F) -> F:
    """``--yes``: no question."""
    return click.option("--yes", "-y", is_flag=True, help="Do not ask.")(command)


def once_option(command: F) -> F:
    """``--once``: a single run of a daemon."""
    return click.option(
        "--once",
        is_flag=True,
        help="End after one whole pass: caught up, and what is due sent and confirmed.",
    )(command)


def dry_run_options(command: F) -> F:
    """``--dry-run`` and ``--address``: a daemon that only says what it would send."""
    command = click.option(
        "--address",
        type=ADDRESS,
        help="With --dry-run: whose daemon to play. [default: the role's account]",
    )(command)
    return click.option(
        "--dry-run",
        is_flag=True,
        help="Sign and send nothing, say what would be sent. Needs no passphrase of the account.",
    )(command)


def dry_run_address(
    settings: Settings, role: str, account: str | None, dry_run: bool, address: Address | None
) -> Address | None:
    """Whose daemon a dry run plays; None for a real run.

    Raises:
        click.UsageError: An address without a dry run, which would not be the signer's.
        ConfigError, KeyFileError: No account, or none that names its address.
    """
    if not dry_run:
        if address is not None:
            raise click.UsageError("--address goes with --dry-run: a real run has its account")
        return None
    return address or role_address(settings, role, account)


def to_option(command: F) -> F:
    """``--to``: who receives."""
    return click.option("--to", type=ADDRESS, help="Who receives it. [default: the account]")(
        command
    )


def asynchronous(function: Callable[P, Awaitable[T]]) -> Callable[P, T]:
    """A command that is a coroutine."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        async def whole() -> T:
            return await function(*args, **kwargs)

        return asyncio.run(whole())

    return run


# ------------------------------------------------------------------------------ asking a person


def ask_hidden(question: str) -> str:
    """Asks a person on the terminal, without showing the answer."""
    with asking():
        return str(click.prompt(question, hide_input=True, err=True))


def passphrase_prompt() -> Callable[[str], str] | None:
    """`ask_hidden` where there is somebody to ask."""
    return ask_hidden if sys.stdin.isatty() else None


def key_passphrase() -> str:
    """Passphrase of the key files."""
    return find_passphrase(os.environ, passphrase_prompt())


def confirm_or_abort(question: str, yes: bool) -> None:
    """Goes on if the person agrees.

    Raises:
        Permanent: Nobody is there to ask.
        click.Abort: The person does not agree.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise Permanent("nobody is there to ask: look at it, then repeat the command with --yes")
    with asking():
        width = width_of(sys.stderr)
        # click adds " [y/N]: ".
        click.confirm(fit(question, width and width - 9), abort=True, err=True)


# ------------------------------------------------------------------------------------- printing


def print_result(value: Any, as_json: bool, human: str) -> None:
    """Prints a result: JSON for programs, or the text for people."""
    context = click.get_current_context(silent=True)
    if as_json and context is not None and RESULTS in context.meta:
        context.meta[RESULTS].append(json_ready(value))
        return
    if not as_json:
        write_result(human, fitted=True)
        return
    # An escape of the stream's (\xe9) would be no JSON.
    ascii_only = codecs.lookup(sys.stdout.encoding or "ascii").name != "utf-8"
    write_result(json.dumps(json_ready(value), indent=2, ensure_ascii=ascii_only))


def json_ready(value: Any) -> Any:
    """JSON values: bytes as 0x-hex. Amounts are made decimal strings by who names them."""
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, Mapping):
        return {str(key): json_ready(element) for key, element in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_ready(element) for element in value]
    return value


def print_note(text: str) -> None:
    """A word to the person, on standard error."""
    write_note(text)


def to_hex(value: bytes) -> str:
    """0x-hex."""
    return "0x" + value.hex()


# -------------------------------------------------------------------------------------- session


def role_alias(settings: Settings, role: str, account: str | None) -> str:
    """The Ape alias that signs for a role.

    Raises:
        ConfigError: None is set.
    """
    alias = account or settings.account(role)
    if not alias:
        raise ConfigError(
            f"no account for the {role}: name one with --account, or set `{role}` under "
            f"[accounts] in {settings.home / 'config.toml'}; "
            "`ape accounts generate NAME` makes one"
        )
    return alias


def open_signer(settings: Settings, role: str, account: str | None) -> Signer:
    """The account that signs for a role."""
    from dam.keystore.ape_accounts import (
        load_account,  # with eth_account, half of the start-up time
    )

    alias = role_alias(settings, role, account)
    return load_account(alias, environ=os.environ, prompt=passphrase_prompt(), notice=print_note)


def role_address(settings: Settings, role: str, account: str | None = None) -> Address:
    """The address of a role's account, which its keyfile names in plain: no passphrase needed."""
    from dam.keystore.ape_accounts import address_of

    return address_of(role_alias(settings, role, account), os.environ)


def payer_address(settings: Settings, account: Address) -> Address:
    """Who sends a daemon's transactions and pays for them: ``account``, or another's (`relay`)."""
    from dam.keystore.ape_accounts import address_of

    if not settings.relay or settings.sender_account is None:
        return account
    return address_of(settings.sender_account, os.environ)


@dataclass
class Session:
    """A node that has our market, and the block store."""

    settings: Settings
    rpc: Node
    market: Market
    blocks: BlockStore

    def wallet(self, signer: Signer) -> KeyWallet:
        """The account that a role sends with."""
        settings = self.settings
        return KeyWallet(
            self.rpc,
            signer,
            settings.deployment.chain_id,
            max_fee=settings.max_fee,
            poll_seconds=min(settings.poll_seconds, 1.0),
            notice=print_note,
            sent=_note_sent,
        )

    async def send(self, signer: Signer, function: str, *arguments: Any, value: int = 0) -> Receipt:
        """Sends a call of the market from an account; see `dam.market.wallet.Wallet.send`."""
        return await send_call(self.wallet(signer), self.market, function, *arguments, value=value)

    async def indexed(self, work: Callable[[Index], Awaitable[T]]) -> T:
        """Does something with the market's index; see `dam.index.index.with_index`."""
        from dam.index.index import with_index

        settings = self.settings
        return await with_index(settings.index, settings.deployment, work, print_note)

    async def balance(self, account: Address) -> int:
        """Coins of an account, in wei."""
        return await balance_of(self.rpc, account)


def _note_sent(tx_hash: bytes) -> None:
    """Says the hash of what is sent, for whoever is not there any more when it is mined."""
    name = to_hex(tx_hash)
    context = click.get_current_context(silent=True)
    if context is not None:
        context.meta.setdefault(SENT, []).append(name)
    print_note(f"Sending transaction {name}")


@contextlib.asynccontextmanager
async def connect(settings: Settings | None = None) -> AsyncIterator[Session]:
    """Opens a session, once node and market are what the settings say."""
    settings = settings or Settings.load()
    blocks = open_store(settings.ipfs, auth=settings.ipfs_auth)
    url, timeout = settings.rpc_url, settings.rpc_timeout
    async with open_node(url, timeout=timeout, limits=settings.limits) as rpc:
        try:
            market = Market(rpc, settings.deployment)
            await market.check_deployment()
            yield Session(settings, rpc, market, blocks)
        finally:
            await blocks.close()


def receipt_json(receipt: Receipt) -> dict[str, Any]:
    """A mined transaction for programs."""
    return {
        "tx": to_hex(receipt.tx_hash),
        "block": receipt.block,
        "gasUsed": receipt.gas_used,
        "gasPrice": str(receipt.price),
        "dataFee": str(receipt.data.wei),
        "cost": str(receipt.cost),
    }
