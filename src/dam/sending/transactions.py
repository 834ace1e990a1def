"""Single transactions: fees, gas, simulation, broadcast; and `transact` for one-off commands."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any, Protocol

from dam.crypto.hashing import keccak
from dam.errors import ContractReverted, RpcError
from dam.ethereum import node_errors
from dam.ethereum.hex import quantity
from dam.ethereum.node import Node
from dam.ethereum.node_errors import RpcRejectedError
from dam.market.client import revert_of
from dam.market.wallet import Receipt
from dam.types import Address


class Signer(Protocol):
    """An account that can sign (`accounts.Signer`)."""

    @property
    def address(self) -> Address:
        """Its address."""
        ...

    def sign(self, transaction: dict[str, Any], /) -> bytes:
        """The raw signed bytes of an EIP-1559 transaction."""
        ...


class Calls(Protocol):
    """The market's calldata (`market.Market`)."""

    address: Address

    def encode(self, function: str, *args: Any) -> bytes:
        """Calldata of a call of the market."""
        ...


@dataclass(frozen=True, slots=True)
class Fees:
    """EIP-1559 fees in wei per gas."""

    max_fee: int
    tip: int
    base: int = 0


async def suggest_fees(rpc: Node, max_tip: int) -> Fees:
    """Twice the next block's base fee and the node's tip, the tip capped: six full blocks' room."""
    history, tip = await rpc.batch(
        [("eth_feeHistory", ("0x1", "latest", [])), ("eth_maxPriorityFeePerGas", ())]
    )
    bases = history.get("baseFeePerGas") if isinstance(history, dict) else None
    if not isinstance(bases, list) or not bases:
        raise RpcError("eth_feeHistory: no base fee")
    base = quantity(bases[-1], "eth_feeHistory")
    capped = min(quantity(tip, "eth_maxPriorityFeePerGas"), max_tip)
    return Fees(2 * base + capped, capped, base)


async def simulate(rpc: Node, sender: Address, to: Address, data: bytes) -> ContractReverted | None:
    """What the contract would say to the call in the newest block: None if it would pass."""
    call = {"from": sender, "to": to, "data": "0x" + data.hex()}
    try:
        await rpc.call("eth_call", call, "latest")
    except RpcRejectedError as error:
        reverted = revert_of(error)
        if reverted is None:
            raise
        return reverted
    return None


async def estimate_gas(
    rpc: Node,
    sender: Address,
    to: Address,
    data: bytes,
    *,
    value: int = 0,
    cap: int = 5_000_000,
) -> int:
    """Gas limit: the node's estimate and a half, for state that changes before it is mined.

    Raises:
        ContractReverted: The contract would refuse.
        RpcRejectedError: The node would, for want of balance, say.
    """
    call = {"from": sender, "to": to, "data": "0x" + data.hex(), "value": hex(value)}
    try:
        estimate = quantity(await rpc.call("eth_estimateGas", call, "pending"), "eth_estimateGas")
    except RpcRejectedError as error:
        reverted = revert_of(error)
        if reverted is None:
            raise
        raise reverted from None
    return min(estimate * 3 // 2 + 20_000, cap)


def transaction(
    chain_id: int, nonce: int, to: Address, data: bytes, gas: int, fees: Fees, value: int = 0
) -> dict[str, Any]:
    """The fields that a signer signs."""
    return {
        "type": 2,
        "chainId": chain_id,
        "nonce": nonce,
        "to": to,
        "data": data,
        "value": value,
        "gas": gas,
        "maxFeePerGas": fees.max_fee,
        "maxPriorityFeePerGas": min(fees.tip, fees.max_fee),
    }


async def broadcast(rpc: Node, raw: bytes) -> bool:
    """Sends signed bytes; that the node has them already is as good.

    Returns:
        Whether they were new to it.

    Raises:
        RpcRejectedError: The node refused for another reason.
        RpcError: It is not known whether the node took it.
    """
    try:
        await rpc.call("eth_sendRawTransaction", "0x" + raw.hex())
    except RpcRejectedError as error:
        if not node_errors.is_known(error):
            raise
        return False
    return True


async def transact(
    rpc: Node,
    signer: Signer,
    chain_id: int,
    to: Address,
    data: bytes,
    value: int = 0,
    *,
    confirmations: int = 1,
    max_fee: int = 500 * 10**9,
    max_tip: int = 20 * 10**9,
    timeout: float = 180.0,
    poll: float = 0.25,
) -> Receipt:
    """Sends one transaction and waits for it, for commands typed by hand. Saves nothing.

    Args:
        rpc: The node.
        signer: Who pays and signs.
        chain_id: For replay protection.
        to: Receiver.
        data: Calldata.
        value: Wei to go with it.
        confirmations: 1: mined.
        max_fee: Most wei per gas, tip included.
        max_tip: Most wei per gas as tip.
        timeout: Seconds to wait for the receipt.
        poll: Seconds between looks.

    Raises:
        ContractReverted: It would revert (nothing was sent), or did.
        RpcError: The node failed, or time ran out; the text names the transaction.
    """
    gas = await estimate_gas(rpc, signer.address, to, data, value=value, cap=30_000_000)
    fees = await suggest_fees(rpc, max_tip)
    if fees.base + fees.tip > max_fee:
        raise RpcError(f"gas costs {fees.base + fees.tip} wei now, over the cap of {max_fee}")
    fees = Fees(min(fees.max_fee, max_fee), fees.tip, fees.base)
    count = await rpc.call("eth_getTransactionCount", signer.address, "pending")
    nonce = quantity(count, "eth_getTransactionCount")
    raw = signer.sign(transaction(chain_id, nonce, to, data, gas, fees, value))
    await broadcast(rpc, raw)
    return await wait_receipt(
        rpc, keccak(raw), confirmations=confirmations, timeout=timeout, poll=poll
    )


async def wait_receipt(
    rpc: Node, tx_hash: bytes, *, confirmations: int = 1, timeout: float = 180.0, poll: float = 0.25
) -> Receipt:
    """Waits until a transaction is mined, ``confirmations`` deep (1: in the newest block).

    Raises:
        ContractReverted: It was mined and reverted.
        RpcError: It was not mined in time.
    """
    name = "0x" + tx_hash.hex()
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        found = await rpc.call("eth_getTransactionReceipt", name)
        if isinstance(found, dict):
            receipt = _receipt(tx_hash, found)
            head = quantity(await rpc.call("eth_blockNumber"), "eth_blockNumber")
            if head >= receipt.block + confirmations - 1:
                if receipt.status != 1:
                    raise ContractReverted("", {"transaction": name, "block": receipt.block})
                return receipt
        await asyncio.sleep(poll)
    raise RpcError(f"transaction {name} is not mined after {timeout:g} s; it may still be")


def _receipt(tx_hash: bytes, found: dict[str, Any]) -> Receipt:
    return Receipt(
        tx_hash=tx_hash,
        block=quantity(found.get("blockNumber"), "receipt block"),
        status=quantity(found.get("status"), "receipt status"),
        gas_used=quantity(found.get("gasUsed"), "receipt gas"),
        price=quantity(found.get("effectiveGasPrice", "0x0"), "receipt price"),
        logs=tuple(found.get("logs") or ()),
    )
