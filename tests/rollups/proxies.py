"""What the RPC of a rollup says that Anvil's does not: for `tests.faults.rpc_proxy`.

    proxy.inject(Renumbered(250_000_000))

It is no fault, and strikes every request.
"""

from __future__ import annotations

from typing import Any

from tests.faults.rpc_proxy import Call, Fault, Reply, RpcProxy

_TAG_AT = {
    "eth_call": 1,
    "eth_estimateGas": 1,
    "eth_getBalance": 1,
    "eth_getCode": 1,
    "eth_getTransactionCount": 1,
    "eth_getStorageAt": 2,
    "eth_getBlockByNumber": 0,
    "eth_getBlockReceipts": 0,
    "eth_feeHistory": 1,
}
"""Where a method's parameters have the block."""
_NUMBERS = ("blockNumber", "number", "oldestBlock")


class Renumbered(Fault):
    """Every block of the RPC but its first has another number than the contract sees in it.

    Args:
        offset: What the RPC's numbers are more than the contract's.
    """

    name = "renumbered"

    def __init__(self, offset: int) -> None:
        self.offset = offset

    def rewrite(self, call: Call, proxy: RpcProxy) -> Reply | None:
        if call.method == "eth_getLogs":
            query = dict(call.params[0])
            for end in ("fromBlock", "toBlock"):
                if end in query:
                    query[end] = self._inner(query[end])
            call.params = [query, *call.params[1:]]
        at = _TAG_AT.get(call.method)
        if at is not None and at < len(call.params):
            call.params = [*call.params]
            call.params[at] = self._inner(call.params[at])
        return None

    def _inner(self, tag: Any) -> Any:
        if isinstance(tag, str) and tag.startswith("0x") and len(tag) < 66:
            return hex(max(0, int(tag, 16) - self.offset))
        return tag

    def change(self, call: Call, reply: Reply, proxy: RpcProxy) -> bool:
        if call.method == "eth_blockNumber" and "result" in reply:
            reply["result"] = self._number(reply["result"])
            return True
        return self._outer(reply.get("result"))

    def _number(self, inner: str) -> str:
        number = int(inner, 16)
        return hex(number + self.offset) if number else inner

    def _outer(self, value: Any) -> bool:
        if isinstance(value, list):
            return any(list(map(self._outer, value)))
        if not isinstance(value, dict):
            return False
        changed = any(list(map(self._outer, value.values())))
        for key in _NUMBERS:
            if isinstance(value.get(key), str):
                value[key] = self._number(value[key])
                changed = True
        return changed
