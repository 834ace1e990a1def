"""What the RPC of a rollup says that Anvil's does not: for `tests.faults.rpc_proxy`.

    proxy.inject(Renumbered(250_000_000))
    proxy.inject(OpStack(chain))

They are no faults, and strike every request.
"""

from __future__ import annotations

from typing import Any

from eth_account.typed_transactions import TypedTransaction
from hexbytes import HexBytes

from dam.crypto.hashing import keccak
from dam.testing.nodes import AnvilNode
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


class DataFees(Fault):
    """A rollup that takes for a transaction's bytes: it really takes the coins.

    Args:
        chain: Whose balances to lower.
    """

    def __init__(self, chain: AnvilNode) -> None:
        self.chain = chain
        self.sizes: dict[str, int] = {}
        """Bytes of the signed transactions that were sent, by hash."""
        self.limits: dict[str, int] = {}
        """Their gas limits."""
        self.taken: dict[str, int] = {}
        """What was taken for each that is mined, in wei."""

    def rewrite(self, call: Call, proxy: RpcProxy) -> Reply | None:
        if call.method == "eth_sendRawTransaction":
            raw = bytes.fromhex(call.params[0][2:])
            name = "0x" + keccak(raw).hex()
            self.sizes[name] = len(raw)
            fields = TypedTransaction.from_bytes(HexBytes(raw)).as_dict()
            self.limits[name] = int(fields["gas"])
        return None

    def change(self, call: Call, reply: Reply, proxy: RpcProxy) -> bool:
        receipt = reply.get("result")
        if call.method != "eth_getTransactionReceipt" or not isinstance(receipt, dict):
            return False
        name = receipt["transactionHash"]
        if name not in self.sizes:
            return False
        fee = self.receipt(receipt, self.sizes[name])
        if name not in self.taken:
            self.taken[name] = fee
            held = int(self.chain.request("eth_getBalance", receipt["from"], "latest"), 16)
            self.chain.request("anvil_setBalance", receipt["from"], hex(held - fee))
        return True

    def receipt(self, receipt: dict[str, Any], size: int) -> int:
        """Adds the rollup's fields; returns what its data cost, in wei."""
        raise NotImplementedError


class OpStack(DataFees):
    """Receipts as on Optimism, Base and their like, and the predeploy that tells the fee before."""

    name = "op stack"
    ORACLE = "0x420000000000000000000000000000000000000F"
    # Returns the length of its argument times the price: `getL1Fee(bytes)`.
    _CODE = "0x60243567{price:016x}025f5260205ff3"

    def __init__(self, chain: AnvilNode, price: int = 2 * 10**11, *, oracle: bool = True) -> None:
        super().__init__(chain)
        self.price = price
        """Wei per byte of a transaction."""
        if oracle:
            chain.request("anvil_setCode", self.ORACLE, self._CODE.format(price=price))

    def receipt(self, receipt: dict[str, Any], size: int) -> int:
        fee = size * self.price
        receipt |= {
            "l1Fee": hex(fee),
            "l1GasUsed": hex(16 * size),
            "l1GasPrice": hex(self.price // 16),
            "l1FeeScalar": "0.684",
            "l1BaseFeeScalar": "0x146b",
            "l1BlobBaseFee": "0x1",
            "l1BlobBaseFeeScalar": "0xf79c5",
            "depositNonce": None,
            "depositReceiptVersion": None,
        }
        return fee


class Arbitrum(DataFees):
    """Receipts as on Arbitrum, where data is paid in gas, and its node's interface for that.

    Args:
        chain: Whose balances to lower.
        gas: Of a transaction's byte.
    """

    name = "arbitrum"
    INTERFACE = "0x00000000000000000000000000000000000000c8"

    def __init__(self, chain: AnvilNode, gas: int = 600) -> None:
        super().__init__(chain)
        self.gas = gas
        self.short: list[str] = []
        """Transactions whose limit would not have held what the data takes."""

    def rewrite(self, call: Call, proxy: RpcProxy) -> Reply | None:
        super().rewrite(call, proxy)
        if call.method == "eth_maxPriorityFeePerGas":
            return {"result": "0x0"}
        if call.method == "eth_call" and call.params[0]["to"].lower() == self.INTERFACE:
            # gasEstimateL1Component(address,bool,bytes): gas, base fee, L1's base fee.
            length = int(call.params[0]["data"][2 + 8 + 3 * 64 : 2 + 8 + 4 * 64], 16)
            words = (self.gas * length, self._base(), 10**9)
            return {"result": "0x" + "".join(f"{word:064x}" for word in words)}
        return None

    def change(self, call: Call, reply: Reply, proxy: RpcProxy) -> bool:
        if call.method == "eth_estimateGas" and "result" in reply:
            size = len(call.params[0].get("data", "0x")) // 2 - 1 + 110
            reply["result"] = hex(int(reply["result"], 16) + self.gas * size)
            return True
        return super().change(call, reply, proxy)

    def _base(self) -> int:
        block = self.chain.request("eth_getBlockByNumber", "latest", False)
        return int(block["baseFeePerGas"], 16)

    def receipt(self, receipt: dict[str, Any], size: int) -> int:
        gas, used = self.gas * size, int(receipt["gasUsed"], 16)
        if used + gas > self.limits[receipt["transactionHash"]]:
            self.short.append(receipt["transactionHash"])
        receipt |= {
            "gasUsed": hex(used + gas),
            "gasUsedForL1": hex(gas),
            "l1BlockNumber": "0x1406f40",
        }
        return gas * int(receipt["effectiveGasPrice"], 16)
