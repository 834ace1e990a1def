"""Becoming a deliverer: registering with a stake and a key, adding to it, announcing a new key."""

from __future__ import annotations

from dataclasses import dataclass

from dam.errors import Permanent
from dam.keystore.key_files import KeyPair
from dam.market.client import DelivererInfo, Market
from dam.market.deliverers import registrations
from dam.market.log_history import DELIVERERS, read_history
from dam.market.wallet import Receipt, Wallet, send_call
from dam.types import ZERO_ADDRESS, Address, Wei
from dam.units import format_amount


@dataclass(frozen=True, slots=True)
class Registration:
    """A deliverer as it would be registered."""

    operator: Address
    """Signs and delivers."""
    owner: Address
    """Alone takes stake and earnings; this cannot be changed."""
    key: bytes
    """Ed25519 public key, 32 bytes; sellers seal parts to the X25519 key that follows from it."""
    possession: bytes
    """What shows that the operator has it, 64 bytes."""
    stake: Wei


def is_registered(info: DelivererInfo) -> bool:
    """Whether the contract knows a deliverer, also one whose stake has left."""
    return bool(info.stake or info.owner != ZERO_ADDRESS or info.earned or info.delivered)


def check_stake(market: Market, amount: int) -> None:
    """Refuses a first stake that is too small.

    Raises:
        Permanent: It is below the market's minimum.
    """
    minimum = market.deployment.windows.min_deliverer_stake
    if amount < minimum:
        raise Permanent(
            f"a deliverer stakes at least {format_amount(minimum)}, and {format_amount(amount)} "
            "is less"
        )


def plan_registration(
    market: Market, operator: Address, pair: KeyPair, amount: int, *, owner: Address | None = None
) -> Registration:
    """What registering would say. Nothing is asked or sent.

    Args:
        market: The market.
        operator: Who signs and delivers.
        pair: The newest key of its key file.
        amount: The stake, in wei.
        owner: Who takes stake and earnings; None: the operator.

    Raises:
        Permanent: The stake is too small.
    """
    check_stake(market, amount)
    possession = pair.prove_possession(market.deployment.chain_id, market.address, operator)
    return Registration(operator, owner or operator, pair.announced, possession, Wei(amount))


async def register(market: Market, wallet: Wallet, plan: Registration) -> Receipt:
    """Registers the wallet's account as a deliverer, with its stake; see `Wallet.send`."""
    announced = plan.key, plan.possession
    if plan.owner == wallet.address:
        return await send_call(wallet, market, "stakeAsDeliverer", *announced, value=plan.stake)
    function = "stakeAsDelivererFor"
    return await send_call(wallet, market, function, plan.owner, *announced, value=plan.stake)


async def add_stake(market: Market, wallet: Wallet, amount: int) -> Receipt:
    """Adds ``amount`` wei to the stake of the wallet's account; see `Wallet.send`."""
    return await send_call(wallet, market, "addDelivererStake", wallet.address, value=amount)


async def announce_key(
    market: Market, wallet: Wallet, pair: KeyPair, *, operator: Address
) -> Receipt:
    """Announces a new key, as the operator or its owner; sellers seal parts to it from now on.

    Announce it once the daemon has it: a part could come before.

    Args:
        market: The market.
        wallet: The operator's, or its owner's.
        pair: The newest key of the operator's key file.
        operator: Whose key it is.

    Raises:
        Permanent: There is no such deliverer, or the key is announced already.
    """
    history = await read_history(market, also=DELIVERERS)
    chain_id = market.deployment.chain_id
    known = registrations(history.logs, chain_id, market.address, of=operator).get(operator)
    if known is None:
        raise Permanent(f"{operator} is no deliverer yet: run `dam deliverer stake AMOUNT`")
    if known.key == pair.public:
        raise Permanent(
            "the newest key of the key file is announced already: run `dam keys rotate`, "
            "restart the daemon, then this again"
        )
    possession = pair.prove_possession(chain_id, market.address, operator)
    return await send_call(
        wallet, market, "rotateDelivererKey", operator, pair.announced, possession
    )
