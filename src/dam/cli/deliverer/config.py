"""``dam deliverer config``: the settings in force, and where each was said."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit

import click

from dam.cli.session import emit, json_option, table
from dam.config.settings import Settings, config_path, origins
from dam.units import format_amount


@click.command("config")
@click.option("--check", is_flag=True, help="Print the faults alone; exit code 1 if there are any.")
@json_option
def config_command(check: bool, as_json: bool) -> None:
    """Shows the settings in force: value, and whether file, variable or default says so.

    Addresses of nodes are cut to scheme and host, since they may hold an API key.
    """
    settings = Settings.load()
    if check:
        emit({"complete": True}, as_json, f"{settings.home}: the settings are complete.")
        return
    said = origins(os.environ)
    file = str(config_path(settings.home))
    rows = [(key, text, _origin(said.get(key), file)) for key, text in _values(settings).items()]
    value: dict[str, Any] = {
        "home": str(settings.home),
        "settings": {key: {"value": text, "from": origin} for key, text, origin in rows},
    }
    folder = "DAM_HOME" if os.environ.get("DAM_HOME") else "default"
    human = table(("setting", "value", "from"), [("home", str(settings.home), folder), *rows])
    emit(value, as_json, human)


def _values(settings: Settings) -> dict[str, str]:
    deployment = settings.deployment
    accounts = ", ".join(f"{role} = {alias}" for role, alias in sorted(settings.accounts.items()))
    return {
        "rpc": ", ".join(masked(url) for url in settings.rpc_urls),
        "rpc_agree": str(settings.rpc_agree),
        "deployment": f"{settings.deployment_path} (market {deployment.market} on chain "
        f"{deployment.chain_id})",
        "ipfs": settings.ipfs if settings.ipfs.startswith("dir:") else masked(settings.ipfs),
        "confirmations": str(settings.confirmations),
        "halt_depth": str(settings.halt_depth),
        "poll_seconds": f"{settings.poll_seconds:g}",
        "max_fee_gwei": str(settings.max_fee // 10**9),
        "min_fee": format_amount(settings.min_fee),
        "unprofitable": settings.unprofitable,
        "pin_bytes": str(settings.pin_bytes),
        "health_port": "off" if settings.health_port is None else str(settings.health_port),
        "accounts": accounts or "none",
    }


def _origin(said: str | None, file: str) -> str:
    if said is None:
        return "default"
    return "config.toml" if said.endswith(file) else said


def masked(url: str) -> str:
    """Scheme, host and port of an address; what else it has is shown as ``***``."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if ":" in host:
        host = f"[{host}]"
    port = f":{parts.port}" if parts.port else ""
    secret = parts.username or parts.password or parts.query or parts.path not in ("", "/")
    return f"{parts.scheme}://{host}{port}" + ("/***" if secret else "")
