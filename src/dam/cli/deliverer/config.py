"""``dam deliverer config``: the settings in force, and where each was said."""

from __future__ import annotations

import os
from typing import Any

import click

from dam.cli.session import json_option, print_result, table
from dam.config.settings import Settings, config_path, origins
from dam.config.table import SETTINGS


@click.command("config")
@click.option("--check", is_flag=True, help="Print the faults alone; exit code 2 if there are any.")
@json_option
def config_command(check: bool, as_json: bool) -> None:
    """Shows the settings in force: value, and whether file, variable or default says so.

    Addresses of nodes are cut to scheme and host, since they may hold an API key.
    """
    settings = Settings.load()
    if check:
        print_result({"complete": True}, as_json, f"{settings.home}: the settings are complete.")
        return
    said = origins(os.environ)
    file = str(config_path(settings.home))
    rows = [(key, text, _origin(said.get(key), file)) for key, text in _shown(settings).items()]
    value: dict[str, Any] = {
        "home": str(settings.home),
        "settings": {key: {"value": text, "from": origin} for key, text, origin in rows},
    }
    folder = "DAM_HOME" if os.environ.get("DAM_HOME") else "default"
    human = table(("setting", "value", "from"), [("home", str(settings.home), folder), *rows])
    print_result(value, as_json, human)


def _shown(settings: Settings) -> dict[str, str]:
    shown = {row.key: row.show(getattr(settings, row.field)) for row in SETTINGS}
    deployment = settings.deployment
    shown["deployment"] += f" (market {deployment.market} on chain {deployment.chain_id})"
    return shown


def _origin(said: str | None, file: str) -> str:
    if said is None:
        return "default"
    return "config.toml" if said.endswith(file) else said
