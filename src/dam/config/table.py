"""The table of settings.

Loading, the file that ``dam init`` writes, the listing of ``dam deliverer config`` and
docs/reference/settings.md follow from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dam.config.values import (
    MAX_CONFIRMATIONS,
    MAX_RPC_URLS,
    ROLES,
    check_ipfs,
    check_ipfs_auth,
    check_rpc_urls,
    masked,
    masked_ipfs,
    parse_accounts,
    parse_alias,
    parse_confirmations,
    parse_path,
    parse_relay,
    parse_seconds,
    parse_unprofitable,
    whole,
)
from dam.ethereum.node import MAX_BATCH_CALLS, MAX_LOGS_BLOCKS
from dam.units import format_amount, parse_amount

_GWEI = 10**9


@dataclass(frozen=True, slots=True)
class Context:
    """What parsing one setting may depend on."""

    home: Path
    from_variable: bool
    """Set by its environment variable, not by the file."""
    in_file: Any
    """What the file says, if anything, replaced or not."""
    found: Mapping[str, Any]
    """Settings above it in the table, parsed, by field."""
    faults: list[str]
    """For a parser that finds several faults; else it raises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One row of the table."""

    field: str
    """Of `Settings`."""
    key: str
    """In ``config.toml``."""
    variable: str
    """In the environment; takes precedence."""
    section: str
    """Heading of the reference page."""
    parse: Callable[[Any, Context], Any]
    """From a TOML value or a variable's text; raises ConfigError or Malformed."""
    default: Any = None
    """A value, or a function of the context."""
    required: str = ""
    """If it has no default: what is missing, in words."""
    doc: str
    """One line of Markdown."""
    default_doc: str = ""
    """Of a default that depends on the context, or needs more words than `show` gives."""
    show: Callable[[Any], str] = str
    """A value for people, without secrets."""
    remark: str = ""
    """Comment in the file that ``dam init`` writes."""
    sample: str = ""
    """TOML value that this file shows commented out."""
    credential: str = ""
    """Name of a systemd credential that is taken where neither variable nor file says anything."""


def _plain(parse: Callable[[Any], Any]) -> Callable[[Any, Context], Any]:
    return lambda value, _: parse(value)


def _path_of(what: Literal["file", "folder"]) -> Callable[[Any, Context], Path]:
    """A relative path in the file starts at the user's folder, one in a variable where we stand."""
    return lambda value, context: parse_path(
        value, None if context.from_variable else context.home, what
    )


