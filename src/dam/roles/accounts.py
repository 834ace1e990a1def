"""What an account has, here and in the market; and taking out what the market owes it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass

from dam.errors import ContractReverted
from dam.ethereum.erc20 import NATIVE, Token, balances, read_tokens
from dam.ethereum.node import balance_of
from dam.market.client import DelivererInfo, Market
from dam.market.log_history import OPERATORS, History, read_history
from dam.market.reputation import ProposedSlash, bound_stake, proposed_slashes
from dam.market.wallet import Receipt, Wallet, send_call
from dam.types import ZERO_ADDRESS, Address, DelivererRegistered, Wei


@dataclass(frozen=True, slots=True)
class Holding:
    """A token that sales of an account name, in its smallest unit."""

    token: Token
    balance: int
    """In the account."""
    credit: int
    """In the market, to be withdrawn."""


@dataclass(frozen=True, slots=True)
class OwnedDeliverer:
    """A deliverer whose stake and earnings belong to an account."""

    operator: Address
    info: DelivererInfo
    slash: ProposedSlash | None
    """The newest one that is proposed, and so freezes the stake."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What an account has."""

    account: Address
    coins: int
    """In wei."""
    credit: int
    """Coins in the market, to be withdrawn, in wei."""
    free_stake: Wei
    bound_stake: Wei
    """Held by open sales."""
    holdings: tuple[Holding, ...]
    deliverers: tuple[OwnedDeliverer, ...]


async def read_statement(market: Market, account: Address) -> Statement:
    """What an account has, in the newest block.

    Raises:
        RpcError: The node could not be asked.
    """
    coins = await balance_of(market.rpc, account)
    credit = await market.credits(account)
    free = await market.seller_stake(account)
    history = await read_history(market, also=OPERATORS)
    operators = owned_operators(history, account)
    infos = await market.deliverers(operators)
    slashes = {
        slash.operator: slash for slash in proposed_slashes(history.logs, history.clock.time)
    }
    return Statement(
        account,
        coins,
        credit,
        free,
        bound_stake(history.state, account),
        tuple(await _holdings(market, history, account)),
        tuple(
            OwnedDeliverer(operator, info, slashes.get(operator))
            for operator, info in zip(operators, infos, strict=True)
        ),
    )


async def _holdings(market: Market, history: History, account: Address) -> list[Holding]:
    """All tokens that an account's sales name, with what it has and is owed of each."""
    sales = [sale.purchase for sale in history.state.sales.values()]
    wanted = {p.terms.token for p in sales if account in (p.seller, p.buyer)} - {ZERO_ADDRESS}
    tokens = await read_tokens(market.rpc, wanted)
    found = await balances(market.rpc, sorted(wanted), account)
    owed = await market.calls([("credits", (account, token)) for token in found])
    return [
        Holding(tokens[token], held, int(credit))
        for (token, held), (credit,) in zip(found.items(), owed, strict=True)
    ]


def owned_operators(history: History, owner: Address) -> list[Address]:
    """Operators whose earnings belong to an address."""
    return [
        log.operator
        for log in history.logs
        if isinstance(log, DelivererRegistered) and log.owner == owner
    ]


# --------------------------------------------------------------------------------------- withdraw


@dataclass(frozen=True, slots=True)
class Due:
    """Something that the market owes an account."""

    token: Token
    amount: int
    """In the token's smallest unit."""
    operator: Address | None = None
    """The deliverer who earned it; None: a credit."""


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """What became of one `Due`."""

    due: Due
    receipt: Receipt | None
    error: ContractReverted | None = None
    """Why it stays in the market, where it does: an odd token's refusal."""


async def waiting_credits(
    market: Market, account: Address, tokens: Iterable[Address] = ()
) -> list[Due]:
    """The credits of an account in coins and in some tokens, without those that are zero.

    Args:
        market: The market.
        account: Whose.
        tokens: Which, besides coins.

    Raises:
        RpcError: The node could not be asked.
    """
    wanted = sorted({ZERO_ADDRESS, *tokens})
    answers = await market.calls([("credits", (account, token)) for token in wanted])
    owed = {token: int(credit) for token, (credit,) in zip(wanted, answers, strict=True) if credit}
    known = await read_tokens(market.rpc, owed)
    return [Due(known[token], amount) for token, amount in owed.items()]


async def plan_withdrawal(
    market: Market, account: Address, operators: Sequence[Address] = ()
) -> list[Due]:
    """All that the market owes an account: coins, earnings, tokens, in this order.

    Args:
        market: The market.
        account: Whose.
        operators: Deliverers of the account whose earnings to take; empty: all of them.

    Raises:
        RpcError: The node could not be asked.
    """
    credit = await market.credits(account)
    history = await read_history(market, also=OPERATORS)
    owned = list(operators) or owned_operators(history, account)
    holdings = await _holdings(market, history, account)
    infos = await market.deliverers(owned)
    due = [Due(NATIVE, credit)] if credit else []
    due += [
        Due(NATIVE, info.earned, operator)
        for operator, info in zip(owned, infos, strict=True)
        if info.earned
    ]
    return due + [Due(holding.token, holding.credit) for holding in holdings if holding.credit]


async def withdraw(
    market: Market, wallet: Wallet, plan: Sequence[Due], recipient: Address
) -> AsyncIterator[Withdrawn]:
    """Takes what is due, one transaction each; an odd token does not keep the others in.

    Args:
        market: The market.
        wallet: Whose it is.
        plan: From `plan_withdrawal`.
        recipient: Who receives it.

    Raises:
        ContractReverted, Permanent, RpcError: See `Wallet.send`; not for what tokens refuse.
    """
    for due in plan:
        if due.operator is not None:
            arguments = ("withdrawEarnings", due.operator, recipient)
        else:
            arguments = ("withdraw", due.token.address, recipient)
        try:
            receipt = await send_call(wallet, market, *arguments)
        except ContractReverted as error:
            if due.token.native:
                raise
            yield Withdrawn(due, None, error)
        else:
            yield Withdrawn(due, receipt)
