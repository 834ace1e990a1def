"""Settings: from ``<home>/config.toml`` and the environment, checked once, all faults together.

Home is ``$DAM_HOME``, or the user's data folder. Every setting has a variable that goes before the
file, so a daemon or a test needs no file at all:

==================  ==================  ========================================================
key of the file     variable            meaning
==================  ==================  ========================================================
rpc                 DAM_RPC_URL         node: http:// or https:// address of its JSON-RPC
deployment          DAM_DEPLOYMENT      deployment record; in the file, relative to the file
ipfs                DAM_IPFS            ``dir:/path`` or the RPC API of a local Kubo node
confirmations       DAM_CONFIRMATIONS   blocks that daemons wait before they act on a block
poll_seconds        DAM_POLL            pause between two looks at the chain
max_fee_gwei        DAM_MAX_FEE_GWEI    most that a unit of gas may cost, tip included
min_fee             DAM_MIN_FEE         least fee of a part that our deliverer delivers for
pin_bytes           DAM_PIN_BYTES       bytes that our deliverer keeps of others' stores
[accounts] default  DAM_ACCOUNT         Ape account that signs; a role may have one of its own
==================  ==================  ========================================================
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from dam.amounts import parse_amount
from dam.errors import ConfigError, Malformed
from dam.types import Deployment

ROLES = ("seller", "buyer", "deliverer", "watchdog", "arbiter")
MAX_CONFIRMATIONS = 60
"""A deliverer that waits longer leaves itself too few of its 100 blocks."""
_FILE_BYTES = 64 << 10
_ALIAS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_VARIABLES = {
    "rpc": "DAM_RPC_URL",
    "deployment": "DAM_DEPLOYMENT",
    "ipfs": "DAM_IPFS",
    "confirmations": "DAM_CONFIRMATIONS",
    "poll_seconds": "DAM_POLL",
    "max_fee_gwei": "DAM_MAX_FEE_GWEI",
    "min_fee": "DAM_MIN_FEE",
    "pin_bytes": "DAM_PIN_BYTES",
}
T = TypeVar("T")


def home_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Where this user's settings, keys and records are; it may not exist yet."""
    named = (os.environ if environ is None else environ).get("DAM_HOME")
    if named:
        return Path(named).expanduser().absolute()
    from platformdirs import user_data_path

    return user_data_path("dam", appauthor=False)


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
    """Everything a tool or a daemon is told from outside, checked."""

    home: Path
    rpc_url: str = field(repr=False)
    """It may hold an API key: never show it."""
    deployment_path: Path
    deployment: Deployment
    ipfs: str
    confirmations: int = 2
    """Blocks."""
    poll_seconds: float = 2.0
    max_fee: int = 500 * 10**9
    """Wei per gas."""
    min_fee: int = 0
    """Wei per part."""
    pin_bytes: int = 20 << 30
    accounts: Mapping[str, str] = field(default_factory=dict)
    """Ape alias by role; ``default`` for the others."""

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Reads the file and the environment. See `from_env_and_file`."""
        return from_env_and_file(os.environ if environ is None else environ)

    def account(self, role: str) -> str | None:
        """The Ape alias that signs for a role, or None if none is set."""
        return self.accounts.get(role) or self.accounts.get("default")

    @property
    def keys(self) -> KeyPaths:
        """Key files: one set for every chain, since all that derives from them names the chain."""
        return key_paths(self.home)

    @property
    def state(self) -> Path:
        """Folder of what belongs to this market on this chain."""
        market = self.deployment.market.lower()
        return self.home / "markets" / f"{self.deployment.chain_id}-{market[2:10]}"

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


def config_path(home: Path) -> Path:
    """The settings file of a home."""
    return home / "config.toml"


def from_env_and_file(environ: Mapping[str, str]) -> Settings:
    """Reads ``config.toml`` and the environment.

    Raises:
        ConfigError: One or more settings are missing or wrong; the message lists all of them.
    """
    home = home_folder(environ)
    faults: list[str] = []
    values, origins = _gather(home, environ, faults)
    read = _Reader(values, origins, faults)
    rpc = read("rpc", check_rpc_url, "")
    ipfs = read("ipfs", lambda v: check_ipfs(v, home), f"dir:{home / 'blocks'}")
    confirmations = read("confirmations", _whole(0, MAX_CONFIRMATIONS), 2)
    poll = read("poll_seconds", _seconds, 2.0)
    max_fee = read("max_fee_gwei", _whole(1, 1_000_000), 500) * 10**9
    min_fee = read("min_fee", parse_amount, 0)
    pin_bytes = read("pin_bytes", _whole(0, 2**63 - 1), 20 << 30)
    accounts = _accounts(values.get("accounts", {}), environ, faults)
    deployment_path = read("deployment", lambda v: _record_path(v, home, origins), Path())
    if not rpc and "rpc" not in values:
        faults.append("rpc is not set: the address of a node, such as http://127.0.0.1:8545")
    deployment = None
    if "deployment" not in values:
        faults.append("deployment is not set: the file of the market's deployment record")
    elif deployment_path != Path():
        from dam.deployment import load_deployment

        try:
            deployment = load_deployment(deployment_path)
        except ConfigError as error:
            faults.append(str(error))
    if faults or deployment is None:
        fresh = not config_path(home).exists()
        hint = "run `dam init`" if fresh else f"mend {config_path(home)} or the variables named"
        raise ConfigError(
            "the settings are not complete:\n" + "".join(f"  - {f}\n" for f in faults) + hint
        )
    return Settings(
        home=home,
        rpc_url=rpc,
        deployment_path=deployment_path,
        deployment=deployment,
        ipfs=ipfs,
        confirmations=confirmations,
        poll_seconds=poll,
        max_fee=max_fee,
        min_fee=min_fee,
        pin_bytes=pin_bytes,
        accounts=accounts,
    )


def _gather(
    home: Path, environ: Mapping[str, str], faults: list[str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Values by key, and where each one was said."""
    path = config_path(home)
    values = _read_file(path, faults)
    origins = {key: f"{key} in {path}" for key in values}
    unknown = sorted(set(values) - set(_VARIABLES) - {"accounts"})
    faults += [f"{ascii(key)[:60]} in {path} is not a setting" for key in unknown]
    for key, variable in _VARIABLES.items():
        if environ.get(variable):
            values[key], origins[key] = environ[variable], variable
    return values, origins


