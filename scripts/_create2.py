"""The usual deployer for CREATE2 (`dam.ethereum.create2`): is it there, and if not, can it be?"""

from __future__ import annotations

import time
from typing import Any

import click

from dam.ethereum.create2 import (
    DEPLOYER,
    DEPLOYER_CODE,
    DEPLOYER_CREATION,
    DEPLOYER_GAS,
    DEPLOYER_GAS_PRICE,
    DEPLOYER_SIGNER,
    DEPLOYER_TRANSACTION,
)
from dam.types import Address
from dam.units import format_amount
from scripts._sending import quantity, send

_POLL_SECONDS = 0.5
_WAIT_SECONDS = 120.0


class NoDeployer(Exception):
    """This chain, or this node, does not let the deployer be made; the text says why."""


def code_at(provider: Any, address: Address, block: str = "latest") -> bytes:
    """The code of a contract."""
    answer = provider.make_request("eth_getCode", [address, block])
    return bytes.fromhex(str(answer).removeprefix("0x"))


def has_deployer(provider: Any) -> bool:
    """Whether it is there.

    Raises:
        NoDeployer: There is something else at its address.
    """
    code = code_at(provider, DEPLOYER)
    if code and code != DEPLOYER_CODE:
        raise NoDeployer(f"{DEPLOYER} has other code here than on other chains")
    return bool(code)


def missing_coins(provider: Any) -> int:
    """What its signer lacks to make it, in wei, once nothing else stands against that.

    Its one transaction can be mined once: with too little gas the deployer could never be made.

    Raises:
        NoDeployer: Something does.
    """
    if quantity(provider.make_request("eth_getTransactionCount", [DEPLOYER_SIGNER, "latest"])):
        raise NoDeployer("the one transaction that makes it was mined here, and failed")
    call = {"from": DEPLOYER_SIGNER, "data": "0x" + DEPLOYER_CREATION.hex()}
    try:
        gas = quantity(provider.make_request("eth_estimateGas", [call]))
    except Exception as error:  # noqa: BLE001 - by node, in words of its own
        raise NoDeployer(f"the node does not say what making it costs ({error})") from None
    if gas > DEPLOYER_GAS:
        raise NoDeployer(f"making it takes {gas} gas here, and its transaction has {DEPLOYER_GAS}")
    block = provider.make_request("eth_getBlockByNumber", ["latest", False])
    if quantity(block.get("baseFeePerGas") or 0) > DEPLOYER_GAS_PRICE:
        raise NoDeployer(
            f"a unit of gas costs over {DEPLOYER_GAS_PRICE // 10**9} gwei at the moment, and its "
            "transaction pays no more: try again when it is cheaper"
        )
    balance = quantity(provider.make_request("eth_getBalance", [DEPLOYER_SIGNER, "latest"]))
    return max(DEPLOYER_GAS * DEPLOYER_GAS_PRICE - balance, 0)


def make_deployer(provider: Any, account: Any) -> None:
    """Makes it: coins to its signer, and the transaction that nobody's key signed.

    Raises:
        NoDeployer: The node takes no transaction without a chain id; nothing was paid.
        click.ClickException: The account has too few coins, or it was not mined in time.
    """
    missing = missing_coins(provider)
    _ask_node(provider)
    if missing:
        click.echo(f"{format_amount(missing)} to {DEPLOYER_SIGNER}, which makes the deployer")
        send(provider, account, DEPLOYER_SIGNER, value=missing)
        _ask_node(provider)
    deadline = time.monotonic() + _WAIT_SECONDS
    while not has_deployer(provider):
        if time.monotonic() > deadline:
            raise click.ClickException(
                f"the deployer {DEPLOYER} is not mined after {_WAIT_SECONDS:.0f} s: run this "
                "again, which goes on where it stopped"
            )
        time.sleep(_POLL_SECONDS)
    click.echo(f"Deployer {DEPLOYER}: made, for everybody on this chain")


def _ask_node(provider: Any) -> None:
    """Hands the transaction to the node, which refuses its kind before it looks for coins.

    Raises:
        NoDeployer: It does.
    """
    try:
        provider.make_request("eth_sendRawTransaction", ["0x" + DEPLOYER_TRANSACTION.hex()])
    except Exception as error:  # noqa: BLE001 - likewise
        if is_refusal(str(error)):
            raise NoDeployer(
                "the node takes no transaction without a chain id (geth: "
                "--rpc.allow-unprotected-txs)"
            ) from None
        # Without coins it is refused for that; and whether it is known is seen by what it makes.


def is_refusal(text: str) -> bool:
    """Whether a node's error is about a transaction without a chain id."""
    lower = text.lower()
    return any(word in lower for word in ("protected", "eip-155", "eip155"))
