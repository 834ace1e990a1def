"""Settings: from ``<home>/config.toml`` and the environment, checked once, all faults together.

`dam.config.table` says what settings there are. Home is ``$DAM_HOME``, or the user's data folder. A
variable takes precedence over the file, so a daemon or a test needs no file at all.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from dam.atomic_file import read_regular
from dam.config.table import SETTINGS, Context, Setting
from dam.config.values import ROLES, Finality, Unprofitable, depth_of, expanded, toml
from dam.errors import ConfigError, KeyFileError, Malformed
from dam.ethereum.node import NodeLimits
from dam.types import Deployment
from dam.validation import MARKET_NAME

MAX_FILE_BYTES = 64 << 10
_REMARK_COLUMN = 27
MARKET_VARIABLE = "DAM_MARKET"


def home_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Where this user's settings, keys and records are; it may not exist yet."""
    named = (os.environ if environ is None else environ).get("DAM_HOME")
    if named:
        return expanded(named).absolute()
    from platformdirs import user_data_path

    return user_data_path("dam", appauthor=False)


def config_path(home: Path) -> Path:
    """The settings file of a home."""
    return home / "config.toml"


@dataclass(frozen=True, slots=True)
class KeyPaths:
    """Key files, all encrypted."""

    deliverer: Path
    """X25519 key ring."""
    seller: Path
    """Seed of the content keys, shares and salts."""
    buyer: Path
    """Seed of the purchase secrets."""


