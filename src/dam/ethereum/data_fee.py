"""What a rollup takes for a transaction's bytes, which the chain below has to keep.

Two kinds of rollups tell it beforehand, each in its own way:

OP stack
    The predeploy ``GasPriceOracle`` tells the fee of an unsigned transaction. It is taken beside
    the gas, and a receipt has it as ``l1Fee``.
Arbitrum
    The node's own ``NodeInterface`` tells it in gas. The gas of estimates and receipts holds it,
    and a receipt says how much of it that is: ``gasUsedForL1``.

Others are asked nothing more once both have given no answer. Their receipts may tell it all the
same (``l1Fee``), and a setting may.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from dam.crypto.abi_words import address_word, uint_word
from dam.crypto.hashing import keccak
from dam.ethereum.node import Node, hex_data, quantity
from dam.ethereum.node_errors import RpcRejectedError
from dam.types import Address

ENVELOPE_BYTES = 120
"""Of a signed transaction, beside its calldata."""
_ORACLE = Address("0x420000000000000000000000000000000000000F")
_INTERFACE = Address("0x00000000000000000000000000000000000000C8")
_ORACLE_CALL = keccak(b"getL1Fee(bytes)")[:4]
_INTERFACE_CALL = keccak(b"gasEstimateL1Component(address,bool,bytes)")[:4]
_UNSIGNED = b"\xff" * 52
"""Stands for the fields of an unsigned transaction; the oracle adds the signature itself."""
_MOST_WEI = 10**24
"""No transaction's data ever cost a million coins: a node that says so is not believed."""


class DataFee(NamedTuple):
    """Of one transaction."""

    wei: int
    """All of it."""
    beside_gas: int
    """How much of it is taken beside the gas."""


NO_DATA_FEE = DataFee(0, 0)


class DataFees:
    """Asks a chain for data fees; remembers that it tells none.

    Args:
        node: The chain's.
        byte_price: What a byte costs, in wei; 0: what the chain tells, else the newest receipt.
    """

    def __init__(self, node: Node, byte_price: int = 0) -> None:
        self._node = node
        self._byte_price = byte_price
        self._seen = 0
        """Wei for a byte, of the newest receipt."""
        self._silent = False
        """Whether the chain has nobody to ask."""

    def note(self, wei: int, size: int) -> None:
        """What the data of a mined transaction of so many bytes has cost."""
        self._seen = -(-wei // size)

    async def byte_gas(self, sender: Address, to: Address, data: bytes, gas_price: int) -> int:
        """What a byte of such a transaction costs, in gas at this price; 0 where it is no rollup.

        Raises:
            RpcError: The node could not be asked.
        """
        wei = self._byte_price
        if not wei:
            fee = await self.fee(sender, to, data)
            wei = self._seen if fee is None else -(-fee.wei // (len(data) + ENVELOPE_BYTES))
        return -(-wei // max(1, gas_price))

    async def fee(self, sender: Address, to: Address, data: bytes) -> DataFee | None:
        """Of a transaction with this calldata, about; None: nobody tells.

        Raises:
            RpcError: The node could not be asked.
        """
        if self._silent:
            return None
        calls = [
            (_ORACLE, _ORACLE_CALL + _tail(32, _UNSIGNED + data)),
            (_INTERFACE, _INTERFACE_CALL + address_word(to) + uint_word(0) + _tail(96, data)),
        ]
        asked = [
            ("eth_call", ({"from": sender, "to": at, "data": "0x" + sent.hex()}, "latest"))
            for at, sent in calls
        ]
        answers = await self._node.batch(asked, errors=True)
        oracle, interface = (
            b"" if isinstance(one, RpcRejectedError) else hex_data(one, "eth_call")
            for one in answers
        )
        if len(oracle) == 32:
            wei = min(int.from_bytes(oracle, "big"), _MOST_WEI)
            return DataFee(wei, wei)
        if len(interface) == 96:
            gas, base = (int.from_bytes(interface[at : at + 32], "big") for at in (0, 32))
            return DataFee(min(gas * base, _MOST_WEI), 0)
        # A node that refuses may answer the next time; where nothing is, nothing answers.
        self._silent = not any(isinstance(one, RpcRejectedError) for one in answers)
        return None


def data_fee_of(receipt: Mapping[str, Any], gas_price: int) -> DataFee:
    """As a receipt tells it; nothing where it does not.

    Raises:
        RpcBadReplyError: One of the fields is no number.
    """
    beside = quantity(receipt.get("l1Fee") or "0x0", "receipt data fee")
    gas = quantity(receipt.get("gasUsedForL1") or "0x0", "receipt data gas")
    return DataFee(beside + gas * gas_price, beside)


def _tail(offset: int, data: bytes) -> bytes:
    """A ``bytes`` that is the last argument."""
    return uint_word(offset) + uint_word(len(data)) + data + bytes(-len(data) % 32)
