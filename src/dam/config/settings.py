"""Settings: from ``<home>/config.toml`` and the environment, checked once, all faults together.

Home is ``$DAM_HOME``, or the user's data folder. Every setting has a variable that goes before the
file, so a daemon or a test needs no file at all:

==================  ==================  ========================================================
key of the file     variable            meaning
==================  ==================  ========================================================
rpc                 DAM_RPC_URL         node: http(s) address of its JSON-RPC; 2 to 5: a list
rpc_agree           DAM_RPC_AGREE       how many nodes must tell the same before we believe it
deployment          DAM_DEPLOYMENT      deployment record; in the file, relative to the file
ipfs                DAM_IPFS            ``dir:/path`` or the RPC API of a local Kubo node
confirmations       DAM_CONFIRMATIONS   blocks that daemons wait before they act on a block, or
                                        ``safe`` or ``finalized``: the node's word for it
halt_depth          DAM_HALT_DEPTH      a reorganisation of more blocks halts the daemon
poll_seconds        DAM_POLL            pause between two looks at the chain
max_fee_gwei        DAM_MAX_FEE_GWEI    most that a unit of gas may cost, tip included
min_fee             DAM_MIN_FEE         least fee of a part that our deliverer delivers for
unprofitable        DAM_UNPROFITABLE    ``skip`` or ``send`` a part whose fee cannot pay its gas
pin_bytes           DAM_PIN_BYTES       bytes that our deliverer keeps of others' stores
health_port         DAM_HEALTH_PORT     loopback port of /metrics, /healthz, /readyz; 0: any
[accounts] default  DAM_ACCOUNT         Ape account that signs; a role may have one of its own
==================  ==================  ========================================================
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from dam.config.values import MAX_CONFIRMATIONS as MAX_CONFIRMATIONS
from dam.config.values import (
    Finality,
    Unprofitable,
    check_rpc_urls,
    depth_of,
    seconds,
    toml,
    whole,
)
from dam.config.values import check_ipfs as check_ipfs
from dam.config.values import check_rpc_url as check_rpc_url
from dam.config.values import confirmations as read_confirmations
from dam.config.values import unprofitable as read_unprofitable
from dam.errors import ConfigError, Malformed
from dam.types import Deployment
from dam.units import parse_amount

ROLES = ("seller", "buyer", "deliverer", "watchdog", "arbiter")
_FILE_BYTES = 64 << 10
_ALIAS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_VARIABLES = {
    "rpc": "DAM_RPC_URL",
    "rpc_agree": "DAM_RPC_AGREE",
    "deployment": "DAM_DEPLOYMENT",
    "ipfs": "DAM_IPFS",
    "confirmations": "DAM_CONFIRMATIONS",
    "halt_depth": "DAM_HALT_DEPTH",
    "poll_seconds": "DAM_POLL",
    "max_fee_gwei": "DAM_MAX_FEE_GWEI",
    "min_fee": "DAM_MIN_FEE",
    "unprofitable": "DAM_UNPROFITABLE",
    "pin_bytes": "DAM_PIN_BYTES",
    "health_port": "DAM_HEALTH_PORT",
}
T = TypeVar("T")
D = TypeVar("D")


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
    rpc_urls: tuple[str, ...] = field(repr=False)
    """One to five. They may hold API keys: never show them."""
    deployment_path: Path
    deployment: Deployment
    ipfs: str
    rpc_agree: int = 1
    """So many nodes must have told the same."""
    confirmations: int | Finality = 2
    """Blocks, or the node's tag."""
    halt_depth: int = 64
    """Blocks."""
    poll_seconds: float = 2.0
    max_fee: int = 500 * 10**9
    """Wei per gas."""
    min_fee: int = 0
    """Wei per part."""
    unprofitable: Unprofitable = "skip"
    pin_bytes: int = 20 << 30
    health_port: int | None = None
    """None: no health server."""
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
    def rpc_url(self) -> str:
        """The first node's address; see `rpc_urls`."""
        return self.rpc_urls[0]

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
    rpc = read("rpc", check_rpc_urls, ())
    rpc_agree = read("rpc_agree", whole(1, len(rpc) or 1), min(2, len(rpc)))
    ipfs = read("ipfs", lambda v: check_ipfs(v, home), f"dir:{home / 'blocks'}")
    confirmations = read("confirmations", read_confirmations, 2)
    halt_depth = read("halt_depth", whole(1, 256), 64)
    poll = read("poll_seconds", seconds, 2.0)
    max_fee = read("max_fee_gwei", whole(1, 1_000_000), 500) * 10**9
    min_fee = read("min_fee", parse_amount, 0)
    skip: Unprofitable = "skip"
    unprofitable = read("unprofitable", read_unprofitable, skip)
    pin_bytes = read("pin_bytes", whole(0, 2**63 - 1), 20 << 30)
    health_port = read("health_port", whole(0, 65_535), None)
    accounts = _accounts(values.get("accounts", {}), environ, faults)
    deployment_path = read("deployment", lambda v: _record_path(v, home, origins), Path())
    if not rpc and "rpc" not in values:
        faults.append("rpc is not set: the address of a node, such as http://127.0.0.1:8545")
    deployment = None
    if "deployment" not in values:
        faults.append("deployment is not set: the file of the market's deployment record")
    elif deployment_path != Path():
        from dam.market.deployment import load_deployment

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
        rpc_urls=rpc,
        rpc_agree=rpc_agree,
        deployment_path=deployment_path,
        deployment=deployment,
        ipfs=ipfs,
        confirmations=confirmations,
        halt_depth=halt_depth,
        poll_seconds=poll,
        max_fee=max_fee,
        min_fee=min_fee,
        unprofitable=unprofitable,
        pin_bytes=pin_bytes,
        health_port=health_port,
        accounts=accounts,
    )


