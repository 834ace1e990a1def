"""Takes markets of a signed list into the settings, and remembers which list was taken.

Tables are added at the end of ``config.toml``; nothing that stands there is changed. A market's
record is ``<home>/records/<name>.json``, and only such a file is ever replaced, where that is said.
"""

from __future__ import annotations

import contextlib
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dam import validation
from dam.atomic_file import held, read_regular, write_atomic
from dam.config.settings import MAX_FILE_BYTES, config_path, market_tables, read_config
from dam.config.values import expanded, toml
from dam.errors import ConfigError, Malformed
from dam.ipfs import dag_json
from dam.market.deployment import Record, dump_record, load_record
from dam.market.market_list import MAX_SERIAL, MarketList, Seen

_SEEN_FILE = "market-lists.json"
_MAX_SEEN_BYTES = 1 << 20


@contextlib.contextmanager
def settings_lock(home: Path) -> Iterator[None]:
    """One command at a time adds to the settings; held from the plan to the end of writing."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with held(home / "config.lock", wait=True):
        yield


# ---------------------------------------------------------------------------------- what was taken


def load_seen(home: Path) -> dict[str, Seen]:
    """The newest list taken of each signer and name; see `seen_key`.

    Raises:
        ConfigError: The file is damaged.
    """
    path = home / _SEEN_FILE
    try:
        value = dag_json.loads(read_regular(path, _MAX_SEEN_BYTES), max_depth=2)
        if not isinstance(value, dict):
            raise Malformed("no JSON object")
        return {key: _read_seen(one) for key, one in value.items()}
    except FileNotFoundError:
        return {}
    except (OSError, Malformed) as error:
        raise ConfigError(
            f"{path} cannot be read: {error}. Take it away, and older lists are not noticed "
            "until newer ones are taken again"
        ) from None


def _read_seen(value: Any) -> Seen:
    one = validation.record(value, "an entry", ("serial", "digest"))
    serial = validation.integer(one["serial"], "a serial number", 1, MAX_SERIAL)
    return Seen(serial, validation.bytes32(one["digest"], "a digest"))


def seen_key(found: MarketList) -> str:
    """What a list and all later ones of its signer and name have in common."""
    return f"{found.signer} {found.name}"


def save_seen(home: Path, found: MarketList) -> None:
    """Remembers a list that was taken."""
    seen = load_seen(home) | {seen_key(found): Seen(found.serial, found.digest)}
    value = {k: {"serial": v.serial, "digest": "0x" + v.digest.hex()} for k, v in seen.items()}
    write_atomic(home / _SEEN_FILE, (json.dumps(value, indent=1) + "\n").encode())


# ------------------------------------------------------------------------------- what is to be done


@dataclass(slots=True)
class Plan:
    """What taking markets would change; nothing is written yet."""

    home: Path
    added: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)
    """Those that the settings have already, and under which name; empty: without one."""
    records: dict[str, Record] = field(default_factory=dict)
    """Of those that are added or replaced."""
    nodes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Addresses by market; they may hold API keys."""
    config: str = ""
    """The new text of ``config.toml``; empty: it stays."""

    def write(self) -> None:
        """Writes records first, so that the settings never name one that is not there."""
        for name, record in self.records.items():
            path = record_file(self.home, name)
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomic(path, dump_record(record).encode(), mode=0o644)
        if self.config:
            # A link to a file that is kept elsewhere stays one.
            write_atomic(config_path(self.home).resolve(), self.config.encode())


def record_file(home: Path, name: str) -> Path:
    """Where the record of a market is that came with a list."""
    return home / "records" / f"{name}.json"


