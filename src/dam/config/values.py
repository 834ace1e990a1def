"""Parsers of single settings: each returns the value, or raises ConfigError saying what is valid.

The error never repeats an address: it may hold an API key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from dam.errors import ConfigError
from dam.ipfs.api_address import FORMS, authorization, parse_api_address

Finality = Literal["safe", "finalized"]
"""Block tags of a proof-of-stake chain: justified, and finalized."""
Unprofitable = Literal["skip", "send"]
ROLES = ("seller", "buyer", "deliverer", "watchdog", "arbiter")
_ALIAS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
MAX_RPC_URLS = 5
MAX_CONFIRMATIONS = 60
"""A deliverer that waits longer leaves itself too few of its 100 blocks."""
_TAG_BLOCKS = {"safe": 40, "finalized": 80}
"""How far such a block is behind the head at times: epochs have 32 blocks (consensus-specs)."""


def check_rpc_url(value: Any) -> str:
    """The address of a node.

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


def check_rpc_urls(value: Any) -> tuple[str, ...]:
    """One address or several: a list, or a text with commas between them.

    Raises:
        ConfigError: There is none, there are over five, two are the same, or one is no address.
    """
    found = value.split(",") if isinstance(value, str) else value
    if not isinstance(found, list) or not 1 <= len(found) <= MAX_RPC_URLS:
        raise ConfigError(f"not one address of a node, nor a list of 2 to {MAX_RPC_URLS}")
    urls = tuple(check_rpc_url(url.strip() if isinstance(url, str) else url) for url in found)
    if len(set(urls)) < len(urls):
        raise ConfigError("the same address twice: it would agree with itself")
    return urls


def check_ipfs(value: Any, home: Path) -> str:
    """The address of a block store; a relative ``dir:`` is taken from ``home``.

    Returns:
        ``dir:`` and an absolute path, or an http(s):// address.

    Raises:
        ConfigError: It is neither ``dir:/path`` nor the address of a Kubo RPC API.
    """
    if isinstance(value, str):
        scheme, _, rest = value.partition(":")
        if scheme == "dir" and rest and "\0" not in rest:
            return f"dir:{(home / expanded(rest)).absolute()}"
        if scheme != "dir":
            return str(parse_api_address(value))
    raise ConfigError(f"not 'dir:/path/to/blocks' nor the RPC API of a Kubo node, such as {FORMS}")


def check_ipfs_auth(value: Any) -> str:
    """The secret of the Kubo RPC API.

    Raises:
        ConfigError: It is neither ``bearer:TOKEN`` nor ``basic:USER:PASSWORD``.
    """
    authorization(value if isinstance(value, str) else "")
    return str(value)


def whole(low: int, high: int) -> Callable[[Any], int]:
    """A parser of whole numbers in these bounds, both included."""

    def parse(value: Any) -> int:
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,19}", value):
            value = int(value)
        if type(value) is not int or not low <= value <= high:
            raise ConfigError(f"not a whole number from {low} to {high}")
        return value

    return parse


def parse_seconds(value: Any) -> float:
    """A pause, in seconds.

    Raises:
        ConfigError: It is no number from 0.05 to 600.
    """
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,6})?", value):
        value = float(value)
    if type(value) not in (int, float) or not 0.05 <= value <= 600:
        raise ConfigError("not a number of seconds from 0.05 to 600")
    return float(value)


def parse_confirmations(value: Any) -> int | Finality:
    """A depth in blocks, or the node's own word for it.

    Raises:
        ConfigError: It is neither a whole number up to 60 nor ``safe`` nor ``finalized``.
    """
    if value == "safe":
        return "safe"
    if value == "finalized":
        return "finalized"
    try:
        return whole(0, MAX_CONFIRMATIONS)(value)
    except ConfigError as error:
        raise ConfigError(f"{error}, nor 'safe' or 'finalized'") from None


def depth_of(confirmations: int | Finality) -> int:
    """About how many blocks behind the head a daemon with this setting stays."""
    return confirmations if isinstance(confirmations, int) else _TAG_BLOCKS[confirmations]


