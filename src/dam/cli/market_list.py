"""``dam market list``: several markets in one signed file."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from dam.atomic_file import read_regular
from dam.cli.failures import Failure
from dam.cli.session import (
    ADDRESS,
    Group,
    asynchronous,
    confirm_or_abort,
    json_option,
    passphrase_prompt,
    print_note,
    print_result,
    table,
    yes_option,
)
from dam.config.market_lists import (
    Plan,
    load_seen,
    plan_markets,
    save_seen,
    seen_key,
    settings_lock,
)
from dam.config.settings import home_folder, node_settings
from dam.config.values import check_rpc_url
from dam.errors import ConfigError, Malformed, Permanent
from dam.market.code import shipped_build
from dam.market.connect import open_node
from dam.market.deployment import Record, load_record
from dam.market.market_list import MAX_LIST_BYTES, MAX_SERIAL, MarketList, parse_list, sign_list
from dam.market.verification import verify_market
from dam.roles.new_files import check_new_file, write_new_file
from dam.types import Address
from dam.units import format_time
from dam.validation import MARKET_NAME

_DAY_SECONDS = 86_400
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group("list", cls=Group)
def market_list() -> None:
    """Several markets in one file, signed by who vouches for them."""


@market_list.command()
@click.argument("records", nargs=-1, required=True, metavar="NAME=RECORD...")
@click.option("--name", required=True, help="What the list is called; it stays, list after list.")
@click.option(
    "--serial",
    type=click.IntRange(1, MAX_SERIAL),
    required=True,
    help="Higher than that of the list before.",
)
@click.option(
    "--days",
    type=click.IntRange(1, 3660),
    default=365,
    show_default=True,
    help="How long it holds.",
)
@click.option("--account", metavar="ALIAS", required=True, help="Ape account that signs.")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="A new file."
)
@json_option
def sign(
    records: Sequence[str],
    name: str,
    serial: int,
    days: int,
    account: str,
    out: Path,
    as_json: bool,
) -> None:
    """Signs a list of markets: names of yours for them, and their deployment records."""
    from dam.keystore.ape_accounts import load_account  # half of the start-up time

    read = {key: load_record(Path(file)) for key, file in _pairs(records, "NAME=RECORD").items()}
    check_new_file(out)
    signer = load_account(
        account, environ=os.environ, prompt=passphrase_prompt(), notice=print_note
    )
    now = int(time.time())
    expires = now + days * _DAY_SECONDS
    text = sign_list(signer, read, name=name, serial=serial, issued=now, expires=expires)
    write_new_file(out, text.encode(), mode=0o644)
    print_result(
        {"file": str(out), "signer": signer.address, "serial": serial, "expires": expires,
         "markets": list(read)},
        as_json,
        f"Signed by {signer.address}, until {format_time(expires)}: {out}\n"
        "Tell people that address by another way than the file. They look at it with:\n"
        f"  dam market list check {out}",
    )  # fmt: skip


@market_list.command()
@click.argument("file", type=_FILE)
@click.option("--signer", type=ADDRESS, help="Who must have signed it.")
@json_option
def check(file: Path, signer: Address | None, as_json: bool) -> None:
    """Says who signed a list, which markets are in it, and what is wrong with it.

    Ends with 1 where something is wrong. No node is asked: `dam market list add` does.
    """
    found = _read(file)
    faults = _faults(found, signer)
    times = f"{format_time(found.issued)} to {format_time(found.expires)}"
    lines = [
        f"List    {found.name}",
        f"Serial  {found.serial}, {times}",
        f"Signer  {found.signer}" + (", as you said" if found.signer == signer else ""),
        "",
        _table(found.markets),
        "",
        *(f"WRONG   {one}" for one in faults),
    ]
    verdict = "take nothing from this list"
    if not faults:  # not the file's own word on whom to trust
        verdict = (
            "Nothing is wrong with it. Whether to trust its signer, you must know.\n"
            "Next, with the address that you have from elsewhere:\n"
            f"  dam market list add {file} --signer ADDRESS"
        )
    value = {
        "name": found.name,
        "serial": found.serial,
        "issued": found.issued,
        "expires": found.expires,
        "signer": found.signer,
        "markets": {name: _market_json(one) for name, one in found.markets.items()},
        "faults": faults,
    }
    print_result(value, as_json, "\n".join(lines if faults else [*lines, verdict]))
    if faults:
        raise Failure(verdict, printed=True)


@market_list.command()
@click.argument("file", type=_FILE)
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.option("--signer", type=ADDRESS, required=True, help="Who must have signed it.")
@click.option(
    "--rpc",
    "rpcs",
    multiple=True,
    metavar="NAME=URL",
    help="A node of a market; several times for more, or for several.",
)
@click.option("--current-as", default="", metavar="NAME", help="Name for your market till now.")
@click.option("--replace", is_flag=True, help="Put others in the place of markets of these names.")
@yes_option
@json_option
@asynchronous
async def add(
    file: Path,
    names: Sequence[str],
    signer: Address,
    rpcs: Sequence[str],
    current_as: str,
    replace: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Takes markets of a list into the settings, if the signer that you name signed it.

    NAME is a market of the list, or NEW=NAME to call it otherwise; without any, all are taken. A
    market with a node is compared with its chain first, as `dam market verify --no-compile` does.
    """
    home, found = home_folder(), _read(file)
    chosen = _choose(found, names)
    nodes = _nodes(rpcs, chosen)

    def look() -> Plan:
        if faults := _faults(found, signer):
            raise Permanent("nothing is taken from this list: " + "; ".join(faults))
        return plan_markets(home, chosen, nodes, current_as=current_as, replace=replace)

    plan = look()
    await _verify(plan)
    for name, other in plan.kept.items():
        under = "" if other == name else f", as {other}" if other else ", without a name"
        print_note(f"market {name} is in the settings already{under}")
    if plan.records:
        print_note(_table(plan.records, err=True))
        told = f"Add {', '.join(plan.added)}" if plan.added else ""
        if plan.replaced:
            told += (", r" if told else "R") + f"eplace {', '.join(plan.replaced)}"
        confirm_or_abort(f"{told}?", yes or as_json)
    with settings_lock(home):
        now = look()  # the settings may have been added to since
        if (now.records, now.added) != (plan.records, plan.added):
            raise Permanent("the settings have changed meanwhile: run this again")
        now.write()
        save_seen(home, found)
    print_result(
        {"added": plan.added, "replaced": plan.replaced, "kept": plan.kept},
        as_json,
        "\n".join(_next_steps(plan)),
    )


