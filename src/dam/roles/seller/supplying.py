"""Supplying parts by hand: publishing again what is there already, for a buyer who cannot open it.

It changes no state, pays nobody and is no evidence. A watchdog does it by itself where it helps;
this is for a seller whose watchdog is away, and for a part that the seller wants to supply anyway.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from dam.crypto.hashing import domain_separator
from dam.errors import Permanent
from dam.ethereum.compact_signature import compact, recover
from dam.market.calldata import entry_of, signed_digest
from dam.market.client import Market
from dam.market.sale_history import SaleRecord
from dam.market.wallet import Receipt, Wallet, send_call, typed_data
from dam.roles.sales import short_id
from dam.roles.seller.own_parts import OwnParts, parts_to_supply
from dam.types import Address, Delivery, Status


@dataclass(frozen=True, slots=True)
class SupplyPlan:
    """Parts that could be supplied now."""

    sale: SaleRecord
    deliveries: tuple[Delivery, ...]

    @property
    def indexes(self) -> list[int]:
        """Which parts."""
        return [delivery.index for delivery in self.deliveries]


def wanted_supplies(sale: SaleRecord) -> list[int]:
    """Parts that a watchdog would supply."""
    disputed = sale.status == Status.DISPUTED
    return parts_to_supply(sale.delivered, sale.punished, sale.cleared, disputed=disputed)


async def plan_supply(
    market: Market,
    parts: OwnParts,
    sale: SaleRecord,
    account: Address,
    indexes: Collection[int] = (),
) -> SupplyPlan:
    """Makes parts to be supplied. Nothing is sent.

    Args:
        market: The market.
        parts: The seller's.
        sale: The sale.
        account: Who signs: the seller, or their operator.
        indexes: Which parts; none: those that a watchdog would supply.

    Raises:
        Permanent: They cannot be made or supplied, or there is no need; the message says why.
        RpcError: The node could not be asked.
    """
    purchase, name = sale.purchase, short_id(sale.copy_id)
    if account != purchase.seller and account != await market.seller_operator(purchase.seller):
        raise Permanent(f"{account} is neither the seller of this sale nor their operator")
    if sale.status.final:
        raise Permanent(f"the sale has ended: it is {sale.status.name.lower()}")
    wanted = sorted(set(indexes)) or wanted_supplies(sale)
    if not wanted:
        raise Permanent(
            "nothing wants to be supplied: there is no dispute, and no part was proved to be junk "
            f"too late. If one does not open, ask the buyer for `dam buyer prove {name}`, which "
            "fines who delivered it; --part supplies it all the same"
        )
    if missing := [index for index in wanted if index not in sale.delivered]:
        numbers = ", ".join(str(index + 1) for index in missing)
        raise Permanent(
            f"part {numbers} is not there, and a supply only repeats what is: a missing part is "
            "delivered by `dam watchdog run --once`"
        )
    fresh = {index: sale.fresh_key for index in wanted if index in sale.punished}
    return SupplyPlan(sale, tuple(await parts.seal(purchase, wanted, fresh)))


async def send_supply(market: Market, wallet: Wallet, plan: SupplyPlan) -> Receipt:
    """Signs what was planned, sends it, and waits until it is mined.

    Raises:
        Permanent: The account signed something else; or as for `Wallet.send`.
        RpcError: The node could not be asked.
    """
    deployment = market.deployment
    entries = [entry_of(delivery) for delivery in plan.deliveries]
    fields = {"entries": "bytes32[]"}
    typed = typed_data(deployment, "Fragments", fields, {"entries": entries})
    signature = compact(*wallet.sign_typed(typed))
    separator = domain_separator(deployment.chain_id, deployment.market)
    if recover(signed_digest(separator, plan.deliveries), signature) != wallet.address:
        raise Permanent("the account signed something else than the parts: use another")
    return await send_call(wallet, market, "supplyFragments", list(plan.deliveries), signature)