def _read_file(path: Path, faults: list[str]) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(_FILE_BYTES + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        faults.append(f"{path} cannot be read: {error.strerror}")
        return {}
    try:
        if len(data) > _FILE_BYTES:
            raise ValueError("too long")
        return tomllib.loads(data.decode("utf-8"))
    except ValueError as error:
        faults.append(f"{path} is not valid TOML: {error}")
        return {}


class _Reader:
    """Reads one setting after another and notes every fault."""

    def __init__(
        self, values: Mapping[str, Any], origins: Mapping[str, str], faults: list[str]
    ) -> None:
        self._values = values
        self._origins = origins
        self._faults = faults

    def __call__(self, key: str, read: Callable[[Any], T], default: T) -> T:
        if key not in self._values:
            return default
        try:
            return read(self._values[key])
        except (ConfigError, Malformed) as error:
            self._faults.append(f"{self._origins[key]}: {error}")
            return default


def check_rpc_url(value: Any) -> str:
    """The address of a node; the value itself is not in the error, it may hold an API key.

    Raises:
        ConfigError: It is no http:// or https:// address.
    """
    try:
        parts = urlsplit(value) if isinstance(value, str) else None
        valid = parts is not None and parts.scheme in ("http", "https") and bool(parts.hostname)
        _ = parts.port if parts else None
    except ValueError:
        valid = False
    if not valid:
        raise ConfigError("not an http:// or https:// address of a node")
    return str(value)


def check_ipfs(value: Any, home: Path) -> str:
    """The address of a block store; a relative ``dir:`` is taken from ``home``.

    Raises:
        ConfigError: It is neither ``dir:/path`` nor an http(s):// address.
    """
    if isinstance(value, str):
        scheme, _, rest = value.partition(":")
        if scheme == "dir" and rest:
            return f"dir:{(home / Path(rest).expanduser()).absolute()}"
        if scheme in ("http", "https") and urlsplit(value).hostname:
            return value
    raise ConfigError(
        "not 'dir:/path/to/blocks' nor the RPC API of a Kubo node, such as http://127.0.0.1:5001"
    )


def _whole(low: int, high: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,19}", value):
            value = int(value)
        if type(value) is not int or not low <= value <= high:
            raise ConfigError(f"not a whole number from {low} to {high}")
        return value

    return read


def _seconds(value: Any) -> float:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,6})?", value):
        value = float(value)
    if type(value) not in (int, float) or not 0.05 <= value <= 600:
        raise ConfigError("not a number of seconds from 0.05 to 600")
    return float(value)


