"""The wallet of commands typed by hand: one key, one node, one transaction at a time."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any, Protocol

from dam.crypto.hashing import keccak
from dam.errors import ContractReverted, Permanent, RpcError
from dam.ethereum.data_fee import NO_DATA_FEE, DataFees
from dam.ethereum.node import Node, balance_of, quantity
from dam.ethereum.node_errors import RpcRejectedError, is_insufficient_funds, is_node_fault
from dam.market.client import revert_of
from dam.market.wallet import Receipt, TransactionPendingError, pending_text
from dam.roles.notice import Notice, silent
from dam.sending.transactions import (
    MAX_GAS,
    Fees,
    Signer,
    broadcast,
    read_receipt,
    suggest_fees,
    transaction,
)
from dam.types import Address, Wei
from dam.units import format_amount

_MAX_TIP_WEI = 20 * 10**9
"""Per gas."""
_WAIT_SECONDS = 180.0
_QUIET_SECONDS = 3.0
"""A block may take longer: then the person is told what is waited for."""


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
        wait_seconds: How long to look for one.
        notice: Hears what is waited for, when that takes a while or is interrupted.
        sent: Told the hash of each transaction, the moment before it is sent.
    """

    def __init__(
        self,
        rpc: Node,
        signer: WalletSigner,
        chain_id: int,
        *,
        max_fee: int = 500 * 10**9,
        poll_seconds: float = 1.0,
        wait_seconds: float = _WAIT_SECONDS,
        notice: Notice = silent,
        sent: Callable[[bytes], None] | None = None,
    ) -> None:
        self._rpc = rpc
        self._data_fees = DataFees(rpc)
        self._signer = signer
        self._chain_id = chain_id
        self._max_fee = max_fee
        self._poll_seconds = poll_seconds
        self._wait_seconds = wait_seconds
        self._notice = notice
        self._sent = sent

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
        cost += (await self._data_fees.fee(self.address, to, data) or NO_DATA_FEE).beside_gas
        balance = await balance_of(self._rpc, self.address)
        if balance < value + cost:
            raise self._too_poor(balance, value)
        return Wei(cost)

    async def send(
        self,
        to: Address,
        data: bytes,
        value: int = 0,
        *,
        signed: Callable[[bytes], None] | None = None,
    ) -> Receipt:
        """See `Wallet.send`."""
        try:
            raw = await self._sign(to, data, value)
            tx_hash = keccak(raw)
            for hear in (signed, self._sent):
                if hear is not None:
                    hear(tx_hash)
            try:
                return await self._send(raw, tx_hash)
            except asyncio.CancelledError:
                self._notice(pending_text(tx_hash))
                raise
        except RpcRejectedError as error:
            raise await self._explained(error, value) from None

    async def _send(self, raw: bytes, tx_hash: bytes) -> Receipt:
        unsent: bytes | None = raw
        try:
            await broadcast(self._rpc, raw)
            unsent = None
        except RpcRejectedError as error:
            if not is_node_fault(error):
                # A node may refuse, and keep it all the same.
                text = f"{error.message}. {pending_text(tx_hash)}"
                raise RpcRejectedError(error.method, error.code, text, error.data) from None
        except RpcError:
            pass  # It may have arrived: asked, and sent again, below.
        return await wait_receipt(
            self._rpc,
            tx_hash,
            unsent=unsent,
            seconds=self._wait_seconds,
            poll_seconds=self._poll_seconds,
            notice=self._notice,
        )

    async def _sign(self, to: Address, data: bytes, value: int) -> bytes:
        gas = await self._gas_limit(to, data, value, MAX_GAS)
        fees = await suggest_fees(self._rpc, _MAX_TIP_WEI)
        price = fees.base + fees.tip
        if price > self._max_fee:
            raise RpcError(f"gas costs {price} wei now, over the cap of {self._max_fee}")
        fees = Fees(min(fees.max_fee, self._max_fee), fees.tip, fees.base)
        count = await self._rpc.call("eth_getTransactionCount", self.address, "pending")
        nonce = quantity(count, "eth_getTransactionCount")
        fields = transaction(self._chain_id, nonce, to, data, gas, fees, value)
        return self._signer.sign(fields)

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
        try:
            return self._too_poor(await balance_of(self._rpc, self.address), value)
        except RpcError:
            return error

    def _too_poor(self, balance: int, value: int) -> Permanent:
        return Permanent(
            f"{self.address} has {format_amount(balance)}, too little for {format_amount(value)} "
            "and the gas: send it some coins"
        )


async def wait_receipt(
    rpc: Node,
    tx_hash: bytes,
    *,
    unsent: bytes | None = None,
    seconds: float = _WAIT_SECONDS,
    poll_seconds: float = 0.25,
    notice: Notice = silent,
) -> Receipt:
    """Waits until a transaction is mined. Whatever a node fails to answer is asked again.

    Args:
        rpc: The node.
        tx_hash: 32 bytes.
        unsent: Its signed bytes, if no node is known to have it: they are sent again.
        seconds: How long to wait.
        poll_seconds: Between two looks.
        notice: Hears, once each, that it takes a while, and that the node does not answer.

    Raises:
        ContractReverted: It was mined and reverted.
        TransactionPendingError: Whether it is mined is not known in time.
    """
    name, began = "0x" + tx_hash.hex(), time.monotonic()
    receipt: Receipt | None = None
    failed: RpcError | None = None
    waits = False
    while (waited := time.monotonic() - began) < seconds:
        if waited > _QUIET_SECONDS and not waits:
            waits = True
            notice(f"Transaction {name} is sent; waiting for a block.")
        try:
            if unsent is not None:
                with contextlib.suppress(RpcRejectedError):  # "nonce too low": it is mined
                    await broadcast(rpc, unsent)
                    unsent = None
            found = read_receipt(tx_hash, await rpc.call("eth_getTransactionReceipt", name))
            receipt = found
            # Another node of the same address may lag behind the one that told of the receipt.
            if found and quantity(await rpc.call("eth_blockNumber"), "block") >= found.block:
                break
        except RpcError as error:
            if failed is None:
                notice(f"The node cannot tell of transaction {name} yet ({error}); asking again.")
            failed = error
        await asyncio.sleep(poll_seconds)
    if receipt is None:
        why = f" (the node's last error: {failed})" if failed else ""
        raise TransactionPendingError(tx_hash, f"not known to be mined after {seconds:g} s{why}")
    if receipt.status != 1:
        raise ContractReverted("", {"transaction": name, "block": receipt.block})
    return receipt
