"""The doctor's checks of nodes, market, account and stake; see `host_checks`."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from dam.config.settings import Settings
from dam.crypto.hashing import parse_address
from dam.diagnostics.host_checks import Examination, Finding, fail, ok, warn
from dam.errors import ConfigError, RpcError
from dam.ethereum.node import balance_of
from dam.ethereum.node_errors import RpcRangeError, RpcTooLargeError, RpcUnavailableError
from dam.ethereum.rpc import JsonRpc
from dam.ledger.status import highest_fee
from dam.market.client import Market
from dam.market.deliverers import registrations
from dam.market.log_history import DELIVERERS, History, read_history
from dam.market.reputation import proposed_slashes
from dam.roles.watchdog import longest_absence_seconds
from dam.sending.transactions import suggest_fees
from dam.types import FALLBACK_BLOCKS, STAKED_FEES, ZERO_ADDRESS, Address, BlockRef
from dam.units import format_about, format_amount, format_span, format_time

DELIVERY_GAS = 56_000
"""Of a part in a transaction of its own (docs/gas.md)."""
_SLOW_SECONDS = 1.0
_SHORT_FALLBACK_SECONDS = 60
_PROBES = 8
_LOG_SPAN = 10_000
_OLD_SECONDS = 300.0
_AHEAD_SECONDS = 20.0
_APART = 3
_LATE_TAG = 85
"""A tag so many blocks behind leaves too few of the 100 in which a deliverer delivers alone."""


@dataclass(frozen=True, slots=True)
class Node:
    """What one endpoint answered."""

    host: str
    findings: list[Finding] = field(default_factory=list)
    head: BlockRef | None = None


async def look_at_nodes(
    settings: Settings, account: Address
) -> tuple[list[Finding], JsonRpc | None]:
    """Each endpoint by itself, then against the others.

    Returns:
        The findings, and the first node that can be used; the caller closes it.
    """
    rpcs = [
        JsonRpc(url, timeout=settings.rpc_timeout, limits=settings.limits)
        for url in settings.rpc_urls
    ]
    nodes = await asyncio.gather(*(_look_at(rpc, settings, account) for rpc in rpcs))
    findings = [finding for node in nodes for finding in node.findings]
    usable = [
        (node, rpc) for node, rpc in zip(nodes, rpcs, strict=True) if not _broken(node.findings)
    ]
    findings += await _compare(settings, usable)
    chosen = usable[0][1] if usable else None
    for rpc in rpcs:
        if rpc is not chosen:
            await rpc.close()
    return findings, chosen


def _broken(findings: Sequence[Finding]) -> bool:
    return any(finding.level == "fail" for finding in findings)


async def _look_at(rpc: JsonRpc, settings: Settings, account: Address) -> Node:
    name = f"rpc {rpc.host}"
    market = Market(rpc, settings.deployment)
    found: list[Finding] = []
    try:
        await market.check_deployment()
        head = await market.head()
        chain = settings.deployment.chain_id
        found += [
            ok(name, f"chain {chain}, block {head.number}; the market's code is the record's")
        ]
        found.append(_clock(name, head))
        found += await _depth(name, market, head, account)
        found += [await _speed(name, rpc), await _batches(name, rpc)]
        found += await _block_time(name, market, head)
        if isinstance(settings.confirmations, str):
            found.append(await _tag(name, market, head, settings.confirmations))
        if await rpc.call("eth_syncing") is not False:
            found.append(fail(name, "it is still syncing", "wait until it is in sync"))
        return Node(rpc.host, found, head)
    except ConfigError as error:
        last = fail(name, str(error), "mend the setting rpc or deployment")
    except RpcUnavailableError as error:
        fix = "start the node, or mend its address: setting rpc"
        if error.status in (401, 403):
            fix = "mend the API key in the address: setting rpc"
        if error.status == 429:
            fix = "it limits the rate: take another plan, or a node of your own"
        last = fail(name, str(error), fix)
    except RpcError as error:
        last = fail(name, str(error), "look at the node; try another one")
    return Node(rpc.host, [*found, last])


def _clock(name: str, head: BlockRef) -> Finding:
    behind = time.time() - head.timestamp
    if behind < -_AHEAD_SECONDS:
        return warn(
            name,
            f"the newest block is {-behind:.0f} s in the future: this machine's clock is behind",
            "set the clock (timedatectl set-ntp true)",
        )
    if behind > _OLD_SECONDS:
        return warn(
            name,
            f"the newest block is {behind / 60:.0f} minutes old",
            "does the node follow the chain? Is this machine's clock right (timedatectl)?",
        )
    return ok(name, f"the newest block is {max(0.0, behind):.0f} s old by this machine's clock")


async def _depth(name: str, market: Market, head: BlockRef, account: Address) -> list[Finding]:
    """Logs back to the deployment, as a ledger that is made anew needs them."""
    rpc, first = market.rpc, market.deployment.first_block
    if head.number < first:
        text = f"its newest block {head.number} is before the deployment record's first, {first}"
        return [fail(name, text, "wait until it has caught up, or get the market's own record")]
    found = []
    try:
        await market.block(first)
        last = min(head.number, first + 99)
        await market.logs(first, last)
        found.append(ok(name, f"has logs back to the deployment, block {first}"))
    except RpcError as error:
        found.append(
            fail(
                name,
                f"has no logs of the deployment's block {first}: {error}",
                "use a node that keeps logs from there on",
            )
        )
    start = max(first, head.number - _LOG_SPAN + 1)
    query = {"address": market.address, "fromBlock": hex(start), "toBlock": hex(head.number)}
    try:
        await rpc.call("eth_getLogs", query)
    except (RpcRangeError, RpcTooLargeError):
        found.append(ok(name, f"limits eth_getLogs to under {_LOG_SPAN} blocks: read in pieces"))
    except RpcError as error:
        text = f"gives no logs of its newest {_LOG_SPAN} blocks: {error}"
        found.append(fail(name, text, "use another node"))
    # The sender asks for its nonce at the depth that it takes for final.
    past = max(0, head.number - 64)
    try:
        await rpc.call("eth_getTransactionCount", account, hex(past))
    except RpcError as error:
        found.append(
            fail(name, f"knows no state 64 blocks back: {error}", "use a node that keeps 128 or so")
        )
    return found


async def _speed(name: str, rpc: JsonRpc) -> Finding:
    seconds: list[float] = []
    for _ in range(_PROBES):
        began = time.monotonic()
        try:
            await rpc.call("eth_blockNumber")
        except RpcUnavailableError as error:
            if error.status != 429:
                raise
            return warn(
                name,
                f"limits the rate: HTTP 429 after {len(seconds)} quick calls",
                "raise poll_seconds, take another plan, or run a node of your own",
            )
        seconds.append(time.monotonic() - began)
    median = statistics.median(seconds)
    text = f"answers in {median * 1000:.0f} ms (median of {_PROBES})"
    if median > _SLOW_SECONDS:
        return warn(name, text, "use a nearer node: each round makes several calls")
    return ok(name, text)


async def _batches(name: str, rpc: JsonRpc) -> Finding:
    """How many calls it takes in one request."""
    try:
        await rpc.batch([("eth_chainId", ())] * rpc.batch_calls)
    except RpcUnavailableError as error:
        if error.status != 429:
            raise
        text = f"limits the rate: a request of many calls gave {error}"
        return warn(name, text, "take another plan, or run a node of your own")
    if rpc.batch_calls == 1:
        text = "takes one call a request: it is asked one by one"
        return warn(name, text, "nothing must be done; another node would be asked less often")
    return ok(name, f"takes {rpc.batch_calls} calls in one request")


async def _block_time(name: str, market: Market, head: BlockRef) -> list[Finding]:
    """How fast blocks come, and those that the contract counts: on some rollups they are others."""
    clock = await market.clock(head)
    kind = ok(name, "the contract counts the blocks of this chain")
    if clock.block != head.number:
        kind = ok(
            name,
            f"the contract counts other blocks than this chain, now {clock.block} (as on "
            "Arbitrum, where they are about L1's): the fallback goes by those",
        )
    number = max(market.deployment.first_block, head.number - 100)
    if number >= head.number:
        return [kind, ok(name, "too few blocks to tell the time between them")]
    then = await market.block(number)
    seconds = head.timestamp - then.timestamp
    counted = head.number - number
    with contextlib.suppress(RpcError):  # it may not have the state of then any more
        block, _ = await market.call("clock", block=number)
        counted = clock.block - block
    text = f"a block every {seconds / (head.number - number):.1f} s"
    if counted <= 0:
        return [kind, ok(name, text)]
    fallback = FALLBACK_BLOCKS * seconds // counted
    text += f"; the {FALLBACK_BLOCKS} that are deliverers' alone take {format_span(fallback)}"
    if fallback < _SHORT_FALLBACK_SECONDS:
        return [kind, warn(name, text, "the seller may soon take a fee: poll often (poll_seconds)")]
    return [kind, ok(name, text)]


async def _tag(name: str, market: Market, head: BlockRef, tag: str) -> Finding:
    try:
        block = await market.head(tag)
    except RpcError as error:
        return fail(
            name, f"knows no block '{tag}': {error}", "set confirmations to a number of blocks"
        )
    behind = head.number - block.number
    text = f"'{tag}' is {behind} blocks behind the head"
    if behind > _LATE_TAG:
        return warn(name, text, "little is left of 100 blocks: use 'safe', or a number of blocks")
    return ok(name, text)


async def _compare(settings: Settings, usable: Sequence[tuple[Node, JsonRpc]]) -> list[Finding]:
    """Whether the endpoints see one chain."""
    if len(settings.rpc_urls) == 1:
        return []
    heads = [node.head for node, _ in usable if node.head]
    if len(usable) < settings.rpc_agree:
        return [
            fail(
                "rpc",
                f"{len(usable)} of {len(settings.rpc_urls)} nodes can be used, and rpc_agree asks "
                f"for {settings.rpc_agree}",
                "mend the nodes, or lower rpc_agree",
            )
        ]
    lowest = min(head.number for head in heads)
    spread = max(head.number for head in heads) - lowest
    number = max(settings.deployment.first_block, lowest - settings.confirmation_blocks)
    blocks = await asyncio.gather(
        *(Market(rpc, settings.deployment).block(number) for _, rpc in usable)
    )
    if len({block.hash for block in blocks}) > 1:
        answers = ", ".join(
            f"{node.host} 0x{block.hash.hex()[:8]}"
            for (node, _), block in zip(usable, blocks, strict=True)
        )
        return [
            fail("rpc", f"the nodes disagree about block {number}: {answers}", "find the wrong one")
        ]
    if spread > _APART:
        return [warn("rpc", f"the nodes are {spread} blocks apart", "look at the one behind")]
    return [ok("rpc", f"{len(usable)} nodes agree about block {number}")]


class ChainExamination:
    """The checks that ask the market, through a node that can be used.

    Args:
        examination: The checks without the chain, of which the keys have been looked at.
        rpc: The node.
        deliveries: For how many the balance should last.
    """

    def __init__(self, examination: Examination, rpc: JsonRpc, deliveries: int) -> None:
        self._one = examination
        self._settings = examination.settings
        self._rpc = rpc
        self._market = Market(rpc, examination.settings.deployment)
        self._deliveries = deliveries

    async def record(self) -> list[Finding]:
        """The deployment record against the contract."""
        deployment = self._settings.deployment
        found = await self._market.windows()
        if found != deployment.windows:
            return [
                fail(
                    "record",
                    f"{self._settings.deployment_path} has other windows than the contract",
                    "get the market's own record: with this one, deadlines are wrong",
                )
            ]
        [governor] = await self._market.call("GOVERNOR")
        if parse_address(governor) != deployment.governor:
            return [
                fail(
                    "record",
                    f"{self._settings.deployment_path} has another governor than the contract, "
                    f"{governor}",
                    "get the market's own record",
                )
            ]
        if await self._older_than_recorded():
            return [
                fail(
                    "record",
                    f"the market was there before block {deployment.first_block}, firstBlock of "
                    f"{self._settings.deployment_path}",
                    "get the market's own record: with this one, stores and sales go unseen",
                )
            ]
        code = "0x" + deployment.code_hash.hex()[:8]
        return [ok("record", f"market {deployment.market}, code {code}..., windows as told")]

    async def _older_than_recorded(self) -> bool:
        """Whether the market has code below its first block; only a node with old state knows."""
        deployment = self._settings.deployment
        if deployment.first_block == 0:
            return False
        below = hex(deployment.first_block - 1)
        try:
            code = await self._rpc.call("eth_getCode", deployment.market, below)
        except RpcError:
            return False
        return code not in (None, "0x")

    async def balance(self) -> list[Finding]:
        """Coins against what deliveries cost now."""
        account = self._one.payer or self._one.account
        balance = await balance_of(self._rpc, account)
        fees = await suggest_fees(self._rpc, 20 * 10**9)
        price = fees.base + fees.tip
        each = DELIVERY_GAS * price
        lasts = balance // max(1, each)
        about = f"{format_amount(balance)}; a lone part costs about {format_about(each)} now"
        found = [ok("balance", f"{about}: enough for {lasts:,}")]
        send = f"send coins to {account}"
        if lasts < 1:
            found = [fail("balance", f"{about}: not enough for one", send)]
        elif lasts < self._deliveries:
            found = [warn("balance", f"{about}: enough for {lasts:,}", send)]
        if price > self._settings.max_fee:
            cap = self._settings.max_fee // 10**9
            found.append(
                fail(
                    "gas",
                    f"gas costs {price / 1e9:.1f} gwei, over max_fee_gwei {cap}",
                    "wait for cheaper gas, or raise max_fee_gwei and restart the daemon",
                )
            )
        elif self._one.role == "deliverer" and 0 < self._settings.min_fee < each:
            found.append(
                warn(
                    "gas",
                    f"min_fee {format_amount(self._settings.min_fee)} does not pay a lone part",
                    "raise min_fee (and tell sellers: dam deliverer terms), or mind the rule "
                    "`unprofitable`",
                )
            )
        return found

    async def stake(self) -> list[Finding]:
        """Registered, staked, not leaving; and the key that sellers seal to is one of ours."""
        one, windows = self._one, self._settings.deployment.windows
        info = await self._market.deliverer(one.account)
        minimum = format_amount(windows.min_deliverer_stake)
        if info.owner == ZERO_ADDRESS and not info.stake:
            return [
                fail(
                    "stake",
                    f"{one.account} is not registered: it never was, left, or was fined to nothing",
                    f"dam deliverer stake '{minimum}' --owner 0xYourColdAddress (or more)",
                )
            ]
        history = await read_history(self._market, also=DELIVERERS)
        found = []
        text = f"{format_amount(info.stake)}, minimum {minimum}"
        lacks = windows.min_deliverer_stake - info.stake
        if lacks > 0:
            found.append(fail("stake", text, f"dam deliverer stake '{format_amount(lacks)}'"))
        else:
            found.append(ok("stake", text))
        found += self._fines(info.stake)
        if info.exit_time:
            fix = f"as its owner: dam deliverer exit --cancel --operator {one.account}"
            if info.owner == one.account:
                fix = "dam deliverer exit --cancel"
            found.append(fail("stake", "an exit is requested", fix))
        if info.owner == one.account:
            found.append(
                warn(
                    "stake",
                    "the hot account owns the stake: who has its key can take it",
                    "an owner cannot be changed: register a new operator with --owner some day",
                )
            )
        found += [
            fail(
                "stake",
                f"a slash of {format_amount(slash.amount)} is proposed, executable from "
                f"{format_time(slash.first)} to {format_time(slash.last)}",
                "dam deliverers tells why; answer the governor",
            )
            for slash in proposed_slashes(history.logs, history.clock.time)
            if slash.operator == one.account
        ]
        return [*found, self._key(history)]

    def _fines(self, stake: int) -> list[Finding]:
        """What junk would cost, and whether the stake covers the fees of the parts held."""
        windows = self._settings.deployment.windows
        held = highest_fee(self._settings.ledger("deliverer"))
        fine = format_amount(windows.fine(held))
        if held * STAKED_FEES > stake:
            lacks = format_amount(held * STAKED_FEES - stake)
            return [
                fail(
                    "fines",
                    f"a part that we hold earns {format_amount(held)}, over a tenth of the stake: "
                    "its sales are refused",
                    f"dam deliverer stake '{lacks}'",
                )
            ]
        return [ok("fines", f"a part proved to be junk would cost {fine} of the stake")]

    def _key(self, history: History) -> Finding:
        one, deployment = self._one, self._settings.deployment
        found = registrations(history.logs, deployment.chain_id, deployment.market, of=one.account)
        if not found:
            fix = "is firstBlock of the deployment record the market's own? Else look at the node"
            return fail("key", "the chain's logs lack our registration", fix)
        announced = found[one.account].key
        if not announced:
            fix = "dam deliverer rotate announces the key file's newest key, with a proof"
            return fail("key", "nothing shows that we have the key we announced", fix)
        if one.ring is None:
            fix = "see the lines on keys: give its passphrase, or mend it"
            return warn("key", "not compared: the key file was not opened", fix)
        if one.ring.current.public == announced:
            return ok("key", f"the announced key 0x{announced.hex()[:8]}... is the key file's")
        if one.ring.has(announced):
            return warn(
                "key",
                "the key file has a newer key than the one announced",
                "restart the daemon, then dam deliverer rotate",
            )
        return fail(
            "key",
            "the announced key is not in the key file: what is sealed to it does not open",
            "move the key file away and keep it, then dam keys restore deliverer FILE; if what "
            "opens it is lost: dam deliverer rotate",
        )

    async def operator(self, seller: Address) -> list[Finding]:
        """Whether the watchdog's account may act for the seller."""
        account = self._one.account
        stake = await self._market.seller_stake(seller)
        away = format_span(longest_absence_seconds(self._settings.deployment.windows))
        found = [
            ok("seller", f"{seller} has {format_amount(stake)} of free stake"),
            ok(
                "absence",
                f"the watchdog may be away for {away} at most: a proof of junk in its last moment "
                "leaves so long to replace the part",
            ),
        ]
        if account == seller:
            return [
                *found,
                warn(
                    "seller",
                    "the watchdog signs with the seller's own account",
                    "use an operator: dam seller operator ADDRESS",
                ),
            ]
        operator = await self._market.seller_operator(seller)
        if operator != account:
            fix = f"from the seller's account: dam seller operator {account}"
            return [*found, fail("seller", f"the seller's operator is {operator}, not us", fix)]
        return [*found, ok("seller", f"{account} is its operator")]