def parse_unprofitable(value: Any) -> Unprofitable:
    """What to do with a part whose fee does not pay its gas.

    Raises:
        ConfigError: It is neither ``skip`` nor ``send``.
    """
    if value == "skip":
        return "skip"
    if value == "send":
        return "send"
    raise ConfigError("not 'skip' nor 'send'")


def parse_path(value: Any, base: Path | None, what: Literal["file", "folder"]) -> Path:
    """The path of something; a relative one starts at ``base``, or where we stand.

    Raises:
        ConfigError: It is no text, or empty.
    """
    if not isinstance(value, str) or not value:
        raise ConfigError(f"not the path of a {what}")
    path = expanded(value)
    return path.absolute() if base is None else base / path


def expanded(text: str) -> Path:
    """A path, with ``~`` and ``~user`` filled in.

    Raises:
        ConfigError: There is no such user.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ConfigError(f"{ascii(text)[:80]}: there is no such user") from None


def parse_accounts(
    value: Any, faults: list[str], *, from_variable: bool, in_file: Any = None
) -> dict[str, str]:
    """Ape aliases by role: a table, or for the variable one alias that all roles take.

    Args:
        value: From the file or the variable.
        faults: Takes one line for each wrong row.
        from_variable: Which of the two.
        in_file: The table that the variable replaces: what is wrong in it is said all the same.
    """
    if from_variable:
        if in_file is not None:
            parse_accounts(in_file, faults, from_variable=False)
        if not _ALIAS.fullmatch(value):
            faults.append("DAM_ACCOUNT is not the alias of an Ape account")
        return dict.fromkeys((*ROLES, "default"), value)
    if not isinstance(value, dict):
        faults.append("accounts is not a table: write [accounts] and a line for each role")
        return {}
    accounts: dict[str, str] = {}
    for role, alias in value.items():
        if role not in (*ROLES, "default"):
            faults.append(f"accounts.{ascii(role)[:40]} is no role: {', '.join(ROLES)} or default")
        elif not isinstance(alias, str) or not _ALIAS.fullmatch(alias):
            faults.append(f"accounts.{role} is not the alias of an Ape account")
        else:
            accounts[role] = alias
    return accounts


def parse_alias(value: Any) -> str:
    """The alias of an Ape account.

    Raises:
        ConfigError: It is none.
    """
    if not isinstance(value, str) or not _ALIAS.fullmatch(value):
        raise ConfigError("not the alias of an Ape account")
    return value


def parse_relay(value: Any, sender_account: str | None) -> bool:
    """Whether another account sends; a variable says ``true`` or ``false``.

    Raises:
        ConfigError: It is neither, or nobody is named who would send.
    """
    if value not in (True, False, "true", "false"):
        raise ConfigError("neither true nor false")
    relay = value in (True, "true")
    if relay and not sender_account:
        raise ConfigError("sender_account must name the account that sends")
    return relay


def masked(url: str) -> str:
    """Scheme, host and port of an address; what else it has is shown as ``***``."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if ":" in host:
        host = f"[{host}]"
    port = f":{parts.port}" if parts.port else ""
    secret = parts.username or parts.password or parts.query or parts.path not in ("", "/")
    return f"{parts.scheme}://{host}{port}" + ("/***" if secret else "")


def masked_ipfs(address: str) -> str:
    """A block store's address without what may be secret in it."""
    return address if address.startswith("dir:") else masked(address)


def toml(value: str | int | Sequence[str]) -> str:
    """A TOML value (https://toml.io/en/v1.0.0).

    Raises:
        ConfigError: A text holds a control character.
    """
    if isinstance(value, int):
        return str(value)
    if not isinstance(value, str):
        return f"[{', '.join(toml(element) for element in value)}]"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    if any(ord(c) < 32 or ord(c) == 127 for c in escaped):
        raise ConfigError("a setting holds a control character")
    return f'"{escaped}"'