def _next_steps(plan: Plan) -> list[str]:
    lines = [f"Added     {', '.join(plan.added)}"] if plan.added else []
    lines += [f"Replaced  {', '.join(plan.replaced)}"] if plan.replaced else []
    lines = lines or ["Nothing to be done: all are there."]
    for name in plan.added:
        if plan.nodes[name]:
            lines.append(f"Next: dam --market {name} buyer browse")
        else:
            lines.append(f"Next: set rpc under [markets.{name}], then dam --market {name} doctor")
    return lines


# ------------------------------------------------------------------------------------------ helpers


def _read(file: Path) -> MarketList:
    try:
        return parse_list(read_regular(file, MAX_LIST_BYTES))
    except Malformed as error:
        raise ConfigError(f"{file} is no list of markets: {error}") from None


def _faults(found: MarketList, signer: Address | None) -> list[str]:
    """What is wrong with a list, here and now, for who expects this signer."""
    faults = found.faults_at(time.time(), load_seen(home_folder()).get(seen_key(found)))
    if signer is not None and signer != found.signer:
        faults.insert(0, f"it is signed by {found.signer}, and not by {signer}")
    return faults


def _choose(found: MarketList, names: Sequence[str]) -> dict[str, Record]:
    if not names:
        return dict(found.markets)
    wanted = {name.partition("=")[0]: name.partition("=")[2] or name for name in names}
    unknown = sorted({old for old in wanted.values() if old not in found.markets})
    if unknown:
        known = ", ".join(found.markets)
        raise click.UsageError(f"no market {ascii(unknown[0])[:40]} in the list: {known}")
    if len(wanted) < len(names) or not all(map(MARKET_NAME.fullmatch, wanted)):
        raise click.UsageError("names are up to 32 small letters, digits and hyphens, each once")
    return {new: found.markets[old] for new, old in wanted.items()}


def _nodes(rpcs: Sequence[str], chosen: Mapping[str, Record]) -> dict[str, list[str]]:
    nodes: dict[str, list[str]] = {}
    for one in rpcs:
        name, _, url = one.partition("=")
        if name not in chosen:
            raise click.UsageError("--rpc is NAME=URL, with the name of a market that is added")
        nodes.setdefault(name, []).append(check_rpc_url(url))
    return nodes


def _pairs(texts: Sequence[str], form: str) -> dict[str, str]:
    """``a=b``, for each text.

    Raises:
        click.UsageError: One has another form, or a name stands there twice.
    """
    pairs = [text.partition("=") for text in texts]
    found = {name: value for name, _, value in pairs}
    if len(found) < len(texts) or not all(name and value for name, value in found.items()):
        raise click.UsageError(f"{form}, each name once")
    return found


async def _verify(plan: Plan) -> None:
    """Compares with their chains those markets that have a node.

    Raises:
        Permanent: One is not what its record says.
        RpcError: A node cannot be asked.
    """
    timeout, limits = node_settings(os.environ)
    for name, record in plan.records.items():
        if not plan.nodes[name]:
            print_note(f"market {name} has no node (--rpc {name}=URL): it is not compared")
        for url in plan.nodes[name]:
            async with open_node(url, timeout=timeout, limits=limits) as node:
                findings = await verify_market(node, record, shipped_build())
            wrong = [one.text for one in findings if one.ok is False]
            if wrong:
                raise Permanent(
                    f"market {name} is not what the list says: {'; '.join(wrong)}. Nothing is "
                    "taken: ask the list's signer, or look at the node"
                )
            opened = "".join(f"; open: {one.text}" for one in findings if one.ok is None)
            print_note(f"market {name}: the chain has what our sources make of its record{opened}")


def _table(markets: Mapping[str, Record], *, err: bool = False) -> str:
    rows = [
        (name, one.deployment.chain_id, one.deployment.market, one.origin.profile)
        for name, one in markets.items()
    ]
    return table(("NAME", "CHAIN", "MARKET", "PROFILE"), rows, err=err)


def _market_json(record: Record) -> dict[str, Any]:
    at = record.deployment
    return {
        "chainId": at.chain_id,
        "market": at.market,
        "governor": at.governor,
        "profile": record.origin.profile,
    }
