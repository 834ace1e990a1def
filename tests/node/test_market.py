"""The market on a real chain: every log as a record, every time as the contract has it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from dam.crypto.hashing import (
    catalogue_commitment,
    closing_arguments,
    copy_id,
    sale_hash,
    sale_of,
)
from dam.errors import ConfigError, ContractReverted
from dam.keystore.key_files import KeyPair
from dam.market.abi import encode
from dam.market.calldata import entry_of
from dam.market.client import BlockUnknownError, Market
from dam.market.sale_history import SaleHistory
from dam.testing.nodes import NodeFailedError
from dam.testing.rules import deadlines
from dam.types import (
    Clock,
    DelivererKeyRotated,
    DelivererRegistered,
    FragmentDelivered,
    FragmentsSigned,
    OtherLog,
    Purchase,
    SaleClosed,
    SaleState,
    Signature,
    Status,
    StoreVersion,
)
from tests.node.live_market import DIGEST, ETHER, LiveMarket, head


async def test_deployment(market: Market, live: LiveMarket) -> None:
    await market.check_deployment()
    assert await market.windows() == live.deployment.windows
    for wrong in (
        {"chain_id": 1},
        {"code_hash": bytes(32)},
        {"market": live.seller},
    ):
        with pytest.raises(ConfigError):
            await Market(
                market.rpc, dataclasses.replace(live.deployment, **wrong)
            ).check_deployment()


async def test_a_node_before_the_deployment_is_behind_and_not_wrong(
    market: Market, live: LiveMarket
) -> None:
    """A node that syncs, or whose state was put back: it is waited for, and nothing ends."""
    first = live.deployment.first_block
    live.anvil.request("anvil_rollback", head(live) - first + 1)
    with pytest.raises(BlockUnknownError, match=f"at block {first - 1}, .* in block {first}"):
        await market.check_deployment()
    live.anvil.request("anvil_mine", hex(3))
    with pytest.raises(ConfigError, match="no code"):
        await market.check_deployment()


async def test_one_sale(market: Market, live: LiveMarket) -> None:
    first = live.deployment.first_block
    assert await market.logs(first, first) == []
    owner, operator = live.accounts[8], live.accounts[9]
    old, new = KeyPair.generate(), KeyPair.generate()
    live.send(operator, "stakeAsDelivererFor", owner, *live.announced(operator, old), value=ETHER)
    live.send(operator, "rotateDelivererKey", operator, *live.announced(operator, new))
    live.open()
    opened = head(live)
    logs = await market.logs(0, opened, canonical=True)
    registered = [log for log in logs if isinstance(log, DelivererRegistered)]
    assert [(r.operator, r.owner, r.stake) for r in registered] == [
        (operator, owner, ETHER),
        *((d, d, ETHER) for d in live.deliverers),
    ]
    assert (registered[0].key, registered[0].possession) == live.announced(operator, old)
    (rotated,) = [log for log in logs if isinstance(log, DelivererKeyRotated)]
    assert (rotated.key, rotated.possession) == live.announced(operator, new)
    assert await market.announced_key(operator, 0, opened) == (new.public, opened)
    (store,) = [log for log in logs if isinstance(log, StoreVersion)]
    assert (store.seller, store.digest, store.root) == (live.seller, DIGEST, live.catalogue.root)
    assert await market.store(live.seller) == (
        DIGEST,
        catalogue_commitment(DIGEST, live.catalogue.root),
    )
    (staked,) = [log for log in logs if isinstance(log, OtherLog) and log.name == "SellerStaked"]
    assert staked.args == {"seller": live.seller, "amount": 5 * ETHER, "free": 5 * ETHER}
    assert (await market.deliverer(operator)).owner == owner

    live.buy(copy=4)
    (purchase,) = await market.logs(opened + 1, head(live), canonical=True)
    assert isinstance(purchase, Purchase)
    assert purchase.terms == live.terms
    assert (purchase.copy, purchase.purchase_block, len(purchase.keys)) == (4, opened + 1, 3)
    block = await market.block(opened + 1)
    assert purchase.purchase_time == block.timestamp
    assert purchase.at.block == dataclasses.replace(block, timestamp=0)
    assert purchase.copy_id == copy_id(live.seller, live.terms.item_id, 4)
    commitment = sale_hash(sale_of(purchase))[:24]
    state = await market.sale_state(purchase.copy_id)
    assert state == SaleState(Status.PURCHASED, 0, 0, False, False, commitment)
    assert await market.seller_stake(live.seller) == 5 * ETHER - live.terms.reserve

    batch = [live.delivery(purchase, i) for i in range(3)]
    data = market.encode("deliverFragment", batch[0], live.sign(0, batch[0]))
    # Anybody may send it; the deliverer is who signed.
    await market.simulate(data, sender=live.accounts[6])
    wrong = market.encode("deliverFragment", batch[0], live.sign(1, batch[0]))
    with pytest.raises(ContractReverted) as caught:
        await market.simulate(wrong, sender=live.deliverers[0])
    assert caught.value.error == "NotYourPart"
    assert caught.value.arguments == {
        "deliverer": live.deliverers[0],
        "signer": live.deliverers[1],
    }
    live.deliver(purchase, 0)
    live.deliver(purchase, 1)
    # One as a batch: the same calldata codec, from the same deliverer.
    live.send(live.deliverers[2], "deliverFragments", batch[2:], live.sign(2, batch[2]))
    logs = await market.logs(opened + 2, head(live))
    lists, delivered = logs[::2], logs[1::2]
    assert all(isinstance(log, FragmentsSigned) for log in lists)
    assert all(isinstance(log, FragmentDelivered) for log in delivered)
    for i, (signed, log) in enumerate(zip(lists, delivered, strict=True)):
        assert isinstance(signed, FragmentsSigned)
        assert (signed.signer, signed.entries) == (live.deliverers[i], (entry_of(batch[i]),))
        assert Signature(signed.r, signed.vs) == live.sign(i, batch[i])
        assert isinstance(log, FragmentDelivered)
        leaf = live.leaves[i]
        assert (log.index, log.by, log.fragment) == (i, live.deliverers[i], bytes([i]) * 80)
        told = (log.deliverer, log.commitment, log.secret_hash, log.salt, log.supplied)
        assert told == (leaf.deliverer, leaf.commitment, leaf.secret_hash, leaf.salt, False)
    state = await market.sale_state(purchase.copy_id)
    assert (state.status, state.delivered, state.marked) == (Status.COMPLETE, 0b111, False)
    assert (await market.deliverer(live.deliverers[1])).earned == live.terms.fee

    with pytest.raises(ContractReverted) as caught:
        await market.simulate(data, sender=live.deliverers[0])
    assert caught.value.error == "AlreadyDelivered"
    assert caught.value.arguments["index"] == 0


async def test_settled_and_refunded(market: Market, live: LiveMarket) -> None:
    live.open()
    live.buy(0)
    live.buy(1)
    sold = [log for log in await market.logs(0, head(live)) if isinstance(log, Purchase)]
    for i in range(3):
        live.deliver(sold[0], i)
    start = head(live) + 1
    first, second = map(closing_arguments, sold)
    live.send(live.buyer, "confirm", *first)
    with pytest.raises(ContractReverted) as caught:
        await market.simulate(encode("refund", *second), sender=live.buyer)
    assert caught.value.error == "TooEarly"
    live.anvil.request("evm_increaseTime", live.deployment.windows.refund_seconds + 1)
    live.send(live.accounts[9], "refund", *second)
    logs = await market.logs(start, head(live))
    closed = [log for log in logs if isinstance(log, SaleClosed)]
    assert [(c.copy_id, c.status, c.by, c.penalty) for c in closed] == [
        (first[0], Status.SETTLED, live.buyer, 0),
        (second[0], Status.REFUNDED, live.accounts[9], live.terms.penalty),
    ]
    assert await market.credits(live.buyer) == ETHER + live.terms.penalty
    states = await market.sale_states([first[0], second[0], bytes(32)])
    assert [s.status for s in states] == [Status.SETTLED, Status.REFUNDED, Status.NONE]


async def test_every_client_shows_the_contract_s_times(market: Market, live: LiveMarket) -> None:
    """The view, and what the logs give where their blocks' times are known, in each state."""
    live.open()
    live.buy(0)
    (bought,) = [log for log in await market.logs(0, head(live)) if isinstance(log, Purchase)]
    sale = closing_arguments(bought)
    dispute = (live.buyer, "openDispute", *sale, bytes(32))
    steps: list[tuple[Any, ...]] = [
        (),
        *((live.deliverers[i], "deliver", i) for i in range(3)),
        dispute,
        (live.seller, "concede", *sale),
    ]
    for number, step in enumerate(steps):
        live.anvil.request("evm_increaseTime", 50 + number)
        if step[1:2] == ("deliver",):
            live.deliver(bought, step[2])
        elif step:
            who, function, *args = step
            live.send(who, function, *args, value=live.terms.bond if step == dispute else 0)
        logs = await market.logs(0, head(live))
        numbers = sorted({log.at.block.number for log in logs})
        refs = {block.number: block for block in await market.blocks(numbers)}
        timed = [
            dataclasses.replace(
                log, at=dataclasses.replace(log.at, block=refs[log.at.block.number])
            )
            for log in logs
        ]
        record = SaleHistory(timed).sales[bought.copy_id]
        state = await market.sale_state(bought.copy_id)
        assert (record.status, record.since) == (state.status, state.since)
        (told,) = await market.deadlines([bought])
        windows = live.deployment.windows
        assert told == deadlines(bought, record.status, record.since, windows), record.status
    assert state.status == Status.REFUNDED