def key_paths(home: Path) -> KeyPaths:
    """Where the key files of a home are."""
    folder = home / "keys"
    return KeyPaths(
        folder / "deliverer.json", folder / "seller-seed.json", folder / "buyer-seed.json"
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a tool or a daemon is told from outside, checked.

    One field for each row of `table.SETTINGS`, besides home, market and what the record holds.
    """

    home: Path
    deployment: Deployment
    """What the file `deployment_path` holds."""
    rpc_urls: tuple[str, ...] = field(repr=False)
    """One to five. They may hold API keys: never show them."""
    deployment_path: Path
    ipfs: str
    ipfs_auth: str = field(repr=False)
    """Secret of the IPFS node's API; empty: it asks for none."""
    index_root: Path
    """Folder of the indexes of all markets; see `index`."""
    confirmations: int | Finality
    """Blocks, or the node's tag."""
    poll_seconds: float
    max_fee: int
    """Wei per gas."""
    min_fee: int
    """Wei per part."""
    data_fee: int
    """Wei per byte of a transaction; 0: as the chain tells."""
    unprofitable: Unprofitable
    pin_bytes: int
    rpc_agree: int
    max_logs_bytes: int
    """Of one answer of a node."""
    max_logs_blocks: int
    """Of one request for logs."""
    rpc_batch: int
    """Most calls of one request."""
    rpc_timeout: float
    """Seconds for one answer."""
    halt_depth: int
    """Blocks."""
    health_port: int | None
    """None: no health server."""
    web_port: int
    """Of the storefront: its address is where the browser keeps its library."""
    accounts: Mapping[str, str]
    """Ape alias by role; ``default`` for the others."""
    sender_account: str | None
    """Ape alias of the account that sends, with `relay`."""
    relay: bool
    """Whether a daemon's transactions are sent by `sender_account`."""
    market_name: str = ""
    """Of several markets in the file, the one that was chosen; empty: it names none."""

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Reads the file and the environment. See `from_env_and_file`."""
        return from_env_and_file(os.environ if environ is None else environ)

    def account(self, role: str) -> str | None:
        """The Ape alias that signs for a role, or None if none is set."""
        return self.accounts.get(role) or self.accounts.get("default")

    def sender(self, role: str) -> str | None:
        """The Ape alias that sends and pays for a daemon: its own, or another's with `relay`."""
        return self.sender_account if self.relay else self.account(role)

    @property
    def rpc_url(self) -> str:
        """The first node's address; see `rpc_urls`."""
        return self.rpc_urls[0]

    @property
    def limits(self) -> NodeLimits:
        """How much a node is asked for at once."""
        return NodeLimits(self.max_logs_bytes, self.max_logs_blocks, self.rpc_batch)

    @property
    def confirmation_blocks(self) -> int:
        """`confirmations` in blocks; a guess from above for ``safe`` and ``finalized``."""
        return depth_of(self.confirmations)

    @property
    def keys(self) -> KeyPaths:
        """Key files: one set for every chain, since all that derives from them names the chain."""
        return key_paths(self.home)

    @property
    def state(self) -> Path:
        """Folder of what belongs to this market on this chain."""
        return self.home / "markets" / self._folder

    @property
    def index(self) -> Path:
        """Folder of this market's index."""
        return self.index_root / self._folder

    @property
    def _folder(self) -> str:
        return f"{self.deployment.chain_id}-{self.deployment.market.lower()[2:10]}"

    @property
    def catalogue(self) -> Path:
        """Folder of the seller's listings."""
        return self.state / "catalogue"

    @property
    def purchases(self) -> Path:
        """Folder of the buyer's records."""
        return self.state / "purchases"

    def ledger(self, role: str) -> Path:
        """Ledger file of a daemon: ``deliverer`` or ``watchdog``."""
        return self.state / f"{role}.sqlite"


def from_env_and_file(environ: Mapping[str, str]) -> Settings:
    """Reads ``config.toml`` and the environment.

    Raises:
        ConfigError: One or more settings are missing or wrong; the message lists all of them.
    """
    home = home_folder(environ)
    faults: list[str] = []
    said = _collect(home, environ, faults)
    found = _parse(home, said, SETTINGS, faults)
    deployment = None
    if found["deployment_path"] != Path():
        from dam.market.deployment import load_deployment

        try:
            deployment = load_deployment(found["deployment_path"])
        except ConfigError as error:
            faults.append(str(error))
    if faults or deployment is None:
        fresh = not config_path(home).exists()
        hint = "run `dam init`" if fresh else f"mend {config_path(home)} or the variables named"
        raise ConfigError(
            "the settings are not complete:\n" + "".join(f"  - {f}\n" for f in faults) + hint
        )
    return Settings(home=home, deployment=deployment, market_name=said.market, **found)


def node_settings(
    environ: Mapping[str, str], *, with_file: bool = True
) -> tuple[float, NodeLimits]:
    """Seconds that a node has, and how much it is asked for: all that counts where a command names
    node and record itself. The other settings need not be complete, nor one market chosen.

    Args:
        environ: The variables.
        with_file: Whether ``config.toml`` counts; where that is about to be written, it does not.

    Raises:
        ConfigError: One of these is wrong.
    """
    home, faults = home_folder(environ), list[str]()
    said = _collect(home, environ, [], choose=False, with_file=with_file)
    fields = ("rpc_timeout", "max_logs_bytes", "max_logs_blocks", "rpc_batch")
    found = _parse(home, said, [one for one in SETTINGS if one.field in fields], faults)
    if faults:
        raise ConfigError("; ".join(faults))
    timeout, *limits = (found[name] for name in fields)
    return timeout, NodeLimits(*limits)


def _parse(
    home: Path, said: _Said, settings: Iterable[Setting], faults: list[str]
) -> dict[str, Any]:
    """Values by field; what is wrong is among the faults."""
    found: dict[str, Any] = {}
    for setting in settings:
        from_variable = said.origins.get(setting.key) == setting.variable
        context = Context(home, from_variable, said.in_file.get(setting.key), found, faults)
        default = setting.default
        found[setting.field] = default(context) if callable(default) else default
        if setting.key in said.values:
            try:
                found[setting.field] = setting.parse(said.values[setting.key], context)
            except (ConfigError, Malformed) as error:
                faults.append(f"{said.origins[setting.key]}: {error}")
        elif setting.required:
            faults.append(f"{setting.key} is not set: {setting.required}")
    return found


def origins(environ: Mapping[str, str]) -> dict[str, str]:
    """Where each setting was said, by its key: a variable or the file; defaults are not in it."""
    return _collect(home_folder(environ), environ, []).origins


class _Said(NamedTuple):
    """What file and environment say."""

    market: str
    """See `Settings.market_name`."""
    values: dict[str, Any]
    """By key."""
    origins: dict[str, str]
    """Where each one was said."""
    in_file: dict[str, Any]
    """Those that the file has, replaced or not."""


def _collect(
    home: Path,
    environ: Mapping[str, str],
    faults: list[str],
    *,
    choose: bool = True,
    with_file: bool = True,
) -> _Said:
    path = config_path(home)
    in_file = read_config(path, faults) if with_file else {}
    tables = market_tables(in_file)
    named = with_file and (choose or len(tables) == 1 or environ.get(MARKET_VARIABLE))
    name = _chosen(tables, environ) if named else ""
    in_file.pop("markets", None)
    origins = {key: f"{key} in {path}" for key in in_file}
    if name:
        in_file |= tables[name]
        origins |= {key: f"markets.{name}.{key} in {path}" for key in tables[name]}
    values = dict(in_file)
    unknown = sorted(set(values) - {setting.key for setting in SETTINGS})
    faults += [f"{ascii(key)[:60]} in {path} is not a setting" for key in unknown]
    for setting in SETTINGS:
        if environ.get(setting.variable):
            values[setting.key] = environ[setting.variable]
            origins[setting.key] = setting.variable
        elif setting.credential and setting.key not in values:
            _take_credential(setting, environ, values, origins, faults)
    return _Said(name, values, origins, in_file)


def unchosen_markets(environ: Mapping[str, str]) -> list[str]:
    """Names of several markets in the file, of which nobody chose one; else none."""
    tables = market_tables(read_config(config_path(home_folder(environ)), []))
    if len(tables) < 2 or environ.get(MARKET_VARIABLE):
        return []
    return list(tables)


def market_tables(in_file: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The markets of a file, by name; none: it is of one market, and has that at its top.

    Raises:
        ConfigError: One of them is no table, or has no name.
    """
    tables = in_file.get("markets", {})
    if not isinstance(tables, dict):
        raise ConfigError("markets is no table: write [markets.NAME] and its settings below")
    for name, table in tables.items():
        if not MARKET_NAME.fullmatch(name) or not isinstance(table, dict):
            raise ConfigError(
                f"markets.{ascii(name)[:40]} is no market: write [markets.NAME], with up to 32 "
                "small letters, digits and hyphens"
            )
    return tables


def _chosen(tables: Mapping[str, Any], environ: Mapping[str, str]) -> str:
    """Name of the market that is meant.

    Raises:
        ConfigError: There are several, and none was named; or there is none of that name.
    """
    name = environ.get(MARKET_VARIABLE, "")
    if name and name not in tables:
        known = ", ".join(tables) or "the settings name none"
        raise ConfigError(f"there is no market {ascii(name)[:40]} in the settings: {known}")
    if not name and len(tables) > 1:
        raise ConfigError(
            f"the settings have several markets ({', '.join(tables)}): name one, "
            f"`dam --market NAME ...` or {MARKET_VARIABLE}"
        )
    return name or next(iter(tables), "")


def _take_credential(
    setting: Setting,
    environ: Mapping[str, str],
    values: dict[str, Any],
    origins: dict[str, str],
    faults: list[str],
) -> None:
    if not environ.get("CREDENTIALS_DIRECTORY"):
        return
    from dam.keystore.key_files import systemd_credential

    try:
        found = systemd_credential(environ, setting.credential)
    except KeyFileError as error:
        faults.append(str(error))
        return
    if found is not None:
        values[setting.key] = found
        origins[setting.key] = f"credential {setting.credential}"


def read_config(path: Path, faults: list[str]) -> dict[str, Any]:
    """What a settings file says, unchecked; nothing where there is none, or it cannot be read."""
    try:
        data = read_regular(path, MAX_FILE_BYTES)
    except FileNotFoundError:
        return {}
    except OSError as error:
        faults.append(f"{path} cannot be read: {error.strerror}")
        return {}
    try:
        return tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        faults.append(f"{path} is not valid TOML: byte {error.start} is no UTF-8")
    except ValueError as error:
        faults.append(f"{path} is not valid TOML: {error}")
    except RecursionError:
        faults.append(f"{path} is not valid TOML: nested too deep")
    return {}


def dump_config(
    *,
    rpc_url: str | Sequence[str],
    deployment: str,
    ipfs: str,
    confirmations: int | Finality,
    accounts: Mapping[str, str],
) -> str:
    """The text of a settings file; what it does not set stands there commented out.

    Raises:
        ConfigError: A value holds a control character.
    """
    chosen = {
        "rpc": rpc_url, "deployment": deployment, "ipfs": ipfs, "confirmations": confirmations
    }  # fmt: skip
    lines = [
        "# Settings of DAM; see `dam init --help`. Variables such as DAM_RPC_URL go before them."
    ]
    for setting in SETTINGS:
        if setting.key in chosen:
            remark = f"  # {setting.remark}" if setting.remark else ""
            lines.append(f"{setting.key} = {toml(chosen[setting.key])}{remark}")
        elif setting.sample:
            sample = f"# {setting.key} = {setting.sample}"
            lines.append(f"{sample:<{_REMARK_COLUMN}}# {setting.remark}")
    lines += [
        "",
        "[accounts]  # Ape accounts: default, or one for each of " + ", ".join(ROLES),
        *(f"{role} = {toml(alias)}" for role, alias in accounts.items()),
    ]
    return "\n".join(lines) + "\n"
