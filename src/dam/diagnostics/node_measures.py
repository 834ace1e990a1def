"""``dam doctor --measure``: what each node takes and keeps, and what to set for it.

How old a state it answers, how many blocks, logs and bytes it gives at once, how many calls a
request, how quickly; how far it is behind the others, and whether it tells what they tell. Numbers
come by halving, within the budget of `node_probe`. Whatever could not be told is said.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from dam.config.settings import Settings
from dam.diagnostics.host_checks import Finding, ok, warn
from dam.diagnostics.node_probe import Probe, ProbeEndedError, largest, quick_calls
from dam.errors import RpcError
from dam.ethereum.node import MAX_BATCH_CALLS, MAX_LOGS_BLOCKS, quantity

_QUICK_CALLS, _AT_ONCE = 40, 4
_MOST_LOGS = 20_000
_AGREE_BLOCKS = 1_000
_LOOKS, _LOOK_SECONDS = 3, 1.0
_FAR_BEHIND = 3
_NEEDED_STATES = 64
"""Blocks back from the head: a sender asks there for its nonce."""
_CALLS_PER_ROUND = 8
"""Of a daemon, when nothing happens: `poll_seconds` is long enough for them."""
_WORDS = 90
_SLOW_FACTOR = 4
_NEVER = "0x" + "00" * 31 + "01"
"""The first topic of no event: a range is refused for its size then, and not for its logs."""
_OTHERWISE = "use another node, or raise poll_seconds"


@dataclass(slots=True)
class _Node:
    """One node, and what was found of it."""

    probe: Probe
    head: int = -1
    blocks: int = 0
    """Of a request for logs, as many as were tried."""
    most_blocks: int = 0
    """... and as can be asked for: a young chain shows no limit."""
    calls: int = 0
    rate: float = 0.0
    """Requests a second at which it refused; 0: it did not."""
    behind: list[int] = field(default_factory=list)
    told: str = ""
    """Of a block and its logs, as a digest."""
    found: list[Finding] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"rpc {self.probe.host}"

    def say(self, text: str) -> None:
        self.found.append(ok(self.name, text))


async def measure_nodes(settings: Settings) -> list[Finding]:
    """Measures every node of the settings; last, what to keep in the configuration."""
    nodes = [_Node(Probe(url, settings.max_logs_bytes)) for url in settings.rpc_urls]
    try:
        await asyncio.gather(*(_heads_first(node) for node in nodes))
        there = [node for node in nodes if node.head >= 0]
        # Before anything that may have a node refuse us for a while.
        await _compare(settings, there)
        await asyncio.gather(*(_measure(settings, node) for node in there))
        found = [finding for node in nodes for finding in node.found]
        return found + _keep(settings, there)
    finally:
        for node in nodes:
            await node.probe.close()


async def _heads_first(node: _Node) -> None:
    try:
        node.head = await _head(node)
    except (ProbeEndedError, RpcError) as error:
        text = f"could not be measured: {error}"
        node.found.append(warn(node.name, text, "mend what the other lines on it say"))


async def _head(node: _Node) -> int:
    answer = await node.probe.call("eth_blockNumber")
    if not answer.given:
        raise RpcError(answer.refusal)
    return quantity(answer.result, "eth_blockNumber")


async def _measure(settings: Settings, node: _Node) -> None:
    try:
        await _depth(settings, node)
        await _range(settings, node)
        if node.blocks:
            await _logs(node)
        await _batch(node)
        await _rate(node)
    except ProbeEndedError as error:
        text = f"was not measured any further: {error}"
        node.found.append(warn(node.name, text, _OTHERWISE))
    except RpcError as error:
        node.found.append(warn(node.name, f"gave what cannot be: {error}", "use another node"))


async def _depth(settings: Settings, node: _Node) -> None:
    """The oldest state that it answers, found by halving; states are kept from some block on."""
    market = settings.deployment.market

    async def keeps(blocks: int) -> bool:
        answer = await node.probe.call("eth_getBalance", market, hex(node.head - blocks + 1))
        return answer.given and isinstance(answer.result, str)

    kept = await largest(node.head + 1, keeps)
    if kept > node.head:
        node.say("an archive: it knows the state of every block")
        return
    text = f"knows the state of its newest {kept:,} blocks"
    if kept <= _NEEDED_STATES:
        node.found.append(warn(node.name, text, "use a node that keeps 128 or so"))
    else:
        node.say(text)


async def _range(settings: Settings, node: _Node) -> None:
    """Blocks of one eth_getLogs in which there is nothing to give."""
    market = settings.deployment.market
    words = ""

    async def fits(blocks: int) -> bool:
        nonlocal words
        query = _query(node, blocks, address=market, topics=[[_NEVER]])
        answer = await node.probe.call("eth_getLogs", query)
        words = answer.refusal or words
        return answer.given

    most = min(MAX_LOGS_BLOCKS, node.head + 1)
    node.blocks = await largest(most, fits)
    if node.blocks == most:
        node.most_blocks = MAX_LOGS_BLOCKS
        node.say(f"gives logs of {most:,} blocks at once, or more: none are asked for")
    elif node.blocks:
        node.most_blocks = node.blocks
        node.say(f"gives logs of {node.blocks:,} blocks at once: '{_short(words)}'")
    else:
        text = f"gives no logs of a single block: '{_short(words)}'"
        node.found.append(warn(node.name, text, "use another node"))


async def _logs(node: _Node) -> None:
    """How many logs, and bytes of them, it gives at once: everybody's, of more and more blocks."""
    best_count = best_size = 0
    words = ""

    async def fits(blocks: int) -> bool:
        nonlocal best_count, best_size, words
        answer = await node.probe.call("eth_getLogs", _query(node, blocks))
        words = answer.refusal or words
        if answer.given and len(answer.result) >= best_count:
            best_count, best_size = len(answer.result), answer.size
        return answer.given

    blocks = 1
    while await fits(blocks) and blocks < node.blocks and best_count < _MOST_LOGS:
        blocks = min(2 * blocks, node.blocks)
    limited = bool(words)
    if limited and blocks > 1:
        await largest(blocks - 1, fits)
    given = f"{best_count:,} logs at once, {best_size / (1 << 20):.2f} MiB"
    if limited:
        node.say(f"gave {given}, and refused more: '{_short(words)}'")
    else:
        node.say(f"gave {given}, and refused none that were asked for")