def plan_markets(
    home: Path,
    chosen: Mapping[str, Record],
    nodes: Mapping[str, Sequence[str]],
    *,
    current_as: str = "",
    replace: bool = False,
) -> Plan:
    """What it takes to have these markets in the settings.

    Args:
        home: The user's.
        chosen: Records by name.
        nodes: Addresses of nodes by name, where the user has named some.
        current_as: Name for the market that the settings have without a name.
        replace: Whether a market of the same name and another record gives way.

    Raises:
        ConfigError: It cannot be done; the message says what would help.
    """
    path = config_path(home)
    faults: list[str] = []
    in_file = read_config(path, faults)
    if faults:
        raise ConfigError("; ".join(faults))
    tables = market_tables(in_file)
    plan = Plan(home)
    alone = not tables and "deployment" in in_file
    known = _known_records(home, {"": in_file} if alone else tables)
    new: dict[str, dict[str, Any]] = {}
    for name, record in chosen.items():
        _place(plan, name, record, known, replace)
        if name in plan.added:
            rpc = tuple(nodes.get(name, ()))
            new[name] = {"rpc": rpc[0] if len(rpc) == 1 else list(rpc)} if rpc else {}
            new[name]["deployment"] = f"records/{name}.json"
            plan.nodes[name] = rpc
        elif name in plan.replaced:
            said = nodes.get(name) or _addresses((in_file | tables.get(name, {})).get("rpc"))
            plan.nodes[name] = tuple(said)
    if alone and plan.added:
        current = {key: value for key, value in in_file.items() if key in ("rpc", "deployment")}
        new = {_current_name(current_as, chosen): current} | new
    if plan.added:
        plan.config = _with_tables(path, in_file, new)
    return plan


def _current_name(said: str, chosen: Mapping[str, Record]) -> str:
    if not said:
        raise ConfigError(
            "the settings have one market, without a name: give it one with --current-as NAME, by "
            "which it goes on beside the others"
        )
    if not validation.MARKET_NAME.fullmatch(said) or said in chosen:
        raise ConfigError(
            "--current-as: a name of up to 32 small letters, digits and hyphens, other than those "
            "to be added"
        )
    return said


def _known_records(home: Path, tables: Mapping[str, Any]) -> dict[str, tuple[Path, Record | None]]:
    """Files of the records of the settings' markets, and what they hold, if it can be read."""
    known: dict[str, tuple[Path, Record | None]] = {}
    for name, table in tables.items():
        file = home / expanded(str(table.get("deployment", "")))
        try:
            known[name] = (file, load_record(file))
        except ConfigError:
            known[name] = (file, None)
    return known


def _place(
    plan: Plan,
    name: str,
    record: Record,
    known: Mapping[str, tuple[Path, Record | None]],
    replace: bool,
) -> None:
    """Decides what becomes of one market.

    Raises:
        ConfigError: It would replace one, and nobody said so; or a file that is not ours.
    """
    file = record_file(plan.home, name)
    at = record.deployment
    for other, (_, one) in known.items():
        same = one and (one.deployment.chain_id, one.deployment.market) == (at.chain_id, at.market)
        if one == record or (same and other != name):
            plan.kept[name] = other
            return
    if name not in known:
        if file.exists() and file.read_bytes() != dump_record(record).encode():
            raise ConfigError(
                f"{file} is there already, of no market in the settings: take it away"
            )
        plan.added.append(name)
    elif not replace:
        raise ConfigError(
            f"the settings have another market {name}: --replace puts this one in its place; or "
            "take this one under another name, with NEW=NAME"
        )
    elif known[name][0].resolve() != file.resolve():
        raise ConfigError(
            f"the record of market {name} is {known[name][0]}, a file of yours: put another one "
            "there by hand"
        )
    else:
        plan.replaced.append(name)
    plan.records[name] = record


def _addresses(value: Any) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else [str(value)] if value else []


def _with_tables(path: Path, in_file: Mapping[str, Any], new: Mapping[str, dict[str, Any]]) -> str:
    """The settings with new tables at their end.

    Raises:
        ConfigError: Their form does not allow it, or they would be too long.
    """
    lines = []
    for name, table in new.items():
        lines += ["", f"[markets.{name}]", *(f"{key} = {toml(one)}" for key, one in table.items())]
        if "rpc" not in table:
            lines.append('# rpc = "https://..."  # its node')
    tables = "\n".join(lines) + "\n"
    before = read_regular(path, MAX_FILE_BYTES).decode() if path.exists() else ""
    text = before + ("\n" if before and not before.endswith("\n") else "") + tables
    wanted = {**in_file, "markets": {**in_file.get("markets", {}), **new}}
    try:
        right = tomllib.loads(text) == wanted
    except tomllib.TOMLDecodeError:
        right = False
    if not right:
        raise ConfigError(
            f"{path} cannot be added to as it is written; add this by hand:\n{tables}"
        )
    if len(text.encode()) > MAX_FILE_BYTES:
        raise ConfigError(f"{path} would be longer than {MAX_FILE_BYTES} bytes")
    return text
