"""The wallet of commands typed by hand: one key, one node, one transaction at a time."""

from __future__ import annotations

from typing import Any, Protocol

from dam.errors import Permanent
from dam.ethereum.erc2612 import TypedSigner
from dam.ethereum.node import Node, balance_of
from dam.ethereum.node_errors import RpcRejectedError
from dam.market.wallet import Receipt
from dam.sending.transactions import Signer, estimate_gas, suggest_fees, transact
from dam.types import Address, Wei
from dam.units import format_amount

_MAX_TIP = 20 * 10**9
"""Wei per gas."""


class WalletSigner(Signer, TypedSigner, Protocol):
    """A key that signs transactions and EIP-712 data (`dam.keystore.ape_accounts.Signer`)."""


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
            limit = await estimate_gas(self._rpc, self.address, to, data, value=value)
        except RpcRejectedError as error:
            raise await self._explained(error, value) from None
        fees = await suggest_fees(self._rpc, _MAX_TIP)
        # The limit is the node's estimate and a half.
        cost = limit * 2 // 3 * (fees.base + fees.tip)
        balance = await balance_of(self._rpc, self.address)
        if balance < value + cost:
            raise self._too_poor(balance, value)
        return Wei(cost)

    async def send(self, to: Address, data: bytes, value: int = 0) -> Receipt:
        """See `Wallet.send`."""
        try:
            return await transact(
                self._rpc,
                self._signer,
                self._chain_id,
                to,
                data,
                value,
                max_fee=self._max_fee,
                max_tip=_MAX_TIP,
                poll=self._poll_seconds,
            )
        except RpcRejectedError as error:
            raise await self._explained(error, value) from None

    async def _explained(self, error: RpcRejectedError, value: int) -> Exception:
        """The node's refusal, or what the account lacks if that is the reason."""
        if "insufficient funds" not in error.message.lower():
            return error
        return self._too_poor(await balance_of(self._rpc, self.address), value)

    def _too_poor(self, balance: int, value: int) -> Permanent:
        return Permanent(
            f"{self.address} has {format_amount(balance)}, too little for {format_amount(value)} "
            "and the gas: send it some coins"
        )
