"""``dam market``: what a market is, proved from its record, the chain and our sources."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import click

from dam.atomic_file import write_atomic
from dam.cli.failures import Failure
from dam.cli.market_list import market_list
from dam.cli.session import Group, asynchronous, json_option, print_note, print_result
from dam.config.settings import Settings, node_settings
from dam.config.values import check_rpc_url
from dam.errors import ConfigError
from dam.market.code import Build, shipped_build, shipped_input, source_hash
from dam.market.compiling import compile_input, compiler_version, find_compiler
from dam.market.connect import open_node
from dam.market.deployment import Record, load_record
from dam.market.verification import Finding, verify_market

_WORDS = {True: "yes", False: "NO", None: "?"}


@click.group(cls=Group)
def market() -> None:
    """The market itself: is it what its record says? And signed lists of several."""


market.add_command(market_list)


@market.command()
@click.argument("record", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--rpc", metavar="URL", help="Node of the chain. [default: that of the settings]")
@click.option(
    "--solc",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Solidity compiler to make the code anew with. [default: one of 0.8.30 that is found]",
)
@click.option("--no-compile", is_flag=True, help="Compare with the code that DAM ships, at once.")
@click.option(
    "--standard-json",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Also write the compiler's input, which source verifiers take.",
)
@json_option
@asynchronous
async def verify(
    record: Path | None,
    rpc: str | None,
    solc: Path | None,
    no_compile: bool,
    standard_json: Path | None,
    as_json: bool,
) -> None:
    """Compares a deployment record with the chain, and both with DAM's sources.

    RECORD is a file; without one, that of the settings. Ends with 1 where something differs.
    """
    if standard_json is not None:
        write_atomic(
            standard_json, (json.dumps(shipped_input(), indent=1) + "\n").encode(), mode=0o644
        )
        print_note(f"the compiler's input: {standard_json}")
    read, url = _where(record, rpc)
    timeout, limits = node_settings(os.environ)
    findings = [] if no_compile else [await asyncio.to_thread(_compile, solc)]
    async with open_node(url, timeout=timeout, limits=limits) as node:
        findings += await verify_market(node, read, shipped_build())
    _print(read, findings, as_json)


def _where(path: Path | None, rpc: str | None) -> tuple[Record, str]:
    """The record and the node, of the settings where the command does not name them."""
    rpc = rpc or (os.environ.get("DAM_RPC_URL", "").split(",")[0].strip() if path else None)
    if path is not None and rpc:
        return load_record(path), check_rpc_url(rpc)
    settings = Settings.load()
    return load_record(path or settings.deployment_path), rpc or settings.rpc_url


def _compile(solc: Path | None) -> Finding:
    """Whether the sources that DAM ships give the code that it ships."""
    build, wanted = shipped_build(), shipped_input()
    if source_hash(wanted) != build.source_hash:
        return Finding(False, "compiler", "this DAM's sources and code do not belong together")
    found = solc or find_compiler(os.environ)
    if found is None:
        text = f"no solc {build.compiler} here: compared with the code that DAM ships (or --solc)"
        return Finding(None, "compiler", text)
    version = compiler_version(found)
    if version != build.compiler:
        raise ConfigError(f"{found} is solc {version or '?'}, and not {build.compiler}")
    print_note(f"compiling with {found}: a minute or two (--no-compile spares it)")
    return _compared(compile_input(wanted, found), build)


def _compared(made: Build, build: Build) -> Finding:
    if made == build:
        return Finding(True, "compiler", f"solc {build.compiler} makes our code of our sources")
    text = f"solc {made.compiler} makes other code of our sources than the code that DAM ships"
    return Finding(False, "compiler", text)


def _print(record: Record, findings: list[Finding], as_json: bool) -> None:
    """What was found; the exit code says whether all of it matches."""
    wrong = [one for one in findings if one.ok is False]
    open_ones = [one for one in findings if one.ok is None]
    lines = [f"{_WORDS[one.ok]:<4} {one.text}" for one in findings]
    at = record.deployment
    verdict = f"{at.market} on chain {at.chain_id} is what its record says"
    if wrong:
        verdict = f"{len(wrong)} of {len(findings)} do not match: do not use this record"
    elif open_ones:
        verdict += f", as far as could be seen ({len(open_ones)} open)"
    value: dict[str, Any] = {
        "market": at.market,
        "chainId": at.chain_id,
        "matches": not wrong,
        "findings": [{"what": one.what, "ok": one.ok, "text": one.text} for one in findings],
    }
    print_result(value, as_json, "\n".join(lines if wrong else [*lines, "", verdict]))
    if wrong:
        raise Failure(verdict, printed=True)
