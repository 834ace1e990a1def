"""Fees and gas of a deployment: by rules of ours, the same on every chain and node.

Ape takes its fees for what the next block costs at the moment, and its gas, on a local chain, for
the limit of a block. A node whose base fee moves refuses the first, and one that knows EIP-7825
(2^24 gas for a transaction) the second.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import click
from ape.exceptions import ApeException

from dam.sending.transactions import MAX_GAS
from dam.types import Address
from dam.units import format_amount

MAX_TIP_WEI = 20 * 10**9
"""Per gas, whatever a node suggests."""
_ROOM_PERCENT = 125
"""Of the estimate: state that changes before it is mined, and rules under which gas is dearer."""
_POLL_SECONDS = 0.5
_WAIT_SECONDS = 600.0


class Receipt(NamedTuple):
    """Of a mined transaction."""

    block: int
    contract: str | None
    """What it made, if it called nobody."""


def fee_fields(provider: Any) -> dict[str, int]:
    """Twice the newest block's base fee and the node's tip: room for six full blocks.

    On a chain without base fees, a legacy transaction at the node's price.
    """
    block = provider.make_request("eth_getBlockByNumber", ["latest", False])
    if not block.get("baseFeePerGas"):
        return {"type": 0, "gas_price": quantity(provider.make_request("eth_gasPrice", []))}
    base = quantity(block["baseFeePerGas"])
    try:
        tip = quantity(provider.make_request("eth_maxPriorityFeePerGas", []))
    except Exception:  # noqa: BLE001 - not every node has it
        tip = max(quantity(provider.make_request("eth_gasPrice", [])) - base, 0)
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


def send(
    provider: Any, account: Any, to: Address | None, data: bytes = b"", value: int = 0
) -> Receipt:
    """Sends a transaction and waits for it.

    Args:
        provider: Ape's.
        account: Ape's, which signs and pays.
        to: Whom it calls; None: it makes a contract.
        data: Calldata, or creation code.
        value: Coins, in wei.

    Raises:
        click.ClickException: The account has too few coins, or the node refused.
    """
    fees = fee_fields(provider)
    call = {"from": account.address, "data": "0x" + data.hex(), "value": hex(value)}
    if to is not None:
        call["to"] = to
    try:
        # Without fees: a node would compare them with a base fee that moves, and with the balance.
        estimate = _estimate(provider, call)
        gas = gas_limit(estimate, provider.network.auto_gas_multiplier)
        cost = gas * fees.get("max_fee", fees.get("gas_price", 0)) + value
        balance = provider.get_balance(account.address)
        if balance < cost:
            raise click.ClickException(
                f"{account.address} has {format_amount(balance)}, and the deployment may cost "
                f"{format_amount(cost)}: send it some coins"
            )
        who = [account.address, "pending"]
        fields: dict[str, Any] = {
            "chain_id": provider.chain_id,
            "nonce": quantity(provider.make_request("eth_getTransactionCount", who)),
            "data": data,
            "value": value,
            "gas_limit": gas,
            **fees,
        }
        if to is not None:
            fields["receiver"] = to
        transaction = provider.network.ecosystem.create_transaction(**fields)
        signed = account.sign_transaction(transaction)
        if signed is None:
            raise click.ClickException("not signed: nothing was sent")
        raw = "0x" + bytes(signed.serialize_transaction()).hex()
        name = str(provider.make_request("eth_sendRawTransaction", [raw]))
        return _wait(provider, name)
    except ApeException as error:
        raise click.ClickException(str(error)) from error


def _estimate(provider: Any, call: dict[str, str]) -> int:
    """The node's; or all that a transaction may have, where that will do and the node cannot say.

    Hardhat tries more than it then takes, for a call that makes a contract.
    """
    try:
        return quantity(provider.make_request("eth_estimateGas", [call]))
    except Exception:
        try:
            provider.make_request("eth_call", [call | {"gas": hex(MAX_GAS)}, "latest"])
        except Exception:  # noqa: BLE001 - by node, in words of its own; the first are told
            pass
        else:
            return MAX_GAS
        raise


def _wait(provider: Any, name: str) -> Receipt:
    """The receipt of a transaction; Ape would first trace what it calls, which takes minutes."""
    click.echo(f"Sent {name}")
    deadline = time.monotonic() + _WAIT_SECONDS
    while (found := provider.make_request("eth_getTransactionReceipt", [name])) is None:
        if time.monotonic() > deadline:
            raise click.ClickException(
                f"transaction {name} is not mined after {_WAIT_SECONDS:.0f} s: look for it, then "
                "run this again, which goes on where it stopped"
            )
        time.sleep(_POLL_SECONDS)
    if not quantity(found["status"]):
        raise click.ClickException(f"transaction {name} reverted")
    return Receipt(quantity(found["blockNumber"]), found.get("contractAddress"))


def quantity(value: Any) -> int:
    """A number as Ape or the node gives it."""
    return value if isinstance(value, int) else int(value, 16)
