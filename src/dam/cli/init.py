"""``dam init``: the settings, once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from dam.atomic_file import write_atomic
from dam.cli.session import asynchronous, json_option, print_note, print_result
from dam.config.settings import config_path, dump_config, home_folder, key_paths, node_settings
from dam.config.values import check_ipfs, check_ipfs_auth, check_rpc_url, masked_ipfs
from dam.errors import ConfigError, IpfsError, KeyFileError, Permanent
from dam.ethereum.node import balance_of, chain_id_of
from dam.ipfs.open import open_store
from dam.keystore.ape_accounts import address_of, keyfile_path
from dam.market.client import Market
from dam.market.connect import open_node
from dam.market.deployment import Record, load_record, record_path, save_record
from dam.units import format_amount

_LOCAL_NODE = "http://127.0.0.1:8545"


@click.command()
@click.option("--rpc", metavar="URL", help=f"Node of the chain. [default: {_LOCAL_NODE}]")
@click.option(
    "--deployment",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Deployment record of the market. [default: deployments/<chainId>.json]",
)
@click.option(
    "--ipfs",
    metavar="URL",
    help="RPC API of a Kubo node (http://127.0.0.1:5001), or dir:/path. "
    "[default: a directory of its own]",
)
@click.option("--account", metavar="ALIAS", help="Ape account that signs for you.")
@click.option(
    "--confirmations",
    type=click.IntRange(0, 60),
    default=2,
    show_default=True,
    help="Blocks that a daemon waits before it acts on one.",
)
@click.option("--force", is_flag=True, help="Replace settings that are there already.")
@json_option
@asynchronous
async def init(
    rpc: str | None,
    deployment: Path | None,
    ipfs: str | None,
    account: str | None,
    confirmations: int,
    force: bool,
    as_json: bool,
) -> None:
    """Writes the settings, after a look at the node, the market and the block store.

    Without options the variables DAM_RPC_URL, DAM_DEPLOYMENT, DAM_IPFS and DAM_ACCOUNT are taken.
    """
    home = home_folder()
    path = config_path(home)
    if path.exists() and not force:
        raise Permanent(f"{path} is there already: edit it, or use --force to replace it")
    rpc = rpc or os.environ.get("DAM_RPC_URL") or _LOCAL_NODE
    ipfs = ipfs or os.environ.get("DAM_IPFS") or f"dir:{home / 'blocks'}"
    # What a person types is relative to the folder that they are in.
    ipfs = check_ipfs(ipfs, Path.cwd())
    account = account or os.environ.get("DAM_ACCOUNT")
    if account:
        keyfile_path(account, os.environ)  # raises if this could be no account's name
    record = await check_market(check_rpc_url(rpc), deployment)
    market, chain_id = record.deployment.market, record.deployment.chain_id
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    await check_blocks(ipfs)
    save_record(record, home / "deployment.json")
    text = dump_config(
        rpc_url=rpc,
        deployment="deployment.json",
        ipfs=ipfs,
        confirmations=confirmations,
        accounts={"default": account} if account else {},
    )
    write_atomic(path, text.encode())
    result: dict[str, Any] = {
        "home": str(home),
        "config": str(path),
        "chainId": chain_id,
        "market": market,
        "ipfs": masked_ipfs(ipfs),
        "account": account,
    }
    found, said, steps = await _look_at_account(account, rpc)
    lines = [
        f"Settings   {path}",
        f"Market     {market} on chain {chain_id}: its code is the record's",
        f"Blocks     {masked_ipfs(ipfs)}",
        f"Account    {said}",
        "",
        "Next:",
        *(f"  {step}" for step in [*steps, *_next_steps(home)]),
    ]
    print_result(result | found, as_json, "\n".join(lines))


async def _look_at_account(
    alias: str | None, rpc_url: str
) -> tuple[dict[str, Any], str, list[str]]:
    """Address and coins of who will sign: for programs, in words, and what is to be done."""
    if not alias:
        make = 'ape accounts generate NAME, then default = "NAME" under [accounts] in the settings'
        return {"address": None, "balance": None}, "none yet", [make]
    try:
        address = address_of(alias, os.environ)
    except KeyFileError as error:
        step = f"ape accounts generate {alias}   (or put its keyfile there)"
        return {"address": None, "balance": None}, f"{alias}, not there yet: {error}", [step]
    timeout, limits = node_settings(os.environ, with_file=False)
    async with open_node(rpc_url, timeout=timeout, limits=limits) as node:
        coins = await balance_of(node, address)
    steps = [] if coins else [f"send coins to {address}: for gas, and what you buy or stake"]
    value = {"address": address, "balance": str(coins)}
    return value, f"{address} ({alias}) has {format_amount(coins)}", steps


def _next_steps(home: Path) -> list[str]:
    steps = []
    keys = key_paths(home)
    if not keys.buyer.exists():
        steps.append("to buy:      dam keys new buyer;     dam buyer browse")
    if not keys.seller.exists():
        steps.append("to sell:     dam keys new seller;    dam seller stake '0.5 ether'")
    if not keys.deliverer.exists():
        steps.append("to deliver:  dam deliverer init")
    return steps or ["dam buyer browse"]


async def check_market(rpc_url: str, deployment: Path | None) -> Record:
    """The deployment record, once the node has its chain and the market's code.

    Raises:
        ConfigError: There is no record, or the node is of another chain, or has other code.
    """
    timeout, limits = node_settings(os.environ, with_file=False)
    async with open_node(rpc_url, timeout=timeout, limits=limits) as rpc:
        chain_id = await chain_id_of(rpc)
        record = load_record(deployment or _find_record(chain_id))
        expected = record.deployment.chain_id
        if expected != chain_id:
            raise ConfigError(
                f"the node {rpc.host} is of chain {chain_id}, and the deployment record of chain "
                f"{expected}: name another one with --deployment, or another node"
            )
        await Market(rpc, record.deployment).check_deployment()
    return record


def _find_record(chain_id: int) -> Path:
    named = os.environ.get("DAM_DEPLOYMENT")
    path = Path(named) if named else record_path(Path("deployments"), chain_id)
    if not named and not path.exists():
        raise ConfigError(
            f"no deployment record for chain {chain_id} here ({path}): name one with --deployment"
        )
    print_note(f"using the deployment record {path}")
    return path


async def check_blocks(ipfs: str) -> None:
    """Raises `ConfigError` unless the block store keeps a block and gives it back."""
    auth = os.environ.get("DAM_IPFS_AUTH") or ""
    blocks = open_store(ipfs, auth=check_ipfs_auth(auth) if auth else "")
    try:
        cid = await blocks.put("raw", b"DAM")
        await blocks.get(cid)
    except IpfsError as error:
        raise ConfigError(
            f"the block store {masked_ipfs(ipfs)} does not work ({error}): start the node, or use "
            "dir:/path"
        ) from None
    finally:
        await blocks.close()