async def _batch(node: _Node) -> None:
    node.calls = await largest(MAX_BATCH_CALLS, node.probe.takes) or 1
    more = ", or more: none are asked for" if node.calls == MAX_BATCH_CALLS else ""
    node.say(f"takes {node.calls} calls in one request{more}")


async def _rate(node: _Node) -> None:
    before = node.probe.requests
    began = time.monotonic()
    try:
        answered = await quick_calls(node.probe, _QUICK_CALLS, _AT_ONCE)
    except ProbeEndedError:
        asked = node.probe.requests - before
        node.rate = asked / max(time.monotonic() - began, 0.001)
        text = f"refused a request for its rate after {asked} quick ones, {node.rate:.0f} a second"
        node.found.append(warn(node.name, text, _OTHERWISE))
        return
    each = f"{answered / max(time.monotonic() - began, 0.001):.0f} a second"
    node.say(f"answered {answered} of {_QUICK_CALLS} quick requests, {each}")


# ------------------------------------------------------------------------ beside the other nodes


async def _compare(settings: Settings, nodes: Sequence[_Node]) -> None:
    if len(nodes) < 2:
        return
    for look in range(_LOOKS):
        if look:
            await asyncio.sleep(_LOOK_SECONDS)
        heads = await asyncio.gather(*(_head(node) for node in nodes), return_exceptions=True)
        known = [head for head in heads if isinstance(head, int)]
        for node, head in zip(nodes, heads, strict=True):
            if isinstance(head, int):
                node.behind.append(max(known) - head)
                node.head = head
    for node in nodes:
        if node.behind:
            _say_behind(node)
    depth = settings.confirmation_blocks
    last = max(0, min(node.head for node in nodes) - depth)
    await asyncio.gather(*(_tell(settings, node, last) for node in nodes))
    votes = [node.told for node in nodes if node.told]
    for node in nodes:
        if not node.told:
            continue
        same = votes.count(node.told)
        if same == len(votes) == len(nodes):
            node.say(f"tells the same as the others of block {last} and of the market's logs to it")
        elif same < len(votes):
            text = f"tells other hashes or logs up to block {last} than {len(votes) - same} others"
            node.found.append(warn(node.name, text, "find the wrong one; take it out of rpc"))


