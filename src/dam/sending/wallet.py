"""The wallet of commands typed by hand: one key, one node, one transaction at a time."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Protocol

from dam.crypto.hashing import keccak
from dam.errors import ContractReverted, Permanent, RpcError
from dam.ethereum.node import Node, balance_of, quantity
from dam.ethereum.node_errors import RpcRejectedError, is_insufficient_funds
from dam.market.client import revert_of
from dam.market.wallet import Receipt
from dam.sending.transactions import MAX_GAS, Fees, Signer, broadcast, suggest_fees, transaction
from dam.types import Address, Wei
from dam.units import format_amount

_MAX_TIP_WEI = 20 * 10**9
"""Per gas."""
_RECEIPT_SECONDS = 180


class WalletSigner(Signer, Protocol):
    """A key that signs transactions and EIP-712 data (`dam.keystore.ape_accounts.Signer`)."""

    def sign_typed(self, message: dict[str, Any], /) -> tuple[int, bytes, bytes]:
        """v, r and s."""
        ...


class KeyWallet:
    """A `dam.market.wallet.Wallet` that signs here and saves nothing.

    Args:
        rpc: The node that is asked and sent to.
        signer: Whose account it is.
        chain_id: For replay protection.
        max_fee: Most wei per gas, tip included.
        poll_seconds: Between two looks for a receipt.
    """

    def __init__(
        self,
        rpc: Node,
        signer: WalletSigner,
        chain_id: int,
        *,
        max_fee: int = 500 * 10**9,
        poll_seconds: float = 1.0,
    ) -> None:
        self._rpc = rpc
        self._signer = signer
        self._chain_id = chain_id
        self._max_fee = max_fee
        self._poll_seconds = poll_seconds

    @property
    def address(self) -> Address:
        """See `Wallet.address`."""
        return self._signer.address

    def sign_typed(self, message: dict[str, Any], /) -> tuple[int, bytes, bytes]:
        """See `Wallet.sign_typed`."""
        return self._signer.sign_typed(message)

    async def gas_cost(self, to: Address, data: bytes, value: int = 0) -> Wei:
        """See `Wallet.gas_cost`."""
        try:
            limit = await self._gas_limit(to, data, value, 5_000_000)
        except RpcRejectedError as error:
            raise await self._explained(error, value) from None
        fees = await suggest_fees(self._rpc, _MAX_TIP_WEI)
        # The limit is the node's estimate and a half.
        cost = limit * 2 // 3 * (fees.base + fees.tip)
        balance = await balance_of(self._rpc, self.address)
        if balance < value + cost:
            raise self._too_poor(balance, value)
        return Wei(cost)

    async def send(self, to: Address, data: bytes, value: int = 0) -> Receipt:
        """See `Wallet.send`."""
        try:
            gas = await self._gas_limit(to, data, value, MAX_GAS)
            fees = await suggest_fees(self._rpc, _MAX_TIP_WEI)
            price = fees.base + fees.tip
            if price > self._max_fee:
                raise RpcError(f"gas costs {price} wei now, over the cap of {self._max_fee}")
            fees = Fees(min(fees.max_fee, self._max_fee), fees.tip, fees.base)
            count = await self._rpc.call("eth_getTransactionCount", self.address, "pending")
            nonce = quantity(count, "eth_getTransactionCount")
            fields = transaction(self._chain_id, nonce, to, data, gas, fees, value)
            raw = self._signer.sign(fields)
            await broadcast(self._rpc, raw)
            return await wait_receipt(self._rpc, keccak(raw), poll_seconds=self._poll_seconds)
        except RpcRejectedError as error:
            raise await self._explained(error, value) from None

    async def _gas_limit(self, to: Address, data: bytes, value: int, most: int) -> int:
        """The node's estimate and a half, for state that changes before it is mined."""
        call = {"from": self.address, "to": to, "data": "0x" + data.hex(), "value": hex(value)}
        try:
            estimate = await self._rpc.call("eth_estimateGas", call, "pending")
        except RpcRejectedError as error:
            reverted = revert_of(error)
            if reverted is None:
                raise
            raise reverted from None
        return min(quantity(estimate, "eth_estimateGas") * 3 // 2 + 20_000, most)

    async def _explained(self, error: RpcRejectedError, value: int) -> Exception:
        """The node's refusal, or what the account lacks if that is the reason."""
        if not is_insufficient_funds(error):
            return error
        return self._too_poor(await balance_of(self._rpc, self.address), value)

    def _too_poor(self, balance: int, value: int) -> Permanent:
        return Permanent(
            f"{self.address} has {format_amount(balance)}, too little for {format_amount(value)} "
            "and the gas: send it some coins"
        )


async def wait_receipt(rpc: Node, tx_hash: bytes, *, poll_seconds: float = 0.25) -> Receipt:
    """Waits until a transaction is mined, at most 180 seconds.

    Raises:
        ContractReverted: It was mined and reverted.
        RpcError: The node failed, or it was not mined in time; it may still be.
    """
    name = "0x" + tx_hash.hex()
    end = time.monotonic() + _RECEIPT_SECONDS
    while time.monotonic() < end:
        found = await rpc.call("eth_getTransactionReceipt", name)
        if isinstance(found, dict):
            receipt = _receipt(tx_hash, found)
            # Another node of the same address may lag behind the one that told of the receipt.
            if quantity(await rpc.call("eth_blockNumber"), "eth_blockNumber") >= receipt.block:
                if receipt.status != 1:
                    raise ContractReverted("", {"transaction": name, "block": receipt.block})
                return receipt
        await asyncio.sleep(poll_seconds)
    raise RpcError(f"transaction {name} is not mined after {_RECEIPT_SECONDS} s; it may still be")


def _receipt(tx_hash: bytes, found: dict[str, Any]) -> Receipt:
    return Receipt(
        tx_hash=tx_hash,
        block=quantity(found.get("blockNumber"), "receipt block"),
        status=quantity(found.get("status"), "receipt status"),
        gas_used=quantity(found.get("gasUsed"), "receipt gas"),
        price=quantity(found.get("effectiveGasPrice", "0x0"), "receipt price"),
        logs=tuple(found.get("logs") or ()),
    )
