"""Faults that the soak and the random schedules found, each in its shortest form."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dam.crypto.hashing import keccak
from tests.faults import ipfs_faults, rpc_faults
from tests.faults.ipfs_proxy import IpfsProxy
from tests.faults.oracle import oracle
from tests.faults.rpc_proxy import RpcProxy
from tests.faults.table import Injected
from tests.faults.world import FaultWorld

_UPDATED = "0x" + keccak(b"StoreUpdated(address,bytes32,bytes32)").hex()


async def _new_edition(world: FaultWorld, title: str) -> None:
    shop = world.shop
    shop.listing = replace(shop.listing, title=title)
    shop.catalogue.save(shop.listing)
    await shop.publish()


async def test_a_store_version_left_out(
    world: FaultWorld, proxy: RpcProxy, injected: Injected
) -> None:
    """Purchases were refused for good, though the log was found later."""
    daemon = await world.deliverer(rpc=proxy.url).start()
    rule = proxy.inject(rpc_faults.omit(of=rpc_faults.topic(_UPDATED)), "eth_getLogs")
    await _new_edition(world, "An edition that the node keeps to itself")
    await world.buy()
    await world.until(lambda: bool(daemon.logged("purchase_refused")), "a refusal")
    assert rule.injected
    rule.stop()
    await world.until_delivered()
    await world.settle_down()
    await oracle(world)


async def test_a_range_limit_below_the_overlap(
    world: FaultWorld, proxy: RpcProxy, injected: Injected
) -> None:
    """The page ended before the cursor, and so did the next one, for ever."""
    await world.deliverer(rpc=proxy.url).start()
    proxy.inject(rpc_faults.RangeLimit(2), "eth_getLogs")
    await world.mine()
    await world.buy()
    await world.until_delivered()
    await world.settle_down()
    assert injected["range limit"]
    await oracle(world)


@pytest.mark.parametrize("cap", [{"logs": 2}, {"size": 2500}])
async def test_a_block_with_more_logs_than_the_node_gives(
    world: FaultWorld, proxy: RpcProxy, injected: Injected, cap: dict[str, int]
) -> None:
    """One block stopped every daemon for good; see also `make flood`."""
    daemon = await world.deliverer(rpc=proxy.url).start()
    proxy.inject(rpc_faults.AnswerCap(**cap), "eth_getLogs")
    await world.mine(3)
    await world.buy(6)
    await world.until_delivered()
    await world.mine(40)
    await world.settle_down()
    assert injected["too many logs"]
    assert daemon.logged("large_block")
    await oracle(world)


async def test_a_node_that_floods_twice(world: FaultWorld, injected: Injected) -> None:
    """One answer over the limit had a good document refused for good."""
    async with IpfsProxy(world.ipfs, counted=injected) as store:
        await world.deliverer(env={"DAM_IPFS": store.url}).start()
        store.inject(ipfs_faults.Flood(), "block/get", times=2)
        await _new_edition(world, "An edition in ten gigabytes")
        await world.buy()
        await world.until_delivered()
        await world.settle_down()
        assert injected["10 GB"] == 2
        await oracle(world)
        await world.clear()


async def test_a_delivery_mined_again_and_forgotten_once_more(
    world: FaultWorld, injected: Injected
) -> None:
    """The part was sent under a new nonce while the transaction of old was still out."""
    daemon = await world.deliverer(env={"DAM_CONFIRMATIONS": "0"}).start()
    # As Anvil's reorganised blocks have their parent's time, the purchase is to keep its own.
    await world.rpc.call("evm_setNextBlockTimestamp", await world.time())
    [bought] = await world.buy()
    await world.until_delivered()
    [first] = await world.delivered()
    raws = [
        await world.rpc.call("eth_getRawTransactionByHash", "0x" + log.at.tx_hash.hex())
        for log in (bought.sale, first)
    ]
    await world.settle_down()
    # The same purchase in a block of the same number and time: the same delivery is good for it.
    depth = await world.block() - bought.sale.purchase_block + 1
    await world.reorganise(depth, [(raws[0], 0), (raws[1], depth - 1)])
    await world.mine()
    await daemon.event("reorganisation")
    await world.settle_down()
    [part] = await world.delivered()
    # Where a second ended just then, it is another purchase, and the old delivery reverts.
    other = part.at.tx_hash != first.at.tx_hash
    await world.reorganise(await world.block() - part.at.block.number + 1)
    await world.mine()
    await daemon.event("reorganisation", 2)
    await world.until_delivered()
    await world.settle_down()
    injected.add("reorganisation", 2)
    await oracle(world, reverted=int(other))