def origins(environ: Mapping[str, str]) -> dict[str, str]:
    """Where each setting was said, by its key: a variable or the file; defaults are not in it."""
    found = _gather(home_folder(environ), environ, [])[1]
    if environ.get("DAM_ACCOUNT"):
        found["accounts"] = "DAM_ACCOUNT"
    return found


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

    def __call__(self, key: str, read: Callable[[Any], T], default: D) -> T | D:
        if key not in self._values:
            return default
        try:
            return read(self._values[key])
        except (ConfigError, Malformed) as error:
            self._faults.append(f"{self._origins[key]}: {error}")
            return default


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
    rpc_url: str | Sequence[str],
    deployment: str,
    ipfs: str,
    confirmations: int | Finality,
    accounts: Mapping[str, str],
) -> str:
    """The text of a settings file that `from_env_and_file` reads.

    Raises:
        ConfigError: A value holds a control character.
    """
    lines = [
        "# Settings of DAM; see `dam init --help`. Variables such as DAM_RPC_URL go before them.",
        f"rpc = {toml(rpc_url)}",
        f"deployment = {toml(deployment)}  # relative to this file",
        f"ipfs = {toml(ipfs)}",
        f"confirmations = {toml(confirmations)}  # blocks that daemons wait before they act on one",
        "# max_fee_gwei = 500       # most that a unit of gas may cost",
        '# min_fee = "0.0001 ether" # least fee of a part that our deliverer delivers for',
        '# unprofitable = "skip"    # or "send": a part whose fee cannot pay its gas',
        "# pin_bytes = 21474836480  # what our deliverer keeps of others' stores",
        "# rpc_agree = 2            # of several nodes, so many must tell the same",
        "# halt_depth = 64          # a reorganisation of more blocks halts the daemon",
        "# health_port = 9464       # /metrics, /healthz and /readyz on the loopback address",
        "",
        "[accounts]  # Ape accounts: default, or one for each of " + ", ".join(ROLES),
        *(f"{role} = {toml(alias)}" for role, alias in accounts.items()),
    ]
    return "\n".join(lines) + "\n"
