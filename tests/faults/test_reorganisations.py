"""F11 to F16: the chain changes its mind."""

from __future__ import annotations

from dam.types import CopyId
from demo import trade
from demo.shop import ITEM
from demo.trade import Bought
from tests.faults import rpc_faults
from tests.faults.daemons import Deliverer
from tests.faults.oracle import oracle
from tests.faults.rpc_proxy import RpcProxy
from tests.faults.table import Injected, fault
from tests.faults.world import FaultWorld

DEPTHS = range(1, 21)
# Blocks are mined at once here: what is to be had at their pace is not a question of fees.
HASTE = {"DAM_CONFIRMATIONS": "0"}


async def read(world: FaultWorld, daemon: Deliverer) -> None:
    """Waits until the daemon has read the newest block."""
    newest = await world.block()
    await world.wait(lambda: daemon.cursor() >= newest, f"block {newest} was read")


async def reorganised(
    world: FaultWorld,
    daemon: Deliverer,
    injected: Injected,
    depth: int,
    again: tuple[tuple[str, int], ...] = (),
) -> None:
    """Replaces blocks, and waits until the daemon has noticed."""
    seen = len(daemon.logged("reorganisation"))
    await world.reorganise(depth, again)
    injected.add("blocks replaced", depth)
    await world.recount()
    await world.wait(
        lambda: len(daemon.logged("reorganisation")) > seen, "the reorganisation was seen"
    )


@fault(
    11,
    "reorganisation, depth 1..20, before delivery",
    breaks="src/dam/daemon/chain_reader.py:return None if here.hash == cursor.hash else "
    "await self._roll_back(cursor)",
    instead="return None",
)
async def test_f11_the_purchase_moves_before_delivery(
    world: FaultWorld, proxy: RpcProxy, injected: Injected
) -> None:
    daemon = await world.deliverer(rpc=proxy.url, env=HASTE).start()
    for depth in DEPTHS:
        # Nothing of ours is mined for as long as the node takes no transactions.
        full = proxy.inject(rpc_faults.Refusal(-32000, "txpool is full"), "eth_sendRawTransaction")
        [bought] = await world.buy()
        raw = await world.raw(bought.sale.at.tx_hash)
        await world.mine(depth - 1) if depth > 1 else None
        await read(world, daemon)
        await reorganised(world, daemon, injected, depth, ((raw, 0),))
        assert len(world.sold) == depth, "the purchase is on the new branch, too"
        full.stop()
        await world.until_delivered(sales=world.sold[-1:])
    await world.settle_down()
    assert (await oracle(world))["delivered"] == len(DEPTHS)
    assert await daemon.stop() == 0


@fault(
    12,
    "reorganisation, depth 1..20, after delivery",
    breaks="src/dam/sending/in_flight.py:anew = self._ledger.rollbacks != self._rollbacks",
    instead="anew = False",
)
async def test_f12_the_delivery_falls_out(
    world: FaultWorld, proxy: RpcProxy, injected: Injected
) -> None:
    daemon = await world.deliverer(rpc=proxy.url, env=HASTE).start()
    for depth in DEPTHS:
        [bought] = await world.buy()
        await world.until_delivered(sales=[bought])
        [first] = [log for log in await world.delivered() if log.copy_id == bought.sale.copy_id]
        missing = depth - 1 - (await world.block() - first.at.block.number)
        if missing > 0:
            await world.mine(missing)
        await read(world, daemon)
        depth = await world.block() - first.at.block.number + 1
        count = len(proxy.sent)
        await reorganised(world, daemon, injected, depth)
        # At once, and not with the next block only.
        await world.wait(lambda n=count: len(proxy.sent) > n, "it was sent again")
        await world.until_delivered(sales=[bought])
        [again] = [log for log in await world.delivered() if log.copy_id == bought.sale.copy_id]
        assert again.fragment == first.fragment, "the bytes that were sealed the first time"
    await world.settle_down()
    assert (await oracle(world))["delivered"] == len(DEPTHS)
    assert await daemon.stop() == 0