async def test_the_clock_is_read_with_the_head(market: Market, live: LiveMarket) -> None:
    live.anvil.request("anvil_mine", hex(3), hex(100))
    newest, clock = await market.head_and_clock()
    assert clock == Clock(newest.number, newest.timestamp)


async def test_blocks(market: Market, live: LiveMarket) -> None:
    live.anvil.mine(5)
    newest = head(live)
    assert (await market.head()).number == newest
    assert (await market.head(2)) == await market.block(newest - 2)
    assert (await market.head(newest + 50)).number == 0
    assert [b.number for b in await market.blocks([3, 1, 2])] == [3, 1, 2]
    with pytest.raises(BlockUnknownError):
        await market.block(newest + 1)


async def test_lagging_node_is_not_an_empty_range(market: Market, live: LiveMarket) -> None:
    with pytest.raises(BlockUnknownError):
        await market.logs(0, head(live) + 1)


async def test_reorganisation_shows_in_the_hashes(market: Market, live: LiveMarket) -> None:
    live.open()
    before = await market.page(0, head(live))
    live.anvil.request("anvil_reorg", 2, [])
    after = await market.page(0, before.end.number)
    assert after.end.number == before.end.number
    assert after.end.hash != before.end.hash
    assert len(after.logs) < len(before.logs)


async def test_reverted_transactions_are_told(live: LiveMarket) -> None:
    with pytest.raises(NodeFailedError):
        live.send(live.seller, "createStore", DIGEST, DIGEST)
