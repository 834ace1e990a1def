"""The rules that the soak gives the two proxies: how often each may strike, and how long."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from soak.supervisor import Supervisor
from tests.faults import ipfs_faults as ipfs
from tests.faults import rpc_faults as rpc
from tests.faults.ipfs_proxy import Fault as IpfsFault

_SEND = "eth_sendRawTransaction"


@dataclass(frozen=True)
class Rule:
    """One rule of a proxy.

    Args:
        make: The fault, from the chain's head.
        methods: What it concerns; empty: all.
        times: How often it changes something at most.
        seconds: How long it waits for something to change at most.
        more: Further arguments of the proxy's ``inject``.
    """

    make: Callable[[int], Any]
    methods: tuple[str, ...] = ()
    times: int | None = 2
    seconds: float = 30.0
    more: Mapping[str, Any] = field(default_factory=dict)

    async def follow(
        self, supervisor: Supervisor, proxy: Any, chance: random.Random, head: int
    ) -> bool:
        """Has the proxy follow the rule until it is spent or its time is over; True if it struck.

        Args:
            supervisor: Whose proxy it is.
            proxy: `RpcProxy` or `IpfsProxy`.
            chance: How often it will change something.
            head: Newest block.
        """
        times = None if self.times is None else chance.randint(1, self.times)
        rule = proxy.inject(self.make(head), *self.methods, times=times, **self.more)
        outage = None
        clock = asyncio.get_running_loop().time
        end = clock() + self.seconds
        while clock() < end and not rule.spent:
            if rule.injected and outage is None:
                outage = supervisor.begin_outage(f"rule {rule.fault.name}")
            await asyncio.sleep(0.1)
        rule.stop()
        proxy.rules.remove(rule)
        if rule.injected and isinstance(rule.fault, rpc.Hang):
            # Its client gives up after 20 s; the proxy need not hold on to it for ever.
            await asyncio.sleep(21)
            proxy.release()
        elif isinstance(rule.fault, IpfsFault):
            for _ in range(200):
                if not proxy.held:
                    break
                await asyncio.sleep(0.2)
            proxy.release()
        if outage is not None:
            outage.ended = supervisor.now()
        return bool(rule.injected)


def _same(fault: Callable[[], Any]) -> Callable[[int], Any]:
    return lambda _head: fault()


RPC_RULES = {
    "hang": Rule(_same(rpc.Hang), times=1),
    "429": Rule(_same(rpc.TooMany), times=3),
    "html 5xx": Rule(_same(rpc.BadGateway), times=3),
    "cut json": Rule(_same(rpc.CutJson), times=3),
    "cut connection": Rule(_same(rpc.Dropped), times=3),
    "reply lost": Rule(_same(rpc.LostReply), (_SEND,)),
    "error": Rule(lambda _: rpc.Refusal(-32603, "internal error"), times=5),
    "error though accepted": Rule(_same(rpc.ErrorThoughAccepted), (_SEND,)),
    "null receipt": Rule(
        _same(rpc.no_receipt), ("eth_getTransactionReceipt",), times=None, seconds=16
    ),
    "base fee x10": Rule(lambda _: rpc.base_fee_times(10), ("eth_feeHistory",), times=3),
    "gas estimate": Rule(
        lambda _: rpc.Answer("absurd gas estimate", hex(2**60)), ("eth_estimateGas",)
    ),
    "tip": Rule(
        lambda _: rpc.Answer("absurd fee", hex(10**24)), ("eth_maxPriorityFeePerGas",), times=3
    ),
    "stale": Rule(lambda head: rpc.Stale(max(0, head - 30)), times=None, seconds=8),
    "fresh and stale in turn": Rule(
        lambda head: rpc.Stale(max(0, head - 10)), times=None, seconds=8, more={"every": 2}
    ),
    "range limit": Rule(lambda _: rpc.RangeLimit(5), ("eth_getLogs",), times=5),
    "empty logs": Rule(_same(rpc.empty_logs), ("eth_getLogs",)),
    "duplicates": Rule(_same(rpc.duplicates), ("eth_getLogs",), times=3),
    "out of order": Rule(_same(rpc.out_of_order), ("eth_getLogs",), times=3),
    "log left out": Rule(_same(rpc.omit), ("eth_getLogs",)),
    "removed: true": Rule(_same(rpc.removed), ("eth_getLogs",), times=3),
    "forged address": Rule(_same(rpc.forged_address), ("eth_getLogs",), times=3),
    "forged topic": Rule(_same(rpc.forged_topic), ("eth_getLogs",), times=3),
    "batch out of order": Rule(_same(rpc.ShuffledBatch), times=5),
}
"""By name: every fault that the RPC proxy knows, but for the wrong chain (see `injectors`)."""

_GET = ("block/get",)


def _ipfs(make: Callable[[], IpfsFault], commands: tuple[str, ...] = _GET, times: int = 3) -> Rule:
    # A document is read when it is published: a rule waits for the next one.
    return Rule(_same(make), commands, times=times, seconds=40.0)


IPFS_RULES = {
    "hang": _ipfs(ipfs.Hang, times=1),
    "late": _ipfs(lambda: ipfs.Late(8.0)),
    "1 byte/s": _ipfs(ipfs.Drip, times=1),
    "cut stream": _ipfs(ipfs.Cut),
    "cut, with an error in the trailer": _ipfs(lambda: ipfs.Cut(clean=True)),
    "reset": _ipfs(ipfs.Reset, ()),
    "wrong bytes": _ipfs(ipfs.WrongBytes),
    "502 with a page": _ipfs(ipfs.BadGateway, ()),
    "429 with the block": _ipfs(lambda: ipfs.BadGateway(429, None)),
    "made up answer": _ipfs(lambda: ipfs.Says({"Pins": [], "Size": 0}), ()),
    "10 GB": _ipfs(ipfs.Flood, times=2),
    "10 GB, unannounced": _ipfs(lambda: ipfs.Flood(None), times=2),
    "redirect": _ipfs(lambda: ipfs.Redirect("http://127.0.0.1:9/elsewhere"), ()),
    "missing block": _ipfs(ipfs.Missing),
}
"""By name: every fault that the IPFS proxy knows, but for a closed port (see `injectors`)."""