SETTINGS = (
    Setting(
        field="rpc_urls",
        key="rpc",
        variable="DAM_RPC_URL",
        section="Chain",
        parse=_plain(check_rpc_urls),
        default=(),
        required="the address of a node, such as http://127.0.0.1:8545",
        doc=f"http(s) address of the node's JSON-RPC, or a list of 2 to {MAX_RPC_URLS} (in the "
        "variable, with commas between them). It may hold an API key, and is never logged",
        show=lambda urls: ", ".join(masked(url) for url in urls),
    ),
    Setting(
        field="deployment_path",
        key="deployment",
        variable="DAM_DEPLOYMENT",
        section="Chain",
        parse=_path_of("file"),
        default=Path(),
        required="the file of the market's deployment record",
        doc="deployment record; a path in the file is relative to the home folder, one in the "
        "variable to where you stand",
        remark="relative to this file",
    ),
    Setting(
        field="ipfs",
        key="ipfs",
        variable="DAM_IPFS",
        section="Stores",
        parse=lambda value, context: check_ipfs(value, context.home),
        default=lambda context: f"dir:{context.home / 'blocks'}",
        doc="`dir:/path`, or the RPC API of a Kubo node: `http://127.0.0.1:5001` (without TLS a "
        "loopback address alone), `https://ipfs.example/prefix`, or as Kubo writes it, "
        "`/ip4/127.0.0.1/tcp/5001`, `/ip6/::1/tcp/5001`, `/dns4/ipfs.example/tcp/443/https`",
        default_doc="`dir:<home>/blocks`",
        show=masked_ipfs,
    ),
    Setting(
        field="ipfs_auth",
        key="ipfs_auth",
        variable="DAM_IPFS_AUTH",
        credential="dam-ipfs-auth",
        section="Stores",
        parse=_plain(check_ipfs_auth),
        default="",
        doc="secret of that API, if it asks for one (`API.Authorizations`): `bearer:TOKEN` or "
        "`basic:USER:PASSWORD`. Also a systemd credential, `dam-ipfs-auth`. It is never logged or "
        "shown",
        default_doc="none",
        show=lambda secret: "***" if secret else "none",
        remark="secret of the IPFS node's API, if it asks for one",
        sample='"bearer:..."',
    ),
    Setting(
        field="index_root",
        key="index",
        variable="DAM_INDEX",
        section="Stores",
        parse=_path_of("folder"),
        default=lambda context: context.home / "markets",
        doc="folder of the local index, in which each market has a folder of its own; on a local "
        "disk that can be written to. What is in it can be deleted: it is made again from the "
        "chain and the stores",
        default_doc="`<home>/markets`",
        remark="folder of the index, on a local disk",
        sample='"/var/tmp/dam-index"',
    ),
    Setting(
        field="confirmations",
        key="confirmations",
        variable="DAM_CONFIRMATIONS",
        section="Chain",
        parse=_plain(parse_confirmations),
        default=2,
        doc="blocks that a daemon waits before it acts on a block, "
        f"0 to {MAX_CONFIRMATIONS}. More is safer against reorganisations, and leaves less of "
        'the 100 blocks. Or `"safe"` or `"finalized"`: what the node calls so, on Ethereum some '
        "40 and 80 blocks behind the head",
        remark="blocks that daemons wait before they act on one",
    ),
    Setting(
        field="poll_seconds",
        key="poll_seconds",
        variable="DAM_POLL",
        section="Chain",
        parse=_plain(parse_seconds),
        default=2.0,
        doc="pause between two looks at the chain, 0.05 to 600",
        show="{:g}".format,
    ),
    Setting(
        field="max_fee",
        key="max_fee_gwei",
        variable="DAM_MAX_FEE_GWEI",
        section="Gas and fees",
        parse=lambda value, _: whole(1, 1_000_000)(value) * _GWEI,
        default=500 * _GWEI,
        doc="most that a unit of gas may cost, tip included, 1 to 1,000,000. Above it nothing is "
        "sent, nor sent again after it was lowered",
        show=lambda wei: str(wei // _GWEI),
        remark="most that a unit of gas may cost",
        sample="500",
    ),
    Setting(
        field="min_fee",
        key="min_fee",
        variable="DAM_MIN_FEE",
        section="Gas and fees",
        parse=_plain(parse_amount),
        default=0,
        doc='least fee of a part for which the deliverer delivers, such as `"0.0001 ether"`',
        show=format_amount,
        remark="least fee of a part that our deliverer delivers for",
        sample='"0.0001 ether"',
    ),
    Setting(
        field="data_fee",
        key="data_fee",
        variable="DAM_DATA_FEE",
        section="Gas and fees",
        parse=_plain(parse_amount),
        default=0,
        doc="what a rollup takes for one byte of a transaction, beside or in its gas, such as "
        '`"0.2 gwei"`: part of what a fee must pay. 0: what the chain tells (OP stack, Arbitrum), '
        "else what the newest receipt did",
        show=format_amount,
        remark="of a byte of a transaction on a rollup, if the chain does not tell",
        sample='"0.2 gwei"',
    ),
    Setting(
        field="unprofitable",
        key="unprofitable",
        variable="DAM_UNPROFITABLE",
        section="Gas and fees",
        parse=_plain(parse_unprofitable),
        default="skip",
        doc="`skip`: a part whose fee does not pay its gas waits for cheaper gas, until its "
        "deadline, and is reported; no transaction may cost more than its parts earn; `send`: it "
        "is delivered at a loss",
        remark='or "send": a part whose fee cannot pay its gas',
        sample='"skip"',
    ),
    Setting(
        field="pin_bytes",
        key="pin_bytes",
        variable="DAM_PIN_BYTES",
        section="Stores",
        parse=_plain(whole(0, 2**63 - 1)),
        default=20 << 30,
        doc="bytes that the deliverer pins of others' stores",
        default_doc=f"{20 << 30} (20 GiB)",
        remark="what our deliverer keeps of others' stores",
        sample=str(20 << 30),
    ),
    Setting(
        field="rpc_agree",
        key="rpc_agree",
        variable="DAM_RPC_AGREE",
        section="Chain",
        parse=lambda value, context: whole(1, len(context.found["rpc_urls"]) or 1)(value),
        default=lambda context: min(2, len(context.found["rpc_urls"])),
        doc="how many of the nodes must tell the same before the daemon believes it; at most as "
        "many as there are",
        default_doc="1, with several nodes 2",
        remark="of several nodes, so many must tell the same",
        sample="2",
    ),
    Setting(
        field="max_logs_bytes",
        key="max_logs_mib",
        variable="DAM_MAX_LOGS_MIB",
        section="Chain",
        parse=lambda value, _: whole(1, 1024)(value) << 20,
        default=24 << 20,
        doc="most MiB that a node's answer with logs may have, 1 to 1,024. A range of blocks with "
        "more is read in smaller ones, a block with more by its receipts, of which each must fit",
        show=lambda size: str(size >> 20),
        remark="most MiB of a node's answer with logs",
        sample="24",
    ),
    Setting(
        field="max_logs_blocks",
        key="max_logs_blocks",
        variable="DAM_MAX_LOGS_BLOCKS",
        section="Chain",
        parse=_plain(whole(1, MAX_LOGS_BLOCKS)),
        default=MAX_LOGS_BLOCKS,
        doc="most blocks of which a node is asked for logs at once, 1 to "
        f"{MAX_LOGS_BLOCKS:,}. A node that takes fewer is found out; said here, it need not be. "
        "`dam doctor --measure` says how many a node takes",
        remark="most blocks of which a node is asked for logs at once",
        sample=str(MAX_LOGS_BLOCKS),
    ),
    Setting(
        field="rpc_batch",
        key="rpc_batch",
        variable="DAM_RPC_BATCH",
        section="Chain",
        parse=_plain(whole(1, MAX_BATCH_CALLS)),
        default=MAX_BATCH_CALLS,
        doc=f"most calls of one request to a node, 1 to {MAX_BATCH_CALLS}; fewer where a node "
        "takes fewer, which is found out likewise",
        remark="most calls of one request to a node",
        sample=str(MAX_BATCH_CALLS),
    ),
    Setting(
        field="rpc_timeout",
        key="rpc_timeout_seconds",
        variable="DAM_RPC_TIMEOUT",
        section="Chain",
        parse=lambda value, _: float(whole(1, 300)(value)),
        default=20.0,
        doc="whole seconds that a node has for an answer, 1 to 300",
        show="{:g}".format,
        remark="seconds that a node has for an answer",
        sample="20",
    ),
    Setting(
        field="halt_depth",
        key="halt_depth",
        variable="DAM_HALT_DEPTH",
        section="Chain",
        parse=_plain(whole(1, 256)),
        default=64,
        doc="a reorganisation of more blocks than this, 1 to 256, halts the daemon: a person must "
        "look",
        remark="a reorganisation of more blocks halts the daemon",
        sample="64",
    ),
    Setting(
        field="health_port",
        key="health_port",
        variable="DAM_HEALTH_PORT",
        section="Monitoring",
        parse=_plain(whole(0, 65_535)),
        doc="port on 127.0.0.1 of `/metrics`, `/healthz` and `/readyz`; 0 takes a free one and "
        "logs it",
        show=lambda port: "off" if port is None else str(port),
        remark="/metrics, /healthz and /readyz on the loopback address",
        sample="9464",
    ),
    Setting(
        field="web_port",
        key="web_port",
        variable="DAM_WEB_PORT",
        section="Storefront",
        parse=_plain(whole(1024, 65_535)),
        default=8620,
        doc="port of the page that `dam web` serves, 1,024 to 65,535. The browser keeps "
        "the library of purchases under this address: with another port it is another, empty one",
        remark="of `dam web`; the browser keeps purchases under it",
        sample="8620",
    ),
    Setting(
        field="accounts",
        key="accounts",
        variable="DAM_ACCOUNT",
        section="Accounts",
        parse=lambda value, context: parse_accounts(
            value, context.faults, from_variable=context.from_variable, in_file=context.in_file
        ),
        default={},
        doc="table of Ape aliases: `default`, or one each for "
        + ", ".join(f"`{role}`" for role in ROLES)
        + ". The variable is taken for all roles",
        show=lambda accounts: (
            ", ".join(f"{r} = {a}" for r, a in sorted(accounts.items())) or "none"
        ),
    ),
    Setting(
        field="sender_account",
        key="sender_account",
        variable="DAM_SENDER_ACCOUNT",
        section="Accounts",
        parse=_plain(parse_alias),
        doc="Ape alias of the account that sends and pays the gas of a daemon's transactions, with "
        "`relay`",
        show=lambda alias: alias or "none",
        remark="sends and pays, where relay is true",
        sample='"gas"',
    ),
    Setting(
        field="relay",
        key="relay",
        variable="DAM_RELAY",
        section="Accounts",
        parse=lambda value, context: parse_relay(value, context.found["sender_account"]),
        default=False,
        doc="`true`: a daemon's own account signs the lists of parts alone, and `sender_account` "
        "sends them: it has the nonces and pays the gas. The operator's account needs no coins "
        "then",
        show=lambda relay: str(relay).lower(),
        remark="another account sends",
        sample="false",
    ),
)
"""All settings, in the order in which they are parsed and shown."""
