"""Supplying by hand: what is made is what the contract's rules take, and the buyer can open."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from dam.crypto.hashing import keccak
from dam.crypto.sealing import new_secret_key, open_fragment, public_key
from dam.errors import Permanent
from dam.market.abi import encode
from dam.market.sale_history import SaleHistory, SaleRecord
from dam.roles.seller.own_parts import OwnParts
from dam.roles.seller.store_builder import BuiltStore
from dam.roles.seller.supplying import plan_supply, send_supply
from dam.testing.rules import NOWHERE
from dam.types import Address, CopyId, DisputeOpened, FragmentDelivered, SaleClosed, Status, Wei
from tests.unit.helpers.world import BUYER, SELLER, THIEF, World, account


class Hand:
    """The market as a command sees it, and the wallet of whoever supplies."""

    def __init__(self, world: World, sold: CopyId) -> None:
        self.world, self.sold = world, sold
        chain = world.chain
        self.market: Any = SimpleNamespace(
            deployment=chain.deployment,
            address=chain.address,
            encode=encode,
            seller_operator=chain.seller_operator,
        )
        self.parts = OwnParts(world.shop.seed, world.shop.catalogue)

    @property
    def sale(self) -> SaleRecord:
        return SaleHistory(self.world.chain._logs()).sales[self.sold]

    async def plan(self, *indexes: int, by: Address = SELLER) -> list[int]:
        return (await plan_supply(self.market, self.parts, self.sale, by, indexes)).indexes

    async def supply(self, *indexes: int, by: str = "seller") -> list[FragmentDelivered]:
        """Signs and sends, as the rules of the contract see it; what it published."""
        chain, signer, found = self.world.chain, account(by), []

        async def send(to: Address, data: bytes, *_: Any, **__: Any) -> None:
            found.extend(chain._execute(THIEF, to, data, chain.height + 1))
            chain.queued += found

        plan = await plan_supply(self.market, self.parts, self.sale, signer.address, indexes)
        wallet: Any = SimpleNamespace(
            address=signer.address, sign_typed=signer.sign_typed, send=send
        )
        await send_supply(self.market, wallet, plan)
        return [log for log in found if isinstance(log, FragmentDelivered)]


@pytest.fixture
async def hand(world: World, built: BuiltStore) -> Hand:
    """A sale with two parts of three."""
    sold = world.buy(built, "coupon")
    await world.ticks(*world.deliverers[:2])
    assert len(world.chain.delivered(sold)) == 2
    return Hand(world, sold)


def emit(hand: Hand, log: Any) -> None:
    hand.world.chain.queued.append(log)
    hand.world.chain.mine()


async def test_in_a_dispute_all_that_is_there_is_supplied(hand: Hand) -> None:
    emit(hand, DisputeOpened(hand.sold, BUYER, THIEF, bytes(32), NOWHERE))
    there = sorted(hand.sale.delivered)
    supplied = await hand.supply()
    assert [part.index for part in supplied] == there
    for part in supplied:
        assert (part.supplied, part.by) == (True, SELLER)
        secret = hand.world.secrets[hand.sold][part.index]
        assert keccak(open_fragment(part.fragment, secret)) == part.commitment


async def test_before_a_dispute_it_is_asked_for_by_number(hand: Hand) -> None:
    with pytest.raises(Permanent, match="nothing wants to be supplied"):
        await hand.plan()
    there = sorted(hand.sale.delivered)
    assert [part.index for part in await hand.supply(there[1])] == [there[1]]


async def test_what_was_proved_too_late_is_sealed_to_the_fresh_key(hand: Hand) -> None:
    index, secret = min(hand.sale.delivered), new_secret_key()
    hand.world.chain.prove_junk(hand.sold, index, public_key(secret))
    hand.world.chain.queued = [
        replace(log, cleared=False) if hasattr(log, "cleared") else log
        for log in hand.world.chain.queued
    ]
    hand.world.chain.mine()
    [part] = await hand.supply()
    assert part.index == index
    assert keccak(open_fragment(part.fragment, secret)) == part.commitment


async def test_the_operator_supplies_as_well_and_nobody_else(hand: Hand) -> None:
    [index, _] = sorted(hand.sale.delivered)
    with pytest.raises(Permanent, match="neither the seller of this sale nor their operator"):
        await hand.plan(index, by=account("operator").address)
    hand.world.chain.operators[SELLER] = account("operator").address
    assert await hand.supply(index, by="operator")


async def test_a_part_that_is_missing_is_no_supply(hand: Hand) -> None:
    [missing] = {0, 1, 2} - hand.sale.delivered.keys()
    with pytest.raises(Permanent, match=f"part {missing + 1} is not there"):
        await hand.plan(missing, *hand.sale.delivered)


async def test_nothing_is_supplied_to_a_sale_that_has_ended(hand: Hand) -> None:
    emit(hand, SaleClosed(hand.sold, Status.AGREED, BUYER, 0, Wei(0), NOWHERE))
    with pytest.raises(Permanent, match="the sale has ended: it is agreed"):
        await hand.plan(*hand.sale.delivered)


async def test_an_account_that_signs_something_else_sends_nothing(hand: Hand) -> None:
    plan = await plan_supply(hand.market, hand.parts, hand.sale, SELLER, [min(hand.sale.delivered)])
    thief: Any = SimpleNamespace(address=SELLER, sign_typed=account("thief").sign_typed)
    with pytest.raises(Permanent, match="signed something else"):
        await send_supply(hand.market, thief, plan)