def _say_behind(node: _Node) -> None:
    least, most = min(node.behind), max(node.behind)
    text = f"is {least} to {most} blocks behind the newest that a node knows"
    if least > _FAR_BEHIND:
        node.found.append(warn(node.name, text, "use a node that keeps up"))
    else:
        node.say(text)


async def _tell(settings: Settings, node: _Node, last: int) -> None:
    """A digest of a block's hash and of the market's logs up to it."""
    first = max(settings.deployment.first_block, last - _AGREE_BLOCKS + 1)
    try:
        block = await node.probe.call("eth_getBlockByNumber", hex(last), False)
        query = {"address": settings.deployment.market, "fromBlock": hex(min(first, last))}
        logs = await node.probe.call("eth_getLogs", query | {"toBlock": hex(last)})
        for answer in (block, logs):
            if not answer.given:
                text = f"does not tell block {last} and its logs: '{_short(answer.refusal)}'"
                node.found.append(warn(node.name, text, "look at the node"))
                return
        node.told = _digest(block.result, logs.result)
    except (msgspec.MsgspecError, RecursionError):
        text = f"gave no logs that can be read up to block {last}"
        node.found.append(warn(node.name, text, "look at the node"))
    except ProbeEndedError as error:
        node.found.append(warn(node.name, f"could not be compared: {error}", _OTHERWISE))


_LOG_FIELDS = ("address", "blockHash", "transactionHash", "logIndex", "data")


def _digest(block: Any, logs: Sequence[bytes]) -> str:
    """Nodes order fields and logs as they like: only what they say is compared."""
    lines = [str(block.get("hash") if isinstance(block, dict) else None).lower()]
    for raw in logs:
        log = msgspec.json.decode(raw)
        values = log if isinstance(log, dict) else {}
        topics = values.get("topics")
        line = [str(values.get(key)).lower() for key in _LOG_FIELDS]
        line += [str(topic).lower() for topic in (topics if isinstance(topics, list) else [])]
        lines.append(" ".join(line))
    return hashlib.sha256("\n".join(sorted(lines)).encode("utf-8", "replace")).hexdigest()


# -------------------------------------------------------------------------------- what to set


def _keep(settings: Settings, nodes: Sequence[_Node]) -> list[Finding]:
    """Lines of config.toml, with what the weakest of the nodes takes."""
    measured = [node for node in nodes if node.most_blocks and node.calls]
    if not measured:
        return []
    slowest = max(node.probe.slowest for node in measured)
    lines = [
        f"max_logs_blocks = {min(node.most_blocks for node in measured)}",
        f"rpc_batch = {min(node.calls for node in measured)}",
        f"rpc_timeout_seconds = {max(20, math.ceil(_SLOW_FACTOR * slowest))}",
    ]
    rates = [node.rate for node in measured if node.rate]
    if rates:
        poll = max(settings.poll_seconds, _CALLS_PER_ROUND / min(rates))
        lines.append(f"poll_seconds = {math.ceil(10 * poll) / 10:g}")
    if len(measured) < len(settings.rpc_urls):
        hosts = ", ".join(node.probe.host for node in measured)
        return [ok("keep", f"{line}  # of {hosts} alone") for line in lines]
    return [ok("keep", line) for line in lines]


def _query(node: _Node, blocks: int, **more: Any) -> dict[str, Any]:
    first = max(0, node.head - blocks + 1)
    return {"fromBlock": hex(first), "toBlock": hex(node.head), **more}


def _short(words: str) -> str:
    return words[:_WORDS] + ("..." if len(words) > _WORDS else "")
