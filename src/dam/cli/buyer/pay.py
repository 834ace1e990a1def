"""Paying for a purchase: the native coin goes along, a token needs an allowance first.

The allowance is exactly the price, given by a transaction (``approve``) or, where the token takes
ERC-2612 permits and the buyer asks for it, by a signature in the purchase itself.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Any

from dam.cli.session import Session, note, receipt_text
from dam.errors import ContractReverted, Permanent
from dam.ethereum.erc20 import Token, approval, funds
from dam.ethereum.erc2612 import NoPermit, Permit, make_permit
from dam.ethereum.node_errors import RpcRejectedError
from dam.keystore.ape_accounts import Signer
from dam.sending.transactions import estimate_gas, transact
from dam.types import Address

PERMIT_SECONDS = 3600
"""How long a permit holds: until the purchase is mined, and not much longer."""


@dataclass(frozen=True)
class Payment:
    """What the buyer has of the token that he pays with."""

    token: Token
    price: int
    balance: int
    allowance: int

    @property
    def short(self) -> bool:
        """Whether the market may not take the price yet."""
        return not self.token.native and self.allowance < self.price

    def rows(self, market: Address, by_permit: bool) -> list[tuple[str, str]]:
        """What a buyer should know of it."""
        if self.token.native:
            return []
        rows = [("Token", f"{self.token.address}, of which you have {self.balance_text}")]
        if self.short:
            how = "a signed permit lets" if by_permit else "a transaction of its own lets"
            rows.append(("Allowance", f"{how} the market {market} take exactly the price"))
        return rows

    @property
    def balance_text(self) -> str:
        """The balance as people read it."""
        return self.token.text(self.balance)


async def look(session: Session, token: Token, price: int, buyer: Address) -> Payment:
    """Whether the buyer can pay.

    Raises:
        Permanent: He has too little of the token.
    """
    if token.native:
        return Payment(token, price, 0, 0)
    balance, allowance = await funds(session.rpc, token.address, buyer, session.market.address)
    if balance < price:
        raise Permanent(
            f"{buyer} has {token.text(balance)}, and the price is {token.text(price)}: "
            f"get some of the token {token.address} first"
        )
    return Payment(token, price, balance, allowance)


async def allow(
    session: Session, signer: Signer, payment: Payment, *, by_permit: bool
) -> Permit | None:
    """Sees to the allowance: a permit to send along, or None once there is nothing more to do.

    Raises:
        Permanent: The token did not do as it said.
    """
    if not payment.short:
        return None
    if by_permit:
        try:
            return await _permit(session, signer, payment)
        except NoPermit as error:
            note(f"No permit for this token: {error}. Its `approve` is used instead.")
    token, market = payment.token.address, session.market.address
    if payment.allowance and not await _would_pass(session, signer, token, payment.price):
        # Some tokens change an allowance only from zero.
        await _approve(session, signer, token, 0)
    await _approve(session, signer, token, payment.price)
    _, allowed = await funds(session.rpc, token, signer.address, market)
    if allowed < payment.price:
        raise Permanent(f"the token {token} took the approval and gave no allowance: leave it")
    return None


def arguments(function_arguments: list[Any], permit: Permit | None) -> tuple[str, list[Any]]:
    """Function and arguments of the purchase."""
    if permit is None:
        return "buyItem", function_arguments
    return "buyItemByPermit", [*function_arguments, astuple(permit)]


async def _permit(session: Session, signer: Signer, payment: Payment) -> Permit:
    head = await session.market.head()
    return await make_permit(
        session.rpc,
        signer,
        payment.token.address,
        session.market.address,
        payment.price,
        chain_id=session.settings.deployment.chain_id,
        deadline=head.timestamp + PERMIT_SECONDS,
    )


async def _would_pass(session: Session, signer: Signer, token: Address, amount: int) -> bool:
    data = approval(session.market.address, amount)
    try:
        await estimate_gas(session.rpc, signer.address, token, data)
    except (ContractReverted, RpcRejectedError):
        return False
    return True


async def _approve(session: Session, signer: Signer, token: Address, amount: int) -> None:
    settings = session.settings
    try:
        receipt = await transact(
            session.rpc,
            signer,
            settings.deployment.chain_id,
            token,
            approval(session.market.address, amount),
            max_fee=settings.max_fee,
            poll=min(settings.poll_seconds, 1.0),
        )
    except ContractReverted as error:
        raise Permanent(f"the token {token} refuses the approval ({error})") from None
    except RpcRejectedError as error:
        if "insufficient funds" not in error.message.lower():
            raise
        raise await session.too_poor(signer.address, 0) from None
    note(f"Approved {receipt_text(receipt)}")
