"""Who pays: an account that sends, as the roles see it, and what a mined transaction tells.

Roles decide what to send. How it is sent (gas, fees, nonce, the wait for a block) is the wallet's:
`dam.sending.wallet` has the one of the command line, and a program may bring its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from dam.errors import RpcError
from dam.ethereum.data_fee import NO_DATA_FEE, DataFee
from dam.market.client import Market
from dam.types import Address, Deployment, Wei
from dam.units import format_about

_DOMAIN = {
    "name": "string",
    "version": "string",
    "chainId": "uint256",
    "verifyingContract": "address",
}


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a transaction."""

    tx_hash: bytes
    """32 bytes."""
    block: int
    status: int
    """1: it did what it was sent for; 0: it reverted."""
    gas_used: int
    price: int
    """Wei per gas, as paid."""
    logs: tuple[Any, ...]
    """As the node gave them."""
    data: DataFee = NO_DATA_FEE
    """What a rollup took for its bytes."""

    @property
    def cost(self) -> Wei:
        """All that it cost, in wei."""
        return Wei(self.gas_used * self.price + self.data.beside_gas)

    def __str__(self) -> str:
        cost = format_about(self.cost)
        return f"in block {self.block}, transaction 0x{self.tx_hash.hex()} (gas {cost})"


class TransactionPendingError(RpcError):
    """It was sent, as far as is known, and nobody can tell yet whether it is mined."""

    def __init__(self, tx_hash: bytes, why: str) -> None:
        super().__init__(f"{why}. {pending_text(tx_hash)}")
        self.tx_hash = tx_hash
        """32 bytes."""


def pending_text(tx_hash: bytes) -> str:
    """What to tell a person whose transaction was sent, and may or may not be mined."""
    return (
        f"Transaction 0x{tx_hash.hex()} may still be mined: look it up before you repeat the "
        "command (in an explorer; a purchase with `dam buyer purchases`)"
    )


class Wallet(Protocol):
    """One account on one chain."""

    @property
    def address(self) -> Address:
        """Who signs and pays."""
        ...

    def sign_typed(self, message: dict[str, Any], /) -> tuple[int, bytes, bytes]:
        """v, r and s (32 bytes each) over EIP-712 data; its domain names chain and contract."""
        ...

    async def gas_cost(self, to: Address, data: bytes, value: int = 0) -> Wei:
        """What the gas of a call would cost about, in wei. Nothing is sent.

        Args:
            to: The contract.
            data: Calldata.
            value: Coins to go along, in wei.

        Raises:
            ContractReverted: The contract would refuse.
            Permanent: The account cannot pay for it.
            RpcError: The node could not be asked, or refused for a reason of its own.
        """
        ...

    async def send(
        self,
        to: Address,
        data: bytes,
        value: int = 0,
        *,
        signed: Callable[[bytes], None] | None = None,
    ) -> Receipt:
        """Sends one transaction and returns once it is mined.

        Args:
            to: The contract.
            data: Calldata.
            value: Coins to go along, in wei.
            signed: Called with its hash before any node sees it: from then on it may be mined,
                whatever is raised.

        Raises:
            ContractReverted: It would revert (nothing was sent), or did.
            Permanent: The account cannot pay for it; nothing was sent.
            TransactionPendingError: It was sent, and whether it is mined is not known in time.
            RpcError: The node failed, or refused it.
        """
        ...


def typed_data(
    deployment: Deployment, name: str, fields: Mapping[str, str], values: Mapping[str, Any]
) -> dict[str, Any]:
    """EIP-712 data of one struct, as `Wallet.sign_typed` takes it.

    Args:
        deployment: The market that checks the signature.
        name: Of the struct.
        fields: Type of each of its fields, by name, in their order.
        values: Of the fields.
    """
    types = {"EIP712Domain": _DOMAIN, name: fields}
    return {
        "types": {
            struct: [{"name": key, "type": kind} for key, kind in its.items()]
            for struct, its in types.items()
        },
        "primaryType": name,
        "domain": {
            "name": "DAM",
            "version": "2",
            "chainId": deployment.chain_id,
            "verifyingContract": deployment.market,
        },
        "message": dict(values),
    }


async def send_call(
    wallet: Wallet,
    market: Market,
    function: str,
    *arguments: Any,
    value: int = 0,
    signed: Callable[[bytes], None] | None = None,
) -> Receipt:
    """Sends a call of the market, ``value`` wei along; see `Wallet.send`."""
    data = market.encode(function, *arguments)
    return await wallet.send(market.address, data, value, signed=signed)
