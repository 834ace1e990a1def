"""Fees and gas of a deployment: by rules of ours, the same on every chain and node.

Ape takes its fees for what the next block costs at the moment, and its gas, on a local chain, for
the limit of a block. A node whose base fee moves refuses the first, and one that knows EIP-7825
(2^24 gas for a transaction) the second.
"""

from __future__ import annotations

from typing import Any

import click
from ape.exceptions import ApeException

from dam.sending.transactions import MAX_GAS
from dam.units import format_amount

MAX_TIP_WEI = 20 * 10**9
"""Per gas, whatever a node suggests."""
_ROOM_PERCENT = 125
"""Of the estimate: state that changes before it is mined, and rules under which gas is dearer."""


def fee_fields(provider: Any) -> dict[str, int]:
    """Twice the newest block's base fee and the node's tip: room for six full blocks.

    On a chain without base fees, a legacy transaction at the node's price.
    """
    block = provider.make_request("eth_getBlockByNumber", ["latest", False])
    if not block.get("baseFeePerGas"):
        return {"type": 0, "gas_price": _quantity(provider.make_request("eth_gasPrice", []))}
    base = _quantity(block["baseFeePerGas"])
    try:
        tip = _quantity(provider.make_request("eth_maxPriorityFeePerGas", []))
    except Exception:  # noqa: BLE001 - not every node has it
        tip = max(_quantity(provider.make_request("eth_gasPrice", [])) - base, 0)
    tip = min(tip, MAX_TIP_WEI)
    return {"type": 2, "max_fee": 2 * base + tip, "max_priority_fee": tip}


def gas_limit(estimate: int, multiplier: float = 1.0) -> int:
    """The estimate with room above it, but for the sake of room never over `MAX_GAS`.

    A node gives a higher estimate only where the rules let a transaction have more: before
    EIP-7825, or for state that is paid beside it (EIP-8037).

    Args:
        estimate: The node's.
        multiplier: Of the network in ape-config.yaml.
    """
    room = max(estimate * _ROOM_PERCENT // 100, int(estimate * multiplier))
    return room if estimate > MAX_GAS else min(room, MAX_GAS)


def deploy(provider: Any, account: Any, contract: Any, *arguments: Any) -> Any:
    """Deploys a contract, an Ape container; returns its instance.

    Raises:
        click.ClickException: The account has too few coins, or the node refused.
    """
    fees = fee_fields(provider)
    data = "0x" + bytes(contract(*arguments, sender=account, **fees).data).hex()
    try:
        # Without fees: a node would compare them with a base fee that moves, and with the balance.
        estimate = provider.make_request(
            "eth_estimateGas", [{"from": account.address, "data": data}]
        )
        gas = gas_limit(_quantity(estimate), provider.network.auto_gas_multiplier)
        cost = gas * fees.get("max_fee", fees.get("gas_price", 0))
        balance = provider.get_balance(account.address)
        if balance < cost:
            raise click.ClickException(
                f"{account.address} has {format_amount(balance)}, and the deployment may cost "
                f"{format_amount(cost)}: send it some coins"
            )
        return account.deploy(contract, *arguments, gas_limit=gas, **fees)
    except ApeException as error:
        raise click.ClickException(str(error)) from error


def _quantity(value: Any) -> int:
    return value if isinstance(value, int) else int(value, 16)
