"""Paying for a purchase: the native coin goes along, a token needs an allowance first.

The allowance is exactly the price, given by a transaction (``approve``) or, where the token takes
ERC-2612 permits and the buyer asks for it, by a signature in the purchase itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dam.errors import ContractReverted, Permanent
from dam.ethereum.erc20 import Token, approval, funds
from dam.ethereum.erc2612 import NoPermit, Permit, make_permit
from dam.ethereum.node_errors import RpcRejectedError
from dam.market.client import Market
from dam.market.wallet import Wallet
from dam.roles.notice import Notice, silent
from dam.types import Address

PERMIT_SECONDS = 3600
"""How long a permit holds: until the purchase is mined, and not much longer."""


@dataclass(frozen=True, slots=True)
class Payment:
    """What a buyer has of the token that they pay with, in its smallest unit."""

    token: Token
    price: int
    balance: int
    """0 for the native coin: the purchase itself is checked instead."""
    allowance: int
    """What the market may take already."""

    @property
    def needs_allowance(self) -> bool:
        """Whether the market may not take the price yet."""
        return not self.token.native and self.allowance < self.price

    @property
    def coins(self) -> int:
        """What goes along with the purchase, in wei."""
        return self.price if self.token.native else 0


async def read_payment(market: Market, token: Token, price: int, buyer: Address) -> Payment:
    """Whether the buyer can pay.

    Args:
        market: Who takes the price.
        token: What the item is priced in.
        price: In the token's smallest unit.
        buyer: Who pays.

    Raises:
        Permanent: They have too little of the token.
    """
    if token.native:
        return Payment(token, price, 0, 0)
    balance, allowance = await funds(market.rpc, token.address, buyer, market.address)
    if balance < price:
        raise Permanent(
            f"{buyer} has {token.text(balance)}, and the price is {token.text(price)}: "
            f"get some of the token {token.address} first"
        )
    return Payment(token, price, balance, allowance)


async def allow(
    market: Market,
    wallet: Wallet,
    payment: Payment,
    *,
    by_permit: bool,
    notice: Notice = silent,
) -> Permit | None:
    """Sees to the allowance: a permit to send along, or None once there is nothing more to do.

    Args:
        market: Who may take the price.
        wallet: Who pays.
        payment: From `read_payment`.
        by_permit: Sign a permit where the token takes one; else send an approval.
        notice: Hears of approvals, and why there is no permit.

    Raises:
        Permanent: The token did not do as it said.
    """
    if not payment.needs_allowance:
        return None
    if by_permit:
        try:
            return await _permit(market, wallet, payment)
        except NoPermit as error:
            notice(f"No permit for this token: {error}. Its `approve` is used instead.")
    token = payment.token.address
    if payment.allowance and not await _would_pass(market, wallet, token, payment.price):
        # Some tokens change an allowance only from zero.
        await _approve(market, wallet, token, 0, notice)
    await _approve(market, wallet, token, payment.price, notice)
    _, allowed = await funds(market.rpc, token, wallet.address, market.address)
    if allowed < payment.price:
        raise Permanent(f"the token {token} took the approval and gave no allowance: leave it")
    return None


def purchase_call(arguments: list[Any], permit: Permit | None) -> tuple[str, list[Any]]:
    """Function and arguments of a purchase: those of ``buyItem``, and a permit if there is one."""
    if permit is None:
        return "buyItem", arguments
    return "buyItemByPermit", [*arguments, permit]


async def _permit(market: Market, wallet: Wallet, payment: Payment) -> Permit:
    head = await market.head()
    return await make_permit(
        market.rpc,
        wallet,
        payment.token.address,
        market.address,
        payment.price,
        chain_id=market.deployment.chain_id,
        deadline=head.timestamp + PERMIT_SECONDS,
    )


async def _would_pass(market: Market, wallet: Wallet, token: Address, amount: int) -> bool:
    try:
        await wallet.gas_cost(token, approval(market.address, amount))
    except (ContractReverted, RpcRejectedError):
        return False
    return True


async def _approve(
    market: Market, wallet: Wallet, token: Address, amount: int, notice: Notice
) -> None:
    try:
        receipt = await wallet.send(token, approval(market.address, amount))
    except ContractReverted as error:
        raise Permanent(f"the token {token} refuses the approval ({error})") from None
    notice(f"Approved {receipt}")