@fault(
    13,
    "longer fork",
    breaks="src/dam/ledger/ledger.py:"
    'self.db.executemany("INSERT OR REPLACE INTO blocks VALUES (?, ?)", blocks.items())',
)
async def test_f13_a_longer_fork(world: FaultWorld, proxy: RpcProxy, injected: Injected) -> None:
    daemon = await world.deliverer(rpc=proxy.url, env=HASTE).start()
    for longer in (1, 7, 40):
        [bought] = await world.buy()
        await world.until_delivered(sales=[bought])
        await world.mine(3)
        await read(world, daemon)
        depth = await world.block() - bought.sale.purchase_block
        seen = len(daemon.logged("reorganisation"))
        # It sees the new branch when that is the longer one already.
        away = proxy.inject(rpc_faults.BadGateway())
        await world.reorganise(depth)
        await world.mine(longer)
        injected.add("blocks replaced", depth)
        injected.add("blocks longer", longer)
        away.stop()
        await world.until_delivered(sales=[bought])
        assert len(daemon.logged("reorganisation")) == seen + 1
    await world.settle_down()
    await oracle(world)
    assert await daemon.stop() == 0


@fault(
    14,
    "same purchase, new block and index",
    breaks='src/dam/ledger/reorgs.py:"UPDATE seals SET orphaned = 1 WHERE purchase IN "',
    instead='"UPDATE seals SET orphaned = 0 WHERE purchase IN "',
)
async def test_f14_the_purchase_comes_back_elsewhere(world: FaultWorld, injected: Injected) -> None:
    daemon = await world.deliverer(env=HASTE).start()
    both = await world.buy(2)
    raws = [await world.raw(one.sale.at.tx_hash) for one in both]
    await world.until_delivered()
    await read(world, daemon)
    depth = await world.block() - both[0].sale.purchase_block + 1
    # The other way round, and a block later.
    again = tuple((raw, 1) for raw in reversed(raws))
    await reorganised(world, daemon, injected, depth, again)
    after = {one.sale.copy: one.sale for one in world.sold}
    for one in both:
        moved = after[one.sale.copy].at
        assert moved.block.number == one.sale.purchase_block + 1
        assert moved.log_index != one.sale.at.log_index
    await world.until_delivered()
    await world.settle_down()
    assert (await oracle(world))["delivered"] == 2
    assert await daemon.stop() == 0


@fault(
    15,
    "same copy, different buyer",
    breaks="src/dam/ledger/sales.py:if found == index and to == key and fragment:",
    instead="if found == index and fragment:",
)
async def test_f15_another_buyer_gets_the_copy(world: FaultWorld, injected: Injected) -> None:
    daemon = await world.deliverer(env=HASTE).start()
    [lost] = await world.buy(buyer=world.people[0])
    await world.until_delivered()
    await read(world, daemon)
    depth = await world.block() - lost.sale.purchase_block + 1
    await reorganised(world, daemon, injected, depth)
    assert not world.sold
    bought = await buy_copy(world, lost.sale.copy_id, world.people[1])
    assert bought.sale.buyer != lost.sale.buyer
    await world.until_delivered()
    await world.settle_down()
    assert (await oracle(world))["delivered"] == 1
    assert await daemon.stop() == 0


@fault(
    16,
    "reorganisation deeper than finality: halt",
    breaks="src/dam/daemon/chain_reader.py:if depth > self._halt_depth and acted:",
    instead="if False:",
)
async def test_f16_deeper_than_what_was_final(world: FaultWorld, injected: Injected) -> None:
    daemon = await world.deliverer(env=HASTE).start()
    [bought] = await world.buy()
    await world.until_delivered()
    await world.mine(70)
    await read(world, daemon)
    depth = await world.block() - bought.sale.purchase_block + 1
    await world.reorganise(depth)
    injected.add("blocks replaced", depth)
    await world.recount()
    assert not world.sold
    await world.mine()
    assert await daemon.wait() == 1
    [told] = daemon.logged("deep_reorganisation")
    assert told["level"] == "critical"
    # What it knew is left as it was, for a person to look at.
    assert daemon.query("SELECT orphaned FROM purchases") == [(0,)]
    await oracle(world, exits=(1,))


async def buy_copy(world: FaultWorld, copy_id: CopyId, buyer) -> Bought:
    """The very copy, by somebody else."""
    order = await trade.order(world, world.shop.seller, ITEM, 0)
    receipt = await world.send_data(buyer, order.data, value=order.terms.price)
    [log] = [
        log
        for log in await world.market.logs(receipt.block, receipt.block)
        if getattr(log, "copy_id", None) == copy_id
    ]
    bought = Bought(log, order.secrets)
    world.sold.append(bought)
    return bought
