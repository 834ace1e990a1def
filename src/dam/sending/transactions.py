"""Single transactions: price, fees, simulation, what is signed, broadcast."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from dam.errors import ContractReverted, RpcError
from dam.ethereum import node_errors
from dam.ethereum.data_fee import data_fee_of
from dam.ethereum.node import Node, gas_price_of, hex_data, quantity
from dam.ethereum.node_errors import RpcBadReplyError, RpcRejectedError
from dam.market.client import revert_of
from dam.market.wallet import Receipt
from dam.types import Address, Signature

MAX_GAS = 1 << 24
"""Most gas of one transaction (EIP-7825), however much a block may have."""
_REQUEST_BYTES = 500_000
"""Nodes and providers refuse requests of a few megabytes; hex doubles the calldata."""


class Signer(Protocol):
    """An account that can sign (`dam.keystore.ape_accounts.Signer`)."""

    @property
    def address(self) -> Address:
        """Its address."""
        ...

    def sign(self, transaction: dict[str, Any], /) -> bytes:
        """The raw signed bytes of an EIP-1559 transaction."""
        ...


class ListSigner(Protocol):
    """The operator's key, which signs the lists of parts (`dam.keystore.ape_accounts.Signer`)."""

    @property
    def address(self) -> Address:
        """Its address."""
        ...

    def sign_digest(self, digest: bytes, /) -> Signature:
        """The signature of an EIP-712 digest."""
        ...


class Calls(Protocol):
    """The market's calldata (`dam.market.client.Market`)."""

    address: Address

    def encode(self, function: str, *args: Any) -> bytes:
        """Calldata of a call of the market."""
        ...


@dataclass(frozen=True, slots=True)
class Price:
    """What the next block costs, as the node says: wei per gas."""

    base: int
    """0 on a chain without a base fee, where the tip is all of the price."""
    tip: int
    byte: int = 0
    """Gas that a byte of a transaction is worth on a rollup, which takes something for it."""


@dataclass(frozen=True, slots=True)
class Fees:
    """EIP-1559 fees in wei per gas."""

    max_fee: int
    tip: int
    base: int
    """Base fee of the next block, when they were chosen; 0: the chain has none."""


async def next_price(rpc: Node) -> Price:
    """Base fee of the next block, and the tip that the node suggests.

    A node without ``eth_feeHistory`` has the base fee in its newest block, of which the next one's
    is an eighth more at most; one without ``eth_maxPriorityFeePerGas`` has a price of gas.

    Raises:
        RpcError: The node failed.
    """
    history, tip = await rpc.batch(
        [("eth_feeHistory", ("0x1", "latest", [])), ("eth_maxPriorityFeePerGas", ())], errors=True
    )
    bases = history.get("baseFeePerGas") if isinstance(history, dict) else None
    if isinstance(bases, list) and bases:
        base = quantity(bases[-1], "eth_feeHistory")
    else:
        base = await _base_fee(rpc) * 9 // 8
    if isinstance(tip, RpcRejectedError):
        return Price(base, max(0, await gas_price_of(rpc) - base))
    return Price(base, quantity(tip, "eth_maxPriorityFeePerGas"))


async def _base_fee(rpc: Node) -> int:
    """The newest block's base fee; 0 on a chain without one."""
    block = await rpc.call("eth_getBlockByNumber", "latest", False)
    if not isinstance(block, dict):
        raise RpcBadReplyError("block latest: not an object")
    fee = block.get("baseFeePerGas")
    return 0 if fee is None else quantity(fee, "base fee")


async def suggest_fees(rpc: Node, max_tip: int) -> Fees:
    """Twice the next block's base fee and the node's tip, the tip capped: six full blocks' room."""
    price = await next_price(rpc)
    tip = min(price.tip, max_tip)
    return Fees(2 * price.base + tip, tip, price.base)


async def call_many(
    rpc: Node, method: str, sender: Address, calls: Iterable[tuple[Address, bytes, str]]
) -> list[Any | ContractReverted | RpcRejectedError]:
    """``eth_call`` or ``eth_estimateGas`` of many calls, in requests of a bounded size.

    Args:
        rpc: The node.
        method: Which of the two.
        sender: In whose name.
        calls: Receiver, calldata and block tag of each.

    Returns:
        In order: the result, the contract's revert, or the node's refusal.
    """
    answers: list[Any] = []
    asked: list[tuple[str, tuple[Any, ...]]] = []
    size = 0
    for to, data, tag in calls:
        if asked and size + 2 * len(data) > _REQUEST_BYTES:
            answers += await rpc.batch(asked, errors=True)
            asked, size = [], 0
        size += 2 * len(data)
        asked.append((method, ({"from": sender, "to": to, "data": "0x" + data.hex()}, tag)))
    if asked:
        answers += await rpc.batch(asked, errors=True)
    return [
        (revert_of(answer) or answer) if isinstance(answer, RpcRejectedError) else answer
        for answer in answers
    ]


def transaction(
    chain_id: int, nonce: int, to: Address, data: bytes, gas: int, fees: Fees, value: int = 0
) -> dict[str, Any]:
    """The fields that a signer signs: EIP-1559, or EIP-155 where no base fee is."""
    tip = min(fees.tip, fees.max_fee)
    price = {"type": 2, "maxFeePerGas": fees.max_fee, "maxPriorityFeePerGas": tip}
    if fees.base == 0:
        price = {"type": 0, "gasPrice": tip}  # on a chain with a base fee of 0, that is the same
    call = {"nonce": nonce, "to": to, "data": data, "value": value, "gas": gas}
    return {"chainId": chain_id, **call, **price}


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
        if not node_errors.is_already_known(error):
            raise
        return False
    return True


async def look_up(rpc: Node, method: str, hashes: Sequence[bytes]) -> list[Any]:
    """Receipts or transactions by their hashes; where the node fails, its error stands instead.

    A node may answer for one hash and not for the next: geth, while it indexes, has an error for
    each that it does not know. Nothing is known then of this one, and all of the others.
    """
    try:
        return await rpc.batch([(method, ("0x" + tx.hex(),)) for tx in hashes], errors=True)
    except RpcError as error:
        return [error] * len(hashes)


def read_receipt(tx_hash: bytes, found: object) -> Receipt | None:
    """A node's answer about a receipt, checked; None: the transaction is not mined, as it says.

    Raises:
        RpcError: Nothing is known: the answer is an error (see `look_up`), or no receipt of this
            transaction.
    """
    if isinstance(found, RpcError):
        raise found
    if found is None:
        return None
    if not isinstance(found, dict):
        raise RpcBadReplyError("receipt: not an object")
    if found.get("blockNumber", "") is None:
        return None  # as some nodes say of what waits in their pool
    if hex_data(found.get("transactionHash"), "receipt hash", 32) != tx_hash:
        raise RpcBadReplyError("receipt: of another transaction")
    logs = found.get("logs") or []
    if not isinstance(logs, list):
        raise RpcBadReplyError("receipt logs: no list")
    status = quantity(found.get("status"), "receipt status")
    if status > 1:
        raise RpcBadReplyError("receipt status: neither 0 nor 1")
    # Not all chains price gas.
    price = quantity(found.get("effectiveGasPrice") or "0x0", "receipt price")
    return Receipt(
        tx_hash=tx_hash,
        block=quantity(found.get("blockNumber"), "receipt block"),
        status=status,
        gas_used=quantity(found.get("gasUsed"), "receipt gas"),
        price=price,
        logs=tuple(logs),
        data=data_fee_of(found, price),
    )