def _record_path(value: Any, home: Path, origins: Mapping[str, str]) -> Path:
    if not isinstance(value, str) or not value:
        raise ConfigError("not the path of a file")
    path = Path(value).expanduser()
    # A path in the file is relative to the file; one in a variable to where the user stands.
    return path.absolute() if origins["deployment"] == "DAM_DEPLOYMENT" else home / path


def _accounts(value: Any, environ: Mapping[str, str], faults: list[str]) -> dict[str, str]:
    accounts: dict[str, str] = {}
    if not isinstance(value, dict):
        faults.append("accounts is not a table: write [accounts] and a line for each role")
        value = {}
    for role, alias in value.items():
        if role not in (*ROLES, "default"):
            faults.append(f"accounts.{ascii(role)[:40]} is no role: {', '.join(ROLES)} or default")
        elif not isinstance(alias, str) or not _ALIAS.fullmatch(alias):
            faults.append(f"accounts.{role} is not the alias of an Ape account")
        else:
            accounts[role] = alias
    alias = environ.get("DAM_ACCOUNT")
    if alias:
        if not _ALIAS.fullmatch(alias):
            faults.append("DAM_ACCOUNT is not the alias of an Ape account")
        accounts = dict.fromkeys((*ROLES, "default"), alias)
    return accounts


def dump_config(
    *,
    rpc_url: str,
    deployment: str,
    ipfs: str,
    confirmations: int,
    accounts: Mapping[str, str],
) -> str:
    """The text of a settings file that `from_env_and_file` reads."""
    lines = [
        "# Settings of DAM; see `dam init --help`. Variables such as DAM_RPC_URL go before them.",
        f"rpc = {_toml(rpc_url)}",
        f"deployment = {_toml(deployment)}  # relative to this file",
        f"ipfs = {_toml(ipfs)}",
        f"confirmations = {confirmations}  # blocks that daemons wait before they act on one",
        "# max_fee_gwei = 500       # most that a unit of gas may cost",
        '# min_fee = "0.0001 ether" # least fee of a part that our deliverer delivers for',
        "# pin_bytes = 21474836480  # what our deliverer keeps of others' stores",
        "",
        "[accounts]  # Ape accounts: default, or one for each of " + ", ".join(ROLES),
        *(f"{role} = {_toml(alias)}" for role, alias in accounts.items()),
    ]
    return "\n".join(lines) + "\n"


def _toml(text: str) -> str:
    """A TOML basic string (https://toml.io/en/v1.0.0#string)."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    if any(ord(c) < 32 or ord(c) == 127 for c in escaped):
        raise ConfigError("a setting holds a control character")
    return f'"{escaped}"'
